"""Forgetting locations, and then what lies nowhere any more. Tags and results stay with their UIDs.

Everything happens in transactions of limited size: interrupted, a part is forgotten; called again, it goes on.
"""

from collections.abc import Collection

import sqlalchemy as sa

from kahu.catalog import changes
from kahu.catalog.schema import (
    conflicts,
    headers,
    instances,
    locations,
    patients,
    refusals,
    series,
    series_metadata,
    series_stores,
    stores,
    studies,
)
from kahu.catalog.sums import recount
from kahu.db import Database

_AT_ONCE = 1000


def store(database: Database, store_id: int) -> None:
    """Forgets a store, and every object that lies nowhere else."""
    _locations(database, store_id, sa.true())
    with database.write() as db:
        for table in (refusals, conflicts, series_stores):
            db.execute(sa.delete(table).where(table.c.store == store_id))
        db.execute(sa.delete(stores).where(stores.c.id == store_id))


def missing(database: Database, store_id: int) -> None:
    """Forgets the objects of a store that were not there any more at its last scan."""
    _locations(database, store_id, locations.c.state == "missing")


def _locations(database: Database, store_id: int, condition: sa.ColumnElement[bool]) -> None:
    here = sa.and_(locations.c.store == store_id, condition)
    some = sa.select(locations.c.id, locations.c.instance).where(here).limit(_AT_ONCE)
    nowhere = (
        sa.select(instances.c.key)
        .join(series_stores, series_stores.c.series == instances.c.series)
        .where(series_stores.c.store == store_id, ~sa.exists().where(locations.c.instance == instances.c.key))
        .limit(_AT_ONCE)
    )
    while True:
        with database.write() as db:
            found = db.execute(some).all()
            keys = {row.instance for row in found} or set(db.scalars(nowhere))
            if not keys:
                return
            db.execute(sa.delete(locations).where(locations.c.id.in_([row.id for row in found])))
            left(db, keys, [store_id])


def left(db: sa.Connection, keys: Collection[bytes], store_ids: Collection[int]) -> None:
    """To be called when locations of these instances in these stores have been forgotten: forgets what lies nowhere
    any more."""
    _instances(db, keys)
    for store_id in store_ids:
        _leave(db, store_id, keys)


def _instances(db: sa.Connection, keys: Collection[bytes]) -> None:
    """Forgets those of these instances that lie nowhere, then series, studies and patients left without any."""
    bears = sa.exists().where(locations.c.instance == instances.c.key, locations.c.state != "conflict")
    rows = db.execute(
        sa.select(instances.c.key, instances.c.uid, instances.c.series).where(
            instances.c.key.in_(list(keys)), ~bears
        )
    ).all()
    lost = [row.key for row in rows]
    # What contradicted an instance that is gone contradicts nothing: the next scan finds it as new.
    db.execute(sa.delete(conflicts).where(conflicts.c.uid.in_([row.uid for row in rows])))
    db.execute(sa.delete(locations).where(locations.c.instance.in_(lost)))
    db.execute(sa.delete(headers).where(headers.c.key.in_(lost)))
    touched = {row.series for row in rows}
    changes.of_instances(db, keys)
    db.execute(sa.delete(instances).where(instances.c.key.in_(lost)))
    recount(db, touched)
    empty(db, touched)


def empty(db: sa.Connection, series_ids: Collection[int]) -> None:
    """Forgets those of these series that have no instance left, and what is above them."""
    empty = db.execute(
        sa.select(series.c.id, series.c.uid, series.c.study).where(
            series.c.id.in_(list(series_ids)), series.c.instances == 0
        )
    ).all()
    gone = [row.id for row in empty]
    for table in (series_metadata, series_stores):
        db.execute(sa.delete(table).where(table.c.series.in_(gone)))
    db.execute(sa.delete(series).where(series.c.id.in_(gone)))
    changes.add(db, "series-gone", [row.uid for row in empty])

    childless(db, {row.study for row in empty})


def childless(db: sa.Connection, study_ids: Collection[int], patient_ids: Collection[int] = ()) -> None:
    """Forgets those of these studies that have no series left, and those of these patients, and of theirs,
    that have no study."""
    without_series = sa.and_(
        studies.c.id.in_(list(study_ids)), ~sa.exists().where(series.c.study == studies.c.id)
    )
    theirs = {*patient_ids, *db.scalars(sa.select(studies.c.patient).where(without_series))}
    db.execute(sa.delete(studies).where(without_series))
    without_study = sa.and_(patients.c.id.in_(theirs), ~sa.exists().where(studies.c.patient == patients.c.id))
    db.execute(sa.delete(patients).where(without_study))


def _leave(db: sa.Connection, store_id: int, keys: Collection[bytes]) -> None:
    """Series of these instances lie in the store no more, where nothing of them does."""
    touched = sa.select(instances.c.series).where(instances.c.key.in_(list(keys)))
    lies = sa.exists().where(locations.c.instance == instances.c.key, locations.c.store == store_id)
    still = sa.exists().where(instances.c.series == series_stores.c.series, lies)
    db.execute(
        sa.delete(series_stores).where(
            series_stores.c.store == store_id, series_stores.c.series.in_(touched), ~still
        )
    )
