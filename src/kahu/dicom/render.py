"""A frame -> an 8-bit picture (PS3.3 C.11, C.7.6.3.1.2), as JPEG or PNG; thumbnails of everything, images or
not.

Stored values go through the modality LUT or rescale, then the VOI LUT or window; MONOCHROME1 is turned over,
palettes are looked up, padding is black. The way is computed once for each value that occurs, not for each
pixel.
"""

import io
from typing import Any, cast

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi

from kahu.dicom.display import Display, Window
from kahu.dicom.frames import Frames
from kahu.dicom.functional import frame_item
from kahu.dicom.grid import planes_of
from kahu.dicom.malformed import MALFORMED
from kahu.dicom.segmentation import palette, segment_of
from kahu.errors import KahuError, NotAcceptable

__all__ = ["Display", "Window", "icon", "jpeg", "picture", "png", "thumbnail", "thumbnail_of"]

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
_RUNS, _LEFT = 3, 16  # PNG: runs of equal bytes are coded, of differences from the pixel on the left
_TILE, _LETTERS, _RIM = (35, 43, 54), (164, 181, 201), (58, 70, 86)  # as much at home on white as on black


def picture(
    frame: NDArray[Any], display: Display | Dataset, number: int = 1, *, window: Window | None = None
) -> Picture:
    """A frame of an object, decoded by `frames.decode`, as people look at it: grey or RGB, 8 bits.

    `display` is what the object says of it, or the object itself, of which it is frame `number`. Without `window`
    its own VOI LUT or first window holds; where it has none, one is chosen: soft tissue for CT, all values for
    8-bit images, else nearly all values that occur. NotAcceptable: colours that cannot be shown, or attributes
    that make no sense.
    """
    if isinstance(display, Dataset):
        display = Display.of(display, number)
    try:
        return _picture(frame, display, window)
    except MALFORMED as error:
        raise NotAcceptable(
            "what this image says of its grey values or colours makes no sense", "ask for the frame itself"
        ) from error


def jpeg(image: Picture, quality: int = 90) -> bytes:
    """The picture as JPEG (image/jpeg)."""
    return bytes(imagecodecs.jpeg8_encode(np.ascontiguousarray(image), level=quality))


def png(image: Picture) -> bytes:
    """The picture as PNG (image/png), compressed in the quickest way that is worth it."""
    return bytes(imagecodecs.png_encode(np.ascontiguousarray(image), level=1, strategy=_RUNS, filter=_LEFT))


def thumbnail(frame: NDArray[Any], dataset: Dataset, number: int = 1, *, side: int = 256) -> bytes:
    """Frame `number` as a small JPEG, neither side longer than `side`, pixels as wide as they are in the
    patient.
    """
    display = Display.of(dataset, number)
    image = Image.fromarray(picture(frame, display))
    rows, columns = frame.shape[:2]
    width, height = float(columns), rows * display.tall
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


def _picture(frame: NDArray[Any], display: Display, window: Window | None) -> Picture:
    if frame.ndim == 3:
        if display.photometric not in _COLOUR:
            raise NotAcceptable(
                f"colours of kind {display.photometric} cannot be rendered", "ask for the frame itself"
            )
        return _eight_bits(frame, display.bits_stored or 8)
    if frame.dtype.kind == "f":
        return _grey(frame, frame, display, window)
    lowest, highest = int(frame.min()), int(frame.max())
    if highest - lowest >= 1 << 16:  # a table of values would not be worth it
        return _grey(frame, frame, display, window)
    ramp = np.arange(lowest, highest + 1, dtype=np.int64)
    coloured = display.photometric == "PALETTE COLOR"
    table = _palette(ramp, display) if coloured else _grey(ramp, frame, display, window)
    # Differences fit, as if there were no sign: what overflows on the way comes back.
    unsigned = frame.view(f"u{frame.dtype.itemsize}")
    indices = unsigned - unsigned.dtype.type(lowest & (1 << 8 * unsigned.dtype.itemsize) - 1)
    return cast(Picture, np.take(table, indices, axis=0, mode="clip"))


# Grey


def _grey(values: NDArray[Any], frame: NDArray[Any], display: Display, window: Window | None) -> Picture:
    """Stored `values` as grey; `frame` is what a window is chosen by."""
    padding = _padding(values, display)
    stored = (display.bits_stored or 16) if frame.dtype.kind != "f" else 64
    light = _voi_lut(values, display) if window is None else None
    if light is None:
        window = window or display.window
        if window is None and stored <= 8 and not display.rescales:
            light = (values - values.dtype.type(0)) / ((1 << stored) - 1)
        else:
            window = window or _chosen_window(frame, display)
            light = window.apply(_rescaled(values, display))
    if display.inverse:
        light = 1 - light
    grey = np.rint(np.clip(np.nan_to_num(light), 0, 1) * 255).astype(np.uint8)
    grey[padding] = 0
    return grey


def _padding(values: NDArray[Any], display: Display) -> NDArray[np.bool_]:
    """Where values say that there is no image (PS3.3 C.7.5.1.1.2)."""
    if display.padding is None or values.dtype.kind == "f":
        return np.zeros(values.shape, bool)
    first, last = display.padding
    return (values >= first) & (values <= last)


def _rescaled(values: NDArray[Any], display: Display) -> NDArray[Any]:
    """Values after the modality LUT or rescale (PS3.3 C.11.1)."""
    if display.has_lut("ModalityLUTSequence") and values.dtype.kind != "f":
        return cast(NDArray[Any], apply_modality_lut(values, display.luts))
    return values * display.slope + display.intercept if display.rescales else values


def _voi_lut(values: NDArray[Any], display: Display) -> NDArray[Any] | None:
    """0 to 1 by the object's first VOI LUT; None: it has none."""
    if not display.has_lut("VOILUTSequence") or values.dtype.kind == "f":
        return None
    luts = cast(Dataset, display.luts)
    looked_up = apply_voi(np.rint(_rescaled(values, display)).astype(np.int64), luts)
    item = luts.VOILUTSequence[0]
    return cast(NDArray[Any], looked_up / ((1 << int(item.LUTDescriptor[2])) - 1))


def _chosen_window(frame: NDArray[Any], display: Display) -> Window:
    """From black to white what nearly all pixels have, a few very dark or bright ones left out."""
    if display.modality == "CT" and display.intercept < 0:
        return Window(*_CT)
    step = max(1, int((frame.size / 65536) ** 0.5))
    some = frame[::step, ::step]
    some = some[np.isfinite(some) & ~_padding(some, display)]
    if not some.size:
        return Window(0, 1)
    rescaled = _rescaled(some, display)
    low, high = np.percentile(rescaled, (1, 99.5))
    if high <= low:  # almost all pixels are the same: show the few that are not
        low, high = float(rescaled.min()), float(rescaled.max())
    if display.modality in ("PT", "NM"):  # counts: nothing is black
        low = min(0.0, low)
    return Window((low + high) / 2, max(high - low, 1e-6), "LINEAR_EXACT")


# Colour


def _eight_bits(frame: NDArray[Any], stored: int) -> Picture:
    return (frame >> max(stored - 8, 0)).astype(np.uint8)


def _palette(indices: NDArray[np.int64], display: Display) -> Picture:
    """Indices looked up in the object's palette (PS3.3 C.7.9), segmented ones too."""
    colours = apply_color_lut(np.clip(indices, 0, None).astype(np.uint16), display.luts or Dataset())
    return _eight_bits(colours[..., :3], 8 * colours.dtype.itemsize)


# Small pictures


def _jpeg_of(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=85)
    return out.getvalue()


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
