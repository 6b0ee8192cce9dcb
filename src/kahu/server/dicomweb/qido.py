"""QIDO-RS: search for studies, series and instances (PS3.18 §10.6)."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from starlette.responses import Response

from kahu.catalog import search
from kahu.catalog.scope import Scope
from kahu.catalog.search import Answer
from kahu.db import Database
from kahu.dicom.query import Query, QueryLevel, parse
from kahu.server.dicomweb import accept, rows
from kahu.server.dicomweb.asked import JSON_TYPES, Asked

_encoder = msgspec.json.Encoder()


async def studies(asked: Asked) -> Response:
    """Studies."""
    return await _search(asked, "STUDY")


async def series(asked: Asked) -> Response:
    """Series: of a study, or of all."""
    return await _search(asked, "SERIES")


async def instances(asked: Asked) -> Response:
    """Instances: of a series, of a study, or of all."""
    return await _search(asked, "IMAGE")


async def _search(asked: Asked, level: QueryLevel) -> Response:
    content_type = accept.choose_type(accept.wanted(asked.request), JSON_TYPES)
    params = asked.request.query_params.multi_items()
    query, unknown = parse(params, level, asked.study, asked.series)
    return await asked.rooms.pools.database(_answer, asked, query, unknown, content_type)


def _answer(asked: Asked, query: Query, unknown: tuple[str, ...], content_type: str) -> Response:
    found = find(asked.rooms.database, query, asked.scope)
    body = _encoder.encode([document(asked, query.level, row) for row in found.rows])
    response = Response(body, headers={"Content-Type": content_type})
    for words in warnings(query, found, unknown):
        response.headers.append("Warning", f'299 kahu "{words}"')
    return response


def find(database: Database, query: Query, scope: Scope) -> Answer:
    """The rows that a query finds within a scope."""
    with database.read() as db:
        return search.find(db, query, scope)


def document(asked: Asked, level: QueryLevel, row: Mapping[str, str]) -> dict[str, Any]:
    """One match, as PS3.18 tables 10.6.3-3 to 10.6.3-5 describe it."""
    uids = (row.get(k, "") for k in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"))
    return rows.to_json({**row, "RetrieveURL": asked.url(*uids)}, rows.REQUIRED[level])


def warnings(query: Query, found: Answer, unknown: Iterable[str]) -> list[str]:
    """What the client should know of an answer that is not quite what it asked for (PS3.18 §8.3.4.2)."""
    said = []
    if ignored := [*unknown, *found.ignored]:
        names = ", ".join(re.sub(r"[^\w.,-]", "?", name, flags=re.ASCII)[:64] for name in ignored[:20])
        said.append(f"These parameters were not understood and are ignored: {names}")
    if found.more:
        said.append(f"There are more results; ask for them with offset={query.offset + len(found.rows)}")
    return said
