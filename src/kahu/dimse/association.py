"""Associations, from either side (PS3.8 §7, §9): begun, messages both ways, ended.

An association belongs to one thread at a time. It reads and writes a blocking socket; every read and every write
ends within its time. Whatever a peer does wrong ends in an A-ABORT that says why, and in `AssociationLost` here.
"""

import socket
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from kahu.dimse import command as commands
from kahu.dimse import pdu
from kahu.dimse.command import Command
from kahu.dimse.messages import Aborted, Incoming, Released, outgoing, read_head
from kahu.dimse.pdu import Accept, Answered, Proposed, Reject, Request, Role, Violation
from kahu.dimse.peers import Peer
from kahu.dimse.stream import Buffer, Stream
from kahu.errors import AssociationLost, AssociationRefused

MAX_LENGTH = 256 << 10
"""bytes of a P-DATA-TF PDU that we receive, and the most that we send"""

ARTIM = 30.0
"""seconds in which an association must be begun, or ended"""
TIMEOUT = 60.0
"""seconds after which a peer is given up that is silent in the middle of something"""

_MOST_ASSOCIATE = 1 << 20
_BATCH = 256 << 10  # bytes that are gathered for one system call


@dataclass(frozen=True, slots=True)
class Context:
    """An accepted presentation context."""

    abstract_syntax: str
    transfer_syntax: str
    as_scu: bool
    """whether we may ask for operations"""


@dataclass(frozen=True, slots=True)
class Terms:
    """On what an association is accepted."""

    contexts: tuple[Answered, ...]
    roles: tuple[Role, ...] = ()
    extended: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Message:
    """A command set, and the data set behind it if there is one."""

    context_id: int
    command: Command
    data: Iterator[memoryview] | None
    """pieces of the data set's bytes, each valid until the next is asked for. What is not read of it is passed
    over when the next message is received. AssociationLost while it is read: the data set has not come whole."""


class Association:
    """An association that has been accepted; `accept` and `request` make them.

    As a context manager it is released at the end, or aborted when an exception leaves the block.
    """

    def __init__(
        self,
        stream: Stream,
        asked: Request,
        accepted: Accept,
        *,
        requested: bool,
        contexts: dict[int, Context],
    ) -> None:
        self.contexts: Mapping[int, Context] = contexts
        """by presentation context ID"""
        self.called = asked.called
        self.calling = asked.calling
        self.extended = accepted.extended
        """SOP class extended negotiation, as it was answered"""
        self.ended = False
        self._requested = requested
        self._stream = stream
        max_length = accepted.max_length if requested else asked.max_length
        self._most = min(max_length or MAX_LENGTH, MAX_LENGTH)
        self._incoming = Incoming(stream, contexts, MAX_LENGTH)
        self._reading: Iterator[memoryview] | None = None
        self._last_id = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.release()
        else:
            self.abort()

    def context_for(self, abstract_syntax: str, transfer_syntaxes: Sequence[str] = ()) -> int | None:
        """The ID of a context in which we may ask for this; in the first of `transfer_syntaxes` that there is,
        where they are given."""
        wanted = [
            (i, c) for i, c in self.contexts.items() if c.abstract_syntax == abstract_syntax and c.as_scu
        ]
        if not transfer_syntaxes:
            return wanted[0][0] if wanted else None
        by_syntax = {context.transfer_syntax: each for each, context in reversed(wanted)}
        return next((by_syntax[syntax] for syntax in transfer_syntaxes if syntax in by_syntax), None)

    def next_message_id(self) -> int:
        """A Message ID for a request of ours: 1 to 65535, not one of those before it."""
        self._last_id = self._last_id % 0xFFFF + 1
        return self._last_id

    # Messages

    def receive(self, timeout: float | None = None) -> Message | None:
        """The next message; None: the peer has released the association, in order, and it is closed.

        `timeout`: seconds to wait for its first byte, if it is not to be that of the association.
        AssociationLost: the peer has aborted, gone, fallen silent, or sent what it must not.
        """
        with self._aborting():
            for _ in self._reading or ():
                pass
            if timeout is not None and not self.waiting(timeout):
                raise AssociationLost("the peer has sent nothing for too long")
            try:
                context_id, body = self._incoming.command()
            except Released:
                self._stream.write([pdu.encode(pdu.RELEASE_RP)])
                self._close()
                return None
            command = commands.decode(body)
            has_data = command["CommandDataSetType"] != commands.NO_DATA_SET
            self._reading = self._data(context_id) if has_data else None
            return Message(context_id, command, self._reading)

    def _data(self, context_id: int) -> Iterator[memoryview]:
        with self._aborting():
            yield from self._incoming.data(context_id)
            self._reading = None

    def waiting(self, seconds: float = 0) -> bool:
        """Whether something has come that has not been received, within so many seconds."""
        return self._incoming.begun or self._stream.wait(seconds)

    def send(
        self, context_id: int, command: Mapping[str, object], data: Iterable[Buffer] | None = None
    ) -> None:
        """Sends a message. `data`: the bytes of its data set, in pieces of any size; Command Data Set Type follows
        from it. AssociationLost. What `data` raises passes through; the message is broken then, and the association
        aborted."""
        try:
            with self._aborting():
                self._send(context_id, commands.encode(command, data is not None), data)
        except BaseException:
            self.abort()
            raise

    def _send(self, context_id: int, command: bytes, data: Iterable[Buffer] | None) -> None:
        gathered: list[Buffer] = []
        size = 0
        for head, piece in outgoing(context_id, command, data, self._most):
            gathered += (head, piece)
            size += len(piece)
            if size >= _BATCH:
                self._stream.write(gathered)
                gathered, size = [], 0
        self._stream.write(gathered)

    # Its end

    def release(self) -> None:
        """Ends the association in order: waits until the peer agrees, for a while. All that was answered before
        is done, whatever happens now, so this raises nothing."""
        if self.ended:
            return
        self._stream.limit(ARTIM)
        agreed = pdu.encode(pdu.RELEASE_RP)
        with suppress(AssociationLost, Violation):
            self._stream.write([pdu.encode(pdu.RELEASE_RQ)])
            collided = False
            for _ in (
                self._incoming.until_released()
            ):  # both at once: who has requested the association agrees first
                collided = True
                if self._requested:
                    self._stream.write([agreed])
            if collided and not self._requested:
                self._stream.write([agreed])
        self.ended = True
        self._stream.close()

    def abort(self, why: pdu.Abort = pdu.BY_USER) -> None:
        """Ends the association at once. Raises nothing, and does nothing once it has ended."""
        if not self.ended:
            with suppress(AssociationLost):
                self._stream.write([pdu.encode_abort(why)])
            self._close()

    def interrupt(self) -> None:
        """Makes `receive` fail now; the one call that another thread may make."""
        self._stream.interrupt()

    def _close(self) -> None:
        self.ended = True
        self._stream.end()

    @contextmanager
    def _aborting(self) -> Iterator[None]:
        """Ends the association where it cannot go on."""
        try:
            yield
        except Violation as violation:
            self.abort(violation.abort)
            raise AssociationLost(f"the peer does not keep to the protocol: {violation}") from violation
        except Aborted:
            self._close()
            raise
        except AssociationLost:
            self.abort(pdu.NO_REASON_GIVEN)
            raise


def _associate(stream: Stream, length: int) -> bytes:
    """The body of a PDU that is about to begin an association."""
    if length > _MOST_ASSOCIATE:
        raise Violation("an A-ASSOCIATE PDU is longer than any can be")
    body = bytearray()
    while len(body) < length:
        body += stream.some(length - len(body))
    return bytes(body)


# Beginning one


def accept(
    sock: socket.socket, judge: Callable[[Request], Terms | Reject], *, timeout: float = TIMEOUT
) -> Association | None:
    """Answers the one who has connected; None: `judge` has rejected what it asked for.

    AssociationLost: it has said nothing within `ARTIM`, or no A-ASSOCIATE-RQ. The socket is closed in both cases.
    """
    stream = Stream(sock, timeout)
    stream.limit(ARTIM)
    try:
        asked = _asked(stream)
        if isinstance(asked, Reject):
            _reject(stream, asked)
            return None
        verdict = judge(asked)
        if isinstance(verdict, Reject):
            _reject(stream, verdict)
            return None
        accepted = Accept(
            asked.called,
            asked.calling,
            MAX_LENGTH,
            verdict.roles,
            verdict.extended,
            contexts=verdict.contexts,
        )
        stream.write([pdu.encode_accept(accepted)])
    except Violation as violation:
        _give_up(stream, violation.abort)
        raise AssociationLost(f"no association was asked for: {violation}") from violation
    except AssociationLost:
        _give_up(stream, pdu.NO_REASON_GIVEN)
        raise
    stream.limit(None)
    contexts = _agreed(asked.contexts, accepted, requested=False)
    return Association(stream, asked, accepted, requested=False, contexts=contexts)


def _reject(stream: Stream, reject: Reject) -> None:
    stream.write([pdu.encode_reject(reject)])
    stream.end()


def _asked(stream: Stream) -> Request | Reject:
    kind, length = read_head(stream)
    if kind != pdu.ASSOCIATE_RQ:
        raise Violation("another PDU than A-ASSOCIATE-RQ", pdu.UNEXPECTED_PDU)
    return pdu.decode_request(_associate(stream, length))


def request(
    peer: Peer,
    contexts: Sequence[Proposed],
    *,
    calling: str,
    roles: Sequence[Role] = (),
    tls: ssl.SSLContext | None = None,
    timeout: float = TIMEOUT,
) -> Association:
    """Asks `peer` for an association, as the AE title `calling`.

    `contexts`: at most 128 (`contexts.proposed` gives them their IDs). `tls` is used where the peer wants TLS.
    AssociationRefused: it rejects, or accepts none of the contexts. AssociationLost: it cannot be reached, or does
    not answer.
    """
    where = f"{peer.name} ({peer.host} port {peer.port})"
    asked = Request(peer.aet, calling, MAX_LENGTH, tuple(roles), contexts=tuple(contexts))
    stream = Stream(_connected(peer, tls, timeout, where), timeout)
    stream.limit(ARTIM)
    try:
        stream.write([pdu.encode_request(asked)])
        accepted = _answer(stream, where)
    except Violation as violation:
        _give_up(stream, violation.abort)
        raise AssociationLost(f"{where} does not speak DICOM: {violation}", "check its port") from violation
    except AssociationLost as error:
        _give_up(stream, pdu.NO_REASON_GIVEN)
        raise AssociationLost(f"{where} gives no answer: {error}", "check its port, and TLS") from error
    stream.limit(None)
    agreed = _agreed(contexts, accepted, requested=True)
    association = Association(stream, asked, accepted, requested=True, contexts=agreed)
    if not agreed:
        association.release()
        raise AssociationRefused(f"{where} performs none of what it was asked for", "see its configuration")
    return association


def _connected(peer: Peer, tls: ssl.SSLContext | None, timeout: float, where: str) -> socket.socket:
    if peer.tls and tls is None:
        raise AssociationLost(f"{where} wants TLS, which is not configured here")
    try:
        sock = socket.create_connection((peer.host, peer.port), min(timeout, ARTIM))
    except OSError as error:
        message = f"{where} cannot be reached: {error.strerror or error}"
        raise AssociationLost(message, "check its host and port, and that it runs") from error
    if not (peer.tls and tls):
        return sock
    try:
        return tls.wrap_socket(sock, server_hostname=peer.host)
    except OSError as error:
        sock.close()
        reason = getattr(error, "verify_message", "") or getattr(error, "reason", "") or "no handshake"
        raise AssociationLost(f"{where}: TLS fails: {reason}", "check the certificates") from error


def _answer(stream: Stream, where: str) -> Accept:
    """What an A-ASSOCIATE-RQ was answered with. AssociationRefused."""
    kind, length = read_head(stream)
    body = _associate(stream, length)
    if kind == pdu.ASSOCIATE_RJ:
        reject = pdu.decode_reject(body)
        stream.end()
        hint = "ask who runs it to let this AE title in" if reject.source == 1 else "try again later"
        raise AssociationRefused(f"{where} rejects the association: {reject.words}", hint)
    if kind == pdu.ABORT:
        stream.end()
        raise AssociationRefused(f"{where} aborts the association at once", "see its log")
    if kind != pdu.ASSOCIATE_AC:
        raise Violation("another PDU than an answer", pdu.UNEXPECTED_PDU)
    return pdu.decode_accept(body)


def _agreed(proposed: Iterable[Proposed], accepted: Accept, *, requested: bool) -> dict[int, Context]:
    """The contexts that both sides have agreed on, as we see them."""
    roles = {role.sop_class: (role.scu, role.scp) for role in accepted.roles}
    asked = {context.id: context.abstract_syntax for context in proposed}
    agreed = {}
    for each in accepted.contexts:
        if each.result == pdu.ACCEPTED and each.id in asked:
            requestor_scu, requestor_scp = roles.get(asked[each.id], (True, False))
            as_scu = requestor_scu if requested else requestor_scp
            agreed[each.id] = Context(asked[each.id], each.transfer_syntax, as_scu)
    return agreed


def _give_up(stream: Stream, why: pdu.Abort) -> None:
    with suppress(AssociationLost):
        stream.write([pdu.encode_abort(why)])
    stream.end()
