"""STOW-RS through the door: what is sent is kept bit for bit, and each instance is told how it fared."""

import asyncio
import errno
import gzip
import os
import time
import zlib
from collections.abc import Callable
from io import BytesIO
from typing import Any

import pydicom
import pytest
import zstandard
from pydicom import Dataset

from kahu.access import Grant
from kahu.catalog import conflicts
from kahu.catalog.arrive import MOST_ASIDE, Received
from kahu.dicom.multipart import Outgoing, media_type, read_parts, write
from kahu.server.dicomweb.outcomes import CANNOT_UNDERSTAND, DUPLICATE_UID, OUT_OF_RESOURCES, Failure
from kahu.server.dicomweb.stow import answer
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
    _, document = answer(url, [], [Failure(CANNOT_UNDERSTAND, comment="it has no StudyInstanceUID")])
    (said,) = document["0008119A"]["Value"]
    assert said["00000902"] == {"vr": "LO", "Value": ["it has no StudyInstanceUID"]}


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


def test_the_same_object_written_anew_is_the_same(archive: Any) -> None:
    """As DCMTK does when it sends: sequences with a length that had none, no blanks at the end."""
    ds = samples.instance(description="HEAD    ")
    ds.RequestAttributesSequence = [Dataset()]
    ds.RequestAttributesSequence[0].ScheduledProcedureStepID = "S-1"
    first = samples.encode(ds)
    ds.SeriesDescription = "HEAD"
    ds["RequestAttributesSequence"].is_undefined_length = True
    anew = samples.encode(ds)
    client = archive.client()
    for data in (first, anew):
        assert client.post("/dicomweb/studies", content=data, headers=DICOM).status_code == 200
    assert given_back(archive, ds) == first != anew
    assert len(list((archive.home / "store").rglob("*.dcm"))) == 1


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


def test_a_series_takes_objects_of_its_own_study_only(archive: Any) -> None:
    """Else they would be shown in a study that is not theirs, perhaps another patient's."""
    ds, more, other, last = (samples.instance(number=number) for number in (1, 2, 3, 4))
    for one in (other, last):
        one.StudyInstanceUID, one.PatientID = samples.instance(patient_id="P-2").StudyInstanceUID, "P-2"
    first = archive.client().post("/dicomweb/studies", content=samples.encode(ds), headers=DICOM)
    assert first.status_code == 200
    body = message(*map(samples.encode, (other, more)))
    answer = archive.client().post("/dicomweb/studies", content=body, headers=MULTIPART)
    assert answer.status_code == 202
    again = archive.client().post("/dicomweb/studies", content=samples.encode(last), headers=DICOM)
    assert again.status_code == 409
    for refused, uid in ((answer, other.SOPInstanceUID), (again, last.SOPInstanceUID)):
        (failure,) = refused.json()["00081198"]["Value"]
        assert failure["00081155"]["Value"] == [uid]
        assert failure["00081197"]["Value"] == [0xA901]
    assert len(archive.client().get("/dicomweb/instances").json()) == 2


def test_what_is_no_dicom_among_what_is(archive: Any) -> None:
    body = message(b"not DICOM", samples.encode(samples.instance()), b"")
    answer = archive.client().post("/dicomweb/studies", content=body, headers=MULTIPART)
    assert answer.status_code == 202
    assert len(answer.json()["00081199"]["Value"]) == 1
    failed = answer.json()["0008119A"]["Value"]
    assert [one["00081197"]["Value"] for one in failed] == [[0xC000], [0xC000]]
    assert [one["00000902"]["Value"] for one in failed] == [["not a DICOM file"], ["an empty file"]]
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
        (b"[]", {"Content-Type": "application/dicom+json"}, 400),
        (b"[1]", {"Content-Type": "application/dicom+json"}, 400),
        (b"{", {"Content-Type": "application/dicom+json"}, 400),
        (b"", {"Content-Type": 'multipart/related; type="application/dicom+json"; boundary=b'}, 400),
        (b"", {"Content-Type": 'multipart/related; type="application/dicom+xml"; boundary=b'}, 415),
        (b"", {"Content-Type": "multipart/form-data; boundary=b"}, 415),
        (b"", {**DICOM, "Content-Encoding": "br"}, 415),
        (b"no gzip", {**DICOM, "Content-Encoding": "gzip"}, 400),
        (b"no zstd", {**DICOM, "Content-Encoding": "zstd"}, 400),
        (gzip.compress(b"x" * 999)[:-9], {**DICOM, "Content-Encoding": "gzip"}, 400),
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


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
@pytest.mark.parametrize("call", ["fsync", "rename"])
def test_a_disk_that_is_full_or_read_only_is_507(
    archive: Any, monkeypatch: pytest.MonkeyPatch, number: int, call: str
) -> None:
    def fails(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, call, fails)
    body = samples.encode(samples.instance())
    answer = archive.client().post("/dicomweb/studies", content=body, headers=DICOM)
    assert answer.status_code == 507
    (failure,) = (answer.json().get("00081198") or answer.json()["0008119A"])["Value"]
    assert failure["00081197"]["Value"] == [0xA700]
    assert failure["00000902"]["Value"]
    monkeypatch.undo()
    assert archive.client().get("/dicomweb/instances").json() == []
    assert not any(path.is_file() for path in (archive.home / "store").rglob("*"))


def test_many_objects_in_one_request_and_each_is_told(archive: Any) -> None:
    objects = [samples.instance(number=n, rows=16, columns=16) for n in range(1, 151)]
    other = samples.instance(number=7, rows=16, columns=16, attributes={"WindowCenter": "1"})
    body = message(*map(samples.encode, objects), samples.encode(objects[0]), samples.encode(other), b"no")
    answer = archive.client().post("/dicomweb/studies", content=body, headers=MULTIPART)
    assert answer.status_code == 202
    stored = [one["00081155"]["Value"][0] for one in answer.json()["00081199"]["Value"]]
    assert sorted(stored) == sorted([str(ds.SOPInstanceUID) for ds in objects] + [objects[0].SOPInstanceUID])
    assert [one["00081197"]["Value"] for one in answer.json()["00081198"]["Value"]] == [[0x0111]]
    assert len(archive.client().get("/dicomweb/instances").json()) == 150


def bare(ds: Dataset, *, implicit: bool, little: bool) -> bytes:
    """A data set without preamble and file meta information."""
    out = BytesIO()
    pydicom.dcmwrite(out, Dataset(ds), implicit_vr=implicit, little_endian=little)
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "syntax"),
    [
        (bare(samples.instance(), implicit=True, little=True), "1.2.840.10008.1.2"),
        (bare(samples.instance(), implicit=False, little=True), "1.2.840.10008.1.2.1"),
        (
            bare(samples.instance(transfer_syntax="1.2.840.10008.1.2.2"), implicit=False, little=False),
            "1.2.840.10008.1.2.2",
        ),
        (samples.encode(samples.instance())[132:], "1.2.840.10008.1.2.1"),
        (samples.encode(samples.document()), "1.2.840.10008.1.2.1"),
        (samples.encode(samples.instance(attributes={"SOPClassUID": "1.2.3.4"})), "1.2.840.10008.1.2.1"),
        (samples.encode(samples.instance(attributes={"PixelData": None})), "1.2.840.10008.1.2.1"),
    ],
    ids=["implicit", "explicit", "big endian", "no preamble", "document", "private class", "no pixels"],
)
def test_any_form_of_file_is_given_back_as_it_came(archive: Any, data: bytes, syntax: str) -> None:
    client = archive.client()
    answer = client.post("/dicomweb/studies", content=data, headers=DICOM)
    assert answer.status_code == 200
    (stored,) = answer.json()["00081199"]["Value"]
    url = stored["00081190"]["Value"][0]
    accept = 'multipart/related; type="application/dicom"; transfer-syntax=*'
    given = client.get(url, headers={"Accept": accept})
    (part,) = read_parts([given.content], given.headers["content-type"])
    assert part.body == data
    assert syntax in part.content_type or syntax == "1.2.840.10008.1.2.1"


@pytest.mark.parametrize("coding", ["gzip", "deflate", "zstd"])
def test_a_compressed_body(archive: Any, coding: str) -> None:
    objects = [samples.multiframe(frames=12, rows=256, columns=256), samples.instance()]
    body = message(*map(samples.encode, objects))
    compress: dict[str, Callable[[bytes], bytes]] = {
        "gzip": lambda data: gzip.compress(data[:999]) + gzip.compress(data[999:]),
        "deflate": zlib.compress,
        "zstd": lambda data: zstandard.compress(data[:999]) + zstandard.compress(data[999:]),
    }
    packed = compress[coding](body)
    pieces = (packed[at : at + 10_001] for at in range(0, len(packed), 10_001))
    headers = MULTIPART | {"Content-Encoding": coding}
    assert archive.client().post("/dicomweb/studies", content=pieces, headers=headers).status_code == 200
    for ds in objects:
        assert given_back(archive, ds) == samples.encode(ds)


@pytest.mark.parametrize(
    ("accept", "given"),
    [
        ("application/dicom+json", "application/dicom+json"),
        ("application/json", "application/json"),
        ("*/*", "application/dicom+json"),
        ("application/dicom+xml, */*;q=0.1", "application/dicom+json"),
        ("application/dicom+xml", ""),
    ],
)
def test_the_answer_is_json(archive: Any, accept: str, given: str) -> None:
    body = samples.encode(samples.instance())
    answer = archive.client().post("/dicomweb/studies", content=body, headers=DICOM | {"Accept": accept})
    assert answer.status_code == (200 if given else 406)
    assert not given or answer.headers["content-type"] == given
    assert len(archive.client().get("/dicomweb/instances").json()) == bool(given)


def test_contradictions_are_kept_aside_up_to_a_number(archive: Any) -> None:
    client = archive.client()
    others = [samples.instance(attributes={"WindowCenter": str(n)}) for n in range(MOST_ASIDE + 3)]
    for ds in (*others, *others):
        answer = client.post("/dicomweb/studies", content=samples.encode(ds), headers=DICOM)
        assert answer.status_code == (200 if ds is others[0] else 409)
    assert "not kept" in answer.json()["00081198"]["Value"][0]["00000902"]["Value"][0]
    with archive.database.read() as db:
        assert len(conflicts.all_of(db)) == MOST_ASIDE
    assert len(list((archive.home / "store").rglob("*.dcm"))) == MOST_ASIDE + 1


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
        "scheme": "http",
        "path": "/dicomweb/studies",
        "query_string": b"",
        "headers": [(b"content-type", MULTIPART["Content-Type"].encode()), (b"host", b"testserver")],
    }

    async def receive() -> Any:
        return pieces.pop(0)

    async def send(_message: Any) -> None:
        pass

    asyncio.run(archive.app()(scope, receive, send))
    spool = archive.home / "store" / "spool"
    empty, until = 0, time.monotonic() + 10
    while (
        empty < 10 and time.monotonic() < until
    ):  # what is being written, or about to be, is removed after that
        empty = 0 if any(spool.iterdir()) else empty + 1
        time.sleep(0.02)
    assert empty == 10
    assert archive.client().get("/dicomweb/studies").json() == []
