"""Twenty ways in which a tool breaks: each is told in one line that says why, and one that says what to
do."""

import pytest

from kahu.executors import JobState, Limits
from kahu.runs.why import Progress, Tail, last_words, readable, why

LIMITS = Limits(memory=4 * 10**9, seconds=60)

TRACEBACK = """Traceback (most recent call last):
  File "brain.py", line 3, in <module>
    main()
  File "brain.py", line 2, in main
    raise ValueError("bad shape (3, 4)")
"""


def failed(reason: str, message: str = "", step: str = "tool", code: int | None = None) -> JobState:
    return JobState("failed", step, code, reason, message)  # type: ignore[arg-type]


EXIT = failed("exit", "it ended with exit code 1", code=1)


@pytest.mark.parametrize(
    ("said", "message", "hint"),
    [
        (TRACEBACK + "ValueError: bad shape (3, 4)\n", "ValueError: bad shape (3, 4)", "its log says"),
        (
            TRACEBACK + "ValueError: bad shape (3, 4)\nbye, said by a library at exit\n",
            "ValueError: bad shape (3, 4)",
            "its log says",
        ),
        (TRACEBACK + "MemoryError\n", "MemoryError", "raise `memory`"),
        (
            TRACEBACK + "numpy._core._exceptions._ArrayMemoryError: Unable to allocate 30.0 GiB\n",
            "Unable to allocate 30.0 GiB",
            "raise `memory`",
        ),
        (
            "terminate called after throwing an instance of 'std::bad_alloc'\n",
            "std::bad_alloc",
            "raise `memory`",
        ),
        (
            TRACEBACK + "OSError: [Errno 28] No space left on device\n",
            "No space left on device",
            "free some space",
        ),
        (
            TRACEBACK + "ModuleNotFoundError: No module named 'torch.nn'\n",
            "No module named 'torch.nn'",
            "add torch.nn to the tool's requirements",
        ),
        (
            "python: can't open file '/t/brian.py': [Errno 2] No such file or directory\n",
            "can't open file",
            "check `command`",
        ),
        (
            TRACEBACK
            + "urllib.error.URLError: <urlopen error [Errno -3] Temporary failure in name resolution>\n",
            "Temporary failure in name resolution",
            "into the tool's folder",
        ),
        (
            "progress 0.5 half\nfatal: model is empty\nprogress 0.6\n\n",
            "fatal: model is empty",
            "its log says",
        ),
        ("real words\n\x00\x01\x02\xff\xfe\x80\n", "real words", "its log says"),
        ("", "said nothing", "its log says"),
        ("\x1b[31mred error\x1b[0m\n", ": red error", "its log says"),
    ],
)
def test_a_tool_that_ends_with_an_exit_code(said: str, message: str, hint: str) -> None:
    told = why(EXIT, f"--- fetch ---\nfetched\n--- tool ---\n{said}", LIMITS)
    assert told.message.startswith("the tool ended with exit code 1")
    assert message in told.message
    assert "\n" not in told.message
    assert hint in told.hint


@pytest.mark.parametrize(
    ("state", "message", "hint"),
    [
        (
            failed("memory", "it used more than its 4 GB of memory"),
            "the tool used more than its 4 GB of memory",
            "raise `memory`",
        ),
        (
            failed("time", "it took longer than its 60 s"),
            "the tool took longer than its 60 s",
            "raise `time`",
        ),
        (failed("output", "it wrote more than its 10 GB"), "the tool wrote more than its 10 GB", "disk"),
        (
            failed("output", "it left less than 500 MB free on the disk", "fetch"),
            "fetching the series left less than 500 MB free on the disk",
            "free some space",
        ),
        (failed("signal", "it was killed by SIGKILL", code=-9), "the tool was killed (SIGKILL)", "memory"),
        (
            failed("signal", "it was killed by SIGSEGV", code=-11),
            "the tool crashed (SIGSEGV): loading weights",
            "fault in the tool",
        ),
        (failed("signal", "it was killed by SIGILL", code=-4), "the tool crashed (SIGILL)", "processor"),
        (failed("start", "cannot run brain: No such file"), "cannot run brain: No such file", "`command`"),
        (failed("cancelled", "it was cancelled"), "the tool was ended from outside", "again"),
    ],
)
def test_a_tool_that_is_ended(state: JobState, message: str, hint: str) -> None:
    told = why(state, "--- tool ---\nloading weights\n", LIMITS)
    assert told.message.startswith(message)
    assert hint in told.hint


def test_an_environment_that_cannot_be_made_says_what_the_executor_says() -> None:
    state = JobState("failed", reason="environment", message="no such package", hint="check the requirements")
    told = why(state, "", LIMITS)
    assert (told.message, told.hint) == ("no such package", "check the requirements")


def test_kahus_own_steps_say_themselves_what_went_wrong() -> None:
    log = (
        "--- tool ---\nerror: of the tool\n--- deliver ---\nerror: no brain.nii.gz\nhint: look into the log\n"
    )
    told = why(failed("exit", step="deliver", code=1), log, LIMITS)
    assert (told.message, told.hint) == ("no brain.nii.gz", "look into the log")


def test_a_fault_in_kahus_own_step_is_told_by_its_last_words() -> None:
    log = "--- fetch ---\n" + TRACEBACK + "KeyError: 'KAHU_URL'\n"
    told = why(failed("exit", step="fetch", code=1), log, LIMITS)
    assert told.message == "the series could not be fetched: KeyError: 'KAHU_URL'"


def test_a_line_is_shown_only_as_far_as_it_can_be_read() -> None:
    assert readable("  plain  ") == "plain"
    assert readable("a\x00b\ufffdc") == "abc"
    assert readable("\ufffd\ufffd\ufffdx") == ""
    assert len(readable("x" * 10_000)) < 400
    assert last_words("one\n\n \n") == "one"


def test_progress_is_read_as_it_comes_in_pieces_of_any_size() -> None:
    log = "--- tool ---\nprogress 0.25 reading\nnoise\rprogress .5\nprogress 7 beyond\nprogress x\n"
    log += "no progress 0.9\nprogress 1.0 last"
    expected = [Progress("tool", 0.25, "reading"), Progress("tool", 0.5, ""), Progress("tool", 1.0, "beyond")]
    for size in (1, 3, 7, 1000):
        tail = Tail()
        data = log.encode()
        told = [said for at in range(0, len(data), size) for said in tail.read(data[at : at + size])]
        assert told == expected
        assert tail.length == len(data)
        assert tail.text.endswith("last")
    assert tail.read(b" words\n") == [Progress("tool", 1.0, "last words")]


def test_the_tail_of_a_long_log_stays_short() -> None:
    tail = Tail()
    for _ in range(100):
        tail.read(b"\xff" * 10_000)
    tail.read(b"\nthe end")
    assert len(tail.text) <= 1 << 16
    assert tail.text.endswith("the end")
    assert tail.length == 1_000_008
