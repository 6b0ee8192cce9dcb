"""Kahu put together: the one place that knows every room and chooses its parts."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import msgspec

from kahu.access import OWNER
from kahu.access.audit import Audit
from kahu.access.tokens import Tokens
from kahu.catalog import arrive, index
from kahu.catalog.inbox import Inbox
from kahu.catalog.places import Places
from kahu.db import Database
from kahu.dimse.peers import Peers
from kahu.dimse.reach import Ourselves
from kahu.dimse.retrieve import Retriever
from kahu.dimse.send import Sender
from kahu.dimse.tls import client_context
from kahu.dimse.transfers import Transfers
from kahu.executors import Executor
from kahu.home import HomeLock
from kahu.logs import write_logs
from kahu.runs.case import CaseHandler
from kahu.runs.runs import Runs
from kahu.server.api import work
from kahu.server.api.stores import begin_scan
from kahu.server.pools import Pools
from kahu.server.services import Services
from kahu.settings import Settings
from kahu.tools.shelf import Shelf
from kahu.work import Handler, Ledger, Report, Task, Worker


class Kahu:
    """One Kahu at work in one home: catalogue, ledger, worker, and the services that the doors use."""

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
        self.inbox = Inbox(self.database, self.places)
        self.peers = Peers(self.database)
        self.transfers = Transfers(self.database, self.ledger)
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
        self.ourselves = Ourselves(settings.aet, settings.dimse_port, client_context(settings))
        handlers: dict[str, Handler] = {
            "scan": self._scan,
            "case": self.case,
            "send": Sender(self.database, self.places, self.peers, self.transfers, self.ourselves),
            "retrieve": Retriever(self.database, self.inbox, self.peers, self.transfers, self.ourselves),
        }
        self.worker = Worker(self.ledger, handlers, slots={"scan": 1, "case": 1, "send": 2, "retrieve": 2})
        self.services = Services(
            settings=settings,
            database=self.database,
            places=self.places,
            inbox=self.inbox,
            peers=self.peers,
            pools=Pools(),
            ledger=self.ledger,
            transfers=self.transfers,
            ourselves=self.ourselves,
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
        self.inbox.close()
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
