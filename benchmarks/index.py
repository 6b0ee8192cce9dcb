"""How fast a folder is indexed, next to what it is made of: raw reads, and the header reader alone.

    python benchmarks/index.py [--files 4000] [--folder DIR]

Makes CT images of 530 KB (kept in DIR if one is given), and times on the same files, page cache warm:

* open, fstat and pread of 16 KiB of each file: what any reader must do;
* `read_header` in one process: what the headers cost;
* `scan` of the store, spread over processes, without a database;
* a first scan into a new catalogue, and a second one that finds nothing changed.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

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

_INSTANCE = "1.2.826.0.1.3680043.10.511.9.999999999999"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=4000)
    parser.add_argument("--folder", type=Path, help="where the images are, or are to be kept")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary) / "images"
        if not folder.exists():
            print(f"making {given.files} files in {folder}, {given.files * 0.53:,.0f} MB ...")
            make(folder, given.files)
        run(folder, Path(temporary))


def run(folder: Path, temporary: Path) -> None:
    paths = sorted(str(path) for path in folder.rglob("*.dcm"))
    database = Database(f"sqlite:///{temporary / 'catalog.db'}")
    database.create()
    places = Places(database, {"folder": open_folder})
    store = places.add("folder", str(folder)).id

    def scan() -> None:
        index.scan(database, places, store, lambda *_: None)

    read_heads(paths)  # warms the page cache
    steps: list[tuple[str, Callable[[], Any]]] = [
        ("pread of 16 KiB", lambda: read_heads(paths)),
        ("header reader, one process", lambda: [read_object(path) for path in paths]),
        ("scan of the store", lambda: sum(1 for _ in Folder(folder).scan(lambda _: None))),
        ("first scan, with the catalogue", scan),
        ("second scan, nothing changed", scan),
    ]
    print(f"{len(paths):,} files on {len(os.sched_getaffinity(0))} cores")
    print(f"{'':34}{'files/s':>10}{'µs/file':>10}{'× pread':>10}")
    least = 0.0
    for name, step in steps:
        began = time.perf_counter()
        step()
        seconds = time.perf_counter() - began
        least = least or seconds
        print(
            f"{name:34}{len(paths) / seconds:10,.0f}{seconds / len(paths) * 1e6:10.1f}{seconds / least:10.1f}"
        )
    database.close()


def read_heads(paths: list[str]) -> None:
    for path in paths:
        descriptor = os.open(path, OPEN)
        os.fstat(descriptor)
        os.pread(descriptor, HEAD, 0)
        os.close(descriptor)


def make(folder: Path, files: int) -> None:
    """CT series of 200, one in ten in implicit VR, with about 100 elements each."""
    for number in range(-(-files // SERIES)):
        series = folder / f"series-{number:04d}"
        series.mkdir(parents=True)
        template = samples.encode(_ct(number))
        for slice_ in range(min(SERIES, files - number * SERIES)):
            uid = f"{_INSTANCE[:-12]}{number + 100001}{slice_ + 100001}"
            data = template.replace(_INSTANCE.encode(), uid.encode())
            (series / f"{slice_:04d}.dcm").write_bytes(data)


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
