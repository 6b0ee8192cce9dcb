"""Another object under a UID that is taken is kept aside until somebody decides: at the API and the command line."""

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest
from click.testing import CliRunner

from kahu.cli import main
from kahu.serving import private
from kahu.settings import Settings
from kahu.testing import samples

STUDY = samples.uid("conflicts")


@pytest.fixture
def http(tmp_path: Path) -> Iterator[httpx2.Client]:
    with (
        private(Settings(home=tmp_path)) as url,
        httpx2.Client(base_url=url, trust_env=False, timeout=60) as client,
    ):
        yield client


@pytest.fixture
def send(http: httpx2.Client) -> Callable[[str], int]:
    """Sends an object with a description; all have the same UID."""

    def send(description: str) -> int:
        one = samples.instance(study_uid=STUDY, series_uid=f"{STUDY}.1", description=description)
        headers = {"Content-Type": "application/dicom"}
        return http.post("/dicomweb/studies", content=samples.encode(one), headers=headers).status_code

    return send


def shown(http: httpx2.Client) -> list[str]:
    """What the gallery and the archive say of the object."""
    (series,) = http.get("/api/series", params={"study": STUDY}).json()["series"]
    (metadata,) = http.get(f"/dicomweb/studies/{STUDY}/metadata").json()
    return [series["description"], *metadata["0008103E"]["Value"]]


@pytest.mark.parametrize(("decision", "stays"), [("keep", "First"), ("replace", "Second")])
def test_somebody_decides(http: httpx2.Client, send: Callable[[str], int], decision: str, stays: str) -> None:
    assert send("First") == 200
    assert send("Second") == 409
    assert shown(http) == ["First", "First"]
    (conflict,) = http.get("/api/conflicts").json()
    assert conflict["door"] == "stow"
    assert http.post(f"/api/conflicts/{conflict['id']}/{decision}").status_code == 200
    assert shown(http) == [stays, stays]
    for left in http.get("/api/conflicts").json():  # what was replaced is not lost, either
        assert (decision, left["door"]) == ("replace", "replaced")
        assert http.post(f"/api/conflicts/{left['id']}/keep").status_code == 200
    assert http.get("/api/conflicts").json() == []


def test_the_command_line_decides(http: httpx2.Client, send: Callable[[str], int], tmp_path: Path) -> None:
    def kahu(*arguments: str) -> str:
        ended = CliRunner().invoke(main, [*arguments, "--home", str(tmp_path)])
        assert ended.exit_code == 0, ended.output
        return ended.output

    kahu("conflicts")
    send("First")
    send("Second")
    (conflict,) = http.get("/api/conflicts").json()
    kahu("conflicts", "replace", str(conflict["id"]))
    assert shown(http) == ["Second", "Second"]
    (left,) = http.get("/api/conflicts").json()
    kahu("conflicts", "keep", str(left["id"]))
    assert kahu("conflicts", "--json") == "[]\n"


@pytest.mark.parametrize("path", ["999/keep", "999/replace", "x/keep"])
def test_one_that_is_not_there(http: httpx2.Client, path: str) -> None:
    assert http.post(f"/api/conflicts/{path}").status_code == 404
