"""Any data set that pydicom writes reads back as it was; any bytes at all do no harm."""

import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from kahu.dicom.header import Header, Omitted, read_header
from kahu.dicom.json_model import to_json, value_at
from kahu.errors import NotDicom
from kahu.testing import samples

SYNTAXES = [
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
]
CHARSETS = {"ISO_IR 100": "latin-1", "ISO_IR 144": "iso8859-5", "ISO_IR 192": "utf-8", "GB18030": "gb18030"}
IDENTITY = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")


def header_of(data: bytes) -> Header:
    return read_header(lambda offset, length: data[offset : offset + length], len(data))


def json_of(header: Header) -> dict[str, Any]:
    vr = header.pixels.vr if header.pixels else None
    document = to_json(header.raw, header.implicit, header.omitted, pixels_vr=vr, bulk_base="B")
    parsed: dict[str, Any] = json.loads(document)
    return parsed


def words(encoding: str) -> st.SearchStrategy[str]:
    """Text without what delimits values and groups, or is padding."""
    # In GB18030 the second byte of a character may be a backslash: pydicom, like most, does not write that.
    alphabet = st.characters(codec=encoding, categories=["L", "N"]).filter(
        lambda c: b"\\" not in c.encode(encoding)
    )
    return st.text(alphabet, min_size=1, max_size=20)


def _even(value: bytes) -> bytes:
    return value + b"\0" * (len(value) % 2)


def numbers(low: int, high: int) -> st.SearchStrategy[Any]:
    return st.integers(low, high) | st.lists(st.integers(low, high), min_size=2, max_size=5)


def elements(encoding: str, deep: int) -> st.SearchStrategy[dict[str, Any]]:
    word = words(encoding)
    known: dict[str, st.SearchStrategy[Any]] = {
        "StudyDescription": word,
        "ProtocolName": word,
        "InstitutionName": word,
        "PatientName": st.lists(word, min_size=1, max_size=3).map("=".join),
        "ReferringPhysicianName": word | st.just(""),
        "ImageType": st.lists(st.from_regex(r"[A-Z0-9_]{1,16}", fullmatch=True), min_size=2, max_size=4),
        "StudyDate": st.dates().map(lambda date: date.strftime("%Y%m%d").rjust(8, "0")) | st.just(""),
        "SliceThickness": st.integers(-99999, 99999).map(lambda n: str(n / 100)),
        "SeriesNumber": st.integers(-(2**31), 2**31 - 1).map(str),
        "Rows": st.integers(0, 65535),
        "RedPaletteColorLookupTableDescriptor": st.lists(st.integers(0, 65535), min_size=3, max_size=3),
        "SimpleFrameList": numbers(1, 2**32 - 1),
        "ReferencePixelX0": numbers(-(2**31), 2**31 - 1),
        "SingleCollimationWidth": st.floats(allow_nan=False, allow_infinity=False),
        "FrameIncrementPointer": st.sampled_from([0x00181063, 0x00540010]),
        "ICCProfile": st.binary(min_size=2, max_size=200).map(_even),
        "TextValue": word,
    }
    if deep:
        nested = st.lists(elements(encoding, deep - 1), max_size=3)
        known["ContentSequence"] = known["ReferencedImageSequence"] = nested
    return st.fixed_dictionaries({}, optional=known)


@st.composite
def datasets(draw: st.DrawFn) -> Dataset:
    charset = draw(st.sampled_from(sorted(CHARSETS)))
    undefined = draw(st.booleans())

    def build(values: dict[str, Any]) -> Dataset:
        ds = Dataset()
        for keyword, value in values.items():
            if keyword.endswith("Sequence"):
                setattr(ds, keyword, [build(item) for item in value])
                ds[keyword].is_undefined_length = undefined
            else:
                setattr(ds, keyword, value)
        ds.is_undefined_length_sequence_item = undefined
        return ds

    ds = build(draw(elements(CHARSETS[charset], deep=2)))
    ds.SpecificCharacterSet = charset
    for n, keyword in enumerate(IDENTITY):
        setattr(ds, keyword, samples.uid("property", n))
    block = ds.private_block(0x0011, "KAHU", create=True)
    block.add_new(1, "UN", draw(st.binary(min_size=2, max_size=30).map(_even)))
    return ds


def written(ds: Dataset, syntax: str) -> bytes:
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = syntax
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    out = BytesIO()
    ds.save_as(out, enforce_file_format=True)
    return out.getvalue()


def as_text(value: Any) -> str:
    many = value if isinstance(value, list | pydicom.multival.MultiValue) else [value]
    return "\\".join(str(one) for one in many)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ds=datasets(), syntax=st.sampled_from(SYNTAXES), tail=st.binary(max_size=20))
def test_what_pydicom_writes_reads_back(ds: Dataset, syntax: str, tail: bytes) -> None:
    ds.PixelData = bytes(50)
    ds["PixelData"].VR = "OW"
    ds.BitsAllocated, ds.PixelRepresentation = 16, 0
    data = written(ds, syntax)
    if syntax != DeflatedExplicitVRLittleEndian:
        data += tail  # what stands behind the pixels without being an element
    header = header_of(data)
    for keyword in ("StudyDescription", "PatientName", "ImageType", "StudyDate", "SliceThickness", "Rows"):
        expected = as_text(ds.get(keyword, "")) if ds.get(keyword) is not None else ""
        assert header.attributes.get(keyword, "") == expected

    again = Dataset.from_json(json.dumps(json_of(header)), lambda *_: b"")
    del again.PixelData, ds.PixelData
    ds.SpecificCharacterSet = "ISO_IR 192"
    assert again == ds


BASES = [
    samples.encode(samples.instance(rows=4, columns=4, transfer_syntax=syntax))
    for syntax in samples.TRANSFER_SYNTAXES
] + [
    path.read_bytes()
    for name in ("reportsi.dcm", "rtplan.dcm", "UN_sequence.dcm", "nested_priv_SQ.dcm", "MR_small_expb.dcm")
    for path in [Path(pydicom.__file__ or "").parent / "data/test_files" / name]
]
PIECES = st.sampled_from(
    [
        b"\xff" * 4,
        bytes(4),
        b"\xfe\xff\x00\xe0",
        b"\xfe\xff\x0d\xe0",
        b"\xfe\xff\xdd\xe0",
        b"SQ",
        b"UN",
        b"\x1b",
    ]
)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    data = draw(st.sampled_from(BASES))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        piece = draw(PIECES | st.binary(max_size=12))
        kept = draw(st.sampled_from([at, at + len(piece), at + 1, at + 40, len(data)]))
        data = data[:at] + piece + data[kept:]
    return data


def uris(instance: dict[str, Any]) -> Iterator[str]:
    for attribute in instance.values():
        if "BulkDataURI" in attribute:
            yield attribute["BulkDataURI"]
        for item in attribute.get("Value", []) if attribute["vr"] == "SQ" else []:
            yield from uris(item)


@settings(max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    data=damaged() | st.binary(max_size=300) | st.binary(max_size=300).map(lambda b: bytes(128) + b"DICM" + b)
)
def test_any_bytes_are_an_object_or_refused(data: bytes) -> None:
    try:
        header = header_of(data)
    except NotDicom:
        return
    assert all(header.attributes[keyword] for keyword in IDENTITY)
    pixels = header.pixels
    if pixels is not None and pixels.length is not None and pixels.offset >= 0:
        assert pixels.offset + pixels.length <= len(data)
    for uri in uris(json_of(header)):
        if uri.removeprefix("B/") in ("7FE00008", "7FE00009", "7FE00010"):
            continue
        value = value_at(header.raw, header.implicit, header.omitted, uri.removeprefix("B/"))
        if isinstance(value, Omitted):
            assert 0 <= value.offset <= len(data) - value.length
        else:
            assert len(value) > 1024
