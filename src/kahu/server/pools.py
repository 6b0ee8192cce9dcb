"""Where the doors (async) meet everything below (plain, blocking calls): bounded pools of threads.

There is one pool for the database and one for each store and each peer, so that one that hangs stops nobody
else (DESIGN.md, Settled 10). A pool runs a few calls at a time, lets a bounded number wait, and refuses more with
`Unavailable` at once instead of growing. A call that still waits is dropped when the one who asked is gone;
one that runs is left to end by itself, since threads cannot be stopped.
"""

import asyncio
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from concurrent.futures import Future
from functools import partial
from typing import Any, ParamSpec, TypeVar

from kahu.errors import Unavailable

P = ParamSpec("P")
T = TypeVar("T")

CHUNK = 1 << 20
"""bytes that are gathered in a thread before they are handed over: one hop between threads for each"""
LARGEST = 4 << 20
"""the same, for who takes them quickly"""
_QUICK = 0.02
"""seconds in which a chunk is taken by one who is given more at once"""

_PEER_THREADS = 4
_PEER_WAITING = 16

_SMALL = 64 << 10
"""bytes that are copied rather than sent by themselves"""

Job = tuple[Future[Any], Callable[[], Any]]


class Pool:
    """Threads for calls of one kind. They are started when needed and, being daemons, never keep the process
    from ending, whatever hangs in them."""

    def __init__(self, name: str, threads: int, waiting: int) -> None:
        self.name = name
        self.threads = threads
        self.waiting = waiting
        self._changed = threading.Condition()
        self._jobs: deque[Job] = deque()
        self._started = 0
        self._idle = 0
        self._running = 0
        self._closed = False

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What `function(*args, **kwargs)` returns or raises. Unavailable: too many calls wait already."""
        return await asyncio.wrap_future(self.submit(partial(function, *args, **kwargs)))

    def submit(self, call: Callable[[], T], *, admitted: bool = False) -> Future[T]:
        """Queues a call. `admitted` calls belong to an answer that has begun: they are never refused."""
        future: Future[T] = Future()
        job = (future, call)
        with self._changed:
            if self._closed:
                raise Unavailable("the server is stopping", "try again when it has started")
            if not admitted and len(self._jobs) + self._running >= self.threads + self.waiting:
                raise Unavailable(f"too many requests wait for {self.name}", "try again in a moment")
            self._jobs.append(job)
            if self._idle < len(self._jobs) and self._started < self.threads:
                self._started += 1
                threading.Thread(target=self._work, name=f"pool: {self.name}", daemon=True).start()
            self._changed.notify()
        future.add_done_callback(self._drop)
        return future

    async def stream(
        self, pieces: Iterator[bytes], size: int = CHUNK, largest: int = LARGEST
    ) -> AsyncGenerator[bytes, None]:
        """The bytes that `pieces` yields; small pieces are joined, large ones are passed on as they are.

        The next `size` bytes are gathered while those before are being sent, no more; in between, no thread is held: a
        slow reader costs twice that in memory. A quick one is given up to `largest` at once. `pieces` is closed when it
        ends, fails or is abandoned.
        """
        clock = asyncio.get_running_loop().time
        least = size
        job = self.submit(partial(_gather, pieces, size))
        try:
            while gathered := await asyncio.wrap_future(job):
                job = self.submit(partial(_gather, pieces, size), admitted=True)
                began = clock()
                for chunk in gathered:
                    yield chunk
                size = min(2 * size, largest) if clock() - began < _QUICK else least
        finally:
            job.cancel()
            if isinstance(pieces, Generator):
                close = pieces.close
                job.add_done_callback(
                    lambda _: close()
                )  # not before: a generator cannot be closed as it runs

    def close(self) -> None:
        """Drops what waits and ends the idle threads. What still runs is not waited for."""
        with self._changed:
            self._closed = True
            waiting = list(self._jobs)
            self._changed.notify_all()
        for future, _ in waiting:
            future.cancel()

    def _drop(self, future: Future[Any]) -> None:
        """A cancelled call leaves the queue, so that it takes nobody's place there. It is looked for by its future,
        which must not hold the job that holds itself: such a cycle would keep results until the collector comes."""
        if future.cancelled():
            with self._changed:
                job = next((job for job in self._jobs if job[0] is future), None)
                if job:
                    self._jobs.remove(job)

    def _work(self) -> None:
        while job := self._next():
            _perform(*job)
            del job  # it holds what the call was given, and the next one may be long in coming
            with self._changed:
                self._running -= 1

    def _next(self) -> Job | None:
        with self._changed:
            self._idle += 1
            self._changed.wait_for(lambda: self._jobs or self._closed)
            self._idle -= 1
            if self._closed:
                return None
            self._running += 1
            return self._jobs.popleft()


class Pools:
    """The server's pools. `close()` when it stops."""

    def __init__(self, database_threads: int = 8, store_threads: int = 8, waiting: int = 256) -> None:
        self._new_store = partial(Pool, threads=store_threads, waiting=waiting)
        self._database = Pool("the database", database_threads, waiting)
        self._stores: dict[int, Pool] = {}
        self._peers: dict[str, Pool] = {}

    async def database(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs a call that uses the database and no store. Unavailable: too many wait already."""
        return await self._database.run(function, *args, **kwargs)

    async def store(self, store: int, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs a call that uses the store of that id, and perhaps the database."""
        return await self.of_store(store).run(function, *args, **kwargs)

    async def peer(self, name: str, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs a call that waits for the peer of that name, and perhaps uses the database."""
        if name not in self._peers:
            self._peers[name] = Pool(f"the peer {name}", _PEER_THREADS, _PEER_WAITING)
        return await self._peers[name].run(function, *args, **kwargs)

    @property
    def of_database(self) -> Pool:
        return self._database

    def of_store(self, store: int) -> Pool:
        """The pool of one store. To be called on the event loop only."""
        if store not in self._stores:
            self._stores[store] = self._new_store(f"store {store}")
        return self._stores[store]

    def close(self) -> None:
        for pool in (self._database, *self._stores.values(), *self._peers.values()):
            pool.close()


def _perform(future: Future[Any], call: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = call()
    except BaseException as error:  # noqa: BLE001 - not handled here: it belongs to whoever asked
        future.set_exception(error)
    else:
        future.set_result(result)


def _gather(pieces: Iterator[bytes], size: int) -> list[bytes]:
    """Pieces, until they are `size` bytes, as chunks that are worth sending; [] only when there are none left."""
    chunks: list[bytes] = []
    small: list[bytes] = []
    length = 0
    for piece in pieces:
        length += len(piece)
        if len(piece) < _SMALL:
            small.append(piece)
        else:
            chunks += [b"".join(small), piece] if small else [piece]
            small = []
        if length >= size:
            break
    return [*chunks, b"".join(small)] if small else chunks
