"""What is known of an object that has been found, and what that makes of it.

Objects are judged outside of any transaction, for that may take reading whole files. What was looked at is looked
at again in the transaction that writes (`still_true`): what has changed meanwhile is judged anew.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa
import zstandard

from kahu.catalog import compare, plain
from kahu.catalog.places import Places
from kahu.catalog.schema import headers, instance_key
from kahu.db import Database
from kahu.errors import BytesChanged, BytesMissing
from kahu.stores import Entry, Found

Judgement = Literal["new", "same", "replaces", "differs", "gone"]
"""
new        nobody knew of it
same       what we have, here in another place; or in another transfer syntax
replaces   known, but what was known of it is nowhere any more: this is the object now
differs    it says something else under a UID that we have: the first stays
gone       it changed or vanished since it was found: left to the next scan
"""


@dataclass(frozen=True, slots=True)
class At:
    """A row of `locations`, as far as it matters here."""

    id: int
    store: int
    entry: Entry
    key: bytes
    """of the instance"""
    transfer_syntax: str
    dataset_offset: int
    digest: str | None
    state: str


@dataclass(frozen=True, slots=True)
class Instance:
    """A row of `instances`, as far as it matters here."""

    series: int
    series_uid: str
    frames: int


@dataclass(frozen=True, slots=True)
class View:
    """What the catalogue says about an object that has been found: equal views, equal judgement."""

    instance: Instance | None
    others: tuple[At, ...]
    """where else the instance is: ok or missing"""
    own: At | None
    """what was known to lie where it was found"""


_NOTHING = View(None, (), None)


@dataclass(frozen=True, slots=True)
class Judged:
    """An object that has been found, what is known of it, and what that means."""

    found: Found
    digest: str | None
    """SHA-256 of its data set, if it has been read whole"""
    view: View
    judgement: Judgement


_SEEN = """
SELECT instances.key, instances.series, series.uid, instances.frames
FROM instances JOIN series ON series.id = instances.series WHERE instances.key IN ?
"""
_LOCATIONS = """
SELECT id, store, key, size, stamp, instance, transfer_syntax, dataset_offset, digest, state
FROM locations WHERE {} ORDER BY id
"""
_OTHERS = _LOCATIONS.format("instance IN ? AND state <> 'conflict'")
_OWN = _LOCATIONS.format("store = ? AND key IN ?")


def look(db: sa.Connection, store: int, found: Sequence[Found]) -> list[View]:
    """What is known of each."""
    if not found:
        return []
    keys = [instance_key(each.header.sop_instance_uid) for each in found]
    known = {
        key: Instance(series, uid, frames) for key, series, uid, frames in plain.execute(db, _SEEN, keys)
    }
    others: dict[bytes, list[At]] = defaultdict(list)
    if known:
        for at in _at(db, _OTHERS, list(known)):
            others[at.key].append(at)
    own = {at.entry.key: at for at in _at(db, _OWN, store, [each.entry.key for each in found])}
    if not known and not own:
        return [_NOTHING] * len(found)
    return [
        View(
            known.get(key),
            tuple(at for at in others[key] if (at.store, at.entry.key) != (store, each.entry.key)),
            own.get(each.entry.key),
        )
        for key, each in zip(keys, found, strict=True)
    ]


def _at(db: sa.Connection, sql: str, *values: Any) -> list[At]:
    return [
        At(row.id, row.store, Entry(row.key, row.size, row.stamp), *row[5:])
        for row in plain.execute(db, sql, *values)
    ]


def newcomers(db: sa.Connection, store: int, found: Sequence[Found]) -> tuple[list[Judged], list[Found]]:
    """Those that nobody knows of, judged by a look in this transaction; and the others, which must be compared
    with what is known before they can be."""
    _take_turns(db, {each.header.series_instance_uid for each in found})
    pairs = list(zip(found, look(db, store, found), strict=True))
    new = [Judged(each, None, view, "new") for each, view in pairs if view.instance is None]
    return new, [each for each, view in pairs if view.instance is not None]


def judge(
    database: Database, places: Places, store: int, found: Found, digest: str | None, view: View
) -> Judged:
    """Compares an object that was found in `store` with what is known. Reads files whole where it must."""
    if view.instance is None:
        return Judged(found, digest, view, "new")
    unreachable: list[At] = []
    for at in view.others:
        try:
            there = compare.is_there(places.store(at.store), at.entry)
        except BytesMissing:
            unreachable.append(at)
            continue
        if not there:
            continue
        try:
            same = _alike(database, found, view.instance, at) and _same_bytes(
                places, store, found, digest, at
            )
        except (BytesChanged, BytesMissing):
            if compare.is_there(places.store(store), found.entry):
                continue
            return Judged(found, digest, view, "gone")
        return Judged(found, digest, view, "same" if same else "differs")
    if not unreachable:
        return Judged(found, digest, view, "replaces")
    # The first object's store is out of reach, perhaps only for now: what is known of it must do.
    alike = all(_alike(database, found, view.instance, at) for at in unreachable)
    return Judged(found, digest, view, "same" if alike else "differs")


def _alike(database: Database, found: Found, instance: Instance, at: At) -> bool:
    """Whether the objects can be the same, as far as the catalogue tells without reading them."""
    header = found.header
    if header.series_instance_uid != instance.series_uid:
        return False
    if header.transfer_syntax_uid != at.transfer_syntax:
        return True
    if found.entry.size - header.dataset_offset != at.entry.size - at.dataset_offset:
        return False
    with database.read() as db:
        kept = db.execute(
            sa.select(headers.c.raw, headers.c.transfer_syntax).where(headers.c.key == at.key)
        ).one()
    return kept.transfer_syntax != at.transfer_syntax or zstandard.decompress(kept.raw) == header.raw


def _same_bytes(places: Places, store: int, found: Found, digest: str | None, at: At) -> bool:
    """BytesChanged, BytesMissing: one of the two cannot be read any more."""
    if found.header.transfer_syntax_uid != at.transfer_syntax:
        return True
    here, there = places.store(store), places.store(at.store)
    offset = found.header.dataset_offset
    if at.digest is not None:
        return at.digest == (digest or compare.digest(here, found.entry, offset))
    if digest is not None:
        return digest == compare.digest(there, at.entry, at.dataset_offset)
    return compare.same_bytes(here, found.entry, offset, there, at.entry, at.dataset_offset)


def still_true(db: sa.Connection, store: int, judged: Sequence[Judged]) -> tuple[list[Judged], list[Judged]]:
    """Judgements that hold in this transaction, and those that have been overtaken."""
    _take_turns(db, {each.found.header.series_instance_uid for each in judged})
    now = look(db, store, [each.found for each in judged])
    pairs = list(zip(judged, now, strict=True))
    return [j for j, view in pairs if j.view == view], [j for j, view in pairs if j.view != view]


def _take_turns(db: sa.Connection, series_uids: Collection[str]) -> None:
    """Writers of the same series wait for each other until the transaction ends; on SQLite all writers do."""
    if db.dialect.name == "postgresql":
        for key in sorted(int.from_bytes(instance_key(uid)[:8], signed=True) for uid in series_uids):
            db.execute(sa.select(sa.func.pg_advisory_xact_lock(key)))
