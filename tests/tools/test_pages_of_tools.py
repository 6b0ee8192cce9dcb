"""The pages about tools show what is in the repository, and name no tool that is not there."""

from pathlib import Path

import pytest

from kahu.tools import manifest
from kahu.tools.shelf import Shelf

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "tools"


@pytest.mark.parametrize(
    "file",
    [
        "examples/body/body.py",
        "examples/body/tool.toml",
        "examples/body/requirements.in",
        "src/kahu/tools/shipped/brain-extraction/tool.toml",
    ],
)
def test_the_page_shows_the_file_as_it_is(file: str) -> None:
    assert f"\n{(ROOT / file).read_text('utf-8')}```" in (PAGES / "write-a-tool.md").read_text("utf-8")


def test_the_example_is_a_tool() -> None:
    assert manifest.read(ROOT / "examples" / "body").title == "Body"


def test_every_shipped_tool_has_a_page_with_its_parameters(tmp_path: Path) -> None:
    for tool in Shelf(tmp_path).all():
        page = (PAGES / f"{tool.name}.md").read_text("utf-8")
        assert page.startswith(f"# {tool.title}\n")
        for name, parameter in tool.parameters.items():
            assert f"`{name}`" in page
            assert f"{parameter.default}" in page
