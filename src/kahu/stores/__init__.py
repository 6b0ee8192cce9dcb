"""Where objects live. A store is read in place; one that Kahu owns can be written, too.

The contract, and its awkward moments:

* `scan` may be interrupted at any point and started again; it never writes to a borrowed store. It tells of files in
  ascending order of their keys (by code point, as object stores list them), and calls `known` once for each in the
  same order, so that the catalogue compares a million of them without holding them. A root that is gone or cannot be
  listed raises `BytesMissing` before anything is said; a part that cannot be listed is said to be `Unlisted`, so
  that nobody takes what lies there for vanished. A file that cannot be read, or that changes while it is being
  read, is `Refused` with an empty stamp: the next scan tries again.
* `read` gives exactly the bytes that were indexed: it checks `stamp` on every call, and raises `BytesChanged`
  when the object was replaced, `BytesMissing` when it, or the store, is gone. Never wrong bytes, never fewer.
* What is sent to a store of Kahu's own is spooled, kept, synced. Nobody sees it in the spool; `keep` gives it a key,
  that no row knows yet; after `sync` it outlasts a power cut, and a row may speak of it. What is left of the way when
  the process dies, or when one of the steps raises, is unseen and removed: by `close` or `delete`, else by `sweep`.
  A disk that is full or cannot be written is `StorageFull` at any step, also at `sync`: then the bytes are lost.
* Keys are opaque to everyone else. Calls are plain, blocking, and safe from many threads.

`kahu.testing.stores` says all this as tests; every store passes them.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from kahu.dicom.header import Header

__all__ = ["Entry", "Found", "OwnedStore", "Refused", "Scanned", "Store", "Unchanged", "Unlisted"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a store, as listed."""

    key: str
    size: int
    """bytes"""
    stamp: str
    """changes when the bytes do: time of modification in ns, or an ETag; empty: not known"""


@dataclass(frozen=True, slots=True)
class Found:
    """An object, with its header read."""

    entry: Entry
    header: Header


@dataclass(frozen=True, slots=True)
class Refused:
    """A file that is no DICOM object, or cannot be read; `reason` is a sentence for people."""

    entry: Entry
    reason: str
    dicom: bool
    """whether it is, or may be, DICOM: broken and unreadable ones are worth a person's look, a README is not"""


@dataclass(frozen=True, slots=True)
class Unchanged:
    """A file whose size and stamp are as they were at the last scan: not opened."""

    key: str


@dataclass(frozen=True, slots=True)
class Unlisted:
    """A part of a store that could not be listed: what lies below `prefix` is neither there nor gone."""

    prefix: str
    """of keys"""
    reason: str
    """a sentence for people"""


Scanned = Found | Refused | Unchanged | Unlisted


class Store(Protocol):
    """A place where DICOM objects live."""

    def scan(self, known: Callable[[str], tuple[int, str] | None]) -> Iterator[Scanned]:
        """Yields every file once. `known(key)` gives (size, stamp) of the last scan, or None."""

    def read(self, entry: Entry, offset: int, length: int) -> bytes:
        """The bytes [offset, offset + length) of an object. BytesChanged, BytesMissing."""

    def stream(self, entry: Entry, chunk: int = 1 << 20) -> Iterator[bytes]:
        """The whole object in pieces. BytesChanged, BytesMissing (before the first piece)."""

    def check(self) -> None:
        """Raises BytesMissing, with what to do, when the store cannot be reached."""


class OwnedStore(Store, Protocol):
    """A store that Kahu owns: nobody else writes there."""

    def spool(self) -> BinaryIO:
        """A temporary file in the same place, for bytes that are still arriving; gone when closed. StorageFull, also
        when it is written."""

    def keep(self, spooled: BinaryIO) -> Entry:
        """Puts what was spooled under a fresh key, without copying it. StorageFull."""

    def sync(self, spooled: BinaryIO, entry: Entry) -> None:
        """Returns when what was kept, and is not closed yet, is on disk under its key. StorageFull."""

    def delete(self, key: str) -> None:
        """Removes an object; not an error if it is gone already. StorageFull: it cannot be removed."""

    def sweep(self, known: Callable[[str], bool]) -> int:
        """Removes what no row knows; returns how many. Only while nothing is being written."""
