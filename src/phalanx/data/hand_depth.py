"""Taking a hand out of a depth map by what weak labels say: its 2D joints, the depth of its wrist and the length of a bone.

Methods that learn from depth beside colour compare the hand alone; a sensor reads everything. Cai et al. 2018 say that background becomes
0 and not how it is found; the rule here needs no mask, so it works on a user's own recordings:

- a reading is kept if it is at most `REACH` bone lengths nearer or farther than the wrist, and
- if, at its own depth, it lies at most `WIDTH` bone lengths beside the skeleton in the picture: a finger's half-width, so that the forearm
  and what is held, or lies behind, mostly goes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from phalanx.core.errors import InputError
from phalanx.data.sample import Sample
from phalanx.hand.skeleton import BONES

SCALE_BONE = (9, 10)
"""The bone whose length is the hand's scale: the middle finger's first, as in the code of Zimmermann and Brox 2017."""

REACH = 4.5
"""Bone lengths: a stretched hand is about 4.3 of them long."""

WIDTH = 0.35
"""Bone lengths, 15 to 20 mm."""

LINES = (*BONES, (5, 9), (9, 13), (13, 17), (1, 5))
"""Pairs of joints between which there is hand: bones, the row of knuckles, and the ball of the thumb."""


def hand_depth(sample: Sample) -> Tensor:
    """The readings (B, H, W) of hands in metres, 0 elsewhere, of a sample with 3D joints and camera; those of the sensor, if there is one.

    Raises InputError if depth, joints or camera are missing.
    """
    depth = sample.depth if sample.sensed_depth is None else sample.sensed_depth
    if depth is None or sample.joints is None or sample.joints_2d is None or sample.K is None:
        raise InputError("hand_depth: a sample with depth, joints, joints_2d and K expected")
    root_depth, scale = sample.joints[:, 0, 2], scale_of(sample.joints)
    return readings_of_hands(depth, sample.joints_2d, root_depth, scale, sample.K)


def scale_of(joints: Tensor) -> Tensor:
    """Length (B,) in metres of `SCALE_BONE` of joints (B, 21, 3)."""
    first, second = SCALE_BONE
    return (joints[:, first] - joints[:, second]).norm(dim=-1)


def readings_of_hands(depth: Tensor, joints_2d: Tensor, root_depth: Tensor, scale: Tensor, K: Tensor) -> Tensor:
    """Those readings of depth maps (B, H, W) that are of hands, by the rule above; 0 elsewhere.

    Args:
        depth: (B, H, W) metres, 0 = no reading.
        joints_2d: (B, 21, 2) pixels of the depth map.
        root_depth: (B,) metres, of the wrist.
        scale: (B,) metres, length of `SCALE_BONE`.
        K: (B, 3, 3) camera of the depth map.
    """
    near = (depth > 0) & ((depth - root_depth[:, None, None]).abs() < REACH * scale[:, None, None])
    focal = 0.5 * (K[:, 0, 0] + K[:, 1, 1])
    allowed = WIDTH * scale[:, None, None] * focal[:, None, None] / depth.clamp_min(1e-3)  # (B, H, W) pixels
    return torch.where(near & (_beside(joints_2d, *depth.shape[1:]) < allowed), depth, 0.0)


def _beside(joints_2d: Tensor, height: int, width: int) -> Tensor:
    """Distance (B, height, width) in pixels of each pixel to the nearest of `LINES`."""
    x = torch.arange(width, device=joints_2d.device, dtype=joints_2d.dtype)
    y = torch.arange(height, device=joints_2d.device, dtype=joints_2d.dtype)[:, None]
    nearest = joints_2d.new_full((len(joints_2d), height, width), torch.inf)
    for begin, end in LINES:
        (ax, ay), (bx, by) = (joints_2d[:, joint, :, None, None].unbind(1) for joint in (begin, end))  # (B, 1, 1)
        along = ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / ((bx - ax).square() + (by - ay).square()).clamp_min(
            1e-6
        )
        along = along.clamp(0, 1)
        squared = (x - ax - along * (bx - ax)).square() + (y - ay - along * (by - ay)).square()
        nearest = torch.minimum(nearest, squared)
    return nearest.sqrt()
