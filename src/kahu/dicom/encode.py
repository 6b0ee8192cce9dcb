"""Samples -> a frame as a transfer syntax wants it (PS3.5 §8.2 and annexes A.4, G): the way back of `pixels`.

What is written says of itself what the attributes say: as many bits as are stored, signs where there are any, the
colour of Photometric Interpretation. Nothing is lost but by the syntaxes that cannot do else.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import imagecodecs
import jpeg_ls
import numpy as np
from numpy.typing import NDArray

from kahu.dicom.facts import PixelFacts
from kahu.dicom.pixels import laid_out
from kahu.dicom.rle import run_lengths
from kahu.dicom.syntaxes import JPEG, JPEG_BASELINE, RLE
from kahu.errors import BrokenDicom

__all__ = ["encode", "encoded_facts", "fits", "jpeg_in_xl"]

_QUALITY = 90  # of lossy JPEG: no difference is seen at once, and a fifth of the bytes is left
_HEADERS = 4096  # bytes
_BASE_SIZE = 64  # what is left of an image by HTJ2K with RPCL at its lowest resolution (PS3.5 §10.18)

Samples = NDArray[Any]


@dataclass(frozen=True, slots=True)
class _Encoding:
    """How to write a transfer syntax, and the images for which the standard has it (PS3.5 §8.2)."""

    write: Callable[[Samples, PixelFacts], bytes]
    photometrics: frozenset[str]
    """of the samples that are written"""
    allocated: tuple[int, ...] = (8, 16)
    stored: range = range(1, 17)
    signed: bool = True
    become: Mapping[str, str] = field(default_factory=dict)
    """Photometric Interpretations that the codec changes"""


def fits(facts: PixelFacts, target: str) -> bool:
    """Whether the standard lets an image with such samples be in `target`, and we can write it."""
    encoding = _ENCODINGS.get(target)
    if encoding is None or facts.keyword != "PixelData":
        return False
    return (
        facts.samples == (3 if facts.photometric in _COLOUR else 1)
        and facts.photometric in encoding.photometrics
        and facts.bits_allocated in encoding.allocated
        and facts.bits_stored in encoding.stored
        and not (facts.signed and (facts.samples == 3 or not encoding.signed))
    )


def encoded_facts(facts: PixelFacts, target: str) -> PixelFacts:
    """What the attributes say of such samples when they are in `target`, where they `fits`."""
    if target == RLE:
        return replace(facts, planar=facts.samples > 1)
    become = _ENCODINGS[target].become
    photometric = become.get(facts.photometric, facts.photometric)
    return replace(facts, photometric=photometric, planar=False, high_bit=facts.bits_stored - 1)


def encode(array: Samples, facts: PixelFacts, target: str) -> bytes:
    """A frame of samples, as `pixels.stored` gives it, in `target`; `facts` tell of the samples, and `fits`.

    BrokenDicom: the codec refuses.
    """
    try:
        return _ENCODINGS[target].write(array, facts)
    except (RuntimeError, ValueError) as error:
        raise BrokenDicom(f"the frame cannot be encoded ({target})", "ask for it uncompressed") from error


def jpeg_in_xl(frame: bytes) -> bytes:
    """A JPEG as JPEG XL from which that very JPEG can be had back. BrokenDicom: it is none."""
    try:
        return bytes(imagecodecs.jpegxl_encode_jpeg(frame, usecontainer=True))
    except (RuntimeError, ValueError) as error:
        raise BrokenDicom("the compressed frame is no JPEG that JPEG XL can hold", "") from error


def _rle(array: Samples, facts: PixelFacts) -> bytes:
    return run_lengths(laid_out(array, facts), facts)


def _lossless_jpeg(array: Samples, facts: PixelFacts) -> bytes:
    colours = "RGB" if facts.samples == 3 else None  # whatever they are, they are not transformed
    return bytes(
        imagecodecs.jpeg8_encode(
            _unsigned(array, facts),
            lossless=True,
            predictor=1,
            bitspersample=facts.bits_stored,
            colorspace=colours,
            outcolorspace=colours,
        )
    )


def _jpeg(array: Samples, facts: PixelFacts) -> bytes:
    if facts.samples == 1:
        return bytes(imagecodecs.jpeg8_encode(array, level=_QUALITY, bitspersample=facts.bits_stored))
    colours = "RGB" if facts.photometric == "RGB" else "YCBCR"
    return bytes(
        imagecodecs.jpeg8_encode(
            np.ascontiguousarray(array),
            level=_QUALITY,
            colorspace=colours,
            outcolorspace="YCBCR",
            subsampling="422",
        )
    )


def _jpeg_ls(array: Samples, facts: PixelFacts) -> bytes:
    """imagecodecs has precisions of 8 and 16 bits only; pyjpegls has all, but no room for mere noise, which does
    not get smaller: that says then that it has more bits than it uses.
    """
    samples = _unsigned(array, facts)
    if facts.bits_stored not in (8, 16):
        size = facts.rows, facts.columns, facts.samples
        interleaved = 2 if facts.samples == 3 else 0  # by sample
        try:
            return bytes(jpeg_ls.encode_buffer(samples.tobytes(), *size, facts.bits_stored, 0, interleaved))
        except RuntimeError:
            pass
    return bytes(imagecodecs.jpegls_encode(samples, out=2 * samples.nbytes + _HEADERS))


def _jpeg_2000(array: Samples, facts: PixelFacts) -> bytes:
    return bytes(
        imagecodecs.jpeg2k_encode(
            np.ascontiguousarray(array),
            level=0,
            codecformat="J2K",
            reversible=True,
            bitspersample=facts.bits_stored,
            mct=facts.photometric == "RGB",
        )
    )


def _htj2k(array: Samples, facts: PixelFacts) -> bytes:
    """In order of resolutions (RPCL), with lengths of tile parts and a base of at most 64 pixels.

    OpenJPH takes the number of bits from the type of `array`. Where fewer are stored it is given signed samples,
    which it leaves where they are, so that SIZ can be told the truth afterwards (ISO 15444-1 A.5.1, G.1).
    """
    width = 8 * array.dtype.itemsize
    narrow = facts.bits_stored < width
    if narrow and not facts.signed:
        array = array.astype(f"i{array.dtype.itemsize}") - (1 << (facts.bits_stored - 1))
    longest = max(facts.rows, facts.columns)
    levels = max(5, (-(-longest // _BASE_SIZE) - 1).bit_length())
    out = bytearray(
        imagecodecs.htj2k_encode(
            np.ascontiguousarray(array),
            reversible=True,
            rgb=facts.photometric == "RGB",  # or else colour is not transformed
            planar=False,
            tlm=True,
            resolutions=levels,
        )
    )
    if narrow:
        siz = out.index(b"\xff\x51")
        for component in range(facts.samples):
            out[siz + 40 + 3 * component] = facts.signed << 7 | facts.bits_stored - 1
    return bytes(out)


def _jpeg_xl(array: Samples, facts: PixelFacts) -> bytes:
    return bytes(
        imagecodecs.jpegxl_encode(
            _unsigned(array, facts),
            lossless=True,
            effort=3,  # the quickest one, 1, writes beyond its memory where 16 bits are mere noise
            bitspersample=facts.bits_stored,
            usecontainer=False,
            numthreads=1,
        )
    )


def _unsigned(array: Samples, facts: PixelFacts) -> Samples:
    """For codecs without signs: two's complement of as many bits as are stored, in as many bytes as it takes."""
    if facts.signed:
        array = np.bitwise_and(array.view(f"u{array.dtype.itemsize}"), (1 << facts.bits_stored) - 1)
    return np.ascontiguousarray(array, np.uint8 if facts.bits_stored <= 8 else np.uint16)


_GREY = frozenset({"MONOCHROME1", "MONOCHROME2"})
_COLOUR = frozenset({"RGB", "YBR_FULL"})
_ALL = _GREY | _COLOUR | {"PALETTE COLOR"}

_J2K = _Encoding(_jpeg_2000, _ALL, stored=range(2, 17), become={"RGB": "YBR_RCT"})
_HTJ2K = _Encoding(_htj2k, _ALL, become={"RGB": "YBR_RCT"})
_XL = _Encoding(_jpeg_xl, _GREY | {"RGB"}, signed=False)
_SUBSAMPLED = dict.fromkeys(_COLOUR, "YBR_FULL_422")

_ENCODINGS = {
    RLE: _Encoding(_rle, _ALL, allocated=(8, 16, 32), stored=range(1, 33)),
    JPEG + "57": _Encoding(_lossless_jpeg, _ALL, stored=range(2, 17)),
    JPEG + "70": _Encoding(_lossless_jpeg, _ALL, stored=range(2, 17)),
    JPEG + "80": _Encoding(_jpeg_ls, _ALL, stored=range(2, 17)),
    JPEG + "90": _J2K,
    JPEG + "110": _XL,
    JPEG + "201": _HTJ2K,
    JPEG + "202": _HTJ2K,
    # In these an image may lose something. It does not have to, and here it does not.
    JPEG + "81": _Encoding(_jpeg_ls, _GREY | _COLOUR, stored=range(2, 17)),
    JPEG + "91": replace(_J2K, photometrics=_GREY | _COLOUR),
    JPEG + "112": _XL,
    JPEG + "203": replace(_HTJ2K, photometrics=_GREY | _COLOUR),
    # In these it must.
    JPEG_BASELINE: _Encoding(
        _jpeg, _GREY | _COLOUR, allocated=(8,), stored=range(8, 9), signed=False, become=_SUBSAMPLED
    ),
    JPEG + "51": _Encoding(_jpeg, _GREY, allocated=(16,), stored=range(12, 13), signed=False),
}
