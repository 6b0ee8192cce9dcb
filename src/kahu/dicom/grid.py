"""Where the pixels of frames and the voxels of volumes are in the patient (PS3.3 C.7.6.2).

Slices are sorted by where they lie, never by their numbers. Coordinates are DICOM's: millimetres, x to the
patient's left, y to the back, z to the head (LPS).
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from kahu.dicom.functional import frame_value
from kahu.dicom.malformed import MALFORMED, understood
from kahu.errors import BrokenDicom, Conflict, NotFound, Unsupported

__all__ = ["Grid", "Plane", "Vector", "frame_numbers", "grid_of", "planes_of"]

Vector = NDArray[np.float64]

_SAME_DIRECTION = 1e-3  # direction cosines are written with four digits or more
_SAME_SPACING = 1e-3  # relative
_SAME_PLACE = 0.01  # of the distance between slices
_UNEVEN = 0.1  # of the distance between slices: positions are often rounded to 0.1 mm
_GAP = 1.5  # distances between slices
_STRANGERS = 3  # images of another shape that a series may hold (scouts, a report) without being refused


@dataclass(frozen=True, eq=False)
class Plane:
    """One frame in patient space."""

    sop_instance_uid: str
    frame: int
    """from 1; also 1 in single-frame objects"""
    position: Vector
    """(3,) mm: the centre of its first pixel"""
    directions: Vector
    """(2, 3): unit vectors along a row (columns grow), and along a column (rows grow)"""
    spacing: tuple[float, float]
    """mm between rows, between columns"""
    shape: tuple[int, int]
    """rows, columns"""
    thickness: float
    """mm: between slices where it is stated, else a slice's own; 0: not stated"""
    source: Dataset = field(repr=False)

    @property
    def normal(self) -> Vector:
        normal: Vector = np.cross(self.directions[0], self.directions[1])
        return normal

    def like(self, other: "Plane") -> bool:
        """Whether both can be slices of one volume, wherever they lie."""
        return (
            self.shape == other.shape
            and bool(np.allclose(self.directions, other.directions, atol=_SAME_DIRECTION))
            and bool(np.allclose(self.spacing, other.spacing, rtol=_SAME_SPACING))
        )


@dataclass(frozen=True, eq=False)
class Grid:
    """Where the voxels of a volume are."""

    affine: Vector
    """(4, 4): (column, row, slice) from 0 -> (x, y, z) in mm, LPS; sheared where the gantry was tilted"""
    shape: tuple[int, int, int]
    """slices, rows, columns"""
    planes: tuple[Plane, ...]
    """the slices in order, along the cross product of row and column direction"""
    frame_of_reference_uid: str
    findings: tuple[str, ...] = ()
    """what was noticed, as sentences for people"""
    regular: bool = True
    """False: slices are missing or unevenly spaced, so `affine` is only near the truth, and sizes along
    slices are wrong
    """

    @property
    def spacing(self) -> tuple[float, float, float]:
        """mm between slices, rows, columns."""
        between = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(between[2]), float(between[1]), float(between[0])

    @property
    def sop_instance_uids(self) -> tuple[str, ...]:
        """Of the slices in order; the same one again and again for a multi-frame object."""
        return tuple(plane.sop_instance_uid for plane in self.planes)

    @property
    def sources(self) -> tuple[Dataset, ...]:
        """The objects that the slices come from, in order, each once."""
        return tuple({plane.sop_instance_uid: plane.source for plane in self.planes}.values())


@understood("what an image says of its place")
def planes_of(datasets: Iterable[Dataset]) -> list[Plane]:
    """Every frame that says where it lies, in the order given; an instance that comes twice counts once."""
    unique = {str(dataset.SOPInstanceUID): dataset for dataset in datasets}
    planes = []
    for dataset in unique.values():
        for number in range(1, int(dataset.get("NumberOfFrames") or 1) + 1):
            plane = _plane(dataset, number)
            if plane is not None:
                planes.append(plane)
    return planes


@understood("what the images of this series say of their place")
def grid_of(datasets: Iterable[Dataset]) -> Grid:
    """The grid of one series: single-frame slices, or one enhanced multi-frame object. Pixel data is not
    needed.

    A few images of another shape or orientation (scouts) are left out, with a finding; so is whatever has no
    position. NotFound: no image with a position. Unsupported: sizes or orientations are mixed, or several
    images lie at each place (time points, echoes). Conflict: the slices have several frames of reference.
    """
    datasets = list(datasets)
    planes = planes_of(datasets)
    if not planes:
        if any("MOSAIC" in (dataset.get("ImageType") or ()) for dataset in datasets):
            raise Unsupported("the series is a mosaic: many slices in one image", "export it as enhanced MR")
        raise NotFound(
            "no image of this series says where it lies in the patient",
            "a volume needs Image Position, Image Orientation and Pixel Spacing (CT, MR, PET ...)",
        )
    planes, findings = _without_strangers(planes, len({str(d.SOPInstanceUID) for d in datasets}))
    references = {str(plane.source.get("FrameOfReferenceUID", "")) for plane in planes}
    if len(references) > 1:
        raise Conflict("the slices of this series have several frames of reference", "split the series")
    normal = planes[0].normal
    planes.sort(key=lambda plane: float(plane.position @ normal))
    _refuse_duplicates(planes, normal)
    affine, spacing_findings, tilted = _affine(planes, normal)
    findings += spacing_findings
    if tilted:
        findings.append(tilted)
    return Grid(
        affine=affine,
        shape=(len(planes), *planes[0].shape),
        planes=tuple(planes),
        frame_of_reference_uid=references.pop(),
        findings=tuple(findings),
        regular=not spacing_findings,
    )


# One frame


def _plane(dataset: Dataset, number: int) -> Plane | None:
    """Where a frame lies; None: it does not say. BrokenDicom: what it says makes no sense."""
    position = frame_numbers(dataset, number, "PlanePositionSequence", "ImagePositionPatient", 3)
    cosines = frame_numbers(dataset, number, "PlaneOrientationSequence", "ImageOrientationPatient", 6)
    spacing = frame_numbers(dataset, number, "PixelMeasuresSequence", "PixelSpacing", 2)
    if position is None or cosines is None or spacing is None or "Rows" not in dataset:
        return None
    directions = cosines.reshape(2, 3)
    lengths = np.linalg.norm(directions, axis=1)
    if spacing.min() <= 0 or abs(lengths - 1).max() > 0.01 or abs(directions[0] @ directions[1]) > 0.01:
        raise _senseless("PixelSpacing" if spacing.min() <= 0 else "ImageOrientationPatient", dataset)
    between = frame_numbers(dataset, number, "PixelMeasuresSequence", "SpacingBetweenSlices", 1)
    thickness = frame_numbers(dataset, number, "PixelMeasuresSequence", "SliceThickness", 1)
    stated = [abs(float(value[0])) for value in (between, thickness) if value is not None]
    return Plane(
        sop_instance_uid=str(dataset.SOPInstanceUID),
        frame=number,
        position=position,
        directions=directions / lengths[:, np.newaxis],
        spacing=(float(spacing[0]), float(spacing[1])),
        shape=(int(dataset.Rows), int(dataset.Columns)),
        thickness=next((value for value in stated if value), 0.0),
        source=dataset,
    )


def frame_numbers(dataset: Dataset, number: int, macro: str, keyword: str, count: int) -> Vector | None:
    """An attribute of a frame as `count` numbers; None: absent or empty. BrokenDicom: anything else."""
    try:
        value = frame_value(dataset, number, macro, keyword)
        if value is None or (isinstance(value, MultiValue) and not value):
            return None
        numbers = np.array(value, float).reshape(count)
    except MALFORMED as error:
        raise _senseless(keyword, dataset) from error
    if not np.isfinite(numbers).all():
        raise _senseless(keyword, dataset)
    return numbers


def _senseless(keyword: str, dataset: Dataset) -> BrokenDicom:
    return BrokenDicom(
        f"{keyword} of an image makes no sense", f"look at instance {dataset.get('SOPInstanceUID')}"
    )


# Many frames


def _without_strangers(planes: list[Plane], instances: int) -> tuple[list[Plane], list[str]]:
    """The slices that belong together, and what was left out. Unsupported: no group is clearly the series'
    own.
    """
    findings = []
    placed = len({plane.sop_instance_uid for plane in planes})
    if placed < instances:
        findings.append(f"{_images(instances - placed)} without a position left out.")
    scouts = [plane for plane in planes if "LOCALIZER" in (plane.source.get("ImageType") or ())]
    if 0 < len(scouts) < len(planes):
        planes = [plane for plane in planes if not any(plane is scout for scout in scouts)]
        findings.append(f"{_images(len(scouts))} marked as localizer left out.")
    groups: list[list[Plane]] = []
    for plane in planes:
        group = next((group for group in groups if plane.like(group[0])), None)
        if group is None:
            groups.append([plane])
        else:
            group.append(plane)
    groups.sort(key=len, reverse=True)
    strangers = sum(map(len, groups[1:]))
    if strangers > _STRANGERS or strangers * 4 > len(groups[0]):
        shapes = {group[0].shape for group in groups}
        what = "sizes" if len(shapes) > 1 else "orientations or pixel spacings"
        raise Unsupported(
            f"the series mixes images of {len(groups)} {what}, so it is not one volume",
            "choose a series of parallel slices of one size",
        )
    if strangers:
        findings.append(f"{_images(strangers)} of another size or orientation left out.")
    return groups[0], findings


def _images(count: int) -> str:
    return "One image" if count == 1 else f"{count} images"


# What tells apart images at the same place, the likeliest first.
_TELLING = (
    "TemporalPositionIdentifier",
    "DiffusionBValue",
    "EchoTime",
    "EchoNumbers",
    "InversionTime",
    "FlipAngle",
    "TriggerTime",
    "ImageType",
    "ConvolutionKernel",
    "AcquisitionNumber",
    "AcquisitionTime",
)


def _refuse_duplicates(planes: Sequence[Plane], normal: Vector) -> None:
    """Unsupported: images lie on top of each other. `planes` are sorted along `normal`."""
    along = np.array([plane.position @ normal for plane in planes])
    steps = np.diff(along)
    apart = steps[steps > 1e-4]
    same = steps < (_SAME_PLACE * np.median(apart) if len(apart) else 1e-4)
    if not same.any():
        return
    places = np.concatenate([[0], np.cumsum(~same)])
    counts = Counter(places.tolist())
    if len(counts) > 1 and len(set(counts.values())) == 1:
        at = f"{counts[0]} images lie at each of {len(counts)} places"
    else:
        at = f"several images lie at the same place ({sum(n > 1 for n in counts.values())} times)"
    first = int(np.argmax(same))
    pair = planes[first].source, planes[first + 1].source
    differ = [keyword for keyword in _TELLING if pair[0].get(keyword) != pair[1].get(keyword)]
    raise Unsupported(
        f"the series is not one volume: {at}",
        f"they differ in {', '.join(differ[:3])}; split the series by it" if differ else "remove the doubles",
    )


def _affine(planes: Sequence[Plane], normal: Vector) -> tuple[Vector, list[str], str]:
    """The affine of sorted slices, findings about their spacing, and one about a tilt ("": none)."""
    first = planes[0]
    affine = np.eye(4)
    affine[:3, 0] = first.directions[0] * first.spacing[1]
    affine[:3, 1] = first.directions[1] * first.spacing[0]
    affine[:3, 2] = normal * (first.thickness or 1.0)
    affine[:3, 3] = first.position
    if len(planes) == 1:
        return affine, [], ""
    positions = np.array([plane.position for plane in planes])
    steps = np.diff(positions, axis=0)
    along = steps @ normal
    typical = float(np.median(along))
    wide = along > _GAP * typical
    findings = []
    if wide.any():
        affine[:3, 2] = steps[~wide].mean(axis=0)
        missing = int(np.rint(along[wide] / typical - 1).sum())
        after = ", ".join(str(k + 1) for k in np.flatnonzero(wide)[:5])
        findings.append(f"About {missing} slices of {typical:.4g} mm are missing (after slice {after}).")
    else:
        affine[:3, 2] = (positions[-1] - positions[0]) / (len(planes) - 1)
        expected = positions[0] + np.outer(np.arange(len(planes)), affine[:3, 2])
        worst = float(np.linalg.norm(positions - expected, axis=1).max())
        if worst > _UNEVEN * typical:
            findings.append(
                f"Slices are unevenly spaced: up to {worst:.3g} mm off a distance of {typical:.4g} mm."
            )
    cosine = affine[:3, 2] @ normal / np.linalg.norm(affine[:3, 2])
    angle = float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))
    return affine, findings, f"The slices are tilted by {angle:.1f}° (gantry tilt)." if angle > 1 else ""
