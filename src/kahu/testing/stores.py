"""What every store keeps: inherit `StoreTests` and fill in its three fixtures; for a store that Kahu owns,
`OwnedStoreTests`."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from kahu.errors import BytesChanged, BytesMissing
from kahu.stores import Entry, Found, OwnedStore, Refused, Scanned, Store, Unchanged, Unlisted
from kahu.testing import samples

Put = Callable[[str, bytes], str]
"""puts a file into the store, or in place of another, behind its back; gives its key"""


def ct(number: int) -> bytes:
    """A small CT slice as a file."""
    return samples.encode(samples.instance(number=number, rows=16, columns=16))


def sent(store: OwnedStore, data: bytes) -> Entry:
    """Sends an object to a store, as doors do."""
    with store.spool() as spooled:
        spooled.write(data)
        entry = store.keep(spooled)
        store.sync(spooled, entry)
        return entry


def nothing(_key: str) -> None:
    """What is known before the first scan."""


def key_of(scanned: Scanned) -> str:
    if isinstance(scanned, Unchanged):
        return scanned.key
    return scanned.prefix if isinstance(scanned, Unlisted) else scanned.entry.key


class StoreTests:
    """The contract of `kahu.stores.Store`."""

    @pytest.fixture
    def store(self) -> Store:
        """An empty store, opened."""
        raise NotImplementedError

    @pytest.fixture
    def put(self, store: Store) -> Put:
        """Puts a file where the store looks, under this name as far as it can."""
        raise NotImplementedError

    @pytest.fixture
    def lose(self, store: Store) -> Callable[[], None]:
        """Takes the whole store out of reach."""
        raise NotImplementedError

    @pytest.fixture
    def remove(self, store: Store) -> Callable[[str], None]:
        """Removes the file with this key, behind the store's back."""
        raise NotImplementedError

    def test_an_empty_store_has_nothing(self, store: Store) -> None:
        store.check()
        assert list(store.scan(nothing)) == []

    def test_a_scan_reads_the_headers_of_all_objects(self, store: Store, put: Put) -> None:
        keys = {put(f"{n}.dcm", ct(n)): n for n in range(1, 6)}
        found = [each for each in store.scan(nothing) if isinstance(each, Found)]
        numbers = {each.entry.key: each.header.attributes["InstanceNumber"] for each in found}
        assert numbers == {key: str(n) for key, n in keys.items()}
        assert {each.entry.size for each in found} == {len(ct(1))}

    def test_what_is_no_object_is_refused_in_words(self, store: Store, put: Put) -> None:
        text, cut = put("readme.txt", b"hello\n" * 50), put("cut.dcm", ct(1)[:600])
        refused = {each.entry.key: each for each in store.scan(nothing) if isinstance(each, Refused)}
        assert set(refused) == {text, cut}
        assert not refused[text].dicom
        assert refused[cut].dicom
        assert all(each.reason for each in refused.values())

    def test_keys_come_once_and_ascend_and_so_do_the_questions(self, store: Store, put: Put) -> None:
        names = [
            "b.dcm",
            "a/z.dcm",
            "a.dcm",
            "a/b/c.dcm",
            "a-b.dcm",
            "B.dcm",
            "ä.dcm",
            "a b.dcm",
            "zz",
            "𝒳/1",
        ]
        keys = {put(name, ct(n)) for n, name in enumerate(names)}
        asked: list[str] = []

        def known(key: str) -> None:
            asked.append(key)

        told = [key_of(each) for each in store.scan(known)]
        assert told == sorted(keys)
        assert [key for key in asked if key in keys] == told

    def test_what_has_not_changed_is_not_read(self, store: Store, put: Put) -> None:
        keys = sorted(put(f"{n}.dcm", ct(n)) for n in range(1, 4))
        before = self.entries(store)
        put(keys[1], ct(9))

        def known(key: str) -> tuple[int, str] | None:
            return (before[key].size, before[key].stamp) if key in before else None

        told = list(store.scan(known))
        assert told[0] == Unchanged(keys[0])
        assert told[2] == Unchanged(keys[2])
        assert isinstance(told[1], Found)
        assert told[1].header.attributes["InstanceNumber"] == "9"

    def test_a_scan_can_be_left_and_begun_again(self, store: Store, put: Put) -> None:
        for n in range(1, 6):
            put(f"{n}.dcm", ct(n))
        scan = store.scan(nothing)
        first = next(iter(scan))
        if hasattr(scan, "close"):
            scan.close()
        again = list(store.scan(nothing))
        assert again[0] == first
        assert len(again) == 5

    def test_ranges_are_exact(self, store: Store, put: Put) -> None:
        data = ct(1)
        key = put("1.dcm", data)
        entry = self.entries(store)[key]
        assert store.read(entry, 0, len(data)) == data
        assert store.read(entry, 128, 4) == b"DICM"
        assert store.read(entry, len(data) - 3, 3) == data[-3:]
        assert store.read(entry, 7, 0) == b""

    def test_a_stream_is_the_whole_object(self, store: Store, put: Put) -> None:
        data = ct(1)
        entry = self.one(store, put, data)
        assert b"".join(store.stream(entry)) == data
        pieces = list(store.stream(entry, chunk=100))
        assert b"".join(pieces) == data
        assert max(map(len, pieces)) <= 100

    def test_bytes_that_changed_are_never_given(self, store: Store, put: Put) -> None:
        key = put("1.dcm", ct(1))
        entry = self.entries(store)[key]
        put(key, ct(2))
        with pytest.raises(BytesChanged):
            store.read(entry, 0, 10)
        with pytest.raises(BytesChanged):
            store.stream(entry)

    def test_bytes_that_change_in_mid_stream_end_it(self, store: Store, put: Put) -> None:
        key = put("1.dcm", ct(1))
        pieces = iter(store.stream(self.entries(store)[key], chunk=100))
        next(pieces)
        put(key, ct(2))
        with pytest.raises(BytesChanged):
            list(pieces)

    def test_bytes_that_are_gone_are_missing(
        self, store: Store, put: Put, remove: Callable[[str], None]
    ) -> None:
        entry = self.one(store, put, ct(1))
        remove(entry.key)
        with pytest.raises(BytesMissing):
            store.read(entry, 0, 10)
        with pytest.raises(BytesMissing):
            store.stream(entry)
        assert list(store.scan(nothing)) == []

    def test_a_store_out_of_reach_says_so_before_anything_else(
        self, store: Store, put: Put, lose: Callable[[], None]
    ) -> None:
        entry = self.one(store, put, ct(1))
        lose()
        with pytest.raises(BytesMissing) as missing:
            store.check()
        assert missing.value.hint
        with pytest.raises(BytesMissing):
            next(iter(store.scan(nothing)))
        with pytest.raises(BytesMissing):
            store.read(entry, 0, 1)

    def test_many_threads_read_at_once(self, store: Store, put: Put) -> None:
        data = {put(f"{n}.dcm", ct(n)): ct(n) for n in range(1, 5)}
        entries = self.entries(store)
        start = threading.Barrier(8)

        def read_all(_: int) -> bool:
            start.wait()
            return all(b"".join(store.stream(entries[key], 500)) == data[key] for key in data)

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(read_all, range(8)))

    def one(self, store: Store, put: Put, data: bytes) -> Entry:
        """Puts one object into the store, and finds it."""
        key = put("1.dcm", data)
        return self.entries(store)[key]

    @staticmethod
    def entries(store: Store) -> dict[str, Entry]:
        """What a first scan finds, by key."""
        return {each.entry.key: each.entry for each in store.scan(nothing) if isinstance(each, Found)}


class OwnedStoreTests(StoreTests):
    """The contract of `kahu.stores.OwnedStore`, besides."""

    @pytest.fixture
    def store(self) -> OwnedStore:
        raise NotImplementedError

    def test_what_is_sent_can_be_read_and_found(self, store: OwnedStore) -> None:
        data = ct(1)
        entry = sent(store, data)
        assert store.read(entry, 0, len(data)) == data
        assert self.entries(store) == {entry.key: entry}

    def test_every_object_has_a_key_of_its_own(self, store: OwnedStore) -> None:
        with ThreadPoolExecutor(8) as pool:
            assert len({entry.key for entry in pool.map(lambda _: sent(store, ct(1)), range(50))}) == 50

    def test_what_is_spooled_is_unseen_until_it_is_kept(self, store: OwnedStore) -> None:
        data = ct(1)
        with store.spool() as spooled:
            spooled.write(data)
            assert list(store.scan(nothing)) == []
            entry = store.keep(spooled)
            assert store.read(entry, 0, len(data)) == data
            store.sync(spooled, entry)
        assert store.read(entry, 0, len(data)) == data

    def test_what_is_spooled_and_not_kept_goes(self, store: OwnedStore) -> None:
        with store.spool() as spooled:
            spooled.write(b"never mind")
        assert list(store.scan(nothing)) == []
        assert store.sweep(lambda _key: False) == 0

    def test_what_is_spooled_can_be_read_again(self, store: OwnedStore) -> None:
        with store.spool() as spooled:
            spooled.write(b"one, ")
            spooled.write(b"two")
            spooled.seek(0)
            assert spooled.read() == b"one, two"

    def test_deleting_twice_is_no_error(self, store: OwnedStore) -> None:
        entry = sent(store, ct(1))
        store.delete(entry.key)
        store.delete(entry.key)
        with pytest.raises(BytesMissing):
            store.read(entry, 0, 1)

    def test_sweeping_removes_what_nobody_knows(self, store: OwnedStore) -> None:
        kept, left = sent(store, ct(1)), [sent(store, ct(n)) for n in (2, 3)]
        asked: list[str] = []

        def known(key: str) -> bool:
            asked.append(key)
            return key == kept.key

        assert store.sweep(known) == len(left)
        assert asked == sorted(asked)
        assert set(self.entries(store)) == {kept.key}

    def test_sweeping_removes_what_a_crash_left_in_the_spool(self, store: OwnedStore) -> None:
        spooled = store.spool()
        spooled.write(b"and then the lights went out")
        assert store.sweep(lambda _key: True) == 1
        spooled.close()
