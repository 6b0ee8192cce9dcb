"""What an answer says of an entity that no object says: how much belongs to it, and whether it can be had now."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import sqlalchemy as sa

from kahu.catalog import plain
from kahu.catalog.pages import AT_ONCE
from kahu.catalog.schema import instances, locations, series, stores
from kahu.catalog.scope import Scope
from kahu.dicom.query import ALL, Query

_PATIENT = (
    "NumberOfPatientRelatedStudies",
    "NumberOfPatientRelatedSeries",
    "NumberOfPatientRelatedInstances",
)


@dataclass(frozen=True)
class Extent:
    """How much of a series is in scope."""

    instances: int = 0
    frames: int = 0
    bytes: int = 0


def add(
    db: sa.Connection, query: Query, scope: Scope, ids: Sequence[Any], rows: Sequence[dict[str, str]]
) -> None:
    """Adds to each row what is computed at the query's level; `ids` are those of the rows."""
    for start in range(0, len(ids), AT_ONCE):
        some = list(ids[start : start + AT_ONCE])
        own = rows[start : start + AT_ONCE]
        if query.level == "IMAGE":
            there = available_instances(db, scope, some)
            for key, row in zip(some, own, strict=True):
                row["InstanceAvailability"] = _availability(key in there)
        elif query.level == "SERIES":
            _add_to_series(db, scope, some, own)
        else:
            if query.level == "STUDY":
                _add_to_studies(db, scope, some, own)
            if query.level == "PATIENT" or query.include == (ALL,) or set(_PATIENT) & set(query.include):
                _add_to_patients(db, query, scope, some, own)


def _availability(there: bool) -> str:
    return "ONLINE" if there else "UNAVAILABLE"


class _Series(NamedTuple):
    """A series in scope, below one of the entities of an answer."""

    parent: Any
    id: int
    study: int
    modality: str
    sop_class: str
    instances: int


def _below(db: sa.Connection, scope: Scope, parent: str, ids: list[Any]) -> dict[Any, list[_Series]]:
    """The series in scope of each of these entities: `parent` is the column of their ids."""
    joined = "series" if parent.startswith("series.") else "series JOIN studies ON studies.id = series.study"
    sql = (
        f"SELECT {parent}, series.id, series.study, series.modality, series.sop_class, series.instances "  # noqa: S608
        f"FROM {joined} WHERE {parent} IN ?"
    )
    found = [_Series._make(row) for row in plain.execute(db, sql, ids).all()]
    if not scope.everything:
        seen = _instances_in_scope(db, scope, [each.id for each in found])
        found = [each._replace(instances=seen[each.id]) for each in found if each.id in seen]
    by_parent: dict[Any, list[_Series]] = defaultdict(list)
    for each in found:
        by_parent[each.parent].append(each)
    return by_parent


def _instances_in_scope(db: sa.Connection, scope: Scope, ids: Sequence[int]) -> dict[int, int]:
    """How many instances of each of these series are in scope; series that are not in scope are left out."""
    seen = db.execute(
        sa.select(series.c.id, sa.func.count())
        .select_from(instances.join(series))
        .where(series.c.id.in_(ids), scope.instances_clause())
        .group_by(series.c.id)
    )
    return dict(map(tuple, seen))


def _add_to_series(db: sa.Connection, scope: Scope, ids: list[Any], rows: Sequence[dict[str, str]]) -> None:
    held = _below(db, scope, "series.id", ids)
    there = available(db, scope, ids)
    for id_, row in zip(ids, rows, strict=True):
        row["NumberOfSeriesRelatedInstances"] = str(sum(one.instances for one in held[id_]))
        row["InstanceAvailability"] = _availability(id_ in there)


def _add_to_studies(db: sa.Connection, scope: Scope, ids: list[Any], rows: Sequence[dict[str, str]]) -> None:
    held = _below(db, scope, "series.study", ids)
    there = available(db, scope, [own[0].id for own in held.values()])
    there |= available(db, scope, [one.id for own in held.values() if own[0].id not in there for one in own])
    for id_, row in zip(ids, rows, strict=True):
        own = held[id_]
        row["ModalitiesInStudy"] = "\\".join(sorted({one.modality for one in own} - {""}))
        row["SOPClassesInStudy"] = "\\".join(sorted({one.sop_class for one in own}))
        row["NumberOfStudyRelatedSeries"] = str(len(own))
        row["NumberOfStudyRelatedInstances"] = str(sum(one.instances for one in own))
        row["InstanceAvailability"] = _availability(any(one.id in there for one in own))


def _add_to_patients(
    db: sa.Connection, query: Query, scope: Scope, ids: list[Any], rows: Sequence[dict[str, str]]
) -> None:
    sql = "SELECT id, patient FROM studies WHERE id IN ?"
    patients_of = dict(zip(ids, ids, strict=True))
    if query.level == "STUDY":
        patients_of = dict(map(tuple, plain.execute(db, sql, ids)))
    held = _below(db, scope, "studies.patient", sorted(set(patients_of.values())))
    for id_, row in zip(ids, rows, strict=True):
        own = held[patients_of[id_]]
        numbers = (len({one.study for one in own}), len(own), sum(one.instances for one in own))
        row.update(zip(_PATIENT, map(str, numbers), strict=True))


def extent(db: sa.Connection, scope: Scope, rows: Sequence[Mapping[str, Any]]) -> dict[int, Extent]:
    """How much of each series is in scope, by its id; `rows` are theirs."""
    if scope.stores is None:
        return {row["id"]: Extent(row["instances"], row["frames"], row["bytes"]) for row in rows}
    size = (
        sa.select(sa.func.min(locations.c.size))
        .where(locations.c.instance == instances.c.key, locations.c.store.in_(sorted(scope.stores)))
        .scalar_subquery()
    )
    found = db.execute(
        sa.select(
            series.c.id,
            sa.func.count(),
            sa.func.sum(instances.c.frames),
            sa.func.coalesce(sa.func.sum(size), 0),
        )
        .select_from(instances.join(series))
        .where(series.c.id.in_([row["id"] for row in rows]), scope.instances_clause())
        .group_by(series.c.id)
    )
    seen = {identity: Extent(count, int(frames), int(size)) for identity, count, frames, size in found}
    return {row["id"]: seen.get(row["id"], Extent()) for row in rows}


def available(db: sa.Connection, scope: Scope, ids: Collection[int]) -> set[int]:
    """Those of these series of which something can be had now."""
    # The way from a series to its locations leads over its instances: no planner may think otherwise.
    sql = (
        "SELECT id FROM series WHERE id IN ? AND EXISTS (SELECT 1 FROM instances CROSS JOIN locations "
        "WHERE instances.series = series.id AND locations.instance = instances.key "
        "AND locations.state = 'ok' AND locations.store IN ?)"
    )
    there = _open_stores(db, scope)
    return set(plain.execute(db, sql, list(ids), there).scalars()) if ids and there else set()


def _open_stores(db: sa.Connection, scope: Scope) -> list[int]:
    """Those in scope from which something can be had now."""
    found = plain.execute(db, "SELECT id FROM stores WHERE state <> 'gone'").scalars()
    return [id_ for id_ in found if scope.stores is None or id_ in scope.stores]


def available_instances(db: sa.Connection, scope: Scope, keys: Collection[bytes]) -> set[bytes]:
    """Those of these instances that can be had now."""
    sql = "SELECT instance FROM locations WHERE instance IN ? AND state = 'ok' AND store IN ?"
    there = _open_stores(db, scope)
    return set(plain.execute(db, sql, list(keys), there).scalars()) if keys and there else set()


def can_be_had(scope: Scope) -> sa.ColumnElement[bool]:
    """The condition on rows of `locations` for bytes that can be had now."""
    stores_open = sa.select(stores.c.id).where(stores.c.state != "gone")
    if scope.stores is not None:
        stores_open = stores_open.where(stores.c.id.in_(sorted(scope.stores)))
    return sa.and_(locations.c.state == "ok", locations.c.store.in_(stores_open))
