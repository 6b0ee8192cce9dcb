"""Where an object is; its metadata, its bytes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from itertools import chain, groupby
from operator import itemgetter
from typing import Any

import sqlalchemy as sa
import zstandard
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset

from kahu.catalog import columns, named, schema
from kahu.catalog.computed import can_be_had
from kahu.catalog.describe import metadata
from kahu.catalog.hierarchy import HIERARCHY, ORDER, omitted
from kahu.catalog.places import Places
from kahu.catalog.scope import Scope
from kahu.db import Database
from kahu.dicom.header import Omitted, PixelData, ReadAt
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
    "neighbours",
    "outline",
    "read",
    "stream",
]

_at = schema.locations.c

_PIECE = 1 << 20
"""bytes of a file that are read at once"""


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
    given = named.parameters(study, series, instance)
    rows = db.execute(_query(scope, tuple(given)), given)
    found = [_located(list(of_one)) for _, of_one in groupby(rows, itemgetter(0))]
    if not found:
        raise NotFound("there is no such study, series or instance here")
    return found


def neighbours(db: sa.Connection, scope: Scope, study: str, series: str, most: int) -> list[Located]:
    """Some instances of a series, in `ORDER`: all of them, or those in the first `most` locations."""
    given = named.parameters(study, series)
    rows = db.execute(_query(scope, tuple(given)).limit(most), given).all()
    found = [_located(list(of_one)) for _, of_one in groupby(rows, itemgetter(0))]
    return found[:-1] if len(rows) == most else found  # the last may have others


@lru_cache(maxsize=64)
def _query(scope: Scope, names: named.Names) -> sa.Select[Any]:
    """Instances with each location that they can be had from, or with none."""
    i, h = schema.instances.c, schema.headers.c
    lies = sa.and_(_at.instance == i.key, can_be_had(scope))
    return (
        sa.select(
            i.key,
            i.uid,
            i.sop_class,
            i.number,
            i.frames.label("how_many"),
            i.attributes,
            schema.series.c.uid.label("series_uid"),
            schema.studies.c.uid.label("study_uid"),
            h.transfer_syntax.label("header_syntax"),
            h.pixels_vr,
            _at.id,
            _at.store,
            _at.key.label("at"),
            _at.size,
            _at.stamp,
            _at.transfer_syntax,
            _at.dataset_offset,
            _at.pixels_offset,
            _at.pixels_length,
            _at.frames,
        )
        .select_from(HIERARCHY.join(schema.headers, h.key == i.key).outerjoin(schema.locations, lies))
        .where(*named.conditions(scope, names))
        .order_by(*ORDER, _at.id)
    )


def _located(rows: Sequence[sa.Row[Any]]) -> Located:
    """Best are locations in the transfer syntax of the header that is kept: it says where their values are."""
    row = rows[0]
    lies = [row for row in rows if row.id is not None]
    syntax = row.header_syntax
    if lies and all(at.transfer_syntax != syntax for at in lies):
        syntax = lies[0].transfer_syntax
    return Located(
        sop_instance_uid=row.uid,
        sop_class_uid=row.sop_class,
        series_instance_uid=row.series_uid,
        study_instance_uid=row.study_uid,
        number=row.number,
        frames=row.how_many,
        attributes=columns.attributes_of("IMAGE", row._asdict()),
        locations=tuple(_location(at) for at in lies if at.transfer_syntax == syntax),
    )


_KEYWORDS = {"OF": "FloatPixelData", "OD": "DoubleFloatPixelData"}


def _location(at: sa.Row[Any]) -> Location:
    pixels = None
    if at.pixels_offset is not None:
        keyword = _KEYWORDS.get(at.pixels_vr or "", "PixelData")
        pixels = PixelData(at.pixels_offset, at.pixels_length, keyword, at.pixels_vr or "OW")
    return Location(
        id=at.id,
        store=at.store,
        entry=Entry(at.at, at.size, at.stamp),
        transfer_syntax=at.transfer_syntax,
        dataset_offset=at.dataset_offset,
        pixels=pixels,
        frames=at.frames,
    )


_HEADER = sa.select(
    *(schema.headers.c[name] for name in ("raw", "implicit", "omitted", "transfer_syntax", "pixels_vr"))
).where(schema.headers.c.key == sa.bindparam("instance"))


def header(db: sa.Connection, located: Located) -> KeptHeader:
    """The header of an instance."""
    row = db.execute(_HEADER, named.parameters(instance=located.sop_instance_uid)).one()
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

    def value(gap: Omitted) -> bytes:
        return read(places, located, gap.offset, gap.length) if gap.offset >= 0 else bytes(gap.length)

    return _dataset(kept, value)


def outline(db: sa.Connection, located: Located) -> Dataset:
    """The same with zeros for all long values: no store is asked."""
    return _dataset(header(db, located), lambda gap: bytes(gap.length))


def _dataset(kept: KeptHeader, value: Callable[[Omitted], bytes]) -> Dataset:
    whole = bytearray()
    done = 0
    for gap in kept.omitted:
        whole += kept.raw[done : gap.at]
        whole += value(gap)
        done = gap.at
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


def reader(places: Places, located: Located) -> ReadAt:
    """Reads an instance's file: fewer bytes than asked for at its end only."""
    size = located.location.entry.size

    def read_at(offset: int, length: int) -> bytes:
        length = min(length, size - offset)
        return read(places, located, offset, length) if length > 0 else b""

    return read_at


def stream(places: Places, located: Located, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
    """The file in pieces, or its bytes from `start` up to `stop`, from the first location that has it in the size of
    the best.

    Unavailable, BytesMissing, BytesChanged: none has; raised before the first piece.
    """
    size = located.entry.size
    stop = size if stop is None else min(stop, size)
    failure: Unavailable | None = None
    for location, store in _open(places, located):
        if location.entry.size != size:
            continue  # another group 2; the size has been told already
        try:
            if stop - start <= _PIECE:
                return iter([store.read(location.entry, start, stop - start)])
            if stop - start == size:
                return store.stream(location.entry, _PIECE)
            return _pieces(store, location.entry, start, stop)
        except (BytesChanged, BytesMissing) as error:
            error.store = location.store
            failure = failure or error
    assert failure
    raise failure


def _pieces(store: Store, entry: Entry, start: int, stop: int) -> Iterator[bytes]:
    """Some bytes of a file; the first are read before this returns."""
    first = store.read(entry, start, min(_PIECE, stop - start))
    rest = range(start + _PIECE, stop, _PIECE)
    return chain([first], (store.read(entry, at, min(_PIECE, stop - at)) for at in rest))


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
