"""Text in the character sets of DICOM (PS3.3 C.12.1.1.2, PS3.5 §6.1), decoded as pydicom decodes it."""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from pydicom.charset import convert_encodings, decode_bytes
from pydicom.valuerep import TEXT_VR_DELIMS

Encodings = tuple[str, ...]
"""Python's names of the character sets of a data set: the first is the default, others come by escapes."""

DEFAULT: Encodings = ("iso8859",)

_lock = threading.Lock()
_quiet = 0
_filters = warnings.catch_warnings()


@contextmanager
def quietly() -> Iterator[None]:
    """pydicom warns of much that is no fault of ours. Filters belong to the process: the first thread that
    comes sets them, the last that goes puts them back, and none waits for another's reading."""
    global _quiet, _filters
    with _lock:
        _quiet += 1
        if _quiet == 1:
            _filters = warnings.catch_warnings()
            _filters.__enter__()
            warnings.simplefilter("ignore")
    try:
        yield
    finally:
        with _lock:
            _quiet -= 1
            if _quiet == 0:
                _filters.__exit__(None, None, None)


@lru_cache(maxsize=256)
def encodings(specific_character_set: bytes) -> Encodings:
    """What the value of Specific Character Set (0008,0005) names; unknown names count as the default."""
    names = [name.strip(" \0") for name in specific_character_set.decode("latin-1").split("\\")]
    with quietly():
        return tuple(convert_encodings(names if len(names) > 1 else names[0])) or DEFAULT


def decode(value: bytes, charset: Encodings) -> str:
    """The text; what cannot be decoded becomes U+FFFD."""
    if value.isascii() and b"\x1b" not in value:
        return value.decode("ascii")
    if len(charset) == 1 and b"\x1b" not in value:
        try:
            return value.decode(charset[0])
        except (UnicodeError, LookupError):
            pass
    with quietly():
        return str(decode_bytes(value, charset, TEXT_VR_DELIMS))
