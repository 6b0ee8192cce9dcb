"""How fast pixels change form, side by side: Kahu, pydicom, and the codec alone, which is the limit.

    python benchmarks/transcoding.py [ROUNDS]

One CT image of 512 × 512 × 16 bits, smooth with noise, in memory: from uncompressed into each transfer syntax and back,
as whole files, and as pictures. pydicom does what its installed plug-ins can; "-": it has none for that. Each is run in
turn, ROUNDS (20) times; times are CPU time of one, medians.
"""

import io
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import replace

import imagecodecs
import numpy as np
import pydicom
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.pixels import apply_voi_lut, pixel_array
from pydicom.pixels.processing import apply_modality_lut

from kahu.dicom import render
from kahu.dicom.encode import encode, fits
from kahu.dicom.frames import Frames
from kahu.dicom.header import ReadAt
from kahu.dicom.pixels import stored
from kahu.dicom.render import Display
from kahu.dicom.syntaxes import KNOWN, encapsulated
from kahu.dicom.transcode import transcoded
from kahu.testing import samples

ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 20
EXPLICIT_LE = "1.2.840.10008.1.2.1"

Work = Callable[[], object]


def ct() -> Dataset:
    """A CT slice of 12 bits that compresses as real ones do: to about half."""
    y, x = np.mgrid[:512, :512]
    noise = np.random.default_rng(0).normal(0, 12, (512, 512))
    values = (np.sin(x / 40) * np.cos(y / 30) + 1) * 1000 + noise
    ds = samples.instance(modality="CT", pixels=np.zeros((512, 512), np.int16))
    ds.BitsStored, ds.HighBit = 12, 11
    ds.PixelData = values.clip(0, 4095).astype("<u2").tobytes()
    return ds


def reader(data: bytes) -> ReadAt:
    return lambda offset, length: data[offset : offset + length]


def given(data: bytes, target: str) -> bytes:
    return transcoded(reader(data), len(data), target)


def opened(data: bytes) -> Dataset:
    return pydicom.dcmread(io.BytesIO(data))


def written(ds: Dataset) -> bytes:
    out = io.BytesIO()
    ds.save_as(out)
    return out.getvalue()


def compressed(data: bytes, target: str) -> bytes:
    """pydicom's way there."""
    ds = opened(data)
    ds.compress(target, generate_instance_uid=False)
    return written(ds)


def decompressed(data: bytes) -> bytes:
    """pydicom's way back."""
    ds = opened(data)
    ds.decompress(generate_instance_uid=False)
    return written(ds)


def shown(data: bytes) -> Image.Image:
    """What pydicom's users write to see an image."""
    ds = opened(data)
    values = apply_voi_lut(apply_modality_lut(pixel_array(ds), ds), ds)
    light = (values - values.min()) / (np.ptp(values) or 1)
    return Image.fromarray((light * 255).astype(np.uint8))


def saved(image: Image.Image, kind: str) -> bytes:
    out = io.BytesIO()
    image.save(out, kind)
    return out.getvalue()


def milliseconds(*works: Work | None) -> list[float | None]:
    """CPU time of each, in turn; None: it cannot be done."""
    times: list[list[float]] = [[] for _ in works]
    able = [work is not None and can(work) for work in works]
    for _ in range(ROUNDS):
        for index, work in enumerate(works):
            if work is not None and able[index]:
                began = time.process_time()
                work()
                times[index].append(time.process_time() - began)
    return [1000 * statistics.median(one) if one else None for one in times]


def can(work: Work) -> bool:
    try:
        work()
    except (RuntimeError, ValueError, NotImplementedError, AttributeError):
        return False
    return True


def line(what: str, ours: float | None, theirs: float | None, codec: float | None) -> None:
    cells = [f"{value:8.2f}" if value is not None else "       -" for value in (ours, theirs, codec)]
    ratio = f"{theirs / ours:6.1f}" if ours and theirs else "     -"
    share = f"{100 * codec / ours:5.0f} %" if ours and codec else "      -"
    print(f"{what:42}", *cells, ratio, share)


def transcodings(data: bytes) -> None:
    source = opened(data)
    frames = Frames(source)
    samples_facts = replace(frames.facts, planar=False)
    array = frames.decode()
    for target, syntax in KNOWN.items():
        if not encapsulated(target) or not fits(samples_facts, target):
            continue
        made = given(data, target)
        compress = milliseconds(
            lambda t=target: given(data, t),
            lambda t=target: compressed(data, t),
            lambda t=target: encode(array, samples_facts, t),
        )
        line(f"to {syntax.name}"[:42], *compress)
        pixels = Frames(opened(made))
        frame = pixels.stored(1)
        decompress = milliseconds(
            lambda m=made: given(m, EXPLICIT_LE),
            lambda m=made: decompressed(m),
            lambda f=frame, p=pixels, t=target: stored(f, p.facts, t),
        )
        line("  and back", *decompress)


def pictures(data: bytes) -> None:
    dataset = opened(data)
    frame, display = Frames(dataset).decode(), Display.of(dataset)
    picture = render.picture(frame, display)
    line(
        "shown as JPEG",
        *milliseconds(
            lambda: render.jpeg(render.picture(Frames(dataset).decode(), display)),
            lambda: saved(shown(data), "JPEG"),
            lambda: imagecodecs.jpeg8_encode(picture, level=90),
        ),
    )
    line(
        "shown as PNG",
        *milliseconds(
            lambda: render.png(render.picture(Frames(dataset).decode(), display)),
            lambda: saved(shown(data), "PNG"),
            lambda: imagecodecs.png_encode(picture, level=1, strategy=3, filter=16),
        ),
    )
    line("a thumbnail", *milliseconds(lambda: render.thumbnail(frame, dataset), None, None))


def main() -> None:
    warnings.simplefilter("ignore")
    data = samples.encode(ct())
    print(f"{'CPU ms':42} {'Kahu':>8} {'pydicom':>8} {'codec':>8} {'ratio':>6} {'codec':>7}")
    transcodings(data)
    pictures(data)


main()
