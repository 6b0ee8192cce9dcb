"""What is there: `kahu index`, `find`, `store`, `conflicts`."""

import json
from pathlib import Path

import click

from kahu.cli.common import Group, existing, home_option, json_option, server
from kahu.cli.terminal import fail_if_failed, many, out, plain, tabular, watch


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@home_option
@json_option
def index(path: Path, home: Path | None, as_json: bool) -> None:
    """Look through a folder once, remember what is there, and report."""
    folder = existing(path)
    with server(home) as client:
        store = client.request("POST", "/api/stores", {"path": str(folder)})
        task = watch(lambda: client.get(f"/api/tasks/{store['scan']['task']}"), "Looking", quiet=as_json)
        fail_if_failed(task)
        refused = client.get(f"/api/stores/{store['id']}/refused", limit=2**31)
    counts = task["result"]
    broken = [one for one in refused if one["dicom"]]
    if as_json:
        reasons = [{"file": one["key"], "reason": one["reason"]} for one in broken]
        keys = ("files", "objects", "series")
        report = {key: counts[key] for key in keys} | {"refused": reasons, "seconds": counts["seconds"]}
        click.echo(json.dumps(report))
        return
    others = len(refused) - len(broken)
    out.print(
        f"{many(counts['files'], 'file')}: {many(counts['objects'], 'DICOM object')} "
        f"in {counts['series']:,} series, {len(broken):,} refused, {others:,} of other kinds, "
        f"{counts['seconds']:.1f} s"
    )
    if counts["moved"] or counts["missing"]:
        out.print(f"  {counts['moved']:,} moved; {counts['missing']:,} not there any more, but not forgotten")
    for one in broken[:20]:
        out.print(f"  [yellow]refused[/yellow] {plain(one['key'])}: {plain(one['reason'])}")
    if len(broken) > 20:
        out.print(f"  … and {len(broken) - 20:,} more: see them all with --json, or on the page Stores")
    if not counts["objects"]:
        out.print("  No DICOM here. Is it the right folder?")


@click.command()
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


@click.group(cls=Group)
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


@store.command("forget-missing")
@click.argument("store_id", type=int)
@home_option
def store_forget_missing(store_id: int, home: Path | None) -> None:
    """Forget the objects that were gone at the last scan. Until then they stay, as unavailable."""
    with server(home) as client:
        left = client.request("POST", f"/api/stores/{store_id}/forget-missing")
    out.print(f"Forgotten; {many(left['objects'], 'object')} in {plain(left['name'])}.")


@store.command("remove")
@click.argument("store_id", type=int)
@home_option
def store_remove(store_id: int, home: Path | None) -> None:
    """Forget a store. Its files stay as they are."""
    with server(home) as client:
        client.request("DELETE", f"/api/stores/{store_id}")
    out.print("Forgotten; its files are untouched.")


@click.group(cls=Group, invoke_without_command=True)
@home_option
@json_option
@click.pass_context
def conflicts(context: click.Context, home: Path | None, as_json: bool) -> None:
    """Objects that say something else under a UID that is taken: kept aside until someone decides."""
    if context.invoked_subcommand is not None:
        return
    with server(home) as client:
        found = client.get("/api/conflicts")
    if as_json:
        click.echo(json.dumps(found))
        return
    table = tabular("id", "when", "came by", "SOP Instance UID", "store", "file")
    for one in found:
        table.add_row(str(one["id"]), one["at"], one["door"], one["uid"], one["store"], one["key"])
    out.print(table if found else "No conflicts.")


@conflicts.command("keep")
@click.argument("conflict_id", type=int)
@home_option
def conflicts_keep(conflict_id: int, home: Path | None) -> None:
    """Keep what is known; the other object goes if Kahu owns it, and a borrowed file is left alone."""
    with server(home) as client:
        client.request("POST", f"/api/conflicts/{conflict_id}/keep")
    out.print("What was known stays.")


@conflicts.command("replace")
@click.argument("conflict_id", type=int)
@home_option
def conflicts_replace(conflict_id: int, home: Path | None) -> None:
    """Take the other object instead; what was known is kept aside in its turn."""
    with server(home) as client:
        client.request("POST", f"/api/conflicts/{conflict_id}/replace")
    out.print("Replaced; what was known is kept aside.")
