"""Which bytes are frame n (PS3.5 §8 and A.4), and from there on to an array or to uncompressed bytes.

Frames are numbered from 1, as in PS3.3 and PS3.18. A *range* is `(offset, length)` in a file; a compressed
frame may lie in several. *Frame bytes* are what those ranges give when joined: the frame as it is stored,
without item headers.
"""

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from kahu.dicom.facts import PixelFacts
from kahu.dicom.header import PixelData, ReadAt
from kahu.dicom.pixels import decode, native
from kahu.dicom.syntaxes import EXPLICIT_BE, IMPLICIT_LE, encapsulated, is_video
from kahu.errors import BrokenDicom, NotAcceptable, NotFound

__all__ = [
    "Frames",
    "PixelFacts",
    "Ranges",
    "decode",
    "encapsulated",
    "encapsulated_ranges",
    "is_video",
    "native",
    "native_frame",
    "pack",
    "packed_range",
    "read_frame",
]

Range = tuple[int, int]
Ranges = tuple[Range, ...]
"""Where one frame lies: (offset, length) of each piece, in order."""


_PIECE = np.dtype([("offset", "<u8"), ("length", "<u4")])  # as `pack` writes it


class Frames:
    """The frames of a pydicom `Dataset` that holds its pixel data. BrokenDicom: it has no image, or no pixel
    data.
    """

    def __init__(self, dataset: Dataset) -> None:
        self.facts = PixelFacts.of(dataset)
        if self.facts.keyword not in dataset:
            raise BrokenDicom("this instance has no pixel data", "read the whole file")
        self.transfer_syntax = _syntax_of(dataset)
        self._value = memoryview(dataset[self.facts.keyword].value or b"")
        compressed = encapsulated(self.transfer_syntax)
        self._pixels = PixelData(0, None if compressed else len(self._value), self.facts.keyword)
        self._packed = pack(self._ranges()) if compressed else None

    def __len__(self) -> int:
        return self.facts.frames

    def stored(self, number: int) -> bytes:
        """The frame bytes of frame `number`. NotFound: there is no such frame."""
        return read_frame(self._read, self.facts, self._pixels, self.transfer_syntax, number, self._packed)

    def decode(self, number: int = 1) -> NDArray[Any]:
        """Frame `number` as an array: see `decode`."""
        return decode(self.stored(number), self.facts, self.transfer_syntax)

    def _ranges(self) -> list[Ranges]:
        return encapsulated_ranges(self._read, self._pixels, self.facts.frames, self.transfer_syntax)

    def _read(self, offset: int, length: int) -> bytes:
        return bytes(self._value[offset : offset + length])


def _syntax_of(dataset: Dataset) -> str:
    """Of a dataset in memory; the default where nothing is stated (PS3.5 §10)."""
    meta = getattr(dataset, "file_meta", None) or Dataset()
    return str(meta.get("TransferSyntaxUID") or IMPLICIT_LE)


def read_frame(
    read: ReadAt,
    facts: PixelFacts,
    pixels: PixelData,
    transfer_syntax: str,
    number: int,
    packed: bytes | None = None,
) -> bytes:
    """The frame bytes of frame `number`. `packed` (see `pack`) saves looking for the fragments.

    NotFound: there is no such frame. BrokenDicom: the file has fewer bytes than it says.
    """
    _check_number(number, facts.frames)
    if not encapsulated(transfer_syntax):
        return native_frame(read, facts, pixels, number, words=transfer_syntax == EXPLICIT_BE)
    if packed is not None:
        ranges = packed_range(packed, number)
    else:
        ranges = encapsulated_ranges(read, pixels, facts.frames, transfer_syntax)[number - 1]
    return b"".join(_exactly(read, offset, length) for offset, length in ranges)


def native_frame(
    read: ReadAt, facts: PixelFacts, pixels: PixelData, number: int, *, words: bool = False
) -> bytes:
    """The frame bytes of an uncompressed frame. Frames of packed bits that begin within a byte are moved to
    its start.

    `words`: an odd number of bytes is rounded up, because big endian may have swapped the last one with the
    padding. NotFound: there is no such frame. BrokenDicom: the pixel data is too short for it.
    """
    _check_number(number, facts.frames)
    first, past = (number - 1) * facts.frame_bits, number * facts.frame_bits
    begin, end = first // 8, -(-past // 8)
    if words and facts.words and facts.bits_allocated == 8:
        end += (end - begin) % 2
    if pixels.length is not None and end > pixels.length:
        raise BrokenDicom(f"the pixel data ends before frame {number} does", "send the instance again")
    data = _exactly(read, pixels.offset + begin, end - begin)
    if first % 8 == 0 and past % 8 == 0:
        return data
    bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")[first - 8 * begin :]
    return np.packbits(bits[: facts.frame_bits], bitorder="little").tobytes()


def encapsulated_ranges(
    read: ReadAt,
    pixels: PixelData,
    frames: int,
    transfer_syntax: str,
    extended: tuple[bytes, bytes] | None = None,
) -> list[Ranges]:
    """Where each frame of encapsulated pixel data lies (PS3.5 A.4).

    `extended` is the extended offset table with its lengths ((7FE0,0001) and (7FE0,0002)), if there is one:
    then nothing but the first item's header is read. Otherwise all fragments are visited, and the basic
    offset table says which belong together; where it is empty or wrong, each fragment is a frame, or else a
    frame begins where a codestream begins. NotAcceptable: video. BrokenDicom: fragments and frames cannot be
    matched.
    """
    if is_video(transfer_syntax):
        raise NotAcceptable("frames of a video cannot be had one by one", "ask for the whole instance")
    near = _near(read)
    table = _item(near, pixels.offset)
    if table is None:
        raise BrokenDicom("encapsulated pixel data does not begin with an item", "send the instance again")
    first = pixels.offset + 8 + table
    if extended is not None and len(extended[0]) == len(extended[1]) == 8 * frames:
        starts, lengths = (np.frombuffer(value, "<u8").tolist() for value in extended)
        return [((first + 8 + start, length),) for start, length in zip(starts, lengths, strict=True)]

    fragments = _fragments(near, first, pixels)
    if len(fragments) == frames:
        return [(fragment,) for fragment in fragments]
    if frames == 1 and fragments:
        return [tuple(fragments)]
    offsets = struct.unpack(f"<{table // 4}I", _exactly(read, pixels.offset + 8, table // 4 * 4))
    if (groups := _grouped(fragments, {first + 8 + offset for offset in offsets}, frames)) is not None:
        return groups
    markers = (b"\xff\xd8", b"\xff\x4f", b"\xff\x0a")  # JPEG, JPEG-LS; JPEG 2000; JPEG XL
    begins = {offset for offset, _ in fragments if near(offset, 2) in markers}
    if (groups := _grouped(fragments, begins, frames)) is not None:
        return groups
    raise BrokenDicom(
        f"{len(fragments)} fragments of pixel data cannot be matched with {frames} frames",
        "ask for the whole instance",
    )


def _grouped(fragments: Sequence[Range], begins: set[int], frames: int) -> list[Ranges] | None:
    """Fragments as frames, each from one of `begins` to the next; None where that does not come out even."""
    groups: list[list[Range]] = []
    for fragment in fragments:
        if fragment[0] in begins:
            groups.append([])
        elif not groups:
            return None
        groups[-1].append(fragment)
    return [tuple(group) for group in groups] if len(groups) == len(begins) == frames else None


def _fragments(near: ReadAt, offset: int, pixels: PixelData) -> list[Range]:
    """All fragments from `offset` to the sequence delimiter, or to the end of the file, where some writers
    stop.
    """
    fragments = []
    end = None if pixels.length is None else pixels.offset + pixels.length
    while (end is None or offset < end) and (length := _item(near, offset)) is not None:
        fragments.append((offset + 8, length))
        offset += 8 + length
    return fragments


def _item(near: ReadAt, offset: int) -> int | None:
    """The length of the item at `offset`; None: there is no item, the sequence has ended."""
    head = near(offset, 8)
    if len(head) < 8 or head[:4] != b"\xfe\xff\x00\xe0":
        return None
    return int.from_bytes(head[4:], "little")


def _near(read: ReadAt, window: int = 4096) -> ReadAt:
    """`read` for small looks that lie close together: neighbours come from one call."""
    start, held = 0, b""

    def look(offset: int, length: int) -> bytes:
        nonlocal start, held
        if not start <= offset <= offset + length <= start + len(held):
            start, held = offset, read(offset, window)
        return held[offset - start : offset - start + length]

    return look


def pack(frames: Sequence[Ranges]) -> bytes:
    """Ranges of all frames as bytes to keep: 16 a frame, and one frame is found without looking at the
    others.
    """
    starts = np.cumsum([0, *map(len, frames)], dtype="<u4")
    pieces = np.array([piece for frame in frames for piece in frame], dtype="<u8").reshape(-1, 2)
    if not pieces.size or pieces[:, 1].max() >= 1 << 32:  # an item's length has 32 bits (PS3.5 A.4)
        raise BrokenDicom("encapsulated pixel data without fragments", "ask for the whole instance")
    table = np.empty(len(pieces), dtype=_PIECE)
    table["offset"], table["length"] = pieces.T
    return len(frames).to_bytes(4, "little") + starts.tobytes() + table.tobytes()


def packed_range(packed: bytes, number: int) -> Ranges:
    """Where frame `number` lies, from what `pack` made. NotFound: there is no such frame."""
    frames = int.from_bytes(packed[:4], "little")
    _check_number(number, frames)
    first, past = struct.unpack_from("<2I", packed, 4 * number)
    offset = 4 + 4 * (frames + 1) + first * _PIECE.itemsize
    pieces = np.frombuffer(packed, _PIECE, past - first, offset)
    return tuple((int(piece["offset"]), int(piece["length"])) for piece in pieces)


def _check_number(number: int, frames: int) -> None:
    if not 1 <= number <= frames:
        raise NotFound(f"there is no frame {number}", f"the instance has frames 1 to {frames}")


def _exactly(read: ReadAt, offset: int, length: int) -> bytes:
    data = read(offset, length)
    if len(data) != length:
        raise BrokenDicom("the file ends within its pixel data", "send the instance again")
    return data
