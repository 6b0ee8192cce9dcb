"""A case and its tool -> a job in the executor's words. Pure, but for reading the tool's requirements."""

import sys
from collections.abc import Mapping
from typing import Any

from kahu.executors import Job, Limits, Step
from kahu.runs.harness import CaseDocument
from kahu.tools.manifest import Tool
from kahu.work import Task

# Kahu's own steps must not import what a tool has left in the job's folder: -I keeps it off the path.
_HARNESS = (sys.executable, "-I", "-u", "-m", "kahu.runs.harness")

_INPUT = {"nifti": "{job}/in/image.nii.gz", "dicom": "{job}/in/dicom"}


def name_of(task: Task) -> str:
    """The executor's name for the present attempt at a task."""
    return name(task.id, task.attempt)


def name(task_id: str, attempt: int) -> str:
    """The executor's name for an attempt at a task."""
    return f"{task_id}.{attempt}"


def limits_of(tool: Tool) -> Limits:
    """What a tool may use, as its manifest says."""
    return Limits(memory=int(tool.run.memory), seconds=int(tool.run.time))


def job_of(name: str, payload: Mapping[str, Any], tool: Tool, url: str, token: str) -> Job:
    """The job of an attempt at a case; `payload` is its task's. `token` goes to Kahu's own steps, never to
    the tool."""
    own = {"KAHU_URL": url, "KAHU_TOKEN": token, "KAHU_CASE": document_of(payload, tool).json()}
    command = tool.command(_INPUT[tool.input.form], "{job}/out", payload["parameters"])
    requirements = tool.folder / tool.run.requirements
    return Job(
        id=name,
        steps=(_own("fetch", own), Step("tool", command), _own("deliver", own)),
        tool=tool.folder.resolve(),
        requirements=requirements.read_text("utf-8") if tool.run.requirements else "",
        limits=limits_of(tool),
    )


def document_of(payload: Mapping[str, Any], tool: Tool) -> CaseDocument:
    """What Kahu's own steps are told of a case."""
    return CaseDocument(
        study=payload["study"],
        series=payload["series"],
        instances=payload["instances"],
        form=tool.input.form,
        title=tool.title,
        version=tool.version,
        digest=tool.digest,
        output=tool.output,
    )


def _own(step: str, env: Mapping[str, str]) -> Step:
    return Step("fetch" if step == "fetch" else "deliver", (*_HARNESS, step, "{job}"), env, own=True)
