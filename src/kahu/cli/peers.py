"""Other applications that speak DICOM: `kahu peer`, `send`, `query`, `retrieve`."""

import json
from pathlib import Path
from typing import Any

import click

from kahu.cli.common import Group, home_option, json_option, server
from kahu.cli.terminal import err, fail_if_failed, many, out, plain, tabular, watch
from kahu.client import Client, Transfer
from kahu.errors import KahuError

MAY = ("query", "retrieve", "store")

_COLUMNS: dict[str, tuple[tuple[str, str], ...]] = {
    "patient": (
        ("patient", "PatientID"),
        ("name", "PatientName"),
        ("born", "PatientBirthDate"),
        ("studies", "NumberOfPatientRelatedStudies"),
    ),
    "study": (
        ("patient", "PatientID"),
        ("name", "PatientName"),
        ("date", "StudyDate"),
        ("", "ModalitiesInStudy"),
        ("description", "StudyDescription"),
        ("accession", "AccessionNumber"),
        ("series", "NumberOfStudyRelatedSeries"),
        ("study", "StudyInstanceUID"),
    ),
    "series": (
        ("number", "SeriesNumber"),
        ("", "Modality"),
        ("description", "SeriesDescription"),
        ("instances", "NumberOfSeriesRelatedInstances"),
        ("series", "SeriesInstanceUID"),
    ),
    "image": (("number", "InstanceNumber"), ("instance", "SOPInstanceUID"), ("SOP class", "SOPClassUID")),
}


@click.group(cls=Group)
def peer() -> None:
    """Other applications that speak DICOM: PACS, modalities, workstations."""


@peer.command("add")
@click.argument("name")
@click.argument("aet")
@click.argument("host")
@click.argument("port", type=click.IntRange(1, 65535))
@click.option("--tls", is_flag=True, help="It speaks TLS.")
@click.option(
    "--may",
    multiple=True,
    type=click.Choice(MAY),
    default=MAY,
    show_default=True,
    help="What it may ask of Kahu; repeat for several.",
)
@home_option
def peer_add(
    name: str, aet: str, host: str, port: int, tls: bool, may: tuple[str, ...], home: Path | None
) -> None:
    """Make a peer known under a NAME of your choice: its AE title, and where it is."""
    with server(home) as client:
        client.add_peer(name, aet, host, port, tls=tls, may=may)
    out.print(f"{plain(name)} is known; test the connection with: kahu peer echo {plain(name)}")


@peer.command("list")
@home_option
@json_option
def peer_list(home: Path | None, as_json: bool) -> None:
    """The peers that are known."""
    with server(home) as client:
        found = client.get("/api/peers")
    if as_json:
        click.echo(json.dumps(found))
        return
    table = tabular("name", "AE title", "host", "port", "TLS", "may")
    for one in found:
        tls = "yes" if one["tls"] else ""
        table.add_row(one["name"], one["aet"], one["host"], str(one["port"]), tls, ", ".join(one["may"]))
    out.print(table if found else "No peers yet: add one with `kahu peer add NAME AET HOST PORT`.")


@peer.command("echo")
@click.argument("name")
@home_option
def peer_echo(name: str, home: Path | None) -> None:
    """Test the connection to a peer, and say what it can do."""
    with server(home) as client:
        can = client.echo(name)
    out.print(f"{plain(name)} answers. It {_abilities(can)}.")


@peer.command("remove")
@click.argument("name")
@home_option
def peer_remove(name: str, home: Path | None) -> None:
    """Forget a peer."""
    with server(home) as client:
        client.remove_peer(name)
    out.print("Forgotten.")


@click.command()
@click.argument("peer_name", metavar="PEER")
@click.argument("series", nargs=-1)
@click.option("--find", "words", default="", help="All series in which all these words appear.")
@home_option
@json_option
def send(peer_name: str, series: tuple[str, ...], words: str, home: Path | None, as_json: bool) -> None:
    """Send series to a peer, and wait until it has them."""
    if bool(series) == bool(words.strip()):
        raise KahuError("which series?", "name them by UID, or say --find WORDS")
    selection: dict[str, Any] = {"matching": {"q": words}} if words else {"series": list(series)}
    with server(home) as client:
        begun = client.request("POST", "/api/sends", {"peer": peer_name} | selection)
        _follow(client, begun["id"], "Sending", as_json)


@click.command()
@click.argument("peer_name", metavar="PEER")
@click.argument("keys", metavar="KEY=VALUE", nargs=-1)
@click.option("--level", type=click.Choice(list(_COLUMNS)), default="study", show_default=True)
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 10_000))
@home_option
@json_option
def query(
    peer_name: str, keys: tuple[str, ...], level: str, limit: int, home: Path | None, as_json: bool
) -> None:
    """Ask a peer what it has: name=DOE* date=20240101-20240131 modality=CT, or keywords of attributes."""
    body = {"level": level, "keys": dict(map(_key, keys)), "limit": limit}
    with server(home) as client:
        answer = client.request("POST", f"/api/peers/{peer_name}/query", body)
    if as_json:
        click.echo(json.dumps(answer["rows"]))
        return
    table = tabular(*(title for title, _ in _COLUMNS[level]))
    for row in answer["rows"]:
        table.add_row(*(row.get(keyword, "") for _, keyword in _COLUMNS[level]))
    out.print(table if answer["rows"] else "Nothing there matches.")
    if answer["more"]:
        out.print(f"The first {limit:,}; more with --limit")


@click.command()
@click.argument("peer_name", metavar="PEER")
@click.argument("studies", metavar="STUDY", nargs=-1, required=True)
@click.option("--series", multiple=True, help="Only this series of the one study; repeat for several.")
@home_option
@json_option
def retrieve(
    peer_name: str, studies: tuple[str, ...], series: tuple[str, ...], home: Path | None, as_json: bool
) -> None:
    """Retrieve studies from a peer, by Study Instance UID, into Kahu's own store."""
    with server(home) as client:
        begun = client.retrieve(peer_name, studies, series)
        _follow(client, begun.id, "Retrieving", as_json)


def _follow(client: Client, task_id: str, title: str, as_json: bool) -> None:
    """Waits for a transfer with a bar, and says what has come of it. KahuError: not all has arrived."""
    task = watch(lambda: dict(Transfer(client, task_id).state()), title, quiet=as_json)
    result = task["result"]
    if as_json:
        click.echo(json.dumps(result))
    elif result:
        there = f", {result['already']:,} there before" if result["already"] else ""
        failed = f", {result['failed']:,} failed" if result["failed"] else ""
        out.print(f"{many(result['arrived'], 'object')} arrived{there}{failed}")
        for one in result["failures"]:
            err.print(f"  [yellow]{one['count']:,}[/yellow] {plain(one['reason'])}, such as {one['uids'][0]}")
    fail_if_failed(task)


def _abilities(can: list[str]) -> str:
    words = {"store": "takes objects", "find": "can be queried", "get": "gives by C-GET", "move": "by C-MOVE"}
    told = [words[one] for one in words if one in can]
    return ", ".join(told) or "does nothing for us but answer"


def _key(text: str) -> tuple[str, str]:
    """`name=value` of the command line."""
    name, equals, value = text.partition("=")
    if not (equals and name):
        raise KahuError(f"{text} is no condition", "write KEY=VALUE, such as name=DOE*")
    return name, value
