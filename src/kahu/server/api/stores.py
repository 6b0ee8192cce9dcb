"""Stores: what is in each, what was refused and why, looking again."""

import uuid
from pathlib import Path
from typing import Any

import msgspec

from kahu.catalog import figures, forget
from kahu.catalog.places import Place
from kahu.errors import BadRequest, Forbidden
from kahu.server.api.endpoint import Ask, Count, Endpoints, Nothing, number
from kahu.server.api.work import moment
from kahu.server.services import Services
from kahu.work import Task
from kahu.work.ledger import Todo

endpoints = Endpoints()


class Scan(msgspec.Struct):
    """A look through a store that is under way, or the last one."""

    task: str
    state: str
    progress: float | None
    message: str


class Store(msgspec.Struct):
    """One store and what is known of it."""

    id: int
    name: str
    kind: str
    url: str
    state: str
    note: str
    objects: int
    series: int
    bytes: int
    refused: int
    scanned: str | None
    owned: bool
    scan: Scan | None


class NewStore(msgspec.Struct):
    """A folder on the server's computer."""

    path: str


class RefusedFile(msgspec.Struct):
    """A file that was not taken; `dicom`: it claims to be DICOM."""

    key: str
    reason: str
    dicom: bool


class Page(msgspec.Struct):
    """How many."""

    limit: Count = 1000


class Done(msgspec.Struct):
    """It is done."""

    done: bool = True


@endpoints("GET", "/api/stores")
def list_stores(ask: Ask[Nothing, Nothing]) -> list[Store]:
    """The stores, with what was found in each."""
    return [_told(ask.services, place) for place in _seen(ask)]


@endpoints("POST", "/api/stores", needs="admin")
def add_store(ask: Ask[Nothing, NewStore]) -> Store:
    """Adds a folder and begins to look through it. One that is there already is looked through again."""
    folder = Path(ask.body.path).expanduser()
    if not folder.is_absolute():
        raise BadRequest("a store needs an absolute path", "write it from / on")
    if not folder.is_dir():
        raise BadRequest(f"there is no folder {folder}", "check the path, on the computer where Kahu runs")
    place = ask.services.places.add("folder", str(folder))
    begin_scan(ask.services, place)
    return _told(ask.services, place)


@endpoints("POST", "/api/stores/{id}/scan", needs="admin")
def scan_store(ask: Ask[Nothing, Nothing]) -> Store:
    """Looks through a store again; only what changed is read."""
    place = _place(ask)
    begin_scan(ask.services, place)
    return _told(ask.services, place)


@endpoints("POST", "/api/stores/{id}/forget-missing", needs="admin")
def forget_missing(ask: Ask[Nothing, Nothing]) -> Store:
    """Forgets the objects of a store that were not there any more at its last scan; their tags stay."""
    place = _place(ask)
    forget.missing(ask.services.database, place.id)
    return _told(ask.services, place)


@endpoints("DELETE", "/api/stores/{id}", needs="admin")
def remove_store(ask: Ask[Nothing, Nothing]) -> Done:
    """Forgets a store. Its files stay; what Kahu owns cannot be forgotten."""
    place = _place(ask)
    if place.owned:
        raise Forbidden("Kahu's own store cannot be removed", "it holds what was sent here and results")
    last = _last_scan(ask.services, place)
    if last is not None:
        ask.services.ledger.cancel(last.id)
    ask.services.places.remove(place.id)
    return Done()


@endpoints("GET", "/api/stores/{id}/refused", needs="admin")
def refused(ask: Ask[Page, Nothing]) -> list[RefusedFile]:
    """Files that were not taken, with the reason; those that claim to be DICOM first."""
    with ask.services.database.read() as db:
        found = figures.refused(db, _place(ask).id, ask.query.limit)
    return [RefusedFile(one.key, one.reason, one.dicom) for one in found]


def begin_scan(services: Services, place: Place) -> Task:
    """Queues a look through a store, unless one is under way; the task."""
    last = _last_scan(services, place)
    if last is not None and last.state in ("queued", "running"):
        return last
    todo = Todo(
        id=f"scan-{uuid.uuid4().hex}",
        kind="scan",
        title=f"Looking through {place.name}",
        payload={"store": place.id},
    )
    services.ledger.add(todo)
    return services.ledger.get(todo.id)


def look_again(services: Services, store: int) -> None:
    """Queues a look through a store that was found to have changed. What Kahu owns nobody else changes."""
    place = services.places.get(store)
    if not place.owned:
        begin_scan(services, place)


def _last_scan(services: Services, place: Place) -> Task | None:
    scans = services.ledger.list(kinds=["scan"], limit=1000)
    return next((task for task in scans if task.payload.get("store") == place.id), None)


def _seen(ask: Ask[Nothing, Nothing]) -> list[Place]:
    """The stores that the asker may know of: those of a run's token are none of its business."""
    if ask.scope.series is not None:
        return []
    places = ask.services.places.all()
    return [place for place in places if ask.scope.stores is None or place.id in ask.scope.stores]


def _place(ask: Ask[Any, Any]) -> Place:
    return ask.services.places.get(number(ask, "store"))


def _told(services: Services, place: Place) -> Store:
    with services.database.read() as db:
        held = figures.of_store(db, place.id)
    return Store(
        id=place.id,
        name=place.name,
        kind=place.kind,
        url=place.url,
        state=place.state,
        note=place.note,
        objects=held.objects,
        series=held.series,
        bytes=held.bytes,
        refused=held.refused,
        scanned=moment(place.scanned) if place.scanned else None,
        owned=place.owned,
        scan=_scan(services, place),
    )


def _scan(services: Services, place: Place) -> Scan | None:
    task = _last_scan(services, place)
    return Scan(task.id, task.state, task.progress, task.message) if task else None
