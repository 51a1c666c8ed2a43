"""A posed hand before a camera in 63 numbers, as networks regress them: pose, shape, and the view (Baek et al. 2019, Eq. 4).

    h = [p (45), s (10), c_q (4), c_s (1), c_t (3)]

- **p** are axis-angle vectors of the 15 finger joints, in the order and frames of `HandPose.rotations[:, 1:]`; the forearm stays straight.
- **s** are shape components, in standard deviations.
- **c_q** is a quaternion, XYZW, of any norm but 0: the palm's turn, from the hand frame to the camera's.
- **c_s** is the logarithm of the hand's scale; at 0 it has the model's size.
- **c_t** is where the root, the middle finger's MCP, lies: x and y in sides of the picture from its middle, and the logarithm of its
  distance over the one at which the mean hand is `FILLED` of the picture long.

A picture does not tell a small hand nearby from a large one farther off: scale and distance are two names of one thing but for the lengths
that come out. `hand(h, K, size)` is in metres if both are; who knows the root's true depth brings joints there (`at_depth`).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from phalanx.geometry.camera import Camera
from phalanx.geometry.rotations import rotmat_to_rotvec, rotvec_to_rotmat
from phalanx.geometry.turns import quat_to_rotmat, rotmat_to_quat
from phalanx.hand.angles import FLEXION, angles_to_rotations
from phalanx.hand.mano import ManoHand, ManoParameters
from phalanx.hand.model import HandModel, HandPose, HandSurface
from phalanx.hand.skeleton import FOREARM, MIDDLE_CHAIN

PARAMETERS = 63
POSE, SHAPE, TURN, SCALE, PLACE = slice(0, 45), slice(45, 55), slice(55, 59), slice(59, 60), slice(60, 63)
"""Where in `h` what stands."""

ROOT = 9
"""The middle finger's MCP."""

FILLED = 0.6
"""Share of the picture's side that the stretched mean hand is long, where c_s = c_t = 0."""

FURTHEST = 2.0
"""Scale and distance are kept within exp(-2) to exp(2)."""

RELAXED = 0.35
"""Flexion of the mean pose's finger joints, radians."""


class ParametricHand(nn.Module):
    """A hand model that 63 numbers pose and put before a camera.

    Buffers: `start (63,)`, the mean pose and shape seen from the palm's side, upright, in the middle of the picture; `faces (F', 3)`, the
    model's without those of the forearm.

    Args:
        hand: the open hand, or MANO's.
        mean_pose: (45,) axis-angle vectors; None: fingers a little bent.
    """

    start: Tensor
    faces: Tensor

    def __init__(self, hand: HandModel, mean_pose: Tensor | None = None) -> None:
        super().__init__()
        self.hand = hand
        start = torch.zeros(PARAMETERS)
        start[POSE] = relaxed_pose() if mean_pose is None else mean_pose
        start[TURN] = torch.tensor([1.0, 0.0, 0.0, 0.0])  # half a turn about x: fingers up, the palm towards the camera
        self.register_buffer("start", start, persistent=False)
        self.register_buffer("faces", hand.faces[(hand.parts[hand.faces] != FOREARM).all(1)], persistent=False)
        chain = hand.rest_joints[MIDDLE_CHAIN]
        self.length = float((chain[1:] - chain[:-1]).norm(dim=-1).sum())
        """Metres, of the mean hand from wrist to middle finger's tip."""

    def pose(self, parameters: Tensor) -> HandPose:
        """The pose that `h` (B, 63) means, the wrist in the origin, without scale."""
        fingers = rotvec_to_rotmat(parameters[:, POSE].unflatten(1, (15, 3)))  # (B, 15, 3, 3)
        straight = torch.eye(3).to(fingers).expand(len(fingers), 1, 3, 3)
        turn = quat_to_rotmat(parameters[:, TURN])
        return HandPose(torch.cat((straight, fingers), 1), parameters[:, SHAPE], turn, torch.zeros_like(turn[:, 0]))

    def joints(self, parameters: Tensor, K: Tensor, size: int) -> Tensor:
        """Joints (B, 21, 3), camera frame, of `h` (B, 63) before cameras K (B, 3, 3) of pictures of `size` pixels."""
        joints = self.hand.joints(self.pose(parameters))
        return self._placed(joints, joints[:, ROOT], parameters, K, size)

    def forward(self, parameters: Tensor, K: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
        """Vertices (B, V, 3) and joints (B, 21, 3), camera frame; and the vertices before scale and place, in metres."""
        surface: HandSurface = self.hand(self.pose(parameters))
        root = surface.joints[:, ROOT]
        vertices = self._placed(surface.vertices, root, parameters, K, size)
        return vertices, self._placed(surface.joints, root, parameters, K, size), surface.vertices

    def _placed(self, points: Tensor, root: Tensor, parameters: Tensor, K: Tensor, size: int) -> Tensor:
        """Points (B, N, 3) about the root (B, 3) scaled, and put where `h` has the root."""
        scale, place = parameters[:, SCALE], parameters[:, PLACE]
        depth = self.distance(K, size) * place[:, 2].clamp(-FURTHEST, FURTHEST).exp()  # (B,)
        pixel = (0.5 + place[:, None, :2]) * size - 0.5
        there = Camera(K, size, size).unproject(pixel, depth[:, None])  # (B, 1, 3)
        return scale.clamp(-FURTHEST, FURTHEST).exp()[..., None] * (points - root[:, None]) + there

    def distance(self, K: Tensor, size: int) -> Tensor:
        """(B,) metres, of the mean hand that is `FILLED` of the picture long."""
        return focal_length(K) * self.length / (FILLED * size)


def focal_length(K: Tensor) -> Tensor:
    """(B,) pixels, of cameras K (B, 3, 3), turned ones too: the root of what a picture enlarges areas by."""
    return (K[:, 0, 0] * K[:, 1, 1] - K[:, 0, 1] * K[:, 1, 0]).abs().sqrt()


def at_depth(joints: Tensor, depth: Tensor) -> Tensor:
    """Joints (B, 21, 3) brought to where the root has the `depth` (B,), metres: scaled about the camera, so that no pixel moves."""
    return joints * (depth / joints[:, ROOT, 2])[:, None, None]


def relaxed_pose() -> Tensor:
    """Axis-angle vectors (45,) of the open hand with bent fingers."""
    angles = torch.zeros(1, 23)
    angles[:, [FLEXION[joint] for joint in range(4, 16)]] = RELAXED  # the thumb stays straight
    return rotmat_to_rotvec(angles_to_rotations(angles)[0, 1:]).flatten()


def mano_pose(mano: ManoHand) -> Tensor:
    """Axis-angle vectors (45,) of MANO's mean pose, as `ParametricHand` takes it."""
    nothing = torch.zeros(1, 3)
    mean = mano.to_pose(ManoParameters(mano.mean_pose[None], torch.zeros(1, 10), nothing, nothing))
    return rotmat_to_rotvec(mean.rotations[0, 1:]).flatten()


def uniform_turns(count: int) -> Tensor:
    """Quaternions (count, 4) XYZW of turns about x, then y, then z, each angle uniform in 0 to 2 pi; PyTorch's own random numbers."""
    angles = 2 * math.pi * torch.rand(count, 3)
    x, y, z = rotvec_to_rotmat(angles[..., None] * torch.eye(3)).unbind(1)  # (count, 3, 3) each
    return rotmat_to_quat(z @ y @ x)
