"""An empty catalogue, and a folder for images."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from kahu.testing.catalogue import Catalogue, open_catalogue


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[Catalogue]:
    catalogue = open_catalogue(tmp_path / "home")
    yield catalogue
    catalogue.database.close()


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder for images, not there yet."""
    return tmp_path / "images"
