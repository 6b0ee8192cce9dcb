"""What a scan relies on: whose object a file is, what of it is kept, and what is refused in which words."""

import json
import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from kahu.dicom.elements import elements
from kahu.dicom.header import Header, ReadAt, dataset_digest, inflated, read_header
from kahu.dicom.json_model import to_json
from kahu.errors import BrokenDicom, BytesChanged, NotDicom
from kahu.testing import samples

TEST_FILES = Path(pydicom.__file__ or "").parent / "data/test_files"
NATIVE = samples.TRANSFER_SYNTAXES[:4]


def reader(data: bytes) -> ReadAt:
    return lambda offset, length: data[offset : offset + length]


def header_of(data: bytes) -> Header:
    return read_header(reader(data), len(data))


def element(tag: int, vr: str, value: bytes, length: int | None = None) -> bytes:
    """An element in explicit VR little endian."""
    head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr.encode())
    length = len(value) if length is None else length
    if vr in ("OB", "OW", "SQ", "UN", "UT"):
        return head + struct.pack("<HI", 0, length) + value
    return head + struct.pack("<H", length) + value


def body(*more: bytes, uids: bool = True) -> bytes:
    """A data set: what makes it an object, then `more`."""
    identity = (
        element(0x00080016, "UI", b"1.2.840.10008.5.1.4.1.1.7\0")
        + element(0x00080018, "UI", b"1.2.3.4\0")
        + element(0x00100010, "PN", b"Kealoha^Noa ")
        + element(0x0020000D, "UI", b"1.2.3\0")
        + element(0x0020000E, "UI", b"1.2.3.5\0")
    )
    return (identity if uids else b"") + b"".join(more)


def part10(dataset: bytes, syntax: str = ExplicitVRLittleEndian) -> bytes:
    uid = syntax.encode() + b"\0" * (len(syntax) % 2)
    meta = element(0x00020010, "UI", uid)
    return bytes(128) + b"DICM" + element(0x00020000, "UL", struct.pack("<I", len(meta))) + meta + dataset


# What is read


@pytest.mark.parametrize("syntax", samples.TRANSFER_SYNTAXES)
def test_an_object_is_the_same_in_every_transfer_syntax(syntax: str) -> None:
    ds = samples.instance(transfer_syntax=syntax, rows=16, columns=24)
    header = header_of(samples.encode(ds))
    plain = header_of(samples.encode(samples.instance(rows=16, columns=24)))
    assert header.attributes == plain.attributes
    assert header.transfer_syntax_uid == syntax
    assert (header.sop_instance_uid, header.sop_class_uid) == (ds.SOPInstanceUID, ds.SOPClassUID)
    assert (header.study_instance_uid, header.series_instance_uid) == (
        ds.StudyInstanceUID,
        ds.SeriesInstanceUID,
    )
    assert header.attributes["PatientName"] == "Kealoha^Noa"
    assert header.attributes["Rows"] == "16"
    assert header.attributes["PixelSpacing"] == "1.0\\1.0"


@pytest.mark.parametrize("syntax", samples.TRANSFER_SYNTAXES)
def test_the_pixels_are_where_it_says(syntax: str) -> None:
    ds = samples.instance(transfer_syntax=syntax, rows=16, columns=24)
    data = samples.encode(ds)
    pixels = header_of(data).pixels
    assert pixels is not None
    if syntax == DeflatedExplicitVRLittleEndian:
        assert pixels.offset == -1
        data, pixels = inflated(reader(data), len(data), header_of(data).dataset_offset)
        assert pixels is not None
    assert data[pixels.offset :].startswith(ds.PixelData)
    assert pixels.length == (len(ds.PixelData) if syntax in NATIVE else None)
    assert (pixels.keyword, pixels.vr) == ("PixelData", "OW" if syntax in NATIVE else "OB")


@pytest.mark.parametrize(
    ("keyword", "vr", "pixels"),
    [("FloatPixelData", "OF", b"\0\0\x80\x3f" * 4), ("DoubleFloatPixelData", "OD", bytes(32))],
)
def test_pixels_of_parametric_maps(keyword: str, vr: str, pixels: bytes) -> None:
    ds = samples.instance(rows=2, columns=2)
    del ds.PixelData
    setattr(ds, keyword, pixels)
    data = samples.encode(ds)
    found = header_of(data).pixels
    assert found is not None
    assert (found.keyword, found.vr, found.length) == (keyword, vr, len(pixels))
    assert data[found.offset : found.offset + len(pixels)] == pixels


def test_an_object_without_pixels() -> None:
    assert header_of(part10(body())).pixels is None


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, RLELossless])
def test_what_is_kept_are_the_bytes_before_the_pixels(syntax: str) -> None:
    data = samples.encode(samples.instance(transfer_syntax=syntax))
    header = header_of(data)
    assert header.pixels is not None
    head = 8 if syntax == ImplicitVRLittleEndian else 12
    assert header.raw == data[header.dataset_offset : header.pixels.offset - head]
    assert header.implicit == (syntax == ImplicitVRLittleEndian)


def test_a_large_file_costs_few_bytes() -> None:
    data = part10(
        body(element(0x00091001, "OB", bytes(3_000_000)), element(0x7FE00010, "OW", bytes(9_000_000)))
    )
    asked: list[int] = []

    def read(offset: int, length: int) -> bytes:
        asked.append(length)
        return data[offset : offset + length]

    header = read_header(read, len(data))
    assert header.pixels is not None
    assert len(asked) <= 3
    assert sum(asked) < 200_000


@pytest.mark.parametrize("syntax", NATIVE)
def test_long_binary_values_can_still_be_had(syntax: str) -> None:
    palette = np.arange(3000, dtype="<u2").tobytes()
    private = bytes(range(256)) * 8
    ds = samples.instance(transfer_syntax=syntax)
    turned = np.frombuffer(palette, "<u2").astype(">u2").tobytes()
    ds.add_new(0x00281201, "OW", turned if syntax == ExplicitVRBigEndian else palette)
    ds.private_block(0x0009, "KAHU", create=True).add_new(1, "OB", private)
    ds.add_new(0x00282000, "OB", b"\7" * 1024)
    data = samples.encode(ds)
    header = header_of(data)
    values = {data[value.offset : value.offset + value.length] for value in header.omitted}
    for long in (palette, private):
        assert (long in values) != (long in header.raw)
    assert b"\7" * 1024 in header.raw
    for value in header.omitted:
        assert struct.unpack_from("<I", header.raw, value.at - 4) == (value.length,)


# Text


@pytest.mark.parametrize(
    ("charset", "encoded", "name"),
    [
        (b"", b"Buc^J\xe9r\xf4me", "Buc^Jérôme"),
        (b"ISO_IR 100", b"Buc^J\xe9r\xf4me", "Buc^Jérôme"),
        (b"ISO_IR 144", b"\xbb\xee\xda^\xd0", "Люк^а"),
        (b"ISO_IR 192", "Wang^XiaoDong=王^小東=".encode(), "Wang^XiaoDong=王^小東="),
        (b"GB18030", "Wang^XiaoDong=王^小东".encode("gb18030"), "Wang^XiaoDong=王^小东"),
        (
            b"\\ISO 2022 IR 87",
            b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
            "Yamada^Tarou=山田^太郎=やまだ^たろう",
        ),
        (
            b"ISO 2022 IR 6\\ISO 2022 IR 149",
            b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce",
            "Hong^Gildong=洪^吉",
        ),
        (b"NO SUCH SET", b"Buc^J\xe9r\xf4me", "Buc^Jérôme"),
        (b"ISO_IR 192", b"Buc^J\xe9r\xf4me", "Buc^J\N{REPLACEMENT CHARACTER}r\N{REPLACEMENT CHARACTER}me"),
        (b"zlib", b"Buc^J\xe9", "Buc^Jé"),
        (b"\0\1\2", b"Buc^J\xe9", "Buc^Jé"),
    ],
)
def test_names_in_the_alphabets_of_the_world(charset: bytes, encoded: bytes, name: str) -> None:
    data = part10(
        element(0x00080005, "CS", charset)
        + body().replace(element(0x00100010, "PN", b"Kealoha^Noa "), element(0x00100010, "PN", encoded))
    )
    assert header_of(data).attributes["PatientName"] == name


def test_padding_is_no_value() -> None:
    data = part10(
        body(
            element(0x00080008, "CS", b"ORIGINAL \\PRIMARY\\ AXIAL\0"),
            element(0x00080060, "CS", b" CT\0"),
            element(0x00081030, "LO", b"  \0\0"),
            element(0x00180050, "DS", b" 1.50 "),
            element(0x00180088, "DS", b""),
            element(0x0018106F, "LO", b"\0\0"),
        )
    )
    attributes = header_of(data).attributes
    assert attributes["ImageType"] == "ORIGINAL\\PRIMARY\\AXIAL"
    assert attributes["Modality"] == "CT"
    assert attributes["SliceThickness"] == "1.50"
    assert not {"StudyDescription", "SpacingBetweenSlices"} & set(attributes)


def test_control_characters_do_not_mix_up_values() -> None:
    data = part10(body(element(0x00081030, "LO", b"one\x1ftwo\x1f"), element(0x0008103E, "LO", b"three ")))
    attributes = header_of(data).attributes
    assert attributes["StudyDescription"] == "one\x1ftwo\x1f"
    assert attributes["SeriesDescription"] == "three"
    assert attributes["PatientName"] == "Kealoha^Noa"


def test_values_of_the_wrong_type_are_read_as_they_are_or_left_out() -> None:
    data = part10(
        body(
            element(0x00180050, "FD", struct.pack("<2d", 1.5, -2)),
            element(0x00280010, "SL", struct.pack("<i", -7)),
            element(0x00280011, "UN", struct.pack("<H", 24)),
            element(0x00280100, "US", b"\1"),
            element(0x00081030, "SQ", b""),
        )
    )
    attributes = header_of(data).attributes
    assert attributes["SliceThickness"] == "1.5\\-2.0"
    assert attributes["Rows"] == "-7"
    assert attributes["Columns"] == "24"
    assert not {"BitsAllocated", "StudyDescription"} & set(attributes)


# What stands behind the pixels


@pytest.mark.parametrize(
    "pixels",
    [
        element(0x7FE00010, "OW", bytes(64)),
        element(
            0x7FE00010,
            "OB",
            struct.pack("<HHI", 0xFFFE, 0xE000, 0)
            + struct.pack("<HHI", 0xFFFE, 0xE000, 6)
            + b"abcdef"
            + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0),
            length=0xFFFFFFFF,
        ),
    ],
)
def test_elements_behind_the_pixels_belong_to_the_object(pixels: bytes) -> None:
    behind = element(0x7FE11001, "LO", b"more") + element(0x7FE11002, "OB", b"x" * 2000)
    data = part10(body(pixels, behind))
    header = header_of(data)
    assert header.raw == body(behind[:-2000])
    assert [data[v.offset : v.offset + v.length] for v in header.omitted] == [b"x" * 2000]
    assert [v.at for v in header.omitted] == [len(header.raw)]


@pytest.mark.parametrize("junk", [bytes(7), bytes(512), b"\xff" * 40, b"\r\n--boundary--\r\n", b"DICM" * 9])
@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_junk_behind_the_pixels_does_no_harm(junk: bytes, syntax: str) -> None:
    data = samples.encode(samples.instance(transfer_syntax=syntax))
    assert header_of(data + junk) == header_of(data)


def test_a_report_may_be_filled_up_to_a_block() -> None:
    for syntax in (ImplicitVRLittleEndian, ExplicitVRLittleEndian):
        ds = samples.document(transfer_syntax=syntax)
        data = samples.encode(ds)
        assert header_of(data + bytes(999)).attributes == header_of(data).attributes


# Files that are not made as they should be


def test_without_preamble_or_meta_information() -> None:
    for syntax in (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian):
        data = samples.encode(samples.instance(transfer_syntax=syntax))
        whole = header_of(data)
        bare = header_of(data[whole.dataset_offset :])
        assert bare.attributes == whole.attributes
        assert (bare.dataset_offset, bare.transfer_syntax_uid) == (0, syntax)
        assert header_of(data[132:]).attributes == whole.attributes
        assert header_of(data[:132] + data[whole.dataset_offset :]).attributes == whole.attributes


def test_meta_information_in_implicit_vr() -> None:
    meta = struct.pack("<HHI", 2, 0x10, 18) + ImplicitVRLittleEndian.encode() + b"\0"
    data = bytes(128) + b"DICM" + meta + body()
    assert header_of(data).attributes["PatientName"] == "Kealoha^Noa"


def test_meta_information_of_any_length() -> None:
    private = element(0x00020102, "OB", bytes(range(256)) * 160)
    data = part10(body())
    at = data.index(body())
    header = header_of(data[:at] + private + data[at:])
    assert header.dataset_offset == at + len(private)
    assert header.raw == body()


def test_a_private_transfer_syntax() -> None:
    data = samples.encode(samples.instance(transfer_syntax=ImplicitVRLittleEndian))
    whole = header_of(data)
    header = header_of(part10(data[whole.dataset_offset :], "1.2.840.113619.5.2"))
    assert header.attributes == whole.attributes
    assert header.transfer_syntax_uid == "1.2.840.113619.5.2"
    assert header.implicit


@pytest.mark.parametrize("stated", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
@pytest.mark.parametrize("real", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
def test_the_data_are_believed_more_than_what_is_stated(stated: str, real: str) -> None:
    data = samples.encode(samples.instance(transfer_syntax=real))
    dataset = data[header_of(data).dataset_offset :]
    header = header_of(part10(dataset, stated))
    assert header.attributes == header_of(data).attributes
    assert header.transfer_syntax_uid == real


def test_unknown_vrs_are_left_to_pydicom() -> None:
    header = header_of(
        part10(element(0x00081111, "ZZ", b"abcd") + body(element(0x7FE00010, "OW", bytes(64))))
    )
    assert header.attributes["PatientName"] == "Kealoha^Noa"
    assert header.pixels is not None
    assert element(0x00081111, "UN", b"abcd") in header.raw


@pytest.mark.parametrize("vr", ["SQ", "UN"])
@pytest.mark.parametrize("defined", [True, False])
@pytest.mark.parametrize("implicit", [True, False])
def test_items_of_either_kind_in_an_explicit_file(vr: str, defined: bool, implicit: bool) -> None:
    in_implicit = struct.pack("<HHI", 0x0008, 0x0100, 4) + b"CODE"
    content = in_implicit if implicit else element(0x00080100, "SH", b"CODE")
    item = struct.pack("<HHI", 0xFFFE, 0xE000, len(content) if defined else 0xFFFFFFFF) + content
    if not defined:
        item += struct.pack("<HHIHHI", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
    sequence = element(0x00081140, vr, item, None if defined else 0xFFFFFFFF)
    header = header_of(part10(body(sequence)))
    assert header.raw == body(sequence)
    document = to_json(header.raw, header.implicit, header.omitted, pixels_vr=None, bulk_base="B")
    assert json.loads(document)["00081140"] == {
        "vr": "SQ",
        "Value": [{"00080100": {"vr": "SH", "Value": ["CODE"]}}],
    }


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize("defined", [True, False])
@pytest.mark.parametrize("levels", [64, 1000])
def test_sequences_in_sequences(syntax: str, defined: bool, levels: int) -> None:
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    undefined = 0xFFFFFFFF

    def sequence(value: bytes) -> bytes:
        item = struct.pack(order + "HHI", 0xFFFE, 0xE000, len(value) if defined else undefined) + value
        if not defined:
            item += struct.pack(order + "HHI", 0xFFFE, 0xE00D, 0)
            item += struct.pack(order + "HHI", 0xFFFE, 0xE0DD, 0)
        length = len(item) if defined else undefined
        if syntax == ImplicitVRLittleEndian:
            return struct.pack("<HHI", 0x0040, 0xA730, length) + item
        return struct.pack(order + "HH2sHI", 0x0040, 0xA730, b"SQ", 0, length) + item

    nested = b""
    for _ in range(levels):
        nested = sequence(nested)
    ds = samples.document(transfer_syntax=syntax)
    ds.ContentSequence = []
    data = samples.encode(ds)
    empty = sequence(b"")[: -(24 if not defined else 8)]
    whole = header_of(data)
    head = struct.pack(order + "HH", 0x0040, 0xA730)
    at = data.index(head)
    end = at + (8 if syntax == ImplicitVRLittleEndian else 12)
    assert len(empty) == end - at
    deep = data[:at] + nested + data[end:]
    try:
        assert header_of(deep).attributes == whole.attributes
    except BrokenDicom:
        assert levels > 64
        assert syntax == ExplicitVRBigEndian


# What is refused


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "an empty file"),
        (b"# Read me\n", "not a DICOM file"),
        (b"\x08\0", "not a DICOM file"),
        (bytes(5000), "not a DICOM file"),
        (b"\x89PNG\r\n\x1a\n" + bytes(200), "not a DICOM file"),
        (b"PK\3\4" + bytes(200), "not a DICOM file"),
        (b"\x1f\x8b\x08" + bytes(200), "not a DICOM file"),
    ],
)
def test_other_files(data: bytes, sentence: str) -> None:
    with pytest.raises(NotDicom) as refused:
        header_of(data)
    assert not isinstance(refused.value, BrokenDicom)
    assert str(refused.value) == sentence


@pytest.mark.parametrize("name", ["DICOMDIR", "DICOMDIR-bigEnd", "DICOMDIR-implicit", "DICOMDIR-nooffset"])
def test_a_dicomdir_is_no_object_and_not_broken(name: str) -> None:
    with pytest.raises(NotDicom, match="lists files") as refused:
        header_of((TEST_FILES / "dicomdirtests" / name).read_bytes())
    assert not isinstance(refused.value, BrokenDicom)


@pytest.mark.parametrize(
    "keyword", ["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"]
)
def test_what_lacks_a_uid_is_no_object(keyword: str) -> None:
    ds = samples.instance()
    ds[keyword].value = ""
    with pytest.raises(BrokenDicom, match=keyword):
        header_of(samples.encode(ds))


def test_an_invalid_uid_is_still_a_uid() -> None:
    data = part10(body()).replace(b"1.2.3.4\0", b"a uid.01")
    assert header_of(data).sop_instance_uid == "a uid.01"


@pytest.mark.parametrize("syntax", samples.TRANSFER_SYNTAXES)
def test_a_file_cut_off_anywhere_is_refused(syntax: str) -> None:
    data = samples.encode(samples.instance(transfer_syntax=syntax, rows=8, columns=8))
    whole = header_of(data)
    between = {
        whole.dataset_offset + stop
        for _, _, _, stop in elements(whole.raw, 0, len(whole.raw), whole.implicit)
        if syntax != DeflatedExplicitVRLittleEndian
    }
    for length in range(len(data)):
        try:
            header = header_of(data[:length])
        except NotDicom:
            continue
        assert length in between, "what ends with an element may be an object without pixels"
        assert header.pixels is None


def test_truncation_is_said_in_words() -> None:
    data = part10(body(element(0x7FE00010, "OW", bytes(64))))
    with pytest.raises(BrokenDicom, match="pixel data are truncated: 10 bytes"):
        header_of(data[:-10])
    with pytest.raises(BrokenDicom, match=r"truncated: the value of \(0020,000E\)"):
        header_of(part10(body())[:-2])


def test_what_inflates_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kahu.dicom.header._MOST_INFLATED", 1 << 20)
    squeezed = zlib.compressobj(wbits=-15)
    bomb = squeezed.compress(body(element(0x00091001, "UN", bytes(1 << 22)))) + squeezed.flush()
    with pytest.raises(BrokenDicom, match="larger than"):
        header_of(part10(bomb, DeflatedExplicitVRLittleEndian))


def test_a_length_that_lies_costs_no_memory() -> None:
    text = part10(body(element(0x00081030, "UT", b"", length=3 << 30)))

    def four_gigabytes(offset: int, length: int) -> bytes:
        return text[offset : offset + length].ljust(length, b" ")

    with pytest.raises(BrokenDicom, match="256 MiB"):
        read_header(four_gigabytes, 4 << 30)


def test_a_file_that_became_shorter_is_refused() -> None:
    data = samples.encode(samples.instance())
    for syntax in (ExplicitVRLittleEndian, ExplicitVRBigEndian):
        data = samples.encode(samples.instance(transfer_syntax=syntax))
        short = data[:700]
        with pytest.raises(BrokenDicom):
            read_header(reader(short), len(data))


# What goes wrong in reading is not the file's fault


@pytest.mark.parametrize("syntax", samples.TRANSFER_SYNTAXES)
@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), BytesChanged("it was replaced")])
def test_errors_of_reading_pass_through(syntax: str, error: Exception) -> None:
    data = samples.encode(samples.instance(transfer_syntax=syntax, rows=256, columns=256))
    needed = 0

    def read(offset: int, length: int) -> bytes:
        nonlocal needed
        needed += 1
        return data[offset : offset + length]

    read_header(read, len(data))
    assert needed
    for working in range(needed):
        left = iter(range(working))

        def fail(offset: int, length: int, left: Iterator[int] = left) -> bytes:
            if next(left, None) is None:
                raise error
            return data[offset : offset + length]

        with pytest.raises(type(error)) as raised:
            read_header(fail, len(data))
        assert raised.value is error


def test_many_threads_read_odd_files_quietly(recwarn: pytest.WarningsRecorder) -> None:
    big = samples.encode(samples.instance(transfer_syntax=ExplicitVRBigEndian))
    odd = part10(element(0x00080005, "CS", b"NO SET") + element(0x00081111, "ZZ", b"ab") + body())
    failed: list[Exception] = []

    def work(read: Callable[[], Header]) -> None:
        try:
            for _ in range(30):
                read()
        except Exception as error:
            failed.append(error)
            raise

    threads = [threading.Thread(target=work, args=[lambda d=d: header_of(d)]) for d in (big, odd) * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert not recwarn.list


# Sameness


def test_group_2_does_not_make_another_object() -> None:
    ds = samples.instance()
    data = samples.encode(ds)
    ds.file_meta.SourceApplicationEntityTitle = "SENDER"
    ds.preamble = b"x" * 128
    other = samples.encode(ds)
    ds.PatientID = "P-2"
    different = samples.encode(ds)
    digests = {dataset_digest(reader(d), len(d), header_of(d).dataset_offset) for d in (data, other)}
    assert data != other
    assert len(digests) == 1
    assert (
        dataset_digest(reader(different), len(different), header_of(different).dataset_offset) not in digests
    )


def test_a_sequence_over_the_edge_of_what_was_read_first() -> None:
    ds = samples.instance()
    items = []
    for n in range(3000):
        item = Dataset()
        item.ReferencedSOPInstanceUID = samples.uid(n)
        item.is_undefined_length_sequence_item = True
        items.append(item)
    ds.ReferencedImageSequence = Sequence(items)
    ds["ReferencedImageSequence"].is_undefined_length = True
    data = samples.encode(ds)
    header = header_of(data)
    assert header.pixels is not None
    assert len(header.raw) > 100_000
    assert header.raw == data[header.dataset_offset : header.pixels.offset - 12]
    assert header.attributes == header_of(samples.encode(samples.instance())).attributes
