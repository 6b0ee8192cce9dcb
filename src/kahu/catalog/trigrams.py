"""Text that is found by any part of it, on SQLite: indexes of trigrams beside `patients` and `studies` (FTS5).

They give candidates: rows that hold the trigrams of what is asked for, somewhere. On PostgreSQL there are none,
and conditions are tried row by row.
"""

import re
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from kahu.catalog.schema import patients, studies

INDEXED = (patients.c.folded, patients.c.patient_id, studies.c.accession, studies.c.description)
"""columns whose text is found by its parts"""

_LENGTH = 3
_MOST = 16
"""trigrams in one question: more make it no more exact, for what it is worth"""


def candidates(column: sa.Column[str], patterns: Iterable[str], most: int) -> sa.Select[Any] | None:
    """The ids of the rows that may be like one of these patterns (``*``, ``?``), others among them; no more than
    `most`, so that as many are to be taken for too many.

    None: this cannot be told, because of a pattern without three letters in a row.
    """
    questions = []
    for pattern in patterns:
        runs = re.split(r"[*?]+", pattern)
        trigrams = [run[at : at + _LENGTH] for run in runs for at in range(len(run) - _LENGTH + 1)]
        if not trigrams:
            return None
        questions.append(" AND ".join(map(_quoted, dict.fromkeys(trigrams[:_MOST]))))
    said = " OR ".join(f"({question})" for question in questions)
    index = _INDEX_OF[column.table]
    matching = sa.literal_column(index.name).op("MATCH")(f"{{{column.name}}} : ({said})")
    return sa.select(index.c.rowid.label("id")).where(matching).limit(most)


def _quoted(text: str) -> str:
    return '"{}"'.format(text.replace('"', '""'))


_INDEX_OF = {table: sa.table(f"{table.name}_text", sa.column("rowid")) for table in (patients, studies)}


def _statements(table: sa.Table) -> list[str]:
    """What makes the index of a table, empty, and keeps it as the table is."""
    name, index = table.name, _INDEX_OF[table].name
    columns = [column.name for column in INDEXED if column.table is table]
    listed, new, old = (
        ", ".join(f"{row}{column}" for column in columns) for row in ("", "new.", "old.")
    )  # fmt: skip
    add = f"INSERT INTO {index}(rowid, {listed}) VALUES (new.id, {new})"  # noqa: S608
    take = f"INSERT INTO {index}({index}, rowid, {listed}) VALUES ('delete', old.id, {old})"  # noqa: S608
    return [
        f"CREATE VIRTUAL TABLE {index} USING fts5({listed}, content='{name}', content_rowid='id', "
        "tokenize='trigram', detail='column', columnsize=0)",
        f"CREATE TRIGGER {index}_insert AFTER INSERT ON {name} BEGIN {add}; END",
        f"CREATE TRIGGER {index}_delete AFTER DELETE ON {name} BEGIN {take}; END",
        f"CREATE TRIGGER {index}_update AFTER UPDATE OF {listed} ON {name} BEGIN {take}; {add}; END",
    ]


def create(db: sa.Connection) -> None:
    """Makes the indexes of tables that hold rows already."""
    if db.dialect.name != "sqlite":
        return
    for table, index in _INDEX_OF.items():
        for statement in _statements(table):
            db.exec_driver_sql(statement)
        db.exec_driver_sql(f"INSERT INTO {index.name}({index.name}) VALUES ('rebuild')")  # noqa: S608


for _table in _INDEX_OF:
    for _statement in _statements(_table):
        _ddl: Any = sa.DDL(_statement)  # type: ignore[no-untyped-call]
        event.listen(_table, "after_create", _ddl.execute_if(dialect="sqlite"))
