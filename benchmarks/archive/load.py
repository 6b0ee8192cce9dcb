"""Requests over HTTP, as fast as a server answers them, for as little of the machine as can be.

Each connection is a process of its own with one socket that is kept; bodies are read and thrown away. Whatever
is sent is in memory before the clock starts.
"""

import multiprocessing
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe
from multiprocessing.synchronize import Barrier
from pathlib import Path

BUFFER = 1 << 20
BOUNDARY = "a-boundary-that-no-pixel-data-has"

fork = multiprocessing.get_context("fork")


@dataclass(frozen=True)
class Load:
    """What came of some requests."""

    seconds: float
    """from the first to the last byte of all of them"""
    latencies: tuple[float, ...]
    """seconds, one a request"""
    received: int
    """bytes of bodies"""

    @property
    def requests(self) -> int:
        return len(self.latencies)


@dataclass(frozen=True)
class Get:
    """A request for `path`, which may have a query."""

    path: str
    accept: str = "*/*"

    def pieces(self, host: str) -> list[bytes]:
        return [f"GET {self.path} HTTP/1.1\r\nHost: {host}\r\nAccept: {self.accept}\r\n\r\n".encode()]


@dataclass(frozen=True)
class Stow:
    """A request that stores files."""

    path: str
    files: tuple[Path, ...]

    def pieces(self, host: str) -> list[bytes]:
        head = f"--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        body = [piece for file in self.files for piece in (head, file.read_bytes(), b"\r\n")]
        body.append(f"--{BOUNDARY}--\r\n".encode())
        request = (
            f"POST {self.path} HTTP/1.1\r\nHost: {host}\r\nAccept: application/dicom+json\r\n"
            f'Content-Type: multipart/related; type="application/dicom"; boundary={BOUNDARY}\r\n'
            f"Content-Length: {sum(map(len, body))}\r\n\r\n"
        )
        return [request.encode(), *body]


Request = Get | Stow


def load(port: int, requests: Sequence[Request], connections: int = 1, seconds: float = 1e9) -> Load:
    """Sends the requests, shared out among connections, until all are answered or the time is over; each
    connection sends one at least. Raises RuntimeError if one is not answered with success."""
    barrier = fork.Barrier(connections)
    workers = []
    for number in range(connections):
        ours, theirs = fork.Pipe(duplex=False)
        arguments = (theirs, barrier, port, requests[number::connections], seconds)
        worker = fork.Process(target=_work, args=arguments, daemon=True)
        worker.start()
        theirs.close()
        workers.append((worker, ours))
    answers = []
    for worker, pipe in workers:
        answers.append(_answer(pipe))
        worker.join()
    began = min(begin for begin, *_ in answers)
    ended = max(end for _, end, *_ in answers)
    latencies = tuple(latency for *_, latencies, _ in answers for latency in latencies)
    return Load(ended - began, latencies, sum(received for *_, received in answers))


def _answer(pipe: Pipe) -> tuple[float, float, list[float], int]:
    try:
        answer = pipe.recv()
    except EOFError:
        raise RuntimeError("a process that sends requests has ended early") from None
    if isinstance(answer, str):
        raise RuntimeError(answer)
    begin, end, latencies, received = answer
    return begin, end, latencies, received


def _work(pipe: Pipe, barrier: Barrier, port: int, requests: Sequence[Request], seconds: float) -> None:
    host = f"127.0.0.1:{port}"
    ready = [(request, request.pieces(host)) for request in requests]
    connection = Connection(port)
    latencies, received = [], 0
    barrier.wait()
    begin = end = time.perf_counter()
    for request, pieces in ready:
        sent = time.perf_counter()
        status, length = connection.ask(pieces)
        end = time.perf_counter()
        if not 200 <= status < 300:
            pipe.send(f"{request.path} was answered with {status}")
            return
        latencies.append(end - sent)
        received += length
        if end - begin > seconds:
            break
    pipe.send((begin, end, latencies, received))


class Connection:
    """One connection that is kept, and opened again where the server closes it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._buffer = memoryview(bytearray(BUFFER))
        self._open()

    def _open(self) -> None:
        self._socket = socket.create_connection(("127.0.0.1", self._port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self._socket.makefile("rb")

    def ask(self, pieces: Sequence[bytes]) -> tuple[int, int]:
        """The status, and how long the body was."""
        for piece in pieces:
            self._socket.sendall(piece)
        status = int(self._file.readline().split()[1])
        fields = {}
        while (line := self._file.readline()) not in (b"\r\n", b""):
            name, _, value = line.decode("latin-1").partition(":")
            fields[name.lower()] = value.strip().lower()
        if fields.get("transfer-encoding") == "chunked":
            length = self._skip_chunks()
        elif "content-length" in fields or status == 204:
            length = self._skip(int(fields.get("content-length", 0)))
        else:
            length = self._skip_all()
        if fields.get("connection") == "close":
            self._file.close()
            self._socket.close()
            self._open()
        return status, length

    def _skip(self, length: int) -> int:
        left = length
        while left:
            count = self._file.readinto(self._buffer[:left])
            if not count:
                raise RuntimeError("the server has hung up")
            left -= count
        return length

    def _skip_all(self) -> int:
        """A body that ends with the connection."""
        total = 0
        while count := self._file.readinto(self._buffer):
            total += count
        return total

    def _skip_chunks(self) -> int:
        total = 0
        while length := int(self._file.readline().split(b";")[0], 16):
            self._skip(length + 2)
            total += length
        self._file.readline()
        return total
