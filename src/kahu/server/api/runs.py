"""Runs: a tool on series, started, watched, cancelled, tried again."""

from typing import Any

import msgspec

from kahu.catalog import gallery
from kahu.runs.runs import Run as Row
from kahu.server.api.endpoint import Ask, Endpoints, Nothing
from kahu.server.api.work import Task, moment, told

endpoints = Endpoints()


class NewRun(msgspec.Struct):
    """What is to be run on what."""

    tool: str
    series: list[str]
    parameters: dict[str, Any] = {}


class Caption(msgspec.Struct):
    """What people know a series by; `patient` is the name, written as in DICOM, or the ID."""

    description: str
    patient: str


class Run(msgspec.Struct, omit_defaults=True):
    """A run, and how far it is; `progress` is 0..1, times are ISO 8601, UTC. Its cases are told where one
    run was asked for, and by `captions` which series they are, by UID, as far as they are (still) here."""

    id: str
    tool: str
    tool_title: str
    version: str
    digest: str
    parameters: dict[str, Any]
    state: str
    progress: float
    counts: dict[str, int]
    created: str
    ended: str | None
    by: str
    enforces: dict[str, bool]
    tasks: list[Task] | None = None
    captions: dict[str, Caption] | None = None


@endpoints("POST", "/api/runs", needs="run")
def start_run(ask: Ask[Nothing, NewRun]) -> Run:
    """Starts a tool on series, one case each. Asked twice, it is the same run."""
    new = ask.body
    row = ask.services.runs.start(new.tool, new.series, new.parameters, ask.scope, ask.grant.who)
    return _with_tasks(ask, row)


@endpoints("GET", "/api/runs", needs="run")
def list_runs(ask: Ask[Nothing, Nothing]) -> list[Run]:
    """The runs, newest first, without their cases."""
    return [_told(row) for row in ask.services.runs.all()]


@endpoints("GET", "/api/runs/{id}", needs="run")
def run(ask: Ask[Nothing, Nothing]) -> Run:
    """One run with its cases."""
    return _with_tasks(ask, ask.services.runs.get(ask.path["id"]))


@endpoints("POST", "/api/runs/{id}/cancel", needs="run")
def cancel_run(ask: Ask[Nothing, Nothing]) -> Run:
    """Cancels the cases that have not ended."""
    return _with_tasks(ask, ask.services.runs.cancel(ask.path["id"]))


@endpoints("POST", "/api/runs/{id}/retry", needs="run")
def retry_run(ask: Ask[Nothing, Nothing]) -> Run:
    """Tries the cases that failed or were cancelled again."""
    return _with_tasks(ask, ask.services.runs.retry(ask.path["id"]))


def _with_tasks(ask: Ask[Any, Any], row: Row) -> Run:
    run = _told(row)
    run.tasks = [told(task) for task in ask.services.runs.tasks(row.id)]
    uids = [task.series_uid for task in run.tasks]
    with ask.services.database.read() as db:
        found = gallery.captions(db, uids, ask.scope)
    run.captions = {uid: Caption(*words) for uid, words in found.items()}
    return run


def _told(row: Row) -> Run:
    return Run(
        id=row.id,
        tool=row.tool,
        tool_title=row.tool_title,
        version=row.version,
        digest=row.digest,
        parameters=dict(row.parameters),
        state=row.state,
        progress=row.progress,
        counts=dict(row.counts),
        created=moment(row.created),
        ended=moment(row.ended) if row.ended else None,
        by=row.by,
        enforces=dict(row.enforces),
    )
