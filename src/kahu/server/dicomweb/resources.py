"""Every resource of this door, once: routes, capabilities and the conformance statement are made of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from kahu.dicom.syntaxes import KNOWN
from kahu.server.dicomweb import bulk, delete, frames, look, metadata, qido, rendered, stow, uri, wado
from kahu.server.dicomweb.asked import JSON_TYPES, Handler
from kahu.server.dicomweb.forms import DICOM, OCTETS, as_frame, frame_type
from kahu.server.dicomweb.images import Images

STUDY = "/studies/{study}"
SERIES = STUDY + "/series/{series}"
INSTANCE = SERIES + "/instances/{instance}"
FRAMES = INSTANCE + "/frames/{frames}"

_PARTS = f'multipart/related; type="{DICOM}"'
_STORED = (_PARTS, DICOM, f'multipart/related; type="{JSON_TYPES[0]}"', JSON_TYPES[0])
_FRAMES = tuple(dict.fromkeys(frame_type(as_frame(uid)) for uid in KNOWN))
_DOCUMENTS = tuple(sorted(bulk.DOCUMENT_TYPES))


@dataclass(frozen=True)
class Resource:
    """What one method of one address does."""

    transaction: str
    """as PS3.18 calls it"""
    method: str
    path: str
    """below the door; parameters in braces"""
    handler: Handler = field(repr=False)
    gives: Sequence[str] = ()
    """media types, the default first"""
    takes: Sequence[str] = ()
    """media types of the request's body"""
    parameters: Sequence[str] = ()
    """of the query, besides `accept` and `charset`; attributes that are searched for are not named"""


def resources(images: Images) -> list[Resource]:
    """All of them; what is asked for most comes first, since they are tried in this order."""
    picture, thumbnail = partial(rendered.rendered, images), partial(rendered.thumbnail, images)
    searching = ("limit", "offset", "includefield", "fuzzymatching")
    retrieved = [
        Resource("Retrieve Frames", "GET", FRAMES, partial(frames.frames, images), _FRAMES),
        Resource("Retrieve Instance", "GET", INSTANCE, partial(wado.instance, images), (_PARTS, DICOM)),
        Resource("Retrieve Metadata", "GET", INSTANCE + "/metadata", metadata.metadata, JSON_TYPES),
        Resource("Retrieve Metadata", "GET", SERIES + "/metadata", metadata.metadata, JSON_TYPES),
        Resource("Retrieve Metadata", "GET", STUDY + "/metadata", metadata.metadata, JSON_TYPES),
        Resource("Retrieve Series", "GET", SERIES, wado.objects, (_PARTS,)),
        Resource("Retrieve Study", "GET", STUDY, wado.objects, (_PARTS,)),
        Resource(
            "Retrieve Bulk Data",
            "GET",
            INSTANCE + "/bulkdata/{path:path}",
            partial(bulk.bulk, images),
            (OCTETS, *_DOCUMENTS),
        ),
    ]
    pictures = [
        Resource(
            f"Retrieve Rendered {level}",
            "GET",
            path + "/rendered",
            picture,
            (*rendered.TYPES, *(_DOCUMENTS if path == INSTANCE else ())),
            parameters=look.KNOWN,
        )
        for level, path in (("Frames", FRAMES), ("Instance", INSTANCE), ("Series", SERIES), ("Study", STUDY))
    ]
    thumbnails = [
        Resource(
            "Retrieve Thumbnail", "GET", path + "/thumbnail", thumbnail, rendered.TYPES, parameters=look.KNOWN
        )
        for path in (FRAMES, INSTANCE, SERIES, STUDY)
    ]
    searches = [
        Resource(f"Search for {what}", "GET", path, handler, JSON_TYPES, parameters=searching)
        for what, path, handler in (
            ("Studies", "/studies", qido.studies),
            ("Series", "/series", qido.series),
            ("Series", STUDY + "/series", qido.series),
            ("Instances", "/instances", qido.instances),
            ("Instances", STUDY + "/instances", qido.instances),
            ("Instances", SERIES + "/instances", qido.instances),
        )
    ]
    by_parameters = [
        Resource(
            "Retrieve by WADO-URI",
            "GET",
            "/wado",
            partial(uri.retrieve, images),
            (*rendered.TYPES, DICOM, *_DOCUMENTS),
            parameters=uri.KNOWN,
        )
    ]
    stores = [
        Resource("Store Instances", "POST", path, stow.store, JSON_TYPES[:1], _STORED)
        for path in ("/studies", STUDY)
    ]
    deletes = [
        Resource(f"Delete {what}", "DELETE", path, delete.delete)
        for what, path in (("Study", STUDY), ("Series", SERIES), ("Instance", INSTANCE))
    ]
    return [*retrieved, *searches, *pictures, *thumbnails, *by_parameters, *stores, *deletes]
