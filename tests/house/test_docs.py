"""The pages tell the truth: they are built without a warning, and what they say to type is typed here.

A ```console block is typed line by line, one home for each page; what is shown below a command is compared,
where "…" stands for anything. A ```python block is executed. One with `title="path"` is written to that path.
What is not to be executed is ```text.
"""

import doctest
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS.rglob("*.md")])
LANGUAGES = {"console", "python", "text", "toml", "json"}
URL = "http://127.0.0.1:8010"

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


class Reader:
    """Somebody who does what a page says, in a home of their own."""

    def __init__(self, home: Path, up: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
        self.home = home
        self.up = up
        self.monkeypatch = monkeypatch
        self.url = URL
        self.names: dict[str, Any] = {"__name__": "page"}

    def read(self, block: Block, page: Path) -> None:
        if block.path:
            target = self.home / block.path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.text)
        elif block.language == "console":
            for command, shown in commands(block):
                self.type(command, shown)
        elif block.language == "python":
            code = "\n" * (block.line - 1) + block.text.replace(URL, self.url)
            exec(compile(code, str(page), "exec"), self.names)

    def type(self, command: str, shown: str) -> None:
        if command.startswith("kahu up"):
            if self.url == URL:
                self.start(command, shown)
                return
            command += " --port 0"
        done = subprocess.run(
            ["bash", "-ec", command.replace(URL, self.url)],
            cwd=self.home,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=200,
            check=False,
        )
        expected = 1 if shown.startswith("kahu: ") else 0
        assert done.returncode == expected, f"$ {command}\n{done.stdout}"
        compare(command, shown, done.stdout)

    def start(self, command: str, shown: str) -> None:
        """What runs until Ctrl-C runs beside us to the end of the page, on a free port."""
        server = self.up(*(word.replace("~", str(self.home)) for word in shlex.split(command)[2:]))
        self.url = server.url
        self.monkeypatch.setenv("KAHU_URL", server.url)
        compare(command, shown, server.output.read_text())


def compare(command: str, shown: str, printed: str) -> None:
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    wanted = shown.replace("…", "...")
    if wanted.strip():
        assert doctest.OutputChecker().check_output(wanted, printed, flags), f"$ {command}\n{printed}"


@pytest.fixture
def reader(
    person: Path, chest: Path, head: Path, kahu_up: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> Reader:
    """In a home with two series in ~/dicom."""
    monkeypatch.chdir(person)
    return Reader(person, kahu_up, monkeypatch)


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


class TestBuiltPages:
    @pytest.fixture(scope="class")
    def site(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        site = tmp_path_factory.mktemp("site")
        command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(site)]
        built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert built.returncode == 0, built.stdout + built.stderr
        return site

    def test_a_page_for_each_source(self, site: Path) -> None:
        sources = {page.relative_to(DOCS).with_suffix(".html") for page in DOCS.rglob("*.md")}
        assert sources <= {page.relative_to(site) for page in site.rglob("*.html")}

    def test_nothing_is_loaded_from_elsewhere(self, site: Path) -> None:
        loads = re.compile(
            r'<(?:script|img|iframe)[^>]*\bsrc="(?:https?:)?//|<link[^>]*stylesheet[^>]*"https?://'
        )
        for page in site.rglob("*.html"):
            assert not loads.search(page.read_text()), page


def test_links_of_pages_outside_docs_lead_somewhere() -> None:
    for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"):
        for target in re.findall(r"\]\(((?!https?:)[^)#]+)", (ROOT / name).read_text()):
            assert (ROOT / target).exists(), f"{name}: {target}"


def test_every_flow_has_an_end_to_end_test_of_its_name() -> None:
    flows = re.findall(r"^## (\w+)$", (DOCS / "flows.md").read_text(), re.M)
    tests = [path.stem.removeprefix("test_") for path in (ROOT / "tests" / "e2e").glob("test_*.py")]
    assert flows == ["See", "Arrive", "Ask", "Fetch", "Run"]
    assert {flow.lower() for flow in flows} <= set(tests)
