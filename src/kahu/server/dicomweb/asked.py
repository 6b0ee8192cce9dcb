"""One request to this door: who asks, for what, and where the door stands."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol
from urllib.parse import quote

from starlette.datastructures import URL
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from kahu.access import Grant
from kahu.catalog.inbox import Inbox
from kahu.catalog.places import Places
from kahu.catalog.scope import Scope
from kahu.db import Database
from kahu.errors import BrokenDicom, Forbidden, NotAcceptable
from kahu.server.pools import Pools
from kahu.server.scopes import scope_of
from kahu.server.streams import Gone, while_connected
from kahu.settings import Settings

JSON_TYPES = ("application/dicom+json", "application/json")

# There is nobody to read this; it stands in the access log (the number is nginx's).
_CLIENT_GONE = 499


class Rooms(Protocol):
    """What this door uses of the server's services."""

    @property
    def database(self) -> Database: ...
    @property
    def inbox(self) -> Inbox: ...
    @property
    def places(self) -> Places: ...
    @property
    def pools(self) -> Pools: ...
    @property
    def settings(self) -> Settings: ...


@dataclass(frozen=True)
class Asked:
    """A request that may be made."""

    request: Request
    rooms: Rooms
    grant: Grant
    scope: Scope
    base: str
    """URL of the door by which the request came: what answers refer to lies below it"""
    study: str
    series: str
    instance: str
    """UIDs of the path; empty where it has none"""

    def url(self, study: str, series: str = "", instance: str = "") -> str:
        """Where a study, a series or an instance is retrieved (PS3.18 §10.4)."""
        return self.base + path(study, series, instance)


Handler = Callable[[Asked], Awaitable[Response]]


def path(study: str, series: str = "", instance: str = "") -> str:
    """The path of a resource below the door. UIDs that are not valid may hold any character."""
    parts = (("studies", study), ("series", series), ("instances", instance))
    return "".join(f"/{name}/{_quoted(uid)}" for name, uid in parts if uid)


@lru_cache(maxsize=4096)
def _quoted(uid: str) -> str:
    return quote(uid, safe="")


def reading(rooms: Rooms, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """The endpoint for what reads: it stops when the client goes away. Forbidden: without the right to."""

    async def endpoint(request: Request) -> Response:
        asked = _asked(rooms, request, "read")
        try:
            return await while_connected(request.receive, _awaited(handler, asked))
        except Gone:
            return Response(status_code=_CLIENT_GONE)
        except BrokenDicom as error:  # it is here, so that the client is not to blame
            raise NotAcceptable(str(error), "ask for the instance itself") from error

    return endpoint


def writing(rooms: Rooms, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """The endpoint for what stores: what has arrived whole is kept, even if the client goes away then."""

    async def endpoint(request: Request) -> Response:
        asked = _asked(rooms, request, "write")
        try:
            return await handler(asked)
        except ClientDisconnect:
            return Response(status_code=_CLIENT_GONE)

    return endpoint


async def _awaited(handler: Handler, asked: Asked) -> Response:
    return await handler(asked)


def _asked(rooms: Rooms, request: Request, right: str) -> Asked:
    grant: Grant = request.state.grant
    if right not in grant.may:
        raise Forbidden(f"this needs the right to {right}", "ask for a token that grants it")
    return Asked(
        request=request,
        rooms=rooms,
        grant=grant,
        scope=scope_of(grant),
        base=_door(request),
        study=request.path_params.get("study", ""),
        series=request.path_params.get("series", ""),
        instance=request.path_params.get("instance", ""),
    )


def _door(request: Request) -> str:
    """The URL of the door by which a request came."""
    scope = request.scope
    server = scope.get("server")
    origin = _origin(scope["scheme"], request.headers.get("host", ""), server and tuple(server))
    return f"{origin}{quote(scope['root_path'])}"


@lru_cache(maxsize=256)
def _origin(scheme: str, host: str, server: tuple[str, int | None] | None) -> str:
    """Scheme, host and port by which the client knows us. Some clients (dicomweb-client) leave out the port: where the
    host is the very address that they are connected to, it is the port that they are connected to.
    """
    headers = [(b"host", host.encode("latin-1"))] if host else []
    url = URL(scope={"scheme": scheme, "server": server, "path": "/", "headers": headers})
    ports = {"http": 80, "https": 443}
    if server and url.port is None and server[1] not in (None, ports.get(scheme)):
        direct = {server[0], "localhost"} if server[0] in ("127.0.0.1", "::1") else {server[0]}
        if url.hostname in direct:
            return f"{scheme}://{url.netloc}:{server[1]}"
    return f"{scheme}://{url.netloc}"
