"""Where a result lies, held against the image of its case."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from kahu.dicom.grid import Grid, Plane
from kahu.runs.verdict import Complaint

__all__ = ["far_from_sources", "frames_fit", "points_fit"]

_OFF = 0.1  # voxels: less is rounding


def frames_fit(planes: list[Plane], grid: Grid) -> Iterator[Complaint]:
    """What is wrong with the place of a result's frames: outside (rejected), reaching out, or on other voxels
    (suspect).
    """
    corners = np.array([_corners(plane) for plane in planes])
    outside = _outside(corners.mean(axis=1), grid) > 0
    beyond = _outside(corners.reshape(-1, 3), grid).max()
    if outside.any():
        where = "It lies" if outside.all() else f"{outside.sum()} of its {len(outside)} frames lie"
        yield Complaint("rejected", f"{where} outside of the image.")
    elif beyond > 0:
        yield Complaint("suspect", f"It reaches {beyond:.1f} mm beyond the image.")
    if doubt := _off_grid(planes, grid):
        yield Complaint("suspect", doubt)


def points_fit(points: NDArray[np.float64], grid: Grid, what: str) -> Iterator[Complaint]:
    """The same for points `(n, 3)` in mm of something that has no frames: `what` begins the sentence."""
    outside = _outside(points, grid) > 0
    if outside.all():
        yield Complaint("rejected", f"{what} lies outside of the image.")
    elif outside.any():
        yield Complaint("suspect", f"{what} lies outside of the image by {outside.mean():.0%}.")


def far_from_sources(plane: Plane, sources: list[Plane], spacing: float) -> bool:
    """Whether a frame lies on none of the planes that it says it was made from; `spacing`: between those, in
    mm.

    A frame made from many images (a projection) need not lie on any.
    """
    if not sources or len(sources) > 3:
        return False
    center = _corners(plane).mean(axis=0)
    tolerance = max(0.1, spacing / 2)
    return all(abs((center - source.position) @ source.normal) > tolerance for source in sources)


def _corners(plane: Plane) -> NDArray[np.float64]:
    """(4, 3) mm: the centres of a frame's outermost pixels."""
    along_row = plane.directions[0] * plane.spacing[1] * (plane.shape[1] - 1)
    along_column = plane.directions[1] * plane.spacing[0] * (plane.shape[0] - 1)
    return np.array([plane.position + a * along_row + b * along_column for a in (0, 1) for b in (0, 1)])


def _outside(points: NDArray[np.float64], grid: Grid) -> NDArray[np.float64]:
    """How far (mm) each of the points lies outside of the image, whose voxels have a size; 0: inside."""
    index = (points - grid.affine[:3, 3]) @ np.linalg.inv(grid.affine[:3, :3]).T
    over = np.maximum(-0.51 - index, index - (np.array(grid.shape[::-1]) - 0.49)).clip(0)
    if not grid.regular:  # then the affine does not say where the last slice is
        along = np.array([plane.position @ grid.planes[0].normal for plane in grid.planes])
        height = points @ grid.planes[0].normal
        over[:, 2] = np.maximum(along[0] - height, height - along[-1]).clip(0) / grid.spacing[0]
        over[:, 2] = np.where(over[:, 2] < 0.51, 0, over[:, 2])
    distance: NDArray[np.float64] = np.linalg.norm(over * np.array(grid.spacing[::-1]), axis=1)
    return distance


def _off_grid(planes: list[Plane], grid: Grid) -> str:
    """In which way frames do not lie on the voxels of the image; empty: they do."""
    steps = np.array([[p.directions[0] * p.spacing[1], p.directions[1] * p.spacing[0]] for p in planes])
    turned = steps @ np.linalg.inv(grid.affine[:3, :3]).T  # in voxels of the image
    whole = np.rint(turned)
    if np.abs(turned - whole).max() * max(grid.shape) > 0.5 or (np.abs(whole).sum(axis=2) != 1).any():
        unit = steps / np.linalg.norm(steps, axis=2, keepdims=True)
        axes = grid.affine[:3, :3] / np.linalg.norm(grid.affine[:3, :3], axis=0)
        cosine = np.abs(unit @ axes).max(axis=2).min()
        angle = np.degrees(np.arccos(min(cosine, 1.0)))
        if angle > 0.5:
            return f"It is tilted by {angle:.1f}° against the image."
        sizes = " × ".join(f"{size:.3g}" for size in planes[0].spacing)
        own = " × ".join(f"{size:.3g}" for size in grid.planes[0].spacing)
        return f"Its pixels are {sizes} mm, those of the image {own} mm."
    positions = np.array([plane.position for plane in planes])
    index = (positions - grid.affine[:3, 3]) @ np.linalg.inv(grid.affine[:3, :3]).T
    off = np.abs(index - np.rint(index)) * np.array(grid.spacing[::-1])
    if not grid.regular:
        off[:, 2] = 0
    if (off / np.array(grid.spacing[::-1])).max() > _OFF:
        return f"It lies between the voxels of the image, off by {np.linalg.norm(off, axis=1).max():.2f} mm."
    return ""
