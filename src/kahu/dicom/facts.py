"""What the Image Pixel module says of an image: its size, its samples, their bits and colour (PS3.3 C.7.6.3)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from pydicom.dataset import Dataset

from kahu.dicom.attributes import tag_of
from kahu.dicom.malformed import MALFORMED, understood
from kahu.dicom.walk import PixelData
from kahu.errors import BrokenDicom, NotAcceptable

__all__ = ["AS_STORED", "SEND_AGAIN", "PixelFacts"]

SEND_AGAIN = "send the instance again"
AS_STORED = "ask for the whole instance, or for transfer-syntax=* to have the frame as it is stored"


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

    @classmethod
    def of_values(cls, get: Callable[[str], Any], keyword: str, words: bool) -> "PixelFacts":
        """The facts that `get` has for keywords, None where it has none. BrokenDicom: they make no image."""
        return _facts(get, keyword, words)

    def held_in(self, pixels: PixelData) -> "PixelFacts":
        """The same of the pixel data that a file has, where a header without them does not tell."""
        return replace(self, keyword=pixels.keyword, words=pixels.vr == "OW")

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of a sample's container, little endian; packed bits become bytes of 0 and 1."""
        if self.keyword != "PixelData":
            return np.dtype("<f4" if self.keyword == "FloatPixelData" else "<f8")
        if self.bits_allocated not in (1, 8, 16, 32, 64):
            raise NotAcceptable(f"samples of {self.bits_allocated} bits cannot be decoded", AS_STORED)
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
