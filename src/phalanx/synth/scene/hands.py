"""Where hands are and how they are held: pose, shape, view and camera, drawn from one generator."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from phalanx.core.records import join_fields
from phalanx.geometry.crops import PALM
from phalanx.geometry.turns import ray_to_rotmat
from phalanx.hand.anatomy import angles_to_rotations
from phalanx.hand.model import HandModel, HandPose, concatenate_poses
from phalanx.hand.pose_space import sample_angles
from phalanx.render.solids import Solids
from phalanx.synth.body.model import BodySurface
from phalanx.synth.paint.dress import FOREARM_FROM, FOREARM_STRETCH
from phalanx.synth.scene.grasp import draw_grasps

_LEAST_INSIDE = 16  # of the 21 joints must lie inside the picture
_MOST_HIDDEN = 5  # joints may lie behind the forearm
NEAREST = 0.12  # metres: neither a joint nor the end of the arm comes nearer to the camera
PALM_MIDDLE = np.array([0.0, 0.08, 0.01])  # hand frame, metres: it is at the drawn place and distance, not the wrist


@dataclass(frozen=True)
class Framing:
    """How hands are held and seen, and from how far."""

    uniform: float
    """Share held in any orientation whatever."""
    raised: float
    """Share held up with the fingers roughly up; the rest are seen by their owner."""
    field: tuple[float, float]
    """Least and greatest field of view of the camera, degrees."""
    distance: tuple[float, float]
    """Least and greatest distance, metres; evenly in the logarithm."""
    closer: float
    """Share of the pictures that are crops of a second look: turned upright, the hand filling most of them."""
    holding: bool = False
    """Whether hands hold something."""


FRAMINGS = {
    "hands": Framing(uniform=0.2, raised=0.68, field=(25, 80), distance=(0.25, 1.2), closer=0.8),
    "egocentric": Framing(uniform=0.05, raised=0.05, field=(60, 100), distance=(0.25, 0.65), closer=0.0),
    "third_person": Framing(uniform=0.45, raised=0.55, field=(25, 70), distance=(0.7, 3.0), closer=0.0),
    "holding": Framing(uniform=0.3, raised=0.45, field=(25, 80), distance=(0.3, 1.2), closer=0.0, holding=True),
}
"""By name: hands in front of all kinds of cameras, as the default estimator learns them; seen by a camera on the wearer's head; somebody
else's hands, seen by a camera in the room; hands that hold things."""


@dataclass
class Views:
    """What N pictures show. Pictures of the same hand share `hand`; those taken at the same time share `frame`, too."""

    pose: HandPose  # N, each in its camera's frame
    K: Tensor  # (N, 3, 3) of the crops
    hand: np.ndarray  # (N,) number of the hand in the chunk
    frame: np.ndarray  # (N,) number of the time
    view: np.ndarray  # (N,) number of the camera
    turn: np.ndarray  # (N,) radians by which the crop was cut turned out of the camera's picture
    world_to_camera: Tensor | None = None  # (N, 4, 4) where there is a rig
    held: Solids | None = None  # (N, 1) things in the hands, in the hand frame
    body: BodySurface | None = None  # people whom the first of the hands belong to, in the cameras' frames
    down: np.ndarray | None = None  # where down is for them, (n, 3)


def about_axis(axis: str, angle: np.ndarray) -> np.ndarray:
    """Rotations `(N, 3, 3)` about one of the camera's axes."""
    c, s, zero, one = np.cos(angle), np.sin(angle), np.zeros_like(angle), np.ones_like(angle)
    rows = {
        "x": [one, zero, zero, zero, c, -s, zero, s, c],
        "y": [c, zero, s, zero, one, zero, -s, zero, c],
        "z": [c, -s, zero, s, c, zero, zero, zero, one],
    }[axis]
    return np.stack(rows, -1).reshape(-1, 3, 3)


def uniform_rotations(generator: np.random.Generator, count: int) -> np.ndarray:
    """Rotations `(count, 3, 3)` uniform over SO(3) (normalised Gaussian quaternions)."""
    q = generator.normal(size=(count, 4))
    w, x, y, z = (q / np.linalg.norm(q, axis=1, keepdims=True)).T
    rows = [
        1 - 2 * (y * y + z * z),
        2 * (x * y - z * w),
        2 * (x * z + y * w),
        2 * (x * y + z * w),
        1 - 2 * (x * x + z * z),
        2 * (y * z - x * w),
        2 * (x * z - y * w),
        2 * (y * z + x * w),
        1 - 2 * (x * x + y * y),
    ]
    return np.stack(rows, -1).reshape(-1, 3, 3)


def view_rotations(generator: np.random.Generator, count: int, framing: Framing = FRAMINGS["hands"]) -> np.ndarray:
    """Orientations `(count, 3, 3)` of the palm (hand frame -> frame of the viewing ray): how hands are held to cameras.

    Some are uniform over all rotations. Some are raised with the fingers roughly up: a third of those show the palm, half a side, the
    others the back. The rest are seen by their owner. Most hands are seen from the side or back, which are harder to learn.
    """
    # Upright palm towards the camera: hand x, y, z -> camera x, -y, -z.
    upright = np.diag([1.0, -1.0, -1.0])
    shown = generator.choice([0.0, np.pi, 0.5 * np.pi, -0.5 * np.pi], count, p=[0.34, 0.12, 0.27, 0.27])
    turn = shown + generator.normal(0, np.deg2rad(28), count)
    tilt = generator.normal(0, np.deg2rad(22), count)
    roll = np.where(
        generator.random(count) < 0.8,
        generator.normal(0, np.deg2rad(28), count),
        generator.uniform(-np.pi, np.pi, count),
    )
    raised = about_axis("z", roll) @ about_axis("x", tilt) @ about_axis("y", turn) @ upright
    # The owner's view: fingers away from the camera and up, back or thumb side seen, arm from below.
    away = generator.normal(np.deg2rad(40), np.deg2rad(25), count)
    face = np.pi + generator.normal(0, np.deg2rad(65), count)
    lean = generator.normal(np.deg2rad(-20), np.deg2rad(35), count)
    own = about_axis("z", lean) @ about_axis("x", -away) @ about_axis("y", face) @ upright
    kind = generator.random((count, 1, 1))
    raised_to = framing.uniform + framing.raised
    return np.where(
        kind < framing.uniform, uniform_rotations(generator, count), np.where(kind < raised_to, raised, own)
    )


def draw_shapes(generator: np.random.Generator, count: int, build: int = 0) -> Tensor:
    """Shapes `(count, 10)` of hands, somewhat more varied than people's; `build` -1 or 1 keeps to one half of the first component."""
    shape = generator.normal(0, 1.15, (count, 10)).clip(-3, 3)
    if build:
        shape[:, 0] = build * np.abs(shape[:, 0])
    return torch.as_tensor(shape, dtype=torch.float32)


def _turned_upright(
    generator: np.random.Generator, pose: HandPose, joints: np.ndarray, chosen: np.ndarray
) -> tuple[HandPose, np.ndarray, np.ndarray]:
    """`pose` and its joints `(N, 21, 3)`, the `chosen` `(N,)` turned about the optical axis until the palm points up; and the angles.

    So are crops of a second look (`geometry.crops.upright_angle`), as exactly as a first look allows: less so where the palm is
    seen foreshortened.
    """
    seen = joints[..., :2] / joints[..., 2:]
    palm = seen[:, PALM].mean(1) - seen[:, 0]
    extent = (seen.max(1) - seen.min(1)).max(1)
    blur = np.hypot(np.deg2rad(8), 0.03 * extent / np.maximum(np.linalg.norm(palm, axis=1), 0.05 * extent))
    angle = -0.5 * np.pi - np.arctan2(palm[:, 1], palm[:, 0]) + blur * generator.normal(size=len(palm))
    angle = np.where(chosen, angle, 0.0)
    turn = about_axis("z", angle)  # (N, 3, 3)
    turn32 = torch.as_tensor(turn, dtype=torch.float32)
    turned = HandPose(
        pose.rotations, pose.shape, turn32 @ pose.orientation, (turn32 @ pose.translation[..., None])[..., 0]
    )
    return turned, joints @ turn.transpose(0, 2, 1), angle


def arm_spoils(model: HandModel, pose: HandPose, joints: np.ndarray, K: np.ndarray, size: int) -> np.ndarray:
    """Whether `(N,)` the drawn arm hides more than a few joints, or shows its cut end.

    An arm that points at the camera hides the hand, and in photographs arms do not end.
    """
    length = FOREARM_STRETCH * (FOREARM_FROM - float(model.template[:, 1].min())) - FOREARM_FROM  # from the wrist
    direction = -(pose.orientation @ pose.rotations[:, 0])[:, :, 1].double().numpy()  # (N, 3) down the arm
    arm = joints[:, :1] + direction[:, None] * np.linspace(0.03, length, 9)[:, None]  # (N, 9, 3)
    depth = np.maximum(arm[..., 2], 0.02)
    away = arm[..., None, :2] / depth[..., None, None] - (joints[..., :2] / joints[..., 2:])[:, None]  # (N, 9, 21, 2)
    covers = (np.linalg.norm(away, axis=-1) < 0.035 / depth[..., None]) & (
        depth[..., None] < joints[:, None, :, 2] - 0.01
    )
    end = arm[:, -1, :2] / depth[:, -1:] * K[:, [0, 1], [0, 1]] + K[:, :2, 2]
    margin = 0.03 * K[:, 0, 0] / depth[:, -1]  # half an arm's width in pixels
    shown = ((end > -margin[:, None]) & (end < size + margin[:, None])).all(1) & (direction[:, 2] < 0.6)
    return (covers.any(1).sum(1) > _MOST_HIDDEN) | shown | (arm[:, -1, 2] < NEAREST)


def _candidates(
    generator: np.random.Generator, model: HandModel, count: int, size: int, framing: Framing, build: int
) -> tuple[Views, np.ndarray]:
    """Hands as in `draw_hands`, and whether each is usable."""
    held = None
    angles = torch.as_tensor(sample_angles(generator, count), dtype=torch.float32)
    shape = draw_shapes(generator, count, build)
    if framing.holding:
        grasps = draw_grasps(generator, model, count, shape)
        angles, held = grasps.angles, grasps.solids
    pose, focal = _placed(generator, angles, shape, framing)
    closer = generator.random(count) < framing.closer
    with np.errstate(divide="ignore", invalid="ignore"):
        pose, points, turn = _turned_upright(generator, pose, model.joints(pose).double().numpy(), closer)
        seen = focal[:, None, None] * points[..., :2] / points[..., 2:]  # (count, 21, 2), in picture widths
    K, pixels = cropped(generator, seen, focal, closer, size)
    inside = ((pixels >= -0.5) & (pixels <= size - 0.5)).all(-1).sum(1)
    usable = (
        ~arm_spoils(model, pose, points, K, size)
        & (inside >= _LEAST_INSIDE)
        & (points[..., 2].min(1) > NEAREST)
        & np.isfinite(pixels).all((1, 2))
    )
    number = np.arange(count)
    views = Views(pose, torch.as_tensor(K, dtype=torch.float32), number, 0 * number, 0 * number, turn, held=held)
    return views, usable


def _placed(
    generator: np.random.Generator, angles: Tensor, shape: Tensor, framing: Framing
) -> tuple[HandPose, np.ndarray]:
    """Hands anywhere in the pictures that crops come from, and those pictures' focal lengths `(N,)` in units of their widths."""
    count = len(angles)
    view = view_rotations(generator, count, framing)
    field = np.deg2rad(generator.uniform(*framing.field, count))
    focal = 0.5 / np.tan(0.5 * field)
    place = generator.uniform(-0.42, 0.42, (count, 2)) * np.array([1.0, 0.75])
    centred = generator.random(count) < 0.3
    place[centred] *= 0.2
    distance = np.exp(generator.uniform(math.log(framing.distance[0]), math.log(framing.distance[1]), count))
    ray = np.concatenate([place / focal[:, None], np.ones((count, 1))], 1)
    ray /= np.linalg.norm(ray, axis=1, keepdims=True)
    orientation = ray_to_rotmat(torch.from_numpy(ray)).numpy() @ view
    wrist = distance[:, None] * ray - orientation @ PALM_MIDDLE
    pose = HandPose(
        angles_to_rotations(angles),
        shape,
        torch.as_tensor(orientation, dtype=torch.float32),
        torch.as_tensor(wrist, dtype=torch.float32),
    )
    return pose, focal


def cropped(
    generator: np.random.Generator, seen: np.ndarray, focal: np.ndarray, closer: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Cameras `(N, 3, 3)` of crops of `size` pixels round hands, and their joints' pixels `(N, 21, 2)`.

    Args:
        seen: (N, 21, 2) joints in the pictures that crops come from, from their middle, in picture widths.
        focal: (N,) focal lengths in picture widths.
        closer: (N,) whether the crop is of a second look, which hands fill more.
    """
    count = len(focal)
    low, high = seen.min(1), seen.max(1)
    fill = np.where(closer, generator.uniform(0.62, 0.92, count), generator.uniform(0.45, 0.95, count))
    fill = np.where(generator.random(count) < 0.08, generator.uniform(0.9, 1.2, count), fill)
    # A first look at a whole photograph: the hand is small and anywhere.
    fill = np.where(~closer & (generator.random(count) < 0.3), generator.uniform(0.3, 0.5, count), fill)
    side = (high - low).max(1) / fill
    room = np.maximum(0.04, 0.5 * (1 - fill))[:, None]
    centre = 0.5 * (low + high) + side[:, None] * room * generator.uniform(-0.8, 0.8, (count, 2))
    scale = size / side  # pixels per picture width
    stretch = np.exp(generator.normal(0, 0.01, count))  # cameras' pixels are square but for a per cent
    corner = -(centre - 0.5 * side[:, None]) * scale[:, None] - 0.5
    K = np.zeros((count, 3, 3))
    K[:, 0, 0], K[:, 1, 1], K[:, 2, 2] = focal * scale * stretch, focal * scale, 1.0
    K[:, :2, 2] = corner
    aspect = np.stack([stretch, np.ones(count)], -1)
    return K, seen * scale[:, None, None] * aspect[:, None] + corner[:, None]


def draw_hands(
    generator: np.random.Generator,
    model: HandModel,
    count: int,
    size: int,
    framing: Framing = FRAMINGS["hands"],
    build: int = 0,
) -> Views:
    """`count` posed hands, each seen by a camera of its own in a crop of `size` pixels, on the CPU.

    More are drawn than needed; the first that have enough joints inside the picture are kept. `build` is as in `draw_shapes`.
    """
    drawn: list[tuple[Views, Tensor]] = []
    found = 0
    while found < count:
        views, usable = _candidates(generator, model, count + count // 3 + 4, size, framing, build)
        chosen = torch.from_numpy(np.flatnonzero(usable)[: count - found])
        drawn.append((views, chosen))
        found += len(chosen)
    number = np.arange(count)
    held = [views.held[chosen] for views, chosen in drawn if views.held is not None]
    return Views(
        concatenate_poses([views.pose[chosen] for views, chosen in drawn]),
        torch.cat([views.K[chosen] for views, chosen in drawn]),
        number,
        0 * number,
        0 * number,
        np.concatenate([views.turn[chosen.numpy()] for views, chosen in drawn]),
        held=join_fields(held) if held else None,
    )
