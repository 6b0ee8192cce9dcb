"""A frame's bytes -> an array, or uncompressed bytes: every codec, every kind of colour (PS3.5 §8, annexes
A.4 and G).

*Frame bytes* are a frame as it is stored, without item headers: what `frames` finds.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from kahu.dicom.attributes import tag_of
from kahu.dicom.malformed import MALFORMED, understood
from kahu.errors import BrokenDicom, NotAcceptable

__all__ = ["PixelFacts", "decode", "native"]

Codec = Literal["native", "big endian", "rle", "jpeg", "jpeg-ls", "jpeg 2000", "htj2k"]

_JPEG = "1.2.840.10008.1.2.4."
_CODECS: dict[str, Codec] = {
    "1.2.840.10008.1.2": "native",
    "1.2.840.10008.1.2.1": "native",
    "1.2.840.10008.1.2.1.98": "native",  # encapsulated uncompressed
    "1.2.840.10008.1.2.1.99": "native",  # deflated: whoever reads its bytes inflates the data set first
    "1.2.840.10008.1.2.2": "big endian",
    "1.2.840.10008.1.2.5": "rle",
    **dict.fromkeys([_JPEG + n for n in ("50", "51", "57", "70")], "jpeg"),
    **dict.fromkeys([_JPEG + n for n in ("80", "81")], "jpeg-ls"),
    **dict.fromkeys([_JPEG + n for n in ("90", "91", "92", "93")], "jpeg 2000"),
    **dict.fromkeys([_JPEG + n for n in ("201", "202", "203")], "htj2k"),
}
_AS_STORED = "ask for the whole instance, or for transfer-syntax=* to have the frame as it is stored"


@dataclass(frozen=True, slots=True)
class PixelFacts:
    """What the Image Pixel module says about every frame (PS3.3 C.7.6.3)."""

    rows: int
    columns: int
    samples: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    photometric: str
    planar: bool
    """samples one plane after the other; only uncompressed and RLE frames look at it"""
    frames: int
    keyword: str = "PixelData"
    """or FloatPixelData, DoubleFloatPixelData"""
    words: bool = False
    """the value's VR is OW: bytes of 8-bit samples are swapped in pairs in big endian"""

    @classmethod
    def of(cls, dataset: Dataset) -> "PixelFacts":
        """The facts of a pydicom `Dataset`. BrokenDicom: it has no image."""
        keyword = next((k for k in ("FloatPixelData", "DoubleFloatPixelData") if k in dataset), "PixelData")
        with understood("pixel data"):
            words = keyword in dataset and dataset[keyword].VR == "OW"
        return _facts(dataset.get, keyword, words)

    @classmethod
    def of_json(cls, instance: Mapping[str, Any]) -> "PixelFacts":
        """The facts of one instance in the DICOM JSON Model (PS3.18 F). BrokenDicom: it has no image."""

        def first(keyword: str) -> Any:
            return (instance.get(f"{tag_of(keyword):08X}", {}).get("Value") or [None])[0]

        keyword = "FloatPixelData" if "7FE00008" in instance else "PixelData"
        keyword = "DoubleFloatPixelData" if "7FE00009" in instance else keyword
        return _facts(first, keyword, instance.get("7FE00010", {}).get("vr") == "OW")

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of a sample's container, little endian; packed bits become bytes of 0 and 1."""
        if self.keyword != "PixelData":
            return np.dtype("<f4" if self.keyword == "FloatPixelData" else "<f8")
        if self.bits_allocated not in (1, 8, 16, 32, 64):
            raise NotAcceptable(f"samples of {self.bits_allocated} bits cannot be decoded", _AS_STORED)
        return np.dtype(f"<{'i' if self.signed else 'u'}{max(self.bits_allocated // 8, 1)}")

    @property
    def subsampled(self) -> bool:
        """Two neighbours share their colour: uncompressed YBR_FULL_422 has two samples a pixel."""
        return self.photometric == "YBR_FULL_422" and self.samples == 3

    @property
    def frame_bits(self) -> int:
        """Of one uncompressed frame."""
        samples = 2 if self.subsampled else self.samples
        return self.rows * self.columns * samples * self.bits_allocated


def _facts(get: Callable[[str], Any], keyword: str, words: bool) -> PixelFacts:
    try:
        bits = int(get("BitsAllocated") or {"FloatPixelData": 32, "DoubleFloatPixelData": 64}[keyword])
        stored = int(get("BitsStored") or bits)
        facts = PixelFacts(
            rows=int(get("Rows")),
            columns=int(get("Columns")),
            samples=int(get("SamplesPerPixel") or 1),
            bits_allocated=bits,
            bits_stored=stored,
            high_bit=int(stored - 1 if (high := get("HighBit")) is None else high),
            signed=bool(get("PixelRepresentation")),
            photometric=str(get("PhotometricInterpretation") or "MONOCHROME2"),
            planar=bool(get("PlanarConfiguration")),
            frames=int(get("NumberOfFrames") or 1),
            keyword=keyword,
            words=words,
        )
    except MALFORMED as error:
        raise BrokenDicom(
            "this instance has no image: Rows, Columns or BitsAllocated is missing or no number",
            "ask for the instance itself",
        ) from error
    if facts.frame_bits <= 0 or facts.frames < 1 or not 0 < stored <= facts.high_bit + 1 <= bits:
        raise BrokenDicom("the size of this instance's image makes no sense", "ask for the instance itself")
    return facts


# A frame -> an array


def decode(frame: bytes, facts: PixelFacts, transfer_syntax: str) -> NDArray[Any]:
    """Frame bytes as `(rows, columns)`, or `(rows, columns, samples)` where there are several samples.

    Values are stored values: unused high bits are gone, signs are right, packed bits are 0 and 1, no rescale.
    Colour is RGB whatever the file holds (YBR_FULL, YBR_FULL_422, YBR_ICT, YBR_RCT); palette colour stays
    indices (see `render`). NotAcceptable: a transfer syntax that cannot be decoded. BrokenDicom: the bytes do
    not decode.
    """
    array, ybr = _decoded(frame, facts, transfer_syntax, keep_ybr=False)
    return _rgb_of(array, facts.bits_stored) if ybr else array


def native(frame: bytes, facts: PixelFacts, transfer_syntax: str) -> bytes:
    """Frame bytes as they would be in explicit VR little endian, whatever they were (for
    ``transfer-syntax=1.2.840.10008.1.2.1``).

    Samples come as the instance's own attributes describe them: one plane after the other if Planar
    Configuration says so, YBR_FULL and YBR_FULL_422 stay what they are; YBR_ICT and YBR_RCT, which only a
    codec knows, become RGB. Errors as `decode`.
    """
    codec = _codec(transfer_syntax)
    size = -(-facts.frame_bits // 8)  # what is beyond it is padding
    if codec == "native":
        return frame[:size]
    if codec == "big endian":
        return np.frombuffer(frame, _big_endian(facts, frame)).byteswap().tobytes()[:size]
    array, ybr = _decoded(frame, facts, transfer_syntax, keep_ybr=True)
    if facts.photometric in ("YBR_FULL", "YBR_FULL_422") and not ybr:
        array = _ybr_of(array, facts.bits_stored)
    if facts.subsampled:
        array = _subsample(array)
    elif facts.samples > 1 and facts.planar:
        array = np.moveaxis(array, -1, 0)
    if facts.bits_allocated == 1:
        return np.packbits(array, axis=None, bitorder="little").tobytes()
    return array.astype(facts.dtype, copy=False).tobytes()


def _codec(transfer_syntax: str) -> Codec:
    codec = _CODECS.get(transfer_syntax)
    if codec is None:
        raise NotAcceptable(f"frames in transfer syntax {transfer_syntax} cannot be decoded", _AS_STORED)
    return codec


def _decoded(
    frame: bytes, facts: PixelFacts, transfer_syntax: str, *, keep_ybr: bool
) -> tuple[NDArray[Any], bool]:
    """The frame's samples, and whether they are luminance and colour differences (YBR) still.

    A JPEG codec transforms colour faster than we do: it does unless `keep_ybr`.
    """
    codec = _codec(transfer_syntax)
    ybr = facts.samples == 3 and facts.photometric in ("YBR_FULL", "YBR_FULL_422")
    if codec in ("native", "big endian"):
        return _uncompressed(frame, facts, codec == "big endian"), ybr
    try:
        if codec == "rle":
            return _from_rle(frame, facts), ybr
        if codec == "jpeg":
            array, ybr = _from_jpeg(frame, facts, keep_ybr)
        elif codec == "jpeg-ls":
            array = imagecodecs.jpegls_decode(frame)
        elif codec == "htj2k":
            array = imagecodecs.htj2k_decode(frame)
        else:
            array = imagecodecs.jpeg2k_decode(frame)
    except (RuntimeError, ValueError) as error:  # every codec's error is one of these
        raise BrokenDicom(
            f"the compressed frame cannot be decoded ({transfer_syntax})", "send the instance again"
        ) from error
    shape = (facts.rows, facts.columns) + ((facts.samples,) if facts.samples > 1 else ())
    if array.shape != shape:
        raise BrokenDicom(
            f"the compressed frame is {array.shape}, its attributes say {shape}", "send the instance again"
        )
    return _values(array, facts), ybr


def _from_rle(frame: bytes, facts: PixelFacts) -> NDArray[Any]:
    dtype = np.dtype("u1") if facts.bits_allocated == 1 else facts.dtype
    planes = np.frombuffer(imagecodecs.dicomrle_decode(frame, dtype), dtype)
    size = facts.rows * facts.columns
    if len(planes) < size * facts.samples:
        raise BrokenDicom("the compressed frame is too short", "send the instance again")
    planes = planes[: size * facts.samples].reshape(facts.samples, facts.rows, facts.columns)
    return _values(planes[0] if facts.samples == 1 else np.moveaxis(planes, 0, -1), facts)


def _from_jpeg(frame: bytes, facts: PixelFacts, keep_ybr: bool) -> tuple[NDArray[Any], bool]:
    if facts.samples != 3:
        return imagecodecs.jpeg8_decode(frame), False
    ybr = _jpeg_is_ybr(frame, facts.photometric)
    stored = "YCBCR" if ybr else "RGB"
    return imagecodecs.jpeg8_decode(
        frame, colorspace=stored, outcolorspace=stored if keep_ybr else "RGB"
    ), ybr and keep_ybr


def _jpeg_is_ybr(frame: bytes, photometric: str) -> bool:
    """Whether a JPEG's three components are YBR. Its own markers know best (Adobe, JFIF), then Photometric
    Interpretation does.
    """
    at = 2
    while at + 4 <= len(frame) and frame[at] == 0xFF:
        marker, length = frame[at + 1], int.from_bytes(frame[at + 2 : at + 4], "big")
        body = frame[at + 4 : at + 2 + length]
        if marker == 0xEE and body[:5] == b"Adobe" and len(body) >= 12:
            return body[11] == 1
        if marker == 0xE0 and body[:5] == b"JFIF\0":
            return True
        if marker == 0xDA:  # start of scan: no more headers
            break
        at += 2 + length
    return photometric != "RGB"


def _uncompressed(frame: bytes, facts: PixelFacts, big_endian: bool) -> NDArray[Any]:
    if len(frame) < -(-facts.frame_bits // 8):
        raise BrokenDicom("the frame is too short for its rows and columns", "send the instance again")
    if big_endian:
        frame = np.frombuffer(frame, _big_endian(facts, frame)).byteswap().tobytes()
    frame = frame[: -(-facts.frame_bits // 8)]
    if facts.bits_allocated == 1:
        bits = np.unpackbits(np.frombuffer(frame, np.uint8), count=facts.frame_bits, bitorder="little")
        return bits.reshape(facts.rows, facts.columns)
    array = np.frombuffer(frame, facts.dtype)
    if facts.subsampled:
        return _upsample(array.reshape(facts.rows, facts.columns // 2, 4))
    if facts.samples == 1:
        array = array.reshape(facts.rows, facts.columns)
    elif facts.planar:
        array = np.moveaxis(array.reshape(facts.samples, facts.rows, facts.columns), 0, -1)
    else:
        array = array.reshape(facts.rows, facts.columns, facts.samples)
    return _values(array, facts)


def _big_endian(facts: PixelFacts, frame: bytes) -> np.dtype[Any]:
    """Of what is swapped in big endian: samples, or pairs of bytes where 8-bit samples are in words (PS3.5
    A.3).
    """
    if facts.bits_allocated > 8:
        return facts.dtype
    return np.dtype("<u2" if facts.words and len(frame) % 2 == 0 else "u1")


def _values(array: NDArray[Any], facts: PixelFacts) -> NDArray[Any]:
    """Stored values from what lies in their containers: bits above the high bit gone, signs extended."""
    if facts.keyword != "PixelData":
        return array
    width = 8 * array.dtype.itemsize
    if array.dtype.kind == "i" and not facts.signed:  # a codestream may be signed where the data set is not
        array = array.view(f"u{array.dtype.itemsize}")
    elif facts.signed and (array.dtype.kind == "u" or facts.bits_stored < facts.bits_allocated):
        left = width - 1 - min(facts.high_bit, width - 1)
        array = (array.view(f"i{array.dtype.itemsize}") << left) >> max(width - facts.bits_stored, 0)
    elif not facts.signed and facts.bits_stored < facts.bits_allocated and width > facts.bits_stored:
        low = facts.high_bit + 1 - facts.bits_stored
        array = (array >> low) & array.dtype.type((1 << facts.bits_stored) - 1)
    return array.astype(facts.dtype, copy=False)


# Colour (PS3.3 C.7.6.3.1.2, full range)

_TO_RGB = np.array([[1, 0, 1.402], [1, -0.344136, -0.714136], [1, 1.772, 0]], np.float32)
_TO_YBR = np.linalg.inv(_TO_RGB.astype(np.float64)).astype(np.float32)


def _rgb_of(ybr: NDArray[Any], bits: int) -> NDArray[Any]:
    middle = np.array([0, 1 << (bits - 1), 1 << (bits - 1)], np.float32)
    return _rounded((ybr - middle) @ _TO_RGB.T, bits, ybr.dtype)


def _ybr_of(rgb: NDArray[Any], bits: int) -> NDArray[Any]:
    middle = np.array([0, 1 << (bits - 1), 1 << (bits - 1)], np.float32)
    return _rounded(rgb.astype(np.float32) @ _TO_YBR.T + middle, bits, rgb.dtype)


def _rounded(values: NDArray[np.float32], bits: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    return np.clip(np.rint(values), 0, (1 << bits) - 1).astype(dtype)


def _upsample(pairs: NDArray[Any]) -> NDArray[Any]:
    """(rows, columns / 2, Y Y B R) -> (rows, columns, Y B R)."""
    rows, half, _ = pairs.shape
    out = np.empty((rows, half, 2, 3), pairs.dtype)
    out[..., 0] = pairs[..., :2]
    out[..., 1:] = pairs[:, :, np.newaxis, 2:]
    return out.reshape(rows, 2 * half, 3)


def _subsample(ybr: NDArray[Any]) -> NDArray[Any]:
    """(rows, columns, Y B R) -> (rows, columns / 2, Y Y B R), colour of the left one of two (PS3.3
    C.7.6.3.1.2).
    """
    rows, columns, _ = ybr.shape
    pairs = ybr.reshape(rows, columns // 2, 2, 3)
    return np.concatenate([pairs[..., 0], pairs[:, :, 0, 1:]], axis=-1)
