"""Deleting what someone no longer wants here: objects that Kahu owns go, borrowed ones are forgotten and left alone.

Rows go first, then bytes: a crash between them leaves bytes that no row knows, which the next start sweeps. Tags and
results stay with their UIDs. A borrowed file that was forgotten is not taken in again by a scan, until it changes or
its store is added anew.
"""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, cast

import sqlalchemy as sa

from kahu.catalog import forget, thumbnails
from kahu.catalog.hierarchy import HIERARCHY, within
from kahu.catalog.places import Places
from kahu.catalog.schema import conflicts, instances, locations, refusals, series
from kahu.catalog.scope import Scope
from kahu.db import Database
from kahu.errors import NotFound
from kahu.stores import OwnedStore

_AT_ONCE = 1000
_FORGOTTEN = "it was deleted here, so it is not taken in again until it changes"


def delete(
    database: Database,
    places: Places,
    cache: Path,
    scope: Scope,
    study: str,
    series_uid: str = "",
    instance: str = "",
) -> int:
    """Deletes a study, a series or an instance; returns how many instances. Those that lie in a store out of scope,
    too, stay there. NotFound: there is none in scope.

    Everything happens in transactions of limited size: interrupted, a part is deleted; called again, it goes on.
    """
    owned = {place.id for place in places.all() if place.owned}
    wanted = (
        sa.select(instances.c.key, instances.c.uid, series.c.uid.label("series_uid"))
        .select_from(HIERARCHY)
        .where(within(scope, study, series_uid, instance))
        .limit(_AT_ONCE)
    )
    deleted = 0
    while True:
        with database.write() as db:
            rows = db.execute(wanted).all()
            lies = _take_out(db, scope, rows, owned)
        if not rows:
            break
        deleted += len(rows)
        for store, key in lies:
            cast(OwnedStore, places.store(store)).delete(key)
        for uid in {row.series_uid for row in rows}:
            thumbnails.forget(cache, uid)
    if not deleted:
        raise NotFound("there is no such study, series or instance here")
    return deleted


def _take_out(
    db: sa.Connection, scope: Scope, rows: Sequence[Any], owned: Collection[int]
) -> list[tuple[int, str]]:
    """Removes these instances' rows; the store and key of each file that is to be removed."""
    keys = [row.key for row in rows]
    at, aside = locations.c, conflicts.c
    stores = [] if scope.stores is None else [sorted(scope.stores)]
    here = sa.and_(at.instance.in_(keys), *map(at.store.in_, stores))
    there = sa.and_(aside.uid.in_([row.uid for row in rows]), *map(aside.store.in_, stores))
    files = {
        *map(tuple, db.execute(sa.select(at.store, at.key, at.size, at.stamp).where(here))),
        *map(tuple, db.execute(sa.select(aside.store, aside.key, aside.size, aside.stamp).where(there))),
    }
    db.execute(sa.delete(locations).where(here))
    db.execute(sa.delete(conflicts).where(there))
    borrowed = [
        {"store": store, "key": key, "size": size, "stamp": stamp, "reason": _FORGOTTEN, "dicom": False}
        for store, key, size, stamp in files
        if store not in owned
    ]
    if borrowed:
        db.execute(sa.insert(refusals), borrowed)
    if keys:
        forget.left(db, keys, {store for store, *_ in files})
    return [(store, key) for store, key, *_ in files if store in owned]
