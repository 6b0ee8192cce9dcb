"""A header -> the DICOM JSON Model (PS3.18 annex F), as bytes; and the bulk data it speaks of.

It says what pydicom's `Dataset.to_json` says, but for this:

* text is UTF-8, so Specific Character Set (0008,0005) is ISO_IR 192; what is no ASCII in VRs that allow nothing
  else (CS, UI ...) is taken as text of the data set's character set, too;
* attributes are in the order of tags, without group lengths; empty sequences have no `Value` (F.2.2, F.2.5);
* padding is removed from each value, an empty value among others is null, empty name groups are left out;
* what cannot be a JSON number is a string: NaN and infinities, DS and IS that are none, integers beyond 2⁵³;
* a value that cannot be read by its VR, or that is nested deeper than 64 sequences, is UN: its bytes.
"""

import math
import struct
from base64 import b64encode
from collections.abc import Callable, Collection, Container, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from typing import Any
from urllib.parse import quote

import msgspec

from kahu.dicom import text
from kahu.dicom.attributes import one_vr, vr_of_tag
from kahu.dicom.elements import BINARY, LONG, SHORT, Odd, elements, items, key_of_tag, tag_of_key
from kahu.dicom.walk import CHARACTER_SET, LONG_VALUE, Omitted
from kahu.errors import NotFound

__all__ = ["BULK_PREFIX", "attributes", "bulk_base", "to_json", "value_at", "values_of_text"]

BULK_PREFIX = "kahu-bulk:"
"""What every BulkDataURI begins with; the door that sends the document puts its own base there instead."""

_DEEPEST = 64
_SHORT = 64
"""bytes of a value that is remembered"""
_EXACT = 2**53
_PIXELS = {"OF": "7FE00008", "OD": "7FE00009"}
_SIGNED = key_of_tag(0x00280103)
_NAME_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")
_FORMS = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d", "UV": "Q", "SV": "q"}
_NUMBERS = {vr: struct.Struct("<" + form) for vr, form in _FORMS.items()}
_STATED = {vr: vr.decode() for vr in SHORT | LONG} | {b"": "", b"UN": ""}
_UNDEFINED_LENGTH = b"\xff\xff\xff\xff"
_ONE_VALUE = frozenset({"LT", "ST", "UR", "UT"})

_Json = dict[str, Any]


def bulk_base(study: str, series: str, instance: str) -> str:
    """What the BulkDataURIs of an instance begin with, given its UIDs."""
    study, series, instance = (quote(uid, safe="") for uid in (study, series, instance))  # some are no UIDs
    return f"{BULK_PREFIX}/studies/{study}/series/{series}/instances/{instance}/bulkdata"


def to_json(
    raw: bytes, implicit: bool, omitted: Iterable[Omitted], *, pixels_vr: str | None, bulk_base: str
) -> bytes:
    """The JSON object of one instance, from what its `Header` holds.

    Binary values of more than 1 KiB, and the pixel data always, are BulkDataURIs: `bulk_base`, a slash, and a
    path for `value_at`. `pixels_vr`: VR of the pixel data; None: there are none.
    """
    writer = _Writer(raw, {value.at for value in omitted}, bulk_base + "/")
    instance = writer.dataset(0, len(raw), implicit, _Item("", text.DEFAULT, signed=False, depth=0))
    if pixels_vr is not None:
        name = _PIXELS.get(pixels_vr, "7FE00010")
        instance[name] = {"vr": pixels_vr, "BulkDataURI": f"{bulk_base}/{name}"}
        instance = dict(sorted(instance.items()))
    return msgspec.json.encode(instance)


def attributes(
    raw: bytes, implicit: bool, omitted: Iterable[Omitted], tags: Collection[int] | None = None
) -> dict[str, Any]:
    """The DICOM JSON object of a header, as Python has it: of these attributes of its first level, if it has them;
    None: of all. Values that `to_json` only points at are left out, wherever they lie."""
    wanted = None if tags is None else {key_of_tag(tag) for tag in tags}
    if wanted is not None and not any(struct.pack("<I", key) in raw for key in wanted):
        return {}
    writer = _Writer(raw, {value.at for value in omitted}, "", wanted)
    whole = writer.dataset(0, len(raw), implicit, _Item("", text.DEFAULT, signed=False, depth=0))
    return _without_bulk(whole)


def _without_bulk(data_set: _Json) -> _Json:
    kept = {}
    for tag, attribute in data_set.items():
        if attribute["vr"] == "SQ" and "Value" in attribute:
            kept[tag] = {"vr": "SQ", "Value": [_without_bulk(item) for item in attribute["Value"]]}
        elif "BulkDataURI" not in attribute:
            kept[tag] = attribute
    return kept


def value_at(raw: bytes, implicit: bool, omitted: Iterable[Omitted], path: str) -> bytes | Omitted:
    """The value that the last part of a BulkDataURI names: its bytes in little endian, or where they are.

    `path` is a tag in hexadecimal, or for nested values ``SQTAG/<index of the item, from 0>/TAG``. NotFound:
    there is no such value; the pixel data are not looked for here.
    """
    absent = {value.at: value for value in omitted}
    parts = path.split("/")
    at, end = 0, len(raw)
    try:
        for sequence, index in zip(parts[:-1:2], parts[1::2], strict=True):
            at, end = _find(raw, at, end, implicit, int(sequence, 16), absent)
            found = items(raw, at, end, implicit)
            at, end, implicit = next(islice(found, int(index), None))
        at, end = _find(raw, at, end, implicit, int(parts[-1], 16), absent)
    except (ValueError, LookupError, StopIteration, Odd):
        raise NotFound("there are no such bulk data in this instance") from None
    return absent[at] if at in absent else raw[at:end]


def _find(
    raw: bytes, at: int, end: int, implicit: bool, tag: int, absent: Mapping[int, Omitted]
) -> tuple[int, int]:
    wanted = key_of_tag(tag)
    for key, _, start, stop in elements(raw, at, end, implicit, absent):
        if key == wanted:
            return start, stop
    raise LookupError(tag)


def values_of_text(vr: str, value: str) -> list[Any]:
    """The `Value` of an attribute from its text, several values joined by backslashes as in PS3.5 §6.2.

    Numbers are JSON numbers, names are groups, an empty value among others is None; an empty text gives [].
    """
    if vr in _ONE_VALUE:
        value = value.rstrip(" \0")
        return [value] if value else []
    value = value.strip(" \0")
    if not value:
        return []
    convert = _CONVERT.get(vr, str)
    if "\\" not in value:
        return [convert(value)]
    return [convert(one) if (one := part.strip(" ")) else None for part in value.split("\\")]


@dataclass(frozen=True, slots=True)
class _Item:
    """The data set, or the item of a sequence, that is being written: what its elements need to know."""

    path: str
    charset: text.Encodings
    signed: bool
    """Pixel Representation (0028,0103) is 1"""
    depth: int


class _Writer:
    """Writes one instance. It goes down into sequences by itself, to a fixed depth."""

    def __init__(
        self, raw: bytes, absent: Container[int], base: str, wanted: Container[int] | None = None
    ) -> None:
        """`wanted`: keys of the attributes of the first level to write; None: of all."""
        self._raw = raw
        self._absent = absent
        self._base = base
        self._wanted = wanted

    def dataset(self, at: int, end: int, implicit: bool, item: _Item) -> _Json:
        """The attributes that lie in `raw[at:end]`. Odd: they cannot be read."""
        raw = self._raw
        wanted = None if item.depth else self._wanted
        result: _Json = {}
        creators: dict[int, str] = {}
        waiting: list[tuple[str, str, int, int]] = []  # for Pixel Representation, which may come later
        for key, stated, start, stop in elements(raw, at, end, implicit, self._absent):
            if key <= 0xFFFF:
                continue  # a group length
            name = _name(key)
            if key == CHARACTER_SET:
                item = replace(item, charset=text.encodings(raw[start:stop]))
                if wanted is None or key in wanted:
                    result[name] = {"vr": "CS", "Value": ["ISO_IR 192"]}
                continue
            if key == _SIGNED:
                item = replace(item, signed=raw[start : start + 2] == b"\1\0")
            elif key & 1 and 0x10 <= key >> 16 <= 0xFF:
                creators[_block(key, key >> 16)] = raw[start:stop].decode("latin-1").strip(" \0")
            if wanted is not None and key not in wanted:
                continue
            vr = _STATED[stated] or _known_vr(key, creators, raw[start - 4 : start])
            if vr == "SQ":
                result[name] = self._sequence(name, start, stop, implicit, item)
            elif " or " in vr:
                waiting.append((name, vr, start, stop))
                result[name] = None
            else:
                result[name] = self._element(name, vr, start, stop, item)
        for name, vr, start, stop in waiting:
            result[name] = self._element(name, one_vr(vr, item.signed), start, stop, item)
        names = sorted(result)
        return result if names == list(result) else {name: result[name] for name in names}

    def _element(self, name: str, vr: str, start: int, stop: int, item: _Item) -> _Json:
        if start in self._absent:
            return {"vr": vr if vr in BINARY else "UN", "BulkDataURI": f"{self._base}{item.path}{name}"}
        if vr in BINARY:
            return self._binary(name, vr, start, stop, item)
        value = self._raw[start:stop]
        try:
            return (_short if len(value) <= _SHORT else _attribute)(vr, value, item.charset)
        except Odd:
            return self._binary(name, "UN", start, stop, item)

    def _sequence(self, name: str, start: int, stop: int, implicit: bool, item: _Item) -> _Json:
        if start in self._absent or item.depth >= _DEEPEST:
            return self._element(name, "UN", start, stop, item)
        try:
            if stop - start <= LONG_VALUE and not self._absent:
                around = _Item("", item.charset, item.signed, item.depth)
                return _short_sequence(self._raw[start:stop], implicit, around)
            return self._items(name, start, stop, implicit, item)
        except Odd:
            return self._binary(name, "UN", start, stop, item)

    def _items(self, name: str, start: int, stop: int, implicit: bool, item: _Item) -> _Json:
        """Odd: these are no items."""
        values = [
            self.dataset(
                at, end, is_implicit, replace(item, path=f"{item.path}{name}/{n}/", depth=item.depth + 1)
            )
            for n, (at, end, is_implicit) in enumerate(items(self._raw, start, stop, implicit))
        ]
        return {"vr": "SQ", "Value": values} if values else {"vr": "SQ"}

    def _binary(self, name: str, vr: str, start: int, stop: int, item: _Item) -> _Json:
        if stop - start > LONG_VALUE:
            return {"vr": vr, "BulkDataURI": f"{self._base}{item.path}{name}"}
        if start == stop:
            return {"vr": vr}
        return {"vr": vr, "InlineBinary": b64encode(self._raw[start:stop]).decode()}


def _attribute(vr: str, value: bytes, charset: text.Encodings) -> _Json:
    """An attribute that is neither a sequence nor bytes. Odd: it cannot be read by its VR."""
    if vr in _NUMBERS:
        values = _numbers(vr, value)
    elif vr == "AT":
        values = _tags(value)
    else:
        values = values_of_text(vr, text.decode(value, charset))
    return {"vr": vr, "Value": values} if values else {"vr": vr}


# The instances of a series say mostly the same. What is given is shared: nobody changes it.
_short = lru_cache(maxsize=4096)(_attribute)


@lru_cache(maxsize=512)
def _short_sequence(value: bytes, implicit: bool, around: _Item) -> _Json:
    """A sequence in which nothing is long enough to be bulk data, wherever it lies. Odd: these are no items."""
    return _Writer(value, (), "")._items("", 0, len(value), implicit, around)


def _known_vr(key: int, creators: Mapping[int, str], length: bytes) -> str:
    """The VR of an element that does not say: only sequences have no length, dictionaries know the rest."""
    if length == _UNDEFINED_LENGTH:
        return "SQ"
    if not key & 1:
        return vr_of_tag(tag_of_key(key))
    if 0x10 <= key >> 16 <= 0xFF:
        return "LO"  # a private creator
    return vr_of_tag(tag_of_key(key), creators.get(_block(key, key >> 24), ""))


def _block(key: int, number: int) -> int:
    """The private block `number` of the group of an element (PS3.5 §7.8.1)."""
    return number << 16 | key & 0xFFFF


@lru_cache(maxsize=16384)
def _name(key: int) -> str:
    """How an attribute is named in DICOM JSON."""
    return f"{tag_of_key(key):08X}"


def _numbers(vr: str, value: bytes) -> list[Any]:
    """Binary numbers. Odd: a part of one is missing."""
    one = _NUMBERS[vr]
    if len(value) == one.size:
        numbers = list(one.unpack(value))
    elif len(value) % one.size:
        raise Odd("part of a number")
    else:
        numbers = list(struct.unpack(f"<{len(value) // one.size}{_FORMS[vr]}", value))
    if vr in ("FL", "FD"):
        return [number if math.isfinite(number) else _not_finite(number) for number in numbers]
    if vr in ("UV", "SV"):
        return [number if abs(number) <= _EXACT else str(number) for number in numbers]
    return numbers


def _not_finite(number: float) -> str:
    """As readers of DICOM JSON commonly understand it: the standard has no words for it."""
    if math.isnan(number):
        return "NaN"
    return "Infinity" if number > 0 else "-Infinity"


def _tags(value: bytes) -> list[str]:
    """Odd: a part of a tag is missing."""
    if len(value) % 4:
        raise Odd("part of a tag")
    return [_name(key) for (key,) in struct.iter_unpack("<I", value)]


def _integer(value: str) -> int | str:
    try:
        number = int(value)
    except ValueError:
        decimal = _decimal(value)  # some write an IS with a fraction of zeros
        return int(decimal) if isinstance(decimal, float) and decimal.is_integer() else value
    return number if abs(number) <= _EXACT else value


def _decimal(value: str) -> float | str:
    try:
        number = float(value)
    except ValueError:
        return value
    return number if math.isfinite(number) else value


def _person_name(value: str) -> dict[str, str] | None:
    """The component groups of a name (F.2.2); None: all are empty."""
    groups = zip(_NAME_GROUPS, value.split("="), strict=False)
    return {name: group for name, part in groups if (group := part.strip(" "))} or None


_CONVERT: dict[str, Callable[[str], Any]] = {
    "PN": _person_name,
    **dict.fromkeys(("IS", "SL", "SS", "SV", "UL", "US", "UV"), _integer),
    **dict.fromkeys(("DS", "FD", "FL"), _decimal),
}
