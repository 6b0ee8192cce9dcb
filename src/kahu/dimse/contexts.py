"""Which presentation contexts are offered and accepted (PS3.8 §7.1.1.13, PS3.4 B.3.1)."""

from collections.abc import Iterable, Mapping, Sequence

from pydicom.uid import UID_dictionary

from kahu.dicom.syntaxes import DEFLATED_LE, EXPLICIT_BE, EXPLICIT_LE, IMPLICIT_LE, JPEG, RLE
from kahu.dimse.pdu import Proposed, Role

VERIFICATION = "1.2.840.10008.1.1"

# Query/Retrieve Information Models (PS3.4 C.6): patient root, study root.
PATIENT_FIND = "1.2.840.10008.5.1.4.1.2.1.1"
STUDY_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
STUDY_MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
STUDY_GET = "1.2.840.10008.5.1.4.1.2.2.3"

NATIVE = (EXPLICIT_LE, IMPLICIT_LE, EXPLICIT_BE)
"""transfer syntaxes of identifiers (C-FIND, C-MOVE, C-GET), best first"""

LITTLE = (EXPLICIT_LE, IMPLICIT_LE)
"""what every receiver can read: one of them (PS3.5 §10.1)"""
COMPRESSED = (
    *(JPEG + end for end in ("90", "70", "50", "91", "57", "51", "80", "81", "201", "202", "203")),
    RLE,
    *(JPEG + end for end in ("102", "103", "104", "105", "106", "100", "101", "107", "108")),
    *(JPEG + end for end in ("110", "111", "112")),
)
"""in which objects are offered to come, the usual ones first"""
ALL = (*LITTLE, *COMPRESSED, DEFLATED_LE, EXPLICIT_BE)

MOST = 128
"""contexts of an association: their IDs are the odd numbers of a byte"""

_IMAGES = (
    "1.2.840.10008.5.1.4.1.1."  # of the storage SOP classes; PS3.6 lists two there that have lost their names
)
_NOT_STORED = ("Commitment", "Media Storage Directory")


def _is_storage(uid: str, name: str) -> bool:
    if not name:
        return uid.startswith(_IMAGES)
    return "Storage" in name and not any(words in name for words in _NOT_STORED)


_SERVICES = {uid: name for uid, (name, kind, *_) in UID_dictionary.items() if "SOP Class" in kind}

STORAGE = frozenset(uid for uid, name in _SERVICES.items() if _is_storage(uid, name))
"""The storage SOP classes of the standard, retired ones and those of DICONDE and DICOS, too"""

_OTHER_SERVICES = frozenset(_SERVICES) - STORAGE

_TRANSFER_SYNTAXES = {
    uid: name for uid, (name, kind, *_) in UID_dictionary.items() if kind == "Transfer Syntax"
}


def _named(*words: str) -> frozenset[str]:
    return frozenset(uid for uid, name in _TRANSFER_SYNTAXES.items() if any(each in name for each in words))


_MAY_LOSE = _named("MPEG", "HEVC") | {
    f"{JPEG}{number}" for number in (*range(50, 57), *range(59, 65), 81, 91, 93, 203)
}
_ELSEWHERE = _named("JPIP", "SMPTE")  # their pixels lie on another server, or in a stream


def is_storage(abstract_syntax: str) -> bool:
    """Whether objects of it can be stored: all that are not known as another service, private ones and those of
    a standard newer than this program, too."""
    return abstract_syntax not in _OTHER_SERVICES


def kept_in(transfer_syntaxes: Sequence[str]) -> str:
    """The one of these in which we want to be sent what we keep.

    Kahu keeps objects in any transfer syntax, and as they come. A sender that proposes several in one context
    can convert, so that the choice decides whether an image is altered on its way: the first that cannot lose
    anything is taken, since a sender puts first what it has or likes best. Only where there is no better come those
    that do not tell VRs (private attributes lose theirs), retired big endian, those that may be lossy, those that
    nobody knows, and those whose pixels would stay elsewhere.
    """
    return min(transfer_syntaxes, key=_demerit)


def _demerit(transfer_syntax: str) -> int:
    if transfer_syntax == IMPLICIT_LE:
        return 1
    if transfer_syntax == EXPLICIT_BE:
        return 2
    if transfer_syntax in _MAY_LOSE:
        return 3
    if transfer_syntax in _ELSEWHERE:
        return 5
    return 0 if transfer_syntax in _TRANSFER_SYNTAXES else 4


def native(transfer_syntaxes: Iterable[str]) -> str | None:
    """The best of these for identifiers, which have no pixels; None: we can read none."""
    offered = set(transfer_syntaxes)
    return next((uid for uid in NATIVE if uid in offered), None)


def proposed(wanted: Iterable[tuple[str, Sequence[str]]]) -> tuple[Proposed, ...]:
    """Contexts to propose, with their IDs: (abstract syntax, transfer syntaxes), the first `MOST` of them."""
    return tuple(
        Proposed(2 * index + 1, abstract, tuple(transfer))
        for index, (abstract, transfer) in zip(range(MOST), wanted, strict=False)
    )


def to_send(objects: Mapping[tuple[str, str], Sequence[str]]) -> tuple[Proposed, ...]:
    """Contexts to propose for sending objects: (SOP class, transfer syntax that it is kept in) -> all that it can
    be given in (`dicom.transcode.can_give`).

    Each has one with just what it is kept in, so that the receiver cannot choose a conversion where it need not
    be; and each SOP class has one for everything else that its objects can be given in, native ones first.
    When there are more than `MOST`, those for conversions are left out first.
    """
    as_kept = [(sop_class, (kept,)) for sop_class, kept in objects]
    converted: dict[str, list[str]] = {}
    for (sop_class, kept), forms in objects.items():
        others = converted.setdefault(sop_class, [])
        others += [uid for uid in forms if uid != kept and uid not in others]
    return proposed(
        as_kept
        + [
            (sop_class, tuple(sorted(forms, key=_familiar)))
            for sop_class, forms in converted.items()
            if forms
        ]
    )


def to_take(
    classes: Iterable[str], transfer_syntaxes: Sequence[str]
) -> tuple[tuple[Proposed, ...], tuple[Role, ...]]:
    """Contexts and roles to propose for a C-GET or C-MOVE, with those in which objects of these SOP classes come (none
    given: of all). Each class has as many contexts of one transfer syntax as there is room for, so that the peer
    need not convert, and one for the others."""
    services = [(STUDY_GET, NATIVE), (STUDY_MOVE, NATIVE)]
    room = MOST - len(services)
    kinds = sorted(set(classes) or STORAGE, key=_rarity)[:room]
    each = room // len(kinds)
    apart = [(kind, (syntax,)) for kind in kinds for syntax in transfer_syntaxes[: each - 1]]
    rest = transfer_syntaxes[each - 1 :]
    together = [(kind, rest) for kind in kinds if rest]
    return proposed([*services, *apart, *together]), tuple(Role(kind, False, True) for kind in kinds)


def _rarity(sop_class: str) -> tuple[bool, int, str]:
    """Sorts usual SOP classes to the front: images of the standard have short UIDs, and what is retired or of
    other trades has long ones."""
    return not sop_class.startswith(_IMAGES), len(sop_class), sop_class


def _familiar(transfer_syntax: str) -> tuple[bool, int]:
    """Sorts what every receiver can read to the front."""
    known = transfer_syntax in NATIVE
    return not known, NATIVE.index(transfer_syntax) if known else 0
