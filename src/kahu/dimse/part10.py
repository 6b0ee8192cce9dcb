"""An object as a file (PS3.10), from the data set that a message carries."""

import struct

from kahu.dicom.file_meta import IMPLEMENTATION_CLASS, IMPLEMENTATION_VERSION

_PREFIX = bytes(128) + b"DICM"
_VERSION = b"\2\0\1\0OB\0\0\2\0\0\0\0\1"


def meta_information(sop_class: str, instance: str, transfer_syntax: str, source: str) -> bytes:
    """Preamble and file meta information (PS3.10 §7.1), to which a data set is added as it came. `source`: the AE
    title that it came from."""
    body = _VERSION + b"".join(
        _element(number, vr, text)
        for number, vr, text in (
            (0x0002, b"UI", sop_class),
            (0x0003, b"UI", instance),
            (0x0010, b"UI", transfer_syntax),
            (0x0012, b"UI", IMPLEMENTATION_CLASS),
            (0x0013, b"SH", IMPLEMENTATION_VERSION),
            (0x0016, b"AE", source),
        )
    )
    return _PREFIX + struct.pack("<HH2sHI", 2, 0, b"UL", 4, len(body)) + body


def _element(number: int, vr: bytes, text: str) -> bytes:
    value = text.encode("ascii", "replace")
    value += (b"\0" if vr == b"UI" else b" ") * (len(value) % 2)
    return struct.pack("<HH2sH", 2, number, vr, len(value)) + value
