"""Slices -> an array with its geometry in patient space (PS3.3 C.7.6.2); NIfTI for tools, and their label
maps back.

Slices are sorted by where they lie, never by their numbers. Coordinates are DICOM's: millimetres, x to the
patient's left, y to the back, z to the head (LPS). NIfTI counts x and y the other way (RAS).
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from nibabel.filebasedimages import ImageFileError
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from kahu.dicom.frames import Frames
from kahu.dicom.functional import frame_value
from kahu.dicom.malformed import MALFORMED, understood
from kahu.errors import BadRequest, BrokenDicom, Conflict, NotFound, Unsupported

__all__ = ["Grid", "Plane", "Volume", "grid_of", "label_map_onto", "planes_of", "to_nifti", "volume_of"]

Vector = NDArray[np.float64]

_SAME_DIRECTION = 1e-3  # direction cosines are written with four digits or more
_SAME_SPACING = 1e-3  # relative
_SAME_PLACE = 0.01  # of the distance between slices
_UNEVEN = 0.1  # of the distance between slices: positions are often rounded to 0.1 mm
_GAP = 1.5  # distances between slices
_STRANGERS = 3  # images of another shape that a series may hold (scouts, a report) without being refused

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


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


@dataclass(frozen=True, eq=False)
class Volume:
    """An array of voxels and where they are."""

    array: NDArray[Any]
    """(slices, rows, columns): values after rescale (Hounsfield units for CT); integers where that loses
    nothing, else float32
    """
    grid: Grid

    @property
    def affine(self) -> Vector:
        return self.grid.affine

    @property
    def spacing(self) -> tuple[float, float, float]:
        return self.grid.spacing

    @property
    def findings(self) -> tuple[str, ...]:
        return self.grid.findings


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


def volume_of(datasets: Iterable[Dataset]) -> Volume:
    """The volume of one series, with its pixels. Errors as `grid_of` and `Frames`; Unsupported:
    colour, a Modality LUT.
    """
    grid = grid_of(datasets)
    first = grid.sources[0]
    if (
        int(first.get("SamplesPerPixel") or 1) != 1
        or first.get("PhotometricInterpretation") == "PALETTE COLOR"
    ):
        raise Unsupported("colour images make no volume", "give a series of grey values")
    if first.get("ModalityLUTSequence"):
        raise Unsupported(
            "the values of this series go through a Modality LUT", "give a series with a rescale slope"
        )
    pixels = {str(source.SOPInstanceUID): Frames(source) for source in grid.sources}
    stored = np.stack([pixels[plane.sop_instance_uid].decode(plane.frame) for plane in grid.planes])
    return Volume(_rescaled(stored, grid.planes), grid)


def to_nifti(volume: Volume, path: Path) -> Path:
    """Writes ``.nii`` or ``.nii.gz``: axes are (column, row, slice), the affine is in RAS millimetres; the
    path.

    Where the gantry was tilted only the sform is exact: a qform has no shear.
    """
    affine = _LPS_TO_RAS @ volume.affine
    image = nibabel.Nifti1Image(volume.array.transpose(2, 1, 0), affine)
    image.header.set_xyzt_units("mm")
    image.set_qform(affine, code="scanner")
    image.set_sform(affine, code="scanner")
    nibabel.save(image, path)
    return path


def label_map_onto(path: Path, grid: Grid) -> NDArray[np.uint8 | np.uint16]:
    """A label map that a tool wrote as NIfTI, as `(slices, rows, columns)` of `grid`: axes are swapped and
    flipped, never resampled.

    BadRequest: no NIfTI, or values that are no labels. Conflict: another grid than the image's; the message
    says what differs.
    """
    try:
        image = nibabel.load(path)
        values = np.asanyarray(image.dataobj)
    except FileNotFoundError as error:
        raise BadRequest(f"the tool wrote no {path.name}", "look into its log") from error
    except (ImageFileError, OSError, EOFError, ValueError) as error:
        raise BadRequest(
            f"{path.name} is no readable NIfTI file", "write it with nibabel or SimpleITK"
        ) from error
    while values.ndim > 3 and values.shape[-1] == 1:
        values = values[..., 0]
    if values.ndim != 3:
        raise BadRequest(f"{path.name} has {values.ndim} dimensions", "a label map has three")
    return _labels(_onto(values, _LPS_TO_RAS @ image.affine, grid, path.name), path.name)


# One frame


def _plane(dataset: Dataset, number: int) -> Plane | None:
    """Where a frame lies; None: it does not say. BrokenDicom: what it says makes no sense."""
    position = _numbers(dataset, number, "PlanePositionSequence", "ImagePositionPatient", 3)
    cosines = _numbers(dataset, number, "PlaneOrientationSequence", "ImageOrientationPatient", 6)
    spacing = _numbers(dataset, number, "PixelMeasuresSequence", "PixelSpacing", 2)
    if position is None or cosines is None or spacing is None or "Rows" not in dataset:
        return None
    directions = cosines.reshape(2, 3)
    lengths = np.linalg.norm(directions, axis=1)
    if spacing.min() <= 0 or abs(lengths - 1).max() > 0.01 or abs(directions[0] @ directions[1]) > 0.01:
        raise _senseless("PixelSpacing" if spacing.min() <= 0 else "ImageOrientationPatient", dataset)
    between = _numbers(dataset, number, "PixelMeasuresSequence", "SpacingBetweenSlices", 1)
    thickness = _numbers(dataset, number, "PixelMeasuresSequence", "SliceThickness", 1)
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


def _numbers(dataset: Dataset, number: int, macro: str, keyword: str, count: int) -> Vector | None:
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


def _rescaled(stored: NDArray[Any], planes: Sequence[Plane]) -> NDArray[Any]:
    """Values after the rescale of each plane (PS3.3 C.11.1, C.7.6.16.2.9)."""
    slopes, intercepts = [], []
    for plane in planes:
        slope, intercept = (
            _numbers(plane.source, plane.frame, "PixelValueTransformationSequence", keyword, 1)
            for keyword in ("RescaleSlope", "RescaleIntercept")
        )
        slopes.append(1.0 if slope is None else float(slope[0]))
        intercepts.append(0.0 if intercept is None else float(intercept[0]))
    if stored.dtype.kind == "f" or set(slopes) != {1.0} or any(not b.is_integer() for b in intercepts):
        values = stored.astype(np.float32)
        values *= np.array(slopes, np.float32)[:, np.newaxis, np.newaxis]
        values += np.array(intercepts, np.float32)[:, np.newaxis, np.newaxis]
        return values
    lowest = int(stored.min()) + int(min(intercepts))
    highest = int(stored.max()) + int(max(intercepts))
    widths = (np.dtype(name) for name in ("int16", "int32"))
    fitting = (t for t in widths if np.iinfo(t).min <= lowest <= highest <= np.iinfo(t).max)
    dtype = next(fitting, np.dtype(np.float64))  # NIfTI readers know no larger integers
    values = stored.astype(dtype)
    if any(intercepts):
        values = values + np.array(intercepts, dtype)[:, np.newaxis, np.newaxis]
    return values


# Label maps


def _onto(values: NDArray[Any], affine: Vector, grid: Grid, name: str) -> NDArray[Any]:
    """`values`, whose `affine` is LPS, with the axes of `grid`: (slices, rows, columns). Conflict: another
    grid.
    """
    shape = np.array(grid.shape[::-1])
    try:
        mapping = np.linalg.solve(grid.affine, affine)  # index of the label map -> index of the grid
    except np.linalg.LinAlgError:
        mapping = np.zeros((4, 4))
    turn = np.rint(mapping[:3, :3]).astype(int)
    differs = []
    if not (abs(turn).sum(axis=0) == 1).all() or not (abs(turn).sum(axis=1) == 1).all():
        differs.append("its axes or voxel sizes")
    elif not np.array_equal(abs(turn) @ values.shape, shape):
        differs.append("its size")
    else:
        corners = np.array(np.meshgrid(*[(0, n - 1) for n in values.shape], indexing="ij")).reshape(3, -1)
        flipped = np.where(turn.sum(axis=1) < 0, shape - 1, 0)[:, np.newaxis]
        off = mapping[:3, :3] @ corners + mapping[:3, 3:] - (turn @ corners + flipped)
        if np.abs(off).max() > 0.1:
            millimetres = np.linalg.norm(grid.affine[:3, :3] @ off, axis=0).max()
            differs.append(f"its place, by up to {millimetres:.1f} mm")
    if differs:
        raise Conflict(
            f"{name} is on another grid than the image; what differs is {differs[0]} "
            f"({_told(np.array(values.shape), affine)}; the image has {_told(shape, grid.affine)})",
            "write the label map on the grid of the image that the tool was given, with its affine",
        )
    ordered = values.transpose(abs(turn).argmax(axis=1))
    ordered = ordered[tuple(slice(None, None, -1 if row.sum() < 0 else 1) for row in turn)]
    return ordered.transpose(2, 1, 0)


def _told(shape: NDArray[Any], affine: Vector) -> str:
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    return f"{'×'.join(map(str, shape))} voxels of {'×'.join(f'{size:.3g}' for size in sizes)} mm"


def _labels(values: NDArray[Any], name: str) -> NDArray[np.uint8 | np.uint16]:
    lowest, highest = values.min(), values.max()
    if (
        not lowest >= 0
        or not highest < 1 << 16
        or (values.dtype.kind == "f" and (values != np.rint(values)).any())
    ):
        raise BadRequest(
            f"{name} holds values that are no labels ({lowest:.4g} to {highest:.4g})",
            "a label map holds whole numbers from 0 (nothing) to 65535",
        )
    return np.ascontiguousarray(values, np.uint8 if highest < 256 else np.uint16)
