"""Messages in P-DATA-TF PDUs, both ways: command sets and data sets in fragments of any size (PS3.8 §9.3.5, E)."""

import struct
from collections.abc import Container, Iterable, Iterator

from kahu.dimse import pdu
from kahu.dimse.command import MOST as MOST_COMMAND
from kahu.dimse.pdu import Violation
from kahu.dimse.stream import Buffer, Stream
from kahu.errors import AssociationLost

_SLACK = 64  # bytes: some count the heads of a PDU to its maximum length, and some do not
_PDU_HEAD = struct.Struct(">BxI")
_PDV_HEAD = struct.Struct(">IBB")
_HEADS = struct.Struct(">BxIIBB")
_COMMAND, _LAST = 1, 2


class Released(Exception):
    """The peer asks for release. Stays in this room."""


class Aborted(AssociationLost):
    """The peer has aborted the association."""

    def __init__(self) -> None:
        super().__init__("the peer has aborted the association")


def read_head(stream: Stream) -> tuple[int, int]:
    """Kind and length of the next PDU. Violation: there is no such kind, or it cannot be so long."""
    kind, length = _PDU_HEAD.unpack(stream.take(_PDU_HEAD.size))
    if not pdu.ASSOCIATE_RQ <= kind <= pdu.ABORT:
        raise Violation("a PDU of an unknown kind", pdu.UNRECOGNIZED_PDU)
    if kind > pdu.P_DATA and length != 4:
        raise Violation("a PDU is not as long as its kind is")
    return kind, length


class Incoming:
    """What comes, fragment by fragment. `contexts`: IDs of those that were accepted; `max_length`: bytes of a PDU that
    were announced. Everything raises Violation and AssociationLost."""

    def __init__(self, stream: Stream, contexts: Container[int], max_length: int) -> None:
        self._stream = stream
        self._contexts = contexts
        self._max_length = max_length
        self._left = 0  # bytes of the current PDU that have not been read

    @property
    def begun(self) -> bool:
        """Whether a PDU has been read in part."""
        return bool(self._left)

    def command(self) -> tuple[int, bytes]:
        """Presentation context ID and bytes of the next command set. Released."""
        body = bytearray()
        context_id, flags = 0, 0
        while not flags & _LAST:
            one, flags, length = self._fragment()
            if not flags & _COMMAND:
                raise Violation("a data set comes where a command should", pdu.BY_USER)
            if one not in self._contexts or (body and one != context_id):
                raise Violation("a presentation context that was not accepted")
            context_id = one
            if len(body) + length > MOST_COMMAND:
                raise Violation("a command set is longer than any can be", pdu.BY_USER)
            for piece in self._pieces(length):
                body += piece
        return context_id, bytes(body)

    def data(self, context_id: int) -> Iterator[memoryview]:
        """The bytes of a data set, as they come; each piece is valid until the next is asked for."""
        flags = 0
        while not flags & _LAST:
            try:
                one, flags, length = self._fragment()
            except Released:
                raise Violation("a release within a message", pdu.UNEXPECTED_PDU) from None
            if flags & _COMMAND or one != context_id:
                raise Violation("a data set is interrupted by something else", pdu.BY_USER)
            yield from self._pieces(length)

    def until_released(self) -> Iterator[int]:
        """Passes over all that comes until the peer agrees to a release; gives a release that it asks for itself."""
        self._pass(self._left)
        while True:
            kind, length = self._head()
            self._pass(length)
            if kind == pdu.RELEASE_RP:
                return
            if kind == pdu.RELEASE_RQ:
                yield kind
            elif kind != pdu.P_DATA:
                raise Violation("a PDU that is out of place", pdu.UNEXPECTED_PDU)

    def _fragment(self) -> tuple[int, int, int]:
        """Presentation context ID, message control header and length of the next fragment. Released."""
        while not self._left:
            kind, length = self._head()
            if kind == pdu.RELEASE_RQ:
                self._pass(length)
                raise Released
            if kind != pdu.P_DATA:
                raise Violation("a PDU that is out of place", pdu.UNEXPECTED_PDU)
            if length > self._max_length + _SLACK:
                raise Violation("a PDU is longer than was agreed")
            self._left = length
        if self._left < _PDV_HEAD.size:
            raise Violation("a PDU ends within a fragment")
        length, context_id, flags = _PDV_HEAD.unpack(self._stream.take(_PDV_HEAD.size))
        if not 2 <= length <= self._left - 4:
            raise Violation("a fragment is longer than its PDU")
        self._left -= length + 4
        return context_id, flags, length - 2

    def _head(self) -> tuple[int, int]:
        """Kind and length of the next PDU. Aborted."""
        kind, length = read_head(self._stream)
        if kind == pdu.ABORT:
            raise Aborted
        return kind, length

    def _pieces(self, length: int) -> Iterator[memoryview]:
        while length:
            piece = self._stream.some(length)
            length -= len(piece)
            yield piece

    def _pass(self, length: int) -> None:
        for _ in self._pieces(length):
            pass


def outgoing(
    context_id: int, command: bytes, data: Iterable[Buffer] | None, max_length: int
) -> Iterator[tuple[bytes, Buffer]]:
    """Heads and bodies of P-DATA-TF PDUs, each with one fragment, for a message to a peer that receives PDUs of
    `max_length`. `data`: the bytes of the data set, in pieces of any size."""
    room = max((max_length - _PDV_HEAD.size) & ~1, 2)  # fragments are of even length
    for piece, last in _cut([command], room):
        yield _heads(context_id, len(piece), _COMMAND | last), piece
    if data is not None:
        for piece, last in _cut(data, room):
            yield _heads(context_id, len(piece), last), piece


def _cut(pieces: Iterable[Buffer], room: int) -> Iterator[tuple[Buffer, int]]:
    """Pieces of no more than `room` bytes; with the last, which may be empty, the flag that says so."""
    before: Buffer = b""
    for piece in pieces:
        view = memoryview(piece)
        for at in range(0, len(view), room):
            if before:
                yield before, 0
            before = view[at : at + room]
    yield before, _LAST


def _heads(context_id: int, length: int, flags: int) -> bytes:
    return _HEADS.pack(pdu.P_DATA, length + 6, length + 2, context_id, flags)
