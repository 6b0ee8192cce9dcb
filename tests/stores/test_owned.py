"""The folder that Kahu owns keeps the contract of stores that can be written."""

import errno
import os
import resource
import shutil
import signal
import stat
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kahu.errors import StorageFull
from kahu.stores import OwnedStore
from kahu.stores.owned import OwnedFolder
from kahu.testing.stores import OwnedStoreTests, Put, ct, sent


class TestOwnedFolder(OwnedStoreTests):
    @pytest.fixture
    def store(self, tmp_path: Path) -> OwnedStore:
        return OwnedFolder(tmp_path / "store")

    @pytest.fixture
    def put(self, tmp_path: Path, store: OwnedStore) -> Put:
        def put(name: str, data: bytes) -> str:
            path = tmp_path / "store/objects" / name
            before = path.stat().st_mtime_ns if path.exists() else None
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            while path.stat().st_mtime_ns == before:
                path.touch()
            return name

        return put

    @pytest.fixture
    def remove(self, tmp_path: Path) -> Callable[[str], None]:
        return lambda key: (tmp_path / "store/objects" / key).unlink()

    @pytest.fixture
    def lose(self, tmp_path: Path) -> Callable[[], None]:
        return lambda: shutil.rmtree(tmp_path / "store")


def test_what_was_kept_is_there_when_it_is_opened_again(tmp_path: Path) -> None:
    entry = sent(OwnedFolder(tmp_path), ct(1))
    assert OwnedFolder(tmp_path).read(entry, 0, entry.size) == ct(1)


def test_file_and_folder_are_synced_before_success(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = OwnedFolder(tmp_path)
    synced: list[Path] = []
    fsync = os.fsync

    def remember(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", remember)
    path = tmp_path / "objects" / sent(store, ct(1)).key
    assert synced == [path, path.parent]


def test_one_sync_of_a_folder_does_for_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = OwnedFolder(tmp_path)
    all_at_it = threading.Barrier(8)
    folders: list[int] = []
    fsync = os.fsync

    def counted(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            folders.append(descriptor)
            time.sleep(0.2)  # the others come meanwhile
        else:
            all_at_it.wait()
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", counted)
    with ThreadPoolExecutor(8) as pool:
        entries = list(pool.map(lambda n: sent(store, ct(n)), range(8)))
    assert len({entry.key for entry in entries}) == 8
    assert len({entry.key[:2] for entry in entries}) <= len(folders) < 8


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO])
@pytest.mark.parametrize("call", ["fsync", "rename", "open"])
def test_a_disk_that_cannot_be_written_is_said_and_nothing_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, call: str
) -> None:
    store = OwnedFolder(tmp_path)

    def fails(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    if call == "open":
        monkeypatch.setattr("kahu.stores.owned._Spooled", fails)
    else:
        monkeypatch.setattr(os, call, fails)
    with pytest.raises(StorageFull) as said:
        sent(store, ct(1))
    assert said.value.hint
    assert ("full" in str(said.value)) == (number in (errno.ENOSPC, errno.EDQUOT))
    monkeypatch.undo()
    store.sweep(lambda _key: False)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_file_that_cannot_grow_is_said(tmp_path: Path) -> None:
    """A real limit of the system, as a full disk is one."""
    store = OwnedFolder(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(StorageFull), store.spool() as spooled:
            spooled.write(bytes(100_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    assert list((tmp_path / "spool").iterdir()) == []
