"""Transfers: series sent to a peer, studies retrieved from one; followed, cancelled, tried again.

Sending takes patients' data elsewhere, and retrieving brings them in: both need the right to write, and are in the
audit log. What a token does not see, it cannot send; a task's own token sends nothing.
"""

import re
from typing import Any

import msgspec

from kahu.dimse import send
from kahu.dimse.transfers import Part
from kahu.errors import BadRequest, Forbidden
from kahu.server.api.endpoint import Ask, Count, Endpoints, Nothing
from kahu.server.api.peers import unlimited
from kahu.server.api.series import Filter, query_of
from kahu.server.api.work import Task, told
from kahu.work import Task as Row

endpoints = Endpoints()

_UID = re.compile(r"[0-9.]{1,64}")  # also those that are not well formed: peers have such

MOST = 100_000
"""series or studies in one transfer"""


class NewSend(msgspec.Struct):
    """Which series go to which peer: those of these UIDs, or all that match."""

    peer: str
    series: list[str] = []
    matching: Filter | None = None


class NewRetrieval(msgspec.Struct):
    """Which studies come from which peer, by Study Instance UID; with `series`, only these of the one study."""

    peer: str
    studies: list[str]
    series: list[str] = []


class Page(msgspec.Struct):
    """How many."""

    limit: Count = 50


@endpoints("POST", "/api/sends", needs="write")
def start_sending(ask: Ask[Nothing, NewSend]) -> Task:
    """Begins to send series to a peer (C-STORE)."""
    if ask.grant.task:
        raise Forbidden("a task may not send images elsewhere", "send them with a token of your own")
    new = ask.body
    peer = ask.services.peers.get(new.peer)
    with ask.services.database.read() as db:
        if new.matching is not None:
            wanted = send.matching(db, query_of(new.matching, MOST + 1), ask.scope)
        else:
            wanted = send.chosen(db, new.series, ask.scope)
    if not wanted:
        raise BadRequest("there are no series to be sent", "name some, or look for others")
    if len(wanted) > MOST:
        raise BadRequest(f"more than {MOST:,} series would be sent", "send them in several parts")
    return _begun(ask, ask.services.transfers.begin("send", peer, wanted, ask.grant.who), wanted)


@endpoints("POST", "/api/retrievals", needs="write")
def start_retrieving(ask: Ask[Nothing, NewRetrieval]) -> Task:
    """Begins to retrieve studies from a peer (C-GET, or C-MOVE to ourselves) into Kahu's own store."""
    unlimited(ask)
    new = ask.body
    peer = ask.services.peers.get(new.peer)
    if not 0 < len(new.studies) <= MOST or len(new.series) > MOST:
        raise BadRequest("there are no studies to be retrieved, or too many", f"name 1 to {MOST:,}")
    if not all(map(_UID.fullmatch, [*new.studies, *new.series])):
        raise BadRequest("studies and series are named by their UIDs", "a query tells them")
    if new.series and len(new.studies) != 1:
        raise BadRequest("series are retrieved of one study at a time", "name the one that they are of")
    series = list(dict.fromkeys(new.series)) or [""]
    wanted = [Part(study, one) for study in dict.fromkeys(new.studies) for one in series]
    return _begun(ask, ask.services.transfers.begin("retrieve", peer, wanted, ask.grant.who), wanted)


@endpoints("GET", "/api/transfers", needs="write")
def list_transfers(ask: Ask[Page, Nothing]) -> list[Task]:
    """What was sent and retrieved, the newest first."""
    return [told(row) for row in ask.services.transfers.all(ask.query.limit) if _sees(ask, row)]


@endpoints("GET", "/api/transfers/{id}", needs="write")
def transfer(ask: Ask[Nothing, Nothing]) -> Task:
    """One transfer. When it has ended, its result counts the objects that arrived, were there already, and failed;
    these with the reasons."""
    return told(_one(ask))


@endpoints("POST", "/api/transfers/{id}/cancel", needs="write")
def cancel_transfer(ask: Ask[Nothing, Nothing]) -> Task:
    """Ends a transfer within seconds; what has arrived stays there."""
    return told(ask.services.ledger.cancel(_one(ask).id))


@endpoints("POST", "/api/transfers/{id}/retry", needs="write")
def retry_transfer(ask: Ask[Nothing, Nothing]) -> Task:
    """Tries again what has not arrived, of one that failed or was cancelled."""
    return told(ask.services.transfers.retry(_one(ask).id))


def _begun(ask: Ask[Any, Any], row: Row, wanted: list[Part]) -> Task:
    for part in wanted:
        what = f"{row.payload['peer']} {part.study} {part.series}".strip()
        ask.services.audit.record(ask.grant.who, row.kind, what)
    return told(row)


def _one(ask: Ask[Any, Any]) -> Row:
    row = ask.services.transfers.get(ask.path["id"])
    if not _sees(ask, row):
        raise Forbidden("somebody else has begun this transfer", "ask with their token")
    return row


def _sees(ask: Ask[Any, Any], row: Row) -> bool:
    """A token for some series only sees what it has begun itself."""
    return ask.scope.everything or row.payload["by"] == ask.grant.who
