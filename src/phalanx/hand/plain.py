"""The skinned hand model in NumPy, for prediction: the same hand as `hand.model`, posed without PyTorch, and quicker for few hands."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib import resources
from typing import Any

import numpy as np

from phalanx.hand.pose import HandPose, HandSurface
from phalanx.hand.skeleton import FINGERS, TIPS

_FIRST = np.array([finger[0] for finger in FINGERS])
_PIVOTS = np.array([0, 0, *(joint for finger in FINGERS for joint in finger[:3])])  # what each segment turns about


@dataclass(frozen=True, eq=False)
class PlainHand:
    """A hand model as arrays, named as the buffers of `hand.model.HandModel` are: float32, indices int64."""

    template: np.ndarray
    faces: np.ndarray
    shape_basis: np.ndarray
    rest_joints: np.ndarray
    joint_basis: np.ndarray
    skin_weights: np.ndarray
    parts: np.ndarray
    pose_basis: np.ndarray | None = None
    tip_vertices: np.ndarray | None = None
    pose_mix: np.ndarray | None = None

    @staticmethod
    def open_hand() -> PlainHand:
        """The open hand that ships with the package; always the same object."""
        return _open_hand()

    def checksum(self) -> str:
        """As `HandModel.checksum`."""
        return meaning(self.rest_joints, self.joint_basis)

    def joint_positions(self, shape: np.ndarray) -> np.ndarray:
        """Rest joints (B, 21, 3) of a shape (B, 10), hand frame."""
        positions: np.ndarray = self.rest_joints + (self.joint_basis @ shape[:, None, :, None])[..., 0]
        return positions

    def pose_features(self, rotations: np.ndarray) -> np.ndarray:
        """As `HandModel.pose_features`."""
        bent = (rotations[:, 1:] - np.eye(3, dtype=rotations.dtype)).reshape(len(rotations), -1)
        return bent if self.pose_mix is None else bent @ self.pose_mix

    def joints(self, pose: HandPose[np.ndarray]) -> np.ndarray:
        """The 21 joints (B, 21, 3) in the camera frame."""
        if self.tip_vertices is not None:
            return self(pose).joints
        return self._chain(pose)[2]

    def __call__(self, pose: HandPose[np.ndarray]) -> HandSurface[np.ndarray]:
        """The posed hand, as `HandModel.forward`."""
        rest, rotations, joints = self._chain(pose)
        count, pivots = len(joints), rest[:, _PIVOTS, :, None]
        transforms = np.zeros((count, 17, 4, 4), joints.dtype)
        transforms[..., :3, :3], transforms[..., 3, 3] = rotations, 1
        transforms[..., :3, 3] = joints[:, _PIVOTS] - (rotations @ pivots)[..., 0]
        shaped = self._flat_template + pose.shape @ self._flat_basis
        if self._flat_pose_basis is not None:
            shaped = shaped + self.pose_features(pose.rotations) @ self._flat_pose_basis
        shaped = shaped.reshape(count, 1, 3, -1)
        # Coordinates first and vertices last, so that every product runs along contiguous memory.
        blended = transforms[:, :, :3].reshape(count, 17, 12).swapaxes(1, 2) @ self._weights  # (B, 12, V)
        blended = blended.reshape(count, 3, 4, -1)
        vertices = blended[:, :, 3] + (blended[:, :, :3] * shaped).sum(2)
        vertices = np.ascontiguousarray(vertices.swapaxes(1, 2))
        if self.tip_vertices is not None:
            joints = joints.copy()
            joints[:, TIPS] = vertices[:, self.tip_vertices]
        return HandSurface(vertices, joints, transforms)

    def _chain(self, pose: HandPose[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """As `HandModel.chain`."""
        rest = self.joint_positions(pose.shape)
        palm, local = pose.orientation, pose.rotations[:, 1:].reshape(-1, 5, 3, 3, 3)
        rotation = palm[:, None]
        position = (rotation @ (rest[:, _FIRST] - rest[:, :1])[..., None])[..., 0] + pose.translation[:, None]
        rotations, positions = [], [position]
        for k in range(3):
            rotation = rotation @ local[:, :, k]  # (B, 5, 3, 3)
            bone = rest[:, _FIRST + k + 1] - rest[:, _FIRST + k]
            position = position + (rotation @ bone[..., None])[..., 0]
            rotations.append(rotation)
            positions.append(position)
        fingers = np.stack(rotations, 2).reshape(-1, 15, 3, 3)
        joints = np.concatenate((pose.translation[:, None], np.stack(positions, 2).reshape(-1, 20, 3)), 1)
        segments = np.concatenate((palm[:, None], (palm @ pose.rotations[:, 0])[:, None], fingers), 1)
        return rest, segments, joints

    @cached_property
    def _flat_template(self) -> np.ndarray:
        return np.ascontiguousarray(self.template.T).reshape(-1)  # (3 V,)

    @cached_property
    def _flat_basis(self) -> np.ndarray:
        return _flat(self.shape_basis)

    @cached_property
    def _flat_pose_basis(self) -> np.ndarray | None:
        return None if self.pose_basis is None else _flat(self.pose_basis)

    @cached_property
    def _weights(self) -> np.ndarray:
        return np.ascontiguousarray(self.skin_weights.T)  # (17, V)


def plain_hand(model: Any) -> PlainHand:
    """The hand in NumPy of a `hand.model.HandModel`, kept for the next call; a hand that is in NumPy is itself."""
    return model if isinstance(model, PlainHand) else _plain_hand(model)


@lru_cache(maxsize=8)
def _plain_hand(model: Any) -> PlainHand:
    buffers = {name: getattr(model, name) for name in PlainHand.__dataclass_fields__}
    # Copies: PyTorch moves the memory of tensors that are sent to other processes.
    return PlainHand(
        **{name: value.detach().cpu().numpy().copy() for name, value in buffers.items() if value is not None}
    )


@lru_cache(maxsize=1)
def _open_hand() -> PlainHand:
    arrays = {name: value for name, value in frozen_arrays().items() if name != "uv"}
    kept = {
        name: value.astype(np.int64 if name in ("faces", "tip_vertices") else np.float32)
        for name, value in arrays.items()
    }
    return PlainHand(**kept, parts=kept["skin_weights"].argmax(1))


@lru_cache(maxsize=1)
def frozen_arrays() -> dict[str, np.ndarray]:
    """The arrays of the open hand's file (CC0 data, `scripts/build_open_hand.py`)."""
    path = resources.files("phalanx.hand") / "assets" / "open_hand.npz"
    with resources.as_file(path) as file, np.load(file) as arrays:
        return {name: arrays[name] for name in arrays.files}


def meaning(rest_joints: np.ndarray, joint_basis: np.ndarray) -> str:
    """SHA-256 of the rest joints and their shape basis, float32: what joints and shapes mean, for weights that speak of them."""
    digest = hashlib.sha256()
    for part in (rest_joints, joint_basis):
        digest.update(part.round(7).tobytes())
    return digest.hexdigest()


def _flat(basis: np.ndarray) -> np.ndarray:
    """A basis (V, 3, K) laid out as it is multiplied: (K, 3 V)."""
    return np.ascontiguousarray(basis.transpose(2, 1, 0)).reshape(basis.shape[2], -1)
