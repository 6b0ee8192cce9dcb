"""How answers are written: JSON by msgspec, errors in one shape for every door."""

from collections.abc import Iterable
from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Mount, Route
from starlette.types import Scope

from kahu.errors import FAULT, KahuError, NotAcceptable, Unauthorized

_encoder = msgspec.json.Encoder()


class Json(Response):
    """A JSON answer, from anything that msgspec writes."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return _encoder.encode(content)


def refusal(error: KahuError) -> Response:
    """An error as every door says it: `{"error": what was wrong, "hint": what to do}` with its status; 406 adds
    `acceptable`, the media types that can be had."""
    document: dict[str, object] = {"error": str(error), "hint": error.hint}
    if isinstance(error, NotAcceptable) and error.acceptable:
        document["acceptable"] = error.acceptable
    answer = Json(document, status_code=error.status)
    if isinstance(error, Unauthorized):
        answer.headers["WWW-Authenticate"] = 'Bearer realm="kahu", Basic realm="kahu"'
    if error.status == 503:
        answer.headers["Retry-After"] = "2"
    return answer


async def on_fault(_request: Request, _error: Exception) -> Response:
    """Starlette's handler for what nobody has foreseen. Where it happened is written in the log."""
    answer = refusal(KahuError("something unexpected went wrong", FAULT))
    answer.headers["Connection"] = "close"  # uvicorn, which is told of it next, closes it
    return answer


async def on_http_error(request: Request, error: Exception) -> Response:
    """Starlette's handler for its own refusals: no such path, no such method."""
    assert isinstance(error, HTTPException)
    words = {404: "there is no such address", 405: "this address does not take that method"}
    document = {"error": words.get(error.status_code, error.detail), "hint": "see /api/openapi.json"}
    headers = dict(error.headers or {})
    if error.status_code == 405:
        address: Scope = {"type": "http", "method": "GET", "path": request.url.path}
        headers["Allow"] = ", ".join(sorted(_methods(request.app.routes, address)))
    return Json(document, status_code=error.status_code, headers=headers)


def _methods(routes: Iterable[BaseRoute], address: Scope) -> set[str]:
    """All that an address takes (RFC 9110 §10.2.1): each of its methods has a route, which knows no other."""
    found: set[str] = set()
    for route in routes:
        match, below = route.matches(address)
        if match is Match.NONE:
            continue
        if isinstance(route, Mount):
            found |= _methods(route.routes, {**address, **below})
        elif isinstance(route, Route):
            found |= route.methods or set()
    return found
