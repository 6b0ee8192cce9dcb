"""Conflicts: a person keeps what is known, or replaces it; nothing is lost by either."""

from pathlib import Path

import pytest
from pydicom import Dataset

from kahu.catalog import conflicts, fetch, schema
from kahu.catalog.conflicts import KeptAside
from kahu.catalog.scope import ALL
from kahu.errors import Conflict, NotFound
from kahu.testing import samples
from kahu.testing.catalogue import Catalogue

SERIES = samples.uid("one")


def ct(center: str, series: str = SERIES) -> Dataset:
    return samples.instance(rows=8, columns=8, series_uid=series, attributes={
        "WindowCenter": center, "SOPInstanceUID": "1.2.3",
    })  # fmt: skip


@pytest.fixture
def aside(catalogue: Catalogue) -> KeptAside:
    """An object that was sent under the UID of another."""
    catalogue.receive(ct("1"))
    with pytest.raises(Conflict):
        catalogue.receive(ct("2"))
    return the_one(catalogue)


def the_one(catalogue: Catalogue) -> KeptAside:
    with catalogue.database.read() as db:
        (one,) = conflicts.all_of(db)
    return one


def center(catalogue: Catalogue) -> str:
    """What the catalogue says, having seen that the bytes say the same."""
    (row,) = catalogue.find("IMAGE")
    with catalogue.database.read() as db:
        located = fetch.locate(db, "1.2.3", ALL)
    dataset = fetch.dataset(catalogue.database, catalogue.places, located)
    assert b"".join(fetch.stream(catalogue.places, located)) == samples.encode(
        ct(row["WindowCenter"], row["SeriesInstanceUID"])
    )
    assert (
        str(dataset.WindowCenter) == f"{row['WindowCenter']}.0"
        or str(dataset.WindowCenter) == row["WindowCenter"]
    )
    return row["WindowCenter"]


def test_what_is_known_stays(catalogue: Catalogue, aside: KeptAside) -> None:
    conflicts.dismiss(catalogue.database, catalogue.places, aside.id)
    assert center(catalogue) == "1"
    assert len(catalogue.kept()) == 1
    assert catalogue.rows(schema.conflicts) == []
    with pytest.raises(NotFound):
        conflicts.dismiss(catalogue.database, catalogue.places, aside.id)


def test_the_other_takes_its_place_and_back(catalogue: Catalogue, aside: KeptAside) -> None:
    revision = catalogue.summary(SERIES).revision
    conflicts.replace(catalogue.database, catalogue.places, aside.id)
    assert center(catalogue) == "2"
    assert catalogue.summary(SERIES).revision > revision
    replaced = the_one(catalogue)
    assert replaced.door == "replaced"
    conflicts.replace(catalogue.database, catalogue.places, replaced.id)
    assert center(catalogue) == "1"
    assert catalogue.numbers() == (1, 1, 1)
    assert len(catalogue.kept()) == 2


def test_a_borrowed_file_that_is_dismissed_is_left_alone(catalogue: Catalogue, images: Path) -> None:
    samples.save(ct("1"), images / "1.dcm")
    second = samples.save(ct("2"), images / "2.dcm")
    store = catalogue.add(images)
    catalogue.scan(store)
    conflicts.dismiss(catalogue.database, catalogue.places, the_one(catalogue).id)
    assert second.exists()
    assert catalogue.scan(store).unchanged == 2
    assert catalogue.rows(schema.conflicts) == []
    assert center(catalogue) == "1"


def test_a_borrowed_file_can_take_over(catalogue: Catalogue, images: Path) -> None:
    samples.save(ct("1"), images / "1.dcm")
    samples.save(ct("2", "1.2"), images / "2.dcm")
    store = catalogue.add(images)
    catalogue.scan(store)
    conflicts.replace(catalogue.database, catalogue.places, the_one(catalogue).id)
    assert center(catalogue) == "2"
    assert catalogue.summary("1.2").instances == 1
    assert catalogue.numbers() == (1, 1, 1)
    assert [row["uid"] for row in catalogue.rows(schema.series)] == ["1.2"]
    before = catalogue.state()
    assert catalogue.scan(store).unchanged == 2
    assert catalogue.state() == before
