"""QIDO-RS: search for studies, series and instances (PS3.18 §10.6)."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from starlette.responses import Response

from kahu.catalog import kept, search
from kahu.catalog.search import Answer
from kahu.dicom.attributes import Level
from kahu.dicom.query import ALL, Query, parse
from kahu.server.dicomweb import accept, rows
from kahu.server.dicomweb.asked import JSON_TYPES, Asked

# What PS3.18 table 10.6.3-4 wants of series and is not of the index.
_OF_SERIES = (
    "RequestAttributesSequence.ScheduledProcedureStepID",
    "RequestAttributesSequence.RequestedProcedureID",
)


async def studies(asked: Asked) -> Response:
    """Studies."""
    return await _search(asked, "STUDY")


async def series(asked: Asked) -> Response:
    """Series: of a study, or of all."""
    return await _search(asked, "SERIES")


async def instances(asked: Asked) -> Response:
    """Instances: of a series, of a study, or of all."""
    return await _search(asked, "IMAGE")


async def _search(asked: Asked, level: Level) -> Response:
    content_type = accept.choose_type(accept.wanted(asked.request), JSON_TYPES)
    params = asked.request.query_params.multi_items()
    query, unknown = parse(params, level, asked.study, asked.series)
    if level == "SERIES" and query.include != (ALL,):
        query = replace(query, include=(*query.include, *_OF_SERIES))
    return await asked.rooms.pools.database(_answer, asked, query, unknown, content_type)


def _answer(asked: Asked, query: Query, unknown: tuple[str, ...], content_type: str) -> Response:
    with asked.rooms.database.read() as db:
        found = search.find(db, query, asked.scope)
    extra: Iterable[dict[str, object]] = found.extra or ({} for _ in found.rows)
    required = rows.REQUIRED[query.level]
    body = rows.encoded(zip(_with_urls(asked, found), extra, strict=True), required)
    response = Response(body, headers={"Content-Type": content_type})
    for words in warnings(query, found, unknown):
        response.headers.append("Warning", f'299 kahu "{words}"')
    return response


def _with_urls(asked: Asked, found: Answer) -> Iterator[dict[str, str]]:
    """The rows, and where each entity is retrieved."""
    for row in found.rows:
        uids = (row.get(k, "") for k in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"))
        row["RetrieveURL"] = asked.url(*uids)
        yield row


def warnings(query: Query, found: Answer, unknown: Iterable[str]) -> list[str]:
    """What the client should know of an answer that is not quite what it asked for (PS3.18 §8.3.4.2)."""
    said = []
    if ignored := [*unknown, *found.ignored]:
        names = ", ".join(re.sub(r"[^\w.,-]", "?", name, flags=re.ASCII)[:64] for name in ignored[:20])
        said.append(f"These parameters were not understood and are ignored: {names}")
    if not found.whole:
        said.append(
            f"Headers were read for {kept.SECONDS:g} seconds, and not all could be looked at: there may be more "
            "results; narrow the search with attributes that are indexed"
        )
    elif found.more:
        said.append(f"There are more results; ask for them with offset={query.offset + len(found.rows)}")
    return said
