"""How much there is in each store, and what was not taken."""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from kahu.catalog.schema import locations, refusals, series_stores


@dataclass(frozen=True)
class Figures:
    """What one store holds."""

    objects: int = 0
    series: int = 0
    bytes: int = 0
    refused: int = 0
    """files that claim to be DICOM and were not taken"""


@dataclass(frozen=True)
class Refusal:
    """One file that was not taken."""

    key: str
    reason: str
    dicom: bool


def of_store(db: sa.Connection, store: int) -> Figures:
    """The figures of one store."""
    objects, size = db.execute(
        sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(locations.c.size), 0)).where(
            locations.c.store == store
        )
    ).one()
    series = sa.select(sa.func.count()).select_from(series_stores).where(series_stores.c.store == store)
    refused = (
        sa.select(sa.func.count()).select_from(refusals).where(refusals.c.store == store, refusals.c.dicom)
    )
    return Figures(objects, db.scalar(series) or 0, int(size), db.scalar(refused) or 0)


def refused(db: sa.Connection, store: int, limit: int) -> Sequence[Refusal]:
    """Files of a store that were not taken: first those that claim to be DICOM, then by name."""
    rows = db.execute(
        sa.select(refusals.c.key, refusals.c.reason, refusals.c.dicom)
        .where(refusals.c.store == store)
        .order_by(refusals.c.dicom.desc(), refusals.c.key)
        .limit(limit)
    )
    return [Refusal(row.key, row.reason, row.dicom) for row in rows]
