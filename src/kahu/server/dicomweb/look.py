"""How a picture is wanted: the parameters of rendered resources (PS3.18 §8.3.5)."""

import math
import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image as Pillow
from starlette.datastructures import QueryParams

from kahu.dicom.render import Picture, Window
from kahu.errors import BadRequest

KNOWN = ("window", "viewport", "quality")
"""parameters that are understood"""

_FUNCTIONS: dict[str, Literal["LINEAR", "LINEAR_EXACT", "SIGMOID"]] = {
    "linear": "LINEAR",
    "linear-exact": "LINEAR_EXACT",
    "sigmoid": "SIGMOID",
}
_NUMBER = r"([+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[Ee][+-]?[0-9]{1,3})?)"
_WINDOW = re.compile(rf"{_NUMBER},{_NUMBER}(?:,({'|'.join(_FUNCTIONS)}))?")
_DECIMAL = re.compile(r"-?[0-9]{1,9}(?:\.[0-9]{1,9})?")
LARGEST = 4096
"""pixels along one side of a viewport: a picture is made in memory"""


@dataclass(frozen=True, slots=True)
class Source:
    """The part of an image that is shown, in pixels of the image."""

    x: float = 0
    y: float = 0
    width: float = 0
    """negative: turned over from left to right; 0: up to the edge"""
    height: float = 0

    def cut(self, picture: Picture) -> Picture:
        """The part of a picture. BadRequest: nothing of it lies there."""
        rows, columns = picture.shape[:2]
        left, right = _extent("width", self.x, self.width, columns)
        top, bottom = _extent("height", self.y, self.height, rows)
        part = picture[top:bottom, left:right]
        part = part[:, ::-1] if self.width < 0 else part
        return np.ascontiguousarray(part[::-1] if self.height < 0 else part)


def _extent(name: str, start: float, length: float, size: int) -> tuple[int, int]:
    first = max(0, round(start))
    last = min(size, round(start + abs(length))) if length else size
    if first >= last:
        raise BadRequest(f"the viewport's source lies outside the image ({name})", "the image begins at 0,0")
    return first, last


@dataclass(frozen=True, slots=True)
class Look:
    """How a picture is wanted."""

    window: Window | None = None
    viewport: tuple[int, int] | None = None
    """width and height in pixels that the picture must fit into"""
    source: Source | None = None
    quality: int = 90
    """of JPEG, 1 to 100"""

    @classmethod
    def parse(cls, params: QueryParams) -> "Look":
        """BadRequest: a parameter cannot be understood."""
        viewport, source = _viewport(params["viewport"]) if "viewport" in params else (None, None)
        return cls(
            window=_window(params["window"]) if "window" in params else None,
            viewport=viewport,
            source=source,
            quality=whole("quality", params.get("quality", "90"), 100),
        )

    def applied(self, picture: Picture) -> Picture:
        """What is shown of a picture, as large as the viewport allows, its shape kept (PS3.18 §8.3.5.1.3)."""
        if self.source:
            picture = self.source.cut(picture)
        if self.viewport is None:
            return picture
        rows, columns = picture.shape[:2]
        scale = min(self.viewport[0] / columns, self.viewport[1] / rows)
        size = max(1, round(columns * scale)), max(1, round(rows * scale))
        image = Pillow.fromarray(picture)
        image = image.reduce(
            (max(1, columns // size[0]), max(1, rows // size[1]))
        )  # much faster than to resize
        return np.asarray(image if image.size == size else image.resize(size, Pillow.Resampling.BILINEAR))


def _window(text: str) -> Window:
    found = _WINDOW.fullmatch(text)
    numbers = [float(number) for number in found.group(1, 2)] if found else [math.nan]
    if not found or not all(map(math.isfinite, numbers)):
        raise BadRequest("window is not center,width or center,width,function", "as in window=40,400,linear")
    return Window(numbers[0], numbers[1], _FUNCTIONS[found[3] or "linear"])


def _viewport(text: str) -> tuple[tuple[int, int], Source | None]:
    parts = text.split(",")
    if not 2 <= len(parts) <= 6:
        raise BadRequest(
            "viewport is not width,height or width,height,x,y,width,height", "as in viewport=512,512"
        )
    size = whole("viewport", parts[0], LARGEST), whole("viewport", parts[1], LARGEST)
    if not all(part == "" or _DECIMAL.fullmatch(part) for part in parts[2:]):
        raise BadRequest(
            "viewport's source is not x,y,width,height in pixels", "as in viewport=512,512,0,0,100,100"
        )
    numbers = [float(part or 0) for part in parts[2:]]
    return size, Source(*numbers) if any(numbers) else None


def whole(name: str, text: str, most: int) -> int:
    """A parameter that is a whole number from 1 to `most`. BadRequest: it is not."""
    if not re.fullmatch("[0-9]{1,6}", text) or not 1 <= int(text) <= most:
        raise BadRequest(f"{name} is not a whole number from 1 to {most}")
    return int(text)


def number(name: str, text: str) -> float:
    """A parameter that is a number. BadRequest: it is not."""
    if not re.fullmatch(_NUMBER, text) or not math.isfinite(float(text)):
        raise BadRequest(f"{name} is not a number")
    return float(text)
