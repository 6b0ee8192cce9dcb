"""Conflicts: objects that say something else under a UID that is taken, and what a person decides of them."""

from typing import Any

import msgspec

from kahu.catalog import conflicts as kept_aside
from kahu.server.api.endpoint import Ask, Endpoints, Nothing, number
from kahu.server.api.stores import Done
from kahu.server.api.work import moment

endpoints = Endpoints()


class Conflict(msgspec.Struct):
    """An object under a UID that another object has, kept aside. `door`: by which it came; `replaced`: it was
    known until another took its place."""

    id: int
    uid: str
    store: str
    key: str
    door: str
    at: str


@endpoints("GET", "/api/conflicts", needs="admin")
def list_conflicts(ask: Ask[Nothing, Nothing]) -> list[Conflict]:
    """Objects that say something else under a UID that is taken, the newest first."""
    names = {place.id: place.name for place in ask.services.places.all()}
    with ask.services.database.read() as db:
        found = kept_aside.all_of(db)
    return [Conflict(one.id, one.uid, names[one.store], one.key, one.door, moment(one.at)) for one in found]


def _store_of(ask: Ask[Any, Any]) -> int:
    """The store that holds what was kept aside: it is read, or deleted from."""
    with ask.services.database.read() as db:
        return kept_aside.get(db, number(ask, "conflict")).store


@endpoints("POST", "/api/conflicts/{id}/keep", needs="admin", store=_store_of)
def keep(ask: Ask[Nothing, Nothing]) -> Done:
    """What is known stays. The other object is deleted if Kahu owns it; a borrowed file is left alone."""
    kept_aside.dismiss(ask.services.database, ask.services.places, number(ask, "conflict"))
    return Done()


@endpoints("POST", "/api/conflicts/{id}/replace", needs="admin", store=_store_of)
def replace(ask: Ask[Nothing, Nothing]) -> Done:
    """What was kept aside takes the place of what is known, which is kept aside in its turn."""
    kept_aside.replace(ask.services.database, ask.services.places, number(ask, "conflict"))
    return Done()
