"""What this program conforms to: `kahu conformance`."""

import click


@click.command()
def conformance() -> None:
    """Print the conformance statement, in Markdown."""
    from kahu.server.conformance import statement  # the server's rooms take a while to load

    click.echo(statement(), nl=False)
