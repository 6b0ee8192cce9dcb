"""A tool tried on a series of a server that runs: everything but a stored result."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import SegmentationStorage

from kahu import Client
from kahu.errors import BadRequest
from kahu.executors.process import ProcessExecutor
from kahu.runs.case import CaseFailed
from kahu.runs.plan import Case
from kahu.runs.trial import Trial, attempt
from kahu.serving import private
from kahu.settings import Settings
from kahu.testing import samples
from kahu.tools import manifest
from kahu.tools.shelf import SHIPPED

MANIFEST = """
name = "sample"
version = "1"
title = "Sample"
description = "For tests."
licence = "MIT"
[input]
modality = ["CT"]
form = "dicom"
[run]
command = ["python", "tool.py", "{input}", "{output}"]
[output]
kind = "dicom"
"""

Try = Callable[[Path], Trial]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with private(Settings(home=tmp_path_factory.mktemp("home"))) as url, Client(url) as client:
        for path in samples.series(tmp_path_factory.mktemp("images"), slices=8, rows=64, columns=64):
            client.store(path.read_bytes())
        yield client


@pytest.fixture
def log() -> list[bytes]:
    """What was printed."""
    return []


@pytest.fixture
def attempted(client: Client, log: list[bytes], tmp_path: Path) -> Iterator[Try]:
    """Tries the tool in a folder."""
    executor = ProcessExecutor(tmp_path / "jobs", tmp_path / "environments")
    (facts,) = client.get("/api/series")["series"]
    case = Case(
        facts["uid"], facts["study_uid"], "", facts["modality"], 1, facts["instances"], facts["frames"]
    )
    yield lambda tool: attempt(
        manifest.read(tool), case, {}, executor, url=client.url, token="", printed=log.append
    )
    executor.close()


def a_tool(folder: Path, script: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "tool.toml").write_text(MANIFEST)
    (folder / "tool.py").write_text(script)
    return folder


def test_all_that_a_run_does_happens_but_nothing_is_stored(
    client: Client, attempted: Try, log: list[bytes]
) -> None:
    trial = attempted(SHIPPED / "lung-mask")
    assert trial.verdict.kind == "valid"
    (result,) = trial.results
    assert dcmread(result).SOPClassUID == SegmentationStorage
    assert (trial.folder / "in" / "image.nii.gz").is_file()
    assert (trial.folder / "out" / "lung.nii.gz").is_file()
    assert b"--- tool ---" in b"".join(log)
    assert len(client.series()) == 1
    assert client.runs().empty


def test_what_went_wrong_is_told_and_where_to_look(attempted: Try, tmp_path: Path) -> None:
    with pytest.raises(CaseFailed, match="no lungs here") as told:
        attempted(a_tool(tmp_path / "tool", "raise SystemExit('no lungs here')"))
    assert str(tmp_path / "jobs" / "tried-sample") in told.value.hint


def test_the_next_trial_begins_afresh(attempted: Try, log: list[bytes], tmp_path: Path) -> None:
    for words in ("the first", "the second"):
        log.clear()
        with pytest.raises(CaseFailed, match="no DICOM"):
            attempted(a_tool(tmp_path / "tool", f"print('{words}')"))
    assert b"the second" in b"".join(log)
    assert b"the first" not in b"".join(log)


def test_a_result_that_would_be_rejected_is_a_failure(attempted: Try, tmp_path: Path) -> None:
    """One that sends back what it was given."""
    script = """
import pathlib, shutil, sys
shutil.copy(sorted(pathlib.Path(sys.argv[1]).iterdir())[0], pathlib.Path(sys.argv[2], "same.dcm"))
"""
    with pytest.raises(CaseFailed, match="rejected: It has the SOP Instance UID of an image of the case"):
        attempted(a_tool(tmp_path / "tool", script))


def test_a_series_that_the_tool_does_not_take(attempted: Try) -> None:
    with pytest.raises(BadRequest, match="its modality is CT, not MR"):
        attempted(SHIPPED / "brain-extraction")
