"""A borrowed folder keeps the contract of stores, whatever people have put into it."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest

from kahu.dicom.header import Header, ReadAt, read_header
from kahu.errors import BadRequest, BytesMissing
from kahu.stores import Found, Refused, Scanned, Store, Unlisted, reading
from kahu.stores.folder import Folder, key_of, path_of
from kahu.testing import samples
from kahu.testing.stores import Put, StoreTests, ct, nothing


def write(path: Path, data: bytes) -> Path:
    """Writes a file, and sees to it that its time of modification differs from what it was."""
    before = path.stat().st_mtime_ns if path.exists() else None
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    while path.stat().st_mtime_ns == before:
        path.touch()
    return path


def keys(folder: Path) -> list[str]:
    return [each.entry.key for each in Folder(folder).scan(nothing) if isinstance(each, Found)]


def refused(folder: Path) -> dict[str, Refused]:
    return {each.entry.key: each for each in Folder(folder).scan(nothing) if isinstance(each, Refused)}


class TestFolder(StoreTests):
    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        root = tmp_path / "images"
        root.mkdir()
        return root

    @pytest.fixture
    def store(self, root: Path) -> Store:
        return Folder(root)

    @pytest.fixture
    def put(self, root: Path) -> Put:
        def put(name: str, data: bytes) -> str:
            write(root / name, data)
            return name

        return put

    @pytest.fixture
    def remove(self, root: Path) -> Callable[[str], None]:
        return lambda key: (root / key).unlink()

    @pytest.fixture
    def lose(self, root: Path) -> Callable[[], None]:
        return lambda: shutil.rmtree(root)


class TestFolderReadByProcesses(TestFolder):
    """All the same when headers are read by processes of their own, from the first file on."""

    @pytest.fixture(autouse=True)
    def at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        spread_at_once(monkeypatch)
        monkeypatch.setattr(reading, "MAX_PROCESSES", 1)


def spread_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "PATIENCE", -1.0)
    monkeypatch.setattr(reading, "BATCH_FILES", 2)
    start = reading._Reader.__init__

    def start_and_wait(self: reading._Reader) -> None:
        start(self)
        while not self.is_ready():
            time.sleep(0.01)

    monkeypatch.setattr(reading._Reader, "__init__", start_and_wait)


# What lies in folders


def test_the_root_may_be_a_link(tmp_path: Path) -> None:
    write(tmp_path / "real/1.dcm", ct(1))
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert keys(tmp_path / "link") == ["1.dcm"]


def test_links_that_lead_in_circles_are_walked_once(tmp_path: Path) -> None:
    write(tmp_path / "root/a/1.dcm", ct(1))
    (tmp_path / "root/a/up").symlink_to(tmp_path / "root")
    (tmp_path / "root/b").symlink_to(tmp_path / "root/a")
    (tmp_path / "root/self").symlink_to("self")
    (tmp_path / "root/out").symlink_to(tmp_path)
    assert keys(tmp_path / "root") == ["a/1.dcm"]


def test_links_to_folders_elsewhere_are_followed_once(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere/1.dcm", ct(1))
    (tmp_path / "elsewhere/back").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "root").mkdir()
    (tmp_path / "root/first").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "root/second").symlink_to(tmp_path / "elsewhere")
    assert keys(tmp_path / "root") == ["first/1.dcm"]


def test_links_to_files_are_files(tmp_path: Path) -> None:
    target = write(tmp_path / "elsewhere/x", ct(1))
    (tmp_path / "root").mkdir()
    (tmp_path / "root/1.dcm").symlink_to(target)
    assert keys(tmp_path / "root") == ["1.dcm"]


def test_a_link_to_nothing_is_refused_and_tried_again(tmp_path: Path) -> None:
    (tmp_path / "1.dcm").symlink_to(tmp_path / "nowhere")
    assert refused(tmp_path)["1.dcm"].entry.stamp == ""


def test_pipes_and_sockets_are_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        found = refused(tmp_path)
    assert {key: each.reason for key, each in found.items()} == {
        "pipe": "it is no file but a named pipe",
        "socket": "it is no file but a socket",
    }


def test_a_file_that_becomes_a_pipe_stops_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert reading.read_object(str(tmp_path / "pipe"))[2:] == (None, "it is not a file any more", False)


@pytest.mark.parametrize("name", [b"caf\xe9.dcm", b"100%.dcm", b"a\nb", b"%41", "日本.dcm".encode(), b"-rf"])
def test_odd_names_are_found_and_read(tmp_path: Path, name: bytes) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
    path.write_bytes(ct(1))
    folder = Folder(tmp_path)
    (found,) = folder.scan(nothing)
    assert isinstance(found, Found)
    found.entry.key.encode()  # any database takes it
    assert folder.read(found.entry, 128, 4) == b"DICM"


def test_odd_names_keep_the_order_of_keys(tmp_path: Path) -> None:
    for name in (b"b\xff/1", b"b%/1", b"b/1", b"b$", b"b\xffa", b"c", b"b\xc3\xa9"):
        path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(ct(1))
    found = keys(tmp_path)
    assert len(found) == 7
    assert found == sorted(found)


def test_a_key_says_its_path_and_back() -> None:
    for path in ("a/b", "a%b", "%41", "\udcff", "é\udce9%"):
        assert path_of(key_of(path)) == path


def test_a_folder_that_cannot_be_listed_is_not_taken_for_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a/1.dcm", "b/2.dcm", "c/3.dcm"):
        write(tmp_path / name, ct(1))
    listed = os.scandir

    def scandir(path: str) -> object:
        if path.endswith("/b/"):
            raise PermissionError(13, "Permission denied")
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    told: list[Scanned] = list(Folder(tmp_path).scan(nothing))
    assert told[1] == Unlisted("b/", "the folder cannot be listed: Permission denied")
    assert [type(each) for each in told] == [Found, Unlisted, Found]


def test_a_file_that_cannot_be_read_is_refused_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "1.dcm", ct(1))

    def fails(*_: object) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "pread", fails)
    each = refused(tmp_path)["1.dcm"]
    assert each.reason == "it cannot be read: Input/output error"
    assert each.dicom
    assert each.entry.stamp == ""


def test_a_file_that_changes_while_it_is_read_is_refused_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "1.dcm", ct(1))

    def read_and_change(read: ReadAt, size: int) -> Header:
        header = read_header(read, size)
        write(path, ct(2))
        return header

    monkeypatch.setattr(reading, "read_header", read_and_change)
    each = refused(tmp_path)["1.dcm"]
    assert each.reason == "it changed while it was being read"
    assert each.entry.stamp == ""


def test_nothing_is_written(tmp_path: Path) -> None:
    for n in range(3):
        write(tmp_path / f"{n}/{n}.dcm", ct(n))
    paths = [tmp_path, *tmp_path.rglob("*")]
    before = {path: (path.stat().st_mtime_ns, path.stat().st_ctime_ns) for path in paths}
    folder = Folder(tmp_path)
    for each in folder.scan(nothing):
        assert isinstance(each, Found)
        list(folder.stream(each.entry))
    assert {path: (path.stat().st_mtime_ns, path.stat().st_ctime_ns) for path in before} == before
    assert set(paths) == {tmp_path, *tmp_path.rglob("*")}


def test_a_file_in_place_of_the_folder_is_said(tmp_path: Path) -> None:
    write(tmp_path / "1.dcm", ct(1))
    with pytest.raises(BytesMissing, match="is not a folder"):
        Folder(tmp_path / "1.dcm").check()


def test_a_root_that_no_database_takes_is_refused() -> None:
    with pytest.raises(BadRequest):
        Folder(Path("/tmp/caf\udce9"))


# Reading by several processes


@pytest.fixture
def many(tmp_path: Path) -> Path:
    for n in range(40):
        write(tmp_path / f"many/{n:02d}.dcm", ct(n) if n % 7 else b"no image")
    return tmp_path / "many"


def test_several_processes_tell_the_same_in_the_same_order(
    many: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = list(Folder(many).scan(nothing))
    spread_at_once(monkeypatch)
    assert list(Folder(many).scan(nothing)) == alone


def test_what_a_process_had_in_hand_when_it_died_is_read_all_the_same(
    many: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = list(Folder(many).scan(nothing))
    spread_at_once(monkeypatch)
    ask = reading._Reader.ask

    def ask_and_kill(self: reading._Reader, paths: list[str]) -> None:
        self._process.kill()
        self._process.wait()
        ask(self, paths)

    monkeypatch.setattr(reading._Reader, "ask", ask_and_kill)
    assert list(Folder(many).scan(nothing)) == alone


def test_long_headers_come_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(6):
        text = os.urandom(5 << 20).hex()
        data = samples.encode(samples.instance(number=n, attributes={"TextValue": text}))
        write(tmp_path / f"{n}.dcm", data)
    alone = list(Folder(tmp_path).scan(nothing))
    spread_at_once(monkeypatch)
    received: list[int] = []
    receive = reading._receive

    def remember(pipe: IO[bytes]) -> list[object]:
        answers: list[object] = receive(pipe)
        received.append(len(answers))
        return answers

    monkeypatch.setattr(reading, "_receive", remember)
    assert list(Folder(tmp_path).scan(nothing)) == alone
    assert received == [1, 1, 1, 1]  # the first two were read here while the process started


def test_processes_that_never_start_stop_nobody(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = list(Folder(many).scan(nothing))
    monkeypatch.setattr(reading, "PATIENCE", -1.0)
    for program in ("/bin/false", "/nowhere/python"):
        monkeypatch.setattr(sys, "executable", program)
        assert list(Folder(many).scan(nothing)) == alone


def test_very_long_paths_do_not_fill_the_pipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "AHEAD", 3)
    folder = tmp_path
    while len(str(folder)) < 3800:
        folder = folder / ("d" * 200)
    folder.mkdir(parents=True)
    for n in range(60):
        (folder / f"{n}.dcm").write_bytes(ct(n))
    spread_at_once(monkeypatch)
    monkeypatch.setattr(reading, "BATCH_FILES", 64)
    assert len(keys(tmp_path)) == 60


def test_processes_end_with_a_scan_that_is_left(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spread_at_once(monkeypatch)
    begun: list[reading._Reader] = []
    ask = reading._Reader.ask

    def remember(self: reading._Reader, paths: list[str]) -> None:
        begun.append(self)
        ask(self, paths)

    monkeypatch.setattr(reading._Reader, "ask", remember)
    scan = Folder(many).scan(nothing)
    assert isinstance(scan, Iterator)
    next(scan)
    scan.close()  # type: ignore[attr-defined]
    assert begun
    assert all(reader._process.poll() is not None for reader in begun)


def test_a_reading_process_ends_when_its_parent_is_gone() -> None:
    command = [sys.executable, "-P", "-m", "kahu.stores.reading"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        process.stdin.close()
        assert process.wait(timeout=60) == 0
