"""The command line: each command is a thin layer over `app` or the client, for people or in JSON."""

import json
import sys
import threading
import time
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import click
from rich.markup import escape

from kahu import __version__
from kahu.client import Client
from kahu.errors import KahuError
from kahu.home import running
from kahu.settings import DEFAULT_PORT, Settings, default_home
from kahu.terminal import complain, fail_if_failed, follow, out, tabular, watch

home_option = click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
    help="Where Kahu keeps what it knows and owns. Default: $KAHU_HOME, else ~/.kahu.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")


class Group(click.Group):
    """Commands in the order of this file; a `KahuError` is two lines and exit status 1, not a traceback."""

    def list_commands(self, _context: click.Context) -> list[str]:
        return list(self.commands)

    def main(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().main(*args, **kwargs)
        except KahuError as error:
            complain(error)
            sys.exit(1)


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="kahu")
def main() -> None:
    """One catalogue of medical images wherever they live; AI tools on them, DICOM in, DICOM out."""


@main.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@home_option
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=DEFAULT_PORT, show_default=True, type=click.IntRange(0, 65535))
@click.option("--allowed-host", "hosts", multiple=True, help="Another name by which this server is called.")
@click.option("--no-browser", is_flag=True, help="Do not open the page.")
def up(
    paths: tuple[Path, ...], home: Path | None, host: str, port: int, hosts: tuple[str, ...], no_browser: bool
) -> None:
    """Serve folders of DICOM in place: nothing is copied, nothing in them is changed."""
    from kahu import app

    settings = replace(settings_of(home), host=host, port=port, allowed_hosts=hosts)
    folders = [existing(path) for path in paths]

    def ready(kahu: app.Kahu, url: str) -> None:
        tasks = [app.add_folder(kahu, folder) for folder in folders]
        out.print(f"[bold]Kahu {__version__}[/bold]  [link={url}]{url}[/link]")
        out.print(f"  home {escape(str(settings.home))}, ends with Ctrl-C")
        if not no_browser:
            webbrowser.open(url)
        for task in tasks:
            watch(partial(app.task_now, kahu, task), "Looking")

    app.serve(settings, ready)
    out.print("Kahu has ended.")


@main.command()
@click.argument("path", type=click.Path(path_type=Path))
@home_option
@json_option
def index(path: Path, home: Path | None, as_json: bool) -> None:
    """Look through a folder once, remember what is there, and report."""
    folder = existing(path)
    with server(home) as client:
        store = client.send("POST", "/api/stores", {"path": str(folder)})
        task = watch(lambda: client.get(f"/api/tasks/{store['scan']['task']}"), "Looking", quiet=as_json)
        fail_if_failed(task)
        refused = client.get(f"/api/stores/{store['id']}/refused", limit=100000)
    counts = task["result"]
    broken = [one for one in refused if one["dicom"]]
    if as_json:
        reasons = [{"file": one["key"], "reason": one["reason"]} for one in broken]
        keys = ("files", "objects", "series")
        report = {key: counts[key] for key in keys} | {"refused": reasons, "seconds": counts["seconds"]}
        click.echo(json.dumps(report))
        return
    out.print(
        f"{counts['files']:,} files: {counts['objects']:,} DICOM objects in {counts['series']:,} series, "
        f"{len(broken):,} refused, {len(refused) - len(broken):,} of other kinds, {counts['seconds']:.1f} s"
    )
    for one in broken[:20]:
        out.print(f"  [yellow]refused[/yellow] {escape(one['key'])}: {escape(one['reason'])}")
    if len(broken) > 20:
        out.print(f"  … and {len(broken) - 20:,} more: see them all with --json, or on the page Stores")
    if not counts["objects"]:
        out.print("  No DICOM here. Is it the right folder?")


@main.command()
@home_option
@click.option("--host", default="127.0.0.1", show_default=True, hidden=True)
@click.option("--port", default=DEFAULT_PORT, show_default=True, type=click.IntRange(0, 65535))
@click.option("--no-browser", is_flag=True, help="Do not open the page.")
@click.option("--exit", "leave", is_flag=True, help="End when the result is there, instead of serving on.")
def demo(home: Path | None, host: str, port: int, no_browser: bool, leave: bool) -> None:
    """Real images, a real network, its segmentation in the viewer: from nothing, in a few minutes."""
    from kahu import app
    from kahu.demo.obtain import obtain

    settings = replace(settings_of(home, default="~/.kahu-demo"), host=host, port=port)
    images = obtain(settings.home, out)
    failed = threading.Event()

    def ready(kahu: app.Kahu, url: str) -> None:
        try:
            show(kahu, url)
        except KahuError as error:
            complain(error)
            failed.set()
            kahu.end()
            return
        if leave:
            kahu.end()

    def show(kahu: app.Kahu, url: str) -> None:
        out.print(f"[bold]1[/bold]  Indexing {escape(str(images.folder))} in place")
        scan = app.add_folder(kahu, images.folder)
        fail_if_failed(watch(lambda: app.task_now(kahu, scan), "Looking"))
        out.print("[bold]2[/bold]  Brain extraction with a real network (deepbet), on this computer's CPU")
        out.print("   the first time its packages are fetched: about 40 MB, unless cached", style="dim")
        with Client(url) as client:
            run = client.run("brain-extraction", images.brain_series_uid)
            follow(run)
            (result,) = run.results()
            viewer = client.get(f"/api/series/{result}")["viewer"]
        out.print("[bold]3[/bold]  The segmentation is a DICOM object in Kahu's own store")
        out.print(f"   all images        [link={url}]{url}[/link]")
        out.print(f"   the segmentation  [link={url}{viewer}]{url}{viewer}[/link]")
        out.print(f"   images: {escape(images.source)} ({escape(images.licence)})", style="dim")
        kept = escape(str(settings.home))
        if leave:
            out.print(f"   All of it is kept; to see it again: kahu up --home {kept}", style="dim")
        else:
            out.print(f"   Ctrl-C ends it; what was made stays in {kept}", style="dim")
        if not (no_browser or leave):
            webbrowser.open(url + viewer)

    app.serve(settings, ready)
    if failed.is_set():
        sys.exit(1)


@main.command()
@click.argument("words", nargs=-1)
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1))
@home_option
@json_option
def find(words: tuple[str, ...], limit: int, home: Path | None, as_json: bool) -> None:
    """List series in which all words appear: patient, description, modality, body part, tag, UID."""
    with server(home) as client:
        page = client.get("/api/series", q=" ".join(words), limit=limit)
    if as_json:
        click.echo(json.dumps(page["series"]))
        return
    table = tabular("patient", "date", "", "description", "instances", "series")
    for one in page["series"]:
        table.add_row(
            one["patient_id"],
            one["study_date"],
            one["modality"],
            one["description"],
            f"{one['instances']:,}",
            one["uid"],
        )
    out.print(table)
    if page["total"] > len(page["series"]):
        out.print(f"{len(page['series'])} of {page['total']:,}; more with --limit")


@main.group()
def store() -> None:
    """Places where images live."""


@store.command("list")
@home_option
@json_option
def store_list(home: Path | None, as_json: bool) -> None:
    """The stores, with what was found in each."""
    with server(home) as client:
        stores = client.get("/api/stores")
    if as_json:
        click.echo(json.dumps(stores))
        return
    table = tabular("id", "name", "state", "objects", "series", "MB", "refused", "where")
    for one in stores:
        table.add_row(
            str(one["id"]),
            one["name"],
            one["state"],
            f"{one['objects']:,}",
            f"{one['series']:,}",
            f"{one['bytes'] / 1e6:,.1f}",
            f"{one['refused']:,}",
            one["url"],
        )
        if one["note"]:
            table.add_row("", "", "", "", "", "", "", one["note"], style="yellow")
    out.print(table)


@store.command("add")
@click.argument("path", type=click.Path(path_type=Path))
@home_option
@click.pass_context
def store_add(context: click.Context, path: Path, home: Path | None) -> None:
    """Add a folder and look through it; the same as `kahu index`."""
    context.invoke(index, path=path, home=home, as_json=False)


@store.command("remove")
@click.argument("store_id", type=int)
@home_option
def store_remove(store_id: int, home: Path | None) -> None:
    """Forget a store. Its files stay as they are."""
    with server(home) as client:
        client.send("DELETE", f"/api/stores/{store_id}")
    out.print("Forgotten; its files are untouched.")


@main.command()
@home_option
@json_option
def conflicts(home: Path | None, as_json: bool) -> None:
    """Objects that say something else under a UID that is taken: kept aside until someone decides."""
    with server(home) as client:
        found = client.get("/api/conflicts")
    if as_json:
        click.echo(json.dumps(found))
        return
    table = tabular("id", "when", "came by", "SOP Instance UID", "store", "file")
    for one in found:
        table.add_row(str(one["id"]), one["at"], one["door"], one["uid"], one["store"], one["key"])
    out.print(table if found else "No conflicts.")


@main.group()
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
    out.print(f"{found.name} {found.version} is a tool: {escape(found.title)}")


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


@main.command()
@click.argument("tool_name", metavar="TOOL")
@click.argument("series", nargs=-1, required=True)
@click.option("--set", "parameters", multiple=True, metavar="NAME=VALUE", help="A parameter of the tool.")
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
    if as_json:
        click.echo(json.dumps({"run": started.id, "results": results}))
        return
    for uid in results:
        out.print(uid)


@main.command()
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


@main.group()
def token() -> None:
    """Keys for other people and programs."""


@token.command("add")
@click.argument("name")
@click.option(
    "--days", default=30, show_default=True, type=click.IntRange(1, 3650), help="How long it holds."
)
@click.option(
    "--may",
    multiple=True,
    type=click.Choice(["read", "write", "run", "admin"]),
    default=["read", "write", "run"],
    show_default=True,
    help="What its bearer may do; repeat for several.",
)
@home_option
def token_add(name: str, days: int, may: tuple[str, ...], home: Path | None) -> None:
    """Make a token. It is shown once, and only its hash is kept."""
    from kahu.access import Grant
    from kahu.access.tokens import Tokens

    with tokens_of(home) as tokens:
        assert isinstance(tokens, Tokens)
        click.echo(tokens.issue(name, Grant(who=name, may=frozenset(may)), days * 86400))


@token.command("list")
@home_option
def token_list(home: Path | None) -> None:
    """The tokens that were made, without their secrets."""
    table = tabular("id", "name", "may", "expires")
    with tokens_of(home) as tokens:
        for one in tokens.list():
            if not one.task:
                ends = time.strftime("%Y-%m-%d", time.gmtime(one.expires)) if not one.revoked else "revoked"
                table.add_row(str(one.id), one.name, ", ".join(sorted(one.may)), ends)
    out.print(table)


@token.command("revoke")
@click.argument("token_id", type=int)
@home_option
def token_revoke(token_id: int, home: Path | None) -> None:
    """Make a token worthless at once."""
    with tokens_of(home) as tokens:
        tokens.revoke(token_id)
    out.print("Revoked.")


def settings_of(home: Path | None, default: str = "") -> Settings:
    fallback = Path(default).expanduser() if default else default_home()
    return Settings(home=(home or fallback).expanduser().absolute())


def existing(path: Path) -> Path:
    """The folder, absolute. KahuError in one line when it is not there."""
    path = path.expanduser().absolute()
    if not path.exists():
        raise KahuError(f"there is no {path}", "check the path")
    if not path.is_dir():
        raise KahuError(f"{path} is not a folder", "name the folder that holds the DICOM files")
    return path


@contextmanager
def server(home: Path | None) -> Iterator[Client]:
    """A client of the Kahu that works in this home; where none does, of one for this command alone."""
    from kahu import app

    settings = settings_of(home)
    there = running(settings.home)
    if there is not None and there.url:
        with app.own_token(settings) as secret, Client(there.url, secret) as client:
            yield client
        return
    with app.private(settings) as url, Client(url) as client:
        yield client


@contextmanager
def tokens_of(home: Path | None) -> Iterator[Any]:
    from kahu.access.tokens import Tokens
    from kahu.db import Database

    settings = settings_of(home)
    database = Database(settings.database_url)
    try:
        database.create()
        yield Tokens(database)
    finally:
        database.close()


def parameter(text: str) -> tuple[str, Any]:
    """`name=value` of the command line; the value is read as JSON where it is JSON, else as text."""
    name, equals, value = text.partition("=")
    if not equals:
        raise KahuError(f"{text} is no parameter", "write --set NAME=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


if __name__ == "__main__":
    main()
