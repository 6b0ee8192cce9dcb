"""Instances with their series and studies: what is named and in scope, in which order, and what their headers hold."""

from collections.abc import Sequence

import sqlalchemy as sa

from kahu.catalog import schema
from kahu.catalog.scope import Scope
from kahu.dicom.header import Omitted

HIERARCHY = schema.instances.join(schema.series, schema.series.c.id == schema.instances.c.series).join(
    schema.studies, schema.studies.c.id == schema.series.c.study
)
ORDER = (
    schema.series.c.number.nulls_last(),
    schema.series.c.id,
    schema.instances.c.number.nulls_last(),
    schema.instances.c.uid,
)
"""series in the order of their numbers, and instances in that of theirs"""


def within(scope: Scope, study: str, series: str, instance: str) -> sa.ColumnElement[bool]:
    """The condition on rows of `HIERARCHY` for what is named (an empty UID: any) and in scope."""
    conditions = [scope.instances_clause()]
    if study:
        conditions.append(schema.studies.c.uid == study)
    if series:
        conditions.append(schema.series.c.uid == series)
    if instance:
        conditions.append(schema.instances.c.key == schema.instance_key(instance))
    return sa.and_(*conditions)


def omitted(kept: Sequence[Sequence[int]], dataset_offset: int | None) -> tuple[Omitted, ...]:
    """Values that are not in a kept header. `dataset_offset`: where the data set begins in the file that they
    are wanted from; None: in none."""
    return tuple(
        Omitted(at, -1 if dataset_offset is None or offset < 0 else offset + dataset_offset, length)
        for at, offset, length in kept
    )
