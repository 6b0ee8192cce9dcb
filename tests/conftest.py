"""What tests of several rooms share: a real server in a home of its own, and folders of sample images."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from kahu.testing import samples

KAHU = Path(sys.executable).with_name("kahu")
WAIT = 60
"""seconds until a server must have done something, on a machine that is busy"""


@dataclass
class Server:
    """A `kahu up` process."""

    url: str
    home: Path
    process: subprocess.Popen[bytes]
    output: Path
    """what it printed"""

    def http(self) -> httpx2.Client:
        """A client for this server."""
        return httpx2.Client(base_url=self.url, timeout=60, trust_env=False)

    def series(self, wanted: int) -> list[dict[str, Any]]:
        """The series that it knows, as soon as there are that many."""
        deadline = time.monotonic() + WAIT
        with self.http() as http:
            while (answer := http.get("/api/series").json())["total"] != wanted:
                assert time.monotonic() < deadline, f"{answer['total']} series instead of {wanted}"
                time.sleep(0.05)
        series: list[dict[str, Any]] = answer["series"]
        return series

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Ends it, and returns its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(timeout=30)


Up = Callable[..., Server]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of a person who has our `kahu` on the path; the test runs as that person."""
    for name in [name for name in os.environ if name.startswith("KAHU_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(KAHU.parent), prepend=os.pathsep)
    return tmp_path


@pytest.fixture
def kahu(person: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs `kahu` with arguments, and returns how it ended and what it printed."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [str(KAHU), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)

    return run


@pytest.fixture
def kahu_up(person: Path) -> Iterator[Up]:
    """Starts `kahu up` on a free port; every server is stopped at the test's end."""
    started: list[Server] = []

    def up(
        *paths: object, home: Path | None = None, options: tuple[str, ...] = (), program: Path = KAHU
    ) -> Server:
        home = home or person / ".kahu"
        port = free_port()
        output = person / f"up-{len(started)}.txt"
        command = [str(program), "up", *map(str, paths), "--no-browser"]
        command += ["--port", str(port), "--home", str(home), *options]
        with output.open("wb") as sink:
            process = subprocess.Popen(command, stdout=sink, stderr=sink)
        server = Server(f"http://127.0.0.1:{port}", home, process, output)
        started.append(server)
        wait_until_up(server)
        return server

    yield up
    for server in started:
        server.process.kill()
        server.process.wait()


def wait_until_up(server: Server) -> None:
    deadline = time.monotonic() + WAIT
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            break
        try:
            if httpx2.get(f"{server.url}/healthz", trust_env=False).status_code == 200:
                return
        except httpx2.TransportError:
            time.sleep(0.05)
    raise AssertionError(f"kahu up did not come up: {server.output.read_text()}")


@pytest.fixture
def chest(tmp_path: Path) -> Path:
    """A folder with one CT series of 12 slices in which two lungs can be told from the rest."""
    folder = tmp_path / "dicom" / "chest"
    samples.series(folder, modality="CT", slices=12, rows=128, columns=128, description="Chest")
    return folder


@pytest.fixture
def head(tmp_path: Path) -> Path:
    """A folder with one MR series of 10 slices of another patient."""
    folder = tmp_path / "dicom" / "head"
    samples.series(
        folder, modality="MR", slices=10, patient_id="P-2", patient_name="Kahale^Ipo", description="Head"
    )
    return folder
