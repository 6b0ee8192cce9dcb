"""Clients that behave badly: many at once, slow ones, silent ones, ones that vanish. Everyone else is served."""

import random
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import AE

from kahu.testing import samples
from kahu.testing.programs import need_dcmtk

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

MANY = 64
DICOM = {"Content-Type": "application/dicom"}


@pytest.fixture(scope="module")
def large(running: Any) -> str:
    """Address of a series of 8 objects of 8 MB."""
    objects = [
        samples.instance(number=n, patient_id="LARGE", pixels=np.zeros((2048, 2048))) for n in range(1, 9)
    ]
    with running.http() as http:
        for ds in objects:
            assert http.post("/studies", content=samples.encode(ds), headers=DICOM).status_code == 200
    return f"/studies/{ds.StudyInstanceUID}/series/{ds.SeriesInstanceUID}"


def assert_serves(archive: Any) -> None:
    """Both doors answer others, at once and rightly."""
    ds = samples.instance(patient_id="OTHERS", number=random.randint(1, 10**6))
    with archive.http() as http:
        assert http.get("/studies").status_code == 200
        assert http.post("/studies", content=samples.encode(ds), headers=DICOM).status_code == 200
    ae = AE("OTHER")
    ae.add_requested_context("1.2.840.10008.1.1")
    association = ae.associate("127.0.0.1", archive.dimse_port, ae_title="KAHU")
    assert association.is_established
    assert association.send_c_echo().Status == 0
    association.release()


@contextmanager
def connections(port: int, count: int = MANY) -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        yield [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(count)]


def at_once(count: int, work: Any) -> list[Any]:
    """What `work(number)` returned in that many threads."""
    results: list[Any] = [None] * count

    def run(number: int) -> None:
        results[number] = work(number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_sixty_four_that_store_and_read_at_once(running: Any) -> None:
    def work(number: int) -> bool:
        objects = [
            samples.instance(number=n, patient_id=f"MANY-{number}", rows=128, columns=128) for n in (1, 2, 3)
        ]
        with running.http() as http:
            for ds in objects:
                if http.post("/studies", content=samples.encode(ds), headers=DICOM).status_code != 200:
                    return False
            url = f"/studies/{ds.StudyInstanceUID}/series/{ds.SeriesInstanceUID}"
            found = http.get("/instances", params={"PatientID": f"MANY-{number}"}).json()
            whole = http.get(url).content
        return len(found) == 3 and all(samples.encode(ds) in whole for ds in objects)

    assert at_once(MANY, work) == [True] * MANY


def test_sixty_four_associations_at_once(running: Any) -> None:
    together = threading.Barrier(MANY)

    def work(number: int) -> list[int]:
        ae = AE(f"SENDER{number}")
        ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 120
        ae.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
        association = ae.associate("127.0.0.1", running.dimse_port, ae_title="KAHU")
        together.wait(120)  # all of them hold one
        if not association.is_established:
            return []
        statuses = [
            association.send_c_store(samples.instance(number=n, patient_id=f"DIMSE-{number}")).get(
                "Status", -1
            )
            for n in (1, 2)
        ]
        association.release()
        return statuses

    assert at_once(MANY, work) == [[0, 0]] * MANY


def test_slow_readers(running: Any, large: str) -> None:
    with connections(running.port) as slow:
        for one in slow:
            one.sendall(f"GET /dicomweb{large} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        assert [one.recv(12) for one in slow] == [b"HTTP/1.1 200"] * MANY
        for _ in range(5):
            assert_serves(running)
        before = memory(running)
        time.sleep(1)
        assert memory(running) - before < 64 << 20  # nothing is heaped up for who does not read


def memory(archive: Any) -> int:
    """Bytes that the server's process holds."""
    pages = int(Path(f"/proc/{archive.process.pid}/statm").read_text().split()[1])
    return pages * 4096


def test_slow_and_silent_senders(running: Any) -> None:
    body = samples.encode(samples.instance(patient_id="SLOW"))
    head = post(len(body))
    with connections(running.port) as senders:
        for number, one in enumerate(senders):
            one.sendall(head[: None if number % 2 else 40] + (body[: number * 50] if number % 2 else b""))
        assert_serves(running)
        slow = senders[1]  # and one that comes to an end after all
        for at in range(50, len(body), 400):
            slow.sendall(body[at : at + 400])
        assert slow.recv(12) == b"HTTP/1.1 200"


def post(length: int) -> bytes:
    """The head of a request that stores an object of that many bytes."""
    lines = ("POST /dicomweb/studies HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/dicom")
    return "\r\n".join((*lines, f"Content-Length: {length}", "", "")).encode()


def test_half_open_sockets_at_the_dimse_port(running: Any) -> None:
    """Nothing said; half a header; a header of a PDU that is longer than any; garbage."""
    beginnings = [
        b"",
        b"\x01\x00\x00",
        b"\x01\x00" + struct.pack(">L", 2**32 - 1),
        b"GET / HTTP/1.1\r\n\r\n",
        bytes(100),
    ]
    with connections(running.dimse_port) as strangers:
        for number, one in enumerate(strangers):
            one.sendall(beginnings[number % len(beginnings)])
        for _ in range(5):
            assert_serves(running)


def test_clients_that_vanish(running: Any) -> None:
    """In the middle of what they send and of what they are sent; reset, not closed."""
    body = samples.encode(samples.instance(patient_id="VANISHED", pixels=np.zeros((1024, 1024))))
    head = post(len(body))
    for _ in range(2):
        with connections(running.port) as senders:
            for number, one in enumerate(senders):
                one.sendall(head + body[: number * len(body) // MANY])
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert_serves(running)
    with running.http() as http:
        assert http.get("/instances", params={"PatientID": "VANISHED"}).status_code in (200, 204)
        assert not http.get("/instances", params={"PatientID": "VANISHED"}).content.strip(b"[]")
    spool = running.home / "store" / "spool"
    deadline = time.monotonic() + 20
    while [path for path in spool.rglob("*") if path.is_file()]:
        assert time.monotonic() < deadline, "what was sent in part is still there"
        time.sleep(0.1)


@pytest.mark.usefixtures("dcmtk")
def test_senders_by_dimse_that_are_killed(running: Any, tmp_path: Path) -> None:
    path = samples.save(
        samples.instance(patient_id="GONE", pixels=np.zeros((4096, 4096))), tmp_path / "sent.dcm"
    )
    for _ in range(20):
        sender = subprocess.Popen([need_dcmtk("storescu"), "-aec", "KAHU", *running.peer, path])
        time.sleep(random.uniform(0, 0.15))
        sender.kill()
        sender.wait()
    assert_serves(running)


def test_nobody_was_told_of_a_fault(running: Any) -> None:
    """After all of that: no traceback in the log."""
    log = running.home / "kahu.log"
    assert "Traceback" not in (log.read_text() if log.exists() else "")
    assert httpx2.get(f"{running.url}/healthz", trust_env=False).status_code == 200
