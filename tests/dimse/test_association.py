"""Associations between two of ours, and with pynetdicom: begun, refused, used, ended."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from kahu.dicom.syntaxes import EXPLICIT_LE, IMPLICIT_LE
from kahu.dimse import association, pdu
from kahu.dimse.association import Association, Terms
from kahu.dimse.command import C_ECHO, C_STORE, response
from kahu.dimse.contexts import VERIFICATION, proposed
from kahu.dimse.pdu import Answered, Reject, Request
from kahu.dimse.peers import Peer
from kahu.errors import AssociationLost, AssociationRefused

CT = "1.2.840.10008.5.1.4.1.1.2"


def yes(request: Request) -> Terms:
    """Accepts every context in its first transfer syntax."""
    return Terms(
        tuple(Answered(c.id, pdu.ACCEPTED, c.transfer_syntaxes[0]) for c in request.contexts), request.roles
    )


@contextmanager
def acceptor(
    serve: Callable[[Association], None], judge: Callable[[Request], Terms | Reject] = yes
) -> Iterator[Peer]:
    """Somebody who accepts one association and serves it in a thread; where to find it."""
    failures: list[BaseException] = []

    def run() -> None:
        sock, _ = listening.accept()
        try:
            accepted = association.accept(sock, judge)
            if accepted:
                serve(accepted)
        except BaseException as error:  # noqa: BLE001 - told below, where the test sees it
            failures.append(error)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=run)
        thread.start()
        yield Peer("other", "OTHER", "127.0.0.1", listening.getsockname()[1])
        thread.join(30)
        assert not thread.is_alive()
    assert not failures, failures


def echo_until_released(accepted: Association) -> None:
    while message := accepted.receive():
        data = b"".join(map(bytes, message.data)) if message.data is not None else None
        accepted.send(message.context_id, response(message.command, 0), [data] if data is not None else None)


@pytest.mark.parametrize("max_length", [0, 16, 4096, 16384, 1 << 20])
@pytest.mark.parametrize("size", [0, 2, 4084, 4086, 300_000])
def test_a_data_set_of_any_size_comes_through_pdus_of_any_size(
    max_length: int, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = bytes(range(256)) * (size // 256) + bytes(size % 256)
    monkeypatch.setattr(association, "MAX_LENGTH", max_length or association.MAX_LENGTH)
    with (
        acceptor(echo_until_released) as peer,
        association.request(peer, proposed([(CT, [EXPLICIT_LE])]), calling="ME") as ours,
    ):
        request = {"CommandField": C_STORE, "MessageID": ours.next_message_id(), "AffectedSOPClassUID": CT}
        ours.send(1, request, (data[at : at + 1000] for at in range(0, size, 1000)))
        answer = ours.receive()
        assert answer is not None
        assert answer.data is not None
        assert answer.command["Status"] == 0
        assert b"".join(map(bytes, answer.data)) == data
    assert ours.ended


def test_refusals_say_why() -> None:
    with (
        acceptor(echo_until_released, lambda _: pdu.CALLED_UNKNOWN) as peer,
        pytest.raises(AssociationRefused, match="called AE title not recognized"),
    ):
        association.request(peer, proposed([(VERIFICATION, [IMPLICIT_LE])]), calling="ME")


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(AssociationLost, match="cannot be reached"):
        association.request(
            Peer("x", "X", "127.0.0.1", port), proposed([(VERIFICATION, [IMPLICIT_LE])]), calling="ME"
        )


def test_both_release_at_once() -> None:
    with acceptor(Association.release) as peer:
        ours = association.request(peer, proposed([(VERIFICATION, [IMPLICIT_LE])]), calling="ME")
        ours.release()
    assert ours.ended


def test_an_echo() -> None:
    with (
        acceptor(echo_until_released) as peer,
        association.request(peer, proposed([(VERIFICATION, [IMPLICIT_LE])]), calling="ME") as ours,
    ):
        ours.send(1, {"CommandField": C_ECHO, "MessageID": 7, "AffectedSOPClassUID": VERIFICATION})
        answer = ours.receive()
        assert answer is not None
        assert answer.command["MessageIDBeingRespondedTo"] == 7
        assert answer.data is None
