"""Add pose correctives to the frozen open hand: `pose_basis` and `pose_mix` in `src/phalanx/hand/assets/open_hand.npz`.

    python scripts/build_pose_correctives.py

It needs nothing but that file, whose other arrays stay as they are. Linear blend skinning cuts the outer side of a bend and loses flesh
on the inner one. For some hundred poses this script mends the posed surface by geometry, step by step:

1. **Skin turns about the joint**: a vertex that hangs on two segments turns by its share of the angle instead of lying between its two
   places. So skin keeps its distance from the joint: bone heads stand out on the back, webs fold smoothly.
2. **Knuckles** of a flexed hand rise by a millimetre, and between two of them the skin sinks in.
3. **Volume stays**: what each finger lost swells on its palmar side, next to its bends most; what the hand lost swells at the pads below
   the knuckles, the ball of the thumb, the heel of the hand and the hollow between them.

The corrections, brought back to the rest frame by the inverse of each vertex' skinning, are fitted by ridge regression on two mixes of
the elements of each finger rotation, 1 - cosine of its angle and sine of its flexion, and each vertex sees only joints near it. Both
vanish at rest. Volume that the fit lost is asked for again, and the fit repeated.
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path

import numpy as np
import scipy.sparse as sparse
import torch
from scipy.spatial.transform import Rotation

from phalanx.hand.anatomy import ABDUCTION, ANGLE_NAMES, AXES, FLEXION, LIMITS, angles_to_rotations
from phalanx.hand.collision import FingerSurfaces, finger_surfaces
from phalanx.hand.model import HandModel, HandPose
from phalanx.hand.pose_space import gestures, sample_angles
from phalanx.hand.skeleton import FINGERS

BASES = (3, 6, 9, 12)  # of the 15 finger joints: the knuckles of index to little finger
PIVOTS = np.array([joint for finger in FINGERS for joint in finger[:3]])  # (15,)
# Metres over which a vertex still sees a joint: base, middle and outer joint of the thumb, then of the fingers.
REACH = np.array([0.050, 0.034, 0.024, *(0.034, 0.024, 0.018) * 4])
RIDGE = 0.01  # per pose, in units of the squared features
ROUNDS = 5  # of fits
LARGEST_SWELL = 0.003  # metres, at a time
LARGEST = 0.010  # metres, at rest


def smoothstep(t: np.ndarray) -> np.ndarray:
    t = np.clip(t, 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def mixes() -> tuple[np.ndarray, np.ndarray]:
    """Mixes (135, P) of the elements of the finger rotations less the identity, and the joint (P,) of each.

    Of every joint 1 - cosine of its angle and the sine of its flexion, then the sine of the thumb's abduction.
    """
    axes = AXES.numpy()
    columns, owners = [], []

    def add(joint: int, elements: np.ndarray) -> None:
        column = np.zeros((15, 3, 3))
        column[joint] = elements
        columns.append(column.ravel())
        owners.append(joint)

    for joint in range(15):
        add(joint, -0.5 * np.eye(3))
        add(joint, _sine(axes[FLEXION[1 + joint]]))
    add(0, _sine(axes[ABDUCTION[1]]))
    return np.stack(columns, 1), np.array(owners)


def _sine(axis: np.ndarray) -> np.ndarray:
    """What the elements of a rotation about the axis are multiplied with to give its sine."""
    x, y, z = axis
    return 0.5 * np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])


def poses(seed: int) -> torch.Tensor:
    """Angles (N, 23) in radians: each joint alone and each finger through its range, named gestures, random poses."""
    generator = np.random.default_rng(seed)
    rows = []
    low, high = np.rad2deg(LIMITS.numpy()).T
    for angle in range(3, 23):
        for share in (-1.0, 0.4, 0.7, 1.0):
            row = np.zeros(23)
            row[angle] = share * high[angle] if share > 0 else -share * low[angle]
            rows.append(row)
    table = gestures()
    for share in (0.6, 1.0):
        rows.extend(share * table)
    angles = torch.deg2rad(torch.from_numpy(np.array(rows))).float()
    return torch.cat([angles, sample_angles(generator, 120)]) * torch.tensor([0.0] * 3 + [1.0] * 20)


def volume(vertices: np.ndarray, faces: np.ndarray) -> float:
    """Of a closed surface, in the cube of the vertices' unit."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    return float(np.einsum("fc,fc->", a, np.cross(b, c)) / 6)


def hand_surface(model: HandModel) -> tuple[np.ndarray, np.ndarray]:
    """Triangles of hand without forearm, closed by a fan at the wrist; vertices of it (V,) bool."""
    faces = model.faces.numpy()
    own = (model.skin_weights[:, 1] < 0.5).numpy()
    faces = faces[own[faces].all(1)]
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    _, group, count = np.unique(np.sort(edges, 1), axis=0, return_inverse=True, return_counts=True)
    border = edges[count[group.ravel()] == 1]
    cap = np.stack([border[:, 1], border[:, 0], np.full(len(border), border[0, 0])], 1)
    return np.concatenate([faces, cap]), own


class Surface:
    """What the steps need of the rest surface."""

    def __init__(self, model: HandModel) -> None:
        self.model = model
        self.rest = model.template.double().numpy()
        self.faces = model.faces.numpy()
        self.joints = model.rest_joints.double().numpy()
        self.weights = model.skin_weights.double().numpy()
        count = len(self.rest)
        i, j = self.faces[:, [0, 1, 2]].ravel(), self.faces[:, [1, 2, 0]].ravel()
        graph = sparse.csr_matrix((np.ones(2 * len(i)), (np.r_[i, j], np.r_[j, i])), shape=(count, count))
        graph.data[:] = 1.0
        self.average = sparse.diags(1 / np.asarray(graph.sum(1)).ravel()) @ graph
        self.normals = self.normal_of(self.rest)
        self.fingers: FingerSurfaces = finger_surfaces(model)
        self.closed = [
            torch.cat([skin, cap]).numpy() for skin, cap in zip(self.fingers.skin, self.fingers.caps, strict=True)
        ]
        self.volumes = [volume(self.rest, faces) for faces in self.closed]
        self.hand, self.own = hand_surface(model)
        self.hand_volume = volume(self.rest, self.hand)
        self.finger = np.stack([self.weights[:, 2 + 3 * f : 5 + 3 * f].sum(1) for f in range(5)], 1)  # (V, 5)
        # Per joint: direction along the finger, towards its back, and the distance of the skin there.
        axes = AXES.numpy()[list(FLEXION)][1:]
        ends = np.array([joint for finger in FINGERS for joint in finger[1:]])
        along = self.joints[ends] - self.joints[PIVOTS]
        self.along = along / np.linalg.norm(along, axis=1, keepdims=True)
        self.axes = axes
        back = -np.cross(axes, self.along)  # flexion turns `along` to the palm
        self.back = back / np.linalg.norm(back, axis=1, keepdims=True)
        self.radius = np.array([self._radius(joint) for joint in range(15)])
        self.knuckles, self.dimples = self._knuckles()
        self.pads, self.palm = self._pads(), self._palm()

    def _radius(self, joint: int) -> float:
        offset = self.rest - self.joints[PIVOTS[joint]]
        distance = np.linalg.norm(offset, axis=1)
        near = (offset @ self.back[joint] > 0.85 * distance) & (distance < 0.022)
        return float(np.median(distance[near]))

    def _bump(self, centre: np.ndarray, width: float) -> np.ndarray:
        return np.exp(-((self.rest - centre) ** 2).sum(1) / (2 * width**2))

    def _knuckles(self) -> tuple[np.ndarray, list[tuple[np.ndarray, tuple[int, int]]]]:
        """How far (V, 15) the skin rises as joints flex, and sinks between each two knuckles: fields (V,) and their joints."""
        rise = np.zeros((len(self.rest), 15))
        tops = self.joints[PIVOTS] + self.radius[:, None] * self.back
        for joint in range(2, 15):
            if joint % 3 < 2 or joint == 2:
                rise[:, joint] = (0.0025 if joint in BASES else 0.001) * self._bump(tops[joint], 0.006)
        sink = [
            (0.004 * self._bump(0.5 * (tops[one] + tops[two]) + np.array([0, 0.003, 0]), 0.006), (one, two))
            for one, two in pairwise(BASES)
        ]
        return rise, sink

    def _pads(self) -> np.ndarray:
        """Where (5, V, 15) each finger swells as each joint bends: its palmar side, next to the joint most."""
        pads = np.zeros((5, len(self.rest), 15))
        for joint in range(1, 15):
            finger = joint // 3
            along = (self.rest - self.joints[PIVOTS[joint]]) @ self.along[joint] - (0.012 if joint in BASES else 0.0)
            palmar = smoothstep(-0.1 - 0.75 * self.normals @ self.back[joint])
            beside = np.exp(-((abs(along) - 0.008) ** 2) / (2 * 0.009**2))
            pads[finger, :, joint] = palmar * beside * smoothstep((self.finger[:, finger] - 0.5) / 0.45)
        return pads

    def _palm(self) -> np.ndarray:
        """Where (V, 15) the palm swells as each joint bends."""
        palmar = smoothstep((self.normals[:, 2] - 0.35) / 0.5) * (
            1 - smoothstep((self.finger[:, 1:].sum(1) - 0.6) / 0.4)
        )
        palm = np.zeros((len(self.rest), 15))
        heel = self._bump(self.joints[17] * np.array([0.9, 0.35, 0]) + np.array([0, 0, 0.012]), 0.018)
        for base, knuckle in zip(BASES, (5, 9, 13, 17), strict=True):
            pad = self._bump(self.joints[knuckle] + np.array([0, -0.008, 0.012]), 0.014)
            hollow = self._bump(self.joints[knuckle] * 0.65 + np.array([0, 0, 0.012]), 0.016)
            palm[:, base] = pad + 0.8 * hollow + (0.25 if knuckle > 12 else 0.1) * heel
        ball = self._bump(0.5 * (self.joints[1] + self.joints[2]) + np.array([-0.004, 0, 0.01]), 0.018)
        palm[:, 0], palm[:, 1] = ball, 0.6 * ball
        return palm * palmar[:, None]

    def normal_of(self, vertices: np.ndarray) -> np.ndarray:
        corners = vertices[self.faces]
        across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        normals = np.zeros_like(vertices)
        for corner in range(3):
            np.add.at(normals, self.faces[:, corner], across)
        return normals / np.linalg.norm(normals, axis=1, keepdims=True).clip(1e-12)

    def areas(self, vertices: np.ndarray) -> np.ndarray:
        corners = vertices[self.faces]
        across = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) / 6
        return np.bincount(self.faces.ravel(), np.repeat(across, 3), len(vertices))

    def smooth(self, field: np.ndarray, rounds: int) -> np.ndarray:
        for _ in range(rounds):
            field = 0.5 * field + 0.5 * (self.average @ field)
        return field


def turned(surface: Surface, rotations: np.ndarray) -> np.ndarray:
    """The rest surface (V, 3) bent by local rotations (15, 3, 3), each vertex turned about each joint by its share of the angle."""
    total = surface.finger.sum(1)
    out = surface.rest * (1 - (total > 1e-6))[:, None]
    for finger, joints in enumerate(FINGERS):
        own = surface.weights[:, 2 + 3 * finger : 5 + 3 * finger]
        beyond = np.stack([own.sum(1), own[:, 1:].sum(1), own[:, 2]], 1)
        reached = np.stack([total, *(beyond[:, k] / beyond[:, k - 1].clip(1e-9) for k in (1, 2))], 1)
        moved = surface.rest
        for k in (2, 1, 0):
            pivot = surface.joints[joints[k]]
            vector = Rotation.from_matrix(rotations[3 * finger + k]).as_rotvec()
            moved = pivot + Rotation.from_rotvec(reached[:, k : k + 1] * vector).apply(moved - pivot)
        out = out + (surface.finger[:, finger] / total.clip(1e-6))[:, None] * moved * (total > 1e-6)[:, None]
    return out


def mended(
    surface: Surface,
    posed: np.ndarray,
    normals: np.ndarray,
    transforms: np.ndarray,
    flexion: np.ndarray,
    local: np.ndarray,
) -> np.ndarray:
    """The posed surface (V, 3), palm at rest, as flesh would have it.

    `normals` (V, 3) are those of the rest surface turned as the skin is, `local` (15, 3, 3) the finger rotations and `flexion` (15,)
    1 - cosine of each finger joint's flexion, 0 if it is extended.
    """
    out = posed + surface.smooth(turned(surface, local) - posed, 1)
    height = surface.knuckles @ np.minimum(flexion, 1)
    for field, (one, two) in surface.dimples:
        height = height - field * min(flexion[one], flexion[two], 1.0)
    return kept_volume(surface, out + height[:, None] * normals, normals, transforms, flexion)


def folded(surface: Surface, out: np.ndarray, transforms: np.ndarray, flexion: np.ndarray) -> np.ndarray:
    """Skin on the inner side of a PIP, DIP or IP joint stops at the plane that bisects the bend: there flesh meets flesh."""
    rotations = transforms[:, :3, :3]
    pivots = np.einsum("jab,jb->ja", rotations[2:], surface.joints[PIVOTS]) + transforms[2:, :3, 3]  # (15, 3)
    for joint in range(15):
        if joint % 3 == 0 or joint == 1 or flexion[joint] < 0.02:
            continue
        one, two = rotations[1 + joint] @ surface.along[joint], rotations[2 + joint] @ surface.along[joint]
        plane = (one + two) / np.linalg.norm(one + two)
        rest = (surface.rest - surface.joints[PIVOTS[joint]]) @ surface.along[joint]
        offset = out - pivots[joint]
        height = offset @ plane
        inner = (offset @ (two - one)) > 0
        near = (
            smoothstep((surface.finger[:, joint // 3] - 0.5) / 0.45) * smoothstep((0.022 - abs(rest)) / 0.006) * inner
        )
        gap = 0.0002
        wrong = np.where(rest > 0, np.minimum(height - gap, 0), np.maximum(height + gap, 0)) * near
        out = out - wrong[:, None] * plane
    return out


def kept_volume(
    surface: Surface, out: np.ndarray, normals: np.ndarray, transforms: np.ndarray, flexion: np.ndarray
) -> np.ndarray:
    """Each finger's volume kept, then the hand's: skin on the palm's side moved along `normals`."""
    before = out
    for _ in range(3):
        out = folded(surface, out, transforms, flexion)
        areas = surface.areas(out)
        for finger in range(5):
            out = swollen(
                out, normals, areas, surface.pads[finger] @ flexion, surface.volumes[finger], surface.closed[finger]
            )
        out = swollen(out, normals, areas, surface.palm @ flexion, surface.hand_volume, surface.hand)
    return before + surface.smooth(out - before, 1)


def swollen(
    out: np.ndarray, normals: np.ndarray, areas: np.ndarray, field: np.ndarray, wanted: float, closed: np.ndarray
) -> np.ndarray:
    amount = (wanted - volume(out, closed)) / max(areas @ field, 1e-6)
    return out + np.clip(amount * field, -LARGEST_SWELL, LARGEST_SWELL)[:, None] * normals


def fit(surface: Surface, offsets: np.ndarray, features: np.ndarray, owners: np.ndarray) -> np.ndarray:
    """Ridge regression, vertex by vertex: basis (V, 3, P) from offsets (N, V, 3) at rest and features (N, P) of joints (P,)."""
    distance = np.linalg.norm(surface.rest[:, None] - surface.joints[PIVOTS], axis=2)  # (V, 15)
    mask = smoothstep(1.6 - distance / REACH)
    # A finger's bends move its own skin and that of the palm.
    finger = np.repeat(surface.finger, 3, 1)
    foreign = surface.finger.sum(1, keepdims=True) - finger
    mask = mask * (1 - smoothstep((foreign - 0.5) / 0.4))
    mask[surface.weights[:, 1] > 0.5] = 0
    seen = mask[:, owners]  # (V, P)
    gram, moment = features.T @ features / len(features), np.einsum("np,nvc->vpc", features, offsets) / len(features)
    system = seen[:, :, None] * gram * seen[:, None] + RIDGE * np.diag(np.diag(gram)) + 1e-9 * np.eye(len(owners))
    basis = seen[:, :, None] * np.linalg.solve(system, seen[:, :, None] * moment)  # (V, P, 3)
    flat = basis.reshape(len(basis), -1)
    return (0.5 * flat + 0.5 * (surface.average @ flat)).reshape(basis.shape).transpose(0, 2, 1)


def build(path: Path, seed: int) -> None:
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files if name not in ("pose_basis", "pose_mix")}
    plain = HandModel.load(path).without_correctives()
    surface = Surface(plain)
    angles = poses(seed)
    pose = HandPose.zero(len(angles))
    pose.rotations = angles_to_rotations(angles)
    with torch.no_grad():
        posed = plain(pose)
    vertices, transforms = posed.vertices.double().numpy(), posed.transforms.double().numpy()
    mix, owners = mixes()
    elements = (pose.rotations[:, 1:].double() - torch.eye(3, dtype=torch.float64)).flatten(1).numpy()
    features = elements @ mix
    bends = features[:, :30].reshape(-1, 15, 2)
    flexion = bends[..., 0] * (bends[..., 1] > 0)
    local = pose.rotations[:, 1:].double().numpy()
    blended = np.einsum("vj,njab->nvab", surface.weights, transforms[:, :, :3, :3])
    # Fingers have neighbours: they swell to the palm's side rather than sideways.
    sideways = 1 - 0.7 * smoothstep((surface.finger[:, 1:].max(1) - 0.5) / 0.4)
    straight = surface.normals * np.stack([sideways, np.ones_like(sideways), np.ones_like(sideways)], 1)
    normals = np.einsum("nvab,vb->nva", blended, straight / np.linalg.norm(straight, axis=1, keepdims=True))
    normals /= np.linalg.norm(normals, axis=2, keepdims=True)
    state = (normals, transforms, flexion)
    targets = np.stack([mended(surface, *rows) for rows in zip(vertices, *state, local, strict=True)])
    square = np.einsum("nvab,nvac->nvbc", blended, blended) + 0.03 * np.eye(3)
    for turn in range(ROUNDS):
        pulled = np.einsum("nvab,nva->nvb", blended, targets - vertices)
        offsets = np.linalg.solve(square, pulled[..., None])[..., 0]
        offsets *= np.minimum(1, LARGEST / np.linalg.norm(offsets, axis=2, keepdims=True).clip(1e-9))
        basis = fit(surface, offsets, features, owners)
        made = vertices + np.einsum("nvab,vbp,np->nva", blended, basis, features, optimize=True)
        if turn < ROUNDS - 1:  # what the fit has lost of the volume is asked for again
            targets += np.stack([kept_volume(surface, *rows) for rows in zip(made, *state, strict=True)]) - made
    basis[abs(basis) < 2e-5] = 0
    arrays["pose_basis"] = basis.astype(np.float16)
    arrays["pose_mix"] = mix.astype(np.float32)
    np.savez_compressed(path, **arrays)
    left = offsets - np.einsum("vcp,np->nvc", basis, features)
    print(f"{len(angles)} poses of {len(ANGLE_NAMES)} angles, {path.stat().st_size / 1e6:.2f} MB")
    print(f"corrections: root mean square {1000 * np.sqrt((offsets**2).sum(2).mean()):.2f} mm, left over by the fit")
    print(
        f"{1000 * np.sqrt((left**2).sum(2).mean()):.2f} mm; largest {1000 * np.sqrt((offsets**2).sum(2).max()):.1f} mm"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(__file__).parents[1] / "src/phalanx/hand/assets/open_hand.npz"
    parser.add_argument("--hand", type=Path, default=default)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    build(arguments.hand, arguments.seed)
