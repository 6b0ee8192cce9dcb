"""The server put together: every door behind one guard."""

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kahu import __version__
from kahu.errors import BytesChanged, BytesMissing, KahuError
from kahu.server import api, dicomweb, pages
from kahu.server.answers import Json, on_fault, on_http_error, refusal
from kahu.server.api.stores import look_again
from kahu.server.guard import Guard
from kahu.server.services import Services


def create(services: Services) -> Starlette:
    """The ASGI application."""

    async def healthz(_request: Request) -> Response:
        """Says that the process answers and its database can be read."""
        await services.pools.database(services.ping)
        return Json({"status": "ok", "version": __version__})

    async def on_error(_request: Request, error: Exception) -> Response:
        """Bytes that are not what was indexed are an error, and a reason to look through their store again."""
        assert isinstance(error, KahuError)
        if isinstance(error, BytesChanged | BytesMissing) and error.store is not None:
            await services.pools.database(look_again, services, error.store)
        return refusal(error)

    async def on_http(request: Request, error: Exception) -> Response:
        """A person who has followed an old link finds the app."""
        assert isinstance(error, HTTPException)
        if error.status_code == 404 and pages.expected(request):
            return pages.nowhere(request)
        return await on_http_error(request, error)

    return Starlette(
        routes=[
            Route("/healthz", healthz),
            *dicomweb.routes(services),
            *api.routes(services),
            *pages.routes(),
        ],
        middleware=[
            Middleware(
                Guard,
                settings=services.settings,
                check=services.tokens.check,
                audit=services.audit.record,
            )
        ],
        exception_handlers={KahuError: on_error, HTTPException: on_http, Exception: on_fault},
    )
