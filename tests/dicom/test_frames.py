"""Every frame of every file is found and decoded; pydicom is the judge wherever it can decode."""

import io
import warnings
from collections.abc import Iterator
from pathlib import Path

import data_store
import imagecodecs
import numpy as np
import pydicom
import pydicom.data
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.pixels import pixel_array
from pydicom.uid import MPEG2MPML, ExplicitVRBigEndian, ExplicitVRLittleEndian

from kahu.dicom import frames
from kahu.dicom.frames import Frames, PixelFacts
from kahu.dicom.header import PixelData, ReadAt
from kahu.errors import BrokenDicom, NotAcceptable, NotFound
from kahu.testing import samples

LITTLE = str(ExplicitVRLittleEndian)

# Files whose bytes are damaged on purpose, and what is wrong with them.
BROKEN = {
    "MR_truncated.dcm": "ends before frame 1",
    "badVR.dcm": "has no image",
    "JPEG2000-embedded-sequence-delimiter.dcm": "its attributes say",
    "emri_small_jpeg_2k_lossless_too_short.dcm": "cannot be matched",
}


FOLDERS = (
    Path(pydicom.data.__file__).parent / "test_files",
    Path(data_store.__file__).parent / "data",
)


def with_pixels() -> Iterator[Path]:
    """Every file of pydicom and pydicom-data that says how it is encoded and has pixel data."""
    for path in sorted(path for folder in FOLDERS for path in folder.glob("*.dcm")):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # these files are odd on purpose
            dataset = pydicom.dcmread(path, force=True)
        if "PixelData" in dataset and "BitsAllocated" in dataset and "TransferSyntaxUID" in dataset.file_meta:
            yield path


FILES = [pytest.param(path, id=path.name) for path in with_pixels()]


def read(path: Path) -> Dataset:
    return pydicom.dcmread(path, force=True)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("path", FILES)
def test_every_file_decodes_as_pydicom_decodes_it(path: Path) -> None:
    dataset = read(path)
    if path.name in BROKEN:
        with pytest.raises(BrokenDicom, match=BROKEN[path.name]):
            Frames(dataset).decode()
        return
    facts = PixelFacts.of(dataset)
    for number in {1, (facts.frames + 1) // 2, facts.frames}:
        array = Frames(dataset).decode(number)
        assert array.shape[:2] == (facts.rows, facts.columns)
        assert array.dtype.newbyteorder("<") == facts.dtype
        try:
            expected = pixel_array(dataset, index=number - 1)
        except (RuntimeError, ValueError):  # pydicom has no decoder for it here
            continue
        np.testing.assert_array_equal(array, expected)


def test_lossless_jpeg_decodes_to_the_original() -> None:
    """pydicom has no decoder for it here; the same picture is there uncompressed."""
    compressed, original = (Frames(read(file_named(name))).decode() for name in GDCM)
    np.testing.assert_array_equal(compressed, original)


GDCM = ("SC_rgb_jpeg_gdcm.dcm", "SC_rgb.dcm")


def file_named(name: str) -> Path:
    return next(folder / name for folder in FOLDERS if (folder / name).exists())


@pytest.mark.parametrize("syntax", samples.TRANSFER_SYNTAXES)
def test_every_transfer_syntax_gives_the_same_picture_and_the_same_native_bytes(syntax: str) -> None:
    pixels = samples.phantom("MR", 3, 17, 23)
    dataset = samples.multiframe(pixels=pixels, transfer_syntax=syntax)
    for number, expected in enumerate(pixels, 1):
        np.testing.assert_array_equal(Frames(dataset).decode(number), expected)
        frame = stored_frame(dataset, number)
        native = frames.native(frame, PixelFacts.of(dataset), syntax)
        assert native == expected.astype("<u2").tobytes()


def stored_frame(dataset: Dataset, number: int = 1) -> bytes:
    """The frame bytes of a dataset in memory, by way of packed ranges where it is encapsulated."""
    facts, syntax, value = PixelFacts.of(dataset), dataset.file_meta.TransferSyntaxUID, dataset.PixelData
    pixels = PixelData(0, None if frames.encapsulated(syntax) else len(value), "PixelData")
    packed = None
    if frames.encapsulated(syntax):
        packed = frames.pack(frames.encapsulated_ranges(reader(value), pixels, facts.frames, syntax))
    return frames.read_frame(reader(value), facts, pixels, syntax, number, packed)


def reader(data: bytes) -> ReadAt:
    return lambda offset, length: data[offset : offset + length]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("path", [p for p in FILES if p.id not in BROKEN])
def test_native_bytes_are_what_the_attributes_describe(path: Path) -> None:
    """Whatever the syntax was: an uncompressed object with the same attributes shows the same picture."""
    dataset = read(path)
    facts = PixelFacts.of(dataset)
    native = frames.native(stored_frame(dataset), facts, dataset.file_meta.TransferSyntaxUID)
    assert len(native) == -(-facts.frame_bits // 8)
    again = frames.decode(native, facts, LITTLE)
    expected = Frames(dataset).decode()
    # Colour goes to YBR and back, and half of it is thrown away by 4:2:2: a shade may differ, a colour may
    # not.
    colour = facts.photometric.startswith("YBR_FULL")
    assert np.abs(again.astype(int) - expected).mean() <= (3 if colour else 0)


# Where frames are


def test_packed_bits_that_begin_within_a_byte_are_moved_to_its_start() -> None:
    """Three frames of 3 × 5 bits: the second begins at bit 15, the third at bit 30."""
    masks = np.random.default_rng(1).integers(0, 2, (3, 3, 5), np.uint8)
    value = np.packbits(masks, axis=None, bitorder="little").tobytes()
    facts = PixelFacts(3, 5, 1, 1, 1, 0, False, "MONOCHROME2", False, 3)
    for number, mask in enumerate(masks, 1):
        frame = frames.native_frame(reader(value), facts, PixelData(0, len(value), "PixelData"), number)
        assert frame == np.packbits(mask, axis=None, bitorder="little").tobytes()
        np.testing.assert_array_equal(frames.decode(frame, facts, LITTLE), mask)


PIECES = [[b"\xff\xd8one "], [b"\xff\xd8two.", b"and a half"], [b"\xff\xd8three.."]]


def fragments(*, table: bool) -> bytes:
    """Three frames, the second in two fragments, behind 7 bytes of something else; with or without an offset
    table.
    """
    items, offsets, at = b"", [], 0
    for frame in PIECES:
        offsets.append(at)
        for piece in frame:
            piece += b"\0" * (len(piece) % 2)
            items += b"\xfe\xff\x00\xe0" + len(piece).to_bytes(4, "little") + piece
            at = len(items)
    basic = np.array(offsets, "<u4").tobytes() if table else b""
    head = b"\xfe\xff\x00\xe0" + len(basic).to_bytes(4, "little") + basic
    return b"header." + head + items + b"\xfe\xff\xdd\xe0\0\0\0\0"


@pytest.mark.parametrize("table", [True, False], ids=["offset table", "no offset table"])
def test_frames_of_several_fragments_are_put_together(table: bool) -> None:
    data = fragments(table=table)
    ranges = frames.encapsulated_ranges(reader(data), PixelData(7, None, "PixelData"), 3, JPEG)
    joined = [b"".join(data[o : o + n] for o, n in frame) for frame in ranges]
    assert [frame.rstrip(b"\0") for frame in joined] == [b"".join(pieces) for pieces in PIECES]
    packed = frames.pack(ranges)
    assert [frames.packed_range(packed, number) for number in (1, 2, 3)] == ranges
    with pytest.raises(NotFound, match="no frame 4"):
        frames.packed_range(packed, 4)


def test_an_extended_offset_table_saves_visiting_the_fragments() -> None:
    data, offsets, lengths = encapsulate_extended([b"first.", b"second", b"third frame."])
    asked: list[int] = []

    def read(offset: int, length: int) -> bytes:
        asked.append(offset)
        return bytes(data[offset : offset + length])

    ranges = frames.encapsulated_ranges(read, PixelData(0, None, "PixelData"), 3, JPEG, (offsets, lengths))
    assert [data[o : o + n] for ((o, n),) in ranges] == [b"first.", b"second", b"third frame."]
    assert asked == [0]


def test_small_fragments_are_not_read_one_by_one() -> None:
    data = encapsulate([b"12"] * 200)
    asked: list[int] = []

    def read(offset: int, length: int) -> bytes:
        asked.append(offset)
        return bytes(data[offset : offset + length])

    assert len(frames.encapsulated_ranges(read, PixelData(0, None, "PixelData"), 200, JPEG)) == 200
    assert len(asked) < 10


def test_what_cannot_be_had_says_so() -> None:
    dataset = samples.multiframe(frames=3)
    facts = PixelFacts.of(dataset)
    for number in (0, 4):
        with pytest.raises(NotFound, match=f"no frame {number}"):
            Frames(dataset).decode(number)
    with pytest.raises(NotAcceptable, match="video"):
        frames.encapsulated_ranges(reader(b""), PixelData(0, None, "PixelData"), 9, MPEG2MPML)
    with pytest.raises(NotAcceptable, match="cannot be decoded") as caught:
        frames.native(b"", facts, MPEG2MPML)
    assert "transfer-syntax=*" in caught.value.hint
    with pytest.raises(BrokenDicom, match="fragments"):
        frames.encapsulated_ranges(
            reader(encapsulate([b"12", b"34"])), PixelData(0, None, "PixelData"), 5, JPEG
        )
    with pytest.raises(BrokenDicom, match="cannot be decoded"):
        frames.decode(b"no image at all", facts, JPEG)
    with pytest.raises(BrokenDicom, match="its attributes say"):
        frames.decode(bytes(imagecodecs.jpeg8_encode(np.zeros((5, 5), np.uint8))), facts, JPEG)
    del dataset.Rows
    with pytest.raises(BrokenDicom, match="no image"):
        PixelFacts.of(dataset)


JPEG = "1.2.840.10008.1.2.4.50"


# What an array means


def grey(bits: int, high: int, *, signed: bool) -> PixelFacts:
    return PixelFacts(1, 2, 1, 16, bits, high, signed, "MONOCHROME2", False, 1)


def test_bits_above_the_high_bit_are_not_part_of_the_value() -> None:
    """Old scanners keep overlays there (PS3.5 §8.1.1)."""
    frame = np.array([0xF123, 0x0FFF], "<u2").tobytes()
    assert frames.decode(frame, grey(12, 11, signed=False), LITTLE).tolist() == [[0x123, 0xFFF]]
    assert frames.decode(frame, grey(12, 11, signed=True), LITTLE).tolist() == [[0x123, -1]]
    assert frames.decode(frame, grey(12, 15, signed=False), LITTLE).tolist() == [[0xF12, 0x0FF]]


def test_signed_values_survive_codecs_that_know_no_sign() -> None:
    values = np.array([[-5, 1000]], np.int16)
    facts = grey(16, 15, signed=True)
    for syntax, encoded in (
        ("1.2.840.10008.1.2.4.80", imagecodecs.jpegls_encode(values.view(np.uint16))),
        ("1.2.840.10008.1.2.4.70", imagecodecs.jpeg8_encode(values.view(np.uint16), lossless=True)),
    ):
        assert frames.decode(bytes(encoded), facts, syntax).tolist() == [[-5, 1000]]


def test_colour_is_rgb_whatever_it_was() -> None:
    """Pure red, as each Photometric Interpretation writes it (PS3.3 C.7.6.3.1.2)."""
    red = np.array([[[255, 0, 0]] * 2], np.uint8)
    for photometric, stored in (
        ("RGB", bytes([255, 0, 0] * 2)),
        ("YBR_FULL", bytes([76, 85, 255] * 2)),
        ("YBR_FULL_422", bytes([76, 76, 85, 255])),
    ):
        facts = PixelFacts(1, 2, 3, 8, 8, 7, False, photometric, False, 1)
        np.testing.assert_allclose(frames.decode(stored, facts, LITTLE), red, atol=1)
    planes = PixelFacts(1, 2, 3, 8, 8, 7, False, "RGB", True, 1)
    np.testing.assert_array_equal(frames.decode(bytes([255, 255, 0, 0, 0, 0]), planes, LITTLE), red)


def test_big_endian_bytes_of_words_are_put_right() -> None:
    dataset = samples.instance(transfer_syntax=ExplicitVRBigEndian)
    facts = PixelFacts.of(dataset)
    assert frames.native(dataset.PixelData, facts, ExplicitVRBigEndian) == (
        Frames(dataset).decode().astype("<u2").tobytes()
    )


def test_facts_come_from_json_as_from_a_dataset() -> None:
    for dataset in (samples.instance(), samples.multiframe(frames=3)):
        assert PixelFacts.of_json(dataset.to_json_dict()) == PixelFacts.of(dataset)
    with pytest.raises(BrokenDicom, match="no image"):
        PixelFacts.of_json({})


def test_float_pixel_data_needs_no_bits_allocated() -> None:
    dataset = samples.instance(rows=2, columns=3)
    del dataset.PixelData, dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit
    dataset.FloatPixelData = np.linspace(0, 1, 6, dtype="<f4").tobytes()
    array = Frames(pydicom.dcmread(io.BytesIO(samples.encode(dataset)))).decode()
    assert array.dtype == np.float32
    np.testing.assert_allclose(array, np.linspace(0, 1, 6).reshape(2, 3))
