from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kahu.catalog import index
from kahu.catalog.places import Places
from kahu.db import Database
from kahu.stores.folder import open_folder
from kahu.stores.owned import open_owned
from kahu.testing import samples


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'home' / 'catalog.db'}")
    database.create()
    yield database
    database.close()


@pytest.fixture
def places(database: Database, tmp_path: Path) -> Places:
    places = Places(database, {"folder": open_folder, "owned": open_owned})
    places.ensure_owned(tmp_path / "home" / "store")
    return places


@pytest.fixture
def scan(database: Database, places: Places) -> Callable[[Path], None]:
    """Looks through a folder and waits until it is indexed."""

    def scan(folder: Path) -> None:
        index.scan(database, places, places.add("folder", str(folder)).id, lambda progress, message: None)

    return scan


@pytest.fixture
def images(tmp_path: Path, scan: Callable[[Path], None]) -> Path:
    """A folder with one CT of the chest, one MR of a head and a scout, all of them indexed."""
    folder = tmp_path / "images"
    samples.series(folder, modality="CT", slices=6, description="Chest", series_uid="1.2.1", study_uid="1.2")
    samples.series(folder, modality="MR", slices=8, description="Head", series_uid="1.3.1", study_uid="1.3")
    samples.series(folder, modality="CT", slices=1, description="Scout", series_uid="1.2.2", study_uid="1.2")
    scan(folder)
    return folder
