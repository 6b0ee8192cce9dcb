"""What is sent here: whole or not at all, once, never altered."""

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydicom import Dataset
from sqlalchemy import event

from kahu.catalog import arrive
from kahu.errors import BrokenDicom, Conflict, NotDicom
from kahu.testing import samples
from kahu.testing.catalogue import Catalogue, open_catalogue

SERIES = samples.uid("one")


def ct(number: int = 1, series: str = SERIES, **options: object) -> Dataset:
    return samples.instance(number=number, rows=16, columns=16, series_uid=series, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.80"])
def test_what_arrives_is_kept_byte_for_byte(catalogue: Catalogue, syntax: str) -> None:
    data = samples.encode(ct(transfer_syntax=syntax))
    pieces = (data[at : at + 100] for at in range(0, len(data), 100))
    received = arrive.receive(catalogue.database, catalogue.places, pieces, door="stow")
    assert received.series_instance_uid == SERIES
    assert not received.duplicate
    assert catalogue.stored(SERIES) == data
    assert catalogue.summary(SERIES).stores == ("Kahu",)


def test_the_same_object_twice_is_one_object(catalogue: Catalogue) -> None:
    assert not catalogue.receive(ct()).duplicate
    assert catalogue.receive(ct()).duplicate
    assert catalogue.numbers() == (1, 1, 1)
    assert len(catalogue.kept()) == 1


def test_another_group_2_is_the_same_object(catalogue: Catalogue) -> None:
    dataset = ct()
    catalogue.receive(dataset)
    dataset.file_meta.ImplementationVersionName = "ANOTHER"
    assert catalogue.receive(dataset).duplicate
    assert len(catalogue.kept()) == 1


def test_senders_at_the_same_time_make_one_object(catalogue: Catalogue) -> None:
    data = samples.encode(ct())
    with ThreadPoolExecutor(8) as pool:
        received = list(pool.map(catalogue.receive, [data] * 8))
    assert sorted(one.duplicate for one in received) == [False] + [True] * 7
    assert len(catalogue.kept()) == 1
    assert catalogue.summary(SERIES).instances == 1


def test_a_different_object_under_the_same_uid_is_refused_and_kept_aside(catalogue: Catalogue) -> None:
    first = samples.encode(ct())
    other = samples.encode(ct(attributes={"WindowCenter": "1"}))
    catalogue.receive(first)
    for _ in range(2):
        with pytest.raises(Conflict) as refused:
            catalogue.receive(other)
        assert refused.value.hint
    assert catalogue.stored(SERIES) == first
    (aside,) = catalogue.kept_aside()
    assert (aside.uid, aside.door) == (ct().SOPInstanceUID, "stow")
    assert len(catalogue.kept()) == 2
    assert catalogue.numbers() == (1, 1, 1)


def test_what_is_only_borrowed_is_kept_when_it_is_sent(catalogue: Catalogue, images: Path) -> None:
    path = samples.save(ct(), images / "1.dcm")
    store = catalogue.add(images)
    catalogue.scan(store)
    assert catalogue.receive(path.read_bytes()).duplicate
    assert catalogue.numbers() == (1, 1, 1)
    catalogue.places.remove(store)
    assert catalogue.stored(SERIES) == path.read_bytes()


@pytest.mark.parametrize(
    ("data", "error"),
    [(b"", NotDicom), (b"hello" * 100, NotDicom), (samples.encode(ct())[:500], BrokenDicom)],
)
def test_what_is_no_object_leaves_nothing(catalogue: Catalogue, data: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        catalogue.receive(data)
    assert catalogue.kept() == []


def test_an_object_of_another_study_leaves_nothing(catalogue: Catalogue) -> None:
    with pytest.raises(Conflict):
        catalogue.receive(ct(), study="1.2.3")
    assert catalogue.kept() == []
    assert not catalogue.receive(ct(), study=str(ct().StudyInstanceUID)).duplicate


def test_a_sender_that_goes_away_leaves_nothing(catalogue: Catalogue) -> None:
    def breaks() -> Iterator[bytes]:
        yield samples.encode(ct())[:500]
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError):
        arrive.receive(catalogue.database, catalogue.places, breaks(), door="stow")
    assert catalogue.kept() == []


def test_killed_while_receiving_the_object_is_whole_or_absent(tmp_path: Path) -> None:
    data = samples.encode(ct())
    outcomes = set()
    point, killed = 1, True
    while killed:
        home = tmp_path / str(point)
        killed = receive_killed_at(point, home, data)
        catalogue = open_catalogue(home)
        arrive.sweep(catalogue.database, catalogue.places)
        present = catalogue.numbers() == (1, 1, 1)
        assert len(catalogue.kept()) == present
        outcomes.add((present, killed))
        assert catalogue.receive(data).duplicate == present
        assert catalogue.stored(SERIES) == data
        catalogue.database.close()
        point += 1
    assert {(False, True), (True, False)} <= outcomes


def counted(call: Callable[..., None], count: Callable[[], None]) -> Callable[..., None]:
    def call_between(*arguments: object) -> None:
        count()
        call(*arguments)
        count()

    return call_between


def receive_killed_at(point: int, home: Path, data: bytes) -> bool:
    """Receives in a process that is killed at the nth database statement, commit, sync or rename."""
    child = os.fork()
    if child == 0:
        catalogue = open_catalogue(home)
        reached = 0

        def count(*_: object) -> None:
            nonlocal reached
            reached += 1
            if reached == point:
                os.kill(os.getpid(), signal.SIGKILL)

        for name in ("fsync", "rename"):
            setattr(os, name, counted(getattr(os, name), count))
        event.listen(catalogue.database.engine, "before_cursor_execute", count)
        event.listen(catalogue.database.engine, "commit", count)
        catalogue.receive(data)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def test_sweeping_leaves_what_is_known(catalogue: Catalogue) -> None:
    catalogue.receive(ct(1))
    catalogue.receive(ct(2), task="t", attempt=1)
    with pytest.raises(Conflict):
        catalogue.receive(ct(1, attributes={"WindowCenter": "1"}))
    (catalogue.home / f"store/objects/00/{'0' * 32}.dcm").write_bytes(b"left by a crash")
    strange = catalogue.home / "store/objects/00/notes.txt"
    strange.write_text("somebody's")
    (catalogue.home / "store/spool/half").write_bytes(b"left by a crash")
    assert arrive.sweep(catalogue.database, catalogue.places) == 2
    assert strange.exists()
    strange.unlink()
    assert len(catalogue.kept()) == 3
