"""Rows of the catalogue -> DICOM JSON Model (PS3.18 annex F)."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from kahu.dicom.attributes import tag_of, vr_of

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

_ONE_VALUE = frozenset({"LT", "ST", "UR", "UT"})
_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")


def to_json(row: Mapping[str, str], required: Sequence[str] = ()) -> dict[str, Any]:
    """One row as an instance of the DICOM JSON Model, in the order of tags.

    `row` is keyword -> text, several values joined by a backslash. Numbers that are none stay text, as the
    model allows for DS and IS.
    """
    if missing := [keyword for keyword in required if keyword not in row]:
        row = {**row, **dict.fromkeys(missing, "")}
    return {tag: value(row[keyword]) for tag, keyword, value in _plan(tuple(row))}


@lru_cache(maxsize=256)
def _plan(keywords: tuple[str, ...]) -> list[tuple[str, str, Callable[[str], dict[str, Any]]]]:
    """(tag, keyword, how its text is written) in the order of tags: an answer's rows have the same keys."""
    tags = {keyword: f"{tag_of(keyword):08X}" for keyword in keywords}
    return [
        (tags[keyword], keyword, _writer(vr_of(keyword)))
        for keyword in sorted(keywords, key=tags.__getitem__)
    ]


@lru_cache(maxsize=64)
def _writer(vr: str) -> Callable[[str], dict[str, Any]]:
    value = _values(vr)

    def write(text: str) -> dict[str, Any]:
        if not text:
            return {"vr": vr}
        texts = [text] if vr in _ONE_VALUE else text.split("\\")
        return {"vr": vr, "Value": [value(one) if one else None for one in texts]}

    return write


def _values(vr: str) -> Callable[[str], Any]:
    if vr == "PN":
        return _person_name
    if vr in ("IS", "SL", "SS", "SV", "UL", "US", "UV"):
        return _integer
    if vr in ("DS", "FD", "FL"):
        return _decimal
    return str


def _person_name(text: str) -> dict[str, str]:
    groups = zip(_GROUPS, text.split("="), strict=False)
    return {group: name for group, name in groups if name}


def _integer(text: str) -> int | str:
    try:
        number = int(text)
    except ValueError:
        return text
    return number if abs(number) < 2**53 else text  # what JSON numbers hold exactly


def _decimal(text: str) -> float | str:
    try:
        number = float(text)
    except ValueError:
        return text
    return number if math.isfinite(number) else text
