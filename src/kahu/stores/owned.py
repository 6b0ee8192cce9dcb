"""A folder that Kahu owns: what was sent here, and results. Nobody else writes there.

Bytes arrive in a spool beside the objects and are renamed when they are whole and on disk.
"""

import errno
import io
import os
import re
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from kahu.errors import StorageFull
from kahu.stores import Entry
from kahu.stores.folder import Folder
from kahu.stores.reading import stamp_of

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_FULL = {errno.ENOSPC, errno.EDQUOT}
_OURS = re.compile(r"[0-9a-f]{32}\.dcm")
_SHELVES = [f"{number:02x}" for number in range(256)]


class OwnedFolder(Folder):
    """Kahu's own folder (see `kahu.stores.OwnedStore`): objects below ``objects``, arrivals in ``spool``."""

    def __init__(self, root: Path) -> None:
        super().__init__(root / "objects")
        self._spool = root / "spool"
        self._spool.mkdir(parents=True, exist_ok=True)
        for shelf in _SHELVES:  # made beforehand, so that keeping an object touches one folder only
            (self.root / shelf).mkdir(parents=True, exist_ok=True)
        _sync_folder(self.root)

    def spool(self) -> BinaryIO:
        """A temporary file that can be written, read and `keep`t; gone when closed. StorageFull when written."""
        return _Spooled(self._spool / uuid.uuid4().hex)

    def keep(self, spooled: BinaryIO) -> Entry:
        """Puts what was spooled under a fresh key, synced, without copying it."""
        assert isinstance(spooled, _Spooled)
        name = spooled.path.name
        key = f"{name[:2]}/{name}.dcm"
        with _full_is_said():
            os.fsync(spooled.fileno())
            spooled.path.rename(self.root / key)
            _sync_folder(self.root / name[:2])
        status = os.fstat(spooled.fileno())
        return Entry(key, status.st_size, stamp_of(status))

    def write(self, chunks: Iterable[bytes]) -> Entry:
        """Puts bytes under a fresh key, synced. StorageFull."""
        with self.spool() as spooled:
            for chunk in chunks:
                spooled.write(chunk)
            return self.keep(spooled)

    def delete(self, key: str) -> None:
        """Removes an object; not an error if it is gone already."""
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


class _Spooled(io.FileIO):
    """A file in the spool. Closing it removes it, unless it has been renamed by then."""

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(path, "x+")

    def write(self, data: "ReadableBuffer", /) -> int:
        """All of `data`, or StorageFull."""
        left = memoryview(data)
        with _full_is_said():
            while left:
                left = left[super().write(left) :]
        return len(memoryview(data))

    def close(self) -> None:
        if not self.closed:
            self.path.unlink(missing_ok=True)
        super().close()


@contextmanager
def _full_is_said() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFull("the disk of Kahu's own store is full", "free some space") from error
        raise


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def open_owned(url: str) -> OwnedFolder:
    """The store at the path `url`, made if it is not there."""
    return OwnedFolder(Path(url))
