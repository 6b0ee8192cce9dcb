"""RLE Lossless, there and back (PS3.5 annex G): a segment for each byte of a sample, the most significant one first."""

import struct
from itertools import pairwise
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from kahu.dicom.facts import SEND_AGAIN, PixelFacts
from kahu.errors import BrokenDicom

__all__ = ["planes", "run_lengths", "run_lengths_undone"]

_HEADER, _PADDING = 64, 64  # bytes
_MOST_GAIN = 64  # two bytes become at most 128


def run_lengths(frame: bytes, facts: PixelFacts) -> bytes:
    """An uncompressed frame in little endian as RLE Lossless, with what lies in bits that are not stored."""
    size = facts.bits_allocated // 8
    shape = (facts.samples, facts.rows, facts.columns, size)
    planes = np.frombuffer(frame, np.uint8, facts.rows * facts.columns * facts.samples * size)
    if facts.samples > 1 and not facts.planar:
        planes = np.moveaxis(planes.reshape(facts.rows, facts.columns, facts.samples, size), 2, 0)
    planes = planes.reshape(shape)
    segments = []
    for sample in range(facts.samples):
        for byte in reversed(range(size)):  # the most significant one comes first
            plane = np.frombuffer(planes[sample, ..., byte].tobytes(), np.uint8)
            rows = plane.reshape(facts.rows, facts.columns)  # no run goes on from row to row
            segments.append(bytes(imagecodecs.packbits_encode(rows, axis=-1)))
    segments = [segment + b"\0" * (len(segment) % 2) for segment in segments]
    starts = np.cumsum([_HEADER, *map(len, segments[:-1])]).tolist()
    return struct.pack(f"<{1 + len(starts)}I", len(starts), *starts).ljust(_HEADER, b"\0") + b"".join(
        segments
    )


def run_lengths_undone(frame: bytes, facts: PixelFacts) -> bytes:
    """RLE Lossless as uncompressed bytes in little endian, with what lies in bits that are not stored.

    BrokenDicom: it does not decode.
    """
    samples = planes(frame, facts)
    return (samples if facts.planar else np.moveaxis(samples, 0, -1)).tobytes()


def planes(frame: bytes, facts: PixelFacts) -> NDArray[Any]:
    """RLE Lossless as `(samples, rows, columns)`, with what lies in bits that are not stored.

    Segments are taken apart here, because no decoder looks whether they are where the header says. BrokenDicom:
    they are not, or do not decode.
    """
    dtype = np.dtype("u1") if facts.bits_allocated == 1 else facts.dtype
    size = facts.rows * facts.columns
    count, *starts = struct.unpack_from("<16I", frame) if len(frame) >= _HEADER else (0,)
    bounds = [*starts[:count], len(frame)]
    if count != facts.samples * dtype.itemsize or bounds[0] < _HEADER or bounds != sorted(bounds):
        raise BrokenDicom("the segments of the compressed frame are not as its attributes say", SEND_AGAIN)
    if size > _MOST_GAIN * len(frame):
        raise BrokenDicom("the compressed frame is too short", SEND_AGAIN)
    samples = np.empty((facts.samples, size, dtype.itemsize), np.uint8)
    for index, (start, end) in enumerate(pairwise(bounds)):
        try:
            segment = imagecodecs.packbits_decode(frame[start:end], out=size + _PADDING)
        except RuntimeError as error:
            raise BrokenDicom("a segment of the compressed frame cannot be decoded", SEND_AGAIN) from error
        if len(segment) < size:
            raise BrokenDicom("the compressed frame is too short", SEND_AGAIN)
        sample, byte = divmod(index, dtype.itemsize)
        samples[sample, :, dtype.itemsize - 1 - byte] = np.frombuffer(segment, np.uint8, size)
    return samples.view(dtype).reshape(facts.samples, facts.rows, facts.columns)
