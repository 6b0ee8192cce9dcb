"""Results that contradict their case are found before anyone sees them, and the reason is a sentence."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.uid import EncapsulatedPDFStorage, RTPlanStorage, RTStructureSetStorage

from kahu.dicom.segmentation import AlgorithmFacts, Code, Segment, build
from kahu.dicom.volume import grid_of
from kahu.runs.gate import SourceFacts, Verdict, judge
from kahu.testing import samples

LUNG = Code("39607008", "SCT", "Lung")
SPACING = (2.5, 0.8, 0.6)


def a_case(**options: Any) -> list[Dataset]:
    pixels = samples.phantom("CT", 6, 24, 20)
    common = {"modality": "CT", "spacing": SPACING} | options
    return [samples.instance(number=n, pixels=p, **common) for n, p in enumerate(pixels, 1)]


def a_seg(images: list[Dataset], labels: np.ndarray[Any, Any] | None = None) -> Dataset:
    grid = grid_of(images)
    if labels is None:
        labels = np.zeros(grid.shape, np.uint8)
        labels[1:5, 5:15, 5:15] = 1
    segment = Segment(1, "Lungs", Code("123037004", "SCT", "Anatomical Structure"), LUNG)
    algorithm = AlgorithmFacts("lung-mask", "1")
    return build(grid, labels, [segment], series_description="Lungs", algorithm=algorithm)


def judged(*results: Dataset | Path | io.BytesIO, case: list[Dataset] | None = None) -> Verdict:
    return judge(results, SourceFacts.of(case or a_case()))


@pytest.mark.parametrize("orientation", ["axial", "coronal", "sagittal"])
def test_a_segmentation_of_the_image_is_valid(orientation: str) -> None:
    case = a_case(orientation=orientation)
    assert judged(a_seg(case), case=case) == Verdict("valid", ())


def test_a_segmentation_of_a_multi_frame_image_is_valid() -> None:
    case = [samples.multiframe(modality="CT", pixels=samples.phantom("CT", 6, 24, 20))]
    assert judged(a_seg(case), case=case) == Verdict("valid", ())


def test_a_file_is_read_as_anyone_would_read_it(tmp_path: Path) -> None:
    good = samples.save(a_seg(a_case()), tmp_path / "good.dcm")
    assert judged(good).kind == "valid"
    garbage = tmp_path / "garbage.dcm"
    garbage.write_bytes(b"garbage" * 1000)
    assert judged(good, garbage) == Verdict("rejected", ("A result cannot be read as DICOM.",))
    assert judged(tmp_path / "gone.dcm").kind == "rejected"


def test_a_uid_that_is_none_is_a_reason_and_no_noise() -> None:
    said = b"1.2.840.10008.5.1.4.1.1.66.4"
    data = samples.encode(a_seg(a_case())).replace(said, said[:-1] + b"x")
    verdict = judged(io.BytesIO(data))
    assert verdict.kind == "rejected"
    assert "1.1.66.x" in verdict.reasons[0]


def test_nothing_is_no_result() -> None:
    assert judged() == Verdict("rejected", ("The tool delivered nothing.",))


def test_a_tool_that_found_nothing_is_valid_and_it_is_said() -> None:
    images = a_case()
    empty = a_seg(images, np.zeros((6, 24, 20), np.uint8))
    assert judged(empty) == Verdict("valid", ("Nothing was found: the segmentation is empty.",))


# What contradicts the case


def another_patient(seg: Dataset) -> None:
    seg.PatientID = "P-2"


def another_study(seg: Dataset) -> None:
    seg.StudyInstanceUID = samples.uid("elsewhere")


def the_uid_of_an_image(seg: Dataset) -> None:
    seg.SOPInstanceUID = a_case()[0].SOPInstanceUID


def the_series_of_the_image(seg: Dataset) -> None:
    seg.SeriesInstanceUID = a_case()[0].SeriesInstanceUID


def no_series(seg: Dataset) -> None:
    del seg.SeriesInstanceUID


def another_frame_of_reference(seg: Dataset) -> None:
    seg.FrameOfReferenceUID = samples.uid("elsewhere")


def an_image_that_is_not_there(seg: Dataset) -> None:
    group = seg.PerFrameFunctionalGroupsSequence[0]
    group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID = samples.uid("gone")


def a_series_that_is_not_there(seg: Dataset) -> None:
    seg.ReferencedSeriesSequence[0].SeriesInstanceUID = samples.uid("gone")


def a_frame_that_is_not_there(seg: Dataset) -> None:
    group = seg.PerFrameFunctionalGroupsSequence[0]
    group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber = 2


def no_segments(seg: Dataset) -> None:
    del seg.SegmentSequence


def a_segment_that_is_not_described(seg: Dataset) -> None:
    seg.SegmentSequence[0].SegmentNumber = 2


def too_few_frames_described(seg: Dataset) -> None:
    del seg.PerFrameFunctionalGroupsSequence[-1]


def slices_in_the_wrong_order(seg: Dataset) -> None:
    groups = seg.PerFrameFunctionalGroupsSequence
    positions = [group.PlanePositionSequence for group in groups]
    for group, position in zip(groups, reversed(positions), strict=True):
        group.PlanePositionSequence = position


def moved(seg: Dataset, offset: tuple[float, float, float]) -> None:
    for group in seg.PerFrameFunctionalGroupsSequence:
        item = group.PlanePositionSequence[0]
        item.ImagePositionPatient = [
            float(a) + b for a, b in zip(item.ImagePositionPatient, offset, strict=True)
        ]


def one_slice_higher(seg: Dataset) -> None:
    moved(seg, (0, 0, 2.5))


def far_away(seg: Dataset) -> None:
    moved(seg, (300, 0, 0))


def turned(seg: Dataset, orientation: list[float]) -> None:
    seg.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0].ImageOrientationPatient = orientation


def mirrored(seg: Dataset) -> None:
    turned(seg, [-1, 0, 0, 0, 1, 0])


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (another_patient, "another patient"),
        (another_study, "another study"),
        (the_uid_of_an_image, "SOP Instance UID of an image"),
        (the_series_of_the_image, "series of its own"),
        (no_series, "SeriesInstanceUID is missing"),
        (another_frame_of_reference, "another frame of reference"),
        (an_image_that_is_not_there, "refers to an image that the case does not have"),
        (a_series_that_is_not_there, "a series that is not in the case"),
        (a_frame_that_is_not_there, "a frame that its image does not have"),
        (no_segments, "describes no segments"),
        (a_segment_that_is_not_described, "segment that is not described"),
        (too_few_frames_described, "4 frames but describes 3"),
        (slices_in_the_wrong_order, "wrong order, mirrored or shifted"),
        (one_slice_higher, "wrong order, mirrored or shifted"),
        (far_away, "outside of the image"),
        (mirrored, "outside of the image"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_what_contradicts_the_case_is_rejected(spoil: Callable[[Dataset], None], reason: str) -> None:
    seg = a_seg(a_case())
    spoil(seg)
    verdict = judged(seg)
    assert verdict.kind == "rejected"
    assert reason in verdict.reasons[0]


def test_pixel_data_that_is_too_short_is_rejected() -> None:
    seg = a_seg(a_case())
    seg.PixelData = seg.PixelData[:100]
    assert judged(seg).kind == "rejected"


def test_values_that_make_no_sense_are_rejected_not_raised() -> None:
    seg = a_seg(a_case())
    seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing = [0, 0]
    assert judged(seg) == Verdict("rejected", ("Attributes hold values that cannot be understood.",))


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    spoiled=st.lists(st.tuples(st.integers(132, 6000), st.integers(0, 255)), min_size=1, max_size=8),
    kept=st.floats(0.2, 1),
)
def test_whatever_bytes_come_the_gate_has_an_answer(spoiled: list[tuple[int, int]], kept: float) -> None:
    data = bytearray(GOOD[: int(len(GOOD) * kept)])
    for position, byte in spoiled:
        data[position % len(data)] = byte
    assert judge([io.BytesIO(bytes(data))], SourceFacts.of(a_case())).kind in ("valid", "suspect", "rejected")


GOOD = samples.encode(a_seg(a_case()))


def test_the_same_uid_twice_is_rejected() -> None:
    seg = a_seg(a_case())
    assert "same SOP Instance UID" in judged(seg, seg).reasons[0]


# What deserves a look


def no_codes(seg: Dataset) -> None:
    del seg.SegmentSequence[0].SegmentedPropertyTypeCodeSequence


def nothing_referenced(seg: Dataset) -> None:
    del seg.ReferencedSeriesSequence, seg.SourceImageSequence
    for group in seg.PerFrameFunctionalGroupsSequence:
        del group.DerivationImageSequence


def no_frame_of_reference(seg: Dataset) -> None:
    del seg.FrameOfReferenceUID


def between_the_voxels(seg: Dataset) -> None:
    moved(seg, (0.2, 0, 0))


def a_little_out(seg: Dataset) -> None:
    moved(seg, (1.2, 0, 0))


def tilted(seg: Dataset) -> None:
    turned(seg, [np.cos(0.1), np.sin(0.1), 0, -np.sin(0.1), np.cos(0.1), 0])


def other_pixels(seg: Dataset) -> None:
    seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing = [0.5, 0.5]


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (no_codes, "Segment 1 has no coded category and type"),
        (nothing_referenced, "does not say which images it was made from"),
        (no_frame_of_reference, "has no frame of reference"),
        (between_the_voxels, "between the voxels of the image, off by 0.20 mm"),
        (a_little_out, "reaches 0.9 mm beyond the image"),
        (tilted, "tilted by 5.7°"),
        (other_pixels, "pixels are 0.5 × 0.5 mm, those of the image 0.8 × 0.6 mm"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_what_may_be_right_is_suspect(spoil: Callable[[Dataset], None], reason: str) -> None:
    seg = a_seg(a_case())
    spoil(seg)
    verdict = judged(seg)
    assert verdict.kind == "suspect"
    assert any(reason in sentence for sentence in verdict.reasons), verdict.reasons


def test_a_result_of_an_image_with_missing_slices_is_suspect() -> None:
    images = a_case()
    del images[3]
    labels = np.zeros((5, 24, 20), np.uint8)
    labels[1:4, 5:15, 5:15] = 1
    verdict = judged(a_seg(images, labels), case=images)
    assert verdict.kind == "suspect"
    assert "About 1 slices" in verdict.reasons[0]
    assert len(verdict.reasons) == 1


# Other kinds of results


def based_on(image: Dataset, sop_class: str, modality: str) -> Dataset:
    """An object of the image's patient and study, in a series of its own."""
    result = Dataset()
    for keyword in ("PatientID", "StudyInstanceUID"):
        result[keyword] = image[keyword]
    result.SOPClassUID, result.Modality = sop_class, modality
    result.SOPInstanceUID, result.SeriesInstanceUID = samples.uid("result"), samples.uid("results")
    return result


def test_only_what_tools_give_is_taken() -> None:
    image = a_case()[0]
    assert judged(based_on(image, RTPlanStorage, "RTPLAN")).reasons == (
        "Tools do not give objects of class RT Plan Storage.",
    )
    assert "without a SOP Class UID" in judged(based_on(image, "", "OT")).reasons[0]
    assert judged(based_on(image, "1.2.3.4", "OT")).kind == "rejected"


def structures(image: Dataset, points: list[float]) -> Dataset:
    result = based_on(image, RTStructureSetStorage, "RTSTRUCT")
    roi, contours, contour, source = Dataset(), Dataset(), Dataset(), Dataset()
    roi.ROINumber, roi.ReferencedFrameOfReferenceUID = 1, image.FrameOfReferenceUID
    source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID = image.SOPClassUID, image.SOPInstanceUID
    contour.ContourImageSequence, contour.ContourData = [source], points
    contours.ReferencedROINumber, contours.ContourSequence = 1, [contour]
    result.StructureSetROISequence, result.ROIContourSequence = [roi], [contours]
    return result


def test_structures_are_held_against_the_image_too() -> None:
    image = a_case()[0]
    inside = [1.0, 1, 0, 5, 1, 0, 5, 5, 0]
    assert judged(structures(image, inside)) == Verdict("valid", ())
    beside = [1.0, 1, 0, 5, 1, 0, 5, 500, 0]
    assert judged(structures(image, beside)) == Verdict(
        "suspect", ("Structure 1 lies outside of the image by 33%.",)
    )
    away = [100.0, 1, 0, 500, 1, 0, 500, 5, 0]
    assert judged(structures(image, away)) == Verdict("rejected", ("Structure 1 lies outside of the image.",))
    other = structures(image, inside)
    other.StructureSetROISequence[0].ReferencedFrameOfReferenceUID = samples.uid("elsewhere")
    assert "another frame of reference" in judged(other).reasons[0]


def a_report(evidence: list[Dataset]) -> Dataset:
    content = highdicom.sr.ContainerContentItem(
        highdicom.sr.CodedConcept("126000", "DCM", "Imaging Measurement Report"),
        relationship_type=None,
    )
    content.ContentSequence = [
        highdicom.sr.NumContentItem(
            highdicom.sr.CodedConcept("118565006", "SCT", "Volume"),
            4000.0,
            highdicom.sr.CodedConcept("ml", "UCUM", "ml"),
            relationship_type="CONTAINS",
        )
    ]
    return highdicom.sr.ComprehensiveSR(
        evidence,
        content,
        series_instance_uid=samples.uid("reports"),
        series_number=9,
        sop_instance_uid=samples.uid("report"),
        instance_number=1,
        manufacturer="Test",
        record_evidence=True,
    )


def test_a_report_may_refer_to_the_images_and_to_the_segmentation_delivered_with_it() -> None:
    images = a_case()
    seg = a_seg(images)
    report = a_report([*images, seg])
    assert judged(report, seg) == Verdict("valid", ())
    alone = judged(report)
    assert alone.kind == "rejected"
    assert alone.reasons[0] == "It refers to an image that the case does not have."


def test_with_several_results_a_reason_says_which_is_meant() -> None:
    good, bad = a_seg(a_case()), a_seg(a_case())
    bad.SeriesDescription = "Tumours"
    another_patient(bad)
    assert judged(good, bad).reasons == (
        "Tumours: It is of another patient than the image: Patient ID differs.",
    )


def a_derived_image(**attributes: Any) -> Dataset:
    common = {"ImageType": ["DERIVED", "SECONDARY"], "SOPInstanceUID": samples.uid("derived")}
    return samples.instance(
        modality="CT", series_uid=samples.uid("derived series"), attributes=common | attributes
    )


def test_images_that_a_tool_made_say_so() -> None:
    assert judged(a_derived_image()) == Verdict("valid", ())
    verdict = judged(a_derived_image(ImageType=["ORIGINAL", "PRIMARY"]))
    assert verdict == Verdict("suspect", ("It says that it is an original image, but a program made it.",))
    assert judged(a_derived_image(PixelData=b"\0\0")).kind == "rejected"


def test_a_document_is_not_empty() -> None:
    document = samples.document(study_uid=a_case()[0].StudyInstanceUID, series_uid=samples.uid("documents"))
    assert document.SOPClassUID == EncapsulatedPDFStorage
    assert judged(document) == Verdict("valid", ())
    del document.EncapsulatedDocument
    assert judged(document) == Verdict("rejected", ("The document is empty.",))


def test_a_picture_without_geometry_is_a_case_too() -> None:
    picture = samples.instance(modality="CT", attributes={"ImagePositionPatient": None})
    facts = SourceFacts.of([picture])
    assert facts.grid is None
    assert judge([a_derived_image(ImagePositionPatient=None)], facts).kind == "valid"


def test_reasons_hold_no_data_of_the_patient() -> None:
    seg = a_seg(a_case(patient_id="SECRET-1", patient_name="Secret^Name"))
    assert "SECRET" not in " ".join(judged(seg).reasons).upper()
