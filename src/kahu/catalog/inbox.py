"""Objects on their way in, from every door: many at once are made durable together."""

from concurrent.futures import Future
from typing import BinaryIO

from kahu.catalog import arrive
from kahu.catalog.arrive import Door, Received
from kahu.catalog.places import Places
from kahu.db import Database
from kahu.errors import KahuError


class Inbox:
    """Where objects arrive. `close()` when the server stops: what was acknowledged is kept, the rest is swept."""

    def __init__(self, database: Database, places: Places) -> None:
        self.database = database
        self.places = places

    def open(self) -> "Arriving":
        """An object whose bytes begin to arrive. Blocks."""
        _, store = self.places.owned()
        return Arriving(self, store.spool())

    def close(self) -> None:
        """Takes nothing more."""


class Arriving:
    """One object on its way in. Used by one thread at a time; its calls block but for `finish`."""

    def __init__(self, inbox: Inbox, spooled: BinaryIO) -> None:
        self._inbox = inbox
        self._spooled = spooled

    def write(self, piece: bytes) -> None:
        """More bytes of the file (PS3.10). StorageFull."""
        self._spooled.write(piece)

    def finish(self, *, door: Door, task: str = "", attempt: int = 0, study: str = "") -> Future[Received]:
        """All bytes are here. The future is done when they are synced and the row is committed, or raises what
        `arrive.receive` does; whoever has many need not wait for one before giving the next."""
        future: Future[Received] = Future()
        self._spooled.seek(0)
        try:
            future.set_result(
                arrive.receive(
                    self._inbox.database,
                    self._inbox.places,
                    iter(lambda: self._spooled.read(1 << 20), b""),
                    door=door,
                    task=task,
                    attempt=attempt,
                    study=study,
                )
            )
        except (KahuError, OSError) as error:
            future.set_exception(error)
        return future

    def close(self) -> None:
        """What was not finished is gone; harmless afterwards."""
        self._spooled.close()
