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

    def window(self, K: Tensor, width: int, height: int) -> tuple[int, int, int, int]:
        """First column and row, number of columns and rows of what it may cover in a frame of `width` x `height` pixels before the camera
        `K (3, 3)`."""
        corners = [
            self.point + i * self.half[0] * self.across + j * self.half[1] * self.along
            for i in (-1, 1)
            for j in (-1, 1)
        ]
        pixels = np.stack(corners) @ K.double().numpy().T
        if pixels[:, 2].min() < 0.05:
            return 0, 0, width, height
        pixels = pixels[:, :2] / pixels[:, 2:]
        left, top = np.maximum(np.floor(pixels.min(0)) - 1, 0).astype(int).tolist()
        right, bottom = np.minimum(np.ceil(pixels.max(0)) + 2, [width, height]).astype(int).tolist()
        return left, top, max(right - left, 0), max(bottom - top, 0)


def on_table(table: Table, K: Tensor, height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """Of each pixel the depth (H, W) at which its ray meets the table's plane, the ray (3, H, W) with z = 1, and how much the plane faces
    away from it (H, W), below 0 where its top is seen."""
    x = (torch.arange(width, device=K.device) - K[0, 2]) / K[0, 0]
    y = (torch.arange(height, device=K.device) - K[1, 2]) / K[1, 1]
    rays = torch.stack(torch.broadcast_tensors(x[None], y[:, None], torch.ones((), device=K.device)))
    point, normal = (
        torch.as_tensor(array, dtype=torch.float32, device=K.device) for array in (table.point, table.normal)
    )
    facing = normal[0] * x[None] + (normal[1] * y + normal[2])[:, None]
    return (point @ normal) / torch.where(facing.abs() < 1e-6, 1e-6, facing), rays, facing


def paint_table(table: Table, K: Tensor, height: int, width: int, lit: Tensor, texture: Tensor, metres: float) -> Layer:
    """One picture (1, ..., H, W) of a table.

    Args:
        K: (3, 3).
        lit: (3, H, W) light that reaches it.
        texture: (3, S, S) linear reflectance, of `metres` x `metres`; it repeats.
    """

    def on(array: np.ndarray) -> Tensor:
        return torch.as_tensor(array, dtype=torch.float32, device=K.device)

    depth, (x, y, _), facing = on_table(table, K, height, width)
    usable = (facing < 0) & (depth > 0.05) & (depth < 20.0)
    point = on(table.point)
    place = [
        depth * (axis[0] * x + axis[1] * y + axis[2]) - point @ axis for axis in (on(table.across), on(table.along))
    ]
    edge = [(half - value.abs()) for half, value in zip(table.half, place, strict=True)]
    blur = (depth / K[0, 0]).clamp_min(1e-6)  # metres that a pixel spans
    cover = (torch.minimum(*edge) / blur + 0.5).clamp(0.0, 1.0) * usable
    grid = torch.stack([folded(value / metres) for value in place], -1)[None]
    found = F.grid_sample(texture[None], grid, mode="bilinear", padding_mode="border", align_corners=False)
    return Layer(found * lit * cover, cover[None], torch.where(cover > 0, depth, 0.0)[None])


def folded(values: Tensor) -> Tensor:
    """Places in tiles that lie side by side, every second one turned over, in -1..1."""
    return (values.remainder(2.0) - 1.0).abs().mul(2.0).sub(1.0)
