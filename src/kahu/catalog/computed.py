"""What an answer says of an entity that no object says: how much belongs to it, and whether it can be had now."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from kahu.catalog.schema import instances, locations, patients, series, stores, studies
from kahu.catalog.scope import Scope
from kahu.dicom.query import ALL, Query

PageRow = Mapping[str, Mapping[str, Any]]
"""columns of a row, by table and name"""

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
    db: sa.Connection,
    query: Query,
    scope: Scope,
    page: Sequence[PageRow],
    rows: Sequence[dict[str, str]],
) -> None:
    """Adds to each row what is computed at the query's level."""
    if query.level == "PATIENT":
        _add_to_patients(db, scope, page, rows)
    elif query.level == "STUDY":
        _add_to_studies(db, scope, page, rows)
        if query.include == (ALL,) or set(_PATIENT) & set(query.include):
            _add_to_patients(db, scope, page, rows)
    elif query.level == "SERIES":
        _add_to_series(db, scope, page, rows)
    else:
        there = available_instances(db, scope, [row["instances"]["key"] for row in page])
        for each, row in zip(page, rows, strict=True):
            row["InstanceAvailability"] = _availability(each["instances"]["key"] in there)


def _availability(there: bool) -> str:
    return "ONLINE" if there else "UNAVAILABLE"


def _add_to_series(
    db: sa.Connection, scope: Scope, page: Sequence[PageRow], rows: Sequence[dict[str, str]]
) -> None:
    extents = extent(db, scope, [row["series"] for row in page])
    there = available(db, scope, extents)
    for each, row in zip(page, rows, strict=True):
        identity = each["series"]["id"]
        row["NumberOfSeriesRelatedInstances"] = str(extents[identity].instances)
        row["InstanceAvailability"] = _availability(identity in there)


def _add_to_studies(
    db: sa.Connection, scope: Scope, page: Sequence[PageRow], rows: Sequence[dict[str, str]]
) -> None:
    held = _series_of(db, scope, series.c.study, [row["studies"]["id"] for row in page])
    extents = extent(db, scope, [one for some in held.values() for one in some])
    there = available(db, scope, extents)
    for each, row in zip(page, rows, strict=True):
        own = held[each["studies"]["id"]]
        row["ModalitiesInStudy"] = "\\".join(sorted({one["modality"] for one in own} - {""}))
        row["SOPClassesInStudy"] = "\\".join(sorted({one["sop_class"] for one in own}))
        row["NumberOfStudyRelatedSeries"] = str(len(own))
        row["NumberOfStudyRelatedInstances"] = str(sum(extents[one["id"]].instances for one in own))
        row["InstanceAvailability"] = _availability(any(one["id"] in there for one in own))


def _add_to_patients(
    db: sa.Connection, scope: Scope, page: Sequence[PageRow], rows: Sequence[dict[str, str]]
) -> None:
    held = _series_of(db, scope, studies.c.patient, [row["patients"]["id"] for row in page])
    extents = extent(db, scope, [one for some in held.values() for one in some])
    for each, row in zip(page, rows, strict=True):
        own = held[each["patients"]["id"]]
        numbers = (
            len({one["study"] for one in own}),
            len(own),
            sum(extents[one["id"]].instances for one in own),
        )
        row.update(zip(_PATIENT, map(str, numbers), strict=True))


def _series_of(
    db: sa.Connection, scope: Scope, parent: sa.ColumnElement[int], ids: Collection[int]
) -> dict[int, list[Mapping[str, Any]]]:
    """The series in scope below each of these studies or patients."""
    rows = db.execute(
        sa.select(
            parent.label("parent"),
            *(
                series.c[name]
                for name in ("id", "study", "modality", "sop_class", "instances", "frames", "bytes")
            ),
        )
        .select_from(series.join(studies).join(patients))
        .where(parent.in_(set(ids)), scope.clause())
    ).mappings()
    found: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        found[row["parent"]].append(dict(row))
    return found


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
    # One exists within the other, so that the way from a series to its locations leads over its instances.
    lies = sa.exists().where(locations.c.instance == instances.c.key, can_be_had(scope))
    something = sa.exists().where(instances.c.series == series.c.id, lies)
    return set(db.scalars(sa.select(series.c.id).where(series.c.id.in_(list(ids)), something)))


def available_instances(db: sa.Connection, scope: Scope, keys: Collection[bytes]) -> set[bytes]:
    """Those of these instances that can be had now."""
    there = sa.select(locations.c.instance).where(locations.c.instance.in_(list(keys)), can_be_had(scope))
    return set(db.scalars(there))


def can_be_had(scope: Scope) -> sa.ColumnElement[bool]:
    """The condition on rows of `locations` for bytes that can be had now."""
    stores_open = sa.select(stores.c.id).where(stores.c.state != "gone")
    if scope.stores is not None:
        stores_open = stores_open.where(stores.c.id.in_(sorted(scope.stores)))
    return sa.and_(locations.c.state == "ok", locations.c.store.in_(stores_open))
