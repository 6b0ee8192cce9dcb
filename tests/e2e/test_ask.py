"""Ask: the page's search, the command line, QIDO-RS and the Python client answer from one catalogue."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dicomweb_client import DICOMwebClient

from kahu import Client

Kahu = Callable[..., Any]


@pytest.fixture
def server(kahu_up: Kahu, chest: Path, head: Path) -> Any:
    server = kahu_up(chest.parent)
    server.series(2)
    return server


def test_every_door_gives_the_same_answer(server: Any, kahu: Kahu) -> None:
    archive = DICOMwebClient(f"{server.url}/dicomweb")
    by_qido = archive.search_for_series(search_filters={"SeriesDescription": "Che*", "Modality": "CT"})
    with server.http() as http:
        by_page = http.get("/api/series", params={"q": "chest", "modality": "CT"}).json()["series"]
    with Client(server.url) as client:
        by_python = client.series("chest", modality="CT")
    by_command = json.loads(kahu("find", "chest", "--json").stdout)
    (uid,) = by_qido[0]["0020000E"]["Value"]
    assert len(by_qido) == 1
    assert [one["uid"] for one in by_page] == [uid]
    assert list(by_python.index) == [uid]
    assert [one["uid"] for one in by_command] == [uid]


def test_facets_count_what_the_search_finds(server: Any) -> None:
    with server.http() as http:
        facets = http.get("/api/facets").json()
    assert {(one["value"], one["count"]) for one in facets["modality"]} == {("CT", 1), ("MR", 1)}


def test_studies_say_what_is_in_them(server: Any) -> None:
    archive = DICOMwebClient(f"{server.url}/dicomweb")
    (study,) = archive.search_for_studies(search_filters={"ModalitiesInStudy": "MR"})
    assert study["00201206"]["Value"] == [1]
    assert study["00201208"]["Value"] == [10]


def test_what_makes_no_sense_is_refused_in_words(server: Any) -> None:
    with server.http() as http:
        answer = http.get("/dicomweb/studies", params={"StudyDate": "yesterday-"})
    assert answer.status_code == 400
    assert "StudyDate" in answer.text
