"""The rooms keep their doors shut: imports go one way, and nothing heavy is loaded before it is wanted."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import kahu

ROOT = Path(__file__).parents[2]
HEAVY = {
    "highdicom",
    "imagecodecs",
    "nibabel",
    "numpy",
    "pandas",
    "pydicom",
    "sqlalchemy",
    "starlette",
    "uvicorn",
}


def test_imports_go_one_way() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    checked = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize(
    ("statement", "unwanted"),
    [
        ("import kahu", HEAVY | {"httpx2"}),
        ("from kahu import Client", HEAVY),
        ("import kahu.cli", HEAVY),
        ("import kahu.app", {"highdicom", "pandas"}),
    ],
)
def test_what_is_heavy_is_loaded_when_wanted(statement: str, unwanted: set[str]) -> None:
    program = f"import sys; {statement}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout
    assert unwanted.isdisjoint(loaded.split())


@pytest.mark.parametrize(
    "room", ["catalog", "dicom", "dimse", "runs", "server", "server/dicomweb", "server/dimse"]
)
def test_the_table_of_a_room_names_what_is_in_it(room: str) -> None:
    folder = ROOT / "src" / "kahu" / room
    table = (folder / "__init__.py").read_text().split("\n===")[1]
    named = set(re.findall(r"`([a-z_0-9]+)`", table))
    inside = {
        path.stem for path in folder.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert named >= inside - {"__init__"}
    assert set(re.findall(r"^`([a-z_0-9]+)`", table, re.M)) <= inside


def test_the_public_names_are_these() -> None:
    assert kahu.__all__ == ["Client", "__version__"]
    assert all(hasattr(kahu, name) for name in kahu.__all__)
