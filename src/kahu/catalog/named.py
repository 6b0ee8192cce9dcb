"""Conditions on a study, series or instance that is named, as parameters: the statement that they stand in is put
together once, which takes ten times as long as to ask it."""

from typing import Any

import sqlalchemy as sa

from kahu.catalog import schema
from kahu.catalog.scope import Scope

Names = tuple[str, ...]
"""of the parameters that a statement has: `study`, `series`, `instance`"""

_COLUMNS = {"study": schema.studies.c.uid, "series": schema.series.c.uid, "instance": schema.instances.c.key}


def parameters(study: str = "", series: str = "", instance: str = "") -> dict[str, Any]:
    """The parameters of what is named; an empty UID: any."""
    given = {
        "study": study,
        "series": series,
        "instance": schema.instance_key(instance) if instance else b"",
    }
    return {name: value for name, value in given.items() if value}


def conditions(scope: Scope, names: Names) -> list[sa.ColumnElement[bool]]:
    """The conditions on rows of `HIERARCHY` for what is named and in scope."""
    return [scope.instances_clause(), *(_COLUMNS[name] == sa.bindparam(name) for name in names)]
