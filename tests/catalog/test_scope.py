"""What is out of scope does not exist: every call that reads the catalogue is asked with a partial scope.

Two stores share a study and a series; each has an instance, a series and a study that the other has not.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kahu.catalog import changes, delivered, fetch, gallery, places, plan, search, tags, thumbnails
from kahu.catalog.scope import ALL, Scope
from kahu.dicom.query import Match, Query
from kahu.errors import KahuError, NotFound
from kahu.testing import samples
from kahu.testing.catalogue import Catalogue

SHARED, MINE, THEIRS = "1.2.1", "1.2.2", "1.2.3"
SECRET = "Theirs^Secret"


@pytest.fixture
def stores(catalogue: Catalogue, images: Path) -> tuple[Scope, Scope]:
    """The scopes of two people: one sees only the store `mine`, the other only a list of series."""
    for store, number in (("mine", 1), ("theirs", 2)):
        own = {"mine": MINE, "theirs": THEIRS}[store]
        name = {"mine": "Mine^Open", "theirs": SECRET}[store]
        common = {"rows": 8, "columns": 8, "patient_name": "Shared^Known", "study_uid": "1.1"}
        bright = np.arange(64).reshape(8, 8) % (8 * number) * 40  # so that each looks different
        shared = samples.instance(number=number, series_uid=SHARED, pixels=bright, **common)  # type: ignore[arg-type]
        samples.save(shared, images / store / "shared.dcm")
        alone = samples.instance(
            series_uid=own, study_uid=f"1.{own}", patient_id=store, patient_name=name, rows=8, columns=8,
            modality="MR" if store == "theirs" else "CT",
            description=f"{store} alone", attributes={"Manufacturer": store, "BodyPartExamined": store.upper()},
        )  # fmt: skip
        samples.save(alone, images / store / "own.dcm")
        same_study = samples.instance(series_uid=f"{own}.5", number=5, description=store, **common)  # type: ignore[arg-type]
        samples.save(same_study, images / store / "same-study.dcm")
    ids = {}
    for store in ("mine", "theirs"):
        ids[store] = catalogue.add(images / store)
        catalogue.scan(ids[store])
    for uid in (SHARED, MINE, THEIRS):
        tags.put(catalogue.database, uid, f"tag of {uid}", "somebody", ALL)
    return Scope(stores=frozenset([ids["mine"]])), Scope(series=frozenset([MINE, f"{MINE}.5"]))


@pytest.fixture(params=["by store", "by series"])
def scope(request: pytest.FixtureRequest, stores: tuple[Scope, Scope]) -> Scope:
    return stores[request.param == "by series"]


def test_searches_counts_and_facets_know_nothing_of_it(catalogue: Catalogue, scope: Scope) -> None:
    told: list[Any] = []
    with catalogue.database.read() as db:
        for level in ("STUDY", "SERIES", "IMAGE"):
            query = Query(level, include=("all",))
            rows = search.find(db, query, scope).rows
            assert len(rows) == search.count(db, query, scope)
            told.append(rows)
            for keyword, value in (
                ("StudyInstanceUID", f"1.{THEIRS}"),
                ("ModalitiesInStudy", "MR"),
                ("SeriesDescription", "theirs"),
                ("Manufacturer", "theirs"),
                ("store", "theirs"),
                ("tag", f"tag of {THEIRS}"),
            ):
                one = Query(level, (Match((keyword,), "exact", (value,)),))
                assert search.count(db, one, scope) == 0
            assert search.count(db, Query(level, text="secret"), scope) == 0
        keywords = ["Modality", "PatientName", "Manufacturer", "BodyPartExamined", *plan.OWN[:3]]
        told.append(search.facets(db, Query("SERIES"), scope, keywords))
        told.append(gallery.summaries(db, Query("SERIES"), scope))
    for secret in (THEIRS, SECRET, "theirs", "THEIRS", "MR'"):
        assert secret not in str(told)


def test_what_a_study_holds_is_counted_within_the_scope(
    catalogue: Catalogue, stores: tuple[Scope, Scope]
) -> None:
    by_store, by_series = stores
    (whole,) = catalogue.find("STUDY", StudyInstanceUID="1.1")
    (part,) = catalogue.find("STUDY", by_store, StudyInstanceUID="1.1")
    (least,) = catalogue.find("STUDY", by_series, StudyInstanceUID="1.1")
    counted = [
        (row["NumberOfStudyRelatedSeries"], row["NumberOfStudyRelatedInstances"])
        for row in (whole, part, least)
    ]
    assert counted == [("3", "4"), ("2", "2"), ("1", "1")]
    (series,) = catalogue.find("SERIES", by_store, SeriesInstanceUID=SHARED)
    assert series["NumberOfSeriesRelatedInstances"] == "1"
    assert catalogue.summary(SHARED, by_store).instances == 1
    assert catalogue.summary(SHARED, by_store).stores == ("mine",)


def test_an_instance_that_lies_only_elsewhere_is_not_found(
    catalogue: Catalogue, stores: tuple[Scope, Scope]
) -> None:
    by_store, _ = stores
    with catalogue.database.read() as db:
        assert [one.number for one in fetch.instances(db, by_store, series=SHARED)] == [1]
        assert [one.number for one in fetch.instances(db, ALL, series=SHARED)] == [1, 2]
    body = b"".join(fetch.metadata(catalogue.database, ALL, series=SHARED))
    assert body.count(b'"00080018"') == 2
    body = b"".join(fetch.metadata(catalogue.database, by_store, series=SHARED))
    assert body.count(b'"00080018"') == 1


def test_bytes_are_read_from_stores_in_scope_only(
    catalogue: Catalogue, stores: tuple[Scope, Scope], images: Path
) -> None:
    by_store, _ = stores
    (images / "theirs" / "copy.dcm").write_bytes((images / "mine" / "own.dcm").read_bytes())
    catalogue.scan(max(place.id for place in catalogue.places.all()))
    (images / "mine" / "own.dcm").unlink()
    with catalogue.database.read() as db:
        (located,) = fetch.instances(db, by_store, series=MINE)
        (everywhere,) = fetch.instances(db, ALL, series=MINE)
    assert [one.store for one in located.locations] == list(by_store.stores or ())
    assert len(everywhere.locations) == 2
    assert b"".join(fetch.stream(catalogue.places, everywhere))
    with pytest.raises(KahuError):
        fetch.stream(catalogue.places, located)


CALLS: dict[str, Callable[[Catalogue, Scope], object]] = {
    "summary": lambda c, scope: c.summary(THEIRS, scope),
    "metadata of a series": lambda c, scope: fetch.metadata(c.database, scope, series=THEIRS),
    "metadata of a study": lambda c, scope: fetch.metadata(c.database, scope, study=f"1.{THEIRS}"),
    "put a tag": lambda c, scope: tags.put(c.database, THEIRS, "x", "me", scope),
    "remove a tag": lambda c, scope: tags.remove(c.database, THEIRS, f"tag of {THEIRS}", scope),
    "thumbnail": lambda c, scope: thumbnails.thumbnail(c.database, c.places, c.home, THEIRS, scope),
    "instances": lambda c, scope: with_db(c, lambda db: fetch.instances(db, scope, series=THEIRS)),
    "locate": lambda c, scope: with_db(c, lambda db: fetch.locate(db, secret_uid(c), scope)),
    "holding": lambda c, scope: with_db(c, lambda db: places.holding(db, THEIRS, scope)),
}


def with_db(catalogue: Catalogue, call: Callable[[Any], object]) -> object:
    with catalogue.database.read() as db:
        return call(db)


def secret_uid(catalogue: Catalogue) -> str:
    return catalogue.find("IMAGE", SeriesInstanceUID=THEIRS)[0]["SOPInstanceUID"]


@pytest.mark.parametrize("call", CALLS)
def test_it_is_not_found_by_name(catalogue: Catalogue, scope: Scope, call: str) -> None:
    CALLS[call](catalogue, ALL)
    tags.put(catalogue.database, THEIRS, f"tag of {THEIRS}", "me", ALL)
    with pytest.raises(NotFound):
        CALLS[call](catalogue, scope)
    assert catalogue.summary(THEIRS).tags[0] == f"tag of {THEIRS}"


def test_a_cached_thumbnail_shows_nothing_of_it(
    catalogue: Catalogue, stores: tuple[Scope, Scope], tmp_path: Path
) -> None:
    """Of a series that is in scope in part, the picture is made of that part."""
    by_store, _ = stores
    whole = thumbnails.thumbnail(catalogue.database, catalogue.places, tmp_path, SHARED, ALL)
    part = thumbnails.thumbnail(catalogue.database, catalogue.places, tmp_path, SHARED, by_store)
    assert whole == thumbnails.thumbnail(catalogue.database, catalogue.places, tmp_path, SHARED, ALL)
    assert whole != part


def test_the_feed_tells_nothing_of_it(catalogue: Catalogue, scope: Scope) -> None:
    with catalogue.database.read() as db:
        lines, _ = changes.since(db, 0, scope)
        everything, _ = changes.since(db, 0, ALL)
    assert {THEIRS, f"{THEIRS}.5"} <= {line.series_uid for line in everything}
    assert not {THEIRS, f"{THEIRS}.5"} & {line.series_uid for line in lines}
    assert MINE in {line.series_uid for line in lines}
    catalogue.places.remove(max(place.id for place in catalogue.places.all()))
    with catalogue.database.read() as db:
        lines, _ = changes.since(db, 0, scope)
    assert not {THEIRS, f"{THEIRS}.5"} & {line.series_uid for line in lines}


def test_results_made_of_what_is_in_scope_stay_out_of_it(catalogue: Catalogue, scope: Scope) -> None:
    catalogue.receive(samples.instance(series_uid="1.9", rows=8, columns=8), task="t", attempt=1)
    prepared = delivered.prepare(catalogue.database, catalogue.places, "t", 1)
    with catalogue.database.write() as db:
        delivered.publish(db, prepared, delivered.Result("tool 1", "valid", (), (MINE,)))
    with catalogue.database.read() as db:
        assert [one.uid for one in gallery.made_from(db, MINE, ALL)] == ["1.9"]
        assert gallery.made_from(db, MINE, scope) == []
