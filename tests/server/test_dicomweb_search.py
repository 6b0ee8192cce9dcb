"""QIDO-RS through the door: what clients ask, and the very JSON that they get."""

from typing import Any

import pytest

from kahu.access import Grant
from kahu.testing import samples

ct = [samples.instance(number=n) for n in (1, 2)]
mr = samples.instance(
    modality="MR", patient_id="P-2", patient_name="Kahale^Ipo", attributes={"StudyDate": "20200101"}
)
STUDY, SERIES = str(ct[0].StudyInstanceUID), str(ct[0].SeriesInstanceUID)
BASE = "http://testserver/dicomweb"


@pytest.fixture(scope="module")
def client(shared_archive: Any) -> Any:
    shared_archive.add(*ct, mr)
    return shared_archive.client()


def uids(answer: Any, tag: str = "0020000D") -> list[str]:
    assert answer.status_code == 200, answer.text
    return [row[tag]["Value"][0] for row in answer.json()]


def test_a_study(client: Any) -> None:
    answer = client.get(f"/dicomweb/studies?StudyInstanceUID={STUDY}")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/dicom+json"
    assert "warning" not in answer.headers
    assert answer.json() == [
        {
            "00080020": {"vr": "DA", "Value": ["20240517"]},
            "00080030": {"vr": "TM", "Value": ["101530"]},
            "00080050": {"vr": "SH", "Value": ["A-1"]},
            "00080056": {"vr": "CS", "Value": ["ONLINE"]},
            "00080061": {"vr": "CS", "Value": ["CT"]},
            "00080062": {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.2"]},
            "00080090": {"vr": "PN", "Value": [{"Alphabetic": "Akana^Leilani"}]},
            "00081030": {"vr": "LO", "Value": ["Sample study"]},
            "00081190": {"vr": "UR", "Value": [f"{BASE}/studies/{STUDY}"]},
            "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Kealoha^Noa"}]},
            "00100020": {"vr": "LO", "Value": ["P-1"]},
            "00100030": {"vr": "DA", "Value": ["19700101"]},
            "00100040": {"vr": "CS", "Value": ["O"]},
            "0020000D": {"vr": "UI", "Value": [STUDY]},
            "00200010": {"vr": "SH", "Value": ["1"]},
            "00201206": {"vr": "IS", "Value": [1]},
            "00201208": {"vr": "IS", "Value": [2]},
        }
    ]


def test_each_level_says_where_it_is_retrieved(client: Any) -> None:
    (series,) = client.get(f"/dicomweb/studies/{STUDY}/series").json()
    assert series["00081190"]["Value"] == [f"{BASE}/studies/{STUDY}/series/{SERIES}"]
    assert series["00201209"] == {"vr": "IS", "Value": [2]}
    instances = client.get(f"/dicomweb/studies/{STUDY}/series/{SERIES}/instances").json()
    assert [one["00081190"]["Value"][0] for one in instances] == [
        f"{BASE}/studies/{STUDY}/series/{SERIES}/instances/{ds.SOPInstanceUID}" for ds in ct
    ]


@pytest.mark.parametrize(
    ("path", "level", "number"),
    [
        ("studies", "0020000D", 2),
        ("series", "0020000E", 2),
        ("instances", "00080018", 3),
        (f"studies/{STUDY}/series", "0020000E", 1),
        (f"studies/{STUDY}/instances", "00080018", 2),
        (f"studies/{STUDY}/series/{SERIES}/instances", "00080018", 2),
        (f"studies/{mr.StudyInstanceUID}/series/{SERIES}/instances", "00080018", 0),
        ("studies/1.2.3/series", "0020000E", 0),
    ],
)
def test_every_level_with_and_without_parent(client: Any, path: str, level: str, number: int) -> None:
    assert len(set(uids(client.get(f"/dicomweb/{path}"), level))) == number


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("ModalitiesInStudy=CT%2CMR", 2),
        ("ModalitiesInStudy=MR", 1),
        ("ModalitiesInStudy=PT", 0),
        ("PatientName=*keal*", 1),
        ("00100020=*-2", 1),
        ("StudyDate=20190101-20201231", 1),
        ("StudyDate=-20240517", 2),
        (f"StudyInstanceUID={STUDY}%5C{mr.StudyInstanceUID}", 2),
        ("PatientName=ipo%20kahale&fuzzymatching=true", 1),
        ('AccessionNumber=""', 0),
        ("limit=1", 1),
        ("limit=0", 0),
        ("offset=1", 1),
        ("offset=99999999999999999999", 0),
    ],
)
def test_questions(client: Any, query: str, found: int) -> None:
    assert len(uids(client.get(f"/dicomweb/studies?{query}"))) == found


def test_what_is_ignored_and_what_is_left_over_is_said(client: Any) -> None:
    answer = client.get("/dicomweb/studies?limit=1&Nonsense=1&Sm%C3%B8rrebr%C3%B8d%0D%0AX%3A=2")
    assert answer.headers.get_list("warning") == [
        '299 kahu "These parameters were not understood and are ignored: Nonsense, Sm?rrebr?d??X?"',
        '299 kahu "There are more results; ask for them with offset=1"',
    ]
    assert len(uids(answer)) == 1


@pytest.mark.parametrize(
    ("query", "says"),
    [("limit=-1", "limit"), ("StudyDate=yesterday", "StudyDate"), ("fuzzymatching=1", "fuzzymatching")],
)
def test_a_question_that_cannot_be_understood_is_400(client: Any, query: str, says: str) -> None:
    answer = client.get(f"/dicomweb/studies?{query}")
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/json"
    assert says in answer.json()["error"]
    assert set(answer.json()) == {"error", "hint"}


def test_other_types_than_json_cannot_be_had(client: Any) -> None:
    answer = client.get("/dicomweb/studies", headers={"Accept": "application/dicom+xml"})
    assert answer.status_code == 406
    assert answer.json()["hint"] == "accept application/dicom+json or application/json"
    plain = client.get("/dicomweb/studies", headers={"Accept": "application/json"})
    assert plain.headers["content-type"] == "application/json"


def test_the_base_may_hold_a_token_of_its_own(archive: Any) -> None:
    archive.add(ct[0])
    (study,) = archive.client(base="/s/{token}/dicomweb").get("/s/a-b/dicomweb/studies").json()
    assert study["00081190"]["Value"] == [f"http://testserver/s/a-b/dicomweb/studies/{STUDY}"]


def test_an_asker_finds_what_the_grant_opens(archive: Any) -> None:
    archive.add(*ct, mr)
    partial = archive.client(Grant(who="x", may=frozenset({"read"}), series=frozenset({SERIES})))
    assert uids(partial.get("/dicomweb/studies")) == [STUDY]
    assert uids(partial.get("/dicomweb/series"), "0020000E") == [SERIES]
    assert uids(partial.get(f"/dicomweb/studies/{mr.StudyInstanceUID}/series")) == []
    blind = archive.client(Grant(who="x", may=frozenset({"write"})))
    assert blind.get("/dicomweb/studies").status_code == 403


def test_head_and_methods_that_are_not_there(client: Any) -> None:
    head = client.head("/dicomweb/studies")
    assert (head.status_code, head.content) == (200, b"")
    assert int(head.headers["content-length"]) > 100
    assert client.delete("/dicomweb/studies").status_code == 405
    assert client.get("/dicomweb/patients").status_code == 404
