"""One association, from its acceptance to its end: each message goes to the operation that performs it."""

import logging
import threading
from collections.abc import Callable

from kahu.dimse import command
from kahu.dimse.association import Association, Message
from kahu.dimse.status import (
    CLASS_NOT_SUPPORTED,
    NOT_AUTHORIZED,
    PROCESSING_FAILURE,
    SUCCESS,
    UNRECOGNIZED_OPERATION,
    Operation,
)
from kahu.errors import AssociationLost
from kahu.server.dimse import find, retrieve, store
from kahu.server.dimse.admission import Caller
from kahu.server.dimse.call import Call
from kahu.server.dimse.offered import RIGHT_FOR, offered
from kahu.server.services import Services

log = logging.getLogger(__name__)

IDLE = 600.0
"""seconds that an association may lie idle"""


def _echo(call: Call, message: Message) -> None:
    call.answer(message, SUCCESS)


_OPERATIONS: dict[int, tuple[Operation, Callable[[Call, Message], None]]] = {
    command.C_ECHO: ("C-ECHO", _echo),
    command.C_STORE: ("C-STORE", store.perform),
    command.C_FIND: ("C-FIND", find.perform),
    command.C_GET: ("C-GET", retrieve.get),
    command.C_MOVE: ("C-MOVE", retrieve.move),
}


class Session:
    """Serves one association, in the thread that calls `run`."""

    def __init__(self, services: Services, association: Association, caller: Caller) -> None:
        self.busy = False
        """whether an operation is being performed"""
        self._association = association
        self._call = Call(services, association, caller)

    def run(self, closing: threading.Event) -> None:
        """Until the caller releases or aborts, or an operation ends after `closing` was set. AssociationLost."""
        while not closing.is_set():
            message = self._association.receive(IDLE)
            if message is None:
                return
            self.busy = True
            self._perform(message)
            self.busy = False
        self._association.abort()

    def _perform(self, message: Message) -> None:
        field = message.command["CommandField"]
        if field == command.C_CANCEL:
            return  # what it would cancel has ended
        if field & command.RESPONSE:
            self._association.abort()
            raise AssociationLost("the peer responds to what was not asked")
        if field not in _OPERATIONS:
            self._call.answer(message, UNRECOGNIZED_OPERATION)
            return
        operation, perform = _OPERATIONS[field]
        performed = offered(self._call.context(message).abstract_syntax)
        right = RIGHT_FOR.get(operation)
        if performed is None or performed.operation != operation:
            self._call.answer(message, CLASS_NOT_SUPPORTED)
        elif right and right not in self._call.caller.may:
            log.warning("%s may not %s", self._call.caller.who, right)
            self._call.answer(message, NOT_AUTHORIZED, f"this AE may not {right}")
        else:
            self._guarded(perform, message)

    def _guarded(self, perform: Callable[[Call, Message], None], message: Message) -> None:
        try:
            perform(self._call, message)
        except AssociationLost:
            raise
        except (
            Exception
        ):  # a fault of ours, or of a disk or database: the caller is told, and the next may go well
            log.exception("an operation for %s failed", self._call.caller.who)
            self._call.answer(message, PROCESSING_FAILURE)
