"""Run: in a browser, from an image in the gallery to a tool's segmentation on top of it in OHIF."""

import re
import time
from base64 import b64decode
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Page, expect

from kahu.testing import samples

Kahu = Callable[..., Any]
Mask = NDArray[np.bool_]

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

LUNG = (0x4F, 0xB3, 0xBF)
"""the colour that the tool's manifest gives to its segment"""


def test_run(kahu_up: Kahu, chest: Path, page: Page) -> None:
    server = kahu_up(chest)
    server.series(1)

    page.goto(server.url)
    page.get_by_role("option").filter(has_text="Chest").click()
    page.get_by_role("button", name="Run a tool").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("Lung mask").first.click()
    dialog.get_by_role("button", name="Run on 1 series").click()

    page.wait_for_url("**/runs/*")
    expect(page.get_by_text("1 of 1 case done")).to_be_visible()
    expect(page.get_by_role("listitem").get_by_text("valid", exact=True)).to_be_visible()
    assert len(server.series(2)) == 2

    with page.context.expect_page() as opened:
        page.get_by_role("link", name="View result").click()
    viewer = opened.value
    volume = samples.phantom("CT", 12, 128, 128)
    most = int((volume == -800).sum(axis=(1, 2)).argmax())  # it turns to where there is most to see
    expect(viewer.get_by_text(re.compile(rf"^I:\s*{most + 1}\b")).first).to_be_visible(timeout=60_000)
    slice_ = volume[most]
    picture = wait_until_coloured(viewer)
    coloured, grey = is_lung_colour(picture), np.ptp(picture, axis=2) < 10
    lungs, body, inside = (
        onto(picture, slice_, mask) for mask in (slice_ == -800, slice_ == 40, slice_ > -900)
    )
    assert overlap(coloured, lungs) > 0.9
    assert not coloured[~inside].any()
    assert (grey & (picture[..., 0] > 60))[body].mean() > 0.9


def wait_until_coloured(viewer: Page) -> NDArray[np.uint8]:
    """The picture in the viewport `(rows, columns, 3)`, without the words around it, once it has colours and rests."""
    canvas = viewer.locator("canvas.cornerstone-canvas").first
    deadline = time.monotonic() + 60
    before = ""
    while True:
        url: str = canvas.evaluate("canvas => canvas.toDataURL('image/png')")
        picture = np.asarray(Image.open(BytesIO(b64decode(url.partition(",")[2]))).convert("RGB"))
        if url == before and is_lung_colour(picture).any():
            return picture
        assert time.monotonic() < deadline, "there is no overlay"
        before = url
        time.sleep(0.3)


def is_lung_colour(picture: NDArray[np.uint8]) -> Mask:
    """Where a picture has the segment's colour, whatever its brightness: an overlay lets the image through."""
    bright = picture.max(axis=2, keepdims=True).astype(float)
    wanted = np.asarray(LUNG) / max(LUNG)
    near = np.abs(picture / np.maximum(bright, 1) - wanted).max(axis=2) < 0.08
    coloured: Mask = near & (bright[..., 0] > 40)
    return coloured


def onto(picture: NDArray[np.uint8], slice_: NDArray[np.int16], mask: Mask) -> Mask:
    """A mask of a slice on the picture of it: the body, from edge to edge, is where both agree."""
    rows, columns = (
        np.rint(np.interp(np.arange(size), seen, made, left=-1, right=-1)).astype(int)
        for size, seen, made in zip(
            picture.shape, edges(picture.max(axis=2) > 40), edges(slice_ > -900), strict=False
        )
    )
    there: Mask = mask[np.ix_(rows, columns)] & (rows >= 0)[:, np.newaxis] & (columns >= 0)
    return there


def edges(mask: Mask) -> list[tuple[int, int]]:
    """First and last row, first and last column."""
    places = (np.flatnonzero(mask.any(axis=1 - axis)) for axis in (0, 1))
    return [(int(found[0]), int(found[-1])) for found in places]


def overlap(one: Mask, other: Mask) -> float:
    """Dice's coefficient."""
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))
