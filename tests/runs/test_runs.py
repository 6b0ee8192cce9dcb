"""Runs as people meet them: started, told, cancelled, tried again."""

from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest

from kahu.catalog.scope import ALL, Scope
from kahu.db import Database
from kahu.errors import BadRequest, NotFound
from kahu.executors.process import ProcessExecutor
from kahu.runs.runs import Run, Runs, state_of
from kahu.tools.shelf import Shelf
from kahu.work import Ledger, Tally

MANIFEST = """
name = "mask"
version = "1.0.0"
title = "Mask"
description = "Marks what is bright."
licence = "MIT"
[input]
modality = ["CT", "MR"]
min_slices = 4
[run]
command = ["python", "mask.py", "{input}", "{output}", "{threshold}"]
[parameters.threshold]
type = "number"
default = 100
[output]
kind = "segmentation"
title = "Mask"
file = "mask.nii.gz"
[[output.segments]]
value = 1
label = "Bright"
category = ["85756007", "SCT", "Tissue"]
type = ["85756007", "SCT", "Tissue"]
"""


@pytest.fixture
def ledger(database: Database) -> Ledger:
    return Ledger(database)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    folder = tmp_path / "tools" / "mask"
    folder.mkdir(parents=True)
    (folder / "tool.toml").write_text(MANIFEST)
    (folder / "mask.py").write_text("")
    return Shelf(tmp_path / "tools")


@pytest.fixture
def runs(database: Database, ledger: Ledger, shelf: Shelf, tmp_path: Path, images: Path) -> Runs:
    executor = ProcessExecutor(tmp_path / "jobs", tmp_path / "environments", bwrap="")
    return Runs(database, ledger, shelf, executor)


def start(runs: Runs, *series: str, scope: Scope = ALL, **parameters: float) -> Run:
    return runs.start("mask", series or ["1.2.1", "1.3.1"], parameters, scope, "ada")


def test_a_run_is_told_with_all_that_a_page_shows(runs: Runs) -> None:
    run = start(runs, threshold=200)
    assert (run.tool, run.tool_title, run.version, run.by) == ("mask", "Mask", "1.0.0", "ada")
    assert run.parameters == {"threshold": 200}
    assert run.enforces["memory"] is True
    assert run.enforces["no_network"] is False
    assert (run.state, run.progress, run.ended) == ("queued", 0.0, None)
    assert run.counts == {"queued": 2, "running": 0, "done": 0, "failed": 0, "cancelled": 0}
    assert [task.title for task in runs.tasks(run.id)] == ["CT series 1, 6 slices", "MR series 1, 8 slices"]
    assert runs.get(run.id) == run


def test_asked_twice_it_is_the_same_run(runs: Runs, ledger: Ledger) -> None:
    first = start(runs)
    assert start(runs, "1.3.1", "1.2.1") == first
    assert len(ledger.list()) == 2
    assert [run.id for run in runs.all()] == [first.id]
    other = start(runs, threshold=1)
    assert [run.id for run in runs.all()] == [other.id, first.id], "the newest first"


def test_changed_bytes_make_another_run(runs: Runs, images: Path, scan: Callable[[Path], None]) -> None:
    first = start(runs, "1.2.1")
    scan(images)
    assert start(runs, "1.2.1").id == first.id, "a scan that finds nothing new changes nothing"
    file = next(
        path for path in sorted(images.iterdir()) if pydicom.dcmread(path).SeriesInstanceUID == "1.2.1"
    )
    dataset = pydicom.dcmread(file)
    dataset.PixelData = bytes(len(dataset.PixelData))
    dataset.save_as(file)
    scan(images)
    assert start(runs, "1.2.1").id != first.id


def test_what_cannot_run_is_refused_and_leaves_nothing(runs: Runs, ledger: Ledger) -> None:
    with pytest.raises(NotFound, match="no tool 'brian'"):
        runs.start("brian", ["1.2.1"], {}, ALL, "ada")
    with pytest.raises(NotFound, match=r"no series 9\.9"):
        start(runs, "1.2.1", "9.9")
    with pytest.raises(BadRequest, match="1 slice"):
        start(runs, "1.2.1", "1.2.2")
    with pytest.raises(BadRequest, match="treshold"):
        start(runs, treshold=1)
    assert runs.all() == []
    assert ledger.list() == []


def test_a_series_out_of_scope_does_not_exist(runs: Runs) -> None:
    scope = Scope(series=frozenset({"1.2.1"}))
    assert start(runs, "1.2.1", scope=scope).counts["queued"] == 1
    with pytest.raises(NotFound):
        start(runs, "1.3.1", scope=scope)


def test_a_run_ends_when_its_last_case_has(runs: Runs, ledger: Ledger) -> None:
    run = start(runs)
    one = ledger.lease("case", "w")
    assert one
    ledger.beat(one, 0.5)
    assert (runs.get(run.id).state, runs.get(run.id).progress) == ("running", 0.25)
    ledger.finish(one)
    assert (runs.get(run.id).state, runs.get(run.id).ended) == ("running", None)
    two = ledger.lease("case", "w")
    assert two
    ledger.fail(two, "broken", "mend it")
    ended = runs.get(run.id)
    assert (ended.state, ended.progress) == ("failed", 1.0)
    assert ended.ended is not None
    again = runs.retry(run.id)
    assert (again.state, again.counts["done"], again.counts["queued"]) == ("running", 1, 1)
    assert runs.cancel(run.id).state == "cancelled"
    assert start(runs).counts["queued"] == 1, "asked for again, only what did not succeed is done again"


def test_unknown_runs(runs: Runs) -> None:
    for ask in (runs.get, runs.tasks, runs.cancel, runs.retry):
        with pytest.raises(NotFound):
            ask("nothing")


def test_jobs_are_those_of_the_latest_attempts(runs: Runs, ledger: Ledger) -> None:
    start(runs)
    assert runs.jobs() == set()
    one = ledger.lease("case", "w")
    assert one
    ledger.give_back(one)
    again = ledger.lease("case", "w")
    assert again
    assert runs.jobs() == {f"{again.id}.2"}
    assert runs.log(again) == b""


@pytest.mark.parametrize(
    ("tally", "state"),
    [
        (Tally(queued=2), "queued"),
        (Tally(queued=1, done=1), "running"),
        (Tally(queued=1, failed=1), "running"),
        (Tally(running=1, failed=1), "running"),
        (Tally(done=2), "done"),
        (Tally(done=1, failed=1, cancelled=1), "failed"),
        (Tally(done=1, cancelled=1), "cancelled"),
    ],
)
def test_the_state_of_a_run(tally: Tally, state: str) -> None:
    assert state_of(tally) == state
