"""Who is known: what a peer may be called, where it may be, what is remembered."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from kahu.db import Database
from kahu.dimse.peers import Peer, Peers
from kahu.errors import BadRequest, Conflict, NotFound

PACS = Peer("pacs", "PACS 1", "127.0.0.1", 104, tls=True, may=frozenset({"store"}))


@pytest.fixture
def peers(tmp_path: Path) -> Iterator[Peers]:
    database = Database(f"sqlite:///{tmp_path / 'catalog.db'}")
    database.create()
    yield Peers(database)
    database.close()


def test_a_peer_is_remembered_as_it_was_said(peers: Peers) -> None:
    peers.add(PACS)
    assert peers.get("pacs") == PACS
    assert peers.titled("PACS 1  ") == PACS


def test_names_are_taken_once(peers: Peers) -> None:
    peers.add(PACS)
    with pytest.raises(Conflict, match="pacs"):
        peers.add(replace(PACS, aet="OTHER"))
    assert [peer.aet for peer in peers.all()] == ["PACS 1"]


def test_one_that_is_removed_is_unknown(peers: Peers) -> None:
    peers.add(PACS)
    peers.remove("pacs")
    assert peers.all() == []
    with pytest.raises(NotFound):
        peers.remove("pacs")


def test_a_caller_is_known_by_title_and_address_together(peers: Peers) -> None:
    peers.add(PACS)
    assert peers.calling("PACS 1", "127.0.0.1") == PACS
    assert peers.calling("PACS 1", "192.0.2.1") is None
    assert peers.calling("PACS 2", "127.0.0.1") is None


@pytest.mark.parametrize("host", ["pacs", "pacs-1.example.org", "192.0.2.7", "2001:db8::1", "my_pacs"])
def test_hosts_are_names_and_addresses(peers: Peers, host: str) -> None:
    assert peers.add(replace(PACS, host=host)).host == host


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "two words"},
        {"name": "a/b"},
        {"name": ".."},
        {"aet": ""},
        {"aet": "   "},
        {"aet": "SEVENTEEN-LETTERS"},
        {"aet": "BACK\\SLASH"},
        {"aet": "ÄE"},
        {"host": ""},
        {"host": "http://pacs"},
        {"host": "pacs example"},
        {"host": "pacs..example"},
        {"host": "é.example"},
        {"host": "a" * 64},
        {"host": ":::"},
        {"port": 0},
        {"port": 65536},
        {"may": frozenset({"delete"})},
    ],
)
def test_what_cannot_be_is_refused(peers: Peers, wrong: dict[str, object]) -> None:
    with pytest.raises(BadRequest):
        peers.add(replace(PACS, **wrong))  # type: ignore[arg-type]
    assert peers.all() == []
