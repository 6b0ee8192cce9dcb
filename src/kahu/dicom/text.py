"""Text in the character sets of DICOM (PS3.3 C.12.1.1.2, PS3.5 §6.1), decoded as pydicom decodes it."""

import codecs
import re
import threading
import unicodedata
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from pydicom.charset import convert_encodings, decode_bytes
from pydicom.valuerep import TEXT_VR_DELIMS

Encodings = tuple[str, ...]
"""Python's names of the character sets of a data set: the first is the default, others come by escapes."""

DEFAULT: Encodings = ("iso8859",)

_NAME = re.compile(r"[A-Za-z0-9 _-]{0,32}")
_CHARSETS = ("ascii", "big5", "cp125", "euc", "gb", "iso2022", "iso8859", "koi8", "shift_jis", "tis", "utf-8")

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
    """What the value of Specific Character Set (0008,0005) names; a name that is not known is the default."""
    names = [name.strip(" \0") for name in specific_character_set.decode("latin-1").split("\\")]
    names = [name if _NAME.fullmatch(name) else "" for name in names]
    with quietly():
        found = convert_encodings(names if len(names) > 1 else names[0])
    return tuple(name if _is_charset(name) else DEFAULT[0] for name in found)


def _is_charset(name: str) -> bool:
    """Whether Python's codec of this name is a character set that people write. It has many others, among
    them compression and escapes, by which a file could do harm.
    """
    try:
        return codecs.lookup(name).name.startswith(_CHARSETS)
    except LookupError:
        return False


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


def fold(text: str) -> str:
    """Without case and accents: lower case, compatibility forms taken apart, combining marks left out."""
    if text.isascii():
        return text.lower()
    apart = unicodedata.normalize("NFKD", text)
    return "".join(c for c in apart if not "\u0300" <= c <= "\u036f").lower()
