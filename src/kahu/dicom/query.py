"""A question to the catalogue, and how QIDO-RS (PS3.18 §8.3.4) and C-FIND (PS3.4 C.4.1) ask it."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from pydicom import DataElement, Dataset

from kahu.dicom.attributes import Level, name_of, tag_of
from kahu.dicom.match import Match, MatchKind, match_of, vr_of_attribute
from kahu.dicom.text import quietly
from kahu.errors import BadRequest

__all__ = ["ALL", "Match", "MatchKind", "Query", "from_identifier", "parse"]

ALL = "all"
"""In `Query.include`: every attribute that is known (``includefield=all``)."""


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked for: the entities of one level that meet every one of `matches`."""

    level: Level
    matches: tuple[Match, ...] = ()
    include: tuple[str, ...] = ()
    """keywords (or hex tags) to answer besides those that are always answered, those within sequences behind
    the keywords of these and dots; or `ALL`"""
    limit: int | None = None
    offset: int = 0
    fuzzy: bool = False
    """whether fuzzy matching of names was asked for; `matches` says it already, by their kind"""
    study: str = ""
    """Study Instance UID of the parent, where the question is asked within one"""
    series: str = ""
    """Series Instance UID of the parent"""
    text: str = ""
    """free text, as typed into a search box: words that must all be found among the index attributes"""


# Names that are not attributes. The doors read `accept` and `charset`; several values and empty ones are
# matched always, so that asking for it changes nothing.
_CONTROLS = frozenset({"limit", "offset", "fuzzymatching"})
_NOT_ATTRIBUTES = frozenset({"accept", "charset", "emptyvaluematching", "multiplevaluematching"})

# What an identifier says of itself rather than of what is looked for.
_NOT_KEYS = frozenset({"QueryRetrieveLevel", "SpecificCharacterSet", "TimezoneOffsetFromUTC"})

Key = TypeVar("Key")

# Larger than any catalogue, and still a number that every database takes.
_MOST = 2**31 - 1

# (0010,0020), 0010-0020, 0x00100020 ... In a list of names, too: no keyword looks like half a tag.
_TAG = re.compile(r"\(?(?:0x)?([0-9A-Fa-f]{4})[,:|-]?([0-9A-Fa-f]{4})\)?")
_TAG_IN_LIST = re.compile(r"(?<![0-9A-Za-z])\(?([0-9A-Fa-f]{4}),([0-9A-Fa-f]{4})\)?(?![0-9A-Za-z])")

_FIRST_TAG = 0x00080000
"""below are those of commands, file meta information and directories: no attributes of objects"""


def parse(
    params: Iterable[tuple[str, str]], level: Level, study: str = "", series: str = ""
) -> tuple[Query, tuple[str, ...]]:
    """The query that the parameters of a QIDO-RS search say, and the names that mean nothing to us.

    PS3.18 §8.3.4, PS3.4 C.2.2.2: attributes by keyword, by tag and within sequences (``a.b``); single value,
    wildcard, range, list, universal (an attribute without value is only answered) and empty value (``""``)
    matching. BadRequest names the parameter that cannot be understood, never its value.
    """
    controls: dict[str, str] = {}
    asked: dict[tuple[str, ...], str] = {}
    include: list[str] = []
    ignored: list[str] = []
    for name, value in params:
        word = name.lower()
        if word in _CONTROLS:
            _once(controls, word, value, word)
        elif word == "includefield":
            _include(value, include, ignored)
        elif word not in _NOT_ATTRIBUTES:
            path = _path(name)
            if path is None:
                ignored.append(name)
            else:
                _once(asked, path, value, ".".join(path))
                include.append(".".join(path))
    fuzzy = _boolean("fuzzymatching", controls.get("fuzzymatching", "false"))
    matches = (match_of(path, value, fuzzy=fuzzy) for path, value in asked.items())
    query = Query(
        level=level,
        matches=tuple(match for match in matches if match),
        include=(ALL,) if ALL in include else tuple(dict.fromkeys(include)),
        limit=_number("limit", controls["limit"]) if "limit" in controls else None,
        offset=_number("offset", controls.get("offset", "0")),
        fuzzy=fuzzy,
        study=study,
        series=series,
    )
    return query, tuple(dict.fromkeys(ignored))


def from_identifier(identifier: Dataset, level: Level, *, fuzzy: bool = False) -> Query:
    """The query that the identifier of a C-FIND request says (PS3.4 C.4.1.1.3); every key is also included.

    `fuzzy`: fuzzy semantic matching of names has been negotiated. A sequence is matched by its first item.
    BadRequest: a key's value is not one that can be matched.
    """
    with quietly():
        asked = list(_keys(identifier, ()))
    matches = (match_of(path, value, fuzzy=fuzzy, commas=False) for path, value in asked)
    return Query(
        level=level,
        matches=tuple(match for match in matches if match),
        include=tuple(".".join(path) for path, _ in asked),
        fuzzy=fuzzy,
    )


def _keys(identifier: Dataset, within: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Each attribute that the identifier names, with the value to match as text."""
    for tag in sorted(identifier.keys()):
        name = name_of(tag)
        if tag < _FIRST_TAG or tag.element == 0 or tag.is_private_creator or name in _NOT_KEYS:
            continue
        path = (*within, name)
        try:
            element: DataElement = identifier[tag]
            value = element.value
            text = value if isinstance(value, str) else _text(element)
        except (ValueError, TypeError, OverflowError, NotImplementedError) as error:
            raise BadRequest(f"{'.'.join(path)} has a value that its VR does not allow") from error
        if element.VR == "SQ" and value and len(value[0]):
            yield from _keys(value[0], path)
        else:
            yield path, text


def _text(element: DataElement) -> str:
    if element.is_empty or element.VR == "SQ":
        return ""
    return "\\".join(map(str, element.value)) if element.VM > 1 else str(element.value)


def _once(seen: dict[Key, str], key: Key, value: str, said: str) -> None:
    if key in seen:
        raise BadRequest(f"{said} is given twice", "list several values in one, a backslash between them")
    seen[key] = value


def _include(value: str, include: list[str], ignored: list[str]) -> None:
    names = _TAG_IN_LIST.sub(r"\1\2", value).split(",")
    for name in filter(None, (name.strip() for name in names)):
        path = (ALL,) if name.lower() == ALL else _path(name)
        if path is None:
            ignored.append(name)
        else:
            include.append(".".join(path))


def _path(name: str) -> tuple[str, ...] | None:
    """Keywords from the outermost sequence to the attribute; None: not all of PS3.6, nor tags."""
    path: list[str] = []
    for step in name.split("."):
        hex_tag = _TAG.fullmatch(step)
        tag = int(hex_tag[1] + hex_tag[2], 16) if hex_tag else tag_of(step)
        if tag is None or tag < _FIRST_TAG:
            return None
        path.append(name_of(tag))
    for sequence in path[:-1]:
        if vr_of_attribute(sequence) != "SQ" and not _is_private(sequence):
            raise BadRequest(
                f"{sequence} is not a sequence", "only attributes of sequences are named with a dot"
            )
    return tuple(path)


def _is_private(name: str) -> bool:
    return tag_of(name) is None


def _boolean(name: str, value: str) -> bool:
    if value.lower() not in {"true", "false"}:
        raise BadRequest(f"{name} is neither true nor false")
    return value.lower() == "true"


def _number(name: str, value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) <= 20):
        raise BadRequest(f"{name} is not a whole number of 0 or more")
    return min(int(value), _MOST)
