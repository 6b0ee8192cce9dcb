"""The process executor keeps the contract, and its jobs end with the server however that ends."""

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from kahu.executors import Executor
from kahu.executors.confine import bubblewrap
from kahu.executors.process import ProcessExecutor
from kahu.testing.executors import PATIENCE, ExecutorTests, ended, job, printed


def command_lines() -> dict[int, str]:
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                found[int(entry.name)] = (entry / "cmdline").read_text()
            except OSError:
                continue
    return found


def with_word(word: str) -> list[int]:
    """Processes that have this very word as an argument."""
    return [pid for pid, line in command_lines().items() if word in line.split("\0")]


@pytest.fixture(scope="session")
def environments(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("environments")


class TestProcesses(ExecutorTests):
    """Without bubblewrap, as on a machine that lacks it."""

    @pytest.fixture
    def bwrap(self) -> str:
        return ""

    @pytest.fixture
    def executor(self, tmp_path: Path, environments: Path, bwrap: str) -> Iterator[Executor]:
        executor = ProcessExecutor(tmp_path / "jobs", environments, reserve=0, bwrap=bwrap)
        yield executor
        executor.close()

    def alive(self, marks: Sequence[str]) -> list[str]:
        return [mark for mark in marks if with_word(mark)]

    def restarted(self, executor: Executor) -> Executor:
        assert isinstance(executor, ProcessExecutor)
        return ProcessExecutor(executor._folder, executor._environments.folder, reserve=0)


class TestConfinedProcesses(TestProcesses):
    """With bubblewrap around each tool."""

    @pytest.fixture
    def bwrap(self) -> str:
        found = bubblewrap()
        if not found:
            pytest.skip("bubblewrap is not there or does not work here: sudo apt install bubblewrap")
        return found

    def test_it_keeps_tools_from_everything(self, executor: Executor) -> None:
        assert executor.enforces.no_network
        assert executor.enforces.read_only
        assert executor.enforces.not_root


@pytest.fixture
def executor(tmp_path: Path, environments: Path) -> Iterator[ProcessExecutor]:
    executor = ProcessExecutor(tmp_path / "jobs", environments, reserve=0, bwrap="")
    yield executor
    executor.close()


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def with_child(word: str) -> str:
    """A tool that never ends and has a child in a session of its own, which has this word as an argument."""
    child = f"[sys.executable, '-c', 'import time; time.sleep(600)', {word!r}]"
    return (
        f"import subprocess, sys, time; subprocess.Popen({child}, start_new_session=True)\n"
        "print('there'); time.sleep(600)"
    )


SERVER = """
import sys, time
from pathlib import Path
from kahu.executors.process import ProcessExecutor
from kahu.testing.executors import job, printed
executor = ProcessExecutor(Path(sys.argv[1], "jobs"), Path(sys.argv[2]), reserve=0, bwrap="")
executor.start(job(Path(sys.argv[1]), sys.argv[3]))
printed(executor, b"there")
print("there", flush=True)
time.sleep(600)
"""


@pytest.fixture
def server(tmp_path: Path, environments: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A server with a job that runs and has a child in a session of its own."""
    command = [sys.executable, "-c", SERVER, str(tmp_path), str(environments)]
    command.append(with_child("kahu-test-grandchild"))
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"there\n"
        yield process
        process.kill()


def test_jobs_die_with_a_server_that_is_killed(
    server: subprocess.Popen[bytes], executor: ProcessExecutor
) -> None:
    assert with_word("kahu-test-grandchild")
    server.kill()
    eventually(lambda: not with_word("kahu-test-grandchild"))
    executor.sweep(keep=[])
    assert executor.folder("job-1.1") is None


def test_what_even_the_guard_could_not_end_is_swept_at_start(
    server: subprocess.Popen[bytes], executor: ProcessExecutor
) -> None:
    (guard,) = [
        pid for pid, line in command_lines().items() if "guard.py" in line and str(server.pid) in line
    ]
    os.kill(server.pid, signal.SIGSTOP)
    os.kill(guard, signal.SIGKILL)
    os.kill(server.pid, signal.SIGKILL)
    assert with_word("kahu-test-grandchild")
    executor.sweep(keep=["job-1.1"])
    eventually(lambda: not with_word("kahu-test-grandchild"))
    assert b"there" in executor.log("job-1.1")


def test_a_guard_that_is_killed_fails_the_job_and_ends_the_tool(
    executor: ProcessExecutor, tmp_path: Path
) -> None:
    executor.start(job(tmp_path, with_child("kahu-test-orphan")))
    printed(executor, b"there")
    (guard,) = [
        pid for pid, line in command_lines().items() if "guard.py" in line and str(os.getpid()) in line
    ]
    os.kill(guard, signal.SIGKILL)
    state = ended(executor)
    assert (state.phase, state.reason, state.exit_code) == ("failed", "signal", -9)
    eventually(lambda: not with_word("kahu-test-orphan"))


def test_close_ends_all_jobs(executor: ProcessExecutor, tmp_path: Path) -> None:
    for n in range(3):
        executor.start(job(tmp_path, "import time; print('there'); time.sleep(600)", id=f"job-{n}"))
        printed(executor, b"there", f"job-{n}")
    executor.close()
    assert [executor.poll(f"job-{n}").reason for n in range(3)] == ["cancelled"] * 3


def test_a_disk_that_runs_full_is_told_before_it_is(tmp_path: Path, environments: Path) -> None:
    executor = ProcessExecutor(tmp_path / "jobs", environments, reserve=1 << 60)
    executor.start(job(tmp_path, "import time; time.sleep(600)"))
    state = ended(executor)
    assert (state.phase, state.reason) == ("failed", "output")
    assert "free on the disk" in state.message
    executor.close()


def test_a_tool_that_prints_without_end_is_ended(
    executor: ProcessExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kahu.executors.process._LOG", 1 << 20)
    executor.start(job(tmp_path, "while True: print('garbage ' * 100)"))
    state = ended(executor)
    assert (state.phase, state.reason) == ("failed", "output")
    assert "printed" in state.message


def test_a_fault_of_ours_fails_the_job(
    executor: ProcessExecutor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("kahu.executors.process._LOG", object())  # cannot be told to a guard
    executor.start(job(tmp_path, "pass"))
    state = ended(executor)
    assert (state.phase, state.reason) == ("failed", "start")
    assert "fault in Kahu" in state.message
    assert "Traceback" in caplog.text


def test_cancel_while_the_environment_is_made(
    executor: ProcessExecutor, tmp_path: Path, environments: Path
) -> None:
    """Somebody else is making the same environment, and takes long."""
    requirements = "kahu-test-not-there==1\n"
    name = executor._environments.digest(requirements)
    environments.mkdir(exist_ok=True)
    with (environments / f"{name}.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        executor.start(job(tmp_path, "pass", requirements=requirements))
        assert executor.poll("job-1.1").phase == "preparing"
        executor.cancel("job-1.1")
        assert ended(executor).reason == "cancelled"


def test_jobs_of_many_threads_do_not_disturb_each_other(executor: ProcessExecutor, tmp_path: Path) -> None:
    def start(n: int) -> None:
        executor.start(job(tmp_path, f"print('number', {n})", id=f"job-{n}"))

    threads = [threading.Thread(target=start, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for n in range(6):
        assert ended(executor, f"job-{n}").phase == "succeeded"
        assert f"number {n}".encode() in executor.log(f"job-{n}")
