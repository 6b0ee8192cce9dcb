"""How catalogues that an older Kahu wrote are brought forward. Each step runs in the transaction of `db.create`."""

import sqlalchemy as sa

from kahu.catalog import trigrams
from kahu.catalog.fold import folded
from kahu.catalog.schema import locations, patients, series
from kahu.db import migration


@migration(to=2)
def _names_and_texts(db: sa.Connection) -> None:
    """Names are kept folded, too; texts are found by their parts; and indexes alone
    tell the modalities of a study and whether an instance can be had."""
    db.exec_driver_sql("ALTER TABLE patients ADD COLUMN folded TEXT NOT NULL DEFAULT ''")
    db.execute(sa.update(patients).values(folded=folded(patients.c.name)))
    for name in ("ix_series_study", "locations_by_instance"):
        db.exec_driver_sql(f"DROP INDEX {name}")
    for index in (*patients.indexes, *series.indexes, *locations.indexes):
        index.create(db, checkfirst=True)
    trigrams.create(db)
