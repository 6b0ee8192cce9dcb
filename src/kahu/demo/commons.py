"""Two series of the NCI Imaging Data Commons, whose buckets anyone may read.

What is downloaded is small, pinned and checked. It lies in a folder of its own below Kahu's home. A download that
was cut off goes on where it stopped; it is seen only when whole.
"""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

import httpx2 as httpx
import pydicom
from pydicom.errors import InvalidDicomError

from kahu.demo import DemoImages

TIMEOUT = httpx.Timeout(15, connect=4)
"""seconds"""

Tell = Callable[[int], None]
"""is told how many bytes more there are"""


class NotToBeHad(Exception):
    """The images cannot be had now; the message says why, in words that go on after "It"."""


@dataclass(frozen=True)
class Series:
    """A series in a public bucket: the files below a UUID, which never change."""

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
    """The buckets, and what we want of them."""

    series: tuple[Series, ...] = (BRAIN, CHEST)
    """the first is the brain"""
    url: str = "https://{bucket}.s3.amazonaws.com"
    patience: float = 6
    """seconds until the first answers must be here: who has no way out learns it soon"""

    @property
    def size(self) -> int:
        """Bytes to download."""
        return sum(one.size for one in self.series)

    def images(self, home: Path) -> DemoImages:
        """What there is once it has been downloaded."""
        return DemoImages(
            folder=home / "demo" / "idc",
            source="NCI Imaging Data Commons",
            licence=" and ".join(sorted({one.licence for one in self.series})),
            brain_series_uid=self.series[0].series_instance_uid,
        )

    def download(self, home: Path, tell: Tell) -> None:
        """Puts the images where `images` says, checked and all at once. NotToBeHad; OSError of the disk."""
        images = self.images(home)
        partial = images.folder.with_name(f".{images.folder.name}-partial")
        try:
            with httpx.Client(timeout=TIMEOUT, follow_redirects=True) as client:
                self._fetch(client, partial, tell)
        except httpx.HTTPError as error:
            raise NotToBeHad(_why(error)) from error
        cite = " and ".join(f"https://doi.org/{one.doi}" for one in self.series)
        about = f"{images.source}\n\nLicence: {images.licence}\nFrom, and to cite: {cite}\n"
        images.folder.with_suffix(".txt").write_text(about, "utf-8")
        partial.rename(images.folder)

    def _fetch(self, client: httpx.Client, folder: Path, tell: Tell) -> None:
        def get(one: Series, file: _Listed) -> None:
            path = folder / one.uuid / PurePosixPath(file.key).name
            _download(client, f"{self.url.format(bucket=one.bucket)}/{file.key}", path, file, tell)
            _check_series(path, one.series_instance_uid)

        wanted = self._list_all(client)
        pool = ThreadPoolExecutor(8)  # the files are small: what takes time is asking
        try:
            list(pool.map(lambda pair: get(*pair), wanted))
        finally:
            pool.shutdown(cancel_futures=True)  # when one fails, the others need not be tried

    def _list_all(self, client: httpx.Client) -> list[tuple[Series, "_Listed"]]:
        """The files of all series. Looking up a name knows no time limit, and connecting has one for each of a
        host's many addresses: so this is waited for only so long."""
        pool = ThreadPoolExecutor(len(self.series))
        asked = [pool.submit(self._list, client, one) for one in self.series]
        pool.shutdown(wait=False)
        if wait(asked, self.patience).not_done:
            raise NotToBeHad("cannot be reached from here")
        return [(one, file) for one, files in zip(self.series, asked, strict=True) for file in files.result()]

    def _list(self, client: httpx.Client, one: Series) -> list["_Listed"]:
        asked = {"list-type": "2", "prefix": f"{one.uuid}/"}
        answer = client.get(self.url.format(bucket=one.bucket), params=asked).raise_for_status()
        found = _listed(answer.content)
        if (len(found), sum(file.size for file in found)) != (one.files, one.size):
            raise NotToBeHad("has another series there than the one that is wanted")
        return found


COMMONS = Commons()


def _why(error: httpx.HTTPError) -> str:
    if isinstance(error, httpx.HTTPStatusError):
        return f"answers {error.response.status_code} {error.response.reason_phrase}"
    if isinstance(error, httpx.ProxyError):
        return f"is behind a proxy that does not let us pass ({error})"
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return "cannot be reached from here"
    return "broke off the connection"


def _download(client: httpx.Client, url: str, path: Path, file: "_Listed", tell: Tell) -> None:
    """Puts a file at `path`, checked; goes on with what an earlier try left."""
    if path.exists():
        tell(file.size)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    have = part.stat().st_size if part.exists() else 0
    if have >= file.size:
        part.unlink()
        have = 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with client.stream("GET", url, headers=headers) as answer:
        answer.raise_for_status()
        goes_on = answer.status_code == httpx.codes.PARTIAL_CONTENT
        tell(have if goes_on else 0)
        with part.open("ab" if goes_on else "wb") as opened:
            for chunk in answer.iter_raw():
                tell(opened.write(chunk))
    if part.stat().st_size != file.size or (file.md5 and _md5(part) != file.md5):
        part.unlink()
        raise NotToBeHad(f"sent other bytes than were published ({path.name})")
    part.rename(path)


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


@dataclass(frozen=True)
class _Listed:
    """An object in a bucket, as listed."""

    key: str
    size: int
    md5: str
    """empty: the listing does not tell it"""


def _listed(answer: bytes) -> list[_Listed]:
    """The objects in an answer to ListObjectsV2. An ETag without '-' is the MD5 of the bytes."""
    try:
        entries = list(ElementTree.fromstring(answer).iterfind("{*}Contents"))
    except ElementTree.ParseError as error:
        raise NotToBeHad("is hidden behind another page, a proxy's perhaps") from error
    return [_entry({part.tag.rpartition("}")[2]: part.text or "" for part in entry}) for entry in entries]


def _entry(told: dict[str, str]) -> _Listed:
    etag = told["ETag"].strip('"')
    return _Listed(told["Key"], int(told["Size"]), "" if "-" in etag else etag)


def _check_series(path: Path, series_instance_uid: str) -> None:
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["SeriesInstanceUID"])
    except InvalidDicomError as error:
        path.unlink()
        raise NotToBeHad(f"sent what is not DICOM ({path.name})") from error
    if header.get("SeriesInstanceUID") != series_instance_uid:
        path.unlink()
        raise NotToBeHad(f"sent a file of another series ({path.name})")
