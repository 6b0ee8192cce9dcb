"""DICOM JSON becomes a file that says the same; what it cannot say is refused in words."""

import base64
import math
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import msgspec
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kahu.dicom.header import read_header
from kahu.dicom.json_model import to_json
from kahu.dicom.json_read import Bulk, instances, to_file
from kahu.errors import BadRequest, BrokenDicom
from kahu.testing import samples

UIDS = {
    "00080016": {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.7"]},
    "00080018": {"vr": "UI", "Value": ["1.2.3"]},
    "0020000D": {"vr": "UI", "Value": ["1.2"]},
    "0020000E": {"vr": "UI", "Value": ["1.2.1"]},
}


def nothing(_uri: str) -> Bulk:
    raise BrokenDicom("no such bulk data")


def file_of(instance: dict[str, Any], find: Any = nothing) -> bytes:
    return b"".join(to_file(instance, find))


def said_of(data: bytes) -> Any:
    """What `json_model` says of a file."""
    header = read_header(lambda offset, length: data[offset : offset + length], len(data))
    vr = header.pixels.vr if header.pixels else None
    document = to_json(header.raw, header.implicit, header.omitted, pixels_vr=vr, bulk_base="kahu-bulk:")
    return msgspec.json.decode(document)


def test_a_file_that_pydicom_reads() -> None:
    instance = {
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎"}]},
        "00100020": {"vr": "LO", "Value": ["P-1"]},
        "00101010": {"vr": "AS"},
        "00280030": {"vr": "DS", "Value": [0.5, 1 / 3]},
        "00200013": {"vr": "IS", "Value": [7]},
        "00280010": {"vr": "US", "Value": [512]},
        "00081140": {"vr": "SQ", "Value": [{"00081155": {"vr": "UI", "Value": ["1.2.3.4"]}}, {}]},
        "00209165": {"vr": "AT", "Value": ["00209057"]},
        "00090010": {"vr": "LO", "Value": ["KAHU"]},
        "00091001": {"vr": "OB", "InlineBinary": base64.b64encode(b"abc").decode()},
        "00020010": {"vr": "UI", "Value": ["1.2.840.10008.1.2.4.50"]},
        **UIDS,
    }
    ds = pydicom.dcmread(BytesIO(file_of(instance)))
    assert ds.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert ds.file_meta.MediaStorageSOPInstanceUID == "1.2.3"
    assert ds.SpecificCharacterSet == "ISO_IR 192"
    assert ds.PatientName.ideographic == "山田^太郎"
    assert ds.PixelSpacing == [0.5, pytest.approx(1 / 3)]
    assert max(map(len, str(ds.PixelSpacing))) <= 16
    assert [len(item) for item in ds.ReferencedImageSequence] == [1, 0]
    assert ds.DimensionIndexPointer == 0x00209057
    assert ds[0x00091001].value == b"abc\0"


TEXT = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\\^="), min_size=1, max_size=12
)
STRIPPED = TEXT.map(str.strip).filter(bool)
PARTS = st.lists(STRIPPED, min_size=1, max_size=3)
COUNT = st.lists(st.integers(-(2**15), 2**15 - 1), min_size=1, max_size=3)
BYTES = st.binary(min_size=2, max_size=20).filter(lambda value: len(value) % 2 == 0)
GROUPS = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("Alphabetic", "Ideographic", "Phonetic"), STRIPPED)
).filter(bool)
ATTRIBUTES = {
    "00080060": PARTS.map(lambda v: {"vr": "CS", "Value": v}),
    "00081030": PARTS.map(lambda v: {"vr": "LO", "Value": v}),
    "00100010": st.lists(GROUPS, min_size=1, max_size=2).map(lambda v: {"vr": "PN", "Value": v}),
    "00104000": STRIPPED.map(lambda v: {"vr": "LT", "Value": [v]}),
    "00189219": COUNT.map(lambda v: {"vr": "SS", "Value": v}),
    "00280010": COUNT.map(lambda v: {"vr": "US", "Value": [abs(n) for n in v]}),
    "00186020": COUNT.map(lambda v: {"vr": "SL", "Value": v}),
    "00200013": COUNT.map(lambda v: {"vr": "IS", "Value": v}),
    "00281050": st.lists(st.integers(-(10**9), 10**9).map(lambda n: n / 1000), min_size=1, max_size=3).map(
        lambda v: {"vr": "DS", "Value": v}
    ),
    "00189087": st.lists(st.floats(), min_size=1).map(
        lambda v: {"vr": "FD", "Value": [n if math.isfinite(n) else unwritable(n) for n in v]}
    ),
    "00200051": st.just({"vr": "UI"}),
    "00209165": st.just({"vr": "AT", "Value": ["00209057", "7FE00010"]}),
    "00420011": BYTES.map(lambda v: {"vr": "OB", "InlineBinary": base64.b64encode(v).decode()}),
    "00091001": BYTES.map(lambda v: {"vr": "UN", "InlineBinary": base64.b64encode(v).decode()}),
    "00140023": st.integers(0, 2**64 - 1).map(lambda v: {"vr": "UV", "Value": [v if v <= 2**53 else str(v)]}),
}


def unwritable(number: float) -> str:
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"


FLAT = st.fixed_dictionaries({}, optional=ATTRIBUTES)
NESTED = st.recursive(
    FLAT,
    lambda inner: st.tuples(FLAT, st.lists(inner, min_size=1, max_size=2)).map(
        lambda pair: pair[0] | {"00400260": {"vr": "SQ", "Value": pair[1]}}
    ),
    max_leaves=4,
)


@given(NESTED)
def test_what_is_written_says_what_was_given(attributes: dict[str, Any]) -> None:
    said = said_of(file_of(attributes | UIDS))
    said.pop("00080005", None)
    assert said == attributes | UIDS


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"])
def test_what_is_said_of_a_sample_makes_it_again(syntax: str) -> None:
    ds = samples.multiframe(transfer_syntax=syntax)
    ds.InstanceCreatorUID = None
    said = said_of(samples.encode(ds))
    pixels = b"".join(ds.pixel_array.astype("<u2").tobytes() for _ in (1,))

    def find(uri: str) -> Bulk:
        assert uri == "kahu-bulk:/7FE00010"
        return Bulk([lambda: iter([pixels[:7], pixels[7:]])], len(pixels))

    again = file_of(said, find)
    assert said_of(again) == said
    assert (pydicom.dcmread(BytesIO(again)).pixel_array == ds.pixel_array).all()


def test_compressed_frames_are_encapsulated() -> None:
    syntax = "1.2.840.10008.1.2.4.80"
    ds = samples.multiframe(frames=3, transfer_syntax=syntax)
    frames = list(pydicom.encaps.generate_frames(ds.PixelData, number_of_frames=3))
    said = said_of(samples.encode(ds))
    bulk = Bulk([lambda f=f: [f] for f in frames], sum(map(len, frames)), syntax)  # type: ignore[misc]
    again = pydicom.dcmread(BytesIO(file_of(said, lambda _: bulk)))
    assert again.file_meta.TransferSyntaxUID == syntax
    assert [
        frame.rstrip(b"\0") for frame in pydicom.encaps.generate_frames(again.PixelData, number_of_frames=3)
    ] == [frame.rstrip(b"\0") for frame in frames]


def test_bulk_data_are_not_held_in_memory() -> None:
    pieces = (bytes(1 << 20) for _ in range(64))
    given_of: list[bytes] = []

    def pass_by() -> Iterator[bytes]:
        for piece in pieces:
            given_of.append(piece)
            yield piece
            given_of.pop()

    said = UIDS | {"7FE00010": {"vr": "OW", "BulkDataURI": "x"}}
    length = 0
    for piece in to_file(said, lambda _: Bulk([pass_by], 64 << 20)):
        length += len(piece)
        assert len(given_of) <= 1
    assert length > 64 << 20


@pytest.mark.parametrize(
    ("name", "attribute"),
    [
        ("00280010", {"vr": "US", "Value": [65536]}),
        ("00280010", {"vr": "US", "Value": ["many"]}),
        ("00280010", {"vr": "US", "Value": [1.5]}),
        ("00280010", {"vr": "US", "Value": 1}),
        ("00100020", {"vr": "LO", "Value": [["nested"]]}),
        ("00100020", {"vr": "XX", "Value": ["x"]}),
        ("00100020", {"vr": 5}),
        ("00100020", "P-1"),
        ("00100020", {"vr": "LO", "Value": ["\ud800"]}),
        ("00100010", {"vr": "PN", "Value": [5]}),
        ("00081140", {"vr": "SQ", "Value": ["x"]}),
        ("00081140", {"vr": "SQ", "InlineBinary": "AAAA"}),
        ("00420011", {"vr": "OB", "InlineBinary": "%"}),
        ("00420011", {"vr": "OB", "Value": [1]}),
        ("00420011", {"vr": "OB", "InlineBinary": "AAAA", "BulkDataURI": "x"}),
        ("00420011", {"vr": "OB", "BulkDataURI": 7}),
        ("00420011", {"vr": "OB", "BulkDataURI": "http://elsewhere/1"}),
        ("00209165", {"vr": "AT", "Value": ["PatientID"]}),
        ("00281050", {"vr": "DS", "Value": [True]}),
        ("PatientID", {"vr": "LO", "Value": ["x"]}),
    ],
)
def test_what_cannot_be_written_is_refused(name: str, attribute: Any) -> None:
    with pytest.raises(BrokenDicom) as refused:
        file_of({**UIDS, name: attribute})
    assert refused.value.hint or "bulk" in str(refused.value)


def test_what_is_nested_too_deep_is_refused() -> None:
    item: dict[str, Any] = {}
    for _ in range(100):
        item = {"00081140": {"vr": "SQ", "Value": [item]}}
    with pytest.raises(BrokenDicom):
        file_of(UIDS | item)


@pytest.mark.parametrize("document", [b"", b"[", b'["x"]', b"5", b'{"a": \xff}', b"[" * 100_000])
def test_what_is_no_document_is_refused(document: bytes) -> None:
    with pytest.raises(BadRequest):
        instances(document)


def test_one_data_set_or_an_array() -> None:
    assert instances(b'{"00080018": {}}') == instances(b'[{"00080018": {}}]') == [{"00080018": {}}]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)
ANY = st.dictionaries(
    st.sampled_from([*ATTRIBUTES, "00081140", "7FE00010", "00000002", "x"]),
    st.fixed_dictionaries(
        {},
        optional={
            "vr": JSON | st.sampled_from(["SQ", "OB", "DS", "PN"]),
            "Value": JSON,
            "InlineBinary": JSON,
        },
    )
    | JSON,
    max_size=4,
)


@given(ANY)
def test_anything_is_written_or_refused(attributes: dict[str, Any]) -> None:
    try:
        data = file_of({**attributes, **UIDS})
    except BrokenDicom:
        return
    read_header(lambda offset, length: data[offset : offset + length], len(data))
