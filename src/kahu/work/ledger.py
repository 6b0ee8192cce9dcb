"""The ledger: one table of tasks of every kind, in the catalogue's database."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

from kahu.db import Database, Id, Text, metadata
from kahu.errors import KahuError

State = Literal["queued", "running", "done", "failed", "cancelled"]

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
    sa.Column("attempt", sa.Integer, nullable=False, default=0),
    sa.Column("max_attempts", sa.Integer, nullable=False, default=3),
    sa.Column("worker", Text, nullable=False, default=""),
    sa.Column("lease_until", sa.Float),
    sa.Column("cancel", sa.Boolean, nullable=False, default=False),
    sa.Column("progress", sa.Float),  # 0..1; null: not known
    sa.Column("message", Text, nullable=False, default=""),  # what it is doing, or why it failed
    sa.Column("hint", Text, nullable=False, default=""),  # what to do about it
    sa.Column("result", sa.JSON),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("started", sa.Float),
    sa.Column("ended", sa.Float),
    sa.Index("tasks_to_lease", "state", "kind", "priority", "created"),
    sa.Index("tasks_of_run", "run"),
)


class Lost(KahuError):
    """The task is no longer this worker's: its lease ran out and it was given to another."""


class Cancelled(KahuError):
    """A person cancelled the task."""


@dataclass(frozen=True)
class Task:
    """One row of the ledger, as it was when it was read."""

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
