"""Sub-operations of C-GET and C-MOVE: objects sent by C-STORE, and what has become of them (PS3.4 C.4.2.3)."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from kahu.catalog.fetch import Located
from kahu.catalog.given_in import can_give
from kahu.catalog.places import Places
from kahu.db import Database
from kahu.dicom.syntaxes import KNOWN
from kahu.dimse import command
from kahu.dimse.association import Association, Message
from kahu.dimse.command import Command
from kahu.dimse.given import given
from kahu.dimse.status import DUPLICATE, SUCCESS, stored
from kahu.errors import AssociationLost, KahuError

log = logging.getLogger(__name__)

ANSWER = 120.0
"""seconds in which a receiver must answer for an object"""

_MOST = 0xFFFF  # that a count in a command can say


@dataclass
class Progress:
    """How many sub-operations there are, and how they went."""

    remaining: int
    completed: int = 0
    warning: int = 0
    failed: list[str] = field(default_factory=list)
    """SOP Instance UIDs"""

    def count(self, instance: str, status: int | None) -> None:
        """An object has been answered for; None: it could not be sent."""
        self.remaining -= 1
        if status == SUCCESS:
            self.completed += 1
        elif status is not None and (stored(status) or status == DUPLICATE):
            self.warning += 1  # the receiver has the object, be it altered or from another time
        else:
            self.failed.append(instance)

    @property
    def clean(self) -> bool:
        """Whether nothing has gone wrong so far."""
        return not (self.failed or self.warning)

    def said(self, *, remaining: bool) -> Command:
        """The counts, as a response gives them; what remains only while it is not the last."""
        counts = {
            "NumberOfCompletedSuboperations": self.completed,
            "NumberOfFailedSuboperations": len(self.failed),
            "NumberOfWarningSuboperations": self.warning,
        }
        if remaining:
            counts["NumberOfRemainingSuboperations"] = self.remaining
        return {keyword: min(count, _MOST) for keyword, count in counts.items()}


def forms(database: Database, located: Located) -> tuple[str, ...]:
    """The transfer syntaxes that an object can be given in without losing anything. Unavailable: its bytes cannot be
    had now."""
    kept = located.transfer_syntax
    return tuple(uid for uid in can_give(database, located) if uid == kept or not KNOWN[uid].lossy)


class SubOperations:
    """Sends objects over one association. `originator`: what a C-STORE says of the C-MOVE that it is for; `heard`
    is given what comes between a request and its response."""

    def __init__(
        self,
        database: Database,
        places: Places,
        association: Association,
        originator: Command,
        heard: Callable[[Message], None],
    ) -> None:
        self._database = database
        self._places = places
        self._association = association
        self._originator = originator
        self._heard = heard

    def send(self, located: Located) -> int | None:
        """The status that the receiver answers; None: the object could not be sent, and the log says why.
        AssociationLost."""
        try:
            context, data = given(self._association, self._places, located, self._others(located))
        except KahuError as error:
            log.warning("object %s was not sent: %s", located.sop_instance_uid, error)
            return None
        request = command.request(command.C_STORE, located.sop_class_uid, self._association.next_message_id())
        request |= {"AffectedSOPInstanceUID": located.sop_instance_uid, **self._originator}
        try:
            self._association.send(context, request, data)
        except AssociationLost:
            raise
        except KahuError as error:  # its bytes went while they were being sent
            raise AssociationLost(f"object {located.sop_instance_uid} broke off: {error}") from error
        return self._status(request)

    def _others(self, located: Located) -> tuple[str, ...]:
        """What it could be given in; not asked where it goes as it is kept."""
        as_kept = self._association.context_for(located.sop_class_uid, (located.transfer_syntax,))
        return forms(self._database, located) if as_kept is None else ()

    def _status(self, request: Command) -> int:
        while message := self._association.receive(ANSWER):
            code = command.status_of(message.command, request)
            if code is not None:
                return code
            self._heard(message)
        raise AssociationLost("the receiver has released the association before it has answered")
