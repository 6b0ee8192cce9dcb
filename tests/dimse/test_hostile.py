"""Whatever comes to the port: an abort that says why, or a closed connection; never a fault, never a wait for ever."""

import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kahu.dicom.syntaxes import EXPLICIT_LE
from kahu.dimse import association, command, pdu
from kahu.dimse.association import Association, Terms
from kahu.dimse.contexts import proposed
from kahu.dimse.pdu import Answered, Request
from kahu.errors import AssociationLost

CT = "1.2.840.10008.5.1.4.1.1.2"
RQ = pdu.encode_request(Request("KAHU", "TEST", 16384, contexts=proposed([(CT, [EXPLICIT_LE])])))
ECHO = command.encode({"CommandField": command.C_ECHO, "MessageID": 1, "AffectedSOPClassUID": CT}, False)
STORE = command.encode({"CommandField": command.C_STORE, "MessageID": 1, "AffectedSOPClassUID": CT}, True)


def yes(request: Request) -> Terms:
    return Terms(tuple(Answered(c.id, pdu.ACCEPTED, c.transfer_syntaxes[0]) for c in request.contexts))


def data(*fragments: tuple[int, int, bytes]) -> bytes:
    """A P-DATA-TF PDU: context ID, message control header and bytes of each fragment."""
    body = b"".join(struct.pack(">IBB", len(piece) + 2, *head) + piece for *head, piece in fragments)
    return pdu.encode(pdu.P_DATA, body)


def serve(accepted: Association) -> None:
    """Takes all messages, and their data."""
    while message := accepted.receive():
        for _ in message.data or ():
            pass


def spoken(sent: bytes, *, end: bool, timeout: float = 5, quiet: float = 5) -> tuple[bytes, str]:
    """What is answered to these bytes, and how it ended on our side. `end`: nothing follows them, and the caller
    says so; else it stays silent."""
    ours, theirs = socket.socketpair()
    result: list[str] = []

    def run() -> None:
        try:
            accepted = association.accept(ours, yes, timeout=timeout)
            if accepted:
                serve(accepted)
            result.append("released" if accepted else "rejected")
        except AssociationLost as error:
            result.append(str(error))

    thread = threading.Thread(target=run)
    thread.start()
    with theirs:
        theirs.settimeout(quiet)
        try:
            theirs.sendall(sent)
            if end:
                theirs.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        heard = b""
        try:
            while piece := theirs.recv(65536):
                heard += piece
        except OSError:
            pass
    thread.join(20)
    assert not thread.is_alive()
    assert len(result) == 1, "it did not end as it should"
    return heard, result[0]


def last_abort(heard: bytes) -> pdu.Abort | None:
    """The A-ABORT at the end of what was answered."""
    head, body = heard[-10:-4], heard[-4:]
    return pdu.decode_abort(body) if head == struct.pack(">BxI", pdu.ABORT, 4) else None


ACCEPTED = RQ + data((1, 3, ECHO))

CASES: dict[str, tuple[bytes, pdu.Abort]] = {
    "HTTP": (b"GET / HTTP/1.1\r\nHost: kahu\r\n\r\n", pdu.UNRECOGNIZED_PDU),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64), pdu.UNRECOGNIZED_PDU),
    "zeros": (bytes(64), pdu.UNRECOGNIZED_PDU),
    "data before an association": (data((1, 3, ECHO)), pdu.UNEXPECTED_PDU),
    "release before an association": (pdu.encode(pdu.RELEASE_RQ), pdu.UNEXPECTED_PDU),
    "a request of 4 GB": (struct.pack(">BxI", 1, 0xFFFFFFFF) + bytes(100), pdu.INVALID_VALUE),
    "a request that is too short": (pdu.encode(1, bytes(20)), pdu.INVALID_VALUE),
    "items that end early": (RQ[:-3].replace(RQ[2:6], struct.pack(">I", len(RQ) - 9), 1), pdu.INVALID_VALUE),
    "a second request": (RQ + RQ, pdu.UNEXPECTED_PDU),
    "an unknown PDU": (ACCEPTED + pdu.encode(9), pdu.UNRECOGNIZED_PDU),
    "a PDU of 4 GB": (ACCEPTED + struct.pack(">BxI", 4, 0xFFFFFFFF) + bytes(100), pdu.INVALID_VALUE),
    "a release with a long body": (ACCEPTED + pdu.encode(pdu.RELEASE_RQ, bytes(100)), pdu.INVALID_VALUE),
    "a fragment beyond its PDU": (
        ACCEPTED + struct.pack(">BxIIBB", 4, 6, 1000, 1, 3),
        pdu.INVALID_VALUE,
    ),
    "a fragment of no length": (ACCEPTED + struct.pack(">BxII", 4, 4, 0) + bytes(8), pdu.INVALID_VALUE),
    "a PDU with half a head": (ACCEPTED + pdu.encode(4, b"abc"), pdu.INVALID_VALUE),
    "another context": (ACCEPTED + data((3, 3, ECHO)), pdu.INVALID_VALUE),
    "an even context": (ACCEPTED + data((2, 3, ECHO)), pdu.INVALID_VALUE),
    "no command": (ACCEPTED + data((1, 3, b"garbage!" * 4)), pdu.BY_USER),
    "an empty command": (ACCEPTED + data((1, 3, b"")), pdu.BY_USER),
    "half a command": (ACCEPTED + data((1, 3, ECHO[:-1])), pdu.BY_USER),
    "a command of more than 64 KB": (ACCEPTED + data((1, 1, bytes(8000))) * 9, pdu.BY_USER),
    "a data set after a command that has none": (ACCEPTED + data((1, 2, b"data")), pdu.BY_USER),
    "a command within a data set": (ACCEPTED + data((1, 3, STORE)) + data((1, 3, ECHO)), pdu.BY_USER),
    "a release within a data set": (
        ACCEPTED + data((1, 3, STORE), (1, 0, b"half")) + pdu.encode(pdu.RELEASE_RQ),
        pdu.UNEXPECTED_PDU,
    ),
}


@pytest.mark.parametrize(("sent", "why"), CASES.values(), ids=CASES)
def test_a_violation_is_aborted_with_its_reason(sent: bytes, why: pdu.Abort) -> None:
    heard, _ = spoken(sent, end=False)
    assert last_abort(heard) == why


@pytest.mark.parametrize(
    "sent",
    [b"", RQ[:5], RQ[:40], RQ, RQ + b"\x04", ACCEPTED + data((1, 3, STORE), (1, 0, b"half a data set"))],
    ids=["nothing", "half a head", "half a request", "only a request", "half a PDU", "half a data set"],
)
def test_silence_ends(sent: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(association, "ARTIM", 0.3)
    heard, why = spoken(sent, end=False, timeout=0.3)
    assert last_abort(heard) == pdu.NO_REASON_GIVEN
    assert "silent" in why


def test_a_byte_now_and_then_is_not_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request must come within ARTIM, however it trickles."""
    monkeypatch.setattr(association, "ARTIM", 0.5)
    ours, theirs = socket.socketpair()
    over = threading.Event()

    def trickle() -> None:
        for byte in RQ:
            if over.wait(0.05):
                return
            with contextlib.suppress(BrokenPipeError):  # we may have hung up meanwhile
                theirs.send(bytes([byte]))

    thread = threading.Thread(target=trickle)
    thread.start()
    with theirs:
        with pytest.raises(AssociationLost):
            association.accept(ours, yes, timeout=30)
        over.set()
        thread.join()


@pytest.mark.parametrize("sent", [RQ[:20], ACCEPTED, ACCEPTED + data((1, 3, STORE), (1, 0, b"half"))])
def test_who_goes_away_is_gone(sent: bytes) -> None:
    _, why = spoken(sent, end=True)
    assert "closed" in why


def test_other_protocols_are_rejected() -> None:
    version = RQ[:6] + b"\0\2" + RQ[8:]
    application = RQ.replace(pdu.APPLICATION_CONTEXT.encode(), b"1.2.840.10008.3.1.1.9")
    for sent, reject in (
        (version, pdu.PROTOCOL_UNKNOWN),
        (application, pdu.APPLICATION_CONTEXT_UNKNOWN),
    ):
        heard, ended = spoken(sent, end=False)
        assert heard == pdu.encode_reject(reject)
        assert ended == "rejected"


mangled = st.builds(
    lambda whole, at, bytes_: whole[: at % len(whole)] + bytes_ + whole[at % len(whole) + len(bytes_) :],
    st.sampled_from([RQ, ACCEPTED, ACCEPTED + data((1, 3, STORE), (1, 2, b"data set"))]),
    st.integers(0, 10_000),
    st.binary(min_size=1, max_size=8),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    sent=st.one_of(st.binary(max_size=200), mangled, st.binary(max_size=60).map(lambda tail: ACCEPTED + tail))
)
def test_no_bytes_do_harm(sent: bytes) -> None:
    spoken(sent, end=True)


@settings(max_examples=300, deadline=None)
@given(body=st.binary(max_size=300))
@pytest.mark.parametrize(
    "decode", [pdu.decode_request, pdu.decode_accept, pdu.decode_reject, pdu.decode_abort, command.decode]
)
def test_decoding_understands_or_refuses(decode: Callable[[bytes], Any], body: bytes) -> None:
    for whole in (body, RQ[6:74] + body):
        with suppress(pdu.Violation):
            decode(whole)
