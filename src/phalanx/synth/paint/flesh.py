"""What the pose does to skin: where blood gathers, where taut or pressed skin is pale, and tendons that rise on the back.

Blood is in the units of the `blood` channel of skin (`paint.skin`): one about doubles it. Sites of redness are those of photographs of
hands and of the blood's own map: tips, knuckles, and the balls of the thumb and of the little finger have the most vessels near the
surface. Extended fingers draw the extensor tendons taut, which rise between wrist and knuckles.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from phalanx.core.records import map_fields
from phalanx.hand.anatomy import AXES, FLEXION, rotations_to_angles
from phalanx.hand.skeleton import FINGERS
from phalanx.synth.paint.skin_detail import TEXTURE_SIDE, Texels, line, step, unwrap
from phalanx.synth.paint.surface import hand

_TENDON_STARTS = np.array(
    [[0.016, 0.004], [0.007, 0.004], [0.002, 0.004], [-0.004, 0.004], [-0.011, 0.004]]
)  # m, at the wrist
_TENDON_WIDTH = 0.0024  # m
_TENDON_HEIGHT = 0.0011  # m, of the most prominent


@dataclass
class FleshDraw:
    """How the flesh of B hands behaves.

    Attributes:
        redness: (B, 5) strength at tips, knuckles, balls of the palm, last joints, and paleness between knuckles.
        blanching: (B,) how pale taut knuckles get.
        prominence: (B,) of tendons, 0 to 1.
    """

    redness: np.ndarray
    blanching: np.ndarray
    prominence: np.ndarray

    def __getitem__(self, index: np.ndarray) -> FleshDraw:
        return map_fields(self, lambda value: value[index])


def draw_flesh(generator: np.random.Generator, batch: int) -> FleshDraw:
    """Draw flesh: most hands are a little red, some are pale, some are flushed; most tendons are faint."""
    flushed = np.exp(generator.normal(-0.1, 0.45, (batch, 1)))
    redness = flushed * generator.uniform(0.5, 1.4, (batch, 5)) * np.array([0.75, 0.6, 0.5, 0.45, 0.15])
    prominence = generator.uniform(0.05, 1.0, batch) ** 1.6
    arrays = (redness, generator.uniform(0.2, 1.0, batch), prominence)
    return FleshDraw(*(array.astype(np.float32) for array in arrays))


@dataclass(frozen=True)
class _Sites:
    """Where on the V vertices blood gathers, 0 to 1.

    Attributes:
        tips, knuckles, tops, middles, last: (5, V) of each finger the tip, the skin round its base joint and on top of it, and that
            round its middle and its last joint.
        balls, between: (1, V) the balls of the palm, and the backs of the segments between the joints.
        tendons: (5, V) how near each tendon is, of all of them.
    """

    tips: Tensor
    knuckles: Tensor
    tops: Tensor
    middles: Tensor
    middle_tops: Tensor
    last: Tensor
    balls: Tensor
    between: Tensor
    tendons: Tensor


@lru_cache(maxsize=4)
def _sites(device: str) -> _Sites:
    model, topology = hand("cpu")
    points, normals = topology.rest.numpy().astype(np.float64), topology.rest_normals.numpy().astype(np.float64)
    joints, weights = model.rest_joints.numpy().astype(np.float64), model.skin_weights.numpy().astype(np.float64)
    tips, knuckles, tops, middles, middle_tops, last = ([] for _ in range(6))
    between = np.zeros(len(points))
    for finger, chain in enumerate(FINGERS):
        own = weights[:, 2 + 3 * finger : 5 + 3 * finger].sum(1)
        backs = []
        for number in range(3):
            a, b = joints[chain[number]], joints[chain[number + 1]]
            inward = np.cross(AXES.numpy()[FLEXION[1 + 3 * finger + number]], (b - a) / np.linalg.norm(b - a))
            backs.append(step(-normals @ inward, -0.1, 0.6))
        ends, along = joints[chain[3]] - joints[chain[2]], points - joints[chain[2]]
        reach = (along @ ends) / (ends @ ends)
        tips.append(step(reach, 0.15, 0.95) * weights[:, 4 + 3 * finger])
        first = 1 if finger == 0 else 0  # the thumb's knuckle is its middle joint
        distance = []
        for number in range(3):  # from the top of each joint
            to_joint = np.linalg.norm(points - joints[chain[number]], axis=1)
            top = points[np.where(backs[number] > 0.9, to_joint, np.inf).argmin()]
            distance.append(np.linalg.norm(points - top, axis=1))
        middle = 2 if finger == 0 else 1
        mine = step(own, 0.2, 0.7)
        knuckles.append(backs[first] * line(distance[first], 0.014))
        tops.append(backs[first] * line(distance[first], 0.008))
        middles.append(backs[middle] * line(distance[middle], 0.010) * mine)
        middle_tops.append(backs[middle] * line(distance[middle], 0.006) * mine)
        last.append(backs[2] * line(distance[2], 0.007) * mine * (finger > 0))
        between += (own - weights[:, 4 + 3 * finger]) * backs[1]
    x, y = points[:, 0], points[:, 1]
    palm = step(normals[:, 2], 0.0, 0.6)
    thumb, little = joints[2], joints[17]
    balls = line(np.hypot(x - 0.6 * thumb[0] - 0.006, y - thumb[1]), 0.022)
    balls = balls + line(np.hypot(x - 0.75 * little[0], y - 0.45 * little[1]), 0.022)
    balls = balls + sum(line(np.hypot(x - joints[j, 0], y - joints[j, 1] - 0.004), 0.012) for j in (5, 9, 13, 17))
    near = np.exp(-((_to_tendons(points, joints)[0] / 0.009) ** 2)) + 1e-9
    near = near / np.maximum(near.sum(0), 0.05)

    def tensor(rows: list[np.ndarray]) -> Tensor:
        return torch.as_tensor(np.stack(rows), dtype=torch.float32, device=device)

    return _Sites(
        tips=tensor(tips),
        knuckles=tensor(knuckles),
        tops=tensor(tops),
        middles=tensor(middles),
        middle_tops=tensor(middle_tops),
        last=tensor(last),
        balls=tensor([palm * np.minimum(balls, 1.2)]),
        between=tensor([np.maximum(0.0, between - sum(middles) - sum(last))]),
        tendons=tensor(list(near)),
    )


def flush(rotations: Tensor, draw: FleshDraw, pressed: Tensor | None = None) -> Tensor:
    """Blood `(B, V)` that pose and contact bring to, or drive from, the skin.

    Args:
        rotations: (B, 16, 3, 3) local rotations of the pose.
        draw: of the B hands.
        pressed: (B, V) how hard each vertex is pressed, 0 to 1: the middle of a contact is pale, its rim red.
    """
    sites = _sites(str(rotations.device))
    angles = rotations_to_angles(rotations).float()
    base, middle, last = (angles[:, [FLEXION[1 + 3 * f + number] for f in range(5)]] for number in range(3))
    base, middle = (
        torch.cat([middle[:, :1], base[:, 1:]], 1),
        torch.cat([last[:, :1], middle[:, 1:]], 1),
    )  # thumb: MCP, IP

    def on(array: np.ndarray) -> Tensor:
        return torch.as_tensor(array, device=rotations.device)

    redness, blanching = on(draw.redness)[..., None], on(draw.blanching)[:, None]  # (B, 5, 1), (B, 1)
    tip = redness[:, 0] * (1.0 - 0.4 * _ramp(middle + last, 1.7, 3.0))
    knuckle, middle_knuckle = (redness[:, 1] * (0.55 + 0.75 * _ramp(angle, 0.2, 1.2)) for angle in (base, middle))
    taut, middle_taut = (1.4 * blanching * _ramp(angle, 0.9, 1.6) for angle in (base, middle))
    blood = tip @ sites.tips + knuckle @ sites.knuckles + middle_knuckle @ sites.middles
    blood -= taut @ sites.tops + middle_taut @ sites.middle_tops
    blood += redness[:, 3] @ sites.last.sum(0, keepdim=True)
    blood += redness[:, 2] @ sites.balls - redness[:, 4] @ sites.between
    if pressed is not None:
        blood = blood * (1.0 - pressed) + 3.2 * pressed * (1.0 - pressed) - 1.3 * pressed.square()
    return blood.clamp_(-1.5, 2.0)


def tendons(rotations: Tensor, draw: FleshDraw) -> Tensor:
    """How far tendons rise `(B, V)`, 0 to 1, in `tendon_slopes`: the more, the further the finger is extended."""
    sites = _sites(str(rotations.device))
    base = rotations_to_angles(rotations).float()[:, [FLEXION[1 + 3 * f] for f in range(5)]]
    raised = 0.12 + 0.88 * (1.0 - _ramp(base, -0.35, 0.5))
    return (raised * torch.as_tensor(draw.prominence, device=rotations.device)[:, None]) @ sites.tendons


def _ramp(values: Tensor, low: float, high: float) -> Tensor:
    """0 below `low`, 1 above `high`."""
    t = ((values - low) / (high - low)).clamp(0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def _to_tendons(points: np.ndarray, joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance `(5, N)` in the plane of the hand from points `(N, 3)` to each tendon, and where along it, 0 to 1 (beyond: not clipped)."""
    distances, places = [], []
    for finger, start in enumerate(_TENDON_STARTS):
        end = joints[FINGERS[finger][1 if finger == 0 else 0], :2]
        run = end - start
        place = ((points[:, :2] - start) @ run) / (run @ run)
        nearest = start + np.clip(place, 0.0, 1.0)[:, None] * run
        distances.append(np.linalg.norm(points[:, :2] - nearest, axis=1))
        places.append(place)
    return np.stack(distances), np.stack(places)


def tendon_height(texels: Texels, joints: np.ndarray) -> np.ndarray:
    """Height `(T,)` in metres of all tendons of the most prominent kind, taut."""
    distance, place = _to_tendons(texels.position, joints)
    ridges = line(distance, _TENDON_WIDTH) * step(place, -0.1, 0.25) * (1.0 - step(place, 0.85, 1.12))
    return _TENDON_HEIGHT * ridges.max(0) * step(-texels.normal[:, 2], 0.2, 0.7)


@lru_cache(maxsize=4)
def tendon_slopes(side: int, device: str) -> Tensor:
    """Slopes along u and v `(2, side * side)` of `tendon_height`, metres per unit of UV."""
    model, topology = hand("cpu")
    texels = unwrap(model, topology.uv)
    height = tendon_height(texels, model.rest_joints.numpy().astype(np.float64))
    image = height[texels.nearest].reshape(TEXTURE_SIDE, TEXTURE_SIDE)
    shrink = TEXTURE_SIDE // side
    slopes = np.stack([np.gradient(image, 1.0 / TEXTURE_SIDE, axis=axis) for axis in (1, 0)])
    slopes = slopes.reshape(2, side, shrink, side, shrink).mean((2, 4)).reshape(2, -1)
    return torch.as_tensor(slopes, dtype=torch.float32, device=device)
