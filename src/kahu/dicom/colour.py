"""Colour: YBR_FULL and RGB, and the colour that two pixels share (PS3.3 C.7.6.3.1.2, full range)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["rgb_of", "subsample", "upsample", "ybr_of"]

_TO_RGB = np.array([[1, 0, 1.402], [1, -0.344136, -0.714136], [1, 1.772, 0]], np.float32)
_TO_YBR = np.linalg.inv(_TO_RGB.astype(np.float64)).astype(np.float32)


def rgb_of(ybr: NDArray[Any], bits: int) -> NDArray[Any]:
    middle = np.array([0, 1 << (bits - 1), 1 << (bits - 1)], np.float32)
    return _rounded((ybr - middle) @ _TO_RGB.T, bits, ybr.dtype)


def ybr_of(rgb: NDArray[Any], bits: int) -> NDArray[Any]:
    middle = np.array([0, 1 << (bits - 1), 1 << (bits - 1)], np.float32)
    return _rounded(rgb.astype(np.float32) @ _TO_YBR.T + middle, bits, rgb.dtype)


def _rounded(values: NDArray[np.float32], bits: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    return np.clip(np.rint(values), 0, (1 << bits) - 1).astype(dtype)


def upsample(pairs: NDArray[Any]) -> NDArray[Any]:
    """(rows, columns / 2, Y Y B R) -> (rows, columns, Y B R)."""
    rows, half, _ = pairs.shape
    out = np.empty((rows, half, 2, 3), pairs.dtype)
    out[..., 0] = pairs[..., :2]
    out[..., 1:] = pairs[:, :, np.newaxis, 2:]
    return out.reshape(rows, 2 * half, 3)


def subsample(ybr: NDArray[Any]) -> NDArray[Any]:
    """(rows, columns, Y B R) -> (rows, columns / 2, Y Y B R), colour of the left one of two (PS3.3
    C.7.6.3.1.2).
    """
    rows, columns, _ = ybr.shape
    pairs = ybr.reshape(rows, columns // 2, 2, 3)
    return np.concatenate([pairs[..., 0], pairs[:, :, 0, 1:]], axis=-1)
