"""A catalogue for tests: an empty one, folders to be added, and what it says, without ids and times."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from pydicom import Dataset

from kahu.catalog import arrive, conflicts, fetch, gallery, index, schema, search
from kahu.catalog.gallery import SeriesSummary
from kahu.catalog.index import Counts
from kahu.catalog.places import Places
from kahu.catalog.scope import ALL, Scope
from kahu.db import Database
from kahu.dicom.attributes import Level
from kahu.dicom.query import Match, Query
from kahu.stores.folder import open_folder
from kahu.stores.owned import open_owned
from kahu.testing import samples


@dataclass
class Catalogue:
    """A catalogue with a store of its own."""

    database: Database
    places: Places
    home: Path

    def add(self, folder: Path, **options: str) -> int:
        """Adds a folder; its store's id."""
        return self.places.add("folder", str(folder), **options).id

    def scan(self, store: int) -> Counts:
        return index.scan(self.database, self.places, store, lambda *_: None)

    def receive(self, data: bytes | Dataset, **options: Any) -> arrive.Received:
        data = samples.encode(data) if isinstance(data, Dataset) else data
        return arrive.receive(self.database, self.places, [data], door="stow", **options)

    def find(
        self, level: Level = "SERIES", scope: Scope = ALL, text: str = "", **matches: str
    ) -> list[dict[str, str]]:
        """What matches exactly."""
        conditions = tuple(Match((keyword,), "exact", (value,)) for keyword, value in matches.items())
        with self.database.read() as db:
            return search.find(db, Query(level, conditions, text=text), scope).rows

    def ask(self, query: Query, scope: Scope = ALL) -> search.Answer:
        with self.database.read() as db:
            return search.find(db, query, scope)

    def stored(self, series_uid: str) -> bytes:
        """The file of the one instance of a series."""
        with self.database.read() as db:
            (located,) = fetch.instances(db, ALL, series=series_uid)
        return b"".join(fetch.stream(self.places, located))

    def kept_aside(self) -> list[conflicts.KeptAside]:
        with self.database.read() as db:
            return conflicts.all_of(db)

    def numbers(self, scope: Scope = ALL) -> tuple[int, int, int]:
        """How many studies, series and instances there are."""
        with self.database.read() as db:
            studies, series, instances = (
                search.count(db, Query(level), scope) for level in ("STUDY", "SERIES", "IMAGE")
            )
        return studies, series, instances

    def summary(self, series_uid: str, scope: Scope = ALL) -> SeriesSummary:
        with self.database.read() as db:
            return gallery.summary(db, series_uid, scope)

    def rows(self, table: sa.Table) -> list[dict[str, Any]]:
        with self.database.read() as db:
            return [dict(row) for row in db.execute(sa.select(table)).mappings()]

    def kept(self) -> list[Path]:
        """The files in the store of its own."""
        return sorted(path for path in (self.home / "store").rglob("*") if path.is_file())

    def state(self) -> dict[str, Any]:
        """All that is known, without ids, times and the change feed."""
        s, at = schema.series.c, schema.locations.c
        with self.database.read() as db:
            locations = db.execute(
                sa.select(at.key, at.size, at.stamp, at.state, schema.instances.c.uid, at.dataset_offset)
                .join(schema.instances, schema.instances.c.key == at.instance)
                .order_by(at.key)
            )
            instances = db.execute(
                sa.select(schema.instances.c.uid, schema.instances.c.attributes, s.uid)
                .join(schema.series)
                .order_by(schema.instances.c.uid)
            )
            series = db.execute(
                sa.select(
                    s.uid, s.instances, s.frames, s.bytes, s.description, s.attributes,
                    schema.studies.c.uid, schema.studies.c.attributes,
                    schema.patients.c.namespace, schema.patients.c.patient_id, schema.patients.c.name,
                )
                .select_from(schema.series.join(schema.studies).join(schema.patients))
                .order_by(s.uid)
            )  # fmt: skip
            refusals = db.execute(
                sa.select(schema.refusals.c.key, schema.refusals.c.reason).order_by(schema.refusals.c.key)
            )
            conflicts = db.execute(sa.select(schema.conflicts.c.key).order_by(schema.conflicts.c.key))
            headers = db.execute(sa.select(sa.func.count()).select_from(schema.headers))
            stores = db.execute(sa.select(schema.stores.c.state).order_by(schema.stores.c.id))
            return {
                name: [tuple(row) for row in rows]
                for name, rows in {
                    "locations": locations,
                    "instances": instances,
                    "series": series,
                    "refusals": refusals,
                    "conflicts": conflicts,
                    "headers": headers,
                    "stores": stores,
                }.items()
            }


def open_catalogue(home: Path) -> Catalogue:
    """The catalogue in this home, made if it is not there."""
    database = Database(f"sqlite:///{home / 'catalog.db'}")
    database.create()
    places = Places(database, {"folder": open_folder, "owned": open_owned})
    places.ensure_owned(home / "store")
    return Catalogue(database, places, home)
