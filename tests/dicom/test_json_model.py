"""What a client reads in the DICOM JSON of an instance, and gets by its BulkDataURIs."""

import json
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from kahu.dicom.header import Header, Omitted, read_header
from kahu.dicom.json_model import BULK_PREFIX, bulk_base, to_json, value_at, values_of_text
from kahu.errors import NotFound
from kahu.testing import samples

SYNTAXES = [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian]
LITTLE = SYNTAXES[:2]


def element(tag: int, vr: str, value: bytes, length: int | None = None) -> bytes:
    """An element in explicit VR little endian; in implicit VR for the VR ""."""
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
    length = len(value) if length is None else length
    if vr == "":
        return head + struct.pack("<I", length) + value
    if vr in ("OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"):
        return head + vr.encode() + struct.pack("<HI", 0, length) + value
    return head + vr.encode() + struct.pack("<H", length) + value


def item(value: bytes) -> bytes:
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(value)) + value


def instance(raw: bytes, omitted: Sequence[Omitted] = (), *, implicit: bool = False) -> dict[str, Any]:
    document = to_json(raw, implicit, omitted, pixels_vr=None, bulk_base="B")
    parsed: dict[str, Any] = json.loads(document, parse_constant=pytest.fail)
    assert list(parsed) == sorted(parsed)
    return parsed


def header_of(ds: Dataset) -> Header:
    data = samples.encode(ds)
    return read_header(lambda offset, length: data[offset : offset + length], len(data))


def test_every_kind_of_value() -> None:
    raw = b"".join(
        [
            element(0x00080000, "UL", b"\1\0\0\0"),
            element(0x00080005, "CS", b"ISO_IR 100"),
            element(0x00080008, "CS", b"ORIGINAL\\PRIMARY\\ "),
            element(0x00080020, "DA", b"20240517"),
            element(0x00081140, "SQ", item(element(0x00081155, "UI", b"1.2.3\0")) + item(b"")),
            element(0x00081150, "UI", b""),
            element(0x00091010, "OB", b"\1\2\3"),
            element(0x00100010, "PN", "Buc^Jérôme=山=".encode("latin-1", "replace") + b"\\\\Doe "),
            element(0x00104000, "LT", b" one\\two\r\nthree "),
            element(0x00181063, "DS", b"1.50 \\-2e3\\"),
            element(0x00200013, "IS", b" 7 "),
            element(0x00209165, "AT", struct.pack("<4H", 0x20, 0x9057, 0x18, 0x9074)),
            element(0x00280010, "US", b"\0\2"),
            element(0x00281052, "DS", b""),
            element(0x00480102, "FL", struct.pack("<f", 0.5)),
            element(0x00720082, "SV", struct.pack("<2q", -5, -(2**60))),
        ]
    )
    assert instance(raw) == {
        "00080005": {"vr": "CS", "Value": ["ISO_IR 192"]},
        "00080008": {"vr": "CS", "Value": ["ORIGINAL", "PRIMARY", None]},
        "00080020": {"vr": "DA", "Value": ["20240517"]},
        "00081140": {"vr": "SQ", "Value": [{"00081155": {"vr": "UI", "Value": ["1.2.3"]}}, {}]},
        "00081150": {"vr": "UI"},
        "00091010": {"vr": "OB", "InlineBinary": "AQID"},
        "00100010": {
            "vr": "PN",
            "Value": [{"Alphabetic": "Buc^Jérôme", "Ideographic": "?"}, None, {"Alphabetic": "Doe"}],
        },
        "00104000": {"vr": "LT", "Value": [" one\\two\r\nthree"]},
        "00181063": {"vr": "DS", "Value": [1.5, -2000, None]},
        "00200013": {"vr": "IS", "Value": [7]},
        "00209165": {"vr": "AT", "Value": ["00209057", "00189074"]},
        "00280010": {"vr": "US", "Value": [512]},
        "00281052": {"vr": "DS"},
        "00480102": {"vr": "FL", "Value": [0.5]},
        "00720082": {"vr": "SV", "Value": [-5, str(-(2**60))]},
    }


@pytest.mark.parametrize(
    ("vr", "value", "expected"),
    [
        ("DS", b"1,5 ", ["1,5"]),
        ("DS", b"NaN ", ["NaN"]),
        ("DS", b"1e999 ", ["1e999"]),
        ("DS", b"\xff\xfe", ["ÿþ"]),
        ("IS", b"12.0", [12]),
        ("IS", b"12.5", ["12.5"]),
        ("IS", b"9" * 5000, ["9" * 5000]),
        ("IS", b"9007199254740993", ["9007199254740993"]),
        ("FD", struct.pack("<4d", float("nan"), float("inf"), -float("inf"), 1), ["NaN", "Infinity", "-Infinity", 1]),
        ("FL", struct.pack("<f", float("nan")), ["NaN"]),
        ("UV", struct.pack("<Q", 2**64 - 1), [str(2**64 - 1)]),
        ("LO", b'a"\\b\x00\x1f', ['a"', "b\0\x1f"]),
    ],
)  # fmt: skip
def test_what_json_has_no_numbers_for_is_text(vr: str, value: bytes, expected: list[Any]) -> None:
    assert instance(element(0x00091001, vr, value)) == {"00091001": {"vr": vr, "Value": expected}}


@pytest.mark.parametrize(("vr", "value"), [("US", b"\1"), ("FD", b"1234567"), ("AT", b"\x20\0\x10")])
def test_half_a_number_is_given_as_bytes(vr: str, value: bytes) -> None:
    assert instance(element(0x00091001, vr, value))["00091001"]["vr"] == "UN"


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_the_transfer_syntax_does_not_show(syntax: str) -> None:
    def document(ds: Dataset) -> bytes:
        header = header_of(ds)
        return to_json(header.raw, header.implicit, header.omitted, pixels_vr="OW", bulk_base="B")

    assert document(samples.multiframe(transfer_syntax=syntax)) == document(samples.multiframe())


@pytest.mark.parametrize(
    ("vr", "tag"), [("OB", "7FE00010"), ("OW", "7FE00010"), ("OF", "7FE00008"), ("OD", "7FE00009")]
)
def test_pixel_data_are_always_elsewhere(vr: str, tag: str) -> None:
    raw = element(0x00080060, "CS", b"CT") + element(0x7FE11001, "LO", b"behind")
    base = bulk_base("1.2", "1.3", "1.4")
    parsed = json.loads(to_json(raw, False, (), pixels_vr=vr, bulk_base=base))
    assert list(parsed) == ["00080060", tag, "7FE11001"]
    uri = f"{BULK_PREFIX}/studies/1.2/series/1.3/instances/1.4/bulkdata/{tag}"
    assert parsed[tag] == {"vr": vr, "BulkDataURI": uri}


def test_a_uid_that_is_none_makes_a_uri_all_the_same() -> None:
    assert bulk_base("1 2", "a/../b?", "é").endswith(
        "/studies/1%202/series/a%2F..%2Fb%3F/instances/%C3%A9/bulkdata"
    )


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_long_values_are_behind_their_uris(syntax: str) -> None:
    words = np.arange(900, dtype="<u2")
    stored = words.astype(">u2" if syntax == ExplicitVRBigEndian else "<u2").tobytes()
    ds = samples.instance(transfer_syntax=syntax)
    ds.RedPaletteColorLookupTableData = stored
    ds.IconImageSequence = [Dataset(), Dataset()]
    ds.IconImageSequence[1].ICCProfile = bytes(range(256)) * 5
    ds.IconImageSequence[1].IconImageSequence = [Dataset()]
    ds.IconImageSequence[1].IconImageSequence[0].ICCProfile = b"short"
    header = header_of(ds)
    parsed = json.loads(to_json(header.raw, header.implicit, header.omitted, pixels_vr=None, bulk_base="B"))
    assert parsed["00281201"] == {"vr": "OW", "BulkDataURI": "B/00281201"}
    nested = parsed["00880200"]["Value"][1]
    assert nested["00282000"] == {"vr": "OB", "BulkDataURI": "B/00880200/1/00282000"}

    def value(path: str) -> bytes:
        found = value_at(header.raw, header.implicit, header.omitted, path)
        if isinstance(found, Omitted):
            return samples.encode(ds)[found.offset : found.offset + found.length]
        return found

    assert value("00281201") == words.tobytes()
    assert value("00880200/1/00282000") == bytes(range(256)) * 5
    assert value("00880200/1/00880200/0/00282000").rstrip(b"\0") == b"short"
    assert value("00100020").strip() == b"P-1"


@pytest.mark.parametrize(
    "path",
    ["", "/", "x", "00100020/", "00100020/0/00100010", "00081140/9/00081155", "00081140/-1/00081155",
     "00081140/0", "00081140/0/00081150", "00081140/a/00081155", "00080008/0/00080008", "../../etc/passwd"],
)  # fmt: skip
def test_paths_that_lead_nowhere(path: str) -> None:
    raw = element(0x00081140, "SQ", item(element(0x00081155, "UI", b"1.2"))) + element(
        0x00100020, "LO", b"P1"
    )
    with pytest.raises(NotFound):
        value_at(raw, False, (), path)


@pytest.mark.parametrize("signed", [0, 1])
def test_numbers_that_may_be_signed_follow_pixel_representation(signed: int) -> None:
    inside = element(0x00283002, "", struct.pack("<3H", 0, 0xFFFF, 16)) + element(0x00283006, "", b"\1\0\2\0")
    raw = (
        element(0x00189810, "", b"\xff\xff")
        + element(0x00280103, "", struct.pack("<H", signed))
        + element(0x00280106, "", b"\xff\xff")
        + element(0x00283000, "", item(inside))
    )
    vr, value = ("SS", -1) if signed else ("US", 0xFFFF)
    parsed = instance(raw, implicit=True)
    assert parsed["00189810"] == parsed["00280106"] == {"vr": vr, "Value": [value]}
    lut = parsed["00283000"]["Value"][0]
    assert lut["00283002"] == {"vr": vr, "Value": [0, value, 16]}
    assert lut["00283006"] == {"vr": "OW", "InlineBinary": "AQACAA=="}


def test_private_attributes_are_kept() -> None:
    known = element(0x00190010, "", b"SIEMENS MR HEADER ") + element(0x0019100C, "", b"1000")
    unknown = element(0x00210010, "", b"NOBODY") + element(0x00211001, "", b"ab")
    alone = element(0x00231001, "", b"ab")
    assert instance(known + unknown + alone, implicit=True) == {
        "00190010": {"vr": "LO", "Value": ["SIEMENS MR HEADER"]},
        "0019100C": {"vr": "IS", "Value": [1000]},
        "00210010": {"vr": "LO", "Value": ["NOBODY"]},
        "00211001": {"vr": "UN", "InlineBinary": "YWI="},
        "00231001": {"vr": "UN", "InlineBinary": "YWI="},
    }


def test_unknown_is_looked_up() -> None:
    nested = item(element(0x00081155, "", b"1.2.3\0"))
    end = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    raw = (
        element(0x00080060, "UN", b"MR")
        + element(0x00081140, "UN", nested)
        + element(0x00091001, "UN", nested + end, length=0xFFFFFFFF)
        + element(0x00091002, "UN", b"\1")
    )
    sequence = {"vr": "SQ", "Value": [{"00081155": {"vr": "UI", "Value": ["1.2.3"]}}]}
    assert instance(raw) == {
        "00080060": {"vr": "CS", "Value": ["MR"]},
        "00081140": sequence,
        "00091001": sequence,
        "00091002": {"vr": "UN", "InlineBinary": "AQ=="},
    }


def test_an_item_may_have_its_own_character_set() -> None:
    greek = element(0x00080005, "CS", b"ISO_IR 126") + element(0x00100010, "PN", b"\xc4\xe9\xef")
    latin = element(0x00100010, "PN", b"\xc4\xe9\xef")
    raw = (
        element(0x00080005, "CS", b"ISO_IR 100")
        + element(0x00101002, "SQ", item(greek) + item(latin))
        + latin
    )
    parsed = instance(raw)
    names = [found["00100010"]["Value"] for found in (*parsed["00101002"]["Value"], parsed)]
    assert names == [[{"Alphabetic": "Διο"}], [{"Alphabetic": "Äéï"}], [{"Alphabetic": "Äéï"}]]


@pytest.mark.parametrize(
    "broken",
    [b"\1\2\3", b"\1\2\3\4\5\6\7\x08\x09", item(b"\1\2\3"), item(element(0x00081155, "UI", b"1.2", length=99)),
     item(element(0x00081155, "??", b"1.2"))],
)  # fmt: skip
def test_a_sequence_that_cannot_be_read_spoils_nothing_else(broken: bytes) -> None:
    inner = element(0x00081140, "SQ", broken)
    raw = (
        element(0x00080060, "CS", b"CT")
        + inner
        + element(0x00082112, "SQ", item(inner + element(0x00100020, "LO", b"P1")))
    )
    parsed = instance(raw)
    assert parsed["00080060"] == {"vr": "CS", "Value": ["CT"]}
    assert parsed["00081140"]["vr"] == "UN"
    assert parsed["00082112"]["Value"][0]["00081140"]["vr"] == "UN"
    assert parsed["00082112"]["Value"][0]["00100020"] == {"vr": "LO", "Value": ["P1"]}


@pytest.mark.parametrize("defined", [True, False])
@pytest.mark.parametrize("implicit", [True, False])
def test_sequences_deeper_than_anyone_nests_them(defined: bool, implicit: bool) -> None:
    raw = b""
    for _ in range(700):
        ends = [struct.pack("<HHI", 0xFFFE, tag, 0) for tag in (0xE00D, 0xE0DD)]
        content = item(raw) if defined else item(raw)[:4] + b"\xff" * 4 + raw + ends[0] + ends[1]
        raw = element(0x0040A730, "" if implicit else "SQ", content, None if defined else 0xFFFFFFFF)
    found = instance(raw, implicit=implicit)["0040A730"]
    depth = 1
    while found["vr"] == "SQ":
        found = found["Value"][0]["0040A730"]
        depth += 1
    assert depth == 65
    path = "/0/".join(["0040A730"] * depth)
    assert found == {"vr": "UN", "BulkDataURI": "B/" + path}
    value = value_at(raw, implicit, (), path)
    assert isinstance(value, bytes)
    assert value in raw


def test_rows_of_the_index_are_written_the_same_way() -> None:
    assert values_of_text("PN", "Wang^X=王=") == [{"Alphabetic": "Wang^X", "Ideographic": "王"}]
    assert values_of_text("CS", "CT\\\\MR") == ["CT", None, "MR"]
    assert values_of_text("US", "512") == [512]
    assert values_of_text("DS", "1.0\\x") == [1, "x"]
    assert values_of_text("LO", "") == []
