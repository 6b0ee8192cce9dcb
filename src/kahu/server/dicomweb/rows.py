"""Rows of the catalogue -> DICOM JSON Model (PS3.18 annex F)."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

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


@lru_cache(maxsize=256)
def _plan(keywords: tuple[str, ...]) -> list[tuple[str, str, str]]:
    """(tag, keyword, VR) in the order of tags: an answer's rows have the same keys."""
    return sorted((f"{tag_of(keyword):08X}", keyword, vr_of(keyword)) for keyword in keywords)
