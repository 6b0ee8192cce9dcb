"""The DICOM JSON Model (PS3.18 annex F) -> a file (PS3.10) in explicit VR little endian: what `json_model` says,
the other way round.

Text becomes UTF-8, and Specific Character Set says so. Group lengths and group 2 are made anew. Values are written as
they are given, invalid ones, too; what cannot be written at all is BrokenDicom, which names the attribute.
"""

import math
import re
import struct
from base64 import b64decode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from kahu.dicom.attributes import PIXEL_DATA, one_vr, vr_of_tag
from kahu.dicom.elements import LONG, SHORT, UNDEFINED
from kahu.dicom.encapsulate import fragmented
from kahu.dicom.file_meta import restated
from kahu.dicom.rewrite import Encoding, element, head
from kahu.errors import BadRequest, BrokenDicom

__all__ = ["Bulk", "Find", "identity", "instances", "to_file"]

_TAG = re.compile(r"[0-9A-Fa-f]{8}")
_CHARACTER_SET, _SOP_CLASS, _SOP_INSTANCE = "00080005", "00080016", "00080018"
_EXPLICIT_LE = "1.2.840.10008.1.2.1"
_ENCODING = Encoding()
_FORMS = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d", "UV": "Q", "SV": "q"}
_ITEM = struct.pack("<HHI", 0xFFFE, 0xE000, UNDEFINED)
_ITEM_END = struct.pack("<HHI", 0xFFFE, 0xE00D, 0)
_SEQUENCE_END = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
_DEEPEST = 64
_LONGEST_DECIMAL = 16
_HINT = "write it as PS3.18 annex F says"

_Json = Mapping[str, Any]


@dataclass(frozen=True)
class Bulk:
    """A value that stands outside of the document."""

    parts: Sequence[Callable[[], Iterable[bytes]]]
    """give its bytes in pieces, each time that they are called: one part, or one for each compressed frame"""
    length: int
    """bytes of all of them"""
    transfer_syntax: str = ""
    """of compressed frames; empty: the value is in little endian as it is"""


Find = Callable[[str], Bulk]
"""what a BulkDataURI stands for; BrokenDicom: nothing that came with the document"""


def instances(document: bytes) -> list[_Json]:
    """The instances of a document: an array of them, or one by itself. BadRequest: it is no such document."""
    try:
        found = msgspec.json.decode(document)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadRequest("the metadata are no JSON", _HINT) from None
    found = found if isinstance(found, list) else [found]
    if not all(isinstance(one, dict) for one in found):
        raise BadRequest("the metadata are no array of data sets", _HINT)
    return found


def to_file(instance: _Json, find: Find) -> Iterator[bytes]:
    """The file of an instance in pieces; bulk data pass through as they are read. BrokenDicom, before the first piece
    or later."""
    try:
        ascii_only = msgspec.json.encode(instance).isascii()
    except UnicodeEncodeError:
        raise BrokenDicom("it has text that is no Unicode", _HINT) from None
    writer = _Writer(find, utf_8=_CHARACTER_SET in instance or not ascii_only)
    yield restated(b"", *identity(instance), writer.syntax(instance))
    yield from writer.dataset(instance, 0)


def identity(instance: _Json) -> tuple[str, str]:
    """The UIDs of its SOP Class and of itself; empty where they cannot be read."""
    return _first(instance, _SOP_CLASS), _first(instance, _SOP_INSTANCE)


def _first(instance: _Json, name: str) -> str:
    """The first value of an attribute as text."""
    try:
        return str(instance[name]["Value"][0])
    except (LookupError, TypeError):
        return ""


class _Writer:
    """Writes one instance."""

    def __init__(self, find: Find, *, utf_8: bool) -> None:
        self._find = find
        self._utf_8 = utf_8

    def syntax(self, instance: _Json) -> str:
        """The transfer syntax that its pixel data make necessary."""
        for name, attribute in instance.items():
            if _TAG.fullmatch(name) and int(name, 16) in PIXEL_DATA and isinstance(attribute, dict):
                uri = attribute.get("BulkDataURI")
                if isinstance(uri, str):
                    return self._find(uri).transfer_syntax or _EXPLICIT_LE
        return _EXPLICIT_LE

    def dataset(self, attributes: _Json, depth: int) -> Iterator[bytes]:
        """The elements of a data set, or of an item, in the order of tags."""
        known = {name.upper(): attribute for name, attribute in attributes.items()}
        if self._utf_8 and (depth == 0 or _CHARACTER_SET in known):
            known[_CHARACTER_SET] = {"vr": "CS", "Value": ["ISO_IR 192"]}
        signed = _is_signed(known)
        for name in sorted(known):
            if not _TAG.fullmatch(name):
                raise BrokenDicom(f"{_shown(name)} is no tag", "name attributes by eight hexadecimal digits")
            tag = int(name, 16)
            if tag & 0xFFFF == 0 or tag >> 16 <= 2:
                continue  # the length of a group; what belongs to messages and files, not to the data set
            attribute = known[name]
            if not isinstance(attribute, dict):
                raise _broken(name, "is no JSON object")
            vr = attribute.get("vr") or one_vr(vr_of_tag(tag), signed)
            if not isinstance(vr, str) or vr.encode() not in SHORT | LONG:
                raise _broken(name, "has no VR")
            yield from self._element(name, vr, attribute, depth)

    def _element(self, name: str, vr: str, attribute: _Json, depth: int) -> Iterator[bytes]:
        tag = int(name, 16)
        given = [key for key in ("Value", "InlineBinary", "BulkDataURI") if attribute.get(key) is not None]
        if len(given) > 1:
            raise _broken(name, "has more than one value")
        if given == ["BulkDataURI"] and vr != "SQ":
            yield from self._bulk(name, vr, attribute["BulkDataURI"])
        elif given == ["InlineBinary"] and vr != "SQ":
            yield _short(tag, vr, _binary(name, attribute["InlineBinary"]))
        elif given in ([], ["Value"]):
            values = attribute.get("Value") or []
            if not isinstance(values, list):
                raise _broken(name, "has a Value that is no array")
            if vr == "SQ":
                yield from self._sequence(name, values, depth)
            else:
                yield _short(tag, vr, _encoded(name, vr, values))
        else:
            raise _broken(name, "is a sequence without items")

    def _sequence(self, name: str, items: Sequence[Any], depth: int) -> Iterator[bytes]:
        if depth >= _DEEPEST:
            raise _broken(name, f"is nested deeper than {_DEEPEST} sequences")
        yield head(int(name, 16), "SQ", UNDEFINED if items else 0, _ENCODING)
        for item in items:
            if not isinstance(item, dict | None):
                raise _broken(name, "has an item that is no data set")
            yield _ITEM
            yield from self.dataset(item or {}, depth + 1)
            yield _ITEM_END
        if items:
            yield _SEQUENCE_END

    def _bulk(self, name: str, vr: str, uri: object) -> Iterator[bytes]:
        if not isinstance(uri, str):
            raise _broken(name, "has a BulkDataURI that is no text")
        bulk, tag = self._find(uri), int(name, 16)
        if bulk.transfer_syntax:
            if tag not in PIXEL_DATA:
                raise _broken(name, "cannot be compressed")
            yield from fragmented(b"".join(part()) for part in bulk.parts)
            return
        if vr.encode() in SHORT and bulk.length > 0xFFFE:
            vr = "UN"  # PS3.5 §6.2.2
        odd = bulk.length % 2
        if bulk.length + odd >= UNDEFINED:
            raise _broken(name, "is longer than a value may be")
        yield head(tag, vr, bulk.length + odd, _ENCODING)
        for part in bulk.parts:
            yield from part()
        yield _padding(vr) * odd


def _short(tag: int, vr: str, value: bytes) -> bytes:
    """An element whose value is at hand."""
    value += _padding(vr) * (len(value) % 2)
    return element(tag, "UN" if len(value) > 0xFFFE and vr.encode() in SHORT else vr, value, _ENCODING)


def _padding(vr: str) -> bytes:
    return b"\0" if vr.encode() in LONG - {b"UT", b"UC", b"UR"} or vr == "UI" else b" "


def _is_signed(attributes: _Json) -> bool:
    """Whether Pixel Representation (0028,0103) is 1."""
    return _first(attributes, "00280103") == "1"


def _binary(name: str, text: object) -> bytes:
    try:
        return b64decode(str(text), validate=True)
    except ValueError:  # not ASCII, or not Base64
        raise _broken(name, "is no Base64") from None


def _encoded(name: str, vr: str, values: Sequence[Any]) -> bytes:
    """The `Value` of an attribute that is no sequence."""
    try:
        if vr in _FORMS:
            return b"".join(_number(_FORMS[vr], value) for value in values if value is not None)
        if vr == "AT":
            return b"".join(struct.pack("<HH", *_tag(value)) for value in values if value is not None)
        if vr == "PN":
            return "\\".join(map(_person_name, values)).encode()
        if vr.encode() in SHORT or vr in ("UC", "UR", "UT"):
            return "\\".join(map(_text, values)).encode()
    except (struct.error, ValueError, TypeError, OverflowError, UnicodeEncodeError):
        raise _broken(name, f"has a value that no {vr} can be") from None
    if values:
        raise _broken(name, f"is {vr}, which has no Value but InlineBinary or a BulkDataURI")
    return b""


def _number(form: str, value: Any) -> bytes:
    if isinstance(value, str):
        value = float(value) if form in "fd" else int(value)
    if form not in "fd":
        if int(value) != value:
            raise ValueError(value)
        value = int(value)
    return struct.pack("<" + form, value)


def _tag(value: str) -> tuple[int, int]:
    if not _TAG.fullmatch(value):
        raise ValueError(value)
    return int(value[:4], 16), int(value[4:], 16)


def _person_name(value: Any) -> str:
    """Component groups joined (PS3.5 §6.2.1)."""
    if value is None or isinstance(value, str):
        return value or ""
    if not isinstance(value, dict):
        raise TypeError(value)
    groups = [value.get(group) or "" for group in ("Alphabetic", "Ideographic", "Phonetic")]
    return "=".join(groups).rstrip("=")


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool | list | dict):
        raise TypeError(value)
    return value if isinstance(value, str) else _decimal(value)


def _decimal(value: float) -> str:
    """A number as an IS or DS says it: as exactly as its 16 characters can."""
    if not math.isfinite(value):
        raise ValueError(value)
    if isinstance(value, int) or (value.is_integer() and abs(value) < 1e15):
        return str(int(value))
    text = repr(value)
    digits = _LONGEST_DECIMAL
    while len(text) > _LONGEST_DECIMAL:
        digits -= 1
        text = f"{value:.{digits}g}"
    return text


def _broken(name: str, what: str) -> BrokenDicom:
    return BrokenDicom(f"attribute {name} {what}", _HINT)


def _shown(name: str) -> str:
    """What was given for a name: no more of it than names need, for it could be anything."""
    return name if re.fullmatch(r"\w{1,64}", name, re.ASCII) else "an attribute's name"
