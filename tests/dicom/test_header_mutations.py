"""Real files, broken on purpose: each is read as pydicom reads it, or refused."""

import random
import struct
import warnings
from collections import Counter
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import data_store
import pydicom
import pytest
from pydicom.dataset import Dataset, FileDataset

from kahu.dicom.attributes import INDEX
from kahu.dicom.header import Header, read_header
from kahu.errors import NotDicom
from kahu.testing import samples

ROOTS = [Path(package.__file__ or "").parent / "data" for package in (pydicom, data_store)]
FILES = sorted(path for root in ROOTS for path in root.rglob("*") if path.is_file())
UIDS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
PIECES = (
    b"\xff" * 4,
    bytes(4),
    b"SQ",
    b"UN",
    b"\x1b",
    *(b"\xfe\xff%b\xe0" % end for end in (b"\0", b"\r", b"\xdd")),
)
MUTATIONS = 6000


def header_of(data: bytes) -> Header:
    return read_header(lambda offset, length: data[offset : offset + length], len(data))


def real_objects() -> Iterator[bytes]:
    for path in FILES:
        if path.stat().st_size > 100_000:
            continue
        data = path.read_bytes()
        try:
            header_of(data)
        except NotDicom:
            continue
        yield data


def broken(chance: random.Random, data: bytes) -> bytes:
    """Cut off, with bits turned, bytes put in, taken out, or copied from elsewhere; mostly in its header."""

    def anywhere() -> int:
        return chance.randrange(min(len(data), chance.choice((400, 1500, 4000, len(data)))) + 1)

    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        at, piece = anywhere(), chance.choice(PIECES)
        match chance.randrange(7):
            case 0:
                data = data[:at]
            case 1:
                data = data[:at] + chance.randbytes(1) + data[at + 1 :]
            case 2:
                data = data[:at] + chance.randbytes(chance.randrange(1, 12)) + data[at:]
            case 3:
                data = data[:at] + data[at + chance.randrange(1, 20) :]
            case 4:
                data = data[:at] + piece + data[at + len(piece) :]
            case 5:
                copied = anywhere()
                data = data[:at] + data[copied : copied + chance.randrange(1, 64)] + data[at:]
            case _:
                data += chance.randbytes(chance.randrange(1, 40))
    return data


def by_pydicom(data: bytes) -> FileDataset | None:
    """None: pydicom fails, or finds nothing at all in it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ds = pydicom.dcmread(BytesIO(data), force=True)
            texts = [str(ds.get(keyword)) for keyword in INDEX]
        except Exception:  # noqa: BLE001 - of any kind: it was not made for such files
            return None
    return ds if texts and all(ds.get(keyword) for keyword in UIDS) else None


def text(ds: Dataset, keyword: str) -> str:
    value = ds.get(keyword)
    many = value if isinstance(value, list | pydicom.multival.MultiValue) else [value]
    return "" if value is None else "\\".join(str(one).replace("\0", "").strip(" =") for one in many)


def is_plain(value: str) -> bool:
    """Whether this can be a value at all: of what cannot, each reader makes something else."""
    return value.isascii() and value.isprintable() and len(value) < 1000


def test_what_is_broken_is_read_as_pydicom_does_or_refused() -> None:
    chance = random.Random(20240517)
    bases = list(real_objects())
    assert len(bases) > 150
    met: Counter[str] = Counter()
    for _ in range(MUTATIONS):
        data = broken(chance, chance.choice(bases))
        try:
            header = header_of(data)
        except NotDicom:
            met["refused"] += 1
            continue
        ds = by_pydicom(data)
        if ds is None:
            met["read alone"] += 1
            continue
        met["read alike"] += 1
        for keyword in INDEX:
            ours, theirs = header.attributes.get(keyword, ""), text(ds, keyword)
            if is_plain(ours) and is_plain(theirs):
                assert ours.strip(" =") == theirs, keyword
    assert met["read alike"] > MUTATIONS / 5
    assert met["refused"] > MUTATIONS / 5


@pytest.mark.parametrize(
    ("inserted", "expected"),
    [
        (struct.pack("<HH2sHI", 8, 0, b"UL", 4, 0xFFFFFFF0), "CT"),  # a group length that lies
        (struct.pack("<HH2sH", 8, 0x60, b"CS", 2) + b"XX", "CT"),  # the same tag twice: the last counts
        (struct.pack("<HH2sH", 8, 0x1090, b"LO", 0), "CT"),  # tags in no order
        (struct.pack("<HH2sHI", 9, 0x1001, b"UN", 0, 0), "CT"),  # private, without its creator
        (struct.pack("<HH2sHI", 8, 1, b"UL", 4, 1_000_000), "CT"),  # Length to End of ACR-NEMA
    ],
)
def test_oddities_do_no_harm(inserted: bytes, expected: str) -> None:
    data = samples.encode(samples.instance())
    at = header_of(data).dataset_offset
    header = header_of(data[:at] + inserted + data[at:])
    assert header.attributes["Modality"] == expected
    assert inserted in header.raw
