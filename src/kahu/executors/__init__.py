"""Where work happens. An executor runs jobs; it knows no images, no stores, no catalogue.

A job is three steps, one after the other: *fetch* (Kahu's own, brings inputs), *tool* (someone else's, sees
only the job's folder), *deliver* (Kahu's own, sends outputs). A step that fails ends the job.

The contract, and its awkward moments:

* `start` is idempotent by `Job.id`: asked twice, it starts nothing the second time.
* `poll` answers `unknown` before start, after `remove`, and after our own restart if the job died with us
  (the executor says in `Enforces.survives_restart` which it is); `preparing` while an environment or image is
  made; `running` with the step's name; then `succeeded` or `failed`, for as long as the job has not been
  removed.
* `cancel` ends everything the job started, children of children too, within seconds, and may be asked at any
  time, also twice, also for a job that is unknown.
* `log` gives the bytes of standard output and error of all steps since an offset, while running and after.
  A line `--- <step> ---` stands before what a step said.
* A tool that printed, wrote or used too much is ended and what it wrote is removed if it was too much.
* `remove` forgets a job and leaves nothing behind, but its log where that is wanted; `sweep` does so for
  every job that is not in `keep`: called at start. The logs and files of those in `keep` stay readable.

`kahu.testing.ExecutorTests` says all this as tests; every executor passes them.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

Phase = Literal["unknown", "preparing", "running", "succeeded", "failed"]
Reason = Literal["", "exit", "signal", "memory", "time", "output", "environment", "start", "cancelled"]


@dataclass(frozen=True)
class Limits:
    """What the tool step may use. 0: no limit."""

    memory: int = 0
    """bytes"""
    seconds: int = 3600
    output: int = 10 << 30
    """bytes written to the job's folder"""


@dataclass(frozen=True)
class Step:
    """One program of a job. `{job}` in arguments and values of `env` stands for the job's folder."""

    name: Literal["fetch", "tool", "deliver"]
    command: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    """added to a minimal environment (PATH, HOME in the job's folder, LANG, TMPDIR); secrets only here"""
    own: bool = False
    """Kahu's own step: runs in Kahu's environment, without the tool's limits"""


@dataclass(frozen=True)
class Job:
    """One attempt at one task, in an executor's words."""

    id: str
    """of letters, digits, '-' and '.'; new for each attempt"""
    steps: tuple[Step, ...]
    tool: Path
    """the tool's folder: read only"""
    requirements: str = ""
    """the tool's pinned requirements, the file's text; empty: standard library only"""
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class JobState:
    """What is known of a job now."""

    phase: Phase
    step: str = ""
    exit_code: int | None = None
    """of the step that failed; negative: ended by that signal"""
    reason: Reason = ""
    """why it failed"""
    message: str = ""
    """the same in one sentence for people; "it" is the step"""
    hint: str = ""
    """what to do about it, where the executor knows"""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """wall time of each step that has ended"""
    peak_memory: int = 0
    """bytes, of the tool step, if known"""


@dataclass(frozen=True)
class Enforces:
    """What an executor really holds a tool to: published on the run's page, never promised beyond."""

    no_network: bool
    read_only: bool
    not_root: bool
    memory: bool
    time: bool
    output: bool
    survives_restart: bool


class Executor(Protocol):
    """Runs jobs."""

    name: str
    enforces: Enforces

    def start(self, job: Job) -> None: ...
    def poll(self, job_id: str) -> JobState: ...
    def log(self, job_id: str, offset: int = 0) -> bytes: ...
    def folder(self, job_id: str) -> Path | None:
        """Where the job's files are, if they are on this machine."""

    def cancel(self, job_id: str) -> None: ...
    def remove(self, job_id: str, keep_log: bool = False) -> None: ...
    def sweep(self, keep: Collection[str]) -> None: ...
    def close(self) -> None:
        """Ends all jobs of an executor that does not survive a restart."""
