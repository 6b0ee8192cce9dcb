"""Who may call, and on which terms an association is accepted (PS3.8 §7.1, PS3.7 annex D)."""

import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from kahu.dicom.syntaxes import IMPLICIT_LE
from kahu.dimse import contexts, pdu
from kahu.dimse.association import Terms
from kahu.dimse.pdu import Answered, Proposed, Reject, Request, Role
from kahu.dimse.peers import RIGHTS, Peers, Right
from kahu.server.dimse.offered import offered
from kahu.settings import Settings

log = logging.getLogger(__name__)

# Service class application information (PS3.4 B.3.1.1): all attributes are kept, signatures stay valid, and nothing
# is coerced.
_STORAGE_INFORMATION = bytes((2, 0, 3, 0, 0, 0))


@dataclass(frozen=True, slots=True)
class Caller:
    """The application on the other side."""

    aet: str
    address: str
    """IP address"""
    may: frozenset[Right]

    @property
    def who(self) -> str:
        """A name for logs and the audit log."""
        return f"{self.aet}@{self.address}"


class Admission:
    """Decides on one association; `caller` tells afterwards whom it was for.

    On loopback everybody may call, by any name, and do everything. Elsewhere a caller must be a known peer, at
    its address, and call us by our AE title; what it may do is then decided operation by operation.
    """

    def __init__(self, settings: Settings, peers: Peers, address: str, room: Callable[[], bool]) -> None:
        self.caller = Caller("?", address, frozenset())
        self._settings = settings
        self._peers = peers
        self._room = room

    def __call__(self, request: Request) -> Terms | Reject:
        """The terms, or why there will be no association."""
        aet = re.sub(r"[^ -~]", "?", request.calling)
        reject = None
        may: frozenset[Right] = RIGHTS
        if not self._settings.dimse_loopback:
            peer = self._peers.calling(request.calling, self.caller.address)
            if peer is None:
                reject = pdu.CALLING_UNKNOWN
            elif request.called != self._settings.aet:
                reject = pdu.CALLED_UNKNOWN
            may = peer.may if peer else frozenset()
        self.caller = Caller(aet, self.caller.address, may)
        if reject is None and not self._room():
            reject = pdu.TOO_MANY
        if reject is not None:
            log.warning("association rejected: %s: %s", self.caller.who, reject.words)
            return reject
        return terms(request)


def terms(request: Request) -> Terms:
    """What is accepted of a request by anybody."""
    return Terms(
        tuple(map(_answered, request.contexts)),
        tuple(_roles(request)),
        dict(_extended(request)),
    )


def _answered(proposed: Proposed) -> Answered:
    service = offered(proposed.abstract_syntax)
    if service is None:
        return Answered(proposed.id, pdu.ABSTRACT_SYNTAX_UNKNOWN, IMPLICIT_LE)
    if service.operation == "C-STORE":
        return Answered(proposed.id, pdu.ACCEPTED, contexts.kept_in(proposed.transfer_syntaxes))
    native = contexts.native(proposed.transfer_syntaxes)
    if native is None:
        return Answered(proposed.id, pdu.TRANSFER_SYNTAXES_UNKNOWN, IMPLICIT_LE)
    return Answered(proposed.id, pdu.ACCEPTED, native)


def _roles(request: Request) -> Iterator[Role]:
    """Storage both ways, as proposed: who sends a C-GET is SCP of storage. Everything else we only perform."""
    for role in request.roles:
        service = offered(role.sop_class)
        if service is not None:
            yield Role(role.sop_class, role.scu, role.scp and service.operation == "C-STORE")


def _extended(request: Request) -> Iterator[tuple[str, bytes]]:
    for sop_class, asked in request.extended.items():
        service = offered(sop_class)
        if service is not None and service.operation == "C-STORE":
            yield sop_class, _STORAGE_INFORMATION
        elif service is not None and service.operation in ("C-FIND", "C-MOVE", "C-GET"):
            # PS3.4 C.5.1.1, C.5.2.1: relational queries always; fuzzy matching of names where it is asked for;
            # dates and times are matched apart, in no time zone but their own
            fuzzy = service.operation == "C-FIND" and asked[2:3] == b"\1"
            yield sop_class, bytes((1, 0, fuzzy, 0))[: max(len(asked), 1)]
