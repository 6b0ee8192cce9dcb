"""Programs of others that tests and benchmarks run."""

import os
import shutil
import sys
from pathlib import Path

import pytest


def dcmtk(name: str) -> str | None:
    """The path of one of DCMTK's programs; None: it is not installed.

    pynetdicom installs programs of the same names into the environment that runs this: they are not meant.
    """
    own = Path(sys.executable).parent
    folders = [folder for folder in os.get_exec_path() if Path(folder) != own]
    return shutil.which(name, path=os.pathsep.join(folders))


def need_dcmtk(name: str) -> str:
    """The same; the test is skipped where it is not installed."""
    found = dcmtk(name)
    if found is None:
        pytest.skip(f"no {name}: sudo apt install dcmtk")
    return found
