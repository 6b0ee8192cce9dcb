"""The change feed: what came, went or was decided, in the order of commits."""

import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal

import sqlalchemy as sa

from kahu.catalog import plain
from kahu.catalog.schema import changes, instances, series
from kahu.catalog.scope import Scope

Kind = Literal["series-changed", "series-gone", "result", "tags"]


@dataclass(frozen=True)
class Change:
    """One line of the feed."""

    seq: int
    kind: Kind
    series_uid: str
    at: float
    """seconds since the epoch"""


def add(db: sa.Connection, kind: Kind, series_uids: Iterable[str]) -> None:
    """Writes a line for each series, in the caller's transaction."""
    now = time.time()
    rows = [{"kind": kind, "series_uid": uid, "at": now} for uid in series_uids]
    plain.insert(db, changes, rows)


def of_instances(db: sa.Connection, keys: Collection[bytes]) -> None:
    """Says that the series of these instances have changed."""
    uids = (
        sa.select(series.c.uid)
        .join(instances, instances.c.series == series.c.id)
        .where(instances.c.key.in_(list(keys)))
        .distinct()
    )
    add(db, "series-changed", db.scalars(uids).all())


def last(db: sa.Connection) -> int:
    """The number of the newest line; 0: there is none."""
    newest: int = db.execute(sa.select(sa.func.coalesce(sa.func.max(changes.c.seq), 0))).scalar_one()
    return newest


def since(db: sa.Connection, seq: int, scope: Scope, limit: int = 1000) -> tuple[list[Change], int]:
    """Up to `limit` lines after number `seq`, oldest first, and the number up to which this looked.

    A series that is gone lies in no store any more: only those who see everything, or were given that very
    series, are told.
    """
    newest = last(db)
    query = sa.select(changes).where(changes.c.seq > seq, changes.c.seq <= newest)
    if not scope.everything:
        visible = sa.exists().where(series.c.uid == changes.c.series_uid, scope.clause())
        gone: sa.ColumnElement[bool] = sa.false()
        if scope.series is not None:
            gone = sa.and_(changes.c.kind == "series-gone", changes.c.series_uid.in_(sorted(scope.series)))
        query = query.where(sa.or_(visible, gone))
    lines = [Change(**row._mapping) for row in db.execute(query.order_by(changes.c.seq).limit(limit))]
    return lines, lines[-1].seq if len(lines) == limit else max(newest, seq)
