"""The command line: each command is a thin layer over `app` or the client, for people or in JSON."""

import os

import click

from kahu import __version__
from kahu.cli import conformance, delete, look, peers, run, serve, token
from kahu.cli.common import Group


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="kahu")
def main() -> None:
    """One catalogue of medical images wherever they live; AI tools on them, DICOM in, DICOM out."""
    os.umask(os.umask(0o077) | 0o077)  # what Kahu writes is of patients, and nobody else's business


for command in (
    serve.up,
    serve.demo,
    look.index,
    look.find,
    look.store,
    look.conflicts,
    run.tool,
    run.run,
    run.runs,
    run.log,
    peers.peer,
    peers.send,
    peers.query,
    peers.retrieve,
    delete.delete,
    token.token,
    conformance.conformance,
):
    main.add_command(command)
