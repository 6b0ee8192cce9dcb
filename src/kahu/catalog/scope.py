"""What one asker may see. Every reading call of the catalogue takes a `Scope`, from the first commit."""

from dataclasses import dataclass

import sqlalchemy as sa

from kahu.catalog import schema


@dataclass(frozen=True)
class Scope:
    """Plain data, built by `server` from what `access` says of the asker. None means: no limit.

    A series is visible if it lies in one of `stores` (where that is given) and is one of `series` (where
    that is given). Counts, facets, feeds and thumbnails obey it like everything else.
    """

    stores: frozenset[int] | None = None
    """ids of stores"""
    series: frozenset[str] | None = None
    """Series Instance UIDs"""

    @property
    def everything(self) -> bool:
        return self.stores is None and self.series is None

    def clause(self, series: sa.FromClause = schema.series) -> sa.ColumnElement[bool]:
        """The condition on rows of the table `series` (or an alias of it) that this scope sees."""
        conditions: list[sa.ColumnElement[bool]] = []
        if self.series is not None:
            conditions.append(series.c.uid.in_(sorted(self.series)))
        if self.stores is not None:
            holds = schema.series_stores.alias()  # so that no query's own use of the table is meant
            conditions.append(
                sa.exists().where(holds.c.series == series.c.id, holds.c.store.in_(sorted(self.stores)))
            )
        return sa.and_(sa.true(), *conditions)

    def instances_clause(
        self, series: sa.FromClause = schema.series, instances: sa.FromClause = schema.instances
    ) -> sa.ColumnElement[bool]:
        """The condition on rows of `instances` joined with `series`: an instance that lies only in stores out
        of scope is out of scope, even if its series is not."""
        if self.stores is None:
            return self.clause(series)
        at = schema.locations.alias().c
        lies = sa.exists().where(
            at.instance == instances.c.key, at.store.in_(sorted(self.stores)), at.state != "conflict"
        )
        return sa.and_(self.clause(series), lies)


ALL = Scope()
"""Sees everything: the person on loopback, and Kahu itself."""
