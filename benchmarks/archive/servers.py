"""The servers that are compared, each with an empty store of its own; and nginx, for what the machine can give."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ORTHANC = "/usr/sbin/Orthanc"
PLUGINS = Path("/usr/share/orthanc/plugins")
NEEDED = {ORTHANC: "orthanc", str(PLUGINS / "libOrthancDicomWeb.so"): "orthanc-dicomweb"}
NEEDED |= {str(PLUGINS / "libOrthancGdcm.so"): "orthanc-gdcm", "dcmsend": "dcmtk", "nginx": "nginx-light"}
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
START = 60
"""seconds in which a server must have started"""
QUIET = 0.2
"""seconds over which a server that is called idle has done next to nothing"""


@dataclass(frozen=True)
class Server:
    """One that runs."""

    name: str
    port: int
    dicomweb: str
    """path of the DICOMweb root"""
    process: subprocess.Popen[bytes]
    dimse_port: int = 0
    aet: str = ""
    thumbnail: str = "/thumbnail"
    """below an instance; Orthanc has none, but renders into a small viewport"""

    def cpu(self) -> float:
        """Seconds of CPU that it and its processes have used."""
        return sum(_cpu(pid) for pid in self._tree())

    def memory(self) -> int:
        """Bytes of memory that it and its processes hold (RSS)."""
        return sum(int(_read(pid, "statm").split()[1]) * PAGE for pid in self._tree())

    def settle(self) -> None:
        """Waits until it has done what it had put off, a minute at most."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            before = self.cpu()
            time.sleep(QUIET)
            if self.cpu() - before <= 2 / TICKS:
                return

    def fetch(self, path: str, accept: str = "*/*") -> bytes:
        url = f"http://127.0.0.1:{self.port}{path}"
        with urllib.request.urlopen(urllib.request.Request(url, headers={"Accept": accept})) as answer:
            body: bytes = answer.read()
        return body

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _tree(self) -> Iterator[int]:
        """Its process and all below."""
        parents = {int(entry): _parent(int(entry)) for entry in os.listdir("/proc") if entry.isdigit()}  # noqa: PTH208
        found = {self.process.pid}
        while more := {pid for pid, parent in parents.items() if parent in found} - found:
            found |= more
        yield from found


def missing() -> list[str]:
    """Debian's packages that are not there."""
    return [
        package
        for program, package in NEEDED.items()
        if not (Path(program).exists() or shutil.which(program))
    ]


def start_kahu(home: Path) -> Server:
    port, dimse_port = free_port(), free_port()
    command = [str(Path(sys.executable).with_name("kahu")), "up", "--no-browser", "--home", str(home)]
    command += ["--port", str(port), "--dimse-port", str(dimse_port)]
    return _started(Server("Kahu", port, "/dicomweb", _launch(command, home), dimse_port, "KAHU"), "/healthz")


def start_orthanc(home: Path) -> Server:
    """With durable writes, as Kahu's are, and nobody to authenticate."""
    port, dimse_port = free_port(), free_port()
    home.mkdir()
    configuration: dict[str, Any] = {
        "StorageDirectory": str(home / "storage"),
        "IndexDirectory": str(home / "index"),
        "SyncStorageArea": True,
        "HttpPort": port,
        "DicomPort": dimse_port,
        "DicomAet": "ORTHANC",
        "DicomCheckCalledAet": False,
        "DicomAlwaysAllowStore": True,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "KeepAlive": True,
        "TcpNoDelay": True,
        "Plugins": [str(PLUGINS / f"libOrthanc{name}.so") for name in ("DicomWeb", "Gdcm")],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }
    (home / "orthanc.json").write_text(json.dumps(configuration))
    process = _launch([ORTHANC, str(home / "orthanc.json")], home)
    return _started(
        Server("Orthanc", port, "/dicom-web", process, dimse_port, "ORTHANC", "/rendered?viewport=128,128"),
        "/system",
    )


def start_nginx(home: Path, root: Path) -> Server:
    """Serves the files below `root` as they are."""
    port = free_port()
    home.mkdir()
    temporary = "".join(
        f"{name}_temp_path {home}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;" if os.geteuid() == 0 else ""
    (home / "nginx.conf").write_text(
        f"{user} daemon off; worker_processes 2; pid {home}/pid; error_log {home}/errors;"
        f"events {{}} http {{ access_log off; sendfile on; keepalive_requests 1000000; {temporary}"
        f"server {{ listen 127.0.0.1:{port}; root {root}; }} }}"
    )
    process = _launch(["nginx", "-p", str(home), "-c", str(home / "nginx.conf")], home)
    return _started(Server("nginx", port, "", process), "/")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _launch(command: list[str], home: Path) -> subprocess.Popen[bytes]:
    with home.with_suffix(".output").open("wb") as output:
        return subprocess.Popen(command, stdout=output, stderr=output, env=dict(os.environ, TCP_NODELAY="1"))


def _started(server: Server, path: str) -> Server:
    deadline = time.monotonic() + START
    while time.monotonic() < deadline and server.process.poll() is None:
        try:
            server.fetch(path)
        except urllib.error.HTTPError:
            return server
        except OSError:
            time.sleep(0.05)
        else:
            return server
    server.process.kill()
    raise RuntimeError(f"{server.name} did not start: {' '.join(map(str, server.process.args))}")  # type: ignore[arg-type]


def _read(pid: int, name: str) -> str:
    return Path(f"/proc/{pid}/{name}").read_text()


def _stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the third, none where the process has ended."""
    try:
        return _read(pid, "stat").rpartition(")")[2].split()
    except OSError:
        return []


def _parent(pid: int) -> int:
    stat = _stat(pid)
    return int(stat[1]) if stat else 0


def _cpu(pid: int) -> float:
    """Seconds, those of its children that have ended among them."""
    stat = _stat(pid)
    return sum(map(int, stat[11:15])) / TICKS if stat else 0.0
