"""C-STORE: objects come in (PS3.4 annex B, PS3.7 §9.1.1)."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import closing

from kahu.dimse.association import Message
from kahu.dimse.part10 import meta_information
from kahu.errors import AssociationLost, BadRequest, Conflict, KahuError, NotDicom
from kahu.server.dimse.call import Call
from kahu.server.dimse.statuses import (
    CANNOT_UNDERSTAND,
    DOES_NOT_MATCH,
    DUPLICATE_UID,
    OUT_OF_RESOURCES,
    SUCCESS,
)

log = logging.getLogger(__name__)

_PIECE = 256 << 10


def perform(call: Call, message: Message) -> None:
    """Keeps the object, and answers when it is durable."""
    call.answer(message, *_keep(call, message))


def _keep(call: Call, message: Message) -> tuple[int, str]:
    """The status, and a comment on it."""
    command, context = message.command, call.context(message)
    sop_class, instance = (command.get(f"AffectedSOP{kind}UID", "") for kind in ("Class", "Instance"))
    if message.data is None or not instance:
        return CANNOT_UNDERSTAND, "no data set, or no SOP Instance UID"
    if sop_class != context.abstract_syntax:
        return DOES_NOT_MATCH, "the SOP class is not that of the presentation context"
    try:
        with closing(call.services.inbox.open()) as arriving:
            meta = meta_information(sop_class, instance, context.transfer_syntax, call.caller.aet)
            for piece in _gathered(meta, message.data):
                arriving.write(piece)
            received = arriving.finish(door="c-store", said=(sop_class, instance)).result()
    except AssociationLost:
        raise
    except KahuError as error:
        log.info("an object of %s was not stored: %s", call.caller.who, error)
        return _status(error), str(error)
    if received.study_instance_uid not in call.studies:
        call.studies.add(received.study_instance_uid)
        call.audit("C-STORE", f"studies/{received.study_instance_uid}")
    return SUCCESS, ""


def _gathered(meta: bytes, data: Iterable[memoryview]) -> Iterator[bytes]:
    """All of them in large pieces, however small the PDUs are: to write and to hash each costs the same again."""
    gathered = bytearray(meta)
    for piece in data:
        gathered += piece
        if len(gathered) >= _PIECE:
            yield bytes(gathered)
            gathered.clear()
    yield bytes(gathered)


_STATUSES: tuple[tuple[type[KahuError], int], ...] = (
    (Conflict, DUPLICATE_UID),
    (BadRequest, DOES_NOT_MATCH),
    (NotDicom, CANNOT_UNDERSTAND),
    (KahuError, OUT_OF_RESOURCES),
)


def _status(error: KahuError) -> int:
    return next(status for kind, status in _STATUSES if isinstance(error, kind))
