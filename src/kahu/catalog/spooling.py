"""The bytes of one object as they arrive: in memory while they are few, then in the spool of Kahu's own store;
hashed as they pass by, so that nothing is read twice."""

import hashlib
import os
from types import TracebackType
from typing import BinaryIO, Self

from kahu.dicom.header import Header, dataset_digest, dataset_offset, read_header
from kahu.errors import NotDicom
from kahu.stores import Entry, OwnedStore
from kahu.stores.reading import pread

HELD = 1 << 20
"""bytes that are held in memory before they are written"""
_HEAD = 16 << 10
"""bytes in which group 2 ends, nearly always"""


class Spooling:
    """One object's bytes, to be closed in the end. Used by one thread at a time; calls block, but for `write` while
    less than `HELD` is held. All that write raise StorageFull."""

    def __init__(self, store: OwnedStore) -> None:
        self.held = 0
        """bytes in memory"""
        self._store = store
        self._pieces: list[bytes] = []
        self._file: BinaryIO | None = None
        self._digest = _Digest()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def write(self, piece: bytes) -> None:
        """More bytes."""
        self._pieces.append(piece)
        self.held += len(piece)
        if self.held >= HELD:
            self._spill()

    def header(self) -> Header:
        """The header, when all bytes are there. NotDicom, BrokenDicom."""
        return read_header(self._read, self._size())

    def digest(self, header: Header) -> str:
        """SHA-256 of the data set."""
        start = header.dataset_offset
        return self._digest.since(start) or dataset_digest(self._read, self._size(), start)

    def keep(self) -> Entry:
        """Puts the object under a fresh key in the store: it outlives `close` then."""
        return self._store.keep(self._spill())

    def sync(self, entry: Entry) -> None:
        """Returns when what was kept is on disk."""
        self._store.sync(self._spill(), entry)

    def close(self) -> None:
        """What was not kept is gone."""
        self._pieces, self.held = [], 0
        if self._file:
            self._file.close()

    def _spill(self) -> BinaryIO:
        """Writes what is in memory; the file."""
        pieces, self._pieces, self.held = self._pieces, [], 0
        if self._file is None:
            self._file = self._store.spool()
            self._digest.begin(pieces[0] if pieces and len(pieces[0]) >= _HEAD else b"".join(pieces))
        self._file.writelines(pieces)
        for piece in pieces:
            self._digest.add(piece)
        return self._file

    def _size(self) -> int:
        return self._spill().seek(0, os.SEEK_END)

    def _read(self, offset: int, length: int) -> bytes:
        return pread(self._spill().fileno(), offset, length)


class _Digest:
    """SHA-256 of a data set whose file comes in pieces."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._start = -1
        self._skip = 0

    def begin(self, head: bytes) -> None:
        """Finds where the data set begins, if that can be seen from the first bytes."""
        try:
            self._start = self._skip = dataset_offset(head)
        except NotDicom:
            self._start = -1

    def add(self, piece: bytes) -> None:
        """The next bytes of the file."""
        if self._start < 0:
            return
        if self._skip:
            self._hash.update(memoryview(piece)[self._skip :])
            self._skip = max(0, self._skip - len(piece))
        else:
            self._hash.update(piece)

    def since(self, start: int) -> str:
        """The digest of all bytes from `start` on; empty: it is not known."""
        return self._hash.hexdigest() if start == self._start else ""
