"""Deleting studies, series and instances. The standard has no such transaction in PS3.18; this is the one that archives
offer: `DELETE` on the resource."""

from starlette.responses import Response

from kahu.catalog import delete as deleting
from kahu.server.dicomweb.asked import Asked


async def delete(asked: Asked) -> Response:
    """What Kahu owns is removed, what it borrows is forgotten (see `kahu.catalog.delete`): 204, or 404."""
    rooms = asked.rooms
    place, _ = await rooms.pools.database(rooms.places.owned)
    await rooms.pools.store(
        place.id,
        deleting.delete,
        rooms.database,
        rooms.places,
        rooms.settings.cache,
        asked.scope,
        asked.study,
        asked.series,
        asked.instance,
    )
    return Response(status_code=204)
