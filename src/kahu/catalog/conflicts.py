"""Objects that say something else under a UID that we have: listed, and decided by a person."""

from dataclasses import dataclass

import sqlalchemy as sa

from kahu.catalog.schema import conflicts


@dataclass(frozen=True)
class KeptAside:
    """An object that contradicts one that is known."""

    id: int
    uid: str
    """SOP Instance UID"""
    store: int
    key: str
    door: str
    """by which it came: scan, stow, import or result"""
    at: float
    """seconds since the epoch"""


def all_of(db: sa.Connection, limit: int = 1000) -> list[KeptAside]:
    """What is kept aside, newest first."""
    c = conflicts.c
    rows = db.execute(sa.select(c.id, c.uid, c.store, c.key, c.door, c.at).order_by(c.id.desc()).limit(limit))
    return [KeptAside(*row) for row in rows]
