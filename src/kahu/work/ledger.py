"""The ledger: one table of tasks of every kind, in the catalogue's database.

Each change of a task's state is one named statement here and nowhere else. A statement by a worker holds the
task's attempt in its condition, so an old attempt changes nothing.
"""

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from kahu.db import Database, Text, after_commit, metadata
from kahu.errors import KahuError, NotFound
from kahu.work.bell import Bell

State = Literal["queued", "running", "done", "failed", "cancelled"]

LEASE = 30.0
"""seconds that a worker has to beat again"""

tasks = sa.Table(
    "tasks",
    metadata,
    sa.Column("id", Text, primary_key=True),
    sa.Column("kind", Text, nullable=False),  # scan | case | thumbnail | ...
    sa.Column("run", Text, nullable=False, default=""),  # the run it is part of, if any
    sa.Column("title", Text, nullable=False, default=""),  # for people; no patients' data
    sa.Column("payload", sa.JSON, nullable=False),
    sa.Column("state", Text, nullable=False, default="queued"),
    sa.Column("priority", sa.Integer, nullable=False, default=0),  # higher goes first
    sa.Column("attempt", sa.Integer, nullable=False, default=0),  # how often it was leased
    sa.Column("lost", sa.Integer, nullable=False, default=0),  # how many attempts ended without an answer
    sa.Column("max_attempts", sa.Integer, nullable=False, default=10),  # so many may be lost
    sa.Column("worker", Text, nullable=False, default=""),
    sa.Column("lease_until", sa.Float),
    sa.Column("cancel", sa.Boolean, nullable=False, default=False),
    sa.Column("progress", sa.Float),  # 0..1; null: not known
    sa.Column("message", Text, nullable=False, default=""),  # what it is doing, or why it failed
    sa.Column("hint", Text, nullable=False, default=""),  # what to do about it
    sa.Column("result", sa.JSON(none_as_null=True)),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("started", sa.Float),
    sa.Column("ended", sa.Float),
    sa.Column("changed", sa.Float, nullable=False),
    sa.Index("tasks_of_run", "run"),
    sa.Index("tasks_by_change", "changed"),
)
sa.Index("tasks_to_lease", tasks.c.state, tasks.c.kind, tasks.c.priority.desc(), tasks.c.created)

_LOST = "its worker was lost {} times: killed, or out of memory"
_LOST_HINT = "look at its log, give it more memory, then ask for it again"


class Interrupted(KahuError):
    """A handler should stop what it does, tidy up and let this through."""


class Lost(Interrupted):
    """The task is no longer this worker's: its lease ran out and it was given to another."""


class Cancelled(Interrupted):
    """A person cancelled the task."""


class Stopped(Interrupted):
    """The worker is being stopped; the task goes back to the queue."""


@dataclass(frozen=True)
class Todo:
    """A task to be added."""

    id: str
    """the same id is the same task, so asking twice adds nothing"""
    kind: str
    payload: Mapping[str, Any] = field(default_factory=dict)
    """JSON"""
    run: str = ""
    title: str = ""
    """for people; no patients' data"""
    priority: int = 0
    """higher goes first"""
    max_attempts: int = 10
    """it fails when so many attempts were lost: more than one who restarts a server does in the middle of one task,
    few enough that what kills its worker each time does not do so for ever"""


@dataclass(frozen=True)
class Task:
    """One row of the ledger, as it was when it was read. Times are seconds since the epoch."""

    id: str
    kind: str
    run: str
    title: str
    payload: Mapping[str, Any]
    state: State
    attempt: int
    worker: str
    progress: float | None
    message: str
    hint: str
    result: Any
    created: float
    started: float | None
    ended: float | None
    changed: float


@dataclass(frozen=True)
class Tally:
    """How far a run is: tasks in each state, and their progress together."""

    queued: int = 0
    running: int = 0
    done: int = 0
    failed: int = 0
    cancelled: int = 0
    progress: float = 0.0
    """0..1; what has ended, in whatever way, counts as whole"""
    ended: float | None = None
    """when the last of them ended"""

    @property
    def total(self) -> int:
        return self.queued + self.running + self.done + self.failed + self.cancelled


_FIELDS = [tasks.c[name] for name in Task.__dataclass_fields__]
_FELL = sa.or_(tasks.c.state == "failed", tasks.c.state == "cancelled")  # and may be asked for again
_ENDED: tuple[State, ...] = ("done", "failed", "cancelled")


class Ledger:
    """All work in the background. Calls are plain, blocking, and safe from many threads and processes.

    `due` rings in this process when there may be something to lease or to stop, `news` at every change: both
    are a convenience, whoever waits for them also asks the ledger now and then, for what other processes do.
    """

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self.database = database
        self.due = Bell()
        self.news = Bell()
        self._clock = clock

    # What is wanted

    def add(self, *todos: Todo, db: sa.Connection | None = None) -> None:
        """Adds tasks, all or none. One that is there already stays as it is, unless it failed or was
        cancelled: then it is queued again. With `db`, in the caller's transaction."""
        if not todos:
            return
        now = self._clock()
        rows = [
            {
                "id": todo.id,
                "kind": todo.kind,
                "run": todo.run,
                "title": todo.title,
                "payload": dict(todo.payload),
                "priority": todo.priority,
                "max_attempts": todo.max_attempts,
                "created": now + at * 1e-6,  # the first is the oldest
                "changed": now,
            }
            for at, todo in enumerate(todos)
        ]
        insert = sqlite.insert(tasks) if self.database.sqlite else postgresql.insert(tasks)
        again = {"payload": insert.excluded.payload, "title": insert.excluded.title}
        statement = insert.on_conflict_do_update(
            index_elements=["id"],
            set_=again | self._queued() | {"lost": 0},
            where=_FELL,
        )
        with self._write(db) as writing:
            writing.execute(statement, rows)
            self._tell(writing, due=True)

    def cancel(self, task_id: str) -> Task:
        """Cancels a task: at once if it is queued, by its worker if it is running, not at all if it has
        ended."""
        with self.database.write() as db:
            self._cancel(db, tasks.c.id == task_id)
        return self.get(task_id)

    def cancel_run(self, run: str) -> None:
        """Cancels every task of a run that has not ended."""
        with self.database.write() as db:
            self._cancel(db, tasks.c.run == run)

    def again(self, run: str) -> None:
        """Queues the failed and the cancelled tasks of a run again."""
        with self.database.write() as db:
            db.execute(tasks.update().where(tasks.c.run == run, _FELL).values(self._queued() | {"lost": 0}))
            self._tell(db, due=True)

    # What a worker says

    def lease(self, kind: str, worker: str, seconds: float = LEASE) -> Task | None:
        """The next task of a kind, now a new attempt of this worker: highest priority, then oldest first.

        None: there is nothing to do.
        """
        with self.database.read() as db:  # asking takes no turn, so idle workers disturb nobody
            outrun = self._any(db, kind, self._outrun())
            if not outrun and not self._any(db, kind, tasks.c.state == "queued"):
                return None
        with self.database.write() as db:
            if outrun:
                self._lose(db, sa.and_(self._outrun(), tasks.c.kind == kind))
            return self._take(db, kind, worker, seconds)

    def beat(
        self,
        task: Task,
        progress: float | None = None,
        message: str | None = None,
        seconds: float = LEASE,
    ) -> None:
        """Prolongs the lease, and tells progress (0..1) and what is being done where these are given. Lost;
        Cancelled."""
        now = self._clock()
        values: dict[str, Any] = {"lease_until": now + seconds}
        if progress is not None:
            values |= {"progress": min(max(progress, 0.0), 1.0), "changed": now}
        if message is not None:
            values |= {"message": message, "changed": now}
        with self.database.write() as db:
            self._mine(db, task, values)
            if "changed" in values:
                self._tell(db)

    def wanted(self, task: Task) -> bool:
        """Whether it is still this worker's and nobody has cancelled it; costs less than a beat."""
        with self.database.read() as db:
            return db.execute(sa.select(tasks.c.id).where(_of(task), ~tasks.c.cancel)).first() is not None

    def finish(
        self,
        task: Task,
        result: Any = None,
        message: str = "",
        hint: str = "",
        db: sa.Connection | None = None,
    ) -> None:
        """The task is done. With `db`, in the caller's transaction: both happen or neither. Lost;
        Cancelled."""
        self._end(task, "done", message, hint, result, db)

    def fail(self, task: Task, message: str, hint: str = "", result: Any = None, retry: bool = False) -> None:
        """The task failed: `message` says why, `hint` what to do. With `retry` it is tried again, as often as
        it may be lost. Lost; Cancelled."""
        if not retry:
            self._end(task, "failed", message, hint, result, None)
            return
        with self.database.write() as db:
            self._mine(db, task, {"lost": tasks.c.lost + 1})
            row = db.execute(sa.select(tasks.c.lost, tasks.c.max_attempts).where(tasks.c.id == task.id)).one()
            if row.lost < row.max_attempts:
                self._mine(db, task, self._queued() | {"message": message, "hint": hint})
            else:
                self._end(task, "failed", message, hint, result, db)
            self._tell(db, due=True)

    def give_back(self, task: Task) -> None:
        """The worker stops before the task has ended: it is queued again and has lost nothing, or cancelled
        if that was asked for. Lost."""
        with self.database.write() as db:
            stopped = tasks.update().where(_of(task), tasks.c.cancel).values(self._cancelled())
            queued = tasks.update().where(_of(task), ~tasks.c.cancel).values(self._queued())
            if not db.execute(stopped).rowcount + db.execute(queued).rowcount:
                raise _lost()
            self._tell(db, due=True)

    def requeue(self, *, alone: bool) -> None:
        """After a crash: what lost its worker is queued again. `alone`: no other process works on this
        ledger, so everything that seems to be running has lost its worker; otherwise what outran its
        lease."""
        gone = tasks.c.state == "running" if alone else self._outrun()
        with self.database.write() as db:
            self._lose(db, gone)
            self._tell(db, due=True)

    # What is known

    def get(self, task_id: str) -> Task:
        """NotFound."""
        with self.database.read() as db:
            row = db.execute(sa.select(*_FIELDS).where(tasks.c.id == task_id)).one_or_none()
        if row is None:
            raise NotFound(f"there is no task {task_id}")
        return _task(row)

    def list(
        self, kinds: Collection[str] = (), states: Collection[State] = (), limit: int = 100
    ) -> Sequence[Task]:
        """The newest tasks first, of these kinds in these states (nothing said: all)."""
        query = sa.select(*_FIELDS).order_by(tasks.c.created.desc()).limit(limit)
        if kinds:
            query = query.where(tasks.c.kind.in_(kinds))
        if states:
            query = query.where(tasks.c.state.in_(states))
        return self._tasks(query)

    def of_run(self, run: str) -> Sequence[Task]:
        """The tasks of a run, in the order in which they were added."""
        return self._tasks(
            sa.select(*_FIELDS).where(tasks.c.run == run).order_by(tasks.c.created, tasks.c.id)
        )

    def attempts(self, kind: str) -> Sequence[tuple[str, int]]:
        """Every task of a kind that was ever leased, by id, with its latest attempt."""
        query = sa.select(tasks.c.id, tasks.c.attempt).where(tasks.c.kind == kind, tasks.c.attempt > 0)
        with self.database.read() as db:
            return [(row.id, row.attempt) for row in db.execute(query)]

    def runs_of(self, task_ids: Collection[str]) -> dict[str, str]:
        """The run of each of these tasks that is part of one."""
        if not task_ids:
            return {}
        query = sa.select(tasks.c.id, tasks.c.run).where(tasks.c.id.in_(list(task_ids)), tasks.c.run != "")
        with self.database.read() as db:
            return {row.id: row.run for row in db.execute(query)}

    def changed_since(self, at: float) -> Sequence[Task]:
        """What changed at this time or later, oldest change first. `Follower` asks this well."""
        return self._tasks(sa.select(*_FIELDS).where(tasks.c.changed >= at).order_by(tasks.c.changed))

    def counts(self) -> dict[State, int]:
        """How many tasks are in each state."""
        with self.database.read() as db:
            rows = db.execute(
                sa.select(tasks.c.state, sa.func.count().label("number")).group_by(tasks.c.state)
            ).all()
        return dict.fromkeys(get_args(State), 0) | {row.state: row.number for row in rows}

    def tally(self, runs: Collection[str]) -> dict[str, Tally]:
        """How far each of these runs is; one without tasks is left out."""
        query = (
            sa.select(
                tasks.c.run,
                tasks.c.state,
                sa.func.count().label("number"),
                sa.func.sum(tasks.c.progress).label("progress"),
                sa.func.max(tasks.c.ended).label("ended"),
            )
            .where(tasks.c.run.in_(runs))
            .group_by(tasks.c.run, tasks.c.state)
        )
        with self.database.read() as db:
            rows = db.execute(query).all()
        return {run: _tally([row for row in rows if row.run == run]) for run in {row.run for row in rows}}

    # One statement each

    def _any(self, db: sa.Connection, kind: str, which: sa.ColumnElement[bool]) -> bool:
        query = sa.select(tasks.c.id).where(which, tasks.c.kind == kind).limit(1)
        return db.execute(query).first() is not None

    def _outrun(self) -> sa.ColumnElement[bool]:
        return sa.and_(tasks.c.state == "running", tasks.c.lease_until < self._clock())

    def _take(self, db: sa.Connection, kind: str, worker: str, seconds: float) -> Task | None:
        # SQLite has no row locks, and needs none here: writers take turns.
        first = (
            sa.select(tasks.c.id)
            .where(tasks.c.state == "queued", tasks.c.kind == kind)
            .order_by(tasks.c.priority.desc(), tasks.c.created)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        task_id = db.execute(first).scalar()
        if task_id is None:
            return None
        now = self._clock()
        values = {
            "state": "running",
            "attempt": tasks.c.attempt + 1,
            "worker": worker,
            "lease_until": now + seconds,
            "progress": None,
            "message": "",
            "hint": "",
            "started": now,
            "changed": now,
        }
        row = db.execute(tasks.update().where(tasks.c.id == task_id).values(values).returning(*_FIELDS)).one()
        self._tell(db)
        return _task(row)

    def _lose(self, db: sa.Connection, which: sa.ColumnElement[bool]) -> None:
        """These have lost their worker: queued again, or cancelled, or failed when it was one time too
        many."""
        once_more = tasks.c.lost + 1 < tasks.c.max_attempts
        db.execute(tasks.update().where(which, tasks.c.cancel).values(self._cancelled()))
        lost = sa.select(tasks.c.max_attempts).where(which, ~once_more).distinct()
        for times in db.execute(lost).scalars().all():
            failed = {"state": "failed", "message": _LOST.format(times), "hint": _LOST_HINT} | self._left()
            db.execute(tasks.update().where(which, ~once_more, tasks.c.max_attempts == times).values(failed))
        db.execute(tasks.update().where(which).values(self._queued() | {"lost": tasks.c.lost + 1}))

    def _cancel(self, db: sa.Connection, which: sa.ColumnElement[bool]) -> None:
        db.execute(tasks.update().where(which, tasks.c.state == "queued").values(self._cancelled()))
        asked = {"cancel": True, "message": "cancelling", "changed": self._clock()}
        db.execute(tasks.update().where(which, tasks.c.state == "running").values(asked))
        self._tell(db, due=True)

    def _end(
        self, task: Task, state: State, message: str, hint: str, result: Any, db: sa.Connection | None
    ) -> None:
        values = {"state": state, "message": message, "hint": hint, "result": result} | self._left()
        if state == "done":
            values["progress"] = 1.0
        with self._write(db) as writing:
            self._mine(writing, task, values)
            self._tell(writing)

    def _mine(self, db: sa.Connection, task: Task, values: Mapping[str, Any]) -> None:
        """Changes a task that is this worker's and still wanted. Lost; Cancelled: and nothing is changed."""
        changed = db.execute(tasks.update().where(_of(task), ~tasks.c.cancel).values(values))
        if changed.rowcount == 1:
            return
        if db.execute(sa.select(tasks.c.id).where(_of(task))).first():
            raise Cancelled("the task was cancelled")
        raise _lost()

    def _left(self) -> dict[str, Any]:
        now = self._clock()
        return {"worker": "", "lease_until": None, "cancel": False, "ended": now, "changed": now}

    def _cancelled(self) -> dict[str, Any]:
        return {"state": "cancelled", "message": "cancelled", "hint": ""} | self._left()

    def _queued(self) -> dict[str, Any]:
        fresh = {"state": "queued", "progress": None, "message": "", "hint": "", "result": None}
        return self._left() | fresh | {"started": None, "ended": None}

    # Plumbing

    def _write(self, db: sa.Connection | None) -> AbstractContextManager[sa.Connection]:
        return nullcontext(db) if db is not None else self.database.write()

    def _tell(self, db: sa.Connection, due: bool = False) -> None:
        after_commit(db, self.news.ring)
        if due:
            after_commit(db, self.due.ring)

    def _tasks(self, query: sa.Select[Any]) -> Sequence[Task]:
        with self.database.read() as db:
            return [_task(row) for row in db.execute(query)]


class Follower:
    """Tells each change of a task once, also those of other processes: what server-sent events are made
    of."""

    OVERLAP = 5.0
    """seconds: a change may be committed so much later than it was stamped"""

    def __init__(self, ledger: Ledger, since: float) -> None:
        self._ledger = ledger
        self._since = since
        self._told: dict[str, float] = {}

    def changes(self) -> list[Task]:
        """What has changed since the last call, oldest first."""
        seen = self._ledger.changed_since(self._since - self.OVERLAP)
        new = [task for task in seen if self._told.get(task.id) != task.changed]
        self._since = max([self._since, *(task.changed for task in seen)])
        self._told = {task.id: task.changed for task in seen}
        return new


def _lost() -> Lost:
    return Lost("the task was given to another worker")


def _of(task: Task) -> sa.ColumnElement[bool]:
    return sa.and_(tasks.c.id == task.id, tasks.c.attempt == task.attempt, tasks.c.state == "running")


def _task(row: sa.Row[Any]) -> Task:
    return Task(**row._mapping)


def _tally(rows: Iterable[sa.Row[Any]]) -> Tally:
    counts = {row.state: row.number for row in rows}
    under_way = sum(row.progress or 0.0 for row in rows if row.state == "running")
    whole = sum(counts.get(state, 0) for state in _ENDED)
    ends = [row.ended for row in rows if row.ended is not None]
    return Tally(
        **counts,
        progress=(whole + under_way) / sum(counts.values()),
        ended=max(ends, default=None),
    )
