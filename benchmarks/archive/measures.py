"""What is measured: each measure is done by each server in turn, and gives one `Measured`."""

import os
import random
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from archive.data import Stored, header_of
from archive.load import Get, Request, Stow, load
from archive.servers import Server
from kahu.testing.programs import dcmtk

Figure = Literal["rate", "latency", "bytes", "memory"]
"""by what servers are compared: operations a second, seconds of the median request, bytes a second, bytes held"""

DICOM_JSON = "application/dicom+json"
OBJECTS = 'multipart/related; type="application/dicom"; transfer-syntax=*'
FRAMES = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'


@dataclass(frozen=True)
class Measured:
    """One server, once."""

    rate: float
    """operations a second"""
    latency: float
    """seconds of the median request"""
    bytes: float
    """bytes a second"""
    cpu: float
    """seconds of CPU that the server has used for one operation"""
    memory: float = 0
    """bytes"""

    def figure(self, name: Figure) -> float:
        value: float = getattr(self, name)
        return value


@dataclass(frozen=True)
class Measure:
    """Something that servers do; `run` is given the server and the number of the round."""

    name: str
    figure: Figure
    run: Callable[[Server, int], Measured]
    aim: float | None = None
    """how many times as fast as Orthanc Kahu should be"""
    connections: int = 1
    objects: tuple[Stored, ...] = ()
    """what is stored: the machine's limit is to write and sync them"""
    answers: tuple[Get, ...] = ()
    """what is asked: the machine's limit is nginx, which has the same answers as files"""


def storing(ct: Sequence[Stored]) -> list[Measure]:
    """Measures that store the CT, each a part of its own."""
    kinds: list[tuple[str, float | None, int, Callable[[Server, Sequence[Stored], int], Measured]]] = []
    for connections in (1, 4):
        for batch in (1, 50):
            name = f"STOW, {batch} a request, {_many(connections, 'connection')}"
            kinds.append((name, 2, connections, _stower(batch)))
    for connections in (1, 4):
        for tool, send in (("storescu", _storescu), ("dcmsend", _dcmsend)):
            kinds.append((f"C-STORE, {tool}, {_many(connections, 'association')}", 1, connections, send))
    size = len(ct) // len(kinds)
    measures = []
    for number, (name, aim, connections, store) in enumerate(kinds):
        part = ct[number * size : (number + 1) * size]

        def run(
            server: Server,
            _round: int,
            store: Callable[[Server, Sequence[Stored], int], Measured] = store,
            part: Sequence[Stored] = part,
            connections: int = connections,
        ) -> Measured:
            return store(server, part, connections)

        measures.append(Measure(name, "rate", run, aim, connections, objects=tuple(part)))
    return measures


def tiny(objects: Sequence[Stored]) -> Measure:
    """Storing the tiny ones."""
    store = _stower(50)
    return Measure(
        "STOW of 2 KB objects, 50 a request, 4 connections",
        "rate",
        lambda server, _: store(server, objects, 4),
        connections=4,
        objects=tuple(objects),
    )


def _stower(batch: int) -> Callable[[Server, Sequence[Stored], int], Measured]:
    def store(server: Server, objects: Sequence[Stored], connections: int) -> Measured:
        shares = [objects[number::connections] for number in range(connections)]
        batches = [
            [tuple(one.path for one in share[at : at + batch]) for at in range(0, len(share), batch)]
            for share in shares
        ]
        # connection n sends every n-th request: one batch of each share in turn
        longest = max(map(len, batches))
        ordered = [some[at] for at in range(longest) for some in batches if at < len(some)]
        requests = [Stow(server.dicomweb + "/studies", files) for files in ordered]
        before = server.cpu()
        done = load(server.port, requests, connections)
        return _stored(objects, done.seconds, server.cpu() - before)

    return store


def _storescu(server: Server, objects: Sequence[Stored], associations: int) -> Measured:
    return _send(["storescu", "--required", "-aec", server.aet], server, objects, associations)


def _dcmsend(server: Server, objects: Sequence[Stored], associations: int) -> Measured:
    return _send(["dcmsend", "-aec", server.aet], server, objects, associations)


def _send(command: list[str], server: Server, objects: Sequence[Stored], associations: int) -> Measured:
    """With Nagle's algorithm off: DCMTK's default waits 60 ms for each object on loopback."""
    before, began = server.cpu(), time.perf_counter()
    senders = [
        subprocess.Popen(
            [
                dcmtk(command[0]) or command[0],
                *command[1:],
                "127.0.0.1",
                str(server.dimse_port),
                *(str(one.path) for one in objects[n::associations]),
            ],
            env=dict(os.environ, TCP_NODELAY="1"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        for n in range(associations)
    ]
    for sender in senders:
        _, complaint = sender.communicate()
        if sender.returncode:
            raise RuntimeError(f"{command[0]} could not send to {server.name}: {complaint.decode()[-500:]}")
    return _stored(objects, time.perf_counter() - began, server.cpu() - before)


def _stored(objects: Sequence[Stored], seconds: float, cpu: float) -> Measured:
    size = sum(one.path.stat().st_size for one in objects)
    count = len(objects)
    return Measured(count / seconds, seconds / count, size / seconds, cpu / count)


def asking(ct: Sequence[Stored], small: Sequence[Stored], rounds: int, seconds: float) -> list[Measure]:
    """Measures that read what has been stored. No object is asked for twice, whole series and metadata that is
    "asked again" aside; none lasts much longer than `seconds`."""

    def asked(
        name: str,
        figure: Figure,
        aim: float | None,
        requests: Sequence[Get],
        connections: int = 1,
        most: int = 100_000,
    ) -> Measure:
        def run(server: Server, number: int) -> Measured:
            mine = [at(server, get) for get in _share(requests, number, rounds, most)]
            return timed(server, mine, connections, seconds)

        return Measure(name, figure, run, aim, connections, answers=tuple(requests[:20]))

    series = list(dict.fromkeys(one.series_url for one in ct))
    documents = [Get(url + "/metadata", DICOM_JSON) for url in series]
    whole = [Get(url, OBJECTS) for url in series]
    measures = [
        asked(f"series metadata, {SERIES} instances, first asked", "latency", 10, documents, most=6),
        asked(f"series metadata, {SERIES} instances, asked again", "latency", 10, documents, most=6),
    ]
    for name, aim, paths in queries(small):
        gets = [Get(path, DICOM_JSON) for path in paths]
        measures.append(asked(f"QIDO {name}", "latency", aim, gets * (40 * rounds // len(gets) + 1), most=40))
    for number, (name, figure, aim, path, accept, connections) in enumerate(SINGLE):
        part = ct[number :: len(SINGLE)]
        gets = [Get(one.url + path, accept) for one in part]
        measures.append(asked(f"{name}, {_many(connections, 'connection')}", figure, aim, gets, connections))
    for connections in (1, 4):
        name = f"series of {SERIES}, {_many(connections, 'connection')}"
        measures.append(asked(name, "bytes", 1.5, whole * rounds, connections))
    return measures


SINGLE: tuple[tuple[str, Figure, float | None, str, str, int], ...] = (
    ("metadata of an instance", "rate", None, "/metadata", DICOM_JSON, 1),
    ("frame", "rate", 2, "/frames/1", FRAMES, 1),
    ("frame", "rate", 2, "/frames/1", FRAMES, 4),
    ("instance", "rate", None, "", OBJECTS, 1),
    ("instance", "rate", None, "", OBJECTS, 4),
    ("rendered, JPEG", "rate", 1.5, "/rendered", "image/jpeg", 1),
    ("rendered, JPEG", "rate", 1.5, "/rendered", "image/jpeg", 4),
    ("rendered, PNG", "rate", 1.5, "/rendered", "image/png", 1),
    ("rendered, PNG", "rate", 1.5, "/rendered", "image/png", 4),
    ("thumbnail", "rate", 1.5, "/thumbnail", "image/jpeg", 1),
    ("thumbnail", "rate", 1.5, "/thumbnail", "image/jpeg", 4),
)
"""what is asked of single instances: name, figure, aim, address below the instance, media type, connections"""
SERIES = 200
"""instances in a series of CT"""


def at(server: Server, get: Get) -> Get:
    """The request as this server is asked: below its DICOMweb root, its own way for thumbnails."""
    return Get(server.dicomweb + get.path.replace("/thumbnail", server.thumbnail), get.accept)


def timed(server: Server, requests: Sequence[Request], connections: int, seconds: float) -> Measured:
    before = server.cpu()
    done = load(server.port, requests, connections, seconds)
    spent = server.cpu() - before
    return Measured(
        done.requests / done.seconds,
        statistics.median(done.latencies),
        done.received / done.seconds,
        spent / done.requests,
    )


def queries(small: Sequence[Stored]) -> Iterator[tuple[str, float, list[str]]]:
    """Names, how many times as fast as Orthanc is aimed at, and paths with other values each."""
    some = random.Random(5).sample(list(small), min(40, len(small)))
    studies = list(dict.fromkeys(one.study for one in some))
    patients = [header_of(one.path).attributes["PatientID"] for one in some]
    fields = "00081030%2C00080060%2C00080090%2C00100030"
    months = [f"20{year:02}{month:02}" for year in range(6, 24, 4) for month in range(1, 13)]
    far = len({one.study for one in small}) // 2
    yield "studies, limit=25", 5, ["/studies?limit=25"]
    yield (
        "OHIF's list of 101",
        5,
        [f"/studies?limit=101&offset=0&fuzzymatching=false&includefield={fields}"],
    )
    yield f"limit=25, offset={far:,}", 5, [f"/studies?limit=25&offset={far}"]
    yield "PatientID", 5, [f"/studies?PatientID={patient}" for patient in patients]
    yield "StudyInstanceUID", 5, [f"/studies?StudyInstanceUID={study}" for study in studies]
    yield "StudyDate of a month, limit=25", 5, [f"/studies?StudyDate={m}01-{m}28&limit=25" for m in months]
    yield "ModalitiesInStudy=CT, limit=25", 20, ["/studies?ModalitiesInStudy=CT&limit=25"]
    yield "PatientName=GARCIA*, limit=25", 5, ["/studies?PatientName=GARCIA*&limit=25"]
    yield "PatientName=*ANN*, limit=25", 5, ["/studies?PatientName=*ANN*&limit=25"]
    yield "no match", 5, [f"/studies?PatientID=NOBODY-{number}" for number in range(40)]
    yield (
        "modality, date and name",
        5,
        [f"/studies?ModalitiesInStudy=MR&StudyDate={m}01-{m}28&PatientName=*SMITH*" for m in months],
    )
    yield "series of a study", 5, [f"/studies/{study}/series" for study in studies]
    yield "instances of a study", 5, [f"/studies/{study}/instances" for study in studies]
    yield "series, Modality=MR, limit=25", 5, ["/series?Modality=MR&limit=25"]
    yield "all studies, no limit", 20, ["/studies"]


def _share(requests: Sequence[Get], number: int, rounds: int, most: int) -> Sequence[Get]:
    """The requests of one round."""
    size = min(most, max(1, len(requests) // rounds))
    return requests[number * size : (number + 1) * size]


def _many(count: int, what: str) -> str:
    return f"{count} {what}" + "s" * (count != 1)
