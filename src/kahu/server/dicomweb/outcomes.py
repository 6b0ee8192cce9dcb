"""Objects that are given to the inbox, and what becomes of each, in the words of the standard (PS3.18 §10.5.3, annex
I.2.2)."""

import logging
from asyncio import wrap_future
from dataclasses import dataclass

from kahu.catalog.arrive import Received
from kahu.catalog.inbox import Arriving
from kahu.errors import Conflict, KahuError, NotDicom, OtherStudy, StorageFull
from kahu.server.dicomweb.asked import Asked

log = logging.getLogger("kahu.server")

# Failure reasons (PS3.18 annex I.2.2, PS3.4 table B.2-1, PS3.7 annex C).
PROCESSING_FAILURE = 0x0110
DUPLICATE_UID = 0x0111
OUT_OF_RESOURCES = 0xA700
OTHER_STUDY = 0xA901  # the object is not of the study that it was sent to, or its series is of another
CANNOT_UNDERSTAND = 0xC000

_LONGEST_COMMENT = 64  # characters of an LO (PS3.5 §6.2)


@dataclass(frozen=True)
class Failure:
    """An instance that was not stored."""

    reason: int
    sop_class_uid: str = ""
    """empty, as the next: it could not be read"""
    sop_instance_uid: str = ""
    comment: str = ""
    """for people"""


Given = Arriving | Failure
"""an object in the inbox's hands, or why it did not come there"""


async def begin(asked: Asked) -> Arriving:
    """An object whose bytes begin to arrive, when there is room. Unavailable."""
    opening = asked.rooms.inbox.opening()
    return opening.result() if opening.done() else await wrap_future(opening)


def finish(asked: Asked, arriving: Arriving) -> Arriving:
    """Gives an object that has come whole to the inbox. Unavailable."""
    grant = asked.grant
    arriving.finish(
        door="result" if grant.task else "stow", task=grant.task, attempt=grant.attempt, study=asked.study
    )
    return arriving


async def outcome(sent: Given) -> Received | Failure:
    """What became of an object, when that is known."""
    if isinstance(sent, Failure):
        return sent
    try:
        received: Received = sent.future.result() if sent.future.done() else await wrap_future(sent.future)
        return received
    except KahuError as error:
        header = sent.header
        if header is None:
            return failure(error)
        return failure(error, header.sop_class_uid, header.sop_instance_uid)


def failure(error: KahuError, sop_class_uid: str = "", sop_instance_uid: str = "") -> Failure:
    """Why an object is not stored, in the standard's terms."""
    log.info("an object was not stored: %s", error)
    reason = PROCESSING_FAILURE
    if isinstance(error, StorageFull):
        reason = OUT_OF_RESOURCES
    elif isinstance(error, NotDicom):
        reason = CANNOT_UNDERSTAND
    elif isinstance(error, OtherStudy):
        reason = OTHER_STUDY
    elif isinstance(error, Conflict):
        reason = DUPLICATE_UID
    return Failure(reason, sop_class_uid, sop_instance_uid, str(error)[:_LONGEST_COMMENT])
