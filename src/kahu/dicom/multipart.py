"""multipart/related (RFC 2387, RFC 2046, PS3.18 §8.6), written and read as a stream of bytes."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser

from kahu.errors import BadRequest

CRLF = b"\r\n"

# A parameter of a media type: its value a quoted string, or, as many clients write UIDs and media types,
# anything without a semicolon.
_PARAMETER = re.compile(r';\s*([^\s=;"]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;"]*))\s*')
_TYPE = re.compile(r"\s*([^\s;,/\"]+/[^\s;,/\"]+)\s*")
_BOUNDARY = re.compile(r"[\x20-\x7e]{0,69}[\x21-\x7e]")


@dataclass(frozen=True)
class MediaType:
    """A media type with its parameters, such as ``multipart/related; type="application/dicom"``."""

    type: str
    """in lower case"""
    parameters: Mapping[str, str] = field(default_factory=dict)
    """names in lower case; values as written, without their quotes"""

    @classmethod
    def parse(cls, text: str) -> "MediaType":
        """BadRequest: it is not one. Values that should be quoted and are not are understood all the same."""
        found = _TYPE.match(text)
        at = found.end() if found else 0
        parameters: dict[str, str] = {}
        while found and (parameter := _PARAMETER.match(text, at)):
            name, quoted, bare = parameter.groups()
            value = bare.strip() if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
            parameters.setdefault(name.lower(), value)
            at = parameter.end()
        if not found or text[at:].strip(" ;"):
            raise BadRequest("a media type cannot be read", 'write it as in application/dicom; q="0.5"')
        return cls(found[1].lower(), parameters)

    def __str__(self) -> str:
        parameters = (f'; {name}="{value}"' for name, value in self.parameters.items())
        return self.type + "".join(parameters)


# ------------------------------------------------------------------------------------------- written


@dataclass(frozen=True)
class Outgoing:
    """One part that is to be sent."""

    content_type: str
    open: Callable[[], Iterable[bytes]]
    """gives the body in pieces; called when the part's turn has come"""
    length: int | None = None
    """of the body in bytes, where it is known beforehand"""
    location: str = ""
    """Content-Location: where this part can be had by itself"""


def media_type(part_type: str, boundary: str) -> str:
    """The Content-Type of a whole message whose parts are of `part_type`, itself without parameters."""
    return f'multipart/related; type="{part_type}"; boundary={boundary}'


def write(parts: Iterable[Outgoing], boundary: str) -> Iterator[bytes]:
    """The message in pieces; parts are asked for one by one."""
    yield from write_parts(parts, boundary)
    yield closing(boundary)


def write_parts(parts: Iterable[Outgoing], boundary: str) -> Iterator[bytes]:
    """Some parts of a message, to be followed by others or by `closing`."""
    for part in parts:
        yield _head(part, boundary)
        yield from part.open()
        yield CRLF


def closing(boundary: str) -> bytes:
    """What ends a message."""
    return f"--{boundary}--\r\n".encode("latin-1")


def length(parts: Iterable[Outgoing], boundary: str) -> int | None:
    """How many bytes `write` will give; None: a part's length is not known."""
    total = len(closing(boundary))
    for part in parts:
        if part.length is None:
            return None
        total += len(_head(part, boundary)) + part.length + len(CRLF)
    return total


def _head(part: Outgoing, boundary: str) -> bytes:
    lines = [f"--{boundary}", f"Content-Type: {part.content_type}"]
    if part.length is not None:
        lines.append(f"Content-Length: {part.length}")
    if part.location:
        lines.append(f"Content-Location: {part.location}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


# ---------------------------------------------------------------------------------------------- read


@dataclass(frozen=True)
class Begin:
    """A part begins."""

    headers: Mapping[str, str]
    """names in lower case"""


@dataclass(frozen=True)
class End:
    """The part that began last is complete."""


Event = Begin | bytes | End


@dataclass(frozen=True)
class Part:
    """One part that has arrived whole."""

    headers: Mapping[str, str]
    """names in lower case"""
    body: bytes

    @property
    def content_type(self) -> str:
        return self.headers.get("content-type", "")


class Reader:
    """Takes a message in pieces of any size and tells what is in them: `Begin`, bytes of the body, `End`.

    BadRequest: the bytes are not such a message.
    """

    def __init__(self, content_type: str | MediaType) -> None:
        if isinstance(content_type, str):
            content_type = MediaType.parse(content_type)
        boundary = content_type.parameters.get("boundary", "")
        if not _BOUNDARY.fullmatch(boundary):
            raise BadRequest("the multipart message names no boundary", "add boundary= to its Content-Type")
        self._events: list[Event] = []
        self._name = bytearray()
        self._value = bytearray()
        self._headers: dict[str, str] = {}
        self._complete = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._headers.clear,
                "on_header_field": self._on_name,
                "on_header_value": self._on_value,
                "on_header_end": self._on_header,
                "on_headers_finished": self._on_body,
                "on_part_data": self._on_data,
                "on_part_end": self._on_part_end,
                "on_end": self._on_end,
            },
        )

    def feed(self, data: bytes) -> list[Event]:
        """What these bytes, after all those before them, complete. Bodies are not held back."""
        try:
            self._parser.write(data)
        except FormParserError:
            raise BadRequest(
                "the multipart message is malformed",
                "each part needs its boundary, its headers, an empty line and its body, lines ending in CRLF",
            ) from None
        events, self._events = self._events, []
        return events

    def finish(self) -> None:
        """To be called when there are no more bytes. BadRequest: the closing boundary has not come."""
        if not self._complete:
            raise BadRequest("the multipart message ends before its closing boundary", "send it again")

    def _on_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header(self) -> None:
        self._headers[self._name.decode("latin-1").lower()] = self._value.decode("latin-1").strip()
        self._name.clear()
        self._value.clear()

    def _on_body(self) -> None:
        self._events.append(Begin(dict(self._headers)))

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        self._events.append(data[start:end])

    def _on_part_end(self) -> None:
        self._events.append(End())

    def _on_end(self) -> None:
        self._complete = True


def read(chunks: Iterable[bytes], content_type: str) -> Iterator[Event]:
    """A whole message, as it comes. BadRequest: it is none, or ends too soon."""
    reader = Reader(content_type)
    for chunk in chunks:
        yield from reader.feed(chunk)
    reader.finish()


def read_parts(chunks: Iterable[bytes], content_type: str) -> Iterator[Part]:
    """The parts of a message, one after the other: no more than one is held in memory."""
    headers: Mapping[str, str] = {}
    body: list[bytes] = []
    for event in read(chunks, content_type):
        match event:
            case Begin():
                headers, body = event.headers, []
            case End():
                yield Part(headers, b"".join(body))
            case _:
                body.append(event)
