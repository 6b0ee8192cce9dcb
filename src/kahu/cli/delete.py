"""What is there no more: `kahu delete`."""

from pathlib import Path
from urllib.parse import quote

import click

from kahu.cli.common import home_option, server
from kahu.cli.terminal import many, out, plain
from kahu.errors import KahuError


@click.command()
@click.argument("series", nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Do not ask.")
@home_option
def delete(series: tuple[str, ...], yes: bool, home: Path | None) -> None:
    """Delete series from Kahu's own store; those in folders that it reads in place are only forgotten."""
    with server(home) as client:
        own = {store["name"] for store in client.get("/api/stores") if store["owned"]}
        found = [client.get(f"/api/series/{quote(uid)}") for uid in dict.fromkeys(series)]
        for one in found:
            lies = " and ".join(_fate(store in own, store) for store in one["stores"])
            words = f"{one['modality']} {one['description']}".strip()
            out.print(f"{plain(words)}: {many(one['instances'], 'object')}, {plain(lies)}")
        if not yes and not click.confirm(
            f"Delete {many(len(found), 'series')}?".replace("seriess", "series")
        ):
            raise KahuError("nothing was deleted", "say --yes to be asked nothing")
        for one in found:
            client.delete(one["uid"])
    out.print("Done.")


def _fate(owned: bool, store: str) -> str:
    return f"deleted from {store} for good" if owned else f"forgotten of {store}, where the files stay"
