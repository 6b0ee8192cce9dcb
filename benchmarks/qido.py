"""How long searches take: at 10,000 studies, and with the index of the NCI Imaging Data Commons (IDC).

    python benchmarks/qido.py [--rounds 40] [--folder DIR] [--small] [--http]

Makes two catalogues, kept in DIR if one is given, by writing their tables:

* 10,020 studies, 20,020 series, 24,000 instances, all generated;
* the 1,044,191 series of IDC's index (the packages `idc-index-data` and `pyarrow`, if they are installed; else as
  many generated ones). IDC's data has no patients' names: these are generated, too. Of each series there is one
  instance, though the sums say how many IDC has.

Prints for each search its rows, its median time in both, what of it is CPU time, and how many times longer it
takes in the large one. `--http`: asks through the door, over one connection, instead of calling `search.find`.
`--small`: the first only.
"""

import argparse
import datetime
import http.client
import importlib.util
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import sqlalchemy as sa

from kahu.catalog import plain, schema, search
from kahu.catalog.places import Places
from kahu.catalog.scope import ALL
from kahu.db import Database
from kahu.dicom.query import Query, parse
from kahu.dicom.text import fold
from kahu.settings import Settings
from kahu.stores.folder import open_folder

FAMILIES = """
    GARCIA SMITH MULLER NOVAK YAMADA KEALOHA JOHANNSEN OKAFOR SILVA HAUNANI ROSSI DUBOIS KOWALSKI ANDERSSON CHEN
    NGUYEN PATEL KIM IVANOV HANSEN
"""
GIVEN = "ANNA JOHN MARIA KAI LEILANI JOANNE PETER OLGA IVAN SUSANNE AHMED YUKI PABLO NOA"
COLUMNS = """
    PatientID StudyInstanceUID StudyDate StudyDescription SeriesInstanceUID Modality SeriesDescription SOPClassUID
    instanceCount
"""
MODALITIES = (*["CT"] * 5, *["MR"] * 3, "PT", "SEG")
BATCH = 20_000

Series = tuple[str, str, str, str, str, str, str, str, int]
"""PatientID, Study UID, date, study description, Series UID, modality, description, SOP class, instances"""


def generated(studies: int, series: int) -> Iterator[Series]:
    rng = random.Random(1)
    first = datetime.date(2015, 1, 1)
    for n in range(series):
        study = n * studies // series
        day = first + datetime.timedelta(days=study * 7919 % 3650)
        yield (
            f"P{study // 2:06}", f"1.2.826.0.1.3680043.10.511.7.{study}", f"{day:%Y%m%d}",
            f"{rng.choice(('CHEST', 'HEAD', 'ABDOMEN'))} ROUTINE", f"1.2.826.0.1.3680043.10.511.8.{n}",
            MODALITIES[study % len(MODALITIES)] if n % 2 else "CT" if study % 3 else "MR",
            f"series {n % 5}", "1.2.840.10008.5.1.4.1.1.2", 1,
        )  # fmt: skip


def of_idc() -> Iterator[Series]:
    if importlib.util.find_spec("idc_index_data") is None or importlib.util.find_spec("pyarrow") is None:
        print("idc-index-data and pyarrow are not installed: as many series are generated instead")
        yield from generated(168_507, 1_044_191)
        return
    import idc_index_data
    from pyarrow import parquet

    names = COLUMNS.split()
    table = parquet.read_table(idc_index_data.IDC_INDEX_PARQUET_FILEPATH, columns=names)
    for batch in table.to_batches(BATCH):
        for row in zip(*(batch.column(name).to_pylist() for name in names), strict=True):
            *texts, count = row
            yield *(str(text or "").replace("\0", "") for text in texts), int(count or 1)  # type: ignore[misc]


def make(home: Path, rows: Iterator[Series], instances: int = 1) -> None:
    """A catalogue with these series. Every sixth has `instances` of them."""
    database = Database(Settings(home=home).database_url)
    database.create()
    store = Places(database, {"folder": open_folder}).add("folder", str(home)).id
    rng = random.Random(2)
    families, given = FAMILIES.split(), GIVEN.split()
    patients: dict[str, int] = {}
    studies: dict[str, int] = {}
    tables: dict[sa.Table, list[dict[str, Any]]] = {}

    def add(table: Any, **row: Any) -> None:
        tables.setdefault(table, []).append(row)

    def flush() -> None:
        with database.write() as db:
            for table in (schema.patients, schema.studies, schema.series, schema.series_stores,
                          schema.instances, schema.locations):  # fmt: skip
                plain.insert(db, table, tables.pop(table, []))

    for n, (patient, study, date, text, uid, modality, description, sop_class, count) in enumerate(rows, 1):
        date = date.replace("-", "")
        if patient not in patients:
            patients[patient] = len(patients) + 1
            name = f"{rng.choice(families)}^{rng.choice(given)}"
            add(schema.patients, id=patients[patient], namespace="bench", patient_id=patient, name=name,
                folded=fold(name), birth_date="19700101", sex=rng.choice("FMO"))  # fmt: skip
        if study not in studies:
            studies[study] = len(studies) + 1
            add(schema.studies, id=studies[study], uid=study, patient=patients[patient], date=date, time="101530",
                accession=f"A{len(studies):07}", description=text, attributes={"PatientAge": "045Y"})  # fmt: skip
        add(schema.series, id=n, uid=uid, study=studies[study], modality=modality, number=n % 9,
            description=description, sop_class=sop_class, instances=count, frames=count, bytes=count << 19,
            attributes={"SliceThickness": "2.5"}, words=fold(f"{patient} {text} {description}"),
            changed=float(n))  # fmt: skip
        add(schema.series_stores, series=n, store=store)
        for number in range(instances if n % 6 == 0 else 1):
            key = schema.instance_key(f"{uid}.{number}")
            add(schema.instances, key=key, uid=f"{uid}.{number}", series=n, sop_class=sop_class, number=number,
                attributes={"Rows": "512", "Columns": "512"})  # fmt: skip
            add(schema.locations, store=store, key=f"{n}/{number}", size=1 << 19, stamp="", instance=key,
                transfer_syntax="1.2.840.10008.1.2.1", dataset_offset=400)  # fmt: skip
        if n % BATCH == 0:
            flush()
    flush()
    database.close()


# What is asked, with examples drawn from the catalogue itself


def searches(database: Database) -> list[tuple[str, str]]:
    """A name for each, and paths; several for what should not always ask the same."""
    with database.read() as db:
        number = plain.execute(db, "SELECT count(*) FROM studies").scalar_one()
        some = plain.execute(
            db,
            "SELECT studies.uid, patient_id, name, date FROM studies JOIN patients ON patients.id = patient "
            "WHERE studies.id = ?",
            number // 2,
        ).one()
    uid, patient, name, date = some
    month = f"{date[:6]}01-{date[:6]}31"
    ohif = "includefield=00081030%2C00080060%2C00080090%2C00100030&fuzzymatching=false&offset=0"
    return [
        ("studies, limit 25", "/studies?limit=25"),
        ("OHIF's list, limit 101", f"/studies?limit=101&{ohif}"),
        ("limit 25, offset 5000", "/studies?limit=25&offset=5000"),
        ("PatientID", f"/studies?PatientID={patient}"),
        ("StudyInstanceUID", f"/studies?StudyInstanceUID={uid}"),
        ("StudyDate, a month, limit 25", f"/studies?StudyDate={month}&limit=25"),
        ("ModalitiesInStudy=CT, limit 25", "/studies?ModalitiesInStudy=CT&limit=25"),
        ("PatientName=GARCIA*, limit 25", "/studies?PatientName=GARCIA*&limit=25"),
        ("PatientName=*ANN*, limit 25", "/studies?PatientName=*ANN*&limit=25"),
        ("no match", "/studies?PatientName=NOBODY^AT^ALL"),
        (
            "modality, date, name, limit 25",
            f"/studies?ModalitiesInStudy=CT&StudyDate={date}&PatientName={name[:4]}*&limit=25",
        ),
        ("series of a study", f"/studies/{uid}/series"),
        ("instances of a study", f"/studies/{uid}/instances"),
        ("series, Modality=MR, limit 25", "/series?Modality=MR&limit=25"),
        ("studies, no limit", "/studies?limit=10020"),
    ]


def query_of(path: str) -> Query:
    resource, _, said = path.partition("?")
    parts = resource.strip("/").split("/")
    level = {"studies": "STUDY", "series": "SERIES", "instances": "IMAGE"}[parts[-1]]
    params = parse_qsl(said)
    return parse(params, level, study=parts[1] if len(parts) > 1 else "")[0]  # type: ignore[arg-type]


def times(ask: Callable[[], int], rounds: int) -> tuple[int, float, float]:
    """Rows, and medians in ms: of the time on the wall, and of that on the CPU."""
    rows, walls, cpus = ask(), [], []
    for _ in range(rounds):
        began, cpu = time.perf_counter(), time.process_time()
        ask()
        walls.append(time.perf_counter() - began)
        cpus.append(time.process_time() - cpu)
    return rows, statistics.median(walls) * 1e3, statistics.median(cpus) * 1e3


def found(database: Database, path: str) -> int:
    with database.read() as db:
        return len(search.find(db, query_of(path), ALL).rows)


@contextmanager
def door(home: Path) -> Iterator[Callable[[str], int]]:
    """Asks a server of its own in that home, over one connection; says how many bytes came."""
    from kahu import serving  # the whole server, which only this needs

    with serving.private(Settings(home=home)) as url:
        connection = http.client.HTTPConnection(urlsplit(url).netloc)

        def ask(path: str) -> int:
            connection.request("GET", f"/dicomweb{path}", headers={"Accept": "application/dicom+json"})
            answer = connection.getresponse()
            body = answer.read()
            if answer.status != 200:
                raise SystemExit(f"{path}: {answer.status} {body[:200]!r}")
            return len(json.loads(body)) if len(body) < 1 << 20 else body.count(b'"0020000D"')

        yield ask
        connection.close()


def measured(home: Path, rounds: int, by_http: bool) -> dict[str, tuple[int, float, float]]:
    database = Database(Settings(home=home).database_url)
    asked = searches(database)
    try:
        if by_http:
            with door(home) as ask:
                return {name: times(partial(ask, path), rounds) for name, path in asked}
        return {name: times(partial(found, database, path), rounds) for name, path in asked}
    finally:
        database.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--folder", type=Path, help="where the catalogues are, or are to be kept")
    parser.add_argument("--small", action="store_true", help="10,000 studies only")
    parser.add_argument("--http", action="store_true", help="ask through the door")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        homes = {name: (given.folder or Path(temporary)) / name for name in ("10,000", "IDC")}
        if given.small:
            homes.pop("IDC")
        for name, home in homes.items():
            if not (home / "made").exists():
                print(f"making the catalogue {name} in {home} ...", flush=True)
                home.mkdir(parents=True, exist_ok=True)
                if name == "IDC":
                    make(home, of_idc())
                else:
                    make(home, generated(10_020, 20_020), instances=2)
                (home / "made").touch()
        results = {name: measured(home, given.rounds, given.http) for name, home in homes.items()}
    print(f"{'medians in ms':34}" + "".join(f"{name:>10} rows {'ms':>8}{'CPU':>8}" for name in results))
    for search_name, first in results["10,000"].items():
        line = "".join(
            f"{rows:15,}{wall:9.2f}{cpu:8.2f}"
            for rows, wall, cpu in (r[search_name] for r in results.values())
        )
        ratio = results["IDC"][search_name][1] / first[1] if "IDC" in results else 0
        print(f"{search_name:34}{line}" + (f"{ratio:8.1f} x" if ratio else ""), flush=True)


if __name__ == "__main__":
    main()
