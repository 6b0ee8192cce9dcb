"""Peers and transfers by the API, between two Kahus of which one is the other's PACS: rights, answers, C-MOVE."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset
from pynetdicom import AE, build_context, evt
from starlette.testclient import TestClient

from kahu.access import Grant
from kahu.app import Kahu
from kahu.dimse import contexts
from kahu.server.app import create
from kahu.server.dimse.listener import Listener
from kahu.settings import Settings
from kahu.testing import samples

WAIT = 60
STUDY = samples.uid("study", "", "P-1")


@dataclass
class Side:
    """One Kahu with its doors, asked by its owner or with a token."""

    kahu: Kahu
    port: int

    def http(self, *may: str, series: frozenset[str] | None = None, task: str = "") -> TestClient:
        """A client with a token that grants this; nothing said: the owner."""
        client = TestClient(create(self.kahu.services), base_url="http://127.0.0.1")
        if may:
            grant = Grant(who="+".join(may), may=frozenset(may), series=series, task=task)
            client.headers["Authorization"] = f"Bearer {self.kahu.tokens.issue('test', grant, 600)}"
        return client

    def add(self, *datasets: Dataset) -> None:
        with self.http() as http:
            for ds in datasets:
                sent = http.post(
                    "/dicomweb/studies",
                    content=samples.encode(ds),
                    headers={"Content-Type": "application/dicom"},
                )
                assert sent.status_code == 200, sent.text

    def empty(self) -> None:
        """Without series and peers, as at the beginning."""
        with self.http() as http:
            for study in {one["study_uid"] for one in http.get("/api/series").json()["series"]}:
                assert http.delete(f"/dicomweb/studies/{study}").status_code == 204
            for one in http.get("/api/peers").json():
                assert http.delete(f"/api/peers/{one['name']}").status_code == 200

    def series(self) -> list[str]:
        with self.http() as http:
            return [one["uid"] for one in http.get("/api/series").json()["series"]]

    def ended(self, task: dict[str, Any]) -> dict[str, Any]:
        deadline = time.monotonic() + WAIT
        with self.http() as http:
            while True:
                now: dict[str, Any] = http.get(f"/api/transfers/{task['id']}").json()
                if now["state"] not in ("queued", "running"):
                    return now
                assert time.monotonic() < deadline, now
                time.sleep(0.02)


@contextmanager
def side(home: Path, aet: str) -> Iterator[Side]:
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        port = listening.getsockname()[1]
        kahu = Kahu(Settings(home=home, dimse_port=port, aet=aet))
        listener = Listener(kahu.services, listening)
        listener.start()
        kahu.start("http://127.0.0.1")
        try:
            yield Side(kahu, port)
        finally:
            listener.close()
            kahu.close()


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Side, Side]]:
    home = tmp_path_factory.mktemp("homes")
    with side(home / "here", "HERE") as here, side(home / "pacs", "PACS") as pacs:
        yield here, pacs


@pytest.fixture
def here(both: tuple[Side, Side]) -> Iterator[Side]:
    """Empty at the beginning of each test."""
    here, pacs = both
    yield here
    here.empty()
    pacs.empty()


@pytest.fixture
def pacs(both: tuple[Side, Side], here: Side) -> Side:
    """Another Kahu, which `here` knows as its PACS."""
    _, pacs = both
    with here.http() as http:
        assert http.post("/api/peers", json=peer(pacs.port)).status_code == 200
    return pacs


def peer(at: int, **how: Any) -> dict[str, Any]:
    return {"name": "pacs", "aet": "PACS", "host": "127.0.0.1", "port": at} | how


# Who is known


def test_peers_are_added_listed_and_removed(here: Side) -> None:
    with here.http() as http:
        added = http.post("/api/peers", json=peer(104, may=["store"])).json()
        assert added == peer(104, tls=False, may=["store"])
        assert http.get("/api/peers").json() == [added]
        assert http.post("/api/peers", json=peer(104)).status_code == 409
        assert http.delete("/api/peers/pacs").status_code == 200
        assert http.get("/api/peers").json() == []
        assert http.delete("/api/peers/pacs").status_code == 404


@pytest.mark.parametrize(
    "wrong", [{"port": 0}, {"port": 70000}, {"aet": ""}, {"may": ["all"]}, {"host": "a b"}]
)
def test_what_is_no_peer_is_refused(here: Side, wrong: dict[str, Any]) -> None:
    with here.http() as http:
        assert http.post("/api/peers", json=peer(104, **wrong)).status_code == 400


def test_a_kahu_says_how_peers_must_know_it(here: Side) -> None:
    with here.http() as http:
        assert http.get("/api/node").json() == {
            "aet": "HERE",
            "port": here.port,
            "loopback": True,
            "tls": False,
        }


# Who may


def test_only_administrators_say_who_is_a_peer(here: Side) -> None:
    with here.http("read", "write", "run") as http:
        assert http.post("/api/peers", json=peer(104)).status_code == 403
        assert http.delete("/api/peers/pacs").status_code == 403


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/api/peers", None),
        ("GET", "/api/transfers", None),
        ("POST", "/api/peers/pacs/echo", None),
        ("POST", "/api/peers/pacs/query", {}),
        ("POST", "/api/sends", {"peer": "pacs", "series": ["1.2"]}),
        ("POST", "/api/retrievals", {"peer": "pacs", "studies": ["1.2"]}),
    ],
)
def test_who_may_only_read_does_nothing_with_peers(
    here: Side, pacs: Side, method: str, path: str, body: Any
) -> None:
    with here.http("read", "run") as http:
        assert http.request(method, path, json=body).status_code == 403


def test_a_token_for_some_series_sends_only_those_and_asks_nobody(here: Side, pacs: Side) -> None:
    mine, other = samples.instance(), samples.instance(modality="MR")
    here.add(mine, other)
    some = frozenset({mine.SeriesInstanceUID})
    with here.http("read", "write", series=some) as http:
        asked = {"peer": "pacs", "series": [other.SeriesInstanceUID]}
        assert http.post("/api/sends", json=asked).status_code == 404
        begun = http.post("/api/sends", json={"peer": "pacs", "matching": {}}).json()
        assert http.post("/api/peers/pacs/query", json={}).status_code == 403
        assert http.post("/api/retrievals", json={"peer": "pacs", "studies": [STUDY]}).status_code == 403
        here.ended(begun)
        assert [one["id"] for one in http.get("/api/transfers").json()] == [begun["id"]]
    assert pacs.series() == [mine.SeriesInstanceUID]
    with here.http() as http:
        owners = http.post("/api/sends", json={"peer": "pacs", "matching": {}}).json()
    with here.http("read", "write", series=some) as http:
        assert owners["id"] not in [one["id"] for one in http.get("/api/transfers").json()]
        assert http.get(f"/api/transfers/{owners['id']}").status_code == 403
        assert http.post(f"/api/transfers/{owners['id']}/cancel").status_code == 403


def test_a_tool_sends_nothing(here: Side, pacs: Side) -> None:
    ds = samples.instance()
    here.add(ds)
    with here.http("read", "write", series=frozenset({ds.SeriesInstanceUID}), task="case-1") as http:
        sent = http.post("/api/sends", json={"peer": "pacs", "series": [ds.SeriesInstanceUID]})
    assert sent.status_code == 403


# What they do


def test_a_connection_is_tested_in_words(here: Side, pacs: Side) -> None:
    with here.http() as http:
        tested = http.post("/api/peers/pacs/echo").json()
        assert tested["ok"]
        assert set(tested["can"]) == {"echo", "find", "get", "move", "store"}
        http.post("/api/peers", json=peer(1, name="gone"))
        failed = http.post("/api/peers/gone/echo").json()
        assert not failed["ok"]
        assert "cannot be reached" in failed["error"]
        assert failed["hint"]
        assert http.post("/api/peers/nobody/echo").status_code == 404


def test_a_peer_is_queried_at_each_level(here: Side, pacs: Side) -> None:
    pacs.add(samples.instance(number=1), samples.instance(number=2), samples.instance(patient_id="P-2"))
    with here.http() as http:

        def ask(level: str, limit: int = 10, **keys: str) -> Any:
            body = {"level": level, "keys": keys, "limit": limit}
            return http.post("/api/peers/pacs/query", json=body).json()

        assert [one["PatientID"] for one in ask("patient", id="P-1")["rows"]] == ["P-1"]
        (study,) = ask("study", PatientID="P-1")["rows"]
        assert study["NumberOfStudyRelatedInstances"] == "2"
        (series,) = ask("series", study=study["StudyInstanceUID"])["rows"]
        images = ask("image", study=study["StudyInstanceUID"], series=series["SeriesInstanceUID"])
        assert len(images["rows"]) == 2
        assert ask("study", limit=1)["more"]
        assert "StudyDate" in ask("study", date="yesterday")["error"]


def test_series_go_to_a_peer_and_it_is_written_down(here: Side, pacs: Side) -> None:
    ds = samples.instance()
    here.add(ds, samples.instance(modality="MR"))
    with here.http() as http:
        task = http.post("/api/sends", json={"peer": "pacs", "series": [ds.SeriesInstanceUID]}).json()
        assert here.ended(task)["result"] == {"arrived": 1, "already": 0, "failed": 0, "failures": []}
        every = http.post("/api/sends", json={"peer": "pacs", "matching": {"modality": ["MR"]}}).json()
        assert here.ended(every)["result"]["arrived"] == 1
        assert {one["kind"] for one in http.get("/api/work").json()} >= {"send"}
        none = http.post("/api/sends", json={"peer": "pacs", "matching": {"modality": ["XX"]}})
        assert none.status_code == 400
    assert len(pacs.series()) == 2
    here.kahu.audit.flush()
    assert ("send", f"pacs {ds.StudyInstanceUID} {ds.SeriesInstanceUID}") in [
        (entry.action, entry.what) for entry in here.kahu.audit.entries()
    ]


def test_studies_come_from_a_peer(here: Side, pacs: Side) -> None:
    pacs.add(samples.instance(number=1), samples.instance(number=2), samples.instance(modality="MR"))
    with here.http() as http:
        task = http.post("/api/retrievals", json={"peer": "pacs", "studies": [STUDY]}).json()
        assert here.ended(task)["result"]["arrived"] == 3
        refused: list[dict[str, Any]] = [
            {"studies": []},
            {"studies": ["x"]},
            {"studies": ["1", "2"], "series": ["3"]},
        ]
        for wrong in refused:
            assert http.post("/api/retrievals", json={"peer": "pacs"} | wrong).status_code == 400
    assert sorted(here.series()) == sorted(pacs.series())


def test_a_failed_transfer_is_tried_again(here: Side) -> None:
    ds = samples.instance()
    here.add(ds)
    with here.http() as http:
        http.post("/api/peers", json=peer(1))
        task = http.post("/api/sends", json={"peer": "pacs", "series": [ds.SeriesInstanceUID]}).json()
        assert here.ended(task)["state"] == "failed"
        assert http.post(f"/api/transfers/{task['id']}/retry").json()["state"] in (
            "queued",
            "running",
            "failed",
        )
        assert here.ended(task)["attempt"] == 2
        assert http.get("/api/transfers/scan-1").status_code == 404


# C-MOVE to ourselves


@pytest.fixture
def mover(here: Side) -> Iterator[Callable[..., None]]:
    """A PACS that gives objects by C-MOVE only, to the AE titles that it knows; started with what it has."""
    servers: list[Any] = []

    def start(*objects: Dataset, knows: str = "HERE") -> None:
        def find(event: evt.Event) -> Iterator[tuple[int, Dataset]]:
            told = set()
            for ds in objects:
                row = Dataset()
                for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID"):
                    setattr(row, keyword, ds[keyword].value)
                one = (
                    row.SeriesInstanceUID
                    if event.identifier.QueryRetrieveLevel == "SERIES"
                    else row.SOPInstanceUID
                )
                if one not in told:
                    told.add(one)
                    yield 0xFF00, row

        def move(event: Any) -> Iterator[Any]:
            if event.move_destination.strip() != knows:
                yield None, None
                return
            yield "127.0.0.1", here.port, _storage(objects)
            yield len(objects)
            for ds in objects:
                yield 0xFF00, ds

        entity = AE("MOVER")
        entity.add_supported_context(contexts.STUDY_FIND)
        entity.add_supported_context(contexts.STUDY_MOVE)
        server = entity.start_server(
            ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_FIND, find), (evt.EVT_C_MOVE, move)]
        )
        assert server is not None
        servers.append(server)
        with here.http() as http:
            added = http.post("/api/peers", json=peer(server.server_address[1], aet="MOVER"))
            assert added.status_code == 200

    yield start
    for server in servers:
        server.shutdown()


def _storage(objects: tuple[Dataset, ...]) -> dict[str, Any]:
    kinds = {(ds.SOPClassUID, ds.file_meta.TransferSyntaxUID) for ds in objects}
    return {"contexts": [build_context(*kind) for kind in kinds]}


def test_a_peer_that_cannot_give_sends_to_our_own_port(here: Side, mover: Callable[..., None]) -> None:
    mover(samples.instance(number=1), samples.instance(number=2))
    with here.http() as http:
        task = http.post("/api/retrievals", json={"peer": "pacs", "studies": [STUDY]}).json()
    ended = here.ended(task)
    assert ended["result"] == {"arrived": 2, "already": 0, "failed": 0, "failures": []}, ended
    assert here.series() == [samples.instance().SeriesInstanceUID]


def test_a_mover_that_does_not_know_us_is_said_so(here: Side, mover: Callable[..., None]) -> None:
    mover(samples.instance(), knows="SOMEBODY")
    with here.http() as http:
        task = http.post("/api/retrievals", json={"peer": "pacs", "studies": [STUDY]}).json()
    ended = here.ended(task)
    assert "does not know the AE title to which it should send (A801)" in ended["message"]
    assert "administrator" in ended["hint"]


def test_a_mover_that_may_not_store_here_is_said_so(here: Side, mover: Callable[..., None]) -> None:
    mover(samples.instance())
    with here.http() as http:
        known = http.get("/api/peers").json()[0]
        http.delete("/api/peers/pacs")
        http.post("/api/peers", json=known | {"may": ["query"]})
        task = http.post("/api/retrievals", json={"peer": "pacs", "studies": [STUDY]}).json()
    assert "may not store here" in here.ended(task)["message"]
