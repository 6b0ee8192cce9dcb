"""What the status of a DIMSE response means, in words (PS3.7 annex C, PS3.4 annexes B and C)."""

from typing import Literal

Operation = Literal["C-STORE", "C-FIND", "C-GET", "C-MOVE", "C-ECHO"]

SUCCESS = 0x0000
DUPLICATE = 0x0111
PENDING = frozenset({0xFF00, 0xFF01})

# PS3.7 annex C: of any operation.
_GENERAL = {
    0x0105: "it knows no such attribute",
    0x0106: "it does not take the value of an attribute",
    0x0107: "it knows not all of the attributes",
    0x0110: "it could not process the request",
    0x0111: "it has an object with this SOP Instance UID already",
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
    0x0122: "it does not take objects of this SOP class",
    0x0124: "we are not allowed to",
    0x0210: "it takes the request for one that it has had already",
    0x0211: "it does not know the operation",
    0x0212: "it mistypes an argument",
    0x0213: "it has no resources left",
}

_OF: dict[Operation, dict[int, str]] = {
    "C-ECHO": {},
    # PS3.4 B.2.3
    "C-STORE": {
        0xB000: "it has changed some attributes",
        0xB006: "it has left out some attributes",
        0xB007: "it finds that the object does not match its SOP class, and has kept it",
        0xA700: "it has no room left",
        0xA900: "it finds that the object does not match its SOP class",
        0xC000: "it cannot understand the object",
    },
    # PS3.4 C.4.1.1.4
    "C-FIND": {
        0xA700: "it has no resources left for the question",
        0xA900: "it does not understand the question",
        0xC000: "it could not answer the question",
        0xFE00: "the question was cancelled",
    },
    # PS3.4 C.4.3.1.4
    "C-GET": {
        0xA701: "it has no resources left to count what matches",
        0xA702: "it has no resources left to send the objects",
        0xA900: "it does not understand what is asked for",
        0xB000: "it could not send all of the objects",
        0xC000: "it could not send the objects",
        0xFE00: "it has stopped sending",
    },
    # PS3.4 C.4.2.1.5
    "C-MOVE": {
        0xA701: "it has no resources left to count what matches",
        0xA702: "it has no resources left to send the objects",
        0xA801: "it does not know the AE title to which it should send",
        0xA900: "it does not understand what is asked for",
        0xB000: "it could not send all of the objects",
        0xC000: "it could not send the objects",
        0xFE00: "it has stopped sending",
    },
}

# Statuses of which the standard fixes the first digits only.
_RANGES = ((0xF000, 0xC000, 0xC000), (0xFF00, 0xA700, 0xA700), (0xFF00, 0xA900, 0xA900))


def words(status: int, operation: Operation) -> str:
    """What a status says, with the status itself: "it has no room left (A700)"."""
    return f"{_sentence(status, operation)} ({status:04X})"


def stored(status: int) -> bool:
    """Whether an answer to C-STORE means that the peer has the object now: success, or a warning (PS3.4 B.2.3)."""
    return status == SUCCESS or status >> 12 == 0xB


def _sentence(status: int, operation: Operation) -> str:
    known = _OF[operation] | _GENERAL
    if status in known:
        return known[status]
    for mask, bits, like in _RANGES:
        if status & mask == bits and like in known:
            return known[like]
    return "it refuses, and its reason is not one of the standard's"
