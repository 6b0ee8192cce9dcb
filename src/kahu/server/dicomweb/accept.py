"""What a client accepts, and the choice among what can be given (PS3.18 §8.7, RFC 9110 §12.5)."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
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

    @property
    def specific(self) -> int:
        """How much a range says; more of two that match decides (RFC 9110 §12.5.1)."""
        return (self.type != "*/*") + (not self.type.endswith("/*")) + (self.multipart is not None)

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
    return list(_parsed(",".join(texts)))


@lru_cache(maxsize=256)  # a viewer sends the same a thousand times
def _parsed(text: str) -> Sequence[Wanted]:
    ranges = [_read(one) for one in _RANGE.findall(text) if one.strip()]
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


def choose(accepted: Sequence[Wanted], offer: Callable[[Wanted], Offer | None]) -> Offer | None:
    """The best of what is accepted that can be given; None: nothing is. `offer` says what would answer one range,
    if anything.
    """
    return next((found for one in accepted if one.quality > 0 and (found := offer(one)) is not None), None)


def admits(accepted: Sequence[Wanted], by: Wanted, media_type: str, *, multipart: bool = False) -> bool:
    """Whether what the range `by` admits is refused (q=0) by none that is more specific (RFC 9110 §12.5.1)."""
    return not any(
        one.quality == 0 and one.specific >= by.specific and one.matches(media_type, multipart=multipart)
        for one in accepted
    )


def choose_type(accepted: Sequence[Wanted], types: Sequence[str]) -> str:
    """The choice where the body is one of a few media types, ours in order of preference. The most specific range
    says how much a type is wanted; of equally wanted ones that comes first which the client names first.
    NotAcceptable: nothing fits.
    """
    best: tuple[float, int] = (0, 0)
    chosen = ""
    for media_type in types:
        fitting = [one for one in accepted if one.matches(media_type)]
        if not fitting:
            continue
        most = max(fitting, key=lambda one: one.specific)
        if most.quality and (most.quality, -accepted.index(most)) > (best if chosen else (0, -len(accepted))):
            best, chosen = (most.quality, -accepted.index(most)), media_type
    if not chosen:
        raise cannot(types)
    return chosen


def cannot(acceptable: Sequence[str]) -> NotAcceptable:
    """The refusal where none of what is accepted can be given."""
    return NotAcceptable(
        "none of the media types that are accepted can be given",
        f"accept {' or '.join(acceptable[:12])}"
        if acceptable
        else "there is nothing of it that can be given",
        acceptable,
    )


def ignored(params: Iterable[str], known: Iterable[str]) -> dict[str, str]:
    """The header that names parameters which are not understood (PS3.18 §8.3.4.2); none where all are."""
    names = sorted(set(params) - set(known) - {"accept", "charset"})
    if not names:
        return {}
    said = ", ".join(re.sub(r"[^\w.,-]", "?", name, flags=re.ASCII)[:64] for name in names[:20])
    return {"Warning": f'299 kahu "These parameters were not understood and are ignored: {said}"'}


def encoding(request: Request) -> str:
    """The best Content-Encoding for a text that is long: zstd, gzip, or none (empty)."""
    accepted = {}
    for one in request.headers.get("accept-encoding", "").lower().split(","):
        name, _, parameter = one.replace(" ", "").partition(";")
        accepted[name] = parameter not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return next((name for name in ("zstd", "gzip") if accepted.get(name, accepted.get("*", False))), "")
