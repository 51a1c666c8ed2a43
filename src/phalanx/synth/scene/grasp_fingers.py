"""The fingers of posed hands as points of flesh and skin, for very many postures at once: what closing a hand on something needs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from phalanx.core.records import map_fields
from phalanx.hand.anatomy import AXES, axis_angle_to_rotation
from phalanx.hand.collision import Capsules, hand_capsules
from phalanx.hand.model import HandModel
from phalanx.hand.skeleton import FINGERS

FLEX = (3, 7, 11, 15, 19)
"""Of each finger's four angles the first: flexion of the thumb's CMC, of the others' MCP."""

ABDUCT = [first + 1 for first in FLEX]
BENDS = [[first, first + 2, first + 3] for first in FLEX]
"""The three angles of each finger that flex, base to tip."""

AXIS_POINTS = 4
"""Points in the middle of a segment's flesh, base to tip; the point after them is on the skin of its pad."""

PALM_POINTS = 80


@dataclass
class FingerTables:
    """R hands of given shapes in the hand frame, thumb first.

    A finger's segments turn about parallel axes, so each of its points is `still + cosine cos(t) + sine sin(t)` from its joint, with t the
    sum of the bends so far. A segment has `AXIS_POINTS` points in the middle of its flesh, one on its pad, and the next joint.

    Attributes:
        base: (R, 5, 3) first joints, metres.
        still, cosine, sine: (R, 5, 3, 3, AXIS_POINTS + 2): coordinates, segments, points.
        radii: (R, 5, 3) metres of flesh round the middle.
        thick: (R, 14) thickness of the finger segments of `hand_capsules` against the mean hand's.
        knuckles: (R, 4, 3) of the four fingers.
        palm: (R, P, 3) points on the skin of the palm's inside.
        size: (R,) length of the palm against the mean hand's.
    """

    base: Tensor
    still: Tensor
    cosine: Tensor
    sine: Tensor
    radii: Tensor
    thick: Tensor
    knuckles: Tensor
    palm: Tensor
    size: Tensor

    def __getitem__(self, rows: Tensor) -> FingerTables:
        return map_fields(self, lambda value: value[rows])

    def __len__(self) -> int:
        return len(self.size)


def finger_tables(model: HandModel, shape: Tensor) -> FingerTables:
    """Tables of hands of shapes (R, 10)."""
    rest = model.joint_positions(shape)  # (R, 21, 3)
    capsules = finger_capsules(model)
    thick = _thickness(model, shape, rest) / _mean_thickness(model)
    number = {int(segment): i for i, segment in enumerate(capsules.segments[:14])}
    flexion = AXES[list(FLEX)].to(rest)  # (5, 3)
    points, radii = [], []
    for finger, joints in enumerate(FINGERS):
        for k in range(3):
            bone = rest[:, joints[k + 1]] - rest[:, joints[k]]
            palmar = unit(torch.linalg.cross(flexion[finger].expand_as(bone), bone))
            if finger == 0 and k == 0:  # the thumb's metacarpal, in its ball of flesh
                (first, last), ratio = (0.35, 1.0), thick.mean(1)
                offset, radius = 0.003 * palmar, 0.0115 * ratio
            else:
                i = number[2 + 3 * finger + k]
                (first, last), ratio = capsules.along[i].tolist(), thick[:, i]
                offset, radius = capsules.offsets[i] * ratio[:, None], capsules.radii[i] * ratio
            steps = torch.linspace(first, last, AXIS_POINTS)
            line = offset[:, None] + steps[:, None] * bone[:, None]  # (R, AXIS_POINTS, 3)
            pad = torch.lerp(line[:, 0], line[:, -1], 0.6 if k == 2 else 0.5) + radius[:, None] * palmar
            points.append(torch.cat([line, pad[:, None], bone[:, None]], 1))
            radii.append(radius)
    vectors = torch.stack(points, 1).unflatten(1, (5, 3))  # (R, 5, 3, AXIS_POINTS + 2, 3)
    axis = flexion[:, None, None]
    still = (vectors * axis).sum(-1, keepdim=True) * axis
    inside = (model.parts == 0) & (model.template[:, 2] > 0.008) & (model.template[:, 1] > 0.0)
    skin = inside.nonzero()[:, 0]
    skin = skin[:: max(1, len(skin) // PALM_POINTS)]
    parts = (still, vectors - still, torch.linalg.cross(axis.expand_as(vectors), vectors))
    still, cosine, sine = (part.permute(0, 1, 4, 2, 3).contiguous() for part in parts)
    return FingerTables(
        rest[:, [joints[0] for joints in FINGERS]],
        still,
        cosine,
        sine,
        torch.stack(radii, 1).unflatten(1, (5, 3)),
        thick,
        rest[:, [joints[0] for joints in FINGERS[1:]]],
        _skin(model, skin, shape),
        rest[:, FINGERS[2][0]].norm(dim=1) / model.rest_joints[FINGERS[2][0]].norm(),
    )


@lru_cache(maxsize=2)
def finger_capsules(model: HandModel) -> Capsules:
    """`hand_capsules` of a model, kept."""
    return hand_capsules(model)


@lru_cache(maxsize=2)
def _mean_thickness(model: HandModel) -> Tensor:
    return _thickness(model, torch.zeros(1, 10), model.rest_joints[None])


def unit(vector: Tensor) -> Tensor:
    """Vectors (..., 3) of length 1."""
    return vector / vector.norm(dim=-1, keepdim=True).clamp_min(1e-9)


def _skin(model: HandModel, chosen: Tensor, shape: Tensor) -> Tensor:
    """Vertices (R, V, 3) at rest."""
    return model.template[chosen] + (shape @ model.shape_basis[chosen].flatten(0, 1).T).unflatten(1, (-1, 3))


def _thickness(model: HandModel, shape: Tensor, rest: Tensor) -> Tensor:
    """Mean distance (R, 14) of the skin from the middle of each finger segment but the thumb's first, in hands at rest."""
    found = []
    for finger, joints in enumerate(FINGERS):
        for k in range(1 if finger == 0 else 0, 3):
            chosen = (model.parts == 2 + 3 * finger + k).nonzero()[:, 0]
            axis = unit(rest[:, joints[k + 1]] - rest[:, joints[k]])[:, None]
            away = _skin(model, chosen, shape) - rest[:, joints[k], None]
            away = away - (away * axis).sum(-1, keepdim=True) * axis
            middle = 0.5 * (away.amin(1, keepdim=True) + away.amax(1, keepdim=True))
            found.append((away - middle).norm(dim=2).mean(1))
    return torch.stack(found, 1)


def finger_points(tables: FingerTables, which: slice, bends: Tensor, abduction: Tensor) -> Tensor:
    """Points of the fingers `which` in the hand frame, metres.

    Args:
        bends: (R, F, A, 3, C) flexion of the three joints, degrees.
        abduction: (R, F, A) of the first, degrees; C postures share one.

    Returns:
        (R, F, A, 3, 3, AXIS_POINTS + 1, C): coordinates, segments, and of each segment the middle of its flesh, base to tip, then its pad.
    """
    turned = torch.deg2rad(bends).cumsum(-2)[:, :, :, None, :, None]  # (R, F, A, 1, 3, 1, C)
    still, cosine, sine = (part[:, which, None, ..., None] for part in (tables.still, tables.cosine, tables.sine))
    every = torch.addcmul(torch.addcmul(still, cosine, turned.cos()), sine, turned.sin())
    points, bones = every[..., :-1, :], every[..., -1:, :]
    points[..., 1:, :, :] += bones[..., :1, :, :]
    points[..., 2, :, :] += bones[..., 1, :, :]
    axis = AXES[ABDUCT].to(points)[which, None]
    turn = axis_angle_to_rotation(axis.expand(*abduction.shape, 3), torch.deg2rad(abduction))  # (R, F, A, 3, 3)
    placed = turn @ points.flatten(4) + tables.base[:, which, None, :, None]
    return placed.unflatten(4, points.shape[4:])


def posture_points(tables: FingerTables, which: slice, bends: Tensor, abduction: Tensor) -> Tensor:
    """Points (R, F, A, 3, AXIS_POINTS + 1, 3) of segments under bends (R, F, A, 3) and abductions (R, F, A), as `finger_points`."""
    return finger_points(tables, which, bends[..., None], abduction)[..., 0].permute(0, 1, 2, 4, 5, 3)
