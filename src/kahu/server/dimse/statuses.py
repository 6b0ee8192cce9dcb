"""When an operation answers with which status (PS3.4 B.2.3, C.4.1.1.4, C.4.2.1.5, C.4.3.1.4; PS3.7 annex C)."""

from kahu.dimse.status import (
    CANCELLED,
    CANNOT_UNDERSTAND,
    CLASS_NOT_SUPPORTED,
    DESTINATION_UNKNOWN,
    DOES_NOT_MATCH,
    DUPLICATE,
    NOT_AUTHORIZED,
    OUT_OF_RESOURCES,
    PENDING,
    PENDING_WITHOUT,
    PROCESSING_FAILURE,
    SOME_FAILED,
    SUCCESS,
    UNABLE_TO_COUNT,
    UNABLE_TO_SEND,
    UNRECOGNIZED_OPERATION,
    Operation,
)

_IDENTIFIER = "the identifier cannot be read, or does not fit the information model"
_RETRIEVING: dict[int, str] = {
    PENDING: "after each object, with the counts so far",
    SUCCESS: "all objects were sent, or none matched",
    SOME_FAILED: "some were not sent, or the receiver had a warning; those that failed are listed",
    CANCELLED: "C-CANCEL has come; nothing more is sent",
    UNABLE_TO_COUNT: "what matches could not be found: the catalogue is busy",
    DOES_NOT_MATCH: _IDENTIFIER + ", or the unique key of the level has no value",
}
ANSWERED: dict[Operation, dict[int, str]] = {
    "C-ECHO": {SUCCESS: "always"},
    "C-STORE": {
        SUCCESS: "the object is on disk and in the catalogue; or it was there already, the same",
        DUPLICATE: "another object has its SOP Instance UID; this one is kept aside (`kahu conflicts`)",
        OUT_OF_RESOURCES: "no room left, the disk cannot be written, or the server is stopping",
        DOES_NOT_MATCH: "its UIDs are not those of the command, or its series is of another study",
        CANNOT_UNDERSTAND: "the data set cannot be read, or lacks a UID that makes it an object",
    },
    "C-FIND": {
        PENDING: "with each match",
        PENDING_WITHOUT: "the same, where a condition could not be minded",
        SUCCESS: "that was all",
        CANCELLED: "C-CANCEL has come",
        OUT_OF_RESOURCES: "too many questions at a time, or this one takes too long",
        DOES_NOT_MATCH: _IDENTIFIER,
    },
    "C-MOVE": {
        **_RETRIEVING,
        UNABLE_TO_SEND: "the destination cannot be reached, or rejects the association",
        DESTINATION_UNKNOWN: "no known peer has the AE title of the destination",
    },
    "C-GET": _RETRIEVING,
}
"""by operation; besides what any of them may answer"""

ANY: dict[int, str] = {
    PROCESSING_FAILURE: "a fault here; the log says more",
    CLASS_NOT_SUPPORTED: "the operation does not belong to the SOP class of its presentation context",
    NOT_AUTHORIZED: "the caller is known, and may not do this",
    UNRECOGNIZED_OPERATION: "no operation that is performed here",
}
"""what is answered to any request"""
