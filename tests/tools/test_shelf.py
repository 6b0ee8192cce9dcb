"""Tools come with Kahu or are added; a broken one hides no other."""

import shutil
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from kahu.errors import BadRequest, Conflict, NotFound
from kahu.tools.shelf import SHIPPED, Shelf


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "home" / "tools")


@pytest.fixture
def mine(tmp_path: Path, shipped: Path) -> Path:
    """A tool that somebody wrote."""
    folder = tmp_path / "mine"
    shutil.copytree(shipped / "lung-mask", folder)
    change(folder, 'name = "lung-mask"', 'name = "mine"')
    return folder


def change(folder: Path, old: str, new: str) -> None:
    text = (folder / "tool.toml").read_text("utf-8")
    assert old in text
    (folder / "tool.toml").write_text(text.replace(old, new), "utf-8")


def names(shelf: Shelf) -> list[str]:
    return [tool.name for tool in shelf.all()]


def test_two_tools_are_shipped(shelf: Shelf) -> None:
    assert names(shelf) == ["brain-extraction", "lung-mask"]
    assert all(shelf.shipped(tool) for tool in shelf.all())
    assert not shelf.broken()


def test_a_manifest_of_fewer_than_30_lines_is_enough_for_an_ai_tool(shelf: Shelf) -> None:
    text = (shelf.get("brain-extraction").folder / "tool.toml").read_text("utf-8")
    said = [line for line in text.splitlines() if line.strip()]
    assert len(said) < 30


def test_an_added_tool_is_a_copy(shelf: Shelf, mine: Path) -> None:
    added = shelf.add(mine)
    assert names(shelf) == ["brain-extraction", "lung-mask", "mine"]
    assert not shelf.shipped(added)
    shutil.rmtree(mine)
    assert shelf.get("mine") == added


def test_adding_it_again_changes_nothing(shelf: Shelf, mine: Path) -> None:
    assert shelf.add(mine) == shelf.add(mine)


def test_another_tool_of_the_same_version_needs_a_word(shelf: Shelf, mine: Path) -> None:
    before = shelf.add(mine)
    (mine / "notes.txt").write_text("something else", "utf-8")
    with pytest.raises(Conflict, match=r"another mine 1\.0\.0"):
        shelf.add(mine)
    assert shelf.get("mine") == before
    after = shelf.add(mine, replace=True)
    assert after.digest != before.digest
    assert shelf.get("mine") == after


def test_a_new_version_takes_the_place_of_the_old_one(shelf: Shelf, mine: Path) -> None:
    shelf.add(mine)
    (mine / "lung.py").write_text("print('better')\n", "utf-8")
    change(mine, 'version = "1.0.0"', 'version = "1.1.0"')
    shelf.add(mine)
    assert shelf.get("mine").version == "1.1.0"
    assert (shelf.get("mine").folder / "lung.py").read_text("utf-8") == "print('better')\n"


def test_a_broken_tool_is_not_added_and_leaves_nothing(shelf: Shelf, mine: Path, tmp_path: Path) -> None:
    (mine / "lung.py").unlink()
    with pytest.raises(BadRequest, match=r"there is no lung\.py"):
        shelf.add(mine)
    assert not (tmp_path / "home").exists()


def test_a_tool_that_broke_on_the_shelf_hides_no_other(shelf: Shelf, mine: Path) -> None:
    (shelf.add(mine).folder / "lung.py").unlink()
    assert names(shelf) == ["brain-extraction", "lung-mask"]
    (broken,) = shelf.broken()
    assert broken.name == "mine"
    assert "there is no lung.py" in broken.error
    with pytest.raises(BadRequest, match=r"there is no lung\.py"):
        shelf.get("mine")


def test_a_change_on_the_shelf_is_noticed(shelf: Shelf, mine: Path) -> None:
    added = shelf.add(mine)
    (added.folder / "notes.txt").write_text("changed by hand", "utf-8")
    assert shelf.get("mine").digest != added.digest


def test_what_was_added_can_be_removed_and_what_is_shipped_cannot(shelf: Shelf, mine: Path) -> None:
    shelf.add(mine)
    shelf.remove("mine")
    assert names(shelf) == ["brain-extraction", "lung-mask"]
    for name in ("mine", "lung-mask", "..", ""):
        with pytest.raises(NotFound):
            shelf.remove(name)


def test_asking_for_an_unknown_tool_tells_the_known_ones(shelf: Shelf) -> None:
    with pytest.raises(NotFound) as unknown:
        shelf.get("lungmask")
    assert unknown.value.hint == "the tools are: brain-extraction, lung-mask"


def test_packages_bring_tools_by_an_entry_point_as_kahu_does() -> None:
    assert SHIPPED in [point.load() for point in entry_points(group="kahu.tools")]


def test_tools_of_several_packages_stand_side_by_side(mine: Path, tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "added", [SHIPPED, mine.parent])
    assert names(shelf) == ["brain-extraction", "lung-mask", "mine"]
    assert shelf.shipped(shelf.get("mine"))
