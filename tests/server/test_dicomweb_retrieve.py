"""WADO-RS through the door: objects, metadata, frames, bulk data and pictures, byte for byte."""

import gzip
import io
import json
import os
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import zstandard
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.encaps import generate_frames
from pydicom.uid import ExplicitVRLittleEndian, HTJ2KLossless, JPEGLSLossless, RLELossless

from kahu.access import Grant
from kahu.dicom.multipart import Part, read_parts
from kahu.testing import samples

BASE = "http://testserver/dicomweb"


def path(ds: Dataset, level: str = "instance") -> str:
    """Below the door."""
    parts = [
        ("studies", ds.StudyInstanceUID),
        ("series", ds.SeriesInstanceUID),
        ("instances", ds.SOPInstanceUID),
    ]
    deep = {"study": 1, "series": 2, "instance": 3}[level]
    return "/dicomweb" + "".join(f"/{name}/{uid}" for name, uid in parts[:deep])


def parts(answer: Any) -> list[Part]:
    assert answer.status_code == 200, answer.text
    return list(read_parts([answer.content], answer.headers["content-type"]))


@pytest.fixture
def boundary(monkeypatch: pytest.MonkeyPatch) -> str:
    """Makes every boundary the same."""
    monkeypatch.setattr("uuid.uuid4", lambda: SimpleNamespace(hex="b"))
    return "b"


# ------------------------------------------------------------------------------------------ objects


def test_an_instance_as_one_part_of_a_message(archive: Any, boundary: str) -> None:
    ds = samples.instance()
    archive.add(ds)
    answer = archive.client().get(path(ds), headers={"Accept": 'multipart/related; type="application/dicom"'})
    assert (
        answer.headers["content-type"] == f'multipart/related; type="application/dicom"; boundary={boundary}'
    )
    file = samples.encode(ds)
    assert answer.content == (
        b"--b\r\n"
        b"Content-Type: application/dicom; transfer-syntax=1.2.840.10008.1.2.1\r\n"
        b"Content-Length: " + str(len(file)).encode() + b"\r\n"
        b"Content-Location: http://testserver" + path(ds).encode() + b"\r\n"
        b"\r\n" + file + b"\r\n--b--\r\n"
    )
    assert int(answer.headers["content-length"]) == len(answer.content)


def test_an_instance_by_itself(archive: Any) -> None:
    ds = samples.instance(transfer_syntax=JPEGLSLossless)
    archive.add(ds)
    answer = archive.client().get(path(ds), headers={"Accept": "application/dicom"})
    assert answer.headers["content-type"] == f"application/dicom; transfer-syntax={JPEGLSLossless}"
    assert answer.content == samples.encode(ds)


@pytest.mark.parametrize("level", ["study", "series"])
def test_a_study_and_a_series_in_the_order_of_their_numbers(archive: Any, level: str) -> None:
    objects = [samples.instance(number=n) for n in (3, 1, 2)]
    archive.add(*objects)
    answer = archive.client().get(path(objects[0], level))
    assert int(answer.headers["content-length"]) == len(answer.content)
    files = [samples.encode(ds) for ds in sorted(objects, key=lambda ds: int(ds.InstanceNumber))]
    assert [part.body for part in parts(answer)] == files
    assert (
        archive.client().get(path(objects[0], level), headers={"Accept": "application/dicom"}).status_code
        == 406
    )


def test_a_series_that_lies_in_two_stores(archive: Any) -> None:
    first, second = samples.instance(number=1), samples.instance(number=2)
    archive.add(first)
    body = samples.encode(second)
    archive.client().post("/dicomweb/studies", content=body, headers={"Content-Type": "application/dicom"})
    answer = archive.client().get(path(first, "series"))
    assert [part.body for part in parts(answer)] == [samples.encode(first), body]


def test_what_cannot_be_given_is_said(archive: Any) -> None:
    ds = samples.instance(transfer_syntax=JPEGLSLossless)
    archive.add(ds)
    answer = archive.client().get(path(ds), headers={"Accept": "application/dicom; transfer-syntax=1.2.3"})
    assert answer.status_code == 406
    given = [media_type.rpartition("transfer-syntax=")[2] for media_type in answer.json()["acceptable"]]
    assert {"*", JPEGLSLossless, ExplicitVRLittleEndian} <= set(given)
    for media_type in answer.json()["acceptable"]:
        assert archive.client().get(path(ds), headers={"Accept": media_type}).status_code == 200, media_type


def test_a_transfer_syntax_that_is_no_uid_is_never_a_header(archive: Any) -> None:
    ds = samples.instance()
    file = samples.encode(ds)
    said = b"\x02\x00\x10\x00UI\x14\x00" + ExplicitVRLittleEndian.encode()
    assert said in file
    odd = file.replace(said, said[:-5] + b"\r\nA:b")
    (archive.folder / "odd.dcm").write_bytes(odd)
    archive.scan()
    client = archive.client()
    answer = client.get(path(ds), headers={"Accept": "application/dicom; transfer-syntax=*"})
    assert (answer.headers["content-type"], answer.content) == ("application/dicom", odd)
    several = client.get(path(ds), headers={"Accept": 'multipart/related; type="application/dicom"'})
    (part,) = parts(several)
    assert part.headers["content-type"] == "application/dicom"


def test_head_gives_the_length_only(archive: Any) -> None:
    ds = samples.instance()
    archive.add(ds)
    answer = archive.client().head(path(ds), headers={"Accept": "application/dicom"})
    assert answer.content == b""
    assert int(answer.headers["content-length"]) == len(samples.encode(ds))


@pytest.mark.parametrize(
    "below", ["", "/metadata", "/frames/1", "/rendered", "/thumbnail", "/bulkdata/7FE00010"]
)
def test_what_is_not_there_or_not_for_the_asker_is_404(archive: Any, below: str) -> None:
    ds, other = samples.instance(), samples.instance(patient_id="P-2")
    archive.add(ds, other)
    partial = archive.client(
        Grant(who="x", may=frozenset({"read"}), series=frozenset({other.SeriesInstanceUID}))
    )
    there = partial.get(path(other) + below)
    hidden = partial.get(path(ds) + below)
    unknown = partial.get(path(samples.instance(seed="other")) + below)
    misplaced = partial.get(path(other).replace(other.SeriesInstanceUID, ds.SeriesInstanceUID) + below)
    assert [a.status_code for a in (there, hidden, unknown, misplaced)] == [200, 404, 404, 404]
    assert hidden.json() == unknown.json()


def test_a_file_that_changed_or_vanished_is_503_and_never_other_bytes(archive: Any) -> None:
    ds, client = samples.instance(), archive.client()
    archive.add(ds)
    file = archive.folder / f"{ds.SOPInstanceUID}.dcm"
    os.utime(file, ns=(1, 1))
    for below in ("", "/frames/1", "/bulkdata/7FE00010"):
        answer = client.get(path(ds) + below)
        assert answer.status_code == 503
        assert answer.headers["retry-after"]
    file.unlink()
    assert client.get(path(ds)).status_code == 503
    assert client.get(path(ds) + "/metadata").status_code == 200


# ----------------------------------------------------------------------------------------- metadata


def test_metadata_at_each_level(archive: Any) -> None:
    objects = [samples.instance(number=n) for n in (1, 2)]
    archive.add(*objects)
    for level, number in (("study", 2), ("series", 2), ("instance", 1)):
        answer = archive.client().get(path(objects[0], level) + "/metadata")
        assert answer.headers["content-type"] == "application/dicom+json"
        found = answer.json()
        assert [one["00080018"]["Value"][0] for one in found] == [
            ds.SOPInstanceUID for ds in objects[:number]
        ]
    bulk = found[0].pop("7FE00010")
    assert bulk == {"vr": "OW", "BulkDataURI": f"http://testserver{path(objects[0])}/bulkdata/7FE00010"}
    expected = objects[0].to_json_dict()
    del expected["7FE00010"]
    assert found[0] == json.loads(json.dumps(expected))


@pytest.mark.parametrize("coding", ["gzip", "zstd", ""])
def test_metadata_are_compressed_as_the_client_can_read_them(archive: Any, coding: str) -> None:
    ds = samples.instance()
    archive.add(ds)
    with archive.client().stream(
        "GET", path(ds) + "/metadata", headers={"Accept-Encoding": coding}
    ) as answer:
        raw = b"".join(answer.iter_raw())
    assert answer.headers.get("content-encoding", "") == coding
    assert "Accept-Encoding" in answer.headers["vary"]
    if coding == "gzip":
        raw = gzip.decompress(raw)
    elif coding == "zstd":
        raw = zstandard.ZstdDecompressor().decompressobj().decompress(raw)
    assert json.loads(raw)[0]["00080018"]["Value"] == [ds.SOPInstanceUID]


# ------------------------------------------------------------------------------------------- frames


OHIF = {"Accept": "multipart/related; type=application/octet-stream; transfer-syntax=*"}


@pytest.mark.parametrize("syntax", samples.TRANSFER_SYNTAXES)
@pytest.mark.parametrize("several", [False, True])
def test_uncompressed_frames_of_every_transfer_syntax(archive: Any, syntax: str, several: bool) -> None:
    ds = (samples.multiframe if several else samples.instance)(transfer_syntax=syntax)
    plain = (samples.multiframe if several else samples.instance)()
    archive.add(ds)
    size = plain.Rows * plain.Columns * 2
    number = 2 if several else 1
    frame = plain.PixelData[(number - 1) * size : number * size]
    client = archive.client()
    answer = client.get(f"{path(ds)}/frames/{number}")
    (part,) = parts(answer)
    assert part.body == frame
    assert part.content_type == f"application/octet-stream; transfer-syntax={ExplicitVRLittleEndian}"
    assert part.headers["content-location"] == f"http://testserver{path(ds)}/frames/{number}"
    assert answer.headers["content-type"].startswith('multipart/related; type="application/octet-stream"; ')
    single = client.get(f"{path(ds)}/frames/{number}", headers={"Accept": "application/octet-stream"})
    assert single.content == frame
    assert single.headers["content-type"] == part.content_type


@pytest.mark.parametrize(
    ("syntax", "media_type"),
    [(RLELossless, "image/dicom-rle"), (JPEGLSLossless, "image/jls"), (HTJ2KLossless, "image/jphc")],
)
def test_compressed_frames_as_they_are_kept(archive: Any, syntax: str, media_type: str) -> None:
    ds = samples.multiframe(frames=3, transfer_syntax=syntax)
    archive.add(ds)
    kept = list(generate_frames(ds.PixelData, number_of_frames=3))
    answer = archive.client().get(f"{path(ds)}/frames/3,1", headers=OHIF)
    assert answer.headers["content-type"].startswith(f'multipart/related; type="{media_type}"; ')
    found = parts(answer)
    assert [part.body for part in found] == [kept[2], kept[0]]
    assert {part.content_type for part in found} == {f"{media_type}; transfer-syntax={syntax}"}
    again = archive.client().get(f"{path(ds)}/frames/2", headers={"Accept": media_type})
    assert again.content == kept[1]


@pytest.mark.parametrize(
    ("frames", "status"),
    [
        ("0", 404),
        ("2", 404),
        ("1,2", 404),
        ("x", 400),
        ("1,", 400),
        ("-1", 400),
        ("1-2", 400),
        ("9" * 30, 400),
    ],
)
def test_frames_that_are_not_there(archive: Any, frames: str, status: int) -> None:
    ds = samples.instance()
    archive.add(ds)
    assert archive.client().get(f"{path(ds)}/frames/{frames}").status_code == status


def test_frames_of_what_has_no_image(archive: Any) -> None:
    ds = samples.document()
    archive.add(ds)
    assert archive.client().get(f"{path(ds)}/frames/1").status_code == 404


# ---------------------------------------------------------------------------------------- bulk data


def bulk_uris(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "BulkDataURI" in node:
            yield node["BulkDataURI"]
        for value in node.values():
            yield from bulk_uris(value)
    elif isinstance(node, list):
        for value in node:
            yield from bulk_uris(value)


def test_a_document_as_ohif_asks_for_it(archive: Any) -> None:
    ds = samples.document()
    archive.add(ds)
    client = archive.client()
    (uri,) = bulk_uris(client.get(path(ds) + "/metadata").json())
    accept = 'multipart/related; type="application/pdf", multipart/related; type="application/octet-stream"'
    answer = client.get(uri, headers={"Accept": accept})
    assert int(answer.headers["content-length"]) == len(answer.content)
    (part,) = parts(answer)
    assert part.content_type == "application/pdf"
    assert part.body.rstrip(b"\0") == ds.EncapsulatedDocument
    alone = client.get(uri, headers={"Accept": "application/pdf"})
    assert (alone.headers["content-type"], alone.content) == ("application/pdf", part.body)
    assert client.get(uri).headers["content-type"] == "application/pdf"
    assert client.get(uri, headers={"Accept": "text/html"}).status_code == 406


def test_a_document_that_says_it_is_a_web_page_is_not_called_one(archive: Any) -> None:
    ds = samples.document()
    ds.MIMETypeOfEncapsulatedDocument = "text/html"
    archive.add(ds)
    answer = archive.client().get(path(ds) + "/bulkdata/00420011")
    assert answer.headers["content-type"] == "application/octet-stream"


@pytest.mark.parametrize("syntax", samples.TRANSFER_SYNTAXES[:4])
def test_values_within_sequences_and_uncompressed_pixels(archive: Any, syntax: str) -> None:
    item = Dataset()
    item.add_new(0x00420011, "OB", bytes(range(256)) * 10)
    ds = samples.instance(transfer_syntax=syntax, attributes={"ReferencedImageSequence": [Dataset(), item]})
    archive.add(ds)
    client = archive.client()
    answers = {
        uri.rpartition("/bulkdata/")[2]: client.get(uri).content
        for uri in bulk_uris(client.get(path(ds) + "/metadata").json())
    }
    assert answers == {
        "7FE00010": samples.instance().PixelData,
        "00081140/1/00420011": bytes(range(256)) * 10,
    }


def test_compressed_pixels_come_as_their_frames(archive: Any) -> None:
    ds = samples.multiframe(frames=2, transfer_syntax=JPEGLSLossless)
    archive.add(ds)
    answer = archive.client().get(path(ds) + "/bulkdata/7FE00010")
    assert [part.content_type for part in parts(answer)] == [
        f"image/jls; transfer-syntax={JPEGLSLossless}"
    ] * 2


def test_pixels_of_an_image_that_makes_no_sense_can_be_had_all_the_same(archive: Any) -> None:
    ds = samples.instance()
    del ds.Rows
    archive.add(ds)
    client = archive.client()
    (uri,) = bulk_uris(client.get(path(ds) + "/metadata").json())
    assert client.get(uri).content == samples.instance().PixelData
    assert client.get(path(ds) + "/frames/1").status_code == 406


@pytest.mark.parametrize(
    "value", ["00420012x", "nonsense", "00100010/0", "00081140/7/00420011", "%2e%2e/metadata", ""]
)
def test_bulk_data_that_are_not_there(archive: Any, value: str) -> None:
    ds = samples.instance()
    archive.add(ds)
    assert archive.client().get(f"{path(ds)}/bulkdata/{value}").status_code == 404


# ----------------------------------------------------------------------------------------- pictures


def picture(answer: Any) -> Image.Image:
    assert answer.status_code == 200, answer.text
    image = Image.open(io.BytesIO(answer.content))
    assert answer.headers["content-type"] == f"image/{(image.format or '').lower()}"
    return image


@pytest.mark.parametrize(
    ("level", "below"), [("study", ""), ("series", ""), ("instance", ""), ("instance", "/frames/1")]
)
def test_rendered_at_each_level(archive: Any, level: str, below: str) -> None:
    ds = samples.instance(rows=40, columns=60)
    archive.add(ds)
    image = picture(archive.client().get(path(ds, level) + below + "/rendered"))
    assert (image.format, image.size) == ("JPEG", (60, 40))


def test_a_window_decides_what_is_black_and_white(archive: Any) -> None:
    ds = samples.instance(pixels=np.array([[-1000, 0], [40, 3000]]))
    archive.add(ds)
    client = archive.client()
    png = {"Accept": "image/png"}
    answer = client.get(path(ds) + "/rendered?window=0,2,linear-exact", headers=png)
    assert np.asarray(picture(answer)).tolist() == [[0, 128], [255, 255]]
    assert client.get(path(ds) + "/rendered?window=0").status_code == 400
    assert client.get(path(ds) + "/rendered?window=nan,1").status_code == 400
    assert client.get(path(ds) + "/rendered?window=0,0").status_code == 400


def test_pictures_fit_into_the_viewport(archive: Any) -> None:
    ds = samples.instance(rows=40, columns=60)
    archive.add(ds)
    client = archive.client()
    assert picture(client.get(path(ds) + "/rendered?viewport=30,30")).size == (30, 20)
    assert picture(client.get(path(ds) + "/thumbnail?viewport=90,200")).size == (90, 60)
    assert picture(client.get(path(ds, "series") + "/thumbnail?viewport=256,256")).size == (256, 171)
    for viewport in ("0,1", "a,b", "1", "99999,1"):
        assert client.get(path(ds) + f"/rendered?viewport={viewport}").status_code == 400
    assert client.get(path(ds) + "/rendered?quality=101").status_code == 400


def test_the_accept_parameter_wins(archive: Any) -> None:
    ds = samples.instance()
    archive.add(ds)
    client = archive.client()
    ohif = {"Accept": 'multipart/related; type="application/octet-stream"'}
    assert picture(client.get(path(ds) + "/thumbnail?accept=image%2Fjpeg", headers=ohif)).format == "JPEG"
    assert picture(client.get(path(ds) + "/rendered?accept=image%2Fpng", headers=ohif)).format == "PNG"
    assert client.get(path(ds) + "/rendered", headers=ohif).status_code == 406


def test_what_has_no_picture_has_a_thumbnail_all_the_same(archive: Any) -> None:
    ds = samples.document()
    archive.add(ds)
    client = archive.client()
    assert picture(client.get(path(ds) + "/thumbnail?viewport=64,64")).size == (64, 64)
    assert picture(client.get(path(ds) + "/thumbnail?viewport=1,2")).size == (1, 1)
    assert client.get(path(ds) + "/frames/1/rendered").status_code == 404


def test_an_image_that_makes_no_sense_is_no_fault_of_the_server(archive: Any) -> None:
    ds = samples.instance()
    archive.add(ds)
    file = archive.folder / f"{ds.SOPInstanceUID}.dcm"
    broken = dcmread(file)
    broken["WindowCenter"]._value = "wide"
    broken.RescaleSlope = None
    broken.save_as(file)
    archive.scan()
    answer = archive.client().get(path(ds) + "/rendered")
    assert answer.status_code in (200, 406)
    assert archive.client().get(path(ds) + "/thumbnail").status_code == 200
