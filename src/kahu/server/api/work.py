"""Background work of every kind: what runs, what ended, its log."""

from datetime import UTC, datetime
from typing import Any

import msgspec
from starlette.responses import Response

from kahu.errors import NotFound
from kahu.server.api.endpoint import Ask, Count, Endpoints, Nothing
from kahu.work import Task as Row

endpoints = Endpoints()

RECENT = 50
"""background tasks that are told of at once"""


class Task(msgspec.Struct):
    """One piece of work. `progress` is 0..1, null where it is not known; times are ISO 8601, UTC. The `result`
    of a case has its verdict, reasons and the series that it gave; that of a scan its counts."""

    id: str
    run: str
    kind: str
    title: str
    state: str
    attempt: int
    progress: float | None
    message: str
    hint: str
    created: str
    started: str | None
    ended: str | None
    series_uid: str
    result: dict[str, Any] | None
    steps: dict[str, float]


class Offset(msgspec.Struct):
    """From where on."""

    offset: Count = 0


@endpoints("GET", "/api/work", needs="run")
def work(ask: Ask[Nothing, Nothing]) -> list[Task]:
    """Background tasks, the newest first."""
    return [told(row) for row in ask.services.ledger.list(limit=RECENT)]


@endpoints("GET", "/api/tasks/{id}", needs="run")
def task(ask: Ask[Nothing, Nothing]) -> Task:
    """One task."""
    return told(ask.services.ledger.get(ask.path["id"]))


@endpoints("POST", "/api/tasks/{id}/cancel", needs="run")
def cancel_task(ask: Ask[Nothing, Nothing]) -> Task:
    """Cancels a task; one that has ended stays as it is."""
    return told(ask.services.ledger.cancel(ask.path["id"]))


@endpoints("GET", "/api/tasks/{id}/log", needs="run", media="text/plain")
def task_log(ask: Ask[Offset, Nothing]) -> Response:
    """What the programs of a case have printed since an offset in bytes; X-Next-Offset: where to go on."""
    row = ask.services.ledger.get(ask.path["id"])
    if row.kind != "case":
        raise NotFound("this task runs no program, so it has no log", "its progress says what it does")
    text = ask.services.runs.log(row, ask.query.offset)
    answer = Response(text, media_type="text/plain; charset=utf-8")
    answer.headers["X-Next-Offset"] = str(ask.query.offset + len(text))
    return answer


def told(row: Row) -> Task:
    """A row of the ledger as the API tells it."""
    result = dict(row.result or {})
    steps = result.pop("steps", {})
    return Task(
        id=row.id,
        run=row.run,
        kind=row.kind,
        title=row.title,
        state=row.state,
        attempt=row.attempt,
        progress=row.progress,
        message=row.message,
        hint=row.hint,
        created=moment(row.created),
        started=moment(row.started) if row.started else None,
        ended=moment(row.ended) if row.ended else None,
        series_uid=str(row.payload.get("series", "")),
        result=result or None,
        steps=steps,
    )


def moment(seconds: float) -> str:
    """Seconds since the epoch as ISO 8601 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
