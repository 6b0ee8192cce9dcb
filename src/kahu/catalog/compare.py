"""Whether two files hold the same object: equal data set bytes, group 2 left out (PS3.10 §7.1)."""

from collections.abc import Iterator

from kahu.dicom.header import dataset_digest
from kahu.errors import BytesChanged, BytesMissing
from kahu.stores import Entry, Store

_CHUNK = 1 << 20


def dataset_bytes(store: Store, entry: Entry, offset: int) -> Iterator[bytes]:
    """The data set of an object in pieces. BytesChanged, BytesMissing."""
    for start in range(offset, entry.size, _CHUNK):
        yield store.read(entry, start, min(_CHUNK, entry.size - start))


def digest(store: Store, entry: Entry, offset: int) -> str:
    """SHA-256 of the data set's bytes. BytesChanged, BytesMissing."""

    def read(at: int, length: int) -> bytes:
        return store.read(entry, at, length)

    return dataset_digest(read, entry.size, offset)


def same_bytes(
    one: Store, entry: Entry, offset: int, other: Store, other_entry: Entry, other_offset: int
) -> bool:
    """Whether two data sets of the same length are equal. BytesChanged, BytesMissing."""
    pieces = dataset_bytes(one, entry, offset)
    return all(a == b for a, b in zip(pieces, dataset_bytes(other, other_entry, other_offset), strict=True))


def is_there(store: Store, entry: Entry) -> bool:
    """Whether the object lies where it was indexed, as it was. BytesMissing: the whole store is out of reach."""
    try:
        store.read(entry, 0, 0)
    except BytesChanged:
        return False
    except BytesMissing:
        store.check()
        return False
    return True
