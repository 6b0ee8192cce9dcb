"""The ledger's handler for one case: makes the job, watches it, publishes its result once and whole."""

from collections.abc import Mapping
from dataclasses import dataclass

from kahu.access import Grant
from kahu.access.tokens import Tokens
from kahu.catalog import delivered
from kahu.catalog.places import Places
from kahu.db import Database
from kahu.errors import Conflict, KahuError
from kahu.executors import Executor, JobState
from kahu.runs import job
from kahu.runs.check import check
from kahu.runs.gate import Verdict
from kahu.runs.why import Progress, Tail, why
from kahu.tools.manifest import Tool
from kahu.tools.shelf import Shelf
from kahu.work import Interrupted, Lost, Report, Task

_LOOK = 0.1  # seconds between two looks at a job
_TOKEN = 86400  # seconds that a run token is good for beyond the tool's time: fetching can take long

# Where each step begins and ends on the progress bar.
_PARTS = {"fetch": (0.0, 0.15), "tool": (0.15, 0.9), "deliver": (0.9, 0.98)}
_DOING = {"fetch": "fetching the series", "tool": "running the tool", "deliver": "delivering the result"}


class CaseFailed(KahuError):
    """A case failed, and why."""


@dataclass
class CaseHandler:
    """Does tasks of the kind `case`."""

    database: Database
    places: Places
    shelf: Shelf
    tokens: Tokens
    executor: Executor
    url: str = ""
    """where jobs reach this server; known when its doors are open"""

    def __call__(self, task: Task, report: Report) -> None:
        """Runs a tool on a case. Killed at any point, it is asked again as a new attempt: what former ones
        have left is removed, and nothing of it is ever seen. CaseFailed: and why."""
        for attempt in range(1, task.attempt):
            self.executor.remove(job.name(task.id, attempt))
        delivered.discard(self.database, self.places, task.id, keep_attempt=task.attempt)
        try:
            self._run(task, report)
        except Lost:  # another attempt is under way, and what was delivered is looked after by that one
            self.executor.remove(job.name_of(task))
            raise
        except Interrupted:
            self.executor.remove(job.name_of(task), keep_log=True)
            delivered.discard(self.database, self.places, task.id)
            raise
        except KahuError:  # the job's folder stays, so that one can look
            delivered.discard(self.database, self.places, task.id)
            raise

    def _run(self, task: Task, report: Report) -> None:
        tool = self._tool(task)
        grant = Grant(
            who=f"task:{task.id}",
            may=frozenset({"read", "write"}),
            series=frozenset({task.payload["series"]}),
            task=task.id,
            attempt=task.attempt,
        )
        tail = Tail()
        with self.tokens.borrowed(f"run {task.run}", grant, int(tool.run.time) + _TOKEN) as token:
            name = job.name_of(task)
            self.executor.start(job.job_of(name, task.payload, tool, self.url, token))
            state = self._watch(name, tail, report)
        steps = {step: round(seconds, 3) for step, seconds in state.seconds.items()}
        report.known = {"steps": steps}
        if state.phase != "succeeded":
            reason = why(state, tail.text, job.limits_of(tool))
            raise CaseFailed(reason.message, reason.hint)
        report(_PARTS["deliver"][1], "checking the result")
        self._publish(task, tool, steps, report)

    def _publish(self, task: Task, tool: Tool, steps: Mapping[str, float], report: Report) -> None:
        """Finishes the task and makes its result seen: both in one transaction, or neither."""
        study, series = task.payload["study"], task.payload["series"]
        prepared = delivered.prepare(self.database, self.places, task.id, task.attempt)
        verdict = check(self.database, self.places, prepared, study=study, series=series)
        result = delivered.Result(f"{tool.name} {tool.version}", verdict.kind, verdict.reasons, (series,))
        seen = [] if verdict.kind == "rejected" else list(prepared.series_uids)
        told = {
            "verdict": verdict.kind,
            "reasons": list(verdict.reasons),
            "series": seen,
            "steps": dict(steps),
        }
        message, hint = words_of(verdict)
        self.executor.remove(job.name_of(task), keep_log=True)
        for last in (False, False, True):
            try:
                with self.database.write() as db:
                    delivered.publish(db, prepared, result)
                    report.finish(told, message, hint, db=db)
                break
            except Conflict:  # something arrived in between that has to be compared with the result
                if last:
                    raise
                prepared = delivered.prepare(self.database, self.places, task.id, task.attempt)
        delivered.discard(self.database, self.places, task.id, keep_attempt=task.attempt)

    def _tool(self, task: Task) -> Tool:
        tool = self.shelf.get(task.payload["tool"])
        if tool.digest != task.payload["digest"]:
            raise CaseFailed(
                f"{tool.title} has changed since this run was started",
                "start a new run: it takes the new tool",
            )
        return tool

    def _watch(self, name: str, tail: Tail, report: Report) -> JobState:
        """Follows a job to its end and tells how far it is."""
        told: tuple[float, str] | None = None
        said: Progress | None = None
        while True:
            state = self.executor.poll(name)
            said = next(reversed(tail.read(self.executor.log(name, tail.length))), said)
            if state.phase in ("succeeded", "failed", "unknown"):
                return state
            now = how_far(state, said)
            if now != told:
                report(*now)
                told = now
            report.wait(_LOOK)


def how_far(state: JobState, said: Progress | None) -> tuple[float, str]:
    """Where a job is on the progress bar, 0..1, and what it does; `said` is the last progress it told."""
    if state.phase != "running":
        return 0.0, "making the tool's environment"
    begin, end = _PARTS[state.step]
    if said is None or said.step != state.step:
        return begin, _DOING[state.step]
    return begin + said.fraction * (end - begin), said.words or _DOING[state.step]


def words_of(verdict: Verdict) -> tuple[str, str]:
    """What a page says of a result, and what to do: nothing, if it is as it should be."""
    match verdict.kind:
        case "rejected":
            hint = "nobody sees the result; mend the tool, then start a new run"
            return f"the result was rejected: {verdict.reasons[0]}", hint
        case "suspect":
            return f"the result is suspect: {verdict.reasons[0]}", "look at it before you use it"
        case _:
            return "", ""
