"""The tools on the shelf."""

from typing import Any

import msgspec

from kahu.server.api.endpoint import Ask, Endpoints, Nothing
from kahu.tools.manifest import Tool as Manifest

endpoints = Endpoints()


class Takes(msgspec.Struct):
    """What fits a tool."""

    modality: list[str]
    min_slices: int
    form: str


class Segment(msgspec.Struct):
    """One segment that a tool makes."""

    label: str
    color: str


class Gives(msgspec.Struct):
    """What a tool makes."""

    kind: str
    title: str
    segments: list[Segment]


class Tool(msgspec.Struct):
    """A tool; a broken one has its `error` and little else."""

    name: str
    version: str
    title: str
    description: str
    licence: str
    cite: str
    digest: str
    shipped: bool
    input: Takes
    parameters: dict[str, Any]
    output: Gives
    error: str = ""


@endpoints("GET", "/api/tools", needs="run")
def list_tools(ask: Ask[Nothing, Nothing]) -> list[Tool]:
    """The tools by name, broken ones last with what is wrong with them."""
    shelf = ask.services.shelf
    broken = [
        Tool(
            name=one.name,
            version="",
            title=one.name,
            description="",
            licence="",
            cite="",
            digest="",
            shipped=False,
            input=Takes([], 0, ""),
            parameters={},
            output=Gives("", "", []),
            error=f"{one.error} ({one.hint})",
        )
        for one in shelf.broken()
    ]
    return [_told(one, shelf.shipped(one)) for one in shelf.all()] + broken


def _told(tool: Manifest, shipped: bool) -> Tool:
    return Tool(
        name=tool.name,
        version=tool.version,
        title=tool.title,
        description=tool.description,
        licence=tool.licence,
        cite=tool.cite,
        digest=tool.digest,
        shipped=shipped,
        input=Takes(list(tool.input.modality), tool.input.min_slices, tool.input.form),
        parameters=tool.parameter_schema(),
        output=Gives(
            tool.output.kind,
            tool.output.title,
            [Segment(segment.label, segment.color) for segment in tool.output.segments],
        ),
    )
