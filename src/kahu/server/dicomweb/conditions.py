"""Entity tags, conditional requests and ranges of bytes (RFC 9110 §8.8, §13 and §14)."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

_TAG = re.compile(r'(?:W/)?"[^"]*"')
_RANGE = re.compile(r"\s*bytes\s*=\s*([0-9]{0,18})\s*-\s*([0-9]{0,18})\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Span:
    """The bytes [start, stop) of a body."""

    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


NOTHING = Span(0, 0)
"""what is left of a range that lies beyond the end"""


def tag(*facts: object, weak: bool = False) -> str:
    """The entity tag of a body that is the same for as long as these facts are; `weak`: that says the same, perhaps
    in other bytes."""
    digest = hashlib.blake2b("\0".join(map(str, facts)).encode("utf-8", "surrogatepass"), digest_size=16)
    return f'{"W/" if weak else ""}"{digest.hexdigest()}"'


def verdict(headers: Mapping[str, str], entity: str) -> int | None:
    """The status that answers a GET or HEAD without a body: 304 when the client has it, 412 when it is not what the
    client goes on with; None: there is nothing against sending it. `entity`: its tag; empty: it has none.
    """
    match = headers.get("if-match")
    if match is not None and match.strip() != "*" and not _strong(match, entity):
        return 412
    none = headers.get("if-none-match")
    if none is not None and (
        none.strip() == "*" or (entity and _opaque(entity) in map(_opaque, _tags(none)))
    ):
        return 304
    return None


def span(headers: Mapping[str, str], entity: str, length: int) -> Span | None:
    """The part of a body of `length` bytes that is asked for; None: all of it. `NOTHING`: it has no such part.

    A range that cannot be read, several ranges, and one whose If-Range is not this very body are all of it, as
    RFC 9110 §14.2 allows or demands.
    """
    found = _RANGE.fullmatch(headers.get("range", ""))
    if not found or not (found[1] or found[2]):
        return None
    condition = headers.get("if-range")
    if condition is not None and not _strong(condition, entity):
        return None
    if not found[1]:  # so many bytes at the end
        start, stop = max(0, length - int(found[2])), length
    else:
        start, stop = int(found[1]), min(length, int(found[2]) + 1) if found[2] else length
        if found[2] and int(found[2]) < start:
            return None
    return Span(start, stop) if start < stop else NOTHING


def _tags(header: str) -> list[str]:
    return _TAG.findall(header)


def _opaque(entity: str) -> str:
    return entity.removeprefix("W/")


def _strong(header: str, entity: str) -> bool:
    """Whether one of these tags is that of the very same bytes (RFC 9110 §8.8.3.2)."""
    return bool(entity) and not entity.startswith("W/") and entity in _tags(header)
