"""Frames -> encapsulated pixel data: fragments, and where in them each frame begins (PS3.5 A.4)."""

import struct
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import IO

import numpy as np

from kahu.dicom.rewrite import Encoding, element, head

__all__ = ["Encapsulated", "fragmented"]

_OFFSETS, _LENGTHS, _PIXEL_DATA = 0x7FE00001, 0x7FE00002, 0x7FE00010
_ITEM = struct.Struct("<HHI")
_END = _ITEM.pack(0xFFFE, 0xE0DD, 0)
_MOST_OFFSET = 0xFFFFFFFF
_UNDEFINED = 0xFFFFFFFF
_IN_MEMORY = 32 << 20
_CHUNK = 1 << 20
_EXPLICIT = Encoding()


@dataclass(frozen=True)
class Encapsulated:
    """Encapsulated pixel data, written and waiting: in memory, or in a file without a name if they are long."""

    before: bytes
    """the elements up to the first fragment: pixel data with its basic offset table, or extended ones before it"""
    coded: int
    """bytes that the frames themselves take"""
    length: int
    """of all that is given"""
    _fragments: IO[bytes] = field(repr=False)

    def __iter__(self) -> Iterator[bytes]:
        """All of it, once."""
        yield self.before
        with self._fragments as fragments:
            fragments.seek(0)
            while chunk := fragments.read(_CHUNK):
                yield chunk
        yield _END


def fragmented(frames: Iterable[bytes]) -> Encapsulated:
    """The pixel data element in explicit VR little endian, one fragment for each of `frames`.

    Offsets stand in the basic table; where they do not fit into its 32 bits, in the extended one, whose elements
    come before (PS3.3 C.7.6.3.1.8).
    """
    fragments = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115
    starts: list[int] = []
    lengths: list[int] = []
    at = 0
    try:
        for frame in frames:
            even = len(frame) + len(frame) % 2
            fragments.write(_ITEM.pack(0xFFFE, 0xE000, even))
            fragments.write(frame.ljust(even, b"\0"))
            starts.append(at)
            lengths.append(len(frame))
            at += _ITEM.size + even
    except BaseException:
        fragments.close()
        raise
    before = head(_PIXEL_DATA, "OB", _UNDEFINED, _EXPLICIT)
    if starts[-1] <= _MOST_OFFSET:
        before += _ITEM.pack(0xFFFE, 0xE000, 4 * len(starts)) + np.array(starts, "<u4").tobytes()
    else:
        tables = [(_OFFSETS, starts), (_LENGTHS, lengths)]
        extended = [
            element(tag, "OV", np.array(values, "<u8").tobytes(), _EXPLICIT) for tag, values in tables
        ]
        before = b"".join(extended) + before + _ITEM.pack(0xFFFE, 0xE000, 0)
    return Encapsulated(before, sum(lengths), len(before) + at + len(_END), fragments)
