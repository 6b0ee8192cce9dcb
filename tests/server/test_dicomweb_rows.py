"""Rows of the catalogue in the DICOM JSON Model."""

import json

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset

from kahu.dicom.attributes import INDEX
from kahu.server.dicomweb.rows import REQUIRED, to_json


def test_a_study_as_it_is_answered() -> None:
    row = {
        "StudyInstanceUID": "1.2.3",
        "PatientName": "Yamada^Tarou=山田^太郎=やまだ^たろう",
        "PatientID": "P\\1",
        "StudyDate": "20240229",
        "ModalitiesInStudy": "CT\\SEG",
        "NumberOfStudyRelatedInstances": "12",
        "PatientWeight": "71.5",
        "StudyDescription": "",
        "RetrieveURL": "http://h/dicomweb/studies/1.2.3",
    }
    assert list(to_json(row).items()) == [
        ("00080020", {"vr": "DA", "Value": ["20240229"]}),
        ("00080061", {"vr": "CS", "Value": ["CT", "SEG"]}),
        ("00081030", {"vr": "LO"}),
        ("00081190", {"vr": "UR", "Value": ["http://h/dicomweb/studies/1.2.3"]}),
        (
            "00100010",
            {
                "vr": "PN",
                "Value": [
                    {"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎", "Phonetic": "やまだ^たろう"}
                ],
            },
        ),
        ("00100020", {"vr": "LO", "Value": ["P", "1"]}),
        ("00101030", {"vr": "DS", "Value": [71.5]}),
        ("0020000D", {"vr": "UI", "Value": ["1.2.3"]}),
        ("00201208", {"vr": "IS", "Value": [12]}),
    ]


def test_what_the_standard_requires_is_there_even_when_empty() -> None:
    document = to_json({"StudyInstanceUID": "1.2.3"}, REQUIRED["STUDY"])
    assert document["00100010"] == {"vr": "PN"}
    assert document["00080050"] == {"vr": "SH"}
    assert list(document) == sorted(document)


def test_values_that_are_no_numbers_stay_text() -> None:
    document = to_json({"SeriesNumber": "one", "SliceThickness": "NaN\\\\1e2", "EchoTime": "1,5"})
    assert document["00200011"] == {"vr": "IS", "Value": ["one"]}
    assert document["00180050"] == {"vr": "DS", "Value": ["NaN", None, 100.0]}
    assert document["00180081"] == {"vr": "DS", "Value": ["1,5"]}


@given(st.dictionaries(st.sampled_from(INDEX), st.text() | st.from_regex(r"-?[0-9.]{1,30}(\\[0-9]{0,30})?")))
def test_any_row_is_json_that_python_reads(row: dict[str, str]) -> None:
    document = json.loads(msgspec.json.encode(to_json(row)))
    assert len(document) == len(row)


@given(st.sampled_from(["CT", "MR"]), st.integers(0, 10**6), st.dates())
def test_pydicom_reads_what_we_write(modality: str, number: int, day: object) -> None:
    row = {"Modality": modality, "SeriesNumber": str(number), "SeriesDate": str(day).replace("-", "")}
    dataset = Dataset.from_json(msgspec.json.encode(to_json(row)).decode())
    assert (dataset.Modality, dataset.SeriesNumber, dataset.SeriesDate) == (
        modality,
        number,
        row["SeriesDate"],
    )
