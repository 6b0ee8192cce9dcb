"""Objects on their way in, from every door: many at once are made durable together.

    write ──▶ memory, spool ──finish──▶ settlers: header, key, sync ──▶ committer: rows ──▶ the future

Settlers are threads that work on an object each. What has a key goes on to the committer at once: it writes the rows
of all that have come together while the settlers still wait for the disk, and ends the transaction when the bytes
are there. What comes meanwhile shares the next transaction, and its sync.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from queue import Empty, SimpleQueue

from kahu.catalog import arrive
from kahu.catalog.arrive import Arrival, Door, Received
from kahu.catalog.places import Places
from kahu.catalog.spooling import HELD, Spooling
from kahu.db import Database
from kahu.dicom.header import Header
from kahu.errors import BadRequest, KahuError, Unavailable
from kahu.stores import OwnedStore

__all__ = ["HELD", "Arriving", "Inbox"]

MOST = 64
"""objects that have come whole and are not settled: they are in memory, or open files"""
_SETTLERS = 4
_TOGETHER = 0.003
"""seconds that a transaction waits for others that have come whole: another one would take as long"""
_PATIENCE = 10.0
"""seconds that what has come whole is given when the server stops"""


class Inbox:
    """Where objects arrive. `close()` when the server stops: what was acknowledged is kept, the rest is swept."""

    def __init__(self, database: Database, places: Places) -> None:
        self._database = database
        self._places = places
        self.place, self.store = places.owned()
        """where they come to lie"""
        self._lock = threading.Lock()
        self._in_hand = 0
        self._waiting: deque[Future[Arriving]] = deque()
        self._closed = False
        self._whole: SimpleQueue[Arriving | None] = SimpleQueue()
        self._kept: SimpleQueue[Arriving | None] = SimpleQueue()
        self._settlers = [_started("settler", self._settle) for _ in range(_SETTLERS)]
        self._committer = _started("committer", self._commit)

    def open(self) -> "Arriving":
        """An object whose bytes begin to arrive. Blocks while too many are in hand. Unavailable: the server is
        stopping."""
        return self.opening().result()

    def opening(self) -> "Future[Arriving]":
        """The same for whom it must not block: done when there is room. Unavailable: the server is stopping."""
        future: Future[Arriving] = Future()
        with self._lock:
            if self._closed:
                future.set_exception(_stopping())
            elif self._in_hand < MOST:
                future.set_result(self._new())
            else:
                self._waiting.append(future)
        return future

    def close(self) -> None:
        """Takes nothing more, and ends what has come whole."""
        with self._lock:
            self._closed = True
            waiting, self._waiting = self._waiting, deque()
        for future in waiting:
            if future.set_running_or_notify_cancel():
                future.set_exception(_stopping())
        for queue, threads in ((self._whole, self._settlers), (self._kept, [self._committer])):
            for _ in threads:
                queue.put(None)
            for thread in threads:
                thread.join(_PATIENCE)

    def _take(self, arriving: "Arriving") -> None:
        with self._lock:
            if self._closed:
                raise _stopping()
            self._in_hand += 1
            self._whole.put(arriving)

    def _done(self, count: int) -> None:
        with self._lock:
            self._in_hand -= count
            woken = [self._waiting.popleft() for _ in range(min(MOST - self._in_hand, len(self._waiting)))]
        for future in woken:
            if future.set_running_or_notify_cancel():
                future.set_result(self._new())

    def _new(self) -> "Arriving":
        return Arriving(self.store, self._take)

    def _settle(self) -> None:
        """What a settler does."""
        while arriving := self._whole.get():
            try:
                arriving.keep()
            except BaseException as error:  # noqa: BLE001 - not handled here: it belongs to whoever sent it
                arriving.refuse(error)
                self._done(1)
            else:
                self._kept.put(arriving)
                arriving.sync()

    def _commit(self) -> None:
        """What the committer does."""
        while arriving := self._kept.get():
            batch = [arriving, *self._more()]
            try:
                self._write(batch)
            except BaseException as error:  # noqa: BLE001 - it belongs to those who sent the objects
                for each in batch:
                    each.future.set_exception(error)
            self._done(len(batch))

    def _more(self) -> "list[Arriving]":
        """What else has been kept by now, or will be in a moment."""
        more: list[Arriving] = []
        until = time.monotonic() + _TOGETHER
        while len(more) < MOST:
            patience = until - time.monotonic() if 1 + len(more) < self._in_hand else 0
            try:
                arriving = self._kept.get(timeout=patience) if patience > 0 else self._kept.get_nowait()
            except Empty:
                break
            if arriving is None:
                self._kept.put(None)  # the last of all
                break
            more.append(arriving)
        return more

    def _write(self, batch: "Sequence[Arriving]") -> None:
        by_key = {each.arrival.found.entry.key: each for each in batch}

        def on_disk(arrival: Arrival) -> None:
            by_key[arrival.found.entry.key].synced.result()

        arrivals = [each.arrival for each in batch]
        outcomes = arrive.settle(self._database, self._places, self.place, arrivals, on_disk)
        for each, outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, KahuError):
                each.future.set_exception(outcome)
            else:
                each.future.set_result(outcome)


class Arriving:
    """One object on its way in. Used by one thread at a time; its calls block but for `finish`, and for `write`
    while less than `HELD` bytes are held."""

    def __init__(self, store: OwnedStore, take: "Callable[[Arriving], None]") -> None:
        self.header: Header | None = None
        """known when the future is done, if it can be read at all"""
        self.future: Future[Received] = Future()
        self.arrival: Arrival
        self.synced: Future[None] = Future()
        self._take = take
        self._spooling = Spooling(store)
        self._finished = False
        self._said: tuple[str, str] | None = None
        self._read: Callable[[Header], Arrival]

    @property
    def held(self) -> int:
        """Bytes in memory: `write` writes them to the disk when they come to `HELD`."""
        return self._spooling.held

    def write(self, piece: bytes) -> None:
        """More bytes of the file (PS3.10). StorageFull."""
        self._spooling.write(piece)

    def finish(
        self,
        *,
        door: Door,
        task: str = "",
        attempt: int = 0,
        study: str = "",
        said: tuple[str, str] | None = None,
    ) -> Future[Received]:
        """All bytes are here. The future is done when they are synced and the row is committed, or raises what
        `arrive.receive` does; whoever has many need not wait for one before giving the next. Unavailable.

        `said`: SOP Class and SOP Instance UID that were told with the object. BadRequest: they are not its own.
        """
        self._said = said
        self._read = partial(arrive.keep, self._spooling, door=door, task=task, attempt=attempt, study=study)
        self.future.set_running_or_notify_cancel()
        self._take(self)
        self._finished = True
        return self.future

    def close(self) -> None:
        """What was not finished is gone; harmless afterwards."""
        if not self._finished:
            self._spooling.close()

    # What the inbox does with it then.

    def keep(self) -> None:
        """Reads the header, and gives it a key in the store. NotDicom, BrokenDicom, Conflict, StorageFull."""
        self.header = self._spooling.header()
        if self._said not in (None, (self.header.sop_class_uid, self.header.sop_instance_uid)):
            raise BadRequest("it is another object than was said", "send it under its own UIDs")
        self.arrival = self._read(self.header)

    def sync(self) -> None:
        """Waits for the disk; `synced` says when that is done."""
        try:
            self._spooling.sync(self.arrival.found.entry)
        except BaseException as error:  # noqa: BLE001 - it belongs to whoever sent the object
            self.synced.set_exception(error)
        else:
            self.synced.set_result(None)
        self._spooling.close()

    def refuse(self, error: BaseException) -> None:
        """It is not kept."""
        self._spooling.close()
        self.future.set_exception(error)


def _started(name: str, work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work, name=f"inbox: {name}", daemon=True)
    thread.start()
    return thread


def _stopping() -> Unavailable:
    return Unavailable("the server is stopping", "try again when it has started")
