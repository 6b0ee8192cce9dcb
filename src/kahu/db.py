"""The database: one schema on SQLite (embedded) and PostgreSQL (scaled out), through SQLAlchemy Core.

A room declares its tables on `metadata`; `Database` opens, creates and checks them. Reads may run side by
side; writes are one transaction each, and on SQLite take turns.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from kahu.errors import KahuError, StorageFull

SCHEMA_VERSION = 2

metadata = sa.MetaData()

# Text compares by code point on both databases (DESIGN.md, Settled 9).
Text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

_COMMITTED = "kahu_committed"  # in Connection.info: what to call once the transaction is committed

# Keys that the database hands out: 64 bits, and on SQLite the rowid.
Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

_schema = sa.Table("kahu_schema", metadata, sa.Column("version", sa.Integer, nullable=False))

Migration = Callable[[sa.Connection], None]
_migrations: dict[int, Migration] = {}


def migration(to: int) -> Callable[[Migration], Migration]:
    """Declares the step that brings a database from the version before to this one. New tables need none;
    columns and indexes of tables that were there before do."""

    def declare(step: Migration) -> Migration:
        _migrations[to] = step
        return step

    return declare


class Database:
    """The catalogue's and the ledger's database.

    `read()` gives a connection for queries; `write()` gives one inside a transaction that is committed,
    and on disk, when the block ends well and rolled back when it does not.
    """

    def __init__(self, url: str, *, readers: int = 8) -> None:
        self.url = sa.engine.make_url(url)
        self.sqlite = self.url.get_backend_name() == "sqlite"
        self._turn = threading.RLock()
        self.generation = 0
        """grows with every `write`: what was read is true until then (on SQLite, where one process writes)"""
        if self.sqlite:
            if self.url.database:
                Path(self.url.database).parent.mkdir(parents=True, exist_ok=True)
            self.engine = sa.create_engine(
                self.url,
                pool_size=readers,
                max_overflow=readers,
                poolclass=sa.pool.QueuePool,
                hide_parameters=True,  # errors are logged, and parameters hold patients' data
                connect_args={"check_same_thread": False, "timeout": 30},
            )
            event.listen(self.engine, "connect", _prepare_sqlite)
            event.listen(self.engine, "begin", _begin_sqlite)
        else:
            self.engine = sa.create_engine(
                self.url, pool_size=readers, max_overflow=readers, hide_parameters=True
            )

    def create(self) -> None:
        """Creates what is missing, and brings forward what an older Kahu wrote: wholly, or not at all. A newer
        schema than ours is an error, never a guess."""
        with self.write() as db:
            known = sa.inspect(db).has_table(_schema.name)
            version = db.execute(sa.select(_schema.c.version)).scalar() if known else None
            if version is not None and version > SCHEMA_VERSION:
                raise KahuError(
                    f"the catalogue has schema {version}, this Kahu knows {SCHEMA_VERSION}",
                    "install the newer Kahu that wrote it, or choose another --home",
                )
            for step in range(version or SCHEMA_VERSION, SCHEMA_VERSION):
                if step + 1 not in _migrations:
                    raise KahuError(
                        f"the catalogue has schema {version}, and nothing here brings it forward",
                        "start Kahu with kahu up: it does",
                    )
                _migrations[step + 1](db)
            metadata.create_all(db)
            db.execute(sa.delete(_schema))
            db.execute(_schema.insert().values(version=SCHEMA_VERSION))

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A connection for queries; what it sees does not change while it is held."""
        with self.engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self, *, log: bool = False) -> Iterator[sa.Connection]:
        """A transaction. On SQLite writers wait for each other here, not in the database. `log`: it only adds what
        nobody's answer depends on, and does not count as a new generation."""
        committed: list[Callable[[], None]] = []
        try:
            with self._turn if self.sqlite else nullcontext(), self.engine.connect() as connection:
                connection = connection.execution_options(kahu_write=True)
                connection.info[_COMMITTED] = committed
                with connection.begin():
                    yield connection
        except sa.exc.OperationalError as error:
            said = str(error.orig)
            if "full" in said:
                raise StorageFull("the disk of the catalogue is full", "free some space") from error
            if "readonly" in said or "read-only" in said:
                hint = "look at its disk, and whether Kahu may write there"
                raise StorageFull("the catalogue cannot be written", hint) from error
            raise
        finally:
            self.generation += not log
        for call in committed:
            call()

    def close(self) -> None:
        self.engine.dispose()


def after_commit(db: sa.Connection, call: Callable[[], None]) -> None:
    """Calls when the transaction that `db` is in, one of `Database.write`, is committed; never if it is
    not."""
    db.info[_COMMITTED].append(call)


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions are begun by _begin_sqlite, not by the driver
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "busy_timeout=30000",
        "temp_store=MEMORY",
        "cache_size=-16000",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: sa.Connection) -> None:
    writing = connection.get_execution_options().get("kahu_write")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")
