"""What asks peers, without a server: a catalogue and its worker; and peers of several kinds, DCMTK's among them."""

import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset
from pynetdicom import AE
from pynetdicom.transport import ThreadedAssociationServer

from kahu.catalog import index
from kahu.catalog.inbox import Inbox
from kahu.catalog.places import Places
from kahu.catalog.scope import ALL
from kahu.db import Database
from kahu.dicom.query import Query
from kahu.dimse.peers import Peer, Peers
from kahu.dimse.reach import Ourselves
from kahu.dimse.retrieve import Retriever
from kahu.dimse.send import Sender, matching
from kahu.dimse.transfers import Part, Transfers
from kahu.stores.folder import open_folder
from kahu.stores.owned import open_owned
from kahu.testing import samples
from kahu.testing.programs import need_dcmtk
from kahu.work import Ledger, Task, Worker

WAIT = 60
ENDED = ("done", "failed", "cancelled")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for_port(port: int) -> None:
    deadline = time.monotonic() + WAIT
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise AssertionError(f"nothing listens at port {port}")


@dataclass
class Home:
    """All that transfers need of a Kahu."""

    folder: Path
    """is borrowed"""
    database: Database
    places: Places
    ledger: Ledger
    inbox: Inbox
    peers: Peers
    transfers: Transfers
    us: Ourselves = field(default_factory=lambda: Ourselves("KAHU"))
    worker: Worker | None = None

    def add(self, *datasets: Dataset) -> None:
        """Puts objects into the folder and indexes it."""
        for ds in datasets:
            samples.save(ds, self.folder / f"{ds.SOPInstanceUID}.dcm")
        self.scan()

    def scan(self) -> None:
        place = self.places.add("folder", str(self.folder))
        index.scan(self.database, self.places, place.id, lambda _progress, _words: None)

    def work(self) -> None:
        """Starts a worker; the one before must have been stopped."""
        handlers: dict[str, Callable[..., Any]] = {
            "send": Sender(self.database, self.places, self.peers, self.transfers, self.us),
            "retrieve": Retriever(self.database, self.inbox, self.peers, self.transfers, self.us),
        }
        self.worker = Worker(self.ledger, handlers, {})
        self.worker.start()

    def rest(self) -> None:
        """Stops the worker, as a server does that ends."""
        if self.worker:
            self.worker.stop()
            self.worker = None

    def everything(self) -> list[Part]:
        with self.database.read() as db:
            return matching(db, Query("SERIES"), ALL)

    def send(self, peer: Peer) -> Task:
        """Begins to send all that is here."""
        return self.transfers.begin("send", peer, self.everything(), "tester")

    def retrieve(self, peer: Peer, *studies: str) -> Task:
        return self.transfers.begin("retrieve", peer, [Part(study) for study in studies], "tester")

    def until(self, task: Task, true: Callable[[Task], bool]) -> Task:
        deadline = time.monotonic() + WAIT
        while not true(now := self.ledger.get(task.id)):
            assert time.monotonic() < deadline, now
            time.sleep(0.02)
        return now

    def ended(self, task: Task) -> Task:
        return self.until(task, lambda now: now.state in ENDED)

    def done(self, task: Task) -> dict[str, Any]:
        """The result of a transfer that must end well."""
        now = self.ended(task)
        assert now.state == "done", (now.message, now.result)
        result: dict[str, Any] = now.result
        return result


@pytest.fixture
def new_home(tmp_path: Path) -> Iterator[Callable[[str], Home]]:
    made: list[Home] = []

    def make(name: str) -> Home:
        base = tmp_path / name
        folder = base / "images"
        folder.mkdir(parents=True)
        database = Database(f"sqlite:///{base / 'catalog.db'}")
        database.create()
        places = Places(database, {"folder": open_folder, "owned": open_owned})
        places.ensure_owned(base / "store")
        ledger = Ledger(database)
        made.append(
            Home(
                folder,
                database,
                places,
                ledger,
                Inbox(database, places),
                Peers(database),
                Transfers(database, ledger),
            )
        )
        return made[-1]

    yield make
    for home in made:
        home.rest()
        home.inbox.close()
        home.database.close()


@pytest.fixture
def home(new_home: Callable[[str], Home]) -> Home:
    """One with its worker at work."""
    home = new_home("home")
    home.work()
    return home


Serve = Callable[..., Peer]


@pytest.fixture
def pynetdicom_peer(home: Home) -> Iterator[Serve]:
    """Starts an SCP of pynetdicom's with these contexts and handlers, known to `home` as `peer`."""
    servers: list[ThreadedAssociationServer] = []

    def serve(contexts: Sequence[Any], handlers: Sequence[Any] = (), **how: Any) -> Peer:
        entity = AE("PEER")
        for name, value in how.items():
            setattr(entity, name, value)
        for context in contexts:
            entity.add_supported_context(*context)
        server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=list(handlers))
        assert server is not None
        servers.append(server)
        return home.peers.add(Peer("peer", "PEER", "127.0.0.1", server.server_address[1]))

    yield serve
    for server in servers:
        server.shutdown()


@pytest.fixture
def storescp(home: Home, tmp_path: Path) -> Iterator[tuple[Peer, Path]]:
    """DCMTK's storescp, and the folder where it keeps the data sets as they came."""
    program = need_dcmtk("storescp")
    folder = tmp_path / "storescp"
    folder.mkdir()
    port = free_port()
    command = [program, "+xa", "+B", "-aet", "DCMTK", "-od", str(folder), str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        wait_for_port(port)
        yield home.peers.add(Peer("dcmtk", "DCMTK", "127.0.0.1", port)), folder
        process.kill()


@dataclass(frozen=True)
class Archive:
    """DCMTK's dcmqrscp with these objects in it."""

    peer: Peer
    add: Callable[..., None]


@pytest.fixture
def dcmqrscp(home: Home, tmp_path: Path) -> Iterator[Archive]:
    """An archive of DCMTK's that can be queried, and that gives by C-GET and C-MOVE."""
    program, register = need_dcmtk("dcmqrscp"), need_dcmtk("dcmqridx")
    folder = tmp_path / "dcmqrscp"
    folder.mkdir()
    port, ours = free_port(), home.us.port or free_port()
    configuration = tmp_path / "dcmqrscp.cfg"
    configuration.write_text(
        f"""NetworkTCPPort = {port}
MaxPDUSize = 16384
MaxAssociations = 16
HostTable BEGIN
kahu = (KAHU, 127.0.0.1, {ours})
HostTable END
VendorTable BEGIN
VendorTable END
AETable BEGIN
ARCHIVE {folder} RW (1000, 1024mb) ANY
AETable END
"""
    )

    def add(*datasets: Dataset) -> None:
        files = [folder / f"{ds.SOPInstanceUID}.dcm" for ds in datasets]
        for ds, file in zip(datasets, files, strict=True):
            samples.save(ds, file)
        subprocess.run([register, str(folder), *map(str, files)], check=True, capture_output=True)

    with subprocess.Popen(
        [program, "+xv", "-c", str(configuration)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        wait_for_port(port)
        yield Archive(home.peers.add(Peer("archive", "ARCHIVE", "127.0.0.1", port)), add)
        process.kill()


@pytest.fixture
def silent() -> Iterator[int]:
    """A port where somebody takes connections and never says anything."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        yield listening.getsockname()[1]
