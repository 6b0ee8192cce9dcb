"""An archive for tests of the doors: a catalogue, a borrowed folder, a store of its own, and the door."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from pydicom import Dataset
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send

from kahu.access import OWNER, Grant
from kahu.catalog import index
from kahu.catalog.inbox import Inbox
from kahu.catalog.places import Places
from kahu.db import Database
from kahu.errors import KahuError
from kahu.server import dicomweb
from kahu.server.answers import on_http_error, refusal
from kahu.server.pools import Pools
from kahu.settings import Settings
from kahu.stores.folder import open_folder
from kahu.stores.owned import open_owned
from kahu.testing import samples


async def refuse(_request: Request, error: Exception) -> Response:
    assert isinstance(error, KahuError)
    return refusal(error)


class As:
    """Middleware that lets every request in with one grant."""

    def __init__(self, app: ASGIApp, grant: Grant) -> None:
        self.app = app
        self.grant = grant

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope.setdefault("state", {})["grant"] = self.grant
        await self.app(scope, receive, send)


@dataclass
class Archive:
    """What stands behind the door, and the door itself."""

    folder: Path
    """is borrowed"""
    home: Path
    database: Database
    places: Places
    inbox: Inbox
    settings: Settings
    pools: Pools = field(default_factory=Pools)

    def add(self, *datasets: Dataset) -> None:
        """Puts objects into the folder and indexes it."""
        for ds in datasets:
            samples.save(ds, self.folder / f"{ds.SOPInstanceUID}.dcm")
        self.scan()

    def scan(self) -> None:
        place = self.places.add("folder", str(self.folder))
        index.scan(self.database, self.places, place.id, lambda _progress, _words: None)

    def app(self, grant: Grant = OWNER, base: str = "/dicomweb") -> ASGIApp:
        doors = Starlette(
            routes=dicomweb.routes(self, base),
            exception_handlers={KahuError: refuse, HTTPException: on_http_error},
        )
        return As(doors, grant)

    def client(self, grant: Grant = OWNER, base: str = "/dicomweb") -> TestClient:
        return TestClient(self.app(grant, base), headers={"Accept": "*/*"})

    @contextmanager
    def served(self, grant: Grant = OWNER) -> Iterator[str]:
        """The door on a real port; gives its URL."""
        listening = socket.create_server(("127.0.0.1", 0))
        config = uvicorn.Config(self.app(grant), log_config=None, lifespan="off", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/dicomweb"
        finally:
            server.should_exit = True
            thread.join()
            listening.close()


@contextmanager
def opened(home: Path) -> Iterator[Archive]:
    """An archive in a folder of its own."""
    database = Database(f"sqlite:///{home / 'catalog.db'}")
    database.create()
    openers: dict[str, Callable[[str], Any]] = {"folder": open_folder, "owned": open_owned}
    places = Places(database, openers)
    places.ensure_owned(home / "store")
    (home / "images").mkdir()
    archive = Archive(home / "images", home, database, places, Inbox(database, places), Settings(home=home))
    yield archive
    archive.pools.close()
    archive.inbox.close()
    database.close()


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    """An archive for one test."""
    with opened(tmp_path) as archive:
        yield archive


@pytest.fixture(scope="module")
def shared_archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    """An archive for tests that only read."""
    with opened(tmp_path_factory.mktemp("archive")) as archive:
        yield archive
