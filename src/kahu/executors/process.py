"""The process executor: the steps of a job are processes on this machine, each under guard.

It holds a tool to its limits of memory, time and output. Where bubblewrap works, the tool is also kept from
the network and from all files that are not its own; where it does not, `Enforces` says so.
"""

import contextlib
import logging
import os
import re
import shutil
import signal
import stat
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from kahu.errors import BadRequest
from kahu.executors import Enforces, Job, JobState, Limits, Reason, Step, confine, guarded
from kahu.executors.environment import EnvironmentFailed, Environments, MakingCancelled
from kahu.executors.guard import Outcome, Spec

logger = logging.getLogger(__name__)

_MARK = "KAHU_JOB"  # in the environment of everything that a job runs: by it, leftovers are found
_LOG = 64 << 20  # bytes that a tool may print
_RESERVE = 500 << 20  # bytes that must stay free on the disk
_PATH = "/usr/local/bin:/usr/bin:/bin"
_STOP = 10.0  # seconds that a job is given to end after it was cancelled


class ProcessExecutor:
    """Runs jobs as processes. A job dies with the server that started it."""

    name = "process"

    def __init__(
        self, folder: Path, environments: Path, *, reserve: int = _RESERVE, bwrap: str | None = None
    ) -> None:
        """`folder` gets a folder for each job; at least `reserve` bytes stay free on its disk. `bwrap`:
        bubblewrap's program, looked for if not given; empty: none."""
        self._bwrap = confine.bubblewrap() if bwrap is None else bwrap
        self.enforces = Enforces(
            no_network=bool(self._bwrap),
            read_only=bool(self._bwrap),
            not_root=bool(self._bwrap) or os.geteuid() != 0,
            memory=True,
            time=True,
            output=True,
            survives_restart=False,
        )
        self._folder = folder.absolute()  # steps have working directories of their own
        self._environments = Environments(environments.absolute())
        self._reserve = reserve
        self._jobs: dict[str, _Run] = {}
        self._turn = threading.Lock()

    def start(self, job: Job) -> None:
        if not re.fullmatch(r"[A-Za-z0-9-][A-Za-z0-9.-]*", job.id):
            raise BadRequest(f"{job.id!r} cannot be the id of a job")
        with self._turn:
            if job.id in self._jobs:
                return
            folder = self._folder / job.id
            run = _Run(job, folder, self._environments, self._reserve, self._bwrap)
            self._jobs[job.id] = run
            run.start()

    def poll(self, job_id: str) -> JobState:
        run = self._jobs.get(job_id)
        return run.state if run else JobState("unknown")

    def log(self, job_id: str, offset: int = 0) -> bytes:
        try:
            with (self._folder / job_id / "log").open("rb") as log:
                log.seek(offset)
                return log.read()
        except FileNotFoundError:
            return b""

    def folder(self, job_id: str) -> Path | None:
        folder = self._folder / job_id
        return folder if folder.is_dir() else None

    def cancel(self, job_id: str) -> None:
        run = self._jobs.get(job_id)
        if run:
            run.cancelled.set()
            run.join(_STOP)

    def remove(self, job_id: str, keep_log: bool = False) -> None:
        self.cancel(job_id)
        with self._turn:
            self._jobs.pop(job_id, None)
        _remove(self._folder / job_id, keep="log" if keep_log else "")

    def sweep(self, keep: Collection[str]) -> None:
        self._environments.sweep()
        if not self._folder.is_dir():
            return
        _kill_marked(lambda folder: folder.parent == self._folder and folder.name not in self._jobs)
        for entry in list(self._folder.iterdir()):
            if entry.name not in self._jobs and entry.name not in keep:
                _remove(entry)

    def close(self) -> None:
        runs = list(self._jobs.values())
        for run in runs:
            run.cancelled.set()
        deadline = time.monotonic() + _STOP
        for run in runs:
            run.join(max(0.0, deadline - time.monotonic()))


class _Run(threading.Thread):
    """A job on its way through its steps."""

    def __init__(self, job: Job, folder: Path, environments: Environments, reserve: int, bwrap: str) -> None:
        super().__init__(name=f"job-{job.id}", daemon=True)
        self.state = JobState("preparing")
        self.cancelled = threading.Event()
        self._job = job
        self._folder = folder
        self._environments = environments
        self._reserve = reserve
        self._bwrap = bwrap

    def run(self) -> None:
        try:
            self._go()
        except MakingCancelled:
            self._fail("cancelled", "it was cancelled")
        except EnvironmentFailed as error:
            self._fail("environment", str(error), hint=error.hint)
        except OSError as error:
            self._fail("start", f"the job's folder cannot be used: {error.strerror}")
        except Exception as error:  # whatever it is, the job must not seem to run for ever
            logger.exception("job %s cannot go on", self._job.id)
            self._fail("start", f"a fault in Kahu: {type(error).__name__}; its log says more")

    def _go(self) -> None:
        _remove(self._folder)  # of a job of this name that died with a server before us
        self._folder.parent.mkdir(parents=True, exist_ok=True)
        self._folder.mkdir(mode=0o700)  # images of patients are nobody else's business
        for name in ("in", "out", "tmp"):
            (self._folder / name).mkdir()
        with (self._folder / "log").open("ab+", buffering=0) as log:
            environment = self._environments.get(self._job.requirements, log, self.cancelled)
            for step in self._job.steps:
                self.state = replace(self.state, phase="running", step=step.name)
                log.write(f"--- {step.name} ---\n".encode())
                outcome = self._run_step(step, environment, log)
                _kill_marked(lambda folder: folder == self._folder)
                seconds = {**self.state.seconds, step.name: outcome.seconds}
                self.state = replace(self.state, seconds=seconds)
                if not step.own:
                    self.state = replace(self.state, peak_memory=outcome.peak_memory)
                if outcome.reason or outcome.exit_code != 0:
                    self._end(step, outcome)
                    return
        self.state = replace(self.state, phase="succeeded", step="")

    def _run_step(self, step: Step, environment: Path, log: BinaryIO) -> Outcome:
        limits = Limits(seconds=0, output=0) if step.own else self._job.limits
        cwd = self._folder if step.own else self._job.tool
        env = self._env(step, environment)
        name, *arguments = map(self._fill, step.command)
        program = shutil.which(str(cwd / name) if "/" in name else name, path=env["PATH"])
        if program is None:
            return Outcome("start", message=f"cannot run {name}: there is no such program")
        command = (program, *arguments)
        spec = Spec(
            command=command if step.own else self._confined(command, environment),
            cwd=str(cwd),
            folder=str(self._folder),
            log=str(self._folder / "log"),
            memory=limits.memory,
            seconds=limits.seconds,
            output=limits.output,
            log_output=_LOG,
            reserve=self._reserve,
        )
        outcome = guarded.run(spec, env, log, self.cancelled)
        code = outcome.exit_code or 0
        if self._bwrap and not step.own and code > 128:
            return replace(outcome, exit_code=128 - code)  # so does bubblewrap tell a signal
        return outcome

    def _confined(self, command: tuple[str, ...], environment: Path) -> tuple[str, ...]:
        if not self._bwrap:
            return command
        return confine.confined(
            command,
            bwrap=self._bwrap,
            cwd=self._job.tool,
            readable=(*confine.interpreter(), environment, self._job.tool, self._folder / "in"),
            writable=(self._folder / "out", self._folder / "tmp"),
        )

    def _env(self, step: Step, environment: Path) -> dict[str, str]:
        home = self._folder / "tmp"
        env = {
            "PATH": _PATH if step.own else f"{environment / 'bin'}:{_PATH}",
            "HOME": str(home),
            "TMPDIR": str(home),
            "LANG": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",  # so that the log is live, and its last line is the last that was said
            "PYTHONDONTWRITEBYTECODE": "1",  # a tool's folder stays as it is
            _MARK: str(self._folder),
        }
        return env | {name: self._fill(value) for name, value in step.env.items()}

    def _fill(self, text: str) -> str:
        return text.replace("{job}", str(self._folder))

    def _end(self, step: Step, outcome: Outcome) -> None:
        reason, message = _told(outcome, self._job.limits, self._reserve)
        self._fail(reason, message, outcome.exit_code)
        if reason == "output":  # what is too much must not stay, or nothing else finds room
            for name in ("out", "tmp"):
                _remove(self._folder / name)
                (self._folder / name).mkdir()

    def _fail(self, reason: Reason, message: str, exit_code: int | None = None, hint: str = "") -> None:
        self.state = replace(
            self.state, phase="failed", reason=reason, message=message, exit_code=exit_code, hint=hint
        )


def _told(outcome: Outcome, limits: Limits, reserve: int) -> tuple[Reason, str]:
    """Why a step failed: the reason, and the same in a sentence."""
    code = outcome.exit_code or 0
    match outcome.reason:
        case "":
            if code < 0:
                return "signal", f"it was killed by {_signal(-code)}"
            return "exit", f"it ended with exit code {code}"
        case "memory":
            return "memory", f"it used more than its {_size(limits.memory)} of memory"
        case "time":
            return "time", f"it took longer than its {limits.seconds} s"
        case "output":
            return "output", f"it wrote more than its {_size(limits.output)}"
        case "log":
            return "output", f"it printed more than {_size(_LOG)}"
        case "disk":
            return "output", f"it left less than {_size(reserve)} free on the disk"
        case "cancelled":
            return "cancelled", "it was cancelled"
        case _:
            return "start", outcome.message


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _size(count: int) -> str:
    """Bytes for people: 4 GB, 500 MB."""
    for unit, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if count >= unit:
            return f"{count / unit:.3g} {name}"
    return f"{count} bytes"


def _kill_marked(which: Callable[[Path], bool]) -> None:
    """Kills what jobs in these folders have left running: only if a guard was killed, too, is there
    anything."""
    mark = f"{_MARK}=".encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        with contextlib.suppress(OSError):  # it has ended, or is another user's
            for variable in (entry / "environ").read_bytes().split(b"\0"):
                if variable.startswith(mark) and which(Path(os.fsdecode(variable.removeprefix(mark)))):
                    os.kill(int(entry.name), signal.SIGKILL)


def _remove(path: Path, keep: str = "") -> None:
    """Removes a folder, whatever a tool has done to the rights of what is in it; but for one file of it."""
    if not path.is_dir() or path.is_symlink():
        path.unlink(missing_ok=True)
        return
    path.chmod(stat.S_IRWXU)
    for root, folders, _ in os.walk(path):
        for folder in (Path(root, name) for name in folders):
            if not folder.is_symlink():
                folder.chmod(stat.S_IRWXU)
    if not keep:
        shutil.rmtree(path)
        return
    for entry in list(path.iterdir()):
        if entry.name != keep:
            _remove(entry)
