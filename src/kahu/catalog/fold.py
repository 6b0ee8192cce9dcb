"""Text without regard to case and accents: the same in Python, SQLite and PostgreSQL."""

import sqlite3
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from kahu.db import metadata
from kahu.dicom.text import fold

__all__ = ["fold", "folded"]


def folded(text: sa.ColumnElement[str]) -> sa.ColumnElement[str]:
    """`fold` of a column."""
    return sa.func.kahu_fold(text, type_=sa.Text())


_POSTGRESQL: Any = sa.DDL(  # type: ignore[no-untyped-call]
    "CREATE OR REPLACE FUNCTION kahu_fold(text) RETURNS text IMMUTABLE STRICT PARALLEL SAFE LANGUAGE sql AS "
    "$$ SELECT lower(regexp_replace(normalize($1, NFKD), '[\u0300-\u036f]', '', 'g')) $$"
)
event.listen(metadata, "before_create", _POSTGRESQL.execute_if(dialect="postgresql"))


@event.listens_for(sa.Engine, "connect")
def _sqlite(connection: Any, _record: Any) -> None:
    if isinstance(connection, sqlite3.Connection):
        connection.create_function("kahu_fold", 1, _fold, deterministic=True)


def _fold(text: str | None) -> str | None:
    return None if text is None else fold(text)
