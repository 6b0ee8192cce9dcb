"""Series as the gallery shows them: everything that a card and a detail view's head need, in a few queries."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from kahu.catalog import computed
from kahu.catalog.plan import plan_of
from kahu.catalog.schema import patients, results, series, series_stores, stores, studies, tags
from kahu.catalog.scope import Scope
from kahu.dicom.query import Match, Query
from kahu.errors import BadRequest, NotFound

SORTS: dict[str, tuple[sa.ColumnElement[Any], ...]] = {
    "-changed": (series.c.changed.desc(), series.c.id.desc()),
    "patient": (patients.c.name, patients.c.patient_id, patients.c.id, studies.c.date.desc(), series.c.id),
    "-date": (
        studies.c.date.desc(),
        studies.c.time.desc(),
        studies.c.id,
        series.c.number.nulls_last(),
        series.c.id,
    ),
    "modality": (series.c.modality, series.c.id.desc()),
    "description": (series.c.description, series.c.id.desc()),
}

_AT_ONCE = 1000
"""UIDs in one question: databases limit how many values a statement may have"""


@dataclass(frozen=True)
class Result:
    """Where a result came from, and what the gate said of it."""

    task: str
    tool: str
    """name and version"""
    verdict: str
    """valid or suspect; rejected ones are in no gallery"""
    reasons: tuple[str, ...]
    sources: tuple[str, ...]
    """Series Instance UIDs"""


@dataclass(frozen=True)
class SeriesSummary:
    """One series. Texts are empty where nothing is said; dates are written as in DICOM."""

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
    """of its first instance"""
    instances: int
    frames: int
    bytes: int
    stores: tuple[str, ...]
    """names"""
    tags: tuple[str, ...]
    available: bool
    """something of it can be had now"""
    result: Result | None
    """how it was made, if a tool made it here"""
    revision: int
    """+1 whenever an instance comes or goes: part of a thumbnail's address"""
    changed: float
    """seconds since the epoch"""


def summaries(db: sa.Connection, query: Query, scope: Scope, sort: str = "-changed") -> list[SeriesSummary]:
    """The series that match, in the order of one of `SORTS`. BadRequest: there is no such order."""
    if sort not in SORTS:
        raise BadRequest(f"series cannot be sorted by {sort}", f"sort by one of {', '.join(SORTS)}")
    statement = plan_of(replace(query, level="SERIES"), scope).select(
        *series.c,
        studies.c.uid.label("study_uid"),
        studies.c.date.label("study_date"),
        studies.c.description.label("study_description"),
        patients.c.patient_id,
        patients.c.name.label("patient_name"),
        patients.c.sex.label("patient_sex"),
        patients.c.birth_date.label("patient_birth_date"),
    )
    if query.limit is not None:
        statement = statement.limit(query.limit)
    found = db.execute(statement.order_by(*SORTS[sort]).offset(query.offset)).mappings()
    rows = [dict(row) for row in found]
    extents = computed.extent(db, scope, rows)
    there = computed.available(db, scope, extents)
    lie, labels = _stores(db, scope, extents), _tags(db, [row["uid"] for row in rows])
    made = _results(db, [row["uid"] for row in rows])
    return [
        SeriesSummary(
            uid=row["uid"],
            study_uid=row["study_uid"],
            patient_id=row["patient_id"],
            patient_name=row["patient_name"],
            patient_sex=row["patient_sex"],
            patient_birth_date=row["patient_birth_date"],
            study_date=row["study_date"],
            study_description=row["study_description"],
            modality=row["modality"],
            number=row["number"],
            description=row["description"],
            body_part=row["body_part"],
            manufacturer=row["manufacturer"],
            model=row["model"],
            sop_class_uid=row["sop_class"],
            instances=extents[row["id"]].instances,
            frames=extents[row["id"]].frames,
            bytes=extents[row["id"]].bytes,
            stores=tuple(lie[row["id"]]),
            tags=tuple(labels[row["uid"]]),
            available=row["id"] in there,
            result=made.get(row["uid"]),
            revision=row["revision"],
            changed=row["changed"],
        )
        for row in rows
    ]


def summary(db: sa.Connection, series_uid: str, scope: Scope) -> SeriesSummary:
    """One series. NotFound: there is none, or it is out of scope."""
    found = summaries(db, Query("SERIES", series=series_uid), scope)
    if not found:
        raise NotFound("there is no such series here")
    return found[0]


def captions(db: sa.Connection, uids: Sequence[str], scope: Scope) -> dict[str, tuple[str, str]]:
    """For each of these series that is in scope: its description, and its patient's name, else the ID."""
    found: dict[str, tuple[str, str]] = {}
    for at in range(0, len(uids), _AT_ONCE):
        query = Query("SERIES", (Match(("SeriesInstanceUID",), "list", tuple(uids[at : at + _AT_ONCE])),))
        statement = plan_of(query, scope).select(
            series.c.uid, series.c.description, patients.c.name, patients.c.patient_id
        )
        found |= {uid: (text, name or patient) for uid, text, name, patient in db.execute(statement)}
    return found


def made_from(db: sa.Connection, series_uid: str, scope: Scope) -> list[SeriesSummary]:
    """What tools made of a series, newest first."""
    return summaries(db, Query("SERIES", (Match(("source",), "exact", (series_uid,)),)), scope)


def _stores(db: sa.Connection, scope: Scope, ids: Sequence[int] | dict[int, Any]) -> dict[int, list[str]]:
    condition: sa.ColumnElement[bool] = series_stores.c.series.in_(list(ids))
    if scope.stores is not None:
        condition = sa.and_(condition, stores.c.id.in_(sorted(scope.stores)))
    found: dict[int, list[str]] = defaultdict(list)
    for identity, name in db.execute(
        sa.select(series_stores.c.series, stores.c.name).join(stores).where(condition).order_by(stores.c.id)
    ):
        found[identity].append(name)
    return found


def _tags(db: sa.Connection, uids: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for uid, label in db.execute(
        sa.select(tags.c.series_uid, tags.c.label).where(tags.c.series_uid.in_(uids)).order_by(tags.c.label)
    ):
        found[uid].append(label)
    return found


def _results(db: sa.Connection, uids: Sequence[str]) -> dict[str, Result]:
    c = results.c
    return {
        uid: Result(task, tool, verdict, tuple(reasons), tuple(sources))
        for uid, task, tool, verdict, reasons, sources in db.execute(
            sa.select(c.series_uid, c.task, c.tool, c.verdict, c.reasons, c.sources).where(
                c.series_uid.in_(uids)
            )
        )
    }
