"""Runs: a tool on some series with parameters, as they are started, stored and told."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import sqlalchemy as sa

from kahu.catalog.scope import Scope
from kahu.db import Database, Text, metadata
from kahu.errors import NotFound
from kahu.executors import Executor
from kahu.runs import job
from kahu.runs.freeze import freeze
from kahu.runs.plan import KIND, plan
from kahu.tools.shelf import Shelf
from kahu.work import Ledger, Tally, Task

State = Literal["queued", "running", "done", "failed", "cancelled"]

runs = sa.Table(
    "runs",
    metadata,
    sa.Column("id", Text, primary_key=True),
    sa.Column("tool", Text, nullable=False),
    sa.Column("tool_title", Text, nullable=False),
    sa.Column("version", Text, nullable=False),
    sa.Column("digest", Text, nullable=False),
    sa.Column("parameters", sa.JSON, nullable=False),
    sa.Column("enforces", sa.JSON, nullable=False),  # what the executor held the tool to
    sa.Column("by", Text, nullable=False),
    sa.Column("created", sa.Float, nullable=False),
    sa.Index("runs_by_created", "created"),
)


@dataclass(frozen=True)
class Run:
    """A run, and how far it is. Times are seconds since the epoch."""

    id: str
    tool: str
    tool_title: str
    version: str
    digest: str
    parameters: Mapping[str, Any]
    enforces: Mapping[str, bool]
    by: str
    created: float
    state: State
    progress: float
    """0..1"""
    counts: Mapping[str, int]
    """cases in each state"""
    ended: float | None


class Runs:
    """The runs of one Kahu."""

    def __init__(
        self,
        database: Database,
        ledger: Ledger,
        shelf: Shelf,
        executor: Executor,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._ledger = ledger
        self._shelf = shelf
        self._executor = executor
        self._clock = clock

    def start(
        self, tool: str, series: Sequence[str], parameters: Mapping[str, Any], scope: Scope, by: str
    ) -> Run:
        """Starts a tool on series. Asked twice it is the same run: nothing is added, what failed or was
        cancelled is tried again. NotFound: no such tool or series. BadRequest: a parameter that is wrong, or
        series that do not fit."""
        chosen = self._shelf.get(tool)
        with self._database.read() as db:
            cases = freeze(db, series, scope)
        planned = plan(chosen, cases, parameters)
        row = {
            "id": planned.run,
            "tool": chosen.name,
            "tool_title": chosen.title,
            "version": chosen.version,
            "digest": chosen.digest,
            "parameters": dict(planned.parameters),
            "enforces": asdict(self._executor.enforces),
            "by": by,
            "created": self._clock(),
        }
        with self._database.write() as db:
            if not db.execute(sa.select(runs.c.id).where(runs.c.id == planned.run)).first():
                db.execute(runs.insert().values(row))
            self._ledger.add(*planned.tasks, db=db)
        return self.get(planned.run)

    def all(self, limit: int = 1000) -> list[Run]:
        """The newest first."""
        return self._told(sa.select(runs).order_by(runs.c.created.desc()).limit(limit))

    def get(self, run_id: str) -> Run:
        """NotFound."""
        found = self._told(sa.select(runs).where(runs.c.id == run_id))
        if not found:
            raise NotFound(f"there is no run {run_id}")
        return found[0]

    def tasks(self, run_id: str) -> Sequence[Task]:
        """The cases of a run as the ledger has them. NotFound."""
        self.get(run_id)
        return self._ledger.of_run(run_id)

    def cancel(self, run_id: str) -> Run:
        """Cancels what has not ended. NotFound."""
        self.get(run_id)
        self._ledger.cancel_run(run_id)
        return self.get(run_id)

    def retry(self, run_id: str) -> Run:
        """Tries what failed or was cancelled again. NotFound."""
        self.get(run_id)
        self._ledger.again(run_id)
        return self.get(run_id)

    def log(self, task: Task, offset: int = 0) -> bytes:
        """What the programs of a case have printed in its latest attempt, from `offset` on."""
        return self._executor.log(job.name_of(task), offset)

    def jobs(self) -> Collection[str]:
        """The ids of all jobs whose logs and files people may want to look at: what a sweep must keep."""
        return {job.name(*attempt) for attempt in self._ledger.attempts(KIND)}

    def _told(self, query: sa.Select[Any]) -> list[Run]:
        with self._database.read() as db:
            rows = db.execute(query).all()
        tallies = self._ledger.tally([row.id for row in rows])
        return [_run(row, tallies.get(row.id, Tally())) for row in rows]


def state_of(tally: Tally) -> State:
    """The state of a run from those of its cases."""
    ended = tally.done + tally.failed + tally.cancelled
    if tally.running or (tally.queued and ended):
        return "running"
    if tally.queued:
        return "queued"
    if tally.failed:
        return "failed"
    return "cancelled" if tally.cancelled else "done"


def _run(row: sa.Row[Any], tally: Tally) -> Run:
    state = state_of(tally)
    return Run(
        id=row.id,
        tool=row.tool,
        tool_title=row.tool_title,
        version=row.version,
        digest=row.digest,
        parameters=row.parameters,
        enforces=row.enforces,
        by=row.by,
        created=row.created,
        state=state,
        progress=tally.progress,
        counts={
            "queued": tally.queued,
            "running": tally.running,
            "done": tally.done,
            "failed": tally.failed,
            "cancelled": tally.cancelled,
        },
        ended=tally.ended if state in {"done", "failed", "cancelled"} else None,
    )
