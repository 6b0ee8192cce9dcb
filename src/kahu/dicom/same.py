"""Whether two files say the same of one object, however they are written.

Who passes an object on often writes it anew: sequences and items with a length or without (PS3.5 §7.5), group lengths
(§7.2), padding. It says nothing else for that.
"""

from io import BytesIO

from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset

from kahu.dicom.header import DEFLATED, Header, PixelData, ReadAt, inflated, read_header
from kahu.dicom.malformed import MALFORMED
from kahu.dicom.text import quietly
from kahu.errors import NotDicom

__all__ = ["says_the_same"]

_PADDING = 0xFFFCFFFC  # Data Set Trailing Padding (PS3.10 §7.2): the last element there can be
_PADDING_BEGINS = b"\xfc\xff\xfc\xff"
_CHUNK = 1 << 20


def says_the_same(one: ReadAt, size: int, other: ReadAt, other_size: int) -> bool:
    """Whether two files, in one transfer syntax, hold equal data sets: the same attributes with the same values, and
    the same bytes of pixel data. Where that cannot be told, they do not."""
    try:
        first, second = read_header(one, size), read_header(other, other_size)
        if first.transfer_syntax_uid != second.transfer_syntax_uid:
            return False
        with quietly():
            if _dataset(first, one) != _dataset(second, other):
                return False
        return _same_pixels(_Pixels(first, one, size), _Pixels(second, other, other_size))
    except (NotDicom, *MALFORMED):
        return False


def _dataset(header: Header, read: ReadAt) -> Dataset:
    """All but the pixel data, and but what a writer may add or leave out."""
    raw, whole, done = header.raw, bytearray(), 0
    for gap in header.omitted:
        whole += raw[done : gap.at] + read(gap.offset, gap.length)
        done = gap.at
    whole += raw[done:]
    dataset = read_dataset(BytesIO(whole), header.implicit, is_little_endian=True)
    _strip(dataset)
    return dataset


def _strip(dataset: Dataset) -> None:
    for element in list(dataset):
        if element.tag.element == 0 or element.tag == _PADDING:
            del dataset[element.tag]
        elif element.VR == "SQ":
            for item in element.value:
                _strip(item)


class _Pixels:
    """Where the pixel data of a file are, and what comes behind."""

    def __init__(self, header: Header, read: ReadAt, size: int) -> None:
        self.read, self.size = read, size
        self.at: PixelData | None = header.pixels
        if self.at and header.transfer_syntax_uid in DEFLATED:
            data, self.at = inflated(read, size, header.dataset_offset)
            self.read, self.size = lambda offset, length: data[offset : offset + length], len(data)

    @property
    def end(self) -> int:
        """Behind their value; of encapsulated ones, the end of the file."""
        assert self.at
        return self.size if self.at.length is None else self.at.offset + self.at.length

    @property
    def is_last(self) -> bool:
        return self.read(self.end, 4) in (b"", _PADDING_BEGINS)


def _same_pixels(one: _Pixels, other: _Pixels) -> bool:
    if one.at is None or other.at is None:
        return one.at is other.at
    length = one.end - one.at.offset
    if other.end - other.at.offset != length or not (one.is_last and other.is_last):
        return False
    return all(
        one.read(one.at.offset + start, min(_CHUNK, length - start))
        == other.read(other.at.offset + start, min(_CHUNK, length - start))
        for start in range(0, length, _CHUNK)
    )
