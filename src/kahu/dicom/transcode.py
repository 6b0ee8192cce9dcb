"""Objects from one transfer syntax to another (PS3.5 §10 and annex A); `recode` does their frames.

A data set stays what it is, byte for byte where its encoding allows; only what a transfer syntax is about changes:
pixel data, and the few attributes that tell how they are written. Of an object with many frames one is in memory at a
time.
"""

import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

import numpy as np

from kahu.dicom import elements, file_meta, frames
from kahu.dicom.attributes import tag_of, vr_of_tag
from kahu.dicom.elements import NUMBER_SIZES, SEQUENCE_END, UNDEFINED, Odd, tag_of_key, turned
from kahu.dicom.encapsulate import fragmented
from kahu.dicom.facts import SEND_AGAIN, PixelFacts
from kahu.dicom.header import Header, PixelData, ReadAt, inflated, read_header
from kahu.dicom.recode import can_give, frame_in, leads, not_acceptable, way_between
from kahu.dicom.rewrite import Encoding, Piece, element, head, rewritten
from kahu.dicom.syntaxes import (
    DEFLATED_LE,
    EXPLICIT_BE,
    IMPLICIT_LE,
    JPEG_IN_XL,
    KNOWN,
    RLE,
    encapsulated,
)
from kahu.dicom.walk import Omitted, pixels_end
from kahu.errors import BrokenDicom, NotAcceptable

__all__ = ["Transcoded", "can_give", "frame_in", "transcode", "transcoded"]

_PIXEL_GROUP = 0x0028
_PHOTOMETRIC, _PLANAR, _HIGH_BIT = 0x00280004, 0x00280006, 0x00280102
_LOSSY, _RATIO, _METHOD = 0x00282110, 0x00282112, 0x00282114
_OFFSET_TABLES = 0x7FE00001, 0x7FE00002
_OVERLAYS = 0x6000
_OVERLAY = _OVERLAY_BITS_ALLOCATED, _OVERLAY_DATA = 0x0100, 0x3000

_MOST_NATIVE = 0xFFFFFFFE  # bytes: the longest value that has a length
_ALL_FRAGMENTS_SEEN = struct.pack("<II", SEQUENCE_END, 0)
_CHUNK = 1 << 20  # a multiple of every number's size


@dataclass(frozen=True)
class Transcoded:
    """An object in another transfer syntax, as a file (PS3.10). It is read once."""

    transfer_syntax: str
    meta: bytes
    """preamble and group 2"""
    dataset: Iterator[bytes]
    """what follows: the data set, as a message of DIMSE carries it"""
    length: int | None
    """bytes of the file; None: not known before it is made (deflated)"""

    def __iter__(self) -> Iterator[bytes]:
        yield self.meta
        yield from self.dataset


def transcoded(read: ReadAt, size: int, target: str) -> bytes:
    """The file of `size` bytes that `read` reads, in the transfer syntax `target`: see `transcode`."""
    return b"".join(transcode(read, size, target))


def transcode(read: ReadAt, size: int, target: str) -> Transcoded:
    """The file of `size` bytes that `read` reads, in the transfer syntax `target`.

    The same object, but for its pixel data, what describes how they are written, and what group 2 says. In its own
    transfer syntax it is the file as it is. NotAcceptable: it cannot be had in `target`; the hint names those that
    can. BrokenDicom: it cannot be read, or its pixel data do not decode. Of many frames that are decoded, only the
    first is before this returns; later ones raise while the answer is being read.
    """
    header = read_header(read, size)
    if header.transfer_syntax_uid == target:
        meta = _exactly(read, 0, header.dataset_offset)
        rest = _copy(read, header.dataset_offset, size - header.dataset_offset)
        return Transcoded(target, meta, rest, size)
    source = _Source.of(read, size, header)
    if not source.can_give(target):
        raise not_acceptable(target, filter(source.can_give, KNOWN))
    meta = file_meta.restated(
        read(0, header.dataset_offset), header.sop_class_uid, header.sop_instance_uid, target
    )
    pieces = list(_pieces(source, target))
    dataset = _flat(source.read, pieces)
    if target == DEFLATED_LE:
        return Transcoded(target, meta, _deflated(dataset), None)
    return Transcoded(target, meta, dataset, len(meta) + sum(map(_length, pieces)))


@dataclass(frozen=True)
class _Source:
    """An object that is to be transcoded, as it can be read: a deflated one is inflated."""

    read: ReadAt
    size: int
    header: Header
    raw: bytes
    """its data set but for pixel data and long values, as `Header` has it"""
    pixels: PixelData | None
    values: Mapping[int, tuple[bytes, bytes]]
    """VR and value of the attributes that describe pixel data, by tag"""
    facts: PixelFacts | None
    """None: it has no pixel data, or they make no image"""

    @classmethod
    def of(cls, read: ReadAt, size: int, header: Header) -> "_Source":
        pixels = header.pixels
        if header.transfer_syntax_uid == DEFLATED_LE:
            data, pixels = inflated(read, size, header.dataset_offset)
            read, size = partial(_slice, data), len(data)
        if pixels and (pixels.length is None) != encapsulated(header.transfer_syntax_uid):
            raise BrokenDicom("its pixel data are not encoded as its transfer syntax says", SEND_AGAIN)
        raw = header.raw
        values = _described(raw, header)
        facts = None
        if pixels:
            try:
                facts = PixelFacts.of_values(partial(_value, values), pixels.keyword, pixels.vr == "OW")
            except BrokenDicom:
                if encapsulated(header.transfer_syntax_uid):
                    raise
        return cls(read, size, header, raw, pixels, values, facts)

    @property
    def syntax(self) -> str:
        return self.header.transfer_syntax_uid

    def can_give(self, target: str) -> bool:
        """Whether it can be given in `target`."""
        if target == self.syntax:
            return True
        if encapsulated(target) and target != RLE and self._has_overlays_in_pixels():
            return False
        return leads(self.facts, self.syntax, target)

    def _has_overlays_in_pixels(self) -> bool:
        """Whether there are overlays in bits of pixels that are not stored (retired, PS3.5 §8.1.2): most codecs
        would lose them."""
        if encapsulated(self.syntax) and self.syntax != RLE:
            return False
        return any(
            tag & 0xFFFF == _OVERLAY_BITS_ALLOCATED
            and tag >> 16 != _PIXEL_GROUP
            and _number(value) != 1
            and (tag & 0xFFFF0000 | _OVERLAY_DATA) not in self.values
            for tag, (_, value) in self.values.items()
        )


def _described(raw: bytes, header: Header) -> dict[int, tuple[bytes, bytes]]:
    """Group 0028, and of overlays what tells where they are. BrokenDicom: the data set cannot be read."""
    absent = {value.at for value in header.omitted}
    values = {}
    try:
        for key, vr, start, stop in elements.elements(raw, 0, len(raw), header.implicit, absent):
            group, number = key & 0xFFFF, key >> 16
            if group == _PIXEL_GROUP or (group & 0xFF01 == _OVERLAYS and number in _OVERLAY):
                values[tag_of_key(key)] = (vr, raw[start:stop])
    except Odd as error:
        raise BrokenDicom("its data set cannot be read", SEND_AGAIN) from error
    return values


def _value(values: Mapping[int, tuple[bytes, bytes]], keyword: str) -> Any:
    """As pydicom gives a value: a number, a text, or None."""
    tag = tag_of(keyword) or 0
    vr, value = values.get(tag, (b"", b""))
    if not value:
        return None
    if vr in (b"", b"UN"):
        vr = vr_of_tag(tag).encode()
    return _number(value) if vr in (b"US", b"SS", b"UL") else value.decode("latin-1").strip(" \0")


def _number(value: bytes) -> int:
    return int.from_bytes(value[:2], "little")


# What an object is made of


@dataclass(frozen=True)
class _Chunks:
    """Bytes that are made when they are needed."""

    length: int
    made: Iterable[bytes]


_Pieces = list[Piece | _Chunks]
_Changes = dict[int, _Pieces]
"""what comes in the place of an element, by tag; nothing: it is left out"""


def _pieces(source: _Source, target: str) -> Iterator[Piece | _Chunks]:
    """The data set in `target`, from its beginning to its end."""
    encoding = Encoding(target == IMPLICIT_LE, target == EXPLICIT_BE)
    changes: _Changes = {}
    behind = source.size
    if source.pixels:
        changes, behind = _pixels(source, source.pixels, target, encoding)
    header = source.header
    kept = list(rewritten(source.read, source.raw, header.implicit, header.omitted, encoding))
    if source.pixels and behind < source.size and (not kept or kept[-1][0] <= max(changes)):
        kept += _rest(source, behind, encoding)
    regrouped = {tag >> 16 for tag in changes}
    waiting = sorted(changes, reverse=True)
    for tag, pieces in kept:
        while waiting and waiting[-1] <= tag:
            yield from changes[waiting.pop()]
        if tag not in changes and not (tag & 0xFFFF == 0 and tag >> 16 in regrouped):
            yield from pieces
    while waiting:
        yield from changes[waiting.pop()]


def _rest(source: _Source, at: int, encoding: Encoding) -> list[tuple[int, list[Piece]]]:
    """Elements behind the pixel data that the header does not have; none, where something else lies there."""
    rest = _exactly(source.read, at, source.size - at)
    try:
        return list(rewritten(source.read, rest, source.header.implicit, (), encoding))
    except BrokenDicom:
        return []


def _pixels(source: _Source, pixels: PixelData, target: str, encoding: Encoding) -> tuple[_Changes, int]:
    """What changes with the pixel data, these included, and where they end in the source."""
    tag = tag_of(pixels.keyword) or 0
    if pixels.length is not None and not encapsulated(target):
        end = pixels.offset + pixels.length
        return {tag: _uncompressed(source, pixels, tag, encoding)}, end
    assert source.facts is not None  # or `can_give` would have said no
    way = way_between(source.facts, source.syntax, target)
    assert way is not None
    if way.frame is None:
        end = pixels_end(source.read, source.size, pixels)
        whole = Omitted(0, pixels.offset, end - pixels.offset)
        return {tag: [head(tag, pixels.vr, UNDEFINED, encoding), whole]}, end
    changes = _restated(source.facts, way.facts, encoding)
    changes |= {table: [] for table in _OFFSET_TABLES}
    taken, end, coded = _taken(source, pixels, source.facts)
    made = map(way.frame, taken)
    if encapsulated(target):
        fragments = fragmented(made)
        coded = fragments.coded
        changes[tag] = [_Chunks(fragments.length, fragments)]
    else:
        changes[tag] = _decoded(made, way.facts, tag, encoding)
    return changes | _losses(source, target, coded, encoding), end


def _taken(source: _Source, pixels: PixelData, facts: PixelFacts) -> tuple[Iterator[bytes], int, int]:
    """The frame bytes of each frame, where the pixel data end, and how many bytes all frames have."""
    numbers = range(1, facts.frames + 1)
    if pixels.length is not None:
        words = source.syntax == EXPLICIT_BE
        natives = (frames.native_frame(source.read, facts, pixels, n, words=words) for n in numbers)
        return natives, pixels.offset + pixels.length, pixels.length
    ranges = frames.encapsulated_ranges(source.read, pixels, facts.frames, source.syntax)
    joined = (b"".join(_exactly(source.read, *piece) for piece in frame) for frame in ranges)
    end = max(offset + length for frame in ranges for offset, length in frame)
    if source.read(end, 8) == _ALL_FRAGMENTS_SEEN:
        end += 8
    return joined, end, sum(length for frame in ranges for _, length in frame)


def _uncompressed(source: _Source, pixels: PixelData, tag: int, encoding: Encoding) -> _Pieces:
    """Native pixel data as they are, but for the order of bytes."""
    length = pixels.length or 0
    value = _copy(source.read, pixels.offset, length)
    if encoding.big_endian != (source.syntax == EXPLICIT_BE):
        value = map(partial(turned, width=_unit(source.facts, pixels)), value)
    padding = b"\0" * (length % 2)
    return [head(tag, pixels.vr, length + len(padding), encoding), _Chunks(length, value), padding]


def _unit(facts: PixelFacts | None, pixels: PixelData) -> int:
    """How many bytes are turned round together (PS3.5 §7.3, A.3): a sample, or a word of small ones."""
    if facts is not None and facts.bits_allocated > 8:
        return facts.bits_allocated // 8
    return NUMBER_SIZES.get(pixels.vr, 1)


def _decoded(made: Iterator[bytes], facts: PixelFacts, tag: int, encoding: Encoding) -> _Pieces:
    """Frames that were decoded, as native pixel data; the first one is decoded here already."""
    if facts.bits_allocated == 1:
        made = iter([_joined(made, facts)])
    length = -(-facts.frame_bits * facts.frames // 8)
    if length > _MOST_NATIVE:
        raise NotAcceptable(
            "uncompressed, its pixel data would be longer than 4 GiB", "ask for it compressed"
        )
    made = chain([next(made)], made)
    if encoding.big_endian and facts.bits_allocated > 8:
        made = map(partial(turned, width=facts.bits_allocated // 8), made)
    vr = "OW" if facts.bits_allocated > 8 else "OB"
    padding = b"\0" * (length % 2)
    return [head(tag, vr, length + len(padding), encoding), _Chunks(length, made), padding]


def _joined(made: Iterable[bytes], facts: PixelFacts) -> bytes:
    """Frames of single bits, which follow each other within bytes (PS3.5 §8.1.1)."""
    bits = [
        np.unpackbits(np.frombuffer(one, np.uint8), count=facts.frame_bits, bitorder="little") for one in made
    ]
    return np.packbits(np.concatenate(bits), bitorder="little").tobytes()


def _restated(before: PixelFacts, after: PixelFacts, encoding: Encoding) -> _Changes:
    """The attributes of the Image Pixel module that are others now (PS3.3 C.7.6.3)."""
    changes: _Changes = {}
    if before.photometric != after.photometric:
        changes[_PHOTOMETRIC] = [element(_PHOTOMETRIC, "CS", after.photometric.encode(), encoding)]
    for tag, was, now in (
        (_PLANAR, before.planar, after.planar),
        (_HIGH_BIT, before.high_bit, after.high_bit),
    ):
        if was != now and (tag != _PLANAR or after.samples > 1):
            changes[tag] = [element(tag, "US", int(now).to_bytes(2, "little"), encoding)]
    return changes


def _losses(source: _Source, target: str, coded: int, encoding: Encoding) -> _Changes:
    """What tells that an image is not what it was (PS3.3 C.7.6.1.1.5): added to, when something is lost now; and
    stated, where a syntax that always loses something was left without a word about it."""
    facts = source.facts
    method = KNOWN[target].method or KNOWN[source.syntax].method
    lost_now = KNOWN[target].lossy and source.syntax != JPEG_IN_XL
    flag = source.values.get(_LOSSY, (b"", b""))[1].strip(b" \0")
    if facts is None or not method or (flag == b"01" and not lost_now):
        return {}
    ratio = f"{facts.frame_bits * facts.frames / 8 / max(1, coded):.2f}".encode()
    stated = ((_LOSSY, "CS", b"01"), (_RATIO, "DS", ratio), (_METHOD, "CS", method.encode()))
    changes: _Changes = {}
    for tag, vr, value in stated:
        former = source.values.get(tag, (b"", b""))[1].strip(b" \0")
        if tag != _LOSSY and former:
            value = former + b"\\" + value
        changes[tag] = [element(tag, vr, value, encoding)]
    return changes


# Bytes


def _length(piece: Piece | _Chunks) -> int:
    return len(piece) if isinstance(piece, bytes) else piece.length


def _flat(read: ReadAt, pieces: Iterable[Piece | _Chunks]) -> Iterator[bytes]:
    for piece in pieces:
        if isinstance(piece, bytes):
            yield piece
        elif isinstance(piece, Omitted):
            yield from _copy(read, piece.offset, piece.length)
        else:
            yield from piece.made


def _copy(read: ReadAt, offset: int, length: int) -> Iterator[bytes]:
    for at in range(offset, offset + length, _CHUNK):
        yield _exactly(read, at, min(_CHUNK, offset + length - at))


def _exactly(read: ReadAt, offset: int, length: int) -> bytes:
    data = read(offset, length)
    if len(data) != length:
        raise BrokenDicom("the file ends before the object does", SEND_AGAIN)
    return data


def _slice(data: bytes, offset: int, length: int) -> bytes:
    return data[offset : offset + length]


def _deflated(dataset: Iterable[bytes]) -> Iterator[bytes]:
    """PS3.5 A.5, of an even length."""
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    length = 0
    for data in dataset:
        made = deflater.compress(data)
        length += len(made)
        yield made
    made = deflater.flush()
    yield made + b"\0" * ((length + len(made)) % 2)
