"""Results: what tasks deliver is pending, and seen by nobody, until it is published.

One transaction finishes a task and publishes one attempt of it; others never appear.
"""

import time
from dataclasses import dataclass
from typing import Literal

import sqlalchemy as sa

from kahu.catalog import changes
from kahu.catalog.insert import insert_new
from kahu.catalog.judge import At, Judged, judge, look, still_true
from kahu.catalog.places import Place, Places
from kahu.catalog.record import write
from kahu.catalog.schema import pending, results
from kahu.db import Database
from kahu.dicom.header import read_header
from kahu.errors import Conflict
from kahu.stores import Entry, Found, OwnedStore

Verdict = Literal["valid", "suspect", "rejected"]


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


def deliver(
    db: sa.Connection, place: Place, found: Found, digest: str, task: str, attempt: int
) -> Literal["new", "same", "differs"]:
    """Remembers what an attempt at a task has delivered; or says that it has delivered the same object before, or
    another one under its UID."""
    row = {
        "task": task,
        "attempt": attempt,
        "uid": found.header.sop_instance_uid,
        "store": place.id,
        "key": found.entry.key,
        "size": found.entry.size,
        "stamp": found.entry.stamp,
        "digest": digest,
    }
    c = pending.c
    if db.execute(insert_new(db, pending).values(row).returning(c.id)).first():
        return "new"
    before = db.execute(
        sa.select(c.key, c.digest).where(c.task == task, c.attempt == attempt, c.uid == row["uid"])
    ).one()
    if before.key == row["key"]:  # the very same bytes, told again
        return "new"
    return "same" if before.digest == digest else "differs"


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
    wanted = [each for each in done if not is_held(prepared.place, each)]
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


def is_held(place: Place, judged: Judged) -> bool:
    """Whether Kahu's own store has the same object. A copy of what is only borrowed is wanted: that may go."""
    return judged.judgement == "same" and holder(place, judged) is not None


def holder(place: Place, judged: Judged) -> At | None:
    """Where Kahu's own store has the instance in the transfer syntax in which it has come."""
    here = (place.id, "ok", judged.found.header.transfer_syntax_uid)
    others = judged.view.others
    return next((at for at in others if (at.store, at.state, at.transfer_syntax) == here), None)
