"""Slices become an array whose every voxel is where it was in the patient."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from pydicom.dataset import Dataset

from kahu.dicom.volume import Grid, grid_of, label_map_onto, to_nifti, volume_of
from kahu.errors import BadRequest, BrokenDicom, Conflict, NotFound, Unsupported
from kahu.testing import samples

SPACING = (2.5, 0.8, 0.6)


def slices(count: int = 6, **options: Any) -> list[Dataset]:
    """A series in memory whose every voxel has a value of its own."""
    options = {"modality": "CT", "spacing": SPACING} | options
    pixels = np.arange(count * 5 * 4, dtype=np.int16).reshape(count, 5, 4) - 50
    return [samples.instance(number=n, pixels=p, **options) for n, p in enumerate(pixels, 1)]


def place(dataset: Dataset, row: int, column: int) -> np.ndarray[Any, Any]:
    """Where a pixel is, by the formula of PS3.3 C.7.6.2.1.1, written without matrices."""
    position = np.array(dataset.ImagePositionPatient, float)
    along_row, along_column = np.array(dataset.ImageOrientationPatient, float).reshape(2, 3)
    between_rows, between_columns = map(float, dataset.PixelSpacing)
    return position + along_row * between_columns * column + along_column * between_rows * row


@pytest.mark.parametrize("orientation", ["axial", "coronal", "sagittal"])
def test_every_voxel_is_where_its_slice_says(orientation: str) -> None:
    datasets = slices(orientation=orientation)
    volume = volume_of(reversed(datasets))
    by_uid = {dataset.SOPInstanceUID: dataset for dataset in datasets}
    assert volume.array.shape == (6, 5, 4)
    for k, uid in enumerate(volume.grid.sop_instance_uids):
        for j, i in ((0, 0), (4, 3), (2, 1)):
            there = volume.affine @ [i, j, k, 1]
            np.testing.assert_allclose(there[:3], place(by_uid[uid], j, i), atol=1e-6)
            stored = int(by_uid[uid].pixel_array[j, i])
            assert volume.array[k, j, i] == stored - 1024
    assert volume.spacing == pytest.approx(SPACING)
    assert volume.findings == ()


def test_slices_are_sorted_by_place_not_by_number() -> None:
    datasets = slices()
    for number, dataset in zip((3, 1, 6, 2, 5, 4), datasets, strict=True):
        dataset.InstanceNumber = str(number)
    expected = tuple(dataset.SOPInstanceUID for dataset in datasets)
    assert grid_of(sorted(datasets, key=lambda d: int(d.InstanceNumber))).sop_instance_uids == expected


def test_an_enhanced_multi_frame_object_is_a_volume_too() -> None:
    pixels = np.arange(3 * 5 * 4, dtype=np.int16).reshape(3, 5, 4)
    volume = volume_of([samples.multiframe(modality="CT", pixels=pixels, spacing=SPACING)])
    np.testing.assert_array_equal(volume.array, pixels)
    assert volume.spacing == pytest.approx(SPACING)
    assert [plane.frame for plane in volume.grid.planes] == [1, 2, 3]


def test_hounsfield_units_stay_integers_and_other_slopes_become_floats() -> None:
    assert volume_of(slices()).array.dtype == np.int16
    datasets = slices(modality="MR", attributes={"RescaleSlope": "0.5", "RescaleIntercept": "0"})
    for dataset in datasets:  # stored values are unsigned
        dataset.PixelData = np.full((5, 4), 101, "<u2").tobytes()
    datasets[2].RescaleSlope = "2"  # PET rescales each slice by its own factor
    array = volume_of(datasets).array
    assert array.dtype == np.float32
    assert array[:, 0, 0].tolist() == [50.5, 50.5, 202, 50.5, 50.5, 50.5]


def test_a_tilted_gantry_is_kept_in_the_affine() -> None:
    datasets = slices()
    for n, dataset in enumerate(datasets):
        dataset.ImagePositionPatient = [0, n * 0.5, n * 2.5]
    grid = grid_of(datasets)
    np.testing.assert_allclose((grid.affine @ [0, 0, 5, 1])[:3], [0, 2.5, 12.5])
    assert grid.regular
    assert [finding for finding in grid.findings if "tilted by 11.3°" in finding]


def test_missing_slices_are_a_finding_and_the_rest_is_right() -> None:
    datasets = slices(8)
    grid = grid_of(datasets[:3] + datasets[5:])
    assert not grid.regular
    assert grid.findings == ("About 2 slices of 2.5 mm are missing (after slice 3).",)
    assert grid.spacing[0] == pytest.approx(2.5)


def test_uneven_slices_are_a_finding_and_rounding_is_not() -> None:
    datasets = slices()
    for dataset in datasets:  # written with one digit: 0, 2.5, 5 -> off by 0.1
        z = float(dataset.ImagePositionPatient[2])
        dataset.ImagePositionPatient = [0, 0, z + (0.1 if z == 5 else 0)]
    assert grid_of(datasets).findings == ()
    datasets[2].ImagePositionPatient = [0, 0, 5.9]
    grid = grid_of(datasets)
    assert not grid.regular
    assert "unevenly spaced: up to 0.9 mm" in grid.findings[0]


def test_scouts_and_images_without_a_place_are_left_out_and_said() -> None:
    datasets = slices()
    scout = samples.instance(modality="CT", number=90, orientation="coronal", description="Sample")
    scout.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    report = samples.instance(modality="CT", number=91, attributes={"ImagePositionPatient": None})
    grid = grid_of([scout, *datasets, report])
    assert grid.shape == (6, 5, 4)
    assert grid.findings == (
        "One image without a position left out.",
        "One image marked as localizer left out.",
    )


def test_one_stray_image_of_another_size_is_left_out_but_a_mixture_is_refused() -> None:
    stray = samples.instance(modality="CT", number=50, rows=9, columns=9)
    grid = grid_of([*slices(), stray])
    assert grid.shape == (6, 5, 4)
    assert grid.findings == ("One image of another size or orientation left out.",)
    with pytest.raises(Unsupported, match="orientations"):
        grid_of(slices() + slices(orientation="coronal"))
    with pytest.raises(Unsupported, match="sizes"):
        grid_of(
            slices() + [samples.instance(modality="CT", number=n, rows=9, columns=9) for n in range(50, 54)]
        )


def test_several_images_at_one_place_are_refused_and_what_tells_them_apart_is_named() -> None:
    late = slices(description="late", attributes={"EchoTime": "99"})
    with pytest.raises(Unsupported, match="2 images lie at each of 6 places") as caught:
        grid_of(slices() + late)
    assert "EchoTime" in caught.value.hint
    with pytest.raises(Unsupported, match=r"same place \(1 times\)"):
        grid_of(slices() + late[:1])


def test_the_same_instance_twice_counts_once() -> None:
    assert grid_of(slices() + slices()).shape == (6, 5, 4)


def test_slices_of_two_frames_of_reference_are_refused() -> None:
    datasets = slices()
    datasets[-1].FrameOfReferenceUID = samples.uid("elsewhere")
    with pytest.raises(Conflict, match="frames of reference"):
        grid_of(datasets)


def test_images_without_geometry_are_no_volume() -> None:
    with pytest.raises(NotFound, match="where it lies"):
        grid_of(slices(attributes={"ImageOrientationPatient": None}))


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("PixelSpacing", [0, 0.6]),
        ("ImageOrientationPatient", [1, 0, 0, 1, 0, 0]),
        ("ImageOrientationPatient", [2, 0, 0, 0, 1, 0]),
        ("ImagePositionPatient", [0, 0]),
        ("RescaleSlope", [1, 2]),
    ],
)
def test_geometry_that_makes_no_sense_is_refused_and_named(keyword: str, value: list[float]) -> None:
    datasets = slices()
    setattr(datasets[2], keyword, value)
    with pytest.raises(BrokenDicom, match=f"{keyword} of an image makes no sense") as caught:
        volume_of(datasets)
    assert datasets[2].SOPInstanceUID in caught.value.hint


def test_one_slice_is_a_volume_as_thick_as_it_says() -> None:
    assert grid_of(slices(1)).spacing == pytest.approx(SPACING)


# NIfTI and label maps


def test_nifti_has_the_same_voxels_in_ras(tmp_path: Path) -> None:
    volume = volume_of(slices(orientation="sagittal"))
    image = nibabel.load(to_nifti(volume, tmp_path / "image.nii.gz"))
    array = np.asanyarray(image.dataobj)
    assert array.dtype == np.int16
    for k, j, i in ((0, 0, 0), (5, 4, 3), (2, 1, 3)):
        assert array[i, j, k] == volume.array[k, j, i]
        left, back, head = (volume.affine @ [i, j, k, 1])[:3]
        np.testing.assert_allclose((image.affine @ [i, j, k, 1])[:3], [-left, -back, head], atol=1e-5)
    np.testing.assert_allclose(image.get_qform(), image.get_sform(), atol=1e-5)


def write(path: Path, labels: np.ndarray[Any, Any], affine: np.ndarray[Any, Any]) -> Path:
    nibabel.save(nibabel.Nifti1Image(labels, affine), path)
    return path


def an_image(tmp_path: Path) -> tuple[Grid, Any]:
    volume = volume_of(slices(orientation="coronal"))
    return volume.grid, nibabel.load(to_nifti(volume, tmp_path / "image.nii.gz"))


@pytest.mark.parametrize("axes", ["RAS", "LPS", "SAR", "PIL", "IRP"])
def test_a_label_map_comes_back_whatever_order_and_flips_the_tool_used(tmp_path: Path, axes: str) -> None:
    grid, image = an_image(tmp_path)
    labels = (np.arange(np.prod(grid.shape)) % 7).astype(np.uint8).reshape(grid.shape)
    there = nibabel.orientations.ornt_transform(
        nibabel.orientations.io_orientation(image.affine), nibabel.orientations.axcodes2ornt(tuple(axes))
    )
    turned = nibabel.Nifti1Image(labels.transpose(2, 1, 0), image.affine).as_reoriented(there)
    assert "".join(nibabel.aff2axcodes(turned.affine)) == axes
    path = write(tmp_path / "labels.nii.gz", np.asanyarray(turned.dataobj).astype(np.float32), turned.affine)
    back = label_map_onto(path, grid)
    assert back.dtype == np.uint8
    np.testing.assert_array_equal(back, labels)


def moved(affine: np.ndarray[Any, Any], offset: Sequence[float]) -> np.ndarray[Any, Any]:
    affine = affine.copy()
    affine[:3, 3] += offset
    return affine


def test_a_label_map_on_another_grid_is_refused_and_what_differs_is_said(tmp_path: Path) -> None:
    grid, image = an_image(tmp_path)
    columns, rows, count = image.shape
    path = tmp_path / "labels.nii.gz"
    labels = np.zeros(image.shape, np.uint8)
    with pytest.raises(Conflict, match=r"its size .*3×5×6 voxels.*the image has 4×5×6"):
        label_map_onto(write(path, np.zeros((columns - 1, rows, count), np.uint8), image.affine), grid)
    with pytest.raises(Conflict, match=r"its axes or voxel sizes .*of 1×1×1 mm.*of 0.6×0.8×2.5 mm"):
        label_map_onto(write(path, labels, np.eye(4)), grid)
    with pytest.raises(Conflict, match=r"its place, by up to 3\.0 mm"):
        label_map_onto(write(path, labels, moved(image.affine, (0, 0, 3))), grid)
    with pytest.raises(Conflict) as told:
        label_map_onto(write(path, labels.transpose(2, 1, 0), image.affine), grid)
    assert "axes are reversed" in told.value.hint


@pytest.mark.parametrize("bad", [0.5, -1, np.nan, 70000])
def test_values_that_are_no_labels_are_refused(tmp_path: Path, bad: float) -> None:
    grid, image = an_image(tmp_path)
    labels = np.zeros(image.shape, np.float32)
    labels[1, 1, 1] = bad
    with pytest.raises(BadRequest, match="no labels"):
        label_map_onto(write(tmp_path / "labels.nii.gz", labels, image.affine), grid)


def test_a_file_that_is_no_nifti_or_is_not_there_is_refused(tmp_path: Path) -> None:
    grid, _ = an_image(tmp_path)
    with pytest.raises(BadRequest, match=r"wrote no brain\.nii\.gz"):
        label_map_onto(tmp_path / "brain.nii.gz", grid)
    for name in ("brain.nii.gz", "brain.nii"):
        (tmp_path / name).write_bytes(b"garbage" * 100)
        with pytest.raises(BadRequest, match="no readable NIfTI"):
            label_map_onto(tmp_path / name, grid)
