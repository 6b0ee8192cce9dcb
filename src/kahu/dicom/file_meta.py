"""File meta information: of an object that comes without, and as one keeps it when its transfer syntax changes
(PS3.10 §7.1)."""

from collections.abc import Iterator

from kahu import __version__
from kahu.dicom.elements import LONG, explicit, tag_of_key, uint32
from kahu.dicom.rewrite import Encoding, element

__all__ = ["IMPLEMENTATION_CLASS", "IMPLEMENTATION_VERSION", "restated", "stated"]

IMPLEMENTATION_CLASS = "2.25.113557212825420974890901056720309145232"
IMPLEMENTATION_VERSION = f"KAHU_{__version__}"[:16]

_PREFIX = bytes(128) + b"DICM"
_LENGTH, _VERSION, _SOP_CLASS, _SOP_INSTANCE = 0x00020000, 0x00020001, 0x00020002, 0x00020003
_SYNTAX, _CLASS, _NAME, _SOURCE = 0x00020010, 0x00020012, 0x00020013, 0x00020016
_EXPLICIT = Encoding()


def stated(sop_class_uid: str, sop_instance_uid: str, transfer_syntax: str, source: str) -> bytes:
    """Preamble, prefix and group 2 for a data set that comes without. `source`: the AE title that it came from."""
    known = {_SOURCE: _text(_SOURCE, "AE", source)}
    return _written(known, sop_class_uid, sop_instance_uid, transfer_syntax)


def restated(head: bytes, sop_class_uid: str, sop_instance_uid: str, transfer_syntax: str) -> bytes:
    """Preamble, prefix and group 2 for another transfer syntax. `head`: the file's bytes before its data set.

    Elements that `head` has stay; what it lacks and the standard wants is added. The preamble, in which another
    format might find its way in the file, is empty.
    """
    return _written(dict(_elements(head)), sop_class_uid, sop_instance_uid, transfer_syntax)


def _written(
    stated: dict[int, bytes], sop_class_uid: str, sop_instance_uid: str, transfer_syntax: str
) -> bytes:
    """With these elements, and with what they lack."""
    stated.setdefault(_VERSION, element(_VERSION, "OB", b"\0\1", _EXPLICIT))
    stated.setdefault(_SOP_CLASS, _text(_SOP_CLASS, "UI", sop_class_uid))
    stated.setdefault(_SOP_INSTANCE, _text(_SOP_INSTANCE, "UI", sop_instance_uid))
    stated[_SYNTAX] = _text(_SYNTAX, "UI", transfer_syntax)
    stated[_CLASS] = _text(_CLASS, "UI", IMPLEMENTATION_CLASS)
    stated[_NAME] = _text(_NAME, "SH", IMPLEMENTATION_VERSION)
    body = b"".join(stated[tag] for tag in sorted(stated) if tag != _LENGTH)
    return _PREFIX + element(_LENGTH, "UL", len(body).to_bytes(4, "little"), _EXPLICIT) + body


def _elements(head: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and bytes of each element of group 2; none where they are not as they should be."""
    at = 132 if head[128:132] == b"DICM" else 0
    while at + 12 <= len(head):
        key, vr, length = explicit(head, at)
        end = at + 12 + uint32(head, at + 8)[0] if vr in LONG else at + 8 + length
        if key & 0xFFFF != 2 or not vr.isalpha() or end > len(head):
            return
        yield tag_of_key(key), head[at:end]
        at = end


def _text(tag: int, vr: str, text: str) -> bytes:
    return element(tag, vr, text.encode("ascii", "replace"), _EXPLICIT)
