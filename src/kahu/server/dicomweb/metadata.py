"""WADO-RS: metadata of studies, series and instances (PS3.18 §10.4.1.1.2, annex F)."""

import zlib
from collections.abc import Iterable, Iterator

import zstandard
from starlette.responses import Response

from kahu.catalog import describe
from kahu.catalog.describe import Described
from kahu.dicom.json_model import BULK_PREFIX
from kahu.server.dicomweb import accept, conditions
from kahu.server.dicomweb.asked import JSON_TYPES, Asked
from kahu.server.dicomweb.sent import head, without
from kahu.server.streams import Pieces, Streamed


async def metadata(asked: Asked) -> Response:
    """What the catalogue knows of a study's, a series' or one instance's objects: everything but long binary values,
    for which it has addresses below the door that was asked."""
    content_type = accept.choose_type(accept.wanted(asked.request), JSON_TYPES)
    coding = accept.encoding(asked.request)
    headers = {"Vary": "Accept, Accept-Encoding", "Content-Type": content_type}
    if coding:
        headers["Content-Encoding"] = coding
    pool = asked.rooms.pools.of_database
    described, first = await pool.run(_begun, asked, coding)
    headers["ETag"] = conditions.tag(asked.base, content_type, coding, *described.state, weak=True)
    if (status := conditions.verdict(asked.request.headers, headers["ETag"])) is not None:
        return without(status, headers)
    if asked.request.method == "HEAD":
        return head(headers, None)
    if first is not None:
        return Pieces([first], 200, headers)
    pieces = _coded(_addressed(described.pieces(), asked.base), coding)
    return await Streamed.begin(pool.stream(pieces), content_type, headers=headers)


def _begun(asked: Asked, coding: str) -> tuple[Described, bytes | None]:
    """What is asked for; the whole text, where it is of one instance: that takes no longer than to come again."""
    described = describe.described(
        asked.rooms.database, asked.scope, asked.study, asked.series, asked.instance
    )
    if described.instances > 1 or asked.request.method == "HEAD":
        return described, None
    return described, b"".join(_coded(_addressed(described.pieces(), asked.base), coding))


def _addressed(pieces: Iterable[bytes], base: str) -> Iterator[bytes]:
    """Pieces of JSON with addresses of bulk data below `base`; each piece holds whole strings."""
    placeholder, address = f'"{BULK_PREFIX}'.encode(), f'"{base}'.encode()
    for piece in pieces:
        yield piece.replace(placeholder, address)


def _coded(pieces: Iterable[bytes], coding: str) -> Iterator[bytes]:
    """The content, coded (RFC 9110 §8.4.1). Fast levels: JSON of headers shrinks tenfold with any."""
    if not coding:
        yield from pieces
        return
    coder = (
        zstandard.ZstdCompressor(level=1).compressobj() if coding == "zstd" else zlib.compressobj(1, wbits=31)
    )
    for piece in pieces:
        if coded := coder.compress(piece):
            yield coded
    yield coder.flush()
