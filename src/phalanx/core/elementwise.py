"""Exponentials, logarithms and roots of large tensors, in place: on the CPU by OpenCV, in a fifth to a half of PyTorch's time.

Values agree to some units in the last place. Arguments must be what they are for: finite, and not negative for logarithms and roots.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import torch
from torch import Tensor

LARGE = 8192
"""Values from which it is quicker."""


def exp_(values: Tensor) -> Tensor:
    """e to the `values`, in place."""
    return _by(cv2.exp, values) if _serves(values) else values.exp_()


def log_(values: Tensor) -> Tensor:
    """Natural logarithms of positive `values`, in place."""
    return _by(cv2.log, values) if _serves(values) else values.log_()


def sqrt_(values: Tensor) -> Tensor:
    """Square roots, in place."""
    return _by(cv2.sqrt, values) if _serves(values) else values.sqrt_()


def _serves(values: Tensor) -> bool:
    plain = values.device.type == "cpu" and values.dtype == torch.float32 and not values.requires_grad
    return plain and values.numel() >= LARGE and values.is_contiguous()


def _by(function: Callable[..., Any], values: Tensor) -> Tensor:
    flat = values.view(-1).numpy()
    function(flat, dst=flat)
    return values
