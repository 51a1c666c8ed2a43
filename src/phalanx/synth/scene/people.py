"""Persons and pairs of arms in front of a camera, for finding hands in full frames; the arms end in the hand model.

A person has a body of simple solids. A pair of arms has none: it reaches into the frame from beyond its border, as arms do in
photographs; the camera stands in front of the person, on their head, or anywhere.

Both give two pictures: the frame for the right hand, and its mirror image, in which the left hand is a right one. Labels of the
mirror image are in the mirrored camera's frame.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from phalanx.core.records import join_fields, map_fields
from phalanx.hand.anatomy import angles_to_rotations
from phalanx.hand.model import HandModel, HandPose, HandSurface, concatenate_poses
from phalanx.hand.pose_space import sample_angles
from phalanx.render.solids import CAPSULE, ELLIPSOID, Solids, signed_distance
from phalanx.synth.paint.dress import FOREARM_FROM
from phalanx.synth.paint.solids import SolidLook, draw_looks
from phalanx.synth.paint.surface import Topology
from phalanx.synth.scene.hands import Views, about_axis, draw_shapes

UPPER_ARM, LOWER_ARM = 0.29, 0.26  # metres, between the joints
_NEAREST = 0.25  # metres: no part of an arm comes nearer to the camera
_SHOULDER = np.array([-0.19, 0.03, 0.0])  # the right one; the person looks along -z, y is down
_BODY = (  # part, paint, kind, half sizes, centre; metres, from the base of the neck
    ("head", "skin", ELLIPSOID, (0.075, 0.11, 0.095), (0.0, -0.235, -0.025)),
    ("hair", "hair", ELLIPSOID, (0.083, 0.1, 0.096), (0.0, -0.265, 0.012)),
    ("chest", "cloth", ELLIPSOID, (0.185, 0.3, 0.115), (0.0, 0.24, 0.02)),
    ("hips", "trousers", ELLIPSOID, (0.16, 0.17, 0.12), (0.0, 0.55, 0.02)),
)
_LIMBS = (  # part, paint, radius, ends
    ("neck", "skin", 0.056, (0.0, -0.17, 0.0), (0.0, 0.02, 0.0)),
    ("shoulders", "cloth", 0.065, (-0.15, 0.04, 0.01), (0.15, 0.04, 0.01)),
    ("right leg", "trousers", 0.085, (-0.09, 0.6, 0.02), (-0.12, 1.4, 0.04)),
    ("left leg", "trousers", 0.085, (0.09, 0.6, 0.02), (0.12, 1.4, 0.04)),
)
PAINTS = (*(part[1] for part in _BODY), *(part[1] for part in _LIMBS), "arm", "arm", "forearm", "forearm")
"""What the solids of a body are painted with, in their order: the last are upper arms and elbows, the picture's own side first."""

_ARMS = 4  # solids of both arms
_OWN_ARM, _OWN_ELBOW = -4, -2  # of the picture's own side
_HEAD = np.array([0.0, -0.23, -0.12])  # where the camera of a person who looks at their own hands is
_RING = 0.015  # metres of the rest hand above its lowest point within which the forearm is cut off, aslant
_APART = 0.015  # metres: joints of a hand are this far from whatever is not their own arm


@dataclass
class _Arms:
    """Right arms of N persons in their persons' frames; metres."""

    elbow: np.ndarray  # (N, 3)
    wrist: np.ndarray  # (N, 3)
    forearm: np.ndarray  # (N, 3, 3) from the forearm's frame, whose y points to the wrist


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def _draw_arms(generator: np.random.Generator, count: int) -> _Arms:
    """Arms raised to the front, hanging, or anywhere; elbows below and outside, palms more often to the front."""
    way = generator.normal(size=(count, 3)) * 0.55
    kind = generator.random((count, 1))
    way += np.where(kind < 0.7, [-0.1, -0.1, -0.9], np.where(kind < 0.85, [-0.15, 1.2, -0.1], [0.0, 0.0, 0.0]))
    reach = np.minimum(generator.uniform(0.22, 0.56, count), UPPER_ARM + LOWER_ARM - 0.01)
    reach = np.where(kind[:, 0] < 0.7, reach, np.maximum(reach, 0.42))
    way = _unit(way)
    wrist = _SHOULDER + reach[:, None] * way
    # The elbow lies on a circle about the line from shoulder to wrist.
    along = (UPPER_ARM**2 - LOWER_ARM**2 + reach**2) / (2 * reach)
    radius = np.sqrt(np.maximum(UPPER_ARM**2 - along**2, 0.0))
    outside = np.array([-0.5, 1.0, 0.3]) + generator.normal(0, 0.35, (count, 3))
    outside = _unit(outside - (outside * way).sum(1, keepdims=True) * way)
    elbow = _SHOULDER + along[:, None] * way + radius[:, None] * outside
    y = _unit(wrist - elbow)
    z = np.array([0.2, -0.1, -1.0]) * generator.choice([0.0, 1.5], (count, 1), p=[0.4, 0.6]) + generator.normal(
        size=(count, 3)
    )
    x = _unit(np.cross(y, z))
    return _Arms(elbow, wrist, np.stack([x, y, np.cross(x, y)], -1))


@dataclass
class _Stand:
    """How N persons stand before their cameras."""

    scale: np.ndarray  # (N,) persons of other sizes
    turn: np.ndarray  # (N, 3, 3) person -> camera
    neck: np.ndarray  # (N, 3) metres, in the camera's frame
    tangent: np.ndarray  # (N,) of half the field of view


def draw_people(
    generator: np.random.Generator, model: HandModel, people: int, size: int, build: int = 0, nearest: float = 0.0
) -> Views:
    """`people` persons, each in front of a camera of their own, in frames of `size` pixels with one or both hands; on the CPU.

    Args:
        build: as in `hands.draw_shapes`.
        nearest: metres; no hand comes nearer to the camera.

    Returns:
        Two pictures of each person, one after the other, with `body` in each picture's frame.
    """

    def propose(count: int) -> tuple[HandPose, Tensor, Solids, Tensor]:
        stand = _whole_persons(generator, count)
        arms = [_draw_arms(generator, count) for _ in range(2)]  # the second of the mirrored person
        pose, K, body = _posed(generator, stand, arms, size, build)
        return pose, K, body, torch.ones(count, dtype=torch.bool)

    return _usable(propose, model, people, size, max(nearest, _NEAREST))


def draw_arms(
    generator: np.random.Generator, model: HandModel, people: int, size: int, build: int = 0, nearest: float = 0.0
) -> Views:
    """The arms of `people` persons, without shoulders; arguments and result as of `draw_people`, but `body` holds only upper arms and
    elbows."""

    def propose(count: int) -> tuple[HandPose, Tensor, Solids, Tensor]:
        arms = [_draw_arms(generator, count) for _ in range(2)]
        stand = _close_cameras(generator, arms)
        pose, K, body = _posed(generator, stand, arms, size, build)
        return pose, K, body[:, -_ARMS:], torch.as_tensor(_leave_the_frame(stand, arms))

    return _usable(propose, model, people, size, max(nearest, _NEAREST))


def _usable(
    propose: Callable[[int], tuple[HandPose, Tensor, Solids, Tensor]],
    model: HandModel,
    people: int,
    size: int,
    nearest: float,
) -> Views:
    """The first `people` persons with at least one whole hand in the frame and clear hands.

    Args:
        propose: gives so many persons: poses, cameras, solids, and whether each may be kept.
        nearest: metres; no joint comes nearer to the camera.
    """
    kept: list[tuple[HandPose, Tensor, Solids]] = []
    while len(kept) < people:
        pose, K, body, good = propose(people - len(kept) + 4)
        joints = model.joints(pose)
        pixels = joints @ K.mT
        pixels = pixels[..., :2] / pixels[..., 2:]
        inside = ((pixels > 0) & (pixels < size - 1)).all(-1).all(-1).view(-1, 2)
        others = [i for i in range(-body.centre.shape[1], 0) if i not in (_OWN_ARM, _OWN_ELBOW)]
        into = signed_distance(body[:, others], joints)[..., 1:].amin((1, 2))  # but the wrist
        clear = (into > _APART) & (joints[..., 2].amin(1) > nearest)
        both = joints.unflatten(0, (-1, 2))
        between = torch.cdist(both[:, 0], both[:, 1] * torch.tensor([-1.0, 1.0, 1.0])).amin((1, 2))
        good = good & inside.any(1) & clear.view(-1, 2).all(1) & (between > _APART)
        for i in good.nonzero()[:, 0].tolist():
            rows = slice(2 * i, 2 * i + 2)
            kept.append((pose[rows], K[rows], body[rows]))
    chosen = kept[:people]
    hand, view = (grid.reshape(-1) for grid in np.indices((people, 2)))
    return Views(
        concatenate_poses([pose for pose, _, _ in chosen]),
        torch.cat([K for _, K, _ in chosen]),
        hand,
        0 * hand,
        view,
        np.zeros(2 * people),
        body=join_fields([body for _, _, body in chosen]),
    )


def _whole_persons(generator: np.random.Generator, count: int) -> _Stand:
    """Persons who face their cameras, in frames that show up to all of them."""
    scale = generator.normal(1.0, 0.06, count).clip(0.85, 1.15)  # persons of other sizes: seen from nearer or farther
    tangent = np.tan(0.5 * np.deg2rad(generator.uniform(35, 78, count)))
    high = np.exp(generator.uniform(np.log(0.7), np.log(1.9), count))  # metres of the person that the frame shows
    far = np.maximum(0.5 * high / tangent, 0.75)
    yaw = generator.normal(0, np.deg2rad(25), count)
    lean = about_axis("z", generator.normal(0, np.deg2rad(4), count)) @ about_axis(
        "x", generator.normal(0, np.deg2rad(8), count)
    )
    neck = np.stack([generator.normal(0, 0.13 * high), generator.normal(-0.12 * high, 0.1 * high), far], -1)
    return _Stand(scale, lean @ about_axis("y", yaw), neck, tangent)


def _close_cameras(generator: np.random.Generator, arms: list[_Arms]) -> _Stand:
    """Cameras that look at the hands of persons: from before them, from their heads, or from anywhere."""
    count = len(arms[0].wrist)
    scale = generator.normal(1.0, 0.06, count).clip(0.85, 1.15)
    hands = [arm.wrist + 0.09 * arm.forearm[..., 1] for arm in arms]
    hands[1] = hands[1] * [-1, 1, 1]
    share = generator.choice([0.0, 0.5, 1.0], (count, 1))  # at one hand, or between the two
    goal = hands[0] * share + hands[1] * (1 - share) + generator.normal(0, 0.06, (count, 3))
    kind = generator.random(count)
    own = (kind >= 0.5) & (kind < 0.8)
    before = np.array([0.0, 0.0, 1.0]) + generator.normal(0, 0.35, (count, 3))
    way = np.where((kind < 0.5)[:, None], before, generator.normal(size=(count, 3)))
    head = _HEAD + generator.normal(0, 0.05, (count, 3))
    way = _unit(np.where(own[:, None], goal - head, way))
    field = np.where(own, generator.uniform(60, 100, count), generator.uniform(35, 78, count))
    tangent = np.tan(0.5 * np.deg2rad(field))
    high = np.exp(generator.uniform(np.log(0.3), np.log(1.2), count))  # metres across the frame at the hands
    far = np.where(own, np.linalg.norm(goal - head, axis=1), np.maximum(0.5 * high / tangent, 0.35))
    x = _unit(np.cross([0.0, 1.0, 0.0], way))
    level = np.stack([x, np.cross(way, x), way], 1)  # person -> a camera that is held upright
    turn = about_axis("z", generator.normal(0, np.deg2rad(10), count)) @ level
    neck = (turn @ (far[:, None] * way - goal)[..., None])[..., 0] * scale[:, None]
    return _Stand(scale, turn, neck, tangent)


def _leave_the_frame(stand: _Stand, arms: list[_Arms]) -> np.ndarray:
    """Whether `(N,)` both shoulders lie beyond the frame, and no upper arm comes close to the camera."""
    leave = np.ones(len(stand.scale), bool)
    for arm, side in zip(arms, ([1, 1, 1], [-1, 1, 1]), strict=True):
        share = np.linspace(0, 1, 9)[:, None]
        points = (_SHOULDER * (1 - share) + arm.elbow[:, None] * share) * side  # (N, 9, 3)
        seen = (stand.scale[:, None, None] * points) @ stand.turn.transpose(0, 2, 1) + stand.neck[:, None]
        shoulder = seen[:, 0]
        edge = stand.tangent * shoulder[:, 2] + 0.06 * np.hypot(1.0, stand.tangent)  # how far out the frame's border is
        leave &= (shoulder[:, 2] < 0) | (np.abs(shoulder[:, :2]).max(1) > edge)
        leave &= np.linalg.norm(seen, axis=2).min(1) > _NEAREST
    return leave


def _posed(
    generator: np.random.Generator, stand: _Stand, arms: list[_Arms], size: int, build: int
) -> tuple[HandPose, Tensor, Solids]:
    """Poses (2 N), cameras (2 N, 3, 3) and bodies (2 N, M) of N persons, each right hand followed by the mirrored left one.

    Args:
        arms: right arms of the persons and of the mirrored persons.
    """
    count, scale = len(stand.scale), stand.scale
    K = np.zeros((count, 3, 3))
    K[:, 0, 0] = K[:, 1, 1] = 0.5 * size / stand.tangent
    K[:, :2, 2], K[:, 2, 2] = 0.5 * (size - 1), 1.0  # in the middle, so that the mirrored camera is the same
    flip = np.diag([-1.0, 1.0, 1.0])
    shape = draw_shapes(generator, count, build)
    angles = torch.as_tensor(sample_angles(generator, 2 * count), dtype=torch.float32)
    rotations = angles_to_rotations(angles)  # (2 N, 16, 3, 3)
    wrist_turn = rotations[:, 0].double().numpy()
    poses, bodies = [], []
    for side in range(2):
        to_camera = stand.turn if side == 0 else flip @ stand.turn @ flip
        at = stand.neck if side == 0 else stand.neck @ flip
        own, other = arms[side], arms[1 - side]
        forearm = to_camera @ own.forearm
        orientation = forearm @ wrist_turn[side::2].transpose(0, 2, 1)
        translation = at + (to_camera @ own.wrist[..., None])[..., 0] * scale[:, None]
        poses.append(
            HandPose(
                rotations[side::2],
                shape,
                torch.as_tensor(orientation, dtype=torch.float32),
                torch.as_tensor(translation, dtype=torch.float32),
            )
        )
        bodies.append(_body(own, other.elbow @ flip, scale, to_camera, at))
    cameras = torch.as_tensor(K, dtype=torch.float32).repeat_interleave(2, 0)
    return join_fields(poses, _by_turns), cameras, join_fields(bodies, _by_turns)


def to_elbow(surface: HandSurface, topology: Topology, body: Solids) -> Tensor:
    """Factors `(B,)` by which to stretch forearms (`dress.dress`), so that they end in the middle of their elbows."""
    y = topology.rest[:, 1]  # (V,)
    ring = y < y.amin() + _RING  # where the model's forearm is cut off
    arm = surface.transforms[:, 1, :3, 1]  # (B, 3) up the forearm
    along = ((surface.vertices[:, ring].mean(1) - body.centre[:, _OWN_ELBOW]) * arm).sum(-1)  # still to go
    return 1.0 + along / (FOREARM_FROM - y[ring].mean())


def _by_turns(parts: list[Tensor]) -> Tensor:
    """Rows (N, ...) of several tensors interleaved: (2 N, ...) of two."""
    return torch.stack(parts, 1).flatten(0, 1)


def _body(own: _Arms, other_elbow: np.ndarray, scale: np.ndarray, to_camera: np.ndarray, at: np.ndarray) -> Solids:
    """Solids (N, M) of bodies, whose right arm is `own`, in the camera's frame; the other arm's elbow in the person's frame."""
    count = len(scale)
    kind, half, rotation, centre = [], [], [], []
    for _, _, form, sizes, middle in _BODY:
        kind.append(form)
        half.append(np.tile(sizes, (count, 1)))
        rotation.append(np.tile(np.eye(3), (count, 1, 1)))
        centre.append(np.tile(middle, (count, 1)))
    shoulders = np.tile(_SHOULDER, (count, 1)), np.tile(_SHOULDER * [-1, 1, 1], (count, 1))
    limbs = [(radius, np.tile(a, (count, 1)), np.tile(b, (count, 1))) for _, _, radius, a, b in _LIMBS]
    limbs += [(0.05, shoulders[0], own.elbow), (0.05, shoulders[1], other_elbow)]
    limbs += [(0.043, elbow, elbow + [0, 1e-3, 0]) for elbow in (own.elbow, other_elbow)]
    for radius, a, b in limbs:
        length = np.linalg.norm(b - a, axis=1, keepdims=True)
        z = (b - a) / length
        x = _unit(np.cross(z, np.where(np.abs(z[:, :1]) < 0.9, [1.0, 0.0, 0.0], [0.0, 1.0, 0.0])))
        kind.append(CAPSULE)
        half.append(np.concatenate([np.full((count, 2), radius), 0.5 * length + radius], 1))
        rotation.append(np.stack([x, np.cross(z, x), z], -1))
        centre.append(0.5 * (a + b))
    turned = to_camera[:, None] @ np.stack(rotation, 1)
    moved = at[:, None] + scale[:, None, None] * (np.stack(centre, 1) @ to_camera.transpose(0, 2, 1))
    return Solids(
        torch.tensor(kind).expand(count, -1).clone(),
        *(
            torch.as_tensor(array, dtype=torch.float32)
            for array in (scale[:, None, None] * np.stack(half, 1), turned, moved)
        ),
    )


def paint_people(
    generator: np.random.Generator, body: Solids, skin: np.ndarray, cloth: np.ndarray, sleeved: np.ndarray
) -> SolidLook:
    """Paint for the bodies, or arms alone, of B pictures, two of each person.

    Args:
        body: (B, M) solids.
        skin, cloth: (B, 3) log reflectance, as of the hand and its sleeve.
        sleeved: (B,) whether sleeves reach the forearm.
    """
    first = draw_looks(generator, body[::2])
    look = map_fields(first, lambda array: np.repeat(array, 2, axis=0))
    people = len(skin) // 2
    hair = np.log(np.array([[0.012, 0.009, 0.007], [0.05, 0.025, 0.012], [0.25, 0.16, 0.07], [0.3, 0.29, 0.28]]))
    hair = np.repeat(hair[generator.integers(0, len(hair), people)] + generator.normal(0, 0.2, (people, 1)), 2, axis=0)
    bare = np.repeat(generator.random(people) < 0.15, 2)
    look.print[..., 0], look.trim[:] = 3.0, 2.0
    look.paint[:, :, 3] = 0.0  # nothing shines
    bare_arm, bare_forearm = (~sleeved & bare)[:, None], ~sleeved[:, None]
    colours = {
        "skin": skin,
        "hair": hair,
        "cloth": cloth,
        "arm": np.where(bare_arm, skin, cloth),
        "forearm": np.where(bare_forearm, skin, cloth),
    }
    paints = PAINTS[-body.centre.shape[1] :]
    for i, paint in enumerate(paints):
        if paint in colours:
            look.paint[:, i, :3, 0] = np.exp(colours[paint])
    trousers = [i for i, paint in enumerate(paints) if paint == "trousers"]
    look.paint[:, trousers] = look.paint[:, trousers[:1]]  # of any colour, but one
    return look


def hand_boxes(pixels: Tensor, masks: Tensor) -> Tensor:
    """Boxes `(B, 4)` of hands as x, y, width, height in pixels from the frame's edge, cut off at the frame.

    A box holds the whole surface of the hand, hidden parts too, and gloves; it is all 0 if nothing of the hand is seen.

    Args:
        pixels: `(B, V, 2)` of the hand's surface.
        masks: `(B, S, S)` what is seen of it.
    """
    size = masks.shape[-1]
    low, high = ((bound + 0.5).clamp(0.0, size) for bound in (pixels.amin(1), pixels.amax(1)))
    seen = masks.flatten(1).sum(1) >= 1
    # Gloves stand off the skin.
    line = torch.arange(size, device=masks.device, dtype=pixels.dtype)
    for axis, shown in enumerate(((masks > 0).any(1), (masks > 0).any(2))):  # columns, rows
        first = torch.where(shown, line, float(size)).amin(1)
        last = torch.where(shown, line + 1.0, 0.0).amax(1)
        low[:, axis], high[:, axis] = torch.minimum(low[:, axis], first), torch.maximum(high[:, axis], last)
    return torch.cat([low, high - low], 1) * seen[:, None]


def mirrored_boxes(boxes: Tensor, size: int) -> Tensor:
    """The same boxes `(B, 4)` in mirrored frames of `size` pixels."""
    x, y, width, height = boxes.unbind(1)
    return torch.stack([torch.where(width > 0, size - x - width, 0.0), y, width, height], 1)
