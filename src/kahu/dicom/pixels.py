"""A frame's bytes -> an array, or uncompressed bytes: every codec, every kind of colour (PS3.5 §8, annexes
A.4 and G). `encode` is the way back.

*Frame bytes* are a frame as it is stored, without item headers: what `frames` finds.
"""

import zlib
from collections.abc import Callable
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from kahu.dicom import codestream, rle
from kahu.dicom.colour import rgb_of, subsample, upsample, ybr_of
from kahu.dicom.facts import AS_STORED, SEND_AGAIN, PixelFacts
from kahu.dicom.syntaxes import KNOWN, Codec
from kahu.errors import BrokenDicom, NotAcceptable

__all__ = ["colour_of", "decode", "jpeg_of_xl", "laid_out", "native", "stored"]

_TOO_SHORT = "the frame is too short for its rows and columns"
_OF_CODECS = ("YBR_RCT", "YBR_ICT", "XYB")  # Photometric Interpretations that a codec undoes
_DEEPEST_OF_OPENJPEG = 16


def decode(frame: bytes, facts: PixelFacts, transfer_syntax: str) -> NDArray[Any]:
    """Frame bytes as `(rows, columns)`, or `(rows, columns, samples)` where there are several samples.

    Values are stored values: unused high bits are gone, signs are right, packed bits are 0 and 1, no rescale.
    Colour is RGB whatever the file holds (YBR_FULL, YBR_FULL_422, YBR_ICT, YBR_RCT); palette colour stays
    indices (see `render`). NotAcceptable: a transfer syntax that cannot be decoded. BrokenDicom: the bytes do
    not decode, or to another image than the attributes tell of.
    """
    array, ybr = _decoded(frame, facts, transfer_syntax, keep_ybr=False)
    return rgb_of(array, facts.bits_stored) if ybr else array


def stored(frame: bytes, facts: PixelFacts, transfer_syntax: str) -> NDArray[Any]:
    """As `decode`, but samples are not turned into RGB that are YBR by Photometric Interpretation: nothing is lost.

    `colour_of` says what they are: RGB is what comes out of codecs that transform colour themselves.
    """
    return _decoded(frame, facts, transfer_syntax, keep_ybr=False)[0]


def colour_of(facts: PixelFacts, transfer_syntax: str) -> str:
    """The Photometric Interpretation of what `stored` gives."""
    if facts.samples != 3:
        return facts.photometric
    if facts.photometric in _OF_CODECS or _codec(transfer_syntax) in ("jpeg", "jpeg in xl"):
        return "RGB"
    return "YBR_FULL" if facts.photometric == "YBR_FULL_422" else facts.photometric


def native(frame: bytes, facts: PixelFacts, transfer_syntax: str) -> bytes:
    """Frame bytes as they would be in explicit VR little endian, whatever they were (for
    ``transfer-syntax=1.2.840.10008.1.2.1``).

    Samples come as the instance's own attributes describe them: one plane after the other if Planar
    Configuration says so, YBR_FULL and YBR_FULL_422 stay what they are; YBR_ICT and YBR_RCT, which only a
    codec knows, become RGB. Errors as `decode`.
    """
    codec = _codec(transfer_syntax)
    size = -(-facts.frame_bits // 8)  # what is beyond it is padding
    if codec in ("native", "big endian"):
        if len(frame) < size:
            raise BrokenDicom(_TOO_SHORT, SEND_AGAIN)
        if codec == "big endian":
            frame = np.frombuffer(frame, _big_endian(facts, frame)).byteswap().tobytes()
        return frame[:size]
    if codec == "rle" and not facts.subsampled and facts.bits_allocated > 1:
        return rle.run_lengths_undone(frame, facts)
    array, ybr = _decoded(frame, facts, transfer_syntax, keep_ybr=True)
    if facts.photometric in ("YBR_FULL", "YBR_FULL_422") and not ybr:
        array = ybr_of(array, facts.bits_stored)
    return laid_out(subsample(array) if facts.subsampled else array, facts)


def laid_out(array: NDArray[Any], facts: PixelFacts) -> bytes:
    """Samples as uncompressed bytes in little endian, as Planar Configuration, High Bit and Bits Allocated say."""
    if facts.samples > 1 and facts.planar and not facts.subsampled:
        array = np.moveaxis(array, -1, 0)
    if facts.bits_allocated == 1:
        return np.packbits(array, axis=None, bitorder="little").tobytes()
    array = array.astype(facts.dtype, copy=False)
    if unused := facts.high_bit + 1 - facts.bits_stored:
        array = array << unused
    return array.tobytes()


def jpeg_of_xl(frame: bytes) -> bytes:
    """The JPEG that was packed into a JPEG XL frame, bit for bit. BrokenDicom: there is none in it."""
    try:
        return bytes(imagecodecs.jpegxl_decode_jpeg(frame, numthreads=1))
    except (RuntimeError, ValueError) as error:
        raise BrokenDicom("there is no JPEG in the JPEG XL frame", SEND_AGAIN) from error


def _codec(transfer_syntax: str) -> Codec:
    known = KNOWN.get(transfer_syntax)
    if known is None:
        raise NotAcceptable(f"frames in transfer syntax {transfer_syntax} cannot be decoded", AS_STORED)
    return known.codec


def _decoded(
    frame: bytes, facts: PixelFacts, transfer_syntax: str, *, keep_ybr: bool
) -> tuple[NDArray[Any], bool]:
    """The frame's samples, and whether they are luminance and colour differences (YBR) still.

    A JPEG codec transforms colour faster than we do: it does unless `keep_ybr`.
    """
    codec = _codec(transfer_syntax)
    ybr = facts.samples == 3 and facts.photometric in ("YBR_FULL", "YBR_FULL_422")
    try:
        if codec in ("native", "big endian", "deflated"):
            if codec == "deflated":
                frame = zlib.decompressobj(-zlib.MAX_WBITS).decompress(frame, -(-facts.frame_bits // 8))
            return _uncompressed(frame, facts, codec == "big endian"), ybr
        if codec == "rle":
            return _from_rle(frame, facts), ybr
        if codec in ("jpeg", "jpeg in xl"):
            array, ybr = _from_jpeg(frame, facts, keep_ybr)
        else:
            array = _DECODERS[codec](frame, facts)
    except (
        RuntimeError,
        ValueError,
        MemoryError,
        zlib.error,
    ) as error:  # every codec's error is one of these
        raise BrokenDicom(
            f"the compressed frame cannot be decoded ({transfer_syntax})", SEND_AGAIN
        ) from error
    shape = (facts.rows, facts.columns) + ((facts.samples,) if facts.samples > 1 else ())
    if array.shape != shape:
        raise BrokenDicom(f"the compressed frame is {array.shape}, its attributes say {shape}", SEND_AGAIN)
    return _values(array, facts), ybr


def _from_rle(frame: bytes, facts: PixelFacts) -> NDArray[Any]:
    planes = rle.planes(frame, facts)
    return _values(planes[0] if facts.samples == 1 else np.moveaxis(planes, 0, -1), facts)


def _from_jpeg(frame: bytes, facts: PixelFacts, keep_ybr: bool) -> tuple[NDArray[Any], bool]:
    """A lossy JPEG, or one that was packed into JPEG XL."""
    if frame[:2] != b"\xff\xd8":
        if b"jbrd" not in frame:  # the box without which the JPEG cannot be had back
            return imagecodecs.jpegxl_decode(frame), False
        frame = jpeg_of_xl(frame)
    _check_jpeg(frame, facts)
    if facts.samples != 3:
        return imagecodecs.jpeg8_decode(frame), False
    ybr = codestream.is_ybr(frame, facts.photometric)
    colours = "YCBCR" if ybr else "RGB"
    return imagecodecs.jpeg8_decode(
        frame, colorspace=colours, outcolorspace=colours if keep_ybr else "RGB"
    ), ybr and keep_ybr


def _from_lossless_jpeg(frame: bytes, facts: PixelFacts) -> NDArray[Any]:
    """Without any transformation of colour, which would lose something."""
    _check_jpeg(frame, facts)
    if facts.samples != 3:
        return imagecodecs.jpeg8_decode(frame)
    return imagecodecs.jpeg8_decode(frame, colorspace="RGB", outcolorspace="RGB")


def _from_jpeg_ls(frame: bytes, facts: PixelFacts) -> NDArray[Any]:
    _check_jpeg(frame, facts)  # CharLS may look for the end of a frame that has none for seconds
    return imagecodecs.jpegls_decode(frame)


def _from_jpeg_2000(frame: bytes, facts: PixelFacts) -> NDArray[Any]:
    """Also HTJ2K: OpenJPEG says what OpenJPH does not, that a frame ends too early. OpenJPH alone has 32 bits."""
    shape = codestream.jpeg2000(frame)
    _check(shape, facts)
    deep = shape is not None and shape.bits > _DEEPEST_OF_OPENJPEG
    return imagecodecs.htj2k_decode(frame) if deep else imagecodecs.jpeg2k_decode(frame)


def _from_jpeg_xl(frame: bytes, facts: PixelFacts) -> NDArray[Any]:
    return imagecodecs.jpegxl_decode(frame)


_DECODERS: dict[Codec, Callable[[bytes, PixelFacts], NDArray[Any]]] = {
    "lossless jpeg": _from_lossless_jpeg,
    "jpeg-ls": _from_jpeg_ls,
    "jpeg 2000": _from_jpeg_2000,
    "jpeg xl": _from_jpeg_xl,
}


def _check_jpeg(frame: bytes, facts: PixelFacts) -> None:
    _check(codestream.jpeg(frame), facts)
    if not codestream.is_whole(frame):
        raise BrokenDicom("the compressed frame is truncated", SEND_AGAIN)


def _check(shape: codestream.Shape | None, facts: PixelFacts) -> None:
    """BrokenDicom: a codestream is not of the image that the attributes tell of."""
    if shape is None:
        return  # the decoder will say what it thinks of that
    told = (facts.rows, facts.columns, facts.samples)
    if (shape.rows, shape.columns, shape.samples) != told:
        raise BrokenDicom(
            f"the compressed frame is {(shape.rows, shape.columns, shape.samples)}, its attributes say {told}",
            SEND_AGAIN,
        )
    if shape.bits > max(8, facts.bits_allocated):
        raise BrokenDicom(
            f"samples of the compressed frame have {shape.bits} bits, its attributes say {facts.bits_allocated}",
            SEND_AGAIN,
        )


def _uncompressed(frame: bytes, facts: PixelFacts, big_endian: bool) -> NDArray[Any]:
    if len(frame) < -(-facts.frame_bits // 8):
        raise BrokenDicom(_TOO_SHORT, SEND_AGAIN)
    if big_endian:
        frame = np.frombuffer(frame, _big_endian(facts, frame)).byteswap().tobytes()
    frame = frame[: -(-facts.frame_bits // 8)]
    if facts.bits_allocated == 1:
        bits = np.unpackbits(np.frombuffer(frame, np.uint8), count=facts.frame_bits, bitorder="little")
        return bits.reshape(facts.rows, facts.columns)
    array = np.frombuffer(frame, facts.dtype)
    if facts.subsampled:
        return upsample(array.reshape(facts.rows, facts.columns // 2, 4))
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
    if facts.signed and (array.dtype.kind == "u" or facts.bits_stored < facts.bits_allocated):
        left = width - 1 - min(facts.high_bit, width - 1)
        array = (array.view(f"i{array.dtype.itemsize}") << left) >> max(width - facts.bits_stored, 0)
    elif not facts.signed and facts.bits_stored < facts.bits_allocated and width > facts.bits_stored:
        low = facts.high_bit + 1 - facts.bits_stored
        array = (array >> low) & array.dtype.type((1 << facts.bits_stored) - 1)
    return array.astype(facts.dtype, copy=False)
