"""QIDO-RS for attributes that are not of the index: matched, answered, and in the words of a real client."""

from collections.abc import Iterator
from typing import Any

import pytest
from dicomweb_client.api import DICOMwebClient
from pydicom import Dataset

from kahu.catalog import kept
from kahu.testing import samples


def with_request(number: int, step: str, **attributes: Any) -> Dataset:
    request, code = Dataset(), Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "P5-09051", "SRT", "Chest"
    request.ScheduledProcedureStepID, request.RequestedProcedureID = step, "R-1"
    request.ScheduledProtocolCodeSequence = [code]
    ds = samples.instance(number=number, study_uid="1.2.3", series_uid="1.2.3.4", attributes=attributes)
    ds.RequestAttributesSequence = [request]
    ds.private_block(0x0029, "KAHU TEST", create=True).add_new(0x10, "LO", "coil A")
    return ds


OBJECTS = (
    with_request(1, "S-1", OperatorsName="Li^Ann", ExposureTime="100", OtherPatientNames="Alias^One"),
    with_request(2, "S-1", OperatorsName="Li^Ann", ExposureTime="200", OtherPatientNames="Alias^One"),
    samples.instance(modality="MR", patient_id="P-2", study_uid="1.2.9"),
)


@pytest.fixture(scope="module")
def client(shared_archive: Any) -> Any:
    shared_archive.add(*OBJECTS)
    return shared_archive.client()


def rows(client: Any, path: str) -> list[dict[str, Any]]:
    answer = client.get(f"/dicomweb{path}")
    assert answer.status_code == 200, answer.text
    assert "warning" not in answer.headers
    found: list[dict[str, Any]] = answer.json()
    return found


@pytest.mark.parametrize(
    ("path", "number"),
    [
        ("/studies?OperatorsName=li*", 1),
        ("/studies?00081070=Li%5EAnn", 1),
        ("/studies?(0008,1070)=Li%5EAnn", 1),
        ("/studies?0008-1070=Wu*", 0),
        ('/studies?OperatorsName=""', 1),
        ("/studies?ExposureTime=200", 1),
        ("/instances?ExposureTime=200", 1),
        ("/instances?ExposureTime=100,200", 2),
        ("/series?00291010=coil*", 1),
        ("/studies?RequestAttributesSequence.ScheduledProcedureStepID=S-1", 1),
        ("/series?00400275.00400009=S-2", 0),
        ("/series?00400275.00400008.00080100=P5-09051", 1),
        ("/studies/1.2.3/instances?ExposureTime=100&OperatorsName=Li*&InstanceNumber=1", 1),
        ("/studies/1.2.9/series?OperatorsName=Li*", 0),
        ("/studies/1.2.3/series/1.2.3.4/instances?ExposureTime=300", 0),
    ],
)
def test_any_attribute_is_matched(client: Any, path: str, number: int) -> None:
    assert len(rows(client, path)) == number


def test_what_was_asked_for_is_answered_in_the_order_of_tags(client: Any) -> None:
    (row,) = rows(
        client,
        "/studies?PatientID=P-1&OtherPatientNames=Alias*&includefield=OperatorsName&includefield=0029,1010,00181150",
    )
    assert row["00101001"] == {"vr": "PN", "Value": [{"Alphabetic": "Alias^One"}]}
    assert row["00081070"] == {"vr": "PN", "Value": [{"Alphabetic": "Li^Ann"}]}
    assert row["00291010"] == {"vr": "LO", "Value": ["coil A"]}
    assert list(row) == sorted(row)


def test_a_series_tells_who_requested_it(client: Any) -> None:
    (row,) = rows(client, "/studies/1.2.3/series")
    request = {"00400009": {"vr": "SH", "Value": ["S-1"]}, "00401001": {"vr": "SH", "Value": ["R-1"]}}
    assert row["00400275"] == {"vr": "SQ", "Value": [request]}
    (whole,) = rows(client, "/studies/1.2.3/series?includefield=RequestAttributesSequence")
    assert "00400008" in whole["00400275"]["Value"][0]
    (inner,) = rows(client, "/studies/1.2.3/series?includefield=00400275.00400008.00080100")
    protocol = inner["00400275"]["Value"][0]["00400008"]["Value"]
    assert protocol == [{"00080100": {"vr": "SH", "Value": ["P5-09051"]}}]
    assert "00400275" not in rows(client, "/studies/1.2.9/series")[0]


def test_all_attributes_of_instances_but_bulk_data(client: Any) -> None:
    row = rows(client, "/instances?includefield=all&ExposureTime=200")[0]
    assert row["00181150"] == {"vr": "IS", "Value": [200]}
    assert row["00081190"]["vr"] == "UR"
    assert "7FE00010" not in row
    assert "BulkDataURI" not in str(row)
    assert list(row) == sorted(row)


def test_a_search_that_runs_out_of_time_says_so(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "SECONDS", -1.0)
    answer = client.get("/dicomweb/studies?OperatorsName=Li*")
    assert (answer.status_code, answer.json()) == (200, [])
    (warning,) = answer.headers.get_list("warning")
    assert "not all could be looked at" in warning


def test_what_is_computed_is_no_condition(client: Any) -> None:
    answer = client.get("/dicomweb/studies?NumberOfStudyRelatedInstances=7&00020010=1.2&limit=2")
    assert len(answer.json()) == 2
    assert answer.headers.get_list("warning") == [
        '299 kahu "These parameters were not understood and are ignored: 00020010, NumberOfStudyRelatedInstances"'
    ]


@pytest.fixture(scope="module")
def remote(shared_archive: Any, client: Any) -> Iterator[DICOMwebClient]:
    with shared_archive.served() as url:
        yield DICOMwebClient(url)


def test_a_client_that_others_wrote_asks_and_understands(remote: DICOMwebClient) -> None:
    step = "RequestAttributesSequence.ScheduledProcedureStepID"
    (found,) = remote.search_for_series(search_filters={step: "S-1"}, fields=["OperatorsName", "00291010"])
    series = Dataset.from_json(found)
    assert series.OperatorsName == "Li^Ann"
    assert series.RequestAttributesSequence[0].RequestedProcedureID == "R-1"
    assert series[0x0029, 0x1010].value == "coil A"
    (found,) = remote.search_for_instances("1.2.3", search_filters={"ExposureTime": "200"})
    assert Dataset.from_json(found).InstanceNumber == 2
