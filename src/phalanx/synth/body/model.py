"""The skinned body: build, expression and pose in; surface and joints out. The mesh ends above the wrists, where hands are put on.

Body frame: origin at the base of the neck, x to the person's left, y down, the person looks along -z; metres. The rest pose is MakeHuman's,
for which its skin was painted: legs straight and apart, arms some 45 degrees below the horizontal, elbows slightly bent. Local
rotations are about the axes of the body frame at rest, so identity everywhere gives the rest pose.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from phalanx.core.errors import InputError
from phalanx.core.records import map_fields

_ARM_AND_LEG = ("eye", "collar", "shoulder", "elbow", "forearm", "wrist", "hip", "knee", "ankle", "toes")
_HANGS_ON = ("head", "chest", "collar", "shoulder", "elbow", "forearm", "pelvis", "hip", "knee", "ankle")
SIDES = ("right", "left")
JOINT_NAMES = (
    *("pelvis", "lumbar", "thorax", "chest", "neck", "head"),
    *(f"{side}_{name}" for side in SIDES for name in _ARM_AND_LEG),
)
"""26 joints. `forearm` lies on the line from elbow to wrist and is for turning the forearm about it; `wrist` moves no skin."""
JOINT = {name: number for number, name in enumerate(JOINT_NAMES)}
PARENTS = (
    *(-1, 0, 1, 2, 3, 4),
    *(JOINT.get(name, JOINT.get(f"{side}_{name}", -1)) for side in SIDES for name in _HANGS_ON),
)
MIRRORED = tuple(
    JOINT[name.replace("right_", "*").replace("left_", "right_").replace("*", "left_")] for name in JOINT_NAMES
)
"""The joint of the other side, for each joint."""
EXPRESSIONS = (
    "jaw_open",
    "smile",
    "mouth_corners_down",
    "mouth_wide",
    "pucker",
    "cheeks_puffed",
    "brows_up",
    "brows_down",
    "eyes_closed",
    "mouth_aside",
)
"""What the components of the expression are. 0 is a face at rest, 1 the whole expression; -1 only makes sense for the last."""
REGIONS = ("skin", "eye", "inside")
"""What `BodyModel.regions` numbers; inside are mouth, nostrils and sockets of the eyes."""


@dataclass
class BodyPose:
    """Everything that poses people in front of a camera; a batch of `B`.

    Attributes:
        rotations: (B, 26, 3, 3) local rotations from the rest pose, in the order of `JOINT_NAMES`, about axes of the body frame.
        shape: (B, S) shape components in standard deviations.
        expression: (B, E) amounts of `EXPRESSIONS`, 0 to 1.
        orientation: (B, 3, 3) from the body frame to the camera frame.
        translation: (B, 3) the base of the neck (the joint "neck") in the camera frame, metres.
        scale: (B,) a factor on the whole body about the base of the neck.
    """

    rotations: Tensor
    shape: Tensor
    expression: Tensor
    orientation: Tensor
    translation: Tensor
    scale: Tensor

    def __getitem__(self, index: slice | Tensor) -> BodyPose:
        return self.map(lambda value: value[index])

    def map(self, function: Callable[[Tensor], Tensor]) -> BodyPose:
        """A new pose with `function` applied to every tensor."""
        return map_fields(self, function)


@dataclass
class BodySurface:
    """Posed bodies in the camera frame, metres: vertices (B, V, 3), joints (B, 26, 3), transforms (B, 26, 4, 4) of the joints' skin
    (rest body of this shape, body frame -> camera), shape (B, S) as drawn."""

    vertices: Tensor
    joints: Tensor
    transforms: Tensor
    shape: Tensor


class BodyModel(nn.Module):
    """Linear blend skinning with linear shape and expression; plain arrays as buffers.

    Buffers: `template` (V, 3), `faces` (F, 3) that look outwards, `uv` (F, 3, 2) in [0, 1] per corner in MakeHuman's layout (v downwards,
    as rows of a picture), `shape_basis` (V, 3, S), `expression_basis` (V, 3, E), `rest_joints` (26, 3), `joint_basis`
    (26, 3, S), `skin_weights` (V, 26), `parts` (V,) the joint with the largest weight, `mirror` (V,) the vertex on the other side,
    `regions` (V,) numbers in `REGIONS`, `hand_to_body` (3, 3), the forearm of the open right hand at rest -> body frame at rest, and
    `hand_basis` (S,), how hands grow with the shape.
    """

    template: Tensor
    faces: Tensor
    uv: Tensor
    shape_basis: Tensor
    expression_basis: Tensor
    rest_joints: Tensor
    joint_basis: Tensor
    skin_weights: Tensor
    parts: Tensor
    mirror: Tensor
    regions: Tensor
    hand_to_body: Tensor
    hand_basis: Tensor

    def __init__(
        self,
        template: Tensor,
        faces: Tensor,
        uv: Tensor,
        shape_basis: Tensor,
        expression_basis: Tensor,
        rest_joints: Tensor,
        joint_basis: Tensor,
        skin_weights: Tensor,
        mirror: Tensor,
        regions: Tensor,
        hand_to_body: Tensor,
        hand_basis: Tensor,
    ) -> None:
        super().__init__()
        for name, value in (
            ("template", template),
            ("faces", faces),
            ("uv", uv),
            ("shape_basis", shape_basis),
            ("expression_basis", expression_basis),
            ("rest_joints", rest_joints),
            ("joint_basis", joint_basis),
            ("skin_weights", skin_weights),
            ("parts", skin_weights.argmax(1)),
            ("mirror", mirror),
            ("regions", regions),
            ("hand_to_body", hand_to_body),
            ("hand_basis", hand_basis),
        ):
            self.register_buffer(name, value, persistent=False)

    @staticmethod
    def load(path: Path | str) -> BodyModel:
        """Read a frozen body file. Raises `InputError` when it is missing or damaged."""
        try:
            with Path(path).open("rb") as file, np.load(file) as arrays:
                return _from_arrays({name: arrays[name] for name in arrays.files})
        except (OSError, ValueError, TypeError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile) as error:
            raise InputError(f"{path} is not a readable body model ({error}).") from error

    @staticmethod
    def open_body() -> BodyModel:
        """The open body that ships with the package (CC0 data, `scripts/build_open_body.py`)."""
        return _from_arrays(_frozen_arrays())

    def checksum(self) -> str:
        """SHA-256 of everything that says where surface and joints are."""
        digest = hashlib.sha256()
        for part in (
            self.template,
            self.shape_basis,
            self.expression_basis,
            self.rest_joints,
            self.joint_basis,
            self.skin_weights,
        ):
            digest.update(part.detach().cpu().float().contiguous().numpy().round(6).tobytes())
        digest.update(self.faces.cpu().numpy().astype(np.int32).tobytes())
        return digest.hexdigest()

    def rest_pose(self, batch: int) -> BodyPose:
        """Mean bodies at rest in the body frame."""
        like = self.template
        eye = torch.eye(3, device=like.device, dtype=like.dtype)
        return BodyPose(
            eye.expand(batch, len(PARENTS), 3, 3).clone(),
            like.new_zeros(batch, self.shape_basis.shape[2]),
            like.new_zeros(batch, self.expression_basis.shape[2]),
            eye.expand(batch, 3, 3).clone(),
            like.new_zeros(batch, 3),
            like.new_ones(batch),
        )

    def joint_positions(self, shape: Tensor) -> Tensor:
        """Rest joints (B, 26, 3) of shapes (B, S), body frame."""
        return self.rest_joints + torch.einsum("jck,bk->bjc", self.joint_basis, shape)

    def bone_lengths(self, shape: Tensor) -> Tensor:
        """Lengths (B, 26) from each joint's parent to the joint, metres; 0 for the pelvis."""
        rest = self.joint_positions(shape)
        bones = rest[:, 1:] - rest[:, list(PARENTS[1:])]
        return torch.cat([rest.new_zeros(len(rest), 1), bones.norm(dim=2)], 1)

    def hand_sizes(self, shape: Tensor) -> Tensor:
        """How large (B,) the hands of bodies of shapes (B, S) are, 1 for the mean body's."""
        return 1.0 + shape @ self.hand_basis

    def joints(self, pose: BodyPose) -> Tensor:
        """The joints (B, 26, 3) in the camera frame, without the surface."""
        return self.chain(pose)[2]

    def chain(self, pose: BodyPose) -> tuple[Tensor, Tensor, Tensor]:
        """Forward kinematics: rest joints (B, 26, 3), rotations (B, 26, 3, 3) and joints (B, 26, 3), body frame -> camera.

        Rotations are orthonormal; `pose.scale` is not in them.
        """
        rest = self.joint_positions(pose.shape)
        rotations, positions = [pose.orientation @ pose.rotations[:, 0]], [torch.zeros_like(rest[:, 0])]
        for joint in range(1, len(PARENTS)):
            parent = PARENTS[joint]
            bone = (rest[:, joint] - rest[:, parent])[..., None]
            positions.append(positions[parent] + (rotations[parent] @ bone)[..., 0])
            rotations.append(rotations[parent] @ pose.rotations[:, joint])
        joints = torch.stack(positions, 1)
        joints = (joints - joints[:, JOINT["neck"], None]) * pose.scale[:, None, None] + pose.translation[:, None]
        return rest, torch.stack(rotations, 1), joints

    def shaped(self, shape: Tensor, expression: Tensor) -> Tensor:
        """Rest surfaces (B, V, 3) of shapes (B, S) and expressions (B, E), body frame."""
        count = len(self.template)
        flat = torch.addmm(self.template.reshape(1, -1), shape, self.shape_basis.reshape(3 * count, -1).T)
        return torch.addmm(flat, expression, self.expression_basis.reshape(3 * count, -1).T).view(-1, count, 3)

    def forward(self, pose: BodyPose) -> BodySurface:
        rest, rotations, joints = self.chain(pose)
        turned = rotations * pose.scale[:, None, None, None]
        offsets = joints - (turned @ rest[..., None])[..., 0]
        affine = torch.cat([turned, offsets[..., None]], 3)  # (B, J, 3, 4)
        shaped = self.shaped(pose.shape, pose.expression)
        blended = (self.skin_weights @ affine.flatten(2)).unflatten(2, (3, 4))  # (B, V, 3, 4)
        vertices = (blended[..., :3] @ shaped[..., None])[..., 0] + blended[..., 3]
        bottom = affine.new_tensor([0.0, 0.0, 0.0, 1.0]).expand(*affine.shape[:2], 1, 4)
        return BodySurface(vertices, joints, torch.cat([affine, bottom], 2), pose.shape)

    def hand_frames(self, surface: BodySurface, side: str) -> tuple[Tensor, Tensor]:
        """Where a hand sits: orientation (B, 3, 3) of its forearm's frame (hand frame -> camera) and the wrist (B, 3).

        A `HandPose` with `orientation = forearm @ rotations[:, 0].mT` and `translation = wrist` has its forearm on the body's. For the left
        side, where the hand model is posed as a right hand and mirrored, both are of the picture mirrored in x.
        """
        number = SIDES.index(side)
        turned = surface.transforms[:, JOINT[f"{side}_forearm"], :3, :3]
        turned = turned / torch.linalg.det(turned).pow(1 / 3)[:, None, None]
        flip = torch.diag(turned.new_tensor([1.0 - 2.0 * number, 1.0, 1.0]))
        wrist = surface.joints[:, JOINT[f"{side}_wrist"]] @ flip
        return flip @ turned @ flip @ self.hand_to_body, wrist


@lru_cache(maxsize=1)
def _frozen_arrays() -> dict[str, np.ndarray]:
    path = resources.files("phalanx.synth") / "assets" / "body.npz"
    with resources.as_file(path) as file, np.load(file) as arrays:
        return {name: arrays[name] for name in arrays.files}


def _from_arrays(arrays: dict[str, np.ndarray]) -> BodyModel:
    tensors = {name: torch.tensor(value) for name, value in arrays.items()}  # copies: the arrays are shared
    return BodyModel(
        **{k: v.long() if k in ("faces", "mirror", "regions") else v.float().contiguous() for k, v in tensors.items()}
    )
