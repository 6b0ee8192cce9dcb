"""Scans: what is new, moved, changed, vanished, gone; killed and started again."""

import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from pydicom import Dataset
from sqlalchemy import event

from kahu.catalog import changes, fetch, figures, forget, index, schema, tags
from kahu.catalog.record import Recorded, record
from kahu.catalog.scope import ALL
from kahu.errors import BytesChanged, BytesMissing, KahuError, NotFound, Unavailable
from kahu.stores import Found, reading
from kahu.stores.folder import Folder
from kahu.testing import samples
from kahu.testing.catalogue import Catalogue, open_catalogue

SERIES = samples.uid("one")
OTHER = samples.uid("other")


def ct(number: int = 1, series: str = SERIES, **options: object) -> Dataset:
    return samples.instance(number=number, rows=16, columns=16, series_uid=series, **options)  # type: ignore[arg-type]


def fill(folder: Path, slices: int = 4, series: str = SERIES) -> list[Path]:
    return [samples.save(ct(n, series), folder / f"{series[-4:]}-{n:02d}.dcm") for n in range(1, slices + 1)]


def rewrite(path: Path, data: bytes) -> None:
    """Writes a file so that its time of modification differs."""
    before = path.stat().st_mtime_ns
    path.write_bytes(data)
    while path.stat().st_mtime_ns == before:
        path.touch()


def test_a_folder_becomes_patients_studies_series_and_instances(catalogue: Catalogue, images: Path) -> None:
    fill(images / "a", 4)
    samples.save(ct(1, OTHER, patient_id="P-2", study_uid="1.2.3"), images / "b" / "1.dcm")
    (images / "broken.dcm").write_bytes(samples.encode(ct())[:400])
    (images / "readme.txt").write_text("not an image")
    counts = catalogue.scan(catalogue.add(images))
    assert (counts.files, counts.objects, counts.series, counts.refused) == (7, 5, 2, 1)
    assert catalogue.numbers() == (2, 2, 5)
    series = catalogue.summary(SERIES)
    assert (series.instances, series.frames, series.bytes) == (
        4,
        4,
        sum(path.stat().st_size for path in (images / "a").iterdir()),
    )
    assert series.available
    assert series.stores == ("images",)
    assert {row["PatientID"] for row in catalogue.find("STUDY")} == {"P-1", "P-2"}


def test_a_second_scan_opens_nothing(
    catalogue: Catalogue, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(images)
    (images / "readme.txt").write_text("not an image")
    store = catalogue.add(images)
    catalogue.scan(store)
    before = catalogue.state()
    revision = catalogue.summary(SERIES).revision

    def opened(path: str) -> None:
        raise AssertionError(f"{path} was opened")

    monkeypatch.setattr(reading, "read_object", opened)
    counts = catalogue.scan(store)
    assert (counts.unchanged, counts.objects, counts.refused) == (5, 4, 0)
    assert catalogue.state() == before
    assert catalogue.summary(SERIES).revision == revision


def test_new_files_join_their_series(catalogue: Catalogue, images: Path) -> None:
    fill(images, 2)
    store = catalogue.add(images)
    catalogue.scan(store)
    before = catalogue.summary(SERIES)
    fill(images / "more", 5)
    counts = catalogue.scan(store)
    after = catalogue.summary(SERIES)
    assert counts.unchanged == 2
    assert after.instances == 5
    assert after.revision > before.revision


def test_a_file_that_moved_is_the_same_object(catalogue: Catalogue, images: Path) -> None:
    first, *_ = fill(images)
    store = catalogue.add(images)
    catalogue.scan(store)
    (images / "sub").mkdir()
    first.rename(images / "sub" / "moved")
    counts = catalogue.scan(store)
    assert (counts.moved, counts.missing, counts.objects) == (1, 0, 4)
    assert catalogue.numbers() == (1, 1, 4)
    assert "sub/moved" in {row["key"] for row in catalogue.rows(schema.locations)}
    assert len(catalogue.rows(schema.locations)) == 4


def test_a_file_that_vanished_is_missing_and_not_forgotten(catalogue: Catalogue, images: Path) -> None:
    first, second = fill(images, 2)
    store = catalogue.add(images)
    catalogue.scan(store)
    data = first.read_bytes()
    first.unlink()
    counts = catalogue.scan(store)
    assert (counts.missing, counts.moved, counts.objects) == (1, 0, 1)
    found = {row["InstanceNumber"]: row["InstanceAvailability"] for row in catalogue.find("IMAGE")}
    assert found == {"1": "UNAVAILABLE", "2": "ONLINE"}
    assert catalogue.scan(store).missing == 0

    first.write_bytes(data)  # it comes back
    catalogue.scan(store)
    assert {row["InstanceAvailability"] for row in catalogue.find("IMAGE")} == {"ONLINE"}
    assert second.exists()


def test_missing_objects_are_forgotten_when_someone_says_so(catalogue: Catalogue, images: Path) -> None:
    first, *_ = fill(images, 3)
    store = catalogue.add(images)
    catalogue.scan(store)
    first.unlink()
    catalogue.scan(store)
    forget.missing(catalogue.database, store)
    assert catalogue.numbers() == (1, 1, 2)
    assert catalogue.summary(SERIES).instances == 2
    assert len(catalogue.rows(schema.headers)) == 2


def test_a_file_that_changed_in_place_is_read_again(catalogue: Catalogue, images: Path) -> None:
    first, *_ = fill(images, 2)
    store = catalogue.add(images)
    catalogue.scan(store)
    before = catalogue.summary(SERIES)
    with catalogue.database.read() as db:
        (located, _) = fetch.instances(db, ALL, series=SERIES)
    rewrite(first, samples.encode(ct(1, attributes={"WindowCenter": "77", "PatientComments": "longer"})))
    with pytest.raises(BytesChanged):
        fetch.read(catalogue.places, located, 0, 10)
    catalogue.scan(store)
    (row,) = catalogue.find("IMAGE", InstanceNumber="1")
    assert row["WindowCenter"] == "77"
    after = catalogue.summary(SERIES)
    assert after.revision > before.revision
    assert after.instances == 2
    assert after.bytes == sum(path.stat().st_size for path in images.iterdir())
    metadata = b"".join(fetch.metadata(catalogue.database, ALL, series=SERIES))
    assert b"longer" in metadata


def test_files_that_were_edited_where_they_lie_say_anew_whose_they_are(
    catalogue: Catalogue, images: Path
) -> None:
    """A folder that was pseudonymised in place tells nobody's name any more."""
    paths = fill(images, 3)
    store = catalogue.add(images)
    catalogue.scan(store)
    edits = {"PatientID": "X-1", "PatientName": "", "SeriesDescription": "New", "StudyDate": ""}
    for number, path in enumerate(paths, 1):
        rewrite(path, samples.encode(ct(number, attributes=edits)))
    catalogue.scan(store)
    summary = catalogue.summary(SERIES)
    assert (summary.patient_id, summary.patient_name, summary.description) == ("X-1", "", "New")
    assert (summary.study_date, summary.instances) == ("", 3)
    with catalogue.database.read() as db:
        assert db.scalars(sa.select(schema.patients.c.name)).all() == [""]
        (words,) = db.scalars(sa.select(schema.series.c.words))
    assert "kealoha" not in words


def test_a_file_that_now_holds_another_object(catalogue: Catalogue, images: Path) -> None:
    first, *_ = fill(images, 2)
    store = catalogue.add(images)
    catalogue.scan(store)
    rewrite(first, samples.encode(ct(1, OTHER)))
    catalogue.scan(store)
    assert catalogue.summary(OTHER).instances == 1
    found = {
        row["InstanceNumber"]: row["InstanceAvailability"]
        for row in catalogue.find(SeriesInstanceUID=SERIES, level="IMAGE")
    }
    assert found == {"1": "UNAVAILABLE", "2": "ONLINE"}


def test_a_file_that_is_broken_now_is_refused_and_missing(catalogue: Catalogue, images: Path) -> None:
    first, *_ = fill(images, 2)
    store = catalogue.add(images)
    catalogue.scan(store)
    data = first.read_bytes()
    rewrite(first, data[:400])
    counts = catalogue.scan(store)
    assert (counts.missing, counts.refused, counts.objects) == (1, 1, 1)
    rewrite(first, data)
    counts = catalogue.scan(store)
    assert (counts.refused, counts.objects) == (0, 2)
    assert {row["InstanceAvailability"] for row in catalogue.find("IMAGE")} == {"ONLINE"}


def test_what_was_refused_is_told_with_what_is_worth_a_look_first(catalogue: Catalogue, images: Path) -> None:
    images.mkdir()
    (images / "a.txt").write_text("nothing")
    (images / "z.dcm").write_bytes(samples.encode(ct())[:400])
    store = catalogue.add(images)
    catalogue.scan(store)
    with catalogue.database.read() as db:
        assert [(one.key, one.dicom) for one in figures.refused(db, store, 10)] == [
            ("z.dcm", True),
            ("a.txt", False),
        ]
    (images / "a.txt").unlink()
    assert catalogue.scan(store).refused == 1


# Stores that go and come


@pytest.mark.parametrize("how", ["removed", "emptied"])
def test_a_root_that_is_gone_takes_nothing_with_it(catalogue: Catalogue, images: Path, how: str) -> None:
    fill(images)
    store = catalogue.add(images)
    catalogue.scan(store)
    tags.put(catalogue.database, SERIES, "mine", "me", ALL)
    away = images.with_name("away")
    images.rename(away)
    if how == "emptied":
        images.mkdir()

    with pytest.raises(BytesMissing):
        catalogue.scan(store)
    place = catalogue.places.get(store)
    assert place.state == "gone"
    assert place.note
    series = catalogue.summary(SERIES)
    assert (series.instances, series.available, series.tags) == (4, False, ("mine",))
    with catalogue.database.read() as db:
        located = fetch.locate(db, catalogue.find("IMAGE")[0]["SOPInstanceUID"], ALL)
    with pytest.raises(Unavailable):
        fetch.read(catalogue.places, located, 0, 10)
    assert b"".join(fetch.metadata(catalogue.database, ALL, series=SERIES)).startswith(b"[{")

    if how == "emptied":
        images.rmdir()
    away.rename(images)
    assert catalogue.scan(store).unchanged == 4
    assert catalogue.places.get(store).state == "ready"
    assert catalogue.summary(SERIES).available


def test_a_root_that_goes_in_mid_scan_takes_nothing_with_it(
    catalogue: Catalogue, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(4):
        fill(images / str(n), 2, samples.uid("series", n))
    store = catalogue.add(images)
    catalogue.scan(store)
    listed = Folder._list

    def go(self: Folder, folder: str, walked: list[str]) -> list[str]:
        if folder == "2/":
            shutil.rmtree(images)
        return listed(self, folder, walked)

    monkeypatch.setattr(Folder, "_list", go)
    with pytest.raises(BytesMissing):
        catalogue.scan(store)
    assert catalogue.places.get(store).state == "gone"
    assert {row["state"] for row in catalogue.rows(schema.locations)} == {"ok"}


def test_what_cannot_be_listed_is_not_missing(
    catalogue: Catalogue, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(images / "a", 2)
    fill(images / "b", 2, OTHER)
    store = catalogue.add(images)
    catalogue.scan(store)
    listed = Folder._list

    def refuse(self: Folder, folder: str, walked: list[str]) -> list[str]:
        if folder == "b/":
            raise PermissionError(13, "Permission denied")
        return listed(self, folder, walked)

    with monkeypatch.context() as patch:
        patch.setattr(Folder, "_list", refuse)
        counts = catalogue.scan(store)
    assert (counts.missing, counts.objects) == (0, 4)
    assert catalogue.summary(OTHER).available
    with catalogue.database.read() as db:
        assert [one.key for one in figures.refused(db, store, 10)] == ["b/"]
    assert catalogue.scan(store).refused == 0


def test_a_folder_that_is_not_there_is_not_added(catalogue: Catalogue, images: Path) -> None:
    with pytest.raises(BytesMissing) as error:
        catalogue.add(images)
    assert error.value.hint
    assert [place.owned for place in catalogue.places.all()] == [True]


def test_a_folder_is_added_once(catalogue: Catalogue, images: Path) -> None:
    images.mkdir()
    twin = images.parent / "elsewhere" / images.name
    twin.mkdir(parents=True)
    assert catalogue.add(images) == catalogue.add(images)
    names = [catalogue.places.get(catalogue.add(folder)).name for folder in (images, twin)]
    assert names == ["images", "images (2)"]


def test_an_empty_folder_is_no_error(catalogue: Catalogue, images: Path) -> None:
    images.mkdir()
    store = catalogue.add(images)
    assert catalogue.scan(store).objects == 0
    assert catalogue.places.get(store).state == "ready"


def test_a_store_that_is_removed_is_forgotten_but_not_its_tags(catalogue: Catalogue, images: Path) -> None:
    fill(images / "a")
    fill(images / "b", 2, OTHER)
    store = catalogue.add(images)
    second = catalogue.add(images / "b")
    catalogue.scan(store)
    catalogue.scan(second)
    tags.put(catalogue.database, SERIES, "mine", "me", ALL)
    catalogue.places.remove(store)
    assert catalogue.numbers() == (1, 1, 2)
    assert catalogue.summary(OTHER).stores == ("b",)
    assert catalogue.summary(OTHER).available
    with pytest.raises(NotFound):
        catalogue.summary(SERIES)
    assert len(list(images.rglob("*.dcm"))) == 6
    catalogue.scan(catalogue.add(images))
    assert catalogue.summary(SERIES).tags == ("mine",)
    for place in catalogue.places.all()[1:]:
        catalogue.places.remove(place.id)
    for table in ("patients", "studies", "series", "instances", "headers", "locations", "series_stores"):
        assert catalogue.rows(schema.stores.metadata.tables[table]) == []


# One UID, several files


def test_a_copy_is_another_location_of_the_same_instance(catalogue: Catalogue, images: Path) -> None:
    first, *_ = fill(images, 2)
    shutil.copy(first, images / "copy.dcm")
    store = catalogue.add(images)
    counts = catalogue.scan(store)
    assert (counts.objects, counts.conflicts) == (3, 0)
    assert catalogue.numbers() == (1, 1, 2)
    first.unlink()
    counts = catalogue.scan(store)
    assert counts.missing == 1
    assert {row["InstanceAvailability"] for row in catalogue.find("IMAGE")} == {"ONLINE"}


def test_another_group_2_is_the_same_object(catalogue: Catalogue, images: Path) -> None:
    dataset = ct()
    samples.save(dataset, images / "1.dcm")
    dataset.file_meta.ImplementationVersionName = "ANOTHER"
    samples.save(dataset, images / "2.dcm")
    counts = catalogue.scan(catalogue.add(images))
    assert counts.conflicts == 0
    assert catalogue.numbers() == (1, 1, 1)
    with catalogue.database.read() as db:
        (located,) = fetch.instances(db, ALL, series=SERIES)
    one, two = located.locations
    assert one.dataset_offset != two.dataset_offset


def test_other_bytes_under_a_uid_are_a_conflict_and_the_first_stays(
    catalogue: Catalogue, images: Path
) -> None:
    first = samples.save(ct(), images / "1.dcm")
    data = bytearray(first.read_bytes())
    data[-1] ^= 1  # the header is the same
    (images / "2.dcm").write_bytes(data)
    store = catalogue.add(images)
    assert catalogue.scan(store).conflicts == 1
    assert [row["key"] for row in catalogue.rows(schema.conflicts)] == ["2.dcm"]
    with catalogue.database.read() as db:
        (located,) = fetch.instances(db, ALL, series=SERIES)
    assert b"".join(fetch.stream(catalogue.places, located)) == first.read_bytes()
    assert len(located.locations) == 1

    counts = catalogue.scan(store)
    assert (counts.conflicts, counts.unchanged) == (0, 2)
    (images / "2.dcm").unlink()
    catalogue.scan(store)
    assert catalogue.rows(schema.conflicts) == []
    assert len(catalogue.rows(schema.locations)) == 1


def test_a_conflict_that_is_mended_is_a_copy(catalogue: Catalogue, images: Path) -> None:
    first = samples.save(ct(), images / "1.dcm")
    samples.save(ct(attributes={"WindowCenter": "1"}), images / "2.dcm")
    store = catalogue.add(images)
    assert catalogue.scan(store).conflicts == 1
    rewrite(images / "2.dcm", first.read_bytes())
    assert catalogue.scan(store).conflicts == 0
    assert catalogue.rows(schema.conflicts) == []
    assert {row["state"] for row in catalogue.rows(schema.locations)} == {"ok"}


def test_the_second_takes_over_when_the_first_is_really_gone(catalogue: Catalogue, images: Path) -> None:
    first = samples.save(ct(), images / "1.dcm")
    store = catalogue.add(images)
    catalogue.scan(store)
    first.unlink()
    samples.save(ct(attributes={"WindowCenter": "1"}), images / "2.dcm")
    counts = catalogue.scan(store)
    assert counts.conflicts == 0
    assert catalogue.find("IMAGE")[0]["WindowCenter"] == "1"


def test_the_first_stays_while_its_store_is_out_of_reach(catalogue: Catalogue, images: Path) -> None:
    one, two, three = images / "one", images / "two", images / "three"
    samples.save(ct(), one / "1.dcm")
    first = catalogue.add(one)
    catalogue.scan(first)
    samples.save(ct(), two / "1.dcm")
    samples.save(ct(attributes={"WindowCenter": "1"}), three / "1.dcm")
    one.rename(images / "away")
    assert catalogue.scan(catalogue.add(two)).conflicts == 0
    (images / "two").rename(images / "away too")
    assert catalogue.scan(catalogue.add(three)).conflicts == 1


def test_another_transfer_syntax_is_another_location(catalogue: Catalogue, images: Path) -> None:
    samples.save(ct(), images / "1.dcm")
    samples.save(ct(transfer_syntax="1.2.840.10008.1.2.4.80"), images / "2.dcm")
    counts = catalogue.scan(catalogue.add(images))
    assert (counts.objects, counts.conflicts) == (2, 0)
    assert catalogue.numbers() == (1, 1, 1)
    with catalogue.database.read() as db:
        (located,) = fetch.instances(db, ALL, series=SERIES)
    assert {one.transfer_syntax for one in located.locations} == {"1.2.840.10008.1.2.1"}
    (images / "1.dcm").unlink()
    catalogue.scan(2)
    with catalogue.database.read() as db:
        (located,) = fetch.instances(db, ALL, series=SERIES)
    assert located.transfer_syntax == "1.2.840.10008.1.2.4.80"


def test_the_same_id_in_two_stores_is_two_patients(catalogue: Catalogue, images: Path) -> None:
    samples.save(ct(patient_id="ANON", study_uid="1.1"), images / "a/1.dcm")
    samples.save(ct(patient_id="ANON", study_uid="1.2", series=OTHER), images / "b/1.dcm")
    for folder in ("a", "b"):
        catalogue.scan(catalogue.add(images / folder))
    assert len(catalogue.rows(schema.patients)) == 2


def test_stores_that_share_a_namespace_share_patients(catalogue: Catalogue, images: Path) -> None:
    samples.save(ct(patient_id="ANON", study_uid="1.1"), images / "a/1.dcm")
    samples.save(ct(patient_id="ANON", study_uid="1.2", series=OTHER), images / "b/1.dcm")
    for folder in ("a", "b"):
        catalogue.scan(catalogue.add(images / folder, namespace="hospital"))
    assert len(catalogue.rows(schema.patients)) == 1


def test_studies_without_patient_id_are_patients_of_their_own(catalogue: Catalogue, images: Path) -> None:
    for n in range(2):
        samples.save(ct(patient_id="", study_uid=f"1.{n}", series=samples.uid(n)), images / f"{n}.dcm")
    catalogue.scan(catalogue.add(images))
    assert len(catalogue.rows(schema.patients)) == 2


def test_a_study_stays_with_its_first_patient(catalogue: Catalogue, images: Path) -> None:
    samples.save(ct(1, study_uid="1.1", patient_id="FIRST"), images / "1.dcm")
    samples.save(ct(2, study_uid="1.1", patient_id="SECOND"), images / "2.dcm")
    counts = catalogue.scan(catalogue.add(images))
    assert counts.other_patient == 1
    assert {row["PatientID"] for row in catalogue.find("IMAGE")} == {"FIRST"}


# The feed


def test_the_feed_tells_what_came_and_went(catalogue: Catalogue, images: Path) -> None:
    fill(images)
    store = catalogue.add(images)
    with catalogue.database.read() as db:
        start = changes.last(db)
    catalogue.scan(store)
    with catalogue.database.read() as db:
        lines, seen = changes.since(db, start, ALL)
    assert {(line.kind, line.series_uid) for line in lines} == {("series-changed", SERIES)}
    catalogue.places.remove(store)
    with catalogue.database.read() as db:
        lines, seen = changes.since(db, seen, ALL)
        assert lines[-1].kind == "series-gone"
        assert changes.since(db, seen, ALL) == ([], seen)


def test_long_headers_are_written_a_few_at_a_time(
    catalogue: Catalogue, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(images, 5)
    most = max(
        len(each.header.packed) for each in Folder(images).scan(lambda _: None) if isinstance(each, Found)
    )
    monkeypatch.setattr(index, "BATCH_BYTES", most + 1)
    held: list[int] = []

    def remember(*args: Any) -> Recorded:
        held.append(len(args[3]))
        return record(*args)

    monkeypatch.setattr(index, "record", remember)
    assert catalogue.scan(catalogue.add(images)).objects == 5
    assert held == [2, 2, 1]


# Killed, cancelled


def test_a_scan_that_is_cancelled_can_be_begun_again(
    catalogue: Catalogue, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(images, 10)
    store = catalogue.add(images)
    monkeypatch.setattr(index, "BATCH", 3)
    monkeypatch.setattr(index, "TELL_SECONDS", -1.0)

    class Enough(KahuError):
        pass

    def report(_: float | None, words: str) -> None:
        if words.startswith("7 "):
            raise Enough("enough")

    with pytest.raises(Enough):
        index.scan(catalogue.database, catalogue.places, store, report)
    assert catalogue.places.get(store).state == "new"
    assert 0 < catalogue.numbers()[2] < 10
    catalogue.scan(store)
    assert catalogue.numbers()[2] == 10


def scan_in(home: Path) -> None:
    catalogue = open_catalogue(home)
    catalogue.scan(catalogue.places.all()[-1].id)
    catalogue.database.close()


def killed_at(statement: int, home: Path) -> bool:
    """Scans in a process that is killed when the database is asked for the nth time; whether it was."""
    child = os.fork()
    if child == 0:
        catalogue = open_catalogue(home)
        asked = 0

        def count(*_: object) -> None:
            nonlocal asked
            asked += 1
            if asked == statement:
                os.kill(os.getpid(), signal.SIGKILL)

        event.listen(catalogue.database.engine, "before_cursor_execute", count)
        event.listen(catalogue.database.engine, "commit", count)
        catalogue.scan(catalogue.places.all()[-1].id)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def test_a_scan_killed_at_any_point_ends_as_if_it_never_was(
    tmp_path: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "BATCH", 3)
    fill(images / "a", 5)
    b = fill(images / "b", 4, OTHER)
    shutil.copy(b[0], images / "b" / "copy.dcm")
    (images / "notes.txt").write_text("nothing")
    start = open_catalogue(tmp_path / "start")
    start.add(images)
    start.database.close()
    check_kills(tmp_path)


def test_a_second_scan_killed_at_any_point_ends_as_if_it_never_was(
    tmp_path: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "BATCH", 3)
    a, b = fill(images / "a", 5), fill(images / "b", 4, OTHER)
    (images / "notes.txt").write_text("nothing")
    start = open_catalogue(tmp_path / "start")
    start.scan(start.add(images))
    start.database.close()
    a[0].rename(images / "moved.dcm")
    a[1].unlink()
    rewrite(a[2], samples.encode(ct(3, attributes={"WindowCenter": "7"})))
    rewrite(a[3], samples.encode(ct(3, OTHER, attributes={"WindowCenter": "7"})))
    rewrite(b[0], b"no image any more")
    (images / "notes.txt").unlink()
    fill(images / "new", 3, samples.uid("new"))
    check_kills(tmp_path)


def check_kills(tmp_path: Path) -> None:
    """Scans what was begun in `start`: once undisturbed, and with a kill at every seventh statement."""
    whole = shutil.copytree(tmp_path / "start", tmp_path / "whole")
    scan_in(whole)
    expected = open_catalogue(whole).state()
    statement, killed = 1, True
    while killed:
        home = shutil.copytree(tmp_path / "start", tmp_path / f"killed-{statement}")
        killed = killed_at(statement, home)
        scan_in(home)
        catalogue = open_catalogue(home)
        assert catalogue.state() == expected, f"killed at statement {statement}"
        catalogue.database.close()
        statement += 7
    assert statement > 70
