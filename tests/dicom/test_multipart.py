"""multipart/related as DICOMweb uses it: the bytes we send, and any bytes that are sent to us."""

import email
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kahu.dicom.multipart import (
    Begin,
    End,
    MediaType,
    Outgoing,
    Part,
    Reader,
    length,
    media_type,
    read,
    read_parts,
    write,
)
from kahu.errors import BadRequest

TYPE = 'multipart/related; type="application/dicom"; boundary=b'


def outgoing(*bodies: bytes) -> list[Outgoing]:
    return [Outgoing("application/dicom", lambda body=body: [body], len(body)) for body in bodies]  # type: ignore[misc]


def test_the_bytes_of_a_message() -> None:
    parts = [
        Outgoing("image/jls; transfer-syntax=1.2.840.10008.1.2.4.80", lambda: [b"ab", b"c"], 3, "/frames/1"),
        Outgoing("application/dicom", lambda: iter([b""])),
    ]
    assert b"".join(write(parts, "b")) == (
        b"--b\r\n"
        b"Content-Type: image/jls; transfer-syntax=1.2.840.10008.1.2.4.80\r\n"
        b"Content-Length: 3\r\n"
        b"Content-Location: /frames/1\r\n"
        b"\r\n"
        b"abc\r\n"
        b"--b\r\n"
        b"Content-Type: application/dicom\r\n"
        b"\r\n"
        b"\r\n"
        b"--b--\r\n"
    )
    assert media_type("image/jls", "b") == 'multipart/related; type="image/jls"; boundary=b'


def test_the_length_is_known_before_anything_is_read() -> None:
    def never() -> Iterator[bytes]:
        raise AssertionError("opened")

    unread = [Outgoing("application/dicom", never, 5), Outgoing("image/jpeg", never, 0, "/x")]
    read_now = [
        Outgoing("application/dicom", lambda: [b"12345"], 5),
        Outgoing("image/jpeg", list, 0, "/x"),
    ]
    assert length(unread, "bound") == len(b"".join(write(read_now, "bound")))
    assert length([*unread, Outgoing("image/jpeg", never)], "bound") is None


def test_parts_are_opened_when_their_turn_comes() -> None:
    opened: list[str] = []

    def part(name: str) -> Outgoing:
        return Outgoing("text/plain", lambda: opened.append(name) or [name.encode()])  # type: ignore[func-returns-value]

    pieces = write([part("one"), part("two")], "b")
    while next(pieces) != b"one":
        pass
    assert opened == ["one"]


def test_a_message_is_told_piece_by_piece() -> None:
    reader = Reader(TYPE)
    assert reader.feed(b"--b\r\nContent-Ty") == []
    assert reader.feed(b"pe: application/dicom\r\n\r\n12") == [
        Begin({"content-type": "application/dicom"}),
        b"12",
    ]
    assert reader.feed(b"34") == [b"34"]
    assert reader.feed(b"\r\n--b\r\n\r\n") == [End(), Begin({})]
    assert reader.feed(b"\r\n--b--\r\nepilogue") == [End()]
    reader.finish()


@pytest.mark.parametrize(
    "content_type",
    [
        'multipart/related; type="application/dicom"; boundary="b c:d"',
        'Multipart/Related;boundary="b c:d";type=application/dicom',
        "multipart/related; type=application/dicom; boundary=b c:d; charset=utf-8",
    ],
)
def test_boundaries_quoted_or_not(content_type: str) -> None:
    body = b"--b c:d\r\nContent-Type: application/dicom\r\n\r\nbytes\r\n--b c:d--"
    assert list(read_parts([body], content_type)) == [Part({"content-type": "application/dicom"}, b"bytes")]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no boundary at all",
        b"--b",
        b"--b\r\nContent-Type: application/dicom\r\n\r\nbytes",
        b"--b\r\nContent-Type: application/dicom\r\n\r\nbytes\r\n--b",
        b"--b\r\nContent Type: application/dicom\r\n\r\nbytes\r\n--b--\r\n",
        b"--b\r\n: nothing\r\n\r\nbytes\r\n--b--\r\n",
        b"--c\r\nContent-Type: application/dicom\r\n\r\nbytes\r\n--c--\r\n",
        b"--b\r\nX: " + b"x" * 100_000 + b"\r\n\r\nbytes\r\n--b--\r\n",
    ],
)
def test_a_malformed_message_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest):
        list(read([body], TYPE))


@pytest.mark.parametrize("boundary", ["", "x" * 71, "x ", "x\ty", "ß"])
def test_a_boundary_must_be_one(boundary: str) -> None:
    with pytest.raises(BadRequest):
        Reader(f'multipart/related; boundary="{boundary}"')


BODIES = st.lists(
    st.binary() | st.sampled_from([b"\r\n--b", b"\r\n--bx", b"\r\n-", b"\r", b"--b--\r\n", b"--b"])
)
BODY = BODIES.map(b"".join).filter(lambda body: b"\r\n--b" not in b"\r\n" + body)


@given(st.lists(BODY, min_size=1), st.lists(st.integers(1, 50)))
def test_what_is_written_is_read_however_it_is_cut(bodies: list[bytes], cuts: list[int]) -> None:
    message = b"".join(write(outgoing(*bodies), "b"))
    chunks = []
    for cut in cuts:
        chunks.append(message[:cut])
        message = message[cut:]
    parts = list(read_parts([*chunks, message], TYPE))
    assert [part.body for part in parts] == bodies
    assert [part.headers["content-length"] for part in parts] == [str(len(body)) for body in bodies]


@given(st.lists(st.binary().map(bytes.hex), min_size=1))
def test_python_reads_what_we_write(texts: list[str]) -> None:
    message = b"".join(write(outgoing(*(text.encode() for text in texts)), "b"))
    parsed = email.message_from_bytes(b"Content-Type: " + TYPE.encode() + b"\r\n\r\n" + message)
    assert [part.get_payload() for part in parsed.get_payload()] == texts  # type: ignore[union-attr]
    assert {part.get_content_type() for part in parsed.get_payload()} == {"application/dicom"}  # type: ignore[union-attr]


ODDMENTS = st.sampled_from([b"--b", b"\r\n", b"--", b"Content-Type: ", b":", b"\r", b"\n", b" ", b"--b--"])


@given(st.lists(st.binary() | ODDMENTS))
def test_any_bytes_are_parts_or_refused(chunks: list[bytes]) -> None:
    try:
        parts = list(read_parts(chunks, TYPE))
    except BadRequest:
        return
    assert sum(len(part.body) for part in parts) < sum(map(len, chunks))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("application/dicom", MediaType("application/dicom")),
        (" Application/DICOM ; q=0.5 ", MediaType("application/dicom", {"q": "0.5"})),
        (
            "multipart/related; type=application/octet-stream; transfer-syntax=*",
            MediaType("multipart/related", {"type": "application/octet-stream", "transfer-syntax": "*"}),
        ),
        (
            'multipart/related;TYPE="application/dicom";transfer-syntax="1.2.840.10008.1.2"',
            MediaType(
                "multipart/related", {"type": "application/dicom", "transfer-syntax": "1.2.840.10008.1.2"}
            ),
        ),
        ('a/b; c="d\\"e;f"', MediaType("a/b", {"c": 'd"e;f'})),
        ("*/*", MediaType("*/*")),
    ],
)
def test_media_types(text: str, expected: MediaType) -> None:
    assert MediaType.parse(text) == expected


@pytest.mark.parametrize("text", ["", "dicom", "a/b c/d", 'a/b; c="d', "a/b; c", "a/b, c/d"])
def test_what_is_no_media_type_is_refused(text: str) -> None:
    with pytest.raises(BadRequest):
        MediaType.parse(text)


@given(st.text())
def test_any_text_is_a_media_type_or_refused(text: str) -> None:
    try:
        parsed = MediaType.parse(text)
    except BadRequest:
        return
    assert "/" in parsed.type
