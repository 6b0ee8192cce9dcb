"""Studies come from a peer: by C-GET, only what is missing, again after a stop; and what did not come is told."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydicom import Dataset
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
)
from pynetdicom import evt

from kahu.catalog import fetch
from kahu.catalog.scope import ALL
from kahu.dimse import contexts
from kahu.dimse.peers import Peer
from kahu.dimse.transfers import Part
from kahu.testing import samples

STUDY = samples.uid("study", "", "P-1")


def slices(number: int, **how: Any) -> list[Dataset]:
    return [samples.instance(number=n, rows=16, columns=16, **how) for n in range(1, number + 1)]


def here(home: Any, study: str = STUDY) -> dict[str, Any]:
    with home.database.read() as db:
        return {one.sop_instance_uid: one for one in fetch.instances(db, ALL, study=study)}


def kept(home: Any, one: Any) -> bytes:
    """The data set of an object as Kahu keeps it."""
    return fetch.read(home.places, one, one.dataset_offset, one.entry.size - one.dataset_offset)


def encoded(ds: Dataset) -> bytes:
    whole = samples.encode(ds)
    return whole[144 + int.from_bytes(whole[140:144], "little") :]


class Archive:
    """An SCP of pynetdicom's that can be asked for these objects, and can be made to misbehave."""

    def __init__(self, *objects: Dataset) -> None:
        self.objects = {str(ds.SOPInstanceUID): ds for ds in objects}
        self.asked: list[Dataset] = []
        self.before: Callable[[int, evt.Event], None] = lambda _number, _event: None
        self.tells_classes = True
        self.final: int | None = None

    @property
    def handlers(self) -> list[Any]:
        return [(evt.EVT_C_FIND, self.find), (evt.EVT_C_GET, self.get)]

    def find(self, event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        asked = event.identifier
        told: set[str] = set()
        for ds in self.objects.values():
            if asked.StudyInstanceUID != ds.StudyInstanceUID:
                continue
            if asked.QueryRetrieveLevel == "SERIES" and ds.SeriesInstanceUID not in told:
                told.add(ds.SeriesInstanceUID)
                yield 0xFF00, self._row(ds, "SeriesInstanceUID")
            elif asked.QueryRetrieveLevel == "IMAGE" and asked.SeriesInstanceUID == ds.SeriesInstanceUID:
                yield 0xFF00, self._row(ds, "SOPInstanceUID", *["SOPClassUID"][: self.tells_classes])

    def _row(self, ds: Dataset, *keywords: str) -> Dataset:
        row = Dataset()
        for keyword in keywords:
            setattr(row, keyword, ds[keyword].value)
        return row

    def get(self, event: evt.Event) -> Iterator[Any]:
        asked = event.identifier
        self.asked.append(asked)
        some = asked.get("SOPInstanceUID", "")
        uids = [some] if isinstance(some, str) else list(some)
        wanted = [
            ds
            for ds in self.objects.values()
            if asked.SeriesInstanceUID == ds.SeriesInstanceUID and (uids == [""] or ds.SOPInstanceUID in uids)
        ]
        yield len(wanted)
        if self.final is not None:
            yield self.final, None
            return
        for number, ds in enumerate(wanted, 1):
            self.before(number, event)
            yield 0xFF00, ds


CONTEXTS = [
    (contexts.STUDY_FIND,),
    (contexts.STUDY_GET,),
    (CTImageStorage, [ExplicitVRLittleEndian, JPEG2000Lossless, RLELossless], True, True),
]


@pytest.fixture
def serve(pynetdicom_peer: Callable[..., Peer]) -> Callable[[Archive], Peer]:
    def start(archive: Archive) -> Peer:
        return pynetdicom_peer(CONTEXTS, archive.handlers)

    return start


def test_a_study_comes_from_an_archive_as_it_is_kept_there(home: Any, dcmqrscp: Any) -> None:
    objects = [
        *slices(3),
        *slices(2, seed="j2k", study_uid=STUDY, transfer_syntax=JPEG2000Lossless),
        samples.document(study_uid=STUDY, seed="sr"),
        *slices(1, patient_id="P-2"),
    ]
    dcmqrscp.add(*objects)
    result = home.done(home.retrieve(dcmqrscp.peer, STUDY))
    assert (result["arrived"], result["already"], result["failed"]) == (6, 0, 0)
    found = here(home)
    assert found.keys() == {ds.SOPInstanceUID for ds in objects[:-1]}
    for ds in objects[:-1]:
        assert found[ds.SOPInstanceUID].transfer_syntax == ds.file_meta.TransferSyntaxUID


def test_what_comes_is_kept_byte_for_byte(home: Any, serve: Callable[[Archive], Peer]) -> None:
    objects = [*slices(2), *slices(1, seed="j2k", study_uid=STUDY, transfer_syntax=JPEG2000Lossless)]
    objects[-1]["PixelData"].is_undefined_length = True
    home.done(home.retrieve(serve(Archive(*objects)), STUDY))
    found = here(home)
    assert {uid: kept(home, one) for uid, one in found.items()} == {
        str(ds.SOPInstanceUID): encoded(ds) for ds in objects
    }


def test_one_series_is_retrieved_alone(home: Any, serve: Callable[[Archive], Peer]) -> None:
    wanted, other = slices(2), slices(2, seed="other", study_uid=STUDY)
    peer = serve(Archive(*wanted, *other))
    part = Part(STUDY, wanted[0].SeriesInstanceUID)
    home.done(home.transfers.begin("retrieve", peer, [part], "tester"))
    assert here(home).keys() == {ds.SOPInstanceUID for ds in wanted}


def test_only_what_is_missing_is_asked_for(home: Any, serve: Callable[[Archive], Peer]) -> None:
    objects = slices(5)
    home.add(*objects[:3])
    archive = Archive(*objects)
    result = home.done(home.retrieve(serve(archive), STUDY))
    assert (result["arrived"], result["already"]) == (2, 3)
    assert list(archive.asked[0].SOPInstanceUID) == [ds.SOPInstanceUID for ds in objects[3:]]
    again = home.done(home.retrieve(home.peers.get("peer"), STUDY))
    assert (again["arrived"], again["already"]) == (0, 5)
    assert len(archive.asked) == 1


def test_a_peer_that_tells_no_sop_classes_is_retrieved_from(
    home: Any, serve: Callable[[Archive], Peer]
) -> None:
    archive = Archive(*slices(2))
    archive.tells_classes = False
    assert home.done(home.retrieve(serve(archive), STUDY))["arrived"] == 2


def test_a_study_that_is_not_there_is_said_so(home: Any, serve: Callable[[Archive], Peer]) -> None:
    task = home.ended(home.retrieve(serve(Archive()), "1.2.3"))
    assert "has no study 1.2.3" in task.message


def test_a_refusal_is_told_in_words(home: Any, serve: Callable[[Archive], Peer]) -> None:
    archive = Archive(*slices(1))
    archive.final = 0xA702
    task = home.ended(home.retrieve(serve(archive), STUDY))
    assert "no resources left to send the objects (A702)" in task.message


def test_objects_that_do_not_come_are_named_and_come_with_a_retry(
    home: Any, serve: Callable[[Archive], Peer]
) -> None:
    objects = slices(3)
    lost = objects[1]
    archive = Archive(*objects)
    whole, lost.SOPClassUID = (
        lost.SOPClassUID,
        "1.2.840.10008.5.1.4.1.1.4",
    )  # has no context, so it is not sent
    task = home.ended(home.retrieve(serve(archive), STUDY))
    assert task.state == "failed"
    assert task.result["arrived"] == 2
    assert [one["uids"] for one in task.result["failures"]] == [[lost.SOPInstanceUID]]
    lost.SOPClassUID = whole
    home.transfers.retry(task.id)
    assert home.done(task)["arrived"] == 3
    assert archive.asked[-1].SOPInstanceUID == lost.SOPInstanceUID


def test_a_restart_goes_on_where_it_was(home: Any, serve: Callable[[Archive], Peer]) -> None:
    objects = slices(6)
    archive = Archive(*objects)
    half, go = threading.Event(), threading.Event()

    def wait(number: int, _event: evt.Event) -> None:
        if number == 4 and not go.is_set():
            half.set()
            go.wait(30)

    archive.before = wait
    task = home.retrieve(serve(archive), STUDY)
    assert half.wait(30)
    home.rest()
    go.set()
    home.work()
    result = home.done(task)
    assert result["arrived"] + result["already"] == 6
    came = {ds.SOPInstanceUID for ds in objects[:3]}
    assert not came & set(archive.asked[-1].SOPInstanceUID)


def test_cancelling_frees_the_worker_from_a_peer_that_hangs(
    home: Any, serve: Callable[[Archive], Peer]
) -> None:
    archive = Archive(*slices(3))
    there, end = threading.Event(), threading.Event()

    def hang(_number: int, _event: evt.Event) -> None:
        there.set()
        end.wait(30)

    archive.before = hang
    task = home.retrieve(serve(archive), STUDY)
    assert there.wait(30)
    home.ledger.cancel(task.id)
    assert home.ended(task).state == "cancelled"
    end.set()


def test_an_object_that_contradicts_ours_is_refused_and_kept_aside(
    home: Any, serve: Callable[[Archive], Peer]
) -> None:
    ours, other = slices(2)
    home.add(ours)
    theirs = Dataset(ours)
    theirs.PatientComments = "another object"
    theirs.file_meta = ours.file_meta
    theirs.SOPInstanceUID = ours.SOPInstanceUID
    archive = Archive(other, theirs)
    result = home.done(home.retrieve(serve(archive), STUDY))
    assert (result["arrived"], result["already"]) == (1, 1)


# C-MOVE


def test_a_peer_that_only_moves_needs_us_to_listen(home: Any, pynetdicom_peer: Callable[..., Peer]) -> None:
    archive = Archive(*slices(1))
    peer = pynetdicom_peer([(contexts.STUDY_FIND,), (contexts.STUDY_MOVE,)], archive.handlers)
    task = home.ended(home.retrieve(peer, STUDY))
    assert "does not listen" in task.message
    assert "--dimse-port" in task.hint
