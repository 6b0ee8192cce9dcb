"""Series are sent: byte for byte, again after a stop, past objects that fail; and it is said what has come of each."""

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    MRImageStorage,
    RLELossless,
)
from pynetdicom import evt

from kahu.dimse import reach, send
from kahu.dimse.peers import Peer
from kahu.dimse.status import stored, words
from kahu.errors import NotFound
from kahu.testing import samples

CT = samples.uid("study", "", "P-1")
LITTLE = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]


def slices(number: int, **how: Any) -> list[Any]:
    return [samples.instance(number=n, rows=16, columns=16, **how) for n in range(1, number + 1)]


class Receiver:
    """What a C-STORE SCP has been sent, and what it answers."""

    def __init__(self, answer: Callable[[int, Any], int] = lambda _number, _event: 0) -> None:
        self.answer = answer
        self.uids: list[str] = []
        self.syntaxes: list[str] = []
        self.data: dict[str, bytes] = {}

    @property
    def handlers(self) -> list[Any]:
        return [(evt.EVT_C_STORE, self.store)]

    def store(self, event: Any) -> int:
        uid = str(event.request.AffectedSOPInstanceUID)
        self.uids.append(uid)
        self.syntaxes.append(event.context.transfer_syntax)
        self.data[uid] = event.request.DataSet.getvalue()
        return self.answer(len(self.uids), event)


def data_set(path: Path) -> bytes:
    """The bytes of a file behind its group 2."""
    with path.open("rb") as file:
        whole = file.read()
    length = int.from_bytes(whole[140:144], "little")
    return whole[144 + length :]


def test_objects_arrive_byte_for_byte_as_they_are_kept(
    home: Any, storescp: tuple[Peer, Path], tmp_path: Path
) -> None:
    peer, folder = storescp
    kept = [
        samples.instance(seed=syntax, transfer_syntax=syntax, rows=32, columns=32)
        for syntax in samples.TRANSFER_SYNTAXES
        if syntax != "1.2.840.10008.1.2.4.201"  # which this storescp does not take
    ]
    home.add(*kept, samples.document())
    result = home.done(home.send(peer))
    assert (result["arrived"], result["failed"]) == (len(kept) + 1, 0)
    came = {str(dcmread(file, stop_before_pixels=True).SOPInstanceUID): file for file in folder.iterdir()}
    for ds in kept:
        sent = data_set(home.folder / f"{ds.SOPInstanceUID}.dcm")
        assert data_set(came[ds.SOPInstanceUID]) == sent + bytes(len(sent) % 2)
        assert dcmread(came[ds.SOPInstanceUID]).file_meta.TransferSyntaxUID == ds.file_meta.TransferSyntaxUID


def test_what_the_peer_does_not_read_is_converted_without_loss(
    home: Any, pynetdicom_peer: Callable[..., Peer]
) -> None:
    ds = samples.instance(transfer_syntax=JPEG2000Lossless)
    home.add(ds)
    receiver = Receiver()
    home.done(home.send(pynetdicom_peer([(CTImageStorage, LITTLE)], receiver.handlers)))
    assert receiver.syntaxes == [ExplicitVRLittleEndian]
    (data,) = receiver.data.values()
    plain = samples.instance(transfer_syntax=ExplicitVRLittleEndian)
    assert data.endswith(plain.PixelData)


def test_a_kind_that_the_peer_does_not_take_fails_alone(
    home: Any, pynetdicom_peer: Callable[..., Peer]
) -> None:
    home.add(*slices(2), samples.instance(modality="MR"))
    receiver = Receiver()
    task = home.ended(home.send(pynetdicom_peer([(CTImageStorage, LITTLE)], receiver.handlers)))
    assert task.state == "failed"
    assert task.result["arrived"] == len(receiver.uids) == 2
    (failure,) = task.result["failures"]
    assert failure["count"] == 1
    assert "SOP class" in failure["reason"]


def test_duplicates_are_there_already_and_warnings_are_no_failures(
    home: Any, pynetdicom_peer: Callable[..., Peer]
) -> None:
    home.add(*slices(3))
    receiver = Receiver(lambda number, _event: {1: 0x0111, 2: 0xB000}.get(number, 0))
    result = home.done(home.send(pynetdicom_peer([(CTImageStorage,)], receiver.handlers)))
    assert (result["arrived"], result["already"], result["failed"]) == (2, 1, 0)


def test_failures_are_told_in_words_and_a_retry_sends_only_those(
    home: Any, pynetdicom_peer: Callable[..., Peer]
) -> None:
    home.add(*slices(4))
    receiver = Receiver(lambda number, _event: {2: 0xA700, 3: 0xC123}.get(number, 0))
    peer = pynetdicom_peer([(CTImageStorage,)], receiver.handlers)
    task = home.ended(home.send(peer))
    assert task.state == "failed"
    assert "2 of 4 objects" in task.message
    reasons = {one["reason"]: one["uids"] for one in task.result["failures"]}
    refused = receiver.uids[1:3]
    assert reasons == {
        "it has no room left (A700)": [refused[0]],
        "it cannot understand the object (C123)": [refused[1]],
    }
    receiver.answer = lambda _number, _event: 0
    receiver.uids.clear()
    home.transfers.retry(task.id)
    assert home.done(task) == {"arrived": 4, "already": 0, "failed": 0, "failures": []}
    assert sorted(receiver.uids) == sorted(refused)


def test_an_object_at_which_the_peer_breaks_off_does_not_stop_the_others(
    home: Any, pynetdicom_peer: Callable[..., Peer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(send, "PAUSE", 0.01)
    home.add(*slices(4))
    bad = samples.instance(number=2).SOPInstanceUID

    def answer(_number: int, event: Any) -> int:
        if event.request.AffectedSOPInstanceUID == bad:
            event.assoc.abort()
        return 0

    receiver = Receiver(answer)
    task = home.ended(home.send(pynetdicom_peer([(CTImageStorage,)], receiver.handlers)))
    assert task.result["arrived"] == 3
    assert [one["uids"] for one in task.result["failures"]] == [[bad]]
    assert Counter(receiver.uids)[bad] == 2


def test_a_peer_that_always_breaks_off_is_given_up(
    home: Any, pynetdicom_peer: Callable[..., Peer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(send, "PAUSE", 0.01)
    home.add(*slices(20))

    def answer(_number: int, event: Any) -> int:
        event.assoc.abort()
        return 0

    receiver = Receiver(answer)
    task = home.ended(home.send(pynetdicom_peer([(CTImageStorage,)], receiver.handlers)))
    assert task.state == "failed"
    assert "aborted" in task.message
    assert len(receiver.uids) == send.TRIES


def test_a_peer_that_cannot_be_reached_is_said_so_at_once(home: Any) -> None:
    home.add(*slices(1))
    task = home.ended(home.send(home.peers.add(Peer("gone", "GONE", "127.0.0.1", 1))))
    assert task.state == "failed"
    assert "cannot be reached" in task.message
    assert task.hint


def test_a_peer_that_is_not_known_any_more_is_said_so(home: Any) -> None:
    home.add(*slices(1))
    home.rest()
    peer = home.peers.add(Peer("gone", "GONE", "127.0.0.1", 1))
    task = home.send(peer)
    home.peers.remove("gone")
    home.work()
    assert "no peer called gone" in home.ended(task).message


def test_a_peer_that_never_answers_is_given_up_in_words(
    home: Any, pynetdicom_peer: Callable[..., Peer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reach, "ANSWER", 0.2)
    monkeypatch.setattr(send, "PAUSE", 0.01)
    monkeypatch.setattr(send, "TRIES", 2)
    home.add(*slices(1))
    end = threading.Event()
    receiver = Receiver(lambda _number, _event: int(not end.wait(30)))
    task = home.ended(home.send(pynetdicom_peer([(CTImageStorage,)], receiver.handlers)))
    end.set()
    assert "has not answered for" in task.message


@pytest.mark.parametrize("where", ["before", "within"])
def test_cancelling_frees_the_worker_from_a_peer_that_hangs(
    home: Any, pynetdicom_peer: Callable[..., Peer], silent: int, where: str
) -> None:
    home.add(*slices(2))
    end, there = threading.Event(), threading.Event()

    def hang(_number: int, _event: Any) -> int:
        there.set()
        return int(not end.wait(30))

    peer = pynetdicom_peer([(CTImageStorage,)], Receiver(hang).handlers)
    if where == "before":
        home.peers.remove(peer.name)
        peer = home.peers.add(replace(peer, port=silent))
    task = home.send(peer)
    if where == "within":
        assert there.wait(30)
    home.until(task, lambda now: now.state == "running")
    home.ledger.cancel(task.id)
    assert home.ended(task).state == "cancelled"
    end.set()


def test_a_restart_goes_on_where_it_was(home: Any, pynetdicom_peer: Callable[..., Peer]) -> None:
    home.add(*slices(12))
    half, go = threading.Event(), threading.Event()

    def answer(number: int, _event: Any) -> int:
        if number == 6:
            half.set()
            go.wait(30)
        return 0

    receiver = Receiver(answer)
    task = home.send(pynetdicom_peer([(CTImageStorage,)], receiver.handlers))
    assert half.wait(30)
    home.rest()
    acknowledged = receiver.uids[:5]
    go.set()
    home.work()
    assert home.done(task)["arrived"] + home.done(task)["already"] == 12
    counts = Counter(receiver.uids)
    assert len(counts) == 12
    assert {counts[uid] for uid in acknowledged} == {1}


def test_several_kinds_go_over_one_association(home: Any, pynetdicom_peer: Callable[..., Peer]) -> None:
    home.add(
        *slices(2),
        *slices(2, modality="MR"),
        *slices(2, seed="rle", transfer_syntax=RLELossless),
    )
    associations: list[object] = []
    receiver = Receiver()
    handlers = [*receiver.handlers, (evt.EVT_ACCEPTED, associations.append)]
    peer = pynetdicom_peer(
        [(kind, [*LITTLE, RLELossless]) for kind in (CTImageStorage, MRImageStorage)], handlers
    )
    assert home.done(home.send(peer))["arrived"] == 6
    assert len(associations) == 1
    assert Counter(receiver.syntaxes) == {ExplicitVRLittleEndian: 4, RLELossless: 2}


def test_a_file_that_went_away_fails_alone(home: Any, pynetdicom_peer: Callable[..., Peer]) -> None:
    first, second = slices(2)
    home.add(first, second)
    (home.folder / f"{first.SOPInstanceUID}.dcm").unlink()
    receiver = Receiver()
    task = home.ended(home.send(pynetdicom_peer([(CTImageStorage,)], receiver.handlers)))
    assert receiver.uids == [second.SOPInstanceUID]
    assert task.result["failures"][0]["uids"] == [first.SOPInstanceUID]


def test_series_that_are_not_here_are_not_sent(home: Any) -> None:
    from kahu.catalog.scope import ALL

    with home.database.read() as db, pytest.raises(NotFound):
        send.chosen(db, ["1.2.3"], ALL)


# What statuses mean


@pytest.mark.parametrize(
    ("code", "operation", "said"),
    [
        (0x0111, "C-STORE", "already"),
        (0xA700, "C-STORE", "no room"),
        (0xA77F, "C-STORE", "no room"),
        (0xA900, "C-STORE", "SOP class"),
        (0xC0FF, "C-STORE", "cannot understand"),
        (0xA801, "C-MOVE", "AE title"),
        (0xA702, "C-GET", "resources"),
        (0xA900, "C-FIND", "question"),
        (0x0122, "C-STORE", "SOP class"),
        (0x1234, "C-STORE", "none|not one"),
    ],
)
def test_statuses_are_told_in_words_with_their_number(code: int, operation: Any, said: str) -> None:
    told = words(code, operation)
    assert f"({code:04X})" in told
    assert any(word in told for word in said.split("|"))


def test_only_success_and_warnings_mean_that_an_object_is_kept() -> None:
    assert [code for code in (0, 0xB000, 0xB006, 0xB007, 0x0111, 0xA700, 0xC000, 0xFF00) if stored(code)] == [
        0,
        0xB000,
        0xB006,
        0xB007,
    ]
