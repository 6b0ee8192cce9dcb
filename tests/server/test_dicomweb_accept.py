"""What clients accept, as they write it, and what is chosen for them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from kahu.errors import BadRequest, NotAcceptable
from kahu.server.dicomweb.accept import Wanted, choose, choose_type, encoding, ignored, parse, wanted

DICOM_JSON = "application/dicom+json"
PICTURES = ("image/jpeg", "image/png")


def request(query: str = "", **headers: str) -> Request:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request(
        {"type": "http", "method": "GET", "path": "/", "query_string": query.encode(), "headers": raw}
    )


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", [Wanted("*/*", None)]),
        ("*/*", [Wanted("*/*", None)]),
        (
            "multipart/related; type=application/octet-stream; transfer-syntax=*",
            [Wanted("application/octet-stream", True, "*")],
        ),
        ('multipart/related; type="application/dicom"', [Wanted("application/dicom", True)]),
        ("multipart/related", [Wanted("*/*", True)]),
        (
            "application/dicom;transfer-syntax=1.2.840.10008.1.2.4.80",
            [Wanted("application/dicom", False, "1.2.840.10008.1.2.4.80")],
        ),
        (
            "image/png;q=0.5, image/*;q=0.25 , image/jpeg",
            [
                Wanted("image/jpeg", False),
                Wanted("image/png", False, "", 0.5),
                Wanted("image/*", False, "", 0.25),
            ],
        ),
        (
            'multipart/related; type="application/pdf", multipart/related; type="application/octet-stream"',
            [Wanted("application/pdf", True), Wanted("application/octet-stream", True)],
        ),
        ('a/b; c="d,e", f/g', [Wanted("a/b", False), Wanted("f/g", False)]),
    ],
)
def test_accept_is_read_best_first(header: str, expected: list[Wanted]) -> None:
    assert parse([header]) == expected


@pytest.mark.parametrize("header", ["dicom", "a/b; q=2", "a/b; q=high", 'a/b; c="d'])
def test_what_is_no_accept_header_is_refused(header: str) -> None:
    with pytest.raises(BadRequest):
        parse([header])


@given(st.lists(st.text() | st.sampled_from(["a/b", ",", ";", "q=0.5", '"', "*/*", "type="])))
def test_any_text_is_read_or_refused(texts: list[str]) -> None:
    try:
        ranges = parse(["".join(texts)])
    except BadRequest:
        return
    assert ranges == sorted(ranges, key=lambda one: -one.quality)
    assert all(0 <= one.quality <= 1 for one in ranges)


@pytest.mark.parametrize(
    ("query", "header", "types", "chosen"),
    [
        ("", "*/*", PICTURES, "image/jpeg"),
        ("", "image/png", PICTURES, "image/png"),
        ("", "image/*", PICTURES, "image/jpeg"),
        ("", "image/*, image/jpeg;q=0", PICTURES, "image/png"),
        ("", "image/jpeg;q=0.2, image/*", PICTURES, "image/png"),
        ("", "*/*;q=0, image/png", PICTURES, "image/png"),
        ("", "image/png;q=0.5, image/jpeg;q=0.5", PICTURES, "image/png"),
        ("", "application/dicom+json; charset=utf-8", (DICOM_JSON,), DICOM_JSON),
        ("", "application/json", (DICOM_JSON, "application/json"), "application/json"),
        ("", "text/html, */*;q=0.1", (DICOM_JSON,), DICOM_JSON),
        ("accept=image%2Fpng", "image/jpeg", PICTURES, "image/png"),
        ("accept=image%2Fjpeg", 'multipart/related; type="application/octet-stream"', PICTURES, "image/jpeg"),
        ("accept=application/dicom+json", "*/*", (DICOM_JSON, "application/json"), DICOM_JSON),
        ("accept=application/dicom%2Bjson", "*/*", (DICOM_JSON, "application/json"), DICOM_JSON),
    ],
)
def test_a_type_is_chosen_and_the_parameter_wins(
    query: str, header: str, types: tuple[str, ...], chosen: str
) -> None:
    assert choose_type(wanted(request(query, accept=header)), types) == chosen


@pytest.mark.parametrize("header", ["text/html", "image/jpeg;q=0", 'multipart/related; type="image/jpeg"'])
def test_when_nothing_fits_the_refusal_says_what_can_be_had(header: str) -> None:
    with pytest.raises(NotAcceptable) as refused:
        choose_type(parse([header]), PICTURES)
    assert refused.value.hint == "accept image/jpeg or image/png"
    assert refused.value.acceptable == PICTURES


def test_the_best_range_that_can_be_met_is_taken() -> None:
    offers: dict[str, Any] = {"b/b": "second", "c/c": "third"}
    assert choose(parse(["c/c;q=0.1, a/a, b/b;q=0.5"]), lambda one: offers.get(one.type)) == "second"
    assert choose(parse(["a/a, b/b;q=0"]), lambda one: offers.get(one.type)) is None


@pytest.mark.parametrize(
    ("header", "chosen"),
    [
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip, deflate", "gzip"),
        ("identity", ""),
        ("", ""),
        ("zstd;q=0, gzip;q=0.5", "gzip"),
        ("*", "zstd"),
    ],
)
def test_long_texts_are_compressed_as_the_client_can_read_them(header: str, chosen: str) -> None:
    assert encoding(request(accept_encoding=header)) == chosen


def test_parameters_that_are_not_understood_are_named() -> None:
    assert ignored(["window", "accept", "window"], ["window"]) == {}
    assert ignored(["b", "a\r\nX: y", "window"], ["window"]) == {
        "Warning": '299 kahu "These parameters were not understood and are ignored: a??X??y, b"'
    }
