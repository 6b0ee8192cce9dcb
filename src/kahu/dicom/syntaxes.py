"""Transfer syntaxes of pixel data: which can be read, which can be given, and what each does to an image.

A table, from which frames are decoded, objects are transcoded, and the documentation is written (PS3.5 annex A).
"""

from dataclasses import dataclass
from typing import Literal

__all__ = ["KNOWN", "TransferSyntax", "encapsulated", "is_video"]

Codec = Literal[
    "native",
    "big endian",
    "deflated",
    "rle",
    "jpeg",
    "lossless jpeg",
    "jpeg-ls",
    "jpeg 2000",
    "jpeg xl",
    "jpeg in xl",
]
"""how a frame's bytes become samples; ``deflated`` is each frame by itself, not the whole data set"""


@dataclass(frozen=True, slots=True)
class TransferSyntax:
    """What there is to know of one in which frames can be decoded."""

    uid: str
    name: str
    codec: Codec
    given: bool = True
    """whether objects kept in others can be given in it"""
    lossy: bool = False
    """whether an image loses something on its way into it, here; the standard may only say that it might"""
    method: str = ""
    """Lossy Image Compression Method (PS3.3 C.7.6.1.1.5.1) of what is lossy always"""


_JPEG = "1.2.840.10008.1.2.4."

KNOWN = {
    syntax.uid: syntax
    for syntax in (
        TransferSyntax("1.2.840.10008.1.2", "Implicit VR Little Endian", "native"),
        TransferSyntax("1.2.840.10008.1.2.1", "Explicit VR Little Endian", "native"),
        TransferSyntax("1.2.840.10008.1.2.1.99", "Deflated Explicit VR Little Endian", "native"),
        TransferSyntax("1.2.840.10008.1.2.2", "Explicit VR Big Endian", "big endian"),
        TransferSyntax(
            "1.2.840.10008.1.2.1.98",
            "Encapsulated Uncompressed Explicit VR Little Endian",
            "native",
            given=False,
        ),
        TransferSyntax("1.2.840.10008.1.2.5", "RLE Lossless", "rle"),
        TransferSyntax(_JPEG + "57", "JPEG Lossless (Process 14)", "lossless jpeg"),
        TransferSyntax(_JPEG + "70", "JPEG Lossless SV1", "lossless jpeg"),
        TransferSyntax(_JPEG + "80", "JPEG-LS Lossless", "jpeg-ls"),
        TransferSyntax(_JPEG + "90", "JPEG 2000 (Lossless Only)", "jpeg 2000"),
        TransferSyntax(_JPEG + "92", "JPEG 2000 Part 2 (Lossless Only)", "jpeg 2000", given=False),
        TransferSyntax(_JPEG + "110", "JPEG XL Lossless", "jpeg xl"),
        TransferSyntax(_JPEG + "201", "High-Throughput JPEG 2000 (Lossless Only)", "jpeg 2000"),
        TransferSyntax(_JPEG + "202", "High-Throughput JPEG 2000 with RPCL (Lossless Only)", "jpeg 2000"),
        TransferSyntax(_JPEG + "81", "JPEG-LS Near-Lossless", "jpeg-ls"),
        TransferSyntax(_JPEG + "91", "JPEG 2000", "jpeg 2000"),
        TransferSyntax(_JPEG + "93", "JPEG 2000 Part 2", "jpeg 2000", given=False),
        TransferSyntax(_JPEG + "112", "JPEG XL", "jpeg xl"),
        TransferSyntax(_JPEG + "203", "High-Throughput JPEG 2000", "jpeg 2000"),
        TransferSyntax(_JPEG + "111", "JPEG XL JPEG Recompression", "jpeg in xl", method="ISO_10918_1"),
        TransferSyntax(_JPEG + "50", "JPEG Baseline", "jpeg", lossy=True, method="ISO_10918_1"),
        TransferSyntax(_JPEG + "51", "JPEG Extended", "jpeg", lossy=True, method="ISO_10918_1"),
        TransferSyntax("1.2.840.10008.1.2.8.1", "Deflated Image Frame Compression", "deflated", given=False),
    )
}
"""by UID; in the order in which they are offered: uncompressed, lossless, those that may be lossy, those that are"""

_NATIVE = frozenset(
    ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2")
)
_VIDEO = tuple(f"{_JPEG}{n}" for n in range(100, 109))


def encapsulated(transfer_syntax: str) -> bool:
    """Whether pixel data is a sequence of fragments (PS3.5 A.4): so unless the syntax is known as native."""
    return transfer_syntax not in _NATIVE


def is_video(transfer_syntax: str) -> bool:
    """Whether the pixel data is one stream (MPEG-2, MPEG-4, HEVC): its frames have no bytes of their own."""
    return transfer_syntax.startswith(_VIDEO)
