"""Many at once: nobody waits for a peer that is slow, silent or gone, nor for more than there is room for."""

import socket
import struct
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from kahu.dicom.syntaxes import EXPLICIT_LE, IMPLICIT_LE
from kahu.dimse import pdu
from kahu.dimse.command import C_ECHO
from kahu.dimse.contexts import VERIFICATION
from kahu.errors import AssociationLost, AssociationRefused
from kahu.server.dimse import listener
from kahu.server.dimse.listener import Listener
from kahu.testing import samples

CT = "1.2.840.10008.5.1.4.1.1.2"
ECHO = (VERIFICATION, [IMPLICIT_LE])

Door = Any


def echo(door: Door, ours: Any) -> None:
    door.ask(ours, C_ECHO)
    assert door.answer(ours).command["Status"] == 0


def test_sixty_four_associations_store_at_once(door: Door) -> None:
    together = threading.Barrier(64)

    def one(number: int) -> str:
        ds = samples.instance(number=number, rows=16, columns=16, seed="many")
        _, instance, syntax, data = door.parts(samples.encode(ds))
        with door.request((CT, [syntax])) as ours:
            together.wait(60)
            assert door.store(ours, instance, [data])["Status"] == 0
        return str(instance)

    with ThreadPoolExecutor(64) as pool:
        stored = list(pool.map(one, range(64)))
    assert sorted(door.instances()) == sorted(stored)


def test_half_open_and_slow_ones_hold_nobody_up(door: Door) -> None:
    request = pdu.encode_request(pdu.Request("KAHU", "SLOW", 16384))
    with ExitStack() as stack:
        for beginning in (b"", request[:1], request[:50]) * 20:
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", door.port)))
            sock.sendall(beginning)
        slow = door.request((CT, [EXPLICIT_LE]))
        stack.callback(slow.abort)
        _, _, _, data = door.parts(samples.encode(samples.instance(seed="fast")))

        def trickle() -> Iterator[bytes]:
            yield data[:100]
            with door.request((CT, [EXPLICIT_LE])) as fast:
                ds = samples.instance(seed="fast")
                assert door.store(fast, ds.SOPInstanceUID, [data])["Status"] == 0
            yield data[100:]

        assert door.store(slow, samples.instance(seed="fast").SOPInstanceUID, trickle())["Status"] == 0
    assert len(door.instances()) == 1


def test_a_reader_that_does_not_read(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers that nobody takes stop only the one who asked."""
    from pydicom import Dataset

    from kahu.dimse import identifier
    from kahu.dimse.command import C_FIND
    from kahu.server.dimse import find

    def endless(*_: Any) -> Iterator[Any]:
        while True:
            yield {"StudyInstanceUID": "1.2.3"}, {}, ()

    monkeypatch.setattr(find, "_matches", endless)
    asked = Dataset()
    asked.QueryRetrieveLevel = "STUDY"
    ours = door.request(("1.2.840.10008.5.1.4.1.2.2.1", [IMPLICIT_LE]))
    door.ask(ours, C_FIND, [identifier.encode(asked, IMPLICIT_LE)])
    with door.request(ECHO) as other:
        echo(door, other)
    ours.abort()


def test_no_more_than_there_is_room_for(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "MOST_ASSOCIATIONS", 2)
    with door.request(ECHO) as first, door.request(ECHO) as second:
        with pytest.raises(AssociationRefused, match="local limit exceeded"):
            door.request(ECHO)
        echo(door, first)
        echo(door, second)
    deadline = time.monotonic() + 20
    while True:
        try:
            with door.request(ECHO) as again:
                echo(door, again)
            return
        except AssociationRefused:
            assert time.monotonic() < deadline


def test_no_more_connections_than_there_is_room_for(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "MOST_CONNECTIONS", 1)
    with door.request(ECHO) as first:
        with pytest.raises(AssociationLost):
            door.request(ECHO)
        echo(door, first)


def test_it_ends_in_time_and_tells_everybody(tmp_path: Path, open_door: Any) -> None:
    opened: AbstractContextManager[Door] = open_door(tmp_path / "home")
    with ExitStack() as stack:
        with opened as door:
            idle = door.request(ECHO)
            half_open = stack.enter_context(socket.create_connection(("127.0.0.1", door.port)))
            half_open.sendall(struct.pack(">BxI", 1, 1000))
            port = door.port
        with pytest.raises(AssociationLost, match="aborted"):
            idle.receive(5)
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.1", port), 5)


def test_it_ends_whenever_somebody_connects(door: Door) -> None:
    for _ in range(100):
        with socket.create_server(("127.0.0.1", 0)) as listening:
            listener = Listener(door.kahu.services, listening)
            listener.start()
            with socket.create_connection(("127.0.0.1", listener.port)) as connected:
                listener.close()
                connected.settimeout(5)
                with suppress(ConnectionResetError):
                    while connected.recv(1024):  # TimeoutError: somebody is left waiting
                        pass


def test_a_computer_without_threads_goes_on(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch, ExitStack() as stack:
        patch.setattr(threading.Thread, "start", none_left)
        connected = stack.enter_context(socket.create_connection(("127.0.0.1", door.port)))
        connected.settimeout(5)
        assert connected.recv(1) == b""
    with door.request(ECHO) as ours:
        echo(door, ours)
