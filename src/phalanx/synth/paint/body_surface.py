"""Fixed facts about the body's surface that painting needs: seams, sections, where on the body each vertex is, extra surfaces for skirts
and long hair."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from phalanx.synth.body.model import JOINT, PARENTS, SIDES, BodyModel
from phalanx.synth.paint.body_textures import body_textures, sample
from phalanx.synth.paint.surface import area_normals, coarse_points, faces_around, split_seams

HEAD, TORSO, RIGHT_ARM, LEFT_ARM, RIGHT_LEG, LEFT_LEG, EYE, LOCKS, SKIRT = range(9)
"""Sections of the surface; the last two are extra."""
REACH = 0.5
"""Metres from shoulder to wrist, as `place` measures them."""
_ARMPIT = 0.1  # metres below the neck's base
_COARSE = 350
_EYEBALLS = 1  # of `BodyModel.regions`
CURTAIN = (21, 7)  # vertices of long hair around the head and down
TUBE = (24, 6)  # vertices of a skirt around the legs and down


@dataclass(frozen=True)
class BodyTopology:
    """Tables of the body model with its extra surfaces, on one device. V vertices are the body's; those of the extras follow them.

    Attributes:
        faces: (F, 3) int64, extras last, the first `body` of them the body's; outer: (O, 3) without the extras' inner sides.
        around: (V + X + Y, A) of the outer faces those around each vertex, O for none; around_body: (V, A) of the body's own, likewise.
        section: (1 + F,) int8 of each face; the first stands for no face, -1.
        split: (W,) vertex of each split vertex; split_faces: (F, 3) into them; split_uv: (W, 2).
        rest: (V, 3) template, body frame, metres.
        place: (6, V) where each is: x, y, z at rest; metres down the arm from its shoulder, on the trunk 0 or less; metres over the
            soles; texels inside the region where hair grows, far below 0 elsewhere than on the head.
        beard: (V,) texels inside the region where beards grow.
        closed: (V,) share of the sky that the body at rest keeps from each vertex.
        coarse, spread, spread_weights: as of `surface.Topology`.
        ball_joints: (S, 2) joints between which proxies lie; ball_share, ball_radius: (S,).
        eyes: (2, 3) middles of the right and the left eyeball at rest.
        locks: (X, 3) rest vertices of long hair of no length; scalp: (X,) the body's vertex nearest to each; fall: (X,) share of length.
        round_legs: (Y, 2) of each vertex of a skirt: angle, share of its length.
        toes: (2, T) vertices of the right and of the left foot that shoes bring to one form; toe_caps: (2, T, 3) by how much, at rest.
    """

    faces: Tensor
    outer: Tensor
    body: int
    around: Tensor
    around_body: Tensor
    section: Tensor
    split: Tensor
    split_faces: Tensor
    split_uv: Tensor
    rest: Tensor
    place: Tensor
    beard: Tensor
    closed: Tensor
    coarse: Tensor
    spread: Tensor
    spread_weights: Tensor
    ball_joints: Tensor
    ball_share: Tensor
    ball_radius: Tensor
    eyes: Tensor
    locks: Tensor
    scalp: Tensor
    fall: Tensor
    round_legs: Tensor
    toes: Tensor
    toe_caps: Tensor


@lru_cache(maxsize=4)
def body(device: str) -> tuple[BodyModel, BodyTopology]:
    """The open body and its tables on `device`, made once."""
    model = BodyModel.open_body()
    faces, rest = model.faces.numpy().astype(np.int64), model.template.numpy().astype(np.float64)
    uv, joints = model.uv.numpy().astype(np.float64), model.rest_joints.numpy().astype(np.float64)
    normals = area_normals(rest, faces)
    area = np.linalg.norm(normals, axis=1)
    normals /= area[:, None] + 1e-12
    arm = _down_the_arms(rest, joints, model.skin_weights.numpy())
    sections = _sections(rest[faces].mean(1), uv.mean(1), arm[faces].mean(1))
    sections[(model.regions.numpy()[faces] == _EYEBALLS).all(1)] = EYE
    locks, fall, lock_faces, lock_uv = _locks(rest)
    round_legs, tube_faces, tube_uv = _grid(*TUBE, closed=True)
    outer = [lock_faces + len(rest), tube_faces + len(rest) + len(locks)]
    extras = [np.concatenate([part, part[:, ::-1]]) for part in outer]  # seen from both sides
    uvs = [np.concatenate([part, part[:, ::-1]]) for part in (lock_uv, tube_uv)]
    split, split_faces, split_uv = split_seams(np.concatenate([faces, *extras]), np.concatenate([uv, *uvs]))
    sections = np.concatenate([[-1], sections, np.full(len(extras[0]), LOCKS), np.full(len(extras[1]), SKIRT)])
    coarse, spread, weights = coarse_points(rest, normals, _COARSE)
    ends, share, radius = _ball_proxies(rest, joints, model.parts.numpy())
    hair, beard = _grown(faces, uv, arm)
    toes, caps = _toe_caps(rest)

    def tensor(array: np.ndarray) -> Tensor:
        kind = torch.int64 if np.issubdtype(np.asarray(array).dtype, np.integer) else torch.float32
        return torch.as_tensor(np.ascontiguousarray(array), dtype=kind, device=device)

    return model.to(device), BodyTopology(
        faces=tensor(np.concatenate([faces, *extras])),
        outer=tensor(np.concatenate([faces, *outer])),
        body=len(faces),
        around=tensor(faces_around(np.concatenate([faces, *outer]), len(rest) + len(locks) + len(round_legs))),
        around_body=tensor(faces_around(faces, len(rest))),
        section=tensor(sections).to(torch.int8),
        split=tensor(split),
        split_faces=tensor(split_faces),
        split_uv=tensor(split_uv),
        rest=tensor(rest),
        place=tensor(np.stack([*rest.T, arm, rest[:, 1].max() - rest[:, 1], hair])),
        beard=tensor(beard),
        closed=tensor(_closed(rest, normals, area / 6.0)),
        coarse=tensor(coarse),
        spread=tensor(spread),
        spread_weights=tensor(weights),
        ball_joints=tensor(ends),
        ball_share=tensor(share),
        ball_radius=tensor(radius),
        eyes=tensor(joints[[JOINT["right_eye"], JOINT["left_eye"]]]),
        locks=tensor(locks),
        scalp=tensor(((locks[:, None] - rest[None]) ** 2).sum(-1).argmin(1)),
        fall=tensor(fall),
        round_legs=tensor(round_legs),
        toes=tensor(toes),
        toe_caps=tensor(caps),
    )


def _down_the_arms(rest: np.ndarray, joints: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Metres (V,) down the arm, scaled so that the wrist is at `REACH`; on the trunk below 0."""
    arm = np.zeros(len(rest))
    for side in SIDES:
        shoulder, elbow, wrist = (joints[JOINT[f"{side}_{name}"]] for name in ("shoulder", "elbow", "wrist"))
        upper, lower = (np.linalg.norm(b - a) for a, b in ((shoulder, elbow), (elbow, wrist)))
        along = (rest - shoulder) @ (elbow - shoulder) / upper
        beyond = (rest - elbow) @ (wrist - elbow) / lower
        down = np.where(along > upper, np.maximum(upper + beyond, upper), along) * REACH / (upper + lower)
        own = weights[:, [JOINT[f"{side}_{name}"] for name in ("shoulder", "elbow", "forearm", "wrist")]].sum(1) > 0.5
        inwards = np.minimum(np.abs(rest[:, 0]) - np.abs(shoulder[0]), _ARMPIT - rest[:, 1])
        same_side = rest[:, 0] * np.sign(shoulder[0]) >= 0
        near = np.where(own, np.maximum(down, 0.002), np.minimum(inwards, 0.0))
        arm[same_side] = near[same_side]
    return arm


def _sections(middle: np.ndarray, uv: np.ndarray, arm: np.ndarray) -> np.ndarray:
    """Section of each face from its middle at rest `(F, 3)`, in the texture `(F, 2)` and down the arm `(F,)`."""
    u, v = uv[:, 0], uv[:, 1]
    section = np.full(len(u), TORSO)
    right = middle[:, 0] < 0
    section[arm > 0.04] = np.where(right, RIGHT_ARM, LEFT_ARM)[arm > 0.04]
    legs = ((v > 0.6) & (u < 0.64)) & (arm <= 0.04)
    section[legs] = np.where(right, RIGHT_LEG, LEFT_LEG)[legs]
    section[(u > 0.635) & (v > 0.17) & (v < 0.86) & (arm <= 0.04)] = HEAD
    return section


def _grown(faces: np.ndarray, uv: np.ndarray, arm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`hair` and `beard` of `BodyTopology`."""
    flat = torch.as_tensor(uv.reshape(-1, 2), dtype=torch.float32)
    values = sample(body_textures("cpu").regions, flat[:, 0], flat[:, 1]).numpy()
    on_head = ((uv[..., 0] > 0.63) & (uv[..., 1] > 0.17) & (uv[..., 1] < 0.86) & (arm[faces] <= 0.04)).reshape(-1)
    grown = []
    for region in values[:2]:
        found = np.full(len(arm), -40.0)
        np.maximum.at(found, faces.reshape(-1)[on_head], region[on_head])
        grown.append(found)
    return grown[0], grown[1]


def _closed(rest: np.ndarray, normals: np.ndarray, area: np.ndarray) -> np.ndarray:
    """Share of the sky that discs of the vertices' `area` keep from each vertex (Bunnell, GPU Gems 2, 2005)."""
    rest, normals, area = (values.astype(np.float32) for values in (rest, normals, area))
    squared = (rest**2).sum(1)[:, None] - 2.0 * rest @ rest.T + (rest**2).sum(1)
    squared = squared.clip(1e-6)
    along = (rest * normals).sum(1)
    own = (normals @ rest.T - along[:, None]).clip(0)  # times the distance
    # Discs block what their fronts face: j's normal towards i.
    other = (rest @ normals.T - along[None]).clip(0)
    share = own * other / squared * area / (np.pi * squared + area)
    return share.sum(1).clip(0, 0.9)


def _toe_caps(rest: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`toes` and `toe_caps` of `BodyTopology`: out to the convex hull of the front of the foot."""
    from scipy.spatial import ConvexHull  # here, because importing SciPy is slow

    found, moves = [], []
    for sign in (-1.0, 1.0):  # the right foot is at -x
        foot = np.flatnonzero((rest[:, 1] > rest[:, 1].max() - 0.09) & (sign * rest[:, 0] > 0))
        tip, long = rest[foot, 2].min(), np.ptp(rest[foot, 2])
        front = foot[rest[foot, 2] < tip + 0.46 * long]
        points = rest[front]
        hull, middle = ConvexHull(points), points.mean(0)
        along = (points - middle) @ hull.equations[:, :3].T  # (T, facets)
        room = -(hull.equations[:, 3] + hull.equations[:, :3] @ middle)
        reach = np.where(along > 1e-9, room / np.maximum(along, 1e-9), np.inf).min(1).clip(1.0, 8.0)
        share = ((tip + 0.44 * long - points[:, 2]) / (0.12 * long)).clip(0.0, 1.0)
        found.append(front)
        moves.append((share * (reach - 1.0))[:, None] * (points - middle))
    most = max(len(front) for front in found)
    toes = np.stack([np.pad(front, (0, most - len(front)), mode="edge") for front in found])
    caps = np.stack([np.pad(move, ((0, most - len(move)), (0, 0)), mode="edge") for move in moves])
    return toes, caps


def _ball_proxies(rest: np.ndarray, joints: np.ndarray, parts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`ball_joints`, `ball_share` and `ball_radius` of `BodyTopology`: balls as large as fit under the skin."""
    balls = [(PARENTS[i], i, share) for i in range(1, len(joints)) for share in (0.2, 0.55, 0.9)]
    ends, share = np.array([ball[:2] for ball in balls]), np.array([ball[2] for ball in balls])
    centres = joints[ends[:, 0]] * (1 - share[:, None]) + joints[ends[:, 1]] * share[:, None]
    radius = np.sqrt(((centres[:, None] - rest[None]) ** 2).sum(-1).min(1))
    large = radius > 0.02
    return ends[large], share[large], radius[large].clip(0.02, 0.13)


def _grid(columns: int, rows: int, closed: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices (N, 2) of a sheet, angle in turns and share of its length; its faces (M, 3), and where they lie in the texture (M, 3, 2)."""
    across, down = np.meshgrid(np.arange(columns) / (columns if closed else columns - 1), np.linspace(0, 1, rows))
    vertices = np.stack([across.reshape(-1), down.reshape(-1)], -1)
    faces, uv = [], []
    for row in range(rows - 1):
        for column in range(columns if closed else columns - 1):
            after = (column + 1) % columns
            corners = [
                row * columns + column,
                row * columns + after,
                (row + 1) * columns + after,
                (row + 1) * columns + column,
            ]
            place = np.array([[column, row], [column + 1, row], [column + 1, row + 1], [column, row + 1]]) / [
                columns,
                rows - 1,
            ]
            for triangle in ((0, 1, 2), (0, 2, 3)):
                faces.append([corners[k] for k in triangle])
                uv.append(place[list(triangle)])
    return vertices, np.array(faces), 1.05 + 0.5 * np.array(uv)


def _locks(rest: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Long hair: rest vertices (X, 3) of no length, share of the length (X,), faces, and where they lie in the texture.

    It falls from a ring round the head, from one temple over the back to the other.
    """
    sheet, faces, uv = _grid(*CURTAIN, closed=False)
    middle = np.array([0.0, 0.74 * rest[:, 1].min(), 0.0])
    ring = rest[np.abs(rest[:, 1] - middle[1]) < 0.02]
    ring = ring[np.abs(ring[:, 0]) < 0.12]
    middle[2] = 0.5 * (ring[:, 2].min() + ring[:, 2].max())
    half = np.array([np.abs(ring[:, 0]).max() * 0.93, 0.5 * (ring[:, 2].max() - ring[:, 2].min()) * 0.98])
    turn = np.deg2rad(90 + 180 * sheet[:, 0])  # from the front, to the person's left first
    around = np.stack([half[0] * np.sin(turn), np.zeros(len(turn)), -half[1] * np.cos(turn)], -1)
    return middle + around, sheet[:, 1], faces[:, ::-1], uv[:, ::-1]  # outer sides first
