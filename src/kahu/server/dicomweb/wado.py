"""WADO-RS: retrieve studies, series and instances (PS3.18 §10.4.1.1.1)."""

import uuid
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from contextlib import aclosing
from functools import partial
from itertools import groupby

from starlette.responses import Response

from kahu.catalog import fetch
from kahu.catalog.fetch import Located
from kahu.catalog.given_in import can_give
from kahu.dicom import multipart, transcode
from kahu.dicom.multipart import Outgoing
from kahu.server.dicomweb import accept, conditions
from kahu.server.dicomweb.accept import Wanted
from kahu.server.dicomweb.asked import Asked
from kahu.server.dicomweb.forms import DICOM, Form, HeaderNeeded, Kept, object_forms
from kahu.server.dicomweb.images import Images
from kahu.server.dicomweb.sent import Body, head, message, send, tag_of, tag_of_all, without
from kahu.server.streams import Streamed


async def instance(images: Images, asked: Asked) -> Response:
    """One instance: byte for byte as it is kept, or transcoded where that was asked for."""
    one = await images.locate(asked)
    (form,) = await forms_of(asked, accept.wanted(asked.request), [one])
    pool = asked.rooms.pools.of_store(one.location.store)
    if not form.multipart:
        return await send(asked, pool, object_body(asked, one, form))
    tag = tag_of(one, "part", form.transfer_syntax, weak=True)
    return await send(asked, pool, message(form.media_type, [_part(asked, one, form)], tag))


async def objects(asked: Asked) -> Response:
    """The objects of a study or a series, each as `instance` gives it."""
    found = await asked.rooms.pools.database(_locate, asked)
    forms = await forms_of(asked, accept.wanted(asked.request), found)
    tag = tag_of_all(found, asked.series, *(form.transfer_syntax for form in forms))
    headers = {"Vary": "Accept"} | ({"ETag": tag} if tag else {})
    if (status := conditions.verdict(asked.request.headers, tag)) is not None:
        return without(status, headers)
    boundary = uuid.uuid4().hex
    parts = [_part(asked, one, form) for one, form in zip(found, forms, strict=True)]
    length = multipart.length(parts, boundary)
    content_type = multipart.media_type(DICOM, boundary)
    if asked.request.method == "HEAD":
        return head(headers | {"Content-Type": content_type}, length)
    return await Streamed.begin(_chunks(asked, found, parts, boundary), content_type, length, headers)


async def forms_of(asked: Asked, accepted: Sequence[Wanted], found: Sequence[Located]) -> list[Form]:
    """In which form each of these instances is sent. NotAcceptable."""
    syntaxes = [one.location.transfer_syntax for one in found]
    try:
        return object_forms(accepted, [Kept(syntax) for syntax in syntaxes])
    except HeaderNeeded:
        database = asked.rooms.database
        kept = [Kept(s, partial(can_give, database, one)) for s, one in zip(syntaxes, found, strict=True)]
        return await asked.rooms.pools.database(object_forms, accepted, kept)


def object_body(asked: Asked, one: Located, form: Form) -> Body:
    """A whole object by itself."""
    tag = tag_of(one, "object", form.transfer_syntax)
    if form.transfer_syntax == one.location.transfer_syntax:
        pieces = partial(fetch.stream, asked.rooms.places, one)
        return Body(form.content_type, pieces, one.location.entry.size, tag)
    return Body(form.content_type, lambda _start, _stop: _transcoded(asked, one, form), None, tag)


def _part(asked: Asked, one: Located, form: Form) -> Outgoing:
    as_kept = form.transfer_syntax == one.location.transfer_syntax
    return Outgoing(
        form.content_type,
        partial(fetch.stream, asked.rooms.places, one) if as_kept else partial(_transcoded, asked, one, form),
        one.location.entry.size if as_kept else None,
        asked.url(one.study_instance_uid, one.series_instance_uid, one.sop_instance_uid),
    )


def _transcoded(asked: Asked, one: Located, form: Form) -> Iterator[bytes]:
    read = fetch.reader(asked.rooms.places, one)
    return iter(transcode.transcode(read, one.location.entry.size, form.transfer_syntax))


def _locate(asked: Asked) -> list[Located]:
    with asked.rooms.database.read() as db:
        return fetch.instances(db, asked.scope, asked.study, asked.series)


async def _chunks(
    asked: Asked, found: Sequence[Located], parts: Sequence[Outgoing], boundary: str
) -> AsyncGenerator[bytes, None]:
    """A multipart message: part n comes from the store that has instance n."""
    pairs: Iterable[tuple[Located, Outgoing]] = zip(found, parts, strict=True)
    for store, group in groupby(pairs, key=lambda pair: pair[0].location.store):
        pieces = multipart.write_parts((part for _, part in group), boundary)
        async with aclosing(asked.rooms.pools.of_store(store).stream(pieces)) as chunks:
            async for chunk in chunks:
                yield chunk
    yield multipart.closing(boundary)
