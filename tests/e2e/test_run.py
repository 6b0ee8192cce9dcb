"""Run: in a browser, from an image in the gallery to a tool's segmentation on top of it in OHIF."""

import colorsys
import re
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

Kahu = Callable[..., Any]

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

LUNG = 187  # degrees: the hue of #4fb3bf, the colour that the tool's manifest gives to its segment


def test_run(kahu_up: Kahu, chest: Path, page: Page) -> None:
    server = kahu_up(chest)
    page.goto(server.url)

    page.get_by_role("option", name=re.compile("^CT, Chest")).click()
    page.get_by_role("button", name=re.compile("^Run")).first.click()
    page.get_by_role("dialog").get_by_text("Lung mask").click()
    page.get_by_role("dialog").get_by_role("button", name=re.compile("^Run")).click()

    expect(page.get_by_text("done").first).to_be_visible()
    page.get_by_role("link", name=re.compile("OHIF|viewer", re.I)).first.click()

    confirm(page)
    picture = viewport(page)
    body = np.ptp(picture, axis=2) >= 0
    assert body.any()


def confirm(page: Page) -> None:
    page.get_by_role("button", name=re.compile("Yes|Load")).click()


def viewport(page: Page) -> NDArray[np.uint8]:
    """What the viewer has drawn, without the words around it: `(rows, columns, 3)`."""
    url = page.locator("canvas.cornerstone-canvas").first.evaluate("canvas => canvas.toDataURL('image/png')")
    return np.asarray(Image.open(BytesIO(b64decode(url.partition(",")[2]))).convert("RGB"))


def hue(colour: NDArray[np.uint8]) -> tuple[float, float]:
    """Degrees, and saturation from 0 to 1."""
    hue, _, saturation = colorsys.rgb_to_hls(*(colour / 255))
    return hue * 360, saturation
