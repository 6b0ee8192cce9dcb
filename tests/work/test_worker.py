"""What a worker does with what handlers say, and how it ends."""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping

import pytest

from kahu.db import Database
from kahu.errors import Unavailable
from kahu.work import Cancelled, Handler, Ledger, Report, Stopped, Task, Todo, Worker

SOON = 20
"""seconds after which a test gives up: nothing here takes long, but machines are busy"""

Start = Callable[[Mapping[str, Handler]], Worker]


@pytest.fixture
def live(database: Database) -> Ledger:
    """A ledger whose clock goes."""
    return Ledger(database)


@pytest.fixture
def start(live: Ledger) -> Iterator[Start]:
    workers: list[Worker] = []

    def start(handlers: Mapping[str, Handler]) -> Worker:
        worker = Worker(live, handlers, dict.fromkeys(handlers, 2))
        workers.append(worker)
        worker.start()
        return worker

    yield start
    for worker in workers:
        worker.stop()


def until(ledger: Ledger, condition: Callable[[], bool]) -> None:
    """Waits for news until the condition holds."""
    for _ in range(SOON * 10):
        heard = ledger.news.rings
        if condition():
            return
        ledger.news.wait(heard, 0.1)
    raise AssertionError([(task.id, task.state, task.message) for task in ledger.list()])


def ended(ledger: Ledger, task_id: str) -> Task:
    until(ledger, lambda: ledger.get(task_id).ended is not None)
    return ledger.get(task_id)


def test_what_a_handler_returns_is_the_result(live: Ledger, start: Start) -> None:
    start({"double": lambda task, report: task.payload["n"] * 2})
    live.add(*(Todo(f"t{n}", "double", {"n": n}) for n in range(10)))
    assert [ended(live, f"t{n}").result for n in range(10)] == [n * 2 for n in range(10)]


def test_an_error_meant_for_people_is_told_with_what_to_do(live: Ledger, start: Start) -> None:
    def scan(task: Task, report: Report) -> None:
        report.known = {"seconds": 3}
        raise Unavailable("the folder is gone", "plug the disk in")

    start({"scan": scan})
    live.add(Todo("a", "scan"))
    task = ended(live, "a")
    assert (task.state, task.message, task.hint) == ("failed", "the folder is gone", "plug the disk in")
    assert task.result == {"seconds": 3}


def test_a_fault_of_ours_is_one_line_for_people_and_a_traceback_in_the_log(
    live: Ledger, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    def scan(task: Task, report: Report) -> None:
        raise ValueError("first line\nlast line")

    with caplog.at_level(logging.ERROR):
        start({"scan": scan})
        live.add(Todo("a", "scan"), Todo("b", "scan"))
        task = ended(live, "a")
        ended(live, "b")
    assert task.message == "ValueError: last line"
    assert "log" in task.hint
    assert "Traceback" in caplog.text


def test_progress_is_written_down_and_the_last_word_is_not_lost(live: Ledger, start: Start) -> None:
    go_on = threading.Event()

    def scan(task: Task, report: Report) -> None:
        report(0.1, "listing")
        report(0.2, "reading")
        go_on.wait(SOON)

    start({"scan": scan})
    live.add(Todo("a", "scan"))
    until(live, lambda: live.get("a").message == "reading")
    assert live.get("a").progress == 0.2
    go_on.set()
    assert ended(live, "a").state == "done"


def test_cancel_reaches_a_handler_that_waits(live: Ledger, start: Start) -> None:
    tidied = threading.Event()

    def scan(task: Task, report: Report) -> None:
        try:
            report.wait(3600)
        except Cancelled:
            tidied.set()
            raise

    start({"scan": scan})
    live.add(Todo("a", "scan"))
    until(live, lambda: live.get("a").state == "running")
    live.cancel("a")
    assert ended(live, "a").state == "cancelled"
    assert tidied.is_set()


def test_a_handler_may_finish_its_task_in_its_own_transaction(
    live: Ledger, start: Start, database: Database
) -> None:
    def case(task: Task, report: Report) -> str:
        with database.write() as db:
            report.finish({"verdict": "suspect"}, "one segment is empty", db=db)
        return "ignored"

    start({"case": case})
    live.add(Todo("a", "case"))
    task = ended(live, "a")
    assert (task.state, task.result, task.message) == (
        "done",
        {"verdict": "suspect"},
        "one segment is empty",
    )


def test_stop_gives_back_what_is_running_even_if_its_handler_does_not_listen(
    live: Ledger, start: Start
) -> None:
    release = threading.Event()
    stopped = threading.Event()

    def listens(task: Task, report: Report) -> None:
        try:
            report.wait(3600)
        except Stopped:
            stopped.set()
            raise

    worker = start({"listens": listens, "deaf": lambda task, report: release.wait(SOON) and "too late"})
    live.add(Todo("a", "listens"), Todo("b", "deaf"))
    until(live, lambda: live.counts()["running"] == 2)
    worker.stop(seconds=0.3)
    assert stopped.is_set()
    assert [live.get(id).state for id in "ab"] == ["queued", "queued"]
    release.set()
    start({"listens": lambda task, report: "again", "deaf": lambda task, report: "again"})
    for id in "ab":
        assert (ended(live, id).result, ended(live, id).attempt) == ("again", 2)


def test_a_slot_outlives_a_ledger_that_cannot_be_used_for_a_while(
    live: Ledger, start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lease = live.lease
    failures = iter([OSError("disk full")] * 4)

    def unreliable(*args: object, **more: object) -> Task | None:
        for failure in failures:
            raise failure
        return lease(*args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(live, "lease", unreliable)
    start({"scan": lambda task, report: "done"})
    live.add(Todo("a", "scan"))
    assert ended(live, "a").result == "done"
    assert "cannot be used" in caplog.text
