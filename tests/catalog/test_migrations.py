"""A home that an older Kahu wrote is brought forward: wholly, or not at all."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from kahu import db as databases
from kahu.catalog import search
from kahu.catalog.scope import ALL
from kahu.db import Database
from kahu.dicom.query import Match, Query
from kahu.errors import KahuError

VERSION_1 = Path(__file__).with_name("schema_1.sql")
"""a catalogue of three patients that Kahu wrote when its schema was 1, as SQLite dumps it"""


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "catalog.db"
    with sqlite3.connect(path) as db:
        db.executescript(VERSION_1.read_text())
    db.close()
    return path


def opened(path: Path) -> Database:
    database = Database(f"sqlite:///{path}")
    database.create()
    return database


def schema(database: Database) -> dict[str, str]:
    with database.read() as db:
        rows = db.execute(sa.text("SELECT name, coalesce(sql, '') FROM sqlite_master")).all()
    return {name: " ".join(sql.split()) for name, sql in rows}


def names(database: Database, pattern: str) -> list[str]:
    with database.read() as db:
        query = Query("STUDY", (Match(("PatientName",), "wildcard", (pattern,)),))
        return sorted(row["PatientID"] for row in search.find(db, query, ALL).rows)


def test_what_was_there_is_found_as_if_it_came_now(old: Path) -> None:
    database = opened(old)
    assert names(database, "*uller*") == ["P-1"]
    assert names(database, "山田^太郎") == ["P-2"]
    with database.read() as db:
        assert len(search.find(db, Query("IMAGE"), ALL).rows) == 6
        assert [tuple(row) for row in db.execute(sa.text("SELECT series_uid, label FROM tags"))] == [
            ("1.2.0.1", "good")
        ]
        assert db.execute(sa.text("PRAGMA integrity_check")).scalar() == "ok"
        assert db.execute(sa.text("PRAGMA foreign_key_check")).all() == []
    database.close()


def test_it_has_every_table_index_and_trigger_that_a_new_one_has(old: Path, tmp_path: Path) -> None:
    brought, new = opened(old), opened(tmp_path / "new.db")
    assert set(schema(new)) - set(schema(brought)) == set()
    assert not {"ix_series_study", "locations_by_instance"} & set(schema(brought))
    brought.close()
    new.close()


def test_a_step_that_fails_leaves_it_as_it_was(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = databases._migrations[2]

    def fails(db: sa.Connection) -> None:
        whole(db)
        raise KahuError("killed")

    before = Database(f"sqlite:///{old}")
    as_it_was = schema(before)
    with monkeypatch.context() as patched:
        patched.setitem(databases._migrations, 2, fails)
        with pytest.raises(KahuError, match="killed"):
            before.create()
    assert schema(before) == as_it_was
    with before.read() as db:
        assert db.execute(sa.text("SELECT version FROM kahu_schema")).scalars().all() == [1]
    before.create()
    assert names(before, "*MULLER*") == ["P-1"]
    before.create()  # once is enough
    before.close()


def test_a_catalogue_of_a_newer_kahu_is_refused_untouched(tmp_path: Path) -> None:
    database = opened(tmp_path / "catalog.db")
    with database.write() as db:
        db.execute(sa.text("UPDATE kahu_schema SET version = 99"))
    with pytest.raises(KahuError, match="schema 99"):
        database.create()
    with database.read() as db:
        assert db.execute(sa.text("SELECT version FROM kahu_schema")).scalar() == 99
    database.close()


def test_a_command_that_knows_only_tokens_brings_it_forward_too(old: Path) -> None:
    command = [str(Path(sys.executable).with_name("kahu")), "token", "list", "--home", str(old.parent)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    database = Database(f"sqlite:///{old}")
    assert names(database, "*muller*") == ["P-1"]
    database.close()


def test_a_step_that_nobody_declared_is_an_error_in_words(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(databases, "_migrations", {})
    database = Database(f"sqlite:///{old}")
    with pytest.raises(KahuError, match="schema 1"):
        database.create()
    database.close()


def test_a_kill_in_the_middle_leaves_it_as_it_was(old: Path) -> None:
    script = (
        "import os, kahu.catalog; from kahu import db; whole = db._migrations[2];"
        "db._migrations[2] = lambda c: (whole(c), os._exit(9));"
        f"db.Database('sqlite:///{old}').create()"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False, timeout=60).returncode == 9
    with sqlite3.connect(old) as db:
        assert db.execute("SELECT version FROM kahu_schema").fetchall() == [(1,)]
        assert db.execute("SELECT name FROM sqlite_master WHERE name LIKE '%_text%'").fetchall() == []
    db.close()
    database = opened(old)
    assert names(database, "*muller*") == ["P-1"]
    database.close()
