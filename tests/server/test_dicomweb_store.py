"""STOW-RS through the door: what is sent is kept bit for bit, and each instance is told how it fared."""

import asyncio
import errno
from typing import Any

import pytest
from pydicom import Dataset

from kahu.access import Grant
from kahu.catalog.arrive import Received
from kahu.dicom.multipart import Outgoing, media_type, write
from kahu.errors import StorageFull
from kahu.server.dicomweb.stow import CANNOT_UNDERSTAND, DUPLICATE_UID, OUT_OF_RESOURCES, Failure, answer
from kahu.testing import samples

DICOM = {"Content-Type": "application/dicom"}
MULTIPART = {"Content-Type": media_type("application/dicom", "b")}
CT = "1.2.840.10008.5.1.4.1.1.2"


def message(*bodies: bytes) -> bytes:
    parts = [Outgoing("application/dicom", lambda body=body: [body]) for body in bodies]  # type: ignore[misc]
    return b"".join(write(parts, "b"))


def url(study: str, series: str = "", instance: str = "") -> str:
    return f"/{study}/{series}/{instance}"


def retrieve_url(ds: Dataset) -> str:
    return (
        f"http://testserver/dicomweb/studies/{ds.StudyInstanceUID}/series/{ds.SeriesInstanceUID}"
        f"/instances/{ds.SOPInstanceUID}"
    )


def given_back(archive: Any, ds: Dataset) -> bytes:
    answer = archive.client().get(retrieve_url(ds), headers={"Accept": "application/dicom"})
    assert answer.status_code == 200
    body: bytes = answer.content
    return body


def test_the_answer_when_all_are_stored() -> None:
    received = [
        Received(CT, "1.3", "1.1", "1.2", duplicate=False),
        Received(CT, "1.4", "1.1", "1.2", duplicate=True),
    ]
    assert answer(url, received, []) == (
        200,
        {
            "00081190": {"vr": "UR", "Value": ["/1.1//"]},
            "00081199": {
                "vr": "SQ",
                "Value": [
                    {
                        "00081150": {"vr": "UI", "Value": [CT]},
                        "00081155": {"vr": "UI", "Value": [uid]},
                        "00081190": {"vr": "UR", "Value": [f"/1.1/1.2/{uid}"]},
                    }
                    for uid in ("1.3", "1.4")
                ],
            },
        },
    )


def test_the_answer_when_some_are_not() -> None:
    failures = [Failure(DUPLICATE_UID, CT, "1.5"), Failure(CANNOT_UNDERSTAND)]
    failed = {
        "00081198": {
            "vr": "SQ",
            "Value": [
                {
                    "00081150": {"vr": "UI", "Value": [CT]},
                    "00081155": {"vr": "UI", "Value": ["1.5"]},
                    "00081197": {"vr": "US", "Value": [0x0111]},
                }
            ],
        },
        "0008119A": {"vr": "SQ", "Value": [{"00081197": {"vr": "US", "Value": [0xC000]}}]},
    }
    assert answer(url, [], failures) == (409, failed)
    status, document = answer(url, [Received(CT, "1.3", "1.1", "1.2", duplicate=False)], failures)
    assert status == 202
    assert {tag: document[tag] for tag in failed} == failed
    assert answer(url, [], [Failure(OUT_OF_RESOURCES)])[0] == 507


@pytest.mark.parametrize("syntax", samples.TRANSFER_SYNTAXES)
def test_one_object_as_it_is(archive: Any, syntax: str) -> None:
    ds = samples.instance(transfer_syntax=syntax)
    body = samples.encode(ds)
    answer = archive.client().post("/dicomweb/studies", content=body, headers=DICOM)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/dicom+json"
    (stored,) = answer.json()["00081199"]["Value"]
    assert stored["00081190"]["Value"] == [retrieve_url(ds)]
    assert given_back(archive, ds) == body


@pytest.mark.parametrize(
    "content_type",
    [
        'multipart/related; type="application/dicom"; boundary=b',
        'multipart/related; type="application/dicom"; boundary="b"',
        "multipart/related; boundary=b; type=application/dicom",
        "multipart/related; boundary=b",
    ],
)
def test_several_objects_in_one_request(archive: Any, content_type: str) -> None:
    objects = [samples.instance(number=n) for n in (1, 2, 3)]
    answer = archive.client().post(
        "/dicomweb/studies",
        content=message(*map(samples.encode, objects)),
        headers={"Content-Type": content_type},
    )
    assert answer.status_code == 200
    assert len(answer.json()["00081199"]["Value"]) == 3
    for ds in objects:
        assert given_back(archive, ds) == samples.encode(ds)


def test_a_large_object_that_comes_in_small_pieces(archive: Any) -> None:
    ds = samples.multiframe(frames=6, rows=512, columns=512)
    body = message(samples.encode(ds), samples.encode(samples.instance()))
    pieces = (body[at : at + 70_001] for at in range(0, len(body), 70_001))
    assert archive.client().post("/dicomweb/studies", content=pieces, headers=MULTIPART).status_code == 200
    assert given_back(archive, ds) == samples.encode(ds)
    assert list((archive.home / "store" / "spool").iterdir()) == []


def test_the_same_object_twice_is_one_object(archive: Any) -> None:
    ds, client = samples.instance(), archive.client()
    body = samples.encode(ds)
    for _ in range(2):
        assert client.post("/dicomweb/studies", content=body, headers=DICOM).status_code == 200
    assert len(client.get("/dicomweb/instances").json()) == 1


def test_another_object_of_the_same_uid_is_refused_and_the_first_stays(archive: Any) -> None:
    ds, other = samples.instance(), samples.instance(description="Other")
    other.SeriesInstanceUID, other.SOPInstanceUID = ds.SeriesInstanceUID, ds.SOPInstanceUID
    client = archive.client()
    assert client.post("/dicomweb/studies", content=samples.encode(ds), headers=DICOM).status_code == 200
    refused = client.post("/dicomweb/studies", content=samples.encode(other), headers=DICOM)
    assert refused.status_code == 409
    (failure,) = refused.json()["00081198"]["Value"]
    assert failure["00081155"]["Value"] == [ds.SOPInstanceUID]
    assert failure["00081197"]["Value"] == [0x0111]
    assert given_back(archive, ds) == samples.encode(ds)


def test_a_study_takes_its_own_objects_only(archive: Any) -> None:
    ds, other = samples.instance(), samples.instance(patient_id="P-2")
    answer = archive.client().post(
        f"/dicomweb/studies/{ds.StudyInstanceUID}",
        content=message(samples.encode(ds), samples.encode(other)),
        headers=MULTIPART,
    )
    assert answer.status_code == 202
    (failure,) = answer.json()["00081198"]["Value"]
    assert failure["00081155"]["Value"] == [other.SOPInstanceUID]
    assert failure["00081197"]["Value"] == [0xA901]
    assert len(archive.client().get("/dicomweb/instances").json()) == 1


def test_what_is_no_dicom_among_what_is(archive: Any) -> None:
    body = message(b"not DICOM", samples.encode(samples.instance()), b"")
    answer = archive.client().post("/dicomweb/studies", content=body, headers=MULTIPART)
    assert answer.status_code == 202
    assert len(answer.json()["00081199"]["Value"]) == 1
    assert answer.json()["0008119A"]["Value"] == [{"00081197": {"vr": "US", "Value": [0xC000]}}] * 2
    nothing = archive.client().post("/dicomweb/studies", content=b"not DICOM", headers=DICOM)
    assert nothing.status_code == 409


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"", MULTIPART, 400),
        (b"--b--\r\n", MULTIPART, 400),
        (b"nonsense", MULTIPART, 400),
        (b"--b\r\n\r\nhalf of", MULTIPART, 400),
        (b"--b\r\n\r\n\r\n--b--", {"Content-Type": "multipart/related; type=application/dicom"}, 400),
        (b"", {}, 415),
        (b"[]", {"Content-Type": "application/dicom+json"}, 415),
        (b"", {"Content-Type": 'multipart/related; type="application/dicom+json"; boundary=b'}, 415),
        (b"", {"Content-Type": "multipart/form-data; boundary=b"}, 415),
        (b"", {**DICOM, "Content-Encoding": "gzip"}, 415),
    ],
)
def test_requests_that_hold_nothing_to_store(
    archive: Any, body: bytes, headers: dict[str, str], status: int
) -> None:
    answer = archive.client().post("/dicomweb/studies", content=body, headers=headers)
    assert answer.status_code == status
    assert answer.json()["error"]


def test_what_came_whole_before_the_message_broke_is_kept_and_said(archive: Any) -> None:
    ds = samples.instance()
    body = message(samples.encode(ds), b"more")[:-10]
    answer = archive.client().post("/dicomweb/studies", content=body, headers=MULTIPART)
    assert answer.status_code == 202
    assert len(answer.json()["00081199"]["Value"]) == 1
    assert given_back(archive, ds) == samples.encode(ds)


@pytest.mark.parametrize("error", [StorageFull("the disk is full"), OSError(errno.EROFS, "read-only")])
def test_a_disk_that_is_full_or_read_only_is_507(
    archive: Any, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def full(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("kahu.catalog.arrive.receive", full)
    body = samples.encode(samples.instance())
    answer = archive.client().post("/dicomweb/studies", content=body, headers=DICOM)
    assert answer.status_code == 507
    assert answer.json()["0008119A"]["Value"] == [{"00081197": {"vr": "US", "Value": [0xA700]}}]


def test_who_may_not_write_stores_nothing(archive: Any) -> None:
    reader = archive.client(Grant(who="x", may=frozenset({"read"})))
    answer = reader.post("/dicomweb/studies", content=samples.encode(samples.instance()), headers=DICOM)
    assert answer.status_code == 403
    assert archive.client().get("/dicomweb/studies").json() == []


def test_what_a_task_delivers_is_seen_by_nobody_yet(archive: Any) -> None:
    task = archive.client(Grant(who="task:t", may=frozenset({"read", "write"}), task="t", attempt=1))
    answer = task.post("/dicomweb/studies", content=samples.encode(samples.instance()), headers=DICOM)
    assert answer.status_code == 200
    assert archive.client().get("/dicomweb/studies").json() == []
    assert task.get("/dicomweb/studies").json() == []


def test_a_client_that_leaves_in_the_middle_leaves_nothing_behind(archive: Any) -> None:
    body = message(samples.encode(samples.multiframe(frames=6, rows=512, columns=512)))[:2_000_000]
    pieces = [{"type": "http.request", "body": body, "more_body": True}, {"type": "http.disconnect"}]
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/dicomweb/studies",
        "query_string": b"",
        "headers": [(b"content-type", MULTIPART["Content-Type"].encode()), (b"host", b"testserver")],
    }

    async def receive() -> Any:
        return pieces.pop(0)

    async def send(_message: Any) -> None:
        pass

    asyncio.run(archive.app()(scope, receive, send))
    assert list((archive.home / "store" / "spool").iterdir()) == []
    assert archive.client().get("/dicomweb/studies").json() == []
