"""One condition of a query, and how text says it (PS3.4 C.2.2.2)."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from kahu.dicom.attributes import vr_of
from kahu.errors import BadRequest

MatchKind = Literal["exact", "wildcard", "range", "list", "empty", "text"]


@dataclass(frozen=True, slots=True)
class Match:
    """One condition. An attribute with several values matches if any of them does."""

    keyword_path: tuple[str, ...]
    """keyword of the attribute, behind the keywords of the sequences that it lies in; eight hex digits for an
    attribute that PS3.6 does not name"""
    kind: MatchKind
    """
    exact      equal to `values[0]`
    wildcard   like one of `values`, with ``*`` (any characters, also none) and ``?`` (one character)
    range      from `values[0]` to `values[1]`, both included; an empty one is open. Or within another such pair
    list       equal to one of `values`
    empty      absent or without value; no `values`
    text       of a person's name: each of `values` (words) begins a word of the name, case and accents aside

    Values of VR PN compare without regard to case and accents in every kind.
    """
    values: tuple[str, ...] = ()

    @property
    def keyword(self) -> str:
        """The attribute itself, the last of the path."""
        return self.keyword_path[-1]


_WILDCARDS = frozenset({"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"})
_INTEGERS = frozenset({"IS", "SL", "SS", "SV", "UL", "US", "UV"})
_DECIMALS = frozenset({"DS", "FD", "FL"})
NUMBERS = _INTEGERS | _DECIMALS
"""VRs whose values compare as numbers"""

# VRs whose repertoire excludes the comma: there, a comma lists alternatives just as a backslash does.
_COMMA_LISTS = NUMBERS | {"AS", "AT", "CS", "DA", "DT", "TM", "UI"}
_NOT_MATCHED = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "UN"})

# Each one more multiplies the ways in which a long text can be like it.
_MOST_STARS = 8

_HEX_TAG = re.compile(r"[0-9A-Fa-f]{8}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_INTEGER = re.compile(r"[+-]?[0-9]{1,20}")
_DECIMAL = re.compile(r"[+-]?([0-9]{1,40}(\.[0-9]{0,40})?|\.[0-9]{1,40})([Ee][+-]?[0-9]{1,4})?")


def match_of(path: tuple[str, ...], value: str, *, fuzzy: bool = False, commas: bool = True) -> Match | None:
    """The condition that `value` states of the attribute; None: universal matching, it states none.

    Several values stand between backslashes; with `commas` (PS3.18) also between commas, where the VR has none
    in its values. `fuzzy`: single names match by the beginnings of their words. BadRequest names the attribute
    that is asked for in a way that its VR does not allow, never the value.
    """
    said, vr = ".".join(path), vr_of_attribute(path[-1])
    if value == "" or (vr in _WILDCARDS and not value.strip("*")):
        return None
    if value == '""':
        return Match(path, "empty")
    if vr in _NOT_MATCHED:
        raise BadRequest(
            f"{said}: attributes of VR {vr} are not matched by value", "leave the value out, or use a dot"
        )
    split = re.split(r"[\\,]" if commas and vr in _COMMA_LISTS else r"\\", value)
    parts = list(dict.fromkeys(part.strip(" ") for part in split if part.strip(" ")))
    if any(_CONTROL.search(part) for part in parts) or not parts:
        raise BadRequest(f"{said} holds control characters, or nothing")
    if vr in _PERIODS:
        return _periods(path, said, vr, parts)
    wild = any("*" in part or "?" in part for part in parts)
    if wild and vr in _WILDCARDS:
        if any(part.count("*") > _MOST_STARS for part in parts):
            raise BadRequest(f"{said} has more than {_MOST_STARS} wildcards in one value")
        return Match(path, "wildcard", tuple(re.sub(r"\*+", "*", part) for part in parts))
    if wild:
        raise BadRequest(f"{said}: a wildcard is not possible here", "wildcards do not apply to its VR")
    if vr == "PN" and fuzzy and len(parts) == 1:
        words = tuple(filter(None, re.split(r"[\s^=,]+", parts[0])))
        return Match(path, "text", words) if words else None
    return Match(
        path, "list" if len(parts) > 1 else "exact", tuple(_single(said, vr, part) for part in parts)
    )


def vr_of_attribute(name: str) -> str:
    """The VR of a keyword; what PS3.6 does not name is taken for text."""
    return "LO" if _HEX_TAG.fullmatch(name) else vr_of(name)


def _single(said: str, vr: str, text: str) -> str:
    """One value that stands for itself."""
    if vr in _INTEGERS and not _INTEGER.fullmatch(text):
        raise BadRequest(f"{said} is not a whole number")
    if vr in _DECIMALS and not _DECIMAL.fullmatch(text):
        raise BadRequest(f"{said} is not a number")
    if vr == "AT":
        if not _HEX_TAG.fullmatch(text):
            raise BadRequest(f"{said} is not a tag of eight hexadecimal digits")
        return text.upper()
    return text


# Dates and times


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


def _periods(path: tuple[str, ...], said: str, vr: str, parts: Sequence[str]) -> Match:
    """Dates or times: themselves, all that they are the beginning of, or ranges."""
    pairs = [_period(said, vr, part) for part in parts]
    if any(first != last for first, last in pairs):
        return Match(path, "range", tuple(end for pair in pairs for end in pair))
    return Match(path, "list" if len(pairs) > 1 else "exact", tuple(first for first, _ in pairs))


def _period(said: str, vr: str, text: str) -> tuple[str, str]:
    """From when to when; an empty one is open."""
    period = _PERIODS[vr]
    first, dash, last = (part.strip(" ") for part in text.partition("-"))
    valid = all(period.pattern.fullmatch(part) for part in (first, last) if part)
    if not valid or not (first or last):
        raise BadRequest(f"{said} is neither {period.form} nor a range {period.form}-{period.form}")
    if not dash:
        return first, period.last(first)
    high = period.last(last) if last else ""
    if first and high and first > high:
        raise BadRequest(f"{said} is a range that ends before it begins")
    return first, high
