"""What the catalogue knows of a store's files, asked for in the order of keys: like two decks merged, so a scan
of a million files holds a thousand of them."""

from array import array
from collections.abc import Iterator
from heapq import merge
from operator import itemgetter
from typing import Any

import sqlalchemy as sa

from kahu.catalog.schema import conflicts, locations, pending, refusals
from kahu.db import Database

_PAGE = 1000


class Known:
    """`known(key)` for a scan: (size, stamp) of a file as it was, or None. Keys come in ascending order."""

    def __init__(self, database: Database, store: int) -> None:
        self.vanished = array("q")
        """ids of locations that the keys so far have passed by"""
        self.met = 0
        """locations that they have met"""
        self._refusals_vanished: list[str] = []
        self._database = database
        self._store = store
        here = sa.and_(locations.c.store == store, locations.c.state != "missing")
        id_, no_id = locations.c.id, sa.literal(0)
        self._rows = merge(
            _rows(database, locations, here, locations.c.size, locations.c.stamp, id_),
            _rows(database, refusals, refusals.c.store == store, refusals.c.size, refusals.c.stamp, no_id),
            key=itemgetter(0),
        )
        self._head = next(self._rows, None)

    def __call__(self, key: str) -> tuple[int, str] | None:
        found = None
        while self._head is not None and self._head[0] <= key:
            at, size, stamp, location = self._head
            if at == key:
                found = (size, stamp)
                self.met += bool(location)
            elif location:
                self.vanished.append(location)
            else:
                self._refusals_vanished.append(at)
                if len(self._refusals_vanished) >= _PAGE:
                    self._forget_refusals()
            self._head = next(self._rows, None)
        return found

    def finish(self) -> None:
        """All keys have been asked for: the rest has vanished."""
        self("\U0010ffff")
        self._forget_refusals()

    def _forget_refusals(self) -> None:
        with self._database.write() as db:
            db.execute(
                sa.delete(refusals).where(
                    refusals.c.store == self._store, refusals.c.key.in_(self._refusals_vanished)
                )
            )
        self._refusals_vanished.clear()


class Kept:
    """`known(key)` for a sweep: whether any row knows this key. Keys come in ascending order."""

    def __init__(self, database: Database, store: int) -> None:
        self._rows = merge(
            *(_rows(database, table, table.c.store == store) for table in (locations, pending, conflicts)),
            key=itemgetter(0),
        )
        self._head = next(self._rows, None)

    def __call__(self, key: str) -> bool:
        while self._head is not None and self._head[0] < key:
            self._head = next(self._rows, None)
        return self._head is not None and self._head[0] == key


def _rows(
    database: Database, table: sa.Table, condition: sa.ColumnElement[bool], *columns: sa.ColumnElement[Any]
) -> Iterator[tuple[Any, ...]]:
    """(key, *columns) in the order of keys, a page at a time: no transaction is held between pages."""
    query = sa.select(table.c.key, *columns).where(condition).order_by(table.c.key).limit(_PAGE)
    after = ""
    while True:
        with database.read() as db:
            page = db.execute(query.where(table.c.key > after)).all()
        yield from (tuple(row) for row in page)
        if len(page) < _PAGE:
            return
        after = page[-1].key
