"""How fast a folder is indexed, next to what it is made of, and what the time goes into.

    python benchmarks/index.py [--files 24000] [--rounds 3] [--folder DIR]

Makes CT images of 530 KB (kept in DIR if one is given; their pixels are holes in the files, for no scan reads
them), and does each of these with the same files, page cache warm, in each round:

* open, fstat and pread of 16 KiB of each file: what any reader must do;
* `read_header` in one process: what the headers cost;
* `scan` of the store, spread over processes once it lasts, without a database;
* a first scan into a new catalogue, and a second one that finds nothing changed;
* the rows of that catalogue that instances have, written again by SQLite alone, as many in a transaction: what
  any catalogue must do.

Of each, the round that took least counts. CPU time is that of all processes, so it says what a scan would take
where nothing else runs: files a second on so many cores, if all of them had work all the time.
"""

import argparse
import os
import resource
import sqlite3
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydicom.dataset import Dataset

from kahu.catalog import index
from kahu.catalog.places import Places
from kahu.db import Database
from kahu.stores.folder import Folder, open_folder
from kahu.stores.reading import OPEN, read_object
from kahu.testing import samples

SERIES = 200
"""files in a series"""
HEAD = 16 << 10
CORES = len(os.sched_getaffinity(0))
PER_INSTANCE = ("instances", "headers", "locations")
"""tables with a row for each"""

_INSTANCE = "1.2.826.0.1.3680043.10.511.9.999999999999"


@dataclass(frozen=True)
class Spent:
    """Seconds that a step took."""

    wall: float
    cpu: float
    """of all processes"""


STEPS = (
    "pread of 16 KiB",
    "header reader, one process",
    "scan of the store",
    "first scan, with the catalogue",
    "second scan, nothing changed",
    "its rows, by SQLite alone",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=24_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where the images are, or are to be kept")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary) / "images"
        if not folder.exists():
            print(f"making {given.files:,} files in {folder} ...")
            make(folder, given.files)
        paths = sorted(str(path) for path in folder.rglob("*.dcm"))
        read_heads(paths)  # warms the page cache
        rounds = [run(folder, paths, Path(temporary) / f"round-{n}") for n in range(given.rounds)]
    show(len(paths), [least(taken) for taken in zip(*rounds, strict=True)])


def run(folder: Path, paths: list[str], temporary: Path) -> list[Spent]:
    """What each of `STEPS` took."""
    temporary.mkdir()
    catalogue = temporary / "catalog.db"
    database = Database(f"sqlite:///{catalogue}")
    database.create()
    places = Places(database, {"folder": open_folder})
    store = places.add("folder", str(folder)).id

    def scan() -> None:
        index.scan(database, places, store, lambda *_: None)

    spent = [
        time_of(lambda: read_heads(paths)),
        time_of(lambda: [read_object(path) for path in paths]),
        time_of(lambda: sum(1 for _ in Folder(folder).scan(lambda _: None))),
        time_of(scan),
        time_of(scan),
    ]
    database.close()
    return [*spent, write_again(catalogue, temporary / "again.db")]


def time_of(step: Callable[[], object]) -> Spent:
    wall, cpu = time.perf_counter(), sum(os.times()[:4])
    step()
    return Spent(time.perf_counter() - wall, sum(os.times()[:4]) - cpu)


def least(taken: tuple[Spent, ...]) -> Spent:
    return Spent(min(one.wall for one in taken), min(one.cpu for one in taken))


def write_again(catalogue: Path, again: Path) -> Spent:
    """Copies the rows that instances have to a catalogue without any; in transactions of the same size."""
    source = sqlite3.connect(catalogue)
    rows = {table: source.execute(f"SELECT * FROM {table}").fetchall() for table in PER_INSTANCE}  # noqa: S608
    database = Database(f"sqlite:///{again}")
    database.create()
    connection = database.engine.raw_connection()

    def write() -> None:
        for start in range(0, len(rows["instances"]), index.BATCH):
            connection.cursor().execute("BEGIN IMMEDIATE")
            for table, own in rows.items():
                marks = ", ".join("?" * len(own[0]))
                some = own[start : start + index.BATCH]
                connection.cursor().executemany(f"INSERT INTO {table} VALUES ({marks})", some)  # noqa: S608
            connection.commit()

    connection.cursor().execute("PRAGMA foreign_keys=OFF")  # the rows above are not copied
    spent = time_of(write)
    connection.close()
    database.close()
    source.close()
    return spent


def show(files: int, spent: list[Spent]) -> None:
    print(f"{files:,} files on {CORES} cores")
    print(f"{'':34}{'files/s':>10}{'CPU µs/file':>14}{'× pread':>10}{f'on {CORES} cores':>14}")
    each = dict(zip(STEPS, (one.cpu / files * 1e6 for one in spent), strict=True))
    pread = each["pread of 16 KiB"]
    for name, one in zip(STEPS, spent, strict=True):
        cpu = each[name]
        print(f"{name:34}{files / one.wall:10,.0f}{cpu:14.1f}{cpu / pread:10.1f}{CORES / cpu * 1e6:14,.0f}")
    reader, store, first = (each[STEPS[n]] for n in (1, 2, 3))
    rows = each["its rows, by SQLite alone"]
    print("\nOf a first scan's CPU time, µs a file:")
    print(f"{pread:8.1f}  bytes of the files")
    print(f"{reader - pread:8.1f}  headers")
    print(
        f"{store - reader:8.1f}  walking the folders; starting other processes, passing headers between them"
    )
    print(f"{rows:8.1f}  rows, by SQLite")
    print(f"{first - store - rows:8.1f}  looking at what is known, making the rows")
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(f"\nThis process took {most} MiB at most, much of it for this table.")


def read_heads(paths: list[str]) -> None:
    for path in paths:
        descriptor = os.open(path, OPEN)
        os.fstat(descriptor)
        os.pread(descriptor, HEAD, 0)
        os.close(descriptor)


def make(folder: Path, files: int) -> None:
    """CT series of 200, one in ten in implicit VR, with about 100 elements each; without their pixels."""
    for number in range(-(-files // SERIES)):
        series = folder / f"series-{number:04d}"
        series.mkdir(parents=True)
        template = samples.encode(_ct(number))
        for slice_ in range(min(SERIES, files - number * SERIES)):
            uid = f"{_INSTANCE[:-12]}{number + 100001}{slice_ + 100001}"
            image = series / f"{slice_:04d}.dcm"
            image.write_bytes(template[:HEAD].replace(_INSTANCE.encode(), uid.encode()))
            os.truncate(image, len(template))


def _ct(number: int) -> Dataset:
    syntax = "1.2.840.10008.1.2" if number % 10 == 9 else "1.2.840.10008.1.2.1"
    ct = samples.instance(
        rows=512,
        columns=512,
        patient_id=f"BENCH-{number // 2:05d}",
        description=f"Thorax {number}",
        transfer_syntax=syntax,
    )
    ct.SOPInstanceUID = _INSTANCE
    for keyword in _MORE:
        setattr(ct, keyword, "17")
    for keyword in _SEQUENCES:
        setattr(ct, keyword, [_code(), _code()])
    return ct


def _words(text: str) -> list[str]:
    return text.split()


_MORE = _words("""
    InstitutionName InstitutionAddress StationName ProcedureStepState OperatorsName PhysiciansOfRecord
    PerformingPhysicianName InstitutionalDepartmentName DeviceSerialNumber SoftwareVersions ProtocolName
    ReconstructionDiameter DistanceSourceToDetector TableHeight DistanceSourceToPatient
    GantryDetectorTilt ExposureTime XRayTubeCurrent Exposure FilterType GeneratorPower FocalSpots
    ConvolutionKernel DataCollectionDiameter PatientSize PatientWeight AdditionalPatientHistory
    RequestedProcedureDescription PerformedProcedureStepID PerformedProcedureStepDescription
    ImageComments ContrastBolusAgent
""")
_SEQUENCES = _words("""
    ProcedureCodeSequence RequestAttributesSequence PerformedProtocolCodeSequence
    ReferencedStudySequence SourceImageSequence AnatomicRegionSequence
""")


def _code() -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "17", "99KAHU", "Something meant"
    code.ReferencedSOPClassUID, code.ReferencedSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", "1.2.3.4.5"
    return code


if __name__ == "__main__":
    main()
