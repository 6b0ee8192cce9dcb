"""What the machine gives to whoever does nothing else: files written and synced, answers sent by nginx."""

import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from archive.data import Stored
from archive.load import Get, fork
from archive.measures import Measure, Measured, at, timed
from archive.servers import Server


def synced_writes(objects: Sequence[Stored], processes: int, folder: Path) -> float:
    """Files a second that are written and synced, each process one after the other."""
    contents = [one.path.read_bytes() for one in objects]
    with tempfile.TemporaryDirectory(dir=folder) as room:
        workers = [
            fork.Process(target=_write, args=(Path(room) / str(number), contents[number::processes]))
            for number in range(processes)
        ]
        began = time.perf_counter()
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return len(contents) / (time.perf_counter() - began)


def _write(folder: Path, contents: Sequence[bytes]) -> None:
    folder.mkdir()
    for number, content in enumerate(contents):
        with (folder / str(number)).open("wb", buffering=0) as file:
            file.write(content)
            os.fsync(file.fileno())


def by_nginx(measure: Measure, kahu: Server, nginx: Server, root: Path, seconds: float) -> Measured:
    """The same answers, as files below `root`."""
    for number, get in enumerate(measure.answers):
        asked = at(kahu, get)
        (root / str(number)).write_bytes(kahu.fetch(asked.path, asked.accept))
    gets = [Get(f"/{number}") for number in range(len(measure.answers))]
    return timed(nginx, gets * 2000, measure.connections, seconds)
