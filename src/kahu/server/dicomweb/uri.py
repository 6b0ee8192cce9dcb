"""WADO-URI: one object, or a picture of it, by the parameters of a query (PS3.18 §9)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from starlette.datastructures import QueryParams
from starlette.responses import Response

from kahu.catalog.fetch import Located
from kahu.dicom.render import Window
from kahu.errors import BadRequest
from kahu.server.dicomweb import accept
from kahu.server.dicomweb.accept import Wanted
from kahu.server.dicomweb.asked import Asked, path
from kahu.server.dicomweb.bulk import document, is_document, send_value
from kahu.server.dicomweb.forms import DICOM, OCTETS
from kahu.server.dicomweb.image import Image
from kahu.server.dicomweb.images import Images
from kahu.server.dicomweb.look import LARGEST, Look, Source, number, whole
from kahu.server.dicomweb.rendered import TYPES, send_picture
from kahu.server.dicomweb.sent import send
from kahu.server.dicomweb.wado import forms_of, object_body

KNOWN = (
    "requestType",
    "studyUID",
    "seriesUID",
    "objectUID",
    "contentType",
    "charset",
    "frameNumber",
    "transferSyntax",
    "rows",
    "columns",
    "region",
    "windowCenter",
    "windowWidth",
    "imageQuality",
)
"""parameters that are understood"""

_REFUSED = {
    "anonymize": "objects are not anonymised here; leave out anonymize",
    "presentationUID": "presentation states are not applied here; leave out presentationUID",
}
_OF_PICTURES = ("rows", "columns", "region", "windowCenter", "windowWidth", "imageQuality", "frameNumber")


@dataclass(frozen=True)
class Region:
    """A part of an image, its sides 1 long (PS3.18 §9.4.1.2.7)."""

    left: float
    top: float
    right: float
    bottom: float

    def of(self, image: Image) -> Source:
        """The same in pixels of an image."""
        rows, columns = image.shape
        width, height = (self.right - self.left) * columns, (self.bottom - self.top) * rows
        return Source(self.left * columns, self.top * rows, max(1, width), max(1, height))


async def retrieve(images: Images, asked: Asked) -> Response:
    """The object as it is kept or transcoded, a picture of one frame, or the document that it holds."""
    params = asked.request.query_params
    study, series, instance = _named(params)
    asked = replace(asked, study=study, series=series, instance=instance)
    asked.request.state.reads = (
        f"/dicomweb{path(study, series, instance)}"  # for the audit log: the path says nothing
    )
    one = await images.locate(asked)
    document_types: tuple[str, ...] = ()
    if is_document(one):
        value = await asked.rooms.pools.store(one.location.store, document, asked, one)
        document_types = tuple(name for name in value.types if name != OCTETS)
    media_type = accept.choose_type(_wanted(asked, one), (*_possible(one, params), *document_types))
    if media_type == DICOM:
        return await _object(asked, one, params)
    if media_type in document_types:
        return await send_value(asked, one, "rendered", replace(value, types=(media_type,)))
    image = images.of(asked, one)
    chosen = whole("frameNumber", params.get("frameNumber", str((image.frames + 1) // 2)), 999_999)
    return await send_picture(asked, image, chosen, _look(params, image), media_type, KNOWN)


def _named(params: QueryParams) -> tuple[str, str, str]:
    if params.get("requestType") != "WADO":
        raise BadRequest("requestType is not WADO", "begin with ?requestType=WADO")
    for name, words in _REFUSED.items():
        if params.get(name):
            raise BadRequest(f"{name} is not supported", words)
    study, series, instance = (params.get(name, "") for name in ("studyUID", "seriesUID", "objectUID"))
    if not (study and series and instance):
        raise BadRequest("studyUID, seriesUID or objectUID is missing", "name all three")
    return study, series, instance


def _wanted(asked: Asked, one: Located) -> list[Wanted]:
    """What is accepted: `contentType` wins over the header."""
    said = asked.request.query_params.getlist("contentType")
    return accept.parse(said) if said else accept.wanted(asked.request)


def _possible(one: Located, params: QueryParams) -> Sequence[str]:
    """What an object can be had as, the default first (PS3.18 §9.1.2): one frame as a picture, all else whole."""
    pictures: Sequence[str] = TYPES if one.location.pixels else ()
    whole_first = one.frames != 1 and "frameNumber" not in params
    return (DICOM, *pictures) if whole_first else (*pictures, DICOM)


async def _object(asked: Asked, one: Located, params: QueryParams) -> Response:
    if meaningless := [name for name in _OF_PICTURES if name in params]:
        raise BadRequest(f"{meaningless[0]} is for pictures, not for whole objects", "ask for image/jpeg")
    (form,) = await forms_of(asked, [Wanted(DICOM, False, params.get("transferSyntax", ""))], [one])
    pool = asked.rooms.pools.of_store(one.location.store)
    body = replace(object_body(asked, one, form), headers=accept.ignored(params, KNOWN))
    return await send(asked, pool, body)


def _look(params: QueryParams, image: Image) -> Look:
    rows, columns = (
        whole(name, params[name], LARGEST) if name in params else None for name in ("rows", "columns")
    )
    return Look(
        window=_window(params),
        viewport=(columns or LARGEST, rows or LARGEST) if rows or columns else None,
        source=_region(params["region"]).of(image) if "region" in params else None,
        quality=whole("imageQuality", params.get("imageQuality", "90"), 100),
    )


def _window(params: QueryParams) -> Window | None:
    said = [name for name in ("windowCenter", "windowWidth") if name in params]
    if not said:
        return None
    if len(said) == 1:
        raise BadRequest("windowCenter and windowWidth belong together", "name both")
    center, width = (number(name, params[name]) for name in said)
    return Window(center, width)


def _region(text: str) -> Region:
    if not re.fullmatch(r"[0-9.]{1,20}(,[0-9.]{1,20}){3}", text):
        raise BadRequest("region is not left,top,right,bottom", "as in region=0,0,0.5,0.5")
    left, top, right, bottom = (number("region", part) for part in text.split(","))
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise BadRequest(
            "region does not lie within the image, whose sides are 1 long", "as in region=0,0,0.5,0.5"
        )
    return Region(left, top, right, bottom)
