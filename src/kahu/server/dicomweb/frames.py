"""WADO-RS: frames (PS3.18 §10.4.1.1.4)."""

import re
from collections.abc import Iterator
from functools import partial

from starlette.responses import Response

from kahu.dicom.multipart import Outgoing
from kahu.errors import BadRequest
from kahu.server.dicomweb import accept
from kahu.server.dicomweb.asked import Asked
from kahu.server.dicomweb.forms import Form, HeaderNeeded, Kept, frame_form
from kahu.server.dicomweb.image import Image
from kahu.server.dicomweb.images import Images
from kahu.server.dicomweb.sent import Body, message, send, tag_of

_NUMBERS = re.compile(r"[0-9]{1,9}(,[0-9]{1,9})*")


async def frames(images: Images, asked: Asked) -> Response:
    """Frames of an instance, in the order in which they are asked for, which is how they are numbered."""
    numbers = frame_numbers(asked.request.path_params["frames"])
    image = await images.open(asked)
    for number in numbers:
        image.check(number)
    form = await _form(asked, image, len(numbers))
    pool = asked.rooms.pools.of_store(image.located.location.store)
    if not form.multipart:
        return await send(asked, pool, _alone(image, numbers[0], form))
    parts = [_part(asked, image, number, form) for number in numbers]
    tag = tag_of(image.located, "frames", *numbers, form.transfer_syntax, weak=True)
    return await send(asked, pool, message(form.media_type, parts, tag))


def frame_numbers(text: str) -> list[int]:
    """The frame list of a path, such as ``1,3,5``. BadRequest: it is none."""
    if not _NUMBERS.fullmatch(text):
        raise BadRequest("the list of frames is not one of numbers", "write it as in /frames/1,2,3")
    return [int(number) for number in text.split(",")]


async def _form(asked: Asked, image: Image, frames: int) -> Form:
    accepted, syntax = accept.wanted(asked.request), image.transfer_syntax
    try:
        return frame_form(accepted, Kept(syntax), frames)
    except HeaderNeeded:
        return await asked.rooms.pools.database(frame_form, accepted, Kept(syntax, image.can_give), frames)


def _alone(image: Image, number: int, form: Form) -> Body:
    """One frame as a body of its own, which may be asked for in part."""

    def pieces(start: int, stop: int | None) -> list[bytes]:
        frame = image.given(number, form.transfer_syntax)
        return [frame if stop == len(frame) and not start else frame[start:stop]]

    tag = tag_of(image.located, "frame", number, form.transfer_syntax)
    return Body(form.content_type, pieces, image.length(form.transfer_syntax), tag)


def _part(asked: Asked, image: Image, number: int, form: Form) -> Outgoing:
    one = image.located
    url = asked.url(one.study_instance_uid, one.series_instance_uid, one.sop_instance_uid)
    made = partial(_made, image, number, form.transfer_syntax)
    return Outgoing(form.content_type, made, image.length(form.transfer_syntax), f"{url}/frames/{number}")


def _made(image: Image, number: int, transfer_syntax: str) -> Iterator[bytes]:
    yield image.given(number, transfer_syntax)
