"""Tables before people: a rectangle that each ray meets analytically, textured in metres, lit as people are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from phalanx.synth.paint.compose import Layer


@dataclass
class Table:
    """A table in the frame of a camera.

    Attributes:
        point, normal: (3,) the middle of its top, and upwards; across, along: (3,) unit vectors of its sides.
        half: half its width and depth in metres.
    """

    point: np.ndarray
    normal: np.ndarray
    across: np.ndarray
    along: np.ndarray
    half: tuple[float, float]


def paint_table(
    table: Table, K: Tensor, height: int, width: int, lit: np.ndarray, texture: Tensor, metres: float
) -> Layer:
    """One picture (1, ..., H, W) of a table.

    Args:
        K: (3, 3).
        lit: (3,) light that reaches it.
        texture: (3, S, S) linear reflectance, of `metres` x `metres`; it repeats.
    """

    def on(array: np.ndarray) -> Tensor:
        return torch.as_tensor(array, dtype=torch.float32, device=K.device)

    x = (torch.arange(width, device=K.device) - K[0, 2]) / K[0, 0]
    y = (torch.arange(height, device=K.device) - K[1, 2]) / K[1, 1]
    point, normal = on(table.point), on(table.normal)

    def along(vector: Tensor) -> Tensor:
        """Rays (x, y, 1) along a vector."""
        return vector[0] * x[None] + (vector[1] * y + vector[2])[:, None]

    facing = along(normal)
    depth = (point @ normal) / torch.where(facing.abs() < 1e-6, 1e-6, facing)
    usable = (facing < 0) & (depth > 0.05) & (depth < 20.0)
    place = [depth * along(on(axis)) - point @ on(axis) for axis in (table.across, table.along)]
    edge = [(half - value.abs()) for half, value in zip(table.half, place, strict=True)]
    blur = (depth / K[0, 0]).clamp_min(1e-6)  # metres that a pixel spans
    cover = (torch.minimum(*edge) / blur + 0.5).clamp(0.0, 1.0) * usable
    grid = torch.stack([folded(value / metres) for value in place], -1)[None]
    found = F.grid_sample(texture[None], grid, mode="bilinear", padding_mode="border", align_corners=False)
    colour = found * on(lit)[:, None, None] * cover
    return Layer(colour, cover[None], torch.where(cover > 0, depth, 0.0)[None])


def folded(values: Tensor) -> Tensor:
    """Places in tiles that lie side by side, every second one turned over, in -1..1."""
    return (values.remainder(2.0) - 1.0).abs().mul(2.0).sub(1.0)
