"""The pages tell the truth: they are built without a warning, and what they say to type is typed here.

A ```console block is typed line by line, one home for each page; what is shown below a command is compared,
where "…" stands for anything. A ```python block is executed. One with `title="path"` is written to that path.
What is not to be executed is ```text.
"""

import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import nbformat
import pytest
from nbclient import NotebookClient

from kahu.cli import main

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS.rglob("*.md")])
LANGUAGES = {"console", "python", "text", "toml", "json"}
URL = "http://127.0.0.1:8010"
END = "it has ended with"
PYTHON = f"""
import sys, traceback
names = {{}}
for name in map(str.strip, sys.stdin):
    status = 0
    try:
        exec(compile(open(name).read(), name, "exec"), names)
    except Exception:
        status = 1
        traceback.print_exc()
    print("\\n{END}", status, flush=True)
"""

pytestmark = pytest.mark.timeout(300)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    language: str
    path: str
    """the file that it shows; empty: none"""
    text: str
    line: int


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text()
    fence = re.compile(r'^( *)```(\w*)(?: +title="([^"]+)")?\n(.*?)^\1```$', re.M | re.S)
    for found in fence.finditer(text):
        yield Block(found[2], found[3] or "", found[4], text.count("\n", 0, found.start()) + 2)


def commands(block: Block) -> Iterator[tuple[str, str]]:
    """Each command of a console block, with the output that is shown."""
    for part in re.split(r"^\$ ", block.text, flags=re.M)[1:]:
        command, _, shown = part.partition("\n")
        yield command, shown


class Terminal:
    """A program that is given one thing after the other, and says how each ended."""

    def __init__(self, *command: str) -> None:
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def enter(self, words: str) -> tuple[int, str]:
        """Exit status, and what was printed."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(words + "\n")
        self.process.stdin.flush()
        printed = ""
        for line in self.process.stdout:
            if line.startswith(END):
                return int(line.removeprefix(END)), printed
            printed += line
        raise AssertionError(f"it has ended: {printed}")

    def close(self) -> None:
        with self.process:
            self.process.kill()


class Reader:
    """Somebody who does what a page says, in a home of their own."""

    def __init__(self, home: Path, up: Callable[..., Any]) -> None:
        self.home = home
        self.up = up
        self.url = URL
        self.shell = Terminal("bash")
        self.python = Terminal(sys.executable, "-c", PYTHON)

    def read(self, block: Block, page: Path) -> None:
        if block.path:
            target = self.home / block.path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.text)
        elif block.language == "console":
            for command, shown in commands(block):
                self.type(command.replace(URL, self.url), shown)
        elif block.language == "python":
            name = self.home / f"{page.stem}-{block.line}.py"
            usual = f"import os; os.environ['KAHU_URL'] = '{self.url}'\n"
            name.write_text(usual + block.text.replace(URL, self.url))
            status, printed = self.python.enter(str(name))
            assert status == 0, f"{page}:{block.line}\n{printed}"

    def type(self, command: str, shown: str) -> None:
        if command.startswith("kahu up") and self.url == URL:
            self.start(command, shown)
            return
        if command.startswith("kahu up"):
            command += " --port 0"  # the usual one may be taken
        status, printed = self.shell.enter(f"{command} </dev/null\nprintf '\\n{END} %d\\n' $?")
        expected = 1 if shown.startswith("kahu: ") else 0
        assert status == expected, f"$ {command}\n{printed}"
        compare(command, shown, printed)

    def start(self, command: str, shown: str) -> None:
        """What runs until Ctrl-C runs beside us to the end of the page, on a free port."""
        server = self.up(*(word.replace("~", str(self.home)) for word in shlex.split(command)[2:]))
        self.url = server.url
        while server.process.poll() is None and not matches(shown, server.output.read_text()):
            time.sleep(0.05)
        compare(command, shown, server.output.read_text())

    def close(self) -> None:
        self.shell.close()
        self.python.close()


def compare(command: str, shown: str, printed: str) -> None:
    assert matches(shown, printed), f"$ {command}\n{printed}"


def matches(shown: str, printed: str) -> bool:
    """Whether the page shows what is printed, white space aside; nothing shown fits everything."""
    parts = (re.escape(part) for part in " ".join(shown.split()).split("…"))
    return not shown.strip() or bool(re.fullmatch(".*".join(parts), " ".join(printed.split())))


@pytest.fixture
def reader(
    person: Path, chest: Path, head: Path, kahu_up: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Reader]:
    """In a home with two series in ~/dicom."""
    monkeypatch.chdir(person)
    reader = Reader(person, kahu_up)
    yield reader
    reader.close()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_says_to_type_works(page: Path, reader: Reader) -> None:
    for block in blocks(page):
        assert block.language in LANGUAGES, f"{page}:{block.line}: a block of no known language"
        reader.read(block, page)


def test_the_notebook_runs(tmp_path: Path, chest: Path, kahu_up: Callable[..., Any]) -> None:
    notebook = nbformat.read(DOCS / "notebook.ipynb", as_version=4)
    server = kahu_up(chest)
    for cell in notebook.cells:
        cell.source = cell.source.replace(URL, server.url)
    NotebookClient(notebook, timeout=200, resources={"metadata": {"path": str(tmp_path)}}).execute()


def test_the_notebook_is_kept_without_outputs() -> None:
    notebook = nbformat.read(DOCS / "notebook.ipynb", as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages, built."""
    site = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(site)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    return site


def test_each_source_becomes_a_page(site: Path) -> None:
    sources = {page.relative_to(DOCS).with_suffix(".html") for page in DOCS.rglob("*.md")}
    assert sources <= {page.relative_to(site) for page in site.rglob("*.html")}


def test_pages_load_nothing_from_elsewhere(site: Path) -> None:
    loads = re.compile(
        r'<(?:script|img|iframe)[^>]*\bsrc="(?:https?:)?//|<link[^>]*stylesheet[^>]*"https?://'
    )
    for page in site.rglob("*.html"):
        assert not loads.search(page.read_text()), page


def test_every_command_is_told_of() -> None:
    told = re.findall(r"^\| `(kahu [^`]+)`", (DOCS / "commands.md").read_text(), re.M)
    assert [" ".join(re.findall(r"\b(?<!\[)[a-z-]+\b", one)) for one in told] == list(
        commands_below(main, "kahu")
    )


def commands_below(command: click.Command, name: str) -> Iterator[str]:
    """The names of all that can be run."""
    if not isinstance(command, click.Group) or command.invoke_without_command:
        yield name
    for word, one in getattr(command, "commands", {}).items():
        yield from commands_below(one, f"{name} {word}")


def test_links_of_pages_outside_docs_lead_somewhere() -> None:
    for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"):
        for target in re.findall(r"\]\(((?!https?:)[^)#]+)", (ROOT / name).read_text()):
            assert (ROOT / target).exists(), f"{name}: {target}"


def test_every_flow_has_an_end_to_end_test_of_its_name() -> None:
    flows = re.findall(r"^## (\w+)$", (DOCS / "flows.md").read_text(), re.M)
    tests = [path.stem.removeprefix("test_") for path in (ROOT / "tests" / "e2e").glob("test_*.py")]
    assert flows == ["See", "Arrive", "Ask", "Fetch", "Peers", "Run"]
    assert {flow.lower() for flow in flows} <= set(tests)
