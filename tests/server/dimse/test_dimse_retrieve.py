"""C-GET and C-MOVE: what was asked for arrives as it is kept, or as the receiver takes it, and is counted."""

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.filereader import read_dataset

from kahu.dicom.syntaxes import EXPLICIT_LE, IMPLICIT_LE
from kahu.dimse import identifier
from kahu.dimse.association import Association
from kahu.dimse.command import C_CANCEL, C_GET, C_MOVE, C_STORE, Command, response
from kahu.dimse.pdu import Role
from kahu.dimse.peers import Peer
from kahu.testing import samples
from kahu.testing.programs import need_dcmtk

PATIENT_ROOT, STUDY_ROOT = ("1.2.840.10008.5.1.4.1.2.1", "1.2.840.10008.5.1.4.1.2.2")
CT = "1.2.840.10008.5.1.4.1.1.2"
RLE = "1.2.840.10008.1.2.5"
JPEG_LS = "1.2.840.10008.1.2.4.80"
PENDING, CANCELLED, DOES_NOT_MATCH, UNKNOWN, UNABLE, SOME_FAILED = (
    0xFF00,
    0xFE00,
    0xA900,
    0xA801,
    0xA702,
    0xB000,
)
SLICES = 5

Door = Any
Dcmtk = Any


@pytest.fixture(scope="module")
def archive(shared_door: Door) -> Door:
    """A study of five slices of CT in explicit VR little endian, and one of a slice in JPEG-LS."""
    shared_door.add(*(samples.instance(number=number, patient_id="P1") for number in range(SLICES)))
    shared_door.add(samples.instance(patient_id="P2", seed="other", transfer_syntax=JPEG_LS))
    return shared_door


PLAIN = samples.instance(patient_id="P1")
COMPRESSED = samples.instance(patient_id="P2", seed="other", transfer_syntax=JPEG_LS)


def keys(level: str, **values: Any) -> Dataset:
    asked = Dataset()
    asked.QueryRetrieveLevel = level
    for keyword, value in values.items():
        setattr(asked, keyword, value)
    return asked


def get(
    door: Door,
    asked: Dataset,
    *syntaxes: str,
    model: str = STUDY_ROOT,
    answer: Callable[[Command], int] = lambda _: 0,
) -> tuple[dict[str, tuple[str, bytes]], list[Command], Dataset | None]:
    """What a C-GET brings: SOP Instance UID -> transfer syntax and data set; the responses; the last identifier."""
    contexts = [(model + ".3", [EXPLICIT_LE]), *((CT, [syntax]) for syntax in syntaxes)]
    came: dict[str, tuple[str, bytes]] = {}
    said: list[Command] = []
    with door.request(*contexts, roles=[Role(CT, False, True)]) as ours:
        door.ask(ours, C_GET, [identifier.encode(asked, EXPLICIT_LE)])
        while True:
            message = door.answer(ours)
            if message.command["CommandField"] == C_STORE:
                data = b"".join(map(bytes, message.data))
                syntax = ours.contexts[message.context_id].transfer_syntax
                came[message.command["AffectedSOPInstanceUID"]] = (syntax, data)
                ours.send(message.context_id, response(message.command, answer(message.command)))
                continue
            said.append(message.command)
            if message.command["Status"] != PENDING:
                last = identifier.decode(message.data, EXPLICIT_LE) if message.data else None
                return came, said, last


def counts(command: Command) -> tuple[int, int, int]:
    """Completed, failed, with a warning."""
    return (
        command["NumberOfCompletedSuboperations"],
        command["NumberOfFailedSuboperations"],
        command["NumberOfWarningSuboperations"],
    )


@pytest.mark.parametrize(
    ("model", "asked"),
    [
        (PATIENT_ROOT, keys("PATIENT", PatientID="P1")),
        (STUDY_ROOT, keys("STUDY", StudyInstanceUID=PLAIN.StudyInstanceUID)),
        (
            STUDY_ROOT,
            keys(
                "SERIES", StudyInstanceUID=PLAIN.StudyInstanceUID, SeriesInstanceUID=PLAIN.SeriesInstanceUID
            ),
        ),
        (STUDY_ROOT, keys("SERIES", SeriesInstanceUID=[PLAIN.SeriesInstanceUID, "1.2.3"])),
        (
            STUDY_ROOT,
            keys(
                "IMAGE",
                SOPInstanceUID=[
                    samples.instance(number=n, patient_id="P1").SOPInstanceUID for n in range(SLICES)
                ],
            ),
        ),
    ],
)
def test_what_is_asked_for_comes_as_it_is_kept(archive: Door, model: str, asked: Dataset) -> None:
    came, said, last = get(archive, asked, EXPLICIT_LE, model=model)
    assert len(came) == SLICES
    for uid, (_, data) in came.items():
        assert data == archive.kept(uid)
    assert [one["Status"] for one in said] == [PENDING] * SLICES + [0]
    assert [one["NumberOfRemainingSuboperations"] for one in said[:-1]] == [4, 3, 2, 1, 0]
    assert counts(said[-1]) == (SLICES, 0, 0)
    assert "NumberOfRemainingSuboperations" not in said[-1]
    assert last is None


def test_nothing_is_there(archive: Door) -> None:
    came, said, _ = get(archive, keys("STUDY", StudyInstanceUID="1.2.3"), EXPLICIT_LE)
    assert came == {}
    assert [(one["Status"], *counts(one)) for one in said] == [(0, 0, 0, 0)]


@pytest.mark.parametrize(
    "asked",
    [
        keys("STUDY"),
        keys("STUDY", StudyInstanceUID=""),
        keys("STUDY", PatientID="P1"),
        keys("PATIENT", PatientID="P*"),
        keys("IMAGE", StudyInstanceUID="1.2.3"),
        keys("HOUSE", StudyInstanceUID="1.2.3"),
    ],
)
def test_everything_is_never_meant(archive: Door, asked: Dataset) -> None:
    came, (said,), _ = get(archive, asked, EXPLICIT_LE, model=PATIENT_ROOT)
    assert said["Status"] == DOES_NOT_MATCH
    assert came == {}


@pytest.mark.parametrize(
    "accepted", [[JPEG_LS, EXPLICIT_LE], [EXPLICIT_LE, JPEG_LS], [EXPLICIT_LE], [IMPLICIT_LE], [RLE]]
)
def test_transcoded_only_where_it_must_be(archive: Door, accepted: list[str]) -> None:
    asked = keys("STUDY", StudyInstanceUID=COMPRESSED.StudyInstanceUID)
    came, said, _ = get(archive, asked, *accepted)
    ((syntax, data),) = came.values()
    assert counts(said[-1]) == (1, 0, 0)
    if JPEG_LS in accepted:
        assert syntax == JPEG_LS
        assert data == archive.kept(COMPRESSED.SOPInstanceUID)
        return
    assert syntax == accepted[0]
    ds = read_dataset(BytesIO(data), syntax == IMPLICIT_LE, True)
    ds.file_meta = Dataset()
    ds.file_meta.TransferSyntaxUID = syntax
    assert np.array_equal(ds.pixel_array, COMPRESSED.pixel_array)
    assert ds.SOPInstanceUID == COMPRESSED.SOPInstanceUID


def test_what_the_caller_does_not_take_has_failed(archive: Door) -> None:
    asked = keys("STUDY", StudyInstanceUID=PLAIN.StudyInstanceUID)
    came, said, last = get(archive, asked)
    assert came == {}
    assert said[-1]["Status"] == SOME_FAILED
    assert counts(said[-1]) == (0, SLICES, 0)
    assert last is not None
    assert len(last.FailedSOPInstanceUIDList) == SLICES


def test_what_the_caller_refuses_is_counted(archive: Door) -> None:
    statuses = iter([0, 0xA700, 0xB000, 0x0111, 0])
    asked = keys("STUDY", StudyInstanceUID=PLAIN.StudyInstanceUID)
    came, said, last = get(archive, asked, EXPLICIT_LE, answer=lambda _: next(statuses))
    assert counts(said[-1]) == (2, 1, 2)
    assert said[-1]["Status"] == SOME_FAILED
    assert last is not None
    assert last.FailedSOPInstanceUIDList == list(came)[1]


def test_cancelled_between_two_objects(archive: Door) -> None:
    contexts = [(STUDY_ROOT + ".3", [EXPLICIT_LE]), (CT, [EXPLICIT_LE])]
    with archive.request(*contexts, roles=[Role(CT, False, True)]) as ours:
        asked = keys("STUDY", StudyInstanceUID=PLAIN.StudyInstanceUID)
        number = archive.ask(ours, C_GET, [identifier.encode(asked, EXPLICIT_LE)])
        first = archive.answer(ours)
        ours.send(1, {"CommandField": C_CANCEL, "MessageIDBeingRespondedTo": number})
        for _ in first.data:
            pass
        ours.send(first.context_id, response(first.command, 0))
        assert archive.answer(ours).command["Status"] == PENDING
        last = archive.answer(ours).command
    assert last["Status"] == CANCELLED
    assert last["NumberOfRemainingSuboperations"] == SLICES - 1
    assert counts(last) == (1, 0, 0)


def test_bytes_that_are_gone_fail_alone(door: Door) -> None:
    study = samples.uid("some are gone")
    door.add(*(samples.instance(number=number, study_uid=study) for number in (1, 2, 3)))
    gone = sorted(door.kahu.settings.owned.rglob("*.dcm"))[0]
    gone.unlink()
    came, said, last = get(door, keys("STUDY", StudyInstanceUID=study), EXPLICIT_LE)
    assert len(came) == 2
    assert counts(said[-1]) == (2, 1, 0)
    assert last is not None
    assert last.FailedSOPInstanceUIDList not in came


def test_getscu(archive: Door, dcmtk: Dcmtk, tmp_path: Path) -> None:
    study = f"StudyInstanceUID={PLAIN.StudyInstanceUID}"
    done = dcmtk(
        "getscu",
        "-v",
        "-S",
        "-od",
        tmp_path,
        "127.0.0.1",
        archive.port,
        "-k",
        "QueryRetrieveLevel=STUDY",
        "-k",
        study,
    )
    assert done.returncode == 0, done.stderr
    assert {dcmread(path).SOPInstanceUID for path in tmp_path.iterdir()} == {
        samples.instance(number=n, patient_id="P1").SOPInstanceUID for n in range(SLICES)
    }


# C-MOVE


@contextlib.contextmanager
def receiver(folder: Path, port: int, *options: str) -> Iterator[None]:
    """DCMTK's storescp."""
    storescp, echoscu = need_dcmtk("storescp"), need_dcmtk("echoscu")
    folder.mkdir(exist_ok=True)
    process = subprocess.Popen([storescp, *options, "-aet", "DEST", "-od", str(folder), str(port)])
    try:
        deadline = time.monotonic() + 20
        while subprocess.run([echoscu, "127.0.0.1", str(port)], capture_output=True, check=False).returncode:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait()


def move(door: Door, asked: Dataset, destination: str) -> tuple[list[Command], Dataset | None]:
    """The responses to a C-MOVE, and the last identifier."""
    with door.request((STUDY_ROOT + ".2", [EXPLICIT_LE])) as ours:
        door.ask(ours, C_MOVE, [identifier.encode(asked, EXPLICIT_LE)], MoveDestination=destination)
        said: list[Command] = []
        while not said or said[-1]["Status"] == PENDING:
            message = door.answer(ours)
            said.append(message.command)
        return said, identifier.decode(message.data, EXPLICIT_LE) if message.data else None


def test_to_a_peer_and_its_count(archive: Door, tmp_path: Path, unused_port: int) -> None:
    archive.kahu.peers.add(Peer("dest", "DEST", "127.0.0.1", unused_port))
    try:
        with receiver(tmp_path / "dest", unused_port, "+xa"):
            said, last = move(archive, keys("STUDY", StudyInstanceUID=PLAIN.StudyInstanceUID), "DEST")
        assert [one["Status"] for one in said] == [PENDING] * SLICES + [0]
        assert counts(said[-1]) == (SLICES, 0, 0)
        assert last is None
        came = {dcmread(path).SOPInstanceUID: path for path in (tmp_path / "dest").iterdir()}
        assert len(came) == SLICES
        # nobody listens there any more
        (unable,), last = move(archive, keys("STUDY", StudyInstanceUID=PLAIN.StudyInstanceUID), "DEST")
        assert unable["Status"] == UNABLE
        assert counts(unable) == (0, SLICES, 0)
        assert last is not None
        assert len(last.FailedSOPInstanceUIDList) == SLICES
    finally:
        archive.kahu.peers.remove("dest")


def test_movescu_to_who_takes_uncompressed_only(
    archive: Door, tmp_path: Path, unused_port: int, dcmtk: Dcmtk
) -> None:
    archive.kahu.peers.add(Peer("plain", "DEST", "127.0.0.1", unused_port))
    try:
        with receiver(tmp_path / "plain", unused_port, "+xi"):
            study = f"StudyInstanceUID={COMPRESSED.StudyInstanceUID}"
            wanted = ("-k", "QueryRetrieveLevel=STUDY", "-k", study)
            done = dcmtk("movescu", "-v", "-S", "-aem", "DEST", "127.0.0.1", archive.port, *wanted)
        assert done.returncode == 0, done.stderr
        (path,) = (tmp_path / "plain").iterdir()
        ds = dcmread(path)
        assert ds.file_meta.TransferSyntaxUID == IMPLICIT_LE
        assert np.array_equal(ds.pixel_array, COMPRESSED.pixel_array)
    finally:
        archive.kahu.peers.remove("plain")


def test_to_nobody_who_is_known(archive: Door) -> None:
    (said,), _ = move(archive, keys("STUDY", StudyInstanceUID=PLAIN.StudyInstanceUID), "NOBODY")
    assert said["Status"] == UNKNOWN


def test_who_asked_is_told_to_the_destination(archive: Door, unused_port: int) -> None:
    """And a destination that goes away in the middle leaves the rest failed."""
    import socket
    import threading

    from kahu.dimse import association
    from kahu.server.dimse.admission import terms

    heard: list[Command] = []

    def serve() -> None:
        sock, _ = listening.accept()
        accepted: Association | None = association.accept(sock, terms)
        assert accepted is not None
        message = accepted.receive()
        assert message is not None
        heard.append(message.command)
        accepted.send(message.context_id, response(message.command, 0))
        assert accepted.receive() is not None
        accepted.abort()

    archive.kahu.peers.add(Peer("brief", "BRIEF", "127.0.0.1", unused_port))
    try:
        with socket.create_server(("127.0.0.1", unused_port)) as listening:
            thread = threading.Thread(target=serve)
            thread.start()
            said, last = move(archive, keys("STUDY", StudyInstanceUID=PLAIN.StudyInstanceUID), "BRIEF")
            thread.join()
    finally:
        archive.kahu.peers.remove("brief")
    assert heard[0]["MoveOriginatorApplicationEntityTitle"] == "TEST"
    assert heard[0]["MoveOriginatorMessageID"] == 1
    assert counts(said[-1]) == (1, SLICES - 1, 0)
    assert said[-1]["Status"] == SOME_FAILED
    assert last is not None
    assert len(last.FailedSOPInstanceUIDList) == SLICES - 1
