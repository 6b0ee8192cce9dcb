"""Studies from a peer into Kahu's own store: by C-GET over our own association, or by C-MOVE to ourselves
(PS3.4 C.4.2, C.4.3).

A part, a series mostly, is asked for at a time. What a peer says that it has (C-FIND at the image level) is compared
with what is here, so that only what is missing comes, and what did not come is told of by name.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from pydicom import Dataset

from kahu.catalog import fetch
from kahu.catalog.inbox import Inbox
from kahu.catalog.scope import ALL
from kahu.db import Database
from kahu.dimse import command, question
from kahu.dimse.association import Association, Message
from kahu.dimse.contexts import ALL as SYNTAXES
from kahu.dimse.contexts import (
    COMPRESSED,
    LITTLE,
    NATIVE,
    STUDY_FIND,
    STUDY_GET,
    STUDY_MOVE,
    proposed,
    to_take,
)
from kahu.dimse.course import Course
from kahu.dimse.identifier import decode_answer, encode
from kahu.dimse.peers import Peer, Peers
from kahu.dimse.reach import Ourselves, answer, reached, refused
from kahu.dimse.scu import answered, matches
from kahu.dimse.status import DESTINATION_UNKNOWN, DOES_NOT_MATCH, SUCCESS, Operation, pending, words
from kahu.dimse.taken import take
from kahu.dimse.transfers import Part, State, Transfers
from kahu.errors import NotFound, RefusedByPeer
from kahu.work import Report, Task

SOME = 100
"""objects that are asked for by their UIDs at a time"""

PATIENCE = 300.0
"""seconds in which a peer must send the next object: it may have to fetch it from a tape"""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What is missing here of a part."""

    part: Part
    uids: tuple[str, ...]
    """SOP Instance UIDs; empty: the peer has not told, so all"""
    whole: bool
    """nothing of the part is here, so it can be asked for as a whole"""
    classes: frozenset[str]
    """SOP classes; empty: not known"""


class Retriever:
    """Does tasks of the kind `retrieve`."""

    def __init__(
        self, database: Database, inbox: Inbox, peers: Peers, transfers: Transfers, us: Ourselves
    ) -> None:
        self._database = database
        self._inbox = inbox
        self._peers = peers
        self._transfers = transfers
        self._us = us

    def __call__(self, task: Task, report: Report) -> object:
        """Retrieves what is left of a transfer. AssociationRefused, AssociationLost, RefusedByPeer; Incomplete: not
        everything has come."""
        peer = self._peers.get(str(task.payload["peer"]))
        with Course(self._transfers, task, report) as course:
            self._split(task, peer, course)
            for part in self._transfers.left(task):
                wanted = self._wanted(part, peer, course)
                if wanted is None or self._retrieve(wanted, peer, course):
                    course.flush()
                    self._transfers.done(task, part)
            return course.end()

    def _split(self, task: Task, peer: Peer, course: Course) -> None:
        """Studies become their series, as the peer lists them."""
        studies = [part for part in self._transfers.left(task) if not part.series]
        if not studies:
            return
        with reached(course.report, peer, proposed([(STUDY_FIND, NATIVE)]), self._us) as association:
            for study in studies:
                course.report(message="asking what there is")
                identifier = question.identifier("SERIES", {"study": study.study})
                rows = [question.row(one) for one in matches(association, peer, STUDY_FIND, identifier)]
                series = [_series(study.study, row) for row in rows if row.get("SeriesInstanceUID")]
                if not series:
                    raise NotFound(
                        f"{peer.name} has no study {study.study}",
                        "look for it: kahu query, or the page Peers",
                    )
                self._transfers.split(task, study, series)
        course.expect(self._transfers.total(task))

    def _wanted(self, part: Part, peer: Peer, course: Course) -> _Wanted | None:
        """What is missing of a part; None: nothing is."""
        identifier = question.identifier("IMAGE", {"study": part.study, "series": part.series})
        with reached(course.report, peer, proposed([(STUDY_FIND, NATIVE)]), self._us) as association:
            rows = [question.row(one) for one in matches(association, peer, STUDY_FIND, identifier)]
        there = {row["SOPInstanceUID"]: row.get("SOPClassUID", "") for row in rows if "SOPInstanceUID" in row}
        here = self._here(part, there)
        for uid in here - course.settled:
            course.said(uid, "already")
        missing = tuple(uid for uid in there if uid not in here)
        if there and not missing:
            return None
        return _Wanted(part, missing, not here, frozenset(filter(None, there.values())))

    def _here(self, part: Part, uids: Iterable[str]) -> set[str]:
        """Which of these objects can be had here."""
        try:
            with self._database.read() as db:
                found = fetch.instances(db, ALL, study=part.study, series=part.series)
        except NotFound:
            return set()
        return {one.sop_instance_uid for one in found if one.locations} & set(uids)

    def _retrieve(self, wanted: _Wanted, peer: Peer, course: Course) -> bool:
        """Whether all of it has come."""
        if wanted.classes:
            # Some give everything in the first context that they have accepted, and fail where they cannot convert.
            failed, spoken = self._over_one(wanted, peer, course, SYNTAXES)
            again = [LITTLE, *((syntax,) for syntax in spoken or ())]
        else:
            # Too many SOP classes for a context of each transfer syntax: what is compressed comes with the second.
            failed, spoken = self._over_one(wanted, peer, course, LITTLE)
            again = [COMPRESSED]
        for syntaxes in again if failed and spoken is not None else ():
            missing = tuple(uid for uid in wanted.uids if uid not in course.settled)
            if missing:
                rest = replace(wanted, uids=missing, whole=False)
                failed |= self._over_one(rest, peer, course, syntaxes)[0]
        return self._account(wanted, failed, course)

    def _over_one(
        self, wanted: _Wanted, peer: Peer, course: Course, syntaxes: Sequence[str]
    ) -> tuple[dict[str, str], list[str] | None]:
        """Retrieves over one association, in these transfer syntaxes: why objects have failed, by their UIDs; and which
        compressed ones the peer has accepted, None if it sends over an association of its own (C-MOVE)."""
        contexts, roles = to_take(wanted.classes, syntaxes)
        with reached(course.report, peer, contexts, self._us, roles) as association:
            gives = association.context_for(STUDY_GET)
            if gives is not None:
                context, model, field, more = gives, STUDY_GET, command.C_GET, {}
            else:
                context, model, field = self._can_move(association, peer), STUDY_MOVE, command.C_MOVE
                more = {"MoveDestination": self._us.aet}
            failed: dict[str, str] = {}
            for identifier in _identifiers(wanted):
                asked = command.request(field, model, association.next_message_id()) | more
                syntax = association.contexts[context].transfer_syntax
                association.send(context, asked, [encode(identifier, syntax)])
                failed |= _Exchange(association, peer, self._inbox, course).until_done(asked, syntax)
            spoken = {each.transfer_syntax for each in association.contexts.values()} - {*NATIVE}
        return failed, sorted(spoken) if gives is not None else None

    def _can_move(self, association: Association, peer: Peer) -> int:
        """The context for a C-MOVE to ourselves. RefusedByPeer: that is not possible, and what to do."""
        context = association.context_for(STUDY_MOVE)
        if context is None:
            raise RefusedByPeer(f"{peer.name} gives no objects (C-GET, C-MOVE)", "see its configuration")
        if self._us.port is None:
            raise RefusedByPeer(
                f"{peer.name} gives objects by C-MOVE only, and this Kahu does not listen for them",
                f"start it with --dimse-port 11112, and have {peer.name} know {self._us.aet} at that port",
            )
        if "store" not in peer.may:
            raise RefusedByPeer(
                f"{peer.name} gives objects by C-MOVE only, and may not store here",
                "remove it, and add it again with --may store",
            )
        return context

    def _account(self, wanted: _Wanted, failed: Mapping[str, str], course: Course) -> bool:
        """Says of each object whether it has come."""
        if not wanted.uids:  # what it should have been is not known
            for uid, reason in failed.items():
                course.said(uid if uid != _OTHERS else wanted.part.series, "failed", reason)
            return not failed
        here = self._here(wanted.part, wanted.uids)
        for uid in wanted.uids:
            if uid not in here:
                others = failed.get(_OTHERS, "the peer has not sent it")
                course.said(uid, "failed", failed.get(uid, others))
            elif uid not in course.settled:
                course.said(uid, "arrived")
        return len(here) == len(wanted.uids)


class _Exchange:
    """One C-GET or C-MOVE, and the objects that come by it."""

    def __init__(self, association: Association, peer: Peer, inbox: Inbox, course: Course) -> None:
        self._association = association
        self._peer = peer
        self._inbox = inbox
        self._course = course
        self._failed: dict[str, str] = {}

    def until_done(self, asked: command.Command, syntax: str) -> dict[str, str]:
        """Takes what comes until the peer says that it is done; the objects that failed, with the reason.

        RefusedByPeer: it would do none of it, whatever is asked for. AssociationLost.
        """
        operation: Operation = "C-GET" if asked["CommandField"] == command.C_GET else "C-MOVE"
        while True:
            message = answer(self._association, self._peer, PATIENCE)
            if message.command["CommandField"] == command.C_STORE:
                self._take(message)
                continue
            code = answered(message.command, asked)
            if pending(code):
                moved = message.command.get("NumberOfCompletedSuboperations", 0)
                self._course.tell(under_way=moved if operation == "C-MOVE" else 0)
                continue
            if code in _HINTS:
                raise refused(self._peer, code, operation, _HINTS[code])
            if message.data is not None:
                told = decode_answer(message.data, syntax)
                for uid in _several(told.get("FailedSOPInstanceUIDList")):
                    self._failed.setdefault(uid, "the peer could not send it")
            if code != SUCCESS:
                self._failed[_OTHERS] = words(code, operation)
            return self._failed

    def _take(self, message: Message) -> None:
        """Keeps an object that comes by C-GET, and answers when it is durable (PS3.4 C.4.3.3)."""
        context = self._association.contexts[message.context_id]
        taken = take(self._inbox, message, context, self._peer.aet)
        if taken.received:
            state: State = "already" if taken.received.duplicate else "arrived"
            self._course.said(taken.received.sop_instance_uid, state)
        else:
            self._failed[message.command.get("AffectedSOPInstanceUID", "")] = taken.comment
        reply = command.response(message.command, taken.status, taken.comment)
        self._association.send(message.context_id, reply)


_OTHERS = ""  # in place of a UID: why the objects failed that the peer has not named

# Refusals that are the same for every object.
_HINTS = {
    DESTINATION_UNKNOWN: "have its administrator make this Kahu known there: AE title, address and DIMSE port",
    DOES_NOT_MATCH: "its log may say more",
}


def _series(study: str, row: Mapping[str, str]) -> Part:
    number = row.get("NumberOfSeriesRelatedInstances", "")
    return Part(study, row["SeriesInstanceUID"], int(number) if number.isdecimal() else 0)


def _identifiers(wanted: _Wanted) -> list[Dataset]:
    """What is asked for: the part as a whole where nothing of it is here, else the objects that are missing."""
    whole = question.wanted(wanted.part.study, wanted.part.series)
    if wanted.whole or not wanted.uids:
        return [whole]
    return [
        question.wanted(wanted.part.study, wanted.part.series, wanted.uids[at : at + SOME])
        for at in range(0, len(wanted.uids), SOME)
    ]


def _several(value: object) -> list[str]:
    if value is None or value == "":
        return []
    return [value] if isinstance(value, str) else list(map(str, value))  # type: ignore[call-overload]
