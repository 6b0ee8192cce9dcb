"""The home folder: one Kahu at a time, and where that one can be reached."""

import fcntl
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from kahu.errors import Conflict, KahuError, StorageFull
from kahu.settings import HOME_MARK


@dataclass(frozen=True)
class Running:
    """A server that holds a home."""

    pid: int
    url: str


class HomeInUse(Conflict):
    """Another Kahu works in this home."""


class HomeLock:
    """Held while a Kahu works in `home`; the kernel lets go of it when the process ends, however it ends."""

    def __init__(self, home: Path) -> None:
        try:
            home.mkdir(parents=True, exist_ok=True)
            (home / HOME_MARK).touch()
            self._file: BinaryIO = (home / "lock").open("a+b")
        except OSError as error:
            raise cannot_write(home, error) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            other = running(home)
            where = f" at {other.url} (process {other.pid})" if other and other.url else ""
            raise HomeInUse(
                f"another Kahu already works in {home}{where}",
                "use that one, stop it, or give this one a home of its own with --home",
            ) from None
        (home / "lock").chmod(0o600)
        self.tell("")

    def tell(self, url: str) -> None:
        """Writes where this process can be reached."""
        self._file.seek(0)
        self._file.truncate()
        self._file.write(json.dumps({"pid": os.getpid(), "url": url}).encode())
        self._file.flush()

    def release(self) -> None:
        """Lets go. The file stays: removing it would let two processes hold two locks."""
        self._file.seek(0)
        self._file.truncate()
        self._file.close()


def running(home: Path) -> Running | None:
    """The Kahu that works in `home` now, if there is one."""
    try:
        with (home / "lock").open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                said: dict[str, Any] = json.loads(file.read() or b"{}")
                return Running(int(said.get("pid", 0)), str(said.get("url", "")))
    except (OSError, ValueError):
        pass
    return None


def cannot_write(home: Path, error: OSError) -> KahuError:
    """The error to raise when the home cannot be written: StorageFull, or a plain KahuError."""
    kind = StorageFull if error.errno == 28 else KahuError
    return kind(f"cannot write in {home}: {error.strerror}", "choose another home with --home")
