"""WADO-RS: rendered instances, frames, series and studies, and thumbnails (PS3.18 §10.4.1.1.3, §10.4.1.2)."""

from collections.abc import Iterable
from dataclasses import replace

from starlette.responses import Response

from kahu import __version__
from kahu.catalog import fetch, thumbnails
from kahu.catalog.fetch import Located
from kahu.catalog.places import holding
from kahu.catalog.thumbnails import Thumbnail
from kahu.dicom import render
from kahu.dicom.text import quietly
from kahu.errors import BadRequest, BrokenDicom, NotAcceptable
from kahu.server.dicomweb import accept, conditions, look
from kahu.server.dicomweb.asked import Asked
from kahu.server.dicomweb.bulk import document, is_document, send_value
from kahu.server.dicomweb.forms import OCTETS
from kahu.server.dicomweb.frames import frame_numbers
from kahu.server.dicomweb.image import Image
from kahu.server.dicomweb.images import Images
from kahu.server.dicomweb.look import Look
from kahu.server.dicomweb.sent import Body, send, tag_of

TYPES = ("image/jpeg", "image/png")
_THUMBNAIL = 256

# What pydicom and numpy raise when attributes hold what they should not.
_NONSENSE = (ArithmeticError, AttributeError, LookupError, NotImplementedError, TypeError, ValueError)


async def rendered(images: Images, asked: Asked) -> Response:
    """A frame, or the one that stands for an instance, a series or a study, as people look at it; of an instance that
    holds a document, the document (PS3.18 §8.7.4)."""
    wanted = Look.parse(asked.request.query_params)
    located = await _of(images, asked)
    if is_document(located) and "frames" not in asked.request.path_params:
        return await _document(asked, located)
    media_type = accept.choose_type(accept.wanted(asked.request), TYPES)
    return await _picture(asked, images.of(asked, located), wanted, media_type)


async def thumbnail(images: Images, asked: Asked) -> Response:
    """The same, small; what has no picture gets a tile that says what it is. Those of series are kept."""
    wanted = Look.parse(asked.request.query_params)
    if wanted.source:
        raise BadRequest("a thumbnail is of the whole image", "ask for it rendered")
    media_type = accept.choose_type(accept.wanted(asked.request), TYPES)
    if wanted == Look() and media_type == "image/jpeg" and asked.series and not asked.instance:
        return await _kept(asked)
    located = await _of(images, asked)
    wanted = replace(wanted, viewport=wanted.viewport or (_THUMBNAIL, _THUMBNAIL))
    if located.location.pixels is not None:
        try:
            return await _picture(asked, images.of(asked, located), wanted, media_type)
        except (NotAcceptable, BrokenDicom):
            pass  # a picture that cannot be decoded: the tile
    body = Body("image/jpeg", lambda _start, _stop: [_tile(asked, located, wanted)], whole=True)
    return await send(asked, asked.rooms.pools.of_store(located.location.store), body)


async def _of(images: Images, asked: Asked) -> Located:
    """The instance itself; of a series or a study the middle one of those that have pixels."""
    if asked.instance:
        return await images.locate(asked)
    return await asked.rooms.pools.database(_middle, asked)


def _middle(asked: Asked) -> Located:
    with asked.rooms.database.read() as db:
        found = fetch.instances(db, asked.scope, asked.study, asked.series)
    return thumbnails.middle([one for one in found if one.frames] or found)


async def _document(asked: Asked, located: Located) -> Response:
    value = await asked.rooms.pools.store(located.location.store, document, asked, located)
    types = tuple(name for name in value.types if name != OCTETS)
    if not types:
        raise NotAcceptable(
            "the document is of a type that no browser should open", "ask for its bulk data instead"
        )
    return await send_value(asked, located, "rendered", replace(value, types=types))


async def _kept(asked: Asked) -> Response:
    """The thumbnail of a series, which lies ready unless it is asked for the first time."""
    rooms, scope = asked.rooms, asked.scope

    def find() -> tuple[Thumbnail, bytes | None, int]:
        found = thumbnails.find(rooms.database, rooms.settings.cache, asked.series, scope, asked.study)
        with rooms.database.read() as db:
            return found, found.kept(), holding(db, asked.series, scope)

    found, kept, store = await rooms.pools.database(find)
    pool = rooms.pools.of_store(store)

    def pieces(_start: int, _stop: int | None) -> list[bytes]:
        return [kept or thumbnails.make(rooms.database, rooms.places, found, scope)]

    tag = conditions.tag(*found.state, __version__, weak=True)
    return await send(asked, pool, Body("image/jpeg", pieces, None, tag, whole=True))


async def _picture(asked: Asked, image: Image, wanted: Look, media_type: str) -> Response:
    frame_list = asked.request.path_params.get("frames")
    numbers = frame_numbers(frame_list) if frame_list else [(image.frames + 1) // 2]
    if len(numbers) > 1:
        raise BadRequest("one frame is rendered at a time", "ask for each by itself")
    return await send_picture(asked, image, numbers[0], wanted, media_type, look.KNOWN)


async def send_picture(
    asked: Asked, image: Image, number: int, wanted: Look, media_type: str, known: Iterable[str]
) -> Response:
    """Frame `number` as a picture; the answer warns of parameters that are not `known`."""
    image.check(number)
    tag = tag_of(image.located, "rendered", number, wanted, media_type, __version__, weak=True)
    warning = accept.ignored(asked.request.query_params, known)

    def pieces(_start: int, _stop: int | None) -> list[bytes]:
        return [picture_of(image, number, wanted, media_type)]

    body = Body(media_type, pieces, None, tag, whole=True, headers=warning)
    return await send(asked, asked.rooms.pools.of_store(image.located.location.store), body)


def picture_of(image: Image, number: int, wanted: Look, media_type: str) -> bytes:
    """Frame `number` as JPEG or PNG. NotAcceptable, BrokenDicom: it cannot be shown."""
    frame, display = image.decoded(number)
    try:
        with quietly():
            picture = render.picture(frame, display, window=wanted.window)
    except _NONSENSE as error:
        raise NotAcceptable(
            "what this image says of its own values makes no sense", "ask for the frame itself"
        ) from error
    picture = wanted.applied(picture)
    return render.png(picture) if media_type == "image/png" else render.jpeg(picture, wanted.quality)


def _tile(asked: Asked, located: Located, wanted: Look) -> bytes:
    side = min(wanted.viewport or (_THUMBNAIL,))
    header = fetch.dataset(asked.rooms.database, asked.rooms.places, located)
    try:
        with quietly():
            return render.thumbnail_of(header, side=side)
    except _NONSENSE:
        return render.icon("DICOM", side=side)
