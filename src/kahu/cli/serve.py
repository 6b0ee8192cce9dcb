"""`kahu up` and `kahu demo`: a server until someone ends it."""

import sys
import threading
import webbrowser
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kahu import __version__
from kahu.cli.common import existing, home_option, settings_of
from kahu.cli.terminal import complain, fail_if_failed, follow, many, out, plain, watch
from kahu.client import Client
from kahu.errors import KahuError
from kahu.settings import DEFAULT_PORT, Settings

if TYPE_CHECKING:
    from kahu.app import Kahu


def dimse_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that open and configure the DIMSE port, named as the settings are."""
    file = click.Path(path_type=Path, exists=True, dir_okay=False)
    for option in (
        click.option(
            "--dimse-tls-ca", type=file, help="Authorities that callers' certificates must come from (PEM)."
        ),
        click.option("--dimse-tls-key", type=file, help="Private key of the certificate (PEM)."),
        click.option("--dimse-tls-cert", type=file, help="Certificate (PEM): DIMSE over TLS only."),
        click.option("--aet", default=Settings.aet, show_default=True, help="AE title."),
        click.option(
            "--dimse-host", default=Settings.dimse_host, show_default=True, help="Address for DIMSE."
        ),
        click.option(
            "--dimse-port", type=click.IntRange(0, 65535), help="Speak DIMSE on this port; 0: on a free one."
        ),
    ):
        command = option(command)
    return command


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@home_option
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=DEFAULT_PORT, show_default=True, type=click.IntRange(0, 65535))
@click.option("--allowed-host", "hosts", multiple=True, help="Another name by which this server is called.")
@click.option("--no-browser", is_flag=True, help="Do not open the page.")
@dimse_options
def up(
    paths: tuple[Path, ...],
    home: Path | None,
    host: str,
    port: int,
    hosts: tuple[str, ...],
    no_browser: bool,
    **dimse: Any,
) -> None:
    """Serve folders of DICOM in place: nothing is copied, nothing in them is changed."""
    from kahu import serving

    settings = replace(settings_of(home), host=host, port=port, allowed_hosts=hosts, **dimse)
    folders = [existing(path) for path in paths]

    def ready(opened: serving.Opened) -> None:
        url = opened.url
        out.print(f"[bold]Kahu {__version__}[/bold]  [link={url}]{url}[/link]")
        if opened.dimse_port is not None:
            tls = " (TLS)" if settings.dimse_tls_cert else ""
            out.print(f"  DIMSE {plain(settings.aet)} at {settings.dimse_host} port {opened.dimse_port}{tls}")
        out.print(f"  home {plain(str(settings.home))}, ends with Ctrl-C")
        if not no_browser:
            webbrowser.open(url)
        for folder in folders:
            try:
                look_through(opened.kahu, folder)
            except KahuError as error:
                complain(error)

    serving.serve(settings, ready)
    out.print("Kahu has ended.")


@click.command()
@home_option
@click.option("--host", default="127.0.0.1", show_default=True, hidden=True)
@click.option("--port", default=DEFAULT_PORT, show_default=True, type=click.IntRange(0, 65535))
@click.option("--no-browser", is_flag=True, help="Do not open the page.")
@click.option("--exit", "leave", is_flag=True, help="End when the result is there, instead of serving on.")
def demo(home: Path | None, host: str, port: int, no_browser: bool, leave: bool) -> None:
    """Real images, a real network, its segmentation in the viewer: from nothing, in a few minutes."""
    from kahu import serving
    from kahu.demo.obtain import obtain

    settings = replace(settings_of(home, default="~/.kahu-demo"), host=host, port=port)
    images = obtain(settings.home, out)
    failed = threading.Event()

    def ready(opened: serving.Opened) -> None:
        try:
            show(opened.kahu, opened.url)
        except KahuError as error:
            complain(error)
            failed.set()
        if leave or failed.is_set():
            opened.end()

    def show(kahu: "Kahu", url: str) -> None:
        out.print("[bold]1[/bold]  Indexing them in place")
        look_through(kahu, images.folder)
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
        out.print(f"   images: {plain(images.source)} ({plain(images.licence)})", style="dim")
        kept = plain(str(settings.home))
        if leave:
            out.print(f"   All of it is kept; to see it again: kahu up --home {kept}", style="dim")
        else:
            out.print(f"   Ctrl-C ends it; what was made stays in {kept}", style="dim")
        if not (no_browser or leave):
            webbrowser.open(url + viewer)

    serving.serve(settings, ready)
    if failed.is_set():
        sys.exit(1)


def look_through(kahu: "Kahu", folder: Path) -> None:
    """Serves a folder, waits until it has been looked through, and says what is there. KahuError."""
    from kahu import app

    task_id = app.add_folder(kahu, folder)
    task = watch(partial(app.task_now, kahu, task_id), "Looking")
    fail_if_failed(task)
    found = task["result"]
    out.print(
        f"  {plain(str(folder))}: {many(found['objects'], 'DICOM object')} in {found['series']:,} series, "
        f"{found['refused']:,} refused"
    )
