"""Where instances and their images are, remembered for who asks for more of them."""

from collections import OrderedDict
from collections.abc import Mapping

from kahu.catalog import fetch
from kahu.catalog.fetch import Located
from kahu.catalog.scope import Scope
from kahu.errors import NotFound
from kahu.server.dicomweb.asked import Asked
from kahu.server.dicomweb.image import Image

_NEIGHBOURS = 1000
"""instances of a series that are found together"""


class Images:
    """Finds instances and opens their images. Of some thousand it remembers what had to be found out: where
    they are, for as long as nothing is written to the catalogue; where their frames are, until their file changes.

    To be called on the event loop.
    """

    def __init__(self, most: int = 4096) -> None:
        self._most = most
        self._located: OrderedDict[tuple[Scope, str, str, str], Located] = OrderedDict()
        self._asked: dict[tuple[Scope, str, str], int] = {}
        """how many instances of a series had to be looked for"""
        self._generation = -1
        """of the catalogue; to which the above belong"""
        self._opened: OrderedDict[tuple[int, str, str], Image] = OrderedDict()

    async def locate(self, asked: Asked) -> Located:
        """The instance that is asked for, with a place where it can be had. Who asks for a second one of a series will
        ask for the others: they are found with it.

        NotFound: no such instance. Unavailable: its bytes cannot be had now.
        """
        database = asked.rooms.database
        if database.generation != self._generation or not database.sqlite:
            self._located.clear()
            self._asked.clear()
            self._generation = database.generation
        key = (asked.scope, asked.study, asked.series, asked.instance)
        known = self._located.get(key)
        if known and known.locations:
            self._located.move_to_end(key)
            return known
        if len(self._asked) > self._most:
            self._asked.clear()
        generation = self._generation
        self._asked[key[:3]] = times = self._asked.get(key[:3], 0) + 1
        found = await asked.rooms.pools.database(_locate, asked, times == 2)
        if generation == self._generation:
            self._keep(key, found)
        return found[asked.instance]

    def _keep(self, key: tuple[Scope, str, str, str], found: Mapping[str, Located]) -> None:
        for uid, located in found.items():
            self._located[(*key[:3], uid)] = located
        while len(self._located) > self._most:
            self._located.popitem(last=False)

    async def open(self, asked: Asked) -> Image:
        """The image of the instance that is asked for. NotFound: no such instance, or it has no image. Unavailable."""
        return self.of(asked, await self.locate(asked))

    def of(self, asked: Asked, located: Located) -> Image:
        """The image of an instance that has been located."""
        location = located.location
        if location.pixels is None:
            raise NotFound("the instance has no pixel data", "ask for the instance itself")
        key = (location.store, location.entry.key, location.entry.stamp)
        image = self._opened.pop(key, None)
        image = image or Image(asked.rooms.database, asked.rooms.places, located, location.pixels)
        self._opened[key] = image
        if len(self._opened) > self._most:
            self._opened.popitem(last=False)
        return image


def _locate(asked: Asked, others: bool) -> dict[str, Located]:
    """The instance that is asked for, by its UID; with `others` of its series, as many as are worth it."""
    scope, study, series = asked.scope, asked.study, asked.series
    with asked.rooms.database.read() as db:
        one = fetch.locate(db, asked.instance, scope, study=study, series=series)
        one.location  # noqa: B018 - Unavailable is said before anything is sent
        found = fetch.neighbours(db, scope, study, series, _NEIGHBOURS) if others else []
    return {each.sop_instance_uid: each for each in found} | {asked.instance: one}
