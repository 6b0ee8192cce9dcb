"""Bytes that are sent here -> one object, or a refusal; results, pending until they are published.

Every door ends here. Success is only said when the bytes are synced and the row is committed. A crash before
that leaves bytes that no row knows, which `sweep` removes.
"""

import os
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import BinaryIO, Literal

import sqlalchemy as sa

from kahu.catalog import changes
from kahu.catalog.insert import insert_new
from kahu.catalog.judge import Judged, judge, look, still_true
from kahu.catalog.known import Kept
from kahu.catalog.places import Place, Places
from kahu.catalog.record import write
from kahu.catalog.schema import instance_key, locations, pending, results
from kahu.db import Database
from kahu.dicom.header import Header, dataset_digest, read_header
from kahu.errors import Conflict
from kahu.stores import Entry, Found, OwnedStore
from kahu.stores.reading import pread

Door = Literal["stow", "c-store", "import", "result"]
Verdict = Literal["valid", "suspect", "rejected"]


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


# One object


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
    """Keeps one object, a file in the sense of PS3.10, byte for byte.

    With `task`, it is kept pending under that attempt and seen by nobody. `study`: the study that it must be
    of, if one was named. NotDicom, BrokenDicom; StorageFull; Conflict: it is of another study, or another object
    has its UID, and this one is kept aside for a person to decide.
    """
    place, store = places.owned()
    with store.spool() as spooled:
        for chunk in chunks:
            spooled.write(chunk)
        header, digest = _read(spooled)
        if study and header.study_instance_uid != study:
            raise Conflict("the object is of another study than it was sent to", "send it to its own study")
        found = Found(store.keep(spooled), header)
    wanted = False
    try:
        if task:
            wanted = _write_pending(database, place, found, digest, task, attempt)
            duplicate = not wanted
        else:
            judged, wanted = _write(database, places, place, found, digest, door)
            duplicate = judged.judgement == "same"
    finally:
        if not wanted:
            store.delete(found.entry.key)
    if not task and judged.judgement == "differs":
        raise Conflict(
            f"another object has the SOP Instance UID {header.sop_instance_uid}",
            "it is kept aside: see kahu conflicts",
        )
    return Received(
        header.sop_class_uid,
        header.sop_instance_uid,
        header.study_instance_uid,
        header.series_instance_uid,
        duplicate,
    )


def _read(spooled: BinaryIO) -> tuple[Header, str]:
    """The header of an object in the spool, and SHA-256 of its data set."""
    size = spooled.seek(0, os.SEEK_END)

    def read(offset: int, length: int) -> bytes:
        return pread(spooled.fileno(), offset, length)

    header = read_header(read, size)
    return header, dataset_digest(read, size, header.dataset_offset)


def _write(
    database: Database, places: Places, place: Place, found: Found, digest: str, door: Door
) -> tuple[Judged, bool]:
    """Writes the rows of an object. What it was judged to be, and whether its bytes are wanted."""
    while True:
        with database.read() as db:
            (view,) = look(db, place.id, [found])
        judged = judge(database, places, place.id, found, digest, view)
        with database.write() as db:
            done, _ = still_true(db, place.id, [judged])
            wanted = not _is_held(place, judged) and not _is_aside(db, judged)
            if done and wanted:
                write(db, place, done, door)
        if done:
            return judged, wanted


def _is_held(place: Place, judged: Judged) -> bool:
    """Whether Kahu's own store has the same bytes. A copy of what is only borrowed is wanted: that may go."""
    syntax = judged.found.header.transfer_syntax_uid
    return judged.judgement == "same" and any(
        (at.store, at.state, at.transfer_syntax) == (place.id, "ok", syntax) for at in judged.view.others
    )


def _is_aside(db: sa.Connection, judged: Judged) -> bool:
    """Whether the same contradiction is kept aside already."""
    if judged.judgement != "differs":
        return False
    key = instance_key(judged.found.header.sop_instance_uid)
    c = locations.c
    aside = sa.select(c.id).where(c.instance == key, c.state == "conflict", c.digest == judged.digest)
    return db.execute(aside).first() is not None


# Results


def _write_pending(
    database: Database, place: Place, found: Found, digest: str, task: str, attempt: int
) -> bool:
    """Whether the bytes are wanted: not when the attempt has delivered them already. Conflict: it has delivered
    another object under the same UID."""
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
    with database.write() as db:
        if db.execute(insert_new(db, pending).values(row).returning(c.id)).first():
            return True
        before: str = db.execute(
            sa.select(c.digest).where(c.task == task, c.attempt == attempt, c.uid == row["uid"])
        ).scalar_one()
    if before != digest:
        raise Conflict(
            f"two different objects were delivered under the SOP Instance UID {row['uid']}",
            "give each object a UID of its own",
        )
    return False


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
