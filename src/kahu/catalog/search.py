"""A `Query` -> rows, counts, facets; all within a scope.

Conditions are sorted by the level that they speak of. Those of the levels above the query's are joined; those of
the levels below mean "has one that": a study matches ``Modality=CT`` if one of its series does, and conditions of
the same level must hold for the same entity.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import sqlalchemy as sa

from kahu.catalog import columns, computed
from kahu.catalog.fold import fold, folded
from kahu.catalog.matching import Condition, condition
from kahu.catalog.schema import (
    instances,
    patients,
    results,
    series,
    series_stores,
    stores,
    studies,
    tags,
)
from kahu.catalog.scope import Scope
from kahu.dicom.attributes import LEVEL_OF, Level
from kahu.dicom.query import Match, Query, QueryLevel

_UID = re.compile(r"\d+(\.\d*)+")

MOST = 50_000
"""rows in an answer, however many were asked for"""

OWN = ("store", "tag", "verdict", "source")
"""What can be matched besides attributes: the name of a store, the label of a tag, a result's verdict, and the
Series Instance UID of what a result was made from"""

_LEVELS: dict[QueryLevel, tuple[Level, ...]] = {
    "PATIENT": ("PATIENT",),
    "STUDY": ("PATIENT", "STUDY"),
    "SERIES": ("PATIENT", "STUDY", "SERIES"),
    "IMAGE": ("PATIENT", "STUDY", "SERIES", "IMAGE"),
}
_JOINED: dict[QueryLevel, sa.FromClause] = {
    "PATIENT": patients,
    "STUDY": studies.join(patients),
    "SERIES": series.join(studies).join(patients),
    "IMAGE": instances.join(series).join(studies).join(patients),
}
_ORDER: dict[QueryLevel, tuple[sa.ColumnElement[Any], ...]] = {
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


@dataclass(frozen=True)
class Answer:
    """What a query found."""

    rows: list[dict[str, str]]
    """keyword -> text: the index attributes of the query's level and above that have a value, and what is
    computed: ModalitiesInStudy, SOPClassesInStudy, NumberOf...Related..., InstanceAvailability"""
    more: bool
    """there are more rows than were asked for"""
    ignored: tuple[str, ...]
    """conditions that cannot be answered, because the attribute is not read; they limited nothing"""


def find(db: sa.Connection, query: Query, scope: Scope) -> Answer:
    """The entities of the query's level that match, in a stable order."""
    plan = plan_of(query, scope)
    limit = MOST if query.limit is None else min(query.limit, MOST)
    tables = [columns.TABLES[level] for level in _LEVELS[query.level]]
    chosen = [column.label(f"{table.name}_{column.name}") for table in tables for column in table.c]
    statement = plan.select(*chosen).order_by(*_ORDER[query.level]).limit(limit + 1).offset(query.offset)
    found = db.execute(statement).mappings().all()
    page = [
        {
            table.name: {column.name: row[f"{table.name}_{column.name}"] for column in table.c}
            for table in tables
        }
        for row in found[:limit]
    ]
    rows = [_attributes(query.level, row) for row in page]
    computed.add(db, query, scope, page, rows)
    return Answer(rows, len(found) > limit, plan.ignored)


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
    plan = plan_of(replace(query, level="SERIES", matches=others), scope)
    value: sa.ColumnElement[str]
    joined = _JOINED["SERIES"]
    if keyword == "store":
        value, joined = stores.c.name, joined.join(series_stores).join(stores)
        if scope.stores is not None:
            plan.conditions.append(stores.c.id.in_(sorted(scope.stores)))
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
        .where(*plan.conditions, sa.func.coalesce(value, "") != "")
        .group_by(value)
        .order_by(number.desc(), value)
        .limit(most)
    )
    return [(text, n) for text, n in rows]


# From a query to SQL


@dataclass
class Plan:
    """A query, as SQL."""

    joined: sa.FromClause
    conditions: list[Condition] = field(default_factory=list)
    ignored: tuple[str, ...] = ()

    def select(self, *chosen: sa.ColumnElement[Any]) -> sa.Select[Any]:
        return sa.select(*chosen).select_from(self.joined).where(*self.conditions)


def plan_of(query: Query, scope: Scope) -> Plan:
    """The SQL that a query stands for."""
    by_level: dict[Level, list[Condition]] = defaultdict(list)
    ignored = []
    for match in query.matches:
        match = replace(match, values=tuple(columns.clean(value) for value in match.values))
        level = _level(match)
        if level is None:
            ignored.append(".".join(match.keyword_path))
        else:
            by_level[level].append(_condition(match, scope))
    if query.study:
        by_level["STUDY"].append(studies.c.uid == query.study)
    if query.series:
        by_level["SERIES"].append(series.c.uid == query.series)
    by_level["SERIES"] += [_has_word(word) for word in fold(columns.clean(query.text)).split()]

    by_level["SERIES"].append(scope.clause())
    if query.level == "IMAGE":
        by_level["IMAGE"].append(scope.instances_clause())
    elif by_level["IMAGE"]:
        inner = (instances.c.series == series.c.id, *by_level["IMAGE"], scope.instances_clause())
        by_level["SERIES"].append(
            sa.exists(sa.select(1).select_from(instances).where(*inner).correlate(series))
        )
    if query.level in ("PATIENT", "STUDY"):
        inner = (series.c.study == studies.c.id, *by_level["SERIES"])
        by_level["STUDY"].append(sa.exists(sa.select(1).select_from(series).where(*inner).correlate(studies)))
    if query.level == "PATIENT":
        inner = (studies.c.patient == patients.c.id, *by_level["STUDY"])
        by_level["PATIENT"].append(
            sa.exists(sa.select(1).select_from(studies).where(*inner).correlate(patients))
        )
    conditions = [each for level in _LEVELS[query.level] for each in by_level[level]]
    return Plan(_JOINED[query.level], conditions, tuple(ignored))


def _level(match: Match) -> Level | None:
    """The level that a condition speaks of; None: it cannot be answered."""
    if len(match.keyword_path) > 1:
        return None
    if match.keyword in ("ModalitiesInStudy", "SOPClassesInStudy"):
        return "STUDY"
    if match.keyword in OWN:
        return "SERIES"
    return LEVEL_OF.get(match.keyword)


def _condition(match: Match, scope: Scope) -> Condition:
    if match.keyword in OWN:
        return _own(match, scope)
    if match.keyword in ("ModalitiesInStudy", "SOPClassesInStudy"):
        other = series.alias()
        text = other.c.modality if match.keyword == "ModalitiesInStudy" else other.c.sop_class
        return sa.exists().where(other.c.study == studies.c.id, scope.clause(other), condition(match, text))
    return condition(match)


def _own(match: Match, scope: Scope) -> Condition:
    # Aliases, because a facet may have joined the tables themselves.
    if match.keyword == "store":
        lies, place = series_stores.alias().c, stores.alias().c
        named = (lies.series == series.c.id, lies.store == place.id, place.name.in_(match.values))
        return sa.exists().where(
            *named, sa.true() if scope.stores is None else place.id.in_(sorted(scope.stores))
        )
    if match.keyword == "tag":
        tag = tags.alias().c
        return sa.exists().where(tag.series_uid == series.c.uid, tag.label.in_(match.values))
    result = results.alias().c
    if match.keyword == "verdict":
        said: Condition = result.verdict.in_(match.values)
    else:
        sources = sa.cast(result.sources, sa.Text)
        said = sa.or_(*(sources.contains(f'"{uid}"', autoescape=True) for uid in match.values))
    return sa.exists().where(result.series_uid == series.c.uid, said)


def _has_word(word: str) -> Condition:
    tag = tags.alias().c
    tagged = sa.exists().where(
        tag.series_uid == series.c.uid, folded(tag.label).contains(word, autoescape=True)
    )
    found = [series.c.words.contains(word, autoescape=True), tagged]
    if _UID.fullmatch(word):  # how one begins; its digits within would be found in every other one
        study = sa.select(studies.c.id).where(studies.c.uid.startswith(word, autoescape=True))
        found += [series.c.uid.startswith(word, autoescape=True), series.c.study.in_(study)]
    return sa.or_(*found)


# From SQL to rows


def _attributes(level: QueryLevel, row: dict[str, dict[str, Any]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for each in _LEVELS[level]:
        found |= columns.attributes_of(each, row[columns.TABLES[each].name])
    return found
