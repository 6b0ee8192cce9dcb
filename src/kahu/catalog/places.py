"""The stores that are known, opened when needed."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import sqlalchemy as sa

from kahu.catalog import forget, schema
from kahu.catalog.scope import Scope
from kahu.db import Database
from kahu.errors import Conflict, KahuError, NotFound
from kahu.stores import OwnedStore, Store

Opener = Callable[[str], Store]
"""opens the store at a URL"""

OWNED = "owned"
"""the kind of the store that Kahu owns"""


@dataclass(frozen=True)
class Place:
    """A store, as the catalogue knows it."""

    id: int
    kind: str
    url: str
    """a path, or a URL of the kind's own"""
    name: str
    """for people; no two are the same"""
    namespace: str
    """of its Patient IDs"""
    state: str
    """new, scanning, ready; gone: its objects cannot be had now"""
    note: str
    """why it is in that state"""
    added: float
    scanned: float | None
    """when the last whole scan ended, in seconds since the epoch"""

    @property
    def owned(self) -> bool:
        return self.kind == OWNED


class Places:
    """All stores. Calls are safe from many threads; a store is opened once."""

    def __init__(self, database: Database, openers: Mapping[str, Opener]) -> None:
        self._database = database
        self._openers = openers
        self._open: dict[int, Store] = {}
        self._lock = threading.Lock()

    def add(self, kind: str, url: str, name: str = "", namespace: str = "") -> Place:
        """The store at `url`, added if it is not known yet. BytesMissing: there is no such store."""
        with self._database.read() as db:
            known = db.execute(sa.select(schema.stores).where(schema.stores.c.url == url)).one_or_none()
        if known:
            return _place(known)
        self._opener(kind)(url).check()
        row = {
            "kind": kind,
            "url": url,
            "namespace": namespace or url,
            "state": "new",
            "added": time.time(),
        }
        with self._database.write() as db:
            names = set(db.scalars(sa.select(schema.stores.c.name)))
            row["name"] = _free(name or Path(url).name or url, names)
            added = db.execute(sa.insert(schema.stores).values(row).returning(schema.stores)).one()
        return _place(added)

    def all(self) -> list[Place]:
        """Every store, in the order in which they were added."""
        with self._database.read() as db:
            return [_place(row) for row in db.execute(sa.select(schema.stores).order_by(schema.stores.c.id))]

    def get(self, place_id: int) -> Place:
        """NotFound: there is no such store."""
        with self._database.read() as db:
            row = db.execute(sa.select(schema.stores).where(schema.stores.c.id == place_id)).one_or_none()
        if row is None:
            raise NotFound("there is no such store")
        return _place(row)

    def store(self, place_id: int) -> Store:
        """The store itself, opened. NotFound."""
        with self._lock:
            store = self._open.get(place_id)
        if store is None:
            place = self.get(place_id)
            store = self._opener(place.kind)(place.url)
            with self._lock:
                store = self._open.setdefault(place_id, store)
        return store

    def ensure_owned(self, folder: Path) -> Place:
        """The store that Kahu owns, at `folder`; called once when Kahu starts."""
        for place in self.all():
            if place.owned:
                return self._moved(place, str(folder)) if place.url != str(folder) else place
        place = self.add(OWNED, str(folder), name="Kahu", namespace="kahu")
        self.set_state(place.id, "ready")
        return self.get(place.id)

    def owned(self) -> tuple[Place, OwnedStore]:
        """The store that Kahu owns."""
        for place in self.all():
            if place.owned:
                return place, cast(OwnedStore, self.store(place.id))
        raise NotFound("there is no store of Kahu's own")

    def set_state(self, place_id: int, state: str, note: str = "", scanned: float | None = None) -> None:
        """Says how a store is, and why."""
        row: dict[str, Any] = {"state": state, "note": note}
        if scanned is not None:
            row["scanned"] = scanned
        with self._database.write() as db:
            db.execute(sa.update(schema.stores).where(schema.stores.c.id == place_id).values(row))

    def remove(self, place_id: int) -> None:
        """Forgets a store and what lies nowhere else; its bytes are left alone, and tags stay with their UIDs.

        Interrupted, it has forgotten a part; called again, it goes on. Conflict: the store is Kahu's own.
        """
        if self.get(place_id).owned:
            raise Conflict("Kahu's own store cannot be removed", "delete what is in it instead")
        forget.store(self._database, place_id)
        with self._lock:
            self._open.pop(place_id, None)

    def _opener(self, kind: str) -> Opener:
        if kind not in self._openers:
            raise KahuError(f"stores of kind {kind} cannot be opened", "install what brings that kind")
        return self._openers[kind]

    def _moved(self, place: Place, url: str) -> Place:
        """Kahu's home was moved: its own store moved with it."""
        with self._database.write() as db:
            db.execute(sa.update(schema.stores).where(schema.stores.c.id == place.id).values(url=url))
        return self.get(place.id)


def holding(db: sa.Connection, series_uid: str, scope: Scope) -> int:
    """The id of a store that holds a series, the first that was added. NotFound: there is none in scope."""
    held = schema.series_stores
    query = (
        sa.select(sa.func.min(held.c.store))
        .join(schema.series, schema.series.c.id == held.c.series)
        .where(schema.series.c.uid == series_uid, scope.clause())
    )
    if scope.stores is not None:
        query = query.where(held.c.store.in_(sorted(scope.stores)))
    store = db.execute(query).scalar()
    if store is None:
        raise NotFound("there is no such series here")
    return int(store)


def _place(row: sa.Row[Any]) -> Place:
    return Place(**row._mapping)


def _free(name: str, taken: set[str]) -> str:
    number = 2
    free = name
    while free in taken:
        free = f"{name} ({number})"
        number += 1
    return free
