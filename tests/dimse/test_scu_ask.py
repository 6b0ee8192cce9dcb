"""Peers are tested and asked: what they can do, what they have, and in which words it fails."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydicom import Dataset
from pynetdicom import evt

from kahu.dimse import contexts, reach, scu
from kahu.dimse.contexts import VERIFICATION
from kahu.dimse.peers import Peer
from kahu.dimse.question import identifier, level_of, row
from kahu.dimse.reach import Ourselves
from kahu.errors import AssociationLost, AssociationRefused, BadRequest, RefusedByPeer
from kahu.testing import samples

US = Ourselves("KAHU")
FIND = contexts.STUDY_FIND


def at(port: int) -> Peer:
    return Peer("peer", "PEER", "127.0.0.1", port)


def answering(*answers: tuple[int, Dataset | None]) -> list[Any]:
    """A handler that answers every question so."""

    def handle(_event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        yield from answers

    return [(evt.EVT_C_FIND, handle)]


def study(number: int) -> Dataset:
    found = Dataset()
    found.StudyInstanceUID = f"1.2.{number}"
    return found


# The connection


def test_a_peer_says_what_it_can_do(pynetdicom_peer: Callable[..., Peer]) -> None:
    peer = pynetdicom_peer([(VERIFICATION,), (FIND,)])
    assert scu.echo(peer, US).can == {"echo", "find"}


def test_nobody_there_is_said_so() -> None:
    with pytest.raises(AssociationLost, match="cannot be reached") as raised:
        scu.echo(at(1), US)
    assert raised.value.hint


def test_a_host_that_is_not_known_is_said_so() -> None:
    with pytest.raises(AssociationLost, match=r"nowhere\.invalid"):
        scu.echo(Peer("peer", "PEER", "nowhere.invalid", 104), US)


def test_a_peer_that_does_not_know_us_is_said_so(pynetdicom_peer: Callable[..., Peer]) -> None:
    peer = pynetdicom_peer([(VERIFICATION,)], require_calling_aet=["SOMEBODY"])
    with pytest.raises(AssociationRefused, match="calling AE title"):
        scu.echo(peer, US)


def test_a_peer_of_another_title_is_said_so(pynetdicom_peer: Callable[..., Peer]) -> None:
    peer = pynetdicom_peer([(VERIFICATION,)], require_called_aet=True)
    with pytest.raises(AssociationRefused, match="called AE title"):
        scu.echo(Peer("peer", "ANOTHER", peer.host, peer.port), US)


def test_a_silent_peer_is_given_up(silent: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kahu.dimse.association.ARTIM", 0.3)
    with pytest.raises(AssociationLost, match="silent"):
        scu.echo(at(silent), US)


def test_an_echo_that_is_refused_is_told_in_words(pynetdicom_peer: Callable[..., Peer]) -> None:
    peer = pynetdicom_peer([(VERIFICATION,)], [(evt.EVT_C_ECHO, lambda _event: 0x0124)])
    with pytest.raises(RefusedByPeer, match=r"we are not allowed to \(0124\)"):
        scu.echo(peer, US)


# Questions


def test_studies_are_found_in_an_archive(dcmqrscp: Any) -> None:
    dcmqrscp.add(
        samples.instance(patient_id="P-1", patient_name="Doe^Jane"),
        samples.instance(patient_id="P-2", patient_name="Roe^Jim", modality="MR"),
    )
    found = scu.find(dcmqrscp.peer, US, "STUDY", {"name": "Doe*"}, 10)
    assert [(one["PatientID"], one["StudyInstanceUID"]) for one in found.rows] == [
        ("P-1", samples.uid("study", "", "P-1"))
    ]
    assert not found.more
    patients = scu.find(dcmqrscp.peer, US, "PATIENT", {}, 10).rows
    assert sorted(one["PatientID"] for one in patients) == ["P-1", "P-2"]


def test_more_than_was_asked_for_is_said_so(pynetdicom_peer: Callable[..., Peer]) -> None:
    peer = pynetdicom_peer([(FIND,)], answering(*((0xFF00, study(n)) for n in range(5)), (0, None)))
    found = scu.find(peer, US, "STUDY", {}, 3)
    assert (len(found.rows), found.more) == (3, True)
    assert not scu.find(peer, US, "STUDY", {}, 5).more


def test_names_come_in_their_character_set(pynetdicom_peer: Callable[..., Peer]) -> None:
    told = study(1)
    told.SpecificCharacterSet = "ISO_IR 192"
    told.PatientName = "Müller^Jörg"
    told.ModalitiesInStudy = ["CT", "SEG"]
    peer = pynetdicom_peer([(FIND,)], answering((0xFF00, told), (0, None)))
    assert scu.find(peer, US, "STUDY", {"name": "Müller*"}, 5).rows == [
        {"StudyInstanceUID": "1.2.1", "PatientName": "Müller^Jörg", "ModalitiesInStudy": "CT\\SEG"}
    ]


def test_a_refusal_is_told_in_words(pynetdicom_peer: Callable[..., Peer]) -> None:
    peer = pynetdicom_peer([(FIND,)], answering((0xA700, None)))
    with pytest.raises(RefusedByPeer, match="no resources left"):
        scu.find(peer, US, "STUDY", {}, 5)


def test_a_peer_that_aborts_is_told(pynetdicom_peer: Callable[..., Peer]) -> None:
    def abort(event: evt.Event) -> Iterator[tuple[int, None]]:
        event.assoc.abort()
        yield 0xFF00, None

    peer = pynetdicom_peer([(FIND,)], [(evt.EVT_C_FIND, abort)])
    with pytest.raises(AssociationLost, match="aborted"):
        scu.find(peer, US, "STUDY", {}, 5)


def test_a_peer_that_never_answers_is_given_up(
    pynetdicom_peer: Callable[..., Peer], monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    end = threading.Event()

    def hang(_event: evt.Event) -> Iterator[tuple[int, None]]:
        end.wait(30)
        yield 0, None

    monkeypatch.setattr(reach, "ANSWER", 0.3)
    peer = pynetdicom_peer([(FIND,)], [(evt.EVT_C_FIND, hang)])
    with pytest.raises(AssociationLost, match="has not answered for"):
        scu.find(peer, US, "STUDY", {}, 5)
    end.set()


def test_one_that_answers_no_questions_is_said_so(pynetdicom_peer: Callable[..., Peer]) -> None:
    with pytest.raises(AssociationRefused, match="performs none"):
        scu.find(pynetdicom_peer([(VERIFICATION,)]), US, "STUDY", {}, 5)


# What is asked


def test_everyday_names_become_attributes_of_the_level() -> None:
    asked = identifier("STUDY", {"Name": "DOE*", "date": "20240101-", "modality": "CT", "accession": "7"})
    assert (asked.PatientName, asked.StudyDate, asked.ModalitiesInStudy) == ("DOE*", "20240101-", "CT")
    assert asked.AccessionNumber == "7"
    assert identifier("SERIES", {"study": "1.2", "modality": "CT"}).Modality == "CT"


@pytest.mark.parametrize(
    ("level", "keys", "word"),
    [
        ("STUDY", {"shoe": "1"}, "shoe"),
        ("STUDY", {"date": "31.1.2024"}, "StudyDate"),
        ("SERIES", {"modality": "CT"}, "study"),
        ("IMAGE", {"study": "1.2"}, "series"),
    ],
)
def test_what_cannot_be_asked_is_told(level: Any, keys: dict[str, str], word: str) -> None:
    with pytest.raises(BadRequest, match=word):
        identifier(level, keys)


def test_there_are_four_levels() -> None:
    assert [level_of(word) for word in ("patient", "Study", "SERIES", "instance")] == [
        "PATIENT",
        "STUDY",
        "SERIES",
        "IMAGE",
    ]
    with pytest.raises(BadRequest):
        level_of("frame")


def test_what_cannot_be_read_of_an_answer_is_left_out() -> None:
    from pydicom.dataelem import RawDataElement
    from pydicom.tag import Tag

    answer = study(1)
    bad = RawDataElement(Tag("NumberOfStudyRelatedInstances"), "US", 3, b"abc", 0, False, True)
    answer[bad.tag] = bad
    assert row(answer) == {"StudyInstanceUID": "1.2.1"}
