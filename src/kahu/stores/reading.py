"""Reading the headers of files, in this process or spread over several.

What crosses the pipe between processes is one batch of paths there, one batch of plain tuples back, by
`marshal`: both ends are the same Python. A reading process holds nothing but its pipes, so it ends with its parent
however that ends.
"""

import marshal
import os
import select
import signal
import stat
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO, Any, NamedTuple

from kahu.dicom.header import Header, Omitted, PixelData, read_header
from kahu.errors import BrokenDicom, NotDicom
from kahu.stores import Entry, Found, Refused, Scanned

PATIENCE = 0.25
"""seconds of waiting for headers after which another process is started: what that costs itself, about"""
BATCH_FILES = 64
BATCH_BYTES = 16_000
"""of paths: the batches that a process has not read yet fit into its pipe, so that writing never waits"""
AHEAD = 8
"""batches that each process may have in hand"""
MAX_PROCESSES = 8
ANSWER_BYTES = 4 << 20
"""of headers in one message, about: what one that reads has in hand, and the one that asks"""
_PIPE = 1 << 20  # holds the answers to some batches, so that a reader goes on while others write
_READY = b"!"

OPEN = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
"""of any file that others made: never waits at a pipe that took its place"""

Answer = tuple[Any, ...]
"""(size, stamp, header as a tuple or None, reason, dicom), or () for a file that is gone"""


class ToRead(NamedTuple):
    """A file that is new, or not as it was."""

    key: str
    path: str


Step = ToRead | Scanned


def stamp_of(status: os.stat_result) -> str:
    """The stamp of a file: when it was modified, in ns."""
    return str(status.st_mtime_ns)


def pread(descriptor: int, offset: int, length: int) -> bytes:
    """Up to `length` bytes from `offset`; fewer only at the end of the file."""
    data = os.pread(descriptor, length, offset)
    while 0 < len(data) < length and (more := os.pread(descriptor, length - len(data), offset + len(data))):
        data += more
    return data


def in_order(steps: Iterable[Step]) -> Iterator[Scanned]:
    """Every step as it is, in order; files to read become `Found` or `Refused`, or nothing if they are gone.

    What takes longer is spread over processes of their own, as many as are worth their start. They take a while
    to start: until one is ready, this one reads. No more than a few batches are held.
    """
    readers = _Readers()
    in_hand: deque[tuple[_Batch, _Reader | None]] = deque()
    try:
        for batch in _batches(steps):
            reader = readers.idlest()
            while in_hand and (reader is None or reader.asked == AHEAD):
                yield from _finish(readers, *in_hand.popleft())
            if reader and batch.paths:
                reader.ask(batch.paths)
            in_hand.append((batch, reader if batch.paths else None))
        while in_hand:
            yield from _finish(readers, *in_hand.popleft())
    finally:
        readers.close()


@dataclass
class _Batch:
    steps: list[Step] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    bytes: int = 0

    def add(self, step: Step) -> None:
        self.steps.append(step)
        if isinstance(step, ToRead):
            self.paths.append(step.path)
            self.bytes += len(os.fsencode(step.path))

    @property
    def full(self) -> bool:
        return (
            len(self.paths) >= BATCH_FILES
            or self.bytes >= BATCH_BYTES
            or len(self.steps) >= BATCH_FILES * 16  # nearly all is unchanged: tell of it now and then
        )


def _batches(steps: Iterable[Step]) -> Iterator[_Batch]:
    batch = _Batch()
    for step in steps:
        batch.add(step)
        if batch.full:
            yield batch
            batch = _Batch()
    yield batch


def _finish(readers: "_Readers", batch: _Batch, reader: "_Reader | None") -> Iterator[Scanned]:
    answers = readers.answers(batch.paths, reader)
    for step in batch.steps:
        if isinstance(step, ToRead):
            yield from _told(step.key, next(answers))
        else:
            yield step


def _told(key: str, answer: Answer) -> Iterator[Scanned]:
    if not answer:
        return
    size, stamp, header, reason, dicom = answer
    entry = Entry(key, size, stamp)
    yield Found(entry, _header(header)) if header else Refused(entry, reason, dicom)


def _header(plain: Answer) -> Header:
    sop_instance, sop_class, study, series, syntax, offset, packed, implicit, omitted, pixels, attributes = (
        plain
    )
    return Header(
        sop_instance_uid=sop_instance,
        sop_class_uid=sop_class,
        study_instance_uid=study,
        series_instance_uid=series,
        transfer_syntax_uid=syntax,
        dataset_offset=offset,
        packed=packed,
        implicit=implicit,
        omitted=tuple(Omitted(*each) for each in omitted),
        pixels=PixelData(*pixels) if pixels else None,
        attributes=attributes,
    )


_PACKED = 6  # where the longest part of a plain header is


def _plain(header: Header) -> Answer:
    pixels = header.pixels
    return (
        header.sop_instance_uid,
        header.sop_class_uid,
        header.study_instance_uid,
        header.series_instance_uid,
        header.transfer_syntax_uid,
        header.dataset_offset,
        header.packed,
        header.implicit,
        [(o.at, o.offset, o.length) for o in header.omitted],
        (pixels.offset, pixels.length, pixels.keyword, pixels.vr) if pixels else None,
        dict(header.attributes),
    )


def read_object(path: str) -> Answer:
    """Opens one file and reads its header. Whatever is wrong with the file is in the answer."""
    try:
        descriptor = os.open(path, OPEN)
    except FileNotFoundError:
        return ()
    except OSError as error:
        return _unreadable(error)
    try:
        return _read(descriptor)
    except OSError as error:
        return _unreadable(error)
    finally:
        os.close(descriptor)


def _read(descriptor: int) -> Answer:
    before = os.fstat(descriptor)
    size, stamp = before.st_size, stamp_of(before)
    if not stat.S_ISREG(before.st_mode):
        return (0, "", None, "it is not a file any more", False)

    def read(offset: int, length: int) -> bytes:
        return pread(descriptor, offset, length)

    plain, reason, dicom = None, "", True
    try:
        plain = _plain(read_header(read, size))
    except BrokenDicom as error:
        reason = str(error)
    except NotDicom as error:
        reason, dicom = str(error), False
    after = os.fstat(descriptor)
    if (after.st_size, stamp_of(after)) != (size, stamp):
        return (size, "", None, "it changed while it was being read", True)
    return (size, stamp, plain, reason, dicom)


def _unreadable(error: OSError) -> Answer:
    return (0, "", None, f"it cannot be read: {error.strerror or error}", True)


# Between processes


def _send(pipe: IO[bytes], value: Any) -> None:
    data = marshal.dumps(value)
    pipe.write(len(data).to_bytes(8, "little") + data)
    pipe.flush()


def _receive(pipe: IO[bytes]) -> Any:
    """EOFError: the other end is gone."""
    head = pipe.read(8)
    data = pipe.read(int.from_bytes(head, "little"))
    if len(head) < 8 or len(data) < int.from_bytes(head, "little"):
        raise EOFError
    return marshal.loads(data)


class _Readers:
    """Reading processes: another one whenever headers have been waited for, `PATIENCE` in all, since the last
    was ready. So a disk that is slow, and a machine that has processors to spare, get more."""

    def __init__(self) -> None:
        self._readers: list[_Reader] = []
        self._most = min(len(os.sched_getaffinity(0)), MAX_PROCESSES)
        self._waited = 0.0

    def idlest(self) -> "_Reader | None":
        """The one that has least in hand; None: none is ready."""
        ready = [reader for reader in self._readers if reader.is_ready()]
        if self._waited > PATIENCE and len(ready) == len(self._readers) < self._most:
            self._waited = 0.0
            try:
                self._readers.append(_Reader())
            except OSError:  # no more processes can be had
                self._most = len(self._readers)
        return min(ready, key=lambda reader: reader.asked, default=None)

    def answers(self, paths: list[str], reader: "_Reader | None") -> Iterator[Answer]:
        """To the oldest question that `reader` has in hand; None: read here."""
        answers = reader.answers(paths) if reader else map(read_object, paths)
        for _ in paths:
            began = time.monotonic()
            answer = next(answers)
            self._waited += time.monotonic() - began
            yield answer

    def close(self) -> None:
        for reader in self._readers:
            reader.close()


class _Reader:
    """One reading process. When it dies, what it had in hand is read here."""

    def __init__(self) -> None:
        command = [sys.executable, "-P", "-m", "kahu.stores.reading"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pipesize=_PIPE
        )
        assert self._process.stdin
        assert self._process.stdout
        self._asks, self._tells = self._process.stdin, self._process.stdout
        self._ready = False
        self.asked = 0
        """batches that it has in hand"""

    def is_ready(self) -> bool:
        """Whether it has started and lives."""
        if not self._ready and select.select([self._tells], [], [], 0)[0]:
            self._ready = self._tells.read(1) == _READY
        return self._ready

    def ask(self, paths: list[str]) -> None:
        self.asked += 1
        with suppress(BrokenPipeError):
            _send(self._asks, [os.fsencode(path) for path in paths])

    def answers(self, paths: list[str]) -> Iterator[Answer]:
        """To the oldest question; `paths` are those that were asked for."""
        self.asked -= 1
        return self._answers(paths)

    def _answers(self, paths: list[str]) -> Iterator[Answer]:
        told = 0
        try:
            while told < len(paths):
                answers: list[Answer] = _receive(self._tells)
                told += len(answers)
                yield from answers
        except EOFError:
            self._ready = False
            yield from map(read_object, paths[told:])

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._tells.close()
        with suppress(BrokenPipeError):
            self._asks.close()


def _serve(asks: IO[bytes], tells: IO[bytes]) -> None:
    """A reading process's work, until its parent is gone."""
    with suppress(EOFError, BrokenPipeError):
        tells.write(_READY)
        tells.flush()
        while True:
            for answers in _messages(map(read_object, map(os.fsdecode, _receive(asks)))):
                _send(tells, answers)


def _messages(answers: Iterable[Answer]) -> Iterator[list[Answer]]:
    """Answers to one question in one message, or in more where headers are long: so nobody holds many."""
    message: list[Answer] = []
    room = ANSWER_BYTES
    for answer in answers:
        message.append(answer)
        header = answer[2] if answer else None
        room -= len(header[_PACKED]) if header else 0
        if room <= 0:
            yield message
            message, room = [], ANSWER_BYTES
    if message:
        yield message


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    _serve(sys.stdin.buffer, sys.stdout.buffer)
