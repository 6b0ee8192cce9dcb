"""Tokens: who holds one may do what it grants, until it expires or is revoked. Only their hashes are kept."""

import hashlib
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from kahu.access import Grant
from kahu.db import Database, Id, Text, metadata
from kahu.errors import NotFound, Unauthorized

PREFIX = "kahu_"
"""How every token begins, so that one which has strayed into a file is recognised."""

_REMEMBER = 30 * 86400  # seconds that an expired token is still listed

tokens = sa.Table(
    "tokens",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("name", Text, nullable=False),
    sa.Column("digest", Text, nullable=False, unique=True),  # sha256 of the secret
    sa.Column("who", Text, nullable=False),
    sa.Column("may", sa.JSON, nullable=False),
    sa.Column("series", sa.JSON(none_as_null=True)),  # null: all
    sa.Column("task", Text, nullable=False, default=""),
    sa.Column("attempt", sa.Integer, nullable=False, default=0),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("expires", sa.Float, nullable=False),
    sa.Column("revoked", sa.Boolean, nullable=False, default=False),
)


@dataclass(frozen=True)
class Token:
    """What is known of a token; its secret is not. Times are seconds since the epoch."""

    id: int
    name: str
    """given by a person, to know it again"""
    who: str
    may: frozenset[str]
    task: str
    """the task it was made for, if any"""
    created: float
    expires: float
    revoked: bool


class Tokens:
    """The tokens of one Kahu."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    def issue(self, name: str, grant: Grant, seconds: float) -> str:
        """Makes a token and returns its secret, which is never seen again."""
        secret = PREFIX + secrets.token_urlsafe(32)
        now = self._clock()
        with self._database.write() as db:
            db.execute(tokens.delete().where(tokens.c.expires < now - _REMEMBER))
            db.execute(
                tokens.insert().values(
                    name=name,
                    digest=_digest(secret),
                    who=grant.who,
                    may=sorted(grant.may),
                    series=None if grant.series is None else sorted(grant.series),
                    task=grant.task,
                    attempt=grant.attempt,
                    created=now,
                    expires=now + seconds,
                )
            )
        return secret

    @contextmanager
    def borrowed(self, name: str, grant: Grant, seconds: float) -> Iterator[str]:
        """A token for as long as the block lasts; nothing is left of it."""
        secret = self.issue(name, grant, seconds)
        try:
            yield secret
        finally:
            with self._database.write() as db:
                db.execute(tokens.delete().where(tokens.c.digest == _digest(secret)))

    def check(self, secret: str) -> Grant:
        """What the bearer of a secret may do. Unauthorized."""
        query = sa.select(tokens).where(tokens.c.digest == _digest(secret))
        with self._database.read() as db:
            row = db.execute(query).one_or_none()
        if row is None or row.revoked or row.expires <= self._clock():
            raise Unauthorized("the token is not known, revoked or expired", "ask for a new one")
        series = None if row.series is None else frozenset(row.series)
        return Grant(row.who, frozenset(row.may), series, row.task, row.attempt)

    def list(self) -> Sequence[Token]:
        """All tokens, also those that expired lately or were revoked; the newest first."""
        with self._database.read() as db:
            rows = db.execute(sa.select(tokens).order_by(tokens.c.id.desc())).all()
        return [_token(row) for row in rows]

    def revoke(self, token_id: int) -> None:
        """Makes a token worthless at once. NotFound."""
        with self._database.write() as db:
            revoked = db.execute(tokens.update().where(tokens.c.id == token_id).values(revoked=True))
        if revoked.rowcount == 0:
            raise NotFound(f"there is no token {token_id}", "kahu token list shows those there are")


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _token(row: sa.Row[Any]) -> Token:
    return Token(
        row.id, row.name, row.who, frozenset(row.may), row.task, row.created, row.expires, row.revoked
    )
