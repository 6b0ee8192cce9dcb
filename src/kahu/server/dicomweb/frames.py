"""WADO-RS: frames (PS3.18 §10.4.1.1.4)."""

import re
import uuid
from functools import partial

from starlette.responses import Response

from kahu.dicom import multipart
from kahu.dicom.multipart import Outgoing
from kahu.errors import BadRequest
from kahu.server.dicomweb import accept
from kahu.server.dicomweb.asked import Asked
from kahu.server.dicomweb.forms import EXPLICIT_LE, FRAME_TYPES, OCTETS, Form, described, frame_form
from kahu.server.dicomweb.image import Image, Images
from kahu.server.streams import Streamed

_NUMBERS = re.compile(r"[0-9]{1,9}(,[0-9]{1,9})*")


async def frames(images: Images, asked: Asked) -> Response:
    """Frames of an instance, in the order in which they are asked for, which is how they are numbered."""
    numbers = frame_numbers(asked.request.path_params["frames"])
    image = await asked.rooms.pools.database(images.open, asked)
    for number in numbers:
        image.check(number)
    form = accept.choose(
        accept.wanted(asked.request),
        lambda one: frame_form(one, image.transfer_syntax, len(numbers)),
        lambda: _available(image.transfer_syntax),
    )
    store = image.located.location.store
    if len(numbers) == 1:
        return await asked.rooms.pools.store(store, _one, asked, image, numbers[0], form)
    boundary = uuid.uuid4().hex
    parts = [_part(asked, image, number, form) for number in numbers]
    chunks = asked.rooms.pools.of_store(store).stream(multipart.write(parts, boundary))
    return await Streamed.begin(chunks, multipart.media_type(form.media_type, boundary))


def frame_numbers(text: str) -> list[int]:
    """The frame list of a path, such as ``1,3,5``. BadRequest: it is none."""
    if not _NUMBERS.fullmatch(text):
        raise BadRequest("the list of frames is not one of numbers", "write it as in /frames/1,2,3")
    return [int(number) for number in text.split(",")]


def _one(asked: Asked, image: Image, number: int, form: Form) -> Response:
    """One frame, which is one body: nothing is faster."""
    if not form.multipart:
        return Response(_sent(image, number, form), headers={"Content-Type": form.content_type})
    boundary = uuid.uuid4().hex
    frame = _sent(image, number, form)
    part = _part(asked, image, number, form, frame)
    body = b"".join(multipart.write([part], boundary))
    return Response(body, headers={"Content-Type": multipart.media_type(form.media_type, boundary)})


def _part(asked: Asked, image: Image, number: int, form: Form, frame: bytes | None = None) -> Outgoing:
    one = image.located
    url = asked.url(one.study_instance_uid, one.series_instance_uid, one.sop_instance_uid)
    location = f"{url}/frames/{number}"
    if frame is not None:
        return Outgoing(form.content_type, lambda: [frame], len(frame), location)
    return Outgoing(form.content_type, partial(_later, image, number, form), location=location)


def _sent(image: Image, number: int, form: Form) -> bytes:
    return image.uncompressed(number) if form.transfer_syntax == EXPLICIT_LE else image.kept(number)


def _later(image: Image, number: int, form: Form) -> list[bytes]:
    return [_sent(image, number, form)]


def _available(stored: str) -> str:
    kept = described(FRAME_TYPES.get(stored, OCTETS), stored)
    return f'multipart/related; type="{OCTETS}", or {kept}'
