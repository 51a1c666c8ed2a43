"""`DepthPredictor`: a depth frame in, the hand in it out, in metres.

depth frame (or what is in a box, or in a mask) -> the hand is found -> cube about it -> spheres
    -> hand model posed on their joints -> HandPrediction
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from phalanx.core.checks import as_array, as_intrinsics
from phalanx.core.devices import as_device
from phalanx.core.errors import InputError
from phalanx.core.isolated import isolated
from phalanx.core.precision import Precision
from phalanx.fit.evidence import Evidence
from phalanx.fit.joints import fit_joints
from phalanx.geometry.camera import Camera
from phalanx.geometry.cubes import EXTENT, cube_maps
from phalanx.hand.model import HandModel, HandPose
from phalanx.hand.prediction import SIDES, HandPrediction, Side
from phalanx.methods.sphere_fitting import evidence_of, load
from phalanx.predict.assemble import assemble
from phalanx.predict.depth_search import SpheresInCubes, find_hands, fit_to_maps, why_no_hand, within
from phalanx.predict.inputs import check_side

MOST_ERROR = 0.025
"""Fit error in metres beyond which spheres are no hand."""

Fit = Callable[[HandModel, Evidence], HandPose]
"""`fit(model, evidence)` of evidence with joints in metres, as `fit_within_limits`."""


@dataclass(frozen=True)
class _Found:
    """What one look gave, in the frame of the camera; of a left hand, the mirrored one."""

    side: Side
    spheres: Tensor  # (41, 3) metres
    middle: Tensor  # (3,) of the cube, metres
    error: float  # metres between spheres and what was read
    agreement: float  # share of the spheres that lie where something was read
    fault: str | None  # what speaks against a hand


def fit_within_limits(model: HandModel, evidence: Evidence) -> HandPose:
    """The hand model posed on the evidence's 3D joints, none of its angles beyond a limit."""
    if evidence.joints is None or evidence.sigma_joints is None:
        raise ValueError("evidence: a predictor of depth frames needs joints with sigma_joints")
    return fit_joints(model, evidence.joints, sigma=evidence.sigma_joints)


class DepthPredictor:
    """Finds the hand in a depth frame: `DepthPredictor()(depth, K)` gives a `HandPrediction` with its spheres.

    Args:
        estimator: what finds spheres in cubes, which is moved to `device`; or a weights file of `methods.sphere_fitting`. None takes
            those in the package.
        device: where the estimator runs, as PyTorch names it; the hand model is fitted on the CPU.
        model: the hand model that the estimator was trained for (default: the open hand).
        fit: how the hand model is posed on evidence with joints in metres.
        precision: of the estimator that is loaded, on the CPU; auto is the faster one.

    Raises:
        InputError: the weights are missing or damaged or of another hand, or there is no such device.
    """

    @isolated
    def __init__(
        self,
        estimator: SpheresInCubes | str | os.PathLike[str] | None = None,
        device: str = "cpu",
        model: HandModel | None = None,
        fit: Fit = fit_within_limits,
        precision: Precision = "auto",
    ) -> None:
        self.device = as_device(device)
        self.model = HandModel.open_hand() if model is None else model
        self.fit = fit
        if estimator is None or isinstance(estimator, str | os.PathLike):
            path = None if estimator is None else os.fspath(estimator)
            estimator = load(path, self.model, precision=precision)
        if isinstance(estimator, nn.Module):
            estimator.to(self.device)
        self.estimator: SpheresInCubes = estimator

    @isolated
    def __call__(
        self,
        depth: np.ndarray,
        K: Any,
        side: Side | Literal["auto"] = "auto",
        box: Any = None,
        mask: np.ndarray | None = None,
    ) -> HandPrediction:
        """Predict the hand in `depth`.

        Args:
            depth: (H, W) metres, 0 = no reading.
            K: camera matrix (3, 3), or (fx, fy, cx, cy).
            side: which of the person's hands it is; "auto" tries both and keeps the one that fits better.
            box: (x, y, width, height) in pixels that the hand is in; none: it is looked for, first in what is nearest.
            mask: (H, W) where the hand may be.

        Returns:
            The hand model posed on the spheres. `spheres` are those of the network, `fit_error_mm` says how far their depth is from what
            was read on average, `score` is the share of them that agrees with it.

        Raises:
            InputError: an argument is at fault, or nothing is read where the hand should be.
        """
        depth = as_array(depth, (None, None), "depth").astype(np.float32)
        if (depth < 0).any():
            raise InputError("depth: holds negative values")
        check_side(side)
        intrinsics = as_intrinsics(K)
        seen = within(depth, box, mask)
        sides: tuple[Side, ...] = SIDES if side == "auto" else (side,)
        found = max((self._look(seen, intrinsics, each) for each in sides), key=lambda look: look.agreement)
        if found.fault is not None:
            raise InputError(f"depth: {found.fault}")
        pose = self.fit(self.model, evidence_of(found.spheres[None]))
        flip = found.side == "left"
        centre = found.middle.double().numpy() * [-1.0 if flip else 1.0, 1.0, 1.0]
        half = 0.5 * EXTENT * intrinsics[[0, 1], [0, 1]] / centre[2]
        corner = (intrinsics @ centre)[:2] / centre[2] - half
        return assemble(
            self.model,
            pose,
            Camera(intrinsics, depth.shape[1], depth.shape[0]),
            flip,
            spheres=found.spheres,
            side=found.side,
            score=float(np.clip(found.agreement, 0, 1)),
            box=np.array([*corner, *(2 * half)]),
            uncertainty=np.full(21, found.error * intrinsics[0, 0] / centre[2]),
            side_source="guessed" if side == "auto" else "given",
            camera_source="given",
            scale_source="depth",
            fit_error_mm=1000 * found.error,
        )

    @torch.no_grad()
    def _look(self, depth: np.ndarray, K: np.ndarray, side: Side) -> _Found:
        frame, camera = torch.from_numpy(depth)[None], torch.from_numpy(K).float()[None]
        if side == "left":
            frame, camera = mirrored_frames(frame, camera)
        middle = find_hands(self.estimator, frame, camera, self.device)
        maps = cube_maps(frame, camera, middle, self.estimator.config.size)
        centres = self.estimator(maps.to(self.device)).cpu()  # (1, 41, 3)
        error, agreement, compared = (float(value[0]) for value in fit_to_maps(centres, maps))
        error = error if compared else EXTENT
        fault = why_no_hand(middle[0], maps[0], error, MOST_ERROR)
        return _Found(side, centres[0] + middle, middle[0], error, agreement, fault)


def mirrored_frames(depth: Tensor, K: Tensor) -> tuple[Tensor, Tensor]:
    """Depth frames (B, H, W) and cameras (B, 3, 3) of the mirror image, in which a left hand is a right one."""
    flipped = K.clone()
    flipped[:, 0, 2] = depth.shape[-1] - 1 - K[:, 0, 2]
    return depth.flip(-1).contiguous(), flipped
