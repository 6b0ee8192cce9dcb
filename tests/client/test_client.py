"""The Python client, as a notebook uses it, against a real server in this process."""

import inspect
import traceback
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from kahu import Client
from kahu.client import RunFailed
from kahu.errors import BadRequest, Conflict, NotFound, Unauthorized, Unavailable
from kahu.serving import private
from kahu.settings import Settings
from kahu.testing import samples
from kahu.tools.shelf import Shelf


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(home=tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def client(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("images")
    with private(settings) as url, Client(url) as client:
        for path in samples.series(folder / "ct", slices=12, rows=96, columns=96, description="Chest"):
            client.store(path.read_bytes())
        for number in range(5):
            (path,) = samples.series(
                folder / str(number), modality="MR", slices=1, seed=str(number), description=f"Head {number}"
            )
            client.store(path.read_bytes())
        yield client


# What Kahu has sent, sent back under other UIDs as another patient's.
THIEF = """
import pathlib, sys
print("borrowing a patient")
given = sorted(pathlib.Path(sys.argv[1]).iterdir())[0].read_bytes()
pathlib.Path(sys.argv[2], "result.dcm").write_bytes(given.replace(b"P-1 ", b"P-2 ").replace(b"2.25.", b"2.26."))
"""


def added(shelf: Path, tool: Path, script: str, modality: str) -> str:
    """The name of a tool that does this, from now on on the shelf; made in the folder `tool`."""
    (tool / "tool.py").write_text(script)
    (tool / "tool.toml").write_text(
        f'''
        name = "{modality.lower()}-tool"
        version = "1"
        title = "Tool"
        description = "For tests."
        licence = "Apache-2.0"
        [input]
        modality = ["{modality}"]
        form = "dicom"
        [run]
        command = ["python", "tool.py", "{{input}}", "{{output}}"]
        [output]
        kind = "dicom"
        '''
    )
    return Shelf(shelf).add(tool).name


@pytest.fixture
def chest(client: Client) -> str:
    (uid,) = client.series("chest", modality="CT").index
    return str(uid)


def test_series_are_a_data_frame(client: Client) -> None:
    frame = client.series()
    assert len(frame) == 6
    assert frame.index.name == "uid"
    assert set(frame["modality"]) == {"CT", "MR"}
    assert list(client.series("head 3")["description"]) == ["Head 3"]


def test_nothing_found_is_an_empty_frame(client: Client) -> None:
    frame = client.series("nothing like this")
    assert frame.empty
    assert {"modality", "description"} <= set(frame.columns)


def test_long_lists_come_in_pages(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kahu.client.PAGE", 2)
    assert len(client.series().index.unique()) == 6
    assert len(client.series(limit=3)) == 3


def test_a_volume_is_where_it_was_scanned(client: Client, chest: str) -> None:
    volume = client.volume(chest)
    assert volume.array.shape == (12, 96, 96)
    assert np.array_equal(volume.array, samples.phantom("CT", 12, 96, 96))
    assert repr(volume).startswith("Volume(12×96×96 voxels of ")
    assert len(client.dicom(chest)) == 12
    assert "PixelData" not in client.headers(chest)[0] or not client.headers(chest)[0].PixelData


def test_a_tool_is_run_and_its_segmentation_read(client: Client, chest: str) -> None:
    assert "lung-mask" in client.tools().index
    run = client.run("lung-mask", chest).wait()
    (result,) = run.results()
    segmentation = client.segmentation(result)
    lungs = client.volume(chest).array == -800
    found = sum(segmentation.mask(segment.value) for segment in segmentation.segments)
    assert np.array_equal(found > 0, lungs)
    assert client.run("lung-mask", chest).id == run.id
    assert run.id in client.runs().index


def test_a_parameter_that_is_wrong_is_named(client: Client, chest: str) -> None:
    with pytest.raises(BadRequest, match="colour"):
        client.run("lung-mask", chest, colour="red")


def test_a_run_that_is_cancelled_says_so(client: Client, chest: str) -> None:
    run = client.run("lung-mask", chest, threshold=-500)
    client.request("POST", f"/api/runs/{run.id}/cancel")
    with pytest.raises(RunFailed, match="cancelled"):
        run.wait(60)


def test_a_result_of_another_patient_is_a_failure(
    client: Client, chest: str, settings: Settings, tmp_path: Path
) -> None:
    """It is not shown among images, and nobody who waits takes the run for a success."""
    run = client.run(added(settings.tools, tmp_path, THIEF, "CT"), chest)
    with pytest.raises(RunFailed, match="rejected: It is of another patient") as told:
        run.wait(60)
    assert f"kahu log {run.id}" in told.value.hint
    assert run.results() == []
    assert "--- tool ---\nborrowing a patient\n" in run.log()


def test_of_several_cases_the_first_that_failed_is_told(
    client: Client, settings: Settings, tmp_path: Path
) -> None:
    heads = list(client.series(modality="MR").index)
    run = client.run(added(settings.tools, tmp_path, "raise SystemExit('no head here')", "MR"), heads)
    with pytest.raises(RunFailed, match=r"5 of 5 cases failed: .*no head here"):
        run.wait(60)


def test_tags(client: Client, chest: str) -> None:
    client.tag(chest, "to check")
    assert list(client.series(tag="to check").index) == [chest]
    client.untag(chest, "to check")
    assert client.series(tag="to check").empty


def test_errors_are_of_the_kind_that_the_server_means(client: Client, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no such series"):
        client.volume("1.2.3")
    with pytest.raises(Conflict, match="no DICOM object"):
        client.store(b"\0" * 500)
    (path,) = samples.series(tmp_path, modality="MR", slices=1, seed="0", description="Head 0")
    changed = dcmread(path)
    changed.PatientName = "Someone^Else"
    with pytest.raises(Conflict, match="kept aside"):
        client.store(samples.encode(changed))
    with Client(client.url, "kahu_wrong") as stranger, pytest.raises(Unauthorized):
        stranger.series()


def test_a_traceback_tells_what_to_do(client: Client) -> None:
    with pytest.raises(NotFound) as told:
        client.run("no-such-tool", "1.2.3")
    assert told.value.hint in "".join(traceback.format_exception(told.value))


def test_where_no_kahu_is() -> None:
    with Client("http://127.0.0.1:9") as nobody, pytest.raises(Unavailable, match="no Kahu answers") as said:
        nobody.series()
    assert "kahu up" in said.value.hint


def test_every_public_method_says_what_it_does() -> None:
    for name, method in inspect.getmembers(Client, inspect.isfunction):
        if not name.startswith("_"):
            assert method.__doc__, name
