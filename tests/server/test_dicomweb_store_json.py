"""STOW-RS of DICOM JSON with bulk data: files are made of them that say the same."""

import base64
import json
from io import BytesIO
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom import Dataset

from kahu.dicom.multipart import Outgoing, media_type, write
from kahu.testing import samples

JSON = "application/dicom+json"
OCTETS = "application/octet-stream"
MULTIPART = {"Content-Type": media_type(JSON, "b")}


def metadata(*objects: Dataset, uri: str = "bulk/") -> bytes:
    """As clients write them: pixel data elsewhere."""
    said = [ds.to_json_dict(1024, lambda element: f"{uri}{element.tag:08X}") for ds in objects]
    return json.dumps(said).encode()


def post(archive: Any, *parts: tuple[str, str, bytes], path: str = "/dicomweb/studies") -> Any:
    """Posts parts: content type, location, body."""
    outgoing = [Outgoing(kind, lambda body=body: [body], None, at) for kind, at, body in parts]  # type: ignore[misc]
    return archive.client().post(path, content=b"".join(write(outgoing, "b")), headers=MULTIPART)


def kept(archive: Any, ds: Dataset) -> Dataset:
    """What is given back."""
    url = (
        f"/dicomweb/studies/{ds.StudyInstanceUID}/series/{ds.SeriesInstanceUID}/instances/{ds.SOPInstanceUID}"
    )
    answer = archive.client().get(url, headers={"Accept": "application/dicom; transfer-syntax=*"})
    assert answer.status_code == 200
    return pydicom.dcmread(BytesIO(answer.content))


@pytest.mark.parametrize(
    ("uri", "location"),
    [
        ("bulk/", "bulk/7FE00010"),
        ("http://testserver/bulk/", "/bulk/7FE00010"),
        ("http://testserver/bulk/", "http://testserver/bulk/7FE00010"),
        ("/dicomweb/a%20b/", "/dicomweb/a b/7FE00010"),
    ],
)
def test_metadata_and_bulk_data(archive: Any, uri: str, location: str) -> None:
    ds = samples.instance(rows=256, columns=256)
    answer = post(archive, (JSON, "", metadata(ds, uri=uri)), (OCTETS, location, ds.PixelData))
    assert answer.status_code == 200
    assert answer.json()["00081199"]["Value"][0]["00081155"]["Value"] == [ds.SOPInstanceUID]
    again = kept(archive, ds)
    assert again == ds
    assert again.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"


def test_several_instances_whose_bulk_data_come_in_any_order(archive: Any) -> None:
    objects = [samples.instance(number=n, pixels=np.full((64, 64), n)) for n in (1, 2, 3)]
    said = [metadata(ds, uri=f"{n}/") for n, ds in enumerate(objects)]
    bulk = [(OCTETS, f"{n}/7FE00010", ds.PixelData) for n, ds in enumerate(objects)]
    answer = post(archive, *bulk[1:], *((JSON, "", one) for one in said), bulk[0])
    assert answer.status_code == 200
    for ds in objects:
        assert kept(archive, ds) == ds


def test_frames_that_are_compressed(archive: Any) -> None:
    syntax = "1.2.840.10008.1.2.4.80"
    ds = samples.multiframe(frames=3, transfer_syntax=syntax)
    frames = pydicom.encaps.generate_frames(ds.PixelData, number_of_frames=3)
    parts = [(f"image/jls; transfer-syntax={syntax}", "bulk/7FE00010", frame) for frame in frames]
    assert post(archive, (JSON, "", metadata(ds)), *parts).status_code == 200
    again = kept(archive, ds)
    assert again.file_meta.TransferSyntaxUID == syntax
    assert (again.pixel_array == ds.pixel_array).all()


def test_a_document_and_a_content_id(archive: Any) -> None:
    ds = samples.document()
    said = metadata(ds, uri="cid:").replace(b"cid:00420011", b"cid:pdf@x")
    body = b"".join(
        (
            b"--b\r\nContent-Type: application/dicom+json\r\n\r\n" + said,
            b"\r\n--b\r\nContent-Type: application/pdf\r\nContent-ID: <pdf@x>\r\n\r\n"
            + ds.EncapsulatedDocument,
            b"\r\n--b--\r\n",
        )
    )
    answer = archive.client().post("/dicomweb/studies", content=body, headers=MULTIPART)
    assert answer.status_code == 200
    assert kept(archive, ds).EncapsulatedDocument.startswith(ds.EncapsulatedDocument)


def test_metadata_alone_with_what_stands_in_line(archive: Any) -> None:
    ds = samples.instance(rows=16, columns=16)
    said = ds.to_json_dict()
    said["7FE00010"] = {"vr": "OW", "InlineBinary": base64.b64encode(ds.PixelData).decode()}
    answer = archive.client().post(
        "/dicomweb/studies", content=json.dumps([said]), headers={"Content-Type": JSON}
    )
    assert answer.status_code == 200
    assert kept(archive, ds) == ds


def test_bulk_data_that_are_long_come_in_small_pieces(archive: Any) -> None:
    ds = samples.multiframe(frames=12, rows=512, columns=512)
    parts = [
        Outgoing(JSON, lambda: [metadata(ds)]),
        Outgoing(OCTETS, lambda: [ds.PixelData], None, "bulk/7FE00010"),
    ]
    body = b"".join(write(parts, "b"))
    pieces = (body[at : at + 70_001] for at in range(0, len(body), 70_001))
    assert archive.client().post("/dicomweb/studies", content=pieces, headers=MULTIPART).status_code == 200
    assert kept(archive, ds).PixelData == ds.PixelData
    assert list((archive.home / "store" / "spool").iterdir()) == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"7FE00010": {"vr": "OW", "BulkDataURI": "http://elsewhere/secret"}}, 0xC000),
        ({"00280010": {"vr": "US", "Value": ["many"]}}, 0xC000),
        ({"00280010": "512"}, 0xC000),
        ({"0020000D": {"vr": "UI"}}, 0xC000),
        ({"0020000D": {"vr": "UI", "Value": ["1.2.3"]}}, 0xA901),
    ],
)
def test_one_that_cannot_be_stored_is_refused_alone(archive: Any, change: Any, reason: int) -> None:
    good, bad = samples.instance(number=1), samples.instance(number=2)
    said = json.loads(metadata(good, bad))
    said[1] |= change
    answer = post(
        archive,
        (JSON, "", json.dumps(said).encode()),
        (OCTETS, "bulk/7FE00010", good.PixelData),
        path=f"/dicomweb/studies/{good.StudyInstanceUID}",
    )
    assert answer.status_code == 202
    (failure,) = (answer.json().get("00081198") or answer.json()["0008119A"])["Value"]
    assert failure["00081197"]["Value"] == [reason]
    assert failure["00000902"]["Value"]
    assert len(archive.client().get("/dicomweb/instances").json()) == 1
    assert kept(archive, good) == good


@pytest.mark.parametrize("kind", ["video/mp4", "image/jxl"])
def test_compressed_data_of_no_known_kind_are_refused(archive: Any, kind: str) -> None:
    ds = samples.instance()
    answer = post(archive, (JSON, "", metadata(ds)), (kind, "bulk/7FE00010", b"x"))
    assert answer.status_code in (200, 409)
    assert (answer.status_code == 409) == (kind == "video/mp4")
