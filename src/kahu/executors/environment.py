"""Environments for tools: made once for each set of requirements, by uv, and shared."""

import fcntl
import hashlib
import os
import re
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from uv import find_uv_bin

from kahu.errors import KahuError
from kahu.executors import guarded
from kahu.executors.guard import Spec

_HALF = "making-"  # how the name of one that is being made begins
_SECONDS = 3600  # that an installer may take
_TOLD = 12  # last lines of the installer's output that are told when it fails
_SHOWN = 400  # characters of them


class EnvironmentFailed(KahuError):
    """A tool's environment could not be made."""


class MakingCancelled(KahuError):
    """Somebody cancelled what the environment was for."""


class Environments:
    """A folder of virtual environments, each named by what is in it.

    None of them contains Kahu. One is made aside and renamed when it is whole; two who want the same at once
    wait for each other; what a crash leaves half made is swept.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # Kahu's own interpreter, not that of its virtual environment: so tools see nothing of Kahu's
        # packages.
        self._python = getattr(sys, "_base_executable", sys.executable)

    def get(self, requirements: str, log: BinaryIO, cancelled: threading.Event) -> Path:
        """The folder of an environment with these requirements (the text of a pinned file; empty: the
        standard library only). Needs a network only when it is not there yet; what the installer says goes
        to `log`. EnvironmentFailed; MakingCancelled."""
        whole = self.folder / self.digest(requirements)
        if _usable(whole):
            return whole
        self.folder.mkdir(parents=True, exist_ok=True)
        with _locked(self.folder / f"{whole.name}.lock", cancelled):
            if not _usable(whole):
                self._make(requirements, whole, log, cancelled)
        return whole

    def digest(self, requirements: str) -> str:
        """The name of the environment with these requirements, for this Python on this kind of machine."""
        which = f"{sys.implementation.cache_tag} {sys.platform} {os.uname().machine}\n"
        return hashlib.sha256((which + requirements).encode()).hexdigest()[:24]

    def sweep(self) -> None:
        """Removes what was left half made."""
        for half in self.folder.glob(f"{_HALF}*"):
            name = half.name.removeprefix(_HALF)
            with (self.folder / f"{name}.lock").open("wb") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue  # it is being made right now
                shutil.rmtree(half, ignore_errors=True)

    def _make(self, requirements: str, whole: Path, log: BinaryIO, cancelled: threading.Event) -> None:
        half = self.folder / f"{_HALF}{whole.name}"
        shutil.rmtree(half, ignore_errors=True)
        try:
            _uv(
                log,
                cancelled,
                "venv",
                "--quiet",
                "--relocatable",
                "--no-project",
                "--python",
                self._python,
                str(half),
            )
            if requirements.strip():
                pins = half / "requirements.txt"
                pins.write_text(requirements, "utf-8")
                hashes = ("--require-hashes",) if "--hash=" in requirements else ()
                _uv(log, cancelled, "pip", "install", "--python", str(half), *hashes, "-r", str(pins))
            shutil.rmtree(whole, ignore_errors=True)
            half.rename(whole)
        except OSError as error:
            raise EnvironmentFailed(
                f"the tool's environment could not be made: {error.strerror}", f"look at {self.folder}"
            ) from error
        finally:
            shutil.rmtree(half, ignore_errors=True)


def _usable(environment: Path) -> bool:
    """Whether it is there, and the interpreter it was made with, too."""
    return (environment / "bin" / "python").exists()


@contextmanager
def _locked(path: Path, cancelled: threading.Event) -> Iterator[None]:
    """Holds a lock that other processes see, too; it ends with the process."""
    with path.open("wb") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if cancelled.wait(0.1):
                    raise MakingCancelled("cancelled") from None
        yield


def _uv(log: BinaryIO, cancelled: threading.Event, *arguments: str) -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("KAHU_", "VIRTUAL_ENV"))}
    env |= {"UV_NO_PROGRESS": "1", "UV_PYTHON_DOWNLOADS": "never"}
    env.setdefault("UV_SYSTEM_CERTS", "1")  # what this machine trusts, a proxy's certificate, say
    before = os.fstat(log.fileno()).st_size
    spec = Spec((find_uv_bin(), *arguments), cwd="/", seconds=_SECONDS)
    outcome = guarded.run(spec, env, log, cancelled)
    if outcome.reason == "cancelled":
        raise MakingCancelled("cancelled")
    if outcome.exit_code == 0:
        return
    said = os.pread(log.fileno(), 1 << 16, before).decode(errors="replace")
    raise failed(said if not outcome.reason else f"it took longer than {_SECONDS} s")


def failed(said: str) -> EnvironmentFailed:
    """The error that tells what an installer said last, and what to do about it."""
    said = said[match.start() :] if (match := re.search(r"^(error:|\s*×)", said, re.MULTILINE)) else said
    lines = [" ".join(line.strip(" ×╰─▶├│").split()) for line in said.splitlines()]
    last = " ".join([line for line in lines if line][-_TOLD:])
    shown = last if len(last) <= _SHOWN else f"{last[:_SHOWN]} ..."
    hint = next((hint for clue, hint in _HINTS if re.search(clue, said, re.IGNORECASE)), _HINT)
    return EnvironmentFailed(f"the tool's environment could not be made: {shown}", hint)


_HINTS = (
    ("no space left|quota exceeded", "free some space on the disk of Kahu's home"),
    (
        "hash mismatch|--require-hashes|expected hash",
        "the requirements are not the packages that are served: make the file again with "
        "uv pip compile --generate-hashes",
    ),
    (
        "no solution found|not found in the (package )?(registry|index)|no wheels|unsatisfiable",
        f"check the tool's requirements: they must be there for Python {sys.version_info[0]}."
        f"{sys.version_info[1]} on {os.uname().machine}",
    ),
    (
        "error sending request|failed to fetch|dns|connect|timed out|certificate",
        "the package index cannot be reached: check the network. An environment is made once; after that "
        "the tool runs without",
    ),
)
_HINT = "the log has all that the installer said"
