"""Series to a peer (C-STORE, PS3.4 annex B): byte for byte as they are kept, wherever the peer takes them so."""

from collections.abc import Iterator, Sequence
from itertools import chain

import sqlalchemy as sa
from pydicom.config import IGNORE
from pydicom.uid import UID

from kahu.catalog import fetch
from kahu.catalog.fetch import Located
from kahu.catalog.places import Places
from kahu.catalog.plan import plan_of
from kahu.catalog.schema import series, studies
from kahu.catalog.scope import ALL, Scope
from kahu.db import Database
from kahu.dicom.header import read_header
from kahu.dicom.query import Match, Query
from kahu.dimse import command
from kahu.dimse.association import Association
from kahu.dimse.contexts import EXPLICIT_LE, IMPLICIT_LE, to_send
from kahu.dimse.course import Course
from kahu.dimse.peers import Peer, Peers
from kahu.dimse.reach import Ourselves, answer, reached
from kahu.dimse.scu import asking, status_of
from kahu.dimse.status import DUPLICATE, stored, words
from kahu.dimse.transfers import Part, State, Transfers
from kahu.errors import (
    AssociationLost,
    AssociationRefused,
    BytesChanged,
    BytesMissing,
    KahuError,
    NotFound,
    RefusedByPeer,
)
from kahu.work import Report, Task

FORMS = (EXPLICIT_LE, IMPLICIT_LE)
"""in which any object can be given whose pixels can be decoded; every receiver takes the last (PS3.5 §10.1)"""

TRIES = 3
"""associations in a row that may fail before the transfer does"""
PAUSE = 2.0
"""seconds between two of them; twice as many each time"""

_KINDS = 60  # pairs of SOP class and transfer syntax in one association: each takes up to two contexts
_AT_ONCE = 1000
_OBJECTS = 5000
_CHUNK = 1 << 20


def chosen(db: sa.Connection, uids: Sequence[str], scope: Scope) -> list[Part]:
    """These series, to be sent. NotFound: one of them is not here, or out of scope."""
    found: dict[str, Part] = {}
    wanted = list(dict.fromkeys(uids))
    for at in range(0, len(wanted), _AT_ONCE):
        some = Match(("SeriesInstanceUID",), "list", tuple(wanted[at : at + _AT_ONCE]))
        found |= {part.series: part for part in matching(db, Query("SERIES", (some,)), scope)}
    if len(found) < len(wanted):
        missing = len(wanted) - len(found)
        raise NotFound(f"{missing} of these series are not here", "look for them again: kahu find")
    return [found[uid] for uid in wanted]


def matching(db: sa.Connection, query: Query, scope: Scope) -> list[Part]:
    """The series that match, to be sent."""
    statement = plan_of(query, scope).select(studies.c.uid, series.c.uid, series.c.instances)
    if query.limit is not None:
        statement = statement.limit(query.limit)
    return [Part(*row) for row in db.execute(statement.order_by(series.c.id))]


class Sender:
    """Does tasks of the kind `send`."""

    def __init__(
        self, database: Database, places: Places, peers: Peers, transfers: Transfers, us: Ourselves
    ) -> None:
        self._database = database
        self._places = places
        self._peers = peers
        self._transfers = transfers
        self._us = us

    def __call__(self, task: Task, report: Report) -> object:
        """Sends what is left of a transfer. AssociationRefused, AssociationLost: the peer cannot be reached, or not
        any more; Incomplete: it has not taken everything."""
        peer = self._peers.get(str(task.payload["peer"]))
        with Course(self._transfers, task, report) as course:
            sending = _Sending(peer, self._us, self._places, course)
            for group in _groups(self._objects(task, course)):
                sending.all_of(group)
            return course.end()

    def _objects(self, task: Task, course: Course) -> Iterator[Located]:
        """The objects of all parts but those that the peer has."""
        for part in self._transfers.left(task):
            course.report.check()
            try:
                with self._database.read() as db:
                    found = fetch.instances(db, ALL, study=part.study, series=part.series)
            except NotFound:
                course.said(part.series, "failed", "the series is not here any more")
                continue
            for one in found:
                if one.sop_instance_uid in course.settled:
                    continue
                if one.locations:
                    yield one
                else:
                    course.said(one.sop_instance_uid, "failed", "its store is gone, or its file is")


class _Sending:
    """Objects on their way to one peer, over as many associations as it takes."""

    def __init__(self, peer: Peer, us: Ourselves, places: Places, course: Course) -> None:
        self._peer = peer
        self._us = us
        self._places = places
        self._course = course
        self._failures = 0  # associations that failed since an object was answered for
        self._under_way = ""  # the object that is being sent
        self._blamed = ""  # the one at which the last association was lost

    def all_of(self, objects: Sequence[Located]) -> None:
        """Sends these. An association that is lost is begun anew; an object at which two were lost is left out.

        AssociationLost, AssociationRefused: that was of no use, several times.
        """
        left = list(objects)
        while left:
            self._under_way = ""
            try:
                self._over_one(left)
            except (AssociationLost, AssociationRefused) as error:
                self._bear(error, left)
            except (BytesChanged, BytesMissing) as error:  # in the middle of an object
                self._answered(left, "failed", str(error))

    def _over_one(self, left: list[Located]) -> None:
        """Sends over one association; what has been answered for leaves the list."""
        kinds = {(one.sop_class_uid, one.transfer_syntax): FORMS for one in left}
        with reached(self._course.report, self._peer, to_send(kinds), self._us) as association:
            while left:
                self._under_way = left[0].sop_instance_uid
                self._answered(left, *self._store(association, left[0]))

    def _answered(self, left: list[Located], state: State, reason: str = "") -> None:
        self._failures = 0
        self._course.said(left.pop(0).sop_instance_uid, state, reason)

    def _bear(self, error: KahuError, left: list[Located]) -> None:
        self._failures += 1
        if self._failures >= TRIES:
            raise error
        if self._under_way and self._under_way == self._blamed:
            left.pop(0)
            self._course.said(self._under_way, "failed", f"the association was lost at it, twice: {error}")
        self._blamed = self._under_way
        self._course.report.wait(PAUSE * self._failures)

    def _store(self, association: Association, one: Located) -> tuple[State, str]:
        """Sends one object; what has come of it, and why if it failed."""
        try:
            context, data = self._given(association, one)
        except KahuError as error:
            return "failed", str(error)
        request = asking(association, command.C_STORE, one.sop_class_uid)
        request["AffectedSOPInstanceUID"] = one.sop_instance_uid
        association.send(context, request, data)
        code = status_of(answer(association, self._peer).command, request)
        if stored(code):
            return "arrived", ""
        return ("already", "") if code == DUPLICATE else ("failed", words(code, "C-STORE"))

    def _given(self, association: Association, one: Located) -> tuple[int, Iterator[bytes]]:
        """The context that an object goes by, and its data set for that. KahuError: there is none."""
        as_kept = association.context_for(one.sop_class_uid, (one.transfer_syntax,))
        if as_kept is not None:
            return as_kept, self._kept(one)
        converted = association.context_for(one.sop_class_uid, FORMS)
        if converted is None:
            raise RefusedByPeer(
                f"it does not take objects of this kind: {UID(one.sop_class_uid, IGNORE).name}"
            )
        from kahu.dicom.transcode import transcoded

        target = association.contexts[converted].transfer_syntax

        def read(offset: int, length: int) -> bytes:
            return fetch.read(self._places, one, offset, length)

        whole = transcoded(read, one.entry.size, target)
        header = read_header(lambda offset, length: whole[offset : offset + length], len(whole))
        return converted, iter([whole[header.dataset_offset :]])

    def _kept(self, one: Located) -> Iterator[bytes]:
        """The bytes of an object's data set. What is wrong with its file is known before the first piece."""
        offsets = range(one.dataset_offset, one.entry.size, _CHUNK)
        pieces = (fetch.read(self._places, one, at, min(_CHUNK, one.entry.size - at)) for at in offsets)
        return chain([next(pieces, b"")], pieces)


def _groups(objects: Iterator[Located]) -> Iterator[list[Located]]:
    """As many as one association can carry."""
    group: list[Located] = []
    kinds: set[tuple[str, str]] = set()
    for one in objects:
        kind = (one.sop_class_uid, one.transfer_syntax)
        if len(group) >= _OBJECTS or len(kinds | {kind}) > _KINDS:
            yield group
            group, kinds = [], set()
        group.append(one)
        kinds.add(kind)
    if group:
        yield group
