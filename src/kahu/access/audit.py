"""The audit log: who did what, appended and never changed. It names UIDs and paths, no patients."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from kahu.db import Database, Id, Text, metadata

log = logging.getLogger(__name__)

_FLUSH = 0.5  # seconds that an entry may wait to be written

audit = sa.Table(
    "audit",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("who", Text, nullable=False),
    sa.Column("action", Text, nullable=False),
    sa.Column("what", Text, nullable=False),
    sa.Index("audit_by_who", "who", "id"),
    sqlite_autoincrement=True,
)


@dataclass(frozen=True)
class Entry:
    """One line of the audit log."""

    id: int
    at: float
    """seconds since the epoch"""
    who: str
    action: str
    what: str


class Audit:
    """Writes entries behind, many at once: reading a frame must not wait for a disk.

    An entry is on disk within a second; `close` writes the last ones.
    """

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock
        self._waiting: list[dict[str, object]] = []
        self._turn = threading.Lock()
        self._closing = threading.Event()
        self._some = threading.Event()
        self._writer = threading.Thread(target=self._write_behind, name="audit", daemon=True)
        self._writer.start()

    def record(self, who: str, action: str, what: str) -> None:
        """Appends an entry."""
        with self._turn:
            self._waiting.append({"at": self._clock(), "who": who, "action": action, "what": what})
        self._some.set()

    def flush(self) -> None:
        """Writes what is waiting; when that fails it goes on waiting."""
        with self._turn:
            rows, self._waiting = self._waiting, []
        if not rows:
            return
        try:
            with self._database.write(log=True) as db:
                db.execute(audit.insert(), rows)
        except BaseException:
            with self._turn:
                self._waiting = rows + self._waiting
            raise

    def entries(self, who: str = "", before: int | None = None, limit: int = 100) -> Sequence[Entry]:
        """The newest entries first; of one person, older than the entry `before`, where that is said."""
        query = sa.select(audit).order_by(audit.c.id.desc()).limit(limit)
        if who:
            query = query.where(audit.c.who == who)
        if before is not None:
            query = query.where(audit.c.id < before)
        with self._database.read() as db:
            return [Entry(*row) for row in db.execute(query)]

    def close(self) -> None:
        """Writes the last entries and ends."""
        self._closing.set()
        self._some.set()
        self._writer.join()
        self.flush()

    def _write_behind(self) -> None:
        while not self._closing.is_set():
            self._some.wait()
            self._closing.wait(_FLUSH)  # more may come, and one transaction takes them all
            self._some.clear()
            try:
                self.flush()
            except Exception:  # a full disk, say: what waits is tried again with the next
                log.exception("the audit log cannot be written")
                self._some.set()
