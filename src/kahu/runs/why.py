"""Why did it fail? How a job ended and what it printed -> one line for people, and what to do. Pure."""

import re
from dataclasses import dataclass

from kahu.executors import JobState, Limits

_SHOWN = 300  # characters of what a program said
_KEPT = 1 << 16  # bytes of the end of a log in which the reason is looked for

_PROGRESS = re.compile(r"progress (\d+(?:\.\d*)?|\.\d+)(?: (.*))?")
_STEP = re.compile(r"^--- (\w+) ---$", re.MULTILINE)
_TRACEBACK = re.compile(r"^Traceback \(most recent call last\):\n(?:[ \t].*\n|\n)*(\S.*)", re.MULTILINE)

# What a tool says when it fails, and what that means.
_CLUES = (
    (
        r"MemoryError|bad_alloc|[Cc]annot allocate memory|out of memory|Unable to allocate",
        "it ran out of memory: raise `memory` in its tool.toml, or use a machine with more",
    ),
    (r"No space left on device|Disk quota exceeded", "free some space on the disk of Kahu's home"),
    (
        r"ModuleNotFoundError: No module named '([\w.]+)'",
        r"add \1 to the tool's requirements: its environment holds nothing else",
    ),
    (
        r"can't open file|python\S*: No module named",
        "check `command` in its tool.toml: it is run in the tool's folder",
    ),
    (
        r"Temporary failure in name resolution|Name or service not known|Network is unreachable|URLError",
        "tools have no network: put what it needs into the tool's folder or its requirements",
    ),
    (r"Read-only file system", "a tool may write to {output}, and to the folder that TMPDIR names"),
)
_LOOK = "its log says what it did before"


@dataclass(frozen=True)
class Why:
    """One line for people, and what to do about it."""

    message: str
    hint: str


@dataclass(frozen=True)
class Progress:
    """What a line `progress 0.4 some words` says."""

    step: str
    """that said it"""
    fraction: float
    """0..1"""
    words: str


class Tail:
    """The end of a job's log, as it is read bit by bit."""

    def __init__(self) -> None:
        self.length = 0
        """bytes that were read so far"""
        self._kept = b""
        self._line = b""
        self._step = ""

    @property
    def text(self) -> str:
        return self._kept.decode("utf-8", "replace").replace("\r", "\n")

    def read(self, more: bytes) -> list[Progress]:
        """Takes what was printed since, and returns the progress that it tells."""
        self.length += len(more)
        self._kept = (self._kept + more)[-_KEPT:]
        *lines, rest = (self._line + more).replace(b"\r", b"\n").split(b"\n")
        self._line = rest[-_KEPT:]
        told = (self._progress(line.decode("utf-8", "replace").strip()) for line in lines)
        return [progress for progress in told if progress]

    def _progress(self, line: str) -> Progress | None:
        if begins := _STEP.fullmatch(line):
            self._step = begins[1]
        said = _PROGRESS.fullmatch(line)
        return Progress(self._step, min(float(said[1]), 1.0), readable(said[2] or "")) if said else None


def why(state: JobState, tail: str, limits: Limits) -> Why:
    """Why a job failed. `tail` is the end of its log, `limits` what the tool was allowed."""
    said = _said_by(state.step, tail)
    if state.step in ("fetch", "deliver") and state.reason == "exit":
        return _own_step(state, said)
    subject = {"fetch": "fetching the series", "deliver": "delivering the result"}.get(state.step, "the tool")
    match state.reason:
        case "exit":
            last = last_words(said)
            what = f"the tool ended with exit code {state.exit_code}"
            return Why(f"{what}: {last}" if last else f"{what} and said nothing", _hint(last))
        case "signal":
            return _signal(state, subject, said)
        case "memory":
            hint = "raise `memory` in its tool.toml, or choose a smaller series"
        case "time":
            hint = "raise `time` in its tool.toml, or choose a smaller series"
        case "output":
            hint = "free some space on the disk; if the tool writes without end, mend it"
        case "start":
            hint = "check `command` in its tool.toml"
        case "environment":
            return Why(state.message, state.hint)
        case _:
            return Why(f"{subject} was ended from outside", "run the case again")
    return Why(state.message.replace("it ", f"{subject} ", 1), state.hint or hint)


def last_words(said: str) -> str:
    """What a program said last: the last line of its traceback if there is one, else its last line that
    can be read; at most so long that it fits a page."""
    tracebacks = _TRACEBACK.findall(said)
    if tracebacks:
        return readable(tracebacks[-1])
    for line in reversed(said.splitlines()):
        words = readable(line)
        if words and not _PROGRESS.fullmatch(words):
            return words
    return ""


def readable(line: str) -> str:
    """A line without what cannot be shown; nothing if that is most of it."""
    line = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line).strip()
    words = "".join(char for char in line if char.isprintable() and char != "\ufffd").strip()
    if 2 * len(words) < len(line):
        return ""
    return words if len(words) <= _SHOWN else f"{words[:_SHOWN]} ..."


def _said_by(step: str, tail: str) -> str:
    """The part of a log that this step printed."""
    begins = [found.end() for found in _STEP.finditer(tail) if found[1] == step]
    return tail[begins[-1] :] if begins else tail


def _own_step(state: JobState, said: str) -> Why:
    """Kahu's own steps say `error:` and `hint:` in lines of their own."""
    errors = re.findall(r"^error: (.+)$", said, re.MULTILINE)
    hints = re.findall(r"^hint: (.+)$", said, re.MULTILINE)
    if errors:
        return Why(readable(errors[-1]), readable(hints[-1]) if hints else "")
    what = "the series could not be fetched" if state.step == "fetch" else "the result could not be delivered"
    return Why(f"{what}: {last_words(said) or 'no reason was given'}", _LOOK)


def _signal(state: JobState, subject: str, said: str) -> Why:
    name = state.message.removeprefix("it was killed by ")
    if name == "SIGKILL":
        return Why(
            f"{subject} was killed (SIGKILL)",
            "usually the machine ran out of memory: close other programs or use one with more; "
            "then run the case again",
        )
    if name == "SIGILL":
        hint = "a package in its requirements was built for another processor"
    else:
        hint = "this is a fault in the tool or a library of it; its log may say where"
    last = last_words(said)
    return Why(f"{subject} crashed ({name})" + (f": {last}" if last else ""), hint)


def _hint(last: str) -> str:
    for clue, hint in _CLUES:
        if found := re.search(clue, last):
            return found.expand(hint) if "\\1" in hint else hint
    return _LOOK
