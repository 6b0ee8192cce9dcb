"""Runs one program, holds it to its limits, and leaves nothing of it behind: `python guard.py SPEC`.

A process of its own between Kahu and the program, because only so it holds at every moment:

* Kahu is killed: the guard hears it (PR_SET_PDEATHSIG) and ends the program.
* The guard is killed: the program is killed with it, for the same reason.
* The program leaves children behind, in the background or in sessions of their own: they become the
  guard's (PR_SET_CHILD_SUBREAPER) and are killed.

SPEC is a `Spec` in JSON. The program gets the guard's environment, standard output and error. How it went is
told in one line of JSON, an `Outcome`, on the file descriptor `tell`. This file is also run as a script by a
bare interpreter: it uses the standard library only.
"""

import contextlib
import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36

_LOOK_AT_MEMORY = 0.1  # seconds between two looks
_LOOK_AT_DISK = 0.5
_GRACE = 1.0  # between asking to end and killing
_SIGNALS = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT}


@dataclass(frozen=True)
class Spec:
    """What to run, and what it may use. 0: no limit."""

    command: tuple[str, ...]
    cwd: str
    parent: int = 0
    """the process to die with; filled in by `guarded`, like `tell`"""
    tell: int = 0
    """file descriptor for the `Outcome`"""
    folder: str = ""
    """where its writing is watched, if it is limited"""
    log: str = ""
    """the file in it that takes standard output and error"""
    memory: int = 0
    """bytes"""
    seconds: float = 0
    output: int = 0
    """bytes written to `folder`, beyond what was there"""
    log_output: int = 0
    """bytes written to `log`, beyond what was there"""
    reserve: int = 0
    """bytes that must stay free on the disk of `folder`"""


@dataclass(frozen=True)
class Outcome:
    """How it went."""

    reason: str = ""
    """empty: it ended by itself; else memory | time | output | log | disk | start | cancelled"""
    exit_code: int | None = None
    """negative: ended by that signal"""
    seconds: float = 0
    peak_memory: int = 0
    """bytes, of all its processes together"""
    message: str = ""
    """why it could not be started"""


def run(spec: Spec) -> Outcome:
    """Runs the program until it ends, uses too much, or somebody says stop."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    if os.getppid() != spec.parent:
        return Outcome("cancelled")
    began = time.monotonic()
    watch = _Watch(spec, began)
    try:
        program = subprocess.Popen(
            spec.command, cwd=spec.cwd, stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=_prepare
        )
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return Outcome("start", message=f"cannot run {spec.command[0]}: {reason}")
    reason, status = "", None
    while status is None and not reason:
        heard = signal.sigtimedwait(_SIGNALS, _LOOK_AT_MEMORY)
        status = _reap(program.pid)
        if status is None:
            stop = heard is not None and heard.si_signo != signal.SIGCHLD
            reason = "cancelled" if stop else watch.exceeded()
    if reason == "cancelled":
        _ask_to_end(program.pid)
    _kill_descendants()
    program.returncode = 0 if status is None else status  # reaped here: Popen must not wait for it
    return Outcome(reason, None if reason else status, time.monotonic() - began, watch.peak)


class _Watch:
    """Looks at what the program uses."""

    def __init__(self, spec: Spec, began: float) -> None:
        self.peak = 0
        self._spec = spec
        self._began = began
        self._looked_at_disk = began
        self._before = _written(spec.folder) if spec.output else 0
        self._log_before = _size(spec.log)

    def exceeded(self) -> str:
        """What it has too much of, or nothing."""
        spec, now = self._spec, time.monotonic()
        if spec.seconds and now - self._began > spec.seconds:
            return "time"
        if self._too_much_memory():
            return "memory"
        if now - self._looked_at_disk < _LOOK_AT_DISK:
            return ""
        self._looked_at_disk = now
        if spec.reserve and shutil.disk_usage(spec.folder).free < spec.reserve:
            return "disk"
        if spec.log_output and _size(spec.log) - self._log_before > spec.log_output:
            return "log"
        if spec.output and _written(spec.folder) - self._before > spec.output:
            return "output"
        return ""

    def _too_much_memory(self) -> bool:
        """Its own memory, not what it maps from files. Processes that were forked share pages, which the
        quick sum counts twice: before the limit is said to be exceeded, each page is counted once."""
        pids = list(_descendants(os.getpid()))
        used = sum(_fields(f"/proc/{pid}/status", "RssAnon:", "RssShmem:") for pid in pids)
        limit = self._spec.memory
        if limit and used > limit:
            used = sum(_fields(f"/proc/{pid}/smaps_rollup", "Pss_Anon:", "Pss_Shmem:") for pid in pids)
        self.peak = max(self.peak, used)
        return bool(limit) and used > limit


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _prepare() -> None:
    """In the program's process, before it begins. The kernel, short of memory, should end it before
    others."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")


def _reap(program: int) -> int | None:
    """Takes the status of all that has ended; returns the program's exit code if it is among them."""
    code = None
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            if pid == program:
                code = os.waitstatus_to_exitcode(status)
    return code


def _descendants(pid: int) -> Iterator[int]:
    """Children, their children, and so on."""
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return
    for thread in threads:
        try:
            children = (thread / "children").read_text().split()
        except OSError:
            continue
        for child in map(int, children):
            yield child
            yield from _descendants(child)


def _ask_to_end(program: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(program, signal.SIGTERM)
    deadline = time.monotonic() + _GRACE
    while time.monotonic() < deadline and any(_descendants(os.getpid())):
        signal.sigtimedwait({signal.SIGCHLD}, 0.1)
        _reap(program)


def _kill_descendants() -> None:
    """Again and again, since what is killed may have forked in the meantime."""
    while left := list(_descendants(os.getpid())):
        for pid in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        signal.sigtimedwait({signal.SIGCHLD}, 0.05)
        _reap(0)


def _fields(path: str, *names: str) -> int:
    """The sum of these lines of a file in /proc, in bytes; 0 for a process that has ended."""
    try:
        with Path(path).open() as file:
            return sum(int(line.split()[1]) << 10 for line in file if line.startswith(names))
    except (OSError, IndexError):
        return 0


def _size(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except OSError:
        return 0


def _written(folder: str) -> int:
    """Bytes on disk of all files below a folder; links are not followed."""
    total = 0
    for root, folders, files in os.walk(folder):
        for name in (*folders, *files):
            with contextlib.suppress(OSError):
                total += Path(root, name).lstat().st_blocks * 512
    return total


def main() -> None:
    said = json.loads(sys.argv[1])
    spec = Spec(**said | {"command": tuple(said["command"])})
    outcome = run(spec)
    os.write(spec.tell, json.dumps(asdict(outcome)).encode())


if __name__ == "__main__":
    main()
