"""Series of the catalogue -> cases, as they are now."""

import hashlib
from collections.abc import Sequence

import sqlalchemy as sa

from kahu.catalog import schema
from kahu.catalog.scope import Scope
from kahu.errors import NotFound
from kahu.runs.plan import Case


def freeze(db: sa.Connection, series: Sequence[str], scope: Scope) -> list[Case]:
    """The cases of these series, in the order given. NotFound: one is not known, or not to be seen."""
    return [_freeze(db, uid, scope) for uid in series]


def _freeze(db: sa.Connection, uid: str, scope: Scope) -> Case:
    of, study = schema.series, schema.studies
    row = db.execute(
        sa.select(of, study.c.uid.label("study_uid"))
        .join(study, study.c.id == of.c.study)
        .where(of.c.uid == uid, scope.clause())
    ).one_or_none()
    if row is None:
        raise NotFound(f"there is no series {uid}", "it may have been removed; look at the list again")
    return Case(
        series=uid,
        study=row.study_uid,
        fingerprint=_fingerprint(db, row.id),
        modality=row.modality,
        number=row.number,
        instances=row.instances,
        slices=row.frames,
    )


def _fingerprint(db: sa.Connection, series: int) -> str:
    """A hash over the instances and what identifies the bytes of each: size and stamp of the first location
    that is there (DESIGN.md, Settled 11)."""
    instance, location = schema.instances, schema.locations
    rows = db.execute(
        sa.select(instance.c.uid, location.c.size, location.c.stamp)
        .join(location, sa.and_(location.c.instance == instance.c.key, location.c.state == "ok"))
        .where(instance.c.series == series)
        .order_by(instance.c.uid, location.c.id.desc())
    )
    first = {row.uid: f"{row.uid} {row.size} {row.stamp}" for row in rows}
    return hashlib.sha256("\n".join(first.values()).encode()).hexdigest()
