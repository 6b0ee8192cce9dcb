"""`kahu up --dimse-port`: says where it listens, and ends when it is asked to, whoever is connected."""

import re
import socket
import time
from collections.abc import Callable
from subprocess import CompletedProcess
from typing import Any

from kahu.dicom.syntaxes import IMPLICIT_LE
from kahu.dimse import association
from kahu.dimse.command import C_ECHO
from kahu.dimse.contexts import VERIFICATION, proposed
from kahu.dimse.peers import Peer


def test_up_and_down(kahu_up: Callable[..., Any]) -> None:
    server = kahu_up(options=("--dimse-port", "0", "--aet", "MINE"))
    deadline = time.monotonic() + 20
    while not (found := re.search(r"DIMSE MINE at 127\.0\.0\.1 port (\d+)", server.output.read_text())):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    peer = Peer("mine", "MINE", "127.0.0.1", int(found[1]))
    ours = association.request(peer, proposed([(VERIFICATION, [IMPLICIT_LE])]), calling="TEST")
    ours.send(1, {"CommandField": C_ECHO, "MessageID": 1, "AffectedSOPClassUID": VERIFICATION})
    answer = ours.receive(20)
    assert answer is not None
    assert answer.command["Status"] == 0
    with socket.create_connection(("127.0.0.1", peer.port)):
        assert server.stop() == 0
    ours.abort()


def test_a_port_that_is_taken(kahu: Callable[..., CompletedProcess[str]]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = kahu("up", "--no-browser", "--port", "0", "--dimse-port", port)
    assert done.returncode == 1
    assert f"port {port} of 127.0.0.1 is in use" in done.stderr + done.stdout
    assert f"--dimse-port {port + 1}" in done.stderr + done.stdout
