"""The applications that are known here: who may call, whom we call, where C-MOVE may send to."""

import ipaddress
import re
import socket
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, get_args

import sqlalchemy as sa

from kahu.db import Database, Id, Text, metadata
from kahu.errors import BadRequest, Conflict, NotFound

Right = Literal["store", "query", "retrieve"]
RIGHTS: frozenset[Right] = frozenset(get_args(Right))

peers = sa.Table(
    "peers",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("name", Text, nullable=False, unique=True),
    sa.Column("aet", Text, nullable=False),
    sa.Column("host", Text, nullable=False),
    sa.Column("port", sa.Integer, nullable=False),
    sa.Column("tls", sa.Boolean, nullable=False),
    sa.Column("may", sa.JSON, nullable=False),
)

# PS3.5 §6.2: default repertoire without backslash and control characters, 16 characters, not all spaces.
_AE_TITLE = re.compile(r"(?! *$)[ -\[\]-~]{1,16}")
_HOST_NAME = re.compile(r"(?!.{254})[\w-]{1,63}(\.[\w-]{1,63})*", re.ASCII)  # RFC 1035 §2.3.4
_NAME = re.compile(r"\w[\w.-]{0,63}")


@dataclass(frozen=True, slots=True)
class Peer:
    """Another application."""

    name: str
    """by which people know it here"""
    aet: str
    """its AE title"""
    host: str
    port: int
    tls: bool = False
    may: frozenset[Right] = RIGHTS
    """what it may ask of us"""


class Peers:
    """The known applications."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, peer: Peer) -> Peer:
        """Remembers an application. BadRequest: something about it cannot be. Conflict: the name is taken."""
        checked = _checked(peer)
        row = {
            "name": checked.name,
            "aet": checked.aet,
            "host": checked.host,
            "port": checked.port,
            "tls": checked.tls,
            "may": sorted(checked.may),
        }
        try:
            with self._database.write() as db:
                db.execute(sa.insert(peers).values(row))
        except sa.exc.IntegrityError:
            raise Conflict(
                f"a peer is called {peer.name} already", "remove it first, or choose another name"
            ) from None
        return checked

    def all(self) -> list[Peer]:
        """All of them, by name."""
        with self._database.read() as db:
            return [_peer(row) for row in db.execute(sa.select(peers).order_by(peers.c.name))]

    def get(self, name: str) -> Peer:
        """NotFound: nobody is called so."""
        for peer in self.all():
            if peer.name == name:
                return peer
        raise NotFound(f"there is no peer called {name}", "kahu peer list shows those that are known")

    def titled(self, aet: str) -> Peer | None:
        """The one with that AE title, such as the destination of a C-MOVE."""
        return next((peer for peer in self.all() if peer.aet == aet.strip()), None)

    def calling(self, aet: str, address: str) -> Peer | None:
        """The one with that AE title that calls from that IP address; None: a stranger. Blocks: names are looked up."""
        return next((p for p in self.all() if p.aet == aet.strip() and address in _addresses(p.host)), None)

    def remove(self, name: str) -> None:
        """NotFound: nobody is called so."""
        self.get(name)
        with self._database.write() as db:
            db.execute(sa.delete(peers).where(peers.c.name == name))


def _peer(row: sa.Row[tuple[object, ...]]) -> Peer:
    return Peer(row.name, row.aet, row.host, row.port, row.tls, frozenset(row.may))


def _checked(peer: Peer) -> Peer:
    if not _NAME.fullmatch(peer.name):
        raise BadRequest("the name of a peer is a letter or digit, then more, '.', '_' and '-', 64 at most")
    if not _AE_TITLE.fullmatch(peer.aet):
        raise BadRequest("an AE title is 1 to 16 characters of ASCII without a backslash (PS3.5 §6.2)")
    if not (_HOST_NAME.fullmatch(peer.host) or _is_address(peer.host)) or not 1 <= peer.port <= 65535:
        raise BadRequest("a peer is at a host and a port from 1 to 65535", "as in pacs.example.org 104")
    if unknown := set(peer.may) - RIGHTS:
        raise BadRequest(f"a peer may {', '.join(sorted(RIGHTS))}, not {', '.join(sorted(unknown))}")
    return Peer(peer.name, peer.aet.strip(), peer.host, peer.port, peer.tls, frozenset(peer.may))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _addresses(host: str) -> Collection[str]:
    """The IP addresses of a host; none if its name is not known now."""
    try:
        return {str(ipaddress.ip_address(host))}
    except ValueError:
        pass
    try:
        return {str(found[4][0]) for found in socket.getaddrinfo(host, None)}
    except OSError:
        return ()
