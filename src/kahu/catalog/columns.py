"""Where each index attribute is kept: in a column of its own, or in the JSON object of its level."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from kahu.catalog.fold import fold
from kahu.catalog.schema import instances, patients, series, studies
from kahu.dicom.attributes import IMAGE, LEVEL_OF, SERIES, STUDY, Level

TABLES: dict[Level, sa.Table] = {"PATIENT": patients, "STUDY": studies, "SERIES": series, "IMAGE": instances}

TEXTS: dict[str, sa.Column[str]] = {
    "PatientID": patients.c.patient_id,
    "IssuerOfPatientID": patients.c.issuer,
    "PatientName": patients.c.name,
    "PatientBirthDate": patients.c.birth_date,
    "PatientSex": patients.c.sex,
    "StudyInstanceUID": studies.c.uid,
    "StudyDate": studies.c.date,
    "StudyTime": studies.c.time,
    "AccessionNumber": studies.c.accession,
    "StudyID": studies.c.study_id,
    "StudyDescription": studies.c.description,
    "ReferringPhysicianName": studies.c.referring,
    "SeriesInstanceUID": series.c.uid,
    "Modality": series.c.modality,
    "SeriesDescription": series.c.description,
    "BodyPartExamined": series.c.body_part,
    "SeriesDate": series.c.date,
    "Manufacturer": series.c.manufacturer,
    "ManufacturerModelName": series.c.model,
    "SOPInstanceUID": instances.c.uid,
    "SOPClassUID": instances.c.sop_class,
}
NUMBERS: dict[str, sa.Column[int]] = {
    "SeriesNumber": series.c.number,
    "InstanceNumber": instances.c.number,
}
"""whole numbers; what is none stays as text in the JSON object, and the column is null"""

_IN_JSON: dict[Level, tuple[str, ...]] = {
    "STUDY": tuple(keyword for keyword in STUDY if keyword not in TEXTS),
    "SERIES": tuple(keyword for keyword in SERIES if keyword not in TEXTS),
    "IMAGE": tuple(keyword for keyword in IMAGE if keyword not in TEXTS),
}
_LARGEST = 2**63 - 1


def text_of(keyword: str) -> sa.ColumnElement[str]:
    """The value of an index attribute as text in SQL; empty or null where there is none."""
    if keyword in TEXTS:
        return TEXTS[keyword]
    in_json: sa.ColumnElement[str] = TABLES[LEVEL_OF[keyword]].c.attributes[keyword].as_string()
    if keyword in NUMBERS:
        return sa.func.coalesce(sa.cast(NUMBERS[keyword], sa.Text), in_json)
    return in_json


def values(level: Level, attributes: Mapping[str, str]) -> dict[str, Any]:
    """The columns of a row of this level that hold these attributes, those in JSON among them."""
    row: dict[str, Any] = {}
    for keyword, column in _TEXTS_OF[level]:
        row[column] = clean(attributes.get(keyword, ""))
    for keyword, column in _NUMBERS_OF[level]:
        row[column] = whole_number(attributes.get(keyword, ""))
    if level == "PATIENT":
        row["folded"] = fold(row["name"])
    else:
        row["attributes"] = {
            keyword: clean(attributes[keyword])
            for keyword in _IN_JSON[level]
            if keyword in attributes and not (keyword in NUMBERS and row[NUMBERS[keyword].name] is not None)
        }
    return row


def attributes_of(level: Level, row: Mapping[str, Any]) -> dict[str, str]:
    """The attributes that such a row holds, without empty ones."""
    found = {keyword: row[column] for keyword, column in _TEXTS_OF[level] if row[column]}
    found |= {keyword: str(row[column]) for keyword, column in _NUMBERS_OF[level] if row[column] is not None}
    if level != "PATIENT":
        found |= row["attributes"]
    return found


_TEXTS_OF: dict[Level, list[tuple[str, str]]] = {
    level: [(keyword, column.name) for keyword, column in TEXTS.items() if column.table is table]
    for level, table in TABLES.items()
}
_NUMBERS_OF: dict[Level, list[tuple[str, str]]] = {
    level: [(keyword, column.name) for keyword, column in NUMBERS.items() if column.table is table]
    for level, table in TABLES.items()
}


def clean(text: str) -> str:
    """Text that every database takes: no NUL (PostgreSQL), nothing that UTF-8 cannot say."""
    if text.isascii():
        return text.replace("\0", "") if "\0" in text else text
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def whole_number(text: str) -> int | None:
    """The number that an IS says (PS3.5 §6.2); None: none, or one that no column takes."""
    try:
        number = int(text)
    except ValueError:
        return None
    return number if abs(number) <= _LARGEST else None
