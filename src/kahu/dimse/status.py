"""What the status of a DIMSE response means, in words (PS3.7 annex C, PS3.4 annexes B and C)."""

from typing import Literal

Operation = Literal["C-STORE", "C-FIND", "C-GET", "C-MOVE", "C-ECHO"]

SUCCESS = 0x0000
PROCESSING_FAILURE = 0x0110
DUPLICATE = 0x0111
CLASS_NOT_SUPPORTED = 0x0122
NOT_AUTHORIZED = 0x0124
UNRECOGNIZED_OPERATION = 0x0211
OUT_OF_RESOURCES = 0xA700
UNABLE_TO_COUNT = 0xA701
UNABLE_TO_SEND = 0xA702
DESTINATION_UNKNOWN = 0xA801
DOES_NOT_MATCH = 0xA900
SOME_FAILED = 0xB000
CANNOT_UNDERSTAND = 0xC000
CANCELLED = 0xFE00
PENDING = 0xFF00
PENDING_WITHOUT = 0xFF01

# PS3.7 annex C: of any operation.
_GENERAL = {
    0x0105: "it knows no such attribute",
    0x0106: "it does not take the value of an attribute",
    0x0107: "it knows not all of the attributes",
    PROCESSING_FAILURE: "it could not process the request",
    DUPLICATE: "it has an object with this SOP Instance UID already",
    0x0112: "it knows no such object",
    0x0113: "it knows no such event",
    0x0114: "it does not understand an argument",
    0x0115: "it does not take the value of an argument",
    0x0116: "a value is out of its range",
    0x0117: "it does not take the SOP Instance UID",
    0x0118: "it knows no such SOP class",
    0x0119: "the object is not of the SOP class that it is said to be",
    0x0120: "it misses an attribute",
    0x0121: "it misses the value of an attribute",
    CLASS_NOT_SUPPORTED: "it does not take objects of this SOP class",
    NOT_AUTHORIZED: "we are not allowed to",
    0x0210: "it takes the request for one that it has had already",
    UNRECOGNIZED_OPERATION: "it does not know the operation",
    0x0212: "it mistypes an argument",
    0x0213: "it has no resources left",
}

# PS3.4 C.4.2.1.5, C.4.3.1.4
_RETRIEVING = {
    UNABLE_TO_COUNT: "it has no resources left to count what matches",
    UNABLE_TO_SEND: "it has no resources left to send the objects",
    DOES_NOT_MATCH: "it does not understand what is asked for",
    SOME_FAILED: "it could not send all of the objects",
    CANNOT_UNDERSTAND: "it could not send the objects",
    CANCELLED: "it has stopped sending",
}

_OF: dict[Operation, dict[int, str]] = {
    "C-ECHO": {},
    # PS3.4 B.2.3
    "C-STORE": {
        0xB000: "it has changed some attributes",
        0xB006: "it has left out some attributes",
        0xB007: "it finds that the object does not match its SOP class, and has kept it",
        OUT_OF_RESOURCES: "it has no room left",
        DOES_NOT_MATCH: "it finds that the object does not match its SOP class",
        CANNOT_UNDERSTAND: "it cannot understand the object",
    },
    # PS3.4 C.4.1.1.4
    "C-FIND": {
        OUT_OF_RESOURCES: "it has no resources left for the question",
        DOES_NOT_MATCH: "it does not understand the question",
        CANNOT_UNDERSTAND: "it could not answer the question",
        CANCELLED: "the question was cancelled",
    },
    "C-GET": _RETRIEVING,
    "C-MOVE": {
        **_RETRIEVING,
        DESTINATION_UNKNOWN: "it does not know the AE title to which it should send",
    },
}

# Statuses of which the standard fixes the first digits only.
_RANGES = ((0xF000, CANNOT_UNDERSTAND), (0xFF00, OUT_OF_RESOURCES), (0xFF00, DOES_NOT_MATCH))


def words(status: int, operation: Operation) -> str:
    """What a status says, with the status itself: "it has no room left (A700)"."""
    return f"{_sentence(status, operation)} ({status:04X})"


def pending(status: int) -> bool:
    """Whether more responses come."""
    return status in (PENDING, PENDING_WITHOUT)


def stored(status: int) -> bool:
    """Whether an answer to C-STORE means that the peer has the object now: success, or a warning (PS3.4 B.2.3)."""
    return status == SUCCESS or status >> 12 == 0xB


def _sentence(status: int, operation: Operation) -> str:
    known = _OF[operation] | _GENERAL
    if status in known:
        return known[status]
    for mask, like in _RANGES:
        if status & mask == like and like in known:
            return known[like]
    return "it refuses, and its reason is not one of the standard's"
