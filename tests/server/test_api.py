"""Our own API, on a real server in this process: what it tells, what it refuses, what its document promises."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from kahu.access import Grant
from kahu.access.tokens import Tokens
from kahu.cli.terminal import watch
from kahu.client import Client
from kahu.db import Database
from kahu.server.api import ENDPOINTS
from kahu.server.api.attributes import table
from kahu.serving import private
from kahu.settings import Settings
from kahu.testing import samples


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(home=tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    samples.series(folder, modality="CT", slices=6, description="Chest")
    samples.series(
        folder, modality="MR", slices=4, patient_id="P-2", patient_name="Kahale^Ipo", description="Head"
    )
    (folder / "notes.txt").write_text("no DICOM")
    return folder


@pytest.fixture(scope="module")
def url(settings: Settings, folder: Path) -> Iterator[str]:
    with private(settings) as url, Client(url) as client:
        store = client.request("POST", "/api/stores", {"path": str(folder)})
        task = watch(lambda: dict(client.get(f"/api/tasks/{store['scan']['task']}")), "", quiet=True)
        assert task["state"] == "done", task
        yield url


@pytest.fixture
def http(url: str) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=url, trust_env=False, timeout=60) as client:
        yield client


def series_of(http: httpx2.Client, **query: Any) -> list[dict[str, Any]]:
    answer = http.get("/api/series", params=query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["series"]
    return found


def look_through(http: httpx2.Client, folder: Path) -> int:
    """Adds a folder, or looks through it again; the id of its store."""
    store = http.post("/api/stores", json={"path": str(folder)}).json()
    address = f"/api/tasks/{store['scan']['task']}"
    watch(lambda: dict(http.get(address).json()), "", quiet=True)
    return int(store["id"])


class TestSeries:
    def test_a_series_tells_what_a_card_shows(self, http: httpx2.Client, folder: Path) -> None:
        (one,) = series_of(http, q="chest")
        assert one["patient_id"] == "P-1"
        assert one["modality"] == "CT"
        assert one["sop_class"] == "CT Image Storage"
        assert (one["instances"], one["frames"]) == (6, 6)
        assert one["stores"] == [folder.name]
        assert one["available"] is True
        assert one["viewer"].startswith("/ohif/viewer?StudyInstanceUIDs=")
        assert one["uid"] in one["viewer"]

    def test_filters_and_words_go_together(self, http: httpx2.Client) -> None:
        assert len(series_of(http)) == 2
        assert [one["modality"] for one in series_of(http, modality="MR")] == ["MR"]
        assert series_of(http, modality="MR", q="chest") == []
        assert [one["modality"] for one in series_of(http, patient="P-1")] == ["CT"]

    def test_pages_add_up(self, http: httpx2.Client) -> None:
        pages = [series_of(http, limit=1, offset=at, sort="modality")[0]["modality"] for at in (0, 1)]
        assert pages == ["CT", "MR"]
        assert http.get("/api/series", params={"limit": 0}).json() == {"total": 2, "series": []}

    @pytest.mark.parametrize(
        ("query", "word"),
        [
            ({"limit": -1}, "limit"),
            ({"limit": 100000}, "limit"),
            ({"offset": -1}, "offset"),
            ({"offset": 10**30}, "offset"),
            ({"limit": "x"}, "parameter"),
            ({"sort": "colour"}, "colour"),
            ({"color": "red"}, "color"),
        ],
    )
    def test_what_makes_no_sense_is_named(
        self, http: httpx2.Client, query: dict[str, Any], word: str
    ) -> None:
        answer = http.get("/api/series", params=query)
        assert answer.status_code == 400
        assert word in answer.json()["error"]
        assert answer.json()["hint"]

    def test_facets_leave_themselves_out(self, http: httpx2.Client) -> None:
        facets = http.get("/api/facets", params={"modality": "CT"}).json()
        assert {one["value"]: one["count"] for one in facets["modality"]} == {"CT": 1, "MR": 1}
        assert sum(one["count"] for one in facets["store"]) == 1

    def test_attributes_that_differ_are_marked(self, http: httpx2.Client) -> None:
        (one,) = series_of(http, modality="CT")
        page = http.get(f"/api/series/{one['uid']}/attributes", params={"instance": 2}).json()
        by_keyword = {row["keyword"]: row for row in page["attributes"]}
        assert page["instances"] == 6
        assert by_keyword["InstanceNumber"] == {
            "depth": 0,
            "tag": "00200013",
            "keyword": "InstanceNumber",
            "vr": "IS",
            "value": "3",
            "differs": True,
        }
        assert by_keyword["PatientName"]["value"] == "Kealoha^Noa"
        assert by_keyword["PatientName"]["differs"] is False
        assert by_keyword["PixelData"]["value"] == "binary data, kept apart"

    def test_a_thumbnail_is_a_jpeg_that_may_be_kept(self, http: httpx2.Client) -> None:
        (one,) = series_of(http, modality="MR")
        answer = http.get(one["thumbnail"])
        assert answer.headers["Content-Type"] == "image/jpeg"
        assert answer.content[:3] == b"\xff\xd8\xff"
        assert "immutable" in answer.headers["Cache-Control"]

    def test_tags_come_and_go(self, http: httpx2.Client) -> None:
        (one,) = series_of(http, modality="MR")
        address = f"/api/series/{one['uid']}/tags/to%20do%2Ftoday"
        assert http.put(address).json()["tags"] == ["to do/today"]
        assert [found["uid"] for found in series_of(http, tag="to do/today")] == [one["uid"]]
        assert http.delete(address).json()["tags"] == []

    def test_a_series_that_is_not_there(self, http: httpx2.Client) -> None:
        for path in ("", "/attributes", "/thumbnail"):
            assert http.get(f"/api/series/1.2.3{path}").status_code == 404, path


class TestStores:
    def test_a_store_tells_what_is_in_it(self, http: httpx2.Client, folder: Path) -> None:
        own, borrowed = http.get("/api/stores").json()
        assert own["owned"] is True
        assert (borrowed["url"], borrowed["state"]) == (str(folder), "ready")
        assert (borrowed["objects"], borrowed["series"], borrowed["refused"]) == (10, 2, 0)
        refused = http.get(f"/api/stores/{borrowed['id']}/refused").json()
        assert [(one["key"], one["dicom"]) for one in refused] == [("notes.txt", False)]

    @pytest.mark.parametrize("path", ["images", "/there/is/none", ""])
    def test_a_folder_that_is_not_there(self, http: httpx2.Client, path: str) -> None:
        answer = http.post("/api/stores", json={"path": path})
        assert answer.status_code == 400
        assert answer.json()["hint"]

    def test_a_store_is_forgotten_and_its_files_stay(self, http: httpx2.Client, tmp_path: Path) -> None:
        (path, *_) = samples.series(tmp_path, slices=2, seed="forget", description="Forget me")
        store = look_through(http, tmp_path)
        assert len(series_of(http, q="forget")) == 1
        assert http.delete(f"/api/stores/{store}").status_code == 200
        assert series_of(http, q="forget") == []
        assert path.exists()

    def test_what_is_gone_is_forgotten_when_somebody_says_so(
        self, http: httpx2.Client, tmp_path: Path
    ) -> None:
        (first, _) = samples.series(tmp_path, slices=2, seed="gone", description="Half gone")
        store = look_through(http, tmp_path)
        first.unlink()
        look_through(http, tmp_path)
        assert [one["instances"] for one in series_of(http, q="half gone")] == [2]
        http.post(f"/api/stores/{store}/forget-missing").raise_for_status()
        assert [one["instances"] for one in series_of(http, q="half gone")] == [1]
        http.delete(f"/api/stores/{store}").raise_for_status()

    def test_what_kahu_owns_is_not_forgotten(self, http: httpx2.Client) -> None:
        (own,) = [one for one in http.get("/api/stores").json() if one["owned"]]
        assert http.delete(f"/api/stores/{own['id']}").status_code == 403

    @pytest.mark.parametrize("name", ["999", "x", "-1", "9" * 40, "٣"])
    def test_a_store_that_is_not_there(self, http: httpx2.Client, name: str) -> None:
        assert http.post(f"/api/stores/{name}/scan").status_code == 404


class TestRuns:
    def test_a_series_that_does_not_fit_is_refused_with_the_reason(self, http: httpx2.Client) -> None:
        (one,) = series_of(http, modality="MR")
        answer = http.post("/api/runs", json={"tool": "lung-mask", "series": [one["uid"]]})
        assert answer.status_code == 400
        assert "MR" in answer.json()["error"]

    @pytest.mark.parametrize(
        "body", [b"", b"{}", b"[1]", b'{"tool": 1, "series": []}', b'{"tool": "lung-mask"}', b"\xff"]
    )
    def test_a_body_that_cannot_be_read(self, http: httpx2.Client, body: bytes) -> None:
        answer = http.post("/api/runs", content=body)
        assert answer.status_code == 400
        assert "body" in answer.json()["error"]

    def test_a_tool_that_is_not_there(self, http: httpx2.Client) -> None:
        answer = http.post("/api/runs", json={"tool": "none", "series": ["1.2"]})
        assert answer.status_code == 404
        assert "lung-mask" in answer.json()["hint"]

    def test_a_run_says_which_series_its_cases_are(self, http: httpx2.Client) -> None:
        (one,) = series_of(http, modality="CT")
        run = http.post("/api/runs", json={"tool": "lung-mask", "series": [one["uid"]]}).json()
        http.post(f"/api/runs/{run['id']}/cancel")
        assert run["captions"] == {one["uid"]: {"description": "Chest", "patient": "Kealoha^Noa"}}


class TestAddresses:
    def test_a_person_finds_a_page_where_there_is_nothing(self, http: httpx2.Client) -> None:
        answer = http.get("/no/such/page", headers={"Accept": "text/html,*/*;q=0.8"})
        assert answer.is_error
        assert answer.headers["content-type"].startswith("text/html")

    @pytest.mark.parametrize("path", ["/api/nothing", "/dicomweb/nothing", "/nothing"])
    def test_a_program_is_told_so(self, http: httpx2.Client, path: str) -> None:
        answer = http.get(path, headers={"Accept": "*/*"})
        assert (answer.status_code, answer.json()["error"]) == (404, "there is no such address")


class TestEvents:
    def test_a_change_is_told_as_it_happens(self, http: httpx2.Client) -> None:
        (one,) = series_of(http, modality="CT")
        with http.stream("GET", "/api/events") as stream:
            lines = stream.iter_lines()
            assert next(line for line in lines if line.startswith("event:")) == "event: hello"
            http.put(f"/api/series/{one['uid']}/tags/seen")
            said = next(lines_after(lines, "event: change"))
        assert said == {"kind": "tags", "series_uid": one["uid"], "seq": said["seq"]}

    def test_a_reconnect_misses_nothing(self, http: httpx2.Client) -> None:
        (one,) = series_of(http, modality="CT")
        for label in ("a", "b"):
            http.put(f"/api/series/{one['uid']}/tags/{label}")
        with http.stream("GET", "/api/events", headers={"Last-Event-ID": "0"}) as stream:
            told = lines_after(stream.iter_lines(), "event: change")
            sequence = [next(told)["seq"] for _ in range(4)]
        assert sequence == [1, 2, 3, 4]


def lines_after(lines: Iterator[str], event: str) -> Iterator[dict[str, Any]]:
    """The data of each event of one kind."""
    for line in lines:
        if line == event:
            data = next(line for line in lines if line.startswith("data: "))
            yield json.loads(data.removeprefix("data: "))


class TestRights:
    @pytest.fixture
    def asked_with(self, url: str, settings: Settings) -> Iterator[Any]:
        database = Database(settings.database_url)

        def ask(grant: Grant, method: str, path: str) -> int:
            secret = Tokens(database).issue("test", grant, 60)
            headers = {"Authorization": f"Bearer {secret}"}
            return httpx2.request(method, url + path, headers=headers, trust_env=False).status_code

        yield ask
        database.close()

    def test_nothing_is_done_without_the_right_to(self, asked_with: Any) -> None:
        """Every endpoint, asked with every right but the one that it needs."""
        for endpoint in ENDPOINTS:
            others = frozenset({"read", "write", "run", "admin"}) - {endpoint.needs}
            path = endpoint.path.replace("{id}", "1").replace("{uid}", "1.2").replace("{label:path}", "x")
            status = asked_with(Grant(who="someone", may=others), endpoint.method, path)
            assert status == 403, (endpoint.method, path)

    def test_a_token_for_one_series_sees_no_other(self, asked_with: Any, http: httpx2.Client) -> None:
        """Every door that tells of series, asked for another one."""
        mine, other = series_of(http, sort="modality")
        grant = Grant(who="case", may=frozenset({"read"}), series=frozenset({mine["uid"]}))
        study = f"/dicomweb/studies/{other['study_uid']}"
        for path in (
            f"/api/series/{other['uid']}",
            f"/api/series/{other['uid']}/attributes",
            f"/api/series/{other['uid']}/thumbnail",
            study,
            f"{study}/metadata",
            f"{study}/series/{other['uid']}",
            f"{study}/series/{other['uid']}/metadata",
            f"{study}/series/{other['uid']}/rendered",
        ):
            assert asked_with(grant, "GET", path) == 404, path
        assert asked_with(grant, "GET", f"/api/series/{mine['uid']}") == 200

    def test_a_token_for_one_series_counts_no_other(
        self, url: str, settings: Settings, http: httpx2.Client
    ) -> None:
        mine, _ = series_of(http, sort="modality")
        database = Database(settings.database_url)
        grant = Grant(who="case", may=frozenset({"read"}), series=frozenset({mine["uid"]}))
        secret = Tokens(database).issue("test", grant, 60)
        database.close()
        with Client(url, secret) as client:
            assert client.get("/api/series")["total"] == 1
            assert client.get("/api/facets")["modality"] == [{"value": "CT", "count": 1}]
            assert client.get("/api/me")["series"] == 1
            assert client.get("/api/stores") == []
            assert len(client.get("/dicomweb/studies")) == 1
            assert len(client.get("/dicomweb/series")) == 1
            assert len(client.get("/dicomweb/instances")) == mine["instances"]


class TestSession:
    def test_a_token_is_traded_for_a_cookie_that_scripts_cannot_read(
        self, url: str, settings: Settings
    ) -> None:
        database = Database(settings.database_url)
        secret = Tokens(database).issue("ann", Grant(who="ann", may=frozenset({"read"})), 60)
        database.close()
        with httpx2.Client(base_url=url, trust_env=False) as browser:
            answer = browser.post("/api/session", json={"token": secret})
            assert answer.json() == {"who": "ann"}
            assert "httponly" in answer.headers["Set-Cookie"].lower()
            assert "samesite=strict" in answer.headers["Set-Cookie"].lower()
            assert browser.get("/api/me").json()["who"] == "ann"
            browser.delete("/api/session")
            assert browser.get("/api/me").json()["who"] == "owner"

    @pytest.mark.parametrize("body", [b"", b"{}", b'{"token": "kahu_wrong"}', b"x" * 10000])
    def test_a_wrong_token_signs_nobody_in(self, http: httpx2.Client, body: bytes) -> None:
        answer = http.post("/api/session", content=body)
        assert answer.status_code in (400, 401)
        assert "Set-Cookie" not in answer.headers


class TestDocument:
    def test_every_endpoint_is_described(self, http: httpx2.Client) -> None:
        document = http.get("/api/openapi.json").json()
        for endpoint in ENDPOINTS:
            operation = document["paths"][endpoint.path.replace(":path", "")][endpoint.method.lower()]
            assert operation["summary"], endpoint.path
        text = json.dumps(document)
        for reference in re.findall(r'"#/components/schemas/(.*?)"', text):
            assert reference in document["components"]["schemas"]

    def test_an_address_that_is_not_there(self, http: httpx2.Client) -> None:
        answer = http.get("/api/none")
        assert answer.status_code == 404
        assert answer.json()["hint"]

    def test_a_method_that_is_not_taken(self, http: httpx2.Client) -> None:
        for path, methods in {
            "/api/me": "GET, HEAD",
            "/api/stores": "GET, HEAD, POST",
            "/api/series/1.2/tags/seen": "DELETE, PUT",
            "/dicomweb/studies/1.2": "DELETE, GET, HEAD, OPTIONS, POST",
        }.items():
            answer = http.patch(path)
            assert answer.status_code == 405
            assert answer.headers["Allow"] == methods


def test_attributes_of_sequences_are_indented_and_strange_values_shown() -> None:
    instance = {
        "00081140": {
            "vr": "SQ",
            "Value": [{"00081155": {"vr": "UI", "Value": ["1.2"]}}, {}],
        },
        "00091001": {"vr": "UN", "InlineBinary": "AAAA"},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "A^B", "Ideographic": "C"}]},
        "00280030": {"vr": "DS", "Value": [0.5, None]},
    }
    rows = [(row.depth, row.keyword, row.value, row.differs) for row in table([instance, {}], 0)]
    assert rows == [
        (0, "ReferencedImageSequence", "2 items", True),
        (1, "item 1", "", False),
        (1, "ReferencedSOPInstanceUID", "1.2", False),
        (1, "item 2", "", False),
        (0, "private", "3 bytes", True),
        (0, "PatientName", "A^B=C", True),
        (0, "PixelSpacing", "0.5\\", True),
    ]
