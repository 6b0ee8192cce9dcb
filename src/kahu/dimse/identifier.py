"""Identifiers: the small data sets of C-FIND, C-GET and C-MOVE, as bytes and as data sets (PS3.4 C.4)."""

from collections.abc import Iterable
from io import BytesIO

from pydicom import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset

from kahu.dicom.malformed import MALFORMED
from kahu.dicom.syntaxes import EXPLICIT_BE, IMPLICIT_LE
from kahu.dicom.text import quietly
from kahu.dimse.stream import Buffer
from kahu.errors import AssociationLost, BadRequest

MOST = 4 << 20
"""bytes of an identifier that are taken"""


def decode(pieces: Iterable[Buffer], transfer_syntax: str) -> Dataset:
    """The identifier of a request, in a native transfer syntax. BadRequest: it, or a value in it, cannot be read."""
    try:
        with quietly():
            dataset = _read(pieces, transfer_syntax)
            list(dataset.iterall())  # values are only read when they are looked at
    except (*MALFORMED, EOFError, RecursionError) as error:
        raise BadRequest("the identifier cannot be read") from error
    return dataset


def decode_answer(pieces: Iterable[Buffer], transfer_syntax: str) -> Dataset:
    """The identifier of a peer's response; its values are read when they are looked at, so that one that cannot be
    read is missed alone. AssociationLost: nothing of it can be read."""
    try:
        with quietly():
            return _read(pieces, transfer_syntax)
    except (*MALFORMED, EOFError, BadRequest) as error:
        raise AssociationLost("the peer has sent an identifier that cannot be read") from error


def encode(identifier: Dataset, transfer_syntax: str) -> bytes:
    """The bytes of an identifier in a native transfer syntax; text in UTF-8 where it names no character set."""
    out = DicomBytesIO()
    out.is_implicit_VR = transfer_syntax == IMPLICIT_LE
    out.is_little_endian = transfer_syntax != EXPLICIT_BE
    with quietly():
        write_dataset(out, identifier, "ISO_IR 192")
    return bytes(out.getvalue())


def _read(pieces: Iterable[Buffer], transfer_syntax: str) -> Dataset:
    data = bytearray()
    for piece in pieces:
        data += piece
        if len(data) > MOST:
            raise BadRequest("the identifier is too long")
    return read_dataset(BytesIO(data), transfer_syntax == IMPLICIT_LE, transfer_syntax != EXPLICIT_BE)
