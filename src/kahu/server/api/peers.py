"""Peers: other applications that speak DICOM, tested and asked from here.

Whoever may write here may test and ask the peers that are known; only an administrator says who they are, so that
nobody has Kahu knock at doors of their choice. A token for some series only learns nothing of what others hold.
"""

from typing import Annotated, Any, Literal

import msgspec

from kahu.dimse import scu
from kahu.dimse.peers import RIGHTS, Right
from kahu.dimse.peers import Peer as Known
from kahu.dimse.question import level_of
from kahu.errors import Forbidden, KahuError
from kahu.server.api.endpoint import Ask, Endpoints, Nothing
from kahu.server.api.stores import Done

endpoints = Endpoints()

Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
Host = Annotated[str, msgspec.Meta(min_length=1)]
Limit = Annotated[int, msgspec.Meta(ge=1, le=10_000)]


class Peer(msgspec.Struct):
    """Another application, known by its AE title. `may`: what it may ask of Kahu."""

    name: str
    aet: str
    host: Host
    port: Port
    tls: bool = False
    may: list[Right] = msgspec.field(default_factory=lambda: sorted(RIGHTS))


class Echo(msgspec.Struct):
    """Whether a peer answers, in how many seconds, and what it `can` do for us; else why not, and what to do."""

    ok: bool
    seconds: float | None
    can: list[scu.Service]
    error: str
    hint: str


class Question(msgspec.Struct):
    """What is looked for at a peer: keywords of attributes, or everyday names (name, id, date, modality,
    accession, description, study, series) with the values to match, as PS3.4 C.2.2.2 writes them."""

    level: Literal["patient", "study", "series", "image"] = "study"
    keys: dict[str, str] = {}
    limit: Limit = 500


class Rows(msgspec.Struct):
    """What a peer has answered: keyword of each attribute -> its value. `more`: there is more than was asked for."""

    rows: list[dict[str, str]]
    more: bool


class Node(msgspec.Struct):
    """This Kahu as peers must know it. `port`: where it takes associations, null if nowhere; `loopback`: only of this
    computer."""

    aet: str
    port: int | None
    loopback: bool
    tls: bool


@endpoints("GET", "/api/node", needs="write")
def node(ask: Ask[Nothing, Nothing]) -> Node:
    """What a peer must know of this Kahu."""
    settings = ask.services.settings
    return Node(
        settings.aet, settings.dimse_port, settings.dimse_loopback, settings.dimse_tls_cert is not None
    )


@endpoints("GET", "/api/peers", needs="write")
def list_peers(ask: Ask[Nothing, Nothing]) -> list[Peer]:
    """The peers that are known."""
    return [_told(peer) for peer in ask.services.peers.all()]


@endpoints("POST", "/api/peers", needs="admin")
def add_peer(ask: Ask[Nothing, Peer]) -> Peer:
    """Makes a peer known."""
    new = ask.body
    peer = Known(new.name, new.aet, new.host, new.port, new.tls, frozenset(new.may))
    return _told(ask.services.peers.add(peer))


@endpoints("DELETE", "/api/peers/{name}", needs="admin")
def remove_peer(ask: Ask[Nothing, Nothing]) -> Done:
    """Forgets a peer; what is being sent to it, or comes from it, ends with an error."""
    ask.services.peers.remove(ask.path["name"])
    return Done()


@endpoints("POST", "/api/peers/{name}/echo", needs="write", remote=True)
def echo_peer(ask: Ask[Nothing, Nothing]) -> Echo:
    """Tests the connection (C-ECHO), and finds out what the peer can do."""
    peer = ask.services.peers.get(ask.path["name"])
    try:
        answered = scu.echo(peer, ask.services.ourselves)
    except KahuError as error:
        return Echo(False, None, [], str(error), error.hint)
    return Echo(True, answered.seconds, sorted(answered.can), "", "")


@endpoints("POST", "/api/peers/{name}/query", needs="write", remote=True)
def query_peer(ask: Ask[Nothing, Question]) -> Rows:
    """Asks a peer what it has (C-FIND)."""
    unlimited(ask)
    peer = ask.services.peers.get(ask.path["name"])
    asked = ask.body
    found = scu.find(peer, ask.services.ourselves, level_of(asked.level), asked.keys, asked.limit)
    return Rows(found.rows, found.more)


def unlimited(ask: Ask[Any, Any]) -> None:
    """Forbidden: a token for some series only, such as a tool's, has no business with what others hold."""
    if not ask.scope.everything:
        raise Forbidden("this token is for some series only", "ask with one for all of them")


def _told(peer: Known) -> Peer:
    return Peer(peer.name, peer.aet, peer.host, peer.port, peer.tls, sorted(peer.may))
