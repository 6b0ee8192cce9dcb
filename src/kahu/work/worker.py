"""The worker: threads that lease tasks from the ledger and call the function that does their kind."""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from kahu.errors import FAULT, KahuError
from kahu.work.ledger import LEASE, Cancelled, Interrupted, Ledger, Lost, Stopped, Task

log = logging.getLogger(__name__)

LOOK = 2.0
"""seconds between two looks at the ledger, for what other processes add, cancel or lose"""

REPORT = 0.5
"""seconds between two reports of one task that are written down"""

Handler = Callable[[Task, "Report"], Any]
"""Does one kind of task. What it returns (JSON) is the task's result; what it raises is why the task
failed."""


class Report:
    """What a handler says while it works, and what it is told: `report(0.5, "reading")`.

    Every call raises Cancelled, Lost or Stopped when the handler should stop; it tidies up and lets that
    through.
    """

    def __init__(self, ledger: Ledger, task: Task, stopping: threading.Event) -> None:
        self.finished = False
        """whether the handler has finished the task itself"""
        self.known: Any = None
        """what is kept as the result if the task fails; the handler may set it"""
        self._ledger = ledger
        self._task = task
        self._stopping = stopping
        self._woken = threading.Event()
        self._interrupted: Interrupted | None = None
        self._written = 0.0
        self._unwritten: tuple[float | None, str | None] | None = None

    def __call__(self, progress: float | None = None, message: str | None = None) -> None:
        """Progress is 0..1; None: as before. Often is fine: only some are written down."""
        self.check()
        self._unwritten = (progress, message)
        if time.monotonic() - self._written >= REPORT:
            self.flush()
            self.check()

    def check(self) -> None:
        """Nothing, or raises what should stop the handler."""
        if self._interrupted:
            raise self._interrupted
        if self._stopping.is_set():
            raise Stopped("the worker is being stopped")

    def wait(self, seconds: float) -> None:
        """Waits, but not when the handler should stop: then it raises at once."""
        self._woken.wait(seconds)
        self.check()

    def finish(self, result: Any, message: str = "", hint: str = "", *, db: sa.Connection) -> None:
        """Finishes the task in the handler's own transaction: both happen or neither."""
        self._ledger.finish(self._task, result, message, hint, db=db)
        self.finished = True

    def flush(self) -> None:
        """Writes down what was said last: called by the worker, too, so that the last word is not lost."""
        said, self._unwritten = self._unwritten, None
        if said:
            self._written = time.monotonic()
            self._beat(*said)

    def beat(self) -> None:
        """Prolongs the lease, or learns why not: called by the worker, in another thread than the
        handler's."""
        self._beat(None, None)

    def interrupt(self, why: Interrupted) -> None:
        """Tells the handler to stop."""
        self._interrupted = self._interrupted or why
        self._woken.set()

    def _beat(self, progress: float | None, message: str | None) -> None:
        try:
            self._ledger.beat(self._task, progress, message)
        except Interrupted as why:
            self.interrupt(why)


@dataclass
class _Running:
    """A task in a handler's hands."""

    task: Task
    report: Report
    given_back: bool = False
    beaten: float = field(default_factory=time.monotonic)


class Worker:
    """Does the ledger's tasks: `slots` says how many of a kind at a time.

    One thread a slot, and one for the heartbeats. The threads are daemons: a handler that never looks up
    cannot keep the process alive, and its task has been given back by then.
    """

    def __init__(self, ledger: Ledger, handlers: Mapping[str, Handler], slots: Mapping[str, int]) -> None:
        self._ledger = ledger
        self._handlers = handlers
        self._slots = slots
        self._name = f"{socket.gethostname()}:{os.getpid()}"
        self._stopping = threading.Event()
        self._running: dict[str, _Running] = {}
        self._turn = threading.Lock()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begins to work."""
        for kind in self._handlers:
            for number in range(self._slots.get(kind, 1)):
                self._thread(f"{kind}-{number}", self._work, kind)
        self._thread("heartbeat", self._keep_alive)

    def stop(self, seconds: float = 4.0) -> None:
        """Ends within about so many seconds. What is still running goes back to the queue and loses
        nothing."""
        self._stopping.set()
        self._ledger.due.ring()
        for running in self._now():
            running.report.interrupt(Stopped("the worker is being stopped"))
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        for running in self._now():
            self._give_back(running)

    def _thread(self, name: str, target: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=target, args=args, name=f"work-{name}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _now(self) -> list[_Running]:
        with self._turn:
            return list(self._running.values())

    # The slots

    def _work(self, kind: str) -> None:
        while not self._stopping.is_set():
            heard = self._ledger.due.rings
            try:
                task = self._ledger.lease(kind, self._name)
                if task:
                    self._do(task)
                    continue
            except Exception:  # a full disk, a database that went away: this slot must outlive them
                log.exception("the ledger cannot be used")
            self._ledger.due.wait(heard, LOOK)

    def _do(self, task: Task) -> None:
        running = _Running(task, Report(self._ledger, task, self._stopping))
        with self._turn:
            self._running[task.id] = running
        try:
            self._handle(running)
        finally:
            with self._turn:
                del self._running[task.id]

    def _handle(self, running: _Running) -> None:
        task, report = running.task, running.report
        try:
            report.check()
            result = self._handlers[task.kind](task, report)
            if not report.finished:
                self._ledger.finish(task, result)
        except (Stopped, Cancelled):
            self._give_back(running)
        except Lost:
            log.warning("task %s is no longer this worker's", task.id)
        except KahuError as error:
            self._failed(running, str(error), error.hint)
        except Exception as error:
            log.exception("task %s (%s) failed", task.id, task.kind)
            self._failed(running, told(error), FAULT)

    def _failed(self, running: _Running, message: str, hint: str) -> None:
        try:
            self._ledger.fail(running.task, message, hint, running.report.known)
        except Cancelled:
            self._give_back(running)
        except Lost:
            log.warning("task %s is no longer this worker's, and failed: %s", running.task.id, message)

    def _give_back(self, running: _Running) -> None:
        with self._turn:
            done, running.given_back = running.given_back, True
        if done:
            return
        try:
            self._ledger.give_back(running.task)
        except Lost:
            log.warning("task %s is no longer this worker's", running.task.id)

    # The heartbeats

    def _keep_alive(self) -> None:
        while not self._stopping.is_set():
            heard = self._ledger.due.rings
            for running in self._now():
                try:
                    self._look_after(running)
                except Exception:  # as above: the next look may go well
                    log.exception("the ledger cannot be used")
            self._ledger.due.wait(heard, LOOK)

    def _look_after(self, running: _Running) -> None:
        """Beats when it is time; in between only looks whether the task is still wanted."""
        if time.monotonic() - running.beaten >= LEASE / 3:
            running.report.beat()
            running.beaten = time.monotonic()
        elif not self._ledger.wanted(running.task):
            running.report.beat()
        running.report.flush()


def told(error: Exception) -> str:
    """An unexpected error in one line."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[-1].strip()}" if lines else type(error).__name__
