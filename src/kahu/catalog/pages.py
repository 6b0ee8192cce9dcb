"""Ids of entities -> what the catalogue says of them."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import msgspec
import sqlalchemy as sa

from kahu.catalog import columns, plain
from kahu.dicom.attributes import LEVELS, Level

AT_ONCE = 1000
"""ids in one statement"""

KEY: dict[Level, str] = {
    "PATIENT": "patients.id",
    "STUDY": "studies.id",
    "SERIES": "series.id",
    "IMAGE": "instances.key",
}
_JOINED: dict[Level, str] = {
    "PATIENT": "patients",
    "STUDY": "studies JOIN patients ON patients.id = studies.patient",
    "SERIES": "series JOIN studies ON studies.id = series.study JOIN patients ON patients.id = studies.patient",
    "IMAGE": "instances JOIN series ON series.id = instances.series JOIN studies ON studies.id = series.study "
    "JOIN patients ON patients.id = studies.patient",
}

_decode = msgspec.json.Decoder(dict[str, str]).decode


def rows(db: sa.Connection, level: Level, ids: Sequence[Any]) -> list[dict[str, str]]:
    """The index attributes with a value of entities and those above them, keyword -> text, in the order of
    `ids`."""
    sql, read = _reader(level)
    found: dict[Any, dict[str, str]] = {}
    for start in range(0, len(ids), AT_ONCE):
        for key, *values in plain.execute(db, sql, list(ids[start : start + AT_ONCE])).all():
            found[key] = read(values)
    return [found[key] for key in ids]


@cache
def _reader(level: Level) -> tuple[str, Callable[[Sequence[Any]], dict[str, str]]]:
    """What to ask for, and how the values of a row become attributes."""
    texts: list[tuple[str, str]] = []
    objects: list[str] = []
    numbers: list[tuple[str, str]] = []
    for each in LEVELS[: LEVELS.index(level) + 1]:
        table = columns.TABLES[each].name
        texts += _columns(columns.TEXTS, each)
        numbers += _columns(columns.NUMBERS, each)
        objects += [f"{table}.attributes"] * (each != "PATIENT")
    chosen = [column for _, column in texts + numbers] + objects
    keywords = [keyword for keyword, _ in texts]
    whole = [keyword for keyword, _ in numbers]
    first, last = len(texts), len(texts) + len(numbers)

    def read(values: Sequence[Any]) -> dict[str, str]:
        found = {k: v for k, v in zip(keywords, values, strict=False) if v}
        for keyword, number in zip(whole, values[first:last], strict=True):
            if number is not None:
                found[keyword] = str(number)
        for said in values[last:]:
            if said != "{}":
                found.update(said if isinstance(said, Mapping) else _decode(said))
        return found

    return f"SELECT {KEY[level]}, {', '.join(chosen)} FROM {_JOINED[level]} WHERE {KEY[level]} IN ?", read  # noqa: S608


def _columns(kept: Mapping[str, sa.Column[Any]], level: Level) -> list[tuple[str, str]]:
    table = columns.TABLES[level]
    return [
        (keyword, f"{table.name}.{column.name}") for keyword, column in kept.items() if column.table is table
    ]
