"""Bytes that are sent here -> one object, or a refusal.

Every door ends here. Success is only said when the bytes are synced and the row is committed. A crash before
that leaves bytes that no row knows, which `sweep` removes.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, cast

import sqlalchemy as sa

from kahu.catalog.delivered import deliver, holder, is_held
from kahu.catalog.judge import Judged, View, judge, look, newcomers, still_true
from kahu.catalog.known import Kept
from kahu.catalog.parents import studies_of
from kahu.catalog.places import Place, Places
from kahu.catalog.record import one_each, write
from kahu.catalog.schema import instance_key, locations
from kahu.catalog.spooling import Spooling
from kahu.db import Database
from kahu.dicom.header import Header
from kahu.dicom.same import says_the_same
from kahu.errors import FAULT, BytesChanged, BytesMissing, Conflict, KahuError, OtherStudy, StorageFull
from kahu.stores import Found, OwnedStore

log = logging.getLogger("kahu.catalog")

Door = Literal["stow", "c-store", "import", "result"]

MOST_ASIDE = 8
"""different objects that are kept aside under one UID: whoever sends more has a fault, and fills no disk"""


@dataclass(frozen=True, slots=True)
class Received:
    """An object that is kept now."""

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    duplicate: bool
    """it was known already: the same object, sent again"""


@dataclass(frozen=True, slots=True)
class Arrival:
    """An object that lies in Kahu's own store, and of which no row knows yet."""

    found: Found
    digest: str
    """SHA-256 of its data set"""
    door: Door
    task: str
    """that delivered it; empty: it is no result"""
    attempt: int


Outcome = Received | KahuError
"""what became of an object: it is kept, or why it is not"""

OnDisk = Callable[[Arrival], None]
"""returns when the bytes of an object are synced; StorageFull"""


def receive(
    database: Database,
    places: Places,
    chunks: Iterable[bytes],
    *,
    door: Door,
    task: str = "",
    attempt: int = 0,
    study: str = "",
) -> Received:
    """Keeps one object, a file in the sense of PS3.10, byte for byte. Where many come at once, `inbox` is faster.

    With `task`, it is kept pending under that attempt and seen by nobody. `study`: the study that it must be
    of, if one was named. NotDicom, BrokenDicom; StorageFull; OtherStudy: it is of another, or its series is;
    Conflict: another object has its UID, and this one is kept aside for a person to decide.
    """
    place, store = places.owned()
    with Spooling(store) as spooling:
        for chunk in chunks:
            spooling.write(chunk)
        arrival = keep(spooling, spooling.header(), door=door, task=task, attempt=attempt, study=study)
        (outcome,) = settle(database, places, place, [arrival], lambda one: spooling.sync(one.found.entry))
    if isinstance(outcome, KahuError):
        raise outcome
    return outcome


def keep(spooling: Spooling, header: Header, *, door: Door, task: str, attempt: int, study: str) -> Arrival:
    """Puts an object that has come whole into Kahu's own store. OtherStudy: it is of another study than `study`, if
    one is named. StorageFull."""
    if study not in ("", header.study_instance_uid):
        raise OtherStudy("it is of another study than it was sent to", "send it to its own study")
    digest = spooling.digest(header)
    return Arrival(Found(spooling.keep(), header), digest, door, task, attempt)


def settle(
    database: Database, places: Places, place: Place, arrivals: Sequence[Arrival], on_disk: OnDisk
) -> list[Outcome]:
    """Writes the rows of objects that lie in the store `place`, many in one transaction; what became of each.

    Bytes that are not wanted are removed. An object that cannot be written is refused alone.
    """
    batch = _Batch(database, places, place, arrivals, on_disk)
    try:
        batch.write_pending()
        batch.write()
    except (KahuError, OSError, sa.exc.SQLAlchemyError) as error:
        if len(arrivals) > 1:  # what of it is written already is written again, which changes nothing
            return [
                outcome for one in arrivals for outcome in settle(database, places, place, [one], on_disk)
            ]
        if isinstance(error, KahuError):
            batch.remove(arrivals)
            return [error]
        log.error("an object could not be written", exc_info=error)
        return [KahuError("it could not be written", FAULT)]  # and rows may know its bytes: a sweep will tell
    batch.remove(batch.unwanted)
    return [batch.outcomes[one.found.entry.key] for one in arrivals]


class _Batch:
    """Objects whose rows are written together, and what has become of them so far."""

    def __init__(
        self,
        database: Database,
        places: Places,
        place: Place,
        arrivals: Sequence[Arrival],
        on_disk: OnDisk,
    ) -> None:
        self.outcomes: dict[str, Outcome] = {}
        """by their keys in the store"""
        self.unwanted: list[Arrival] = []
        self._database = database
        self._places = places
        self._place = place
        self._arrivals = {one.found.entry.key: one for one in arrivals}
        self._on_disk = on_disk

    def write_pending(self) -> None:
        """Writes what tasks have delivered."""
        delivered = [one for one in self._arrivals.values() if one.task]
        if not delivered:
            return
        with self._database.write() as db:
            self._tell([(one, *_delivered(db, self._place, one)) for one in delivered])

    def write(self) -> None:
        """Writes all that nobody knew of in one transaction; and in more, if there are any, those that meet
        others of their own UID: one of this batch, or one that is known."""
        first, waiting = one_each(one.found for one in self._arrivals.values() if not one.task)
        if first:
            with self._database.write() as db:
                new, known = newcomers(db, self._place.id, first)
                self._write(db, [replace(each, digest=self._of(each).digest) for each in new])
            waiting += known
        while waiting:
            now, waiting = one_each(waiting)
            with self._database.read() as db:
                views = look(db, self._place.id, now)
            judged = [self._judge(each, view) for each, view in zip(now, views, strict=True)]
            with self._database.write() as db:
                done, again = still_true(db, self._place.id, judged)
                self._write(db, done)
            waiting += [each.found for each in again]

    def remove(self, arrivals: Iterable[Arrival]) -> None:
        """Removes bytes that nobody wants."""
        store = cast(OwnedStore, self._places.store(self._place.id))
        for one in arrivals:
            with suppress(StorageFull):  # what cannot be removed now is swept when Kahu starts
                store.delete(one.found.entry.key)

    def _judge(self, found: Found, view: View) -> Judged:
        digest = self._arrivals[found.entry.key].digest
        judged = judge(self._database, self._places, self._place.id, found, digest, view)
        if judged.judgement == "differs" and self._is_held_otherwise_written(judged):
            return replace(judged, judgement="same")
        return judged

    def _is_held_otherwise_written(self, judged: Judged) -> bool:
        """Whether Kahu's own store has what says the same in other bytes. They stay; those that have come are not
        kept, since locations of one instance in one transfer syntax must have the same bytes at the same places."""
        held = holder(self._place, judged)
        if held is None:
            return False
        store, here = self._places.store(self._place.id), judged.found.entry
        try:
            return says_the_same(
                partial(store.read, held.entry), held.entry.size, partial(store.read, here), here.size
            )
        except (BytesChanged, BytesMissing):
            return False

    def _write(self, db: sa.Connection, judged: Sequence[Judged]) -> None:
        """Writes what was judged, as far as it is wanted."""
        strays = _strays(db, judged)
        told = [
            (self._of(each), *(_STRAY if each.found.entry.key in strays else _outcome(db, self._place, each)))
            for each in judged
        ]
        by_door: dict[Door, list[Judged]] = defaultdict(list)
        for each, (arrival, _, wanted) in zip(judged, told, strict=True):
            if wanted:
                by_door[arrival.door].append(each)
        for door, together in by_door.items():
            write(db, self._place, together, door)
        self._tell(told)

    def _tell(self, told: Iterable[tuple[Arrival, Outcome, bool]]) -> None:
        """To be called at the end of the transaction that writes the rows of those that are wanted."""
        for arrival, outcome, wanted in told:
            self.outcomes[arrival.found.entry.key] = outcome
            if wanted:
                self._on_disk(arrival)
            else:
                self.unwanted.append(arrival)

    def _of(self, judged: Judged) -> Arrival:
        return self._arrivals[judged.found.entry.key]


_STRAY: tuple[Outcome, bool] = (
    OtherStudy(
        "its Series Instance UID is that of a series of another study", "correct it where it came from"
    ),
    False,
)


def _strays(db: sa.Connection, judged: Sequence[Judged]) -> set[str]:
    """Keys of new objects whose series is of another study: they would be shown among another patient's."""
    new = [each.found for each in judged if each.judgement == "new"]
    study_of = studies_of(db, {each.header.series_instance_uid for each in new})
    return {
        each.entry.key
        for each in new
        if study_of.setdefault(each.header.series_instance_uid, each.header.study_instance_uid)
        != each.header.study_instance_uid
    }


def _outcome(db: sa.Connection, place: Place, judged: Judged) -> tuple[Outcome, bool]:
    """What becomes of an object, and whether its bytes are wanted."""
    if judged.judgement == "gone":
        return BytesMissing("it vanished from Kahu's own store as it was received", "send it again"), False
    if judged.judgement != "differs":
        return _received(judged.found.header, judged.judgement == "same"), not is_held(place, judged)
    aside = _aside(db, place, judged)
    is_new, has_room = judged.digest not in aside, len(aside) < MOST_ASIDE
    where = "kept aside" if has_room or not is_new else "not kept: too many others are kept aside already"
    return Conflict(f"another object has its UID, and this one is {where}", "see kahu conflicts"), (
        is_new and has_room
    )


def _received(header: Header, duplicate: bool) -> Received:
    return Received(
        header.sop_class_uid,
        header.sop_instance_uid,
        header.study_instance_uid,
        header.series_instance_uid,
        duplicate,
    )


def _aside(db: sa.Connection, place: Place, judged: Judged) -> set[str | None]:
    """The digests of what is kept aside in Kahu's own store under the UID of an object."""
    key = instance_key(judged.found.header.sop_instance_uid)
    c = locations.c
    here = sa.and_(c.instance == key, c.store == place.id, c.state == "conflict")
    return set(db.scalars(sa.select(c.digest).where(here)))


def _delivered(db: sa.Connection, place: Place, arrival: Arrival) -> tuple[Outcome, bool]:
    """What becomes of a result, and whether its bytes are wanted."""
    known = deliver(db, place, arrival.found, arrival.digest, arrival.task, arrival.attempt)
    if known == "differs":
        return Conflict(
            "two different objects were delivered under one SOP Instance UID",
            "give each object a UID of its own",
        ), False
    return _received(arrival.found.header, known == "same"), known == "new"


def sweep(database: Database, places: Places) -> int:
    """Removes bytes in Kahu's own store that no row knows: what crashes have left. Only while nothing arrives."""
    place, store = places.owned()
    return store.sweep(Kept(database, place.id))
