"""Keys for other people and programs: `kahu token`."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kahu.cli.common import Group, home_option, settings_of
from kahu.cli.terminal import out, tabular

if TYPE_CHECKING:
    from kahu.access.tokens import Tokens


@click.group(cls=Group)
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

    with tokens_of(home) as tokens:
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


@contextmanager
def tokens_of(home: Path | None) -> "Iterator[Tokens]":
    """The tokens of a home, also while a server works there."""
    import kahu.catalog  # noqa: F401 - it knows how an older home is brought forward
    from kahu.access.tokens import Tokens
    from kahu.db import Database

    settings = settings_of(home)
    database = Database(settings.database_url)
    try:
        database.create()
        yield Tokens(database)
    finally:
        database.close()
