"""Fixed facts about the hand's surface that shading needs again and again: seams, neighbours, coarse points, sphere proxies."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from phalanx.hand.model import HandModel, HandSurface
from phalanx.hand.skeleton import FINGERS

_COARSE_POINTS = 700  # vertices at which occlusion is evaluated; the others interpolate
_NEIGHBOURS = 3


@dataclass(frozen=True)
class Topology:
    """Index tables and rest-frame facts of a hand model, on one device.

    Attributes:
        faces: (F, 3) int64, as in the model.
        split: (W,) vertex of each split vertex: vertices on UV seams occur once for each of their UV positions.
        split_faces: (F, 3) int64 into the split vertices.
        split_uv: (W, 2); uv: (F, 3, 2): the model's layout.
        face_parts: (1 + F,) int8, segment of each face; the first stands for no face, -1.
        rest: (V, 3) template, hand frame, metres; rest_normals: (V, 3), unit, outward.
        around: (V, D) int64 faces at each vertex, padded with F.
        uv_inverse: (F, 2, 2) inverse of the matrix whose columns are the UV edges of corner 1 and 2 against corner 0.
        coarse: (C,) vertices where occlusion is evaluated.
        spread: (V, 3) int64 into `coarse`, and `spread_weights` (V, 3): interpolation from coarse to all vertices.
        ball_joints: (S, 2) joints between which each ball proxy lies, `ball_share` (S,) where, `ball_radius` (S + A,).
        arm_balls: (A, 3) rest positions of further balls that move with the forearm.
    """

    faces: Tensor
    split: Tensor
    split_faces: Tensor
    split_uv: Tensor
    uv: Tensor
    face_parts: Tensor
    rest: Tensor
    rest_normals: Tensor
    around: Tensor
    uv_inverse: Tensor
    coarse: Tensor
    spread: Tensor
    spread_weights: Tensor
    ball_joints: Tensor
    ball_share: Tensor
    ball_radius: Tensor
    arm_balls: Tensor


def split_seams(faces: np.ndarray, uv: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices that occur once for each of their UV positions: their vertex (W,), faces (F, 3) of them, UV (W, 2); `uv` is (F, 3, 2)."""
    keys = np.concatenate([faces.reshape(-1, 1), np.round(uv.reshape(-1, 2) * 1e5).astype(np.int64)], 1)
    _, first, inverse = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    return faces.reshape(-1)[first], inverse.reshape(-1, 3), uv.reshape(-1, 2)[first]


def faces_around(faces: np.ndarray, vertices: int) -> np.ndarray:
    """The faces `(V, A)` around each vertex, of faces `(F, 3)`; padded with F."""
    corner = np.argsort(faces.reshape(-1), kind="stable")
    vertex = faces.reshape(-1)[corner]
    rank = np.arange(len(vertex)) - np.searchsorted(vertex, vertex)
    table = np.full((vertices, rank.max() + 1), len(faces))
    table[vertex, rank] = corner // 3
    return table


def _farthest_points(points: np.ndarray, count: int) -> np.ndarray:
    chosen = np.zeros(count, np.int64)
    distance = np.full(len(points), np.inf)
    for i in range(1, count):
        distance = np.minimum(distance, ((points - points[chosen[i - 1]]) ** 2).sum(1))
        chosen[i] = distance.argmax()
    return chosen


def face_edges(vertices: Tensor, faces: Tensor) -> tuple[Tensor, Tensor]:
    """Edges from corner 0 to corners 1 and 2 of each face, `(3, F, B)` each, of vertices `(3, V, B)` (components first)."""
    first, second, third = (vertices.index_select(1, faces[:, k]) for k in range(3))
    return second - first, third - first


def vertex_normals(edge1: Tensor, edge2: Tensor, around: Tensor) -> Tensor:
    """Unit outward normals `(3, V, B)` of the vertices, from the faces' edges `(3, F, B)`; `around` as of `Topology`."""
    (ax, ay, az), (bx, by, bz) = edge1, edge2
    faces = torch.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], 1)  # (F, 3, B)
    normal = sum_faces(faces, around).transpose(0, 1)  # (3, V, B)
    return normal * (normal.square().sum(0) + 1e-20).rsqrt()


def sum_faces(values: Tensor, around: Tensor) -> Tensor:
    """Sum of the values `(F, C, B)` of the faces `around (V, A)` each vertex: `(V, C, B)`."""
    flat = values.flatten(1)
    padded = torch.cat([flat, torch.zeros_like(flat[:1])])
    return F.embedding_bag(around, padded, mode="sum").unflatten(1, values.shape[1:])


@lru_cache(maxsize=4)
def hand(device: str) -> tuple[HandModel, Topology]:
    """The open hand and its tables on `device`, made once."""
    model = HandModel.open_hand()
    faces, rest = model.faces.numpy(), model.template.numpy().astype(np.float64)
    parts, uv = model.parts.numpy(), model.uv.numpy().astype(np.float64)
    split, split_faces, split_uv = split_seams(faces, uv)
    edges = np.stack([uv[:, 1] - uv[:, 0], uv[:, 2] - uv[:, 0]], -1)  # (F, 2, 2), columns are edges
    determinant = edges[:, 0, 0] * edges[:, 1, 1] - edges[:, 0, 1] * edges[:, 1, 0]
    edges[np.abs(determinant) < 1e-12] = np.eye(2)
    normals = area_normals(rest, faces)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-12
    coarse, spread, weights = coarse_points(rest, normals, _COARSE_POINTS)
    ends, share, arm, radius = _ball_proxies(rest, parts, model.rest_joints.numpy().astype(np.float64))

    def tensor(array: np.ndarray) -> Tensor:
        kind = torch.int64 if np.issubdtype(np.asarray(array).dtype, np.integer) else torch.float32
        return torch.as_tensor(array, dtype=kind, device=device)

    topology = Topology(
        faces=tensor(faces),
        split=tensor(split),
        split_faces=tensor(split_faces),
        split_uv=tensor(split_uv),
        uv=tensor(uv),
        face_parts=torch.as_tensor(np.concatenate([[-1], parts[faces[:, 0]]]), dtype=torch.int8, device=device),
        rest=tensor(rest),
        rest_normals=tensor(normals),
        around=tensor(faces_around(faces, len(rest))),
        uv_inverse=tensor(np.linalg.inv(edges)),
        coarse=tensor(coarse),
        spread=tensor(spread),
        spread_weights=tensor(weights),
        ball_joints=tensor(ends),
        ball_share=tensor(share),
        ball_radius=tensor(radius),
        arm_balls=tensor(arm),
    )
    return model.to(device), topology


def area_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Outward normals `(V, 3)` of vertices `(V, 3)`: sums over the faces `(F, 3)` around them, as long as twice their area."""
    corners = vertices[faces]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.zeros_like(vertices)
    np.add.at(normals, faces.reshape(-1), np.repeat(normal, 3, 0))
    return normals


def coarse_points(rest: np.ndarray, normals: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`coarse`, `spread` and `spread_weights` of `Topology`, for vertices `(V, 3)` with unit normals and `count` coarse points."""
    # Position and normal together keep the skins of neighbouring fingers apart.
    feature = np.concatenate([rest, 0.012 * normals], 1)
    coarse = _farthest_points(feature, min(count, len(rest)))
    distance = ((feature[:, None] - feature[None, coarse]) ** 2).sum(-1)
    spread = np.argsort(distance, 1)[:, :_NEIGHBOURS]
    weights = 1.0 / (np.take_along_axis(distance, spread, 1) + 1e-7)
    return coarse, spread, weights / weights.sum(1, keepdims=True)


def _ball_proxies(
    rest: np.ndarray, parts: np.ndarray, joints: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """`ball_joints`, `ball_share`, `arm_balls` and `ball_radius` of `Topology`: balls in fingers, palm and forearm.

    Args:
        rest: (V, 3) vertices, and `parts` (V,) the segments that they belong to.
        joints: (21, 3) rest joints.
    """
    balls = []  # between which joints, and where
    for finger in FINGERS:
        balls += [(a, b, share) for a, b in pairwise(finger) for share in (0.0, 1 / 3, 2 / 3)]
        balls.append((finger[2], finger[3], 0.95))
    balls += [(0, finger[0], share) for finger in FINGERS[1:] for share in (0.3, 0.65)]
    ends, share = np.array([ball[:2] for ball in balls]), np.array([ball[2] for ball in balls])
    inner = joints[ends[:, 0]] * (1 - share[:, None]) + joints[ends[:, 1]] * share[:, None]
    rings = [(parts == 1) & (np.abs(rest[:, 1] - y) < 0.015) for y in (-0.04, -0.08, -0.13)]
    rings.insert(0, np.abs(rest[:, 1] + 0.01) < 0.01)  # at the wrist, of both segments
    arm = np.array([rest[ring].mean(0) for ring in rings])
    centres = np.concatenate([inner, arm])
    return ends, share, arm, np.sqrt(((centres[:, None] - rest[None]) ** 2).sum(-1).min(1)).clip(0.002, 0.03)


def balls(surface: HandSurface, topology: Topology) -> Tensor:
    """Centres `(B, S + A, 3)` of the ball proxies of a posed hand, camera frame; radii are `topology.ball_radius`."""
    a, b = surface.joints[:, topology.ball_joints].unbind(2)
    inner = torch.lerp(a, b, topology.ball_share[:, None])
    arm = surface.transforms[:, 1]
    outer = topology.arm_balls @ arm[:, :3, :3].transpose(1, 2) + arm[:, None, :3, 3]
    return torch.cat([inner, outer], 1)
