"""Tags: labels that people and programs set on series. They belong to UIDs and survive what happens to bytes."""

import time

import sqlalchemy as sa

from kahu.catalog import changes
from kahu.catalog.insert import insert_new
from kahu.catalog.schema import series, tags
from kahu.catalog.scope import Scope
from kahu.db import Database
from kahu.errors import BadRequest, NotFound

LONGEST = 64
"""characters of a label"""


def put(database: Database, series_uid: str, label: str, by: str, scope: Scope) -> None:
    """Sets a tag; setting it again changes nothing. BadRequest: no label; NotFound: no such series in scope."""
    label = label.strip()
    if not label or len(label) > LONGEST or not label.isprintable():
        raise BadRequest(f"a tag is 1 to {LONGEST} printable characters")
    with database.write() as db:
        _check(db, series_uid, scope)
        row = {"series_uid": series_uid, "label": label, "by": by, "at": time.time()}
        if db.execute(insert_new(db, tags).values(row)).rowcount:
            changes.add(db, "tags", [series_uid])


def remove(database: Database, series_uid: str, label: str, scope: Scope) -> None:
    """Takes a tag away; not an error if it is not set. NotFound: no such series in scope."""
    with database.write() as db:
        _check(db, series_uid, scope)
        gone = sa.delete(tags).where(tags.c.series_uid == series_uid, tags.c.label == label.strip())
        if db.execute(gone).rowcount:
            changes.add(db, "tags", [series_uid])


def _check(db: sa.Connection, series_uid: str, scope: Scope) -> None:
    if db.execute(sa.select(series.c.id).where(series.c.uid == series_uid, scope.clause())).first() is None:
        raise NotFound("there is no such series here")
