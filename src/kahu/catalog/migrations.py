"""How catalogues that an older Kahu wrote are brought forward. Each step runs in the transaction of `db.create`."""

import sqlalchemy as sa

from kahu.catalog import trigrams
from kahu.catalog.fold import folded
from kahu.catalog.schema import locations, patients
from kahu.db import migration


@migration(to=2)
def _names_and_texts(db: sa.Connection) -> None:
    """Names are kept folded, too; texts are found by their parts; what is missing is known at once."""
    db.execute(sa.DDL("ALTER TABLE patients ADD COLUMN folded TEXT NOT NULL DEFAULT ''"))  # type: ignore[no-untyped-call]
    db.execute(sa.update(patients).values(folded=folded(patients.c.name)))
    for index in (*patients.indexes, *locations.indexes):
        index.create(db, checkfirst=True)
    trigrams.create(db)
