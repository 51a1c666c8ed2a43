"""Labelled depth of synthetic hands in cubes, as training and tests of methods on depth take it.

Labels decide where a picture is cut, as in the protocols of public sets, and nothing else.
"""

from __future__ import annotations

from contextlib import closing

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from phalanx.core.seeding import generator
from phalanx.data.cube_views import CubeViews, concatenate_views, cube_views
from phalanx.data.sample import Sample
from phalanx.geometry.cubes import EXTENT, nearest_hand
from phalanx.geometry.grids import sampling_grid
from phalanx.geometry.rotations import rotvec_to_rotmat
from phalanx.synth import SynthConfig, stream

_LOOSE = 0.012
"""Spread of a cube's middle about the hand's, metres."""
_ASTRAY = 0.08
"""How far from it a middle that was searched for may be, metres."""


def loose_middles(sample: Sample, random: np.random.Generator) -> Tensor:
    """Middles `(B, 3)` of cubes as a detector would put them: half near the hand's own, half where the nearest thing is found."""
    assert sample.joints is not None and sample.K is not None
    middles = sample.joints.mean(1)
    loose = middles + torch.from_numpy(random.normal(0, _LOOSE, middles.shape)).to(middles)
    depth = sample.depth if sample.sensed_depth is None else sample.sensed_depth
    assert depth is not None
    found = nearest_hand(depth, sample.K)
    near = (found - middles).norm(dim=1) < _ASTRAY  # false where nothing is read
    searched = torch.from_numpy(random.random(len(middles)) < 0.5)
    return torch.where((near & searched)[:, None], found, loose)


def cut(sample: Sample, views: int, size: int) -> CubeViews:
    """The hands of a synthetic sample in cubes; the same for the same sample."""
    assert sample.ids is not None
    return cube_views(sample, views, size, loose_middles(sample, generator(*sample.ids[0].tolist(), 7)))


def draw_views(config: SynthConfig, seed: int, frames: int, size: int, workers: int = 0) -> CubeViews:
    """`frames` frames of the stream `seed`, with labels, by every camera of `config`'s rig; maps in half precision."""
    parts: list[CubeViews] = []
    with closing(stream(config, seed, workers)) as source:
        while sum(map(len, parts)) < frames:
            views = cut(next(source), config.views * config.times, size)
            views.maps = views.maps.half()
            parts.append(views)
    return concatenate_views(parts)[:frames]


def keep_cubes(size: int, sample: Sample) -> dict[str, Tensor]:
    """What training keeps of a synthetic sample."""
    views = cut(sample, 1, size)
    assert views.joints is not None
    return {"maps": views.maps.half(), "joints": views.joints, "middles": views.middles}


def turned(maps: Tensor, joints: Tensor, angles: Tensor) -> tuple[Tensor, Tensor]:
    """Maps `(B, V, S, S)` and joints `(B, V, 21, 3)` turned clockwise in the picture's plane by `angles (B,)` in radians."""
    turn = rotvec_to_rotmat(angles[:, None] * torch.tensor([0.0, 0.0, 1.0]))  # (B, 3, 3)
    grid = sampling_grid(turn.mT[:, :2], maps.shape[-1])  # where cells come from
    far = 0.5 * EXTENT
    seen = F.grid_sample(maps - far, grid, mode="nearest", align_corners=False) + far
    return seen, joints @ turn[:, None].mT
