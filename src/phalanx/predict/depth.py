"""`DepthPredictor`: a depth frame in, the hand in it out, in metres.

depth frame (or what is in a box, or in a mask) -> the hand is found -> cube about it -> spheres
    -> hand model posed on the joints -> DepthHand
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from phalanx.core.checks import as_array, as_intrinsics
from phalanx.core.devices import as_device
from phalanx.core.errors import InputError
from phalanx.fit.joints import fit_joints
from phalanx.geometry.cubes import EXTENT, cube_maps
from phalanx.hand.anatomy import AnatomicalPose
from phalanx.hand.model import HandModel
from phalanx.hand.prediction import SIDES, HandPrediction, Side
from phalanx.hand.sphere_priors import joints_of_spheres
from phalanx.hand.spheres import RADII
from phalanx.methods.sphere_fitting import load
from phalanx.predict.depth_search import find_hands, fit_to_maps, why_no_hand, within

JOINT_SIGMA = 0.01
"""How far joints out of spheres may be off, metres; were they trusted more, hands would take impossible shapes."""
MOST_ERROR = 0.025
"""Fit error in metres beyond which spheres are no hand."""


@dataclass(frozen=True)
class DepthHand:
    """A hand in a depth frame; metres, camera frame of the frame as it was given.

    Attributes:
        hand: joints, angles and mesh of the hand model posed on the spheres.
        spheres: (41, 3) centres as the network gives them.
        radii: (41,).
        fit_error: mean absolute difference of the depth of the drawn spheres from what was read, where both are, metres.
    """

    hand: HandPrediction
    spheres: np.ndarray
    radii: np.ndarray
    fit_error: float


class DepthPredictor:
    """Finds the hand in a depth frame: `DepthPredictor()(depth, K)` gives a `DepthHand`.

    Args:
        weights: of `methods.sphere_fitting` (default: those in the package).
        device: where the network runs, as PyTorch names it.

    Raises:
        InputError: the weights are missing or damaged, or there is no such device.
    """

    def __init__(self, weights: str | os.PathLike[str] | None = None, device: str = "cpu") -> None:
        self.device = as_device(device)
        self.estimator = load(None if weights is None else Path(weights)).to(self.device)
        self.model = HandModel.open_hand()

    def __call__(
        self,
        depth: np.ndarray,
        K: Any,
        side: Side | Literal["auto"] = "auto",
        box: Any = None,
        mask: np.ndarray | None = None,
    ) -> DepthHand:
        """Predict the hand in `depth`.

        Args:
            depth: (H, W) metres, 0 = no reading.
            K: camera matrix (3, 3), or (fx, fy, cx, cy).
            side: which of the person's hands it is; "auto" tries both and keeps the one that fits better.
            box: (x, y, width, height) in pixels that the hand is in; none: it is looked for, first in what is nearest.
            mask: (H, W) where the hand may be.

        Raises:
            InputError: an argument is at fault, or nothing is read where the hand should be.
        """
        depth = as_array(depth, (None, None), "depth").astype(np.float32)
        if (depth < 0).any():
            raise InputError("depth: holds negative values")
        if side not in (*SIDES, "auto"):
            raise InputError(f"side: must be 'left', 'right' or 'auto', not {side!r}")
        intrinsics = as_intrinsics(K)
        seen = within(depth, box, mask)
        sides: tuple[Side, ...] = SIDES if side == "auto" else (side,)
        found = [self._look(seen, intrinsics, each) for each in sides]
        best = min(range(len(found)), key=lambda k: -found[k][3])
        spheres, middle, error, agreement, fault = found[best]
        if fault is not None:
            raise InputError(f"depth: {fault}")
        return self._assemble(depth, intrinsics, sides[best], side == "auto", spheres, middle, error, agreement)

    @torch.no_grad()
    def _look(self, depth: np.ndarray, K: np.ndarray, side: Side) -> tuple[Tensor, Tensor, float, float, str | None]:
        """Spheres (41, 3) in the frame of the (for a left hand, mirrored) camera, cube's middle, fit error, share that agrees, and
        what speaks against a hand."""
        frame, camera = torch.from_numpy(depth)[None], torch.from_numpy(K).float()[None]
        if side == "left":
            frame, camera = mirrored_frames(frame, camera)
        middle = find_hands(self.estimator, frame, camera, self.device)
        maps = cube_maps(frame, camera, middle, self.estimator.config.size)
        centres = self.estimator(maps.to(self.device)).cpu()  # (1, 41, 3)
        error, agreement, compared = (float(value[0]) for value in fit_to_maps(centres, maps))
        error = error if compared else EXTENT
        return centres[0] + middle, middle[0], error, agreement, why_no_hand(middle[0], maps[0], error, MOST_ERROR)

    def _assemble(
        self,
        depth: np.ndarray,
        K: np.ndarray,
        side: Side,
        guessed: bool,
        spheres: Tensor,
        middle: Tensor,
        error: float,
        agreement: float,
    ) -> DepthHand:
        height, width = depth.shape
        pose = fit_joints(self.model, joints_of_spheres(spheres)[None], sigma=JOINT_SIGMA)
        with torch.no_grad():
            surface = self.model(pose)
        mirror = np.array([-1.0, 1.0, 1.0]) if side == "left" else np.ones(3)
        joints = surface.joints[0].double().numpy() * mirror
        # The mirrored camera looks along another ray: x is negated in the plain one, whose axis is where it was.
        pixels = joints @ K.T
        pixels = pixels[:, :2] / pixels[:, 2:]
        faces = self.model.faces.numpy()
        centre = middle.double().numpy() * mirror
        half = 0.5 * EXTENT * K[[0, 1], [0, 1]] / centre[2]
        corner = (K @ centre)[:2] / centre[2] - half
        hand = HandPrediction(
            side=side,
            score=float(np.clip(agreement, 0, 1)),
            box=np.array([*corner, *(2 * half)]),
            width=width,
            height=height,
            joints_2d=pixels,
            joints=joints,
            uncertainty=np.full(21, error * K[0, 0] / centre[2]),
            rotations=pose.rotations[0].double().numpy(),
            orientation=pose.orientation[0].double().numpy(),
            angles_degrees=AnatomicalPose.from_rotations(pose.rotations.double()).degrees()[0],
            shape=pose.shape[0].double().numpy(),
            K=K,
            camera_source="given",
            scale_source="depth",
            side_source="guessed" if guessed else "given",
            vertices=surface.vertices[0].double().numpy() * mirror,
            faces=faces[:, ::-1] if side == "left" else faces,
            spheres=spheres.double().numpy() * mirror,
            fit_error_mm=1000 * error,
        )
        assert hand.spheres is not None
        return DepthHand(hand, hand.spheres, np.array(RADII), error)


def mirrored_frames(depth: Tensor, K: Tensor) -> tuple[Tensor, Tensor]:
    """Depth frames (B, H, W) and cameras (B, 3, 3) of the mirror image, in which a left hand is a right one."""
    flipped = K.clone()
    flipped[:, 0, 2] = depth.shape[-1] - 1 - K[:, 0, 2]
    return depth.flip(-1).contiguous(), flipped
