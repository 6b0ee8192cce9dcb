"""In which form objects and frames are given: what is wanted against how they are kept (PS3.18 §8.7)."""

import re
from collections.abc import Collection
from dataclasses import dataclass

from kahu.dicom.frames import encapsulated
from kahu.server.dicomweb.accept import Wanted

DICOM = "application/dicom"
OCTETS = "application/octet-stream"
EXPLICIT_LE = "1.2.840.10008.1.2.1"

# What the bytes of one compressed frame are (PS3.18 tables 8.7.3-2, 8.7.3-4 and 8.7.3-5).
_JPEG = "1.2.840.10008.1.2.4."
FRAME_TYPES = {
    **dict.fromkeys([_JPEG + n for n in ("50", "51", "57", "70")], "image/jpeg"),
    **dict.fromkeys([_JPEG + n for n in ("80", "81")], "image/jls"),
    **dict.fromkeys([_JPEG + n for n in ("90", "91")], "image/jp2"),
    **dict.fromkeys([_JPEG + n for n in ("92", "93")], "image/jpx"),
    **dict.fromkeys([_JPEG + n for n in ("100", "101")], "video/mpeg"),
    **dict.fromkeys([_JPEG + n for n in ("102", "103", "104", "105", "106")], "video/mp4"),
    **dict.fromkeys([_JPEG + n for n in ("107", "108")], "video/h265"),
    **dict.fromkeys([_JPEG + n for n in ("110", "111", "112")], "image/jxl"),
    **dict.fromkeys([_JPEG + n for n in ("201", "202", "203")], "image/jphc"),
    "1.2.840.10008.1.2.5": "image/dicom-rle",
}


@dataclass(frozen=True, slots=True)
class Form:
    """How something is sent."""

    media_type: str
    transfer_syntax: str
    """of what is sent; empty: each object in its own"""
    multipart: bool

    @property
    def content_type(self) -> str:
        """Of one part, or of a body that has no parts."""
        return described(self.media_type, self.transfer_syntax)


def described(media_type: str, transfer_syntax: str) -> str:
    """The Content-Type of DICOM bytes, which says in what syntax they are; unless what a file says of itself is
    no UID, and could be anything."""
    if not re.fullmatch(r"[0-9.]{1,64}", transfer_syntax):
        return media_type
    return f"{media_type}; transfer-syntax={transfer_syntax}"


def object_form(one: Wanted, stored: Collection[str], objects: int) -> Form | None:
    """How `objects` whole objects, kept in the transfer syntaxes `stored`, answer what is wanted, if at all.

    Objects are given as they are kept, byte for byte. A single part holds a single object.
    """
    if one.transfer_syntax not in ("", "*") and set(stored) != {one.transfer_syntax}:
        return None
    if one.matches(DICOM, multipart=True):
        return Form(DICOM, "", True)
    if objects == 1 and one.matches(DICOM):
        return Form(DICOM, "", False)
    return None


def frame_form(one: Wanted, stored: str, frames: int) -> Form | None:
    """How `frames` frames, kept in the transfer syntax `stored`, answer what is wanted; None: not at all.

    Uncompressed is what the standard presumes where no transfer syntax is wanted by name. Whoever accepts any
    transfer syntax gets frames as they are kept; viewers write that as octets, whatever is in them.
    """
    multipart = one.multipart is not False
    if frames > 1 and not multipart:
        return None

    def fits(form: Form) -> bool:
        return one.matches(form.media_type, multipart=multipart)

    uncompressed = Form(OCTETS, EXPLICIT_LE, multipart)
    kept = Form(FRAME_TYPES.get(stored, OCTETS), stored, multipart) if encapsulated(stored) else uncompressed
    if one.transfer_syntax == "":
        return uncompressed if fits(uncompressed) else kept if fits(kept) else None
    if one.transfer_syntax in ("*", kept.transfer_syntax):
        return kept if fits(kept) or one.type == OCTETS else None
    return uncompressed if one.transfer_syntax == EXPLICIT_LE and fits(uncompressed) else None
