"""The conformance statement says what the doors do, and the page says what the statement says."""

from pathlib import Path

from click.testing import CliRunner

from kahu.cli import main
from kahu.dicom.syntaxes import KNOWN
from kahu.server.conformance import statement

PAGE = Path(__file__).parents[2] / "docs" / "archive" / "conformance.md"


def test_the_page_is_what_is_printed() -> None:
    printed = CliRunner().invoke(main, ["conformance"]).output
    assert printed == statement()
    assert PAGE.read_text() == printed, "kahu conformance > docs/archive/conformance.md"


def test_every_transfer_syntax_and_what_is_missing_is_named() -> None:
    said = statement()
    for uid in KNOWN:
        assert f"`{uid}`" in said
    for service in ("Storage Commitment", "Modality Worklist", "UPS-RS", "XML", "ICC", "video"):
        assert service in said.partition("## Not there")[2]
