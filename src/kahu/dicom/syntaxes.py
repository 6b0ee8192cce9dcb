"""Transfer syntaxes of pixel data: which can be read, which can be given, and what each does to an image.

A table, from which frames are decoded, objects are transcoded, and the documentation is written (PS3.5 annex A).
"""

from dataclasses import dataclass
from typing import Literal

__all__ = [
    "DEFLATED_LE",
    "EXPLICIT_BE",
    "EXPLICIT_LE",
    "IMPLICIT_LE",
    "JPEG",
    "JPEG_BASELINE",
    "JPEG_IN_XL",
    "KNOWN",
    "RLE",
    "TransferSyntax",
    "encapsulated",
    "is_video",
]

IMPLICIT_LE = "1.2.840.10008.1.2"
EXPLICIT_LE = "1.2.840.10008.1.2.1"
DEFLATED_LE = "1.2.840.10008.1.2.1.99"
EXPLICIT_BE = "1.2.840.10008.1.2.2"
RLE = "1.2.840.10008.1.2.5"
JPEG = "1.2.840.10008.1.2.4."
"""how the UIDs of all codecs of the JPEG family begin, and those of videos"""
JPEG_BASELINE = JPEG + "50"
JPEG_IN_XL = JPEG + "111"

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


KNOWN = {
    syntax.uid: syntax
    for syntax in (
        TransferSyntax(IMPLICIT_LE, "Implicit VR Little Endian", "native"),
        TransferSyntax(EXPLICIT_LE, "Explicit VR Little Endian", "native"),
        TransferSyntax(DEFLATED_LE, "Deflated Explicit VR Little Endian", "native"),
        TransferSyntax(EXPLICIT_BE, "Explicit VR Big Endian", "big endian"),
        TransferSyntax(
            "1.2.840.10008.1.2.1.98",
            "Encapsulated Uncompressed Explicit VR Little Endian",
            "native",
            given=False,
        ),
        TransferSyntax(RLE, "RLE Lossless", "rle"),
        TransferSyntax(JPEG + "57", "JPEG Lossless (Process 14)", "lossless jpeg"),
        TransferSyntax(JPEG + "70", "JPEG Lossless SV1", "lossless jpeg"),
        TransferSyntax(JPEG + "80", "JPEG-LS Lossless", "jpeg-ls"),
        TransferSyntax(JPEG + "90", "JPEG 2000 (Lossless Only)", "jpeg 2000"),
        TransferSyntax(JPEG + "92", "JPEG 2000 Part 2 (Lossless Only)", "jpeg 2000", given=False),
        TransferSyntax(JPEG + "110", "JPEG XL Lossless", "jpeg xl"),
        TransferSyntax(JPEG + "201", "High-Throughput JPEG 2000 (Lossless Only)", "jpeg 2000"),
        TransferSyntax(JPEG + "202", "High-Throughput JPEG 2000 with RPCL (Lossless Only)", "jpeg 2000"),
        TransferSyntax(JPEG + "81", "JPEG-LS Near-Lossless", "jpeg-ls"),
        TransferSyntax(JPEG + "91", "JPEG 2000", "jpeg 2000"),
        TransferSyntax(JPEG + "93", "JPEG 2000 Part 2", "jpeg 2000", given=False),
        TransferSyntax(JPEG + "112", "JPEG XL", "jpeg xl"),
        TransferSyntax(JPEG + "203", "High-Throughput JPEG 2000", "jpeg 2000"),
        TransferSyntax(JPEG_IN_XL, "JPEG XL JPEG Recompression", "jpeg in xl", method="ISO_10918_1"),
        TransferSyntax(JPEG_BASELINE, "JPEG Baseline", "jpeg", lossy=True, method="ISO_10918_1"),
        TransferSyntax(JPEG + "51", "JPEG Extended", "jpeg", lossy=True, method="ISO_10918_1"),
        TransferSyntax("1.2.840.10008.1.2.8.1", "Deflated Image Frame Compression", "deflated", given=False),
    )
}
"""by UID; in the order in which they are offered: uncompressed, lossless, those that may be lossy, those that are"""

_NATIVE = frozenset({IMPLICIT_LE, EXPLICIT_LE, DEFLATED_LE, EXPLICIT_BE})
_VIDEO = tuple(f"{JPEG}{n}" for n in range(100, 109))


def encapsulated(transfer_syntax: str) -> bool:
    """Whether pixel data is a sequence of fragments (PS3.5 A.4): so unless the syntax is known as native."""
    return transfer_syntax not in _NATIVE


def is_video(transfer_syntax: str) -> bool:
    """Whether the pixel data is one stream (MPEG-2, MPEG-4, HEVC): its frames have no bytes of their own."""
    return transfer_syntax.startswith(_VIDEO)
