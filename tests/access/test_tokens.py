"""Who holds a token may do what it grants, until it expires or is revoked."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from kahu.access import Grant
from kahu.access.tokens import Tokens
from kahu.db import Database
from kahu.errors import NotFound, Unauthorized

READER = Grant(who="ada", may=frozenset({"read", "write"}), series=frozenset({"1.2.3"}), task="t", attempt=2)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'catalog.db'}")
    database.create()
    yield database
    database.close()


@pytest.fixture
def now() -> list[float]:
    return [1000.0]


@pytest.fixture
def tokens(database: Database, now: list[float]) -> Tokens:
    return Tokens(database, lambda: now[0])


def refused(tokens: Tokens, secret: str) -> None:
    with pytest.raises(Unauthorized):
        tokens.check(secret)


def test_a_token_grants_what_it_was_made_for(tokens: Tokens) -> None:
    everything = Grant(who="owner", may=frozenset({"admin"}))
    assert tokens.check(tokens.issue("laptop", READER, 60)) == READER
    assert tokens.check(tokens.issue("script", everything, 60)) == everything
    nothing = Grant(who="none", series=frozenset())
    assert tokens.check(tokens.issue("none", nothing, 60)).series == frozenset(), "none is not all"


def test_what_is_not_a_token_is_refused(tokens: Tokens) -> None:
    secret = tokens.issue("laptop", READER, 60)
    for wrong in ("", "kahu_", secret[:-1], secret + "x", secret.upper()):
        refused(tokens, wrong)


def test_it_expires_and_is_forgotten_in_time(tokens: Tokens, now: list[float]) -> None:
    secret = tokens.issue("laptop", READER, 60)
    now[0] += 59
    assert tokens.check(secret).who == "ada"
    now[0] += 1
    refused(tokens, secret)
    assert [token.name for token in tokens.list()] == ["laptop"]
    now[0] += 31 * 86400
    tokens.issue("other", READER, 60)
    assert [token.name for token in tokens.list()] == ["other"]


def test_it_is_revoked_by_its_number(tokens: Tokens) -> None:
    kept, lost = tokens.issue("kept", READER, 60), tokens.issue("lost", READER, 60)
    newest, _ = tokens.list()
    assert (newest.name, newest.revoked, newest.may) == ("lost", False, READER.may)
    tokens.revoke(newest.id)
    refused(tokens, lost)
    assert tokens.check(kept) == READER
    assert [token.revoked for token in tokens.list()] == [True, False]
    with pytest.raises(NotFound):
        tokens.revoke(99)


def test_a_borrowed_token_leaves_nothing(tokens: Tokens) -> None:
    def borrow_and_fail() -> None:
        with tokens.borrowed("task", READER, 60) as secret:
            seen.append(secret)
            assert tokens.check(secret) == READER
            raise RuntimeError

    seen: list[str] = []
    with pytest.raises(RuntimeError):
        borrow_and_fail()
    refused(tokens, seen[0])
    assert tokens.list() == []


def test_no_secret_is_kept(tokens: Tokens, database: Database, tmp_path: Path) -> None:
    secret = tokens.issue("laptop", READER, 60)
    database.close()
    assert secret.startswith("kahu_")
    assert len(secret) > 40
    for file in tmp_path.iterdir():
        assert secret.removeprefix("kahu_").encode() not in file.read_bytes()
