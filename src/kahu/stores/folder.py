"""A folder of DICOM files that belongs to somebody else: read in place, never written.

A key is the file's path relative to the root. Names that are not UTF-8 keep their odd bytes as ``%FF``; so a
percent sign is written ``%25``.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote_to_bytes

from kahu.errors import BadRequest, BytesChanged, BytesMissing
from kahu.settings import HOME_MARK
from kahu.stores import Entry, Refused, Scanned, Unchanged, Unlisted
from kahu.stores.reading import OPEN, Step, ToRead, in_order, pread, stamp_of

KnownFile = Callable[[str], tuple[int, str] | None]

_KINDS = {
    stat.S_IFSOCK: "a socket",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def key_of(path: str) -> str:
    """A relative path as a key: text that every database takes."""
    if "%" not in path and (path.isascii() or _is_text(path)):
        return path
    return "".join(_escaped(character) for character in path)


def path_of(key: str) -> str:
    """The relative path of a key."""
    return os.fsdecode(unquote_to_bytes(key)) if "%" in key else key


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _escaped(character: str) -> str:
    if character == "%":
        return "%25"
    if "\udc80" <= character <= "\udcff":  # how Python spells a byte that is not UTF-8 (PEP 383)
        return f"%{ord(character) - 0xDC00:02X}"
    return character


class Folder:
    """A borrowed folder (see `kahu.stores.Store`)."""

    def __init__(self, root: Path) -> None:
        if not _is_text(str(root)):
            raise BadRequest("the folder's own path is not UTF-8", "rename it, or give a link to it")
        self.root = root.absolute()
        self._prefix = f"{self.root}/"

    def check(self) -> None:
        """BytesMissing: the folder is gone, is none, or cannot be listed. BadRequest: it is a home of Kahu."""
        try:
            with os.scandir(self.root):
                pass
        except OSError as error:
            raise self._gone(error) from error
        if (self.root / HOME_MARK).exists():
            raise BadRequest(
                f"{self.root} is where Kahu keeps what it owns", "name a folder with images of your own"
            )

    def scan(self, known: KnownFile) -> Iterator[Scanned]:
        """Every file below the root. Links to files are followed; links to folders, too, unless what they
        lead to is walked anyhow."""
        walked = [os.path.realpath(self.root)]
        try:
            top = self._list("", walked)
        except OSError as error:
            raise self._gone(error) from error
        yield from in_order(self._steps(top, walked, known))

    def _steps(self, top: list[str], walked: list[str], known: KnownFile) -> Iterator[Step]:
        stack = [iter(top)]
        while stack:
            name = next(stack[-1], None)
            if name is None:
                stack.pop()
                continue
            key = key_of(name)
            if not name.endswith("/"):
                step = _step(key, f"{self._prefix}{name}", known(key))
                if step:
                    yield step
                continue
            try:
                stack.append(iter(self._list(name, walked)))
            except (FileNotFoundError, NotADirectoryError):
                continue  # removed a moment ago
            except OSError as error:
                known(key)
                yield Unlisted(key, f"the folder cannot be listed: {error.strerror}")

    def _list(self, folder: str, walked: list[str]) -> list[str]:
        """What lies in `folder`, relative to the root, in the order of keys; folders end with a slash, which
        puts what is in them where their keys belong."""
        names = []
        with os.scandir(self._prefix + folder) as entries:
            for entry in entries:
                is_folder = entry.is_dir(follow_symlinks=False) or (
                    entry.is_symlink() and _leads_elsewhere(entry.path, walked)
                )
                names.append(f"{folder}{entry.name}/" if is_folder else f"{folder}{entry.name}")
        if f"{folder}{HOME_MARK}" in names:  # what Kahu owns is no borrowed folder
            return []
        names.sort(key=key_of)
        return names

    def read(self, entry: Entry, offset: int, length: int) -> bytes:
        """The bytes [offset, offset + length), or up to the end of the file."""
        try:
            descriptor = os.open(self._prefix + path_of(entry.key), OPEN)
        except OSError as error:
            raise self._missing(entry, error) from error
        try:
            data = pread(descriptor, offset, length)
            status = os.fstat(descriptor)  # afterwards: so it did not change while it was being read, either
        except OSError as error:
            raise self._missing(entry, error) from error
        finally:
            os.close(descriptor)
        if (status.st_size, stamp_of(status)) != (entry.size, entry.stamp):
            raise BytesChanged(f"{entry.key} has changed since it was indexed", "scan its folder again")
        return data

    def stream(self, entry: Entry, chunk: int = 1 << 20) -> Iterator[bytes]:
        """The whole file in pieces; the first is read before this returns."""
        first = self.read(entry, 0, chunk)

        def pieces() -> Iterator[bytes]:
            yield first
            for offset in range(chunk, entry.size, chunk):
                yield self.read(entry, offset, chunk)

        return pieces()

    def _gone(self, error: OSError) -> BytesMissing:
        if isinstance(error, FileNotFoundError):
            hint = "check the path; if it is on another disk or server, connect that and scan again"
            return BytesMissing(f"the folder {self.root} is not there", hint)
        if isinstance(error, NotADirectoryError):
            return BytesMissing(f"{self.root} is not a folder", "give the folder that it lies in")
        hint = "check its permissions, and that its disk or server is connected"
        return BytesMissing(f"the folder {self.root} cannot be listed: {error.strerror}", hint)

    def _missing(self, entry: Entry, error: OSError) -> BytesMissing:
        self.check()
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            return BytesMissing(f"{entry.key} is not there any more", "scan its folder again")
        return BytesMissing(
            f"{entry.key} cannot be read: {error.strerror}", "check its permissions and its disk"
        )


def _leads_elsewhere(link: str, walked: list[str]) -> bool:
    """Whether a link leads to a folder that shares nothing with those walked so far, which now it joins:
    so nothing is walked twice, and no circle is walked at all."""
    target = os.path.realpath(link)
    if not Path(target).is_dir():
        return False
    for other in walked:
        if os.path.commonpath([target, other]) in {target, other}:
            return False
    walked.append(target)
    return True


def _step(key: str, path: str, before: tuple[int, str] | None) -> Step | None:
    try:
        status = os.stat(path)  # noqa: PTH116 - once for each of millions of files
    except FileNotFoundError:
        if not os.path.islink(path):  # noqa: PTH114
            return None  # removed a moment ago
        return Refused(Entry(key, 0, ""), "it is a link that leads nowhere", False)
    except OSError as error:
        if error.errno == errno.ELOOP:
            return Refused(Entry(key, 0, ""), "it is a link that leads in a circle", False)
        return Refused(Entry(key, 0, ""), f"it cannot be read: {error.strerror}", True)
    if not stat.S_ISREG(status.st_mode):
        return _no_file(key, status)
    if before == (status.st_size, stamp_of(status)):
        return Unchanged(key)
    return ToRead(key, path)


def _no_file(key: str, status: os.stat_result) -> Refused | None:
    if stat.S_ISDIR(status.st_mode):
        return None  # a link to a folder that is walked anyhow
    kind = _KINDS.get(stat.S_IFMT(status.st_mode), "something else")
    return Refused(Entry(key, status.st_size, stamp_of(status)), f"it is no file but {kind}", False)


def open_folder(url: str) -> Folder:
    """The store at the path `url`."""
    return Folder(Path(url))
