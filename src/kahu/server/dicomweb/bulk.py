"""WADO-RS: bulk data, the long values that metadata only point at (PS3.18 §10.4.1.1.5)."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from starlette.responses import Response

from kahu.catalog import fetch
from kahu.catalog.fetch import KeptHeader, Located
from kahu.dicom import frames
from kahu.dicom.header import Header, Omitted, ReadAt, read_header
from kahu.dicom.json_model import value_at
from kahu.dicom.multipart import Outgoing
from kahu.dicom.syntaxes import EXPLICIT_LE
from kahu.errors import NotFound
from kahu.server.dicomweb import accept
from kahu.server.dicomweb.accept import Wanted
from kahu.server.dicomweb.asked import Asked
from kahu.server.dicomweb.forms import OCTETS, described, frame_type
from kahu.server.dicomweb.image import PLAIN, Image
from kahu.server.dicomweb.images import Images
from kahu.server.dicomweb.sent import Body, message, send, tag_of
from kahu.server.pools import CHUNK

PIXELS = frozenset({"7FE00008", "7FE00009", "7FE00010"})
DOCUMENT, _DOCUMENT_TYPE = "00420011", "00420012"

# Documents that a browser may be told the type of: none of them runs scripts in our pages' name.
DOCUMENT_TYPES = frozenset({"application/pdf", "model/stl", "model/obj", "model/mtl"})

# Objects whose value is a document: PDF, CDA, STL, OBJ, MTL (PS3.4 annex B.5).
_DOCUMENT_CLASSES = frozenset(f"1.2.840.10008.5.1.4.1.1.104.{n}" for n in range(1, 6))


@dataclass(frozen=True)
class Bulk:
    """A value, ready to be sent."""

    types: tuple[str, ...]
    """what it may be called, the best first"""
    length: int | None
    open: Callable[[int, int | None], Iterable[bytes]]
    """its bytes from one position up to another (None: the end)"""


async def bulk(images: Images, asked: Asked) -> Response:
    """The value that a BulkDataURI of the metadata names. Compressed pixel data come as their frames."""
    path = asked.request.path_params["path"].upper()
    located = await images.locate(asked)
    if path in PIXELS and frames.encapsulated(located.location.transfer_syntax):
        return await _compressed(asked, images.of(asked, located))
    if path in PIXELS:
        return await send_value(asked, located, path, _pixels(images, asked, located))
    value = await asked.rooms.pools.store(located.location.store, _value, asked, located, path)
    return await send_value(asked, located, path, value)


async def send_value(asked: Asked, located: Located, path: str, value: Bulk) -> Response:
    """A value as one of its types, by itself or as the one part of a message."""
    accepted = accept.wanted(asked.request)

    def offer(one: Wanted) -> tuple[str, bool] | None:
        multiple = one.multipart is True
        for name in value.types:
            if one.matches(name, multipart=multiple) and accept.admits(
                accepted, one, name, multipart=multiple
            ):
                return name, multiple
        return None

    found = accept.choose(accepted, offer)
    if found is None:
        raise accept.cannot(value.types)
    media_type, multiple = found
    pool = asked.rooms.pools.of_store(located.location.store)
    if not multiple:
        tag = tag_of(located, "bulk", path)
        return await send(asked, pool, Body(media_type, value.open, value.length, tag))
    parts = [Outgoing(media_type, lambda: value.open(0, None), value.length)]
    return await send(asked, pool, message(media_type, parts, tag_of(located, "part", path, weak=True)))


def is_document(located: Located) -> bool:
    """Whether an instance is an encapsulated document."""
    return located.sop_class_uid in _DOCUMENT_CLASSES


def document(asked: Asked, located: Located) -> Bulk:
    """The encapsulated document of an instance (PS3.3 C.24.2). NotFound: it has none. Blocks."""
    return _value(asked, located, DOCUMENT)


async def _compressed(asked: Asked, image: Image) -> Response:
    syntax = image.transfer_syntax
    media_type = frame_type(syntax)
    accepted = accept.wanted(asked.request)

    def offer(one: Wanted) -> str | None:
        fits = one.matches(media_type, multipart=True) or one.matches(OCTETS, multipart=True)
        return media_type if fits else None

    if accept.choose(accepted, offer) is None:
        raise accept.cannot([f'multipart/related; type="{media_type}"; transfer-syntax={syntax}'])
    content_type = described(media_type, syntax)
    numbers = range(1, image.frames + 1)
    parts = [Outgoing(content_type, partial(_frame, image, number)) for number in numbers]
    body = message(media_type, parts, tag_of(image.located, "bulk", "frames", weak=True))
    return await send(asked, asked.rooms.pools.of_store(image.located.location.store), body)


def _frame(image: Image, number: int) -> Iterator[bytes]:
    yield image.kept(number)


def _value(asked: Asked, located: Located, path: str) -> Bulk:
    """Where a value is, by the header that the catalogue keeps; by the file's own where that is another."""
    read = fetch.reader(asked.rooms.places, located)
    with asked.rooms.database.read() as db:
        header: KeptHeader | Header = fetch.header(db, located)
    if any(value.offset < 0 for value in header.omitted):
        header = read_header(read, located.location.entry.size)
    value = value_at(header.raw, header.implicit, header.omitted, path)
    types = _document_types(header) if path == DOCUMENT else (OCTETS,)
    if isinstance(value, Omitted):
        return Bulk(types, value.length, partial(_pieces, read, value.offset, value.length))
    return Bulk(types, len(value), lambda start, stop: [value[start:stop]])


def _pixels(images: Images, asked: Asked, located: Located) -> Bulk:
    """Uncompressed pixel data, in little endian: as they lie in the file where that has them so."""
    pixels = located.location.pixels
    if pixels and pixels.length is not None and located.transfer_syntax in PLAIN:
        read = fetch.reader(asked.rooms.places, located)
        return Bulk((OCTETS,), pixels.length, partial(_pieces, read, pixels.offset, pixels.length))
    image = images.of(asked, located)
    numbers = range(1, image.frames + 1)
    return Bulk(
        (OCTETS,), None, lambda _start, _stop: (image.given(number, EXPLICIT_LE) for number in numbers)
    )


def _pieces(read: ReadAt, offset: int, length: int, start: int, stop: int | None) -> Iterator[bytes]:
    end = offset + (length if stop is None else stop)
    for at in range(offset + start, end, CHUNK):
        yield read(at, min(CHUNK, end - at))


def _document_types(header: KeptHeader | Header) -> tuple[str, ...]:
    """What an encapsulated document may be called (PS3.3 C.24.2)."""
    try:
        said = value_at(header.raw, header.implicit, header.omitted, _DOCUMENT_TYPE)
    except NotFound:
        return (OCTETS,)
    name = said.decode("latin-1").strip(" \0").lower() if isinstance(said, bytes) else ""
    return (name, OCTETS) if name in DOCUMENT_TYPES else (OCTETS,)
