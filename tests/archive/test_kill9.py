"""Kill -9 at random moments, hundreds of times: what was acknowledged is there, bit for bit, and nothing else.

Senders know nothing of the kills but what any client does: the connection breaks. What was not acknowledged they
send again, sometimes also what was; sometimes they send another object under a UID that is taken. Each life of the
server is a `kahu up` without the time that Python takes to import it; after each death the next life is held to
what the last one said.
"""

import hashlib
import http.client
import itertools
import multiprocessing
import os
import random
import shutil
import socket
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import httpx2
import pytest

from kahu.testing import samples
from kahu.testing.programs import need_dcmtk

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

LIVES = 100
"""for each way of sending"""
LIFE = (0.0, 0.45)
"""seconds from the opening of the doors to the kill: at random between these"""
STILLBORN = 0.15
"""the share of lives that are killed while the server starts"""
BOUNDARY = "no-pixel-data-has-this"
UID = "2.25.100000000000000000000000000001"
SERIES = "2.25.200000000000000000000000000001"


@dataclass(frozen=True)
class Object:
    """Something to send."""

    uid: str
    study: str
    series: str
    data: bytes

    @property
    def url(self) -> str:
        return f"/studies/{self.study}/series/{self.series}/instances/{self.uid}"

    @property
    def dataset(self) -> bytes:
        """What C-STORE carries: all that follows the file meta information (PS3.10 §7.1)."""
        return dataset_of(self.data)


def dataset_of(file: bytes) -> bytes:
    return file[144 + int.from_bytes(file[140:144], "little") :]


class Objects:
    """New objects without end, small and large, ten in a series."""

    def __init__(self) -> None:
        self.study = samples.uid("study of the kill test")
        self._count = itertools.count()
        self._kinds = []
        for side in (8, 8, 8, 128, 128, 512, 1400):
            ds = samples.instance(
                rows=side,
                columns=side,
                study_uid=self.study,
                series_uid=SERIES,
                attributes={"SOPInstanceUID": UID},
            )
            self._kinds.append(samples.encode(ds))

    def new(self) -> Object:
        number = next(self._count)
        uid, series = UID[:-9] + f"{number:09}", SERIES[:-9] + f"{number // 10:09}"
        data = random.choice(self._kinds).replace(UID.encode(), uid.encode())
        return Object(uid, self.study, series, data.replace(SERIES.encode(), series.encode()))


@dataclass
class Book:
    """What was sent, and what the server has said of it."""

    objects: Objects = field(default_factory=Objects)
    sent: dict[str, Object] = field(default_factory=dict)
    acknowledged: set[str] = field(default_factory=set)
    lately: list[str] = field(default_factory=list)
    """what the last life has acknowledged"""
    faults: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def next(self, count: int) -> list[Object]:
        """What to send: mostly new, at times what nobody has acknowledged, or what somebody has."""
        with self._lock:
            open_ = [uid for uid in self.sent if uid not in self.acknowledged]
            known = random.sample(open_, min(len(open_), count // 2 + 1)) if random.random() < 0.5 else []
            if self.acknowledged and random.random() < 0.1:
                known.append(random.choice(tuple(self.acknowledged)))
            batch = [self.sent[uid] for uid in dict.fromkeys(known)][:count]
            batch += [self.objects.new() for _ in range(count - len(batch))]
            self.sent.update({one.uid: one for one in batch})
            return batch

    def impostor(self) -> Object | None:
        """Another object under a UID that the server has acknowledged."""
        with self._lock:
            if not self.acknowledged:
                return None
            one = self.sent[random.choice(tuple(self.acknowledged))]
        return Object(one.uid, one.study, one.series, one.data[:-1] + bytes([one.data[-1] ^ 1]))

    def acknowledge(self, uids: Sequence[str]) -> None:
        with self._lock:
            self.acknowledged.update(uids)
            self.lately.extend(uids)


@dataclass(frozen=True)
class Doors:
    """Where the server listens in every one of its lives."""

    port: int
    dimse_port: int


Sender = Callable[[Doors, Book, Path], None]
"""Sends until the server is gone; it may work in the folder."""


def stow_one(doors: Doors, book: Book, _folder: Path) -> None:
    stow(doors, book, largest=1)


def stow_many(doors: Doors, book: Book, _folder: Path) -> None:
    stow(doors, book, largest=8)


def stow(doors: Doors, book: Book, largest: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", doors.port, timeout=30)
    try:
        while True:
            if random.random() < 0.05 and (impostor := book.impostor()):
                stored = _stow(connection, [impostor])
                if stored:
                    book.faults.append(f"another object was taken for {stored}")
            book.acknowledge(_stow(connection, book.next(random.randint(1, largest))))
    except (OSError, http.client.HTTPException):
        connection.close()


def _stow(connection: http.client.HTTPConnection, objects: Sequence[Object]) -> list[str]:
    """UIDs of those that the server says it has stored."""
    head = f"--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    body = b"".join(head + one.data + b"\r\n" for one in objects) + f"--{BOUNDARY}--\r\n".encode()
    said = {"Content-Type": f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'}
    connection.request("POST", "/dicomweb/studies", body, said)
    answer = connection.getresponse()
    document = httpx2.Response(answer.status, content=answer.read()).json()
    return [item["00081155"]["Value"][0] for item in document.get("00081199", {}).get("Value", [])]


def store(doors: Doors, book: Book, folder: Path) -> None:
    """By DCMTK's storescu, which prints what the server has answered."""
    room = folder / f"send-{threading.get_ident()}"
    while True:
        shutil.rmtree(room, ignore_errors=True)
        room.mkdir()
        impostor = book.impostor() if random.random() < 0.05 else None
        objects = [impostor] if impostor else book.next(random.randint(1, 12))
        for one in objects:
            (room / one.uid).write_bytes(one.data)
        command = [
            need_dcmtk("storescu"),
            "-v",
            "--required",
            "-aec",
            "KAHU",
            "127.0.0.1",
            str(doors.dimse_port),
        ]
        command += [str(room / one.uid) for one in objects]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=dict(os.environ, TCP_NODELAY="1"),
        )
        said = (done.stdout + done.stderr).split("Sending file: ")[1:]
        stored = [Path(lines.splitlines()[0]).name for lines in said if "Response (Success)" in lines]
        if impostor and stored:
            book.faults.append(f"another object was taken for {stored}")
        elif not impostor:
            book.acknowledge(stored)
        if done.returncode and not impostor:
            return


WAYS: dict[str, tuple[Sender, int]] = {
    "STOW, one connection": (stow_one, 1),
    "STOW, four connections, several objects a request": (stow_many, 4),
    "C-STORE, two senders": (store, 2),
}


@pytest.fixture(scope="module")
def nursery() -> multiprocessing.context.ForkServerContext:
    """Forks lives off a process that has imported Kahu."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["kahu.app", "kahu.cli", "kahu.cli.serve", "kahu.serving"])
    return context


@pytest.mark.parametrize("way", WAYS)
def test_what_was_acknowledged_outlives_every_kill(
    way: str, nursery: Any, tmp_path: Path, archive_at: Any, free_port: Any
) -> None:
    sender, count = WAYS[way]
    if sender is store:
        need_dcmtk("storescu")
    home, doors, book = tmp_path / "home", Doors(free_port(), free_port()), Book()
    for _ in range(LIVES):
        life = born(nursery, home, doors, tmp_path)
        try:
            if random.random() < STILLBORN:
                time.sleep(random.uniform(0, 0.3))
            else:
                wait_for(doors, life)
                hold_to_its_word(home, doors, book)
                live(life, [(sender, (doors, book, tmp_path))] * count)
        finally:
            life.kill()
            life.join()
        assert not book.faults
    assert len(book.acknowledged) > LIVES, "too few objects arrived for the kills to mean anything"
    with archive_at(home) as archive:
        check_all(archive, book, exact=sender is not store)
    check_catalogue(home)


def live(life: ForkServerProcess, senders: Sequence[tuple[Sender, tuple[Doors, Book, Path]]]) -> None:
    """Lets senders send for a while, kills the server, and waits until they have noticed."""
    threads = [threading.Thread(target=sender, args=arguments, daemon=True) for sender, arguments in senders]
    for thread in threads:
        thread.start()
    time.sleep(random.uniform(*LIFE))
    life.kill()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "a client waits for a server that is dead"


def born(nursery: Any, home: Path, doors: Doors, folder: Path) -> ForkServerProcess:
    arguments = ["up", "--no-browser", "--home", str(home), "--port", str(doors.port)]
    arguments += ["--dimse-port", str(doors.dimse_port)]
    output = str(folder / "lives.txt")
    life = nursery.Process(target=exec, args=(LIVE.format(output=output, arguments=arguments),))
    life.start()
    return life  # type: ignore[no-any-return]


LIVE = """
import os, sys
os.dup2(os.open({output!r}, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 1)
os.dup2(1, 2)
from kahu.cli import main
main({arguments!r})
"""


def wait_for(doors: Doors, life: ForkServerProcess) -> None:
    """Returns when both doors are open."""
    deadline = time.monotonic() + 60
    while not (answers(doors.port) and listens(doors.dimse_port)):
        assert life.is_alive(), f"the server has ended by itself, with status {life.exitcode}"
        assert time.monotonic() < deadline, "the server did not start"
        time.sleep(0.01)


def answers(port: int) -> bool:
    try:
        return httpx2.get(f"http://127.0.0.1:{port}/healthz", trust_env=False).status_code == 200
    except httpx2.TransportError:
        return False


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def hold_to_its_word(home: Path, doors: Doors, book: Book) -> None:
    """What the last life has acknowledged is there; what it left behind has been swept."""
    with httpx2.Client(
        base_url=f"http://127.0.0.1:{doors.port}/dicomweb", timeout=60, trust_env=False
    ) as http:
        for uid in book.lately[-20:]:
            assert is_given_back(http, book.sent[uid], exact=False)
    book.lately.clear()
    assert not [path for path in (home / "store" / "spool").rglob("*") if path.is_file()]
    assert kept_files(home) == known_files(home)


def check_all(archive: Any, book: Book, *, exact: bool) -> None:
    """Everything that was acknowledged is there and whole; what else is there was sent; each is there once."""
    with archive.http() as http:
        for uid in book.acknowledged:
            assert is_given_back(http, book.sent[uid], exact=exact), uid
        visible: list[str] = []
        while found := http.get("/instances", params={"limit": "1000", "offset": str(len(visible))}):
            if found.status_code == 204 or not found.json():
                break
            visible += [item["00080018"]["Value"][0] for item in found.json()]
        assert len(visible) == len(set(visible))
        assert set(visible) >= book.acknowledged
        assert set(visible) <= set(book.sent)
        for uid in set(visible) - book.acknowledged:  # came in as the server died: whole, or not at all
            assert is_given_back(http, book.sent[uid], exact=exact), uid


def is_given_back(http: httpx2.Client, one: Object, *, exact: bool) -> bool:
    """Whether an object is kept as it was sent: the file, or its data set where that is what was sent."""
    accept = {"Accept": "application/dicom; transfer-syntax=*"}
    answer = http.get(one.url, headers=accept)
    if answer.status_code != 200:
        return False
    digest = hashlib.sha256(answer.content if exact else dataset_of(answer.content)).digest()
    return digest == hashlib.sha256(one.data if exact else one.dataset).digest()


def check_catalogue(home: Path) -> None:
    """The database is sound, and its sums are those of its rows."""
    with closing(sqlite3.connect(f"file:{home}/catalog.db?mode=ro", uri=True)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
        rows = "SELECT series, COUNT(*), SUM(frames) FROM instances GROUP BY series ORDER BY series"
        sums = "SELECT id, instances, frames FROM series ORDER BY id"
        assert db.execute(rows).fetchall() == db.execute(sums).fetchall()


def kept_files(home: Path) -> set[str]:
    root = home / "store" / "objects"
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def known_files(home: Path) -> set[str]:
    with closing(sqlite3.connect(f"file:{home}/catalog.db?mode=ro", uri=True)) as db:
        rows = db.execute(
            "SELECT l.key FROM locations l JOIN stores s ON s.id = l.store WHERE s.kind = 'owned'"
        )
        return {key for (key,) in rows}
