"""What the tests of tools share: pictures of a head and a chest, drawn of ellipsoids."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from kahu.tools.shelf import SHIPPED

Volume = NDArray[np.float64]


@pytest.fixture(scope="session")
def shipped() -> Path:
    return SHIPPED


def _ellipsoid(
    grid: tuple[Volume, Volume, Volume], radii: tuple[float, ...], center: tuple[float, ...]
) -> Volume:
    parts = zip(grid, radii, center, strict=True)
    squares = [((axis - middle) / radius) ** 2 for axis, radius, middle in parts]
    total: Volume = squares[0] + squares[1] + squares[2]
    return total


@pytest.fixture(scope="session")
def head() -> NDArray[np.uint8]:
    """A head as T1 shows it: scalp, skull, fluid, grey and white matter; (96, 110, 60), 2 × 2 × 3 mm."""
    x, y, z = grid = np.meshgrid(
        np.linspace(-96, 96, 96), np.linspace(-110, 110, 110), np.linspace(-100, 80, 60), indexing="ij"
    )
    image = np.zeros(x.shape)
    image[_ellipsoid(grid, (80, 98, 95), (0, 0, -22)) < 1] = 180
    image[_ellipsoid(grid, (75, 93, 88), (0, 0, -22)) < 1] = 90
    for radii, value in (((72, 88, 70), 15), ((67, 83, 65), 30), ((64, 80, 62), 95), ((56, 72, 54), 140)):
        image[_ellipsoid(grid, radii, (0, 0, 0)) < 1] = value
    for side in (-12, 12):
        image[_ellipsoid(grid, (8, 24, 12), (side, 0, 8)) < 1] = 30
    texture = 6 * np.sin(x / 5) * np.sin(y / 6) * np.sin(z / 5)
    return np.asarray(np.clip(image + texture * (image > 20), 0, 255), np.uint8)


@pytest.fixture(scope="session")
def chest() -> tuple[NDArray[np.int16], NDArray[np.bool_]]:
    """A chest as CT shows it in Hounsfield units, (64, 64, 16) voxels, and where its lungs are."""
    grid = tuple(np.meshgrid(*(np.linspace(-1, 1, n) for n in (64, 64, 16)), indexing="ij"))
    x, y, z = grid
    image = np.full(x.shape, -1000)
    image[_ellipsoid((x, y, z), (0.85, 0.7, 9), (0, 0, 0)) < 1] = 40
    lungs = np.zeros(x.shape, bool)
    for side in (-0.4, 0.4):
        lungs |= _ellipsoid((x, y, z), (0.28, 0.5, 0.95), (side, 0, 0)) < 1
    image[lungs] = -800
    image[_ellipsoid((x, y, z), (0.1, 0.1, 0.3), (0, 0.5, 0)) < 1] = -900  # bowel
    image += (60 * np.sin(17 * x + 5 * y) * np.cos(11 * y + 3 * z)).astype(int)
    return image.astype(np.int16), lungs
