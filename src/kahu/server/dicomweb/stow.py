"""STOW-RS: store instances (PS3.18 §10.5)."""

from asyncio import wrap_future
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import Future
from contextlib import aclosing
from functools import partial
from typing import Any

import msgspec
from starlette.responses import Response

from kahu.catalog.arrive import Received
from kahu.catalog.inbox import HELD, Arriving
from kahu.dicom.multipart import Begin, End, Event
from kahu.errors import BadRequest, KahuError
from kahu.server.dicomweb import accept, incoming, outcomes, stow_json
from kahu.server.dicomweb.asked import JSON_TYPES, Asked
from kahu.server.dicomweb.outcomes import (
    CANNOT_UNDERSTAND,
    OUT_OF_RESOURCES,
    Failure,
    Given,
    failure,
    outcome,
)
from kahu.server.pools import Pool


async def store(asked: Asked) -> Response:
    """Takes the objects of a request. They go on as they come, many at once; the answer says what became of each.

    The status is 200 when all were stored, 202 when some were, 409 when none was (507: for want of room). A
    malformed body is 400 if no object came whole before; otherwise the answer says what was, and one failure.
    """
    content_type = accept.choose_type(accept.wanted(asked.request), JSON_TYPES)
    content = incoming.content_of(asked.request)
    take = stow_json.take if incoming.kind_of(content) == incoming.JSON else _take
    pool = asked.rooms.pools.of_store(asked.rooms.inbox.place.id)
    sent: list[Given] = []
    try:
        async with aclosing(incoming.events(asked.request, content, pool)) as events:
            await take(asked, pool, events, sent)
    except BadRequest as error:
        if not sent:
            raise
        sent.append(Failure(CANNOT_UNDERSTAND, comment=str(error)))
    if not sent:
        raise BadRequest(
            "the request holds no DICOM objects", "send each as a part of type application/dicom"
        )
    outcomes = [await outcome(one) for one in sent]
    status, document = answer(
        asked.url,
        [one for one in outcomes if isinstance(one, Received)],
        [one for one in outcomes if isinstance(one, Failure)],
    )
    return Response(msgspec.json.encode(document), status, headers={"Content-Type": content_type})


async def _take(asked: Asked, pool: Pool, events: AsyncGenerator[Event, None], sent: list[Given]) -> None:
    """Gives each part to the inbox as a file."""
    part = _Part(asked, pool)
    try:
        async for event in events:
            match event:
                case Begin():
                    part = _Part(asked, pool)
                    await part.begin()
                case End():
                    sent.append(await part.end())
                case _:
                    await part.add(event)
    finally:
        part.close()


class _Part:
    """One object on its way to the inbox: while some of it is written, the next bytes are taken. What goes wrong with
    it is told at its end, and is no other's affair."""

    def __init__(self, asked: Asked, pool: Pool) -> None:
        self._asked = asked
        self._pool = pool
        self._arriving: Arriving | None = None
        self._error: KahuError | None = None
        self._pieces: list[bytes] = []
        self._held = 0
        self._writing: Future[None] | None = None

    async def begin(self) -> None:
        try:
            self._arriving = await outcomes.begin(self._asked)
        except KahuError as error:
            self._error = error

    async def add(self, piece: bytes) -> None:
        """Takes more bytes; waits for the disk if it does not keep up."""
        if self._error:
            return
        self._pieces.append(piece)
        self._held += len(piece)
        if self._held >= HELD:
            try:
                await self._written()
            except KahuError as error:
                self._error = error
                self.close()
            else:
                self._writing = self._pool.submit(self._gathered(), admitted=True)

    async def end(self) -> Given:
        try:
            await self._written()
            if self._error or not self._arriving:
                raise self._error or KahuError("nothing was begun")
            self._gathered()()
            return outcomes.finish(self._asked, self._arriving)
        except KahuError as error:
            return failure(error)

    def close(self) -> None:
        """What has not come whole is gone; but no sooner than nobody writes it any more."""
        arriving, self._pieces = self._arriving, []
        if arriving and self._writing:
            self._writing.add_done_callback(lambda _: arriving.close())
        elif arriving:
            arriving.close()

    async def _written(self) -> None:
        """Returns when what was begun to be written is. StorageFull."""
        if self._writing:
            await wrap_future(self._writing)
            self._writing = None

    def _gathered(self) -> Callable[[], None]:
        """Writes what has been gathered so far."""
        assert self._arriving
        pieces, self._pieces, self._held = self._pieces, [], 0
        return partial(_write, self._arriving, pieces)


def _write(arriving: Arriving, pieces: Sequence[bytes]) -> None:
    for piece in pieces:
        arriving.write(piece)


def answer(
    url: Callable[[str, str, str], str], stored: Sequence[Received], failures: Sequence[Failure]
) -> tuple[int, dict[str, Any]]:
    """The status, and the Store Instances Response Module (PS3.18 annex I.2) in the DICOM JSON Model. Error Comment
    (0000,0902) says a failure in words."""
    studies = {one.study_instance_uid for one in stored}
    named = [failure for failure in failures if failure.sop_instance_uid]
    sequences = {
        "00081198": [
            _reference(failure.sop_class_uid, failure.sop_instance_uid) | _reason(failure)
            for failure in named
        ],
        "00081199": [
            _reference(one.sop_class_uid, one.sop_instance_uid)
            | _url(url(one.study_instance_uid, one.series_instance_uid, one.sop_instance_uid))
            for one in stored
        ],
        "0008119A": [_reason(failure) for failure in failures if failure not in named],
    }
    document = _url(url(studies.pop(), "", "")) if len(studies) == 1 else {}
    document |= {tag: {"vr": "SQ", "Value": items} for tag, items in sequences.items() if items}
    return _status(stored, failures), document


def _status(stored: Sequence[Received], failures: Sequence[Failure]) -> int:
    if not failures:
        return 200
    if stored:
        return 202
    return 507 if all(failure.reason == OUT_OF_RESOURCES for failure in failures) else 409


def _reference(sop_class: str, sop_instance: str) -> dict[str, Any]:
    return {"00081150": {"vr": "UI", "Value": [sop_class]}, "00081155": {"vr": "UI", "Value": [sop_instance]}}


def _url(url: str) -> dict[str, Any]:
    return {"00081190": {"vr": "UR", "Value": [url]}}


def _reason(failure: Failure) -> dict[str, Any]:
    comment = {"00000902": {"vr": "LO", "Value": [failure.comment]}} if failure.comment else {}
    return comment | {"00081197": {"vr": "US", "Value": [failure.reason]}}
