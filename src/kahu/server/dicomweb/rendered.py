"""WADO-RS: rendered instances, frames and series, and thumbnails (PS3.18 §10.4.1.1.3, §10.4.1.2)."""

import math
import re
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from PIL import Image as Pillow
from starlette.datastructures import QueryParams
from starlette.responses import Response

from kahu.catalog import fetch, thumbnails
from kahu.catalog.fetch import Located
from kahu.dicom import render
from kahu.dicom.frames import decode
from kahu.dicom.render import Picture, Window
from kahu.dicom.text import quietly
from kahu.errors import BadRequest, BrokenDicom, NotAcceptable
from kahu.server.dicomweb import accept
from kahu.server.dicomweb.asked import Asked
from kahu.server.dicomweb.frames import frame_numbers
from kahu.server.dicomweb.image import Image, Images

_TYPES = ("image/jpeg", "image/png")
_FUNCTIONS: dict[str, Literal["LINEAR", "LINEAR_EXACT", "SIGMOID"]] = {
    "linear": "LINEAR",
    "linear-exact": "LINEAR_EXACT",
    "sigmoid": "SIGMOID",
}
_NUMBER = r"([+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[Ee][+-]?[0-9]{1,3})?)"
_WINDOW = re.compile(rf"{_NUMBER},{_NUMBER}(?:,({'|'.join(_FUNCTIONS)}))?")
_THUMBNAIL = 256
_LARGEST = 4096
"""pixels along one side of a viewport: a picture is made in memory"""

# What pydicom and numpy raise when attributes hold what they should not.
_NONSENSE = (ArithmeticError, AttributeError, LookupError, NotImplementedError, TypeError, ValueError)


@dataclass(frozen=True)
class Look:
    """How a picture is wanted: the parameters of a request for one (PS3.18 §8.3.5)."""

    window: Window | None = None
    viewport: tuple[int, int] | None = None
    """width and height in pixels that the picture must fit into"""
    quality: int = 90
    """of JPEG, 1 to 100"""

    @classmethod
    def parse(cls, params: QueryParams) -> "Look":
        """BadRequest: a parameter cannot be understood."""
        return cls(
            window=_window(params["window"]) if "window" in params else None,
            viewport=_viewport(params["viewport"]) if "viewport" in params else None,
            quality=_whole("quality", params.get("quality", "90"), 100),
        )


async def rendered(images: Images, asked: Asked) -> Response:
    """A frame, or the one that stands for an instance or a series, as people look at it."""
    look = Look.parse(asked.request.query_params)
    media_type = accept.choose_type(accept.wanted(asked.request), _TYPES)
    located = await asked.rooms.pools.database(_middle, asked)
    return await _picture(asked, images.of(asked, located), look, media_type)


async def thumbnail(images: Images, asked: Asked) -> Response:
    """The same, small; what has no picture gets a tile that says what it is. Those of series are kept."""
    look = Look.parse(asked.request.query_params)
    media_type = accept.choose_type(accept.wanted(asked.request), _TYPES)
    located = await asked.rooms.pools.database(_middle, asked)
    store = located.location.store
    if look == Look() and media_type == "image/jpeg" and not asked.instance:
        return await asked.rooms.pools.store(store, _kept, asked, located)
    look = replace(look, viewport=look.viewport or (_THUMBNAIL, _THUMBNAIL))
    if located.location.pixels is not None:
        try:
            return await _picture(asked, images.of(asked, located), look, media_type)
        except (NotAcceptable, BrokenDicom):
            pass  # a picture that cannot be decoded: the tile
    return await asked.rooms.pools.store(store, _tile, asked, located, look)


def _middle(asked: Asked) -> Located:
    """The instance itself; of a series or a study the middle one of those that have pixels."""
    with asked.rooms.database.read() as db:
        found = fetch.instances(db, asked.scope, asked.study, asked.series, asked.instance)
    return thumbnails.middle([one for one in found if one.frames] or found)


def _kept(asked: Asked, located: Located) -> Response:
    rooms, series = asked.rooms, located.series_instance_uid
    body = thumbnails.thumbnail(rooms.database, rooms.places, rooms.settings.cache, series, asked.scope)
    return Response(body, headers={"Content-Type": "image/jpeg", "Vary": "Accept"})


async def _picture(asked: Asked, image: Image, look: Look, media_type: str) -> Response:
    frame_list = asked.request.path_params.get("frames")
    numbers = frame_numbers(frame_list) if frame_list else [(image.frames + 1) // 2]
    if len(numbers) > 1:
        raise BadRequest("one frame is rendered at a time", "ask for each by itself")
    image.check(numbers[0])
    store = image.located.location.store
    body = await asked.rooms.pools.store(store, _rendered, image, numbers[0], look, media_type)
    return Response(body, headers={"Content-Type": media_type, "Vary": "Accept"})


def _rendered(image: Image, number: int, look: Look, media_type: str) -> bytes:
    frame = decode(image.kept(number), image.facts, image.transfer_syntax)
    try:
        with quietly():
            picture = render.picture(frame, image.header(), number, window=look.window)
    except _NONSENSE as error:
        raise NotAcceptable(
            "what this image says of its own values makes no sense", "ask for the frame itself"
        ) from error
    if look.viewport:
        picture = _fit(picture, look.viewport)
    return render.png(picture) if media_type == "image/png" else render.jpeg(picture, look.quality)


def _fit(picture: Picture, viewport: tuple[int, int]) -> Picture:
    """The picture as large as the viewport allows, its shape kept."""
    rows, columns = picture.shape[:2]
    scale = min(viewport[0] / columns, viewport[1] / rows)
    size = max(1, round(columns * scale)), max(1, round(rows * scale))
    return np.asarray(Pillow.fromarray(picture).resize(size, Pillow.Resampling.BILINEAR))


def _tile(asked: Asked, located: Located, look: Look) -> Response:
    side = min(look.viewport or (_THUMBNAIL,))
    header = fetch.dataset(asked.rooms.database, asked.rooms.places, located)
    try:
        with quietly():
            body = render.thumbnail_of(header, side=side)
    except _NONSENSE:
        body = render.icon("DICOM", side=side)
    return Response(body, headers={"Content-Type": "image/jpeg", "Vary": "Accept"})


def _window(text: str) -> Window:
    found = _WINDOW.fullmatch(text)
    numbers = [float(number) for number in found.group(1, 2)] if found else [math.nan]
    if not found or not all(map(math.isfinite, numbers)):
        raise BadRequest("window is not center,width or center,width,function", "as in window=40,400,linear")
    return Window(numbers[0], numbers[1], _FUNCTIONS[found[3] or "linear"])


def _viewport(text: str) -> tuple[int, int]:
    parts = text.split(",")
    if len(parts) != 2:
        raise BadRequest("viewport is not width,height", "as in viewport=512,512")
    return _whole("viewport", parts[0], _LARGEST), _whole("viewport", parts[1], _LARGEST)


def _whole(name: str, text: str, most: int) -> int:
    if not re.fullmatch("[0-9]{1,6}", text) or not 1 <= int(text) <= most:
        raise BadRequest(f"{name} is not a whole number from 1 to {most}")
    return int(text)
