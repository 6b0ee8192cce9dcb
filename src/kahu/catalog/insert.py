"""An insert that both databases understand."""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite


def insert_new(db: sa.Connection, table: sa.Table) -> postgresql.Insert | sqlite.Insert:
    """An insert that leaves rows alone that are there already."""
    if db.dialect.name == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing()
    return sqlite.insert(table).on_conflict_do_nothing()
