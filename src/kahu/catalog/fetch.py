"""Where an object is; its metadata, its bytes."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import sqlalchemy as sa
import zstandard
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset

from kahu.catalog import columns, schema
from kahu.catalog.computed import can_be_had
from kahu.catalog.describe import metadata
from kahu.catalog.hierarchy import HIERARCHY, ORDER, omitted, within
from kahu.catalog.places import Places
from kahu.catalog.scope import Scope
from kahu.db import Database
from kahu.dicom.header import Omitted, PixelData
from kahu.dicom.text import quietly
from kahu.errors import BytesChanged, BytesMissing, NotFound, Unavailable
from kahu.stores import Entry, Store

__all__ = [
    "KeptHeader",
    "Located",
    "Location",
    "dataset",
    "header",
    "instances",
    "keep_frames",
    "locate",
    "metadata",
    "read",
    "stream",
]

_at = schema.locations.c


@dataclass(frozen=True, slots=True)
class Location:
    """Where the bytes of an object are."""

    id: int
    store: int
    entry: Entry
    transfer_syntax: str
    dataset_offset: int
    pixels: PixelData | None
    frames: bytes | None
    """byte ranges of encapsulated frames (`dicom.frames.pack`), if they have been looked for before"""


@dataclass(frozen=True, slots=True)
class Located:
    """An instance, and where it is."""

    sop_instance_uid: str
    sop_class_uid: str
    series_instance_uid: str
    study_instance_uid: str
    number: int | None
    frames: int
    """0: it has no pixels"""
    attributes: Mapping[str, str]
    """index attributes of the level IMAGE: keyword -> text"""
    locations: tuple[Location, ...]
    """where it can be had now, best first, all in the same transfer syntax; empty: nowhere"""

    @property
    def location(self) -> Location:
        """The best one. Unavailable: there is none now."""
        if not self.locations:
            raise Unavailable(
                f"the bytes of instance {self.sop_instance_uid} cannot be had now",
                "its store is gone, or its file is: connect the store and scan it again",
            )
        return self.locations[0]

    @property
    def store(self) -> int:
        """Of the best location, like all below. Unavailable."""
        return self.location.store

    @property
    def entry(self) -> Entry:
        return self.location.entry

    @property
    def transfer_syntax(self) -> str:
        return self.location.transfer_syntax

    @property
    def dataset_offset(self) -> int:
        return self.location.dataset_offset

    @property
    def pixels(self) -> PixelData | None:
        return self.location.pixels


@dataclass(frozen=True, slots=True)
class KeptHeader:
    """The header as it was read: what `dicom.header.Header` calls so."""

    raw: bytes
    implicit: bool
    omitted: tuple[Omitted, ...]
    """with offsets in the file of the best location; -1 where that has another transfer syntax"""
    pixels_vr: str | None


def locate(
    db: sa.Connection, sop_instance_uid: str, scope: Scope, *, study: str = "", series: str = ""
) -> Located:
    """One instance. NotFound: it is not known, not in the study or series named, or out of scope."""
    return instances(db, scope, study, series, sop_instance_uid)[0]


def instances(
    db: sa.Connection, scope: Scope, study: str = "", series: str = "", instance: str = ""
) -> list[Located]:
    """The instances of a study or of a series, or one, in `ORDER`. NotFound: there is none in scope."""
    wanted = within(scope, study, series, instance)
    lie = _locations(db, scope, wanted)
    rows = db.execute(
        sa.select(
            schema.instances,
            schema.series.c.uid.label("series_uid"),
            schema.studies.c.uid.label("study_uid"),
            schema.headers.c.transfer_syntax,
            schema.headers.c.pixels_vr,
        )
        .select_from(HIERARCHY.join(schema.headers, schema.headers.c.key == schema.instances.c.key))
        .where(wanted)
        .order_by(*ORDER)
    )
    found = [_located(row, lie.get(row.key, [])) for row in rows]
    if not found:
        raise NotFound("there is no such study, series or instance here")
    return found


def _locations(
    db: sa.Connection, scope: Scope, wanted: sa.ColumnElement[bool]
) -> dict[bytes, list[sa.Row[Any]]]:
    """Where the instances can be had now, by their keys."""
    rows = db.execute(
        sa.select(schema.locations)
        .select_from(HIERARCHY.join(schema.locations, _at.instance == schema.instances.c.key))
        .where(wanted, can_be_had(scope))
        .order_by(_at.id)
    )
    found: dict[bytes, list[sa.Row[Any]]] = defaultdict(list)
    for row in rows:
        found[row.instance].append(row)
    return found


def _located(row: sa.Row[Any], lies: Sequence[sa.Row[Any]]) -> Located:
    """Best are locations in the transfer syntax of the header that is kept: it says where their values are."""
    syntax = row.transfer_syntax
    if lies and all(at.transfer_syntax != syntax for at in lies):
        syntax = lies[0].transfer_syntax
    return Located(
        sop_instance_uid=row.uid,
        sop_class_uid=row.sop_class,
        series_instance_uid=row.series_uid,
        study_instance_uid=row.study_uid,
        number=row.number,
        frames=row.frames,
        attributes=columns.attributes_of("IMAGE", row._asdict()),
        locations=tuple(_location(at, row.pixels_vr) for at in lies if at.transfer_syntax == syntax),
    )


_KEYWORDS = {"OF": "FloatPixelData", "OD": "DoubleFloatPixelData"}


def _location(at: sa.Row[Any], vr: str | None) -> Location:
    pixels = None
    if at.pixels_offset is not None:
        keyword = _KEYWORDS.get(vr or "", "PixelData")
        pixels = PixelData(at.pixels_offset, at.pixels_length, keyword, vr or "OW")
    return Location(
        id=at.id,
        store=at.store,
        entry=Entry(at.key, at.size, at.stamp),
        transfer_syntax=at.transfer_syntax,
        dataset_offset=at.dataset_offset,
        pixels=pixels,
        frames=at.frames,
    )


def header(db: sa.Connection, located: Located) -> KeptHeader:
    """The header of an instance."""
    h = schema.headers.c
    row = db.execute(
        sa.select(h.raw, h.implicit, h.omitted, h.transfer_syntax, h.pixels_vr).where(
            h.key == schema.instance_key(located.sop_instance_uid)
        )
    ).one()
    location = located.locations[0] if located.locations else None
    known = location is not None and location.transfer_syntax == row.transfer_syntax
    base = location.dataset_offset if location is not None and known else None
    return KeptHeader(zstandard.decompress(row.raw), row.implicit, omitted(row.omitted, base), row.pixels_vr)


def dataset(database: Database, places: Places, located: Located) -> Dataset:
    """All of an instance but its pixel data: what the catalogue has of it, and long values from its file.

    Values that cannot be had from where the file is (deflated, or kept in another transfer syntax) are zeros.
    Unavailable, BytesMissing, BytesChanged: a long value cannot be read.
    """
    with database.read() as db:
        kept = header(db, located)
    whole = bytearray()
    done = 0
    for value in kept.omitted:
        whole += kept.raw[done : value.at]
        addressable = value.offset >= 0
        whole += read(places, located, value.offset, value.length) if addressable else bytes(value.length)
        done = value.at
    whole += kept.raw[done:]
    with quietly():
        return read_dataset(BytesIO(whole), kept.implicit, is_little_endian=True)


def read(places: Places, located: Located, offset: int, length: int) -> bytes:
    """The bytes [offset, offset + length) of the best location's file, or the same from another location.

    Unavailable, BytesMissing, BytesChanged: from none of them.
    """
    base = located.location.dataset_offset
    failure: Unavailable | None = None
    for location, store in _open(places, located):
        try:
            return store.read(location.entry, offset - base + location.dataset_offset, length)
        except (BytesChanged, BytesMissing) as error:
            error.store = location.store
            failure = failure or error
    assert failure
    raise failure


def stream(places: Places, located: Located) -> Iterator[bytes]:
    """The whole file in pieces, from the first location that has it in the size of the best.

    Unavailable, BytesMissing, BytesChanged: none has; raised before the first piece.
    """
    failure: Unavailable | None = None
    for location, store in _open(places, located):
        if location.entry.size != located.entry.size:
            continue  # another group 2; the size has been told already
        try:
            return store.stream(location.entry)
        except (BytesChanged, BytesMissing) as error:
            error.store = location.store
            failure = failure or error
    assert failure
    raise failure


def _open(places: Places, located: Located) -> Iterator[tuple[Location, Store]]:
    for location in located.locations or [located.location]:
        yield location, places.store(location.store)


def keep_frames(database: Database, location: Location, packed: bytes) -> None:
    """Remembers where the encapsulated frames of a file are (`dicom.frames.pack`)."""
    with database.write() as db:
        db.execute(
            sa.update(schema.locations)
            .where(_at.id == location.id, _at.stamp == location.entry.stamp)
            .values(frames=packed)
        )
