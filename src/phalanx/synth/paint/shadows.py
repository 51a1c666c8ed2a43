"""What people keep light from: each other, their own hands, and the tables before them; balls stand for bodies and hands."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from phalanx.synth.body.model import JOINT, BodySurface
from phalanx.synth.paint.body_surface import BodyTopology
from phalanx.synth.paint.light import LIGHTS, Balls, LightDraw, occlusion
from phalanx.synth.paint.table import Table, on_table

_IN_HANDS = (((0, 9), 0.036), ((6, 10), 0.016), ((14, 18), 0.015), ((8, 12), 0.013), ((16, 20), 0.012), ((3, 4), 0.011))
"""Of each ball in a hand the two joints that it lies between, and its radius in metres."""
_LARGEST = 16  # balls of a body that count for others
_BESIDE = 1.2  # metres between pelvises, beyond which people do not shade each other
_COARSE = 8  # pixels between points of tables where light is found
_SKY = 1.1  # how much blocked sky darkens, as of hands


def body_balls(surface: BodySurface, topology: BodyTopology) -> Balls:
    """Balls (P, S) in P bodies."""
    a, b = surface.joints[:, topology.ball_joints].unbind(2)
    centres = torch.lerp(a, b, topology.ball_share[:, None])
    return Balls(centres, topology.ball_radius.expand(len(centres), -1))


def hand_balls(joints: Tensor) -> Balls:
    """Balls (H, 6) in hands with `joints (H, 21, 3)`."""
    ends = torch.tensor([pair for pair, _ in _IN_HANDS], device=joints.device)
    radii = torch.tensor([radius for _, radius in _IN_HANDS], device=joints.device)
    return Balls(joints[:, ends].mean(2), radii.expand(len(joints), -1))


def _trunk(topology: BodyTopology) -> Tensor:
    """The largest balls that are not in arms."""
    names = ("elbow", "forearm", "wrist")
    arms = torch.tensor([JOINT[f"{side}_{name}"] for side in ("right", "left") for name in names])
    size = topology.ball_radius * ~torch.isin(topology.ball_joints, arms.to(topology.ball_joints)).any(1)
    return size.topk(_LARGEST).indices


def about_people(surface: BodySurface, topology: BodyTopology, hands: Tensor, frame: np.ndarray) -> tuple[Balls, Balls]:
    """Balls that shade P bodies beside their own, and those that shade their 2 P hands, these too in the camera's frame.

    Args:
        surface: of the bodies; hands: (2 P, 21, 3) joints of their hands; frame: (P,) the picture that each is in.
    """
    own, of_hands = body_balls(surface, topology), hand_balls(hands)
    large = _trunk(topology)
    trunks = Balls(own.centres[:, large], own.radii[:, large])
    fists = Balls(
        of_hands.centres.unflatten(0, (-1, 2)).flatten(1, 2), of_hands.radii.unflatten(0, (-1, 2)).flatten(1, 2)
    )
    middle = surface.joints[:, 0]
    apart = (middle[:, None] - middle).norm(dim=-1)
    other = torch.as_tensor(frame[:, None] != frame, device=middle.device) | torch.eye(
        len(middle), dtype=torch.bool, device=middle.device
    )
    near, which = apart.masked_fill(other, torch.inf).min(1)
    there = (near < _BESIDE)[:, None]
    beside = Balls(trunks.centres[which], trunks.radii[which] * there)
    over = torch.arange(len(hands), device=middle.device) ^ 1
    each = Balls(trunks.centres.repeat_interleave(2, 0), trunks.radii.repeat_interleave(2, 0))
    return fists.with_(beside), each.with_(Balls(of_hands.centres[over], of_hands.radii[over]))


def light_on_table(table: Table, K: Tensor, height: int, width: int, light: LightDraw, balls: Balls) -> Tensor:
    """`(3, H, W)` light on a table in a window of a picture.

    Args:
        K: (3, 3) of the window.
        light: of the one picture.
        balls: (1, S) of what stands about the table.
    """
    device = K.device

    def on(array: np.ndarray) -> Tensor:
        return torch.as_tensor(array, dtype=torch.float32, device=device)

    rows, columns = -(-height // _COARSE) + 1, -(-width // _COARSE) + 1
    lens = K.clone()
    lens[:2] /= _COARSE
    depth, rays, _ = on_table(table, lens, rows, columns)
    points = (rays * depth.clamp(0.05, 20.0)).flatten(1).T[None]
    normal = on(table.normal)
    normals = normal.expand_as(points)
    direction = on(light.direction)
    found = occlusion(points, normals, balls.centres, balls.radii[:, None], direction, on(light.softness))[0]
    ambient = on(light.ambient)[0]
    sky = (ambient[:, 0] + ambient[:, 1:] @ normal).clamp_min(0.0)[:, None] * torch.exp(-_SKY * found[0])
    for number in range(LIGHTS):
        strength = (direction[0, number] @ normal).clamp_min(0.0) * on(light.colour)[0, number]
        sky = sky + strength[:, None] * (1.0 - found[1 + number])
    coarse = sky.view(1, 3, rows, columns)
    large = F.interpolate(
        coarse, size=((rows - 1) * _COARSE + 1, (columns - 1) * _COARSE + 1), mode="bilinear", align_corners=True
    )
    return large[0, :, :height, :width]
