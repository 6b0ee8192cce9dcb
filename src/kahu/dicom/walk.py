"""From element to element through a little endian data set in a file, reading no more of it than needed.

What comes before the pixel data is kept as it is, but for long binary values, which stay in the file.
What comes behind them is kept, too, where it can be read: it is rarely there, and may be mere padding.
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache

from kahu.dicom.attributes import INDEX, PIXEL_DATA, tag_of, vr_of_tag
from kahu.dicom.elements import (
    BINARY,
    DELIMITERS,
    ITEM,
    LONG,
    SEQUENCE_END,
    SHORT,
    UNDEFINED,
    Odd,
    explicit,
    implicit,
    key_of_tag,
    sequence_end,
    tag_of_key,
    uint32,
)
from kahu.errors import BrokenDicom

ReadAt = Callable[[int, int], bytes]
"""`read(offset, length)` gives up to `length` bytes from `offset`; fewer only at the end of the file."""

LONG_VALUE = 1024
"""Binary values of more bytes stay in the file, and in DICOM JSON stand behind a URI."""

CHARACTER_SET = key_of_tag(0x00080005)
COPY_AGAIN = "copy or export it again from where it came from"

_MORE = 64 << 10
_MOST_HEADER = 256 << 20
_MOST_FRAGMENTS = 1 << 20
_MOST_PADDING = 1 << 20
_ALL_FRAGMENTS_SEEN = struct.pack("<II", SEQUENCE_END, 0)


@dataclass(frozen=True, slots=True)
class PixelData:
    """Where the value of the pixel data element lies in the file (PS3.5 §8, annex A.4)."""

    offset: int
    """of the value's first byte, from the start of the file; -1: not addressable there (deflated)"""
    length: int | None
    """bytes; None: encapsulated (undefined length)"""
    keyword: str
    """PixelData, FloatPixelData or DoubleFloatPixelData"""
    vr: str = "OW"
    """or OB, OF, OD"""


@dataclass(frozen=True, slots=True)
class Omitted:
    """A long binary value that is not kept in `Header.raw`; it stays in the file."""

    at: int
    """where in `Header.raw` the value would begin (its tag, VR and true length stand before)"""
    offset: int
    """where it begins in the file"""
    length: int


@dataclass(frozen=True, slots=True)
class Walked:
    """What going through a data set gave."""

    raw: bytes
    omitted: tuple[Omitted, ...]
    pixels: PixelData | None
    found: Mapping[int, tuple[bytes, bytes]]
    """key of each element of the index that is there, and of Specific Character Set -> VR, value"""

    def followed_by(self, behind: "Walked") -> "Walked":
        """With the elements that stand behind the pixel data. Nothing of the index is looked for there."""
        moved = tuple(replace(value, at=value.at + len(self.raw)) for value in behind.omitted)
        return replace(self, raw=self.raw + behind.raw, omitted=self.omitted + moved)


@cache
def roles() -> Mapping[int, bytes]:
    """Keys of elements that are looked for -> their VR by PS3.6; of those where the walk stops -> b""."""
    wanted = {key_of_tag(tag_of(keyword) or 0) for keyword in INDEX} | {CHARACTER_SET}
    stops = {key_of_tag(tag) for tag in PIXEL_DATA} | DELIMITERS | {0}
    return {key: vr_of_tag(tag_of_key(key)).encode() for key in wanted} | dict.fromkeys(stops, b"")


def walk(read: ReadAt, size: int, head: bytes, at: int, is_implicit: bool, omit: bool = True) -> Walked:
    """Goes through the data set that begins at `at`; `head` is what has been read of the file's beginning.

    `omit`: leave long binary values in the file; without, only the pixel data are left there.
    Odd: this is not plain little endian. BrokenDicom: a value goes beyond the end of the file.
    """
    if at <= len(head):
        walked = _elements(read, size, head, 0, at, is_implicit, omit)
    else:
        walked = _elements(read, size, read(at, _MORE), at, 0, is_implicit, omit)
    if walked.pixels is None:
        return walked
    end = pixels_end(read, size, walked.pixels)
    behind = _behind(read, size, end, is_implicit, omit) if end < size else None
    return walked.followed_by(behind) if behind else walked


def pixels_end(read: ReadAt, size: int, pixels: PixelData) -> int:
    """Where the pixel data end in the file. BrokenDicom: they are not all there."""
    if pixels.length is not None:
        end = pixels.offset + pixels.length
    elif read(size - 8, 8) == _ALL_FRAGMENTS_SEEN:
        return size  # spares a read for each fragment; what might lie behind is not looked for
    else:
        end = _fragments_end(read, size, pixels.offset)
    if end > size:
        raise BrokenDicom(f"its pixel data are truncated: {end - size} bytes are missing", COPY_AGAIN)
    return end


def _fragments_end(read: ReadAt, size: int, at: int) -> int:
    """Behind the delimiter of encapsulated pixel data (PS3.5 A.4)."""
    for _ in range(_MOST_FRAGMENTS):
        item = read(at, 8)
        if len(item) < 8:
            raise BrokenDicom("its compressed pixel data are truncated", COPY_AGAIN)
        key, length = implicit(item, 0)
        at += 8
        if key == SEQUENCE_END:
            return at
        if key != ITEM or length == UNDEFINED:
            raise BrokenDicom("its compressed pixel data are no sequence of fragments", COPY_AGAIN)
        at += length
    raise BrokenDicom("its compressed pixel data have more than a million fragments", COPY_AGAIN)


def _behind(read: ReadAt, size: int, at: int, is_implicit: bool, omit: bool) -> Walked | None:
    """The elements behind the pixel data; None: there are none that can be read."""
    head = read(at, _MORE)
    if len(head) < 8 or tag_of_key(implicit(head, 0)[0]) <= max(PIXEL_DATA):
        return None
    try:
        walked = _elements(read, size, head, at, 0, is_implicit, omit)
    except (Odd, BrokenDicom):
        return None
    return walked if walked.pixels is None else None


def _elements(
    read: ReadAt, size: int, buf: bytes, base: int, pos: int, is_implicit: bool, omit: bool
) -> Walked:
    """Goes through the elements from `pos` of `buf`, the file's bytes from `base` on, to the pixel data.

    One long loop on local names: it runs a hundred times for every file of an archive.
    """
    n = len(buf)
    keep = pos  # where in `buf` the bytes begin that are not in `pieces` yet
    pieces: list[bytes] = []
    omitted: list[Omitted] = []
    kept = 0  # bytes in `pieces`
    found: dict[int, tuple[bytes, bytes]] = {}
    pixels = None
    role_of = roles().get

    while True:
        try:
            if is_implicit:
                key, length = implicit(buf, pos)
                vr = b""
                value = pos + 8
            else:
                key, vr, length = explicit(buf, pos)
                if vr in SHORT:
                    value = pos + 8
                elif vr in LONG:
                    length = uint32(buf, pos + 8)[0]
                    value = pos + 12
                elif key == 0:
                    length, value = 0, pos
                else:
                    raise Odd("no VR where one should be")
        except struct.error:
            if base + n >= size:
                if buf[pos:].strip(b"\0"):
                    raise Odd("bytes behind the last element") from None
                break
            need = pos + 12
        else:
            end = value + length
            role = role_of(key)
            if role is None:
                if length <= LONG_VALUE and end <= n:
                    pos = end
                    continue
            elif role == b"":
                if key == 0 and _is_padding(read, size, base + pos):
                    break
                pixels = pixel_data(tag_of_key(key), vr, length, base + value)
                break
            elif length <= LONG_VALUE and end <= n:
                found[key] = (role if vr in (b"", b"UN") else vr, buf[value:end])
                pos = end
                continue

            if length == UNDEFINED:
                if vr not in (b"", b"SQ", b"UN"):
                    raise Odd("undefined length")
                end = sequence_end(buf, value, is_implicit)
                if end >= 0:
                    pos = end
                    continue
                need = 2 * n
            elif base + end > size:
                raise BrokenDicom(truncated(tag_of_key(key)), COPY_AGAIN)
            elif omit and length > LONG_VALUE and _is_binary(vr, key):
                pieces.append(buf[keep:value])
                kept += value - keep
                omitted.append(Omitted(kept, base + value, length))
                if end <= n:
                    pos = keep = end
                else:
                    base += end
                    buf = read(base, _MORE) if base < size else b""
                    n = len(buf)
                    pos = keep = 0
                continue
            elif end <= n:
                pos = end
                continue
            else:
                need = end

        # The element goes beyond what is in memory: drop what was left in the file, read on.
        want = min(max(need - n, n - keep, _MORE), size - base - n)
        if kept + n - keep + want > _MOST_HEADER:
            raise BrokenDicom("its header is longer than 256 MiB", COPY_AGAIN)
        more = read(base + n, want) if want > 0 else b""
        if not more:
            raise BrokenDicom("it ends within a sequence", COPY_AGAIN)
        buf = buf[keep:] + more
        base += keep
        pos -= keep
        keep = 0
        n = len(buf)

    pieces.append(buf[keep:pos])
    return Walked(b"".join(pieces), tuple(omitted), pixels, found)


def _is_binary(vr: bytes, key: int) -> bool:
    """Whether a long value of this element may stay in the file."""
    if vr in (b"", b"UN"):
        known = vr_of_tag(tag_of_key(key))
        return known in BINARY or known.endswith("OW")  # "OB or OW", "US or OW": a long one is OW
    return vr.decode() in BINARY


def _is_padding(read: ReadAt, size: int, at: int) -> bool:
    """Whether nothing but zeros is left: some systems fill up files to a full block."""
    return size - at <= _MOST_PADDING and not read(at, size - at).strip(b"\0")


def pixel_data(tag: int, vr: bytes, length: int, offset: int) -> PixelData:
    """What the header of a pixel data element says. Odd: it is another element."""
    keyword = PIXEL_DATA.get(tag)
    if keyword is None:
        raise Odd("a delimiter, or a command element, where none should be")
    if vr not in (b"OB", b"OW", b"OF", b"OD"):
        known = {"FloatPixelData": b"OF", "DoubleFloatPixelData": b"OD"}
        vr = known.get(keyword, b"OB" if length == UNDEFINED else b"OW")
    return PixelData(offset, None if length == UNDEFINED else length, keyword, vr.decode())


def truncated(tag: int) -> str:
    return f"it is truncated: the value of ({tag >> 16:04X},{tag & 0xFFFF:04X}) goes beyond its end"
