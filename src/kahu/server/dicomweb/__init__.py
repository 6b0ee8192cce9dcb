"""The DICOMweb door (PS3.18): every store behind it looks like one archive.

==============  ==========================================================================
`qido`          search for studies, series and instances
`wado`          whole objects
`metadata`      what the catalogue knows of objects
`frames`        frames, as they are kept, uncompressed or transcoded
`bulk`          long values that metadata only point at; documents
`rendered`      pictures for people; thumbnails; `look`: how they are wanted
`uri`           WADO-URI: one object or picture by parameters
`stow`          store instances; `stow_json`: DICOM JSON with bulk data
`incoming`      the body of what is stored, decoded and taken apart; `outcomes`: what becomes of it
`delete`        delete studies, series and instances
`resources`     all of these, listed once; `capabilities`: the list, told to machines
`accept`        what a client accepts; `forms`: in which form it gets objects and frames
`conditions`    entity tags, conditional requests, ranges; `sent`: how a body goes out
`asked`         one request: who asks, for what, by which door
`image`         the image of an instance, read from its store; `images`: found, and remembered
`rows`          rows of the catalogue as DICOM JSON
==============  ==========================================================================
"""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route

from kahu.server.dicomweb import capabilities
from kahu.server.dicomweb.asked import Rooms, reading, writing
from kahu.server.dicomweb.images import Images
from kahu.server.dicomweb.resources import resources


def routes(rooms: Rooms, base: str = "/dicomweb") -> list[BaseRoute]:
    """The door at the path `base`, which may have parameters of its own. Each request carries its asker's
    `Grant` in `request.state.grant`.
    """
    here = resources(Images())
    answered: list[BaseRoute] = [
        Route(
            one.path, (reading if one.method == "GET" else writing)(rooms, one.handler), methods=[one.method]
        )
        for one in here
    ]
    described = reading(rooms, capabilities.described(here))
    answered.append(Route("/", described, methods=["GET", "OPTIONS"]))
    answered += [_options(path, allow) for path, allow in capabilities.allowed(here).items()]
    return [Mount(base, routes=answered)]


def _options(path: str, allow: str) -> Route:
    async def options(_request: Request) -> Response:
        """The methods that a resource takes (RFC 9110 §9.3.7)."""
        return Response(status_code=204, headers={"Allow": allow})

    return Route(path, options, methods=["OPTIONS"])
