"""How a body is sent: its entity tag, conditions and ranges, HEAD, in one go or as a stream."""

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from starlette.responses import Response

from kahu.catalog.fetch import Located, Location
from kahu.dicom import multipart
from kahu.dicom.multipart import Outgoing
from kahu.server.answers import Json
from kahu.server.dicomweb import conditions
from kahu.server.dicomweb.asked import Asked
from kahu.server.dicomweb.conditions import NOTHING, Span
from kahu.server.pools import Pool
from kahu.server.streams import Pieces, Streamed

_AT_ONCE = 4 << 20
"""bytes that are read in one go: two hops between threads fewer than for a stream"""


@dataclass(frozen=True, slots=True)
class Body:
    """A body that can be sent, and what is known of it beforehand."""

    content_type: str
    open: Callable[[int, int | None], Iterable[bytes]]
    """gives the bytes from one position up to another (None: the end), in pieces; it may block"""
    length: int | None = None
    """None: not known before it is made"""
    tag: str = ""
    """its entity tag; empty: it has none"""
    whole: bool = False
    """parts of it are not given: it is a message of several parts, whose boundary is another each time"""
    headers: Mapping[str, str] = field(default_factory=dict)


def message(media_type: str, parts: Sequence[Outgoing], tag: str) -> Body:
    """A multipart message of these parts, with this entity tag (PS3.18 §8.6)."""
    boundary = uuid.uuid4().hex
    return Body(
        multipart.media_type(media_type, boundary),
        lambda _start, _stop: multipart.write(parts, boundary),
        multipart.length(parts, boundary),
        tag,
        whole=True,
    )


async def send(asked: Asked, pool: Pool, body: Body) -> Response:
    """The answer to a request for `body`, which is read in `pool`; HEAD and conditions that fail read nothing."""
    request = asked.request.headers
    headers = {"Vary": "Accept", **body.headers}
    if body.tag:
        headers["ETag"] = body.tag
    if (status := conditions.verdict(request, body.tag)) is not None:
        return without(status, headers)
    headers["Content-Type"] = body.content_type
    if not body.whole:
        headers["Accept-Ranges"] = "bytes"
    if asked.request.method == "HEAD":
        return head(headers, body.length)
    if body.length is None:
        return await _made(asked, pool, body, headers)
    part = None if body.whole else conditions.span(request, body.tag, body.length)
    if part is NOTHING:
        return _beyond(body.length)
    if part:
        headers["Content-Range"] = _content_range(part, body.length)
    status, asked_for = (206, part) if part else (200, Span(0, body.length))
    if len(asked_for) <= _AT_ONCE:
        pieces = await pool.run(_read, body, asked_for)
        return Pieces(pieces, status, headers)
    chunks = pool.stream(_opened(body, asked_for.start, asked_for.stop))
    return await Streamed.begin(chunks, body.content_type, len(asked_for), headers, status)


def tag_of(located: Located, *facts: object, weak: bool = False) -> str:
    """The entity tag of what is made of an instance's bytes in the way that `facts` tell; empty where its store cannot
    tell whether they have changed."""
    state = _state(located.location)
    return conditions.tag(*state, *facts, weak=weak) if state else ""


def tag_of_all(found: Sequence[Located], *facts: object) -> str:
    """The same of many instances in one message."""
    states = [_state(one.location) for one in found]
    return conditions.tag(*chain.from_iterable(states), *facts, weak=True) if all(states) else ""


def _state(at: Location) -> tuple[object, ...]:
    """Is another whenever the bytes are; empty: the store cannot tell."""
    return (at.store, at.entry.key, at.entry.stamp, at.entry.size) if at.entry.stamp else ()


def head(headers: Mapping[str, str], length: int | None) -> Response:
    """The answer to HEAD: as GET would answer, as far as it is known without reading."""
    answer = Pieces([], 200, headers)
    if length is None:
        del answer.headers["Content-Length"]
    else:
        answer.headers["Content-Length"] = str(length)
    return answer


def without(status: int, headers: Mapping[str, str]) -> Response:
    """304, which has no body, or 412, which says why."""
    if status == 304:
        return Response(status_code=304, headers=headers)
    said = {"error": "it is not what If-Match names any more", "hint": "ask for it again, from the beginning"}
    return Json(said, status_code=status, headers=headers)


def _beyond(length: int) -> Response:
    said = {"error": "the range lies beyond the end", "hint": f"there are {length} bytes"}
    return Json(said, status_code=416, headers={"Content-Range": f"bytes */{length}"})


def _content_range(part: Span, length: int) -> str:
    return f"bytes {part.start}-{part.stop - 1}/{length}"


def _read(body: Body, part: Span) -> list[bytes]:
    return list(body.open(part.start, part.stop))


async def _made(asked: Asked, pool: Pool, body: Body, headers: dict[str, str]) -> Response:
    """A body whose length is known only when there is all of it; a long one is sent before."""
    pieces = _opened(body, 0, None)
    first, more = await pool.run(_begun, pieces)
    if more:
        return Streamed(b"".join(first), pool.stream(pieces), body.content_type, None, headers)
    length = sum(map(len, first))
    part = None if body.whole else conditions.span(asked.request.headers, body.tag, length)
    if part is NOTHING:
        return _beyond(length)
    if part is None:
        return Pieces(first, 200, headers)
    headers["Content-Range"] = _content_range(part, length)
    return Pieces([b"".join(first)[part.start : part.stop]], 206, headers)


def _opened(body: Body, start: int, stop: int | None) -> Iterator[bytes]:
    """The pieces of a body, which is opened by whoever asks for the first: that may block."""
    yield from body.open(start, stop)


def _begun(pieces: Iterator[bytes]) -> tuple[list[bytes], bool]:
    """The first pieces, and whether there are more."""
    first: list[bytes] = []
    length = 0
    for piece in pieces:
        first.append(piece)
        if length >= _AT_ONCE:
            return first, True
        length += len(piece)
    return first, False
