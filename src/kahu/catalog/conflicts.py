"""Objects that say something else under a UID that we have: kept aside until a person decides."""

import time
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from kahu.catalog.judge import Judged, look
from kahu.catalog.places import Place, Places
from kahu.catalog.record import write
from kahu.catalog.schema import conflicts, instance_key, locations
from kahu.db import Database
from kahu.dicom.header import read_header
from kahu.errors import NotFound
from kahu.stores import Entry, Found


@dataclass(frozen=True)
class KeptAside:
    """An object that contradicts one that is known."""

    id: int
    uid: str
    """SOP Instance UID"""
    store: int
    key: str
    door: str
    """by which it came: scan, stow, import or result; replaced: it was known until another took its place"""
    at: float
    """seconds since the epoch"""


def all_of(db: sa.Connection, limit: int = 1000) -> list[KeptAside]:
    """What is kept aside, newest first."""
    c = conflicts.c
    rows = db.execute(sa.select(c.id, c.uid, c.store, c.key, c.door, c.at).order_by(c.id.desc()).limit(limit))
    return [KeptAside(*row) for row in rows]


def get(db: sa.Connection, conflict: int) -> KeptAside:
    """NotFound: there is no such conflict."""
    row = _row(db, conflict)
    return KeptAside(row.id, row.uid, row.store, row.key, row.door, row.at)


def dismiss(database: Database, places: Places, conflict: int) -> None:
    """What is known stays. The other object is deleted if it is Kahu's own; a borrowed file is left alone, and
    not spoken of again until it changes. NotFound: there is no such conflict."""
    owned, store = places.owned()
    with database.write() as db:
        row = _row(db, conflict)
        db.execute(sa.delete(conflicts).where(conflicts.c.id == conflict))
        mine = row.store == owned.id
        if mine:
            here = sa.and_(locations.c.store == row.store, locations.c.key == row.key)
            db.execute(sa.delete(locations).where(here))
    if mine:
        store.delete(row.key)


def replace(database: Database, places: Places, conflict: int) -> None:
    """The object that was kept aside takes the place of what is known, which is kept aside in its turn.

    NotFound: there is no such conflict. BytesChanged, BytesMissing: the object is not what it was; scan again.
    """
    with database.read() as db:
        row = _row(db, conflict)
    place = places.get(row.store)
    store, entry = places.store(row.store), Entry(row.key, row.size, row.stamp)
    header = read_header(lambda offset, length: store.read(entry, offset, length), entry.size)
    found = Found(entry, header)
    with database.write() as db:
        _row(db, conflict)
        _put_aside(db, row.uid)
        _take(db, place, found)


def _row(db: sa.Connection, conflict: int) -> Any:
    c = conflicts.c
    row = db.execute(
        sa.select(c.id, c.uid, c.store, c.key, c.size, c.stamp, c.door, c.at).where(c.id == conflict)
    ).one_or_none()
    if row is None:
        raise NotFound("there is no such conflict", "see: kahu conflicts")
    return row


def _put_aside(db: sa.Connection, uid: str) -> None:
    c = locations.c
    known = sa.and_(c.instance == instance_key(uid), c.state == "ok")
    rows = [
        {
            "uid": uid,
            "store": row.store,
            "key": row.key,
            "size": row.size,
            "stamp": row.stamp,
            "door": "replaced",
            "at": time.time(),
        }
        for row in db.execute(sa.select(c.store, c.key, c.size, c.stamp).where(known))
    ]
    if rows:
        db.execute(sa.insert(conflicts), rows)
    db.execute(sa.update(locations).where(known).values(state="conflict"))
    db.execute(sa.delete(locations).where(c.instance == instance_key(uid), c.state == "missing"))


def _take(db: sa.Connection, place: Place, found: Found) -> None:
    (view,) = look(db, place.id, [found])
    digest = view.own.digest if view.own else None
    write(db, place, [Judged(found, digest, view, "replaces")], "replaced")
