"""What a compressed frame says of itself, before anything is decoded: its size, its colour, whether it is whole.

Decoders believe a codestream. Here it is held against the attributes first, so that no few bytes make one fill the
memory, and what disagrees is refused. JPEG and JPEG-LS are told by their markers (ISO 10918-1 B.1), JPEG 2000 and
HTJ2K by their SIZ marker (ISO 15444-1 A.5.1).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Shape", "is_whole", "is_ybr", "jpeg", "jpeg2000", "jpeg_predictor"]

_APP0, _APP14, _SOS, _SOF55 = 0xE0, 0xEE, 0xDA, 0xF7
_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {_SOF55}
_SOC_SIZ = b"\xff\x4f\xff\x51"
_ALONE = frozenset(range(0xD0, 0xD9)) | {0x01}  # markers without a segment


@dataclass(frozen=True, slots=True)
class Shape:
    """Of the image in a codestream."""

    rows: int
    columns: int
    samples: int
    bits: int
    """of a sample"""


def jpeg(frame: bytes) -> Shape | None:
    """Of a JPEG or JPEG-LS frame; None: it does not say."""
    for marker, body, _ in _segments(frame):
        if marker in _SOF and len(body) >= 6:
            bits, rows, columns, samples = struct.unpack_from(">BHHB", body)
            return Shape(rows, columns, samples, bits)
    return None


def jpeg2000(frame: bytes) -> Shape | None:
    """Of a JPEG 2000 or HTJ2K frame, also if it is wrapped in a file of boxes; None: it does not say."""
    at = frame.find(_SOC_SIZ)
    if at < 0 or len(frame) < at + 43:
        return None
    right, bottom, left, top = struct.unpack_from(">4I", frame, at + 8)
    samples, bits = struct.unpack_from(">HB", frame, at + 40)
    return Shape(bottom - top, right - left, samples, (bits & 0x7F) + 1)


def is_whole(frame: bytes) -> bool:
    """Whether a JPEG frame has an end: decoders make up what is missing before it."""
    scan = next((end for marker, _, end in _segments(frame) if marker == _SOS), 0)
    return frame.find(b"\xff\xd9", scan) >= 0


def is_ybr(frame: bytes, photometric: str) -> bool:
    """Whether a JPEG's three components are YBR. Its own markers know best (Adobe, JFIF), then Photometric
    Interpretation does.
    """
    for marker, body, _ in _segments(frame):
        if marker == _APP14 and body[:5] == b"Adobe" and len(body) >= 12:
            return body[11] == 1
        if marker == _APP0 and body[:5] == b"JFIF\0":
            return True
    return photometric != "RGB"


def jpeg_predictor(frame: bytes) -> int | None:
    """The selection value of a lossless JPEG frame (ISO 10918-1 H.1.2.1); None: it does not say."""
    for marker, body, _ in _segments(frame):
        if marker == _SOS and len(body) >= 4:
            return body[1 + 2 * body[0]] if len(body) > 1 + 2 * body[0] else None
    return None


def _segments(frame: bytes) -> Iterator[tuple[int, bytes, int]]:
    """The marker segments of a JPEG up to its first scan: marker, what it says, where it ends."""
    at = 2
    while at + 4 <= len(frame) and frame[at] == 0xFF:
        marker = frame[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        if marker in _ALONE:
            at += 2
            continue
        end = at + 2 + int.from_bytes(frame[at + 2 : at + 4], "big")
        yield marker, frame[at + 4 : end], end
        if marker == _SOS or end < at + 4:
            return
        at = end
