"""A `Query` -> rows, counts, facets; all within a scope."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles

from kahu.catalog import columns, computed, kept, pages
from kahu.catalog.candidates import narrowed
from kahu.catalog.matching import Condition
from kahu.catalog.plan import JOINED, Plan, plan_of
from kahu.catalog.schema import instances, patients, results, series, series_stores, stores, studies, tags
from kahu.catalog.scope import Scope
from kahu.dicom.attributes import Level
from kahu.dicom.query import ALL, Query

MOST = 50_000
"""rows in an answer, however many were asked for"""
MOST_WHOLE = 5_000
"""the same, where all attributes are"""


@dataclass(frozen=True)
class Answer:
    """What a query found."""

    rows: list[dict[str, str]]
    """keyword -> text: the index attributes of the query's level and above that have a value, and what is
    computed: ModalitiesInStudy, SOPClassesInStudy, NumberOf...Related..., InstanceAvailability"""
    more: bool
    """there are more rows than were asked for"""
    ignored: tuple[str, ...]
    """conditions that cannot be answered, because they speak of what is computed; they limited nothing"""
    extra: tuple[dict[str, Any], ...] = ()
    """for each row, the attributes that were asked for besides, from the header of an object of that entity: DICOM
    JSON (PS3.18 F.2), tag -> attribute; empty: none were asked for"""
    whole: bool = True
    """everything was looked at; if not, the time ran out as headers were read, and there may be more"""


def find(db: sa.Connection, query: Query, scope: Scope) -> Answer:
    """The entities of the query's level that match, in a stable order."""
    plan = plan_of(query, scope)
    most = MOST_WHOLE if query.include == (ALL,) else MOST
    limit = most if query.limit is None else min(query.limit, most)
    whole = True
    if plan.kept:
        order = ordered(db, query, scope, plan)
        ids, whole = kept.matching(db, query, scope, plan.kept, order, query.offset + limit + 1)
        ids = ids[query.offset :]
    else:
        ids = list(db.scalars(ordered(db, query, scope, plan).limit(limit + 1).offset(query.offset)))
    page = ids[:limit]
    rows = pages.rows(db, query.level, page)
    computed.add(db, query, scope, page, rows)
    extra = kept.included(db, query, scope, page)
    return Answer(rows, len(ids) > limit, plan.ignored, extra, whole)


# In the order of the answer


class _InThisOrder(sa.Join):
    """A join that is made from left to right: a planner without statistics may think better of it."""

    inherit_cache = True


@compiles(_InThisOrder, "sqlite")
def _cross(element: Any, compiler: Any, **options: Any) -> str:
    options.pop("asfrom", None)
    tables = (compiler.process(table, asfrom=True, **options) for table in (element.left, element.right))
    return f"{' CROSS JOIN '.join(tables)} ON {compiler.process(element.onclause, **options)}"


_OWN: dict[Level, tuple[sa.FromClause, sa.FromClause]] = {
    "PATIENT": (patients, patients),
    "STUDY": (studies, studies),
    "SERIES": (
        _InThisOrder(studies, series, series.c.study == studies.c.id),
        studies.join(series, series.c.study == studies.c.id),
    ),
    "IMAGE": (
        _InThisOrder(series, instances, instances.c.series == series.c.id),
        series.join(instances, instances.c.series == series.c.id),
    ),
}
"""the tables that an order needs: to be walked in that order, and to be asked for some rows"""
_ORDER: dict[Level, tuple[sa.ColumnElement[Any], ...]] = {
    "PATIENT": (patients.c.id.desc(),),
    "STUDY": (studies.c.date.desc(), studies.c.id.desc()),
    "SERIES": (studies.c.date.desc(), studies.c.id.desc(), series.c.number.nulls_last(), series.c.id),
    "IMAGE": (
        series.c.study.desc(),
        series.c.number.nulls_last(),
        series.c.id,
        instances.c.number.nulls_last(),
        instances.c.uid,
    ),
}
_KEY: dict[Level, sa.Column[Any]] = {
    "PATIENT": patients.c.id,
    "STUDY": studies.c.id,
    "SERIES": series.c.id,
    "IMAGE": instances.c.key,
}


def ordered(db: sa.Connection, query: Query, scope: Scope, plan: Plan) -> sa.Select[Any]:
    """The ids of what the indexed conditions of a query match, in the order of its answer."""
    few = narrowed(db, query, scope)
    walked, asked = _OWN[query.level]
    statement = sa.select(_KEY[query.level]).select_from(walked if few is None else asked)
    if few is not None:
        statement = statement.where(few)
    return statement.where(*_own_conditions(plan)).order_by(*_ORDER[query.level])


def _own_conditions(plan: Plan) -> list[Condition]:
    """Those of levels whose tables the order does not need, as something that a parent is like."""
    above: list[Condition] = []
    patient = plan.conditions["PATIENT"]
    if plan.level != "PATIENT" and patient:
        of = sa.select(1).select_from(patients).where(patients.c.id == studies.c.patient, *patient)
        above.append(sa.exists(of.correlate(studies)))
    elif plan.level == "PATIENT":
        above += patient
    above += plan.conditions["STUDY"]
    if plan.level == "IMAGE" and above:
        of = sa.select(1).select_from(studies).where(studies.c.id == series.c.study, *above)
        above = [sa.exists(of.correlate(series))]
    return above + plan.conditions["SERIES"] + plan.conditions["IMAGE"]


# Counts and facets


def count(db: sa.Connection, query: Query, scope: Scope) -> int:
    """How many entities match."""
    matching: int = db.execute(plan_of(query, scope).select(sa.func.count())).scalar_one()
    return matching


def facets(
    db: sa.Connection, query: Query, scope: Scope, keywords: Sequence[str], most: int = 100
) -> dict[str, list[tuple[str, int]]]:
    """For each keyword (or one of `OWN`): its values among the matching series and how many have each, the most
    frequent first. A facet's own conditions do not limit it."""
    return {keyword: _facet(db, query, scope, keyword, most) for keyword in keywords}


def _facet(db: sa.Connection, query: Query, scope: Scope, keyword: str, most: int) -> list[tuple[str, int]]:
    others = tuple(match for match in query.matches if match.keyword != keyword)
    conditions = plan_of(replace(query, level="SERIES", matches=others), scope).all()
    value: sa.ColumnElement[str]
    joined = JOINED["SERIES"]
    if keyword == "store":
        value, joined = stores.c.name, joined.join(series_stores).join(stores)
        if scope.stores is not None:
            conditions.append(stores.c.id.in_(sorted(scope.stores)))
    elif keyword == "tag":
        value, joined = tags.c.label, joined.join(tags, tags.c.series_uid == series.c.uid)
    elif keyword == "verdict":
        value, joined = results.c.verdict, joined.join(results, results.c.series_uid == series.c.uid)
    else:
        value = columns.text_of(keyword)
    number = sa.func.count()
    rows = db.execute(
        sa.select(value, number)
        .select_from(joined)
        .where(*conditions, sa.func.coalesce(value, "") != "")
        .group_by(value)
        .order_by(number.desc(), value)
        .limit(most)
    )
    return [(text, n) for text, n in rows]
