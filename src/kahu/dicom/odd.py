"""Data sets that are not plain little endian: big endian, VRs that do not exist, delimiters astray.

pydicom reads them; here they become explicit VR little endian, as `walk` gives it.
"""

import struct
from dataclasses import replace
from io import SEEK_CUR, SEEK_END, SEEK_SET
from typing import Any

from pydicom.dataelem import RawDataElement, convert_raw_data_element
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset

from kahu.dicom import text
from kahu.dicom.attributes import PIXEL_DATA, one_vr, vr_of_tag
from kahu.dicom.elements import BINARY, ITEM, LONG, NUMBER_SIZES, SHORT, UNDEFINED, key_of_tag, turned
from kahu.dicom.walk import (
    COPY_AGAIN,
    LONG_VALUE,
    Omitted,
    PixelData,
    ReadAt,
    Walked,
    pixel_data,
    pixels_end,
    roles,
    truncated,
)
from kahu.errors import BrokenDicom, KahuError

_MOST_READS = 1_000_000
_MOST_VALUE = 256 << 20
_WINDOW = 64 << 10


def walk(read: ReadAt, size: int, at: int, *, is_implicit: bool, big_endian: bool) -> Walked:
    """Goes through the data set at `at` of a file. BrokenDicom: pydicom cannot read it either."""
    walked = _read(read, size, at, is_implicit, big_endian)
    if walked.pixels is None:
        return walked
    end = pixels_end(read, size, walked.pixels)
    if walked.pixels.length is None or size - end < 8:
        return walked
    try:
        behind = _read(read, size, end, is_implicit, big_endian)
    except BrokenDicom:
        return walked
    return walked.followed_by(behind)


def _read(read: ReadAt, size: int, at: int, is_implicit: bool, big_endian: bool) -> Walked:
    """The elements from `at` to the pixel data, or to the end."""
    file = _File(read, size, at)
    pixels: list[PixelData] = []

    def at_pixels(tag: int, vr: str | None, length: int) -> bool:
        if tag in PIXEL_DATA:
            pixels.append(pixel_data(tag, (vr or "").encode(), length, file.tell()))
        return tag in PIXEL_DATA

    try:
        with text.quietly():
            ds = read_dataset(file, is_implicit, not big_endian, stop_when=at_pixels, defer_size=LONG_VALUE)
            walked = _encode(ds, file, big_endian)
    except Exception as error:
        if file.failure is not None:
            raise file.failure from None
        if isinstance(error, KahuError):
            raise
        raise BrokenDicom("its data set cannot be read", COPY_AGAIN) from error
    return replace(walked, pixels=pixels[-1] if pixels else None)


def _encode(ds: Dataset, file: "_File", big_endian: bool) -> Walked:
    """A data set of values as they were read, long ones still in the file -> explicit VR little endian."""
    out = bytearray()
    omitted: list[Omitted] = []
    found: dict[int, tuple[bytes, bytes]] = {}
    looked_for = roles()
    for element in _sorted(ds):
        vr = _vr(element)
        if isinstance(element, RawDataElement):
            length = element.length
            if length == UNDEFINED:
                continue  # fragments where no pixel data are: nobody could tell what they mean
            if element.value_tell + length > file.size:
                raise BrokenDicom(truncated(element.tag), COPY_AGAIN)
            if element.value is None and length:
                if vr in BINARY and not (big_endian and vr in NUMBER_SIZES):
                    out += _element_header(element.tag, vr, length)
                    omitted.append(Omitted(len(out), element.value_tell, length))
                    continue
                element = element._replace(value=file.value(element.value_tell, length))
        vr, value = _value(element, vr, ds, big_endian)
        out += _element_header(element.tag, vr, len(value)) + value
        key = key_of_tag(element.tag)
        if key in looked_for and len(value) <= LONG_VALUE:
            found[key] = (looked_for[key] if vr == "UN" else vr.encode(), value)
    return Walked(bytes(out), tuple(omitted), None, found)


def _sorted(ds: Dataset) -> list[Any]:
    """The elements in the order of tags, as they were read; no group lengths: they would be wrong."""
    elements = (e for e in ds.values() if e.tag.group not in (0, 2, 0xFFFE) and e.tag.element != 0)
    return sorted(elements, key=lambda element: element.tag)


def _vr(element: Any) -> str:
    vr = one_vr(vr_of_tag(element.tag), signed=False) if element.VR is None else str(element.VR)
    return vr if vr.encode() in SHORT | LONG else "UN"


def _value(element: Any, vr: str, ds: Dataset, big_endian: bool) -> tuple[str, bytes]:
    """The VR and the value in little endian."""
    if vr == "SQ":
        if isinstance(element, RawDataElement):
            element = convert_raw_data_element(element._replace(VR="SQ"), ds=ds)
        return "SQ", b"".join(_item(item, big_endian) for item in element.value or ())
    value = bytes(element.value or b"")
    if big_endian and vr in NUMBER_SIZES:
        value = turned(value, NUMBER_SIZES[vr])
    if len(value) > 0xFFFF and vr.encode() in SHORT:
        vr = "UN"  # PS3.5 §6.2.2
    return vr, value


def _item(item: Dataset, big_endian: bool) -> bytes:
    body = bytearray()
    for element in _sorted(item):
        vr, value = _value(element, _vr(element), item, big_endian)
        body += _element_header(element.tag, vr, len(value)) + value
    return struct.pack("<II", ITEM, len(body)) + body


def _element_header(tag: int, vr: str, length: int) -> bytes:
    key = key_of_tag(tag)
    if vr.encode() in LONG:
        return struct.pack("<I2sHI", key, vr.encode(), 0, length)
    return struct.pack("<I2sH", key, vr.encode(), length)


class _File:
    """`read` as the file that pydicom reads. Ends a reading without end, remembers a failing `read`."""

    def __init__(self, read: ReadAt, size: int, at: int) -> None:
        self._read = read
        self.size = size
        self._at = at
        self._window = b""
        self._base = 0
        self._reads = 0
        self.failure: OSError | KahuError | None = None

    def value(self, at: int, length: int) -> bytes:
        self.seek(at)
        return self.read(length)

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = SEEK_SET) -> int:
        start = {SEEK_SET: 0, SEEK_CUR: self._at, SEEK_END: self.size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def read(self, length: int = -1) -> bytes:
        self._reads += 1
        rest = max(0, self.size - self._at)
        asked, length = length, rest if length < 0 else min(length, rest)
        if self._reads > _MOST_READS or length > _MOST_VALUE:
            raise BrokenDicom("its data set cannot be read in a reasonable time", COPY_AGAIN)
        start = self._at - self._base
        if start < 0 or start + length > len(self._window):
            try:
                self._window = self._read(self._at, max(length, _WINDOW))
            except (OSError, KahuError) as error:
                self.failure = error
                raise
            self._base, start = self._at, 0
        data = self._window[start : start + length]
        self._at += len(data)
        if 0 < len(data) < asked <= LONG_VALUE:
            raise BrokenDicom("it is truncated: it ends within an element", COPY_AGAIN)
        return data
