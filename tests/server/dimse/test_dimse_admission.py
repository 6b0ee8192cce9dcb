"""Who may call: everybody on loopback, known peers elsewhere, each as far as it may."""

import socket
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from kahu.dicom.syntaxes import EXPLICIT_LE, IMPLICIT_LE
from kahu.dimse import pdu
from kahu.dimse.command import C_ECHO, C_FIND, C_GET, C_MOVE, C_STORE
from kahu.dimse.contexts import STORAGE, VERIFICATION, proposed
from kahu.dimse.pdu import Request, Role
from kahu.dimse.peers import Peer
from kahu.errors import AssociationRefused
from kahu.server.dimse.admission import terms

CT = "1.2.840.10008.5.1.4.1.1.2"
FIND, MOVE, GET = (f"1.2.840.10008.5.1.4.1.2.2.{number}" for number in (1, 2, 3))
NOT_AUTHORIZED, CLASS_NOT_SUPPORTED, UNRECOGNIZED = 0x0124, 0x0122, 0x0211

Door = Any


@pytest.fixture
def guarded(tmp_path: Path, open_door: Any) -> Iterator[Door]:
    """A door that others could reach."""
    opened: AbstractContextManager[Door] = open_door(tmp_path / "home", dimse_host="0.0.0.0", aet="ARCHIVE")
    with opened as door:
        yield door


def test_on_loopback_everybody_may_call_by_any_name(door: Door) -> None:
    from dataclasses import replace

    from kahu.dimse import association

    for called, calling in (("KAHU", "X"), ("OTHER NAME", "Y"), ("", "")):
        peer = replace(door.here, aet=called)
        with association.request(peer, proposed([(VERIFICATION, [IMPLICIT_LE])]), calling=calling) as ours:
            door.ask(ours, C_ECHO)
            assert door.answer(ours).command["Status"] == 0


def test_elsewhere_only_known_peers_may_call(guarded: Door) -> None:
    from dataclasses import replace

    from kahu.dimse import association

    contexts = proposed([(VERIFICATION, [IMPLICIT_LE])])
    archive = replace(guarded.here, aet="ARCHIVE")
    with pytest.raises(AssociationRefused, match="calling AE title not recognized"):
        association.request(archive, contexts, calling="TEST")
    guarded.kahu.peers.add(Peer("elsewhere", "TEST", "192.0.2.1", 104))
    with pytest.raises(AssociationRefused, match="calling AE title not recognized"):
        association.request(archive, contexts, calling="TEST")
    guarded.kahu.peers.add(Peer("here", "TEST", "127.0.0.1", 104))
    with pytest.raises(AssociationRefused, match="called AE title not recognized"):
        association.request(guarded.here, contexts, calling="TEST")
    with association.request(archive, contexts, calling="TEST") as ours:
        guarded.ask(ours, C_ECHO)
        assert guarded.answer(ours).command["Status"] == 0
    log = (guarded.kahu.settings.home / "kahu.log").read_text()
    assert "association rejected: TEST@127.0.0.1: calling AE title not recognized" in log


def test_a_peer_with_ipv4_is_known_on_a_socket_for_both(tmp_path: Path, open_door: Any) -> None:
    if not socket.has_dualstack_ipv6():
        pytest.skip("there is no IPv6 here")
    both = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    with open_door(tmp_path / "home", both, dimse_host="::") as door:
        door.kahu.peers.add(Peer("here", "TEST", "127.0.0.1", 104))
        with door.request((VERIFICATION, [IMPLICIT_LE])) as ours:
            door.ask(ours, C_ECHO)
            assert door.answer(ours).command["Status"] == 0


def test_a_peer_does_what_it_may(guarded: Door) -> None:
    from dataclasses import replace

    from kahu.dimse import association

    guarded.kahu.peers.add(Peer("here", "TEST", "127.0.0.1", 104, may=frozenset({"query"})))
    wanted = [(uid, [EXPLICIT_LE]) for uid in (CT, FIND, MOVE, GET)]
    with association.request(replace(guarded.here, aet="ARCHIVE"), proposed(wanted), calling="TEST") as ours:
        for context, field in ((1, C_STORE), (5, C_MOVE), (7, C_GET)):
            guarded.ask(ours, field, [b""], context)
            assert guarded.answer(ours).command["Status"] == NOT_AUTHORIZED
        guarded.ask(ours, C_FIND, [b""], 3)
        assert guarded.answer(ours).command["Status"] != NOT_AUTHORIZED
    assert guarded.instances() == []


def test_an_operation_belongs_to_its_context(door: Door) -> None:
    with door.request((VERIFICATION, [IMPLICIT_LE]), (FIND, [IMPLICIT_LE])) as ours:
        door.ask(ours, C_STORE, [b"data"], 3)
        assert door.answer(ours).command["Status"] == CLASS_NOT_SUPPORTED
        door.ask(ours, C_FIND, [b""], 1)
        assert door.answer(ours).command["Status"] == CLASS_NOT_SUPPORTED
        door.ask(ours, 0x0130, None, 1)  # N-ACTION
        assert door.answer(ours).command["Status"] == UNRECOGNIZED
        door.ask(ours, C_ECHO)
        assert door.answer(ours).command["Status"] == 0


def test_every_storage_class_of_the_standard_is_accepted() -> None:
    from pynetdicom.sop_class import _STORAGE_CLASSES

    for sop_class in {*STORAGE, *_STORAGE_CLASSES.values(), "1.2.840.113619.4.26", "2.25.123"}:
        accepted = terms(Request("A", "B", 0, contexts=proposed([(sop_class, [EXPLICIT_LE])])))
        assert accepted.contexts[0].result == pdu.ACCEPTED, sop_class


def test_what_is_not_performed_is_not_accepted() -> None:
    worklist, commitment, printing = (
        "1.2.840.10008.5.1.4.31",
        "1.2.840.10008.1.20.1",
        "1.2.840.10008.5.1.1.9",
    )
    wanted = [(uid, [IMPLICIT_LE]) for uid in (worklist, commitment, printing)]
    wanted += [(FIND, ["1.2.840.10008.1.2.4.50"])]
    results = [one.result for one in terms(Request("A", "B", 0, contexts=proposed(wanted))).contexts]
    assert results == [pdu.ABSTRACT_SYNTAX_UNKNOWN] * 3 + [pdu.TRANSFER_SYNTAXES_UNKNOWN]


def test_what_else_is_negotiated() -> None:
    asked = Request(
        "A",
        "B",
        0,
        roles=(Role(CT, True, True), Role(FIND, True, True)),
        extended={CT: b"\2\0\3\0\1\0", FIND: b"\1\1\1\1", GET: b"\1", "1.2.840.10008.5.1.4.31": b"\1"},
        contexts=proposed([(CT, [IMPLICIT_LE]), (FIND, [IMPLICIT_LE])]),
    )
    agreed = terms(pdu.decode_request(pdu.encode_request(asked)[6:]))  # type: ignore[arg-type]
    assert agreed.roles == (Role(CT, True, True), Role(FIND, True, False))
    assert agreed.extended == {CT: b"\2\0\3\0\0\0", FIND: b"\1\0\1\0", GET: b"\1"}
