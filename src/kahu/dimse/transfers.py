"""What is to be sent to a peer or retrieved from it, and how far that is: remembered, so that a restart goes on.

A transfer is a task of the ledger (kinds `send` and `retrieve`) with its parts, a series or a whole study each, and
its objects, each with the peer's answer. Rows are forgotten when all has gone well; until then a retry takes up what
is missing.
"""

import uuid
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from kahu.db import Database, Text, metadata
from kahu.dimse.peers import Peer
from kahu.errors import NotFound
from kahu.work import Ledger, Task, Todo

Kind = Literal["send", "retrieve"]
KINDS: tuple[Kind, ...] = ("send", "retrieve")
State = Literal["arrived", "already", "failed"]

EXAMPLES = 20
"""objects that are named for each reason why some failed"""

parts = sa.Table(
    "transfer_parts",
    metadata,
    sa.Column("task", Text, primary_key=True),
    sa.Column("at", sa.Integer, primary_key=True),
    sa.Column("study", Text, nullable=False),
    sa.Column("series", Text, nullable=False),  # empty: the whole study
    sa.Column("objects", sa.Integer, nullable=False),  # as far as known
    sa.Column("done", sa.Boolean, nullable=False),
)
objects = sa.Table(
    "transfer_objects",
    metadata,
    sa.Column("task", Text, primary_key=True),
    sa.Column("uid", Text, primary_key=True),
    sa.Column("state", Text, nullable=False),  # arrived | already | failed
    sa.Column("reason", Text, nullable=False),
)


@dataclass(frozen=True, slots=True)
class Part:
    """A series, or a whole study where `series` is empty."""

    study: str
    series: str = ""
    objects: int = 0
    """how many it has, as far as known"""
    at: int = 0
    """its place in the transfer"""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one object."""

    uid: str
    """SOP Instance UID"""
    state: State
    reason: str = ""
    """why it failed"""


@dataclass(frozen=True, slots=True)
class Failure:
    """One reason for which objects failed."""

    reason: str
    count: int
    uids: tuple[str, ...]
    """SOP Instance UIDs, some of them"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How far a transfer is."""

    arrived: int
    """objects that were not there before"""
    already: int
    """objects that were there before"""
    failed: int
    failures: tuple[Failure, ...]
    """the most frequent first"""

    def told(self) -> dict[str, Any]:
        """As the result of a task: JSON."""
        return {
            "arrived": self.arrived,
            "already": self.already,
            "failed": self.failed,
            "failures": [
                {"reason": one.reason, "count": one.count, "uids": list(one.uids)} for one in self.failures
            ],
        }


class Transfers:
    """All transfers. Calls block and are safe from many threads."""

    def __init__(self, database: Database, ledger: Ledger) -> None:
        self._database = database
        self._ledger = ledger

    def begin(self, kind: Kind, peer: Peer, wanted: Sequence[Part], by: str) -> Task:
        """Queues a transfer; its task. `by` names who asked."""
        what = _counted(wanted)
        title = f"Sending {what} to {peer.name}" if kind == "send" else f"Retrieving {what} from {peer.name}"
        todo = Todo(
            id=f"{kind}-{uuid.uuid4().hex}", kind=kind, title=title, payload={"peer": peer.name, "by": by}
        )
        with self._database.write() as db:
            _add_parts(db, todo.id, wanted, first=0)
            self._ledger.add(todo, db=db)
        return self._ledger.get(todo.id)

    def get(self, task_id: str) -> Task:
        """NotFound: there is no such transfer."""
        task = self._ledger.get(task_id)
        if task.kind not in KINDS:
            raise NotFound(f"there is no transfer {task_id}", "see /api/transfers")
        return task

    def all(self, limit: int) -> Sequence[Task]:
        """The newest first."""
        return self._ledger.list(kinds=KINDS, limit=limit)

    def retry(self, task_id: str) -> Task:
        """Queues one that failed or was cancelled again: what has not arrived yet is tried once more."""
        task = self.get(task_id)
        self._ledger.add(Todo(id=task.id, kind=task.kind, title=task.title, payload=task.payload))
        return self._ledger.get(task.id)

    # What the worker says

    def left(self, task: Task) -> list[Part]:
        """The parts that are not done, in order."""
        p = parts.c
        query = sa.select(p.study, p.series, p.objects, p.at).where(p.task == task.id, ~p.done).order_by(p.at)
        with self._database.read() as db:
            return [Part(*row) for row in db.execute(query)]

    def total(self, task: Task) -> int:
        """How many objects all its parts have, as far as known."""
        query = sa.select(sa.func.coalesce(sa.func.sum(parts.c.objects), 0)).where(parts.c.task == task.id)
        with self._database.read() as db:
            return int(db.execute(query).scalar_one())

    def split(self, task: Task, part: Part, into: Sequence[Part]) -> None:
        """Puts others, the series of a study, in the place of a part."""
        with self._database.write() as db:
            last = db.execute(sa.select(sa.func.max(parts.c.at)).where(parts.c.task == task.id)).scalar_one()
            db.execute(sa.delete(parts).where(parts.c.task == task.id, parts.c.at == part.at))
            _add_parts(db, task.id, into, first=last + 1)

    def done(self, task: Task, part: Part) -> None:
        """Of a part nothing is left to do."""
        with self._database.write() as db:
            db.execute(
                sa.update(parts).where(parts.c.task == task.id, parts.c.at == part.at).values(done=True)
            )

    def note(self, task: Task, answers: Iterable[Answer]) -> None:
        """Remembers what became of objects; the last word on each holds."""
        rows = [
            {"task": task.id, "uid": one.uid, "state": one.state, "reason": one.reason} for one in answers
        ]
        if not rows:
            return
        insert = sqlite.insert(objects) if self._database.sqlite else postgresql.insert(objects)
        last = {"state": insert.excluded.state, "reason": insert.excluded.reason}
        with self._database.write() as db:
            db.execute(insert.on_conflict_do_update(index_elements=["task", "uid"], set_=last), rows)

    def settled(self, task: Task) -> set[str]:
        """SOP Instance UIDs of the objects that the receiver has."""
        o = objects.c
        with self._database.read() as db:
            return set(db.scalars(sa.select(o.uid).where(o.task == task.id, o.state != "failed")))

    def outcome(self, task: Task) -> Outcome:
        """How far it is, over all attempts."""
        o = objects.c
        with self._database.read() as db:
            states = sa.select(o.state, sa.func.count()).where(o.task == task.id).group_by(o.state)
            counted: dict[str, int] = {str(row[0]): row[1] for row in db.execute(states)}
            failed = db.execute(
                sa.select(o.reason, o.uid).where(o.task == task.id, o.state == "failed").order_by(o.uid)
            ).all()
        reasons = Counter(row.reason for row in failed)
        return Outcome(
            arrived=counted.get("arrived", 0),
            already=counted.get("already", 0),
            failed=counted.get("failed", 0),
            failures=tuple(
                Failure(reason, count, tuple(row.uid for row in failed if row.reason == reason)[:EXAMPLES])
                for reason, count in reasons.most_common(EXAMPLES)
            ),
        )

    def forget(self, task: Task) -> None:
        """All has gone well: what was remembered to go on is not needed any more."""
        with self._database.write() as db:
            for table in (parts, objects):
                db.execute(sa.delete(table).where(table.c.task == task.id))


def _counted(wanted: Sequence[Part]) -> str:
    number = len(wanted)
    if all(part.series for part in wanted):
        return f"{number:,} series"
    return "1 study" if number == 1 else f"{number:,} studies"


def _add_parts(db: sa.Connection, task_id: str, wanted: Sequence[Part], first: int) -> None:
    if not wanted:
        return
    rows = [
        {
            "task": task_id,
            "at": first + at,
            "study": part.study,
            "series": part.series,
            "objects": part.objects,
            "done": False,
        }
        for at, part in enumerate(wanted)
    ]
    db.execute(sa.insert(parts), rows)
