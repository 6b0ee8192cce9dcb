"""What only the kept headers know: conditions on attributes that are not of the index, and their values."""

import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import sqlalchemy as sa
import zstandard

from kahu.catalog import plain
from kahu.catalog.hierarchy import omitted
from kahu.catalog.plan import COMPUTED, plan_of
from kahu.catalog.schema import instances, patients, series, studies
from kahu.catalog.scope import Scope
from kahu.dicom import json_model
from kahu.dicom.attributes import LEVEL_OF, LEVELS, Level
from kahu.dicom.holds import holds, tag_name
from kahu.dicom.levels import level_of, of_levels
from kahu.dicom.match import Match
from kahu.dicom.query import ALL, Query

SECONDS = 5.0
"""how long headers are read for one answer"""

_ENTITIES = 100
_HEADERS = 200
"""how many are asked for at once"""

_KEY: dict[Level, sa.Column[Any]] = {
    "PATIENT": patients.c.id,
    "STUDY": studies.c.id,
    "SERIES": series.c.id,
    "IMAGE": instances.c.key,
}

Attributes = dict[str, Any]


def matching(
    db: sa.Connection,
    query: Query,
    scope: Scope,
    matches: Sequence[Match],
    order: sa.Select[Any],
    wanted: int,
) -> tuple[list[Any], bool]:
    """Up to `wanted` of the ids that `order` gives, of entities whose headers meet `matches`; and whether all
    were looked at that had to be.

    Conditions on attributes of a lower level are met if they are met there by one entity that meets all. One
    header speaks for a whole series, study or patient, where all conditions are on attributes of such.
    """
    deepest = max([query.level, *(level_of(match.keyword_path[0]) for match in matches)], key=LEVELS.index)
    tags = [int(tag_name(match.keyword_path[0]), 16) for match in matches]
    until = time.monotonic() + SECONDS
    found: list[Any] = []
    for ids in db.scalars(order).partitions(_ENTITIES):
        meeting: set[Any] = set()
        keys = _headers_below(db, query, scope, ids, deepest)
        for start in range(0, len(keys), _HEADERS):
            if time.monotonic() > until:
                return found + [one for one in ids if one in meeting], False
            some = {key: one for one, key in keys[start : start + _HEADERS] if one not in meeting}
            for key, attributes in _read(db, some, tags):
                if some[key] not in meeting and holds(matches, attributes):
                    meeting.add(some[key])
        found += [one for one in ids if one in meeting]
        if len(found) >= wanted:
            break
    return found[:wanted], True


def included(db: sa.Connection, query: Query, scope: Scope, ids: Sequence[Any]) -> tuple[Attributes, ...]:
    """The attributes that are to be included and not of the index, for each of these entities of the query's
    level: from the header of one of its objects. Nothing, if there are none to include."""
    paths = _paths(query)
    if not paths and not (query.include == (ALL,) and query.level == "IMAGE"):
        return ()
    tags = [int(tag, 16) for tag in paths] or None
    found: dict[Any, Attributes] = {}
    for start in range(0, len(ids), _HEADERS):
        keys = _headers_below(db, Query(query.level), scope, ids[start : start + _HEADERS], query.level)
        entities = {key: one for one, key in keys}
        for key, attributes in _read(db, entities, tags):
            found[entities[key]] = _pruned(attributes, paths) if paths else attributes
    return tuple(found.get(one, {}) for one in ids)


_Paths = dict[str, "_Paths"]
"""tag -> what of its items is wanted; empty: all"""


def _paths(query: Query) -> _Paths:
    """The attributes that have to be taken from headers. At the level of instances, all are no paths."""
    if query.include == (ALL,):
        levels = LEVELS[: LEVELS.index(query.level) + 1]
        names = [] if query.level == "IMAGE" else sorted(of_levels(*levels) - LEVEL_OF.keys())
    else:
        names = [name for name in query.include if name not in LEVEL_OF and name not in COMPUTED]
    paths: _Paths = {}
    whole = {name for name in names if "." not in name}
    for name in names:
        at = paths
        for n, step in enumerate(steps := name.split(".")):
            if n and ".".join(steps[:n]) in whole:
                break
            at = at.setdefault(tag_name(step), {})
    return paths


def _pruned(attributes: Attributes, paths: _Paths) -> Attributes:
    kept = {}
    for tag, inner in paths.items():
        attribute = attributes.get(tag)
        if attribute and inner and "Value" in attribute:
            items = [_pruned(item or {}, inner) for item in attribute["Value"]]
            attribute = {"vr": attribute["vr"], "Value": items}
        if attribute:
            kept[tag] = attribute
    return kept


# Headers


def _headers_below(
    db: sa.Connection, query: Query, scope: Scope, ids: Sequence[Any], level: Level
) -> list[tuple[Any, bytes]]:
    """For entities of the query's level, those of a level below (or their own) that meet the query's indexed
    conditions: for each, the entity's id and the key of an instance."""
    if level == "IMAGE" == query.level:
        return [(key, key) for key in ids]
    plan = plan_of(replace(query, level=level), scope)
    statement = plan.select(_KEY[query.level], _an_instance(level, scope))
    found = db.execute(statement.where(_KEY[query.level].in_(ids)).order_by(_KEY[level]))
    return [(one, key) for one, key in found if key is not None]


# Aliases are dear to make.
_MINE, _OWN, _OF = instances.alias("mine"), series.alias("own"), studies.alias("of_patient")


def _an_instance(level: Level, scope: Scope) -> sa.ColumnElement[bytes]:
    """The key of one visible instance of an entity."""
    if level == "IMAGE":
        return instances.c.key
    mine, own, of = _MINE, _OWN, _OF
    of_patient = sa.select(of.c.id).where(of.c.patient == patients.c.id).correlate(patients)
    among = {
        "SERIES": own.c.id == series.c.id,
        "STUDY": own.c.study == studies.c.id,
        "PATIENT": own.c.study.in_(of_patient),
    }
    one = sa.select(mine.c.key).select_from(own.join(mine, mine.c.series == own.c.id)).where(among[level])
    if not scope.everything:
        one = one.where(scope.instances_clause(own, mine))
    return one.order_by(own.c.id).limit(1).correlate(_KEY[level].table).scalar_subquery()


def _read(
    db: sa.Connection, keys: Collection[bytes], tags: Collection[int] | None
) -> Iterator[tuple[bytes, Attributes]]:
    """Of each of these instances, the attributes of these tags (None: all), from its header."""
    if not keys:
        return
    unpack = zstandard.ZstdDecompressor().decompress
    sql = "SELECT key, raw, implicit, omitted FROM headers WHERE key IN ?"
    for key, raw, implicit, left_out in plain.execute(db, sql, list(keys)):
        kept = msgspec.json.decode(left_out) if isinstance(left_out, str) else left_out
        yield key, json_model.attributes(unpack(raw), bool(implicit), omitted(kept, None), tags)
