"""All attributes of an instance as a flat table, and which of them differ within its series."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from kahu.dicom.attributes import keyword_of

LONGEST = 2000
"""characters of a value that are shown"""


class Attribute(msgspec.Struct):
    """One attribute; those inside a sequence's items come behind it, one `depth` further in."""

    depth: int
    tag: str
    keyword: str
    vr: str
    value: str
    differs: bool


def table(instances: Sequence[Mapping[str, Any]], index: int) -> list[Attribute]:
    """The attributes of one of the instances of a series, from their DICOM JSON (PS3.18 F.2). An attribute
    of the first level that another instance has otherwise, or has not, `differs`."""
    shown = instances[index]
    differing = {
        tag
        for tag, said in shown.items()
        if any(other.get(tag) != said for other in instances if other is not shown)
    }
    return list(_rows(shown, 0, differing))


def _rows(data_set: Mapping[str, Any], depth: int, differing: set[str]) -> Iterator[Attribute]:
    for tag, said in sorted(data_set.items()):
        values = said.get("Value", [])
        keyword = keyword_of(int(tag, 16)) or ("private" if int(tag[:4], 16) % 2 else "")
        text = _items(len(values)) if said["vr"] == "SQ" else _text(said)
        yield Attribute(depth, tag, keyword, said["vr"], text, tag in differing)
        if said["vr"] == "SQ":
            for number, item in enumerate(values, 1):
                if len(values) > 1:
                    yield Attribute(depth + 1, "", f"item {number}", "", "", False)
                yield from _rows(item or {}, depth + 1, set())


def _items(count: int) -> str:
    return "1 item" if count == 1 else f"{count} items"


def _text(said: Mapping[str, Any]) -> str:
    if "BulkDataURI" in said:
        return "binary data, kept apart"
    if "InlineBinary" in said:
        return f"{len(said['InlineBinary']) * 3 // 4} bytes"
    text = "\\".join(_value(value) for value in said.get("Value", []))
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} …"


def _value(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Mapping):  # a person's name: its groups (PS3.5 §6.2.1)
        return "=".join(
            str(value[group]) for group in ("Alphabetic", "Ideographic", "Phonetic") if group in value
        )
    return str(value)
