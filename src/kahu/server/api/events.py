"""Server-sent events: what changes in the catalogue and in the ledger, as it happens."""

import asyncio
import time
from collections.abc import AsyncIterator

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from kahu.access import Grant
from kahu.catalog import changes
from kahu.server.api.endpoint import require
from kahu.server.api.work import told
from kahu.server.scopes import scope_of
from kahu.server.services import Services
from kahu.work.ledger import Follower

BEAT = 0.25
"""seconds between two looks"""
QUIET = 15.0
"""seconds after which a comment keeps the connection open"""


def routes(services: Services) -> list[BaseRoute]:
    """The stream of events. `change` events carry their sequence number, so a reconnect misses none."""

    async def events(request: Request) -> Response:
        grant: Grant = request.state.grant
        require(grant, "read")
        last = request.headers.get("last-event-id", "")
        since = int(last) if last.isascii() and last.isdigit() else None
        return StreamingResponse(
            _stream(services, grant, since),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )

    return [Route("/api/events", events)]


async def _stream(services: Services, grant: Grant, since: int | None) -> AsyncIterator[bytes]:
    teller = _Teller(services, grant, since)
    await services.pools.database(teller.begin)
    yield b"retry: 2000\n" + _event("hello", {})
    quiet = time.monotonic()
    while not services.closing.is_set():
        said = await services.pools.database(teller.news)
        if said or time.monotonic() - quiet > QUIET:
            quiet = time.monotonic()
            yield said or b": still here\n\n"
        await asyncio.sleep(BEAT)


class _Teller:
    """What one listener has been told."""

    def __init__(self, services: Services, grant: Grant, since: int | None) -> None:
        self._services = services
        self._scope = scope_of(grant)
        self._seq = since
        self._tasks = Follower(services.ledger, time.time()) if "run" in grant.may else None

    def begin(self) -> None:
        if self._seq is None:
            with self._services.database.read() as db:
                self._seq = changes.last(db)

    def news(self) -> bytes:
        """The events since the last call, as they go over the wire."""
        assert self._seq is not None
        with self._services.database.read() as db:
            changed, self._seq = changes.since(db, self._seq, self._scope)
        said = [
            _event("change", {"seq": c.seq, "kind": c.kind, "series_uid": c.series_uid}, c.seq)
            for c in changed
        ]
        if self._tasks:
            said += [_event("task", told(task)) for task in self._tasks.changes()]
        return b"".join(said)


def _event(name: str, data: object, number: int | None = None) -> bytes:
    identity = f"id: {number}\n" if number is not None else ""
    return f"event: {name}\n{identity}data: ".encode() + msgspec.json.encode(data) + b"\n\n"
