"""Rows of the catalogue -> DICOM JSON Model (PS3.18 annex F)."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from kahu.dicom.attributes import tag_of, vr_of
from kahu.dicom.json_model import values_of_text

# Answered even when they are empty (PS3.18 tables 10.6.3-3 to 10.6.3-5).
REQUIRED = {
    "STUDY": (
        "StudyDate",
        "StudyTime",
        "AccessionNumber",
        "ModalitiesInStudy",
        "ReferringPhysicianName",
        "PatientName",
        "PatientID",
        "PatientBirthDate",
        "PatientSex",
        "StudyID",
    ),
    "SERIES": ("Modality", "SeriesDescription", "SeriesNumber"),
    "IMAGE": ("InstanceNumber",),
}

_json = msgspec.json.Encoder().encode


def to_json(row: Mapping[str, str], required: Sequence[str] = ()) -> dict[str, Any]:
    """One row as an instance of the DICOM JSON Model, in the order of tags.

    `row` is keyword -> text, several values joined by a backslash.
    """
    if missing := [keyword for keyword in required if keyword not in row]:
        row = {**row, **dict.fromkeys(missing, "")}
    document: dict[str, Any] = {}
    for tag, keyword, vr in _plan(tuple(row)):
        values = values_of_text(vr, row[keyword])
        document[tag] = {"vr": vr, "Value": values} if values else {"vr": vr}
    return document


def encoded(
    rows: Iterable[tuple[Mapping[str, str], Mapping[str, Any]]], required: Sequence[str] = ()
) -> bytes:
    """Rows as a JSON array of such instances; with each, attributes in DICOM JSON that it has besides."""
    return b"[" + b",".join(_encoded(row, extra, required) for row, extra in rows) + b"]"


def _encoded(row: Mapping[str, str], extra: Mapping[str, Any], required: Sequence[str]) -> bytes:
    if extra:
        return _json(dict(sorted({**extra, **to_json(row, required)}.items())))
    if missing := [keyword for keyword in required if keyword not in row]:
        row = {**row, **dict.fromkeys(missing, "")}
    pieces = [write(row[keyword]) for keyword, write in _writers(tuple(row))]
    return b"{" + b",".join(pieces) + b"}"


@lru_cache(maxsize=1024)
def _plan(keywords: tuple[str, ...]) -> list[tuple[str, str, str]]:
    """(tag, keyword, VR) in the order of tags: an answer's rows have the same keys."""
    return sorted((f"{tag_of(keyword):08X}", keyword, vr_of(keyword)) for keyword in keywords)


@lru_cache(maxsize=1024)
def _writers(keywords: tuple[str, ...]) -> list[tuple[str, Callable[[str], bytes]]]:
    return [(keyword, _writer(tag, vr)) for tag, keyword, vr in _plan(keywords)]


@lru_cache(maxsize=1024)
def _writer(tag: str, vr: str) -> Callable[[str], bytes]:
    """Writes one attribute, given its text. What many rows share is written once."""
    before = f'"{tag}":{{"vr":"{vr}","Value":['.encode()
    empty = f'"{tag}":{{"vr":"{vr}"}}'.encode()

    @lru_cache(maxsize=4096)
    def write(text: str) -> bytes:
        values = values_of_text(vr, text)
        return before + b",".join(map(_json, values)) + b"]}" if values else empty

    def write_plain(text: str) -> bytes:
        return before + b'"' + text.encode() + b'"]}' if _PLAIN(text) else write(text)

    return write_plain if vr in _IDENTIFIERS else write


_IDENTIFIERS = frozenset({"LO", "SH", "UI", "UR"})
_PLAIN = re.compile(r"[0-9A-Za-z.:/_-]+").fullmatch
