"""Any attribute can be asked for: what the index has not, the kept headers know; and both match alike."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import Dataset

from kahu.catalog import kept
from kahu.catalog.scope import Scope
from kahu.dicom import attributes
from kahu.dicom.attributes import UNIQUE, Level
from kahu.dicom.holds import holds
from kahu.dicom.match import match_of
from kahu.dicom.query import Match, Query
from kahu.testing import samples
from kahu.testing.catalogue import Catalogue, open_catalogue

OPERATORS = ["Li^Ann", "Müller^Jörg", ["Li^Bo", "Noa"], None]
NAMES = ["Müller^Jörg", "Yamada^Tarou=山田^太郎=やまだ^たろう", "Noa^Kealoha", "[x]^50%_a"]


def instance(study: int, series: int, number: int) -> Dataset:
    ds = samples.instance(
        number=number,
        rows=4,
        columns=4,
        patient_id=f"P-{study // 2}",
        study_uid=f"1.2.{study}",
        series_uid=f"1.2.{study}.{series}",
        attributes={
            "PatientName": NAMES[study // 2 % 4],
            "StudyDate": ("20240101", "20240517", "")[study % 3],
            "SeriesDescription": ("Chest", "T1 [sag]", "a b")[series],
            "SliceThickness": ("2", "2.0", "5")[series],
            "ImageType": [["ORIGINAL", "PRIMARY"], ["DERIVED", "SECONDARY", "MPR"]][number % 2],
            "OtherPatientNames": f"Alias^{study // 2}",
            "ExposureTime": str(100 * number),
            "KVP": "120",
            "AcquisitionTime": ("101530", "093000.25", "2359")[number % 3],
            "ExposedArea": [10, 20 + number],
        },
    )
    if (operator := OPERATORS[(study + series) % 4]) is not None:
        ds.OperatorsName = operator
    if series < 2:
        steps = [(f"S{study}", "x"), (f"S{series}", "y")]
        items = []
        for step, procedure in steps:
            item = Dataset()
            item.ScheduledProcedureStepID, item.RequestedProcedureID = step, procedure
            items.append(item)
        ds.RequestAttributesSequence = items
    block = ds.private_block(0x0029, "KAHU TEST", create=True)
    block.add_new(0x10, "DS", ["1.50", str(number)])
    return ds


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalogue]:
    home = tmp_path_factory.mktemp("headers")
    for study in range(6):
        for series in range(1 + study % 3):
            for number in range(1, 3 + series):
                ds = instance(study, series, number)
                samples.save(ds, home / f"store{study % 2}" / f"{ds.SOPInstanceUID}.dcm")
    catalogue = open_catalogue(home / "home")
    for folder in ("store0", "store1"):
        catalogue.scan(catalogue.add(home / folder))
    yield catalogue
    catalogue.database.close()


def asked(name: str, value: str, fuzzy: bool = False) -> Match:
    match = match_of(tuple(name.split(".")), value, fuzzy=fuzzy)
    assert match is not None
    return match


INDEXED = {
    "PatientName": ["müller^jörg", "MULLER*", "*ya*", "山田^太郎", "やまだ*", "Noa*\\*[x]*", '""', "*50%_a"],
    "StudyDate": ["20240101", "20240201-", "-20240201", "20240101,20240510-20240520", '""'],
    "SeriesDescription": ["Chest", "chest", "*[sag]", "? b", "C*\\T1*"],
    "SliceThickness": ["2", "2.00", "5,7"],
    "ImageType": ["ORIGINAL", "MPR", "SEC*", "*PR*"],
    "PatientID": ["P-1", "P-?", "*-2", "P-0\\P-2"],
    "SeriesInstanceUID": ["1.2.2.1", "1.2.2.1,1.2.0.0"],
    "Modality": ["CT", "MR"],
}
KEPT = {
    "OperatorsName": ["Li*", "li^ann", "muller*", "Noa", "Li^Bo\\Noa", '""', "*"],
    "OtherPatientNames": ["alias^1", "Alias^?"],
    "ExposureTime": ["100", "+200", "300,400", '""'],
    "ExposedArea": ["22", "10"],
    "AcquisitionTime": ["1015", "09-1100", "-12", "2359"],
    "00291010": ["1.5", "1.50", "2", "7"],
    "RequestAttributesSequence.ScheduledProcedureStepID": ["S0", "S?", "S4", '""'],
    "RequestAttributesSequence.RequestedProcedureID": ["x", "y", "z"],
}


@st.composite
def conditions(draw: st.DrawFn, among: dict[str, list[str]], most: int) -> list[Match]:
    names = draw(st.lists(st.sampled_from(sorted(among)), max_size=most, unique=True))
    found = (match_of(tuple(name.split(".")), draw(st.sampled_from(among[name]))) for name in names)
    return [match for match in found if match]


@pytest.fixture(scope="module")
def naive(full: Catalogue) -> Callable[[str, Sequence[Match]], set[str]]:
    """What a plain filter over all attributes of all instances finds: UIDs of this kind."""
    answer = full.ask(Query("IMAGE", include=("all",)))
    objects = list(zip(answer.rows, answer.extra, strict=True))
    return lambda uid, matches: {row[uid] for row, attributes in objects if holds(matches, attributes)}


@given(matches=conditions(INDEXED, 3))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_index_and_headers_match_alike(
    full: Catalogue, naive: Callable[..., set[str]], matches: list[Match]
) -> None:
    found = {row["SOPInstanceUID"] for row in full.ask(Query("IMAGE", tuple(matches))).rows}
    assert found == naive("SOPInstanceUID", matches)


@given(
    level=st.sampled_from(["PATIENT", "STUDY", "SERIES", "IMAGE"]),
    indexed=conditions(INDEXED, 1),
    others=conditions(KEPT, 2),
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_entity_matches_if_one_of_its_instances_does(
    full: Catalogue,
    naive: Callable[..., set[str]],
    level: Level,
    indexed: list[Match],
    others: list[Match],
) -> None:
    matches = (*indexed, *others)
    found = [row[UNIQUE[level]] for row in full.ask(Query(level, matches)).rows]
    if level != "PATIENT":  # the two stores' patients of one ID are two patients
        assert len(found) == len(set(found))
    assert set(found) == naive(UNIQUE[level], matches)


def test_conditions_within_a_sequence_are_met_by_one_item(full: Catalogue) -> None:
    def studies(step: str, procedure: str) -> int:
        path = "RequestAttributesSequence."
        both = (
            asked(path + "ScheduledProcedureStepID", step),
            asked(path + "RequestedProcedureID", procedure),
        )
        return len(full.ask(Query("STUDY", both)).rows)

    assert studies("S3", "x") == 1
    assert studies("S3", "y") == 0


@pytest.mark.parametrize("level", ["STUDY", "SERIES", "IMAGE"])
def test_pages_of_what_headers_know_join_to_the_whole(full: Catalogue, level: Level) -> None:
    matches = (asked("KVP", "120"), asked("OperatorsName", "Li*"))
    whole = full.ask(Query(level, matches))
    assert whole.rows
    assert not whole.more
    joined: list[dict[str, str]] = []
    more = True
    while more:
        page = full.ask(Query(level, matches, limit=2, offset=len(joined)))
        joined, more = joined + page.rows, page.more
    assert joined == whole.rows


def test_a_scope_hides_the_headers_of_other_stores(full: Catalogue) -> None:
    query = Query("STUDY", (asked("OtherPatientNames", "Alias*"),), include=("OtherPatientNames",))
    only = Scope(stores=frozenset({2}))
    answer = full.ask(query, only)
    assert {row["StudyInstanceUID"] for row in answer.rows} == {"1.2.0", "1.2.2", "1.2.4"}
    assert all("00101001" in extra for extra in answer.extra)
    one = Scope(series=frozenset({"1.2.5.0"}))
    assert [row["StudyInstanceUID"] for row in full.ask(query, one).rows] == ["1.2.5"]


def test_when_time_runs_out_this_is_said(full: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    query = Query("STUDY", (asked("OtherPatientNames", "Alias*"),))
    assert full.ask(query).whole
    monkeypatch.setattr(kept, "SECONDS", -1.0)
    late = full.ask(query)
    assert (late.rows, late.whole) == ([], False)
    assert full.ask(Query("STUDY")).whole  # the index needs no headers


# What is answered besides


def test_attributes_that_were_asked_for_come_from_a_header(full: Catalogue) -> None:
    include = (
        "OperatorsName",
        "RequestAttributesSequence.RequestedProcedureID",
        "00291010",
        "PatientComments",
    )
    answer = full.ask(Query("SERIES", series="1.2.2.1", include=include))
    (extra,) = answer.extra
    assert extra == {  # there are no operators, and no comments
        "00400275": {
            "vr": "SQ",
            "Value": [
                {"00401001": {"vr": "SH", "Value": ["x"]}},
                {"00401001": {"vr": "SH", "Value": ["y"]}},
            ],
        },
        "00291010": {"vr": "DS", "Value": [1.5, 3.0]},
    }


def test_all_are_those_of_the_level_and_above_without_bulk_data(full: Catalogue) -> None:
    def extra(level: Level) -> dict[str, Any]:
        return full.ask(Query(level, study="1.2.1", include=("all",), limit=1)).extra[0]

    assert "00101001" in extra("STUDY")
    assert "00081070" not in extra("STUDY")
    assert {"00101001", "00400275"} <= extra("SERIES").keys()
    assert "00181150" not in extra("SERIES")
    assert {"00101001", "00400275", "00181150", "00291010", "00280010"} <= extra("IMAGE").keys()
    assert "7FE00010" not in extra("IMAGE")
    assert full.ask(Query("STUDY", study="1.2.1", include=("StudyDate", "Modality"))).extra == ()


def test_the_guide_names_the_index_as_it_is() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "archive" / "search.md").read_text()
    rows = dict(
        line.strip("| ").split(" | ") for line in guide.partition("## The index")[2].splitlines()[4:8]
    )
    said = {level: tuple(names.split(", ")) for level, names in rows.items()}
    assert said == dict(
        zip(("patient", "study", "series", "instance"), attributes.INDEXED.values(), strict=True)
    )
