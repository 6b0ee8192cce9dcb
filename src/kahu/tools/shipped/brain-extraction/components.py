"""Connected components of a mask of voxels, in numpy alone.

A *run* is a stretch of set voxels along the last axis. A volume has far fewer runs than voxels, so components
are found among runs: those of neighbouring lines that touch are joined.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Runs:
    """The runs of a mask, in order of line and place."""

    shape: tuple[int, int, int]
    line: Numbers
    """number of the line, axis 0 × length of axis 1 + axis 1"""
    start: Numbers
    stop: Numbers

    def paint(self, chosen: Mask) -> Mask:
        """The mask of some runs."""
        edges = np.zeros((self.shape[0] * self.shape[1], self.shape[2] + 1), np.int8)
        edges[self.line[chosen], self.start[chosen]] = 1
        edges[self.line[chosen], self.stop[chosen]] = -1
        return np.cumsum(edges[:, :-1], axis=1, dtype=np.int8).astype(bool).reshape(self.shape)


def largest(mask: Mask) -> Mask:
    """The largest component, voxels joined by faces, edges or corners. An empty mask stays empty."""
    runs = _runs(mask)
    component = _components(runs, corners=True)
    sizes = np.bincount(component, runs.stop - runs.start, minlength=1)
    return runs.paint(component == sizes.argmax())


def fill_holes(mask: Mask) -> Mask:
    """The mask with every hole that no face of the volume reaches filled (voxels joined by faces)."""
    runs = _runs(~mask)
    component = _components(runs, corners=False)
    first, second = np.divmod(runs.line, mask.shape[1])
    outside = (runs.start == 0) | (runs.stop == mask.shape[2])
    outside |= (first == 0) | (first == mask.shape[0] - 1) | (second == 0) | (second == mask.shape[1] - 1)
    reached = np.bincount(component, outside) > 0
    return mask | runs.paint(~reached[component])


def _runs(mask: Mask) -> Runs:
    planes, lines, length = mask.shape
    padded = np.zeros((planes * lines, length + 2), np.int8)
    padded[:, 1:-1] = mask.reshape(-1, length)
    change = np.diff(padded, axis=1)
    line, start = np.nonzero(change == 1)
    return Runs((planes, lines, length), line, start, stop=np.nonzero(change == -1)[1])


def _components(runs: Runs, *, corners: bool) -> Numbers:
    """The number of each run's component: 0, 1, ..."""
    steps = [(0, 1), (1, 0), (1, 1), (1, -1)] if corners else [(0, 1), (1, 0)]
    pairs = [_touching(runs, step, reach=int(corners)) for step in steps]
    return _joined(len(runs.line), np.concatenate(pairs, axis=1))


def _touching(runs: Runs, step: tuple[int, int], reach: int) -> Numbers:
    """Pairs (2, n) of runs that come within `reach`, the second on the line that lies `step` further."""
    planes, lines, length = runs.shape
    line, start, stop = runs.line, runs.start, runs.stop
    plane, row = np.divmod(line, lines)
    there = (plane + step[0] < planes) & (row + step[1] >= 0) & (row + step[1] < lines)
    run = np.nonzero(there)[0]
    other = line[run] + step[0] * lines + step[1]
    # Runs are in order of line and place: those that touch one run lie together, from `low` to before `high`.
    width = length + 2
    low = np.searchsorted(line * width + stop, other * width + start[run] - reach, side="right")
    high = np.searchsorted(line * width + start, other * width + stop[run] + reach, side="left")
    count = np.maximum(high - low, 0)
    first = np.repeat(run, count)
    offset = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    return np.stack([first, np.repeat(low, count) + offset])


def _joined(count: int, pairs: Numbers) -> Numbers:
    """Numbers of components (0, 1, ...) of nodes joined by pairs."""
    root = np.arange(count)
    while True:
        low = np.minimum(root[pairs[0]], root[pairs[1]])
        high = np.maximum(root[pairs[0]], root[pairs[1]])
        apart = low != high
        if not apart.any():
            break
        np.minimum.at(root, high[apart], low[apart])
        while (shorter := root[root]).tobytes() != root.tobytes():
            root = shorter
        pairs = pairs[:, apart]
    return np.unique(root, return_inverse=True)[1]
