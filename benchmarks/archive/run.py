"""The whole benchmark: rounds in which the servers take turns, then the table."""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import index as scanning
from archive import data, limits
from archive.data import Stored
from archive.measures import Measure, Measured, asking, storing, tiny
from archive.servers import Server, missing, start_kahu, start_nginx, start_orthanc
from archive.table import Row, table
from kahu.catalog import index
from kahu.catalog.places import Places
from kahu.db import Database
from kahu.stores.folder import open_folder

ROUNDS = 3


def main(words: str) -> None:
    parser = argparse.ArgumentParser(description=words, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smaller archive, for a first look")
    parser.add_argument("--folder", type=Path, help="where the images are, or are to be kept")
    given = parser.parse_args()
    if absent := missing():
        sys.exit("missing; install them: sudo apt install " + " ".join(absent))
    sizes, seconds = ((1600, 2000), 0.4) if given.quick else ((4000, 20_000), 2.0)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="kahu-benchmark-") as temporary:
        room = Path(temporary)
        ct, small = data.make(given.folder or room / "images", *sizes)
        rows = Comparison(room, ct, small, seconds).rows()
    print(
        f"{len(ct):,} CT of 530 KB and {len(small):,} objects of 2 KB on {len(os.sched_getaffinity(0))} cores; "
        f"medians of {ROUNDS} rounds in turns, {(time.monotonic() - began) / 60:.0f} minutes\n"
    )
    print(table(rows))


class Comparison:
    """Kahu and Orthanc on the same objects, in turns; `room` is a folder to work in."""

    def __init__(self, room: Path, ct: Sequence[Stored], small: Sequence[Stored], seconds: float) -> None:
        self.room = room
        self.ct = ct
        self.small = small
        self.seconds = seconds

    def rows(self) -> list[Row]:
        """All that was measured, in the order of the table."""
        stores = Turns(storing(self.ct))
        fills = Turns([tiny(self.small)])
        asks = Turns(asking(self.ct, self.small, ROUNDS, self.seconds))
        for number in range(ROUNDS - 1):
            with self.both() as servers:
                stores.take(servers, number)
        with self.both() as servers:
            stores.take(servers, ROUNDS - 1)
            fills.take(servers, 0)
            memory = memory_of(servers)
            for number in range(ROUNDS):
                asks.take(servers, number)
            self.compare_with_nginx(asks, servers[0])
        for turns in (stores, fills):
            for measure, row in turns.rows:
                row.limit = limits.synced_writes(measure.objects, measure.connections, self.room)
        return [row for turns in (stores, fills, asks) for _, row in turns.rows] + [self.index(), memory]

    def compare_with_nginx(self, asks: "Turns", kahu: Server) -> None:
        """What nginx does when it has the answers as files."""
        root = self.room / "www"
        root.mkdir()
        nginx = start_nginx(self.room / "nginx", root)
        try:
            for measure, row in asks.rows:
                row.limit = limits.by_nginx(measure, kahu, nginx, root, self.seconds / 4).figure(row.figure)
        finally:
            nginx.stop()

    def index(self) -> Row:
        """Files that are borrowed, looked through in place, page cache warm; no peer of ours does this."""
        row = Row("index in place, files", "rate", least=10_000)
        paths = [str(one.path) for one in self.ct]
        folder = str(self.ct[0].path.parents[1])
        for number in range(ROUNDS + 1):
            database = Database(f"sqlite:///{self.room / f'index-{number}.db'}")
            database.create()
            places = Places(database, {"folder": open_folder})
            store = places.add("folder", folder).id
            began = time.perf_counter()
            index.scan(database, places, store, lambda *_: None)
            seconds = time.perf_counter() - began
            database.close()
            if number:  # the first warms the page cache
                row.add("Kahu", Measured(len(paths) / seconds, 0, 0, 0))
        began = time.perf_counter()
        scanning.read_heads(paths)
        row.limit = len(paths) / (time.perf_counter() - began)
        return row

    @contextmanager
    def both(self) -> Iterator[list[Server]]:
        """Kahu and Orthanc, each with an empty store, which is removed afterwards."""
        with tempfile.TemporaryDirectory(dir=self.room) as folder:
            servers = [start_kahu(Path(folder) / "kahu")]
            try:
                servers.append(start_orthanc(Path(folder) / "orthanc"))
                yield servers
            finally:
                for server in servers:
                    server.stop()


class Turns:
    """Measures that the servers take turns at, and the rows that fill."""

    def __init__(self, measures: Sequence[Measure]) -> None:
        self.rows = [(measure, Row(measure.name, measure.figure, measure.aim)) for measure in measures]

    def take(self, servers: Sequence[Server], number: int) -> None:
        """One round; who is first changes from round to round, and nobody works while it is another's turn."""
        for measure, row in self.rows:
            for server in servers if number % 2 == 0 else reversed(servers):
                for each in servers:
                    each.settle()
                measured = measure.run(server, number)
                row.add(server.name, measured)
                said = row.told(measured.figure(row.figure))
                print(f"  {number + 1}  {row.name:55} {server.name:8} {said}", file=sys.stderr, flush=True)


def memory_of(servers: Sequence[Server]) -> Row:
    row = Row("memory then (RSS)", "memory", 2)
    for server in servers:
        server.settle()
        row.add(server.name, Measured(0, 0, 0, 0, server.memory()))
    return row
