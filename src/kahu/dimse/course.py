"""One attempt at a transfer: counts what has come of each object, tells how far it is, and ends it in words."""

import time
from collections.abc import Mapping
from typing import Any

from kahu.dimse.transfers import Answer, State, Transfers
from kahu.errors import KahuError
from kahu.work import Report, Task

_NOTE = 0.25  # seconds that an answer may wait to be remembered
_NOTES = 64  # answers that wait at most


class Incomplete(KahuError):
    """Not all objects of a transfer have arrived."""


class Course:
    """As a context manager: what was answered is remembered at the end, whatever ends it.

    Killed, it has forgotten the answers of the last moment; their objects are sent once more, which does no harm.
    """

    def __init__(self, transfers: Transfers, task: Task, report: Report) -> None:
        self.report = report
        self.settled = transfers.settled(task)
        """SOP Instance UIDs of the objects that the receiver has"""
        self._transfers = transfers
        self._task = task
        self._total = transfers.total(task)
        self._failed: set[str] = set()
        self._waiting: list[Answer] = []
        self._noted = time.monotonic()

    def __enter__(self) -> "Course":
        return self

    def __exit__(self, *_: object) -> None:
        self.flush()
        self.report.known = self._transfers.outcome(self._task).told()

    def said(self, uid: str, state: State, reason: str = "") -> None:
        """An object has been answered for. Interrupted: the transfer should stop."""
        self._waiting.append(Answer(uid, state, reason))
        (self._failed if state == "failed" else self.settled).add(uid)
        if len(self._waiting) >= _NOTES or time.monotonic() - self._noted >= _NOTE:
            self.flush()
        self.tell()

    def tell(self, under_way: int = 0) -> None:
        """Tells how far it is; `under_way`: objects that have come and are not yet answered for. Interrupted."""
        answered = len(self.settled) + len(self._failed - self.settled) + under_way
        total = max(self._total, answered)
        self.report(answered / total if total else None, f"{answered:,} of {total:,} objects")

    def expect(self, total: int) -> None:
        """So many objects it is, as is known now."""
        self._total = total
        self.tell()

    def flush(self) -> None:
        """Remembers what was answered."""
        waiting, self._waiting = self._waiting, []
        self._noted = time.monotonic()
        self._transfers.note(self._task, waiting)

    def end(self) -> Mapping[str, Any]:
        """The result of the task, when nothing is left to be done. Incomplete: something has not arrived, and why."""
        self.flush()
        outcome = self._transfers.outcome(self._task)
        if outcome.failed:
            first = outcome.failures[0].reason
            of = outcome.arrived + outcome.already + outcome.failed
            more = f", and {len(outcome.failures) - 1} other reasons" if len(outcome.failures) > 1 else ""
            raise Incomplete(
                f"{outcome.failed:,} of {of:,} objects did not arrive: {first}{more}",
                "when its cause is mended, try again: what has arrived is not sent twice",
            )
        self._transfers.forget(self._task)
        return outcome.told()
