"""Kill anything at any time: what was acknowledged is there, what ran goes on, nothing appears twice."""

import shutil
import signal
import time
from collections.abc import Callable
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import pytest

from kahu import Client
from kahu.testing import samples

Kahu = Callable[..., Any]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SERIES, SLICES = 60, 40


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2,400 small files: enough for a scan to be killed in the middle."""
    folder = tmp_path_factory.mktemp("archive")
    for number in range(SERIES):
        samples.series(
            folder / str(number), modality="MR", slices=SLICES, rows=16, columns=16, patient_id=f"P-{number}"
        )
    return folder


def test_a_scan_that_is_killed_again_and_again_ends_complete(kahu_up: Kahu, archive: Path) -> None:
    server = kahu_up(archive)
    for part in (1, SERIES // 3, SERIES // 2, SERIES - 5):
        wait_for_series(server, part)
        server.stop(signal.SIGKILL)
        server = kahu_up(archive, home=server.home)
    wait_for_the_scan(server)
    assert {one["instances"] for one in server.series(SERIES)} == {SLICES}


@pytest.fixture
def slow_tool(tmp_path: Path) -> Path:
    """The lung mask, which takes its time: there is a moment to kill it in."""
    folder = tmp_path / "slow-mask"
    with as_file(files("kahu.tools") / "shipped" / "lung-mask") as shipped:
        shutil.copytree(shipped, folder, ignore=shutil.ignore_patterns("__pycache__"))
    script = folder / "lung.py"
    script.write_text(
        script.read_text().replace("import gzip", "import time\ntime.sleep(1.5)\nimport gzip", 1)
    )
    manifest = folder / "tool.toml"
    manifest.write_text(manifest.read_text().replace('name = "lung-mask"', 'name = "slow-mask"'))
    return folder


def test_a_run_that_is_killed_at_any_moment_gives_one_result(
    kahu_up: Kahu, kahu: Kahu, chest: Path, slow_tool: Path
) -> None:
    assert kahu("tool", "add", slow_tool).returncode == 0
    server = kahu_up(chest)
    (series,) = server.series(1)
    moments = [
        0.0,
        0.3,
        0.6,
        0.9,
        1.2,
        1.6,
        2.0,
        2.4,
        2.8,
        3.2,
        3.6,
    ]  # seconds: before, in and after each step
    made: set[str] = set()
    for count, moment in enumerate(moments, 1):
        with Client(server.url) as client:
            run = client.run("slow-mask", series["uid"], threshold=-400 - count)
        time.sleep(moment)
        server.stop(signal.SIGKILL)
        server = kahu_up(home=server.home)
        with Client(server.url) as client:
            again = client.run("slow-mask", series["uid"], threshold=-400 - count)
            assert again.id == run.id
            results = again.wait(60).results()
        assert len(results) == 1
        made |= set(results)
        found = server.series(1 + count)
        assert {one["uid"] for one in found if one["modality"] == "SEG"} == made
        assert len(made) == count


def wait_for_series(server: Any, wanted: int) -> None:
    """Returns when at least that many series have been indexed."""
    deadline = time.monotonic() + 120
    while borrowed(server)["series"] < wanted:
        assert time.monotonic() < deadline


def wait_for_the_scan(server: Any) -> None:
    deadline = time.monotonic() + 120
    while borrowed(server)["scan"]["state"] != "done":
        assert time.monotonic() < deadline
        time.sleep(0.05)


def borrowed(server: Any) -> dict[str, Any]:
    """What is known of the store that was given on the command line."""
    with server.http() as http:
        stores: list[dict[str, Any]] = http.get("/api/stores").json()
    return next(one for one in stores if not one["owned"])
