"""Instances that are sent as DICOM JSON with bulk data (PS3.18 §10.5.1, §8.6.1): files are made of them.

The metadata are held in memory, bulk data in one file of the spool, until all have come: any of the instances may
refer to any of the parts.
"""

from collections import defaultdict
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any, BinaryIO
from urllib.parse import unquote, urlsplit

from kahu.catalog.inbox import Arriving
from kahu.dicom import json_read
from kahu.dicom.json_read import Bulk
from kahu.dicom.multipart import Begin, End, Event, MediaType
from kahu.errors import BadRequest, BrokenDicom, KahuError
from kahu.server.dicomweb import outcomes
from kahu.server.dicomweb.asked import Asked
from kahu.server.dicomweb.forms import FRAME_TYPES, PRESUMED
from kahu.server.dicomweb.incoming import JSON
from kahu.server.dicomweb.outcomes import Given, failure
from kahu.server.pools import CHUNK, Pool
from kahu.stores.reading import pread

_MOST_METADATA = 256 << 20
_COMPRESSED = frozenset(FRAME_TYPES.values())


async def take(asked: Asked, pool: Pool, events: AsyncGenerator[Event, None], sent: list[Given]) -> None:
    """Reads the whole message, and gives the inbox a file for each of its instances. BadRequest: its metadata are
    no JSON, or too long."""
    with closing(await pool.run(asked.rooms.inbox.store.spool)) as file:
        message = _Message(file)
        async for event in events:
            match event:
                case Begin():
                    message.begin(event.headers)
                case End():
                    message.end()
                case _:
                    message.add(event)
                    if message.held >= CHUNK:
                        await pool.run(message.spill)
        for instance in await pool.run(message.instances):
            sent.append(await _give(asked, pool, instance, message.find))


async def _give(asked: Asked, pool: Pool, instance: Mapping[str, Any], find: json_read.Find) -> Given:
    arriving: Arriving | None = None
    try:
        arriving = await outcomes.begin(asked)
        await pool.run(_write, arriving, instance, find)
        return outcomes.finish(asked, arriving)
    except KahuError as error:
        return failure(error, *json_read.identity(instance))
    finally:
        if arriving:
            arriving.close()


def _write(arriving: Arriving, instance: Mapping[str, Any], find: json_read.Find) -> None:
    for piece in json_read.to_file(instance, find):
        arriving.write(piece)


@dataclass(frozen=True)
class _Part:
    """A value that has come."""

    content: MediaType
    start: int
    """in the spool"""
    length: int


class _Message:
    """The parts of a message, as far as they have come. The frames of one value are parts of the same name."""

    def __init__(self, file: BinaryIO) -> None:
        self.held = 0
        """bytes in memory that belong into the file"""
        self._file = file
        self._pieces: list[bytes] = []
        self._length = 0
        self._documents: list[bytearray] = []
        self._parts: dict[str, list[_Part]] = defaultdict(list)
        self._name = ""
        self._content = MediaType(JSON)
        self._start = 0

    def begin(self, headers: Mapping[str, str]) -> None:
        """A part begins: metadata if it says so, or if it is the first and says nothing."""
        said = headers.get("content-type") or ("application/octet-stream" if self._documents else JSON)
        self._content = MediaType.parse(said)
        self._name = _named(headers.get("content-location", ""))
        if "content-id" in headers and not self._name:
            self._name = f"cid:{headers['content-id'].strip('<> ')}"
        self._start = self._length
        if self._content.type == JSON:
            self._documents.append(bytearray())

    def add(self, piece: bytes) -> None:
        if self._content.type == JSON:
            self._documents[-1].extend(piece)
            if sum(map(len, self._documents)) > _MOST_METADATA:
                raise BadRequest("the metadata are too long", "send binary values as parts of their own")
        else:
            self._pieces.append(piece)
            self.held += len(piece)
            self._length += len(piece)

    def end(self) -> None:
        if self._content.type != JSON:
            part = _Part(self._content, self._start, self._length - self._start)
            self._parts[self._name].append(part)

    def spill(self) -> None:
        """Writes to the file what is in memory. Blocks, as do the others below."""
        for piece in self._pieces:
            self._file.write(piece)
        self._pieces, self.held = [], 0

    def instances(self) -> list[Mapping[str, Any]]:
        """All instances, when everything has come. BadRequest."""
        self.spill()
        return [one for document in self._documents for one in json_read.instances(bytes(document))]

    def find(self, uri: str) -> Bulk:
        """What a BulkDataURI stands for. BrokenDicom: no part of this message."""
        parts = self._parts.get(_named(uri))
        if not parts:
            raise BrokenDicom(
                "a BulkDataURI is the Content-Location of no part", "send the value with the metadata"
            )
        return Bulk(
            [partial(self._read, part) for part in parts],
            sum(part.length for part in parts),
            _transfer_syntax(parts[0].content),
        )

    def _read(self, part: _Part) -> Iterator[bytes]:
        for at in range(part.start, part.start + part.length, CHUNK):
            yield pread(self._file.fileno(), at, min(CHUNK, part.start + part.length - at))


def _named(uri: str) -> str:
    """A name under which Content-Location and BulkDataURI meet, be one of them relative."""
    try:
        split = urlsplit(uri.strip())
    except ValueError:
        return uri.strip()
    return (
        uri.strip()
        if split.scheme == "cid"
        else f"{unquote(split.path).strip('/')}?{split.query}".rstrip("?")
    )


def _transfer_syntax(content: MediaType) -> str:
    """That of frames; empty: the value is not compressed. BrokenDicom: it does not say."""
    stated = content.parameters.get("transfer-syntax", "")
    if content.type in _COMPRESSED and not stated:
        stated = PRESUMED.get(content.type, "")
        if not stated:
            raise BrokenDicom(f"{content.type} may be of any transfer syntax", "name it: transfer-syntax=UID")
    return stated if stated in FRAME_TYPES else ""
