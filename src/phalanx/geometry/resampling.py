"""Pictures in other sizes: as PyTorch makes them, but on the CPU by OpenCV, which takes a tenth of the time."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

_MODES = {"bilinear": cv2.INTER_LINEAR, "bicubic": cv2.INTER_CUBIC}


def resized(pictures: Tensor, height: int, width: int, mode: str = "bilinear") -> Tensor:
    """`F.interpolate` of float32 pictures `(B, C, H, W)` to `height` and `width` in its `mode`, but for the last bits; corners are not
    aligned."""
    if pictures.device.type != "cpu" or mode not in _MODES:
        options = {"align_corners": False} if mode in _MODES else {}
        return F.interpolate(pictures, size=(height, width), mode=mode, **options)
    chosen = _MODES[mode]
    return by_plane(
        pictures, lambda plane, out: cv2.resize(plane, (width, height), out, interpolation=chosen), height, width
    )


def means_of_squares(pictures: Tensor, side: int) -> Tensor:
    """`F.avg_pool2d` of float32 pictures `(B, C, H, W)` by squares of `side` pixels; H and W are multiples of `side`."""
    height, width = (length // side for length in pictures.shape[-2:])
    if pictures.device.type != "cpu":
        return F.avg_pool2d(pictures, side)
    return by_plane(
        pictures,
        lambda plane, out: cv2.resize(plane, (width, height), out, interpolation=cv2.INTER_AREA),
        height,
        width,
    )


def by_plane(
    pictures: Tensor,
    change: Callable[[np.ndarray, np.ndarray], object],
    height: int | None = None,
    width: int | None = None,
) -> Tensor:
    """New pictures `(B, C, height, width)`, each filled by `change(plane (H, W), new plane)`; without sizes as large as the old ones."""
    rows, columns = pictures.shape[-2:]
    made = torch.empty((*pictures.shape[:2], height or rows, width or columns), dtype=pictures.dtype)
    for picture, new in zip(pictures.numpy(), made.numpy(), strict=True):
        for plane, out in zip(picture, new, strict=True):
            change(plane, out)
    return made
