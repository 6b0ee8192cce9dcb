"""The elements of a data set in another encoding: implicit or explicit VR, little or big endian (PS3.5 annex A).

Where the encoding stays, an element is the bytes that it was. Where it changes, headers are written anew and numbers
turned round, and values are not looked at: what is invalid stays as invalid as it was. Lengths of groups, which would
be wrong and are retired, are left out; sequences and items get lengths in place of delimiters.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from kahu.dicom import elements
from kahu.dicom.attributes import one_vr, tag_of, vr_of_tag
from kahu.dicom.elements import LONG, NUMBER_SIZES, SHORT, UNDEFINED, Odd, items, tag_of_key, turned
from kahu.dicom.walk import COPY_AGAIN, Omitted, ReadAt
from kahu.errors import BrokenDicom

__all__ = ["Encoding", "Piece", "element", "rewritten"]

Piece = bytes | Omitted
"""bytes, or where in the file they are"""

_PIXEL_REPRESENTATION = tag_of("PixelRepresentation")
_ITEM = 0xFFFEE000
_DEEPEST = 64
_UNDEFINED_LENGTH = struct.pack("<I", UNDEFINED)


@dataclass(frozen=True, slots=True)
class Encoding:
    """Of a data set."""

    implicit: bool = False
    big_endian: bool = False


def element(tag: int, vr: str, value: bytes, encoding: Encoding) -> bytes:
    """An element whose value is given in little endian; its length is made even."""
    if encoding.big_endian and vr in NUMBER_SIZES:
        value = turned(value, NUMBER_SIZES[vr])
    padding = b"" if len(value) % 2 == 0 else b" " if vr in ("AE", "CS", "DS", "IS", "LO", "SH") else b"\0"
    return head(tag, vr, len(value) + len(padding), encoding) + value + padding


def head(tag: int, vr: str, length: int, encoding: Encoding) -> bytes:
    """What stands before a value (PS3.5 §7.1)."""
    order = ">" if encoding.big_endian else "<"
    if encoding.implicit:
        return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, length)
    if vr.encode() in LONG:
        return struct.pack(order + "HH2sHI", tag >> 16, tag & 0xFFFF, vr.encode(), 0, length)
    return struct.pack(order + "HH2sH", tag >> 16, tag & 0xFFFF, vr.encode(), length)


def rewritten(
    read: ReadAt, raw: bytes, implicit: bool, omitted: Sequence[Omitted], encoding: Encoding
) -> Iterator[tuple[int, list[Piece]]]:
    """The elements of a little endian data set (as `Header` has it) in `encoding`: tag, and what it consists of.

    BrokenDicom: they cannot be read.
    """
    writer = _Writer(read, raw, {value.at: value for value in omitted}, encoding)
    try:
        if implicit == encoding.implicit and not encoding.big_endian:
            yield from writer.kept(implicit)
        else:
            yield from writer.elements(0, len(raw), implicit, signed=False, depth=0)
    except Odd as error:
        raise BrokenDicom("its data set cannot be read", COPY_AGAIN) from error


class _Writer:
    def __init__(self, read: ReadAt, raw: bytes, absent: Mapping[int, Omitted], encoding: Encoding) -> None:
        self._read = read
        self._raw = raw
        self._absent = absent
        self._encoding = encoding

    def kept(self, implicit: bool) -> Iterator[tuple[int, list[Piece]]]:
        """The elements as they lie there."""
        begin = 0
        for key, _, _, stop in elements.elements(self._raw, 0, len(self._raw), implicit, self._absent):
            pieces: list[Piece] = [self._raw[begin:stop]]
            if stop in self._absent:
                pieces.append(self._absent[stop])
            yield tag_of_key(key), pieces
            begin = stop

    def elements(
        self, at: int, end: int, implicit: bool, signed: bool, depth: int
    ) -> Iterator[tuple[int, list[Piece]]]:
        """The elements of `raw[at:end]`. `signed`: Pixel Representation is 1 around them."""
        found = list(elements.elements(self._raw, at, end, implicit, self._absent))
        for key, _, start, _ in found:
            if tag_of_key(key) == _PIXEL_REPRESENTATION:
                signed = self._raw[start : start + 2] == b"\1\0"
        creators: dict[int, str] = {}
        for key, stated, start, stop in found:
            tag = tag_of_key(key)
            if tag & 0xFFFF == 0:
                continue  # a group length
            if _is_creator(tag):
                value = self._raw[start:stop].decode("latin-1").strip(" \0")
                creators[tag >> 16 << 16 | (tag & 0xFF) << 8] = value
            vr = (
                self._vr(tag, start, creators, signed)
                if self._unsaid(tag, stated, start)
                else stated.decode()
            )
            yield tag, self._element(tag, vr, start, stop, implicit, signed, depth)

    def _unsaid(self, tag: int, stated: bytes, start: int) -> bool:
        """Whether the VR must be found out. UN says that the value has no order of bytes to turn round."""
        if stated != b"UN":
            return stated == b""
        has_length = self._raw[start - 4 : start] != _UNDEFINED_LENGTH
        return not has_length or (self._encoding.big_endian and not tag >> 16 & 1)

    def _vr(self, tag: int, start: int, creators: Mapping[int, str], signed: bool) -> str:
        """Of an element that does not say: only sequences have no length, dictionaries know the rest."""
        if self._raw[start - 4 : start] == _UNDEFINED_LENGTH:
            return "SQ"
        if _is_creator(tag):
            return "LO"
        return one_vr(vr_of_tag(tag, creators.get(tag & 0xFFFFFF00, "")), signed)

    def _element(
        self, tag: int, vr: str, start: int, stop: int, implicit: bool, signed: bool, depth: int
    ) -> list[Piece]:
        encoding = self._encoding
        if start in self._absent:
            hole = self._absent[start]
            if not (encoding.big_endian and vr in NUMBER_SIZES):
                return [head(tag, vr if vr.encode() in LONG else "UN", hole.length, encoding), hole]
            value = self._read(hole.offset, hole.length)
        elif vr == "SQ":
            return [self._sequence(tag, start, stop, implicit, signed, depth)]
        else:
            value = self._raw[start:stop]
        if len(value) > 0xFFFF and vr.encode() in SHORT:
            vr = "UN"  # PS3.5 §6.2.2
        if encoding.big_endian and vr in NUMBER_SIZES:
            value = turned(value, NUMBER_SIZES[vr])
        return [head(tag, vr, len(value), encoding) + value]

    def _sequence(self, tag: int, start: int, stop: int, implicit: bool, signed: bool, depth: int) -> bytes:
        """A sequence; what should be one, and is none, stays as it is, of a VR that nobody reads."""
        if depth >= _DEEPEST:
            raise Odd("sequences in sequences without an end")
        out = bytearray()
        try:
            for at, end, is_implicit in items(self._raw, start, stop, implicit):
                inner = self.elements(at, end, is_implicit, signed, depth + 1)
                item = b"".join(piece for _, pieces in inner for piece in pieces if isinstance(piece, bytes))
                out += self._item(len(item)) + item
        except Odd:
            value = self._raw[start:stop]
            return head(tag, "UN", len(value), self._encoding) + value
        return head(tag, "SQ", len(out), self._encoding) + bytes(out)

    def _item(self, length: int) -> bytes:
        order = ">" if self._encoding.big_endian else "<"
        return struct.pack(order + "HHI", _ITEM >> 16, _ITEM & 0xFFFF, length)


def _is_creator(tag: int) -> bool:
    return bool(tag >> 16 & 1) and 0x10 <= tag & 0xFFFF <= 0xFF
