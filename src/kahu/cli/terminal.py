"""How Kahu speaks on a terminal: plain lines, bars for what takes time, tables."""

import sys
import time
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from kahu.client import Run
from kahu.errors import KahuError

out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 240)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def plain(text: str) -> str:
    """What others have written, names of files and of patients, as it can be printed: nothing in it is markup,
    moves the cursor or begins a line; such characters are shown as Python writes them."""
    return escape("".join(char if char.isprintable() else ascii(char)[1:-1] for char in text))


def complain(error: KahuError) -> None:
    """What was wrong, and what to do: two lines."""
    err.print(f"[red]kahu:[/red] {_lines(str(error))}")
    if error.hint:
        err.print(f"      {_lines(error.hint)}")


def _lines(text: str) -> str:
    """Some errors have several lines: what is wrong in each place of a manifest."""
    return "\n".join(map(plain, text.splitlines()))


def many(count: int, what: str) -> str:
    """A count of things, in English: `1 file`, `2,000 files`."""
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def watch(poll: Callable[[], dict[str, Any]], title: str, *, quiet: bool = False) -> dict[str, Any]:
    """Polls a task until it ends, with a bar on the terminal; the task as it ended."""
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        console=err,
        transient=True,
        disable=quiet or not err.is_terminal,
    ) as progress:
        bar = progress.add_task(title, total=None)
        while True:
            task = poll()
            if task["state"] in ("done", "failed", "cancelled"):
                return task
            words = plain(task["message"]) or title
            progress.update(bar, description=words, total=1.0 if task["progress"] is not None else None)
            progress.update(bar, completed=task["progress"] or 0)
            time.sleep(0.1)


def follow(started: Run, *, quiet: bool = False) -> None:
    """Waits for a run with a bar; RunFailed says why it failed."""

    def poll() -> dict[str, Any]:
        state = dict(started.state())
        doing = [task["message"] for task in state["tasks"] if task["state"] == "running"]
        return state | {"message": doing[0] if doing else ""}

    watch(poll, "Running", quiet=quiet)
    started.wait(1)


def fail_if_failed(task: dict[str, Any]) -> None:
    if task["state"] != "done":
        raise KahuError(task["message"] or task["state"], task["hint"])


class _Plain(Table):
    """A table whose cells hold what others have written."""

    def add_row(self, *cells: Any, **how: Any) -> None:
        super().add_row(*map(plain, cells), **how)


def tabular(*columns: str) -> Table:
    table = _Plain(box=None, pad_edge=False, header_style="dim")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
