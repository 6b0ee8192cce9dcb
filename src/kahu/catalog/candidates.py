"""What an index says of a query at once: few entities that alone can match, or that there are many.

Where they are few, they are tried one by one; where all conditions that have an index are met by many, the
catalogue is walked in the order of the answer until enough are found.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import sqlalchemy as sa

from kahu.catalog import trigrams
from kahu.catalog.fold import fold
from kahu.catalog.matching import Condition, is_like
from kahu.catalog.schema import instance_key, instances, patients, series, studies
from kahu.catalog.scope import Scope
from kahu.dicom.attributes import Level
from kahu.dicom.query import Match, Query

FEW = 1000
"""ids that are tried one by one"""
_VERY_FEW = 25
"""ids that are so few that a second index is not asked"""

_KEY: dict[Level, sa.Column[Any]] = {
    "PATIENT": patients.c.id,
    "STUDY": studies.c.id,
    "SERIES": series.c.id,
    "IMAGE": instances.c.key,
}
# What ids are looked for, given the level of the query and that of the condition: a column of the query's own
# tables, and a way to it from the condition's.
_IDS: dict[tuple[Level, Level], tuple[sa.Column[Any], sa.Column[Any], sa.FromClause]] = {
    ("PATIENT", "PATIENT"): (patients.c.id, patients.c.id, patients),
    ("PATIENT", "STUDY"): (patients.c.id, studies.c.patient, studies),
    ("PATIENT", "SERIES"): (patients.c.id, studies.c.patient, series.join(studies)),
    ("STUDY", "PATIENT"): (studies.c.id, studies.c.id, patients.join(studies)),
    ("STUDY", "STUDY"): (studies.c.id, studies.c.id, studies),
    ("STUDY", "SERIES"): (studies.c.id, series.c.study, series),
    ("STUDY", "IMAGE"): (studies.c.id, series.c.study, instances.join(series)),
    ("SERIES", "PATIENT"): (series.c.study, studies.c.id, patients.join(studies)),
    ("SERIES", "STUDY"): (series.c.study, studies.c.id, studies),
    ("SERIES", "SERIES"): (series.c.id, series.c.id, series),
    ("SERIES", "IMAGE"): (series.c.id, instances.c.series, instances),
    ("IMAGE", "PATIENT"): (series.c.study, studies.c.id, patients.join(studies)),
    ("IMAGE", "STUDY"): (series.c.study, studies.c.id, studies),
    ("IMAGE", "SERIES"): (instances.c.series, series.c.id, series),
    ("IMAGE", "IMAGE"): (instances.c.key, instances.c.key, instances),
}


def narrowed(db: sa.Connection, query: Query, scope: Scope) -> Condition | None:
    """A condition on the tables of the query's level that few entities meet, among them all that match.

    None: no index knows of one.
    """
    best: tuple[sa.Column[Any], set[Any]] | None = None
    for level, condition in _indexed(db, query, scope):
        if (query.level, level) not in _IDS:
            continue
        column, ids, tables = _IDS[query.level, level]
        if db.execute(
            sa.select(1).select_from(_KEY[level].table).where(condition).limit(1).offset(FEW)
        ).first():
            continue
        found = set(db.scalars(sa.select(ids).select_from(tables).where(condition)))
        if best is None or len(found) < len(best[1]):
            best = column, found
        if len(found) <= _VERY_FEW:
            break
    return best and best[0].in_(best[1])


def _indexed(db: sa.Connection, query: Query, scope: Scope) -> Iterator[tuple[Level, Condition]]:
    """The conditions of a query, as far as an index helps; the most telling first."""
    if query.series:
        yield "SERIES", series.c.uid == query.series
    if query.study:
        yield "STUDY", studies.c.uid == query.study
    if scope.series is not None and len(scope.series) <= FEW:
        yield "SERIES", series.c.uid.in_(scope.series)
    by_keyword = {match.keyword: match for match in query.matches if len(match.keyword_path) == 1}
    for keyword, (level, indexed) in _INDEXED.items():
        if keyword in by_keyword:
            condition = indexed(db, by_keyword[keyword])
            if condition is not None:
                yield level, condition


Indexed = Callable[[sa.Connection, Match], Condition | None]
"""What an index can say of a condition; None: nothing"""


def _values(column: sa.Column[str]) -> Indexed:
    return lambda _db, match: column.in_(match.values) if match.kind in ("exact", "list") else None


def _instances(_db: sa.Connection, match: Match) -> Condition | None:
    if match.kind not in ("exact", "list"):
        return None
    return instances.c.key.in_([instance_key(uid) for uid in match.values])


def _text(column: sa.Column[str], sorted_: bool = True) -> Indexed:
    """`sorted_`: the column has an index of its own."""

    def indexed(db: sa.Connection, match: Match) -> Condition | None:
        if match.kind in ("exact", "list") and sorted_:
            return column.in_(match.values)
        if match.kind not in ("exact", "list", "wildcard"):
            return None
        if sorted_ and all(_prefix(value) for value in match.values):
            return sa.or_(*(_begins(column, _prefix(value)) for value in match.values))
        return _holds(db, column, match.values)

    return indexed


def _name(db: sa.Connection, match: Match) -> Condition | None:
    column, values = patients.c.folded, [fold(value) for value in match.values]
    if match.kind == "text":
        return _holds(db, column, ["*".join(values)])
    if match.kind not in ("exact", "list", "wildcard"):
        return None
    if not all(_prefix(value) for value in values):
        return _holds(db, column, values)
    groups = _holds(db, column, [f"={_prefix(value)}" for value in values])  # further component groups
    if groups is None:
        return None
    first = (_begins(column, _prefix(value)) for value in values if _prefix(value) != value)
    whole = [value for value in values if _prefix(value) == value]
    with_groups = (_begins(column, f"{value}=") for value in whole)
    return sa.or_(column.in_(whole), *first, *with_groups, groups)


def _dates(_db: sa.Connection, match: Match) -> Condition | None:
    if match.kind in ("exact", "list"):
        return studies.c.date.in_(match.values)
    if match.kind != "range" or len(match.values) != 2:
        return None
    first, last = match.values
    above = studies.c.date >= (first or "0")
    return sa.and_(above, studies.c.date <= last) if last else above


def _holds(db: sa.Connection, column: sa.Column[str], patterns: Iterable[str]) -> Condition | None:
    if db.dialect.name != "sqlite":
        return sa.or_(*(is_like(column, f"*{pattern}*") for pattern in patterns))
    found = trigrams.candidates(column, patterns, FEW + 1)
    return None if found is None else _KEY["PATIENT" if column.table is patients else "STUDY"].in_(found)


def _prefix(pattern: str) -> str:
    return re.split(r"[*?]", pattern, maxsplit=1)[0]


def _begins(column: sa.Column[str], prefix: str) -> Condition:
    """In the order of code points, which text has on both databases."""
    last = ord(prefix[-1])
    if last >= 0x10FFFF:
        return column >= prefix
    following = chr(0xE000 if last == 0xD7FF else last + 1)
    return sa.and_(column >= prefix, column < prefix[:-1] + following)


_INDEXED: dict[str, tuple[Level, Indexed]] = {
    "SOPInstanceUID": ("IMAGE", _instances),
    "SeriesInstanceUID": ("SERIES", _values(series.c.uid)),
    "StudyInstanceUID": ("STUDY", _values(studies.c.uid)),
    "AccessionNumber": ("STUDY", _text(studies.c.accession)),
    "PatientID": ("PATIENT", _text(patients.c.patient_id)),
    "PatientName": ("PATIENT", _name),
    "StudyDescription": ("STUDY", _text(studies.c.description, sorted_=False)),
    "StudyDate": ("STUDY", _dates),
    "Modality": ("SERIES", _values(series.c.modality)),
    "ModalitiesInStudy": ("SERIES", _values(series.c.modality)),
}
