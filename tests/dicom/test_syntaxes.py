"""What the documentation says of transfer syntaxes is what the code does; what is said is so."""

from pathlib import Path

import pytest
from pydicom._uid_dict import UID_dictionary

from kahu.dicom.frames import PixelFacts
from kahu.dicom.syntaxes import KNOWN, encapsulated, is_video
from kahu.dicom.transcode import can_give

PAGE = Path(__file__).parents[2] / "docs/archive/transfer-syntaxes.md"
EXPLICIT_LE = "1.2.840.10008.1.2.1"

IMAGES = {
    "grey": PixelFacts(8, 8, 1, 16, 16, 15, False, "MONOCHROME2", False, 1),
    "grey of 8 bits": PixelFacts(8, 8, 1, 8, 8, 7, False, "MONOCHROME2", False, 1),
    "grey of 12 bits": PixelFacts(8, 8, 1, 16, 12, 11, False, "MONOCHROME2", False, 1),
    "signed": PixelFacts(8, 8, 1, 16, 16, 15, True, "MONOCHROME2", False, 1),
    "colour": PixelFacts(8, 8, 3, 8, 8, 7, False, "RGB", False, 1),
    "palette": PixelFacts(8, 8, 1, 8, 8, 7, False, "PALETTE COLOR", False, 1),
    "32 bits": PixelFacts(8, 8, 1, 32, 32, 31, False, "MONOCHROME2", False, 1),
    "single bits": PixelFacts(8, 8, 1, 1, 1, 0, False, "MONOCHROME2", False, 1),
    "floats": PixelFacts(8, 8, 1, 32, 32, 31, False, "MONOCHROME2", False, 1, keyword="FloatPixelData"),
}
BITS = ("grey of 8 bits", "grey of 12 bits")


def table() -> str:
    """The table of the page."""
    lines = [
        "| transfer syntax | UID | read | given to images that are | what is lost |",
        "|---|---|---|---|---|",
    ]
    for uid, syntax in KNOWN.items():
        fits = [name for name, facts in IMAGES.items() if uid in can_give(EXPLICIT_LE, facts)]
        if "grey" in fits:
            fits = [name for name in fits if name not in BITS]
        kinds = "all" if set(fits) >= IMAGES.keys() - set(BITS) else ", ".join(fits)
        if not fits:
            kinds = "JPEG Baseline" if syntax.given else "–"
        lost = ("something" if syntax.lossy else "nothing") if syntax.given else "–"
        lines.append(f"| {syntax.name} | {uid} | yes | {kinds} | {lost} |")
    return "\n".join(lines)


def test_the_page_has_the_table_that_the_code_makes() -> None:
    assert table() in PAGE.read_text(), f"this belongs there:\n\n{table()}"


@pytest.mark.parametrize("uid", KNOWN)
def test_uids_are_those_of_the_standard(uid: str) -> None:
    """pydicom knows all but those that came last."""
    new = {f"1.2.840.10008.1.2.4.{n}" for n in (110, 111, 112)} | {"1.2.840.10008.1.2.8.1"}
    assert uid in new or UID_dictionary[uid][1] == "Transfer Syntax"


def test_what_is_not_known_is_taken_for_encapsulated() -> None:
    assert encapsulated("1.2.3.4")
    assert [uid for uid in KNOWN if not encapsulated(uid)] == [
        "1.2.840.10008.1.2",
        "1.2.840.10008.1.2.1",
        "1.2.840.10008.1.2.1.99",
        "1.2.840.10008.1.2.2",
    ]
    assert not any(is_video(uid) for uid in KNOWN)
    assert is_video("1.2.840.10008.1.2.4.102.1")
