"""What every door is given: the rooms below, put together by `app`."""

from dataclasses import dataclass

from kahu.catalog.places import Places
from kahu.db import Database
from kahu.server.pools import Pools
from kahu.settings import Settings


@dataclass(frozen=True)
class Services:
    """One server's rooms."""

    settings: Settings
    database: Database
    places: Places
    pools: Pools
