"""Every result is read again before anyone sees it: whose it is, what it refers to, where it lies, what it
means.

*Rejected* is what contradicts the case: another patient, images that do not exist, a place outside of the
image, bytes that cannot be read. *Suspect* is what may be right and deserves a look: another grid than the
image's, a tilt, segments without codes, a source with missing slices. Everything else is *valid*; a valid
verdict may still tell something worth knowing (nothing was found).
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID, RTStructureSetStorage, SegmentationStorage

from kahu.dicom.frames import Frames
from kahu.dicom.functional import frame_item
from kahu.dicom.grid import Grid, Plane, grid_of, planes_of
from kahu.dicom.malformed import MALFORMED
from kahu.dicom.text import quietly
from kahu.errors import KahuError
from kahu.runs.placement import far_from_sources, frames_fit, points_fit
from kahu.runs.verdict import Complaint, Kind, Verdict, verdict_of

__all__ = ["SourceFacts", "Verdict", "judge"]

_UNREADABLE = (*MALFORMED, InvalidDicomError, KahuError, OSError, EOFError)

_STORAGE = "1.2.840.10008.5.1.4.1.1."
# What a tool may give besides images, below `_STORAGE` (PS3.4 B.5): parametric maps, real world values,
# assessments, annotations, dose, structures; and whole families: presentation states, segmentations and
# registrations, structured reports, documents.
_GIVEN = (
    "30",
    "66.1",
    "66.2",
    "66.3",
    "66.4",
    "66.5",
    "66.6",
    "66.7",
    "67",
    "90.1",
    "91.1",
    "481.2",
    "481.3",
)
_GIVEN_FAMILIES = ("11.", "88.", "104.")
_LABEL_MAP_SEGMENTATION = _STORAGE + "66.7"

# Sequences whose items name images (or other objects) that a result is about; others name studies, procedure
# steps and the like, or were copied from the source with all that it refers to.
_REFERENCES = (
    "ContourImageSequence",
    "ReferencedInstanceSequence",
    "ReferencedSOPSequence",
    "SourceImageSequence",
)
_SERIES_REFERENCES = ("ReferencedSeriesSequence", "RTReferencedSeriesSequence")


@dataclass(frozen=True, eq=False)
class SourceFacts:
    """What a result is held against: the images of its case."""

    patient_id: str
    study_instance_uid: str
    series_instance_uids: frozenset[str]
    frames: Mapping[str, int]
    """SOP Instance UID -> number of frames"""
    frame_of_reference_uids: frozenset[str]
    planes: Mapping[tuple[str, int], Plane] = field(default_factory=dict)
    """(SOP Instance UID, frame number) -> where that frame lies"""
    grid: Grid | None = None
    """None: the images are no volume, and a result's place is not checked"""

    @classmethod
    def of(cls, datasets: Iterable[Dataset]) -> "SourceFacts":
        """The facts of a case's images; headers are enough. ValueError: there are none."""
        datasets = list(datasets)
        if not datasets:
            raise ValueError("a case has at least one image")
        grid, planes = None, []
        with suppress(KahuError):  # a picture without a place
            planes = planes_of(datasets)
        with suppress(KahuError):  # time points, echoes ...
            grid = grid_of(datasets)
        return cls(
            patient_id=_text(datasets[0], "PatientID"),
            study_instance_uid=_text(datasets[0], "StudyInstanceUID"),
            series_instance_uids=frozenset(_text(dataset, "SeriesInstanceUID") for dataset in datasets),
            frames={_text(d, "SOPInstanceUID"): _frame_count(d) for d in datasets},
            frame_of_reference_uids=frozenset(_text(d, "FrameOfReferenceUID") for d in datasets) - {""},
            planes={(plane.sop_instance_uid, plane.frame): plane for plane in planes},
            grid=grid,
        )


@quietly()
def judge(results: Iterable[Path | BinaryIO | Dataset], sources: SourceFacts) -> Verdict:
    """What to think of everything that one attempt delivered, taken together: the gravest finding decides.

    `results` are files, open or not, or objects read with their pixel data. Never raises for what a result
    holds.
    """
    complaints: list[Complaint] = []
    objects: list[Dataset] = []
    for result in results:
        try:
            objects.append(result if isinstance(result, Dataset) else pydicom.dcmread(result))
        except _UNREADABLE:
            complaints.append(Complaint("rejected", "A result cannot be read as DICOM."))
    if not objects and not complaints:
        complaints.append(Complaint("rejected", "The tool delivered nothing."))
    complaints += _together(objects)
    known = _Known.of(objects, sources)
    for dataset in objects:
        try:
            found = list(_one(dataset, sources, known))
        except _UNREADABLE:
            found = [Complaint("rejected", "Attributes hold values that cannot be understood.")]
        name = _name(dataset)
        complaints += [
            Complaint(kind, f"{name}: {reason}" if len(objects) > 1 else reason) for kind, reason in found
        ]
    if sources.grid and not sources.grid.regular:
        told = " ".join(sources.grid.findings)
        complaints.append(
            Complaint("suspect", f"The image has gaps, so measured volumes may be wrong. {told}")
        )
    return verdict_of(complaints)


@dataclass(frozen=True)
class _Known:
    """What a result may refer to: the images of the case, and what was delivered with it."""

    frames: Mapping[str, int]
    series: frozenset[str]

    @classmethod
    def of(cls, objects: Iterable[Dataset], sources: SourceFacts) -> "_Known":
        own = {_text(d, "SOPInstanceUID"): 1 << 31 for d in objects}
        series = {_text(d, "SeriesInstanceUID") for d in objects}
        return cls({**own, **sources.frames}, sources.series_instance_uids | series)


def _together(objects: list[Dataset]) -> Iterator[Complaint]:
    counts = Counter(_text(dataset, "SOPInstanceUID") for dataset in objects)
    if any(count > 1 for count in counts.values()):
        yield Complaint("rejected", "Several results have the same SOP Instance UID.")


def _one(dataset: Dataset, sources: SourceFacts, known: _Known) -> Iterator[Complaint]:
    """What is to be said of one object."""
    yield from _identity(dataset, sources)
    sop_class = UID(_text(dataset, "SOPClassUID"))
    image = "Image Storage" in sop_class.name and sop_class.startswith(_STORAGE)
    if not image and not _given(sop_class):
        what = f"objects of class {sop_class.name}" if sop_class else "objects without a SOP Class UID"
        yield Complaint("rejected", f"Tools do not give {what}.")
        return
    yield from _references(dataset, known, sources)
    if sop_class in (SegmentationStorage, _LABEL_MAP_SEGMENTATION):
        yield from _segments(dataset)
        elsewhere = list(_frame_of_reference(dataset, sources, "rejected"))
        yield from elsewhere or _frames(dataset, sources)
    elif sop_class == RTStructureSetStorage:
        yield from _contours(dataset, sources)
    elif image or "PixelData" in dataset:
        yield from _image(dataset, sources, original="Secondary Capture" not in sop_class.name)
    elif sop_class.startswith(_STORAGE + "88.") and not dataset.get("ContentSequence"):
        yield Complaint("suspect", "The report is empty.")
    elif sop_class.startswith(_STORAGE + "104.") and not dataset.get("EncapsulatedDocument"):
        yield Complaint("rejected", "The document is empty.")


def _given(sop_class: UID) -> bool:
    kind = sop_class.removeprefix(_STORAGE)
    return sop_class.startswith(_STORAGE) and (kind in _GIVEN or kind.startswith(_GIVEN_FAMILIES))


# Whose it is


def _identity(dataset: Dataset, sources: SourceFacts) -> Iterator[Complaint]:
    for keyword in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"):
        if not UID(_text(dataset, keyword)).is_valid:
            yield Complaint("rejected", f"{keyword} is missing or no UID.")
    if _text(dataset, "PatientID") != sources.patient_id:
        yield Complaint("rejected", "It is of another patient than the image: Patient ID differs.")
    if _text(dataset, "StudyInstanceUID") != sources.study_instance_uid:
        yield Complaint("rejected", "It is in another study than the image: Study Instance UID differs.")
    if _text(dataset, "SOPInstanceUID") in sources.frames:
        yield Complaint("rejected", "It has the SOP Instance UID of an image of the case.")
    if _text(dataset, "SeriesInstanceUID") in sources.series_instance_uids:
        yield Complaint("rejected", "It is in the series of the image; a result needs a series of its own.")


# What it refers to


def _references(dataset: Dataset, known: _Known, sources: SourceFacts) -> Iterator[Complaint]:
    named: dict[str, int] = {}
    series: set[str] = set()
    places: set[str] = set()
    for keyword, item in _items(dataset):
        if keyword in _REFERENCES and "ReferencedSOPInstanceUID" in item:
            uid = _text(item, "ReferencedSOPInstanceUID")
            named[uid] = max(named.get(uid, 1), *_numbers(item.get("ReferencedFrameNumber")), 1)
        if keyword in _SERIES_REFERENCES and "SeriesInstanceUID" in item:
            series.add(_text(item, "SeriesInstanceUID"))
        if "ReferencedFrameOfReferenceUID" in item:
            places.add(_text(item, "ReferencedFrameOfReferenceUID"))
        if keyword == "ReferencedFrameOfReferenceSequence" and "FrameOfReferenceUID" in item:
            places.add(_text(item, "FrameOfReferenceUID"))
    lost = sum(uid not in known.frames for uid in named)
    if lost:
        images = "an image" if lost == 1 else f"{lost} images"
        yield Complaint("rejected", f"It refers to {images} that the case does not have.")
    if any(number > known.frames[uid] for uid, number in named.items() if uid in known.frames):
        yield Complaint("rejected", "It refers to a frame that its image does not have.")
    if series - known.series:
        yield Complaint("rejected", "It refers to a series that is not in the case.")
    if sources.frame_of_reference_uids and places - sources.frame_of_reference_uids:
        yield Complaint("rejected", "It lies in another frame of reference than the image.")
    if not named and _text(dataset, "Modality") in ("SEG", "RTSTRUCT", "SR"):
        yield Complaint("suspect", "It does not say which images it was made from.")


def _items(dataset: Dataset) -> Iterator[tuple[str, Dataset]]:
    """Every item of every sequence at any depth, with its sequence's keyword."""
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                yield element.keyword, item
                yield from _items(item)


def _frame_of_reference(dataset: Dataset, sources: SourceFacts, kind: Kind) -> Iterator[Complaint]:
    uid = _text(dataset, "FrameOfReferenceUID")
    if not sources.frame_of_reference_uids:
        return
    if not uid:
        yield Complaint("suspect", "It has no frame of reference, so nothing says that it fits the image.")
    elif uid not in sources.frame_of_reference_uids:
        yield Complaint(kind, "It lies in another frame of reference than the image.")


# What it means


def _segments(dataset: Dataset) -> Iterator[Complaint]:
    segments = dataset.get("SegmentSequence") or ()
    if not segments:
        yield Complaint("rejected", "The segmentation describes no segments.")
        return
    numbers = [int(item.SegmentNumber) for item in segments]
    if len(set(numbers)) < len(numbers):
        yield Complaint("rejected", "Several segments have the same number.")
    for number, item in zip(numbers, segments, strict=True):
        if number and not all(
            _coded(item.get(f"SegmentedProperty{which}CodeSequence")) for which in ("Category", "Type")
        ):
            yield Complaint(
                "suspect",
                f"Segment {number} has no coded category and type, so programs cannot know what it is.",
            )
    pixels = Frames(dataset)
    pixels.stored(len(pixels))  # raises if pixel data is too short
    groups = dataset.get("PerFrameFunctionalGroupsSequence") or ()
    tiled = (
        dataset.get("DimensionOrganizationType") == "TILED_FULL"
    )  # then frames follow each other without saying so
    if len(groups) != len(pixels) and not tiled:
        yield Complaint("rejected", f"It has {len(pixels)} frames but describes {len(groups)}.")
        return
    if dataset.get("SegmentationType") != "LABELMAP" and not tiled:
        shown = {_segment_number(dataset, number) for number in range(1, len(pixels) + 1)}
        if not shown <= set(numbers):
            yield Complaint("rejected", "A frame shows a segment that is not described.")
    if not any(pixels.decode(number).any() for number in range(1, len(pixels) + 1)):
        yield Complaint("valid", "Nothing was found: the segmentation is empty.")


def _segment_number(dataset: Dataset, number: int) -> int:
    item = frame_item(dataset, number, "SegmentIdentificationSequence")
    return int(item.ReferencedSegmentNumber) if item else 0


def _coded(sequence: Any) -> bool:
    item = sequence[0] if sequence else Dataset()
    value = item.get("CodeValue") or item.get("LongCodeValue") or item.get("URNCodeValue")
    return bool(value and item.get("CodeMeaning"))


def _image(dataset: Dataset, sources: SourceFacts, *, original: bool) -> Iterator[Complaint]:
    pixels = Frames(dataset)
    pixels.stored(len(pixels))  # raises if pixel data is too short
    if original and (dataset.get("ImageType") or ["ORIGINAL"])[0] != "DERIVED":
        yield Complaint("suspect", "It says that it is an original image, but a program made it.")
    if planes_of([dataset]):
        yield from _frame_of_reference(dataset, sources, "suspect")


# Where it lies


def _frames(dataset: Dataset, sources: SourceFacts) -> Iterator[Complaint]:
    """Whether frames lie where the images are that they name as their source, and on the image's voxels."""
    planes = planes_of([dataset])
    spacing = sources.grid.spacing[0] if sources.grid else 1.0
    if any(far_from_sources(plane, _named(dataset, plane.frame, sources), spacing) for plane in planes):
        yield Complaint(
            "rejected",
            "Frames do not lie where the images are that they were made from: "
            "slices are in the wrong order, mirrored or shifted.",
        )
    if sources.grid and len(planes) < int(dataset.get("NumberOfFrames") or 1):
        yield Complaint("suspect", "Frames do not say where they lie in the patient.")
    if sources.grid and planes:
        yield from frames_fit(planes, sources.grid)


def _named(dataset: Dataset, number: int, sources: SourceFacts) -> list[Plane]:
    """Where the images lie that a frame was made from, as far as they are known."""
    derivation = frame_item(dataset, number, "DerivationImageSequence")
    images = (derivation.get("SourceImageSequence") or ()) if derivation else ()
    named = [
        (_text(image, "ReferencedSOPInstanceUID"), frame)
        for image in images
        for frame in _numbers(image.get("ReferencedFrameNumber")) or [1]
    ]
    return [sources.planes[one] for one in named if one in sources.planes]


def _contours(dataset: Dataset, sources: SourceFacts) -> Iterator[Complaint]:
    if not dataset.get("StructureSetROISequence"):
        yield Complaint("suspect", "It describes no structures.")
    for item in dataset.get("ROIContourSequence") or ():
        points = [
            np.array(contour.ContourData, float).reshape(-1, 3)
            for contour in item.get("ContourSequence") or ()
            if contour.get("ContourData")
        ]
        if points and sources.grid:
            structure = f"Structure {item.get('ReferencedROINumber', '?')}"
            yield from points_fit(np.concatenate(points), sources.grid, structure)


# Small things


def _text(dataset: Dataset, keyword: str) -> str:
    """The value as text; empty where there is none, or none that can be read."""
    try:
        return str(dataset.get(keyword) or "").strip()
    except MALFORMED:
        return ""


def _frame_count(dataset: Dataset) -> int:
    count = _text(dataset, "NumberOfFrames")
    return int(count) if count.isdecimal() else 1


def _numbers(value: Any) -> list[int]:
    if value is None or value == "":
        return []
    return [
        int(number)
        for number in (value if hasattr(value, "__iter__") and not isinstance(value, str) else [value])
    ]


def _name(dataset: Dataset) -> str:
    """What people call an object: its series' description, or its modality."""
    return _text(dataset, "SeriesDescription") or _text(dataset, "Modality") or "A result"
