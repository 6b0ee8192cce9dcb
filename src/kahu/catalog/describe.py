"""Metadata: the DICOM JSON of instances, answered without opening a file (DESIGN.md, Settled 5).

It is made on first ask and kept for whole series, in parts, compressed; for as long as nothing comes to the series
or leaves it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
import zstandard

from kahu.catalog import named, schema
from kahu.catalog.hierarchy import HIERARCHY, ORDER, omitted
from kahu.catalog.scope import ALL, Scope
from kahu.db import Database
from kahu.dicom.json_model import bulk_base, to_json
from kahu.errors import NotFound

_PART = 500
"""instances whose metadata is kept, and sent, in one piece"""
_BETWEEN = b",\n"


@dataclass(frozen=True, slots=True)
class _Series:
    id: int
    uid: str
    study_uid: str
    revision: int
    changed: float
    instances: int
    visible: int
    """instances in scope"""


@dataclass(frozen=True, slots=True)
class Described:
    """Metadata that can be had."""

    instances: int
    """how many it is of"""
    state: tuple[object, ...]
    """is another whenever the metadata are"""
    pieces: Callable[[], Iterator[bytes]]
    """gives one JSON array in pieces; it reads the database"""


def metadata(
    database: Database, scope: Scope, study: str = "", series: str = "", instance: str = ""
) -> Iterator[bytes]:
    """Pieces of one JSON array with the metadata of the instances of a study or series, or of one, in the order
    of `ORDER` (PS3.18 §10.4.1.1.2). BulkDataURIs begin with `json_model.BULK_PREFIX`.

    NotFound: there is none in scope; raised before the first piece.
    """
    return described(database, scope, study, series, instance).pieces()


def described(
    database: Database, scope: Scope, study: str = "", series: str = "", instance: str = ""
) -> Described:
    """What `metadata` would give, before it is made. NotFound."""
    given = named.parameters(study, series, instance)
    with database.read() as db:
        rows = db.execute((_one if instance else _all)(scope, tuple(given)), given).all()
    if not rows:
        raise NotFound("there is no such study, series or instance here")
    if instance:
        (row,) = rows
        state = (instance, row.uid, row.revision, row.changed)
        return Described(1, state, lambda: _array([_json(row, row.study_uid, row.uid, row.instance_uid)]))
    found = [_Series(*row) for row in rows]
    facts = ((each.uid, each.revision, each.changed, each.visible) for each in found)

    def pieces() -> Iterator[bytes]:
        return _array(
            piece
            for each in found
            for piece in (
                _kept(database, each) if each.visible == each.instances else _made(database, each, scope)
            )
        )

    return Described(sum(each.visible for each in found), tuple(facts), pieces)


def _array(pieces: Iterable[bytes]) -> Iterator[bytes]:
    before = b"["
    for piece in pieces:
        yield before + piece
        before = _BETWEEN
    yield b"]"


@lru_cache(maxsize=64)
def _all(scope: Scope, names: named.Names) -> sa.Select[Any]:
    """Series, and how many of their instances are in scope."""
    c = schema.series.c
    of_series = (c.id, c.uid, schema.studies.c.uid, c.revision, c.changed, c.instances)
    return (
        sa.select(*of_series, sa.func.count())
        .select_from(HIERARCHY)
        .where(*named.conditions(scope, names))
        .group_by(*of_series, c.number)
        .order_by(c.number.nulls_last(), c.id)
    )


@lru_cache(maxsize=64)
def _one(scope: Scope, names: named.Names) -> sa.Select[Any]:
    """An instance's header, and its series."""
    c, h = schema.series.c, schema.headers.c
    return (
        sa.select(
            c.uid,
            schema.studies.c.uid.label("study_uid"),
            schema.instances.c.uid.label("instance_uid"),
            c.revision,
            c.changed,
            h.raw,
            h.implicit,
            h.omitted,
            h.pixels_vr,
        )
        .select_from(HIERARCHY.join(schema.headers, h.key == schema.instances.c.key))
        .where(*named.conditions(scope, names))
    )


def _kept(database: Database, series: _Series) -> Iterator[bytes]:
    """The metadata of a whole series: as it is kept, or made now and kept."""
    c = schema.series_metadata.c
    with database.read() as db:
        parts = db.scalars(
            sa.select(c.body).where(c.series == series.id, c.revision == series.revision).order_by(c.part)
        ).all()
    if parts:
        yield from map(zstandard.decompress, parts)
        return
    pack = zstandard.ZstdCompressor(level=3).compress
    made = []
    for piece in _made(database, series, ALL):
        made.append(pack(piece))
        yield piece
    _keep(database, series, made)


def _keep(database: Database, series: _Series, parts: Sequence[bytes]) -> None:
    c = schema.series.c
    with database.write() as db:
        now = db.execute(sa.select(c.revision).where(c.id == series.id)).scalar()
        if now != series.revision:
            return  # it has changed meanwhile
        table = schema.series_metadata
        db.execute(sa.delete(table).where(table.c.series == series.id))
        db.execute(
            sa.insert(table),
            [
                {"series": series.id, "part": part, "revision": series.revision, "body": body}
                for part, body in enumerate(parts)
            ],
        )


def _made(database: Database, series: _Series, scope: Scope) -> Iterator[bytes]:
    """The metadata of those instances of a series that are in scope, made from their headers."""
    of_series = sa.and_(schema.series.c.id == series.id, scope.instances_clause())
    with database.read() as db:
        query = sa.select(schema.instances.c.key).select_from(HIERARCHY)
        keys = db.scalars(query.where(of_series).order_by(*ORDER)).all()
    for start in range(0, len(keys), _PART):
        yield _BETWEEN.join(_instances(database, series, keys[start : start + _PART]))


def _instances(database: Database, series: _Series, keys: Sequence[bytes]) -> Iterator[bytes]:
    h, i = schema.headers.c, schema.instances.c
    with database.read() as db:
        rows = db.execute(
            sa.select(h.key, i.uid, h.raw, h.implicit, h.omitted, h.pixels_vr)
            .join(schema.instances, i.key == h.key)
            .where(h.key.in_(keys))
        ).all()
    by_key = {row.key: row for row in rows}
    for row in (by_key[key] for key in keys if key in by_key):
        yield _json(row, series.study_uid, series.uid, row.uid)


def _json(header: Any, study: str, series: str, instance: str) -> bytes:
    return to_json(
        zstandard.decompress(header.raw),
        header.implicit,
        omitted(header.omitted, None),
        pixels_vr=header.pixels_vr,
        bulk_base=bulk_base(study, series, instance),
    )
