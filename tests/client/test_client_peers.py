"""Peers from Python and from the command line: the same PACS, tested, asked, sent to, retrieved from."""

import json
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from kahu import Client
from kahu.app import Kahu
from kahu.cli import main
from kahu.client import TransferFailed
from kahu.errors import NotFound, Unavailable
from kahu.server.dimse.listener import Listener
from kahu.serving import private
from kahu.settings import Settings
from kahu.testing import samples

STUDY = samples.uid("study", "", "P-1")
CT, MR = (samples.instance(modality=kind).SeriesInstanceUID for kind in ("CT", "MR"))


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Kahu, int]]:
    """A PACS with a CT of two slices and an MR of one, all of one study."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        kahu = Kahu(Settings(home=tmp_path_factory.mktemp("pacs"), aet="PACS"))
        listener = Listener(kahu.services, listening)
        listener.start()
        for ds in (samples.instance(number=1), samples.instance(number=2), samples.instance(modality="MR")):
            with closing(kahu.inbox.open()) as arriving:
                arriving.write(samples.encode(ds))
                arriving.finish(door="import").result()
        yield kahu, listening.getsockname()[1]
        listener.close()
        kahu.close()


@pytest.fixture
def client(pacs: tuple[Kahu, int], tmp_path: Path) -> Iterator[Client]:
    with private(Settings(home=tmp_path / "home")) as url, Client(url) as client:
        client.add_peer("pacs", "PACS", "127.0.0.1", pacs[1])
        client.add_peer("gone", "GONE", "127.0.0.1", 1)
        yield client


def test_a_study_comes_and_a_series_goes(client: Client) -> None:
    assert list(client.peers().index) == ["gone", "pacs"]
    assert set(client.echo("pacs")) == {"echo", "find", "get", "move", "store"}
    (study,) = client.query("pacs", id="P-1")["StudyInstanceUID"]
    assert study == STUDY
    assert len(client.query("pacs", "series", study=study)) == 2

    coming = client.retrieve("pacs", study, series=MR).wait()
    assert coming.state()["result"]["arrived"] == 1
    assert list(client.series().index) == [MR]
    assert client.retrieve("pacs", [study]).wait().state()["result"]["arrived"] == 2
    assert set(client.series().index) == {CT, MR}
    assert client.send("pacs", [CT, MR]).wait().state()["state"] == "done"


def test_what_fails_says_why_and_can_be_tried_again(client: Client) -> None:
    client.store(samples.encode(samples.instance()))
    with pytest.raises(Unavailable, match="cannot be reached"):
        client.echo("gone")
    sending = client.send("gone", CT)
    with pytest.raises(TransferFailed, match="cannot be reached"):
        sending.wait()
    with pytest.raises(TransferFailed):
        sending.retry().wait()
    assert sending.state()["attempt"] == 2
    client.remove_peer("gone")
    with pytest.raises(NotFound):
        client.send("gone", CT)


def test_a_series_is_deleted(client: Client) -> None:
    client.store(samples.encode(samples.instance()))
    client.delete(CT)
    assert client.series().empty
    with pytest.raises(NotFound):
        client.delete(CT)


def test_the_command_line_does_the_same(
    pacs: tuple[Kahu, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAHU_HOME", str(tmp_path / "home"))

    def kahu(*arguments: object) -> Result:
        return CliRunner().invoke(main, [str(one) for one in arguments])

    def told(*arguments: object) -> Any:
        done = kahu(*arguments, "--json")
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    with private(Settings(home=tmp_path / "home")):
        assert kahu("peer", "add", "pacs", "PACS", "127.0.0.1", pacs[1], "--may", "store").exit_code == 0
        assert told("peer", "list")[0]["may"] == ["store"]
        assert "takes objects" in kahu("peer", "echo", "pacs").stdout
        assert [row["PatientID"] for row in told("query", "pacs", "id=P-1")] == ["P-1"]
        assert "KEY=VALUE" in kahu("query", "pacs", "P-1").stderr
        assert told("retrieve", "pacs", STUDY)["arrived"] == 3
        assert told("send", "pacs", "--find", "P-1")["failed"] == 0
        neither = kahu("send", "pacs")
        assert neither.exit_code == 1
        assert "--find" in neither.stderr

        kept = kahu("delete", CT)  # nobody says yes
        assert kept.exit_code == 1
        assert "deleted from Kahu for good" in kept.stdout
        assert len(told("find")) == 2
        assert kahu("delete", CT, "--yes").exit_code == 0
        assert [one["uid"] for one in told("find")] == [MR]
