"""Series: the gallery, its facets, one series with its attributes, tags."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any
from urllib.parse import urlencode

import msgspec
from pydicom.config import IGNORE
from pydicom.uid import UID
from starlette.responses import Response

from kahu.catalog import describe, gallery, places, search, thumbnails
from kahu.catalog import tags as labels
from kahu.catalog.gallery import SeriesSummary
from kahu.dicom.query import Match, Query
from kahu.server.api.attributes import Attribute, table
from kahu.server.api.endpoint import Ask, Count, Endpoints, Nothing
from kahu.server.services import Services

endpoints = Endpoints()

Page = Annotated[int, msgspec.Meta(ge=0, le=1000)]
"""how many series are told of at once"""


class Result(msgspec.Struct):
    """Which tool made a series, of what, and what the result gate said of it."""

    task: str
    run: str
    tool: str
    verdict: str
    reasons: list[str]
    sources: list[str]


class Series(msgspec.Struct, omit_defaults=True):
    """One series. Dates and names are written as in DICOM; `sop_class` is the name of that UID. `results` are
    told where one series was asked for: what tools made of it."""

    uid: str
    study_uid: str
    patient_id: str
    patient_name: str
    patient_sex: str
    patient_birth_date: str
    study_date: str
    study_description: str
    modality: str
    number: int | None
    description: str
    body_part: str
    manufacturer: str
    model: str
    sop_class_uid: str
    sop_class: str
    instances: int
    frames: int
    bytes: int
    stores: list[str]
    tags: list[str]
    available: bool
    result: Result | None
    thumbnail: str
    viewer: str | None
    results: list["Series"] | None = None


class SeriesPage(msgspec.Struct):
    """A part of the series that match, and how many do."""

    total: int
    series: list[Series]


class Filter(msgspec.Struct):
    """Which series. `q`: words that must all be found; of the others, one of the values must be equal."""

    q: str = ""
    modality: list[str] = []
    body_part: list[str] = []
    manufacturer: list[str] = []
    store: list[str] = []
    tag: list[str] = []
    verdict: list[str] = []
    study: list[str] = []
    patient: list[str] = []


class Listing(Filter):
    """Which series, in which order, how many."""

    sort: str = "-changed"
    limit: Page = 100
    offset: Count = 0


class Value(msgspec.Struct):
    """A value and how many series have it."""

    value: str
    count: int


class AttributePage(msgspec.Struct):
    """All attributes of instance number `index` of so many `instances`."""

    instances: int
    index: int
    attributes: list[Attribute]


class Instance(msgspec.Struct):
    """Which instance of a series, from 0 in the order of their numbers."""

    instance: int = 0


class Version(msgspec.Struct):
    """The revision of a series that a picture is of: the picture under this address never changes."""

    v: str = ""


KEYWORDS = {
    "modality": "Modality",
    "body_part": "BodyPartExamined",
    "manufacturer": "Manufacturer",
    "store": "store",
    "tag": "tag",
    "verdict": "verdict",
    "study": "StudyInstanceUID",
    "patient": "PatientID",
}
FACETS = ("modality", "body_part", "store", "tag", "manufacturer", "verdict")

# What OHIF shows nothing of; everything else opens there.
_NOT_SHOWN = {"PR", "KO", "PLAN", "RTPLAN", "REG", "FID", "RWV"}


@endpoints("GET", "/api/series")
def list_series(ask: Ask[Listing, Nothing]) -> SeriesPage:
    """The series that match, in pages."""
    listing = ask.query
    query = query_of(listing, listing.limit, listing.offset)
    with ask.services.database.read() as db:
        total = search.count(db, query, ask.scope)
        found = gallery.summaries(db, query, ask.scope, listing.sort)
    return SeriesPage(total, _told(ask.services, found))


@endpoints("GET", "/api/facets")
def facets(ask: Ask[Filter, Nothing]) -> dict[str, list[Value]]:
    """For each facet, its values among the series that match the others, the most frequent first."""
    keywords = [KEYWORDS[name] for name in FACETS]
    with ask.services.database.read() as db:
        found = search.facets(db, query_of(ask.query), ask.scope, keywords)
    return {name: [Value(*pair) for pair in found[KEYWORDS[name]]] for name in FACETS}


@endpoints("GET", "/api/series/{uid}")
def one_series(ask: Ask[Nothing, Nothing]) -> Series:
    """One series, with what tools made of it."""
    return _one(ask)


@endpoints("GET", "/api/series/{uid}/attributes")
def attributes(ask: Ask[Instance, Nothing]) -> AttributePage:
    """All attributes of one instance; those that differ within the series are marked."""
    body = b"".join(describe.metadata(ask.services.database, ask.scope, series=ask.path["uid"]))
    instances: Sequence[dict[str, Any]] = msgspec.json.decode(body)
    index = min(max(ask.query.instance, 0), len(instances) - 1)
    return AttributePage(len(instances), index, table(instances, index))


def _store_of(ask: Ask[Any, Any]) -> int:
    """One of the stores that hold a series."""
    with ask.services.database.read() as db:
        return places.holding(db, ask.path["uid"], ask.scope)


@endpoints("GET", "/api/series/{uid}/thumbnail", media="image/jpeg", store=_store_of)
def thumbnail(ask: Ask[Version, Nothing]) -> Response:
    """The slice in the middle of a series as a small JPEG; what has no image is a tile that says what it is."""
    services = ask.services
    body = thumbnails.thumbnail(
        services.database, services.places, services.settings.cache, ask.path["uid"], ask.scope
    )
    keep = "private, max-age=31536000, immutable" if ask.query.v else "private, no-cache"
    return Response(body, media_type="image/jpeg", headers={"Cache-Control": keep})


@endpoints("PUT", "/api/series/{uid}/tags/{label:path}", needs="write")
def put_tag(ask: Ask[Nothing, Nothing]) -> Series:
    """Puts a tag on a series; putting it again changes nothing."""
    labels.put(ask.services.database, ask.path["uid"], ask.path["label"], ask.grant.who, ask.scope)
    return _one(ask)


@endpoints("DELETE", "/api/series/{uid}/tags/{label:path}", needs="write")
def remove_tag(ask: Ask[Nothing, Nothing]) -> Series:
    """Takes a tag off a series."""
    labels.remove(ask.services.database, ask.path["uid"], ask.path["label"], ask.scope)
    return _one(ask)


def query_of(wanted: Filter, limit: int | None = None, offset: int = 0) -> Query:
    """The question to the catalogue that a filter stands for."""
    matches = tuple(
        Match((keyword,), "list", tuple(values))
        for name, keyword in KEYWORDS.items()
        if (values := getattr(wanted, name))
    )
    return Query("SERIES", matches, limit=limit, offset=offset, text=wanted.q)


def _one(ask: Ask[Any, Any]) -> Series:
    uid = ask.path["uid"]
    with ask.services.database.read() as db:
        found = gallery.summary(db, uid, ask.scope)
        results = gallery.made_from(db, uid, ask.scope)
    one, *made = _told(ask.services, [found, *results])
    one.results = made
    return one


def _told(services: Services, found: Iterable[SeriesSummary]) -> list[Series]:
    found = list(found)
    runs = services.ledger.runs_of({one.result.task for one in found if one.result})
    return [_series(one, runs) for one in found]


def _series(one: SeriesSummary, runs: dict[str, str]) -> Series:
    return Series(
        uid=one.uid,
        study_uid=one.study_uid,
        patient_id=one.patient_id,
        patient_name=one.patient_name,
        patient_sex=one.patient_sex,
        patient_birth_date=one.patient_birth_date,
        study_date=one.study_date,
        study_description=one.study_description,
        modality=one.modality,
        number=one.number,
        description=one.description,
        body_part=one.body_part,
        manufacturer=one.manufacturer,
        model=one.model,
        sop_class_uid=one.sop_class_uid,
        sop_class=UID(one.sop_class_uid, IGNORE).name,
        instances=one.instances,
        frames=one.frames,
        bytes=one.bytes,
        stores=list(one.stores),
        tags=list(one.tags),
        available=one.available,
        result=_result(one, runs),
        thumbnail=f"/api/series/{one.uid}/thumbnail?v={one.revision}",
        viewer=viewer(one.study_uid, one.uid, one.modality),
    )


def _result(one: SeriesSummary, runs: dict[str, str]) -> Result | None:
    made = one.result
    if made is None:
        return None
    run = runs.get(made.task, "")
    return Result(made.task, run, made.tool, made.verdict, list(made.reasons), list(made.sources))


def viewer(study_uid: str, series_uid: str, modality: str) -> str | None:
    """Where OHIF shows a series; None: it does not."""
    if modality in _NOT_SHOWN:
        return None
    where = {"StudyInstanceUIDs": study_uid, "initialSeriesInstanceUID": series_uid}
    return f"/ohif/viewer?{urlencode(where)}"
