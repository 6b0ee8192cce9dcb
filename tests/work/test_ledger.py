"""What everyone relies on when they put work into the ledger, or take it out."""

import threading
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kahu.db import Database
from kahu.errors import NotFound
from kahu.work import Cancelled, Follower, Ledger, Lost, Task, Todo
from kahu.work.ledger import LEASE


def leased(ledger: Ledger, kind: str = "scan", worker: str = "w") -> Task:
    task = ledger.lease(kind, worker)
    assert task is not None
    return task


def test_a_task_is_leased_done_and_told(ledger: Ledger, clock: Any) -> None:
    ledger.add(Todo("a", "scan", {"store": 3}, title="Scan of my-folder"))
    assert ledger.get("a").state == "queued"
    task = leased(ledger)
    assert (task.id, task.state, task.attempt, task.payload) == ("a", "running", 1, {"store": 3})
    clock.now += 5
    ledger.beat(task, 0.5, "reading")
    assert (ledger.get("a").progress, ledger.get("a").message) == (0.5, "reading")
    ledger.finish(task, {"objects": 7})
    done = ledger.get("a")
    assert (done.state, done.result, done.progress, done.message) == ("done", {"objects": 7}, 1.0, "")
    assert done.ended is not None
    assert done.started is not None
    assert done.ended - done.started == 5


def test_asking_twice_adds_nothing(ledger: Ledger) -> None:
    ledger.add(Todo("a", "scan", {"n": 1}), Todo("b", "scan"))
    ledger.add(Todo("a", "scan", {"n": 2}))
    task = leased(ledger)
    ledger.add(Todo("a", "scan", {"n": 2}))
    assert ledger.get("a").payload == {"n": 1}
    assert ledger.get("a").state == "running"
    ledger.finish(task)
    ledger.add(Todo("a", "scan", {"n": 2}))
    assert ledger.get("a").state == "done"
    assert ledger.counts() == {"queued": 1, "running": 0, "done": 1, "failed": 0, "cancelled": 0}


def test_what_failed_or_was_cancelled_may_be_asked_again(ledger: Ledger) -> None:
    ledger.add(Todo("a", "scan", {"n": 1}), Todo("b", "scan"))
    ledger.fail(leased(ledger), "no such folder", "plug it in")
    ledger.cancel("b")
    ledger.add(Todo("a", "scan", {"n": 2}), Todo("b", "scan"))
    a = ledger.get("a")
    assert (a.state, a.payload, a.message, a.hint, a.ended) == ("queued", {"n": 2}, "", "", None)
    assert ledger.get("b").state == "queued"
    assert leased(ledger).attempt == 2


def test_all_tasks_of_one_call_are_added_or_none(ledger: Ledger, database: Database) -> None:
    def half() -> None:
        with database.write() as db:
            ledger.add(Todo("a", "scan"), db=db)
            raise RuntimeError("the caller's transaction fails")

    with pytest.raises(RuntimeError):
        half()
    assert ledger.list() == []
    assert ledger.due.rings == 0
    with database.write() as db:
        ledger.add(Todo("a", "scan"), db=db)
        assert ledger.due.rings == 0, "nobody is woken before the task can be seen"
    assert ledger.due.rings == 1


def test_the_highest_priority_goes_first_then_the_oldest(ledger: Ledger, clock: Any) -> None:
    ledger.add(Todo("z", "scan"), Todo("a", "scan"))
    clock.now += 1
    ledger.add(Todo("m", "scan"), Todo("urgent", "scan", priority=5), Todo("other", "thumbnail"))
    order = [leased(ledger).id for _ in range(4)]
    assert order == ["urgent", "z", "a", "m"]
    assert ledger.lease("scan", "w") is None


def test_a_lease_that_ran_out_is_given_to_another_and_the_old_worker_hears_it(
    ledger: Ledger, clock: Any
) -> None:
    ledger.add(Todo("a", "scan"))
    old = leased(ledger, worker="old")
    clock.now += LEASE - 1
    ledger.beat(old)
    clock.now += LEASE - 1
    assert ledger.lease("scan", "new") is None, "a beat prolongs the lease"
    clock.now += 2
    new = leased(ledger, worker="new")
    assert (new.attempt, new.worker) == (2, "new")
    with pytest.raises(Lost):
        ledger.beat(old)
    with pytest.raises(Lost):
        ledger.finish(old, "old")
    with pytest.raises(Lost):
        ledger.fail(old, "old")
    with pytest.raises(Lost):
        ledger.give_back(old)
    ledger.finish(new, "new")
    assert ledger.get("a").result == "new"


def test_a_task_that_keeps_killing_its_worker_fails_and_says_so(ledger: Ledger, clock: Any) -> None:
    ledger.add(Todo("a", "scan", max_attempts=3))
    for _ in range(3):
        leased(ledger)
        clock.now += LEASE + 1
    assert ledger.lease("scan", "w") is None
    task = ledger.get("a")
    assert (task.state, task.attempt) == ("failed", 3)
    assert "lost 3 times" in task.message
    assert task.hint


def test_a_worker_that_stops_loses_nothing(ledger: Ledger) -> None:
    ledger.add(Todo("a", "scan", max_attempts=2))
    for attempt in range(1, 6):
        task = leased(ledger)
        assert task.attempt == attempt, "each lease is an attempt of its own"
        ledger.give_back(task)
    assert ledger.get("a").state == "queued"


def test_after_a_crash_one_who_is_alone_need_not_wait(ledger: Ledger, clock: Any) -> None:
    ledger.add(Todo("a", "scan"), Todo("b", "scan"), Todo("c", "scan", max_attempts=1))
    a, _b, _c = leased(ledger), leased(ledger), leased(ledger)
    ledger.cancel("b")
    ledger.requeue(alone=False)
    assert ledger.counts()["running"] == 3, "others may be at work: their leases hold"
    ledger.requeue(alone=True)
    assert [ledger.get(id).state for id in "abc"] == ["queued", "cancelled", "failed"]
    with pytest.raises(Lost):
        ledger.finish(a)


def test_a_server_that_is_killed_in_every_step_of_a_task_loses_nothing(ledger: Ledger) -> None:
    ledger.add(Todo("a", "case"))
    for _queued_environment_fetch_tool_deliver_check_publish in range(7):
        leased(ledger, "case")
        ledger.requeue(alone=True)
    ledger.finish(leased(ledger, "case"), 1)
    assert ledger.get("a").state == "done"


def test_cancel_before_during_and_after(ledger: Ledger) -> None:
    ledger.add(Todo("queued", "scan", priority=-1), Todo("running", "scan"), Todo("done", "scan", priority=1))
    ledger.finish(leased(ledger), 1)
    running = leased(ledger)
    assert ledger.cancel("queued").state == "cancelled"
    assert ledger.cancel("running").state == "running"
    assert ledger.cancel("done").state == "done"
    assert not ledger.wanted(running)
    with pytest.raises(Cancelled):
        ledger.beat(running)
    with pytest.raises(Cancelled):
        ledger.finish(running, "too late: what is cancelled delivers nothing")
    ledger.give_back(running)
    assert ledger.get("running").state == "cancelled"
    with pytest.raises(NotFound):
        ledger.cancel("unknown")


def test_finish_in_the_callers_transaction_happens_with_it_or_not_at_all(
    ledger: Ledger, database: Database
) -> None:
    ledger.add(Todo("a", "scan"))
    task = leased(ledger)

    def publish_and_fail() -> None:
        with database.write() as db:
            ledger.finish(task, "published", db=db)
            raise RuntimeError("the result could not be published")

    with pytest.raises(RuntimeError):
        publish_and_fail()
    assert ledger.get("a").state == "running"
    with database.write() as db:
        ledger.finish(task, "published", db=db)
    assert ledger.get("a").state == "done"


def test_a_failure_may_be_tried_again_but_not_for_ever(ledger: Ledger) -> None:
    ledger.add(Todo("a", "scan", max_attempts=2))
    ledger.fail(leased(ledger), "server busy", retry=True)
    assert ledger.get("a").state == "queued"
    ledger.fail(leased(ledger), "server busy", "try later", retry=True)
    task = ledger.get("a")
    assert (task.state, task.message, task.hint) == ("failed", "server busy", "try later")


def test_a_run_is_told_cancelled_and_asked_again_as_one(ledger: Ledger) -> None:
    ledger.add(*(Todo(f"t{n}", "case", run="r") for n in range(5)), Todo("else", "case", run="s"))
    ledger.finish(leased(ledger, "case"))
    ledger.fail(leased(ledger, "case"), "broken")
    ledger.beat(leased(ledger, "case"), 0.5)
    tally = ledger.tally(["r", "nothing"])
    assert list(tally) == ["r"]
    counts = tally["r"]
    assert (counts.done, counts.failed, counts.running, counts.queued) == (1, 1, 1, 2)
    assert counts.progress == (1 + 1 + 0.5) / 5
    assert [task.id for task in ledger.of_run("r")] == ["t0", "t1", "t2", "t3", "t4"]
    ledger.cancel_run("r")
    assert [task.state for task in ledger.of_run("r")] == ["done", "failed", "running", *["cancelled"] * 2]
    assert ledger.get("else").state == "queued"
    ledger.again("r")
    assert [task.state for task in ledger.of_run("r")] == ["done", "queued", "running", *["queued"] * 2]


def test_the_newest_are_listed_first(ledger: Ledger, clock: Any) -> None:
    for n, kind in enumerate(["scan", "case", "scan"]):
        clock.now += 1
        ledger.add(Todo(f"t{n}", kind))
    ledger.cancel("t2")
    assert [task.id for task in ledger.list()] == ["t2", "t1", "t0"]
    assert [task.id for task in ledger.list(kinds=["scan"], states=["queued"])] == ["t0"]
    assert [task.id for task in ledger.list(limit=1)] == ["t2"]


def test_a_follower_hears_of_every_change_once(ledger: Ledger, clock: Any) -> None:
    follower = Follower(ledger, clock.now)
    ledger.add(Todo("a", "scan"), Todo("b", "scan"))
    assert [task.id for task in follower.changes()] == ["a", "b"]
    assert follower.changes() == []
    clock.now += 1
    task = leased(ledger)
    clock.now += 1
    ledger.beat(task)  # prolongs the lease, which is no news
    ledger.beat(task, 0.3)
    (seen,) = follower.changes()
    assert (seen.id, seen.state, seen.progress) == ("a", "running", 0.3)
    clock.now += 60
    ledger.cancel("b")
    assert [task.id for task in follower.changes()] == ["b"]


def test_many_threads_share_the_work_and_do_everything_once(database: Database) -> None:
    ledger = Ledger(database)
    ledger.add(*(Todo(f"t{n}", "scan") for n in range(120)))
    done: list[str] = []

    def work(name: str) -> None:
        while task := ledger.lease("scan", name):
            ledger.beat(task, 0.5)
            ledger.finish(task)
            done.append(task.id)

    threads = [threading.Thread(target=work, args=(f"w{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == sorted(f"t{n}" for n in range(120))
    assert ledger.counts()["done"] == 120


ACTS = ("lease", "finish", "fail", "retry", "beat", "give back", "cancel", "crash", "wait", "add", "again")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(ACTS), st.integers(0, 3)), max_size=40))
def test_whatever_happens_no_task_is_lost_and_none_ends_twice(acts: list[tuple[str, int]]) -> None:
    """Workers, people and crashes in any order: no task is finished twice, and in the end all are done."""
    database = Database("sqlite://", readers=1)
    now = [0.0]
    ledger = Ledger(database, lambda: now[0])
    database.create()
    ids = [f"t{n}" for n in range(3)]
    ledger.add(*(Todo(id, "scan", run="r", max_attempts=100) for id in ids))
    held: list[Task] = []
    finished: list[str] = []

    def act(what: str, which: int) -> None:
        task = held[which % len(held)] if held else None
        match what:
            case "lease":
                new = ledger.lease("scan", f"w{which}")
                held.extend([new] if new else [])
            case "finish" if task:
                ledger.finish(task)
                finished.append(task.id)
            case "fail" if task:
                ledger.fail(task, "broken")
            case "retry" if task:
                ledger.fail(task, "busy", retry=True)
            case "beat" if task:
                ledger.beat(task, which / 3)
            case "give back" if task:
                ledger.give_back(task)
            case "cancel":
                ledger.cancel(ids[which % 3])
            case "crash":
                ledger.requeue(alone=True)
            case "wait":
                now[0] += LEASE * 0.6
            case "add":
                ledger.add(*(Todo(id, "scan", run="r", max_attempts=100) for id in ids))
            case "again":
                ledger.again("r")

    for what, which in acts:
        try:
            act(what, which)
        except (Lost, Cancelled):
            continue
        states = {task.id: task.state for task in ledger.of_run("r")}
        assert set(states) == set(ids)
        assert all(states[id] == "done" for id in finished)
    assert len(finished) == len(set(finished))

    ledger.requeue(alone=True)
    ledger.again("r")
    while task := ledger.lease("scan", "last"):
        ledger.finish(task)
        finished.append(task.id)
    assert sorted(finished) == ids
    database.close()
