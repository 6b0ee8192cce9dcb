"""A Kahu with a DIMSE port, in this process; DCMTK's programs to speak to it."""

import socket
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset

from kahu.app import Kahu
from kahu.catalog import fetch, search
from kahu.catalog.scope import ALL
from kahu.dicom.header import read_header
from kahu.dicom.query import Query
from kahu.dimse import association
from kahu.dimse.association import Association, Message
from kahu.dimse.command import C_STORE, Command
from kahu.dimse.contexts import proposed
from kahu.dimse.pdu import Role
from kahu.dimse.peers import Peer
from kahu.dimse.tls import server_context
from kahu.server.dimse.listener import Listener
from kahu.settings import Settings
from kahu.testing import samples
from kahu.testing.programs import need_dcmtk


@dataclass
class Door:
    """A Kahu, and where its DIMSE port is."""

    kahu: Kahu
    listener: Listener

    @property
    def port(self) -> int:
        return self.listener.port

    @property
    def here(self) -> Peer:
        """How we look to a caller."""
        return Peer("kahu", "KAHU", "127.0.0.1", self.port)

    def request(
        self, *contexts: tuple[str, Sequence[str]], roles: Sequence[Role] = (), timeout: float = 20
    ) -> Association:
        """An association with it; the context IDs are 1, 3, 5 ..."""
        return association.request(
            self.here, proposed(contexts), calling="TEST", roles=roles, timeout=timeout
        )

    def ask(
        self,
        ours: Association,
        field: int,
        data: Iterable[bytes] | None = None,
        context: int = 1,
        **more: Any,
    ) -> int:
        """Sends a request; its Message ID."""
        number = ours.next_message_id()
        sop_class = ours.contexts[context].abstract_syntax
        request = {
            "CommandField": field,
            "MessageID": number,
            "AffectedSOPClassUID": sop_class,
            "Priority": 0,
        }
        ours.send(context, request | more, data)
        return number

    def answer(self, ours: Association) -> Message:
        """The next message."""
        message = ours.receive(20)
        assert message is not None
        return message

    def store(
        self, ours: Association, instance: str, data: Iterable[bytes], context: int = 1, **more: Any
    ) -> Command:
        """Sends an object; the response."""
        self.ask(ours, C_STORE, data, context, AffectedSOPInstanceUID=instance, **more)
        return self.answer(ours).command

    def add(self, *datasets: Dataset) -> None:
        """Stores objects."""
        for ds in datasets:
            sop_class, instance, syntax, data = self.parts(samples.encode(ds))
            with self.request((sop_class, [syntax])) as ours:
                assert self.store(ours, instance, [data])["Status"] == 0

    @staticmethod
    def parts(file: bytes) -> tuple[str, str, str, bytes]:
        """SOP class, instance and transfer syntax of a file, and the bytes of its data set. NotDicom."""
        h = read_header(lambda offset, length: file[offset : offset + length], len(file))
        return h.sop_class_uid, h.sop_instance_uid, h.transfer_syntax_uid, file[h.dataset_offset :]

    def instances(self) -> list[str]:
        """SOP Instance UIDs of what it has."""
        with self.kahu.database.read() as db:
            return [row["SOPInstanceUID"] for row in search.find(db, Query("IMAGE"), ALL).rows]

    def kept(self, uid: str) -> bytes:
        """The bytes of an object's data set, as they are kept."""
        with self.kahu.database.read() as db:
            located = fetch.locate(db, uid, ALL)
        whole = b"".join(fetch.stream(self.kahu.places, located))
        return whole[located.dataset_offset :]

    def files(self) -> list[str]:
        """Names of the files of its own store."""
        return [path.name for path in self.kahu.settings.owned.rglob("*") if path.is_file()]


@contextmanager
def opened(home: Path, listening: socket.socket | None = None, **options: Any) -> Iterator[Door]:
    settings = Settings(home=home, dimse_port=0, **options)
    kahu = Kahu(settings)
    with listening or socket.create_server(("127.0.0.1", 0), backlog=256) as listening:
        listener = Listener(kahu.services, listening, server_context(settings))
        listener.start()
        try:
            yield Door(kahu, listener)
        finally:
            listener.close()
            kahu.close()


@pytest.fixture
def open_door() -> Callable[..., AbstractContextManager[Door]]:
    """Opens one with other settings, in the home that is given."""
    return opened


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    """For one test."""
    with opened(tmp_path / "home") as door:
        yield door


@pytest.fixture(scope="module")
def shared_door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """For tests that only read, or do not mind what others have stored."""
    with opened(tmp_path_factory.mktemp("dimse") / "home") as door:
        yield door


Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def dcmtk(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a program of DCMTK; skips where it is not installed."""
    monkeypatch.setenv("TCP_NODELAY", "1")

    def run(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        command = [need_dcmtk(program), *map(str, arguments)]
        return subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=60, check=False
        )

    return run


@pytest.fixture
def unused_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
