"""Objects with their headers read -> rows. Scans, arrivals and results all end here."""

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from kahu.catalog import changes, columns, forget, plain
from kahu.catalog.judge import Judged, Judgement, judge, look, newcomers, still_true
from kahu.catalog.parents import Parents, parents_of, renew
from kahu.catalog.places import Place, Places
from kahu.catalog.schema import (
    conflicts,
    headers,
    instance_key,
    instances,
    locations,
    series_stores,
)
from kahu.catalog.sums import recount
from kahu.db import Database
from kahu.dicom.header import Header
from kahu.stores import Found


@dataclass(frozen=True)
class Recorded:
    """What came of a batch."""

    new: int = 0
    conflicts: int = 0
    other_patient: int = 0
    """objects whose study or patient is not that of the series that they belong to: the first stays"""

    def __add__(self, more: "Recorded") -> "Recorded":
        return Recorded(
            self.new + more.new, self.conflicts + more.conflicts, self.other_patient + more.other_patient
        )


_MOST_FRAMES = 2**31 - 1  # what an IS can say (PS3.5 §6.2)


def one_each(found: Iterable[Found]) -> tuple[list[Found], list[Found]]:
    """Those that are the first with their UID, and the others."""
    first: dict[str, Found] = {}
    later = []
    for each in found:
        if first.setdefault(each.header.sop_instance_uid, each) is not each:
            later.append(each)
    return list(first.values()), later


def record(
    database: Database, places: Places, place: Place, found: Sequence[Found], door: str = "scan"
) -> Recorded:
    """Writes what a scan found: one transaction for all that nobody knew of, and more only for the others."""
    first, waiting = one_each(found)
    with database.write() as db:
        new, known = newcomers(db, place.id, first)
        total = write(db, place, new, door)
    waiting += known
    while waiting:
        now, waiting = one_each(waiting)
        with database.read() as db:
            views = look(db, place.id, now)
        judged = [
            judge(database, places, place.id, each, None, view) for each, view in zip(now, views, strict=True)
        ]
        with database.write() as db:
            done, again = still_true(db, place.id, judged)
            total += write(db, place, done, door)
        waiting += [each.found for each in again]
    return total


def write(db: sa.Connection, place: Place, judged: Sequence[Judged], door: str) -> Recorded:
    """Writes what was judged. `door`: scan, stow, import or result."""
    by: dict[Judgement, list[Judged]] = defaultdict(list)
    for each in judged:
        by[each.judgement].append(each)
    born, kept = by["new"] + by["replaces"], by["new"] + by["replaces"] + by["same"]

    _clear(db, place, kept + by["differs"])
    parents = parents_of(db, place, [each.found.header for each in born])
    renew(db, place, [each.found.header for each in by["replaces"]])
    _write_instances(db, by["new"], by["replaces"], parents)
    _write_locations(db, place, kept, "ok")
    _write_locations(db, place, by["differs"], "conflict")
    _write_conflicts(db, place, by["differs"], door)
    _count(db, place, by["new"], by["replaces"], by["same"], parents)
    return Recorded(
        new=len(by["new"]),
        conflicts=len(by["differs"]),
        other_patient=sum(
            not parents[each.found.header.series_instance_uid].fits(each.found.header) for each in born
        ),
    )


def _clear(db: sa.Connection, place: Place, judged: Sequence[Judged]) -> None:
    """Takes away what was said of these files before, but for their locations, which are overwritten."""
    keys = [each.found.entry.key for each in judged]
    if keys:
        plain.execute(db, "DELETE FROM refusals WHERE store = ? AND key IN ?", place.id, keys)
    held = [each for each in judged if each.view.own]
    if held:  # a conflict's file has a location
        keys = [each.found.entry.key for each in held]
        plain.execute(db, "DELETE FROM conflicts WHERE store = ? AND key IN ?", place.id, keys)
    left = {each.view.own.key for each in held if each.view.own and each.view.own.key != _key(each)}
    if left:
        changes.of_instances(db, left)


def _write_instances(
    db: sa.Connection, new: Sequence[Judged], replaced: Sequence[Judged], parents: Mapping[str, Parents]
) -> None:
    plain.insert(db, instances, [_instance(each.found.header, parents) for each in new])
    plain.insert(db, headers, [_header(each.found.header) for each in new])
    if replaced:
        rows = [_instance(each.found.header, parents) | {"b_key": _key(each)} for each in replaced]
        db.execute(sa.update(instances).where(instances.c.key == sa.bindparam("b_key")), rows)
        rows = [_header(each.found.header) | {"b_key": _key(each)} for each in replaced]
        db.execute(sa.update(headers).where(headers.c.key == sa.bindparam("b_key")), rows)


def _key(judged: Judged) -> bytes:
    return instance_key(judged.found.header.sop_instance_uid)


def _frames(header: Header) -> int:
    """0: it has no pixels."""
    if header.pixels is None:
        return 0
    stated = columns.whole_number(header.attributes.get("NumberOfFrames", "")) or 1
    return min(max(stated, 1), _MOST_FRAMES)


def _instance(header: Header, parents: Mapping[str, Parents]) -> dict[str, Any]:
    return columns.values("IMAGE", header.attributes) | {
        "key": instance_key(header.sop_instance_uid),
        "uid": header.sop_instance_uid,
        "series": parents[header.series_instance_uid].id,
        "sop_class": header.sop_class_uid,
        "frames": _frames(header),
    }


def _header(header: Header) -> dict[str, Any]:
    base = header.dataset_offset
    return {
        "key": instance_key(header.sop_instance_uid),
        "raw": header.packed,
        "implicit": header.implicit,
        "transfer_syntax": header.transfer_syntax_uid,
        "pixels_vr": header.pixels.vr if header.pixels else None,
        "omitted": [[o.at, o.offset - base if o.offset >= 0 else -1, o.length] for o in header.omitted],
    }


def _write_locations(db: sa.Connection, place: Place, judged: Sequence[Judged], state: str) -> None:
    rows = [_location(place, each) | {"state": state} for each in judged]
    fresh = [row for row, each in zip(rows, judged, strict=True) if each.view.own is None]
    plain.insert(db, locations, fresh)
    stale = [
        row | {"b_id": each.view.own.id} for row, each in zip(rows, judged, strict=True) if each.view.own
    ]
    if stale:
        db.execute(sa.update(locations).where(locations.c.id == sa.bindparam("b_id")), stale)


def _location(place: Place, judged: Judged) -> dict[str, Any]:
    entry, header = judged.found.entry, judged.found.header
    return {
        "store": place.id,
        "key": entry.key,
        "size": entry.size,
        "stamp": entry.stamp,
        "instance": instance_key(header.sop_instance_uid),
        "transfer_syntax": header.transfer_syntax_uid,
        "dataset_offset": header.dataset_offset,
        "pixels_offset": header.pixels.offset if header.pixels else None,
        "pixels_length": header.pixels.length if header.pixels else None,
        "frames": None,
        "digest": judged.digest,
    }


def _write_conflicts(db: sa.Connection, place: Place, judged: Sequence[Judged], door: str) -> None:
    now = time.time()
    rows = [
        {
            "uid": each.found.header.sop_instance_uid,
            "store": place.id,
            "key": each.found.entry.key,
            "size": each.found.entry.size,
            "stamp": each.found.entry.stamp,
            "door": door,
            "at": now,
        }
        for each in judged
    ]
    plain.insert(db, conflicts, rows)


def _count(
    db: sa.Connection,
    place: Place,
    new: Sequence[Judged],
    replaced: Sequence[Judged],
    same: Sequence[Judged],
    parents: Mapping[str, Parents],
) -> None:
    """Keeps the sums of series, where they lie, and the change feed."""
    grown = {parents[_series(each)].id: _series(each) for each in new}
    joined = {parents[_series(each)].id: _series(each) for each in replaced}
    left, also = _were_in(replaced), _were_in(same)
    _add_up(db, new, parents)
    recount(db, left | joined)
    holding = [{"series": id_, "store": place.id} for id_ in grown | joined | also]
    plain.insert(db, series_stores, holding, new_only=True)
    changes.add(db, "series-changed", (grown | left | joined | also).values())
    if left:
        forget.empty(db, left)


def _series(judged: Judged) -> str:
    return judged.found.header.series_instance_uid


def _were_in(judged: Sequence[Judged]) -> dict[int, str]:
    """The series that these instances have been in, by id."""
    known = [each.view.instance for each in judged if each.view.instance]
    return {instance.series: instance.series_uid for instance in known}


_MORE = """
UPDATE series
SET instances = instances + ?, frames = frames + ?, bytes = bytes + ?, revision = revision + 1, changed = ?
WHERE id = ?
"""


def _add_up(db: sa.Connection, new: Sequence[Judged], parents: Mapping[str, Parents]) -> None:
    """Adds new instances to the sums of their series."""
    more: dict[int, list[int]] = defaultdict(lambda: [0, 0, 0])
    for each in new:
        sums = more[parents[_series(each)].id]
        sums[0] += 1
        sums[1] += _frames(each.found.header)
        sums[2] += each.found.entry.size
    now = time.time()
    for id_, (count, frames, size) in more.items():
        plain.execute(db, _MORE, count, frames, size, now, id_)
