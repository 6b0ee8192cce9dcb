"""What we ask of a peer: whether it answers (C-ECHO), what it has (C-FIND)."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from pydicom import Dataset

from kahu.dicom.attributes import Level
from kahu.dicom.syntaxes import IMPLICIT_LE
from kahu.dimse import command, question
from kahu.dimse.association import Association
from kahu.dimse.contexts import (
    NATIVE,
    PATIENT_FIND,
    STUDY_FIND,
    STUDY_GET,
    STUDY_MOVE,
    VERIFICATION,
    proposed,
)
from kahu.dimse.identifier import decode_answer, encode
from kahu.dimse.peers import Peer
from kahu.dimse.reach import Ourselves, answer, reach, refused
from kahu.dimse.status import SUCCESS, pending
from kahu.errors import AssociationLost, RefusedByPeer

STOPPING = 10.0
"""seconds that a peer has to end what was cancelled"""

Service = Literal["echo", "find", "get", "move", "store"]

# An archive that takes objects takes one of these: CT, MR, Secondary Capture, Digital X-Ray.
_USUAL = tuple(f"1.2.840.10008.5.1.4.1.1.{end}" for end in ("2", "4", "7", "1.1"))

_SERVICES: dict[str, Service] = {
    VERIFICATION: "echo",
    STUDY_FIND: "find",
    STUDY_GET: "get",
    STUDY_MOVE: "move",
    **dict.fromkeys(_USUAL, "store"),
}


@dataclass(frozen=True)
class Echoed:
    """A peer that has answered."""

    seconds: float
    """until the association stood and the echo was back"""
    can: frozenset[Service]
    """what it offers to do for us"""


@dataclass(frozen=True)
class Found:
    """What a peer has answered to a question."""

    rows: list[dict[str, str]]
    """keyword -> value"""
    more: bool
    """there is more than was asked for"""


def echo(peer: Peer, us: Ourselves) -> Echoed:
    """Tests the connection (C-ECHO, PS3.4 annex A). AssociationRefused, AssociationLost, RefusedByPeer: why it
    fails."""
    began = time.perf_counter()
    with reach(peer, proposed((uid, (IMPLICIT_LE, *NATIVE[:1])) for uid in _SERVICES), us) as association:
        context = association.context_for(VERIFICATION)
        if context is not None:
            request = {
                "CommandField": command.C_ECHO,
                "AffectedSOPClassUID": VERIFICATION,
                "MessageID": association.next_message_id(),
            }
            association.send(context, request)
            reply = answer(association, peer).command
            if (code := answered(reply, request)) != SUCCESS:
                raise refused(peer, code, "C-ECHO")
        seconds = time.perf_counter() - began
        offered = {context.abstract_syntax for context in association.contexts.values()}
    return Echoed(seconds, frozenset(_SERVICES[uid] for uid in offered))


def find(peer: Peer, us: Ourselves, level: Level, keys: Mapping[str, str], limit: int) -> Found:
    """What a peer has at a level, under these keys (`question.identifier`).

    BadRequest: the question is not well formed. AssociationRefused, AssociationLost, RefusedByPeer.
    """
    identifier = question.identifier(level, keys)
    model = PATIENT_FIND if level == "PATIENT" else STUDY_FIND
    with reach(peer, proposed([(model, NATIVE)]), us) as association:
        answers = matches(association, peer, model, identifier, most=limit + 1)
        rows = [question.row(one) for one in answers]
    return Found(rows[:limit], len(rows) > limit)


def matches(
    association: Association, peer: Peer, model: str, identifier: Dataset, most: int | None = None
) -> Iterator[Dataset]:
    """What a peer answers to a C-FIND (PS3.4 C.4.1), `most` at most: then it is told to stop.

    RefusedByPeer: it does not take the question. AssociationLost.
    """
    context = association.context_for(model)
    if context is None:
        raise RefusedByPeer(f"{peer.name} answers no questions (C-FIND)", "see its configuration")
    syntax = association.contexts[context].transfer_syntax
    request = command.request(command.C_FIND, model, association.next_message_id())
    association.send(context, request, [encode(identifier, syntax)])
    number = 0
    while pending(code := answered((message := answer(association, peer)).command, request)):
        number += 1
        yield decode_answer(message.data or (), syntax)
        if number == most:
            association.send(context, command.cancel(request))
            _drain(association)
            return
    if code != SUCCESS:
        raise refused(peer, code, "C-FIND")


def _drain(association: Association) -> None:
    """Hears out a peer that was told to stop; one that does not listen is cut off."""
    end = time.monotonic() + STOPPING
    while association.waiting(max(0.0, end - time.monotonic())) and time.monotonic() < end:
        message = association.receive()
        if message is None or not pending(message.command.get("Status", SUCCESS)):
            return
    association.abort()


def answered(reply: command.Command, request: command.Command) -> int:
    """The status that answers a request. AssociationLost: the reply is no answer to it."""
    code = command.status_of(reply, request)
    if code is None:
        raise AssociationLost("the peer sends something else than the answer to what it was asked")
    return code
