"""What an object says of how its frames look: windows, lookup tables, rescaling, padding (PS3.3 C.11, C.7.5.1.1.2).

It is read out of the attributes once; a picture of each frame is then a matter of arrays (`render`).
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from kahu.dicom.functional import frame_value
from kahu.dicom.malformed import MALFORMED
from kahu.errors import BadRequest, NotAcceptable

__all__ = ["Display", "Window"]

_LUTS = (
    "ModalityLUTSequence",
    "VOILUTSequence",
    *(
        f"{colour}PaletteColorLookupTable{part}"
        for part in ("Descriptor", "Data")
        for colour in ("Red", "Green", "Blue")
    ),
    *(f"Segmented{colour}PaletteColorLookupTableData" for colour in ("Red", "Green", "Blue")),
    "PaletteColorLookupTableUID",
)
_FOR_LUTS = ("BitsAllocated", "BitsStored", "PixelRepresentation", "PhotometricInterpretation")


@dataclass(frozen=True)
class Window:
    """Which values, after rescale, go from black to white (PS3.3 C.11.2.1.2)."""

    center: float
    width: float
    function: Literal["LINEAR", "LINEAR_EXACT", "SIGMOID"] = "LINEAR"

    @property
    def valid(self) -> bool:
        """Whether the standard allows its width."""
        return self.width >= 1 if self.function == "LINEAR" else self.width > 0

    def apply(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """0 (black) to 1 (white). BadRequest: a width that the standard forbids."""
        if not self.valid:
            raise BadRequest(
                "the width of a window is at least 1", "LINEAR_EXACT and SIGMOID take any above 0"
            )
        if self.function == "SIGMOID":
            return 1 / (1 + np.exp(np.clip(-4 * (values - self.center) / self.width, -50, 50)))
        if self.function == "LINEAR_EXACT":
            return np.clip((values - self.center) / self.width + 0.5, 0, 1)
        if self.width == 1:
            return (values > self.center - 0.5).astype(np.float64)
        return np.clip((values - (self.center - 0.5)) / (self.width - 1) + 0.5, 0, 1)


@dataclass(frozen=True, slots=True)
class Display:
    """How a frame of an object is looked at."""

    photometric: str
    bits_stored: int | None
    modality: str
    padding: tuple[int, int] | None
    """the first and the last stored value of those that are no image"""
    slope: float
    intercept: float
    window: Window | None
    """its own, if it has one"""
    inverse: bool
    """whether the smallest values are white"""
    luts: Dataset | None
    """lookup tables, and what pydicom must know to apply them"""
    tall: float
    """how many times as tall as wide a pixel is; 1 where nothing useful is said"""

    @classmethod
    def of(cls, dataset: Dataset, number: int = 1) -> "Display":
        """Of frame `number` of an object, whose `dataset` needs no pixel data. NotAcceptable: it makes no sense."""
        try:
            return cls._of(dataset, number)
        except MALFORMED as error:
            raise NotAcceptable(
                "what this image says of its grey values or colours makes no sense",
                "ask for the frame itself",
            ) from error

    @classmethod
    def _of(cls, dataset: Dataset, number: int) -> "Display":
        photometric = str(dataset.get("PhotometricInterpretation") or "MONOCHROME2")
        stored = dataset.get("BitsStored")
        slope, intercept = (
            frame_value(dataset, number, "PixelValueTransformationSequence", keyword)
            for keyword in ("RescaleSlope", "RescaleIntercept")
        )
        inverse = photometric == "MONOCHROME1" or dataset.get("PresentationLUTShape") == "INVERSE"
        return cls(
            photometric=photometric,
            bits_stored=int(stored) if stored else None,
            modality=str(dataset.get("Modality") or ""),
            padding=_padding(dataset),
            slope=1.0 if slope is None else float(slope),
            intercept=0.0 if intercept is None else float(intercept),
            window=_own_window(dataset, number),
            inverse=inverse,
            luts=_luts(dataset),
            tall=_row_to_column_spacing(dataset, number),
        )

    def has_lut(self, keyword: str) -> bool:
        """Whether there is a modality or VOI LUT of that keyword."""
        return self.luts is not None and bool(self.luts.get(keyword))

    @property
    def rescales(self) -> bool:
        """Whether stored values are not what they stand for (PS3.3 C.11.1)."""
        return (self.slope, self.intercept) != (1.0, 0.0) or self.has_lut("ModalityLUTSequence")


def _padding(dataset: Dataset) -> tuple[int, int] | None:
    one = dataset.get("PixelPaddingValue")
    if one is None:
        return None
    other = dataset.get("PixelPaddingRangeLimit")
    first, last = sorted((int(one), int(one if other is None else other)))
    return first, last


def _luts(dataset: Dataset) -> Dataset | None:
    found = [keyword for keyword in _LUTS if keyword in dataset]
    if not found:
        return None
    luts = Dataset()
    luts.set_original_encoding(*dataset.original_encoding)  # segmented tables lie in its byte order
    for keyword in (*found, *(keyword for keyword in _FOR_LUTS if keyword in dataset)):
        luts[keyword] = dataset[keyword]
    return luts


def _own_window(dataset: Dataset, number: int) -> Window | None:
    """The first window of a frame; None: it has none, or one that makes no sense, as some scanners write."""
    macro = "FrameVOILUTSequence"
    try:
        center = _first(frame_value(dataset, number, macro, "WindowCenter"))
        width = _first(frame_value(dataset, number, macro, "WindowWidth"))
    except MALFORMED:
        return None
    if center is None or width is None:
        return None
    function = frame_value(dataset, number, macro, "VOILUTFunction")
    window = Window(center, width, function if function in ("LINEAR_EXACT", "SIGMOID") else "LINEAR")
    return window if window.valid else None


def _first(value: Any) -> float | None:
    if value is None or (isinstance(value, list | tuple) and not value):
        return None
    return float(value[0] if hasattr(value, "__getitem__") and not isinstance(value, str) else value)


def _row_to_column_spacing(dataset: Dataset, number: int) -> float:
    """How many times as tall as wide a pixel is; 1 where nothing useful is said."""
    for macro, keyword in (
        ("PixelMeasuresSequence", "PixelSpacing"),
        ("", "ImagerPixelSpacing"),
        ("", "PixelAspectRatio"),
    ):
        try:
            tall, wide = map(float, frame_value(dataset, number, macro, keyword) or ())
        except MALFORMED:
            continue
        if tall > 0 and wide > 0:
            return tall / wide
    return 1.0
