"""Command sets (PS3.7 §6.3, annex E): what a message asks for or answers, as a dict of keyword -> value.

A command set is always implicit VR little endian. Values are `int` (VR US, UL), `str` (UI, LO, AE) and tuples of
tags (AT). What a peer adds beyond the standard's elements is passed over.
"""

import struct
from collections.abc import Mapping
from typing import Any

from kahu.dimse.pdu import BY_USER, Violation

Command = dict[str, Any]

# Command Field (PS3.7 E.1-1); a response has the highest bit set.
C_STORE, C_GET, C_FIND, C_MOVE, C_ECHO, C_CANCEL = 0x0001, 0x0010, 0x0020, 0x0021, 0x0030, 0x0FFF
RESPONSE = 0x8000

NO_DATA_SET = 0x0101
_HAS_DATA_SET = 0x0001

MOST = 64 << 10
"""bytes of a command set that are taken"""

_ELEMENT = struct.Struct("<HHI")
_ELEMENTS: dict[int, tuple[str, str]] = {
    0x0002: ("AffectedSOPClassUID", "UI"),
    0x0003: ("RequestedSOPClassUID", "UI"),
    0x0100: ("CommandField", "US"),
    0x0110: ("MessageID", "US"),
    0x0120: ("MessageIDBeingRespondedTo", "US"),
    0x0600: ("MoveDestination", "AE"),
    0x0700: ("Priority", "US"),
    0x0800: ("CommandDataSetType", "US"),
    0x0900: ("Status", "US"),
    0x0901: ("OffendingElement", "AT"),
    0x0902: ("ErrorComment", "LO"),
    0x0903: ("ErrorID", "US"),
    0x1000: ("AffectedSOPInstanceUID", "UI"),
    0x1001: ("RequestedSOPInstanceUID", "UI"),
    0x1002: ("EventTypeID", "US"),
    0x1005: ("AttributeIdentifierList", "AT"),
    0x1008: ("ActionTypeID", "US"),
    0x1020: ("NumberOfRemainingSuboperations", "US"),
    0x1021: ("NumberOfCompletedSuboperations", "US"),
    0x1022: ("NumberOfFailedSuboperations", "US"),
    0x1023: ("NumberOfWarningSuboperations", "US"),
    0x1030: ("MoveOriginatorApplicationEntityTitle", "AE"),
    0x1031: ("MoveOriginatorMessageID", "US"),
}
_IN_ORDER = [(element, *named) for element, named in sorted(_ELEMENTS.items())]


def encode(command: Mapping[str, Any], has_data: bool) -> bytes:
    """The command set as bytes, its group length and Command Data Set Type added."""
    said = {**command, "CommandDataSetType": _HAS_DATA_SET if has_data else NO_DATA_SET}
    body = bytearray()
    for element, keyword, vr in _IN_ORDER:
        if keyword in said:
            value = _encoded(vr, said[keyword])
            body += _ELEMENT.pack(0, element, len(value)) + value
    return _ELEMENT.pack(0, 0, 4) + struct.pack("<I", len(body)) + bytes(body)


def decode(body: bytes) -> Command:
    """The command set that `body` is. Violation: it cannot be read, or lacks what every command has."""
    command: Command = {}
    at = 0
    while at < len(body):
        if at + _ELEMENT.size > len(body):
            raise Violation("a command set ends early", BY_USER)
        group, element, length = _ELEMENT.unpack_from(body, at)
        at += _ELEMENT.size
        if group or at + length > len(body):
            raise Violation("a command set is malformed", BY_USER)
        if element in _ELEMENTS:
            keyword, vr = _ELEMENTS[element]
            command[keyword] = _decoded(vr, body[at : at + length])
        at += length
    field = command.get("CommandField", 0)
    answers = field & RESPONSE or field == C_CANCEL
    number = "MessageIDBeingRespondedTo" if answers else "MessageID"
    for keyword in ("CommandField", "CommandDataSetType", number):
        if keyword not in command:
            raise Violation(f"a command set has no {keyword}", BY_USER)
    return command


def request(field: int, sop_class: str, message_id: int) -> Command:
    """A request to find, get, move or store something (PS3.7 §9.1, §9.3), of medium priority."""
    return {"CommandField": field, "AffectedSOPClassUID": sop_class, "MessageID": message_id, "Priority": 0}


def cancel(asked: Command) -> Command:
    """The C-CANCEL of a request (PS3.7 §9.3.2.3)."""
    return {"CommandField": C_CANCEL, "MessageIDBeingRespondedTo": asked["MessageID"]}


def status_of(reply: Command, asked: Command) -> int | None:
    """The status in the response to a request; None: it is no response to that."""
    if reply["CommandField"] != asked["CommandField"] | RESPONSE:
        return None
    return reply.get("Status") if reply["MessageIDBeingRespondedTo"] == asked["MessageID"] else None


def response(request: Mapping[str, Any], status: int, comment: str = "", **more: Any) -> Command:
    """The response to a request: its SOP class and instance repeated, with a status and what else is said.

    `comment` (PS3.7 C: at most 64 characters) is cut where it is longer.
    """
    answer: Command = {
        "CommandField": request["CommandField"] | RESPONSE,
        "MessageIDBeingRespondedTo": request["MessageID"],
        "Status": status,
        **more,
    }
    for keyword in ("AffectedSOPClassUID", "AffectedSOPInstanceUID"):
        if keyword in request:
            answer[keyword] = request[keyword]
    if comment:
        answer["ErrorComment"] = comment[:64]
    return answer


def _encoded(vr: str, value: Any) -> bytes:
    if vr == "US":
        return struct.pack("<H", value)
    if vr == "AT":
        return b"".join(struct.pack("<HH", tag >> 16, tag & 0xFFFF) for tag in value)
    text = str(value).encode("ascii", "replace")
    return text + (b"\0" if vr == "UI" else b" ") * (len(text) % 2)


def _decoded(vr: str, value: bytes) -> Any:
    if vr == "US":
        if len(value) != 2:
            raise Violation("a number in a command set has not two bytes", BY_USER)
        return int.from_bytes(value, "little")
    if vr == "AT":
        pairs = struct.iter_unpack("<HH", value[: len(value) // 4 * 4])
        return tuple(group << 16 | element for group, element in pairs)
    return value.decode("ascii", "replace").strip(" \0")
