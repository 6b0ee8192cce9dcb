"""A folder that Kahu owns: what was sent here, and results. Nobody else writes there.

Bytes arrive in a spool beside the objects and are renamed when they are whole. Objects lie on 256 shelves: one is
filled for a while, then another, so that what comes together lies together and one sync of a shelf does for many.
"""

import ctypes
import errno
import io
import os
import random
import re
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from kahu.errors import StorageFull
from kahu.stores import Entry
from kahu.stores.folder import Folder
from kahu.stores.reading import stamp_of

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_OURS = re.compile(r"[0-9a-f]{32}\.dcm")
_SHELVES = [f"{number:02x}" for number in range(256)]
_IN_A_ROW = 1000
"""objects that come to lie on one shelf before the next is taken"""


class OwnedFolder(Folder):
    """Kahu's own folder (see `kahu.stores.OwnedStore`): objects below ``objects``, arrivals in ``spool``."""

    def __init__(self, root: Path) -> None:
        super().__init__(root / "objects")
        self._spool = root / "spool"
        self._numbers = count(random.randrange(len(_SHELVES)) * _IN_A_ROW)
        with _said():
            self._spool.mkdir(parents=True, exist_ok=True)
            for shelf in _SHELVES:  # made beforehand, so that keeping an object touches one folder only
                (self.root / shelf).mkdir(parents=True, exist_ok=True)
            for folder in (self.root, root, root.parent):
                _sync_folder(folder)
        self._shelves = {shelf: _Shelf(self.root / shelf) for shelf in _SHELVES}

    def spool(self) -> BinaryIO:
        """A temporary file that can be written, read and `keep`t; gone when closed. StorageFull, also when it is
        written."""
        with _said():
            return _Spooled(self._spool / uuid.uuid4().hex)

    def keep(self, spooled: BinaryIO) -> Entry:
        """Puts what was spooled under a fresh key, without copying it. StorageFull."""
        assert isinstance(spooled, _Spooled)
        shelf = _SHELVES[next(self._numbers) // _IN_A_ROW % len(_SHELVES)]
        key = f"{shelf}/{shelf}{uuid.uuid4().hex[2:]}.dcm"
        with _said():
            spooled.path.rename(self.root / key)
        spooled.kept = True
        status = os.fstat(spooled.fileno())
        return Entry(key, status.st_size, stamp_of(status))

    def sync(self, spooled: BinaryIO, entry: Entry) -> None:
        """Returns when what was kept, and is not closed yet, is on disk under its key. StorageFull."""
        with _said():
            os.fsync(spooled.fileno())
            self._shelves[entry.key[:2]].sync()

    def delete(self, key: str) -> None:
        """Removes an object; not an error if it is gone already. StorageFull: it cannot be removed."""
        with _said():
            (self.root / key).unlink(missing_ok=True)

    def sweep(self, known: Callable[[str], bool]) -> int:
        """Removes what no row knows, asked in ascending order of keys; returns how many. Files that are not
        named as `keep` names them are somebody's, and left alone."""
        removed = 0
        for spooled in self._spool.iterdir():
            spooled.unlink()
            removed += 1
        for shelf in _SHELVES:
            for file in sorted((self.root / shelf).iterdir()):
                key = f"{shelf}/{file.name}"
                if _OURS.fullmatch(file.name) and not known(key):
                    self.delete(key)
                    removed += 1
        return removed


_sync_file_range = getattr(ctypes.CDLL(None), "sync_file_range", None)  # Linux has it, Python does not
_WRITE = 2  # SYNC_FILE_RANGE_WRITE
_MOST_PIECES = 1000  # of one call; the system takes 1024


class _Spooled(io.FileIO):
    """A file in the spool. Closing it removes it, unless it is kept by then."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.kept = False
        super().__init__(path, "x+")

    def write(self, data: "ReadableBuffer", /) -> int:
        """All of `data`, or StorageFull."""
        left = memoryview(data)
        with _said():
            while left:
                left = left[super().write(left) :]
        return len(memoryview(data))

    def writelines(self, pieces: "Iterable[ReadableBuffer]", /) -> None:
        """All pieces, or StorageFull. The disk begins to write them now, so that a sync has less to wait for."""
        left = list(pieces)
        start = self.tell()
        with _said():
            while left:
                written = os.writev(self.fileno(), left[:_MOST_PIECES])
                left = _behind(left, written)
            _begin_writing(self.fileno(), start, self.tell() - start)

    def close(self) -> None:
        if not (self.closed or self.kept):
            with suppress(OSError):  # what cannot be removed now is swept later
                self.path.unlink()
        super().close()


def _begin_writing(descriptor: int, start: int, length: int) -> None:
    """Has the disk begin to write some of a file, and does not wait: a hint, which not every system takes."""
    if _sync_file_range:
        _sync_file_range(descriptor, ctypes.c_int64(start), ctypes.c_int64(length), ctypes.c_uint(_WRITE))


def _behind(pieces: "list[ReadableBuffer]", count: int) -> "list[ReadableBuffer]":
    """What lies behind the first `count` bytes of these pieces."""
    for index, piece in enumerate(pieces):
        view = memoryview(piece)
        if count < len(view):
            return [view[count:], *pieces[index + 1 :]]
        count -= len(view)
    return []


class _Shelf:
    """A folder whose entries are synced for many at once: who comes while others are at it waits, and is mostly
    done when they are."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._turn = threading.Lock()
        self._times = count(1)
        self._synced = 0

    def sync(self) -> None:
        """Returns when the entries that have been made are on disk."""
        asked = next(self._times)
        with self._turn:
            if self._synced < asked:
                began = next(self._times)
                _sync_folder(self._folder)
                self._synced = began


@contextmanager
def _said() -> Iterator[None]:
    """Says why the store cannot be written: StorageFull."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull("the disk of Kahu's own store is full", "free some space") from error
        raise StorageFull(
            f"Kahu's own store cannot be written: {error.strerror}",
            "look at its disk, and whether Kahu may write there",
        ) from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def open_owned(url: str) -> OwnedFolder:
    """The store at the path `url`, made if it is not there."""
    return OwnedFolder(Path(url))
