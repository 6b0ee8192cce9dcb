"""The header of an object: read once, with as few bytes as it takes.

Plain little endian files, nearly all there are, are gone through as they lie (`kahu.dicom.walk`). What is odd
there goes to pydicom (`kahu.dicom.odd`), which is slower and more patient. Both give the same, and attributes
are decoded in one place.
"""

import hashlib
import struct
import threading
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache

import zstandard

from kahu.dicom import elements, odd, text
from kahu.dicom.attributes import INDEX, keyword_of, tag_of
from kahu.dicom.elements import LONG, SHORT, Odd, key_of_tag, tag_of_key
from kahu.dicom.syntaxes import DEFLATED_LE, EXPLICIT_BE, EXPLICIT_LE, IMPLICIT_LE
from kahu.dicom.walk import CHARACTER_SET, COPY_AGAIN, Omitted, PixelData, ReadAt, Walked, walk
from kahu.errors import BrokenDicom, NotDicom

__all__ = [
    "Header",
    "Omitted",
    "PixelData",
    "ReadAt",
    "dataset_digest",
    "dataset_offset",
    "inflated",
    "read_header",
]

# Deflated: the data set itself, and two that refer to pixels elsewhere.
DEFLATED = frozenset({DEFLATED_LE, "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"})
MEDIA_STORAGE_DIRECTORY = "1.2.840.10008.1.3.10"

_IDENTITY = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
_META_GROUP = 0x0002
_TRANSFER_SYNTAX = key_of_tag(0x00020010)
_MEDIA_SOP_CLASS = key_of_tag(0x00020002)

_HEAD = 16 << 10
_MOST_META = 1 << 20
_MOST_INFLATED = 512 << 20
_CHUNK = 1 << 20

_NUMBERS = {
    vr: struct.Struct(f"<{form}")
    for vr, form in (
        *((b"US", "H"), (b"SS", "h"), (b"UL", "I"), (b"SL", "i")),
        *((b"FL", "f"), (b"FD", "d"), (b"UV", "Q"), (b"SV", "q")),
    )
}
_NO_TEXT = frozenset({b"SQ", b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"AT"})


@dataclass(frozen=True, slots=True)
class Header:
    """What is read of an object before its pixels."""

    sop_instance_uid: str
    sop_class_uid: str
    study_instance_uid: str
    series_instance_uid: str
    transfer_syntax_uid: str
    """of the file, as stated or found; the default (implicit VR little endian) where nothing is stated"""
    dataset_offset: int
    """where the data set begins in the file: behind preamble and group 2, if it has them"""
    packed: bytes
    """`raw`, compressed by zstd: so it is kept, and passed between processes"""
    implicit: bool
    """whether `raw` is implicit VR (PS3.5 A.1) or explicit (A.2)"""
    omitted: tuple[Omitted, ...]
    pixels: PixelData | None
    attributes: Mapping[str, str]
    """index attributes (`attributes.INDEX`) that are present and not empty: keyword -> decoded text, values
    joined by a backslash as in PS3.5 §6.2, binary numbers in decimal; padding removed"""

    @property
    def raw(self) -> bytes:
        """The data set in little endian, without group 2, pixel data and `omitted` values."""
        return zstandard.decompress(self.packed)


class _Packer(threading.local):
    """A compressor for each thread: they cannot be shared, and take longer to make than to work."""

    def __init__(self) -> None:
        self.pack = zstandard.ZstdCompressor(level=1).compress


_packer = _Packer()


@dataclass(frozen=True, slots=True)
class _Start:
    """What a file says before its data set."""

    dataset_offset: int
    transfer_syntax: str
    implicit: bool


def read_header(read: ReadAt, size: int) -> Header:
    """The header of the file of `size` bytes that `read` reads.

    NotDicom: it is no DICOM object. BrokenDicom: it claims to be one and cannot be read, has values that go
    beyond its end, or lacks a UID that makes it an object: of SOP Class, SOP Instance, Series or Study. No
    bytes make this raise anything else; what `read` raises passes through.
    """
    head = read(0, min(size, _HEAD))
    start = _start(read, size, head)
    walked, is_implicit = _dataset(read, size, head, start)
    charset = text.encodings(walked.found.get(CHARACTER_SET, (b"", b""))[1])
    attributes = _attributes(walked, charset)
    missing = [keyword for keyword in _IDENTITY if keyword not in attributes]
    if missing:
        raise BrokenDicom(f"it has no {', '.join(missing)}", COPY_AGAIN)
    return Header(
        sop_instance_uid=attributes["SOPInstanceUID"],
        sop_class_uid=attributes["SOPClassUID"],
        study_instance_uid=attributes["StudyInstanceUID"],
        series_instance_uid=attributes["SeriesInstanceUID"],
        transfer_syntax_uid=start.transfer_syntax,
        dataset_offset=start.dataset_offset,
        packed=_packer.pack(walked.raw),
        implicit=is_implicit,
        omitted=walked.omitted,
        pixels=walked.pixels,
        attributes=attributes,
    )


def dataset_offset(head: bytes) -> int:
    """Where the data set begins in the file that begins with `head`: all of it, or 1 MiB at least. NotDicom,
    BrokenDicom."""

    def read(offset: int, length: int) -> bytes:
        return head[offset : offset + length]

    return _start(read, len(head), head[:_HEAD]).dataset_offset


def dataset_digest(read: ReadAt, size: int, dataset_offset: int) -> str:
    """SHA-256 of the data set's bytes, group 2 left out: objects are the same when this is."""
    digest = hashlib.sha256()
    at = dataset_offset
    while at < size and (chunk := read(at, min(_CHUNK, size - at))):
        digest.update(chunk)
        at += len(chunk)
    return digest.hexdigest()


def inflated(read: ReadAt, size: int, dataset_offset: int) -> tuple[bytes, PixelData | None]:
    """A deflated data set (PS3.5 A.5) in explicit VR little endian, and where in it the pixel data lie.

    BrokenDicom: it cannot be inflated, or would be larger than 512 MiB.
    """
    data = _inflate(read, size, dataset_offset)
    return data, _inflated(data).pixels


def _start(read: ReadAt, size: int, head: bytes) -> _Start:
    """What comes before the data set (PS3.10 §7.1), or what must hold where nothing does."""
    if head[128:132] == b"DICM":
        at = 132
    elif _looks_like_dataset(head):
        at = 0
    else:
        raise NotDicom("not a DICOM file" if size else "an empty file")
    try:
        at, meta = _meta(head, at)
    except struct.error:
        head = read(0, min(size, _MOST_META))
        try:
            at, meta = _meta(head, at)
        except struct.error as error:
            message = "its file meta information (group 2) does not end"
            raise BrokenDicom(message, COPY_AGAIN) from error
    if _uid(meta.get(_MEDIA_SOP_CLASS, b"")) == MEDIA_STORAGE_DIRECTORY or head[at : at + 2] == b"\4\0":
        raise NotDicom("a DICOMDIR: it lists files and is no object itself", "index the folder it is in")
    return _Start(at, *_encoding(_uid(meta.get(_TRANSFER_SYNTAX, b"")), head, at))


def _meta(head: bytes, at: int) -> tuple[int, dict[int, bytes]]:
    """The elements of group 2 at `at`, and where they end. struct.error: `head` ends before.

    They are explicit VR by the standard; some writers made them implicit. Their group length is not trusted.
    """
    found: dict[int, bytes] = {}
    while at < len(head):
        key, vr, length = elements.explicit(head, at)
        if key & 0xFFFF != _META_GROUP:
            break
        if vr in SHORT:
            value = at + 8
        elif vr in LONG:
            length = elements.uint32(head, at + 8)[0]
            value = at + 12
        else:
            _, length = elements.implicit(head, at)
            value = at + 8
        at = value + length
        if at > len(head):
            raise struct.error
        found[key] = head[value:at]
    return at, found


def _looks_like_dataset(head: bytes) -> bool:
    """Whether a file without prefix begins as a data set, or as file meta information, would."""
    if len(head) < 8:
        return False
    key, vr, _ = elements.explicit(head, 0)
    group, number = key & 0xFFFF, key >> 16
    if group in (0x0002, 0x0004, 0x0008) and (number == 0 or keyword_of(tag_of_key(key)) is not None):
        return vr in SHORT or vr in LONG or elements.implicit(head, 0)[1] <= 64
    return group == 0x0800 and vr in SHORT  # big endian


def _encoding(stated: str, head: bytes, at: int) -> tuple[str, bool]:
    """The transfer syntax, and whether the data set at `at` is implicit VR.

    The first element is believed more than what is stated, where the two are at odds.
    """
    if stated in DEFLATED or stated == EXPLICIT_BE or len(head) < at + 8:
        return stated or IMPLICIT_LE, False
    key, vr, _ = elements.explicit(head, at)
    implicit = not elements.looks_like_vr(vr)
    if stated not in ("", IMPLICIT_LE, EXPLICIT_LE):
        return stated, implicit
    if implicit:
        return IMPLICIT_LE, True
    return EXPLICIT_LE if stated or key & 0xFFFF < 0x0400 else EXPLICIT_BE, False


def _dataset(read: ReadAt, size: int, head: bytes, start: _Start) -> tuple[Walked, bool]:
    """The data set, and whether what is kept of it is implicit VR."""
    at = start.dataset_offset
    if start.transfer_syntax in DEFLATED:
        walked = _inflated(_inflate(read, size, at))
        return replace(walked, pixels=walked.pixels and replace(walked.pixels, offset=-1)), False
    big_endian = start.transfer_syntax == EXPLICIT_BE
    if not big_endian:
        try:
            return walk(read, size, head, at, start.implicit), start.implicit
        except Odd:
            pass
    return odd.walk(read, size, at, is_implicit=start.implicit, big_endian=big_endian), False


def _inflate(read: ReadAt, size: int, at: int) -> bytes:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    pieces: list[bytes] = []
    room = _MOST_INFLATED
    try:
        while at < size and not inflater.eof and (chunk := read(at, min(_CHUNK, size - at))):
            at += len(chunk)
            pieces.append(inflater.decompress(chunk, room))
            room -= len(pieces[-1])
            if room <= 0:
                raise BrokenDicom("its deflated data set is larger than 512 MiB", COPY_AGAIN)
    except zlib.error as error:
        raise BrokenDicom("its deflated data set cannot be inflated", COPY_AGAIN) from error
    if not inflater.eof:
        raise BrokenDicom("its deflated data set is truncated", COPY_AGAIN)
    return b"".join(pieces)


def _inflated(data: bytes) -> Walked:
    """Goes through an inflated data set; nothing of it but the pixel data is left out."""

    def read(offset: int, length: int) -> bytes:
        return data[offset : offset + length]

    try:
        return walk(read, len(data), data[:_HEAD], 0, is_implicit=False, omit=False)
    except Odd as error:
        raise BrokenDicom("its deflated data set cannot be read", COPY_AGAIN) from error


@cache
def _keywords() -> Mapping[int, str]:
    return {key_of_tag(tag_of(keyword) or 0): keyword for keyword in INDEX}


def _attributes(walked: Walked, charset: text.Encodings) -> dict[str, str]:
    """The index attributes as text; Specific Character Set is none of them."""
    keywords = _keywords()
    names: list[str] = []
    values: list[bytes] = []
    numbers: dict[str, str] = {}
    for key, (vr, value) in walked.found.items():
        if vr in _NO_TEXT or key == CHARACTER_SET:
            continue
        if vr in _NUMBERS:
            numbers[keywords[key]] = _numbers(_NUMBERS[vr], value)
        else:
            names.append(keywords[key])
            values.append(value)
    attributes = dict(zip(names, _texts(values, charset), strict=True)) | numbers
    if all(attributes.values()):
        return attributes
    return {keyword: value for keyword, value in attributes.items() if value}


def _texts(values: list[bytes], charset: text.Encodings) -> list[str]:
    """Texts without padding. They are nearly always plain ASCII, and then decoded at once, as one.

    NUL is no character of DICOM but a common padding, and databases refuse it.
    """
    joined = b"\x1f".join(values)
    if joined.isascii() and b"\x1b" not in joined and joined.count(b"\x1f") == len(values) - 1:
        texts = joined.decode("ascii").replace("\0", "")
        if "  " not in texts:
            for padded in (" \x1f", "\x1f ", " \\", "\\ "):
                texts = texts.replace(padded, padded.strip(" "))
            return texts.strip(" ").split("\x1f")
        each = texts.split("\x1f")
    else:
        each = [text.decode(value, charset).replace("\0", "") for value in values]
    return ["\\".join([part.strip(" ") for part in one.split("\\")]) for one in each]


def _numbers(form: struct.Struct, value: bytes) -> str:
    if len(value) == form.size:
        return str(form.unpack(value)[0])
    return "\\".join(
        str(number) for (number,) in form.iter_unpack(value[: len(value) // form.size * form.size])
    )


def _uid(value: bytes) -> str:
    return value.decode("latin-1").strip(" \0")
