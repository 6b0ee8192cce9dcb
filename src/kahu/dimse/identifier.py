"""Identifiers: the small data sets of C-FIND, C-GET and C-MOVE, as bytes and as data sets (PS3.4 C.4)."""

from collections.abc import Iterable
from io import BytesIO

from pydicom import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset

from kahu.dicom.malformed import MALFORMED
from kahu.dicom.text import quietly
from kahu.dimse.contexts import EXPLICIT_BE, IMPLICIT_LE
from kahu.dimse.stream import Buffer
from kahu.errors import BadRequest

MOST = 4 << 20
"""bytes of an identifier that are taken"""


def decode(pieces: Iterable[Buffer], transfer_syntax: str) -> Dataset:
    """The identifier whose bytes these are, in a native transfer syntax. BadRequest: it cannot be read."""
    data = bytearray()
    for piece in pieces:
        data += piece
        if len(data) > MOST:
            raise BadRequest("the identifier is too long")
    implicit, little = transfer_syntax == IMPLICIT_LE, transfer_syntax != EXPLICIT_BE
    try:
        with quietly():
            dataset = read_dataset(BytesIO(data), implicit, little)
            list(dataset.iterall())  # values are only read when they are looked at
    except (*MALFORMED, EOFError, RecursionError) as error:
        raise BadRequest("the identifier cannot be read") from error
    return dataset


def encode(identifier: Dataset, transfer_syntax: str) -> bytes:
    """The bytes of an identifier in a native transfer syntax; text in UTF-8 where it names no character set."""
    out = DicomBytesIO()
    out.is_implicit_VR = transfer_syntax == IMPLICIT_LE
    out.is_little_endian = transfer_syntax != EXPLICIT_BE
    with quietly():
        write_dataset(out, identifier, "ISO_IR 192")
    return bytes(out.getvalue())
