"""Kahu as its clients meet it: a process with its doors open, and real files of many makers."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx2
import pytest

from kahu.dicom.header import Header, read_header
from kahu.errors import NotDicom
from kahu.testing.programs import need_dcmtk

KAHU = Path(sys.executable).with_name("kahu")
START = 60
"""seconds in which a server must have started, on a machine that is busy"""


@dataclass
class Archive:
    """A `kahu up` process with both doors open."""

    home: Path
    port: int
    dimse_port: int
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def dicomweb(self) -> str:
        return f"{self.url}/dicomweb"

    @property
    def peer(self) -> list[str]:
        """Host and port, as command lines of DIMSE want them."""
        return ["127.0.0.1", str(self.dimse_port)]

    def http(self) -> httpx2.Client:
        return httpx2.Client(base_url=self.dicomweb, timeout=60, trust_env=False)

    def kahu(self, *arguments: object) -> str:
        """What a command of `kahu` prints about this archive."""
        command = [str(KAHU), *map(str, arguments), "--home", str(self.home)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(timeout=30)


@contextmanager
def archive_in(home: Path, *prefix: str, environment: dict[str, str] | None = None) -> Iterator[Archive]:
    """An archive in `home`, started by way of the command `prefix`, if there is one."""
    port, dimse_port = free_port(), free_port()
    command = [*prefix, str(KAHU), "up", "--no-browser", "--home", str(home)]
    command += ["--port", str(port), "--dimse-port", str(dimse_port)]
    output = home.with_suffix(".output")
    with output.open("ab") as sink:
        process = subprocess.Popen(command, stdout=sink, stderr=sink, env=environment)
    archive = Archive(home, port, dimse_port, process)
    try:
        deadline = time.monotonic() + START
        while not (_answers(archive) and _listens(archive)):
            assert process.poll() is None, output.read_text()
            assert time.monotonic() < deadline, output.read_text()
            time.sleep(0.02)
        yield archive
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def archive_at() -> Any:
    """Starts an archive in a home: a context."""
    return archive_in


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    """An archive for the tests of one file."""
    with archive_in(tmp_path_factory.mktemp("archive") / "home") as archive:
        yield archive


@pytest.fixture
def dcmtk() -> None:
    """Skips, aloud, where DCMTK is missing."""
    need_dcmtk("storescu")


@dataclass(frozen=True)
class RealFile:
    """A file of pydicom's collections that holds an object."""

    path: Path
    header: Header
    is_part10: bool
    """it has a preamble and file meta information, as PS3.10 wants it"""

    @property
    def url(self) -> str:
        """Of the instance, below the DICOMweb root."""
        one = self.header
        study, series, instance = one.study_instance_uid, one.series_instance_uid, one.sop_instance_uid
        return f"/studies/{study}/series/{series}/instances/{instance}"


@pytest.fixture(scope="session")
def real_files() -> list[RealFile]:
    """All objects of pydicom and pydicom-data: 17 SOP classes, 12 transfer syntaxes, with and without preamble."""
    roots = [files("pydicom") / "data" / "test_files", files("pydicom") / "data" / "charset_files"]
    roots.append(files("data_store") / "data")
    paths = [path for root in roots for path in sorted(Path(str(root)).rglob("*")) if path.is_file()]
    found = [file for path in paths if (file := _real(path))]
    assert len(found) > 200
    return found


def _real(path: Path) -> RealFile | None:
    data = path.read_bytes()
    try:
        header = read_header(lambda offset, length: data[offset : offset + length], len(data))
    except NotDicom:
        return None
    return RealFile(path, header, data[128:132] == b"DICM")


@pytest.fixture(name="free_port")
def a_free_port() -> Callable[[], int]:
    """Finds a port on which nobody listens."""
    return free_port


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(archive: Archive) -> bool:
    try:
        return httpx2.get(f"{archive.url}/healthz", trust_env=False).status_code == 200
    except httpx2.TransportError:
        return False


def _listens(archive: Archive) -> bool:
    try:
        socket.create_connection(("127.0.0.1", archive.dimse_port)).close()
    except OSError:
        return False
    return True
