"""Who may do what: tokens, what they grant, and the audit log.

Single-user mode is loopback without login: whoever reaches the server is its owner. Everyone else brings a
token. `server` turns a `Grant` into the catalogue's `Scope`.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Grant:
    """What the bearer of a token may do."""

    who: str
    """a name for the audit log: a person's, or `task:<id>`"""
    may: frozenset[str] = field(default_factory=frozenset)
    """of: read, write (STOW, import, tags), run (tools), admin (stores, tokens)"""
    series: frozenset[str] | None = None
    """Series Instance UIDs that may be read; None: all"""
    task: str = ""
    attempt: int = 0
    """what is written belongs to this attempt at this task, and stays unseen until it is published"""


OWNER = Grant(who="owner", may=frozenset({"read", "write", "run", "admin"}))
"""Whoever sits at this computer."""
