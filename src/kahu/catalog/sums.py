"""The sums that series carry: instances, frames, bytes."""

import time
from collections.abc import Collection

import sqlalchemy as sa

from kahu.catalog.schema import instances, locations, series


def recount(db: sa.Connection, series_ids: Collection[int]) -> None:
    """Sums up series anew, where adding and taking away would not do. An instance's size is that of its
    first location."""
    if not series_ids:
        return
    first = (
        sa.select(sa.func.min(locations.c.id))
        .join(instances, instances.c.key == locations.c.instance)
        .where(instances.c.series == series.c.id, locations.c.state != "conflict")
        .group_by(locations.c.instance)
        .correlate(series)
    )
    in_series = instances.c.series == series.c.id
    db.execute(
        sa.update(series)
        .where(series.c.id.in_(list(series_ids)))
        .values(
            instances=sa.select(sa.func.count()).select_from(instances).where(in_series).scalar_subquery(),
            frames=sa.select(sa.func.coalesce(sa.func.sum(instances.c.frames), 0))
            .where(in_series)
            .scalar_subquery(),
            bytes=sa.select(sa.func.coalesce(sa.func.sum(locations.c.size), 0))
            .where(locations.c.id.in_(first))
            .scalar_subquery(),
            revision=series.c.revision + 1,
            changed=time.time(),
        )
    )
