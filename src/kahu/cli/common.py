"""What commands share: options, the home, a client for the Kahu that works there."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from kahu.cli.terminal import complain
from kahu.client import Client
from kahu.errors import KahuError
from kahu.home import running
from kahu.settings import Settings, default_home

home_option = click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
    help="Where Kahu keeps what it knows and owns. Default: $KAHU_HOME, else ~/.kahu.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")


class Group(click.Group):
    """Commands in the order in which they were added; a `KahuError` is two lines and exit status 1."""

    def list_commands(self, _context: click.Context) -> list[str]:
        return list(self.commands)

    def main(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().main(*args, **kwargs)
        except KahuError as error:
            complain(error)
            sys.exit(1)


def settings_of(home: Path | None, default: str = "") -> Settings:
    """The settings for a home that was named, or for the usual one."""
    fallback = Path(default).expanduser() if default else default_home()
    return Settings(home=(home or fallback).expanduser().absolute())


def existing(path: Path) -> Path:
    """The folder, absolute. KahuError when it is not there."""
    path = path.expanduser().absolute()
    if not path.exists():
        raise KahuError(f"there is no {path}", "check the path")
    if not path.is_dir():
        raise KahuError(f"{path} is not a folder", "name the folder that holds the DICOM files")
    return path


@contextmanager
def server(home: Path | None) -> Iterator[Client]:
    """A client of the Kahu that works in this home; where none does, of one for this command alone."""
    from kahu import app, serving

    settings = settings_of(home)
    there = running(settings.home)
    if there is not None and there.url:
        with app.own_token(settings) as secret, Client(there.url, secret) as client:
            yield client
        return
    with serving.private(settings) as url, Client(url) as client:
        yield client
