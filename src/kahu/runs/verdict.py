"""What checking a result found: single complaints, and the verdict they add up to."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

__all__ = ["Complaint", "Kind", "Verdict", "verdict_of"]

Kind = Literal["valid", "suspect", "rejected"]
_GRAVITY: dict[Kind, int] = {"valid": 0, "suspect": 1, "rejected": 2}


class Complaint(NamedTuple):
    """One thing that was found. Of kind ``valid``: worth knowing, nothing wrong."""

    kind: Kind
    reason: str
    """a sentence for people"""


@dataclass(frozen=True)
class Verdict:
    """What checking a result found."""

    kind: Kind
    reasons: tuple[str, ...]
    """sentences for people, the gravest first; a valid result may have some, too"""


def verdict_of(complaints: Iterable[Complaint]) -> Verdict:
    """The gravest complaint decides; each reason is told once."""
    ordered = sorted(complaints, key=lambda complaint: -_GRAVITY[complaint.kind])
    kind = ordered[0].kind if ordered else "valid"
    return Verdict(kind, tuple(dict.fromkeys(complaint.reason for complaint in ordered)))
