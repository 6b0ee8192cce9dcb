"""Retrieve Capabilities: what can be asked for here, by machines (PS3.18 §8.9)."""

from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any
from xml.sax.saxutils import quoteattr

import msgspec
from starlette.responses import Response

from kahu.server.dicomweb import accept
from kahu.server.dicomweb.asked import Asked, Handler
from kahu.server.dicomweb.resources import Resource

WADL, JSON = "application/vnd.sun.wadl+xml", "application/json"


def described(resources: Sequence[Resource]) -> Handler:
    """The handler that describes the door: WADL unless JSON is wanted."""

    async def handler(asked: Asked) -> Response:
        media_type = accept.choose_type(accept.wanted(asked.request), (WADL, JSON))
        body = (wadl if media_type == WADL else json)(resources, asked.base)
        headers = {"Content-Type": media_type, "Allow": "GET, HEAD, OPTIONS", "Vary": "Accept"}
        return Response(body, headers=headers)

    return handler


def json(resources: Sequence[Resource], base: str) -> bytes:
    """The description as JSON."""
    document: dict[str, Any] = {"base": base, "resources": []}
    for path, methods in _by_path(resources):
        told = [
            {
                "method": one.method,
                "transaction": one.transaction,
                "gives": one.gives,
                "takes": one.takes,
                "parameters": one.parameters,
            }
            for one in methods
        ]
        document["resources"].append({"path": path, "methods": told})
    return msgspec.json.encode(document)


def wadl(resources: Sequence[Resource], base: str) -> bytes:
    """The description as WADL, the Web Application Description Language."""
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<application xmlns="http://wadl.dev.java.net/2009/02">',
        f"<resources base={quoteattr(base + '/')}>",
    ]
    for path, methods in _by_path(resources):
        lines.append(f"<resource path={quoteattr(path.removeprefix('/'))}>")
        lines += [line for one in methods for line in _method(one)]
        lines.append("</resource>")
    return "\n".join([*lines, "</resources>", "</application>", ""]).encode()


def _method(one: Resource) -> list[str]:
    parameters = [f'<param name={quoteattr(name)} style="query"/>' for name in one.parameters]
    takes, gives = (
        [f"<representation mediaType={quoteattr(name)}/>" for name in names]
        for names in (one.takes, one.gives)
    )
    return [
        f"<method name={quoteattr(one.method)} id={quoteattr(one.transaction.replace(' ', ''))}>",
        *(["<request>", *parameters, *takes, "</request>"] if parameters or takes else []),
        *(["<response>", *gives, "</response>"] if gives else []),
        "</method>",
    ]


def _by_path(resources: Sequence[Resource]) -> list[tuple[str, list[Resource]]]:
    ordered = sorted(resources, key=attrgetter("path"))
    return [(path.replace(":path}", "}"), list(some)) for path, some in groupby(ordered, attrgetter("path"))]


def allowed(resources: Sequence[Resource]) -> dict[str, str]:
    """The methods of each path, as the header Allow has them."""
    found: dict[str, str] = {}
    for path, some in groupby(sorted(resources, key=attrgetter("path")), attrgetter("path")):
        methods = {one.method for one in some}
        names = methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set())
        found[path] = ", ".join(sorted(names))
    return found
