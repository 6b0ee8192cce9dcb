"""The header of an object: read once, with as few bytes as it takes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

ReadAt = Callable[[int, int], bytes]
"""`read(offset, length)` gives up to `length` bytes from `offset`; fewer only at the end of the file."""


@dataclass(frozen=True, slots=True)
class PixelData:
    """Where the value of the pixel data element lies in the file (PS3.5 §8, annex A.4)."""

    offset: int
    """of the value's first byte, from the start of the file"""
    length: int | None
    """bytes; None: encapsulated (undefined length)"""
    keyword: str
    """PixelData, FloatPixelData or DoubleFloatPixelData"""


@dataclass(frozen=True, slots=True)
class Omitted:
    """A long binary value that is not kept in `Header.raw`; it stays in the file."""

    at: int
    """where in `Header.raw` the value would begin (its tag, VR and true length stand before)"""
    offset: int
    """where it begins in the file; -1: not addressable there (deflated, big endian)"""
    length: int


@dataclass(frozen=True, slots=True)
class Header:
    """What is read of an object before its pixels."""

    sop_instance_uid: str
    sop_class_uid: str
    study_instance_uid: str
    series_instance_uid: str
    transfer_syntax_uid: str
    """of the file, as stated or found; the default (implicit VR little endian) where nothing is stated"""
    dataset_offset: int
    """where the data set begins in the file: behind preamble and group 2, if it has them"""
    raw: bytes
    """the data set in little endian, without group 2, pixel data and `omitted` values"""
    implicit: bool
    """whether `raw` is implicit VR (PS3.5 A.1) or explicit (A.2)"""
    omitted: tuple[Omitted, ...]
    pixels: PixelData | None
    attributes: Mapping[str, str]
    """index attributes (`attributes.INDEX`) that are present and not empty: keyword -> decoded text, values
    joined by a backslash as in PS3.5 §6.2, binary numbers in decimal; padding removed"""
