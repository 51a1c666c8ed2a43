"""Recordings of hands as an animated GLB (glTF 2.0): of each the mesh of its mean shape, a skeleton that it hangs on, and its motion.

One node for each joint, named as in `skeleton.JOINT_NAMES`, and `forearm`; vertices hang on at most four of them. Each joint's
rotation is animated, and the wrist's place. Where the shape differs between frames, so do the places of the others, so that all joints
are where they were found. How the rest surface changes with the pose (`HandModel.pose_basis`) is in up to `MORPHS` morph targets.
The root node of each hand turns the camera's axes (y down) to those of glTF (y up).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from phalanx.core.files import write_whole
from phalanx.core.json_values import Json
from phalanx.geometry.turns import rotmat_to_quat
from phalanx.hand.formats.bvh import own_rotations
from phalanx.hand.gltf import FLOAT, UINT8, VERTICES, Buffer, glb, skin_material, surface
from phalanx.hand.plain import PlainHand, plain_hand
from phalanx.hand.recording import HandRecording, own_faces
from phalanx.hand.skeleton import FINGERS, FOREARM, JOINT_NAMES, PARENTS, TIPS

if TYPE_CHECKING:
    from phalanx.hand.model import HandModel

HANGS_ON = 4
"""Joints that a vertex may hang on; the weights left out are below 0.4 percent."""

MORPHS = 8
"""Morph targets at most: as many as every player can draw. Where fewer leave less than 0.1 mm, there are fewer."""


def save_animation(
    path: str | os.PathLike[str],
    recordings: HandRecording | Sequence[HandRecording],
    model: HandModel | PlainHand | None = None,
    names: Sequence[str] | None = None,
) -> None:
    """Write a recording, or several of hands that were seen together, to a GLB file, whole or not at all.

    Several have one clock, which begins with the first frame of all; a hand that is not seen yet, or no more, stands still.

    Args:
        path: of the file.
        recordings: one hand or several; at least one.
        model: the hand that was posed; None: the open hand.
        names: of the hands, for their root nodes; None: `right_hand` and `left_hand`.
    """
    posed = PlainHand.open_hand() if model is None else plain_hand(model)
    hands = [recordings] if isinstance(recordings, HandRecording) else list(recordings)
    names = [f"{hand.side}_hand" for hand in hands] if names is None else names
    buffer = Buffer()
    nodes: list[dict[str, Json]] = []
    meshes: list[dict[str, Json]] = []
    skins: list[dict[str, Json]] = []
    roots: list[int] = []
    motion = _Motion(buffer, min(float(hand.times[0]) for hand in hands))
    for recording, name in zip(hands, names, strict=True):
        first = len(nodes)
        mean = recording.shape.mean(0, keepdims=True)
        rest = posed.joint_positions(mean)[0] * recording.mirror  # (21, 3)
        targets, amounts = _morphs(posed, recording)
        mesh = _mesh(buffer, posed, mean, recording, targets)
        if len(targets):
            mesh["weights"] = amounts[0].tolist()
        bind = np.tile(np.eye(4), (len(_JOINTS), 1, 1))
        bind[:, :3, 3] = -rest[[0 if joint is None else joint for joint in _JOINTS]]
        skin: dict[str, Json] = {
            "joints": list(range(first + 2, first + 2 + len(_JOINTS))),
            "skeleton": first + 2,
            "inverseBindMatrices": buffer.add(bind.swapaxes(1, 2).reshape(-1, 16), FLOAT),
        }
        own = posed.joint_positions(recording.shape) * recording.mirror  # (T, 21, 3)
        roots += [first, first + 1]  # a mesh with a skin stands where its joints do, whatever it hangs on
        nodes += _nodes(rest, recording, name, first, len(meshes))
        meshes.append(mesh)
        skins.append(skin)
        _animate(motion, first, recording, own, amounts)
    document: dict[str, Json] = {
        "scene": 0,
        "scenes": [{"nodes": roots}],
        "nodes": nodes,
        "meshes": meshes,
        "materials": [skin_material()],
        "skins": skins,
        "animations": [{"name": "recording", "samplers": motion.samplers, "channels": motion.channels}],
    }
    with write_whole(path) as part:
        part.write_bytes(glb(document, buffer))


class _Motion:
    """The channels of the one animation, and what is sampled for them. `start`: seconds at which its clock begins."""

    def __init__(self, buffer: Buffer, start: float) -> None:
        self.buffer, self.start = buffer, start
        self.samplers: list[dict[str, Json]] = []
        self.channels: list[dict[str, Json]] = []

    def clock(self, times: np.ndarray) -> int:
        return self.buffer.add(times - self.start, FLOAT, bounds=True)

    def add(self, clock: int, node: int, path: str, values: np.ndarray) -> None:
        self.channels.append({"sampler": len(self.samplers), "target": {"node": node, "path": path}})
        output = self.buffer.add(values, FLOAT)
        self.samplers.append({"input": clock, "output": output, "interpolation": "LINEAR"})


_JOINTS: tuple[int | None, ...] = (0, None, *(joint for finger in FINGERS for joint in finger[:3]))
"""For each segment of the model the joint that it turns about; None: the forearm."""


def _nodes(rest: np.ndarray, recording: HandRecording, name: str, first: int, which: int) -> list[dict[str, Json]]:
    """Root, mesh, the 17 segments and the five tips, posed as in the first frame; `first` is the root's number."""
    number = {joint: first + 2 + place for place, joint in enumerate(_JOINTS) if joint is not None}
    number |= {tip: first + 2 + len(_JOINTS) + place for place, tip in enumerate(TIPS)}
    names = ["forearm" if joint is None else JOINT_NAMES[joint] for joint in _JOINTS]
    nodes: list[dict[str, Json]] = [
        {"name": name, "rotation": [1.0, 0.0, 0.0, 0.0], "children": [first + 2]},
        {"name": f"{name}_surface", "mesh": which, "skin": which},
    ]
    children: dict[int, list[int]] = {}
    for joint, parent in enumerate(PARENTS):
        if parent >= 0:
            children.setdefault(parent, []).append(number[joint])
    turns = _quaternions(recording)[0]
    for place, (pivot, joint_name) in enumerate(zip(_JOINTS, names, strict=True)):
        node: dict[str, Json] = {"name": joint_name, "rotation": turns[place].tolist()}
        below = [] if pivot is None else list(children.get(pivot, []))
        if pivot == 0:
            node["translation"] = recording.joints[0, 0].tolist()
            below.append(first + 2 + FOREARM)
        elif pivot is not None:
            node["translation"] = (rest[pivot] - rest[PARENTS[pivot]]).tolist()
        if below:
            node["children"] = below
        nodes.append(node)
    for tip in TIPS:
        nodes.append({"name": JOINT_NAMES[tip], "translation": (rest[tip] - rest[PARENTS[tip]]).tolist()})
    return nodes


def _morphs(hand: PlainHand, recording: HandRecording) -> tuple[np.ndarray, np.ndarray]:
    """What the poses add to the rest surface: morph targets (K, V, 3) in metres and how much of each is in each frame (T, K).

    The targets are the principal components of what the frames add, without taking a mean off, so that rest stays rest.
    """
    if hand.pose_basis is None:
        return np.zeros((0, len(hand.template), 3)), np.zeros((len(recording), 0))
    features = hand.pose_features(recording.rotations)  # (T, P)
    basis = hand.pose_basis.transpose(2, 0, 1).reshape(hand.pose_basis.shape[2], -1)  # (P, 3 V)
    # The left factor of the basis is small, so that no (T, 3 V) array is needed for long recordings.
    size, turn = np.linalg.eigh(basis.astype(np.float64) @ basis.T)
    root = turn * np.sqrt(size.clip(0))  # root root^T = basis basis^T
    frames, strength, directions = np.linalg.svd(features @ root, full_matrices=False)
    kept = strength > 1e-9
    amounts = (frames * strength)[:, kept][:, :MORPHS]  # (T, K)
    inverse = turn / np.sqrt(size).clip(1e-12) * (size > 1e-9 * size[-1])
    targets = (directions[kept][:MORPHS] @ inverse.T @ basis).reshape(-1, len(hand.template), 3)
    # What a component moves the farthest vertex by, in the frame with most of it.
    needed = np.abs(amounts).max(0, initial=0) * np.linalg.norm(targets, axis=2).max(1, initial=0) > 5e-5
    return targets[needed] * recording.mirror, amounts[:, needed]


def _mesh(
    buffer: Buffer, hand: PlainHand, mean: np.ndarray, recording: HandRecording, targets: np.ndarray
) -> dict[str, Json]:
    """The surface at rest, hanging on its joints, and its morph targets (K, V, 3)."""
    vertices = (hand.template + hand.shape_basis @ mean[0]) * recording.mirror
    faces = own_faces(hand, recording.side)
    joints = np.argsort(-hand.skin_weights, axis=1, kind="stable")[:, :HANGS_ON]
    weights = np.take_along_axis(hand.skin_weights, joints, axis=1)
    weights = weights / weights.sum(1, keepdims=True)
    joints = np.where(weights > 0, joints, 0)
    hangs: dict[str, Json] = {
        "JOINTS_0": buffer.add(joints, UINT8, VERTICES),
        "WEIGHTS_0": buffer.add(weights, FLOAT, VERTICES),
    }
    primitive = surface(buffer, vertices, faces, hangs)
    if len(targets):
        primitive["targets"] = [{"POSITION": buffer.add(target, FLOAT, VERTICES, bounds=True)} for target in targets]
    return {"name": "hand", "primitives": [primitive]}


def _animate(motion: _Motion, first: int, recording: HandRecording, own: np.ndarray, amounts: np.ndarray) -> None:
    """Rotations of all segments, the wrist's place, how much of each morph target (`amounts` (T, K)), and where the shape changes
    (`own` (T, 21, 3), at rest) the places of the others. `first` is the number of the hand's root."""
    clock = motion.clock(recording.times)
    turns = _quaternions(recording)
    for place in range(len(_JOINTS)):
        motion.add(clock, first + 2 + place, "rotation", turns[:, place])
    motion.add(clock, first + 2, "translation", recording.joints[:, 0])
    if amounts.shape[1]:
        motion.add(clock, first + 1, "weights", amounts.reshape(-1))  # glTF wants them frame by frame in one row
    if np.ptp(own, axis=0).max() > 1e-5:
        places = [(2 + place, joint) for place, joint in enumerate(_JOINTS) if joint]
        places += [(2 + len(_JOINTS) + place, tip) for place, tip in enumerate(TIPS)]
        for node, joint in places:
            motion.add(clock, first + node, "translation", own[:, joint] - own[:, PARENTS[joint]])


def _quaternions(recording: HandRecording) -> np.ndarray:
    """(T, 17, 4) of the segments, x y z w, each on the same side as the one before, so that players do not turn the long way round."""
    mirror = recording.mirror
    forearm = mirror[:, None] * recording.rotations[:, :1].astype(np.float64) * mirror
    turns = np.insert(own_rotations(recording), [FOREARM], forearm, axis=1)  # (T, 17, 3, 3)
    found = rotmat_to_quat(turns)
    flips = np.cumprod(np.where((found[1:] * found[:-1]).sum(-1) < 0, -1.0, 1.0), axis=0)
    found[1:] *= flips[..., None]
    return found
