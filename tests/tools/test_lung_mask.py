"""The lung mask: what comes out, run as any tool is run, by a Python without packages."""

import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

Chest = tuple[NDArray[np.int16], NDArray[np.bool_]]
AFFINE = np.array([[-0.7, 0, 0, 20], [0, -0.7, 0, 30], [0, 0, 5, -40], [0, 0, 0, 1.0]])


@pytest.fixture
def script(shipped: Path) -> Path:
    return shipped / "lung-mask" / "lung.py"


def run(script: Path, image: Path, threshold: float = -400) -> subprocess.CompletedProcess[str]:
    mask = image.with_name("lung.nii.gz")
    command = [sys.executable, "-I", "-S", str(script), str(image), str(mask), str(threshold)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def mask_of(script: Path, image: Path) -> NDArray[np.uint8]:
    done = run(script, image)
    assert done.returncode == 0, done.stderr
    mask = nib.load(image.with_name("lung.nii.gz"))
    assert np.array_equal(mask.affine, nib.load(image).affine)
    assert mask.get_data_dtype() == np.uint8
    return np.asarray(mask.dataobj)


@pytest.mark.parametrize("kind", ["int16", "float32", "int32"])
def test_it_marks_both_lungs_and_neither_bowel_nor_the_air_around(
    script: Path, chest: Chest, tmp_path: Path, kind: str
) -> None:
    image, lungs = chest
    nib.save(nib.Nifti1Image(image.astype(kind), AFFINE), tmp_path / "image.nii.gz")
    assert np.array_equal(mask_of(script, tmp_path / "image.nii.gz"), lungs)


@pytest.mark.parametrize(("slope", "intercept"), [(1, -1024), (2, -1000), (-1, 24)])
def test_it_reads_hounsfield_units_of_rescaled_values(
    script: Path, chest: Chest, tmp_path: Path, slope: float, intercept: float
) -> None:
    image, lungs = chest
    rescaled = nib.Nifti1Image(((image - intercept) / slope).round().astype(np.int16), AFFINE)
    rescaled.header.set_slope_inter(slope, intercept)
    nib.save(rescaled, tmp_path / "image.nii.gz")
    assert np.allclose(nib.load(tmp_path / "image.nii.gz").get_fdata(), image, atol=1)
    assert np.array_equal(mask_of(script, tmp_path / "image.nii.gz"), lungs)


def test_runs_of_one_body_are_joined_however_they_wind(script: Path, tmp_path: Path) -> None:
    image = np.full((32, 32, 8), 40, np.int16)
    snake = np.zeros(image.shape, bool)  # up one column, over a slice, down another
    snake[4, 4:28, 2] = snake[4:28, 27, 2] = snake[27, 27, 2:6] = snake[27, 4:28, 5] = snake[10:28, 4, 5] = (
        True
    )
    image[snake] = -900
    image[15:18, 15:18, 7] = -900
    nib.save(nib.Nifti1Image(image, AFFINE), tmp_path / "image.nii.gz")
    mask = mask_of(script, tmp_path / "image.nii.gz")
    assert np.array_equal(mask, snake | (image == -900))
    image[27, 27, 4] = 40  # cut: the larger half and the smaller one stay, the third body goes
    nib.save(nib.Nifti1Image(image, AFFINE), tmp_path / "image.nii.gz")
    snake[27, 27, 4] = False
    assert np.array_equal(mask_of(script, tmp_path / "image.nii.gz"), snake)


def test_it_tells_its_progress(script: Path, chest: Chest, tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(chest[0], AFFINE), tmp_path / "image.nii.gz")
    lines = run(script, tmp_path / "image.nii.gz").stdout.splitlines()
    parts = [float(line.split()[1]) for line in lines if line.startswith("progress ")]
    assert parts == sorted(parts)
    assert parts[-1] == 1


def test_without_air_it_says_so(script: Path, tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(np.zeros((8, 8, 8), np.int16), AFFINE), tmp_path / "image.nii.gz")
    done = run(script, tmp_path / "image.nii.gz")
    assert done.returncode == 1
    assert done.stderr == "There is no air inside the body. Is it a CT of the chest?\n"
