"""Environments of tools: made once, whole or not at all, and what is said when one cannot be made."""

import hashlib
import subprocess
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from kahu.executors.environment import EnvironmentFailed, Environments, failed

NOT_YET = threading.Event()


@pytest.fixture
def environments(tmp_path: Path) -> Environments:
    return Environments(tmp_path / "environments")


@pytest.fixture
def log(tmp_path: Path) -> Iterator[BinaryIO]:
    with (tmp_path / "log").open("ab+", buffering=0) as log:
        yield log


@pytest.fixture
def requirements(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A pinned and hashed file for a package that lies on this disk; no index is asked."""
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path))
    wheel = tmp_path / "kahu_sample-1.0-py3-none-any.whl"
    info = "kahu_sample-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("kahu_sample.py", "VALUE = 42\n")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: kahu-sample\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return f"kahu-sample==1.0 --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n"


def value(environment: Path) -> str:
    python = environment / "bin" / "python"
    command = [str(python), "-c", "import kahu_sample; print(kahu_sample.VALUE)"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_it_is_made_once_and_then_needs_no_index(
    environments: Environments, requirements: str, log: BinaryIO, tmp_path: Path
) -> None:
    made = environments.get(requirements, log, NOT_YET)
    assert value(made) == "42"
    for wheel in tmp_path.glob("*.whl"):
        wheel.unlink()
    assert environments.get(requirements, log, NOT_YET) == made
    assert Environments(environments.folder).get(requirements, log, NOT_YET) == made


def test_two_at_once_make_it_once(environments: Environments, requirements: str, log: BinaryIO) -> None:
    got: list[Path] = []
    others = [Environments(environments.folder) for _ in range(4)]
    threads = [
        threading.Thread(target=lambda one=one: got.append(one.get(requirements, log, NOT_YET)))
        for one in others
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 4
    assert len(set(got)) == 1
    assert value(got[0]) == "42"
    said = Path(log.name).read_text()
    assert said.count("kahu-sample==1.0") == 1


def test_it_is_made_again_when_its_interpreter_is_gone(
    environments: Environments, requirements: str, log: BinaryIO
) -> None:
    python = environments.get(requirements, log, NOT_YET) / "bin" / "python"
    python.unlink()
    python.symlink_to("/nowhere/python")
    assert value(environments.get(requirements, log, NOT_YET)) == "42"


def test_one_that_cannot_be_made_leaves_nothing(
    environments: Environments, requirements: str, log: BinaryIO
) -> None:
    wrong = "kahu-sample==1.0 --hash=sha256:" + "0" * 64 + "\n"
    with pytest.raises(EnvironmentFailed) as caught:
        environments.get(wrong, log, NOT_YET)
    assert "kahu-sample==1.0" in str(caught.value)
    assert "Using Python" not in str(caught.value), "only what went wrong is told"
    assert "--generate-hashes" in caught.value.hint
    assert [path.suffix for path in environments.folder.iterdir()] == [".lock"]


def test_what_a_crash_left_half_made_is_swept_but_not_what_is_being_made(
    environments: Environments, requirements: str, log: BinaryIO
) -> None:
    made = environments.get(requirements, log, NOT_YET)
    half = environments.folder / "making-0123"
    (half / "bin").mkdir(parents=True)
    environments.sweep()
    assert not half.exists()
    assert value(made) == "42"


@pytest.mark.parametrize(
    ("said", "told", "hint"),
    [
        (
            "  × No solution found when resolving dependencies:\n"
            "  ╰─▶ Because torch was not found in the package registry, your requirements are\n"
            "      unsatisfiable.\n",
            "Because torch was not found in the package registry, your requirements are unsatisfiable.",
            "check the tool's requirements",
        ),
        (
            "  × Failed to download `numpy==2.0.0`\n  ├─▶ Failed to fetch: `https://example.org/numpy`\n"
            "  ╰─▶ dns error: failed to lookup address information\n",
            "dns error: failed to lookup address information",
            "check the network",
        ),
        ("error: Hash mismatch for `idna==3.10`\n", "Hash mismatch", "--generate-hashes"),
        ("error: failed to write: No space left on device (os error 28)", "No space left", "free some space"),
        ("something else\n", "something else", "the log has all"),
    ],
)
def test_a_failure_tells_what_the_installer_said_last_and_what_to_do(said: str, told: str, hint: str) -> None:
    error = failed(said)
    assert told in str(error)
    assert "\n" not in str(error)
    assert hint in error.hint
