"""The audit log has every entry, in order, soon after it was made."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kahu.access import audit as room
from kahu.access.audit import Audit
from kahu.db import Database


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'catalog.db'}")
    database.create()
    yield database
    database.close()


def test_entries_come_by_themselves_and_the_last_ones_at_close(database: Database) -> None:
    audit = Audit(database)
    audit.record("ada", "read", "/dicomweb/studies/1.2")
    deadline = time.monotonic() + 30
    while not audit.entries():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    audit.record("bob", "delete", "/api/stores/3")
    audit.close()
    newest, oldest = audit.entries()
    assert (newest.who, newest.action, newest.what) == ("bob", "delete", "/api/stores/3")
    assert newest.at >= oldest.at


def test_entries_of_one_person_and_page_by_page(database: Database) -> None:
    audit = Audit(database)
    for n in range(5):
        audit.record("ada" if n % 2 else "bob", "read", str(n))
    audit.close()
    assert [entry.what for entry in audit.entries(who="ada")] == ["3", "1"]
    first = audit.entries(limit=2)
    assert [entry.what for entry in audit.entries(before=first[-1].id, limit=2)] == ["2", "1"]


def test_many_threads_lose_nothing(database: Database) -> None:
    audit = Audit(database)

    def work(name: str) -> None:
        for n in range(100):
            audit.record(name, "read", str(n))

    threads = [threading.Thread(target=work, args=(f"p{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    audit.close()
    for n in range(4):
        mine = [int(entry.what) for entry in audit.entries(who=f"p{n}", limit=1000)]
        assert mine == list(range(99, -1, -1))


def test_what_could_not_be_written_is_written_later(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "_FLUSH", 3600)  # so that nobody but this test writes
    audit = Audit(database)
    with monkeypatch.context() as broken:
        broken.setattr(room, "audit", None)
        audit.record("ada", "read", "1")
        with pytest.raises(AttributeError):
            audit.flush()
    audit.record("ada", "read", "2")
    audit.close()
    assert [entry.what for entry in audit.entries()] == ["2", "1"]
