"""Our own API: what the pages, the command line and the Python client speak. JSON, described by OpenAPI."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from kahu.server.answers import Json
from kahu.server.api import (
    conflicts,
    events,
    peers,
    runs,
    series,
    session,
    stores,
    tools,
    transfers,
    work,
)
from kahu.server.api.endpoint import openapi
from kahu.server.api.endpoint import routes as routes_of
from kahu.server.services import Services

ENDPOINTS = [
    *session.endpoints.all,
    *series.endpoints.all,
    *stores.endpoints.all,
    *conflicts.endpoints.all,
    *tools.endpoints.all,
    *runs.endpoints.all,
    *work.endpoints.all,
    *peers.endpoints.all,
    *transfers.endpoints.all,
]


def routes(services: Services) -> list[BaseRoute]:
    """Every route below /api."""
    document = openapi(ENDPOINTS)

    async def describe(_request: Request) -> Response:
        return Json(document)

    return [
        Route("/api/openapi.json", describe),
        *session.routes(services),
        *events.routes(services),
        *routes_of(services, ENDPOINTS),
    ]
