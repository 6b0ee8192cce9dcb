"""Brain extraction: the network on onnxruntime gives what deepbet gives on torch.

`brain_of_head.nii.gz` is what deepbet 1.0.2 itself, on torch 2.13, marked in the drawn head.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

Image = NDArray[np.uint8]

HERE = Path(__file__).parent
AFFINE = np.diag([2.0, 2.0, 3.0, 1.0])
ROUNDING = 100  # voxels of 105,026: processors and libraries add in different orders


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules[spec.name]
    return module


@pytest.fixture(scope="session")
def folder(shipped: Path) -> Path:
    return shipped / "brain-extraction"


@pytest.fixture(scope="session")
def components(folder: Path) -> ModuleType:
    return load(folder / "components.py")


@pytest.fixture(scope="session")
def python(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tool's own environment, made as an executor makes it: of its pins, and nothing else."""
    place = tmp_path_factory.mktemp("environment")
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "--quiet", "--python", sys.executable, str(place)], check=True)
    python = place / "bin" / "python"
    sync = ["pip", "sync", "--quiet", "--require-hashes", "--python", str(python)]
    subprocess.run([*uv, *sync, str(folder / "requirements.txt")], check=True)
    return python


def mark(python: Path, folder: Path, image: nib.Nifti1Image, place: Path) -> nib.Nifti1Image:
    nib.save(image, place / "image.nii.gz")
    command = [str(python), "brain.py", str(place / "image.nii.gz"), str(place / "brain.nii.gz"), "0.5"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("progress 1 ")
    return nib.load(place / "brain.nii.gz")


def differing(mask: NDArray[np.uint8]) -> int:
    """How many voxels are not as deepbet marked them in the drawn head."""
    reference = np.asarray(nib.load(HERE / "brain_of_head.nii.gz").dataobj)
    assert np.count_nonzero(reference) == 105_026
    return int(np.count_nonzero(mask != reference))


@pytest.mark.network
def test_it_marks_what_deepbet_marks(python: Path, folder: Path, head: Image, tmp_path: Path) -> None:
    mask = mark(python, folder, nib.Nifti1Image(head, AFFINE), tmp_path)
    assert np.array_equal(mask.affine, AFFINE)
    assert differing(np.asarray(mask.dataobj)) <= ROUNDING


@pytest.mark.network
def test_the_mask_lies_on_the_image_however_it_was_scanned(
    python: Path, folder: Path, head: Image, tmp_path: Path
) -> None:
    turned = np.flip(head.transpose(2, 0, 1), axis=(1, 2))  # axes: superior, left, posterior
    affine = np.array([[0, -2, 0, 190], [0, 0, -2, 218], [3, 0, 0, 0], [0, 0, 0, 1.0]])
    mask = mark(python, folder, nib.Nifti1Image(turned, affine), tmp_path)
    assert np.array_equal(mask.affine, affine)
    back = np.flip(np.asarray(mask.dataobj), axis=(1, 2)).transpose(1, 2, 0)
    assert differing(back) <= ROUNDING


@pytest.mark.network
def test_without_a_head_it_says_so(python: Path, folder: Path, tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(np.zeros((32, 32, 16), np.uint8), AFFINE), tmp_path / "image.nii.gz")
    command = [str(python), "brain.py", str(tmp_path / "image.nii.gz"), str(tmp_path / "brain.nii.gz")]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "The image is empty: all its voxels have the same value.\n"
    assert not (tmp_path / "brain.nii.gz").exists()


@pytest.mark.network
def test_its_environment_is_small(python: Path) -> None:
    files = [path for path in python.parents[1].rglob("*") if path.is_file() and not path.is_symlink()]
    assert sum(path.stat().st_size for path in files) < 150e6


@pytest.fixture(scope="session")
def torch_python() -> str:
    """A Python that has torch and deepbet: they are too large for the tests' own environment."""
    python = os.environ.get("KAHU_TEST_TORCH_PYTHON", sys.executable)
    looked = subprocess.run([python, "-c", "import torch, deepbet"], capture_output=True, check=False)
    if looked.returncode:
        pytest.skip("deepbet and torch are not here: name a Python that has them in KAHU_TEST_TORCH_PYTHON")
    return python


@pytest.mark.network
def test_the_reference_is_what_deepbet_marks_on_torch(torch_python: str, head: Image, tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(head, AFFINE), tmp_path / "image.nii.gz")
    script = HERE / "deepbet_reference.py"
    files = [str(tmp_path / "image.nii.gz"), str(tmp_path / "brain.nii.gz")]
    subprocess.run([torch_python, "-W", "ignore", str(script), *files], check=True)
    assert differing(np.asarray(nib.load(tmp_path / "brain.nii.gz").dataobj)) <= ROUNDING


@pytest.mark.network
def test_converting_the_weights_again_gives_the_same_files(
    torch_python: str, folder: Path, tmp_path: Path
) -> None:
    where = "import pathlib, deepbet; print(pathlib.Path(deepbet.__file__).parents[1])"
    package = subprocess.run(
        [torch_python, "-c", where], check=True, capture_output=True, text=True
    ).stdout.strip()
    subprocess.run([torch_python, "-W", "ignore", folder / "convert.py", package, tmp_path], check=True)
    for name in ("bbox.onnx", "brain.onnx"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def neighbours(corners: bool) -> list[tuple[int, ...]]:
    steps = [tuple(step) for step in np.ndindex(3, 3, 3)]
    steps = [tuple(part - 1 for part in step) for step in steps]
    most = 3 if corners else 1
    return [step for step in steps if 0 < sum(map(abs, step)) <= most]


def flooded(mask: NDArray[np.bool_], seeds: list[tuple[int, ...]], corners: bool) -> NDArray[np.bool_]:
    """What can be reached from the seeds, voxel by voxel."""
    reached = np.zeros(mask.shape, bool)
    waiting = [seed for seed in seeds if mask[seed]]
    while waiting:
        voxel = waiting.pop()
        if reached[voxel]:
            continue
        reached[voxel] = True
        for step in neighbours(corners):
            near = tuple(a + b for a, b in zip(voxel, step, strict=True))
            inside = all(0 <= a < length for a, length in zip(near, mask.shape, strict=True))
            if inside and mask[near] and not reached[near]:
                waiting.append(near)
    return reached


@pytest.mark.parametrize("share", [0.1, 0.2, 0.35])
@pytest.mark.parametrize("seed", range(4))
def test_the_largest_component_is_that_of_a_flood(components: ModuleType, share: float, seed: int) -> None:
    mask = np.random.default_rng(seed).random((9, 10, 11)) < share
    rest, best = mask.copy(), np.zeros(mask.shape, bool)
    while rest.any():
        body = flooded(mask, [tuple(np.argwhere(rest)[0])], corners=True)
        rest &= ~body
        best = body if body.sum() > best.sum() else best
    assert np.array_equal(components.largest(mask), best)


@pytest.mark.parametrize("share", [0.4, 0.6, 0.8])
@pytest.mark.parametrize("seed", range(4))
def test_holes_are_what_a_flood_from_outside_does_not_reach(
    components: ModuleType, share: float, seed: int
) -> None:
    mask = np.random.default_rng(seed).random((9, 10, 11)) < share
    rim = np.ones(mask.shape, bool)
    rim[1:-1, 1:-1, 1:-1] = False
    outside = flooded(~mask, [tuple(voxel) for voxel in np.argwhere(rim)], corners=False)
    assert np.array_equal(components.fill_holes(mask), ~outside)


@pytest.mark.parametrize("value", [False, True])
def test_empty_and_full_masks_stay_as_they_are(components: ModuleType, value: bool) -> None:
    mask = np.full((4, 5, 6), value)
    assert np.array_equal(components.largest(mask), mask)
    assert np.array_equal(components.fill_holes(mask), mask)
