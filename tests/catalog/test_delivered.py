"""Results: pending until they are published, then seen whole; other attempts never."""

from typing import Literal

import pytest
from pydicom import Dataset

from kahu.catalog import changes, delivered, fetch, gallery, schema
from kahu.catalog.delivered import Result
from kahu.catalog.scope import ALL
from kahu.errors import Conflict, NotFound
from kahu.testing import samples
from kahu.testing.catalogue import Catalogue

SERIES = samples.uid("one")


def ct(number: int = 1, series: str = SERIES, **options: object) -> Dataset:
    return samples.instance(number=number, rows=16, columns=16, series_uid=series, **options)  # type: ignore[arg-type]


def result(verdict: Literal["valid", "suspect", "rejected"] = "valid", source: str = "1.2") -> Result:
    return Result("brain 1.0", verdict, ("because",), (source,))


def publish(catalogue: Catalogue, what: Result, task: str = "t", attempt: int = 1) -> None:
    prepared = delivered.prepare(catalogue.database, catalogue.places, task, attempt)
    with catalogue.database.write() as db:
        delivered.publish(db, prepared, what)


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
    delivered.discard(catalogue.database, catalogue.places, "t")
    assert catalogue.numbers() == (1, 1, 3)
    series = catalogue.summary(samples.uid("attempt", 2))
    assert series.result == gallery.Result("t", "brain 1.0", verdict, ("because",), ("1.2",))
    assert len(catalogue.kept()) == 3
    with catalogue.database.read() as db:
        kinds = {line.kind for line in changes.since(db, 0, ALL)[0]}
    assert "result" in kinds


def test_a_transaction_that_fails_publishes_nothing(catalogue: Catalogue) -> None:
    catalogue.receive(ct(), task="t", attempt=1)
    prepared = delivered.prepare(catalogue.database, catalogue.places, "t", 1)

    def publish_and_fail() -> None:
        with catalogue.database.write() as db:
            delivered.publish(db, prepared, result())
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
    (row,) = catalogue.rows(schema.results)
    assert (row["series_uid"], row["verdict"], row["reasons"]) == (SERIES, "rejected", ["because"])
    assert len(catalogue.kept()) == 1
    delivered.discard(catalogue.database, catalogue.places, "t")
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
    prepared = delivered.prepare(catalogue.database, catalogue.places, "t", 1)
    assert [one.judgement for one in prepared.objects] == ["differs"]
    with catalogue.database.write() as db:
        delivered.publish(db, prepared, result())
    assert catalogue.stored(SERIES) == first
    assert [one.door for one in catalogue.kept_aside()] == ["result"]


def test_a_result_is_not_published_on_what_has_changed_since(catalogue: Catalogue) -> None:
    catalogue.receive(ct(), task="t", attempt=1)
    prepared = delivered.prepare(catalogue.database, catalogue.places, "t", 1)
    catalogue.receive(ct(attributes={"WindowCenter": "1"}))
    with pytest.raises(Conflict), catalogue.database.write() as db:
        delivered.publish(db, prepared, result())
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
    delivered.discard(catalogue.database, catalogue.places, "t", keep_attempt=3)
    assert [row["attempt"] for row in catalogue.rows(schema.pending)] == [3]
    assert len(catalogue.kept()) == 1
