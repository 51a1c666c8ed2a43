"""People as they stand, sit and lean, with both hands at what they do: bodies by angles, arms by inverse kinematics.

Everything is in the frame of each person: metres, origin at the base of the neck; they look along -z, y is down, +x is their left. Of every
two arms the second is a left one, solved in a mirror.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from phalanx.core.seeding import generator as stream_generator
from phalanx.geometry.rotations import rotvec_to_rotmat
from phalanx.hand.anatomy import angles_to_rotations
from phalanx.hand.model import HandModel, HandPose
from phalanx.hand.pose_space import sample_angles
from phalanx.render.mesh import vertex_normals
from phalanx.synth.body.model import EXPRESSIONS, BodyModel, BodyPose, BodySurface
from phalanx.synth.scene.arms import Arms, cross, reach, unit
from phalanx.synth.scene.body_joints import BodyJoints, body_joints
from phalanx.synth.scene.hands import about_axis
from phalanx.synth.scene.targets import Anchors, Target, draw_targets, hanging, held, joined, style_angles, upon

MIRROR = np.array([-1.0, 1.0, 1.0])
_POSE_SEED = 20_261_130
_POSES = 768  # finger poses kept in memory
_HOLD = 0.25  # share of the hands that lie on nothing and hold something
_PUSHES = 2  # times that hands are moved out of bodies
_TWIST = (0.1, 1.0)  # of the forearm's turn, at its elbow and beyond
_NEAR, _DEEPEST = 0.24, 0.16  # metres: from a hand to skin that counts, and of a joint inside a body
_FLESH = 0.009  # metres: half a finger


@dataclass
class Trunks:
    """P people without what their arms do.

    Attributes:
        pose: of the body; surface: of it, in the people's frames, with arms as at rest.
        sitting: (P,) bool; floor: (P,) height of the lowest point.
    """

    pose: BodyPose
    surface: BodySurface
    sitting: np.ndarray
    floor: np.ndarray


@dataclass
class Beside:
    """Somebody `other` beside a `person`, in whose frame points of the other's frame are `scale * turn @ point + place`."""

    person: int
    other: int
    turn: np.ndarray
    place: np.ndarray
    scale: float


@dataclass
class Stance:
    """What P people find around them, in their own frames, in metres of bodies of the model's size.

    Attributes:
        kind: P names in `targets.SHARES`.
        table: (P,) height of a table before them, NaN: none.
        camera: (P, 3) where the camera is.
        beside: pairs of people who stand side by side.
    """

    kind: list[str]
    table: np.ndarray
    camera: np.ndarray
    beside: list[Beside]


@dataclass
class People:
    """P posed people in their own frames, of the model's size: their bodies, and 2 P right hands, a right and a left one of each person
    by turns, left ones in the mirror; `held (2 P,)` are the numbers of their grasps, -1: of none."""

    surface: BodySurface
    hands: HandPose
    held: np.ndarray


@lru_cache(maxsize=1)
def finger_poses() -> np.ndarray:
    """Some poses of fingers of all kinds `(N, 23)` in degrees, the same in every process."""
    return np.rad2deg(sample_angles(stream_generator(_POSE_SEED), _POSES).double().numpy())


def draw_trunks(generator: np.random.Generator, body: BodyModel, sitting: np.ndarray) -> Trunks:
    """People who stand, or sit `(P,)`."""
    count, joints = len(sitting), body_joints(body)
    shape = generator.normal(size=(count, body.shape_basis.shape[2])).clip(-2.2, 2.2)
    pose = BodyPose(
        _draw_rotations(generator, body, joints, sitting),
        torch.as_tensor(shape, dtype=torch.float32),
        torch.as_tensor(_draw_expressions(generator, count), dtype=torch.float32),
        torch.eye(3).repeat(count, 1, 1),
        torch.zeros(count, 3),
        torch.ones(count),
    )
    surface = body(pose)
    return Trunks(pose, surface, sitting, surface.vertices[..., 1].amax(1).double().numpy())


def pose_people(
    generator: np.random.Generator,
    body: BodyModel,
    hand: HandModel,
    trunks: Trunks,
    stance: Stance,
    shapes: Tensor,
    grasps: np.ndarray | None = None,
) -> People:
    """What people do with their arms.

    Args:
        shapes: (2 P, 10) of their hands.
        grasps: (M, 23) angles in degrees of hands that hold something; none: nobody does.
    """
    joints, trunk = body_joints(body), trunks.surface
    anchors = _anchors(body, joints, trunks, stance)
    targets: list[Target] = []
    for kind, right, left in zip(stance.kind, anchors[::2], anchors[1::2], strict=True):
        targets += draw_targets(generator, kind, right, left)
    _meet(generator, targets, anchors)
    _touch_others(generator, targets, anchors, stance.beside)
    angles = np.stack([style_angles(generator, target.style, finger_poses()) for target in targets])
    held = _take_things(generator, targets, angles, grasps)
    loose = generator.normal(0, 0.12, len(targets))
    arms = _reach(joints, trunk, anchors, targets, loose)
    _lay_on_arms(generator, targets, arms)
    for _ in range(_PUSHES):
        arms = _reach(joints, trunk, anchors, targets, loose)
        _push_out(hand, shapes, angles, arms, targets, anchors)
    arms = _reach(joints, trunk, anchors, targets, loose)
    rest = body.joint_positions(trunks.pose.shape).double().numpy()
    rotations = _with_arms(joints, rest, trunk, trunks.pose.rotations, arms)
    return People(body(replace(trunks.pose, rotations=rotations)), _hands(angles, arms, shapes), held)


def _take_things(
    generator: np.random.Generator, targets: list[Target], angles: np.ndarray, grasps: np.ndarray | None
) -> np.ndarray:
    """Some of the free hands hold something: their grasps (N,), -1 for none; `angles (N, 23)` change in place."""
    chosen, which = generator.random(len(targets)) < _HOLD, generator.integers(0, 1 << 30, len(targets))
    held = np.full(len(targets), -1)
    if grasps is None or not len(grasps):
        return held
    for i, target in enumerate(targets):
        if chosen[i] and not target.contact and target.style in ("any", "hanging"):
            held[i] = which[i] % len(grasps)
            angles[i] = grasps[held[i]]
    return held


def _draw_expressions(generator: np.random.Generator, count: int) -> np.ndarray:
    """Faces (count, E): some are at rest, most smile or speak a little, few do more."""
    amount = generator.random((count, len(EXPRESSIONS))) ** 4 * np.where(generator.random((count, 1)) < 0.3, 0.2, 0.8)
    smile, aside, closed = (EXPRESSIONS.index(name) for name in ("smile", "mouth_aside", "eyes_closed"))
    amount[:, smile] = np.where(generator.random(count) < 0.4, generator.uniform(0.2, 0.9, count), 0.0)
    amount[:, aside] *= generator.choice([-0.7, 0.7], count)
    amount[:, closed] = np.where(generator.random(count) < 0.06, 1.0, 0.3 * amount[:, closed])
    return amount


def _draw_rotations(generator: np.random.Generator, body: BodyModel, joints: BodyJoints, sitting: np.ndarray) -> Tensor:
    """Local rotations (P, J, 3, 3) of everything but the arms."""
    count = len(sitting)
    turned: dict[int, np.ndarray] = {}

    def turn(names: tuple[int, ...], pitch: np.ndarray, yaw: np.ndarray, roll: np.ndarray) -> None:
        share = 1.0 / max(len(names), 1)
        for name in names:
            turned[name] = about_axis("y", yaw * share) @ about_axis("x", pitch * share) @ about_axis("z", roll * share)

    def normal(degrees: float) -> np.ndarray:
        return np.deg2rad(generator.normal(0, degrees, count))

    lean = np.deg2rad(np.where(sitting, generator.normal(6, 9, count), generator.normal(2, 5, count)))
    turn(joints.spine, lean, normal(7), normal(4))
    turn(joints.neck, np.deg2rad(generator.normal(6, 11, count)) - 0.6 * lean, normal(22), normal(7))
    for side in (0, 1):
        sign = 1.0 if side else -1.0
        spread = -sign * np.abs(np.deg2rad(generator.normal(4, 5, count)))  # legs apart
        thigh = np.where(sitting, -np.deg2rad(generator.normal(84, 6, count)), -np.abs(normal(5)))
        knee = np.where(sitting, np.deg2rad(generator.normal(82, 12, count)), np.abs(normal(6)))
        turn(joints.thigh[side], thigh, spread * sitting * 2.0, spread * ~sitting)
        turn(joints.shin[side], knee, 0 * knee, 0 * knee)
    rotations = torch.eye(3).repeat(count, len(body.rest_joints), 1, 1)
    for name, rotation in turned.items():
        rotations[:, name] = torch.as_tensor(rotation, dtype=torch.float32)
    return rotations


def _anchors(body: BodyModel, joints: BodyJoints, trunks: Trunks, stance: Stance) -> list[Anchors]:
    """What each arm finds, right and left one of each person by turns, in the frames of its own side."""
    trunk = trunks.surface
    at, skin = trunk.joints.double().numpy(), trunk.vertices[:, joints.trunk_vertices].double().numpy()
    normals = vertex_normals(trunk.vertices, body.faces)[:, joints.trunk_vertices].double().numpy()
    turn = trunk.transforms[..., :3, :3].double().numpy()
    rest_head = joints.rest[joints.head]
    skins, outwards = ((values, values * MIRROR) for values in (skin, normals))
    found = []
    for person in range(len(at)):
        head = turn[person, joints.head]
        eyes = at[person, joints.head] + head @ (joints.eyes - rest_head)
        for side in (0, 1):
            flip = MIRROR if side else np.ones(3)
            shoulder, elbow, wrist = (
                at[person, chain[side]] for chain in (joints.shoulder, joints.elbow, joints.wrist)
            )
            table = stance.table[person]
            found.append(
                Anchors(
                    shoulder=shoulder * flip,
                    other_shoulder=at[person, joints.shoulder[1 - side]] * flip,
                    hip=at[person, joints.hip[side]] * flip,
                    knee=at[person, joints.knee[side]] * flip,
                    pelvis=at[person, list(joints.hip)].mean(0) * flip,
                    reach=float(np.linalg.norm(elbow - shoulder) + np.linalg.norm(wrist - elbow)),
                    head=np.diag(flip) @ head @ np.diag(flip),
                    eyes=eyes * flip,
                    skin=skins[side][person],
                    normals=outwards[side][person],
                    parts=joints.trunk_parts,
                    table=None if np.isnan(table) else float(table),
                    camera=stance.camera[person] * flip,
                    sitting=bool(trunks.sitting[person]),
                )
            )
    return found


def _meet(generator: np.random.Generator, targets: list[Target], anchors: list[Anchors]) -> None:
    """Some people's two hands do one thing: meet, lie in each other, or do the same on both sides."""
    for person in range(len(targets) // 2):
        right, left = 2 * person, 2 * person + 1
        chance, body = generator.random(), anchors[right]
        if chance < 0.12:  # the same on both sides
            targets[left] = targets[right]
        elif chance < 0.22:
            level = generator.uniform(0.1, 0.45)
            middle = np.array([0.0, level, body.shoulder[2] - generator.uniform(0.24, 0.4)])
            if body.table is not None:
                middle[1] = min(middle[1], body.table - 0.05)
            up = unit(np.array([0.0, generator.uniform(-1.0, 0.4), -generator.uniform(0.2, 1.0)]))
            style = str(generator.choice(["clasping", "praying"], p=[0.7, 0.3]))
            targets[right] = joined(middle, up, style)
            targets[left] = joined(middle, up, style)
        elif chance < 0.27:  # one hand alone is seen, the other hangs
            targets[left if generator.random() < 0.5 else right] = hanging(generator, body)


def _touch_others(
    generator: np.random.Generator, targets: list[Target], anchors: list[Anchors], beside: list[Beside]
) -> None:
    """Some hands lie on a shoulder of somebody beside, or hold their hand."""
    for pair in beside:
        chance = generator.random()
        side = 1 if pair.place[0] > 0 else 0  # the arm on the other's side
        flip = MIRROR if side else np.ones(3)
        own, body = 2 * pair.person + side, anchors[2 * pair.person + side]
        if chance < 0.12:
            shoulders = [anchors[2 * pair.other + k].shoulder * (MIRROR if k else 1.0) for k in (0, 1)]
            points = [(pair.scale * pair.turn @ point + pair.place) * flip for point in shoulders]
            point = min(points, key=lambda place: float(np.linalg.norm(place - body.shoulder)))
            if np.linalg.norm(point - body.shoulder) < 0.95 * body.reach:
                point = point + [generator.normal(0, 0.02), -0.055, 0.0]
                targets[own] = upon(generator, point, np.array([0.1, -1.0, 0.1]), np.array([-0.5, 0.2, -0.8]))
        elif chance < 0.2:
            other = 2 * pair.other + 1 - side
            theirs = anchors[other]
            middle = 0.5 * (
                body.shoulder * flip + pair.place + pair.scale * pair.turn @ (theirs.shoulder * (1 if side else MIRROR))
            )
            middle = middle + [0.0, 0.48, -0.05]
            back = pair.turn.T @ (middle - pair.place) / pair.scale
            targets[own] = held(generator, body, middle * flip)
            targets[other] = held(generator, theirs, back * (1 if side else MIRROR))


def _lay_on_arms(generator: np.random.Generator, targets: list[Target], arms: Arms) -> None:
    """Some hands lie on the other arm: on wrist, forearm, elbow or hand."""
    for person in range(len(targets) // 2):
        if generator.random() < 0.08:
            own, other = (2 * person, 2 * person + 1) if generator.random() < 0.5 else (2 * person + 1, 2 * person)
            share = generator.uniform(0.1, 1.1)
            along = (arms.wrist[other] - arms.elbow[other]) * MIRROR
            point = arms.elbow[other] * MIRROR + share * along
            normal = unit(np.array([-0.2, -0.5, -1.0]) + generator.normal(0, 0.4, 3))
            normal = unit(normal - (normal @ unit(along)) * unit(along))
            fingers = cross(normal, unit(along)) * (1 if generator.random() < 0.8 else -1)
            targets[own] = upon(generator, point + 0.033 * normal, normal, fingers)


def _reach(
    joints: BodyJoints, trunk: BodySurface, anchors: list[Anchors], targets: list[Target], loose: np.ndarray
) -> Arms:
    """Right arms, and left ones in the mirror, for the targets; longer or shorter ones where people are."""
    at = trunk.joints.double().numpy()
    chest = trunk.transforms[:, joints.chest, :3, :3].double().numpy()
    lengths = np.stack(
        [
            [np.linalg.norm(at[:, b[side]] - at[:, a[side]], axis=1) for side in (0, 1)]
            for a, b in ((joints.shoulder, joints.elbow), (joints.elbow, joints.wrist))
        ],
        -1,
    )  # (2, P, 2)
    flip = np.diag(MIRROR)
    down = np.stack([chest, flip @ chest @ flip], 1).reshape(-1, 3, 3)
    return reach(
        np.stack([anchor.shoulder for anchor in anchors]),
        lengths.swapaxes(0, 1).reshape(-1, 2),
        np.stack([target.wrist for target in targets]),
        np.stack([target.palm for target in targets]),
        down,
        loose,
    )


def _hands(angles: np.ndarray, arms: Arms, shapes: Tensor) -> HandPose:
    """Hands at the ends of arms; `angles (N, 23)` in degrees of their fingers."""
    fingers = torch.as_tensor(np.deg2rad(angles), dtype=torch.float32)
    fingers[:, :3] = 0.0
    rotations = angles_to_rotations(fingers)
    rotations[:, 0] = torch.as_tensor(arms.palm.transpose(0, 2, 1) @ arms.forearm, dtype=torch.float32)
    place = (torch.as_tensor(array, dtype=torch.float32) for array in (arms.palm, arms.wrist))
    return HandPose(rotations, shapes, *place)


def _push_out(
    hand: HandModel, shapes: Tensor, angles: np.ndarray, arms: Arms, targets: list[Target], anchors: list[Anchors]
) -> None:
    """Move targets of hands that are inside bodies, or tables, or in the other hand, out of them."""
    points = hand.joints(_hands(angles, arms, shapes)).double().numpy()[:, 1:]  # (N, 20, 3)
    for i, (target, body) in enumerate(zip(targets, anchors, strict=True)):
        target = targets[i] = replace(target, wrist=arms.wrist[i], palm=arms.palm[i])
        move = _out_of_skin(points[i], body, 0.003 if target.contact else 0.0)
        if body.table is not None and target.wrist[1] > body.table - 0.2:
            low = (points[i][:, 1] + _FLESH - body.table).max()
            move = move - np.array([0.0, max(low, 0.0), 0.0])
        other = points[i ^ 1] * MIRROR
        gap = points[i][:, None] - other
        close = np.linalg.norm(gap, axis=-1)
        if close.min() < 2 * _FLESH:
            aside = unit(points[i].mean(0) - other.mean(0))
            move = move + aside * 0.6 * (2 * _FLESH - close.min())
        if np.abs(move).max() > 1e-4:
            targets[i] = replace(target, wrist=target.wrist + move)


def _out_of_skin(points: np.ndarray, body: Anchors, soft: float) -> np.ndarray:
    """By what a hand with `points (K, 3)` is to be moved so that they are outside of the body, or no more than `soft` inside."""
    x, y, z = np.abs(body.skin - points.mean(0)).T < _NEAR
    near = np.flatnonzero(x & y & z)
    if not len(near):
        return np.zeros(3)
    skin = body.skin[near]
    x, y, z = (points[:, i, None] - skin[:, i] for i in range(3))  # (K, V)
    nearest = (x * x + y * y + z * z).argmin(1)
    normal, away = body.normals[near[nearest]], points - skin[nearest]
    depth = _FLESH - soft - (away * normal).sum(1)
    depth[np.linalg.norm(away, axis=1) > _DEEPEST] = 0.0
    return normal[depth.argmax()] * max(depth.max(), 0.0)


def _with_arms(joints: BodyJoints, rest: np.ndarray, trunk: BodySurface, rotations: Tensor, arms: Arms) -> Tensor:
    """`rotations (P, J, 3, 3)` with those of the arms; `rest (P, J, 3)` are the joints at rest."""
    rotations = rotations.clone()
    turn = trunk.transforms[..., :3, :3].double().numpy()
    for side in (0, 1):
        own = arms[np.arange(side, len(arms.wrist), 2)]
        flip = np.diag(MIRROR if side else np.ones(3))
        lower, hinge = own.forearm[..., 1], own.upper[..., 1]
        rest_upper, rest_lower, rest_hand = (frames.transpose(0, 2, 1) for frames in joints.rest_arms(rest, side))
        upper = own.upper @ rest_upper
        straight = np.stack([lower, hinge, cross(lower, hinge)], -1) @ rest_lower
        twisted = own.forearm @ rest_hand
        chain = [(joints.shoulder[side], upper)]
        chain += [
            (joint, _twist(straight, twisted, lower, share))
            for joint, share in zip(joints.forearm[side], _TWIST, strict=True)
        ]
        chain.append((joints.wrist[side], own.palm @ rest_hand))
        before = turn[:, joints.before_arm[side]]
        for joint, rotation in chain:
            world = flip @ rotation @ flip
            rotations[:, joint] = torch.as_tensor(before.transpose(0, 2, 1) @ world, dtype=torch.float32)
            before = world
    return rotations


def _twist(straight: np.ndarray, twisted: np.ndarray, axis: np.ndarray, share: float) -> np.ndarray:
    """Rotations (N, 3, 3) that share of the way from `straight` to `twisted`, which differ by a turn about the unit `axis (N, 3)`."""
    turn = twisted @ straight.transpose(0, 2, 1)
    sine = 0.5 * (
        (turn[:, 2, 1] - turn[:, 1, 2]) * axis[:, 0]
        + (turn[:, 0, 2] - turn[:, 2, 0]) * axis[:, 1]
        + (turn[:, 1, 0] - turn[:, 0, 1]) * axis[:, 2]
    )
    angle = share * np.arctan2(sine, 0.5 * (np.trace(turn, axis1=1, axis2=2) - 1.0))
    vector = torch.as_tensor(axis * angle[:, None])
    return rotvec_to_rotmat(vector).numpy() @ straight
