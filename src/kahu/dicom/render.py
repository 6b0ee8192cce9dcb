"""A frame -> an 8-bit picture (PS3.3 C.11, C.7.6.3.1.2), as JPEG or PNG; thumbnails of everything, images or
not.

Stored values go through the modality LUT or rescale, then the VOI LUT or window; MONOCHROME1 is turned over,
palettes are looked up, padding is black. The way is computed once for each value that occurs, not for each
pixel.
"""

import io
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi

from kahu.dicom.frames import Frames
from kahu.dicom.functional import frame_item, frame_value
from kahu.dicom.grid import planes_of
from kahu.dicom.malformed import MALFORMED
from kahu.dicom.segmentation import palette, segment_of
from kahu.errors import BadRequest, KahuError, NotAcceptable

__all__ = ["Window", "icon", "jpeg", "picture", "png", "thumbnail", "thumbnail_of"]

Picture = NDArray[np.uint8]
"""(rows, columns) grey, or (rows, columns, 3) RGB"""

_COLOUR = (
    "RGB",
    "YBR_FULL",
    "YBR_FULL_422",
    "YBR_ICT",
    "YBR_RCT",
)  # `frames.decode` gives RGB for all of them
_CT = (40.0, 400.0)  # soft tissue, where a CT has no window of its own
_TILE, _LETTERS, _RIM = (35, 43, 54), (164, 181, 201), (58, 70, 86)  # as much at home on white as on black


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


def picture(
    frame: NDArray[Any], dataset: Dataset, number: int = 1, *, window: Window | None = None
) -> Picture:
    """Frame `number` of an object, decoded by `frames.decode`, as people look at it: grey or RGB, 8 bits.

    `dataset` needs no pixel data. Without `window` the object's own VOI LUT or first window holds; where it
    has none, one is chosen: soft tissue for CT, all values for 8-bit images, else nearly all values that
    occur. NotAcceptable: colours that cannot be shown, or attributes that make no sense.
    """
    try:
        return _picture(frame, dataset, number, window)
    except MALFORMED as error:
        raise NotAcceptable(
            "what this image says of its grey values or colours makes no sense", "ask for the frame itself"
        ) from error


def jpeg(image: Picture, quality: int = 90) -> bytes:
    """The picture as JPEG (image/jpeg)."""
    out = io.BytesIO()
    Image.fromarray(image).save(out, "JPEG", quality=quality)
    return out.getvalue()


def png(image: Picture) -> bytes:
    """The picture as PNG (image/png), compressed lightly: five times as fast as Pillow's own choice."""
    out = io.BytesIO()
    Image.fromarray(image).save(out, "PNG", compress_level=1)
    return out.getvalue()


def thumbnail(frame: NDArray[Any], dataset: Dataset, number: int = 1, *, side: int = 256) -> bytes:
    """Frame `number` as a small JPEG, neither side longer than `side`, pixels as wide as they are in the
    patient.
    """
    image = Image.fromarray(picture(frame, dataset, number))
    rows, columns = frame.shape[:2]
    tall = _row_to_column_spacing(dataset, number)
    width, height = float(columns), rows * tall
    shrink = min(1.0, side / max(width, height))
    size = max(1, round(width * shrink)), max(1, round(height * shrink))
    image = image.reduce((max(1, columns // size[0]), max(1, rows // size[1])))  # much faster than to resize
    return _jpeg_of(image if image.size == size else image.resize(size, Image.Resampling.BILINEAR))


def thumbnail_of(dataset: Dataset, *, side: int = 256) -> bytes:
    """A small JPEG for any object that was read whole.

    Images: their middle frame. Segmentations: their segments in colour, where there is most of them. Whatever
    has no picture (reports, contours, waveforms, documents), or one that cannot be decoded: a tile with its
    modality.
    """
    try:
        if dataset.get("Modality") == "SEG" and "SegmentSequence" in dataset:
            return _segments(dataset, side)
        pixels = Frames(dataset)
        number = (len(pixels) + 1) // 2
        return thumbnail(pixels.decode(number), dataset, number, side=side)
    except (KahuError, *MALFORMED):
        return icon(_name(dataset), side=side)


def icon(name: str, *, side: int = 256) -> bytes:
    """A plain tile that says what a thing is, e.g. ``SR``: a small square JPEG."""
    image = Image.new("RGB", (side, side), _TILE)
    draw = ImageDraw.Draw(image)
    inset = side // 10
    draw.rounded_rectangle(
        (inset, inset, side - inset, side - inset), side // 12, outline=_RIM, width=max(1, side // 85)
    )
    size = min(side // 3, side * 11 // 10 // max(1, len(name)))
    if size:
        draw.text((side / 2, side / 2), name, _LETTERS, ImageFont.load_default(size), anchor="mm")
    return _jpeg_of(image)


def _picture(frame: NDArray[Any], dataset: Dataset, number: int, window: Window | None) -> Picture:
    photometric = str(dataset.get("PhotometricInterpretation") or "MONOCHROME2")
    if frame.ndim == 3:
        if photometric not in _COLOUR:
            raise NotAcceptable(
                f"colours of kind {photometric} cannot be rendered", "ask for the frame itself"
            )
        return _eight_bits(frame, int(dataset.get("BitsStored") or 8))
    if frame.dtype.kind == "f":
        return _grey(frame, frame, dataset, number, window)
    lowest, highest = int(frame.min()), int(frame.max())
    if highest - lowest > 1 << 20:  # a table of values would be larger than the frame
        return _grey(frame, frame, dataset, number, window)
    ramp = np.arange(lowest, highest + 1, dtype=np.int64)
    coloured = photometric == "PALETTE COLOR"
    table = _palette(ramp, dataset) if coloured else _grey(ramp, frame, dataset, number, window)
    return cast(Picture, np.take(table, frame.astype(np.int64) - lowest, axis=0))


# Grey


def _grey(
    values: NDArray[Any], frame: NDArray[Any], dataset: Dataset, number: int, window: Window | None
) -> Picture:
    """Stored `values` as grey; `frame` is what a window is chosen by."""
    padding = _padding(values, dataset)
    stored = int(dataset.get("BitsStored") or 16) if frame.dtype.kind != "f" else 64
    light = _voi_lut(values, dataset, number) if window is None else None
    if light is None:
        window = window or _own_window(dataset, number)
        if window is None and stored <= 8 and not _rescales(dataset, number):
            light = (values - values.dtype.type(0)) / ((1 << stored) - 1)
        else:
            window = window or _chosen_window(frame, dataset, number)
            light = window.apply(_rescaled(values, dataset, number))
    if (
        dataset.get("PhotometricInterpretation") == "MONOCHROME1"
        or dataset.get("PresentationLUTShape") == "INVERSE"
    ):
        light = 1 - light
    grey = np.rint(np.clip(np.nan_to_num(light), 0, 1) * 255).astype(np.uint8)
    grey[padding] = 0
    return grey


def _padding(values: NDArray[Any], dataset: Dataset) -> NDArray[np.bool_]:
    """Where values say that there is no image (PS3.3 C.7.5.1.1.2)."""
    one = dataset.get("PixelPaddingValue")
    if one is None or values.dtype.kind == "f":
        return np.zeros(values.shape, bool)
    other = dataset.get("PixelPaddingRangeLimit")
    first, last = sorted((int(one), int(one if other is None else other)))
    return (values >= first) & (values <= last)


def _rescales(dataset: Dataset, number: int) -> bool:
    return _slope(dataset, number) != (1.0, 0.0) or "ModalityLUTSequence" in dataset


def _slope(dataset: Dataset, number: int) -> tuple[float, float]:
    macro = "PixelValueTransformationSequence"
    slope = frame_value(dataset, number, macro, "RescaleSlope")
    intercept = frame_value(dataset, number, macro, "RescaleIntercept")
    return 1.0 if slope is None else float(slope), 0.0 if intercept is None else float(intercept)


def _rescaled(values: NDArray[Any], dataset: Dataset, number: int) -> NDArray[Any]:
    """Values after the modality LUT or rescale (PS3.3 C.11.1)."""
    if dataset.get("ModalityLUTSequence") and values.dtype.kind != "f":
        return cast(NDArray[Any], apply_modality_lut(values, dataset))
    slope, intercept = _slope(dataset, number)
    return values if (slope, intercept) == (1.0, 0.0) else values * slope + intercept


def _voi_lut(values: NDArray[Any], dataset: Dataset, number: int) -> NDArray[Any] | None:
    """0 to 1 by the object's first VOI LUT; None: it has none."""
    if not dataset.get("VOILUTSequence") or values.dtype.kind == "f":
        return None
    looked_up = apply_voi(np.rint(_rescaled(values, dataset, number)).astype(np.int64), dataset)
    item = dataset.VOILUTSequence[0]
    return cast(NDArray[Any], looked_up / ((1 << int(item.LUTDescriptor[2])) - 1))


def _own_window(dataset: Dataset, number: int) -> Window | None:
    """The first window of a frame; None: it has none, or one of no width, as some scanners write."""
    macro = "FrameVOILUTSequence"
    center = _first(frame_value(dataset, number, macro, "WindowCenter"))
    width = _first(frame_value(dataset, number, macro, "WindowWidth"))
    if center is None or width is None:
        return None
    function = frame_value(dataset, number, macro, "VOILUTFunction")
    window = Window(center, width, function if function in ("LINEAR_EXACT", "SIGMOID") else "LINEAR")
    return window if window.valid else None


def _first(value: Any) -> float | None:
    if value is None or (isinstance(value, list | tuple) and not value):
        return None
    return float(value[0] if hasattr(value, "__getitem__") and not isinstance(value, str) else value)


def _chosen_window(frame: NDArray[Any], dataset: Dataset, number: int) -> Window:
    """From black to white what nearly all pixels have, a few very dark or bright ones left out."""
    if dataset.get("Modality") == "CT" and _slope(dataset, number)[1] < 0:
        return Window(*_CT)
    step = max(1, int((frame.size / 65536) ** 0.5))
    some = frame[::step, ::step]
    some = some[np.isfinite(some) & ~_padding(some, dataset)]
    if not some.size:
        return Window(0, 1)
    low, high = np.percentile(_rescaled(some, dataset, number), (1, 99.5))
    if high <= low:  # almost all pixels are the same: show the few that are not
        low, high = (
            float(_rescaled(some, dataset, number).min()),
            float(_rescaled(some, dataset, number).max()),
        )
    if dataset.get("Modality") in ("PT", "NM"):  # counts: nothing is black
        low = min(0.0, low)
    return Window((low + high) / 2, max(high - low, 1e-6), "LINEAR_EXACT")


# Colour


def _eight_bits(frame: NDArray[Any], stored: int) -> Picture:
    return (frame >> max(stored - 8, 0)).astype(np.uint8)


def _palette(indices: NDArray[np.int64], dataset: Dataset) -> Picture:
    """Indices looked up in the object's palette (PS3.3 C.7.9), segmented ones too."""
    colours = apply_color_lut(np.clip(indices, 0, None).astype(np.uint16), dataset)
    return _eight_bits(colours[..., :3], 8 * colours.dtype.itemsize)


# Small pictures


def _jpeg_of(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=85)
    return out.getvalue()


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


def _segments(dataset: Dataset, side: int) -> bytes:
    """All segments at the place where there is most of them, in their colours on black; a tile if there is
    nothing.
    """
    places: dict[tuple[float, ...], list[int]] = {}
    for plane in planes_of([dataset]):
        places.setdefault(tuple(np.round(plane.position, 2).tolist()), []).append(plane.frame)
    pixels = Frames(dataset)
    if not places:
        places = {(float(number),): [number] for number in range(1, len(pixels) + 1)}
    # Set bits tell how much is segmented; of compressed frames, how much was worth coding.
    amount = [
        np.bitwise_count(np.frombuffer(pixels.stored(n), np.uint8)).sum() for n in range(1, len(pixels) + 1)
    ]
    if not any(amount):
        return icon(_name(dataset), side=side)
    fullest = max(places.values(), key=lambda numbers: sum(amount[number - 1] for number in numbers))
    segments = [segment_of(item) for item in dataset.SegmentSequence]
    colours = dict(zip((segment.value for segment in segments), palette(segments), strict=True))
    canvas = np.zeros((pixels.facts.rows, pixels.facts.columns, 3), np.uint8)
    for number in fullest:
        frame = pixels.decode(number)
        item = frame_item(dataset, number, "SegmentIdentificationSequence")
        for value in np.unique(frame[frame > 0]).tolist():  # one in a binary frame, several in a label map
            segment = int(item.ReferencedSegmentNumber) if item else value
            canvas[frame == value] = tuple(bytes.fromhex(colours.get(segment, "#a4b5c9")[1:]))
    image = Image.fromarray(canvas)
    image.thumbnail((side, side), Image.Resampling.BILINEAR)
    return _jpeg_of(image)


def _name(dataset: Dataset) -> str:
    """What to call an object without a picture: a document's kind, else the modality."""
    try:
        kind = str(dataset.get("MIMETypeOfEncapsulatedDocument") or "").rpartition("/")[2]
        return kind.upper()[:6] or str(dataset.get("Modality") or "?")[:10]
    except MALFORMED:
        return "?"
