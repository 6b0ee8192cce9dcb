"""C-FIND: every level of every model, all kinds of keys and values, many answers, and an end when there is enough."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydicom import Dataset

from kahu.dicom.syntaxes import EXPLICIT_BE, EXPLICIT_LE, IMPLICIT_LE
from kahu.dimse import identifier
from kahu.dimse.command import C_CANCEL, C_FIND
from kahu.testing import samples

PATIENT_ROOT, STUDY_ROOT, PATIENT_STUDY_ONLY = (f"1.2.840.10008.5.1.4.1.2.{model}.1" for model in (1, 2, 3))
PENDING, PENDING_WITHOUT, CANCELLED, DOES_NOT_MATCH = 0xFF00, 0xFF01, 0xFE00, 0xA900

Door = Any
Dcmtk = Any


@pytest.fixture(scope="module")
def archive(shared_door: Door) -> Door:
    """Two patients: one with a CT and an MR series in a study, one with a study of two slices."""
    study = samples.uid("both")
    shared_door.add(
        samples.instance(
            study_uid=study,
            series_uid=samples.uid("ct"),
            patient_id="P1",
            patient_name="Müller^Jörg",
            attributes={"SpecificCharacterSet": "ISO_IR 192", "StudyDate": "20240105"},
        ),
        samples.instance(
            modality="MR",
            study_uid=study,
            series_uid=samples.uid("mr"),
            patient_id="P1",
            patient_name="Müller^Jörg",
            attributes={"SpecificCharacterSet": "ISO_IR 192", "StudyDate": "20240105"},
        ),
        *(
            samples.instance(
                number=number,
                patient_id="P2",
                patient_name="Kahale^Ipo",
                seed="second",
                attributes={"StudyDate": "20230701"},
            )
            for number in (1, 2)
        ),
    )
    return shared_door


def keys(level: str, **values: Any) -> Dataset:
    asked = Dataset()
    asked.QueryRetrieveLevel = level
    for keyword, value in values.items():
        setattr(asked, keyword, value)
    return asked


def find(
    door: Door, asked: Dataset, model: str = STUDY_ROOT, syntax: str = EXPLICIT_LE
) -> tuple[list[Dataset], list[int]]:
    """The identifiers of the pending responses, and all statuses."""
    with door.request((model, [syntax])) as ours:
        door.ask(ours, C_FIND, [identifier.encode(asked, syntax)])
        found: list[Dataset] = []
        statuses: list[int] = []
        while True:
            message = door.answer(ours)
            statuses.append(message.command["Status"])
            if statuses[-1] not in (PENDING, PENDING_WITHOUT):
                return found, statuses
            found.append(identifier.decode(message.data, syntax))


def test_every_level_of_every_model(archive: Door) -> None:
    wanted = {"PATIENT": 2, "STUDY": 2, "SERIES": 3, "IMAGE": 4}
    levels = tuple(wanted)
    for model, has in ((PATIENT_ROOT, levels), (STUDY_ROOT, levels[1:]), (PATIENT_STUDY_ONLY, levels[:2])):
        for level in levels:
            found, statuses = find(archive, keys(level), model)
            if level in has:
                assert (len(found), statuses[-1]) == (wanted[level], 0), (model, level)
            else:
                assert statuses == [DOES_NOT_MATCH]


@pytest.mark.parametrize("syntax", [IMPLICIT_LE, EXPLICIT_LE, EXPLICIT_BE])
def test_what_is_asked_for_is_answered(archive: Door, syntax: str) -> None:
    asked = keys(
        "SERIES",
        Modality="CT",
        PatientID="P1",
        PatientName="",
        SeriesNumber=None,
        NumberOfSeriesRelatedInstances=None,
        StudyInstanceUID="",
        FlipAngle=None,
    )
    (found,), statuses = find(archive, asked, syntax=syntax)
    assert statuses == [PENDING, 0]
    assert found.PatientName == "Müller^Jörg"
    assert found.SpecificCharacterSet == "ISO_IR 192"
    assert found.SeriesInstanceUID == samples.uid("ct")
    assert found.NumberOfSeriesRelatedInstances == 1
    assert found.RetrieveAETitle == "KAHU"
    assert found.InstanceAvailability == "ONLINE"
    assert found.QueryRetrieveLevel == "SERIES"
    assert found["FlipAngle"].is_empty
    assert "StudyDate" not in found


def test_binary_values(archive: Door) -> None:
    for syntax in (IMPLICIT_LE, EXPLICIT_BE):
        found, _ = find(archive, keys("IMAGE", Rows=None, ImageType=None, InstanceNumber=1), syntax=syntax)
        assert {one.Rows for one in found} == {64}
        assert all(len(one.ImageType) > 1 for one in found)


@pytest.mark.parametrize(
    ("values", "studies"),
    [
        ({"PatientName": "Kahale*"}, 1),
        ({"PatientName": "kahale^ipo"}, 1),
        ({"PatientName": "*j?rg*"}, 1),
        ({"PatientID": "P?"}, 2),
        ({"StudyDate": "20240101-20240131"}, 1),
        ({"StudyDate": "20230701"}, 1),
        ({"StudyDate": "-20231231"}, 1),
        ({"StudyInstanceUID": [samples.uid("both"), "1.2.3"]}, 1),
        ({"ModalitiesInStudy": "MR"}, 1),
        ({"Modality": "CT"}, 2),
        ({"AccessionNumber": "nothing like it"}, 0),
        ({"PatientName": "*", "StudyDescription": "*"}, 2),
    ],
)
def test_matching(archive: Door, values: dict[str, Any], studies: int) -> None:
    found, statuses = find(archive, keys("STUDY", **values))
    assert (len(found), statuses[-1]) == (studies, 0)


def test_an_identifier_in_another_character_set(archive: Door) -> None:
    asked = keys("STUDY", PatientName="Müller*")
    asked.SpecificCharacterSet = "ISO_IR 100"
    found, _ = find(archive, asked)
    assert len(found) == 1


def test_keys_that_the_index_has_not(archive: Door) -> None:
    asked = keys("SERIES", RescaleType="", StudyInstanceUID=samples.uid("both"))
    asked.add_new(0x00091001, "LO", "")
    asked.add_new(0x00081140, "SQ", [])
    found, statuses = find(archive, asked)
    assert set(statuses) == {PENDING, 0}
    assert sorted(one.RescaleType or "" for one in found) == ["", "HU"]
    assert all(one[0x00081140].is_empty and 0x00091001 in one for one in found)


@pytest.mark.parametrize(
    "data",
    [b"", b"garbage", bytes(range(256)) * 20, identifier.encode(keys("PLANET"), EXPLICIT_LE)],
    ids=["empty", "garbage", "more garbage", "no such level"],
)
def test_what_is_no_question(archive: Door, data: bytes) -> None:
    with archive.request((STUDY_ROOT, [EXPLICIT_LE])) as ours:
        archive.ask(ours, C_FIND, [data])
        assert archive.answer(ours).command["Status"] == DOES_NOT_MATCH
        archive.ask(ours, C_FIND, [identifier.encode(keys("STUDY"), EXPLICIT_LE)])
        assert archive.answer(ours).command["Status"] == PENDING, "the association goes on"
        while archive.answer(ours).command["Status"]:
            pass


def test_no_identifier_at_all(archive: Door) -> None:
    with archive.request((STUDY_ROOT, [EXPLICIT_LE])) as ours:
        archive.ask(ours, C_FIND)
        assert archive.answer(ours).command["Status"] == DOES_NOT_MATCH


def test_many_answers_and_a_cancel(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    from kahu.server.dimse import find as finding

    def endless(*_: Any) -> Iterator[Any]:
        while True:
            yield {"StudyInstanceUID": "1.2.3"}, {}, ()

    monkeypatch.setattr(finding, "_matches", endless)
    with door.request((STUDY_ROOT, [IMPLICIT_LE])) as ours:
        number = door.ask(ours, C_FIND, [identifier.encode(keys("STUDY"), IMPLICIT_LE)])
        for _ in range(1000):
            assert door.answer(ours).command["Status"] == PENDING
        ours.send(1, {"CommandField": C_CANCEL, "MessageIDBeingRespondedTo": number})
        while (status := door.answer(ours).command["Status"]) == PENDING:
            pass
        assert status == CANCELLED


def test_pages_are_told_as_one(archive: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    from kahu.server.dimse import find as finding

    monkeypatch.setattr(finding, "_FIRST", 1)
    monkeypatch.setattr(finding, "_PAGE", 2)
    found, _ = find(archive, keys("IMAGE"))
    assert len({one.SOPInstanceUID for one in found}) == 4


def test_findscu(archive: Door, dcmtk: Dcmtk) -> None:
    asked = ("-k", "QueryRetrieveLevel=PATIENT", "-k", "PatientID=P2", "-k", "PatientName")
    done = dcmtk("findscu", "-v", "-P", "127.0.0.1", archive.port, *asked)
    told = done.stdout + done.stderr
    assert done.returncode == 0
    assert "[Kahale^Ipo" in told
    assert "Received Final Find Response (Success)" in told


def test_pynetdicom(archive: Door) -> None:
    from pynetdicom import AE

    entity = AE()
    entity.add_requested_context(STUDY_ROOT)
    caller = entity.associate("127.0.0.1", archive.port)
    answers: list[Any] = list(
        caller.send_c_find(keys("STUDY", PatientID="P1", ModalitiesInStudy=""), STUDY_ROOT)
    )
    caller.release()
    assert [status.Status for status, _ in answers] == [PENDING, 0]
    assert sorted(answers[0][1].ModalitiesInStudy) == ["CT", "MR"]
