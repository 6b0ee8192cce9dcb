"""Kahu put together: the one place that knows every room and chooses its parts."""

import logging
import logging.handlers
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import msgspec
import uvicorn

from kahu.access import OWNER
from kahu.access.audit import Audit
from kahu.access.tokens import Tokens
from kahu.catalog import arrive, index
from kahu.catalog.places import Places
from kahu.db import Database
from kahu.errors import KahuError
from kahu.executors import Executor
from kahu.home import HomeLock
from kahu.runs.case import CaseHandler
from kahu.runs.runs import Runs
from kahu.server.api import work
from kahu.server.api.stores import begin_scan
from kahu.server.app import create
from kahu.server.pools import Pools
from kahu.server.services import Services
from kahu.settings import Settings
from kahu.tools.shelf import Shelf
from kahu.work import Ledger, Report, Task, Worker

log = logging.getLogger("kahu")

GRACE = 3
"""seconds that open requests are given when the server stops"""


class Kahu:
    """One Kahu at work in one home: catalogue, ledger, worker, and the services that the doors use."""

    end: Callable[[], None]
    """asks the server to stop"""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.lock = HomeLock(settings.home)
        try:
            self._open()
        except BaseException:
            self.lock.release()
            raise

    def _open(self) -> None:
        settings = self.settings
        write_logs(settings)
        self.database = Database(settings.database_url)
        self.database.create()
        self.places = Places(self.database, {e.name: e.load() for e in entry_points(group="kahu.stores")})
        self.places.ensure_owned(settings.owned)
        self.ledger = Ledger(self.database)
        self.ledger.requeue(alone=True)
        self.executor = choose_executor(settings)
        arrive.sweep(self.database, self.places)
        self.tokens = Tokens(self.database)
        self.audit = Audit(self.database)
        self.shelf = Shelf(settings.tools, [e.load() for e in entry_points(group="kahu.tools")])
        self.runs = Runs(self.database, self.ledger, self.shelf, self.executor)
        self.executor.sweep(keep=self.runs.jobs())
        self.case = CaseHandler(
            database=self.database,
            places=self.places,
            shelf=self.shelf,
            tokens=self.tokens,
            executor=self.executor,
        )
        self.worker = Worker(
            self.ledger, {"scan": self._scan, "case": self.case}, slots={"scan": 1, "case": 1}
        )
        self.services = Services(
            settings=settings,
            database=self.database,
            places=self.places,
            pools=Pools(),
            ledger=self.ledger,
            tokens=self.tokens,
            audit=self.audit,
            shelf=self.shelf,
            runs=self.runs,
            executor=self.executor,
        )

    def start(self, url: str) -> None:
        """Begins to work, now that the doors are open at `url`: jobs call back there."""
        self.case.url = url
        self.lock.tell(url)
        self.worker.start()

    def close(self) -> None:
        """Ends all work; what was running is queued again and goes on at the next start."""
        self.worker.stop()
        self.executor.close()
        self.services.pools.close()
        self.audit.close()
        self.database.close()
        self.lock.release()

    def _scan(self, task: Task, report: Report) -> Any:
        return asdict(index.scan(self.database, self.places, int(task.payload["store"]), report))


def task_now(kahu: Kahu, task_id: str) -> dict[str, Any]:
    """A task as the API tells it."""
    told: dict[str, Any] = msgspec.to_builtins(work.told(kahu.ledger.get(task_id)))
    return told


def add_folder(kahu: Kahu, folder: Path) -> str:
    """Serves a folder in place and begins to look through it; the id of the task that does."""
    return begin_scan(kahu.services, kahu.places.add("folder", str(folder))).id


@contextmanager
def own_token(settings: Settings) -> Iterator[str]:
    """A token for this process, made in the database that it can read anyway, and worthless afterwards."""
    database = Database(settings.database_url)
    tokens = Tokens(database)
    try:
        with tokens.borrowed("command line", OWNER, seconds=86400) as secret:
            yield secret
    finally:
        database.close()


def choose_executor(settings: Settings) -> Executor:
    """The executor of this installation, found by its entry point and loaded now."""
    (found,) = entry_points(group="kahu.executors", name="process")
    executor: Executor = found.load()(settings.jobs, settings.environments)
    return executor


def bind(settings: Settings) -> socket.socket:
    """The listening socket. KahuError says who could be in the way."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.host, settings.port))
    except OSError as error:
        listening.close()
        if error.errno == 98:
            raise KahuError(
                f"port {settings.port} of {settings.host} is in use by another program",
                "choose another with --port, for example --port 8011",
            ) from error
        raise KahuError(
            f"cannot listen on {settings.host} port {settings.port}: {error.strerror or error}",
            "check --host and --port",
        ) from error
    listening.listen(512)
    return listening


def need_token(settings: Settings) -> None:
    """A server that others can reach does not start before somebody has a token."""
    if settings.loopback:
        return
    database = Database(settings.database_url)
    try:
        database.create()
        if not any(not token.task for token in Tokens(database).list()):
            raise KahuError(
                f"{settings.host} can be reached by others, and nobody has a token yet",
                "make one first: kahu token add NAME",
            )
    finally:
        database.close()


def serve(settings: Settings, ready: Callable[[Kahu, str], None]) -> None:
    """Runs the server until SIGINT or SIGTERM. `ready(kahu, url)` is called, in a thread of its own, once the
    doors are open."""
    need_token(settings)
    listening = bind(settings)
    try:
        kahu = Kahu(settings)
    except BaseException:
        listening.close()
        raise
    server = _server(kahu, listening, ready)
    kahu.end = server.end
    for wish in (signal.SIGINT, signal.SIGTERM):
        # uvicorn has its own handlers while it runs, and raises the signal again when it has stopped
        signal.signal(wish, lambda *_: server.end())
    try:
        server.run(sockets=[listening])
    finally:
        kahu.close()


@contextmanager
def private(settings: Settings) -> Iterator[str]:
    """A server for one command, in a thread, on a free port of loopback; gives its URL."""
    settings = Settings(home=settings.home, db=settings.db, host="127.0.0.1", port=0)
    listening = bind(settings)
    try:
        kahu = Kahu(settings)
    except BaseException:
        listening.close()
        raise
    opened = threading.Event()
    server = _server(kahu, listening, lambda _kahu, _url: opened.set())
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        opened.wait(30)
        yield address(listening)
    finally:
        server.end()
        thread.join(GRACE + 2)
        kahu.close()


def address(listening: socket.socket) -> str:
    """The URL of a listening socket; of loopback where it listens everywhere."""
    host, port = listening.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class _Server(uvicorn.Server):
    """uvicorn's server, which tells when its doors are open and ends streams that would never end."""

    def __init__(
        self, config: uvicorn.Config, opened: Callable[[], None], closing: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._opened = opened
        self._closing = closing

    def end(self) -> None:
        """Asks it to stop, from any thread."""
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._opened()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._closing()
        await super().shutdown(sockets)


def _server(kahu: Kahu, listening: socket.socket, ready: Callable[[Kahu, str], None]) -> _Server:
    url = address(listening)

    def opened() -> None:
        kahu.start(url)
        threading.Thread(target=ready, args=(kahu, url), daemon=True, name="ready").start()

    config = uvicorn.Config(
        create(kahu.services),
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="off",
        timeout_graceful_shutdown=GRACE,
    )
    return _Server(config, opened, kahu.services.closing.set)


def write_logs(settings: Settings) -> None:
    """Logs go to a file in the home that is kept small; they name no patients and no tokens."""
    settings.home.mkdir(parents=True, exist_ok=True)
    handler = logging.handlers.RotatingFileHandler(
        settings.home / "kahu.log", maxBytes=10 << 20, backupCount=3, delay=True
    )
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    root = logging.getLogger("kahu")
    for old in list(root.handlers):
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    root.propagate = False
