"""What is sent here: whole or not at all, once, never altered; results pending until they are published."""

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import pytest
from pydicom import Dataset
from sqlalchemy import event

from kahu.catalog import arrive, changes, conflicts, fetch, gallery, schema
from kahu.catalog.arrive import Result
from kahu.catalog.scope import ALL
from kahu.errors import BrokenDicom, Conflict, NotDicom, NotFound
from kahu.testing import samples
from kahu.testing.catalogue import Catalogue, open_catalogue

SERIES = samples.uid("one")


def ct(number: int = 1, series: str = SERIES, **options: object) -> Dataset:
    return samples.instance(number=number, rows=16, columns=16, series_uid=series, **options)  # type: ignore[arg-type]


def stored(catalogue: Catalogue, series: str = SERIES) -> bytes:
    """The bytes of the one instance of a series."""
    with catalogue.database.read() as db:
        (located,) = fetch.instances(db, ALL, series=series)
    return b"".join(fetch.stream(catalogue.places, located))


def kept_aside(catalogue: Catalogue) -> list[conflicts.KeptAside]:
    with catalogue.database.read() as db:
        return conflicts.all_of(db)


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.80"])
def test_what_arrives_is_kept_byte_for_byte(catalogue: Catalogue, syntax: str) -> None:
    data = samples.encode(ct(transfer_syntax=syntax))
    pieces = (data[at : at + 100] for at in range(0, len(data), 100))
    received = arrive.receive(catalogue.database, catalogue.places, pieces, door="stow")
    assert received.series_instance_uid == SERIES
    assert not received.duplicate
    assert stored(catalogue) == data
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
    assert stored(catalogue) == first
    (aside,) = kept_aside(catalogue)
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
    assert stored(catalogue) == path.read_bytes()


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
        assert stored(catalogue) == data
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


# Results


def result(verdict: Literal["valid", "suspect", "rejected"] = "valid", source: str = "1.2") -> Result:
    return Result("brain 1.0", verdict, ("because",), (source,))


def publish(catalogue: Catalogue, what: Result, task: str = "t", attempt: int = 1) -> None:
    prepared = arrive.prepare(catalogue.database, catalogue.places, task, attempt)
    with catalogue.database.write() as db:
        arrive.publish(db, prepared, what)


def nothing_is_seen(catalogue: Catalogue) -> bool:
    with catalogue.database.read() as db:
        feed, _ = changes.since(db, 0, ALL)
    return catalogue.numbers() == (0, 0, 0) and feed == []


def test_what_a_task_delivers_is_seen_by_nobody(catalogue: Catalogue) -> None:
    catalogue.receive(ct(), task="t", attempt=1)
    assert nothing_is_seen(catalogue)
    with catalogue.database.read() as db, pytest.raises(NotFound):
        fetch.locate(db, ct().SOPInstanceUID, ALL)


@pytest.mark.parametrize("verdict", ["valid", "suspect"])
def test_a_published_attempt_appears_whole_and_others_never(
    catalogue: Catalogue, verdict: Literal["valid", "suspect"]
) -> None:
    for attempt in (1, 2):
        for number in (1, 2, 3):
            one = ct(number, samples.uid("attempt", attempt))
            catalogue.receive(one, task="t", attempt=attempt)
    publish(catalogue, result(verdict), attempt=2)
    arrive.discard(catalogue.database, catalogue.places, "t")
    assert catalogue.numbers() == (1, 1, 3)
    series = catalogue.summary(samples.uid("attempt", 2))
    assert series.result == gallery.Result("t", "brain 1.0", verdict, ("because",), ("1.2",))
    assert len(catalogue.kept()) == 3
    with catalogue.database.read() as db:
        kinds = {line.kind for line in changes.since(db, 0, ALL)[0]}
    assert "result" in kinds


def test_a_transaction_that_fails_publishes_nothing(catalogue: Catalogue) -> None:
    catalogue.receive(ct(), task="t", attempt=1)
    prepared = arrive.prepare(catalogue.database, catalogue.places, "t", 1)

    def publish_and_fail() -> None:
        with catalogue.database.write() as db:
            arrive.publish(db, prepared, result())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        publish_and_fail()
    assert nothing_is_seen(catalogue)
    publish(catalogue, result())
    assert catalogue.numbers() == (1, 1, 1)


def test_a_rejected_result_is_seen_by_nobody_but_can_be_told(catalogue: Catalogue) -> None:
    catalogue.receive(ct(), task="t", attempt=1)
    publish(catalogue, result("rejected"))
    assert nothing_is_seen(catalogue)
    with catalogue.database.read() as db:
        told = arrive.results_of(db, ["t", "u"])
    assert told == {"t": {SERIES: result("rejected")}}
    assert len(catalogue.kept()) == 1
    arrive.discard(catalogue.database, catalogue.places, "t")
    assert catalogue.kept() == []


def test_a_rejected_result_says_nothing_about_a_series_that_is_known(catalogue: Catalogue) -> None:
    catalogue.receive(ct(1), task="good", attempt=1)
    publish(catalogue, result(), "good")
    catalogue.receive(ct(2), task="bad", attempt=1)
    publish(catalogue, result("rejected"), "bad")
    made = catalogue.summary(SERIES).result
    assert made
    assert (made.task, made.verdict) == ("good", "valid")


def test_an_attempt_that_delivers_an_object_again_has_one(catalogue: Catalogue) -> None:
    assert not catalogue.receive(ct(), task="t", attempt=1).duplicate
    assert catalogue.receive(ct(), task="t", attempt=1).duplicate
    with pytest.raises(Conflict):
        catalogue.receive(ct(attributes={"WindowCenter": "1"}), task="t", attempt=1)
    assert len(catalogue.kept()) == 1


def test_a_result_that_contradicts_what_is_known_is_kept_aside(catalogue: Catalogue) -> None:
    first = samples.encode(ct(1))
    catalogue.receive(first)
    catalogue.receive(ct(1, attributes={"WindowCenter": "1"}), task="t", attempt=1)
    prepared = arrive.prepare(catalogue.database, catalogue.places, "t", 1)
    assert [one.judgement for one in prepared.objects] == ["differs"]
    with catalogue.database.write() as db:
        arrive.publish(db, prepared, result())
    assert stored(catalogue) == first
    assert [one.door for one in kept_aside(catalogue)] == ["result"]


def test_a_result_is_not_published_on_what_has_changed_since(catalogue: Catalogue) -> None:
    catalogue.receive(ct(), task="t", attempt=1)
    prepared = arrive.prepare(catalogue.database, catalogue.places, "t", 1)
    catalogue.receive(ct(attributes={"WindowCenter": "1"}))
    with pytest.raises(Conflict), catalogue.database.write() as db:
        arrive.publish(db, prepared, result())
    assert catalogue.rows(schema.results) == []


def test_what_was_made_from_a_series_is_found(catalogue: Catalogue) -> None:
    catalogue.receive(ct(1, "1.2.3"))
    catalogue.receive(ct(1), task="t", attempt=1)
    publish(catalogue, result(source="1.2.3"))
    with catalogue.database.read() as db:
        assert [one.uid for one in gallery.made_from(db, "1.2.3", ALL)] == [SERIES]
        assert gallery.made_from(db, "1.2", ALL) == []


def test_discarding_keeps_the_attempt_that_is_named(catalogue: Catalogue) -> None:
    for attempt in (1, 2, 3):
        catalogue.receive(ct(), task="t", attempt=attempt)
    arrive.discard(catalogue.database, catalogue.places, "t", keep_attempt=3)
    assert [row["attempt"] for row in catalogue.rows(schema.pending)] == [3]
    assert len(catalogue.kept()) == 1
