"""C-GET and C-MOVE: objects go out, on the association on which they are asked for or on another of our own (PS3.4
C.4.2, C.4.3; PS3.7 §9.1.3, §9.1.4)."""

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress

from pydicom import Dataset

from kahu.catalog.fetch import Located
from kahu.dimse import association, identifier
from kahu.dimse.association import Association, Message
from kahu.dimse.contexts import to_send
from kahu.dimse.peers import Peer
from kahu.dimse.status import (
    CANCELLED,
    DESTINATION_UNKNOWN,
    DOES_NOT_MATCH,
    PENDING,
    SOME_FAILED,
    SUCCESS,
    UNABLE_TO_COUNT,
    UNABLE_TO_SEND,
)
from kahu.errors import AssociationLost, AssociationRefused, BadRequest, KahuError, Unavailable
from kahu.server.dimse.call import Call
from kahu.server.dimse.find import level_of, read_identifier
from kahu.server.dimse.offered import SERVICES
from kahu.server.dimse.selection import selected
from kahu.server.dimse.suboperations import Progress, SubOperations, forms

log = logging.getLogger(__name__)

_MOST_LISTED = 1000  # UIDs of failed objects: the length of a value is a number of 16 bits


def get(call: Call, message: Message) -> None:
    """C-GET: stores to the caller what it asks for."""
    wanted = _wanted(call, message)
    if wanted is None:
        return
    call.audit("C-GET", _named(wanted))
    cancelled = False

    def heard(other: Message) -> None:
        nonlocal cancelled
        cancelled |= call.is_cancel(other, message)

    services = call.services
    stores = SubOperations(services.database, services.places, call.association, {}, heard)
    _send_all(call, message, wanted, stores.send, lambda: cancelled or call.cancelled(message))


def move(call: Call, message: Message) -> None:
    """C-MOVE: stores to a peer that is known here by its AE title."""
    peer = call.services.peers.titled(message.command.get("MoveDestination", ""))
    if peer is None:
        log.warning("%s wants objects sent to an AE title that is not known", call.caller.who)
        call.answer(message, DESTINATION_UNKNOWN, "no peer here has this AE title")
        return
    wanted = _wanted(call, message)
    if wanted is None:
        return
    call.audit("C-MOVE", f"{_named(wanted)} to {peer.name}")
    if not wanted:
        _end(call, message, SUCCESS, Progress(0))
        return
    try:
        other = _association_with(call, peer, wanted)
    except (AssociationLost, AssociationRefused) as error:
        log.warning("%s wants objects sent: %s", call.caller.who, error)
        nothing = Progress(0, failed=[one.sop_instance_uid for one in wanted])
        _end(call, message, UNABLE_TO_SEND, nothing, f"{peer.name} cannot be reached, or rejects us")
        return
    with other:
        send = _sending(call, message, other)
        _send_all(call, message, wanted, send, lambda: call.cancelled(message))


def _sending(call: Call, message: Message, other: Association) -> Callable[[Located], int | None]:
    """Sends an object to the destination; once that is gone, nothing can be sent any more."""
    originator = {
        "MoveOriginatorApplicationEntityTitle": call.association.calling,
        "MoveOriginatorMessageID": message.command["MessageID"],
    }

    def heard(_: Message) -> None:
        other.abort()
        raise AssociationLost("the destination sends something else than a response")

    stores = SubOperations(call.services.database, call.services.places, other, originator, heard)

    def send(located: Located) -> int | None:
        if not other.ended:
            try:
                return stores.send(located)
            except AssociationLost as error:
                log.warning("the destination of a C-MOVE is lost: %s", error)
        return None

    return send


def _wanted(call: Call, message: Message) -> list[Located] | None:
    """What is asked for; None: that could not be told, and the caller has been answered."""
    context = call.context(message)
    try:
        asked = read_identifier(message, context.transfer_syntax)
        level = level_of(asked, SERVICES[context.abstract_syntax].levels)
        return call.database(selected, call.services.database, call.scope, asked, level)
    except AssociationLost:
        raise
    except BadRequest as error:
        call.answer(message, DOES_NOT_MATCH, str(error))
    except KahuError as error:
        call.answer(message, UNABLE_TO_COUNT, str(error))
    return None


def _association_with(call: Call, peer: Peer, wanted: Sequence[Located]) -> Association:
    """One in which these can be sent. AssociationLost, AssociationRefused."""
    kinds: dict[tuple[str, str], tuple[str, ...]] = {}
    for one in wanted:
        kind = (one.sop_class_uid, one.transfer_syntax) if one.locations else None
        if kind and kind not in kinds:
            with suppress(Unavailable):
                kinds[kind] = forms(call.services.database, one)
    us = call.services.ourselves
    return association.request(peer, to_send(kinds), calling=us.aet, tls=us.tls)


def _send_all(
    call: Call,
    message: Message,
    wanted: Sequence[Located],
    send: Callable[[Located], int | None],
    cancelled: Callable[[], bool],
) -> None:
    """Sends one by one, and tells the caller after each how far it is."""
    progress = Progress(len(wanted))
    for located in wanted:
        if cancelled():
            _end(call, message, CANCELLED, progress)
            return
        progress.count(located.sop_instance_uid, send(located))
        call.answer(message, PENDING, **progress.said(remaining=True))
    _end(call, message, SUCCESS if progress.clean else SOME_FAILED, progress)


def _end(call: Call, message: Message, status: int, progress: Progress, comment: str = "") -> None:
    """The last response: the counts, and which objects failed."""
    said = progress.said(remaining=status == CANCELLED)
    data = None
    if status != SUCCESS:
        failed = Dataset()
        failed.FailedSOPInstanceUIDList = progress.failed[:_MOST_LISTED]
        data = [identifier.encode(failed, call.context(message).transfer_syntax)]
    call.answer(message, status, comment, data, **said)


def _named(wanted: Sequence[Located]) -> str:
    """For the audit log."""
    studies = list(dict.fromkeys(f"studies/{one.study_instance_uid}" for one in wanted))
    more = f" and {len(studies) - 3} more" if len(studies) > 3 else ""
    return f"{', '.join(studies[:3])}{more}: {len(wanted)} objects"
