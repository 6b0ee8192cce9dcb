"""A `Query` -> conditions in SQL, within a scope.

Conditions are sorted by the level that they speak of. Those of the levels above the query's are joined; those of
the levels below mean "has one that": a study matches ``Modality=CT`` if one of its series does, and conditions of
the same level must hold for the same entity.
"""

import re
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from kahu.catalog import columns
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
from kahu.dicom.attributes import LEVEL_OF, LEVELS, Level
from kahu.dicom.query import Match, Query

_UID = re.compile(r"\d+(\.\d*)+")

OWN = ("store", "tag", "verdict", "source")
"""What can be matched besides attributes: the name of a store, the label of a tag, a result's verdict, and the
Series Instance UID of what a result was made from"""

OF_STUDY = {"ModalitiesInStudy": ("Modality", "modality"), "SOPClassesInStudy": ("SOPClassUID", "sop_class")}
"""computed attributes that can be matched: the attribute of which they are the values, and where series keep it"""

_COUNTED = {
    "Patient": ("Studies", "Series", "Instances"),
    "Study": ("Series", "Instances"),
    "Series": ("Instances",),
}
COMPUTED = frozenset(
    {
        *OF_STUDY,
        *(f"NumberOf{whose}Related{what}" for whose, counted in _COUNTED.items() for what in counted),
        *("InstanceAvailability", "RetrieveURL", "RetrieveAETitle", "QueryRetrieveLevel"),
    }
)
"""attributes of answers that stand in no object"""

JOINED: dict[Level, sa.FromClause] = {
    "PATIENT": patients,
    "STUDY": studies.join(patients),
    "SERIES": series.join(studies).join(patients),
    "IMAGE": instances.join(series).join(studies).join(patients),
}


@dataclass
class Plan:
    """A query, as SQL."""

    level: Level
    conditions: dict[Level, list[Condition]]
    """of the query's level and those above, each on columns of the level's table alone"""
    kept: tuple[Match, ...] = ()
    """conditions on attributes that only the kept headers know"""
    ignored: tuple[str, ...] = ()
    """conditions that cannot be answered at all"""

    def select(self, *chosen: sa.ColumnElement[Any]) -> sa.Select[Any]:
        """From the query's level joined with those above it; what only the headers know limits nothing here."""
        return sa.select(*chosen).select_from(JOINED[self.level]).where(*self.all())

    def all(self) -> list[Condition]:
        return [each for level in LEVELS for each in self.conditions[level]]


def plan_of(query: Query, scope: Scope) -> Plan:
    """The SQL that a query stands for."""
    by_level: dict[Level, list[Condition]] = {level: [] for level in LEVELS}
    kept, ignored = [], []
    for match in query.matches:
        match = replace(match, values=tuple(columns.clean(value) for value in match.values))
        level = _level(match)
        if level is not None:
            by_level[level].append(_condition(match, scope))
        elif match.keyword_path[0] in COMPUTED:
            ignored.append(".".join(match.keyword_path))
        else:
            kept.append(match)
    if query.study:
        by_level["STUDY"].append(studies.c.uid == query.study)
    if query.series:
        by_level["SERIES"].append(series.c.uid == query.series)
    by_level["SERIES"] += [_has_word(word) for word in fold(columns.clean(query.text)).split()]
    if not scope.everything:
        by_level["SERIES"].append(scope.clause())
        if by_level["IMAGE"] or query.level == "IMAGE":
            by_level["IMAGE"].append(scope.instances_clause())
    for at in range(len(LEVELS) - 1, LEVELS.index(query.level), -1):
        _say_of_parent(by_level, LEVELS[at - 1], LEVELS[at])
    return Plan(query.level, by_level, tuple(kept), tuple(ignored))


_PARENT: dict[Level, tuple[sa.Column[int], sa.Column[int]]] = {
    "STUDY": (studies.c.patient, patients.c.id),
    "SERIES": (series.c.study, studies.c.id),
    "IMAGE": (instances.c.series, series.c.id),
}


def _say_of_parent(by_level: dict[Level, list[Condition]], level: Level, below: Level) -> None:
    """Turns the conditions of a level into one of the level above: it has one that meets them all."""
    if not by_level[below]:
        return
    child, parent = _PARENT[below]
    inner = sa.select(1).select_from(child.table).where(child == parent, *by_level[below])
    by_level[level].append(sa.exists(inner.correlate(parent.table)))
    by_level[below] = []


def _level(match: Match) -> Level | None:
    """The level that a condition speaks of; None: it is not of the index."""
    if len(match.keyword_path) > 1:
        return None
    if match.keyword in OF_STUDY:
        return "STUDY"
    if match.keyword in OWN:
        return "SERIES"
    return LEVEL_OF.get(match.keyword)


# Another series of the same study. An alias is dear to make.
_OTHER = series.alias("other")


def _condition(match: Match, scope: Scope) -> Condition:
    if match.keyword in OWN:
        return _own(match, scope)
    if match.keyword in OF_STUDY:
        of_series, column = OF_STUDY[match.keyword]
        said = condition(replace(match, keyword_path=(of_series,)), _OTHER.c[column])
        return sa.exists().where(_OTHER.c.study == studies.c.id, said, *_within(scope, _OTHER))
    return condition(match)


def _within(scope: Scope, table: sa.FromClause) -> list[Condition]:
    return [] if scope.everything else [scope.clause(table)]


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
