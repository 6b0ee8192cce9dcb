"""In which form objects and frames are given: what is wanted against how they are kept, and what that can be
transcoded to (PS3.18 §8.7)."""

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from kahu.dicom.syntaxes import EXPLICIT_LE, JPEG, RLE, encapsulated
from kahu.server.dicomweb import accept
from kahu.server.dicomweb.accept import Wanted

DICOM = "application/dicom"
OCTETS = "application/octet-stream"

# What the bytes of one compressed frame are (PS3.18 tables 8.7.3-2, 8.7.3-4 and 8.7.3-5).
FRAME_TYPES = {
    **dict.fromkeys([JPEG + n for n in ("50", "51", "57", "70")], "image/jpeg"),
    **dict.fromkeys([JPEG + n for n in ("80", "81")], "image/jls"),
    **dict.fromkeys([JPEG + n for n in ("90", "91")], "image/jp2"),
    **dict.fromkeys([JPEG + n for n in ("92", "93")], "image/jpx"),
    **dict.fromkeys([JPEG + n for n in ("100", "101")], "video/mpeg"),
    **dict.fromkeys([JPEG + n for n in ("102", "103", "104", "105", "106")], "video/mp4"),
    **dict.fromkeys([JPEG + n for n in ("107", "108")], "video/h265"),
    **dict.fromkeys([JPEG + n for n in ("110", "111", "112")], "image/jxl"),
    **dict.fromkeys([JPEG + n for n in ("201", "202", "203")], "image/jphc"),
    RLE: "image/dicom-rle",
}

# The transfer syntax that is meant where one of these is wanted and none is named (PS3.18 §8.7.3.3).
PRESUMED = {
    OCTETS: EXPLICIT_LE,
    "image/jpeg": JPEG + "70",
    "image/jls": JPEG + "80",
    "image/jp2": JPEG + "90",
    "image/jpx": JPEG + "92",
    "image/jphc": JPEG + "201",
    "image/jxl": JPEG + "110",
    "image/dicom-rle": RLE,
}


@dataclass(frozen=True, slots=True)
class Form:
    """How something is sent."""

    media_type: str
    transfer_syntax: str
    """of what is sent"""
    multipart: bool

    @property
    def content_type(self) -> str:
        """Of one part, or of a body that has no parts."""
        return described(self.media_type, self.transfer_syntax)


@dataclass(frozen=True, slots=True)
class Kept:
    """How one object is kept, and what can be made of it."""

    transfer_syntax: str
    find_out: Callable[[], Collection[str]] | None = None
    """the transfer syntaxes that it can be given in, its own among them; None: its header has not been read"""

    def can_give(self) -> Collection[str]:
        """Asked only where another than its own may be wanted. HeaderNeeded."""
        if self.find_out is None:
            raise HeaderNeeded
        return self.find_out()


class HeaderNeeded(Exception):
    """What can be made of an object is asked for, and its header has not been read: choose again, with it."""


def described(media_type: str, transfer_syntax: str) -> str:
    """The Content-Type of DICOM bytes, which says in what syntax they are; unless what a file says of itself is
    no UID, and could be anything."""
    if not re.fullmatch(r"[0-9.]{1,64}", transfer_syntax):
        return media_type
    return f"{media_type}; transfer-syntax={transfer_syntax}"


# Whole objects


def object_forms(accepted: Sequence[Wanted], objects: Sequence[Kept]) -> list[Form]:
    """How each of these objects is sent, all as single parts or all as parts of one message. NotAcceptable: there is
    one that can be given in nothing that is accepted; an answer never leaves one out.

    An object comes as it is kept, byte for byte, where no transfer syntax is named, too (PS3.18 §8.7.3.5.2 would
    have it in explicit VR little endian, which alters it). A single part holds a single object.
    """
    ways = (False, True) if len(objects) == 1 else (True,)

    def offer(one: Wanted) -> list[Form] | None:
        for multipart in sorted(ways, reverse=one.multipart is None):
            if one.matches(DICOM, multipart=multipart):
                fitting = [
                    other
                    for other in accepted
                    if other.quality and other.matches(DICOM, multipart=multipart)
                    if accept.admits(accepted, other, DICOM, multipart=multipart)
                ]
                if forms := _each(fitting, objects, multipart):
                    return forms
        return None

    forms = accept.choose(accepted, offer)
    if forms is None:
        raise accept.cannot(_acceptable(objects))
    return forms


def _each(fitting: Sequence[Wanted], objects: Sequence[Kept], multipart: bool) -> list[Form] | None:
    forms = []
    for kept in objects:
        syntax = next((found for one in fitting if (found := _syntax(one, kept)) is not None), None)
        if syntax is None:
            return None
        forms.append(Form(DICOM, syntax, multipart))
    return forms


def _syntax(one: Wanted, kept: Kept) -> str | None:
    if one.transfer_syntax in ("", "*", kept.transfer_syntax):
        return kept.transfer_syntax
    return one.transfer_syntax if one.transfer_syntax in kept.can_give() else None


def _acceptable(objects: Sequence[Kept]) -> list[str]:
    """Media types that would do: as kept, or a transfer syntax that all of these objects can be given in."""
    given = [kept.can_give() for kept in objects]
    common = [syntax for syntax in given[0] if all(syntax in others for others in given[1:])]
    kinds = [f'multipart/related; type="{DICOM}"'] + ([DICOM] if len(objects) == 1 else [])
    return [f"{kind}; transfer-syntax={syntax}" for kind in kinds for syntax in ("*", *common)]


# Frames


def frame_form(accepted: Sequence[Wanted], kept: Kept, frames: int) -> Form:
    """How `frames` frames of an object are sent. NotAcceptable: in nothing that is accepted.

    Uncompressed is what the standard presumes where no transfer syntax is wanted by name. Whoever accepts any
    transfer syntax gets frames as they are kept; viewers write that as octets, whatever is in them.
    """

    def offer(one: Wanted) -> Form | None:
        multipart = one.multipart is not False
        if frames > 1 and not multipart:
            return None
        form = _frame_form(one, kept, multipart)
        fits = form and accept.admits(accepted, one, form.media_type, multipart=multipart)
        return form if fits else None

    form = accept.choose(accepted, offer)
    if form is None:
        raise accept.cannot(_acceptable_frames(kept, frames))
    return form


def _frame_form(one: Wanted, kept: Kept, multipart: bool) -> Form | None:
    stored = as_frame(kept.transfer_syntax)
    match one.transfer_syntax:
        case "*":
            wanted = [stored]
        case "":
            wanted = [EXPLICIT_LE, stored, *PRESUMED.values()]
        case named:
            wanted = [named]
    for syntax in wanted:
        form = Form(frame_type(syntax), syntax, multipart)
        octets_will_do = one.type == OCTETS and one.transfer_syntax != ""
        fits = octets_will_do or one.matches(form.media_type, multipart=multipart)
        if fits and (syntax == stored or syntax in map(as_frame, kept.can_give())):
            return form
    return None


def as_frame(transfer_syntax: str) -> str:
    """The transfer syntax that a frame is in: native ones differ in their data sets only."""
    return transfer_syntax if encapsulated(transfer_syntax) else EXPLICIT_LE


def frame_type(transfer_syntax: str) -> str:
    """The media type of a frame's bytes."""
    return FRAME_TYPES.get(transfer_syntax, OCTETS)


def _acceptable_frames(kept: Kept, frames: int) -> list[str]:
    syntaxes = dict.fromkeys(map(as_frame, (kept.transfer_syntax, *kept.can_give())))
    types = [(frame_type(syntax), syntax) for syntax in syntaxes]
    several = [f'multipart/related; type="{kind}"; transfer-syntax={syntax}' for kind, syntax in types]
    return several + ([described(kind, syntax) for kind, syntax in types] if frames == 1 else [])
