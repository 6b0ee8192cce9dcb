"""Bytes that are sent here -> one object, or a refusal; results, pending until they are published.

Every door ends here. Success is only said when the bytes are synced and the row is committed. A crash before
that leaves bytes that no row knows, which `sweep` removes.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal, cast

import sqlalchemy as sa

from kahu.catalog import changes
from kahu.catalog.insert import insert_new
from kahu.catalog.judge import Judged, View, judge, look, newcomers, still_true
from kahu.catalog.known import Kept
from kahu.catalog.places import Place, Places
from kahu.catalog.record import one_each, write
from kahu.catalog.schema import instance_key, locations, pending, results
from kahu.catalog.spooling import Spooling
from kahu.db import Database
from kahu.dicom.header import Header, read_header
from kahu.errors import FAULT, BytesMissing, Conflict, KahuError, StorageFull
from kahu.stores import Entry, Found, OwnedStore

log = logging.getLogger("kahu.catalog")

Door = Literal["stow", "c-store", "import", "result"]
Verdict = Literal["valid", "suspect", "rejected"]

MOST_ASIDE = 8
"""different objects that are kept aside under one UID: whoever sends more has a fault, and fills no disk"""


@dataclass(frozen=True, slots=True)
class Received:
    """An object that is kept now."""

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    duplicate: bool
    """it was known already: the same object, sent again"""


@dataclass(frozen=True)
class Prepared:
    """What one attempt at a task delivered, read again and compared with what is known."""

    task: str
    attempt: int
    place: Place
    """Kahu's own store, where the bytes are"""
    objects: tuple[Judged, ...]

    @property
    def series_uids(self) -> tuple[str, ...]:
        """Of the delivered series."""
        return tuple(dict.fromkeys(each.found.header.series_instance_uid for each in self.objects))


@dataclass(frozen=True)
class Result:
    """Where a result came from, and what the gate said of it."""

    tool: str
    """name and version"""
    verdict: Verdict
    reasons: tuple[str, ...]
    """sentences"""
    sources: tuple[str, ...]
    """Series Instance UIDs of what the tool worked on"""


# Objects


@dataclass(frozen=True, slots=True)
class Arrival:
    """An object that lies in Kahu's own store, and of which no row knows yet."""

    found: Found
    digest: str
    """SHA-256 of its data set"""
    door: Door
    task: str
    """that delivered it; empty: it is no result"""
    attempt: int


Outcome = Received | KahuError
"""what became of an object: it is kept, or why it is not"""

OnDisk = Callable[[Arrival], None]
"""returns when the bytes of an object are synced; StorageFull"""


def receive(
    database: Database,
    places: Places,
    chunks: Iterable[bytes],
    *,
    door: Door,
    task: str = "",
    attempt: int = 0,
    study: str = "",
) -> Received:
    """Keeps one object, a file in the sense of PS3.10, byte for byte. Where many come at once, `inbox` is faster.

    With `task`, it is kept pending under that attempt and seen by nobody. `study`: the study that it must be
    of, if one was named. NotDicom, BrokenDicom; StorageFull; Conflict: it is of another study, or another object
    has its UID, and this one is kept aside for a person to decide.
    """
    place, store = places.owned()
    with Spooling(store) as spooling:
        for chunk in chunks:
            spooling.write(chunk)
        arrival = keep(spooling, spooling.header(), door=door, task=task, attempt=attempt, study=study)
        (outcome,) = settle(database, places, place, [arrival], lambda one: spooling.sync(one.found.entry))
    if isinstance(outcome, KahuError):
        raise outcome
    return outcome


def keep(spooling: Spooling, header: Header, *, door: Door, task: str, attempt: int, study: str) -> Arrival:
    """Puts an object that has come whole into Kahu's own store. Conflict: it is of another study than `study`, if
    one is named. StorageFull."""
    if study not in ("", header.study_instance_uid):
        raise Conflict("it is of another study than it was sent to", "send it to its own study")
    digest = spooling.digest(header)
    return Arrival(Found(spooling.keep(), header), digest, door, task, attempt)


def settle(
    database: Database, places: Places, place: Place, arrivals: Sequence[Arrival], on_disk: OnDisk
) -> list[Outcome]:
    """Writes the rows of objects that lie in the store `place`, many in one transaction; what became of each.

    Bytes that are not wanted are removed. An object that cannot be written is refused alone.
    """
    batch = _Batch(database, places, place, arrivals, on_disk)
    try:
        batch.write_pending()
        batch.write()
    except (KahuError, OSError, sa.exc.SQLAlchemyError) as error:
        if len(arrivals) > 1:  # what of it is written already is written again, which changes nothing
            return [
                outcome for one in arrivals for outcome in settle(database, places, place, [one], on_disk)
            ]
        if isinstance(error, KahuError):
            batch.remove(arrivals)
            return [error]
        log.error("an object could not be written", exc_info=error)
        return [KahuError("it could not be written", FAULT)]  # and rows may know its bytes: a sweep will tell
    batch.remove(batch.unwanted)
    return [batch.outcomes[one.found.entry.key] for one in arrivals]


class _Batch:
    """Objects whose rows are written together, and what has become of them so far."""

    def __init__(
        self,
        database: Database,
        places: Places,
        place: Place,
        arrivals: Sequence[Arrival],
        on_disk: OnDisk,
    ) -> None:
        self.outcomes: dict[str, Outcome] = {}
        """by their keys in the store"""
        self.unwanted: list[Arrival] = []
        self._database = database
        self._places = places
        self._place = place
        self._arrivals = {one.found.entry.key: one for one in arrivals}
        self._on_disk = on_disk

    def write_pending(self) -> None:
        """Writes what tasks have delivered."""
        delivered = [one for one in self._arrivals.values() if one.task]
        if not delivered:
            return
        with self._database.write() as db:
            self._tell([(one, *_deliver(db, self._place, one)) for one in delivered])

    def write(self) -> None:
        """Writes all that nobody knew of in one transaction; and in more, if there are any, those that meet
        others of their own UID: one of this batch, or one that is known."""
        first, waiting = one_each(one.found for one in self._arrivals.values() if not one.task)
        if first:
            with self._database.write() as db:
                new, known = newcomers(db, self._place.id, first)
                self._write(db, [replace(each, digest=self._of(each).digest) for each in new])
            waiting += known
        while waiting:
            now, waiting = one_each(waiting)
            with self._database.read() as db:
                views = look(db, self._place.id, now)
            judged = [self._judge(each, view) for each, view in zip(now, views, strict=True)]
            with self._database.write() as db:
                done, again = still_true(db, self._place.id, judged)
                self._write(db, done)
            waiting += [each.found for each in again]

    def remove(self, arrivals: Iterable[Arrival]) -> None:
        """Removes bytes that nobody wants."""
        store = cast(OwnedStore, self._places.store(self._place.id))
        for one in arrivals:
            with suppress(StorageFull):  # what cannot be removed now is swept when Kahu starts
                store.delete(one.found.entry.key)

    def _judge(self, found: Found, view: View) -> Judged:
        digest = self._arrivals[found.entry.key].digest
        return judge(self._database, self._places, self._place.id, found, digest, view)

    def _write(self, db: sa.Connection, judged: Sequence[Judged]) -> None:
        """Writes what was judged, as far as it is wanted."""
        told = [(self._of(each), *_outcome(db, self._place, each)) for each in judged]
        by_door: dict[Door, list[Judged]] = defaultdict(list)
        for each, (arrival, _, wanted) in zip(judged, told, strict=True):
            if wanted:
                by_door[arrival.door].append(each)
        for door, together in by_door.items():
            write(db, self._place, together, door)
        self._tell(told)

    def _tell(self, told: Iterable[tuple[Arrival, Outcome, bool]]) -> None:
        """To be called at the end of the transaction that writes the rows of those that are wanted."""
        for arrival, outcome, wanted in told:
            self.outcomes[arrival.found.entry.key] = outcome
            if wanted:
                self._on_disk(arrival)
            else:
                self.unwanted.append(arrival)

    def _of(self, judged: Judged) -> Arrival:
        return self._arrivals[judged.found.entry.key]


def _outcome(db: sa.Connection, place: Place, judged: Judged) -> tuple[Outcome, bool]:
    """What becomes of an object, and whether its bytes are wanted."""
    if judged.judgement == "gone":
        return BytesMissing("it vanished from Kahu's own store as it was received", "send it again"), False
    if judged.judgement != "differs":
        return _received(judged.found.header, judged.judgement == "same"), not _is_held(place, judged)
    aside = _aside(db, place, judged)
    is_new, has_room = judged.digest not in aside, len(aside) < MOST_ASIDE
    where = "kept aside" if has_room or not is_new else "not kept: too many others are kept aside already"
    return Conflict(f"another object has its UID, and this one is {where}", "see kahu conflicts"), (
        is_new and has_room
    )


def _received(header: Header, duplicate: bool) -> Received:
    return Received(
        header.sop_class_uid,
        header.sop_instance_uid,
        header.study_instance_uid,
        header.series_instance_uid,
        duplicate,
    )


def _is_held(place: Place, judged: Judged) -> bool:
    """Whether Kahu's own store has the same bytes. A copy of what is only borrowed is wanted: that may go."""
    syntax = judged.found.header.transfer_syntax_uid
    return judged.judgement == "same" and any(
        (at.store, at.state, at.transfer_syntax) == (place.id, "ok", syntax) for at in judged.view.others
    )


def _aside(db: sa.Connection, place: Place, judged: Judged) -> set[str | None]:
    """The digests of what is kept aside in Kahu's own store under the UID of an object."""
    key = instance_key(judged.found.header.sop_instance_uid)
    c = locations.c
    here = sa.and_(c.instance == key, c.store == place.id, c.state == "conflict")
    return set(db.scalars(sa.select(c.digest).where(here)))


# Results


def _deliver(db: sa.Connection, place: Place, arrival: Arrival) -> tuple[Outcome, bool]:
    """Remembers what a task has delivered; what becomes of it, and whether its bytes are wanted: not when the
    attempt has delivered the same object already, or another under its UID."""
    entry, header = arrival.found.entry, arrival.found.header
    row = {
        "task": arrival.task,
        "attempt": arrival.attempt,
        "uid": header.sop_instance_uid,
        "store": place.id,
        "key": entry.key,
        "size": entry.size,
        "stamp": entry.stamp,
        "digest": arrival.digest,
    }
    c = pending.c
    if db.execute(insert_new(db, pending).values(row).returning(c.id)).first():
        return _received(header, duplicate=False), True
    before = db.execute(
        sa.select(c.key, c.digest).where(
            c.task == arrival.task, c.attempt == arrival.attempt, c.uid == row["uid"]
        )
    ).one()
    if before.digest == arrival.digest:
        return _received(header, duplicate=True), before.key == entry.key
    return Conflict(
        "two different objects were delivered under one SOP Instance UID", "give each object a UID of its own"
    ), False


def prepare(database: Database, places: Places, task: str, attempt: int) -> Prepared:
    """Reads again what an attempt has delivered, and compares it with what is known. BytesMissing."""
    place, store = places.owned()
    c = pending.c
    with database.read() as db:
        rows = db.execute(sa.select(pending).where(c.task == task, c.attempt == attempt).order_by(c.id)).all()
    found = [_reread(store, Entry(row.key, row.size, row.stamp)) for row in rows]
    with database.read() as db:
        views = look(db, place.id, found)
    judged = (
        judge(database, places, place.id, each, row.digest, view)
        for each, row, view in zip(found, rows, views, strict=True)
    )
    return Prepared(task, attempt, place, tuple(judged))


def _reread(store: OwnedStore, entry: Entry) -> Found:
    return Found(entry, read_header(lambda offset, length: store.read(entry, offset, length), entry.size))


def publish(db: sa.Connection, prepared: Prepared, result: Result) -> None:
    """Makes a result known, all of it or nothing: part of the caller's transaction.

    Rejected objects stay pending, so nobody sees them; the verdict can be read all the same. An object that
    contradicts one that is known is kept aside. Conflict: the catalogue has changed since `prepare`; prepare again.
    """
    if not prepared.objects:
        return
    if result.verdict == "rejected":
        db.execute(insert_new(db, results), _rows(prepared, result))
        return
    done, overtaken = still_true(db, prepared.place.id, prepared.objects)
    if overtaken:
        raise Conflict("the catalogue has changed while a result was being published", "try again")
    wanted = [each for each in done if not _is_held(prepared.place, each)]
    write(db, prepared.place, wanted, "result")
    keys = [each.found.entry.key for each in wanted]
    db.execute(sa.delete(pending).where(pending.c.store == prepared.place.id, pending.c.key.in_(keys)))
    db.execute(sa.delete(results).where(results.c.series_uid.in_(prepared.series_uids)))
    db.execute(sa.insert(results), _rows(prepared, result))
    changes.add(db, "result", prepared.series_uids)


def _rows(prepared: Prepared, result: Result) -> list[dict[str, object]]:
    now = time.time()
    return [
        {
            "series_uid": uid,
            "task": prepared.task,
            "tool": result.tool,
            "verdict": result.verdict,
            "reasons": list(result.reasons),
            "sources": list(result.sources),
            "at": now,
        }
        for uid in prepared.series_uids
    ]


def results_of(db: sa.Connection, tasks: Collection[str]) -> dict[str, dict[str, Result]]:
    """What became of these tasks' results, rejected ones too: by task, then by Series Instance UID."""
    c = results.c
    found: dict[str, dict[str, Result]] = {}
    for row in db.execute(sa.select(results).where(c.task.in_(list(tasks))).order_by(c.series_uid)):
        result = Result(row.tool, row.verdict, tuple(row.reasons), tuple(row.sources))
        found.setdefault(row.task, {})[row.series_uid] = result
    return found


def discard(database: Database, places: Places, task: str, *, keep_attempt: int | None = None) -> None:
    """Removes what is pending of a task, but for one attempt."""
    _, store = places.owned()
    c = pending.c
    condition = c.task == task
    if keep_attempt is not None:
        condition = sa.and_(condition, c.attempt != keep_attempt)
    with database.write() as db:
        keys = db.scalars(sa.select(c.key).where(condition)).all()
        db.execute(sa.delete(pending).where(condition))
    for key in keys:
        store.delete(key)


def sweep(database: Database, places: Places) -> int:
    """Removes bytes in Kahu's own store that no row knows: what crashes have left. Only while nothing arrives."""
    place, store = places.owned()
    return store.sweep(Kept(database, place.id))
