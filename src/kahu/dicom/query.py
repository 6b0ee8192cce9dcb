"""A question to the catalogue, and how QIDO-RS parameters say it (PS3.18 §8.3.4, PS3.4 C.2.2.2)."""

from dataclasses import dataclass
from typing import Literal

QueryLevel = Literal["STUDY", "SERIES", "IMAGE"]
MatchKind = Literal["exact", "wildcard", "range", "list", "empty", "text"]

ALL = "all"
"""In `Query.include`: every attribute that is known (``includefield=all``)."""


@dataclass(frozen=True, slots=True)
class Match:
    """One condition. An attribute with several values matches if any of them does."""

    keyword_path: tuple[str, ...]
    """keyword of the attribute, behind the keywords of the sequences that it lies in; eight hex digits for an
    attribute that PS3.6 does not name"""
    kind: MatchKind
    """
    exact      equal to `values[0]`
    wildcard   `values[0]` with ``*`` (any characters, also none) and ``?`` (one character)
    range      from `values[0]` to `values[1]`, both included; an empty one is open
    list       equal to one of `values`
    empty      absent or without value; no `values`
    text       of a person's name: each of `values` (words) begins a word of the name, case and accents aside

    Values of VR PN compare without regard to case in every kind.
    """
    values: tuple[str, ...] = ()

    @property
    def keyword(self) -> str:
        """The attribute itself, the last of the path."""
        return self.keyword_path[-1]


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked for: the entities of one level that meet every one of `matches`."""

    level: QueryLevel
    matches: tuple[Match, ...] = ()
    include: tuple[str, ...] = ()
    """keywords (or hex tags) to answer besides those that are always answered; or `ALL`"""
    limit: int | None = None
    offset: int = 0
    fuzzy: bool = False
    """whether fuzzy matching of names was asked for; `matches` says it already, by their kind"""
    study: str = ""
    """Study Instance UID of the parent, where the question is asked within one"""
    series: str = ""
    """Series Instance UID of the parent"""
    text: str = ""
    """free text, as typed into a search box: words that must all be found among the index attributes"""
