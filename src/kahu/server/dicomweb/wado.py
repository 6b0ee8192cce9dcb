"""WADO-RS: retrieve studies, series and instances, and their metadata (PS3.18 §10.4)."""

import uuid
import zlib
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from contextlib import aclosing
from functools import partial
from itertools import groupby

import zstandard
from starlette.responses import Response

from kahu.catalog import describe, fetch
from kahu.catalog.fetch import Located
from kahu.dicom import multipart
from kahu.dicom.json_model import BULK_PREFIX
from kahu.dicom.multipart import Outgoing
from kahu.server.dicomweb import accept
from kahu.server.dicomweb.asked import JSON_TYPES, Asked
from kahu.server.dicomweb.forms import DICOM, described, object_form
from kahu.server.streams import Streamed


async def objects(asked: Asked) -> Response:
    """The objects of a study or a series, or one instance, byte for byte as they are kept."""
    found = await asked.rooms.pools.database(_locate, asked)
    syntaxes = sorted({one.location.transfer_syntax for one in found})
    form = accept.choose(
        accept.wanted(asked.request),
        lambda one: object_form(one, syntaxes, len(found)),
        lambda: f'multipart/related; type="{DICOM}"; transfer-syntax=* (kept as {", ".join(syntaxes)})',
    )
    if form.multipart:
        return await send_parts(asked, found, [_object(asked, one) for one in found])
    (one,) = found
    chunks = asked.rooms.pools.of_store(one.location.store).stream(fetch.stream(asked.rooms.places, one))
    return await Streamed.begin(
        chunks, described(DICOM, one.location.transfer_syntax), one.location.entry.size
    )


def _locate(asked: Asked) -> list[Located]:
    with asked.rooms.database.read() as db:
        return fetch.instances(db, asked.scope, asked.study, asked.series, asked.instance)


def _object(asked: Asked, one: Located) -> Outgoing:
    return Outgoing(
        described(DICOM, one.location.transfer_syntax),
        partial(fetch.stream, asked.rooms.places, one),
        one.location.entry.size,
        asked.url(one.study_instance_uid, one.series_instance_uid, one.sop_instance_uid),
    )


async def send_parts(asked: Asked, found: Sequence[Located], parts: Sequence[Outgoing]) -> Response:
    """A multipart answer: part n comes from the store that has instance n."""
    boundary = uuid.uuid4().hex
    part_type = parts[0].content_type.partition(";")[0]
    chunks = _parts(asked, zip(found, parts, strict=True), boundary)
    content_type = multipart.media_type(part_type, boundary)
    return await Streamed.begin(chunks, content_type, multipart.length(parts, boundary))


async def _parts(
    asked: Asked, parts: Iterable[tuple[Located, Outgoing]], boundary: str
) -> AsyncGenerator[bytes, None]:
    for store, group in groupby(parts, key=lambda pair: pair[0].location.store):
        pieces = multipart.write_parts((part for _, part in group), boundary)
        async with aclosing(asked.rooms.pools.of_store(store).stream(pieces)) as chunks:
            async for chunk in chunks:
                yield chunk
    yield multipart.closing(boundary)


# ---------------------------------------------------------------------------------------- metadata


async def metadata(asked: Asked) -> Response:
    """What the catalogue knows of a study's, a series' or one instance's objects (PS3.18 annex F): everything
    but long binary values, for which it has addresses below the door that was asked."""
    content_type = accept.choose_type(accept.wanted(asked.request), JSON_TYPES)
    coding = accept.encoding(asked.request)
    pieces = describe.metadata(asked.rooms.database, asked.scope, asked.study, asked.series, asked.instance)
    chunks = asked.rooms.pools.of_database.stream(_coded(_addressed(pieces, asked.base), coding))
    headers = {"Vary": "Accept, Accept-Encoding"} | ({"Content-Encoding": coding} if coding else {})
    return await Streamed.begin(chunks, content_type, headers=headers)


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
