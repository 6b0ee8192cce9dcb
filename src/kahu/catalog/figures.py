"""What lies in a store: how much, and what was not taken."""

from dataclasses import dataclass

import sqlalchemy as sa

from kahu.catalog.schema import instances, locations, refusals, series_stores


@dataclass(frozen=True)
class Held:
    """What a store holds, as of its last scan."""

    objects: int
    series: int
    bytes: int
    refused: int
    """files that claim to be DICOM and were not taken"""


def of_store(db: sa.Connection, store_id: int) -> Held:
    """What a store holds. Objects that were missing at the last scan, and series of only those, do not count."""
    c = locations.c
    here = sa.and_(c.store == store_id, c.state != "missing")
    objects, size = db.execute(
        sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(c.size), 0)).where(here)
    ).one()
    # One exists within the other, so that the way from a series to its locations leads over its instances.
    lies = sa.exists().where(c.instance == instances.c.key, here)
    there = sa.exists().where(instances.c.series == series_stores.c.series, lies)
    series = _count(db, series_stores, sa.and_(series_stores.c.store == store_id, there))
    refused = _count(db, refusals, sa.and_(refusals.c.store == store_id, refusals.c.dicom))
    return Held(objects, series, int(size), refused)


def _count(db: sa.Connection, table: sa.Table, which: sa.ColumnElement[bool]) -> int:
    rows: int = db.execute(sa.select(sa.func.count()).select_from(table).where(which)).scalar_one()
    return rows


@dataclass(frozen=True)
class NotTaken:
    """A file that is no object of ours."""

    key: str
    reason: str
    dicom: bool
    """worth a person's look"""


def refused(db: sa.Connection, store_id: int, limit: int) -> list[NotTaken]:
    """Files of a store that were not taken, those worth a look first."""
    c = refusals.c
    rows = db.execute(
        sa.select(c.key, c.reason, c.dicom)
        .where(c.store == store_id)
        .order_by(c.dicom.desc(), c.key)
        .limit(limit)
    )
    return [NotTaken(*row) for row in rows]
