"""`DepthPredictor`: a depth frame in, the hand in it out, in metres.

depth frame (or what is in a box, or in a mask) -> the hand and its side are found -> cube about it -> spheres
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
from phalanx.hand.prediction import HandPrediction, Side
from phalanx.methods.hand_finder import load as load_finder
from phalanx.methods.sphere_fitting import evidence_of, load
from phalanx.predict.assemble import assemble
from phalanx.predict.depth_search import (
    Candidates,
    FindsHands,
    Place,
    SpheresInCubes,
    candidates,
    fit_to_maps,
    why_no_hand,
    within,
)
from phalanx.predict.inputs import check_side

MOST_ERROR = 0.025
"""Fit error in metres beyond which spheres are no hand."""

Fit = Callable[[HandModel, Evidence], HandPose]
"""`fit(model, evidence)` of evidence with joints in metres, as `fit_within_limits`."""


def fit_within_limits(model: HandModel, evidence: Evidence) -> HandPose:
    """The hand model posed on the evidence's 3D joints, none of its angles beyond a limit."""
    if evidence.joints is None or evidence.sigma_joints is None:
        raise ValueError("evidence: a predictor of depth frames needs joints with sigma_joints")
    return fit_joints(model, evidence.joints, sigma=evidence.sigma_joints)


@dataclass(frozen=True, eq=False)
class SearchedFrame:
    """A depth frame of a user, checked and searched."""

    depth: np.ndarray
    """(H, W) metres, single precision, 0 = no reading."""
    seen: np.ndarray
    """The same with 0 where the hand is not looked for; `depth` itself if that is nowhere."""
    K: np.ndarray
    """(3, 3)."""
    candidates: Candidates
    """Where hands may be."""

    @property
    def nbytes(self) -> int:
        """Memory that the frame takes."""
        return self.depth.nbytes + (0 if self.seen is self.depth else self.seen.nbytes)


class DepthPredictor:
    """Finds the hand in a depth frame: `DepthPredictor()(depth, K)` gives a `HandPrediction` with its spheres.

    Args:
        estimator: what finds spheres in cubes, which is moved to `device`; or a weights file of `methods.sphere_fitting`. None takes
            those in the package.
        device: where the networks run, as PyTorch names it; the hand model is fitted on the CPU.
        model: the hand model that the estimator was trained for (default: the open hand).
        fit: how the hand model is posed on evidence with joints in metres.
        precision: of the estimator that is loaded, on the CPU; auto is the faster one.
        finder: what finds hands in frames, which is moved to `device`; None takes the one in the package (`methods.hand_finder`).

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
        finder: FindsHands | None = None,
    ) -> None:
        self.device = as_device(device)
        self.model = HandModel.open_hand() if model is None else model
        self.fit = fit
        if estimator is None or isinstance(estimator, str | os.PathLike):
            path = None if estimator is None else os.fspath(estimator)
            estimator = load(path, self.model, precision=precision)
        finder = load_finder(hand=self.model) if finder is None else finder
        for network in (estimator, finder):
            if isinstance(network, nn.Module):
                network.to(self.device)
        self.estimator: SpheresInCubes = estimator
        self.finder: FindsHands = finder

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
            side: which of the person's hands it is; "auto" takes the likelier one.
            box: (x, y, width, height) in pixels that the hand is in; none: anywhere.
            mask: (H, W) where the hand may be.

        Returns:
            The hand model posed on the spheres. `spheres` are those of the network, `fit_error_mm` says how far their depth is from what
            was read on average, `score` is the share of them that agrees with it.

        Raises:
            InputError: an argument is at fault, nothing is read where the hand should be, or no hand is seen there.
        """
        searched = self.search(depth, K, side, box, mask)
        return self.predict_searched(searched, searched.candidates.best(side), guessed=side == "auto")

    @isolated
    def search(
        self,
        depth: np.ndarray,
        K: Any,
        side: Side | Literal["auto"] = "auto",
        box: Any = None,
        mask: np.ndarray | None = None,
    ) -> SearchedFrame:
        """The frame, and where hands may be in it; arguments and errors as of a call, but that no hand may be there."""
        return search_frame(self.finder, depth, K, side, box, mask, self.device)

    def find(
        self,
        depth: np.ndarray,
        K: Any,
        side: Side | Literal["auto"] = "auto",
        box: Any = None,
        mask: np.ndarray | None = None,
    ) -> Place:
        """Where the hand is, and how sure that is; as `search`, of which it is the best place."""
        return self.search(depth, K, side, box, mask).candidates.best(side)

    @isolated
    def predict_searched(self, searched: SearchedFrame, place: Place, guessed: bool = False) -> HandPrediction:
        """The hand at one of the places of a frame; `guessed` is what the prediction says of its side."""
        depth, intrinsics = searched.depth, searched.K
        flip = place.side == "left"
        spheres, centre, error, agreement = self._look(searched.seen, intrinsics, place, flip)
        pose = self.fit(self.model, evidence_of(spheres))
        half = 0.5 * EXTENT * intrinsics[[0, 1], [0, 1]] / centre[2]
        corner = (intrinsics @ centre)[:2] / centre[2] - half
        return assemble(
            self.model,
            pose,
            Camera(intrinsics, depth.shape[1], depth.shape[0]),
            flip,
            spheres=spheres[0],
            side=place.side,
            score=float(np.clip(agreement, 0, 1)),
            box=np.array([*corner, *(2 * half)]),
            uncertainty=np.full(21, error * intrinsics[0, 0] / centre[2]),
            side_source="guessed" if guessed else "given",
            camera_source="given",
            scale_source="depth",
            fit_error_mm=1000 * error,
        )

    @torch.no_grad()
    def _look(
        self, depth: np.ndarray, K: np.ndarray, place: Place, flip: bool
    ) -> tuple[Tensor, np.ndarray, float, float]:
        """Spheres (1, 41, 3) in metres (of the mirrored hand if `flip`), the cube's middle (3,), fit error in metres, share that agrees.

        Raises InputError if that is no hand.
        """
        frame, camera, middle = torch.from_numpy(depth)[None], torch.from_numpy(K).float()[None], place.middle[None]
        if flip:
            frame, camera = mirrored_frames(frame, camera)
            middle = middle * middle.new_tensor([-1.0, 1.0, 1.0])
        maps = cube_maps(frame, camera, middle, self.estimator.config.size)
        centres = self.estimator(maps.to(self.device)).cpu()
        error, agreement, compared = (float(value[0]) for value in fit_to_maps(centres, maps))
        error = error if compared else EXTENT
        if fault := why_no_hand(place, maps[0], error, MOST_ERROR):
            raise InputError(f"depth: {fault}")
        return centres + middle, place.middle.double().numpy(), error, agreement


def search_frame(
    finder: FindsHands,
    depth: Any,
    K: Any,
    side: Side | Literal["auto"] = "auto",
    box: Any = None,
    mask: Any = None,
    device: torch.device | str = "cpu",
) -> SearchedFrame:
    """`DepthPredictor.search` by a finder, which is on `device`."""
    depth = np.require(as_array(depth, (None, None), "depth"), np.float32, ["C", "W"])  # as PyTorch needs it
    if (depth < 0).any():
        raise InputError("depth: holds negative values")
    intrinsics = as_intrinsics(K)
    check_side(side)
    seen = within(depth, box, mask)
    frame, camera = torch.from_numpy(depth), torch.from_numpy(intrinsics).float()
    apart = None if seen is depth else torch.from_numpy(seen)
    return SearchedFrame(depth, seen, intrinsics, candidates(finder, frame, camera, side, apart, device))


def mirrored_frames(depth: Tensor, K: Tensor) -> tuple[Tensor, Tensor]:
    """Depth frames (B, H, W) and cameras (B, 3, 3) of the mirror image, in which a left hand is a right one."""
    flipped = K.clone()
    flipped[:, 0, 2] = depth.shape[-1] - 1 - K[:, 0, 2]
    return depth.flip(-1).contiguous(), flipped
