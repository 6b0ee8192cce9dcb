"""The folder that Kahu owns keeps the contract of stores that can be written."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from kahu.errors import StorageFull
from kahu.stores import OwnedStore
from kahu.stores.owned import OwnedFolder
from kahu.testing.stores import OwnedStoreTests, Put, ct, nothing


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
    entry = OwnedFolder(tmp_path).write([ct(1)])
    assert OwnedFolder(tmp_path).read(entry, 0, entry.size) == ct(1)


def test_file_and_folder_are_synced_before_success(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = OwnedFolder(tmp_path)
    synced: list[str] = []
    fsync = os.fsync

    def remember(descriptor: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", remember)
    entry = store.write([ct(1)])
    file, folder = synced
    assert Path(file).parent == tmp_path / "spool"
    assert Path(folder) == (tmp_path / "objects" / entry.key).parent


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = OwnedFolder(tmp_path)

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageFull) as said:
        store.write([ct(1)])
    assert said.value.hint
    assert list(store.scan(nothing)) == []
    assert list((tmp_path / "spool").iterdir()) == []
