"""STOW-RS: store instances (PS3.18 §10.5)."""

import logging
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from os import SEEK_END
from typing import Any, BinaryIO

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from kahu.catalog import arrive
from kahu.catalog.arrive import Received
from kahu.dicom.header import read_header
from kahu.dicom.multipart import Begin, End, Event, MediaType, Reader
from kahu.errors import BadRequest, Conflict, KahuError, NotDicom, StorageFull, Unsupported
from kahu.server.dicomweb.asked import Asked
from kahu.server.pools import CHUNK, Pool
from kahu.stores import OwnedStore

log = logging.getLogger("kahu.server")

DICOM = "application/dicom"

# Failure reasons (PS3.18 annex I.2.2, PS3.4 table B.2-1, PS3.7 annex C).
PROCESSING_FAILURE = 0x0110
DUPLICATE_UID = 0x0111
OUT_OF_RESOURCES = 0xA700
OTHER_STUDY = 0xA901  # the object is not of the study that it was sent to
CANNOT_UNDERSTAND = 0xC000


@dataclass(frozen=True)
class Failure:
    """An instance that was not stored. UIDs are empty where they could not be read."""

    reason: int
    sop_class_uid: str = ""
    sop_instance_uid: str = ""


async def store(asked: Asked) -> Response:
    """Takes the objects of a request one by one; each is whole, synced and in the catalogue before the next.

    The status is 200 when all were stored, 202 when some were, 409 when none was (507: for want of room). A
    malformed body is 400 if nothing was stored before; otherwise the answer says what was, and one failure.
    """
    place, owned = await asked.rooms.pools.database(asked.rooms.places.owned)
    pool = asked.rooms.pools.of_store(place.id)
    stored: list[Received] = []
    failures: list[Failure] = []
    try:
        async with aclosing(_arrivals(asked.request, pool, owned)) as arrivals:
            async for arriving in arrivals:
                match await pool.run(_receive, asked, arriving):
                    case Failure() as failure:
                        failures.append(failure)
                    case received:
                        stored.append(received)
    except BadRequest:
        if not stored:
            raise
        failures.append(Failure(CANNOT_UNDERSTAND))
    if not stored and not failures:
        raise BadRequest(
            "the request holds no DICOM objects", "send each as a part of type application/dicom"
        )
    status, document = answer(asked.url, stored, failures)
    body = msgspec.json.encode(document)
    return Response(body, status, headers={"Content-Type": "application/dicom+json"})


def answer(
    url: Callable[[str, str, str], str], stored: Sequence[Received], failures: Sequence[Failure]
) -> tuple[int, dict[str, Any]]:
    """The status, and the Store Instances Response Module (PS3.18 annex I.2) in the DICOM JSON Model."""
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
    return {"00081197": {"vr": "US", "Value": [failure.reason]}}


# --------------------------------------------------------------------------------------- one object


class Arriving:
    """An object on its way in: in memory while it is small, else in a temporary file of the owned store."""

    def __init__(self, pool: Pool, owned: OwnedStore) -> None:
        self.size = 0
        self._pool = pool
        self._owned = owned
        self._pieces: list[bytes] = []
        self._held = 0
        self._file: BinaryIO | None = None

    async def add(self, piece: bytes) -> None:
        """Takes more bytes. StorageFull."""
        self._pieces.append(piece)
        self._held += len(piece)
        self.size += len(piece)
        if self._held >= CHUNK:
            await self._pool.run(self._spill)

    def chunks(self) -> Iterator[bytes]:
        """All bytes, from the first. Blocks, as does `read`."""
        if self._file is None:
            yield from self._pieces
        else:
            file = self._spill()
            file.seek(0)
            while chunk := file.read(CHUNK):
                yield chunk

    def read(self, offset: int, length: int) -> bytes:
        """Some bytes; fewer at the end."""
        if self._file is None:
            self._pieces = [b"".join(self._pieces)]
            return self._pieces[0][offset : offset + length]
        file = self._spill()
        file.seek(offset)
        return file.read(length)

    def close(self) -> None:
        if self._file:
            self._file.close()

    def _spill(self) -> BinaryIO:
        if self._file is None:
            self._file = self._owned.spool()
        self._file.seek(0, SEEK_END)
        self._file.writelines(self._pieces)
        self._pieces, self._held = [], 0
        return self._file


def _receive(asked: Asked, arriving: Arriving) -> Received | Failure:
    """Stores one object, or says why not."""
    grant = asked.grant
    try:
        return arrive.receive(
            asked.rooms.database,
            asked.rooms.places,
            arriving.chunks(),
            door="result" if grant.task else "stow",
            task=grant.task,
            attempt=grant.attempt,
            study=asked.study,
        )
    except KahuError as error:
        log.info("an object was not stored: %s", error)
        return _failure(error, arriving, asked.study)
    except OSError as error:
        log.error("an object could not be written: %s", error.strerror)
        return Failure(OUT_OF_RESOURCES)


def _failure(error: KahuError, arriving: Arriving, study: str) -> Failure:
    if isinstance(error, StorageFull):
        return Failure(OUT_OF_RESOURCES)
    try:
        header = read_header(arriving.read, arriving.size)
    except NotDicom:
        return Failure(CANNOT_UNDERSTAND)
    reason = PROCESSING_FAILURE
    if isinstance(error, Conflict):
        reason = OTHER_STUDY if study not in ("", header.study_instance_uid) else DUPLICATE_UID
    return Failure(reason, header.sop_class_uid, header.sop_instance_uid)


async def _arrivals(request: Request, pool: Pool, owned: OwnedStore) -> AsyncGenerator[Arriving, None]:
    """The objects of a request, each when it is whole; closed when the next is asked for."""
    arriving = Arriving(pool, owned)
    try:
        async with aclosing(_events(request)) as events:
            async for event in events:
                match event:
                    case Begin():
                        arriving = Arriving(pool, owned)
                    case End():
                        yield arriving
                        arriving.close()
                    case _:
                        await arriving.add(event)
    finally:
        arriving.close()


async def _events(request: Request) -> AsyncGenerator[Event, None]:
    """The body as parts, be it multipart or a single object."""
    if request.headers.get("content-encoding", "identity") != "identity":
        raise Unsupported("a body with a Content-Encoding is not taken", "send it as it is")
    said = request.headers.get("content-type", "")
    content = MediaType.parse(said) if said else MediaType("")
    if content.type == DICOM:
        yield Begin({"content-type": DICOM})
        async for chunk in request.stream():
            yield chunk
        yield End()
        return
    if content.type != "multipart/related" or content.parameters.get("type", DICOM).lower() != DICOM:
        hint = 'send application/dicom, or multipart/related; type="application/dicom"'
        raise Unsupported("DICOM objects are taken as files (PS3.10) only", hint)
    reader = Reader(said)
    async for chunk in request.stream():
        for event in reader.feed(chunk):
            yield event
    reader.finish()
