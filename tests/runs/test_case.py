"""A case from its start to its end, in a whole Kahu: what it publishes, and broken tools of twenty kinds.

The tools are tiny and use the standard library only, so their environments need no package.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kahu import Client
from kahu.catalog import delivered
from kahu.errors import Conflict
from kahu.executors import JobState
from kahu.runs.case import how_far, words_of
from kahu.runs.gate import Verdict
from kahu.runs.why import Progress
from kahu.serving import private
from kahu.settings import Settings
from kahu.testing import samples

MANIFEST = """
name = "{name}"
version = "1.0.0"
title = "Sample"
description = "For tests."
licence = "MIT"
[input]
modality = ["CT"]
form = "{form}"
[run]
command = ["{program}", "tool.py", "{{input}}", "{{output}}"]
memory = "{memory}"
time = "{seconds} s"
{requirements}
[output]
kind = "{kind}"
"""
SEGMENTATION = """
title = "Sample mask"
file = "mask.nii.gz"
[[output.segments]]
value = 1
label = "Lung"
category = ["123037004", "SCT", "Anatomical Structure"]
type = ["39607008", "SCT", "Lung"]
"""

# Begins every tool. `image` is the header and the voxels of the input; `write` writes a label map beside it.
COMMON = """
import gzip, os, pathlib, struct, sys, time
source, out = map(pathlib.Path, sys.argv[1:3])
def read():
    data = gzip.decompress(source.read_bytes())
    return bytearray(data[:352]), struct.unpack("<8h", data[40:56])[1:4]
def write(header, voxels, type=(2, 8)):
    header[70:74] = struct.pack("<2h", *type)
    header[108:112] = struct.pack("<f", 352)
    header[112:120] = struct.pack("<2f", 0, 0)
    (out / "mask.nii.gz").write_bytes(gzip.compress(bytes(header) + voxels))
def mask(value=1):
    header, (columns, rows, slices) = read()
    size = columns * rows * slices
    write(header, bytes([value]) * (size // 2) + bytes(size - size // 2))
"""


@dataclass(frozen=True)
class Home:
    """A Kahu at work, with a chest and another patient's chest in it."""

    client: Client
    folder: Path
    chest: str
    other: str

    def run(self, name: str, script: str, **manifest: Any) -> dict[str, Any]:
        """Runs a tool on the chest; the task, when it has ended."""
        self.add(name, script, **manifest)
        return self.ended(self.client.run(name, self.chest).id)

    def add(
        self,
        name: str,
        script: str,
        *,
        form: str = "nifti",
        kind: str = "segmentation",
        program: str = "python",
        memory: str = "500 MB",
        seconds: int = 60,
        requirements: str = "",
    ) -> None:
        """Puts a tool on the shelf."""
        folder = self.folder / "tools" / name
        folder.mkdir(parents=True)
        if requirements:
            (folder / "requirements.txt").write_text(requirements)
            requirements = 'requirements = "requirements.txt"'
        text = MANIFEST.format(
            name=name,
            form=form,
            kind=kind,
            program=program,
            memory=memory,
            seconds=seconds,
            requirements=requirements,
        )
        (folder / "tool.toml").write_text(text + (SEGMENTATION if kind == "segmentation" else ""))
        (folder / "tool.py").write_text(COMMON + script)

    def ended(self, run_id: str) -> dict[str, Any]:
        """The only task of a run, when it has ended."""
        run = self.client.get(f"/api/runs/{run_id}")
        while run["state"] in ("queued", "running"):
            time.sleep(0.05)
            run = self.client.get(f"/api/runs/{run_id}")
        (task,) = run["tasks"]
        found: dict[str, Any] = task
        return found

    def results(self) -> set[str]:
        """The series that people see, but for the two that were there first."""
        return {one["uid"] for one in self.client.get("/api/series", limit=1000)["series"]} - {
            self.chest,
            self.other,
        }

    def job(self, task: dict[str, Any]) -> Path:
        return self.folder / "jobs" / f"{task['id']}.{task['attempt']}"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    images = tmp_path_factory.mktemp("images")
    samples.series(
        images, slices=6, patient_id="P-1", description="Chest", series_uid="1.2.77.1", study_uid="1.2.77"
    )
    samples.series(
        images, slices=6, patient_id="P-2", description="Chest", series_uid="1.3.1", study_uid="1.3"
    )
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("UV_OFFLINE", "1")  # so that a package that is not there fails alike everywhere
        with private(Settings(home=folder)) as url, Client(url) as client:
            store = client.request("POST", "/api/stores", {"path": str(images)})
            while store["state"] != "ready":
                (store,) = (one for one in client.get("/api/stores") if one["id"] == store["id"])
            yield Home(client, folder, "1.2.77.1", "1.3.1")


def test_a_tool_that_works_gives_one_valid_segmentation(home: Home) -> None:
    before = home.results()
    task = home.run("works", "print('progress 0.5 half'); mask()")
    assert (task["state"], task["message"], task["progress"]) == ("done", "", 1.0)
    assert task["result"]["verdict"] == "valid"
    (made,) = task["result"]["series"]
    assert home.results() - before == {made}
    assert set(task["steps"]) == {"fetch", "tool", "deliver"}
    segmentation = home.client.segmentation(made)
    assert segmentation.mask(1).sum() == 64 * 64 * 6 // 2
    assert [path.name for path in home.job(task).iterdir()] == ["log"], "inputs are gone, the log stays"
    series = home.client.get(f"/api/series/{made}")
    assert series["result"]["tool"] == "works 1.0.0"
    assert series["result"]["sources"] == [home.chest]


def test_asked_again_nothing_is_computed_twice(home: Home) -> None:
    first = home.run("once", "mask()")
    seen = home.results()
    again = home.ended(home.client.run("once", home.chest).id)
    assert again == first
    assert home.results() == seen


def test_what_arrives_while_a_result_is_published_is_compared_with_it(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish = delivered.publish
    overtaken = iter([Conflict("the catalogue has changed"), Conflict("and again")])

    def late(*args: Any) -> None:
        for error in overtaken:
            raise error
        publish(*args)

    monkeypatch.setattr(delivered, "publish", late)
    before = home.results()
    task = home.run("overtaken", "mask()")
    assert task["state"] == "done"
    assert home.results() - before == set(task["result"]["series"])


BROKEN = [
    ("exit code", "sys.exit(3)", "the tool ended with exit code 3 and said nothing", "log"),
    ("traceback", "raise ValueError('bad shape')", "exit code 1: ValueError: bad shape", "log"),
    (
        "garbage",
        "print('weights are broken'); sys.stdout.buffer.write(os.urandom(9999)); sys.exit(1)",
        "the tool ended with exit code 1",
        "log",
    ),
    ("no output", "pass", "the tool wrote no mask.nii.gz", "log"),
    ("empty file", "(out / 'mask.nii.gz').touch()", "mask.nii.gz is no readable NIfTI file", "nibabel"),
    (
        "text",
        "(out / 'mask.nii.gz').write_text('lung')",
        "mask.nii.gz is no readable NIfTI file",
        "nibabel",
    ),
    (
        "cut short",
        "mask(); f = out / 'mask.nii.gz'; f.write_bytes(f.read_bytes()[:-20])",
        "mask.nii.gz is no readable NIfTI file",
        "nibabel",
    ),
    (
        "other grid",
        "h, s = read(); h[42:48] = struct.pack('<3h', 9, 9, 9); write(h, bytes(729))",
        "mask.nii.gz",
        "grid",
    ),
    (
        "moved",
        "h, s = read(); h[292:296] = struct.pack('<f', 999); write(h, bytes(s[0] * s[1] * s[2]))",
        "mask.nii.gz",
        "",
    ),
    ("unknown label", "mask(7)", "values that no segment describes: 7", "segments"),
    (
        "no labels",
        "h, s = read(); write(h, struct.pack('<f', 0.5) * (s[0] * s[1] * s[2]), (16, 32))",
        "values that are no labels",
        "whole numbers",
    ),
    ("killed", "os.kill(os.getpid(), 9)", "the tool was killed (SIGKILL)", "memory"),
    ("crash", "os.kill(os.getpid(), 11)", "the tool crashed (SIGSEGV)", "fault in the tool"),
    ("memory error", "raise MemoryError", "exit code 1: MemoryError", "raise `memory`"),
    ("missing package", "import torch", "No module named 'torch'", "add torch to the tool's requirements"),
    (
        "folder",
        "(out / 'mask.nii.gz').mkdir()",
        "mask.nii.gz is no readable NIfTI file",
        "nibabel",
    ),
    ("no network", "import socket; socket.getaddrinfo('no.invalid', 80)", "exit code 1: socket.gaierror", ""),
]


@pytest.mark.parametrize(("kind", "script", "message", "hint"), BROKEN, ids=[one[0] for one in BROKEN])
def test_a_broken_tool_says_why(home: Home, kind: str, script: str, message: str, hint: str) -> None:
    before = home.results()
    task = home.run(kind.replace(" ", "-"), script)
    assert task["state"] == "failed"
    assert message in task["message"]
    assert hint in task["hint"]
    assert task["hint"]
    assert "\n" not in task["message"]
    assert home.results() == before, "nothing of it is seen"
    assert (home.job(task) / "log").exists()
    assert (home.job(task) / "out").is_dir(), "its folder stays, so that one can look"


def test_a_tool_that_takes_too_much_memory(home: Home) -> None:
    task = home.run("greedy", "hog = bytearray(200_000_000); time.sleep(60)", memory="100 MB")
    assert (task["state"], task["message"]) == ("failed", "the tool used more than its 100 MB of memory")
    assert "`memory`" in task["hint"]


def test_a_tool_that_takes_too_long(home: Home) -> None:
    task = home.run("slow", "time.sleep(60)", seconds=1)
    assert (task["state"], task["message"]) == ("failed", "the tool took longer than its 1 s")
    assert "`time`" in task["hint"]


def test_a_program_that_is_not_there(home: Home) -> None:
    task = home.run("no-program", "", program="pythn")
    assert task["state"] == "failed"
    assert "cannot run pythn" in task["message"]
    assert "`command`" in task["hint"]


def test_an_environment_that_cannot_be_made(home: Home) -> None:
    pin = "kahu-test-not-there==1.0 --hash=sha256:" + "0" * 64
    task = home.run("no-package", "", requirements=pin + "\n")
    assert task["state"] == "failed"
    assert "the tool's environment could not be made" in task["message"]
    assert "kahu-test-not-there" in task["message"]
    assert task["hint"]


def test_dicom_of_another_patient_is_rejected_and_seen_by_nobody(home: Home) -> None:
    script = (
        "for n, file in enumerate(sorted(source.iterdir())):\n"
        "    data = file.read_bytes().replace(b'P-1 ', b'P-9 ').replace(b'2.25.', b'2.26.')\n"
        "    (out / f'{n}.dcm').write_bytes(data.replace(b'1.2.77.1', b'1.2.77.9'))\n"
    )
    before = home.results()
    task = home.run("other-patient", script, form="dicom", kind="dicom")
    assert (task["state"], task["result"]["verdict"]) == ("done", "rejected")
    assert task["message"].startswith("the result was rejected: ")
    assert "patient" in task["message"]
    assert task["hint"]
    assert home.results() == before


def test_no_dicom_and_broken_dicom(home: Home) -> None:
    task = home.run("no-dicom", "(out / 'result.txt').touch()", form="dicom", kind="dicom")
    assert "the tool wrote no DICOM" in task["message"]
    task = home.run("bad-dicom", "(out / 'a.dcm').write_bytes(b'x' * 999)", form="dicom", kind="dicom")
    assert "the tool wrote a.dcm, which is no DICOM file" in task["message"]


def test_what_a_tool_sees_is_no_secret(home: Home) -> None:
    script = (
        "text = str(dict(os.environ)) + str(sys.argv)\n"
        "assert 'kahu_' not in text and 'TOKEN' not in text\n"
        "mask()"
    )
    assert home.run("spy", script)["state"] == "done"


def test_a_case_that_is_cancelled_delivers_nothing(home: Home) -> None:
    before = home.results()
    home.add("endless", "mask(); print('progress 0.5 waiting'); time.sleep(600)")
    run = home.client.run("endless", home.chest)
    while home.client.get(f"/api/runs/{run.id}")["tasks"][0]["message"] != "waiting":
        time.sleep(0.05)
    home.client.request("POST", f"/api/runs/{run.id}/cancel")
    task = home.ended(run.id)
    assert task["state"] == "cancelled"
    assert home.results() == before
    assert [path.name for path in home.job(task).iterdir()] == ["log"]


def test_a_tool_that_changed_in_between_is_not_run(home: Home) -> None:
    home.add("changing", "sys.exit(1)")
    run = home.client.run("changing", home.chest)
    home.ended(run.id)
    (home.folder / "tools" / "changing" / "tool.py").write_text(COMMON + "mask()")
    home.client.request("POST", f"/api/runs/{run.id}/retry")
    task = home.ended(run.id)
    assert (task["state"], task["attempt"]) == ("failed", 2)
    assert "has changed since this run was started" in task["message"]
    fresh = home.client.run("changing", home.chest)
    assert fresh.id != run.id
    assert home.ended(fresh.id)["state"] == "done"


def test_a_series_whose_files_are_gone(home: Home, tmp_path: Path) -> None:
    folder = tmp_path / "usb"
    paths = samples.series(folder, slices=4, patient_id="P-3", series_uid="1.4.1", study_uid="1.4")
    store = home.client.request("POST", "/api/stores", {"path": str(folder)})
    while home.client.get("/api/series", q="P-3")["total"] < 1:
        time.sleep(0.05)
    for path in paths:
        path.unlink()
    home.add("fetches", "mask()")
    task = home.ended(home.client.run("fetches", "1.4.1").id)
    assert task["state"] == "failed"
    assert task["hint"]
    home.client.request("DELETE", f"/api/stores/{store['id']}")


@pytest.mark.parametrize(
    ("state", "said", "expected"),
    [
        (JobState("preparing"), None, (0.0, "making the tool's environment")),
        (JobState("running", "fetch"), None, (0.0, "fetching the series")),
        (JobState("running", "tool"), Progress("fetch", 1.0, "20 of 20"), (0.15, "running the tool")),
        (JobState("running", "tool"), Progress("tool", 0.5, ""), (0.525, "running the tool")),
        (JobState("running", "tool"), Progress("tool", 0.2, "marking"), (0.3, "marking")),
    ],
)
def test_how_far_a_case_is(state: JobState, said: Progress | None, expected: tuple[float, str]) -> None:
    fraction, words = how_far(state, said)
    assert (round(fraction, 6), words) == expected


def test_what_is_said_of_a_result() -> None:
    assert words_of(Verdict("valid", ("No voxel was found.",))) == ("", "")
    message, hint = words_of(Verdict("suspect", ("A segment has no code.", "And more.")))
    assert message == "the result is suspect: A segment has no code."
    assert hint
    message, hint = words_of(Verdict("rejected", ("Another patient.",)))
    assert message == "the result was rejected: Another patient."
    assert hint
