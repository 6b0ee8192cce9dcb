"""DELETE: what Kahu owns goes, what it borrows is forgotten, and stays forgotten."""

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from kahu.access import OWNER, Grant
from kahu.catalog import changes, index, schema
from kahu.catalog.arrive import receive, sweep
from kahu.catalog.delete import delete
from kahu.catalog.scope import ALL
from kahu.errors import Conflict
from kahu.testing import samples


def below(ds: Any, level: int = 3) -> str:
    uids = (
        ("studies", ds.StudyInstanceUID),
        ("series", ds.SeriesInstanceUID),
        ("instances", ds.SOPInstanceUID),
    )
    return "/dicomweb" + "".join(f"/{name}/{uid}" for name, uid in uids[:level])


def own(archive: Any, *datasets: Any) -> None:
    for ds in datasets:
        receive(archive.database, archive.places, [samples.encode(ds)], door="stow")


def files(archive: Any) -> list[Path]:
    return sorted((archive.home / "store" / "objects").rglob("*.dcm"))


def rows(archive: Any) -> dict[str, int]:
    tables = (
        "patients",
        "studies",
        "series",
        "instances",
        "headers",
        "locations",
        "series_stores",
        "series_metadata",
    )
    with archive.database.read() as db:
        return {
            name: db.execute(sa.select(sa.func.count()).select_from(getattr(schema, name))).scalar_one()
            for name in tables
        }


@pytest.mark.parametrize("level", [1, 2, 3])
def test_what_is_owned_is_removed_with_its_bytes(archive: Any, level: int) -> None:
    mine, other = samples.instance(), samples.instance(patient_id="P-2")
    own(archive, mine, other)
    client = archive.client()
    assert client.get(below(mine) + "/frames/1").status_code == 200
    client.get(below(mine, 2) + "/thumbnail")
    assert client.get(below(mine, 2) + "/metadata").status_code == 200
    answer = client.delete(below(mine, level))
    assert (answer.status_code, answer.content) == (204, b"")
    for path in ("", "/frames/1", "/metadata"):
        assert client.get(below(mine) + path).status_code == 404
    assert client.delete(below(mine, level)).status_code == 404
    assert client.get(below(other)).status_code == 200
    assert len(files(archive)) == 1
    assert set(rows(archive).values()) <= {0, 1}
    assert not list((archive.settings.cache / "thumbnails").rglob("*.jpg"))
    with archive.database.read() as db:
        lines, _ = changes.since(db, 0, ALL)
    assert lines[-1].kind == "series-gone"
    assert lines[-1].series_uid == mine.SeriesInstanceUID


def test_one_of_a_series_goes_and_the_others_stay(archive: Any) -> None:
    slices = [samples.instance(number=n) for n in (1, 2, 3)]
    own(archive, *slices)
    client = archive.client()
    assert len(client.get(below(slices[0], 2) + "/metadata").json()) == 3
    assert client.delete(below(slices[1])).status_code == 204
    left = client.get(below(slices[0], 2) + "/metadata").json()
    assert [one["00200013"]["Value"] for one in left] == [[1], [3]]
    (series,) = client.get("/dicomweb/series").json()
    assert series["00201209"]["Value"] == [2]


def test_what_is_borrowed_is_forgotten_until_it_changes(archive: Any) -> None:
    ds = samples.instance()
    archive.add(ds)
    file = archive.folder / f"{ds.SOPInstanceUID}.dcm"
    before = file.read_bytes()
    client = archive.client()
    assert client.delete(below(ds, 1)).status_code == 204
    archive.scan()
    assert file.read_bytes() == before
    assert client.get("/dicomweb/studies").json() == []
    file.touch()
    archive.scan()
    assert client.get(below(ds)).status_code == 200


def test_what_contradicted_it_goes_with_it(archive: Any) -> None:
    ds = samples.instance()
    own(archive, ds)
    archive.add(samples.instance(attributes={"SeriesDescription": "another"}))
    with pytest.raises(Conflict):
        own(archive, samples.instance(attributes={"SeriesDescription": "a third"}))
    assert archive.client().delete(below(ds)).status_code == 204
    archive.scan()
    assert files(archive) == []
    with archive.database.read() as db:
        assert db.execute(sa.select(schema.conflicts)).all() == []
    assert set(rows(archive).values()) == {0}


def test_it_can_be_sent_again(archive: Any) -> None:
    ds = samples.instance()
    own(archive, ds)
    client = archive.client()
    client.delete(below(ds))
    own(archive, ds)
    assert client.get(below(ds), headers={"Accept": "application/dicom"}).content == samples.encode(ds)


def test_a_crash_between_rows_and_bytes_leaves_only_what_is_swept(
    archive: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ds = samples.instance()
    own(archive, ds)
    _, owned = archive.places.owned()

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(type(owned), "delete", crash)
        with pytest.raises(KeyboardInterrupt):
            delete(archive.database, archive.places, archive.home, ALL, ds.StudyInstanceUID)
    assert archive.client().get(below(ds)).status_code == 404
    assert len(files(archive)) == 1
    sweep(archive.database, archive.places)
    assert files(archive) == []


def test_it_needs_the_right_to_write_and_the_thing_in_scope(archive: Any) -> None:
    ds, other = samples.instance(), samples.instance(patient_id="P-2")
    own(archive, ds, other)
    reader = Grant(who="x", may=frozenset({"read"}))
    assert archive.client(reader).delete(below(ds)).status_code == 403
    partial = Grant(who="x", may=OWNER.may, series=frozenset({other.SeriesInstanceUID}))
    assert archive.client(partial).delete(below(ds)).status_code == 404
    assert archive.client(partial).delete(below(other)).status_code == 204
    assert archive.client().get(below(ds)).status_code == 200


def test_a_later_scan_of_the_same_store_counts_it_as_no_object(archive: Any) -> None:
    ds = samples.instance()
    archive.add(ds)
    archive.client().delete(below(ds))
    place = archive.places.add("folder", str(archive.folder))
    counts = index.scan(archive.database, archive.places, place.id, lambda _progress, _words: None)
    assert counts.objects == 0
