"""A scan -> rows: what is new, moved, changed, vanished.

Killed at any point and started again, a scan ends as if it had never been killed: batches are transactions, keys
come in order, and what is to be said of files that have vanished is said at the end, once the store has shown
that it is there.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from kahu.catalog import changes, columns, compare, figures
from kahu.catalog.known import Known
from kahu.catalog.places import Place, Places
from kahu.catalog.record import record
from kahu.catalog.schema import conflicts, locations, refusals
from kahu.db import Database
from kahu.errors import BytesMissing
from kahu.stores import Entry, Found, Refused, Scanned, Store, Unchanged, Unlisted

Report = Callable[[float | None, str], None]
"""is told how far a scan is (0 to 1; None: not known) and in words; may raise to end it"""

BATCH = 2000
"""objects in a transaction"""
BATCH_BYTES = 32 << 20
"""of headers, as they are kept: in a transaction hardly more"""
BATCH_SECONDS = 2.0
"""after which a slow store's objects are written all the same"""
TELL_SECONDS = 0.5


@dataclass
class Counts:
    """What a scan saw."""

    files: int = 0
    objects: int = 0
    """of the whole store, afterwards"""
    series: int = 0
    """of the whole store, afterwards"""
    refused: int = 0
    """files of the whole store that claim to be DICOM, or cannot be read, and were not taken"""
    unchanged: int = 0
    """files that were not opened, because they are as they were"""
    moved: int = 0
    """objects that lie elsewhere in the store than they did"""
    missing: int = 0
    """objects that were known and are not there any more"""
    conflicts: int = 0
    """objects that say something else under a UID that we have"""
    other_patient: int = 0
    """objects that name another patient or study than their series came with: the first stays"""
    seconds: float = 0.0


def scan(database: Database, places: Places, store_id: int, report: Report) -> Counts:
    """Looks through a store and writes what it finds. A second scan opens only what has changed.

    NotFound: there is no such store. BytesMissing: the store is out of reach, or nothing of what was known is
    there any more; its objects cannot be had then, but nothing is forgotten.
    """
    place = places.get(store_id)
    places.set_state(store_id, "scanning")
    try:
        counts = _Scan(database, places, place, places.store(store_id), report).run()
    except BytesMissing as error:
        places.set_state(store_id, "gone", "; ".join(filter(None, (str(error), error.hint))))
        raise
    except Exception:
        before = "ready" if place.scanned else "new"
        places.set_state(store_id, "gone" if place.state == "gone" else before, "the last scan did not end")
        raise
    places.set_state(store_id, "ready", "", time.time())
    return counts


@dataclass
class _Scan:
    """One scan at work."""

    database: Database
    places: Places
    place: Place
    store: Store
    report: Report
    counts: Counts = field(default_factory=Counts)
    new_objects: int = 0
    found: list[Found] = field(default_factory=list)
    held: int = 0
    """bytes of the headers of those found"""
    refused: list[Refused] = field(default_factory=list)
    unlisted: list[str] = field(default_factory=list)

    def run(self) -> Counts:
        began = written = told = time.monotonic()
        before, newest = self._before()
        known = Known(self.database, self.place.id)
        self.report(None, "looking")
        for each in self.store.scan(known):
            self._take(each)
            now = time.monotonic()
            if self._is_full() or now > written + BATCH_SECONDS:
                self._write()
                written = now
            if now > told + TELL_SECONDS:
                self.report(min(self.counts.files / before, 0.99) if before else None, self._words())
                told = now
        self._write()
        known.finish()
        self._write_vanished(known, newest)
        self._sum_up()
        self.counts.seconds = time.monotonic() - began
        self.report(1.0, self._words())
        return self.counts

    def _before(self) -> tuple[int, int]:
        """How many files are known, and the newest location of all."""
        with self.database.read() as db:
            files = sum(
                db.execute(
                    sa.select(sa.func.count()).select_from(table).where(table.c.store == self.place.id)
                ).scalar_one()
                for table in (locations, refusals)
            )
            newest = db.execute(sa.select(sa.func.coalesce(sa.func.max(locations.c.id), 0))).scalar_one()
        return files, newest

    def _take(self, each: Scanned) -> None:
        if isinstance(each, Unlisted):
            self.unlisted.append(each.prefix)
            self.refused.append(Refused(Entry(each.prefix, 0, ""), each.reason, True))
            return
        self.counts.files += 1
        if isinstance(each, Unchanged):
            self.counts.unchanged += 1
        elif isinstance(each, Refused):
            self.refused.append(each)
        else:
            self.found.append(each)
            self.held += len(each.header.packed)

    def _is_full(self) -> bool:
        return max(len(self.found), len(self.refused)) >= BATCH or self.held >= BATCH_BYTES

    def _words(self) -> str:
        return f"{self.counts.files:,} files, {self.new_objects:,} read"

    def _write(self) -> None:
        if self.found:
            recorded = record(self.database, self.places, self.place, self.found)
            self.counts.conflicts += recorded.conflicts
            self.counts.other_patient += recorded.other_patient
            self.new_objects += len(self.found)
            self.found, self.held = [], 0
        if self.refused:
            with self.database.write() as db:
                self._write_refused(db)
            self.refused = []

    def _write_refused(self, db: sa.Connection) -> None:
        """What lay in files that are refused now is not there any more."""
        keys = [each.entry.key for each in self.refused]
        here = sa.and_(locations.c.store == self.place.id, locations.c.key.in_(keys))
        held = db.execute(
            sa.select(locations.c.id, locations.c.instance, locations.c.state).where(here)
        ).all()
        self._lose(db, [row.id for row in held if row.state == "ok"])
        self._drop(db, [row.id for row in held if row.state == "conflict"])
        changes.of_instances(db, {row.instance for row in held})
        self.counts.missing += sum(row.state == "ok" for row in held)
        db.execute(sa.delete(refusals).where(refusals.c.store == self.place.id, refusals.c.key.in_(keys)))
        rows = [
            {
                "store": self.place.id,
                "key": each.entry.key,
                "size": each.entry.size,
                "stamp": each.entry.stamp,
                "reason": columns.clean(each.reason),
                "dicom": each.dicom,
            }
            for each in self.refused
        ]
        db.execute(sa.insert(refusals), rows)

    def _write_vanished(self, known: Known, newest: int) -> None:
        if not known.vanished:
            return
        self.store.check()
        if not known.met and not self.new_objects:
            raise BytesMissing(
                f"none of the {len(known.vanished):,} objects that were known is there any more",
                "if they were removed on purpose, remove the store here, too",
            )
        for start in range(0, len(known.vanished), BATCH):
            ids = known.vanished[start : start + BATCH].tolist()
            with self.database.read() as db:
                rows = db.execute(sa.select(locations).where(locations.c.id.in_(ids))).all()
            gone = [row for row in rows if self._is_gone(Entry(row.key, row.size, row.stamp))]
            with self.database.write() as db:
                self._write_gone(db, gone, newest)

    def _is_gone(self, entry: Entry) -> bool:
        return not entry.key.startswith(tuple(self.unlisted)) and not compare.is_there(self.store, entry)

    def _write_gone(self, db: sa.Connection, gone: Sequence[sa.Row[Any]], newest: int) -> None:
        """A location that was left for another in the same store is dropped, the last one is kept as missing."""
        ids = [row.id for row in gone]
        elsewhere = dict(
            db.execute(
                sa.select(locations.c.instance, sa.func.max(locations.c.id))
                .where(
                    locations.c.store == self.place.id,
                    locations.c.state == "ok",
                    locations.c.instance.in_({row.instance for row in gone}),
                    locations.c.id.not_in(ids),
                )
                .group_by(locations.c.instance)
            ).all()
        )
        ok = [row for row in gone if row.state == "ok"]
        self._lose(db, [row.id for row in ok if row.instance not in elsewhere])
        self._drop(db, [row.id for row in gone if row.state == "conflict" or row.instance in elsewhere])
        changes.of_instances(db, {row.instance for row in gone})
        moved = sum(elsewhere.get(row.instance, 0) > newest for row in ok)
        self.counts.moved += moved
        self.counts.missing += len(ok) - moved

    def _lose(self, db: sa.Connection, ids: Sequence[int]) -> None:
        db.execute(sa.update(locations).where(locations.c.id.in_(ids)).values(state="missing"))

    def _drop(self, db: sa.Connection, ids: Sequence[int]) -> None:
        keys = sa.select(locations.c.key).where(locations.c.id.in_(ids))
        db.execute(sa.delete(conflicts).where(conflicts.c.store == self.place.id, conflicts.c.key.in_(keys)))
        db.execute(sa.delete(locations).where(locations.c.id.in_(ids)))

    def _sum_up(self) -> None:
        """What the store holds now, however much of it was looked at this time."""
        with self.database.read() as db:
            held = figures.of_store(db, self.place.id)
        self.counts.objects, self.counts.series = held.objects, held.series
        self.counts.refused = held.refused
