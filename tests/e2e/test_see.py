"""See: a folder is served in place; nothing in it changes, and a second look reads only what changed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from kahu.testing import samples

Kahu = Callable[..., Any]


def snapshot(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    return {
        str(path): (
            path.stat().st_mtime_ns,
            path.stat().st_mode,
            path.read_bytes() if path.is_file() else b"",
        )
        for path in [folder, *folder.rglob("*")]
    }


def look(kahu: Kahu, folder: Path) -> dict[str, Any]:
    done = kahu("index", folder, "--json")
    assert done.returncode == 0, done.stderr
    counts: dict[str, Any] = json.loads(done.stdout)
    return counts


def test_a_folder_is_served_in_place(kahu_up: Kahu, chest: Path, head: Path) -> None:
    before = snapshot(chest.parent)
    server = kahu_up(chest.parent)
    assert {(one["modality"], one["instances"]) for one in server.series(2)} == {("CT", 12), ("MR", 10)}
    assert server.stop() == 0
    assert snapshot(chest.parent) == before
    assert not any((server.home / "store").rglob("*.dcm"))


def test_a_second_look_notices_what_was_added_moved_and_lost(kahu: Kahu, chest: Path, head: Path) -> None:
    folder = chest.parent
    assert look(kahu, folder)["objects"] == 22
    first = sorted(chest.iterdir())[0]
    first.rename(chest / "moved.dcm")
    samples.series(folder / "more", modality="CT", slices=3, seed="more")
    for path in head.iterdir():
        path.unlink()
    counts = look(kahu, folder)
    assert (counts["files"], counts["objects"], counts["series"]) == (15, 15, 2)
    found = json.loads(kahu("find", "--json").stdout)
    assert {one["description"]: one["available"] for one in found}["Head"] is False


def test_a_broken_file_among_good_ones_is_refused_with_its_reason(kahu: Kahu, chest: Path) -> None:
    whole = sorted(chest.iterdir())[0].read_bytes()
    (chest / "cut.dcm").write_bytes(whole[:300])
    (chest / "readme.txt").write_text("not an image")
    counts = look(kahu, chest)
    assert (counts["files"], counts["objects"]) == (14, 12)
    assert [one["file"] for one in counts["refused"]] == ["cut.dcm"]
    assert counts["refused"][0]["reason"]


def test_a_folder_that_is_gone_is_unavailable_and_not_forgotten(
    kahu: Kahu, chest: Path, tmp_path: Path
) -> None:
    look(kahu, chest)
    chest.rename(tmp_path / "elsewhere")
    assert kahu("index", chest).returncode == 1
    (found,) = json.loads(kahu("find", "chest", "--json").stdout)
    assert found["instances"] == 12


@pytest.mark.browser
def test_a_folder_that_is_added_in_the_page_fills_the_gallery(kahu_up: Kahu, chest: Path, page: Page) -> None:
    page.goto(kahu_up().url)
    page.get_by_role("button", name="Add a folder").click()
    page.get_by_label("Folder on the machine").fill(str(chest))
    page.keyboard.press("Enter")
    expect(page.get_by_role("listbox").get_by_role("option")).to_contain_text("Chest")
    expect(page.get_by_text("hold no readable images")).to_have_count(0)
