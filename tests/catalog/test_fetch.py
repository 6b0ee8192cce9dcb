"""Where objects are, their metadata from the catalogue alone, their bytes from whichever store has them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image

from kahu.catalog import describe, fetch, schema, thumbnails
from kahu.catalog.fetch import Located
from kahu.catalog.scope import ALL
from kahu.dicom.json_model import BULK_PREFIX
from kahu.errors import BytesMissing, NotFound
from kahu.testing import samples
from kahu.testing.catalogue import Catalogue

SERIES = samples.uid("one")


def instances(catalogue: Catalogue, series: str = SERIES) -> list[Located]:
    with catalogue.database.read() as db:
        return fetch.instances(db, ALL, series=series)


def metadata(catalogue: Catalogue, **named: str) -> list[dict[str, dict[str, object]]]:
    body = b"".join(fetch.metadata(catalogue.database, ALL, **named))
    return json.loads(body)  # type: ignore[no-any-return]


def numbers(document: list[dict[str, dict[str, object]]]) -> list[object]:
    return [instance["00200013"]["Value"] for instance in document]


@pytest.fixture
def series(catalogue: Catalogue, images: Path) -> list[Path]:
    """Twelve slices, found in no order of theirs."""
    paths = []
    for number in range(1, 13):
        dataset = samples.instance(number=number, series_uid=SERIES, rows=8, columns=8)
        paths.append(samples.save(dataset, images / f"{number * 7 % 13:02d}.dcm"))
    catalogue.scan(catalogue.add(images))
    return paths


def test_instances_come_in_the_order_of_their_numbers(catalogue: Catalogue, series: list[Path]) -> None:
    assert [one.number for one in instances(catalogue)] == list(range(1, 13))


def test_an_instance_says_where_its_pixels_are(catalogue: Catalogue, series: list[Path]) -> None:
    for located, path in zip(instances(catalogue), series, strict=True):
        dataset = pydicom.dcmread(path)
        pixels = located.location.pixels
        assert pixels
        assert pixels.length is not None
        assert fetch.read(catalogue.places, located, pixels.offset, pixels.length) == dataset.PixelData
        assert located.transfer_syntax == dataset.file_meta.TransferSyntaxUID
        assert b"".join(fetch.stream(catalogue.places, located)) == path.read_bytes()


def test_metadata_is_that_of_the_files_in_order(
    catalogue: Catalogue, series: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(describe, "_PART", 5)
    expected = []
    for path in series:
        instance = pydicom.dcmread(path, stop_before_pixels=True).to_json_dict()
        expected.append({tag: element for tag, element in instance.items() if tag != "00080005"})
    shutil.rmtree(series[0].parent)  # answered without opening a file
    for _ in range(2):  # made, and then as it is kept
        document = metadata(catalogue, series=SERIES)
        for instance in document:
            del instance["00080005"]
            uri = instance.pop("7FE00010")["BulkDataURI"]
            uid = instance["00080018"]["Value"][0]  # type: ignore[index]
            study = instance["0020000D"]["Value"][0]  # type: ignore[index]
            assert uri == f"{BULK_PREFIX}/studies/{study}/series/{SERIES}/instances/{uid}/bulkdata/7FE00010"
        assert document == expected
    assert len(catalogue.rows(schema.series_metadata)) == 3


def test_metadata_that_is_kept_is_that_of_now(catalogue: Catalogue, series: list[Path], images: Path) -> None:
    assert len(metadata(catalogue, series=SERIES)) == 12
    more = samples.instance(number=13, series_uid=SERIES, rows=8, columns=8)
    samples.save(more, images / "more.dcm")
    catalogue.scan(2)
    assert numbers(metadata(catalogue, series=SERIES)) == [[n] for n in range(1, 14)]


def test_metadata_of_a_study_and_of_one_instance(
    catalogue: Catalogue, series: list[Path], images: Path
) -> None:
    dataset = samples.instance(
        number=5, series_uid="1.2.3", rows=8, columns=8, attributes={"SeriesNumber": "0"}
    )
    samples.save(dataset, images / "other.dcm")
    catalogue.scan(2)
    study = str(dataset.StudyInstanceUID)
    assert numbers(metadata(catalogue, study=study)) == [[5], *([n] for n in range(1, 13))]
    one = instances(catalogue)[3]
    assert numbers(metadata(catalogue, study=study, series=SERIES, instance=one.sop_instance_uid)) == [[4]]


@pytest.mark.parametrize(
    "named", [{"study": "1.9"}, {"series": "1.9"}, {"instance": "1.9"}, {"study": "1.9", "series": SERIES}]
)
def test_what_is_not_there_is_not_found_at_once(
    catalogue: Catalogue, series: list[Path], named: dict[str, str]
) -> None:
    with pytest.raises(NotFound):
        fetch.metadata(catalogue.database, ALL, **named)
    with catalogue.database.read() as db, pytest.raises(NotFound):
        fetch.instances(db, ALL, **named)


def test_another_store_helps_out(catalogue: Catalogue, series: list[Path], tmp_path: Path) -> None:
    """Also where the copy's group 2 is longer, so that everything lies elsewhere in the file."""
    dataset = pydicom.dcmread(series[0])
    dataset.file_meta.ImplementationVersionName = "ANOTHER"
    samples.save(dataset, tmp_path / "second" / "1.dcm")
    catalogue.scan(catalogue.add(tmp_path / "second"))
    (located, *_) = instances(catalogue)
    first, second = located.locations
    assert first.dataset_offset != second.dataset_offset
    assert located.location.pixels
    assert located.location.pixels.length
    series[0].unlink()
    read = fetch.read(
        catalogue.places, located, located.location.pixels.offset, located.location.pixels.length
    )
    assert read == dataset.PixelData
    (tmp_path / "second" / "1.dcm").unlink()
    with pytest.raises(BytesMissing):
        fetch.read(catalogue.places, located, 0, 1)


def test_the_whole_data_set_but_the_pixels(catalogue: Catalogue, images: Path) -> None:
    document = samples.document(series_uid=SERIES)
    path = samples.save(document, images / "1.dcm")
    catalogue.scan(catalogue.add(images))
    (located,) = instances(catalogue)
    with catalogue.database.read() as db:
        kept = fetch.header(db, located)
    (long,) = kept.omitted
    pdf = document.EncapsulatedDocument + b"\0"  # padded to an even length
    assert path.read_bytes()[long.offset :][: long.length] == pdf
    dataset = fetch.dataset(catalogue.database, catalogue.places, located)
    assert dataset.EncapsulatedDocument == pdf
    assert dataset.DocumentTitle == "Sample report"
    assert located.frames == 0


def test_frames_that_were_looked_for_are_remembered_until_the_file_changes(
    catalogue: Catalogue, series: list[Path]
) -> None:
    (located, *_) = instances(catalogue)
    fetch.keep_frames(catalogue.database, located.location, b"packed")
    assert instances(catalogue)[0].location.frames == b"packed"
    series[0].write_bytes(series[0].read_bytes() + b"\0\0")
    catalogue.scan(2)
    fetch.keep_frames(catalogue.database, located.location, b"packed")  # too late: of the former file
    assert instances(catalogue)[0].location.frames is None


# Thumbnails


def picture(catalogue: Catalogue, tmp_path: Path, series: str = SERIES) -> Image.Image:
    body = thumbnails.thumbnail(catalogue.database, catalogue.places, tmp_path / "cache", series, ALL)
    (tmp_path / "picture.jpg").write_bytes(body)
    return Image.open(tmp_path / "picture.jpg")


def test_a_thumbnail_is_the_slice_in_the_middle_of_the_body(
    catalogue: Catalogue, images: Path, tmp_path: Path
) -> None:
    """Not of the numbers, which here begin in the middle of the body."""
    for position in range(9):
        value = 1000 if position == 4 else -1000
        dataset = samples.instance(
            number=(position + 4) % 9 + 1,
            series_uid=SERIES,
            pixels=np.full((16, 16), value),
            attributes={"ImagePositionPatient": [0.0, 0.0, position * 2.0]},
        )
        samples.save(dataset, images / f"{position}.dcm")
    catalogue.scan(catalogue.add(images))
    with picture(catalogue, tmp_path) as image:
        assert image.format == "JPEG"
        assert np.asarray(image).min() > 200


def test_a_thumbnail_is_kept_until_the_series_changes(
    catalogue: Catalogue, series: list[Path], images: Path, tmp_path: Path
) -> None:
    def thumbnail() -> bytes:
        return thumbnails.thumbnail(catalogue.database, catalogue.places, tmp_path / "cache", SERIES, ALL)

    first = thumbnail()
    for path in series:
        path.rename(path.with_suffix(".away"))
    assert thumbnail() == first
    for path in series:
        path.with_suffix(".away").rename(path)
    more = samples.instance(number=13, series_uid=SERIES, rows=8, columns=8)
    samples.save(more, images / "more.dcm")
    catalogue.scan(2)
    thumbnail()
    assert len(list((tmp_path / "cache").rglob("*.jpg"))) == 1


@pytest.mark.parametrize("what", ["document", "broken pixels"])
def test_what_has_no_picture_has_a_tile(
    catalogue: Catalogue, images: Path, tmp_path: Path, what: str
) -> None:
    if what == "document":
        dataset = samples.document(series_uid=SERIES)
    else:
        dataset = samples.instance(series_uid=SERIES, rows=8, columns=8)
        dataset.BitsAllocated = 7
    samples.save(dataset, images / "1.dcm")
    catalogue.scan(catalogue.add(images))
    with picture(catalogue, tmp_path) as image:
        assert image.size == (256, 256)


def test_an_object_of_several_frames_shows_one_of_them(
    catalogue: Catalogue, images: Path, tmp_path: Path
) -> None:
    dataset = samples.multiframe(frames=5, rows=16, columns=16, series_uid=SERIES)
    samples.save(dataset, images / "1.dcm")
    catalogue.scan(catalogue.add(images))
    with picture(catalogue, tmp_path) as image:
        assert image.size == (16, 16)
