"""What clients may write after the question mark of a QIDO-RS search, and what it means."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from kahu.dicom.query import ALL, Match, Query, from_identifier, parse
from kahu.dicom.text import quietly
from kahu.errors import BadRequest


def one(name: str, value: str, **more: str) -> Match:
    """The single condition that one parameter states."""
    query, ignored = parse([(name, value), *more.items()], "STUDY")
    assert ignored == ()
    (match,) = query.matches
    return match


def test_the_list_of_studies_that_ohif_asks_for() -> None:
    params = [
        ("limit", "101"),
        ("offset", "0"),
        ("fuzzymatching", "false"),
        ("includefield", "00081030,00080060,00080090,00100030"),
        ("PatientName", "*LUNG*"),
        ("00100020", "*PYRAD*"),
        ("AccessionNumber", "*A*"),
        ("StudyDescription", "*CHEST*"),
        ("ModalitiesInStudy", "CT,MR"),
        ("StudyDate", "20240101-20241231"),
    ]
    assert parse(params, "STUDY") == (
        Query(
            level="STUDY",
            matches=(
                Match(("PatientName",), "wildcard", ("*LUNG*",)),
                Match(("PatientID",), "wildcard", ("*PYRAD*",)),
                Match(("AccessionNumber",), "wildcard", ("*A*",)),
                Match(("StudyDescription",), "wildcard", ("*CHEST*",)),
                Match(("ModalitiesInStudy",), "list", ("CT", "MR")),
                Match(("StudyDate",), "range", ("20240101", "20241231")),
            ),
            include=(
                "StudyDescription",
                "Modality",
                "ReferringPhysicianName",
                "PatientBirthDate",
                "PatientName",
                "PatientID",
                "AccessionNumber",
                "ModalitiesInStudy",
                "StudyDate",
            ),
            limit=101,
            offset=0,
        ),
        (),
    )


def test_a_search_within_a_parent_keeps_the_parent() -> None:
    query, _ = parse([], "IMAGE", study="1.2", series="1.2.3")
    assert (query.level, query.study, query.series) == ("IMAGE", "1.2", "1.2.3")
    assert (query.matches, query.include, query.limit, query.offset, query.fuzzy) == ((), (), None, 0, False)


@pytest.mark.parametrize(
    ("name", "value", "kind", "values"),
    [
        ("PatientID", "P-1", "exact", ("P-1",)),
        ("PatientID", "P?1", "wildcard", ("P?1",)),
        ("PatientID", "**P**", "wildcard", ("*P*",)),
        ("PatientID", "a\\b", "list", ("a", "b")),
        ("PatientID", "a*\\b", "wildcard", ("a*", "b")),
        ("Modality", "C*,MR", "wildcard", ("C*", "MR")),
        ("StudyDate", "20240101,20240201-20240203", "range", ("20240101",) * 2 + ("20240201", "20240203")),
        ("FrameIncrementPointer", "00181063", "exact", ("00181063",)),
        ("PatientID", "a,b", "exact", ("a,b",)),
        ("PatientID", '""', "empty", ()),
        ("StudyInstanceUID", "1.2", "exact", ("1.2",)),
        ("StudyInstanceUID", "1.2,1.3", "list", ("1.2", "1.3")),
        ("StudyInstanceUID", "1.2\\1.3\\1.2", "list", ("1.2", "1.3")),
        ("ModalitiesInStudy", "CT", "exact", ("CT",)),
        ("Modality", "CT\\MR,PT", "list", ("CT", "MR", "PT")),
        ("Modality", "C*", "wildcard", ("C*",)),
        ("StudyDate", "20240229", "exact", ("20240229",)),
        ("StudyDate", "20240101-", "range", ("20240101", "")),
        ("StudyDate", "-20241231", "range", ("", "20241231")),
        ("StudyDate", "20240101 - 20241231", "range", ("20240101", "20241231")),
        ("StudyDate", "20240101\\20240102", "list", ("20240101", "20240102")),
        ("StudyTime", "101500.123456", "exact", ("101500.123456",)),
        ("StudyTime", "10", "range", ("10", "105959.999999")),
        ("StudyTime", "0900-10", "range", ("0900", "105959.999999")),
        ("AcquisitionDateTime", "2024", "range", ("2024", "20241231235959.999999")),
        ("AcquisitionDateTime", "202401-202403", "range", ("202401", "20240331235959.999999")),
        ("SeriesNumber", "-3", "exact", ("-3",)),
        ("Rows", "512", "exact", ("512",)),
        ("SliceThickness", "1.25", "exact", ("1.25",)),
        ("PatientName", "Kealoha^Noa", "exact", ("Kealoha^Noa",)),
        ("PatientName", "Kealoha, Noa", "exact", ("Kealoha, Noa",)),
    ],
)
def test_values_and_what_they_match(name: str, value: str, kind: str, values: tuple[str, ...]) -> None:
    assert one(name, value) == Match((name,), kind, values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("00100020", ("PatientID",)),
        ("0008103e", ("SeriesDescription",)),
        ("00291010", ("00291010",)),
        ("(0010,0020)", ("PatientID",)),
        ("0010,0020", ("PatientID",)),
        ("0010-0020", ("PatientID",)),
        ("0x00100020", ("PatientID",)),
        ("00291001.00291002", ("00291001", "00291002")),
        ("60020010", ("60020010",)),
        (
            "RequestAttributesSequence.ScheduledProcedureStepID",
            ("RequestAttributesSequence", "ScheduledProcedureStepID"),
        ),
        ("00400275.00400009", ("RequestAttributesSequence", "ScheduledProcedureStepID")),
    ],
)
def test_attributes_are_named_by_keyword_by_tag_and_by_path(name: str, path: tuple[str, ...]) -> None:
    assert one(name, "x") == Match(path, "exact", ("x",))


@pytest.mark.parametrize("value", ["", "*", "**"])
def test_universal_matching_only_asks_for_the_attribute(value: str) -> None:
    query, _ = parse([("PatientID", value)], "STUDY")
    assert query.matches == ()
    assert query.include == ("PatientID",)


def test_fuzzy_matching_turns_names_into_words() -> None:
    match = one("PatientName", "noa Keal", fuzzymatching="TRUE")
    assert match == Match(("PatientName",), "text", ("noa", "Keal"))
    assert one("PatientID", "P-1", fuzzymatching="true").kind == "exact"
    assert one("PatientName", "Keal*", fuzzymatching="true").kind == "wildcard"


def test_fields_to_include_are_repeated_listed_or_all() -> None:
    def include(*values: str) -> tuple[str, ...]:
        return parse([("includefield", value) for value in values], "SERIES")[0].include

    assert include("00080021,Laterality", "0008103E", "Laterality") == (
        "SeriesDate",
        "Laterality",
        "SeriesDescription",
    )
    assert include("Laterality", "all") == (ALL,)
    assert include("") == ()
    assert include("0010,0020,(0008,103e),Laterality,00400275.00400009") == (
        "PatientID",
        "SeriesDescription",
        "Laterality",
        "RequestAttributesSequence.ScheduledProcedureStepID",
    )


def test_names_that_mean_nothing_are_given_back() -> None:
    query, ignored = parse(
        [("Nonsense", "1"), ("includefield", "Bogus,PatientID"), ("accept", "application/dicom+json")],
        "STUDY",
    )
    assert ignored == ("Nonsense", "Bogus")
    assert parse([("00020010", "1.2"), ("includefield", "00000902")], "STUDY")[1] == ("00020010", "00000902")
    assert query.matches == ()
    assert query.include == ("PatientID",)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("limit", "-1", "limit"),
        ("limit", "many", "limit"),
        ("limit", "²", "limit"),
        ("offset", "1.5", "offset"),
        ("offset", "9" * 5000, "offset"),
        ("fuzzymatching", "perhaps", "fuzzymatching"),
        ("StudyDate", "2024-01-01", "StudyDate"),
        ("StudyDate", "20241301", "StudyDate"),
        ("StudyDate", "20240101-20230101", "StudyDate"),
        ("StudyDate", "-", "StudyDate"),
        ("StudyDate", "2024*", "StudyDate"),
        ("StudyTime", "2500", "StudyTime"),
        ("StudyInstanceUID", "1.2.*", "StudyInstanceUID"),
        ("SeriesNumber", "one", "SeriesNumber"),
        ("SliceThickness", "thin", "SliceThickness"),
        ("PatientID", "a\x00b", "PatientID"),
        ("PatientID", "*a" * 9, "PatientID"),
        ("FrameIncrementPointer", "yes", "FrameIncrementPointer"),
        ("PixelData", "1", "PixelData"),
        ("RequestAttributesSequence", "1", "RequestAttributesSequence"),
        ("PatientID.PatientName", "1", "PatientID"),
    ],
)
def test_what_cannot_be_understood_is_named_but_not_repeated(name: str, value: str, says: str) -> None:
    with pytest.raises(BadRequest) as refused:
        parse([(name, value)], "STUDY")
    message = f"{refused.value} {refused.value.hint}"
    assert says in message
    assert value not in message or value in {"-", "1"}


@pytest.mark.parametrize("name", ["limit", "PatientID"])
def test_a_parameter_is_given_once(name: str) -> None:
    with pytest.raises(BadRequest, match=f"{name} is given twice"):
        parse([(name, "1"), (name, "2")], "STUDY")
    with pytest.raises(BadRequest, match="PatientID is given twice"):
        parse([("PatientID", "1"), ("00100020", "1")], "STUDY")


NAMES = st.sampled_from(
    [
        "limit",
        "offset",
        "fuzzymatching",
        "includefield",
        "PatientName",
        "StudyDate",
        "StudyTime",
        "AcquisitionDateTime",
        "StudyInstanceUID",
        "SeriesNumber",
        "SliceThickness",
        "00081115.0020000E",
    ]
)


@given(st.lists(st.tuples(NAMES | st.text(), st.text())))
def test_any_parameters_give_a_query_or_a_clear_refusal(params: list[tuple[str, str]]) -> None:
    try:
        query, ignored = parse(params, "STUDY")
    except BadRequest:
        return
    assert query.offset >= 0
    for match in query.matches:
        assert not any(re.search(r"[\x00-\x1f]", value) for value in match.values)
        assert bool(match.values) == (match.kind != "empty")
    assert set(ignored).isdisjoint(query.include)


@given(st.dates(), st.dates())
def test_any_two_dates_are_a_range_in_their_order(one_day: object, other: object) -> None:
    first, last = sorted(str(day).replace("-", "") for day in (one_day, other))
    assert set(one("StudyDate", f"{first}-{last}").values) == {first, last}


# C-FIND


def identifier(**keys: object) -> Dataset:
    ds = Dataset()
    with quietly():
        for keyword, value in keys.items():
            setattr(ds, keyword, value)
    return ds


def test_the_keys_of_an_identifier_are_matched_and_answered() -> None:
    step = identifier(ScheduledProcedureStepID="S*", ScheduledProtocolCodeSequence=[])
    ds = identifier(
        QueryRetrieveLevel="STUDY",
        SpecificCharacterSet="ISO_IR 100",
        StudyDate="20240101-20240131",
        StudyInstanceUID=["1.2", "1.3"],
        PatientName="Müller^*",
        PatientID="",
        Modality="CT,MR",
        SeriesNumber=3,
        RequestAttributesSequence=[step],
    )
    ds.add_new(0x00291001, "LO", "private")
    query = from_identifier(ds, "STUDY")
    assert query.matches == (
        Match(("StudyDate",), "range", ("20240101", "20240131")),
        Match(("Modality",), "exact", ("CT,MR",)),  # a comma lists nothing in DIMSE
        Match(("PatientName",), "wildcard", ("Müller^*",)),
        Match(("StudyInstanceUID",), "list", ("1.2", "1.3")),
        Match(("SeriesNumber",), "exact", ("3",)),
        Match(("00291001",), "exact", ("private",)),
        Match(("RequestAttributesSequence", "ScheduledProcedureStepID"), "wildcard", ("S*",)),
    )
    assert query.include == (
        "StudyDate",
        "Modality",
        "PatientName",
        "PatientID",
        "StudyInstanceUID",
        "SeriesNumber",
        "00291001",
        "RequestAttributesSequence.ScheduledProtocolCodeSequence",
        "RequestAttributesSequence.ScheduledProcedureStepID",
    )


def test_an_empty_item_asks_for_the_whole_sequence() -> None:
    query = from_identifier(identifier(RequestAttributesSequence=[Dataset()]), "SERIES")
    assert (query.matches, query.include) == ((), ("RequestAttributesSequence",))


def test_fuzzy_matching_is_for_those_who_negotiated_it() -> None:
    ds = identifier(PatientName="noa keal")
    assert from_identifier(ds, "PATIENT").matches[0].kind == "exact"
    assert from_identifier(ds, "PATIENT", fuzzy=True).matches[0].kind == "text"


def test_a_key_that_cannot_be_matched_is_named() -> None:
    ds = Dataset()
    ds.add(RawDataElement(Tag("SeriesNumber"), "IS", 3, b"one", 0, False, True))
    with pytest.raises(BadRequest, match="SeriesNumber"):
        from_identifier(ds, "SERIES")
    with pytest.raises(BadRequest, match="StudyDate"):
        from_identifier(identifier(StudyDate="-"), "SERIES")
