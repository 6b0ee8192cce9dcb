"""What a client accepts, and the choice among what can be given (PS3.18 §8.7, RFC 9110 §12.5)."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from starlette.requests import Request

from kahu.dicom.multipart import MediaType
from kahu.errors import BadRequest, NotAcceptable

Offer = TypeVar("Offer")

# Commas between media ranges, not those within a quoted parameter.
_RANGE = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*")+')
_QUALITY = re.compile(r"(0(\.[0-9]{0,3})?|1(\.0{0,3})?)")


@dataclass(frozen=True, slots=True)
class Wanted:
    """One media range that a client accepts."""

    type: str
    """of the body; where it is multipart, of its parts. May be ``*/*`` or ``image/*``"""
    multipart: bool | None
    """None: either (``*/*``)"""
    transfer_syntax: str = ""
    """a UID; ``*``: any; empty: the one that the standard presumes for the type"""
    quality: float = 1.0

    def matches(self, media_type: str, *, multipart: bool = False) -> bool:
        """Whether a body, or parts, of that media type will do."""
        if self.multipart not in (None, multipart):
            return False
        kind, _, name = self.type.partition("/")
        return self.type in ("*/*", media_type) or (name == "*" and media_type.startswith(f"{kind}/"))


def wanted(request: Request) -> list[Wanted]:
    """What the request accepts, best first. The parameter `accept` wins over the header (PS3.18 §8.3.3.1);
    saying nothing accepts everything. BadRequest: it cannot be read.
    """
    # A plus sign in a query is a blank, but no media type has one within.
    said = [re.sub(r"(?<=\w) (?=(json|xml)\b)", "+", text) for text in request.query_params.getlist("accept")]
    return parse(said or request.headers.getlist("accept"))


def parse(texts: Iterable[str]) -> list[Wanted]:
    """The media ranges of Accept headers, best first; of equally good ones, in the order that they are in."""
    ranges = [_read(text) for text in _RANGE.findall(",".join(texts)) if text.strip()]
    return sorted(ranges, key=lambda one: -one.quality) or [Wanted("*/*", None)]


def _read(text: str) -> Wanted:
    said = MediaType.parse(text)
    quality = said.parameters.get("q", "1")
    if not _QUALITY.fullmatch(quality):
        raise BadRequest("a quality in Accept is not a number from 0 to 1", "write it as in q=0.5")
    multipart = said.type == "multipart/related"
    return Wanted(
        type=said.parameters.get("type", "*/*").lower() if multipart else said.type,
        multipart=multipart if multipart or said.type != "*/*" else None,
        transfer_syntax=said.parameters.get("transfer-syntax", ""),
        quality=float(quality),
    )


def choose(
    accepted: Sequence[Wanted], offer: Callable[[Wanted], Offer | None], available: Callable[[], str]
) -> Offer:
    """The best of what is accepted that can be given. `offer` says what would answer one range, if anything;
    `available`, what could be had. NotAcceptable: nothing fits.
    """
    for one in accepted:
        if one.quality > 0 and (found := offer(one)) is not None:
            return found
    raise NotAcceptable("none of the media types that are accepted can be given", f"accept {available()}")


def choose_type(accepted: Sequence[Wanted], types: Sequence[str]) -> str:
    """The choice where the body is one of a few media types, ours in order of preference."""
    refused = {one.type for one in accepted if one.quality == 0}

    def offer(one: Wanted) -> str | None:
        return next((t for t in types if one.matches(t) and t not in refused), None)

    return choose(accepted, offer, lambda: " or ".join(types))


def encoding(request: Request) -> str:
    """The best Content-Encoding for a text that is long: zstd, gzip, or none (empty)."""
    accepted = {}
    for one in request.headers.get("accept-encoding", "").lower().split(","):
        name, _, parameter = one.replace(" ", "").partition(";")
        accepted[name] = parameter not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return next((name for name in ("zstd", "gzip") if accepted.get(name, accepted.get("*", False))), "")
