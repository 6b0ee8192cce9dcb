"""Real images for `kahu demo`: from the NCI Imaging Data Commons, or else those that Kahu brings.

Either lies in a folder that Kahu borrows like any other, and never writes to.
"""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class DemoImages:
    """Images to show, and where they are from."""

    folder: Path
    source: str
    licence: str
    brain_series_uid: str
    """of an MR of the head that brain extraction works on"""
