"""A tool, frozen cases and parameters -> a run and its tasks. Pure: the same question gives the same ids."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kahu.errors import BadRequest
from kahu.tools.manifest import Tool, Value
from kahu.work import Todo

KIND = "case"
"""of the ledger's tasks that are a tool on one case"""

_TOLD = 3  # cases that are named when some do not fit


@dataclass(frozen=True)
class Case:
    """A series as it was when the run was asked for."""

    series: str
    """Series Instance UID"""
    study: str
    """Study Instance UID"""
    fingerprint: str
    """changes when an instance of the series comes, goes, or is replaced"""
    modality: str
    number: int | None
    """Series Number"""
    instances: int
    slices: int
    """frames of all its instances"""

    @property
    def title(self) -> str:
        """For people; says nothing of the patient."""
        number = "" if self.number is None else f" series {self.number}"
        return f"{self.modality or 'no modality'}{number}, {_slices(self.slices)}"


@dataclass(frozen=True)
class Plan:
    """What is to be done."""

    run: str
    tool: Tool
    parameters: Mapping[str, Value]
    """every parameter of the tool, defaults filled in"""
    tasks: tuple[Todo, ...]


def plan(tool: Tool, cases: Sequence[Case], parameters: Mapping[str, Any]) -> Plan:
    """The run of a tool on cases. Its id is made from the tool's digest, the cases' fingerprints and the
    parameters; the order of cases, and one that is given twice, make no difference.

    BadRequest: no case, a parameter that is wrong (named), or cases that do not fit the tool, with reasons.
    """
    values = tool.values(parameters)
    unique = sorted({case.series: case for case in cases}.values(), key=lambda case: case.series)
    if not unique:
        raise BadRequest("no series was chosen", f"choose the series that {tool.title} should work on")
    _refuse_unfit(tool, unique)
    keys = [_hash("case", tool.digest, case.series, case.fingerprint, dict(values)) for case in unique]
    run = _hash("run", keys)
    tasks = [
        Todo(
            id=_hash("task", run, key),
            kind=KIND,
            run=run,
            title=case.title,
            payload={
                "series": case.series,
                "study": case.study,
                "instances": case.instances,
                "tool": tool.name,
                "digest": tool.digest,
                "parameters": dict(values),
            },
        )
        for case, key in zip(unique, keys, strict=True)
    ]
    return Plan(run, tool, values, tuple(tasks))


def unfit(tool: Tool, case: Case) -> str:
    """Why a case does not fit a tool; empty when it does."""
    return "; ".join(_misfits(tool, case))


def _misfits(tool: Tool, case: Case) -> Iterator[str]:
    if case.modality not in tool.input.modality:
        yield f"its modality is {case.modality or 'not given'}, not {' or '.join(tool.input.modality)}"
    if case.slices < tool.input.min_slices:
        yield f"it has {_slices(case.slices)}, fewer than {tool.input.min_slices}"


def _refuse_unfit(tool: Tool, cases: Sequence[Case]) -> None:
    reasons = {case: reason for case in cases if (reason := unfit(tool, case))}
    if not reasons:
        return
    told = [f"{case.title} ({case.series}): {reason}" for case, reason in list(reasons.items())[:_TOLD]]
    more = [f"and {len(reasons) - _TOLD} more"] if len(reasons) > _TOLD else []
    raise BadRequest(
        f"{len(reasons)} of {len(cases)} series do not fit {tool.title}: {'. '.join(told + more)}",
        "leave them out, or choose another tool",
    )


def _slices(count: int) -> str:
    return "1 slice" if count == 1 else f"{count} slices"


def _hash(*parts: Any) -> str:
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:20]
