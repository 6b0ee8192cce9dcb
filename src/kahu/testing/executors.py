"""What every executor keeps: inherit `ExecutorTests` and give it your executor in the fixture `executor`."""

import json
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from kahu.errors import BadRequest
from kahu.executors import Executor, Job, JobState, Limits, Step

PATIENCE = 60
"""seconds until a test gives up on a busy machine"""


def job(
    tmp_path: Path,
    tool: str,
    *,
    id: str = "job-1.1",
    fetch: str = "",
    deliver: str = "",
    limits: Limits | None = None,
    requirements: str = "",
) -> Job:
    """A job whose steps are these Python programs; the tool's own folder is `tmp_path / "tool"`."""
    folder = tmp_path / "tool"
    folder.mkdir(exist_ok=True)
    steps: list[Step] = []
    if fetch:
        steps.append(Step("fetch", (sys.executable, "-c", fetch, "{job}"), own=True))
    steps.append(Step("tool", ("python", "-c", tool, "{job}")))
    if deliver:
        steps.append(Step("deliver", (sys.executable, "-c", deliver, "{job}"), {"SECRET": "s"}, own=True))
    return Job(id, tuple(steps), folder, requirements, limits or Limits())


def until(executor: Executor, job_id: str, condition: Callable[[JobState], bool]) -> JobState:
    """Polls until the condition holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition(state := executor.poll(job_id)):
        assert time.monotonic() < deadline, (state, executor.log(job_id))
        time.sleep(0.02)
    return state


def ended(executor: Executor, job_id: str = "job-1.1") -> JobState:
    return until(executor, job_id, lambda state: state.phase in {"succeeded", "failed"})


def printed(executor: Executor, what: bytes, job_id: str = "job-1.1") -> None:
    """Waits until the job has printed it."""
    until(executor, job_id, lambda state: what in executor.log(job_id) or state.phase == "failed")
    assert what in executor.log(job_id)


class ExecutorTests:
    """The contract of `kahu.executors`."""

    @pytest.fixture
    def executor(self, tmp_path: Path) -> Iterator[Executor]:
        """The executor to test, closed at the end."""
        raise NotImplementedError

    def alive(self, marks: Sequence[str]) -> list[str]:
        """Which of these words are still in the command line of a process somewhere."""
        raise NotImplementedError

    # A job's way

    def test_steps_run_one_after_the_other_in_one_folder(self, executor: Executor, tmp_path: Path) -> None:
        fetch = "import sys, pathlib; pathlib.Path(sys.argv[1], 'in', 'a').write_text('21')"
        tool = "import sys, pathlib as p; j = p.Path(sys.argv[1]); n = int((j/'in'/'a').read_text())\n"
        tool += "(j/'out'/'b').write_text(str(n * 2))"
        deliver = "import sys, pathlib; print('delivered', pathlib.Path(sys.argv[1], 'out', 'b').read_text())"
        executor.start(job(tmp_path, tool, fetch=fetch, deliver=deliver))
        state = ended(executor)
        assert (state.phase, state.reason, state.exit_code) == ("succeeded", "", None), executor.log(
            "job-1.1"
        )
        assert list(state.seconds) == ["fetch", "tool", "deliver"]
        assert b"delivered 42" in executor.log("job-1.1")
        log = executor.log("job-1.1")
        assert log.index(b"--- fetch ---") < log.index(b"--- tool ---") < log.index(b"--- deliver ---")

    def test_a_job_that_was_not_started_is_unknown(self, executor: Executor) -> None:
        assert executor.poll("nothing").phase == "unknown"
        assert executor.log("nothing") == b""
        assert executor.folder("nothing") is None
        executor.cancel("nothing")
        executor.remove("nothing")

    def test_started_twice_runs_once(self, executor: Executor, tmp_path: Path) -> None:
        one = job(tmp_path, "print('ran')")
        executor.start(one)
        executor.start(one)
        ended(executor)
        executor.start(one)
        assert ended(executor).phase == "succeeded"
        assert executor.log("job-1.1").count(b"ran") == 1

    def test_an_id_that_is_a_path_is_refused(self, executor: Executor, tmp_path: Path) -> None:
        for bad in ("../up", "a/b", "", ".hidden"):
            with pytest.raises(BadRequest):
                executor.start(job(tmp_path, "pass", id=bad))

    def test_the_log_is_live_and_has_both_streams(self, executor: Executor, tmp_path: Path) -> None:
        tool = "import sys, time; print('to output'); print('to error', file=sys.stderr); time.sleep(600)"
        executor.start(job(tmp_path, tool))
        printed(executor, b"to output")
        printed(executor, b"to error")
        state = executor.poll("job-1.1")
        assert (state.phase, state.step) == ("running", "tool")
        whole = executor.log("job-1.1")
        assert executor.log("job-1.1", 5) == whole[5:]
        assert executor.log("job-1.1", len(whole) + 100) == b""

    # Failing

    def test_a_step_that_fails_ends_the_job(self, executor: Executor, tmp_path: Path) -> None:
        executor.start(job(tmp_path, "raise SystemExit(3)", deliver="print('delivered')"))
        state = ended(executor)
        assert (state.phase, state.step, state.reason, state.exit_code) == ("failed", "tool", "exit", 3)
        assert "3" in state.message
        assert b"delivered" not in executor.log("job-1.1")

    def test_a_signal_is_told_apart_from_an_exit(self, executor: Executor, tmp_path: Path) -> None:
        executor.start(job(tmp_path, "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"))
        state = ended(executor)
        assert (state.reason, state.exit_code) == ("signal", -11)
        assert "SIGSEGV" in state.message

    def test_a_program_that_is_not_there_cannot_start(self, executor: Executor, tmp_path: Path) -> None:
        folder = tmp_path / "tool"
        folder.mkdir()
        executor.start(Job("job-1.1", (Step("tool", ("no-such-program",)),), folder))
        state = ended(executor)
        assert (state.phase, state.reason) == ("failed", "start")
        assert "no-such-program" in state.message

    def test_an_environment_that_cannot_be_made_says_why(self, executor: Executor, tmp_path: Path) -> None:
        executor.start(job(tmp_path, "pass", requirements="this is no requirement\n"))
        state = ended(executor)
        assert (state.phase, state.reason) == ("failed", "environment")
        assert "this is no requirement" in state.message
        assert state.hint

    # Limits

    def test_too_much_memory_is_told_as_memory(self, executor: Executor, tmp_path: Path) -> None:
        tool = "import time; hog = bytearray(200_000_000); time.sleep(600)"
        executor.start(job(tmp_path, tool, limits=Limits(memory=100_000_000)))
        state = ended(executor)
        assert (state.phase, state.reason) == ("failed", "memory")
        assert "100 MB" in state.message

    def test_memory_of_all_its_processes_counts(self, executor: Executor, tmp_path: Path) -> None:
        one = "import time; hog = bytearray(60_000_000); time.sleep(600)"
        tool = (
            "import subprocess, sys, time\n"
            f"for _ in range(3): subprocess.Popen([sys.executable, '-c', {one!r}])\n"
            "time.sleep(600)"
        )
        executor.start(job(tmp_path, tool, limits=Limits(memory=120_000_000)))
        assert ended(executor).reason == "memory"

    def test_what_is_only_reserved_or_shared_after_a_fork_does_not_count(
        self, executor: Executor, tmp_path: Path
    ) -> None:
        tool = (
            "import mmap, os, time\n"
            "reserved = mmap.mmap(-1, 4 << 30)\n"  # as much as AI libraries reserve
            "used = bytearray(100_000_000)\n"
            "children = []\n"
            "for _ in range(3):\n"
            "    child = os.fork()\n"
            "    if not child: time.sleep(0.5); os._exit(0)\n"
            "    children.append(child)\n"
            "for child in children: os.waitpid(child, 0)\n"
        )
        executor.start(job(tmp_path, tool, limits=Limits(memory=200_000_000)))
        state = ended(executor)
        assert state.phase == "succeeded", state
        assert state.peak_memory > 90_000_000

    def test_too_long_is_told_as_time(self, executor: Executor, tmp_path: Path) -> None:
        executor.start(job(tmp_path, "import time; time.sleep(600)", limits=Limits(seconds=1)))
        state = ended(executor)
        assert (state.phase, state.reason) == ("failed", "time")

    def test_too_much_output_is_told_and_removed(self, executor: Executor, tmp_path: Path) -> None:
        tool = (
            "import sys, time\n"
            "with open(sys.argv[1] + '/out/big', 'wb', buffering=0) as big:\n"
            "    while True: big.write(bytes(1 << 20)); time.sleep(0.01)\n"
        )
        executor.start(job(tmp_path, tool, limits=Limits(output=8 << 20)))
        state = ended(executor)
        assert (state.phase, state.reason) == ("failed", "output")
        folder = executor.folder("job-1.1")
        if folder:
            assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 1 << 20

    # What a tool sees

    def test_a_tool_sees_neither_secrets_nor_kahu(self, executor: Executor, tmp_path: Path) -> None:
        tool = (
            "import importlib.util, os\n"
            "assert 'SECRET' not in os.environ\n"
            "assert not [name for name in os.environ if 'TOKEN' in name]\n"
            "assert importlib.util.find_spec('kahu') is None\n"
            "assert importlib.util.find_spec('numpy') is None\n"
        )
        deliver = "import os; assert os.environ['SECRET'] == 's'"
        executor.start(job(tmp_path, tool, deliver=deliver))
        assert ended(executor).phase == "succeeded", executor.log("job-1.1")

    def test_a_tool_runs_in_its_folder_with_a_home_of_the_job(
        self, executor: Executor, tmp_path: Path
    ) -> None:
        tool = (
            "import os, pathlib, sys, tempfile\n"
            "assert pathlib.Path('weights').read_text() == 'w'\n"
            "job = pathlib.Path(sys.argv[1])\n"
            "assert job in pathlib.Path.home().parents, pathlib.Path.home()\n"
            "assert job in pathlib.Path(tempfile.gettempdir()).parents\n"
        )
        one = job(tmp_path, tool)
        (one.tool / "weights").write_text("w")
        executor.start(one)
        assert ended(executor).phase == "succeeded", executor.log("job-1.1")
        assert [path.name for path in one.tool.rglob("*")] == ["weights"]

    def test_it_enforces_what_it_says_and_says_what_it_does_not(
        self, executor: Executor, tmp_path: Path
    ) -> None:
        (tmp_path / "secret").write_text("of the user")
        with socket.create_server(("127.0.0.1", 0)) as server:
            tool = (
                "import json, os, pathlib, socket, sys\n"
                "def can(what):\n"
                "    try: what(); return True\n"
                "    except OSError: return False\n"
                f"connect = lambda: socket.create_connection(('127.0.0.1', {server.getsockname()[1]})).close()\n"
                "mine = lambda: pathlib.Path('mine').write_text('x')\n"
                "source = lambda: pathlib.Path(sys.argv[1], 'in', 'more').write_text('x')\n"
                f"secret = lambda: pathlib.Path({str(tmp_path / 'secret')!r}).read_text()\n"
                "pathlib.Path(sys.argv[1], 'out', 'file').write_text('x')\n"
                "facts = [can(connect), can(mine), can(source), can(secret), os.geteuid() == 0]\n"
                "print('facts', json.dumps(facts))\n"
            )
            executor.start(job(tmp_path, tool))
            assert ended(executor).phase == "succeeded", executor.log("job-1.1")
        (line,) = [line for line in executor.log("job-1.1").splitlines() if line.startswith(b"facts ")]
        network, mine, source, secret, root = json.loads(line.removeprefix(b"facts "))
        enforces = executor.enforces
        assert network is not enforces.no_network
        assert mine is source is secret is not enforces.read_only
        if enforces.not_root:
            assert not root

    # Ending

    def test_cancel_ends_children_that_do_not_want_to(self, executor: Executor, tmp_path: Path) -> None:
        stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
        tool = (
            "import os, signal, subprocess, sys, time\n"
            "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
            f"stubborn = [sys.executable, '-c', {stubborn!r}]\n"
            "subprocess.Popen([*stubborn, 'kahu-test-child'])\n"
            "subprocess.Popen([*stubborn, 'kahu-test-daemon'], start_new_session=True)\n"
            "print('all there'); time.sleep(600)\n"
        )
        executor.start(job(tmp_path, tool, deliver="print('delivered')"))
        printed(executor, b"all there")
        assert self.alive(["kahu-test-child", "kahu-test-daemon"]) == ["kahu-test-child", "kahu-test-daemon"]
        executor.cancel("job-1.1")
        executor.cancel("job-1.1")
        state = ended(executor)
        assert (state.phase, state.reason) == ("failed", "cancelled")
        assert self.alive(["kahu-test-child", "kahu-test-daemon"]) == []
        assert b"delivered" not in executor.log("job-1.1")

    def test_what_a_tool_leaves_running_ends_with_it(self, executor: Executor, tmp_path: Path) -> None:
        tool = (
            "import subprocess, sys\n"
            "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)', 'kahu-test-left'],"
            " start_new_session=True)\n"
        )
        executor.start(job(tmp_path, tool))
        assert ended(executor).phase == "succeeded"
        assert self.alive(["kahu-test-left"]) == []

    def test_remove_leaves_nothing_or_only_the_log(self, executor: Executor, tmp_path: Path) -> None:
        tool = (
            "import os, sys\n"
            "os.mkdir(sys.argv[1] + '/out/locked'); open(sys.argv[1] + '/out/locked/file', 'w')\n"
            "os.chmod(sys.argv[1] + '/out/locked', 0)\n"
            "os.symlink(os.getcwd(), sys.argv[1] + '/out/link'); print('said')\n"
        )
        for id in ("job-1.1", "job-2.1"):
            one = job(tmp_path, tool, id=id)
            executor.start(one)
            ended(executor, id)
        (one.tool / "mine").write_text("must stay")
        executor.remove("job-1.1")
        executor.remove("job-2.1", keep_log=True)
        for id in ("job-1.1", "job-2.1"):
            assert executor.poll(id).phase == "unknown"
        assert executor.folder("job-1.1") is None
        assert executor.log("job-1.1") == b""
        assert b"said" in executor.log("job-2.1")
        folder = executor.folder("job-2.1")
        assert folder is None or [path.name for path in folder.iterdir()] == ["log"]
        assert (one.tool / "mine").exists()

    def test_a_running_job_can_be_removed(self, executor: Executor, tmp_path: Path) -> None:
        executor.start(job(tmp_path, "import time; print('there'); time.sleep(600)"))
        printed(executor, b"there")
        executor.remove("job-1.1")
        assert executor.poll("job-1.1").phase == "unknown"
        assert executor.folder("job-1.1") is None

    def test_sweep_removes_all_but_what_is_kept(self, executor: Executor, tmp_path: Path) -> None:
        for id in ("job-1.1", "job-2.1"):
            executor.start(job(tmp_path, "print('said')", id=id))
            ended(executor, id)
        fresh = self.restarted(executor)
        fresh.sweep(keep=["job-2.1"])
        assert fresh.log("job-1.1") == b""
        assert b"said" in fresh.log("job-2.1")
        fresh.close()

    def restarted(self, executor: Executor) -> Executor:
        """The same executor as the next server finds it."""
        raise NotImplementedError
