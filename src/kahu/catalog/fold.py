"""Text without regard to case and accents: the same in Python, SQLite and PostgreSQL."""

import sqlite3
import unicodedata
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


def fold(text: str | None) -> str | None:
    """Lower case, and letters without their accents."""
    if text is None or text.isascii():
        return text and text.lower()
    apart = unicodedata.normalize("NFKD", text)
    return "".join(c for c in apart if not "\u0300" <= c <= "\u036f").lower()


class folded(FunctionElement[str]):  # noqa: N801: named as the SQL function that it is
    """`fold` of a column."""

    type = sa.Text()
    inherit_cache = True
    name = "kahu_fold"


@compiles(folded, "postgresql")
def _postgresql(element: Any, compiler: Any, **options: Any) -> str:
    argument = compiler.process(element.clauses, **options)
    return f"lower(regexp_replace(normalize({argument}, NFKD), '[\u0300-\u036f]', '', 'g'))"


@event.listens_for(sa.Engine, "connect")
def _sqlite(connection: Any, _record: Any) -> None:
    if isinstance(connection, sqlite3.Connection):
        connection.create_function("kahu_fold", 1, fold, deterministic=True)
