"""Disks that are full or cannot be written, clocks that jump: a clear status, no damage, and work goes on afterwards.

What needs a disk of its own mounts one, which only root may: elsewhere these tests are skipped, and say so.
"""

import os
import re
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from pydicom import Dataset

from kahu.testing import samples
from kahu.testing.programs import need_dcmtk

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

DICOM = {"Content-Type": "application/dicom"}
OUT_OF_RESOURCES = 0xA700


@contextmanager
def disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """A small disk of its own at `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("no disk can be mounted: root may")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def objects() -> Iterator[Dataset]:
    """Objects of 512 KB without end."""
    number = 0
    while True:
        number += 1
        yield samples.instance(number=number, patient_id="DISK", pixels=np.zeros((512, 512)))


def url_of(ds: Dataset) -> str:
    return f"/studies/{ds.StudyInstanceUID}/series/{ds.SeriesInstanceUID}/instances/{ds.SOPInstanceUID}"


def stow(http: httpx2.Client, ds: Dataset) -> httpx2.Response:
    return http.post("/studies", content=samples.encode(ds), headers=DICOM)


def reason(answer: httpx2.Response) -> int:
    """Why an object was not stored (PS3.18 annex I.2.2)."""
    document = answer.json()
    (item,) = (document.get("00081198") or document["0008119A"])["Value"]
    code: int = item["00081197"]["Value"][0]
    return code


def assert_refused_by_dimse(archive: Any, folder: Path, ds: Dataset) -> None:
    path = samples.save(ds, folder / "refused.dcm")
    command = [need_dcmtk("storescu"), "-v", "-aec", "KAHU", *archive.peer, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert "Refused: OutOfResources" in done.stdout + done.stderr


def assert_all_there(http: httpx2.Client, stored: list[Dataset]) -> None:
    for ds in stored:
        answer = http.get(url_of(ds), headers={"Accept": "application/dicom"})
        assert answer.content == samples.encode(ds)


def assert_sound(home: Path, stored: list[Dataset]) -> None:
    with closing(sqlite3.connect(home / "catalog.db")) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
        known = {uid for (uid,) in db.execute("SELECT uid FROM instances")}
    assert known == {ds.SOPInstanceUID for ds in stored}
    assert not [path for path in (home / "store" / "spool").rglob("*") if path.is_file()]


@pytest.mark.usefixtures("dcmtk")
def test_a_full_disk(tmp_path: Path, archive_at: Any) -> None:
    stored: list[Dataset] = []
    sending = objects()
    with disk(tmp_path / "home", 24) as home:
        filler = home / "filler"
        with archive_at(home) as archive, archive.http() as http:
            filler.write_bytes(bytes(4 << 20))
            while (answer := stow(http, one := next(sending))).status_code == 200:
                stored.append(one)
                assert len(stored) < 48
            assert len(stored) > 10
            assert answer.status_code == 507
            assert reason(answer) & 0xFF00 == OUT_OF_RESOURCES
            assert_refused_by_dimse(archive, tmp_path, next(sending))
            assert_all_there(http, stored)  # reading goes on
            assert http.get("/instances", params={"PatientID": "DISK"}).status_code == 200
            filler.unlink()
            assert stow(http, one).status_code == 200
            stored.append(one)
            archive.stop(signal.SIGKILL)
        with archive_at(home) as archive, archive.http() as http:
            assert_all_there(http, stored)
        assert_sound(home, stored)


@pytest.mark.usefixtures("dcmtk")
def test_a_store_that_becomes_read_only(tmp_path: Path, archive_at: Any) -> None:
    home = tmp_path / "home"
    sending = objects()
    with disk(home / "store", 24) as store, archive_at(home) as archive, archive.http() as http:
        stored = [next(sending), next(sending)]
        assert [stow(http, ds).status_code for ds in stored] == [200, 200]
        subprocess.run(["mount", "-o", "remount,ro", str(store)], check=True)
        answer = stow(http, next(sending))
        assert answer.status_code in (503, 507)
        assert reason(answer) & 0xFF00 == OUT_OF_RESOURCES
        assert_refused_by_dimse(archive, tmp_path, next(sending))
        assert_all_there(http, stored)
        subprocess.run(["mount", "-o", "remount,rw", str(store)], check=True)
        stored.append(next(sending))
        assert stow(http, stored[-1]).status_code == 200
        assert_all_there(http, stored)
        archive.stop()
        assert_sound(home, stored)


def test_a_home_that_cannot_be_written(tmp_path: Path, kahu: Any) -> None:
    with disk(tmp_path / "home", 4) as home:
        subprocess.run(["mount", "-o", "remount,ro", str(home)], check=True)
        done = kahu("up", "--no-browser", "--home", home, "--port", 0)
    assert done.returncode == 1
    assert "Read-only file system" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_clock_that_jumps(tmp_path: Path, archive_at: Any) -> None:
    libraries = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    if not libraries:
        pytest.skip("no libfaketime: sudo apt install faketime")
    clock = tmp_path / "clock"
    clock.write_text("+0")
    environment = dict(
        os.environ,
        LD_PRELOAD=str(libraries[0]),
        FAKETIME_TIMESTAMP_FILE=str(clock),
        FAKETIME_NO_CACHE="1",
        FAKETIME_DONT_FAKE_MONOTONIC="1",  # no kernel lets that one jump
    )
    stored: list[Dataset] = []
    sending = objects()
    with archive_at(tmp_path / "home", environment=environment) as archive, archive.http() as http:
        for jump in ("+0", "-2y", "+10y", "-1d", "+0"):
            clock.write_text(jump)
            stored.append(next(sending))
            assert stow(http, stored[-1]).status_code == 200
            assert_all_there(http, stored)
            assert len(http.get("/instances", params={"PatientID": "DISK"}).json()) == len(stored)
        archive.stop()
    assert_sound(tmp_path / "home", stored)


def test_success_is_said_after_file_folder_and_row_are_synced(tmp_path: Path, archive_at: Any) -> None:
    if not shutil.which("strace"):
        pytest.skip("no strace: sudo apt install strace")
    trace = tmp_path / "trace.txt"
    calls = "fsync,fdatasync,rename,renameat,renameat2,write,writev,sendmsg,sendto"
    with archive_at(
        tmp_path / "home", "strace", "-D", "-f", "-y", "-s", "16", "-e", calls, "-o", str(trace)
    ) as archive:
        before = len(completed(trace))
        with archive.http() as http:
            assert stow(http, next(objects())).status_code == 200
        done = completed(trace)[before:]
        archive.stop()
    answered = place(done, r"(write|writev|sendmsg|sendto)\(.*HTTP/1.1 200")
    renamed = place(done, r"rename.*/store/spool/.*/store/objects/")
    assert place(done, r"fsync\(\d+<.*/store/(spool|objects)/.*[0-9a-f]{32}") < answered
    assert renamed < place(done, r"fsync\(\d+<.*/store/objects/[0-9a-f]{2}>") < answered
    assert renamed < place(done, r"fdatasync\(\d+<.*/catalog.db-wal>") < answered


def completed(trace: Path) -> list[str]:
    """System calls in the order in which they ended; those that send, in which they began."""
    calls: list[str] = []
    begun: dict[str, str] = {}
    for line in trace.read_text(errors="replace").splitlines():
        process, _, call = line.partition(" ")
        call = call.strip()
        if call.endswith("<unfinished ...>"):
            if "HTTP/1.1" in call:
                calls.append(call)
            else:
                begun[process] = call
        elif resumed := re.match(r"<\.\.\. \w+ resumed>", call):
            calls.append(begun.pop(process, "") + call[resumed.end() :])
        else:
            calls.append(call)
    return calls


def place(calls: list[str], pattern: str) -> int:
    """Where the first call is that the pattern describes."""
    return next(number for number, call in enumerate(calls) if re.search(pattern, call))
