"""The DICOMweb door (PS3.18): every store behind it looks like one archive.

==========  ==========================================================================
`qido`      search for studies, series and instances
`wado`      whole objects; metadata
`frames`    frames, as they are kept or uncompressed
`bulk`      long values that metadata only point at
`rendered`  pictures for people; thumbnails
`stow`      store instances
`accept`    what a client accepts; `forms`: in which form it gets objects and frames
`asked`     one request: who asks, for what, by which door
`image`     the image of an instance, read from its store
`rows`      rows of the catalogue as DICOM JSON
==========  ==========================================================================
"""

from functools import partial

from starlette.routing import BaseRoute, Mount, Route

from kahu.server.dicomweb import qido, stow, wado
from kahu.server.dicomweb.asked import Handler, Rooms, reading, writing
from kahu.server.dicomweb.bulk import bulk
from kahu.server.dicomweb.frames import frames
from kahu.server.dicomweb.image import Images
from kahu.server.dicomweb.rendered import rendered, thumbnail

_STUDY = "/studies/{study}"
_SERIES = _STUDY + "/series/{series}"
_INSTANCE = _SERIES + "/instances/{instance}"
_FRAMES = _INSTANCE + "/frames/{frames}"


def routes(rooms: Rooms, base: str = "/dicomweb") -> list[BaseRoute]:
    """The door at the path `base`, which may have parameters of its own. Each request carries its asker's
    `Grant` in `request.state.grant`.
    """
    images = Images()
    reads: list[tuple[str, Handler]] = [
        ("/studies", qido.studies),
        ("/series", qido.series),
        ("/instances", qido.instances),
        (_STUDY + "/series", qido.series),
        (_STUDY + "/instances", qido.instances),
        (_SERIES + "/instances", qido.instances),
        (_FRAMES, partial(frames, images)),
        (_INSTANCE + "/bulkdata/{path:path}", partial(bulk, images)),
        (_FRAMES + "/rendered", partial(rendered, images)),
        (_FRAMES + "/thumbnail", partial(thumbnail, images)),
    ]
    for resource in (_STUDY, _SERIES, _INSTANCE):
        reads += [
            (resource, wado.objects),
            (resource + "/metadata", wado.metadata),
            (resource + "/rendered", partial(rendered, images)),
            (resource + "/thumbnail", partial(thumbnail, images)),
        ]
    stores = [Route(path, writing(rooms, stow.store), methods=["POST"]) for path in ("/studies", _STUDY)]
    return [Mount(base, routes=stores + [Route(path, reading(rooms, handler)) for path, handler in reads])]
