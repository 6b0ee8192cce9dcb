"""Objects with their headers read -> rows. Scans, arrivals and results all end here.

An object whose UID is known already is first judged, outside of any transaction, for that may take reading
whole files. What was looked at is looked at again in the transaction: what has changed meanwhile is judged anew.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa
import zstandard
from sqlalchemy.dialects import postgresql, sqlite

from kahu.catalog import changes, columns, compare
from kahu.catalog.fold import fold
from kahu.catalog.places import Place, Places
from kahu.catalog.schema import (
    conflicts,
    headers,
    instance_key,
    instances,
    locations,
    patients,
    refusals,
    series,
    series_stores,
    studies,
)
from kahu.catalog.sums import recount
from kahu.db import Database
from kahu.dicom.header import Header
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


@dataclass(frozen=True, slots=True)
class Judged:
    """An object that has been found, what is known of it, and what that means."""

    found: Found
    digest: str | None
    """SHA-256 of its data set, if it has been read whole"""
    view: View
    judgement: Judgement


@dataclass
class Recorded:
    """What came of a batch."""

    new: int = 0
    conflicts: int = 0
    other_patient: int = 0
    """objects whose study or patient is not that of the series that they belong to: the first stays"""


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
    """Writes what a scan found; one transaction, and more only where objects meet others of their own UID."""
    total = Recorded()
    waiting = list(found)
    while waiting:
        now, waiting = one_each(waiting)
        with database.read() as db:
            views = look(db, place.id, now)
        judged = [
            judge(database, places, place.id, each, None, view) for each, view in zip(now, views, strict=True)
        ]
        with database.write() as db:
            done, again = still_true(db, place.id, judged)
            recorded = write(db, place, done, door)
        waiting += [each.found for each in again]
        total.new += recorded.new
        total.conflicts += recorded.conflicts
        total.other_patient += recorded.other_patient
    return total


# Looking and judging


def look(db: sa.Connection, store: int, found: Sequence[Found]) -> list[View]:
    """What is known of each."""
    keys = [instance_key(each.header.sop_instance_uid) for each in found]
    known = {
        row.key: Instance(row.series, row.uid, row.frames)
        for row in db.execute(
            sa.select(instances.c.key, instances.c.series, series.c.uid, instances.c.frames)
            .join(series, series.c.id == instances.c.series)
            .where(instances.c.key.in_(keys))
        )
    }
    others: dict[bytes, list[At]] = defaultdict(list)
    if known:
        for at in _at(db, locations.c.instance.in_(list(known)), locations.c.state != "conflict"):
            others[at.key].append(at)
    own = {
        at.entry.key: at
        for at in _at(db, locations.c.store == store, locations.c.key.in_([each.entry.key for each in found]))
    }
    return [
        View(
            known.get(key),
            tuple(at for at in others[key] if (at.store, at.entry.key) != (store, each.entry.key)),
            own.get(each.entry.key),
        )
        for key, each in zip(keys, found, strict=True)
    ]


def _at(db: sa.Connection, *conditions: sa.ColumnElement[bool]) -> list[At]:
    c = locations.c
    rows = db.execute(
        sa.select(
            c.id,
            c.store,
            c.key,
            c.size,
            c.stamp,
            c.instance,
            c.transfer_syntax,
            c.dataset_offset,
            c.digest,
            c.state,
        )
        .where(*conditions)
        .order_by(c.id)
    )
    return [At(id_, store, Entry(key, size, stamp), *rest) for id_, store, key, size, stamp, *rest in rows]


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


# Writing


def write(db: sa.Connection, place: Place, judged: Sequence[Judged], door: str) -> Recorded:
    """Writes what was judged. `door`: scan, stow, import or result."""
    by: dict[Judgement, list[Judged]] = defaultdict(list)
    for each in judged:
        by[each.judgement].append(each)
    born, kept = by["new"] + by["replaces"], by["new"] + by["replaces"] + by["same"]

    _clear(db, place, kept + by["differs"])
    home = _hierarchy(db, place, [each.found.header for each in born])
    _write_instances(db, by["new"], by["replaces"], home)
    _write_locations(db, place, kept, "ok")
    _write_locations(db, place, by["differs"], "conflict")
    _write_conflicts(db, place, by["differs"], door)
    _count(db, place, by["new"], by["replaces"], by["same"], home)
    return Recorded(
        new=len(by["new"]),
        conflicts=len(by["differs"]),
        other_patient=sum(
            not home[each.found.header.series_instance_uid].fits(each.found.header) for each in born
        ),
    )


def _clear(db: sa.Connection, place: Place, judged: Sequence[Judged]) -> None:
    """Takes away what was said of these files before, but for their locations, which are overwritten."""
    keys = [each.found.entry.key for each in judged]
    for table in (refusals, conflicts):
        db.execute(sa.delete(table).where(table.c.store == place.id, table.c.key.in_(keys)))
    left = {
        each.view.own.key
        for each in judged
        if each.view.own and each.view.own.key != instance_key(each.found.header.sop_instance_uid)
    }
    if left:
        changes.of_instances(db, left)


@dataclass(frozen=True, slots=True)
class _Home:
    """A series that objects belong to, with the study and patient that it was first seen with."""

    id: int
    study_uid: str
    patient_id: str

    def fits(self, header: Header) -> bool:
        return (self.study_uid, self.patient_id) == (
            columns.clean(header.study_instance_uid),
            columns.clean(header.attributes.get("PatientID", "")),
        )


def _hierarchy(db: sa.Connection, place: Place, found: Sequence[Header]) -> dict[str, _Home]:
    """The series of these objects, with their studies and patients, made where they are new; by their UIDs.

    A series takes its attributes from the object that brought it, and stays in the study that it came with.
    """
    wanted = {header.series_instance_uid: header for header in reversed(found)}
    home = _homes(db, wanted)
    missing = {uid: header for uid, header in wanted.items() if uid not in home}
    if missing:
        study_ids = _studies(db, place, list(missing.values()))
        now = time.time()
        rows = [
            columns.values("SERIES", header.attributes)
            | {
                "uid": uid,
                "study": study_ids[header.study_instance_uid],
                "sop_class": header.sop_class_uid,
                "words": _words(header),
                "changed": now,
            }
            for uid, header in missing.items()
        ]
        db.execute(insert_new(db, series), rows)
        home |= _homes(db, missing)
    return home


def _homes(db: sa.Connection, uids: Collection[str]) -> dict[str, _Home]:
    rows = db.execute(
        sa.select(series.c.uid, series.c.id, studies.c.uid, patients.c.patient_id)
        .join(studies, studies.c.id == series.c.study)
        .join(patients, patients.c.id == studies.c.patient)
        .where(series.c.uid.in_(list(uids)))
    )
    return {uid: _Home(*rest) for uid, *rest in rows}


def _studies(db: sa.Connection, place: Place, found: Sequence[Header]) -> dict[str, int]:
    """Ids of the studies of these objects, by their UIDs."""
    wanted = {header.study_instance_uid: header for header in reversed(found)}
    ids = _study_ids(db, wanted)
    missing = [header for uid, header in wanted.items() if uid not in ids]
    if missing:
        patient_ids = _patients(db, place, missing)
        rows = [
            columns.values("STUDY", header.attributes)
            | {"uid": header.study_instance_uid, "patient": patient_ids[_patient_key(place, header)]}
            for header in missing
        ]
        db.execute(insert_new(db, studies), rows)
        ids = _study_ids(db, wanted)
    return ids


def _study_ids(db: sa.Connection, uids: Collection[str]) -> dict[str, int]:
    rows = db.execute(sa.select(studies.c.uid, studies.c.id).where(studies.c.uid.in_(list(uids))))
    return {row.uid: row.id for row in rows}


_PatientKey = tuple[str, str, str]


def _patient_key(place: Place, header: Header) -> _PatientKey:
    """Namespace, Patient ID, issuer. A study without Patient ID is a patient of its own."""
    row = columns.values("PATIENT", header.attributes)
    namespace = place.namespace if row["patient_id"] else f"{place.namespace} {header.study_instance_uid}"
    return namespace, row["patient_id"], row["issuer"]


def _patients(db: sa.Connection, place: Place, found: Sequence[Header]) -> dict[_PatientKey, int]:
    wanted = {_patient_key(place, header): header for header in reversed(found)}
    rows = [
        columns.values("PATIENT", header.attributes) | {"namespace": key[0]} for key, header in wanted.items()
    ]
    db.execute(insert_new(db, patients), rows)
    c = patients.c
    rows_now = db.execute(
        sa.select(c.namespace, c.patient_id, c.issuer, c.id).where(
            c.namespace.in_({key[0] for key in wanted}), c.patient_id.in_({key[1] for key in wanted})
        )
    )
    return {(namespace, patient_id, issuer): id_ for namespace, patient_id, issuer, id_ in rows_now}


_WORDS = (
    *("PatientID", "PatientName", "AccessionNumber", "StudyDescription", "SeriesDescription", "ProtocolName"),
    *("Modality", "BodyPartExamined", "Manufacturer", "ManufacturerModelName"),
)


def _words(header: Header) -> str:
    """What free text is looked for in."""
    found = " ".join(filter(None, (header.attributes.get(keyword) for keyword in _WORDS)))
    return fold(columns.clean(found)) or ""


def _write_instances(
    db: sa.Connection, new: Sequence[Judged], replaced: Sequence[Judged], home: Mapping[str, _Home]
) -> None:
    pack = zstandard.ZstdCompressor(level=1).compress
    if new:
        db.execute(sa.insert(instances), [_instance(each.found.header, home) for each in new])
        db.execute(sa.insert(headers), [_header(each.found.header, pack) for each in new])
    if replaced:
        rows = [_instance(each.found.header, home) | {"b_key": _key(each)} for each in replaced]
        db.execute(sa.update(instances).where(instances.c.key == sa.bindparam("b_key")), rows)
        rows = [_header(each.found.header, pack) | {"b_key": _key(each)} for each in replaced]
        db.execute(sa.update(headers).where(headers.c.key == sa.bindparam("b_key")), rows)


def _key(judged: Judged) -> bytes:
    return instance_key(judged.found.header.sop_instance_uid)


def _frames(header: Header) -> int:
    """0: it has no pixels."""
    if header.pixels is None:
        return 0
    return max(columns.whole_number(header.attributes.get("NumberOfFrames", "")) or 1, 1)


def _instance(header: Header, home: Mapping[str, _Home]) -> dict[str, Any]:
    return columns.values("IMAGE", header.attributes) | {
        "key": instance_key(header.sop_instance_uid),
        "uid": header.sop_instance_uid,
        "series": home[header.series_instance_uid].id,
        "sop_class": header.sop_class_uid,
        "frames": _frames(header),
    }


def _header(header: Header, pack: Callable[[bytes], bytes]) -> dict[str, Any]:
    base = header.dataset_offset
    return {
        "key": instance_key(header.sop_instance_uid),
        "raw": pack(header.raw),
        "implicit": header.implicit,
        "transfer_syntax": header.transfer_syntax_uid,
        "pixels_vr": header.pixels.vr if header.pixels else None,
        "omitted": [[o.at, o.offset - base if o.offset >= 0 else -1, o.length] for o in header.omitted],
    }


def _write_locations(db: sa.Connection, place: Place, judged: Sequence[Judged], state: str) -> None:
    rows = [_location(place, each) | {"state": state} for each in judged]
    fresh = [row for row, each in zip(rows, judged, strict=True) if each.view.own is None]
    if fresh:
        db.execute(sa.insert(locations), fresh)
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
    if not judged:
        return
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
    db.execute(sa.insert(conflicts), rows)


def _count(
    db: sa.Connection,
    place: Place,
    new: Sequence[Judged],
    replaced: Sequence[Judged],
    same: Sequence[Judged],
    home: Mapping[str, _Home],
) -> None:
    """Keeps the sums of series, where they lie, and the change feed."""
    more: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for each in new:
        sums = more[each.found.header.series_instance_uid]
        sums[0] += 1
        sums[1] += _frames(each.found.header)
        sums[2] += each.found.entry.size
    now = time.time()
    if more:
        c = series.c
        db.execute(
            sa.update(series)
            .where(c.id == sa.bindparam("b_id"))
            .values(
                instances=c.instances + sa.bindparam("b_instances"),
                frames=c.frames + sa.bindparam("b_frames"),
                bytes=c.bytes + sa.bindparam("b_bytes"),
                revision=c.revision + 1,
                changed=now,
            ),
            [
                {"b_id": home[uid].id, "b_instances": sums[0], "b_frames": sums[1], "b_bytes": sums[2]}
                for uid, sums in more.items()
            ],
        )
    left = {
        each.view.instance.series: each.view.instance.series_uid for each in replaced if each.view.instance
    }
    joined = {
        home[each.found.header.series_instance_uid].id: each.found.header.series_instance_uid
        for each in replaced
    }
    recount(db, left | joined)
    also = {each.view.instance.series: each.view.instance.series_uid for each in same if each.view.instance}
    touched = {home[uid].id: uid for uid in more} | left | joined | also
    holding = [
        {"series": id_, "store": place.id}
        for id_ in ({home[uid].id for uid in more} | set(joined) | set(also))
    ]
    if holding:
        db.execute(insert_new(db, series_stores), holding)
    changes.add(db, "series-changed", touched.values())


def insert_new(db: sa.Connection, table: sa.Table) -> postgresql.Insert | sqlite.Insert:
    """An insert that leaves rows alone that are there already."""
    if db.dialect.name == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing()
    return sqlite.insert(table).on_conflict_do_nothing()
