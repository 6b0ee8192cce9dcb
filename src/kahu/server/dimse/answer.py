"""Rows of the catalogue -> identifiers of C-FIND responses, as bytes (PS3.4 C.4.1.1.3.2)."""

import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from pydicom import Dataset

from kahu.dicom.attributes import UNIQUE, Level, name_of, tag_of, vr_of
from kahu.dicom.syntaxes import EXPLICIT_BE, IMPLICIT_LE
from kahu.dicom.text import quietly
from kahu.dimse import identifier

_UTF8 = "ISO_IR 192"
_ALWAYS = ("QueryRetrieveLevel", "RetrieveAETitle", "InstanceAvailability", "SpecificCharacterSet")
_LONG = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"})
_NUMBERS = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d", "SV": "q", "UV": "Q"}
_EMPTY = frozenset({"SQ", "UN", "AT", "OB", "OD", "OF", "OL", "OV", "OW"})
_MOST = 0xFFFE  # bytes of a value with a 16-bit length


@dataclass(frozen=True, slots=True)
class _Key:
    keyword: str
    name: str
    """in DICOM JSON"""
    vr: str
    head: Callable[[int], bytes]
    """its tag, VR and a length"""


class Answers:
    """Answers to one question: of each row, the keys that were asked for, empty where there is nothing."""

    def __init__(
        self,
        asked: Dataset,
        level: Level,
        levels: Iterable[Level],
        aet: str,
        transfer_syntax: str,
    ) -> None:
        self._transfer_syntax = transfer_syntax
        self._order = ">" if transfer_syntax == EXPLICIT_BE else "<"
        self._said = {"QueryRetrieveLevel": level, "RetrieveAETitle": aet, "SpecificCharacterSet": ""}
        named = sorted(asked.keys())
        tags = {int(tag): name_of(tag) for tag in named if tag.element and not tag.is_private_creator}
        above = [UNIQUE[each] for each in levels]
        for keyword in (*_ALWAYS, *above[: above.index(UNIQUE[level]) + 1]):
            tags[tag_of(keyword) or 0] = keyword
        self._keys = [
            self._key(tag, keyword, transfer_syntax == IMPLICIT_LE) for tag, keyword in sorted(tags.items())
        ]

    def encode(self, row: Mapping[str, str], extra: Mapping[str, Any]) -> bytes:
        """The identifier of one match. `row`: keyword -> text, several values joined by a backslash; `extra`: what
        else is known of it, in DICOM JSON."""
        said = {**row, **self._said}
        if not "".join(row.values()).isascii() or (extra and not str(extra).isascii()):
            said["SpecificCharacterSet"] = _UTF8
        pieces: list[bytes] = []
        for key in self._keys:
            if key.name in extra and key.keyword not in said:
                pieces.append(self._extra(key.name, extra[key.name]))
                continue
            value = _value(key.vr, said.get(key.keyword, ""), self._order)
            if value or key.keyword != "SpecificCharacterSet":
                pieces += (key.head(len(value)), value)
        return b"".join(pieces)

    def _extra(self, name: str, attribute: Mapping[str, Any]) -> bytes:
        """An element of DICOM JSON; without its value where that is not in it."""
        told = attribute if {"Value", "InlineBinary"} & attribute.keys() else {"vr": attribute["vr"]}
        with quietly():
            dataset = Dataset.from_json({name: told})
        return identifier.encode(dataset, self._transfer_syntax)

    def _key(self, tag: int, keyword: str, implicit: bool) -> _Key:
        try:
            vr = vr_of(keyword)
        except KeyError:
            vr = "UN"
        group, element = tag >> 16, tag & 0xFFFF
        if implicit:
            head = partial(struct.Struct("<HHI").pack, group, element)
        elif vr in _LONG:
            head = partial(struct.Struct(self._order + "HH2s2xI").pack, group, element, vr.encode())
        else:
            head = partial(struct.Struct(self._order + "HH2sH").pack, group, element, vr.encode())
        return _Key(keyword, f"{tag:08X}", vr, head)


def _value(vr: str, text: str, order: str) -> bytes:
    """A value as bytes of even length; empty where the text cannot be one of this VR."""
    if not text or vr in _EMPTY:
        return b""
    if vr in _NUMBERS:
        number: type[int] | type[float] = float if vr in ("FL", "FD") else int
        try:
            values = [number(part) for part in text.split("\\")]
            return struct.pack(f"{order}{len(values)}{_NUMBERS[vr]}", *values)
        except (ValueError, struct.error, OverflowError):
            return b""
    value = text.encode()
    value += (b"\0" if vr == "UI" else b" ") * (len(value) % 2)
    return value if len(value) <= _MOST or vr in _LONG else b""
