"""What every door is given: the rooms below, put together by `app`."""

import threading
from dataclasses import dataclass, field

import sqlalchemy as sa

from kahu.access.audit import Audit
from kahu.access.tokens import Tokens
from kahu.catalog.inbox import Inbox
from kahu.catalog.places import Places
from kahu.db import Database
from kahu.dimse.peers import Peers
from kahu.dimse.reach import Ourselves
from kahu.dimse.transfers import Transfers
from kahu.executors import Executor
from kahu.runs.runs import Runs
from kahu.server.pools import Pools
from kahu.settings import Settings
from kahu.tools.shelf import Shelf
from kahu.work import Ledger


@dataclass(frozen=True)
class Services:
    """One server's rooms."""

    settings: Settings
    database: Database
    places: Places
    inbox: Inbox
    peers: Peers
    pools: Pools
    ledger: Ledger
    transfers: Transfers
    ourselves: Ourselves
    """as peers see us"""
    tokens: Tokens
    audit: Audit
    shelf: Shelf
    runs: Runs
    executor: Executor
    closing: threading.Event = field(default_factory=threading.Event)
    """set when the server begins to stop: answers that never end, end now"""

    def ping(self) -> None:
        """Raises when the database cannot be read."""
        with self.database.read() as db:
            db.execute(sa.select(1))
