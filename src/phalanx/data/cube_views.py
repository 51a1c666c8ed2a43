"""Depth of hands seen by one or more cameras at a time, cut out by cubes: what methods that learn from depth read.

Maps and joints are in the cube frame (`geometry.cubes`) of their own view.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from phalanx.core.errors import InputError
from phalanx.core.records import join_fields, map_fields
from phalanx.data.sample import Sample
from phalanx.geometry.cubes import EXTENT, cube_maps, nearest_hand


@dataclass
class CubeViews:
    """F frames of right hands, each seen by V cameras."""

    maps: Tensor  # (F, V, S, S) metres, `extent / 2` = no surface
    to_first: Tensor  # (F, V, 4, 4) rigid: cube frame of each view -> of the first
    middles: Tensor  # (F, V, 3) of the cubes, metres, camera frame
    joints: Tensor | None = None  # (F, V, 21, 3) metres

    def __len__(self) -> int:
        return len(self.maps)

    def map(self, function: Callable[[Tensor], Tensor]) -> CubeViews:
        """A new record with `function` applied to every tensor."""
        return map_fields(self, lambda value: None if value is None else function(value))

    def __getitem__(self, index: slice | Sequence[int] | Tensor) -> CubeViews:
        """The chosen frames."""
        return self.map(lambda value: value[index])

    def to(self, device: torch.device | str) -> CubeViews:
        """The same on `device`, in single precision."""
        return self.map(lambda value: value.to(device, torch.float32))

    def single_views(self) -> CubeViews:
        """Each view as a frame of its own, F V of them with one view."""
        alone = self.map(lambda value: value.flatten(0, 1)[:, None])
        alone.to_first = torch.eye(4, device=self.maps.device).expand_as(alone.to_first).contiguous()
        return alone


def concatenate_views(parts: Sequence[CubeViews]) -> CubeViews:
    """Frames of several records, one after the other; all must have as many views, cells and the same fields."""
    return join_fields(parts, lambda values: None if values[0] is None else torch.cat(values))


def cube_views(
    sample: Sample, views: int, size: int, middles: Tensor | None = None, extent: float = EXTENT
) -> CubeViews:
    """Cut the hands of a sample with `views` pictures of each, one after the other, out of its depth.

    What a sensor read (`sensed_depth`) is taken where there is such, else `depth`.

    Args:
        middles: `(B, 3)` of the cubes, metres, camera frame; none: of what is nearest to the camera.

    Raises:
        InputError: the sample has no depth or camera, no multiple of `views` pictures, or of several views no `world_to_camera`; or
            nothing is seen in a picture.
    """
    depth = sample.depth if sample.sensed_depth is None else sample.sensed_depth
    if depth is None or sample.K is None:
        raise InputError("cube_views: the sample has no depth, or no camera K")
    if len(depth) % views or not len(depth):
        raise InputError(f"cube_views: {len(depth)} pictures are no frames of {views} views")
    K = sample.K
    middles = nearest_hand(depth, K, extent) if middles is None else middles
    if not bool(torch.isfinite(middles).all()):
        raise InputError("cube_views: a depth picture holds no reading")
    maps = cube_maps(depth, K, middles, size, extent)
    to_first = torch.eye(4, dtype=depth.dtype, device=depth.device).repeat(len(depth), 1, 1)
    if views > 1:
        if sample.world_to_camera is None:
            raise InputError("cube_views: several views of a hand need world_to_camera")
        to_cube = sample.world_to_camera.double()
        to_cube[:, :3, 3] -= middles.double()
        first = to_cube.unflatten(0, (-1, views))[:, :1]
        to_first = (first @ torch.linalg.inv(to_cube).unflatten(0, (-1, views))).flatten(0, 1).to(depth.dtype)
    joints = None if sample.joints is None else sample.joints - middles[:, None]
    return CubeViews(maps, to_first, middles, joints).map(lambda value: value.unflatten(0, (-1, views)))
