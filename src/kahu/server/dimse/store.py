"""C-STORE: objects come in (PS3.4 annex B, PS3.7 §9.1.1)."""

import logging
import struct
from contextlib import closing

from kahu.dimse.association import Message
from kahu.dimse.pdu import IMPLEMENTATION_CLASS, IMPLEMENTATION_VERSION
from kahu.errors import AssociationLost, Conflict, KahuError, NotDicom
from kahu.server.dimse.call import Call

log = logging.getLogger(__name__)

SUCCESS = 0x0000
DUPLICATE_UID = 0x0111
OUT_OF_RESOURCES = 0xA700
OTHER_OBJECT = 0xA900
CANNOT_UNDERSTAND = 0xC000

_PREFIX = bytes(128) + b"DICM"
_VERSION = b"\2\0\1\0OB\0\0\2\0\0\0\0\1"


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
        return OTHER_OBJECT, "the SOP class is not that of the presentation context"
    try:
        with closing(call.services.inbox.open()) as arriving:
            arriving.write(meta_information(sop_class, instance, context.transfer_syntax, call.caller.aet))
            for piece in message.data:
                arriving.write(bytes(piece))
            received = arriving.finish(door="c-store").result()
    except AssociationLost:
        raise
    except KahuError as error:
        log.info("an object of %s was not stored: %s", call.caller.who, error)
        return _status(error), str(error)
    if received.study_instance_uid not in call.studies:
        call.studies.add(received.study_instance_uid)
        call.audit("C-STORE", f"studies/{received.study_instance_uid}")
    return SUCCESS, ""


def _status(error: KahuError) -> int:
    if isinstance(error, Conflict):
        return DUPLICATE_UID
    return CANNOT_UNDERSTAND if isinstance(error, NotDicom) else OUT_OF_RESOURCES


def meta_information(sop_class: str, instance: str, transfer_syntax: str, source: str) -> bytes:
    """Preamble and file meta information (PS3.10 §7.1), to which a data set is added as it came."""
    body = _VERSION + b"".join(
        _element(number, vr, text)
        for number, vr, text in (
            (0x0002, b"UI", sop_class),
            (0x0003, b"UI", instance),
            (0x0010, b"UI", transfer_syntax),
            (0x0012, b"UI", IMPLEMENTATION_CLASS),
            (0x0013, b"SH", IMPLEMENTATION_VERSION),
            (0x0016, b"AE", source),
        )
    )
    return _PREFIX + struct.pack("<HH2sHI", 2, 0, b"UL", 4, len(body)) + body


def _element(number: int, vr: bytes, text: str) -> bytes:
    value = text.encode("ascii", "replace")
    value += (b"\0" if vr == b"UI" else b" ") * (len(value) % 2)
    return struct.pack("<HH2sH", 2, number, vr, len(value)) + value
