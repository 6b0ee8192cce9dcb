"""Series to a peer (C-STORE, PS3.4 annex B): byte for byte as they are kept, wherever the peer takes them so."""

from collections.abc import Iterator, Sequence

import sqlalchemy as sa

from kahu.catalog import fetch
from kahu.catalog.fetch import Located
from kahu.catalog.places import Places
from kahu.catalog.plan import plan_of
from kahu.catalog.schema import series, studies
from kahu.catalog.scope import ALL, Scope
from kahu.db import Database
from kahu.dicom.query import Match, Query
from kahu.dimse import command
from kahu.dimse.association import Association
from kahu.dimse.contexts import LITTLE, to_send
from kahu.dimse.course import Course
from kahu.dimse.given import given
from kahu.dimse.peers import Peer, Peers
from kahu.dimse.reach import Ourselves, answer, reached
from kahu.dimse.scu import answered
from kahu.dimse.status import DUPLICATE, stored, words
from kahu.dimse.transfers import Part, State, Transfers
from kahu.errors import (
    AssociationLost,
    AssociationRefused,
    BytesChanged,
    BytesMissing,
    KahuError,
    NotFound,
)
from kahu.work import Report, Task

TRIES = 5
"""associations in a row that may be lost before the transfer fails"""
PAUSE = 2.0
"""seconds before the second of them; each time as many more"""

_KINDS = 60  # pairs of SOP class and transfer syntax in one association: each takes up to two contexts
_AT_ONCE = 1000
_OBJECTS = 5000


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
        self._met = False  # whether there has been one at all
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
        kinds = {(one.sop_class_uid, one.transfer_syntax): LITTLE for one in left}
        with reached(self._course.report, self._peer, to_send(kinds), self._us) as association:
            self._met = True
            while left:
                self._under_way = left[0].sop_instance_uid
                self._answered(left, *self._store(association, left[0]))

    def _answered(self, left: list[Located], state: State, reason: str = "") -> None:
        self._failures = 0
        self._course.said(left.pop(0).sop_instance_uid, state, reason)

    def _bear(self, error: KahuError, left: list[Located]) -> None:
        self._failures += 1
        if not self._met or self._failures >= TRIES:
            raise error
        if self._under_way and self._under_way == self._blamed:
            left.pop(0)
            self._course.said(self._under_way, "failed", f"the association was lost at it, twice: {error}")
        self._blamed = self._under_way
        self._course.report.wait(PAUSE * self._failures)

    def _store(self, association: Association, one: Located) -> tuple[State, str]:
        """Sends one object; what has come of it, and why if it failed."""
        try:
            context, data = given(association, self._places, one, LITTLE)
        except KahuError as error:
            return "failed", str(error)
        request = command.request(command.C_STORE, one.sop_class_uid, association.next_message_id())
        request["AffectedSOPInstanceUID"] = one.sop_instance_uid
        association.send(context, request, data)
        code = answered(answer(association, self._peer).command, request)
        if stored(code):
            return "arrived", ""
        return ("already", "") if code == DUPLICATE else ("failed", words(code, "C-STORE"))


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
