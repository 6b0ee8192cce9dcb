"""A question to a peer as people put it -> the identifier of a C-FIND, and its answers (PS3.4 C.4.1, C.6)."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress

from pydicom import Dataset
from pydicom.multival import MultiValue

from kahu.dicom import query
from kahu.dicom.attributes import LEVELS, UNIQUE, Level, tag_of
from kahu.dicom.malformed import MALFORMED
from kahu.dicom.text import quietly
from kahu.errors import BadRequest

# What is asked to be told: required and usual optional keys (PS3.4 C.6.1.1, C.6.2.1).
_PATIENT = ("PatientID", "PatientName", "PatientBirthDate", "PatientSex")
_TOLD: dict[Level, tuple[str, ...]] = {
    "PATIENT": (*_PATIENT, "NumberOfPatientRelatedStudies"),
    "STUDY": (
        *_PATIENT,
        "StudyInstanceUID",
        "StudyDate",
        "StudyTime",
        "StudyID",
        "AccessionNumber",
        "StudyDescription",
        "ModalitiesInStudy",
        "NumberOfStudyRelatedSeries",
        "NumberOfStudyRelatedInstances",
    ),
    "SERIES": (
        "StudyInstanceUID",
        "SeriesInstanceUID",
        "Modality",
        "SeriesNumber",
        "SeriesDescription",
        "BodyPartExamined",
        "SeriesDate",
        "NumberOfSeriesRelatedInstances",
    ),
    "IMAGE": ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID", "InstanceNumber"),
}

_NOT_TOLD = {0x00080005, 0x00080052}  # Specific Character Set, Query/Retrieve Level

NAMES = {
    "name": "PatientName",
    "id": "PatientID",
    "birthdate": "PatientBirthDate",
    "date": "StudyDate",
    "accession": "AccessionNumber",
    "study": "StudyInstanceUID",
    "series": "SeriesInstanceUID",
}
"""everyday names of attributes; `modality` and `description` are those of the level"""

_OF_LEVEL: dict[Level, dict[str, str]] = {
    "PATIENT": {},
    "STUDY": {"modality": "ModalitiesInStudy", "description": "StudyDescription"},
    "SERIES": {"modality": "Modality", "description": "SeriesDescription"},
    "IMAGE": {},
}


def level_of(text: str) -> Level:
    """A level by its name, in any case. BadRequest: there is no such level."""
    for level in LEVELS:
        if text.upper() in (level, {"IMAGE": "INSTANCE"}.get(level)):
            return level
    raise BadRequest(f"there is no level {text}", f"ask for one of {', '.join(LEVELS).lower()}")


def identifier(level: Level, keys: Mapping[str, str]) -> Dataset:
    """The identifier that asks for the entities of a level that have these values.

    `keys` are keywords of attributes, or `NAMES` -> the value to match, as PS3.4 C.2.2.2 writes it: ``SMITH*``,
    ``20240101-20240131``. BadRequest: no such attribute; no such value; a series is asked for without its study.
    """
    asked = {_keyword(level, name): value.strip() for name, value in keys.items() if value.strip()}
    query.parse(asked.items(), "IMAGE")  # which says what is wrong with a value
    above = LEVELS[1 : LEVELS.index(level)]  # in the study root, the patient is an attribute of the study
    for missing in (UNIQUE[one] for one in above if not asked.get(UNIQUE[one])):
        raise BadRequest(
            f"{level.lower()} level is asked within one {missing.removesuffix('InstanceUID').lower()}",
            f"give its {missing}; a query one level above tells it",
        )
    found = Dataset()
    found.QueryRetrieveLevel = level
    if not all(value.isascii() for value in asked.values()):
        found.SpecificCharacterSet = "ISO_IR 192"
    with quietly():
        for keyword in dict.fromkeys((*_TOLD[level], *asked)):
            setattr(found, keyword, asked.get(keyword, ""))
    return found


def wanted(study: str, series: str = "", instances: Sequence[str] = ()) -> Dataset:
    """The identifier of a C-GET or C-MOVE of a study, of one of its series, or of some objects of that
    (PS3.4 C.4.3.1.3)."""
    found = Dataset()
    found.QueryRetrieveLevel = "IMAGE" if instances else "SERIES" if series else "STUDY"
    found.StudyInstanceUID = study
    if series:
        found.SeriesInstanceUID = series
    if instances:
        found.SOPInstanceUID = list(instances)
    return found


def row(answer: Dataset) -> dict[str, str]:
    """What a peer has answered: keyword -> text, several values with backslashes between. What is empty, has no
    keyword or cannot be read is left out."""
    found: dict[str, str] = {}
    with quietly():
        for tag in answer.keys() - _NOT_TOLD:
            with suppress(*MALFORMED):
                element = answer[tag]
                text = _text(element.value) if element.VR != "SQ" else ""
                if text and element.keyword:
                    found[element.keyword] = text
    return found


def _text(value: object) -> str:
    if isinstance(value, MultiValue):
        return "\\".join(map(_text, _known(value)))
    if value is None or isinstance(value, bytes):
        return ""
    return str(value).strip()


def _known(values: Iterable[object]) -> Iterable[object]:
    return (value for value in values if value is not None)


def _keyword(level: Level, name: str) -> str:
    keyword = (NAMES | _OF_LEVEL[level]).get(name.lower(), name)
    if tag_of(keyword) is None:
        known = ", ".join(sorted(NAMES | _OF_LEVEL[level]))
        raise BadRequest(f"there is no attribute {name}", f"use the standard's keywords, or {known}")
    return keyword
