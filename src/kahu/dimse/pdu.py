"""The PDUs that begin and end an association, as bytes and as plain data (PS3.8 §9.3, PS3.7 annex D).

Decoding is tolerant of what does no harm (items that are not known, UIDs with padding) and raises `Violation`
for anything that cannot be read, whatever the bytes.
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from kahu.dicom.file_meta import IMPLEMENTATION_CLASS, IMPLEMENTATION_VERSION

ASSOCIATE_RQ, ASSOCIATE_AC, ASSOCIATE_RJ, P_DATA, RELEASE_RQ, RELEASE_RP, ABORT = range(1, 8)

APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"

# Results of a presentation context (PS3.8 table 9-18).
ACCEPTED, USER_REJECTION, NO_REASON, ABSTRACT_SYNTAX_UNKNOWN, TRANSFER_SYNTAXES_UNKNOWN = range(5)

_HEAD = struct.Struct(">BxI")
_ITEM = struct.Struct(">BxH")
_FIXED = struct.Struct(">H2x16s16s32x")
_UINT16 = struct.Struct(">H")
_UINT32 = struct.Struct(">I")


@dataclass(frozen=True, slots=True)
class Abort:
    """A-ABORT: who ends the association, and why (PS3.8 §9.3.8)."""

    source: int
    """0 the application; 2 the upper layer, and then only `reason` says something"""
    reason: int


BY_USER = Abort(0, 0)
NO_REASON_GIVEN = Abort(2, 0)
UNRECOGNIZED_PDU = Abort(2, 1)
UNEXPECTED_PDU = Abort(2, 2)
INVALID_VALUE = Abort(2, 6)


class Violation(Exception):
    """The peer has sent what the standard does not allow. Stays in this room, where it ends an association."""

    def __init__(self, message: str, abort: Abort = INVALID_VALUE) -> None:
        super().__init__(message)
        self.abort = abort


@dataclass(frozen=True, slots=True)
class Reject:
    """A-ASSOCIATE-RJ (PS3.8 table 9-21)."""

    result: int
    """1 for good, 2 for now"""
    source: int
    """1 the application, 2 the upper layer (ACSE), 3 the upper layer (presentation)"""
    reason: int

    @property
    def words(self) -> str:
        """What the standard calls the reason."""
        return _REASONS.get((self.source, self.reason), "no reason given")


APPLICATION_CONTEXT_UNKNOWN = Reject(1, 1, 2)
CALLING_UNKNOWN = Reject(1, 1, 3)
CALLED_UNKNOWN = Reject(1, 1, 7)
PROTOCOL_UNKNOWN = Reject(1, 2, 2)
TOO_MANY = Reject(2, 3, 2)

_REASONS = {
    (1, 2): "application context name not supported",
    (1, 3): "calling AE title not recognized",
    (1, 7): "called AE title not recognized",
    (2, 2): "protocol version not supported",
    (3, 1): "temporary congestion",
    (3, 2): "local limit exceeded",
}


@dataclass(frozen=True, slots=True)
class Proposed:
    """A presentation context, as proposed."""

    id: int
    """odd, 1 to 255"""
    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answered:
    """A presentation context, as answered."""

    id: int
    result: int
    transfer_syntax: str


@dataclass(frozen=True, slots=True)
class Role:
    """SCP/SCU role selection for a SOP class (PS3.7 D.3.3.4): the roles of the one who requests the association."""

    sop_class: str
    scu: bool
    scp: bool


@dataclass(frozen=True, slots=True)
class _Associate:
    called: str
    """AE title"""
    calling: str
    """AE title"""
    max_length: int
    """bytes of a P-DATA-TF PDU, without its head, that its sender receives; 0: any number"""
    roles: tuple[Role, ...] = ()
    extended: Mapping[str, bytes] = field(default_factory=dict)
    """SOP class extended negotiation (PS3.7 D.3.3.5): SOP class -> service class application information"""
    implementation: str = IMPLEMENTATION_VERSION
    """Implementation Version Name"""


@dataclass(frozen=True, slots=True)
class Request(_Associate):
    """A-ASSOCIATE-RQ."""

    contexts: tuple[Proposed, ...] = ()


@dataclass(frozen=True, slots=True)
class Accept(_Associate):
    """A-ASSOCIATE-AC."""

    contexts: tuple[Answered, ...] = ()


# To bytes


def encode_request(request: Request) -> bytes:
    """The PDU of an A-ASSOCIATE-RQ."""
    contexts = b"".join(
        _item(
            0x20,
            bytes((context.id, 0, 0, 0))
            + _item(0x30, context.abstract_syntax.encode())
            + b"".join(_item(0x40, uid.encode()) for uid in context.transfer_syntaxes),
        )
        for context in request.contexts
    )
    return _encode_associate(ASSOCIATE_RQ, request, contexts)


def encode_accept(accept: Accept) -> bytes:
    """The PDU of an A-ASSOCIATE-AC."""
    contexts = b"".join(
        _item(0x21, bytes((each.id, 0, each.result, 0)) + _item(0x40, each.transfer_syntax.encode()))
        for each in accept.contexts
    )
    return _encode_associate(ASSOCIATE_AC, accept, contexts)


def encode_reject(reject: Reject) -> bytes:
    """The PDU of an A-ASSOCIATE-RJ."""
    return encode(ASSOCIATE_RJ, bytes((0, reject.result, reject.source, reject.reason)))


def encode_abort(abort: Abort) -> bytes:
    """The PDU of an A-ABORT."""
    return encode(ABORT, bytes((0, 0, abort.source, abort.reason)))


def encode(kind: int, body: bytes = bytes(4)) -> bytes:
    """A PDU of any kind; those of a release have a body of four bytes that mean nothing."""
    return _HEAD.pack(kind, len(body)) + body


def _encode_associate(kind: int, associate: _Associate, contexts: bytes) -> bytes:
    user = _item(0x51, _UINT32.pack(associate.max_length)) + _item(0x52, IMPLEMENTATION_CLASS.encode())
    for role in associate.roles:
        user += _item(0x54, _counted(role.sop_class.encode()) + bytes((role.scu, role.scp)))
    user += _item(0x55, associate.implementation.encode())
    for uid, information in associate.extended.items():
        user += _item(0x56, _counted(uid.encode()) + information)
    titles = (_title(title) for title in (associate.called, associate.calling))
    items = _item(0x10, APPLICATION_CONTEXT.encode()) + contexts + _item(0x50, user)
    return encode(kind, _FIXED.pack(1, *titles) + items)


def _title(title: str) -> bytes:
    return title.encode("ascii", "replace").ljust(16)[:16]


def _item(kind: int, body: bytes) -> bytes:
    return _ITEM.pack(kind, len(body)) + body


def _counted(value: bytes) -> bytes:
    return _UINT16.pack(len(value)) + value


# From bytes


def decode_request(body: bytes) -> Request | Reject:
    """What an A-ASSOCIATE-RQ says behind its head; a `Reject` where it speaks of another protocol. Violation."""
    version, called, calling, items = _decode_associate(body)
    if not version & 1:
        return PROTOCOL_UNKNOWN
    contexts = tuple(_proposed(item) for kind, item in items if kind == 0x20)
    if len({context.id for context in contexts}) != len(contexts):
        raise Violation("two presentation contexts have the same ID")
    application = [_text(item) for kind, item in items if kind == 0x10]
    if application != [APPLICATION_CONTEXT]:
        return APPLICATION_CONTEXT_UNKNOWN
    user = _decode_user(items)
    return Request(called, calling, user.max_length, user.roles, user.extended, user.version, contexts)


def decode_accept(body: bytes) -> Accept:
    """What an A-ASSOCIATE-AC says behind its head. Violation."""
    _, called, calling, items = _decode_associate(body)
    contexts = tuple(_answered(item) for kind, item in items if kind == 0x21)
    user = _decode_user(items)
    return Accept(called, calling, user.max_length, user.roles, user.extended, user.version, contexts)


def decode_reject(body: bytes) -> Reject:
    """What an A-ASSOCIATE-RJ says behind its head. Violation."""
    _, result, source, reason = _four(body)
    return Reject(result, source, reason)


def decode_abort(body: bytes) -> Abort:
    """What an A-ABORT says behind its head. Violation."""
    _, _, source, reason = _four(body)
    return Abort(source, reason)


def _four(body: bytes) -> bytes:
    if len(body) != 4:
        raise Violation("a PDU is not as long as its kind is")
    return body


def _decode_associate(body: bytes) -> tuple[int, str, str, list[tuple[int, bytes]]]:
    if len(body) < _FIXED.size:
        raise Violation("an A-ASSOCIATE PDU is too short")
    version, called, calling = _FIXED.unpack_from(body)
    return version, _text(called), _text(calling), list(_items(body[_FIXED.size :]))


def _items(body: bytes) -> Iterator[tuple[int, bytes]]:
    """Kind and content of each item."""
    at = 0
    while at < len(body):
        if at + _ITEM.size > len(body):
            raise Violation("an item of an A-ASSOCIATE PDU ends early")
        kind, length = _ITEM.unpack_from(body, at)
        at += _ITEM.size
        if at + length > len(body):
            raise Violation("an item of an A-ASSOCIATE PDU is longer than what is around it")
        yield kind, body[at : at + length]
        at += length


def _proposed(item: bytes) -> Proposed:
    if len(item) < 4 or not item[0] & 1:
        raise Violation("a presentation context has no valid ID")
    inner = list(_items(item[4:]))
    abstract = [_text(each) for kind, each in inner if kind == 0x30]
    transfer = tuple(_text(each) for kind, each in inner if kind == 0x40)
    if len(abstract) != 1 or not transfer:
        raise Violation("a presentation context lacks an abstract or a transfer syntax")
    return Proposed(item[0], abstract[0], transfer)


def _answered(item: bytes) -> Answered:
    if len(item) < 4:
        raise Violation("a presentation context has no ID")
    # A rejected one may say anything, or nothing, of its transfer syntax.
    transfer = [_text(each) for kind, each in _items(item[4:]) if kind == 0x40] if item[2] == ACCEPTED else []
    if item[2] == ACCEPTED and len(transfer) != 1:
        raise Violation("an accepted presentation context lacks its transfer syntax")
    return Answered(item[0], item[2], "".join(transfer))


@dataclass
class _User:
    max_length: int = 0
    version: str = ""
    roles: tuple[Role, ...] = ()
    extended: dict[str, bytes] = field(default_factory=dict)


def _decode_user(items: list[tuple[int, bytes]]) -> _User:
    """The user information. What is not used here (asynchronous operations, user identity, common extended
    negotiation) is passed over: not to answer it is to decline it (PS3.7 annex D.3.3)."""
    user = _User()
    for kind, item in (each for outer, body in items if outer == 0x50 for each in _items(body)):
        match kind:
            case 0x51 if len(item) == 4:
                (user.max_length,) = _UINT32.unpack(item)
            case 0x54:
                uid, rest = _uncounted(item)
                if len(rest) != 2:
                    raise Violation("a role selection is not as long as it must be")
                user.roles += (Role(uid, rest[0] == 1, rest[1] == 1),)
            case 0x55:
                user.version = _text(item)
            case 0x56:
                uid, rest = _uncounted(item)
                user.extended[uid] = rest
    return user


def _uncounted(item: bytes) -> tuple[str, bytes]:
    """A UID behind its length, and what follows."""
    if len(item) < 2 or len(item) < 2 + (length := _UINT16.unpack_from(item)[0]):
        raise Violation("an item of the user information ends early")
    return _text(item[2 : 2 + length]), item[2 + length :]


def _text(value: bytes) -> str:
    return value.decode("ascii", "replace").strip(" \0")
