"""Who asks, and signing in: a browser trades a token for a cookie that scripts cannot read."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from kahu import __version__
from kahu.catalog import search
from kahu.dicom.query import Query
from kahu.errors import BadRequest, Unauthorized
from kahu.server.answers import Json
from kahu.server.api.endpoint import Ask, Endpoints, Nothing
from kahu.server.guard import COOKIE
from kahu.server.services import Services

endpoints = Endpoints()


class Me(msgspec.Struct):
    """Who asks, and what there is."""

    version: str
    who: str
    may: list[str]
    stores: int
    series: int
    home_name: str


@endpoints("GET", "/api/me")
def me(ask: Ask[Nothing, Nothing]) -> Me:
    """Who I am to this server, and how much there is to see."""
    with ask.services.database.read() as db:
        series = search.count(db, Query("SERIES"), ask.scope)
    seen = ask.scope.stores
    stores = sum(seen is None or place.id in seen for place in ask.services.places.all())
    return Me(
        version=__version__,
        who=ask.grant.who,
        may=sorted(ask.grant.may),
        stores=stores,
        series=series,
        home_name=ask.services.settings.home.name,
    )


def routes(services: Services) -> list[BaseRoute]:
    """Signing in and out: the only addresses below /api that need no token."""

    async def sign_in(request: Request) -> Response:
        body = await request.body() if int(request.headers.get("content-length") or 0) < 4096 else b""
        try:
            token = msgspec.json.decode(body, type=dict[str, str])["token"].strip()
        except (msgspec.MsgspecError, KeyError):
            raise BadRequest("a JSON object with a token is expected", '{"token": "kahu_..."}') from None
        grant = await services.pools.database(services.tokens.check, token)
        if grant.task:
            raise Unauthorized("a run's token signs nobody in", "make one with: kahu token add NAME")
        answer = Json({"who": grant.who})
        answer.set_cookie(
            COOKIE, token, httponly=True, samesite="strict", secure=request.url.scheme == "https"
        )
        return answer

    async def sign_out(_request: Request) -> Response:
        answer = Json({})
        answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return answer

    return [
        Route("/api/session", sign_in, methods=["POST"]),
        Route("/api/session", sign_out, methods=["DELETE"]),
    ]
