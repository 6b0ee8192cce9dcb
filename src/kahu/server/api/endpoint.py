"""An endpoint: a plain function with typed query, body and answer, of which route and OpenAPI are made.

It runs in the pool of the database, of a store or of a peer (`kahu.server.pools`); a `KahuError` that it raises becomes
its status.
"""

import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar, get_origin

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kahu import __version__
from kahu.access import Grant
from kahu.catalog.scope import Scope
from kahu.errors import BadRequest, Forbidden, NotFound
from kahu.server.answers import Json
from kahu.server.scopes import scope_of
from kahu.server.services import Services

LARGEST_BODY = 8 << 20
"""bytes of a JSON body; DICOM goes through /dicomweb"""


Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""a number of things: 0 or more, and no more than databases and files can count"""


class Nothing(msgspec.Struct):
    """No parameters, or no body."""


Query = TypeVar("Query", bound=msgspec.Struct)
Body = TypeVar("Body", bound=msgspec.Struct)


@dataclass(frozen=True)
class Ask(Generic[Query, Body]):
    """One request, read and checked."""

    services: Services
    grant: Grant
    scope: Scope
    path: dict[str, str]
    query: Query
    body: Body


@dataclass(frozen=True)
class Endpoint:
    """One method of one address."""

    method: str
    path: str
    needs: str
    """what the asker must be granted: read, write, run, admin; empty: nothing"""
    function: Callable[[Any], Any]
    query: type[msgspec.Struct]
    body: type[msgspec.Struct]
    answer: Any
    """a type that msgspec writes, or bytes with `media`"""
    media: str
    store: Callable[[Any], int] | None
    """finds the store whose pool it runs in; None: it uses none"""
    remote: bool
    """it waits for the peer that its path names, in that one's pool"""


class Endpoints:
    """The endpoints of one subject, collected by decorator."""

    def __init__(self) -> None:
        self.all: list[Endpoint] = []

    def __call__(
        self,
        method: str,
        path: str,
        *,
        needs: str = "read",
        media: str = "application/json",
        store: Callable[[Any], int] | None = None,
        remote: bool = False,
    ) -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]]:
        """Declares `function(ask: Ask[Query, Body]) -> Answer` as an endpoint; its types are its contract."""

        def declare(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
            signature = inspect.signature(function, eval_str=True)
            (parameter,) = signature.parameters.values()
            query, body = parameter.annotation.__args__
            answer = signature.return_annotation
            self.all.append(
                Endpoint(method, path, needs, function, query, body, answer, media, store, remote)
            )
            return function

        return declare


def routes(services: Services, endpoints: Sequence[Endpoint]) -> list[Route]:
    """One Starlette route for each endpoint."""
    return [Route(e.path, _handler(services, e), methods=[e.method]) for e in endpoints]


def _handler(services: Services, endpoint: Endpoint) -> Callable[[Request], Any]:
    async def handle(request: Request) -> Response:
        grant: Grant = request.state.grant
        require(grant, endpoint.needs)
        ask = Ask(
            services,
            grant,
            scope_of(grant),
            dict(request.path_params),
            _read_query(request, endpoint.query),
            await _read_body(request, endpoint.body),
        )
        if endpoint.remote:
            peer = await services.pools.database(services.peers.get, ask.path["name"])
            answer = await services.pools.peer(peer.name, endpoint.function, ask)
        elif endpoint.store is None:
            answer = await services.pools.database(endpoint.function, ask)
        else:
            store = await services.pools.database(endpoint.store, ask)
            answer = await services.pools.store(store, endpoint.function, ask)
        if isinstance(answer, Response):
            return answer
        return Json(answer)

    return handle


def require(grant: Grant, right: str) -> None:
    """Forbidden unless the asker holds the right. What a run's token may do is never more than its case."""
    if right and right not in grant.may:
        raise Forbidden(f"this needs the right to {right}", "ask for a token that grants it")


def number(ask: Ask[Any, Any], of: str) -> int:
    """The number in the address of `of`. NotFound: it is none, or longer than any that was given."""
    said = ask.path["id"]
    if not (said.isascii() and said.isdigit() and len(said) < 16):
        raise NotFound(f"there is no such {of}", f"see /api/{of}s")
    return int(said)


def _read_query(request: Request, kind: type[msgspec.Struct]) -> msgspec.Struct:
    """A parameter that may have several values is written once for each."""
    known = {field.encode_name: field.type for field in msgspec.structs.fields(kind)}
    given = {
        name: request.query_params.getlist(name) if get_origin(known.get(name)) is list else value
        for name, value in request.query_params.items()
    }
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise BadRequest(
            f"unknown parameter {', '.join(unknown)}",
            f"known here: {', '.join(sorted(known)) or 'none'}",
        )
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        raise BadRequest(f"a parameter cannot be read: {error}", "see /api/openapi.json") from error


async def _read_body(request: Request, kind: type[msgspec.Struct]) -> msgspec.Struct:
    if kind is Nothing:
        return Nothing()
    pieces = bytearray()
    async for piece in request.stream():
        pieces += piece
        if len(pieces) > LARGEST_BODY:
            raise BadRequest("the body is too large", f"at most {LARGEST_BODY >> 20} MB of JSON")
    try:
        return msgspec.json.decode(bytes(pieces), type=kind)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        message = f"the body is not what is expected here: {error}"
        raise BadRequest(message, "see /api/openapi.json") from error


def openapi(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """The OpenAPI 3.1 document of the endpoints, from their types and docstrings."""
    kinds = {e.body for e in endpoints if e.body is not Nothing}
    kinds |= {e.answer for e in endpoints if not _is_response(e.answer)}
    kinds |= {Refusal}
    ordered = sorted(kinds, key=repr)
    schemas, components = msgspec.json.schema_components(ordered, ref_template="#/components/schemas/{name}")
    schema_of = dict(zip(ordered, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for e in endpoints:
        paths.setdefault(re.sub(r":\w+}", "}", e.path), {})[e.method.lower()] = _operation(e, schema_of)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Kahu",
            "version": __version__,
            "description": "All that Kahu's pages do. DICOM itself goes through /dicomweb (PS3.18).",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{}, {"token": []}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


class Refusal(msgspec.Struct):
    """Why a request was not answered."""

    error: str
    hint: str


def _operation(e: Endpoint, schema_of: dict[Any, Any]) -> dict[str, Any]:
    words = inspect.getdoc(e.function) or ""
    summary, _, more = words.partition("\n")
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)", e.path)
    ]
    (schema,), components = msgspec.json.schema_components([e.query], ref_template="{name}")
    properties = components.get(schema["$ref"], {}).get("properties", {})
    for name, described in properties.items():
        parameters.append({"name": name, "in": "query", "required": False, "schema": described})
    content = {} if _is_response(e.answer) else {"schema": schema_of[e.answer]}
    refused = {"application/json": {"schema": schema_of[Refusal]}}
    operation: dict[str, Any] = {
        "operationId": e.function.__name__,
        "summary": summary,
        "description": more.strip(),
        "tags": [e.function.__module__.rpartition(".")[2]],
        "parameters": parameters,
        "responses": {
            "200": {"description": "done", "content": {e.media: content}},
            **{
                status: {"description": described, "content": refused}
                for status, described in {
                    "400": "not well formed",
                    "401": "no token, or one that is not known",
                    "403": "not allowed",
                    "404": "no such thing",
                    "409": "contradicts what is there",
                    "424": "another application cannot be reached, or refuses",
                    **({"502": "the peer does not answer, or refuses"} if e.remote else {}),
                    "503": "cannot be had now",
                }.items()
            },
        },
    }
    if e.body is not Nothing:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schema_of[e.body]}},
        }
    return operation


def _is_response(answer: Any) -> bool:
    return inspect.isclass(answer) and issubclass(answer, Response)
