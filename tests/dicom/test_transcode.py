"""Objects and frames in other transfer syntaxes: nothing lost, nothing else changed, all of it readable by others."""

import io
import struct
import subprocess
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from shutil import which
from typing import Any

import data_store
import numpy as np
import pydicom
import pydicom.data
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames

from kahu.dicom import encapsulate as writing
from kahu.dicom import transcode
from kahu.dicom.file_meta import IMPLEMENTATION_CLASS
from kahu.dicom.frames import Frames, PixelFacts
from kahu.dicom.header import ReadAt, read_header
from kahu.dicom.syntaxes import KNOWN
from kahu.dicom.transcode import can_give, frame_in, transcoded
from kahu.errors import BrokenDicom, NotAcceptable, NotDicom
from kahu.testing import samples

IMPLICIT, EXPLICIT, BIG_ENDIAN = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
DEFLATED, RLE = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.5"
JPEG, EXTENDED, LOSSLESS, SV1, JPEG_LS, NEAR, J2K, J2K_ANY, XL, JPEG_IN_XL, XL_ANY, HTJ2K, RPCL, HTJ2K_ANY = (
    f"1.2.840.10008.1.2.4.{n}" for n in (50, 51, 57, 70, 80, 81, 90, 91, 110, 111, 112, 201, 202, 203)
)
NATIVE = (IMPLICIT, EXPLICIT, BIG_ENDIAN, DEFLATED)
GIVEN = [uid for uid, syntax in KNOWN.items() if syntax.given]

# What a transfer syntax is about; group lengths are retired and go where they would be wrong.
CHANGEABLE = {
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "HighBit",
    "LossyImageCompression",
    "LossyImageCompressionRatio",
    "LossyImageCompressionMethod",
    "PixelData",
    "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths",
}

FOLDERS = (Path(pydicom.data.__file__).parent / "test_files", Path(data_store.__file__).parent / "data")

# One of each kind that there is: transfer syntaxes, colours, signs, bits, frames, broken in some way or not.
NAMES = """
CT_small MR_small_implicit MR_small_bigendian image_dfl MR_small_RLE JPGExtended MR_small_jpeg_ls_lossless
JPEGLSNearLossless_16 JPEG2000 693_J2KI GDCMJ2K_TextGBR SC_rgb_jpeg_dcmtk SC_rgb_jpeg_gdcm SC_rgb_small_odd
SC_rgb_rle_2frame SC_rgb_rle_16bit SC_ybr_full_422_uncompressed SC_ybr_full_uncompressed OBXXXX1A_rle bad_sequence
rtdose rtdose_rle liver_1frame liver_expb_1frame reportsi rtplan rtstruct waveform_ecg test-SR priv_SQ UN_sequence
nested_priv_SQ eCT_Supplemental emri_small_RLE SC_rgb_jls_lossy_sample
"""
SAMPLE = frozenset(NAMES.split())


def files() -> Iterator[Any]:
    for path in sorted(path for folder in FOLDERS for path in folder.glob("*.dcm")):
        data = path.read_bytes()
        try:
            source = read_header(reader(data), len(data)).transfer_syntax_uid
        except NotDicom:
            continue
        marks = () if path.stem in SAMPLE else pytest.mark.slow
        yield pytest.param(path, source, id=path.name, marks=marks)


def reader(data: bytes) -> ReadAt:
    return lambda offset, length: data[offset : offset + length]


def given(data: bytes, target: str) -> bytes:
    return transcoded(reader(data), len(data), target)


def opened(data: bytes) -> Dataset:
    return pydicom.dcmread(io.BytesIO(data), force=True)


# Real files, every one in everything that it can be given in


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("path", "source"), list(files()))
def test_a_real_object_is_the_same_in_every_transfer_syntax(path: Path, source: str) -> None:
    """pydicom reads what was made: attributes that are none of a transfer syntax's business, and pixels, are equal."""
    data = path.read_bytes()
    before = opened(data)
    frame, number = its_last_frame(before)
    for target in GIVEN:
        if target == source:
            assert given(data, target) == data
            continue
        try:
            made = given(data, target)
        except NotAcceptable:
            continue
        except BrokenDicom:
            assert frame is None, "pixel data that can be decoded can be given"
            continue
        after = opened(made)
        assert after.file_meta.TransferSyntaxUID == target
        assert described(after, target) == described(before, target), target
        if frame is None:
            continue
        if not KNOWN[target].lossy:
            np.testing.assert_array_equal(its_last_frame(after)[0], frame, target)
        try:
            judged = pydicom.pixels.pixel_array(after, index=number - 1)
        except (RuntimeError, ValueError, AttributeError, NotImplementedError):
            continue  # pydicom has no decoder for it here
        if not KNOWN[target].lossy and frame.ndim == 2:
            np.testing.assert_array_equal(judged, frame, target)
        else:
            assert np.abs(judged.astype(float) - frame).mean() < 6


def its_last_frame(dataset: Dataset) -> tuple[Any, int]:
    try:
        frames = Frames(dataset)
        return frames.decode(len(frames)), len(frames)
    except (BrokenDicom, NotAcceptable):
        return None, 0


def described(dataset: Dataset, target: str, little: bool | None = None) -> dict[int, Any]:
    """Attributes by tag, but for what a transfer syntax may change; private ones lose their VR in implicit VR."""
    little = dataset.original_encoding[1] is not False if little is None else little
    found: dict[int, Any] = {}
    for tag in dataset.keys():  # noqa: SIM118
        if tag.element == 0:
            continue
        element = dataset[tag]
        if element.keyword in CHANGEABLE or (target in (IMPLICIT, BIG_ENDIAN) and tag.is_private):
            continue
        if element.VR == "SQ":
            found[tag] = [described(item, target, little) for item in element.value]
        elif element.VR in ("OW", "US") and element.value:
            found[tag] = words(element.value, little)
        else:
            found[tag] = repr(element.value)
    return found


def words(value: Any, little: bool) -> list[int]:
    """Numbers of 16 bits. pydicom gives them as bytes, in whatever order they are, where they might be pixels."""
    if isinstance(value, bytes):
        return [int(number) for number in np.frombuffer(value, "<u2" if little else ">u2")]
    return [value] if isinstance(value, int) else list(value)


def compressors() -> Iterator[Any]:
    """Programs that no one here wrote -> the transfer syntaxes that they turn into explicit VR little endian."""
    for program, *options, targets in (
        ("dcmdjpeg", "+cn", (LOSSLESS, SV1)),
        ("dcmdjpls", (JPEG_LS, NEAR)),
        ("dcmdrle", (RLE,)),
        ("dcmconv", "+te", (IMPLICIT, BIG_ENDIAN, DEFLATED)),
    ):
        missing = pytest.mark.skipif(which(program) is None, reason=f"no {program}: install dcmtk")
        yield from (
            pytest.param([program, *options], target, id=KNOWN[target].name, marks=missing)
            for target in targets
        )


@pytest.mark.parametrize(("command", "target"), list(compressors()))
def test_dcmtk_reads_what_was_made(command: list[str], target: str, tmp_path: Path) -> None:
    for name in (
        "CT_small.dcm",
        "MR_small_implicit.dcm",
        "SC_rgb_small_odd.dcm",
        "JPEG2000.dcm",
        "J2K_pixelrep_mismatch.dcm",
    ):
        made, back = tmp_path / "made.dcm", tmp_path / "back.dcm"
        original = (FOLDERS[0] / name).read_bytes()
        made.write_bytes(given(original, target))
        subprocess.run([*command, made, back], check=True, capture_output=True)
        after = pydicom.dcmread(back)
        assert after.file_meta.TransferSyntaxUID == EXPLICIT
        np.testing.assert_array_equal(Frames(after).decode(), Frames(opened(original)).decode(), name)


# What can be given


def image(
    frame: NDArray[Any],
    stored: int,
    photometric: str = "MONOCHROME2",
    *,
    high: int | None = None,
    frames: int = 1,
) -> bytes:
    """An object with `frames` frames of samples, explicit VR little endian."""
    dataset = samples.instance(rows=4, columns=4)
    dataset.Rows, dataset.Columns = frame.shape[:2]
    dataset.SamplesPerPixel = frame.shape[2] if frame.ndim == 3 else 1
    if frame.ndim == 3:
        dataset.PlanarConfiguration = 0
    dataset.PhotometricInterpretation = photometric
    dataset.BitsAllocated, dataset.BitsStored = 8 * frame.dtype.itemsize, stored
    dataset.HighBit = stored - 1 if high is None else high
    dataset.PixelRepresentation = int(frame.dtype.kind == "i")
    if frames > 1:
        dataset.NumberOfFrames = frames
    value = frame.tobytes() * frames
    dataset.PixelData = value + b"\0" * (len(value) % 2)
    return samples.encode(dataset)


def noise(shape: tuple[int, ...], low: int, high: int, dtype: str) -> NDArray[Any]:
    return np.random.default_rng(7).integers(low, high, shape, endpoint=True).astype(dtype)


LOSSLESS_ALL = {RLE, LOSSLESS, SV1, JPEG_LS, J2K, HTJ2K, RPCL}
ANY = {NEAR, J2K_ANY, HTJ2K_ANY}


def facts(**changes: Any) -> PixelFacts:
    usual = PixelFacts(8, 8, 1, 16, 12, 11, False, "MONOCHROME2", False, 1)
    return replace(usual, **changes)


@pytest.mark.parametrize(
    ("changes", "more"),
    [
        pytest.param({}, LOSSLESS_ALL | ANY | {XL, XL_ANY, EXTENDED}, id="12 bits"),
        pytest.param({"signed": True}, LOSSLESS_ALL | ANY, id="signed"),
        pytest.param(
            {"bits_allocated": 8, "bits_stored": 8, "high_bit": 7, "samples": 3, "photometric": "RGB"},
            LOSSLESS_ALL | ANY | {XL, XL_ANY, JPEG},
            id="RGB",
        ),
        pytest.param(
            {
                "bits_allocated": 8,
                "bits_stored": 8,
                "high_bit": 7,
                "samples": 3,
                "photometric": "YBR_FULL_422",
            },
            LOSSLESS_ALL | ANY | {JPEG},
            id="YBR_FULL_422",
        ),
        pytest.param({"photometric": "PALETTE COLOR"}, LOSSLESS_ALL, id="palette"),
        pytest.param({"bits_allocated": 32, "bits_stored": 32, "high_bit": 31}, {RLE}, id="32 bits"),
        pytest.param({"bits_allocated": 1, "bits_stored": 1, "high_bit": 0}, set(), id="1 bit"),
        pytest.param(
            {"keyword": "FloatPixelData", "bits_allocated": 32, "bits_stored": 32}, set(), id="floats"
        ),
    ],
)
def test_what_can_be_given_depends_on_the_image(changes: dict[str, Any], more: set[str]) -> None:
    possible = can_give(EXPLICIT, facts(**changes))
    assert possible[0] == EXPLICIT
    assert set(possible) == set(NATIVE) | more
    lossy = [KNOWN[one].lossy for one in possible]
    assert lossy == sorted(lossy), "what loses something comes last"


def test_what_cannot_be_decoded_can_be_given_as_it_is() -> None:
    video, unknown = "1.2.840.10008.1.2.4.102", "1.2.3.4"
    for syntax in (video, unknown):
        assert can_give(syntax, facts()) == (syntax,)
    assert set(can_give(IMPLICIT, None)) == set(NATIVE), "without pixel data"


def test_a_refusal_names_what_can_be_had() -> None:
    data = image(noise((4, 4), -9, 9, "<i2"), 16)
    with pytest.raises(NotAcceptable, match=r"4\.110") as caught:
        given(data, XL)
    assert JPEG_LS in caught.value.hint
    assert JPEG not in caught.value.hint
    with pytest.raises(NotAcceptable, match=r"4\.110"):
        frame_in(b"", facts(signed=True), EXPLICIT, XL)


# What the data set says then


def raw_elements(data: bytes) -> dict[int, bytes]:
    """Each element of an explicit little endian data set, byte for byte, by tag."""
    elements: dict[int, bytes] = {}
    at = read_header(reader(data), len(data)).dataset_offset
    while at < len(data):
        group, number, vr, length = struct.unpack_from("<HH2sH", data, at)
        head = 8
        if vr in (b"OB", b"OW", b"SQ", b"UN", b"UT", b"OV"):
            head, length = 12, struct.unpack_from("<I", data, at + 8)[0]
        if length == 0xFFFFFFFF:
            length = data.index(b"\xfe\xff\xdd\xe0\0\0\0\0", at) + 8 - at - head
        elements[group << 16 | number] = data[at : at + head + length]
        at += head + length
    return elements


def test_a_data_set_stays_byte_for_byte_what_it_is() -> None:
    """Private and unknown elements, invalid values, an empty sequence, odd lengths of sequences, padding at the end."""
    dataset = samples.instance(rows=8, columns=8)
    dataset.StudyDate = "19700101"
    dataset.add_new(0x00090010, "LO", "NOBODY")
    dataset.add_new(0x00091001, "UN", b"\1\2\3\4")
    dataset.add_new(0x00091002, "OB", bytes(3000))
    dataset.add_new(0x00280107, "US", 7)
    dataset.add_new(0x00082112, "SQ", [])
    dataset.add_new(0xFFFCFFFC, "OB", b"\0" * 10)
    data = samples.encode(dataset).replace(b"19700101", b"notadate")
    before = raw_elements(data)
    for target in (RLE, JPEG_LS, SV1, J2K, HTJ2K, XL):
        if target not in can_give(EXPLICIT, PixelFacts.of(dataset)):
            continue
        after = raw_elements(given(data, target))
        assert {tag: value for tag, value in after.items() if tag != 0x7FE00010} == {
            tag: value for tag, value in before.items() if tag != 0x7FE00010
        }
        assert list(after) == sorted(after)
        assert given(given(data, target), EXPLICIT)[-3000:] == data[-3000:]


def test_lengths_of_groups_go_where_they_would_be_wrong() -> None:
    head = struct.pack("<HH2sHI", 0x0028, 0, b"UL", 4, 100)
    other = struct.pack("<HH2sHI", 0x0020, 0, b"UL", 4, 100)
    data = samples.encode(samples.instance(rows=8, columns=8))
    at = data.index(struct.pack("<HH2s", 0x0028, 0x0002, b"US"))
    where = data.index(struct.pack("<HH2s", 0x0020, 0x000D, b"UI"))
    data = data[:where] + other + data[where:at] + head + data[at:]
    rle = raw_elements(given(data, RLE))
    assert rle[0x00280000] == head, "nothing in the group has changed"
    assert 0x00200000 in rle
    assert 0x00200000 not in opened(given(data, IMPLICIT))


def test_group_2_tells_of_the_new_file_and_keeps_the_rest() -> None:
    dataset = samples.instance(rows=8, columns=8)
    dataset.file_meta.SourceApplicationEntityTitle = "SCANNER"
    dataset.file_meta.ImplementationVersionName = "THEIRS"
    before, after = dataset.file_meta, opened(given(samples.encode(dataset), RLE)).file_meta
    assert after.TransferSyntaxUID == RLE
    assert after.ImplementationClassUID == IMPLEMENTATION_CLASS
    assert after.ImplementationVersionName.startswith("KAHU")
    assert after.SourceApplicationEntityTitle == "SCANNER"
    assert after.MediaStorageSOPInstanceUID == before.MediaStorageSOPInstanceUID
    assert after.FileMetaInformationGroupLength > 0


COLOURS = noise((12, 16, 3), 0, 255, "u1")


@pytest.mark.parametrize(
    ("target", "photometric", "planar"),
    [
        (RLE, "RGB", 1),
        (SV1, "RGB", 0),
        (JPEG_LS, "RGB", 0),
        (J2K, "YBR_RCT", 0),
        (HTJ2K, "YBR_RCT", 0),
        (XL, "RGB", 0),
        (JPEG, "YBR_FULL_422", 0),
        (EXPLICIT, "RGB", 0),
    ],
)
def test_colour_is_said_to_be_what_it_is(target: str, photometric: str, planar: int) -> None:
    source = given(image(COLOURS, 8, "RGB"), IMPLICIT)
    made = opened(given(source, target))
    assert (made.PhotometricInterpretation, made.PlanarConfiguration) == (photometric, planar)
    if target != JPEG:
        np.testing.assert_array_equal(Frames(made).decode(), COLOURS)
    back = opened(given(given(source, target), EXPLICIT))
    assert (back.PhotometricInterpretation, back.PlanarConfiguration) == ("RGB", 0)


def test_luminance_and_colour_differences_are_not_turned_into_rgb_on_the_way() -> None:
    """That would lose something."""
    for target in (RLE, SV1, JPEG_LS, J2K, HTJ2K):
        made = opened(given(image(COLOURS, 8, "YBR_FULL"), target))
        assert made.PhotometricInterpretation == "YBR_FULL"
        back = opened(given(samples.encode(made), EXPLICIT))
        assert back.PhotometricInterpretation == "YBR_FULL"
        assert back.PixelData[: COLOURS.size] == COLOURS.tobytes()


def test_what_loses_something_says_so_each_time() -> None:
    made = opened(given(image(np.ones((16, 16), "u1"), 8), JPEG))
    assert (made.LossyImageCompression, made.LossyImageCompressionMethod) == ("01", "ISO_10918_1")
    assert float(made.LossyImageCompressionRatio) > 0
    again = opened(given(samples.encode(opened(given(samples.encode(made), EXPLICIT))), JPEG))
    assert list(again.LossyImageCompressionMethod) == ["ISO_10918_1"] * 2
    assert len(again.LossyImageCompressionRatio) == 2
    for target in (NEAR, J2K_ANY, HTJ2K_ANY, XL_ANY):
        kept = opened(given(image(np.ones((16, 16), "u1"), 8), target))
        assert "LossyImageCompression" not in kept, "nothing is lost where nothing has to be"


def test_a_jpeg_that_says_nothing_of_its_losses_does_when_it_is_no_jpeg_any_more() -> None:
    made = opened(given(image(np.ones((16, 16), "u1"), 8), JPEG))
    del made.LossyImageCompression, made.LossyImageCompressionMethod, made.LossyImageCompressionRatio
    assert opened(given(samples.encode(made), EXPLICIT)).LossyImageCompression == "01"


def test_twelve_bit_jpeg_is_near_the_original() -> None:
    ramp = np.linspace(0, 4095, 32 * 32).astype("<u2").reshape(32, 32)
    made = opened(given(image(ramp, 12), EXTENDED))
    assert np.abs(Frames(made).decode().astype(int) - ramp).max() < 100


def test_a_jpeg_comes_back_out_of_jpeg_xl_bit_for_bit() -> None:
    jpeg = given(image(COLOURS, 8, "RGB"), JPEG)
    packed = given(jpeg, JPEG_IN_XL)
    assert opened(packed).PhotometricInterpretation == "YBR_FULL_422"
    assert opened(given(packed, JPEG)).PixelData == opened(jpeg).PixelData
    np.testing.assert_array_equal(Frames(opened(packed)).decode(), Frames(opened(jpeg)).decode())


def test_frames_that_are_already_what_is_wanted_are_not_touched() -> None:
    for special, general in (
        (SV1, LOSSLESS),
        (JPEG_LS, NEAR),
        (J2K, J2K_ANY),
        (RPCL, HTJ2K),
        (HTJ2K, HTJ2K_ANY),
    ):
        data = given(image(noise((16, 16), 0, 4095, "<u2"), 12, frames=2), special)
        assert opened(given(data, general)).PixelData == opened(data).PixelData


# Bits


@pytest.mark.parametrize("target", [LOSSLESS, SV1, JPEG_LS, J2K, HTJ2K, RPCL, RLE])
@pytest.mark.parametrize(
    ("dtype", "stored"),
    [
        ("u1", 8),
        ("u1", 5),
        ("i1", 8),
        ("<u2", 16),
        ("<u2", 12),
        ("<u2", 9),
        ("<u2", 8),
        ("<i2", 16),
        ("<i2", 12),
    ],
)
def test_noise_of_any_number_of_bits_comes_back(target: str, dtype: str, stored: int) -> None:
    """Noise does not get smaller, which takes codecs by surprise."""
    signed = dtype[-2] == "i"
    low, high = (-(1 << stored - 1), (1 << stored - 1) - 1) if signed else (0, (1 << stored) - 1)
    for shape in ((1, 1), (3, 5), (70, 33)):
        frame = noise(shape, low, high, dtype)
        made = opened(given(image(frame, stored), target))
        np.testing.assert_array_equal(Frames(made).decode(), frame)


def one_frame(data: bytes) -> bytes:
    frame: bytes = next(generate_frames(opened(data).PixelData, number_of_frames=1))
    return frame


def test_codestreams_have_as_many_bits_as_are_stored() -> None:
    smooth = np.add.outer(np.arange(80), np.arange(100)).astype("<u2")
    data = image(smooth, 12)
    assert one_frame(given(data, JPEG_LS))[6] == 12  # SOI, SOF55 with its length, precision
    for target in (J2K, HTJ2K):
        assert one_frame(given(data, target))[42] == 11  # Ssiz: bits less one, unsigned
        assert one_frame(given(image(smooth.astype("<i2"), 12), target))[42] == 0x80 | 11


def test_htj2k_with_rpcl_has_what_the_standard_asks_of_it() -> None:
    """Resolutions in order, at most 64 pixels at the lowest, lengths of tile parts (PS3.5 §10.18)."""
    frame = one_frame(given(image(np.zeros((300, 5000), "u1"), 8), RPCL))
    cod = frame.index(b"\xff\x52")
    progression, levels = frame[cod + 5], frame[cod + 9]
    assert progression == 2
    assert 5000 / 2**levels <= 64
    assert b"\xff\x55" in frame


def test_values_that_do_not_begin_at_the_lowest_bit_are_moved_there_and_it_is_said() -> None:
    frame = noise((8, 8), 0, 4095, "<u2")
    data = image(frame << 4, 12, high=15)
    for target, high in ((J2K, 11), (JPEG_LS, 11), (RLE, 15), (DEFLATED, 15)):
        made = opened(given(data, target))
        assert made.HighBit == high
        np.testing.assert_array_equal(Frames(made).decode(), frame)
    again = given(given(data, J2K), EXPLICIT)
    assert opened(again).PixelData == frame.tobytes()


def test_overlays_in_bits_of_pixels_are_not_lost() -> None:
    frame = noise((8, 8), 0, 0xFFFF, "<u2")
    dataset = opened(image(frame, 12))
    dataset.add_new(0x60000100, "US", 16)
    dataset.add_new(0x60000102, "US", 12)
    data = samples.encode(dataset)
    with pytest.raises(NotAcceptable) as caught:
        given(data, J2K)
    assert RLE in caught.value.hint
    assert opened(given(given(data, RLE), EXPLICIT)).PixelData == frame.tobytes()
    dataset.add_new(0x60003000, "OW", bytes(8))
    assert given(samples.encode(dataset), J2K), "it has the overlay elsewhere"


def test_single_bits_and_floats_change_between_uncompressed_syntaxes() -> None:
    for name in ("liver_1frame.dcm", "liver_expb_1frame.dcm"):
        data = (FOLDERS[0] / name).read_bytes()
        expected = Frames(opened(data)).decode()
        for target in NATIVE:
            np.testing.assert_array_equal(Frames(opened(given(data, target))).decode(), expected)
    floats = samples.instance(rows=2, columns=3)
    del floats.PixelData, floats.BitsStored, floats.HighBit
    floats.BitsAllocated = 32
    floats.FloatPixelData = np.linspace(0, 1, 6, dtype="<f4").tobytes()
    for target in NATIVE:
        made = opened(given(samples.encode(floats), target))
        np.testing.assert_array_equal(Frames(made).decode().ravel(), np.linspace(0, 1, 6, dtype="f4"))


# Many frames


def test_offsets_of_frames_stand_in_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    data = image(noise((9, 9), 0, 255, "u1"), 8, frames=5)
    basic = opened(given(data, JPEG_LS))
    assert "ExtendedOffsetTable" not in basic
    assert len(list(pydicom.encaps.parse_basic_offsets(basic.PixelData))) == 5
    monkeypatch.setattr(writing, "_MOST_OFFSET", 100)
    extended = opened(given(data, JPEG_LS))
    offsets, lengths = (
        np.frombuffer(extended[f"ExtendedOffsetTable{part}"].value, "<u8") for part in ("", "Lengths")
    )
    fragments = list(pydicom.encaps.generate_fragments(extended.PixelData))
    assert fragments[0] == b"" or len(fragments) == 5
    assert offsets[0] == 0
    assert [length + length % 2 + 8 for length in lengths[:-1]] == np.diff(offsets).tolist()
    np.testing.assert_array_equal(Frames(extended).decode(5), Frames(opened(data)).decode(5))
    back = opened(given(given(data, JPEG_LS), EXPLICIT))
    assert "ExtendedOffsetTable" not in back, "it says nothing of frames that are not compressed"


def test_of_many_frames_one_at_a_time_is_decoded() -> None:
    """What is asked for of 50 frames is read as it is taken."""
    data = given(image(noise((64, 64), 0, 4095, "<u2"), 12, frames=50), JPEG_LS)
    taken: list[int] = []

    def read(offset: int, length: int) -> bytes:
        taken.append(min(length, len(data) - offset))
        return data[offset : offset + length]

    made = transcode.transcode(read, len(data), EXPLICIT)
    looked = sum(taken)
    assert made.length == len(b"".join(made))
    assert sum(taken) - looked > 0.9 * len(data)


def test_an_object_that_is_deflated_has_an_even_length_and_inflates() -> None:
    data = samples.encode(samples.instance(rows=8, columns=8))
    made = transcode.transcode(reader(data), len(data), DEFLATED)
    assert made.length is None
    dataset = b"".join(made.dataset)
    assert len(dataset) % 2 == 0
    assert zlib.decompressobj(-15).decompress(dataset) == data[-len(data) + header_length(data) :]


def header_length(data: bytes) -> int:
    return read_header(reader(data), len(data)).dataset_offset


@pytest.mark.parametrize("target", [JPEG_LS, J2K, HTJ2K, RLE, SV1, XL, JPEG])
def test_a_frame_is_as_in_the_object_that_would_be_given(target: str) -> None:
    data = image(COLOURS, 8, "RGB")
    frame = frame_in(COLOURS.tobytes(), PixelFacts.of(opened(data)), EXPLICIT, target)
    assert frame == one_frame(given(data, target))[: len(frame)]


def test_an_uncompressed_frame_is_as_the_attributes_of_its_object_say() -> None:
    source = opened(given(image(COLOURS, 8, "RGB"), RLE))
    source_facts = PixelFacts.of(source)
    frame = one_frame(samples.encode(source))
    planes = np.moveaxis(COLOURS, -1, 0).tobytes()
    assert source_facts.planar
    for target in NATIVE:
        assert frame_in(frame, source_facts, RLE, target) == planes
    assert frame_in(frame, source_facts, RLE, RLE) == frame


# What is broken


def with_frame(data: bytes, frame: bytes) -> bytes:
    """The object, which ends with its pixel data, with another frame."""
    elements = raw_elements(data)
    start = data[: len(data) - len(elements.pop(0x7FE00010))]
    fragments: bytes = encapsulate([frame])
    return start + struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OB", 0, 0xFFFFFFFF) + fragments + DELIMITER


DELIMITER = b"\xfe\xff\xdd\xe0\0\0\0\0"


@pytest.mark.parametrize("source", [RLE, JPEG, EXTENDED, SV1, JPEG_LS, J2K, HTJ2K, XL, JPEG_IN_XL])
def test_what_is_cut_off_or_of_another_size_is_refused(source: str) -> None:
    """Decoders make up what is missing. The peer gives it as an image, or dies."""
    wide = np.add.outer(np.arange(32), np.arange(40)).astype("<u2" if source == EXTENDED else "u1")
    data = image(wide, 12 if source == EXTENDED else 8)
    data = given(given(data, JPEG) if source == JPEG_IN_XL else data, source)
    frame = one_frame(data)
    assert given(with_frame(data, frame), EXPLICIT)
    for length in (len(frame) // 3, len(frame) * 9 // 10, len(frame) - 4):
        with pytest.raises(BrokenDicom):
            given(with_frame(data, frame[:length]), EXPLICIT)
    rows, taller = (struct.pack("<HH2sHH", 0x0028, 0x0010, b"US", 2, n) for n in (32, 40))
    with pytest.raises(BrokenDicom):
        given(data.replace(rows, taller), EXPLICIT)


@pytest.mark.parametrize("source", [J2K, HTJ2K])
def test_a_codestream_that_claims_to_be_huge_is_not_decoded(source: str) -> None:
    data = given(image(noise((16, 16), 0, 255, "u1"), 8), source)
    frame = bytearray(one_frame(data))
    struct.pack_into(">2I", frame, 8, 1 << 30, 1 << 30)
    with pytest.raises(BrokenDicom, match="its attributes say"):
        given(with_frame(data, bytes(frame)), EXPLICIT)


def test_segments_of_rle_must_lie_within_their_frame() -> None:
    """A codec that believed the header read elsewhere in memory, and died."""
    data = given(image(noise((16, 16), 0, 255, "u1"), 8), RLE)
    frame = bytearray(one_frame(data))
    for offset in (0x74000040, 3, len(frame) + 2):
        struct.pack_into("<I", frame, 4, offset)
        with pytest.raises(BrokenDicom, match="segments"):
            given(with_frame(data, bytes(frame)), EXPLICIT)


def test_pixel_data_that_are_not_encoded_as_is_said_are_refused() -> None:
    for real, said in ((RLE, EXPLICIT), (EXPLICIT, RLE)):
        data = image(noise((16, 16), 0, 255, "u1"), 8)
        data = data if real == EXPLICIT else given(data, real)
        padded = [uid.encode() + b"\0" * (len(uid) % 2) for uid in (real, said)]
        lie = data.replace(
            struct.pack("<2sH", b"UI", len(padded[0])) + padded[0],
            struct.pack("<2sH", b"UI", len(padded[1])) + padded[1],
        )
        with pytest.raises(BrokenDicom, match="transfer syntax"):
            given(lie, J2K)


def test_an_object_without_an_image_is_only_written_anew() -> None:
    data = samples.encode(samples.document())
    for target in NATIVE:
        made = given(data, target)
        assert opened(given(made, EXPLICIT)).EncapsulatedDocument == opened(data).EncapsulatedDocument
    with pytest.raises(NotAcceptable):
        given(data, JPEG_LS)
