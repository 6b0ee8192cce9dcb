"""Plain SQL, for what is done to every object: bound by SQLAlchemy's expressions, the rows of a scan cost more
than the database takes to write them. What is said here both databases understand."""

from collections.abc import Mapping, Sequence
from functools import cache
from operator import itemgetter
from typing import Any

import msgspec
import sqlalchemy as sa

_json = msgspec.json.Encoder().encode


def execute(db: sa.Connection, sql: str, *values: Any) -> sa.CursorResult[*tuple[Any, ...]]:
    """Executes a statement in which each ``?`` stands for a value; for a list, which must not be empty, it
    stands for all of it in brackets, as `IN` wants."""
    mark = _mark(db)
    marks: list[str] = []
    given: list[Any] = []
    for value in values:
        if isinstance(value, list):
            marks.append(f"({','.join([mark] * len(value))})")
            given += value
        else:
            marks.append(mark)
            given.append(value)
    first, *pieces = sql.split("?")
    text = first + "".join(m + piece for m, piece in zip(marks, pieces, strict=True))
    return db.exec_driver_sql(text, tuple(given))


def insert(
    db: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]], *, new_only: bool = False
) -> None:
    """Inserts rows, which all name the same columns; other columns get their defaults. `new_only`: leaves rows
    alone that are there already."""
    if not rows:
        return
    names, in_json, defaults = _columns(table, tuple(rows[0]))
    marks = ", ".join([_mark(db)] * len(names))
    sql = f"INSERT INTO {table.name} ({', '.join(map(_quoted, names))}) VALUES ({marks})"  # noqa: S608
    if new_only:
        sql += " ON CONFLICT DO NOTHING"
    values = itemgetter(*names)
    if in_json or defaults:
        rows = [{**defaults, **row, **{n: _json(row[n]).decode() for n in in_json}} for row in rows]
    db.exec_driver_sql(sql, [values(row) for row in rows])


@cache
def _columns(
    table: sa.Table, given: tuple[str, ...]
) -> tuple[tuple[str, ...], tuple[str, ...], dict[str, Any]]:
    """What to insert: the names of all columns; those given that hold JSON; the values of those not given."""
    in_json = tuple(name for name in given if isinstance(table.c[name].type, sa.JSON))
    defaults = {
        column.name: column.default.arg
        for column in table.c
        if isinstance(column.default, sa.ColumnDefault) and column.default.is_scalar
        if column.name not in given
    }
    return (*given, *defaults), in_json, defaults


def _quoted(name: str) -> str:
    return f'"{name}"'


def _mark(db: sa.Connection) -> str:
    """What stands for a value: a question mark for SQLite's driver, ``%s`` for PostgreSQL's."""
    return "?" if db.dialect.paramstyle == "qmark" else "%s"
