"""Slices -> an array with its geometry in patient space; NIfTI for tools, and their label maps back.

Coordinates are DICOM's (LPS, see `grid`); NIfTI counts x and y the other way (RAS).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from nibabel.filebasedimages import ImageFileError
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from kahu.dicom.frames import Frames
from kahu.dicom.grid import Grid, Plane, Vector, frame_numbers, grid_of, planes_of
from kahu.errors import BadRequest, Conflict, Unsupported

__all__ = ["Grid", "Plane", "Volume", "grid_of", "label_map_onto", "planes_of", "to_nifti", "volume_of"]

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True, eq=False)
class Volume:
    """An array of voxels and where they are."""

    array: NDArray[Any]
    """(slices, rows, columns): values after rescale (Hounsfield units for CT); integers where that loses
    nothing, else float32
    """
    grid: Grid

    def __repr__(self) -> str:
        size, spacing = (
            "×".join(f"{n:.4g}" for n in numbers) for numbers in (self.array.shape, self.spacing)
        )
        return f"Volume({size} voxels of {spacing} mm, {self.array.dtype})"

    @property
    def affine(self) -> Vector:
        return self.grid.affine

    @property
    def spacing(self) -> tuple[float, float, float]:
        return self.grid.spacing

    @property
    def findings(self) -> tuple[str, ...]:
        return self.grid.findings


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


def _rescaled(stored: NDArray[Any], planes: Sequence[Plane]) -> NDArray[Any]:
    """Values after the rescale of each plane (PS3.3 C.11.1, C.7.6.16.2.9)."""
    slopes, intercepts = [], []
    for plane in planes:
        slope, intercept = (
            frame_numbers(plane.source, plane.frame, "PixelValueTransformationSequence", keyword, 1)
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
            _hint_for(values.shape, grid),
        )
    ordered = values.transpose(abs(turn).argmax(axis=1))
    ordered = ordered[tuple(slice(None, None, -1 if row.sum() < 0 else 1) for row in turn)]
    return ordered.transpose(2, 1, 0)


def _hint_for(shape: tuple[int, ...], grid: Grid) -> str:
    """What to do about a label map that does not fit."""
    if grid.shape == shape != grid.shape[::-1]:
        return (
            "its axes are reversed: NIfTI has (columns, rows, slices); SimpleITK's arrays are the other way"
        )
    return "write the label map on the grid of the image that the tool was given, with its affine"


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
