"""Tools and what they do: `kahu tool`, `run`, `runs`, `log`."""

import json
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from kahu.cli.common import Group, home_option, json_option, server, settings_of
from kahu.cli.terminal import err, follow, out, plain, tabular
from kahu.client import Run
from kahu.errors import KahuError

set_option = click.option(
    "--set", "parameters", multiple=True, metavar="NAME=VALUE", help="A parameter of the tool."
)


@click.group(cls=Group)
def tool() -> None:
    """Programs that can be run on images."""


@tool.command("list")
@home_option
@json_option
def tool_list(home: Path | None, as_json: bool) -> None:
    """The tools on the shelf."""
    with server(home) as client:
        tools = client.get("/api/tools")
    if as_json:
        click.echo(json.dumps(tools))
        return
    table = tabular("name", "version", "takes", "what it does")
    for one in tools:
        words = one["description"] if not one["error"] else f"broken: {one['error']}"
        table.add_row(one["name"], one["version"], ", ".join(one["input"]["modality"]), words)
    out.print(table)


@tool.command("check")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
def tool_check(folder: Path) -> None:
    """Read a tool's folder and say what is wrong with it, without adding it."""
    from kahu.tools.manifest import read

    found = read(folder)
    out.print(f"{found.name} {found.version} is a tool: {plain(found.title)}")


@tool.command("try")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("series")
@set_option
@home_option
def tool_try(folder: Path, series: str, parameters: tuple[str, ...], home: Path | None) -> None:
    """Run a tool from its folder on one series and show what it prints. Nothing is stored."""
    from kahu.app import choose_executor
    from kahu.runs.plan import Case
    from kahu.runs.trial import attempt
    from kahu.tools.manifest import read

    found = read(folder)
    with server(home) as client, closing(choose_executor(settings_of(home))) as executor:
        facts = client.get(f"/api/series/{quote(series)}")
        case = Case(
            series=facts["uid"],
            study=facts["study_uid"],
            fingerprint="",
            modality=facts["modality"],
            number=facts["number"],
            instances=facts["instances"],
            slices=facts["frames"],
        )
        trial = attempt(
            found,
            case,
            dict(map(parameter, parameters)),
            executor,
            url=client.url,
            token=client.token,
            printed=lambda more: click.echo(more, nl=False),
        )
    out.print(f"The result is {trial.verdict.kind}.", *trial.verdict.reasons)
    for file in trial.results:
        out.print(plain(str(file)))


@tool.command("add")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--replace", "again", is_flag=True, help="Replace a tool of the same name and version.")
@home_option
def tool_add(folder: Path, again: bool, home: Path | None) -> None:
    """Put a tool on the shelf: its folder is copied, and pinned by its digest."""
    from kahu.tools.shelf import Shelf

    found = Shelf(settings_of(home).tools).add(folder, replace=again)
    out.print(f"{found.name} {found.version} is on the shelf; digest {found.digest[:12]}")


@tool.command("remove")
@click.argument("name")
@home_option
def tool_remove(name: str, home: Path | None) -> None:
    """Take a tool off the shelf. Its results stay."""
    from kahu.tools.shelf import Shelf

    Shelf(settings_of(home).tools).remove(name)
    out.print(f"{name} is off the shelf.")


@tool.command("show")
@click.argument("name")
@home_option
def tool_show(name: str, home: Path | None) -> None:
    """All that a tool's manifest says, as JSON."""
    with server(home) as client:
        found = [one for one in client.get("/api/tools") if one["name"] == name]
    if not found:
        raise KahuError(f"there is no tool {name}", "see: kahu tool list")
    click.echo(json.dumps(found[0], indent=2))


@click.command()
@click.argument("tool_name", metavar="TOOL")
@click.argument("series", nargs=-1, required=True)
@set_option
@home_option
@json_option
def run(
    tool_name: str, series: tuple[str, ...], parameters: tuple[str, ...], home: Path | None, as_json: bool
) -> None:
    """Run a tool on series, wait, and print the series that it made."""
    with server(home) as client:
        started = client.run(tool_name, list(series), **dict(map(parameter, parameters)))
        follow(started, quiet=as_json)
        results = started.results()
        doubts = [task["message"] for task in started.state()["tasks"] if task["message"]]
    for doubt in doubts:
        err.print(f"[yellow]kahu:[/yellow] {plain(doubt)}")
    if as_json:
        click.echo(json.dumps({"run": started.id, "results": results}))
        return
    for uid in results:
        out.print(uid)


@click.command()
@home_option
@json_option
def runs(home: Path | None, as_json: bool) -> None:
    """The runs, newest first."""
    with server(home) as client:
        found = client.get("/api/runs")
    if as_json:
        click.echo(json.dumps(found))
        return
    table = tabular("run", "tool", "state", "cases", "done", "failed", "started")
    for one in found:
        counts = one["counts"]
        table.add_row(
            one["id"],
            f"{one['tool']} {one['version']}",
            one["state"],
            str(sum(counts.values())),
            str(counts["done"]),
            str(counts["failed"]),
            one["created"],
        )
    out.print(table if found else "No runs yet: start one with `kahu run TOOL SERIES`.")


@click.command()
@click.argument("run_id", metavar="RUN")
@home_option
def log(run_id: str, home: Path | None) -> None:
    """What the programs of a run have printed, case by case."""
    with server(home) as client:
        click.echo(Run(client, run_id).log())


def parameter(text: str) -> tuple[str, Any]:
    """`name=value` of the command line; the value is read as JSON where it is JSON, else as text."""
    name, equals, value = text.partition("=")
    if not equals:
        raise KahuError(f"{text} is no parameter", "write --set NAME=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
