"""The skinned hand model: pose and shape in, surface and joints out, differentiable in everything.

Right hand, in the hand frame: origin at the wrist, x radial (to the thumb), y distal, z palmar; metres. The rest pose is the
anatomical zero: fingers straight in the plane of the palm. The palm is the root; the forearm is its child at the wrist, so that
a hand can be posed without knowing its arm.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from phalanx.core.errors import InputError
from phalanx.hand.plain import frozen_arrays, meaning
from phalanx.hand.pose import HandPose, HandSurface, concatenate_poses
from phalanx.hand.skeleton import FINGERS, TIPS

__all__ = ["HandModel", "HandPose", "HandSurface", "concatenate_poses"]


class HandModel(nn.Module):
    """Linear blend skinning with linear shape; plain arrays as buffers.

    Buffers: `template` (V, 3), `faces` (F, 3), `uv` (F, 3, 2) in [0, 1] per corner, `shape_basis` (V, 3, 10), `rest_joints`
    (21, 3), `joint_basis` (21, 3, 10), `skin_weights` (V, 17) to the moving segments (palm, forearm,
    then three of each finger, thumb first), `parts` (V,) the segment with the largest weight. Where the model has them (else
    None): `pose_basis` (V, 3, P), how the rest surface changes with the elements of the 15 finger rotations less the
    identity, row by row (P = 135), or with P mixes of them, `pose_mix` (135, P); `tip_vertices` (5,), vertices that are the
    finger tips, thumb first.
    """

    template: Tensor
    faces: Tensor
    uv: Tensor
    shape_basis: Tensor
    rest_joints: Tensor
    joint_basis: Tensor
    skin_weights: Tensor
    parts: Tensor
    pose_basis: Tensor | None
    tip_vertices: Tensor | None
    pose_mix: Tensor | None

    def __init__(
        self,
        template: Tensor,
        faces: Tensor,
        uv: Tensor,
        shape_basis: Tensor,
        rest_joints: Tensor,
        joint_basis: Tensor,
        skin_weights: Tensor,
        pose_basis: Tensor | None = None,
        tip_vertices: Tensor | None = None,
        pose_mix: Tensor | None = None,
    ) -> None:
        super().__init__()
        for name, value in (
            ("template", template),
            ("faces", faces),
            ("uv", uv),
            ("shape_basis", _vertices_last(shape_basis)),
            ("rest_joints", rest_joints),
            ("joint_basis", joint_basis),
            ("skin_weights", skin_weights),
            ("parts", skin_weights.argmax(1)),
            ("pose_basis", None if pose_basis is None else _vertices_last(pose_basis)),
            ("tip_vertices", tip_vertices),
            ("pose_mix", pose_mix),
        ):
            self.register_buffer(name, value, persistent=False)

    @staticmethod
    def load(path: Path | str) -> HandModel:
        """Read a frozen hand file. Raises `InputError` when it is missing or damaged."""
        try:
            with Path(path).open("rb") as file, np.load(file) as arrays:
                return _from_arrays({name: arrays[name] for name in arrays.files})
        except (OSError, ValueError, TypeError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile) as error:
            raise InputError(f"{path} is not a readable hand model ({error}).") from error

    @staticmethod
    def open_hand() -> HandModel:
        """The open hand that ships with the package (CC0 data, `scripts/build_open_hand.py`)."""
        return _from_arrays(frozen_arrays())

    def checksum(self) -> str:
        """SHA-256 of the rest joints and their shape basis: what joints and shapes mean, for weights that speak of them."""
        return meaning(*(part.detach().cpu().float().numpy() for part in (self.rest_joints, self.joint_basis)))

    def joint_positions(self, shape: Tensor) -> Tensor:
        """Rest joints (B, 21, 3) of a shape (B, 10), hand frame."""
        return self.rest_joints + torch.einsum("jck,bk->bjc", self.joint_basis, shape)

    def chain(self, pose: HandPose) -> tuple[Tensor, Tensor, Tensor]:
        """Forward kinematics: rest joints (B, 21, 3), segment rotations (B, 17, 3, 3) and joints (B, 21, 3), hand frame -> camera.

        Finger tips ride on the last segments here, in models with `tip_vertices` too.
        """
        rest = self.joint_positions(pose.shape)
        palm = pose.orientation
        # The five fingers have the same tree, so they are walked together: (B, 5, ...).
        first = torch.tensor([finger[0] for finger in FINGERS], device=rest.device)
        local = pose.rotations[:, 1:].unflatten(1, (5, 3))
        rotation = palm[:, None]
        position = (palm[:, None] @ (rest[:, first] - rest[:, :1])[..., None])[..., 0]
        position = position + pose.translation[:, None]
        rotations, positions = [], [position]
        for k in range(3):
            rotation = rotation @ local[:, :, k]  # (B, 5, 3, 3)
            bone = rest[:, first + k + 1] - rest[:, first + k]
            position = position + (rotation @ bone[..., None])[..., 0]
            rotations.append(rotation)
            positions.append(position)
        fingers = torch.stack(rotations, 2).flatten(1, 2)  # (B, 15, 3, 3)
        joints = torch.cat([pose.translation[:, None], torch.stack(positions, 2).flatten(1, 2)], 1)
        segments = torch.cat([palm[:, None], (palm @ pose.rotations[:, 0])[:, None], fingers], 1)
        return rest, segments, joints

    def joints(self, pose: HandPose) -> Tensor:
        """The 21 joints (B, 21, 3) in the camera frame, without the surface."""
        rest, rotations, joints = self.chain(pose)
        if self.tip_vertices is None:
            return joints
        tips = self._skinned(pose, _affine(rest, rotations, joints), self.tip_vertices)
        return joints.index_copy(1, _tips(joints), tips)

    def transforms(self, pose: HandPose) -> Tensor:
        """Of the 17 segments, rest hand frame -> camera, (B, 17, 3, 4), without the surface."""
        return _affine(*self.chain(pose))

    def forward(self, pose: HandPose) -> HandSurface:
        rest, rotations, joints = self.chain(pose)
        affine = _affine(rest, rotations, joints)
        vertices = self._skinned(pose, affine, slice(None))
        if self.tip_vertices is not None:
            joints = joints.index_copy(1, _tips(joints), vertices[:, self.tip_vertices])
        bottom = torch.tensor([0.0, 0.0, 0.0, 1.0], device=rest.device, dtype=rest.dtype).expand(
            *affine.shape[:2], 1, 4
        )
        return HandSurface(vertices, joints, torch.cat([affine, bottom], 2))

    def without_correctives(self) -> HandModel:
        """The same hand by skinning alone: without swollen flesh, which gives way to whatever touches it."""
        names = "template faces uv shape_basis rest_joints joint_basis skin_weights tip_vertices".split()
        return HandModel(**{name: getattr(self, name) for name in names})

    def pose_features(self, rotations: Tensor) -> Tensor:
        """What `pose_basis` multiplies, (B, P), of local rotations (B, 16, 3, 3): zero at rest."""
        bent = (rotations[:, 1:] - torch.eye(3, device=rotations.device, dtype=rotations.dtype)).flatten(1)
        return bent if self.pose_mix is None else bent @ self.pose_mix

    def _skinned(self, pose: HandPose, affine: Tensor, picked: Tensor | slice) -> Tensor:
        """The `picked` vertices (B, N, 3) under the segments' transforms (B, 17, 3, 4)."""
        # Coordinates first and vertices last, so that every product runs along contiguous memory.
        count = len(pose.shape)
        basis = self.shape_basis[picked].permute(2, 1, 0).flatten(1)  # (10, 3 N)
        shaped = torch.addmm(self.template[picked].T.reshape(1, -1), pose.shape, basis)  # (B, 3 N)
        if self.pose_basis is not None:
            bent = self.pose_features(pose.rotations)
            shaped = torch.addmm(shaped, bent, self.pose_basis[picked].permute(2, 1, 0).flatten(1))
        shaped = shaped.view(count, 3, -1)
        blended = (affine.flatten(2).mT @ self.skin_weights[picked].T).view(count, 3, 4, -1)  # (B, 3, 4, N)
        vertices = blended[:, :, 3]
        for axis in range(3):
            vertices = torch.addcmul(vertices, blended[:, :, axis], shaped[:, None, axis])
        return vertices.mT.contiguous()


def _vertices_last(basis: Tensor) -> Tensor:
    """A basis (V, 3, K) laid out as the forward pass multiplies it: its transpose (K, 3, V) is contiguous."""
    return basis.permute(2, 1, 0).contiguous().permute(2, 1, 0)


def _affine(rest: Tensor, rotations: Tensor, joints: Tensor) -> Tensor:
    """What `HandModel.chain` gives as transforms (B, 17, 3, 4) of the segments."""
    pivots = torch.tensor([0, 0, *(j for finger in FINGERS for j in finger[:3])], device=rest.device)
    offsets = joints[:, pivots] - (rotations @ rest[:, pivots, :, None])[..., 0]  # (B, 17, 3)
    return torch.cat([rotations, offsets[..., None]], 3)


def _tips(joints: Tensor) -> Tensor:
    return torch.tensor(TIPS, device=joints.device)


def _from_arrays(arrays: dict[str, np.ndarray]) -> HandModel:
    tensors = {name: torch.from_numpy(value) for name, value in arrays.items()}
    return HandModel(**{k: v.long() if k in ("faces", "tip_vertices") else v.float() for k, v in tensors.items()})
