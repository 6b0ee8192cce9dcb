"""Whether an object meets the conditions of a query, told from its DICOM JSON (PS3.4 C.2.2.2).

`kahu.catalog.matching` says the same in SQL, of the attributes of the index.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from kahu.dicom.attributes import tag_of
from kahu.dicom.match import NUMBERS, Match
from kahu.dicom.text import fold

Attributes = Mapping[str, Mapping[str, Any]]
"""a data set in DICOM JSON: tag -> attribute"""

_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")


def holds(matches: Sequence[Match], attributes: Attributes) -> bool:
    """Whether all conditions are met. Those within one sequence must be met by one and the same item; where it
    has none, its attributes have no values."""
    within: dict[str, list[Match]] = defaultdict(list)
    for match in matches:
        if len(match.keyword_path) == 1:
            if not _met(match, attributes.get(tag_name(match.keyword), {})):
                return False
        else:
            within[match.keyword_path[0]].append(Match(match.keyword_path[1:], match.kind, match.values))
    return all(
        any(holds(inner, item or {}) for item in attributes.get(tag_name(name), {}).get("Value") or [{}])
        for name, inner in within.items()
    )


@lru_cache(maxsize=4096)
def tag_name(name: str) -> str:
    """How DICOM JSON names an attribute, given its keyword or hexadecimal tag."""
    tag = tag_of(name)
    return name if tag is None else f"{tag:08X}"


def _met(match: Match, attribute: Mapping[str, Any]) -> bool:
    values = [text for value in attribute.get("Value", ()) if (text := _text(value))]
    if match.kind == "empty":
        return not values and not {"InlineBinary", "BulkDataURI"} & attribute.keys()
    if attribute.get("vr") == "PN":
        return any(_name_meets(match, fold(value)) for value in values)
    if match.kind == "range":
        pairs = list(zip(match.values[::2], match.values[1::2], strict=True))
        return any(
            first <= value and (not last or value <= last) for value in values for first, last in pairs
        )
    if match.kind == "wildcard":
        return any(_pattern(pattern).fullmatch(value) for pattern in match.values for value in values)
    if set(values) & set(match.values):
        return True
    if attribute.get("vr") in NUMBERS:
        wanted = {number for value in match.values if (number := _number(value)) is not None}
        return any(_number(value) in wanted for value in values)
    return False


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return "=".join(value.get(group, "") for group in _GROUPS).rstrip("=")
    return "" if value is None else str(value)


def _name_meets(match: Match, name: str) -> bool:
    """Of a folded name: the whole, or one of its component groups (PS3.5 §6.2.1.1), or the beginnings of words."""
    wanted = [fold(value) for value in match.values]
    if match.kind == "text":
        words = re.split(r"[\s^=,\\]", name)
        return all(any(word.startswith(value) for word in words) for value in wanted)
    return any(_pattern(f"*={value}=*").fullmatch(f"={name}=") for value in wanted)


@lru_cache(maxsize=1024)
def _pattern(wildcard: str) -> re.Pattern[str]:
    parts = ({"*": ".*", "?": "."}.get(letter) or re.escape(letter) for letter in wildcard)
    return re.compile("".join(parts), re.DOTALL)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
