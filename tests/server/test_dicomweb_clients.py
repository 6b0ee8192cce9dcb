"""The door on a real port, with a client that others wrote; and with clients that behave badly."""

import socket
import threading
import urllib.request
from collections.abc import Iterator
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from dicomweb_client.api import DICOMwebClient
from pydicom import Dataset, dcmread
from pydicom.uid import JPEGLSLossless

from kahu.testing import samples

ct = [samples.instance(number=n) for n in (1, 2)]
enhanced = samples.multiframe(frames=3, transfer_syntax=JPEGLSLossless, patient_id="P-2")
document = samples.document(patient_id="P-3")


def uids(ds: Dataset) -> tuple[str, str, str]:
    return str(ds.StudyInstanceUID), str(ds.SeriesInstanceUID), str(ds.SOPInstanceUID)


@pytest.fixture(scope="module")
def url(shared_archive: Any) -> Iterator[str]:
    shared_archive.add(*ct, enhanced, document)
    with shared_archive.served() as url:
        yield url


@pytest.fixture
def client(url: str) -> DICOMwebClient:
    return DICOMwebClient(url)


def test_it_searches(client: DICOMwebClient) -> None:
    studies = client.search_for_studies(search_filters={"PatientID": "P-1"}, fields=["StudyDescription"])
    assert [Dataset.from_json(study).StudyInstanceUID for study in studies] == [ct[0].StudyInstanceUID]
    (series,) = client.search_for_series(ct[0].StudyInstanceUID)
    assert Dataset.from_json(series).NumberOfSeriesRelatedInstances == 2
    found = client.search_for_instances(ct[0].StudyInstanceUID, limit=1, offset=1)
    assert [Dataset.from_json(one).SOPInstanceUID for one in found] == [ct[1].SOPInstanceUID]
    assert client.search_for_studies(search_filters={"PatientID": "nobody"}) == []


def test_it_retrieves_objects(client: DICOMwebClient) -> None:
    study, series, instance = uids(ct[0])
    assert client.retrieve_instance(study, series, instance) == ct[0]
    assert client.retrieve_series(study, series) == ct
    assert list(client.iter_series(study, series)) == ct
    assert client.retrieve_study(study) == ct
    as_kept = client.retrieve_instance(*uids(enhanced), media_types=(("application/dicom", "*"),))
    assert as_kept.PixelData == enhanced.PixelData


def test_it_retrieves_metadata_and_bulk_data(client: DICOMwebClient) -> None:
    (metadata,) = client.retrieve_study_metadata(document.StudyInstanceUID)
    (pdf,) = client.retrieve_bulkdata(metadata["00420011"]["BulkDataURI"])
    assert pdf.rstrip(b"\0") == document.EncapsulatedDocument
    assert len(client.retrieve_series_metadata(*uids(ct[0])[:2])) == 2
    assert client.retrieve_instance_metadata(*uids(ct[1]))["00200013"]["Value"] == [2]


def test_it_retrieves_frames(client: DICOMwebClient) -> None:
    plain = samples.multiframe(frames=3, patient_id="P-2").PixelData
    size = len(plain) // 3
    frames = client.retrieve_instance_frames(*uids(enhanced), [1, 3])
    assert frames == [plain[:size], plain[2 * size :]]
    kept = client.retrieve_instance_frames(*uids(enhanced), [2], media_types=(("image/jls", JPEGLSLossless),))
    assert kept[0].startswith(b"\xff\xd8")


def test_it_retrieves_pictures(client: DICOMwebClient) -> None:
    rendered = client.retrieve_instance_rendered(*uids(ct[0]), media_types=("image/png",))
    assert rendered.startswith(b"\x89PNG")
    assert (
        client.retrieve_instance_frames_rendered(*uids(enhanced), [2], media_types=("image/jpeg",))[:2]
        == b"\xff\xd8"
    )
    assert client.retrieve_series_rendered(*uids(ct[0])[:2], media_types=("image/jpeg",))[:2] == b"\xff\xd8"


def test_it_stores(client: DICOMwebClient) -> None:
    objects = [samples.instance(number=n, patient_id="P-9") for n in (1, 2)]
    for ds in objects:
        ds.preamble = bytes(128)
    answer = client.store_instances(objects)
    assert [item.ReferencedSOPInstanceUID for item in answer.ReferencedSOPSequence] == [
        ds.SOPInstanceUID for ds in objects
    ]
    assert client.retrieve_series(*uids(objects[0])[:2]) == objects


def test_sixty_four_readers_that_do_not_read_block_nobody(archive: Any) -> None:
    large = [samples.instance(number=n, pixels=np.zeros((2048, 2048))) for n in range(1, 5)]
    archive.add(*large)
    study, series, _ = uids(large[0])
    with archive.served() as url:
        address = urlsplit(url)
        request = (
            f"GET {address.path}/studies/{study}/series/{series} HTTP/1.1\r\nHost: {address.netloc}\r\n\r\n"
        )
        slow = []
        for _ in range(64):
            connection = socket.create_connection((address.hostname, address.port))
            connection.sendall(request.encode())
            slow.append(connection)
        heads = [connection.recv(12) for connection in slow]  # all are being answered, none is read
        assert heads == [b"HTTP/1.1 200"] * 64
        for _ in range(20):
            with urllib.request.urlopen(f"{url}/studies", timeout=20) as answer:
                assert answer.status == 200
        (one, *rest) = slow
        with one, one.makefile("rb") as file:
            body = file.read(4 * large[0].Rows * large[0].Columns)
        assert samples.encode(large[0]) in body
        for connection in rest:
            connection.close()


def test_a_store_that_hangs_lets_everyone_else_through(archive: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    archive.add(*ct)
    hang = threading.Event()
    store = archive.places.store(archive.places.add("folder", str(archive.folder)).id)

    def read(*_: object) -> bytes:
        hang.wait()
        raise AssertionError("nobody waits any more")

    study, series, instance = uids(ct[0])
    with archive.served() as url:
        body = samples.encode(samples.instance(patient_id="P-9"))
        stored = urllib.request.Request(f"{url}/studies", body, {"Content-Type": "application/dicom"})
        urllib.request.urlopen(stored, timeout=20).close()
        monkeypatch.setattr(store, "read", read)
        address = urlsplit(url)
        frame = f"{address.path}/studies/{study}/series/{series}/instances/{instance}/frames/1"
        waiting = []
        for _ in range(64):
            connection = socket.create_connection((address.hostname, address.port))
            connection.sendall(f"GET {frame} HTTP/1.1\r\nHost: {address.netloc}\r\n\r\n".encode())
            waiting.append(connection)
        other = samples.instance(patient_id="P-9")
        own = "/studies/{}/series/{}/instances/{}/frames/1".format(*uids(other))
        for path in ("/studies", own, f"/studies/{study}/series/{series}/metadata"):
            with urllib.request.urlopen(url + path, timeout=20) as answer:
                assert answer.status == 200
        for connection in waiting:
            connection.close()
        hang.set()


def test_what_is_read_whole_is_what_was_stored(url: str) -> None:
    path = "/studies/{}/series/{}/instances/{}".format(*uids(ct[0]))
    request = urllib.request.Request(url + path, headers={"Accept": "application/dicom"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert dcmread(BytesIO(answer.read())) == ct[0]
