"""A tool run on a series while somebody writes it: the steps of a run, but nothing is stored."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kahu.errors import KahuError
from kahu.executors import Executor, Job, JobState
from kahu.runs import harness, job
from kahu.runs.case import CaseFailed, words_of
from kahu.runs.gate import SourceFacts, Verdict, judge
from kahu.runs.plan import Case, plan
from kahu.runs.why import Tail, why
from kahu.tools.manifest import Tool

_LOOK = 0.1  # seconds between two looks at the job


@dataclass(frozen=True)
class Trial:
    """What a tool made of a series."""

    folder: Path
    """the job's: what the tool was given, in/, what it left, out/, and log; there until the next one"""
    results: tuple[Path, ...]
    """DICOM files below it"""
    verdict: Verdict


def attempt(
    tool: Tool,
    case: Case,
    parameters: Mapping[str, Any],
    executor: Executor,
    *,
    url: str,
    token: str,
    printed: Callable[[bytes], None],
) -> Trial:
    """Runs a tool on a case of the Kahu at `url`, which only gives the images. `printed` gets the log as it
    grows. BadRequest: case or parameters do not fit; CaseFailed: it failed, or its result is rejected, and why."""
    (task,) = plan(tool, [case], parameters).tasks
    whole = job.job_of(f"tried-{tool.name}", task.payload, tool, url, token)
    tried = replace(whole, steps=whole.steps[:-1])  # all but deliver
    state, tail = _run(tried, executor, printed)
    folder = executor.folder(tried.id)
    if folder is None:  # it could not even begin
        raise CaseFailed(state.message, state.hint)
    try:
        if state.phase != "succeeded":
            reason = why(state, tail.text, tried.limits)
            raise CaseFailed(reason.message, reason.hint)
        results = _results(job.document_of(task.payload, tool), folder)
    except KahuError as error:
        hint = f"{error.hint}; its files: {folder}" if error.hint else f"its files: {folder}"
        raise CaseFailed(str(error), hint) from error
    verdict = judge(results, SourceFacts.of(harness.given(folder)))
    if verdict.kind == "rejected":
        raise CaseFailed(words_of(verdict)[0], f"mend the tool; its files: {folder}")
    return Trial(folder, results, verdict)


def _run(tried: Job, executor: Executor, printed: Callable[[bytes], None]) -> tuple[JobState, Tail]:
    """How the job ended, and the end of its log."""
    tail = Tail()
    executor.remove(tried.id)  # what the last trial has left
    executor.start(tried)
    while True:
        state = executor.poll(tried.id)
        more = executor.log(tried.id, tail.length)
        tail.read(more)
        printed(more)
        if state.phase in ("succeeded", "failed"):
            return state, tail
        time.sleep(_LOOK)


def _results(case: harness.CaseDocument, folder: Path) -> tuple[Path, ...]:
    """What would be delivered."""
    if case.output.kind == "dicom":
        return tuple(harness.dicom_files(folder))
    file = folder / "result.dcm"
    file.write_bytes(harness.segmentation(case, folder))
    return (file,)
