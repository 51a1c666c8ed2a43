"""What a depth sensor sees around the hand: a wall behind it, often a table below, and how much infrared light they reflect."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from phalanx.core.records import map_fields

_FARTHEST = 5.0  # metres


@dataclass
class GroundDraw:
    """Random surroundings of B hands, in the frame of the camera."""

    behind: np.ndarray  # (B,) metres from the farthest joint to the wall
    wall: np.ndarray  # (B, 2) slope of the wall across and down
    below: np.ndarray  # (B,) metres from the lowest joint down to the table; infinite: none
    table: np.ndarray  # (B, 2) how the table leans across and away: y = below + leans . (x, z)
    albedo: np.ndarray  # (B, 2) infrared reflectance of wall and table

    def __getitem__(self, index: np.ndarray) -> GroundDraw:
        return map_fields(self, lambda value: value[index])

    def mirrored(self, chosen: np.ndarray) -> GroundDraw:
        """The same, but for the `chosen` `(B,)` hands with left and right changed over."""
        sign = np.stack([np.where(chosen, -1.0, 1.0), np.ones(len(chosen))], -1)
        return replace(self, wall=self.wall * sign, table=self.table * sign)


def draw_ground(generator: np.random.Generator, batch: int) -> GroundDraw:
    """Draw surroundings of `batch` hands: walls from just behind the hand to far away, and a table below one hand in three."""
    return GroundDraw(
        np.exp(generator.uniform(np.log(0.03), np.log(3.0), batch)),
        generator.normal(0, 0.35, (batch, 2)),
        np.where(generator.random(batch) < 0.35, generator.uniform(0.0, 0.3, batch), np.inf),
        np.stack([generator.normal(0, 0.1, batch), -np.abs(generator.normal(0.3, 0.4, batch))], -1),
        generator.uniform(0.08, 0.85, (batch, 2)),
    )


def spots(points: Tensor, place: Tensor) -> Tensor:
    """Where grounds go, `(B, 3)`: the depth of the farthest, the height of the lowest and the mean depth of the points `(B, P, 3)` in all
    pictures that show the same `place` `(B,)`."""
    each = torch.stack([points[..., 2].amax(1), points[..., 1].amax(1), points[..., 2].mean(1)], 1)
    places = int(place.max()) + 1 if len(place) else 0
    index, empty = place[:, None].expand(-1, 2), each.new_zeros(places, 3)
    empty[:, :2].scatter_reduce_(0, index, each[:, :2], "amax", include_self=False)
    empty[:, 2].scatter_reduce_(0, place, each[:, 2], "mean", include_self=False)
    return empty[place]


@dataclass
class NearGround:
    """Surfaces near the hand in the N pictures `rows`: depth and coverage `(N, S, S)`, infrared reflectance `(N,)`."""

    rows: Tensor
    depth: Tensor
    coverage: Tensor
    albedo: Tensor


def scene_depth(
    depth: Tensor,
    coverage: Tensor,
    spot: Tensor,
    K: Tensor,
    skin: Tensor,
    draw: GroundDraw,
    near: NearGround | None = None,
) -> tuple[Tensor, Tensor]:
    """Depth and infrared reflectance of everything that is seen, without gaps.

    Args:
        depth, coverage: `(B, H, W)` of what is in front, as rendered.
        spot: `(B, 3)` as `spots` gives.
        K: `(B, 3, 3)`.
        skin: `(B,)` infrared reflectance of what is in front.
        draw: what `draw_ground` drew.
        near: surfaces near hands; they stand before the drawn wall, and there is no other table.

    Returns:
        `(B, H, W)` metres and `(B, H, W)` in 0..1.
    """
    device, (height, width) = depth.device, depth.shape[-2:]

    def on(array: np.ndarray) -> Tensor:
        return torch.as_tensor(array, dtype=torch.float32, device=device)[..., None, None]

    columns, lines = (torch.arange(side, dtype=torch.float32, device=device) for side in (width, height))
    x = ((columns - K[:, 0, 2, None]) / K[:, 0, 0, None])[:, None, :]  # (B, 1, W) of the ray (x, y, 1)
    y = ((lines - K[:, 1, 2, None]) / K[:, 1, 1, None])[:, :, None]
    farthest, lowest, middle = spot[:, :, None, None].unbind(1)
    slope, lean = on(draw.wall), on(draw.table)
    # The wall z = z0 + slope . (x, y) z0 in the point's own x, y; the ray meets it at z = z0 / (1 - slope . ray).
    wall = (farthest + on(draw.behind)) / (1 - slope[:, 0] * x - slope[:, 1] * y).clamp_min(0.1)
    # The table y = y0 + lean . (x, z).
    level = lowest + on(draw.below) - lean[:, 1] * middle
    steep = y - lean[:, 0] * x - lean[:, 1]
    table = torch.where((steep > 1e-3) & (level > 0), level / steep.clamp_min(1e-3), torch.inf)
    if near is not None:
        table[near.rows] = torch.inf
    ground = torch.minimum(wall, table).clamp_max(_FARTHEST)
    light = torch.where(table < wall, on(draw.albedo[:, 1]), on(draw.albedo[:, 0]))
    if near is not None:
        shown = near.coverage > 0.5
        ground[near.rows] = torch.where(shown, near.depth.clamp_max(_FARTHEST), ground[near.rows])
        light[near.rows] = torch.where(shown, near.albedo[:, None, None], light[near.rows])
    front = (coverage > 0.5) & (depth > 0)
    return torch.where(front, depth, ground), torch.where(front, skin[:, None, None], light)
