"""An object as the other side of an association takes it: as it is kept where it can be so, else transcoded."""

from collections.abc import Iterator, Sequence
from itertools import chain

from kahu.catalog import fetch
from kahu.catalog.fetch import Located
from kahu.catalog.places import Places
from kahu.dicom.header import DEFLATED
from kahu.dicom.transcode import transcode
from kahu.dimse.association import Association
from kahu.errors import BrokenDicom, NotAcceptable

_PIECE = 1 << 20


def given(
    association: Association, places: Places, located: Located, forms: Sequence[str]
) -> tuple[int, Iterator[bytes]]:
    """The ID of the context in which an object goes, and its data set for that; `forms`: the transfer syntaxes that
    it can be given in, best first.

    NotAcceptable: there is no such context, or it cannot be transcoded. BrokenDicom: no message can carry it.
    Unavailable, BytesMissing, BytesChanged: its bytes cannot be had. What is raised before the first piece harms
    nothing; afterwards, the message is broken.
    """
    context = association.context_for(located.sop_class_uid, (located.transfer_syntax, *forms))
    if context is None:
        raise NotAcceptable(
            "the peer takes no objects of this SOP class in a form that this one can be given in"
        )
    target = association.contexts[context].transfer_syntax
    return context, _kept(places, located) if target == located.transfer_syntax else _made(
        places, located, target
    )


def _kept(places: Places, located: Located) -> Iterator[bytes]:
    """The bytes of the data set, an even number of them; the first are read before this returns."""
    start, end = located.dataset_offset, located.location.entry.size
    if (end - start) % 2 and located.transfer_syntax not in DEFLATED:
        raise BrokenDicom("its data set has an odd number of bytes, which no message can carry")

    def piece(at: int) -> bytes:
        read = fetch.read(places, located, at, min(_PIECE, end - at))
        return read + bytes(len(read) % 2)  # only at the end, where what is deflated is padded so (PS3.5 A.5)

    pieces = map(piece, range(start, end, _PIECE))
    return chain([next(pieces, b"")], pieces)


def _made(places: Places, located: Located, target: str) -> Iterator[bytes]:
    """The data set transcoded, all of it: what does not decode is known before anything is sent."""
    read = fetch.reader(places, located)
    return iter([b"".join(transcode(read, located.location.entry.size, target).dataset)])
