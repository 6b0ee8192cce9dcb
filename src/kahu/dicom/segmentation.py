"""A label map -> DICOM SEG, and back (PS3.3 A.51). Written by highdicom; read by us, because any grid must be
met.

What is written is a BINARY segmentation: every viewer reads it. Frames without a voxel are left out, as
everyone does.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import SegmentationStorage, generate_uid

from kahu.dicom.attributes import tag_of
from kahu.dicom.frames import Frames
from kahu.dicom.functional import frame_item
from kahu.dicom.grid import Grid, Plane, planes_of
from kahu.dicom.malformed import understood
from kahu.errors import BadRequest, BrokenDicom, Conflict, NotFound, Unsupported

__all__ = ["AlgorithmFacts", "Code", "Segment", "Segmentation", "build", "palette", "read", "segment_of"]

_LABEL_MAP_SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.7"  # Label Map Segmentation Storage, PS3.4 B.5

# What takes its place in the sources shown to highdicom: it refuses objects with a malformed birth date, say.
_PATIENT_AND_STUDY = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
)

# Distinct on black and on grey, for segments without a colour of their own.
_PALETTE = (
    "#e6a23c",
    "#4aa3df",
    "#6cc070",
    "#e0566b",
    "#b07cd8",
    "#f2d544",
    "#3fc1b0",
    "#f08a5d",
    "#8fb8ff",
    "#d98cb3",
    "#a3c644",
    "#c49a6c",
)


class Code(NamedTuple):
    """A coded concept (PS3.3 §8), e.g. ``Code("12738006", "SCT", "Brain")``."""

    value: str
    scheme: str
    meaning: str


_ARTIFICIAL_INTELLIGENCE = Code("123110", "DCM", "Artificial Intelligence")


@dataclass(frozen=True)
class Segment:
    """What one value of a label map means."""

    value: int
    """in the label map, from 1; in a SEG that was read: its segment number"""
    label: str
    category: Code
    """Segmented Property Category, e.g. ``Code("123037004", "SCT", "Anatomical Structure")``"""
    type: Code
    """Segmented Property Type, e.g. ``Code("12738006", "SCT", "Brain")``"""
    color: str = ""
    """``#rrggbb``; empty: one is chosen"""


@dataclass(frozen=True)
class AlgorithmFacts:
    """Who made a segmentation (PS3.3 C.10.7.1.4 Algorithm Identification, C.7.5.2 Enhanced General
    Equipment).
    """

    name: str
    version: str
    serial: str = "0"
    """what tells one build of it from another: a tool's digest"""
    family: Code = _ARTIFICIAL_INTELLIGENCE
    """of CID 7162"""
    maker: str = "Kahu"


@dataclass(frozen=True, eq=False)
class Segmentation:
    """A SEG on the grid of a volume."""

    segments: tuple[Segment, ...]
    grid: Grid
    pieces: tuple[tuple[int, NDArray[np.intp]], ...]
    """of each frame: the segment's number, and its voxels as flat indices into `(slices, rows, columns)`"""

    def mask(self, value: int) -> NDArray[np.bool_]:
        """One segment as `(slices, rows, columns)` of booleans. NotFound: there is no such segment."""
        if value not in {segment.value for segment in self.segments}:
            raise NotFound(f"there is no segment {value}", f"the segmentation has {len(self.segments)}")
        mask = np.zeros(self.grid.shape, bool)
        for number, voxels in self.pieces:
            if number == value:
                mask.flat[voxels] = True
        return mask

    def label_map(self) -> NDArray[np.uint16]:
        """All segments as one `(slices, rows, columns)` of segment numbers, 0: none. Unsupported: segments
        overlap.
        """
        labels = np.zeros(self.grid.shape, np.uint16)
        for number, voxels in self.pieces:
            there = labels.flat[voxels]
            if ((there != 0) & (there != number)).any():
                raise Unsupported(
                    "segments overlap, so one label map cannot hold them", "take them one by one: mask()"
                )
            labels.flat[voxels] = number
        return labels


def palette(segments: Sequence[Segment]) -> tuple[str, ...]:
    """The colour of each segment as ``#rrggbb``: its own, or the next of a list of distinct ones."""
    return tuple(segment.color or _PALETTE[n % len(_PALETTE)] for n, segment in enumerate(segments))


# Writing


def build(
    grid: Grid,
    labels: NDArray[Any],
    segments: Sequence[Segment],
    *,
    series_description: str,
    algorithm: AlgorithmFacts,
) -> Dataset:
    """A label map as a DICOM SEG, a series of its own in the study of the image that `grid` comes from.

    `labels` is `(slices, rows, columns)` of `grid`; 0 is nothing, every other value must be described in
    `segments`. Segments are numbered from 1 in the order of `segments`, described also where none of their
    voxels was found. A label map without any voxel becomes a SEG that says so: one empty frame in the middle
    of the volume, because PS3.3 wants at least one. Patient and study are those of the source, unaltered.
    BadRequest: a value without a segment, or another shape. Unsupported: the source has no frame of
    reference, so nothing can be placed on it.
    """
    import highdicom  # takes a second and 90 MB, which those who only read need not spend

    if labels.shape != grid.shape:
        raise BadRequest(
            f"the label map is {labels.shape}, the image {grid.shape}", "give the image's own shape"
        )
    if not grid.frame_of_reference_uid:
        raise Unsupported("the image has no Frame of Reference UID", "a segmentation cannot be placed on it")
    numbered = _numbered(labels, segments)
    empty = not numbered.any()
    if empty:
        # highdicom leaves out empty frames, or writes all of them: one voxel, erased below, keeps one frame.
        numbered[grid.shape[0] // 2, 0, 0] = 1
    first = grid.planes[0].source
    with understood("what the image says of itself"):
        seg = highdicom.seg.Segmentation(
            source_images=[_shown(source) for source in grid.sources],
            pixel_array=_in_source_order(numbered, grid),
            segmentation_type="BINARY",
            segment_descriptions=_descriptions(segments, algorithm),
            series_instance_uid=generate_uid(prefix=None),
            series_number=_series_number(first),
            sop_instance_uid=generate_uid(prefix=None),
            instance_number=1,
            manufacturer=algorithm.maker,
            manufacturer_model_name=algorithm.name[:64],
            software_versions=algorithm.version[:64],
            device_serial_number=algorithm.serial[:64],
            content_label="SEGMENTATION",
            content_description=series_description[:64],
            series_description=series_description[:64],
        )
    if empty:
        seg.PixelData = bytes(len(seg.PixelData))
    seg.copy_patient_and_study_information(first)
    seg.SpecificCharacterSet = "ISO_IR 192"
    seg.SeriesDate, seg.SeriesTime = seg.ContentDate, seg.ContentTime
    return seg


def _numbered(labels: NDArray[Any], segments: Sequence[Segment]) -> NDArray[np.uint8 | np.uint16]:
    """Label values replaced by segment numbers 1, 2, ..."""
    values = [segment.value for segment in segments]
    if not values or len(set(values)) < len(values) or min(values) < 1:
        raise BadRequest(
            "segments need values of their own, from 1", "look at the segments in the tool's manifest"
        )
    strangers = sorted(set(np.unique(labels).tolist()) - {0, *values})
    if strangers:
        told = ", ".join(map(str, strangers[:10]))
        raise BadRequest(
            f"the label map holds values that no segment describes: {told}", "describe them as segments"
        )
    table = np.zeros(max(values) + 1, np.uint8 if len(values) < 256 else np.uint16)
    table[values] = np.arange(1, len(values) + 1)
    numbered: NDArray[np.uint8 | np.uint16] = np.take(table, labels)
    return numbered


def _in_source_order(numbered: NDArray[Any], grid: Grid) -> NDArray[Any]:
    """Planes as highdicom wants them: one for each single-frame source, or for each frame of the one
    multi-frame source.
    """
    if len(grid.sources) > 1:
        if len(grid.sources) == grid.shape[0]:
            return numbered
        raise Unsupported(
            f"the slices lie in {len(grid.sources)} multi-frame objects", "choose a series with one object"
        )
    count = int(grid.planes[0].source.get("NumberOfFrames") or 1)
    ordered = np.zeros((count, *grid.shape[1:]), numbered.dtype)
    ordered[[plane.frame - 1 for plane in grid.planes]] = numbered
    return ordered


def _shown(source: Dataset) -> Dataset:
    """A source without pixels, and with nothing in patient and study that highdicom could object to."""
    hidden = {tag_of(keyword) for keyword in _PATIENT_AND_STUDY}
    shown = Dataset()
    for tag in list(source.keys()):
        if tag >> 16 != 0x7FE0 and tag not in hidden:
            shown[tag] = source.get_item(tag)
    shown.file_meta = getattr(source, "file_meta", None)
    for keyword in _PATIENT_AND_STUDY:
        setattr(shown, keyword, "")
    return shown


def _descriptions(segments: Sequence[Segment], algorithm: AlgorithmFacts) -> list[Dataset]:
    import highdicom
    from highdicom.sr import CodedConcept

    identification = highdicom.AlgorithmIdentificationSequence(
        name=algorithm.name[:64], family=CodedConcept(*algorithm.family), version=algorithm.version[:64]
    )
    return [
        highdicom.seg.SegmentDescription(
            segment_number=number,
            segment_label=segment.label[:64],
            segmented_property_category=CodedConcept(*segment.category),
            segmented_property_type=CodedConcept(*segment.type),
            algorithm_type="AUTOMATIC",
            algorithm_identification=identification,
            display_color=highdicom.color.CIELabColor.from_string(color),
        )
        for number, (segment, color) in enumerate(zip(segments, palette(segments), strict=True), 1)
    ]


def _series_number(source: Dataset) -> int:
    """Beside the source's own series in a list sorted by number, and unlike any a scanner gives."""
    return int(source.get("SeriesNumber") or 0) % 1_000_000 * 100 + 99


# Reading


@understood("the segmentation")
def read(dataset: Dataset, grid: Grid) -> Segmentation:
    """A SEG (binary, fractional from one half, label map) as masks on `grid`; segments may overlap.

    Its frames may be any cut through the grid's voxels, flipped or turned. BrokenDicom: no SEG. Conflict:
    another frame of reference, or frames that do not fall on the grid's voxels (nothing is resampled).
    """
    if dataset.get("SOPClassUID") not in (SegmentationStorage, _LABEL_MAP_SEGMENTATION):
        raise BrokenDicom("this is no segmentation", "give an object of modality SEG")
    if dataset.get("FrameOfReferenceUID", "") != grid.frame_of_reference_uid:
        raise Conflict(
            "the segmentation has another frame of reference than the image", "give its own source image"
        )
    half = int(dataset.get("MaximumFractionalValue") or 1) / 2
    planes = planes_of([dataset])
    if not planes:
        raise BrokenDicom(
            "the frames of the segmentation do not say where they lie", "look at its functional groups"
        )
    pixels = Frames(dataset)
    heights = np.array([plane.position @ grid.planes[0].normal for plane in grid.planes])
    pieces = []
    for plane in planes:
        for number, mask in _segments_of(dataset, plane.frame, pixels.decode(plane.frame), half):
            rows, columns = np.nonzero(mask)
            if len(rows):
                pieces.append((number, _voxels(plane, rows, columns, grid, heights)))
    described = [
        segment_of(item) for item in dataset.get("SegmentSequence") or () if int(item.SegmentNumber) > 0
    ]
    return Segmentation(tuple(described), grid, tuple(pieces))


def _segments_of(
    dataset: Dataset, number: int, frame: NDArray[Any], half: float
) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    """The segments that a frame shows, each with its mask."""
    if dataset.get("SegmentationType") == "LABELMAP":
        for value in np.unique(frame[frame > 0]).tolist():
            yield value, frame == value
        return
    item = frame_item(dataset, number, "SegmentIdentificationSequence")
    if item is None:
        raise BrokenDicom(
            f"frame {number} of the segmentation names no segment", "look at its functional groups"
        )
    yield (
        int(item.ReferencedSegmentNumber),
        frame > half if dataset.SegmentationType == "FRACTIONAL" else frame > 0,
    )


def _voxels(
    plane: Plane, rows: NDArray[np.intp], columns: NDArray[np.intp], grid: Grid, heights: NDArray[np.float64]
) -> NDArray[np.intp]:
    """Which voxels of `grid` some pixels of a frame are, as flat indices. Conflict: they fall between voxels,
    or outside.

    Pixels go to voxels by whole steps, so the frame's corner and two steps say it all. `heights`: where the
    grid's slices lie along their normal.
    """
    to_index = np.linalg.inv(grid.affine[:3, :3])
    origin, slices_before = grid.affine[:3, 3], 0
    if (
        abs(plane.normal @ grid.planes[0].normal) > 0.999
    ):  # a slice is where it says, not where the affine puts it
        slices_before = int(np.abs(heights - plane.position @ grid.planes[0].normal).argmin())
        origin = grid.planes[slices_before].position
    corner = to_index @ (plane.position - origin) + (0, 0, slices_before)
    along_row = to_index @ plane.directions[0] * plane.spacing[1]
    along_column = to_index @ plane.directions[1] * plane.spacing[0]
    first, right, down = (np.rint(exact).astype(np.intp) for exact in (corner, along_row, along_column))
    last = rows.max(), columns.max()
    off = np.abs(corner - first) + np.abs(along_column - down) * last[0] + np.abs(along_row - right) * last[1]
    if off.max() > 0.1:
        raise Conflict(
            "the segmentation does not lie on the voxels of the image", "give its own source image"
        )
    box = [first + down * r + right * c for r in (rows.min(), last[0]) for c in (columns.min(), last[1])]
    if np.min(box) < 0 or (np.max(box, axis=0) >= grid.shape[::-1]).any():
        raise Conflict("the segmentation reaches out of the image", "give its own source image")
    strides = np.array([1, grid.shape[2], grid.shape[2] * grid.shape[1]])
    voxels: NDArray[np.intp] = first @ strides + rows * (down @ strides) + columns * (right @ strides)
    return voxels


def segment_of(item: Dataset) -> Segment:
    """What an item of the Segment Sequence says (PS3.3 C.8.20.4); its `value` is the segment number."""
    lab = item.get("RecommendedDisplayCIELabValue")
    return Segment(
        value=int(item.SegmentNumber),
        label=str(item.get("SegmentLabel", "")),
        category=_code(item.get("SegmentedPropertyCategoryCodeSequence")),
        type=_code(item.get("SegmentedPropertyTypeCodeSequence")),
        color=_rgb(lab) if lab else "",
    )


def _rgb(lab: Sequence[int]) -> str:
    """A CIELab value as DICOM scales it (PS3.3 C.10.7.1.1) as ``#rrggbb``, white being D65."""
    lightness = lab[0] / 65535 * 100
    a, b = (value / 65535 * 255 - 128 for value in lab[1:])
    y = (lightness + 16) / 116
    t = np.array([y + a / 500, y, y - b / 200])
    xyz = np.where(t > 6 / 29, t**3, 3 * (6 / 29) ** 2 * (t - 4 / 29)) * (0.95047, 1.0, 1.08883)
    linear = np.clip(_XYZ_TO_RGB @ xyz, 0, 1)
    rgb = np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)
    return "#" + bytes(np.rint(rgb * 255).astype(np.uint8).tolist()).hex()


_XYZ_TO_RGB = np.array(
    [
        [3.2404542, -1.5371385, -0.4985314],
        [-0.9692660, 1.8760108, 0.0415560],
        [0.0556434, -0.2040259, 1.0572252],
    ]
)


def _code(sequence: Sequence[Dataset] | None) -> Code:
    """A code as it stands (PS3.3 §8), long and URN values too; empty where there is none."""
    item = sequence[0] if sequence else Dataset()
    value = item.get("CodeValue") or item.get("LongCodeValue") or item.get("URNCodeValue") or ""
    return Code(str(value), str(item.get("CodingSchemeDesignator", "")), str(item.get("CodeMeaning", "")))
