"""Series of the catalogue -> cases, as they are now."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from kahu.catalog import schema
from kahu.catalog.scope import Scope
from kahu.errors import NotFound
from kahu.runs.plan import Case

_AT_ONCE = 200  # series that one question asks for


def freeze(db: sa.Connection, series: Sequence[str], scope: Scope) -> list[Case]:
    """The cases of these series, in the order given. NotFound: one is not known, or not to be seen."""
    cases: list[Case] = []
    for at in range(0, len(series), _AT_ONCE):
        cases += _freeze(db, series[at : at + _AT_ONCE], scope)
    return cases


def _freeze(db: sa.Connection, uids: Sequence[str], scope: Scope) -> list[Case]:
    of, study = schema.series, schema.studies
    rows = db.execute(
        sa.select(of, study.c.uid.label("study_uid"))
        .join(study, study.c.id == of.c.study)
        .where(of.c.uid.in_(uids), scope.clause())
    )
    known = {row.uid: row for row in rows}
    for uid in uids:
        if uid not in known:
            raise NotFound(f"there is no series {uid}", "it may have been removed; look at the list again")
    fingerprints = _fingerprints(db, [row.id for row in known.values()])
    return [_case(known[uid], fingerprints[known[uid].id]) for uid in uids]


def _case(row: sa.Row[Any], fingerprint: str) -> Case:
    return Case(
        series=row.uid,
        study=row.study_uid,
        fingerprint=fingerprint,
        modality=row.modality,
        number=row.number,
        instances=row.instances,
        slices=row.frames,
    )


def _fingerprints(db: sa.Connection, series: Sequence[int]) -> dict[int, str]:
    """For each series a hash over its instances and what identifies the bytes of each: size and stamp of the
    first location that is there (DESIGN.md, Settled 11)."""
    instance, location = schema.instances, schema.locations
    rows = db.execute(
        sa.select(instance.c.series, instance.c.uid, location.c.size, location.c.stamp)
        .join(location, sa.and_(location.c.instance == instance.c.key, location.c.state == "ok"))
        .where(instance.c.series.in_(series))
        .order_by(instance.c.uid, location.c.id.desc())
    )
    first: dict[int, dict[str, str]] = defaultdict(dict)
    for row in rows:
        first[row.series][row.uid] = f"{row.uid} {row.size} {row.stamp}"
    return {one: hashlib.sha256("\n".join(first[one].values()).encode()).hexdigest() for one in series}
