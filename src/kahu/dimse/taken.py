"""An object that a message brings, whoever asked for it: into the inbox, and the status that answers for it (C-STORE,
PS3.4 annex B)."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass

from kahu.catalog.arrive import Received
from kahu.catalog.inbox import Inbox
from kahu.dicom.file_meta import stated
from kahu.dimse.association import Context, Message
from kahu.dimse.status import CANNOT_UNDERSTAND, DOES_NOT_MATCH, DUPLICATE, OUT_OF_RESOURCES, SUCCESS
from kahu.errors import AssociationLost, BadRequest, Conflict, KahuError, NotDicom, OtherStudy

log = logging.getLogger(__name__)

_PIECE = 256 << 10

_STATUSES: tuple[tuple[type[KahuError], int], ...] = (
    (OtherStudy, DOES_NOT_MATCH),
    (Conflict, DUPLICATE),
    (BadRequest, DOES_NOT_MATCH),
    (NotDicom, CANNOT_UNDERSTAND),
    (KahuError, OUT_OF_RESOURCES),
)


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of an object."""

    status: int
    comment: str = ""
    """why it was not kept"""
    received: Received | None = None
    """None: it was not kept"""


def take(inbox: Inbox, message: Message, context: Context, source: str) -> Taken:
    """Keeps the object of a C-STORE request; returns when it is durable. `source`: the AE title that it came from.
    AssociationLost: it has not come whole."""
    sop_class, instance = (message.command.get(f"AffectedSOP{kind}UID", "") for kind in ("Class", "Instance"))
    if message.data is None or not instance:
        return Taken(CANNOT_UNDERSTAND, "no data set, or no SOP Instance UID")
    if sop_class != context.abstract_syntax:
        return Taken(DOES_NOT_MATCH, "the SOP class is not that of the presentation context")
    try:
        with closing(inbox.open()) as arriving:
            for piece in _gathered(
                stated(sop_class, instance, context.transfer_syntax, source), message.data
            ):
                arriving.write(piece)
            received = arriving.finish(door="c-store", said=(sop_class, instance)).result()
    except AssociationLost:
        raise
    except KahuError as error:
        log.info("an object from %s was not stored: %s", source, error)
        return Taken(next(code for kind, code in _STATUSES if isinstance(error, kind)), str(error))
    return Taken(SUCCESS, "", received)


def _gathered(meta: bytes, data: Iterable[memoryview]) -> Iterator[bytes]:
    """All of them in large pieces, however small the PDUs are: to write and to hash each costs the same again."""
    gathered = bytearray(meta)
    for piece in data:
        gathered += piece
        if len(gathered) >= _PIECE:
            yield bytes(gathered)
            gathered.clear()
    yield bytes(gathered)
