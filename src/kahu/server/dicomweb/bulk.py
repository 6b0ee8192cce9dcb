"""WADO-RS: bulk data, the long values that metadata only point at (PS3.18 §10.4.1.1.5)."""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from starlette.responses import Response

from kahu.catalog import fetch
from kahu.catalog.fetch import KeptHeader, Located
from kahu.dicom import frames, multipart
from kahu.dicom.header import Header, Omitted, ReadAt, read_header
from kahu.dicom.json_model import value_at
from kahu.dicom.multipart import Outgoing
from kahu.errors import NotFound
from kahu.server.dicomweb import accept
from kahu.server.dicomweb.accept import Wanted
from kahu.server.dicomweb.asked import Asked
from kahu.server.dicomweb.forms import FRAME_TYPES, OCTETS, described
from kahu.server.dicomweb.image import Image, Images, reader
from kahu.server.pools import CHUNK
from kahu.server.streams import Streamed

_PIXELS = frozenset({"7FE00008", "7FE00009", "7FE00010"})
_DOCUMENT, _DOCUMENT_TYPE = "00420011", "00420012"

# Documents that a browser may be told the type of: none of them runs scripts in our pages' name.
_DOCUMENT_TYPES = frozenset({"application/pdf", "model/stl", "model/obj", "model/mtl"})


@dataclass(frozen=True)
class Bulk:
    """A value, ready to be sent."""

    types: tuple[str, ...]
    """what it may be called, the best first"""
    length: int | None
    open: Callable[[], Iterator[bytes]]


async def bulk(images: Images, asked: Asked) -> Response:
    """The value that a BulkDataURI of the metadata names. Compressed pixel data come as their frames."""
    path = asked.request.path_params["path"].upper()
    located = await asked.rooms.pools.database(_locate, asked)
    store = located.location.store
    if path in _PIXELS and frames.encapsulated(located.location.transfer_syntax):
        return await _compressed(asked, images.of(asked, located))
    value = await asked.rooms.pools.store(store, _value, asked, images, located, path)

    def offer(one: Wanted) -> tuple[str, bool] | None:
        multiple = one.multipart is True
        return next(((t, multiple) for t in value.types if one.matches(t, multipart=multiple)), None)

    media_type, multiple = accept.choose(
        accept.wanted(asked.request), offer, lambda: " or ".join(value.types)
    )
    pool = asked.rooms.pools.of_store(store)
    if not multiple:
        return await Streamed.begin(pool.stream(value.open()), media_type, value.length)
    boundary = uuid.uuid4().hex
    parts = [Outgoing(media_type, value.open, value.length)]
    chunks = pool.stream(multipart.write(parts, boundary))
    content_type = multipart.media_type(media_type, boundary)
    return await Streamed.begin(chunks, content_type, multipart.length(parts, boundary))


def _locate(asked: Asked) -> Located:
    with asked.rooms.database.read() as db:
        return fetch.locate(db, asked.instance, asked.scope, study=asked.study, series=asked.series)


async def _compressed(asked: Asked, image: Image) -> Response:
    syntax = image.transfer_syntax
    media_type = FRAME_TYPES.get(syntax, OCTETS)

    def offer(one: Wanted) -> str | None:
        fits = one.matches(media_type, multipart=True) or one.matches(OCTETS, multipart=True)
        return media_type if fits else None

    accept.choose(accept.wanted(asked.request), offer, lambda: f'multipart/related; type="{media_type}"')
    boundary = uuid.uuid4().hex
    numbers = range(1, image.frames + 1)
    parts = (Outgoing(described(media_type, syntax), partial(_frame, image, number)) for number in numbers)
    pool = asked.rooms.pools.of_store(image.located.location.store)
    chunks = pool.stream(multipart.write(parts, boundary))
    return await Streamed.begin(chunks, multipart.media_type(media_type, boundary))


def _frame(image: Image, number: int) -> Iterator[bytes]:
    yield image.kept(number)


def _value(asked: Asked, images: Images, located: Located, path: str) -> Bulk:
    """Where a value is, by the header that the catalogue keeps; by the file's own where that is another."""
    if path in _PIXELS:
        return _pixels(images.of(asked, located))
    read = reader(asked.rooms.places, located)
    with asked.rooms.database.read() as db:
        header: KeptHeader | Header = fetch.header(db, located)
    if any(value.offset < 0 for value in header.omitted):
        header = read_header(read, located.location.entry.size)
    value = value_at(header.raw, header.implicit, header.omitted, path)
    types = _document_types(header) if path == _DOCUMENT else (OCTETS,)
    if isinstance(value, Omitted):
        return Bulk(types, value.length, partial(_pieces, read, value.offset, value.length))
    return Bulk(types, len(value), lambda: iter([value]))


def _pixels(image: Image) -> Bulk:
    """Uncompressed pixel data, in little endian."""
    located = image.located
    pixels = located.location.pixels
    if image.is_plain and pixels is not None and pixels.length is not None:
        return Bulk((OCTETS,), pixels.length, partial(_pieces, image.read, pixels.offset, pixels.length))
    return Bulk((OCTETS,), None, lambda: map(image.uncompressed, range(1, image.frames + 1)))


def _pieces(read: ReadAt, offset: int, length: int) -> Iterator[bytes]:
    for at in range(offset, offset + length, CHUNK):
        yield read(at, min(CHUNK, offset + length - at))


def _document_types(header: KeptHeader | Header) -> tuple[str, ...]:
    """What an encapsulated document may be called (PS3.3 C.24.2)."""
    try:
        said = value_at(header.raw, header.implicit, header.omitted, _DOCUMENT_TYPE)
    except NotFound:
        return (OCTETS,)
    name = said.decode("latin-1").strip(" \0").lower() if isinstance(said, bytes) else ""
    return (name, OCTETS) if name in _DOCUMENT_TYPES else (OCTETS,)
