"""Marks the air in the lungs: the two largest bodies of air that do not reach the sides of a CT.

    python lung.py IMAGE.nii.gz MASK.nii.gz THRESHOLD

Python's standard library is all it needs. Steps that must visit each voxel are left to `map`, `re` and
`zlib`, which are quick; the rest works on *runs*: stretches of air along a line of the image.
"""

import gzip
import re
import struct
import sys
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

TYPES = {
    2: "B",
    4: "h",
    8: "i",
    16: "f",
    64: "d",
    256: "b",
    512: "H",
    768: "I",
    1024: "q",
}  # of NIfTI-1: of `array`
SECOND = (
    0.1  # the second body of air is a lung if it has this part of the first one's voxels, else it is bowel
)


@dataclass(frozen=True)
class Volume:
    """A NIfTI-1 file, little endian; a voxel is `slope` × stored value + `intercept` Hounsfield units."""

    header: bytes
    width: int
    height: int
    depth: int
    stored: array  # type: ignore[type-arg]
    slope: float
    intercept: float


class Run(NamedTuple):
    """Air on a line (numbered through all slices), from start to before stop."""

    line: int
    start: int
    stop: int


def read(path: Path) -> Volume:
    data = gzip.decompress(path.read_bytes())
    (size,) = struct.unpack_from("<i", data)
    dimensions, width, height, depth = struct.unpack_from("<4h", data, 40)
    (kind,) = struct.unpack_from("<h", data, 70)
    begin, slope, intercept = struct.unpack_from("<3f", data, 108)
    if size != 348 or dimensions != 3 or kind not in TYPES:
        sys.exit(f"{path.name} is not one volume in NIfTI-1, little endian")
    stored = array(TYPES[kind])
    end = int(begin) + width * height * depth * stored.itemsize
    stored.frombytes(memoryview(data)[int(begin) : end])
    if slope == 0 or slope != slope:  # 0 and NaN: values are as stored
        slope, intercept = 1.0, 0.0
    return Volume(data[:348], width, height, depth, stored, slope, intercept)


def write(path: Path, like: Volume, mask: bytes) -> None:
    header = bytearray(like.header)
    struct.pack_into("<2h", header, 70, 2, 8)  # datatype, bits: unsigned bytes
    struct.pack_into("<3f", header, 108, 352, 1, 0)  # where voxels begin, slope, intercept
    path.write_bytes(gzip.compress(bytes(header) + bytes(4) + mask, compresslevel=1))


def runs_of(air: bytes, width: int) -> list[Run]:
    """All runs, in order of line and place."""
    runs = []
    for line, begin in enumerate(range(0, len(air), width)):
        found = re.finditer(b"\1+", air[begin : begin + width])
        runs += [Run(line, one.start(), one.end()) for one in found]
    return runs


def bodies(runs: list[Run], height: int) -> list[int]:
    """The body of air, by a number, that each run belongs to: runs that touch are of one body."""
    root = list(range(len(runs)))

    def body(run: int) -> int:
        while root[run] != run:
            root[run] = run = root[root[run]]
        return run

    for step in (1, height):  # the next line of the slice, the same line of the next slice
        for one, other in touching(runs, step, height):
            low, high = sorted((body(one), body(other)))
            root[high] = low
    return [body(run) for run in range(len(runs))]


def touching(runs: list[Run], step: int, height: int) -> Iterator[tuple[int, int]]:
    """Pairs of runs that lie side by side, the second `step` lines after the first. Runs are in order."""
    other = 0
    for one, run in enumerate(runs):
        line = run.line + step
        if step == 1 and line % height == 0:  # the first line of the next slice is no neighbour
            continue
        while other < len(runs) and (runs[other].line, runs[other].stop) <= (line, run.start):
            other += 1
        near = other
        while near < len(runs) and runs[near].line == line and runs[near].start < run.stop:
            yield one, near
            near += 1


def lungs(volume: Volume, threshold: float) -> bytes:
    """A byte for each voxel: 1 lung, 0 other."""
    limit = (threshold - volume.intercept) / volume.slope
    darker = limit.__gt__ if volume.slope > 0 else limit.__lt__
    runs = runs_of(bytes(map(darker, volume.stored)), volume.width)
    say(0.5, f"joining {len(runs)} stretches of air")
    body = bodies(runs, volume.height)
    sides = {0, volume.height - 1}
    outside, size = set(), Counter[int]()
    for run, of in zip(runs, body, strict=True):
        size[of] += run.stop - run.start
        if run.start == 0 or run.stop == volume.width or run.line % volume.height in sides:
            outside.add(of)
    inside = [(of, voxels) for of, voxels in size.most_common() if of not in outside][:2]
    if not inside:
        sys.exit("There is no air inside the body. Is it a CT of the chest?")
    chosen = {of for of, voxels in inside if voxels >= SECOND * inside[0][1]}
    mask = bytearray(len(volume.stored))
    for run, of in zip(runs, body, strict=True):
        if of in chosen:
            begin = run.line * volume.width
            mask[begin + run.start : begin + run.stop] = b"\1" * (run.stop - run.start)
    return bytes(mask)


def say(part: float, doing: str) -> None:
    print(f"progress {part} {doing}", flush=True)


def main(source: str, target: str, threshold: str) -> None:
    volume = read(Path(source))
    say(0.2, f"looking for air in {volume.depth} slices")
    mask = lungs(volume, float(threshold))
    write(Path(target), volume, mask)
    say(1, f"{mask.count(1)} voxels of lung")


if __name__ == "__main__":
    main(*sys.argv[1:])
