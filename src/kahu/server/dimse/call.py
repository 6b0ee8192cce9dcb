"""One association, as the operations see it: who calls, what they may see, how they are answered."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, ParamSpec, TypeVar

from kahu.access import OWNER
from kahu.catalog.scope import Scope
from kahu.dimse.association import Association, Context, Message
from kahu.dimse.command import C_CANCEL, response
from kahu.dimse.stream import Buffer
from kahu.errors import AssociationLost
from kahu.server.dimse.admission import Caller
from kahu.server.scopes import scope_of
from kahu.server.services import Services

P = ParamSpec("P")
T = TypeVar("T")


class Call:
    """Belongs to the thread of its association."""

    def __init__(self, services: Services, association: Association, caller: Caller) -> None:
        self.services = services
        self.association = association
        self.caller = caller
        self.scope: Scope = scope_of(OWNER)  # peers have no scopes of their own
        self.studies: set[str] = set()
        """those of which something has been stored on this association"""

    def context(self, message: Message) -> Context:
        """The presentation context in which a message came."""
        return self.association.contexts[message.context_id]

    def answer(
        self,
        message: Message,
        status: int,
        comment: str = "",
        data: Iterable[Buffer] | None = None,
        **more: Any,
    ) -> None:
        """Responds to a request. AssociationLost."""
        self.association.send(message.context_id, response(message.command, status, comment, **more), data)

    def cancelled(self, message: Message) -> bool:
        """Whether the caller has asked meanwhile that this operation end (C-CANCEL). AssociationLost: it has
        done anything else, which it must not before the operation has ended."""
        if not self.association.waiting():
            return False
        other = self.association.receive()
        if other is None:
            raise AssociationLost("the peer has released the association within an operation")
        return self.is_cancel(other, message)

    def is_cancel(self, other: Message, message: Message) -> bool:
        """Whether `other`, which has come before an operation has ended, ends it. AssociationLost: it is something
        that must not come then."""
        if other.command["CommandField"] != C_CANCEL:
            self.association.abort()
            raise AssociationLost("the peer has begun another operation before one had ended")
        return bool(other.command["MessageIDBeingRespondedTo"] == message.command["MessageID"])

    def database(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What a call that reads the catalogue gives; a few are at it at a time, of all associations. Unavailable:
        too many wait already."""
        return self.services.pools.of_database.submit(partial(function, *args, **kwargs)).result()

    def audit(self, action: str, what: str) -> None:
        """Writes down what was done."""
        self.services.audit.record(self.caller.who, action, what)
