"""Entity tags, conditions and ranges (RFC 9110 §13 and §14): the header fields, and every resource that has them."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import ExplicitVRLittleEndian, JPEGLSLossless

from kahu.server.dicomweb.conditions import NOTHING, Span, span, tag, verdict
from kahu.testing import samples

BODY = bytes(range(100))


@pytest.mark.parametrize(
    ("said", "part"),
    [
        ("bytes=0-0", Span(0, 1)),
        ("bytes=0-49", Span(0, 50)),
        ("bytes=50-", Span(50, 100)),
        ("bytes=-10", Span(90, 100)),
        ("bytes=-1000", Span(0, 100)),
        ("bytes=99-1000", Span(99, 100)),
        ("Bytes = 1-2 ", Span(1, 3)),
        ("bytes=100-", NOTHING),
        ("bytes=-0", NOTHING),
        ("bytes=5-4", None),
        ("bytes=-", None),
        ("bytes=0-1,5-6", None),
        ("bytes=x-", None),
        ("lines=0-1", None),
        ("", None),
    ],
)
def test_the_part_that_a_range_names(said: str, part: Span | None) -> None:
    assert span({"range": said}, "", 100) == part


@given(
    st.integers(1, 500),
    st.text(alphabet="0123456789-=,bytes ", max_size=20),
    st.integers(0, 600),
    st.integers(0, 600),
)
def test_a_range_never_leaves_the_body(length: int, noise: str, first: int, last: int) -> None:
    for said in (noise, f"bytes={noise}", f"bytes={first}-{last}", f"bytes={first}-", f"bytes=-{last}"):
        part = span({"range": said}, "", length)
        assert part is None or part is NOTHING or 0 <= part.start < part.stop <= length


@pytest.mark.parametrize(
    ("headers", "entity", "status"),
    [
        ({}, '"a"', None),
        ({"if-none-match": '"a"'}, '"a"', 304),
        ({"if-none-match": 'W/"a"'}, '"a"', 304),
        ({"if-none-match": '"b", W/"a"'}, 'W/"a"', 304),
        ({"if-none-match": "*"}, '"a"', 304),
        ({"if-none-match": '"b"'}, '"a"', None),
        ({"if-none-match": '""'}, "", None),
        ({"if-match": '"a"'}, '"a"', None),
        ({"if-match": "*"}, '"a"', None),
        ({"if-match": '"b"'}, '"a"', 412),
        ({"if-match": 'W/"a"'}, 'W/"a"', 412),
        ({"if-match": '"b"', "if-none-match": '"a"'}, '"a"', 412),
    ],
)
def test_conditions(headers: dict[str, str], entity: str, status: int | None) -> None:
    assert verdict(headers, entity) == status


def test_a_range_of_something_else_is_all_of_it() -> None:
    for condition, part in (
        ('"a"', Span(0, 1)),
        ('"b"', None),
        ('W/"a"', None),
        ("Tue, 01 Jan 2030 00:00:00 GMT", None),
    ):
        assert span({"range": "bytes=0-0", "if-range": condition}, '"a"', 100) == part


@given(st.lists(st.text() | st.integers()), st.lists(st.text() | st.integers()))
def test_tags_tell_facts_apart(one: list[object], other: list[object]) -> None:
    assert (tag(*one) == tag(*other)) == ([*map(str, one)] == [*map(str, other)] or _alike(one, other))
    assert tag(*one, weak=True) == f"W/{tag(*one)}"


def _alike(one: list[object], other: list[object]) -> bool:
    """Facts that hold the separator themselves."""
    return "\0".join(map(str, one)) == "\0".join(map(str, other))


# ------------------------------------------------------------------------------------ every resource

COMPRESSED = samples.instance(transfer_syntax=JPEGLSLossless)
PLAIN = samples.instance(patient_id="P-2")
DOCUMENT = samples.document(patient_id="P-3")


def below(ds: Any, level: int = 3) -> str:
    uids = (
        ("studies", ds.StudyInstanceUID),
        ("series", ds.SeriesInstanceUID),
        ("instances", ds.SOPInstanceUID),
    )
    return "/dicomweb" + "".join(f"/{name}/{uid}" for name, uid in uids[:level])


RESOURCES = [
    (below(PLAIN), "application/dicom"),
    (below(PLAIN), "*/*"),
    (below(PLAIN), f"application/dicom; transfer-syntax={JPEGLSLossless}"),
    (below(PLAIN, 2), "*/*"),
    (below(PLAIN, 1), "*/*"),
    (below(PLAIN) + "/frames/1", "application/octet-stream"),
    (below(PLAIN) + "/frames/1", "*/*"),
    (below(COMPRESSED) + "/frames/1", "image/jls"),
    (below(COMPRESSED) + "/frames/1", "application/octet-stream"),
    (below(COMPRESSED) + "/bulkdata/7FE00010", "*/*"),
    (below(PLAIN) + "/bulkdata/7FE00010", "application/octet-stream"),
    (below(DOCUMENT) + "/bulkdata/00420011", "application/pdf"),
    (below(DOCUMENT) + "/rendered", "application/pdf"),
    (below(PLAIN) + "/rendered", "image/png"),
    (below(PLAIN) + "/thumbnail", "image/jpeg"),
    (below(PLAIN, 2) + "/thumbnail", "image/jpeg"),
    (below(PLAIN) + "/metadata", "application/dicom+json"),
    (below(PLAIN, 1) + "/metadata", "application/dicom+json"),
]
RANGED = [
    one
    for one in RESOURCES
    if one[1] in ("application/dicom", "application/octet-stream", "application/pdf", "image/jls")
]


@pytest.fixture(scope="module")
def door(shared_archive: Any) -> Any:
    shared_archive.add(COMPRESSED, PLAIN, DOCUMENT)
    return shared_archive.client()


@pytest.mark.parametrize(("path", "accept"), RESOURCES)
def test_what_the_client_has_is_not_sent_again(door: Any, path: str, accept: str) -> None:
    first = door.get(path, headers={"Accept": accept})
    assert first.status_code == 200
    again = door.get(path, headers={"Accept": accept, "If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert door.get(path, headers={"Accept": accept, "If-None-Match": '"other"'}).status_code == 200


@pytest.mark.parametrize(("path", "accept"), RESOURCES)
def test_head_is_get_without_the_body(door: Any, path: str, accept: str) -> None:
    get, head = (door.request(method, path, headers={"Accept": accept}) for method in ("GET", "HEAD"))
    assert (head.status_code, head.content) == (200, b"")
    for name in ("etag", "vary", "accept-ranges"):
        assert head.headers.get(name) == get.headers.get(name), name
    kinds = [answer.headers["content-type"].partition("boundary=")[0] for answer in (head, get)]
    assert kinds[0] == kinds[1]
    if "content-length" in head.headers:
        assert head.headers["content-length"] == get.headers["content-length"]


def test_no_two_resources_share_an_entity_tag(door: Any) -> None:
    tags = [door.head(path, headers={"Accept": accept}).headers["etag"] for path, accept in RESOURCES]
    assert len({one.removeprefix("W/") for one in tags}) == len(tags)


@pytest.mark.parametrize(("path", "accept"), RANGED)
def test_a_body_can_be_had_in_parts(door: Any, path: str, accept: str) -> None:
    whole = door.get(path, headers={"Accept": accept})
    length = len(whole.content)
    assert whole.headers["accept-ranges"] == "bytes"
    joined = b""
    for said, part in ((f"bytes=0-{length // 3}", None), (f"bytes={length // 3 + 1}-", None)):
        answer = door.get(path, headers={"Accept": accept, "Range": said, "If-Range": whole.headers["etag"]})
        assert (answer.status_code, part) == (206, None)
        start = len(joined)
        joined += answer.content
        assert answer.headers["content-range"] == f"bytes {start}-{len(joined) - 1}/{length}"
        assert int(answer.headers["content-length"]) == len(answer.content)
    assert joined == whole.content
    beyond = door.get(path, headers={"Accept": accept, "Range": f"bytes={length}-"})
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{length}")
    stale = door.get(path, headers={"Accept": accept, "Range": "bytes=0-1", "If-Range": '"other"'})
    assert (stale.status_code, stale.content) == (200, whole.content)
    assert door.get(path, headers={"Accept": accept, "If-Match": '"other"'}).status_code == 412


def test_parts_of_a_large_object_are_those_of_its_file(archive: Any) -> None:
    large = samples.instance(rows=2048, columns=2048)
    archive.add(large)
    file = samples.encode(large)
    client = archive.client()
    for start, stop in ((0, len(file)), (3, len(file) - 1), (1 << 20, (1 << 20) + 5), (5, 6 << 20)):
        headers = {"Accept": "application/dicom", "Range": f"bytes={start}-{stop - 1}"}
        assert client.get(below(large), headers=headers).content == file[start:stop]


def test_another_file_has_another_tag(archive: Any) -> None:
    first = samples.instance()
    archive.add(first)
    client, headers = archive.client(), {"Accept": "application/dicom"}
    tags = [client.head(below(first) + path).headers["etag"] for path in ("", "/metadata", "/rendered")]
    changed = samples.instance(attributes={"SeriesDescription": "another"})
    archive.add(changed)
    assert client.get(below(first), headers=headers).content == samples.encode(changed)
    after = [client.head(below(first) + path).headers["etag"] for path in ("", "/metadata", "/rendered")]
    assert not set(tags) & set(after)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_resumes_a_download_that_broke_off(archive: Any, tmp_path: Path) -> None:
    ds = samples.instance(rows=512, columns=512)
    archive.add(ds)
    file, target = samples.encode(ds), tmp_path / "ct.dcm"
    target.write_bytes(file[:1000])
    with archive.served() as url:
        path = url + below(ds).removeprefix("/dicomweb")
        command = [
            "curl",
            "-sf",
            "--noproxy",
            "*",
            "-C",
            "-",
            "-H",
            "Accept: application/dicom",
            "-o",
            str(target),
            path,
        ]
        subprocess.run(command, check=True, timeout=30)
    assert target.read_bytes() == file


def test_transcoded_objects_say_what_they_are(door: Any) -> None:
    for syntax in (ExplicitVRLittleEndian, JPEGLSLossless):
        accept = f'multipart/related; type="application/dicom"; transfer-syntax={syntax}'
        answer = door.get(below(PLAIN, 1), headers={"Accept": accept})
        assert f"application/dicom; transfer-syntax={syntax}".encode() in answer.content
