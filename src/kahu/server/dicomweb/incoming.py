"""What a request brings to be stored: its body decoded, and taken apart as it comes (PS3.18 §8.6)."""

import zlib
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Any

import zstandard
from starlette.requests import Request

from kahu.dicom.multipart import Begin, End, Event, MediaType, Reader
from kahu.errors import BadRequest, Unsupported
from kahu.server.dicomweb.asked import JSON_TYPES
from kahu.server.dicomweb.forms import DICOM
from kahu.server.pools import Pool

JSON = JSON_TYPES[0]

_TAKEN = f'send {DICOM}, or multipart/related; type="{DICOM}", or either with {JSON}'
_AT_ONCE = 1 << 10
"""compressed bytes that are taken at once: 1 MB of what deflate can make of them, 44 MB of what zstd can"""


def content_of(request: Request) -> MediaType:
    """What the request says that it holds. BadRequest: it cannot be read."""
    said = request.headers.get("content-type", "")
    return MediaType.parse(said) if said else MediaType("")


def kind_of(content: MediaType) -> str:
    """What a request holds: `DICOM` files, or `JSON` metadata with bulk data. Unsupported: neither."""
    kind = content.parameters.get("type", DICOM) if content.type == "multipart/related" else content.type
    if kind.lower() not in (DICOM, JSON):
        raise Unsupported("objects are taken as files (PS3.10) or as DICOM JSON with bulk data", _TAKEN)
    return kind.lower()


async def events(request: Request, content: MediaType, pool: Pool) -> AsyncGenerator[Event, None]:
    """The parts of the body as they come; a body that is not multipart is one part. BadRequest: it is malformed or
    ends too soon. Unsupported: its Content-Encoding is none that is known."""
    if content.type != "multipart/related":
        yield Begin({"content-type": content.type})
        async for chunk in _decoded(request, pool):
            yield chunk
        yield End()
        return
    reader = Reader(content)
    async for chunk in _decoded(request, pool):
        for event in reader.feed(chunk):
            yield event
    reader.finish()


async def _decoded(request: Request, pool: Pool) -> AsyncGenerator[bytes, None]:
    """The body without its Content-Encoding (RFC 9110 §8.4)."""
    decoder = _decoder(request.headers.get("content-encoding", "").strip().lower())
    async for chunk in request.stream():
        if decoder is None:
            yield chunk
        elif chunk:
            async for piece in pool.stream(decoder.feed(chunk)):
                yield piece
    if decoder and not decoder.complete:
        raise BadRequest("the compressed body ends too soon", "send it again")


class _Decoder:
    """Decompresses a body that comes in pieces; one member or frame may follow another (RFC 1952 §2.2, RFC 8878 §3)."""

    def __init__(self, begin: Callable[[], Any]) -> None:
        self._begin = begin
        self._member: Any = None

    @property
    def complete(self) -> bool:
        """Nothing is missing."""
        return self._member is None or self._member.eof

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What these bytes, after all those before, become. BadRequest: they are not so compressed."""
        try:
            for at in range(0, len(data), _AT_ONCE):
                given = data[at : at + _AT_ONCE]
                while given:
                    if self.complete:
                        self._member = self._begin()
                    yield self._member.decompress(given)
                    given = self._member.unused_data
        except (zlib.error, zstandard.ZstdError):
            raise BadRequest("the compressed body cannot be read", "send it again") from None


def _decoder(coding: str) -> _Decoder | None:
    if coding in ("", "identity"):
        return None
    if coding in ("gzip", "x-gzip", "deflate"):
        return _Decoder(
            lambda: zlib.decompressobj(zlib.MAX_WBITS | 32)
        )  # which of them, the first bytes tell
    if coding == "zstd":
        return _Decoder(zstandard.ZstdDecompressor(max_window_size=128 << 20).decompressobj)
    raise Unsupported("the body has a Content-Encoding that is not taken", "use zstd, gzip, deflate, or none")
