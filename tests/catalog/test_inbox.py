"""Many objects at once: durable together, refused alone, never more in hand than there is room for."""

import errno
import hashlib
import os
import resource
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from pydicom import Dataset

from kahu.catalog import arrive, changes, conflicts, inbox, record, schema
from kahu.catalog.arrive import Received
from kahu.catalog.inbox import HELD, Inbox
from kahu.catalog.scope import ALL
from kahu.catalog.spooling import Spooling
from kahu.errors import BrokenDicom, Conflict, KahuError, NotDicom, StorageFull, Unavailable
from kahu.stores.owned import OwnedFolder
from kahu.testing import samples
from kahu.testing.catalogue import Catalogue

SERIES = samples.uid("one")
SOON = 30.0


def ct(number: int = 1, **attributes: str) -> Dataset:
    return samples.instance(
        number=number, rows=16, columns=16, series_uid=SERIES, attributes=attributes or None
    )


@pytest.fixture
def box(catalogue: Catalogue) -> Iterator[Inbox]:
    box = Inbox(catalogue.database, catalogue.places)
    yield box
    box.close()


def send(box: Inbox, data: bytes | Dataset, **options: Any) -> Future[Received]:
    arriving = box.open()
    try:
        arriving.write(samples.encode(data) if isinstance(data, Dataset) else data)
        return arriving.finish(door="stow", **options)
    finally:
        arriving.close()


def together(
    catalogue: Catalogue, box: Inbox, *objects: bytes | Dataset, **options: Any
) -> list[Received | BaseException]:
    """What becomes of objects that come while the catalogue is busy, so that they are written in one batch."""
    with catalogue.database.write():
        first = send(box, ct(999))
        until(lambda: box._kept.empty() and box._whole.empty())  # the committer has it, and waits
        futures = [send(box, one, **options) for one in objects]
        until(lambda: box._whole.empty() and box._kept.qsize() + broken(futures) == len(objects))
    assert isinstance(first.result(SOON), Received)
    return [future.exception(SOON) or future.result() for future in futures]


def broken(futures: list[Future[Received]]) -> int:
    return sum(future.done() for future in futures)


def until(true: Callable[[], bool]) -> None:
    for _ in range(1000):
        if true():
            time.sleep(0.02)
            if true():
                return
        time.sleep(0.01)
    raise AssertionError("it does not happen")


def transactions(catalogue: Catalogue) -> list[None]:
    """Grows with each."""
    seen: list[None] = []
    sa.event.listen(catalogue.database.engine, "commit", lambda _: seen.append(None))
    return seen


def test_many_share_a_transaction_and_every_byte_is_kept(catalogue: Catalogue, box: Inbox) -> None:
    seen = transactions(catalogue)
    objects = [ct(number) for number in range(1, 51)]
    outcomes = together(catalogue, box, *objects)
    assert [one.duplicate for one in outcomes if isinstance(one, Received)] == [False] * 50
    assert len(seen) <= 4
    assert catalogue.numbers() == (1, 1, 51)
    kept = {path.read_bytes() for path in catalogue.kept()}
    assert kept == {samples.encode(one) for one in (*objects, ct(999))}
    with catalogue.database.read() as db:
        assert {line.series_uid for line in changes.since(db, 0, ALL)[0]} == {SERIES}


def test_one_that_cannot_be_read_is_refused_alone(catalogue: Catalogue, box: Inbox) -> None:
    outcomes = together(catalogue, box, ct(1), b"no DICOM", samples.encode(ct(2))[:700], b"", ct(3))
    kinds = [type(one) for one in outcomes]
    assert kinds == [Received, NotDicom, BrokenDicom, NotDicom, Received]
    assert catalogue.numbers() == (1, 1, 3)
    assert len(catalogue.kept()) == 3


def test_the_same_object_twice_in_a_batch_is_one_object(catalogue: Catalogue, box: Inbox) -> None:
    outcomes = together(catalogue, box, ct(1), ct(1), ct(1))
    assert sorted(one.duplicate for one in outcomes if isinstance(one, Received)) == [False, True, True]
    assert catalogue.numbers() == (1, 1, 2)
    assert len(catalogue.kept()) == 2


def test_two_different_objects_of_one_uid_in_a_batch(catalogue: Catalogue, box: Inbox) -> None:
    outcomes = together(catalogue, box, ct(1), ct(1, WindowCenter="1"), ct(1, WindowCenter="1"))
    refused = [one for one in outcomes if isinstance(one, Conflict)]
    assert 1 <= len(refused) <= 2  # which of them comes first is nobody's to say
    assert all(one.hint for one in refused)
    with catalogue.database.read() as db:
        assert len(conflicts.all_of(db)) == 1
    assert catalogue.numbers() == (1, 1, 2)
    assert len(catalogue.kept()) == 3


def test_results_and_others_in_one_batch(catalogue: Catalogue, box: Inbox) -> None:
    futures = [send(box, ct(1)), send(box, ct(2), task="t", attempt=1), send(box, ct(2), task="t", attempt=1)]
    assert sorted(future.result(SOON).duplicate for future in futures) == [False, False, True]
    assert catalogue.numbers() == (1, 1, 1)
    assert len(catalogue.rows(schema.pending)) == 1
    assert len(catalogue.kept()) == 2


def test_an_object_of_another_study_is_refused(catalogue: Catalogue, box: Inbox) -> None:
    with pytest.raises(Conflict):
        send(box, ct(), study="1.2.3").result(SOON)
    assert catalogue.kept() == []


def test_success_is_not_said_before_the_bytes_are_synced(
    catalogue: Catalogue, box: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached, go = threading.Event(), threading.Event()
    fsync = os.fsync

    def slow(descriptor: int) -> None:
        reached.set()
        go.wait()
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", slow)
    future = send(box, ct())
    reached.wait()
    time.sleep(0.2)
    assert not future.done()
    assert catalogue.numbers() == (0, 0, 0)
    go.set()
    assert not future.result(SOON).duplicate
    assert catalogue.numbers() == (1, 1, 1)


def test_one_that_cannot_be_synced_is_refused_alone(
    catalogue: Catalogue, box: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = samples.encode(ct(2)) + bytes(20_000)
    fsync = os.fsync

    def fails(descriptor: int) -> None:
        if os.fstat(descriptor).st_size == len(bad):
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fails)
    outcomes = together(catalogue, box, ct(1), bad, ct(3))
    assert [type(one) for one in outcomes] == [Received, StorageFull, Received]
    assert catalogue.numbers() == (1, 1, 3)
    assert len(catalogue.kept()) == 3


def test_one_that_the_catalogue_cannot_take_is_refused_alone(
    catalogue: Catalogue, box: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = record.write

    def fails(db: Any, place: Any, judged: Any, door: str) -> Any:
        if any(each.found.header.sop_instance_uid == ct(2).SOPInstanceUID for each in judged):
            raise sa.exc.IntegrityError("", {}, Exception("some constraint"))
        return write(db, place, judged, door)

    monkeypatch.setattr("kahu.catalog.arrive.write", fails)
    outcomes = together(catalogue, box, ct(1), ct(2), ct(3))
    assert [type(one) for one in outcomes] == [Received, KahuError, Received]
    assert catalogue.numbers() == (1, 1, 3)
    monkeypatch.undo()
    assert arrive.sweep(catalogue.database, catalogue.places) == 1
    assert len(catalogue.kept()) == 3


@pytest.mark.parametrize("words", ["database or disk is full", "attempt to write a readonly database"])
def test_a_catalogue_that_cannot_be_written_refuses_all_and_nothing_stays(
    catalogue: Catalogue, box: Inbox, words: str
) -> None:
    def full(*_: object) -> None:
        raise sa.exc.OperationalError("", {}, sqlite3.OperationalError(words))

    sa.event.listen(catalogue.database.engine, "commit", full)
    outcomes = [send(box, ct(number)).exception(SOON) for number in (1, 2, 3)]
    assert [type(one) for one in outcomes] == [StorageFull] * 3
    sa.event.remove(catalogue.database.engine, "commit", full)
    assert catalogue.kept() == []
    assert not send(box, ct(1)).result(SOON).duplicate


@pytest.fixture
def small_disk() -> Iterator[int]:
    """No file can grow beyond this many bytes: a real limit of the system, as a full disk is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3 * HELD, hard))
    yield 3 * HELD
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    signal.signal(signal.SIGXFSZ, ignored)


def test_a_disk_that_fills_up_while_bytes_arrive(catalogue: Catalogue, box: Inbox, small_disk: int) -> None:
    arriving = box.open()
    arriving.write(bytes(small_disk))
    with pytest.raises(StorageFull):
        arriving.write(bytes(HELD))
    arriving.close()
    assert catalogue.kept() == []
    assert not send(box, ct()).result(SOON).duplicate


def test_who_goes_away_leaves_nothing(catalogue: Catalogue, box: Inbox) -> None:
    arriving = box.open()
    arriving.write(samples.encode(ct()) + bytes(HELD))
    assert len(catalogue.kept()) == 1
    arriving.close()
    arriving.close()
    assert catalogue.kept() == []
    assert catalogue.numbers() == (0, 0, 0)


def test_a_large_object_is_not_held_in_memory(catalogue: Catalogue, box: Inbox) -> None:
    data = samples.encode(ct()) + bytes(range(256)) * 20_000
    arriving, held = box.open(), 0
    for at in range(0, len(data), 70_001):
        arriving.write(data[at : at + 70_001])
        held = max(held, arriving.held)
    assert held < HELD
    arriving.finish(door="stow").result(SOON)
    (path,) = catalogue.kept()
    assert path.read_bytes() == data
    (row,) = catalogue.rows(schema.locations)
    assert row["digest"] == hashlib.sha256(data[row["dataset_offset"] :]).hexdigest()


@pytest.mark.parametrize("cut", [1, 100, 5000, 16_384, 70_000])
@pytest.mark.parametrize("name", ["short", "x" * 30_000])
def test_the_digest_is_that_of_the_data_set_however_the_file_is_cut(
    tmp_path: Path, cut: int, name: str
) -> None:
    ds = ct()
    ds.file_meta.add_new((0x0002, 0x0102), "OB", name.encode())
    ds.file_meta.PrivateInformationCreatorUID = "1.2.3"
    data = samples.encode(ds)
    with Spooling(OwnedFolder(tmp_path)) as spooling:
        for at in range(0, len(data), cut):
            spooling.write(data[at : at + cut])
        header = spooling.header()
        assert spooling.digest(header) == hashlib.sha256(data[header.dataset_offset :]).hexdigest()


def test_more_is_not_taken_than_there_is_room_for(catalogue: Catalogue, box: Inbox) -> None:
    with catalogue.database.write():
        futures = [send(box, ct(number)) for number in range(inbox.MOST)]
        room = box.opening()
        time.sleep(0.1)
        assert not room.done()
        assert not any(future.done() for future in futures)
        abandoned = box.opening()
        abandoned.cancel()
    room.result(SOON).close()
    for future in futures:
        future.result(SOON)
    assert not box.opening().result(SOON).held


def test_what_has_come_whole_is_ended_when_the_server_stops(catalogue: Catalogue) -> None:
    box = Inbox(catalogue.database, catalogue.places)
    late = box.open()
    late.write(samples.encode(ct(99)))
    futures = [send(box, ct(number)) for number in range(1, 30)]
    box.close()
    assert all(not future.result(0).duplicate for future in futures)
    with pytest.raises(Unavailable):
        late.finish(door="stow")
    late.close()
    with pytest.raises(Unavailable):
        box.open()
    assert len(catalogue.kept()) == 29


def test_who_waits_for_room_is_told_when_the_server_stops(catalogue: Catalogue) -> None:
    box = Inbox(catalogue.database, catalogue.places)
    with catalogue.database.write():
        for number in range(inbox.MOST):
            send(box, ct(number))
        room = box.opening()
        closing = threading.Thread(target=box.close)
        closing.start()
        assert isinstance(room.exception(SOON), Unavailable)
    closing.join()
    assert catalogue.numbers() == (1, 1, inbox.MOST)


def test_a_clock_that_jumps_back_harms_nothing(
    catalogue: Catalogue, box: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(box, ct(1)).result(SOON)
    monkeypatch.setattr(time, "time", lambda: -1e9)
    assert not send(box, ct(2)).result(SOON).duplicate
    assert send(box, ct(1)).result(SOON).duplicate
    assert catalogue.summary(SERIES).instances == 2
