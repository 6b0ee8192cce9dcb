"""A question to the catalogue, and how QIDO-RS parameters say it (PS3.18 §8.3.4, PS3.4 C.2.2.2)."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, TypeVar

from kahu.dicom.attributes import keyword_of, tag_of, vr_of
from kahu.errors import BadRequest

QueryLevel = Literal["STUDY", "SERIES", "IMAGE"]
MatchKind = Literal["exact", "wildcard", "range", "list", "empty", "text"]

ALL = "all"
"""In `Query.include`: every attribute that is known (``includefield=all``)."""


@dataclass(frozen=True, slots=True)
class Match:
    """One condition. An attribute with several values matches if any of them does."""

    keyword_path: tuple[str, ...]
    """keyword of the attribute, behind the keywords of the sequences that it lies in; eight hex digits for an
    attribute that PS3.6 does not name"""
    kind: MatchKind
    """
    exact      equal to `values[0]`
    wildcard   `values[0]` with ``*`` (any characters, also none) and ``?`` (one character)
    range      from `values[0]` to `values[1]`, both included; an empty one is open
    list       equal to one of `values`
    empty      absent or without value; no `values`
    text       of a person's name: each of `values` (words) begins a word of the name, case and accents aside

    Values of VR PN compare without regard to case in every kind.
    """
    values: tuple[str, ...] = ()

    @property
    def keyword(self) -> str:
        """The attribute itself, the last of the path."""
        return self.keyword_path[-1]


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked for: the entities of one level that meet every one of `matches`."""

    level: QueryLevel
    matches: tuple[Match, ...] = ()
    include: tuple[str, ...] = ()
    """keywords (or hex tags) to answer besides those that are always answered; or `ALL`"""
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


_WILDCARDS = frozenset({"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"})
_INTEGERS = frozenset({"IS", "SL", "SS", "SV", "UL", "US", "UV"})
_DECIMALS = frozenset({"DS", "FD", "FL"})
# VRs whose repertoire excludes the comma: there, a comma lists alternatives just as a backslash does.
_COMMA_LISTS = _INTEGERS | _DECIMALS | {"AS", "CS", "DA", "DT", "TM", "UI"}
_NOT_MATCHED = frozenset({"AT", "OB", "OD", "OF", "OL", "OV", "OW", "UN"})

# Names that are not attributes. The doors read `accept` and `charset`; several values and empty ones are
# matched always, so that asking for it changes nothing.
_CONTROLS = frozenset({"limit", "offset", "fuzzymatching"})
_NOT_ATTRIBUTES = frozenset({"accept", "charset", "emptyvaluematching", "multiplevaluematching"})

Key = TypeVar("Key")

# Larger than any catalogue, and still a number that every database takes.
_MOST = 2**31 - 1

_HEX_TAG = re.compile(r"[0-9A-Fa-f]{8}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_INTEGER = re.compile(r"[+-]?[0-9]{1,20}")
_DECIMAL = re.compile(r"[+-]?([0-9]{1,40}(\.[0-9]{0,40})?|\.[0-9]{1,40})([Ee][+-]?[0-9]{1,4})?")


def parse(
    params: Iterable[tuple[str, str]], level: QueryLevel, study: str = "", series: str = ""
) -> tuple[Query, tuple[str, ...]]:
    """The query that the parameters of a QIDO-RS search say, and the names that mean nothing to us.

    PS3.18 §8.3.4, PS3.4 C.2.2.2: attributes by keyword, by hex tag and within sequences (``a.b``); single
    value, wildcard, range, list, universal (an attribute without value is only answered) and empty value
    (``""``) matching. BadRequest names the parameter that cannot be understood, never its value.
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
    matches = (_match(path, value, fuzzy) for path, value in asked.items())
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


def _once(seen: dict[Key, str], key: Key, value: str, said: str) -> None:
    if key in seen:
        raise BadRequest(f"{said} is given twice", "list several values in one, a backslash between them")
    seen[key] = value


def _include(value: str, include: list[str], ignored: list[str]) -> None:
    for name in filter(None, (name.strip() for name in value.split(","))):
        path = (ALL,) if name.lower() == ALL else _path(name)
        if path is None:
            ignored.append(name)
        else:
            include.append(".".join(path))


def _path(name: str) -> tuple[str, ...] | None:
    """Keywords from the outermost sequence to the attribute; None: not all of PS3.6, nor hex tags."""
    path: list[str] = []
    for step in name.split("."):
        if _HEX_TAG.fullmatch(step):
            path.append(keyword_of(int(step, 16)) or step.upper())
        elif tag_of(step) is not None:
            path.append(step)
        else:
            return None
    for sequence in path[:-1]:
        if _vr(sequence) != "SQ":
            raise BadRequest(
                f"{sequence} is not a sequence", "only attributes of sequences are named with a dot"
            )
    return tuple(path)


def _vr(keyword: str) -> str:
    return "LO" if _HEX_TAG.fullmatch(keyword) else vr_of(keyword)


def _match(path: tuple[str, ...], value: str, fuzzy: bool) -> Match | None:
    """The condition that `value` states; None: universal matching."""
    said, vr = ".".join(path), _vr(path[-1])
    if value == "" or (vr in _WILDCARDS and not value.strip("*")):
        return None
    if value == '""':
        return Match(path, "empty")
    if vr == "SQ" or vr in _NOT_MATCHED:
        raise BadRequest(
            f"{said}: attributes of VR {vr} are not matched by value", "leave the value out, or use a dot"
        )
    split = re.split(r"[\\,]" if vr in _COMMA_LISTS else r"\\", value)
    parts = [part.strip(" ") for part in split if part.strip(" ")]
    if any(_CONTROL.search(part) for part in parts) or not parts:
        raise BadRequest(f"{said} holds control characters, or nothing")
    if len(parts) > 1:
        return Match(path, "list", tuple(dict.fromkeys(_single(said, vr, part) for part in parts)))
    (text,) = parts
    if vr in _PERIODS:
        return _period(path, said, vr, text)
    if vr in _WILDCARDS and ("*" in text or "?" in text):
        return Match(path, "wildcard", (re.sub(r"\*+", "*", text),))
    if vr == "PN" and fuzzy:
        words = re.split(r"[\s^=,]+", text)
        return Match(path, "text", tuple(filter(None, words))) if any(words) else None
    return Match(path, "exact", (_single(said, vr, text),))


def _single(said: str, vr: str, text: str) -> str:
    """One value that stands for itself."""
    if "*" in text or "?" in text:
        hint = "ask for each value by itself" if vr in _WILDCARDS else "wildcards do not apply to its VR"
        raise BadRequest(f"{said}: a wildcard is not possible here", hint)
    if vr in _INTEGERS and not _INTEGER.fullmatch(text):
        raise BadRequest(f"{said} is not a whole number")
    if vr in _DECIMALS and not _DECIMAL.fullmatch(text):
        raise BadRequest(f"{said} is not a number")
    if vr in _PERIODS and not _PERIODS[vr].pattern.fullmatch(text):
        raise BadRequest(f"{said} is not written as {_PERIODS[vr].form}, or a list of such")
    return text


@dataclass(frozen=True)
class _Period:
    """How dates or times are written, and up to where one reaches that is written short (PS3.4 C.2.2.2.5)."""

    form: str
    pattern: re.Pattern[str]
    last: Callable[[str], str]


def _last_of_time(text: str) -> str:
    return text + "235959.999999"[len(text) :]


def _last_of_date_time(text: str) -> str:
    return text + "99991231235959.999999"[len(text) :]


_TIME = r"([01][0-9]|2[0-3])([0-5][0-9](([0-5][0-9]|60)(\.[0-9]{1,6})?)?)?"
_MONTH = r"(0[1-9]|1[0-2])"
_DAY = r"(0[1-9]|[12][0-9]|3[01])"
_PERIODS = {
    "DA": _Period("YYYYMMDD", re.compile(rf"[0-9]{{4}}{_MONTH}{_DAY}"), lambda text: text),
    "TM": _Period("HHMMSS", re.compile(_TIME), _last_of_time),
    "DT": _Period(
        "YYYYMMDDHHMMSS", re.compile(rf"[0-9]{{4}}({_MONTH}({_DAY}({_TIME})?)?)?"), _last_of_date_time
    ),
}


def _period(path: tuple[str, ...], said: str, vr: str, text: str) -> Match:
    """A date or time: itself, all that it is the beginning of, or a range."""
    period = _PERIODS[vr]
    first, dash, last = (part.strip(" ") for part in text.partition("-"))
    valid = all(period.pattern.fullmatch(part) for part in (first, last) if part)
    if not valid or not (first or last):
        raise BadRequest(f"{said} is neither {period.form} nor a range {period.form}-{period.form}")
    if dash:
        high = period.last(last) if last else ""
        if first and high and first > high:
            raise BadRequest(f"{said} is a range that ends before it begins")
        return Match(path, "range", (first, high))
    if period.last(first) == first:
        return Match(path, "exact", (first,))
    return Match(path, "range", (first, period.last(first)))


def _boolean(name: str, value: str) -> bool:
    if value.lower() not in {"true", "false"}:
        raise BadRequest(f"{name} is neither true nor false")
    return value.lower() == "true"


def _number(name: str, value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) <= 20):
        raise BadRequest(f"{name} is not a whole number of 0 or more")
    return min(int(value), _MOST)
