"""Associations that we ask for: who we are there, and how work that a person cancels comes out of one that hangs."""

import ssl
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from kahu.dimse import association, status
from kahu.dimse.association import Association, Message
from kahu.dimse.pdu import Proposed, Role
from kahu.dimse.peers import Peer
from kahu.dimse.status import Operation
from kahu.errors import AssociationLost, RefusedByPeer
from kahu.work import Interrupted, Report

SILENCE = 30.0
"""seconds after which a peer is given up that neither takes nor sends a byte in the middle of something"""
ANSWER = 60.0
"""seconds in which a peer must answer a request: to store an object, it may have to write it to a tape"""

_LOOK = 0.2  # seconds between two looks whether the work is still wanted


@dataclass(frozen=True)
class Ourselves:
    """How we present ourselves to peers."""

    aet: str
    port: int | None = None
    """where we take objects (C-STORE), if we do"""
    tls: ssl.SSLContext | None = None
    """for peers that want TLS"""


def reach(peer: Peer, contexts: Sequence[Proposed], us: Ourselves, roles: Sequence[Role] = ()) -> Association:
    """An association with a peer. AssociationRefused, AssociationLost."""
    return association.request(peer, contexts, calling=us.aet, roles=roles, tls=us.tls, timeout=SILENCE)


@contextmanager
def reached(
    report: Report, peer: Peer, contexts: Sequence[Proposed], us: Ourselves, roles: Sequence[Role] = ()
) -> Iterator[Association]:
    """The same for work that can be cancelled: then it ends at once, whatever the peer does, and `Interrupted`
    leaves the block. It is released at the end, or aborted when an exception leaves the block."""
    opened = _begun(report, peer, contexts, us, roles)
    over = threading.Event()

    def watch() -> None:
        try:
            while not over.wait(_LOOK):
                report.check()
        except Interrupted:
            opened.interrupt()

    watcher = threading.Thread(target=watch, name=f"watching {peer.name}", daemon=True)
    watcher.start()
    try:
        with opened:
            yield opened
    except AssociationLost:
        report.check()  # it may be us who has ended it
        raise
    finally:
        over.set()
        watcher.join()


def answer(association: Association, peer: Peer, seconds: float | None = None) -> Message:
    """The next message of a peer that owes us one, within so many seconds (`ANSWER`). AssociationLost: none comes."""
    wait = ANSWER if seconds is None else seconds
    if not association.waiting(wait):
        association.abort()
        raise AssociationLost(
            f"{peer.name} has not answered for {wait:g} s", "look at its log, then try again"
        )
    message = association.receive()
    if message is None:
        raise AssociationLost(
            f"{peer.name} has ended the association early", "look at its log, then try again"
        )
    return message


def refused(peer: Peer, code: int, operation: Operation, hint: str = "") -> RefusedByPeer:
    """The error that a status of a peer is."""
    return RefusedByPeer(f"{peer.name} answers: {status.words(code, operation)}", hint)


def _begun(report: Report, *asked: Any) -> Association:
    """Connects in a thread of its own, since a connection that is not answered cannot be interrupted."""
    opening: Future[Association] = Future()

    def connect() -> None:
        try:
            opening.set_result(reach(*asked))
        except BaseException as error:  # noqa: BLE001 - not handled here: it belongs to whoever waits
            opening.set_exception(error)

    threading.Thread(target=connect, name="connecting to a peer", daemon=True).start()
    while True:
        try:
            return opening.result(_LOOK)
        except NotYet:
            try:
                report.check()
            except Interrupted:
                opening.add_done_callback(_abort)
                raise


def _abort(opening: Future[Association]) -> None:
    if opening.exception() is None:
        opening.result().abort()
