"""The shelf: the tools there are, those that came with Kahu or another package, and those added by people.

A tool that cannot be read is told of, with what is wrong, and hides no other.
"""

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kahu.errors import BadRequest, Conflict, NotFound
from kahu.tools import manifest
from kahu.tools.manifest import Tool

SHIPPED = Path(__file__).parent / "shipped"
"""Kahu's own tools. Other packages bring theirs alike: an entry point `kahu.tools` that is such a folder."""


@dataclass(frozen=True)
class Broken:
    """A folder on the shelf that is no tool, and why."""

    name: str
    """of the folder"""
    error: str
    hint: str


Stamp = tuple[tuple[str, int, int], ...]


class Shelf:
    """Tools by name. One that was added hides an installed one of the same name."""

    def __init__(self, added: Path, installed: Sequence[Path] = (SHIPPED,)) -> None:
        """`added` is the folder for tools that people add, made when the first one is; `installed` are those
        of packages."""
        self._added = added
        self._installed = tuple(installed)
        self._read: dict[Path, tuple[Stamp, Tool | Broken]] = {}

    def all(self) -> list[Tool]:
        """Every tool that works, by name."""
        return [tool for tool in self._everything().values() if isinstance(tool, Tool)]

    def broken(self) -> list[Broken]:
        """Every folder that is no tool, with what is wrong."""
        return [tool for tool in self._everything().values() if isinstance(tool, Broken)]

    def get(self, name: str) -> Tool:
        """The tool of this name. NotFound when there is none, BadRequest when it is broken."""
        found = self._everything()
        tool = found.get(name)
        if isinstance(tool, Broken):
            raise BadRequest(tool.error, tool.hint)
        if tool is None:
            known = ", ".join(one for one in found) or "none"
            raise NotFound(f"there is no tool {name!r}", f"the tools are: {known}")
        return tool

    def shipped(self, tool: Tool) -> bool:
        """Whether a tool came with Kahu or another package: it cannot be removed here."""
        return tool.folder.parent in self._installed

    def add(self, folder: Path, *, replace: bool = False) -> Tool:
        """Copies a tool to the shelf, at once and whole, and returns it as it lies there.

        Adding the same tool again changes nothing. BadRequest when it is no tool; Conflict when another
        one of the same name and version is there: results would name two different things alike.
        """
        new = manifest.read(folder.resolve())
        place = self._added / new.name
        if place.is_dir():
            old = self._look(place)
            if isinstance(old, Tool) and old.digest == new.digest:
                return old
            if isinstance(old, Tool) and old.version == new.version and not replace:
                message = f"there is another {new.name} {new.version} already"
                raise Conflict(message, "give it a new version in tool.toml, or add it with --replace")
        self._added.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".adding-", dir=self._added) as room:
            copy = Path(room) / "new"
            for path in manifest.files(new.folder):
                (copy / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(new.folder / path, copy / path)
            if place.exists():
                place.rename(Path(room) / "old")
            copy.rename(place)
        return self.get(new.name)

    def remove(self, name: str) -> None:
        """Takes a tool that was added off the shelf. NotFound, also for shipped ones."""
        place = self._added / name
        if name not in {path.name for path in _folders(self._added)}:
            raise NotFound(f"no tool {name!r} was added", "tools that are shipped with Kahu stay")
        with tempfile.TemporaryDirectory(prefix=".removing-", dir=self._added) as room:
            place.rename(Path(room) / "old")

    def _everything(self) -> dict[str, Tool | Broken]:
        found = {}
        for folder in (*self._installed, self._added):
            for place in _folders(folder):
                tool = self._look(place)
                found[tool.name] = tool
        return dict(sorted(found.items()))

    def _look(self, place: Path) -> Tool | Broken:
        """Reads a folder, again only when a file in it has changed: weights can be large."""
        stamp = tuple(_stamp(place, path) for path in manifest.files(place))
        known = self._read.get(place)
        if known is None or known[0] != stamp:
            known = self._read[place] = (stamp, _read(place))
        return known[1]


def _read(place: Path) -> Tool | Broken:
    try:
        return manifest.read(place)
    except BadRequest as error:
        return Broken(place.name, str(error), error.hint)


def _stamp(place: Path, path: Path) -> tuple[str, int, int]:
    status = (place / path).stat()
    return path.as_posix(), status.st_size, status.st_mtime_ns


def _folders(place: Path) -> list[Path]:
    if not place.is_dir():
        return []
    return sorted(path for path in place.iterdir() if path.is_dir() and not path.name.startswith("."))
