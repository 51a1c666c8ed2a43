"""`Predictor`: one picture in, the hands in it out.

    picture -> square crop -> network -> 2D joints -> closer crop, turned until the hand points up -> network
        -> fit of the hand model -> HandPrediction

Where the network stays unsure, it looks again from a first crop turned to the left and one to the right, and the surest is kept:
a hand that lies on its side is at times misread at first. About one picture in twenty pays for this.

The network and the hand model know right hands only. If the picture shows a left hand, each crop is flipped left to
right and its camera with it; what comes out lives in the mirrored camera frame and goes back by negating x.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from phalanx.core.devices import as_device
from phalanx.core.isolated import isolated
from phalanx.core.precision import Precision
from phalanx.data.images import read_image
from phalanx.fit.evidence import Evidence
from phalanx.fit.joints import fit_evidence
from phalanx.geometry.camera import Camera
from phalanx.geometry.crops import SquareBox, box_around_picture, box_around_points, square_crop, upright_angle
from phalanx.hand.model import HandModel, HandPose
from phalanx.hand.prediction import SIDES, HandPrediction, Side
from phalanx.methods.compact import load
from phalanx.predict.assemble import assemble
from phalanx.predict.inputs import MIN_BOX, as_box, as_rgb, check_options, picture_camera

CROP_FACTOR = 1.3  # side of the closer crop over the extent of the joints
CLOSER_PASSES = 1  # crops after the first
SAME_BOX = 0.15  # a closer crop that moves and grows by less than this share of its side,
SAME_ANGLE = 0.2  # and turns by less than this, in radians, is not worth another look
UNSURE = 0.042  # expected error of a joint in crops (geometric mean) from which it is worth looking again,
TURNS = (math.pi / 2, -math.pi / 2)  # from first crops turned by these, in radians
SHAPE_LENGTHS = (0.14, 0.23)  # metres; what the model's shapes reach with ease, other hands are scaled

Fit = Callable[[HandModel, Evidence, Tensor, int, float | None], HandPose]
"""`fit(model, evidence, K (B, 3, 3) of the crops, their size, hand length)`, as `fit.joints.fit_evidence`."""


class _Size(Protocol):
    size: int


class CropEstimator(Protocol):
    """A network that looks at square crops of right hands (`methods.base.HandEstimator`), `config.size` pixels wide."""

    @property
    def config(self) -> _Size: ...

    def evidence(self, batch: Tensor) -> Evidence:
        """`joints_2d`, `sigma_2d` and `orientation`, and what else it knows, of crops (B, 3, S, S) in [0, 1]."""


class Predictor:
    """Finds the hand in a picture: `Predictor()(image)` gives a list of `HandPrediction`.

    There is no detector yet: one hand a picture is assumed, filling at least a third of it or of the given box.

    Args:
        estimator: what looks at crops; or a weights file of the default estimator. None takes those in the package.
        device: where estimator and fit run, as PyTorch names it; estimator and model are moved there.
        model: the hand model that the estimator was trained for (default: the open hand).
        fit: how the hand model is posed on evidence (default: `fit.joints.fit_evidence`).
        precision: of the default estimator on the CPU; auto is the faster one.

    Raises:
        InputError: the weights are missing or damaged or of another hand, or there is no such device.
    """

    @isolated
    def __init__(
        self,
        estimator: CropEstimator | str | os.PathLike[str] | None = None,
        device: str = "cpu",
        model: HandModel | None = None,
        fit: Fit = fit_evidence,
        precision: Precision = "auto",
    ) -> None:
        self.device = as_device(device)
        self.model = (HandModel.open_hand() if model is None else model).to(self.device)
        self.fit = fit
        if estimator is None or isinstance(estimator, str | os.PathLike):
            path = None if estimator is None else os.fspath(estimator)
            estimator = load(path, self.model, precision)
        if isinstance(estimator, nn.Module):
            estimator.to(self.device)
        self.estimator: CropEstimator = estimator

    @isolated
    def __call__(
        self,
        image: np.ndarray | str | os.PathLike[str],
        box: Any = None,
        K: Any = None,
        side: Side | Literal["auto"] = "auto",
        mirrored: bool = False,
        hand_length: float | None = None,
    ) -> list[HandPrediction]:
        """Predict the hand in `image`.

        Args:
            image: (H, W, 3) RGB, or (H, W) grey, uint8 or float in [0, 1]; or the path of a picture.
            box: (x, y, width, height) in pixels of where the hand is, the whole picture being (0, 0, W, H). None looks
                at the whole picture first.
            K: camera matrix (3, 3) of the whole picture, or (fx, fy, cx, cy). None assumes 60 degrees across the longer
                side.
            side: which of the person's hands it is; "auto" looks for either and keeps the one that the network is surer of.
            mirrored: the picture is a mirror image, as front cameras often show: a left hand in it looks like a right
                one. Results hold for the picture as given (`HandPrediction.mirrored`).
            hand_length: metres from the wrist to the tip of the stretched middle finger, where known. It settles the
                metric size, for which the model's likeliest is taken otherwise.

        Returns:
            The hands found; today always one.

        Raises:
            InputError: one of the arguments is at fault, or no hand before such a camera looks like the one in the picture.
        """
        if isinstance(image, str | os.PathLike):
            image = read_image(image)
        image = as_rgb(image)
        height, width = image.shape[:2]
        check_options(box, K, side, hand_length)
        first = box_around_picture(width, height) if box is None else as_box(box, width, height)
        camera = picture_camera(K, width, height)
        found, flip, (evidence, seen, K_crop) = self._surest(image, camera, first, side, mirrored)
        K_crop = K_crop.to(self.device, torch.float32)
        length = None if hand_length is None else min(max(hand_length, SHAPE_LENGTHS[0]), SHAPE_LENGTHS[1])
        pose = self.fit(self.model, evidence, K_crop, self.estimator.config.size, length)
        sigma = _numpy(_there(evidence.sigma_2d)[0])  # (21,) crop units
        hand = assemble(
            self.model,
            pose,
            camera,
            flip,
            hand_length,
            side=found,
            score=score(sigma),
            box=[seen.centre_x + 0.5 - seen.side / 2, seen.centre_y + 0.5 - seen.side / 2, seen.side, seen.side],
            uncertainty=sigma * seen.side,
            side_source="guessed" if side == "auto" else "given",
            camera_source="assumed" if K is None else "given",
            scale_source="prior" if hand_length is None else "given",
            mirrored=mirrored,
        )
        return [hand]

    def _surest(
        self,
        image: np.ndarray,
        camera: Camera[np.ndarray],
        box: SquareBox,
        side: Side | Literal["auto"],
        mirrored: bool,
    ) -> tuple[Side, bool, tuple[Evidence, SquareBox, Tensor]]:
        """The side (given, or that of the surer evidence), whether it needs flipping, and what `_look_closer` found."""
        candidates: tuple[Side, ...] = SIDES if side == "auto" else (side,)
        flips = {candidate: (candidate == "left") != mirrored for candidate in candidates}
        views = [(each, self._look_closer(image, camera, box, flip)) for each, flip in flips.items()]
        if min(expected_error(evidence) for _, (evidence, _, _) in views) > UNSURE:
            for turn in TURNS:
                start = replace(box, angle=box.angle + turn)
                views += [(each, self._look_closer(image, camera, start, flip)) for each, flip in flips.items()]
        found, view = min(views, key=lambda each: expected_error(each[1][0]))
        return found, flips[found], view

    def _look_closer(
        self, image: np.ndarray, camera: Camera[np.ndarray], box: SquareBox, flip: bool
    ) -> tuple[Evidence, SquareBox, Tensor]:
        """Evidence of the last crop, its box, and its camera matrix (1, 3, 3)."""
        evidence, K_crop = self._look(image, camera, box, flip)
        for _ in range(CLOSER_PASSES):
            closer = box_around_joints(joints_in_picture(evidence, box, flip), camera.width, camera.height)
            if _nearly_same(box, closer):
                break
            box = closer
            evidence, K_crop = self._look(image, camera, box, flip)
        return evidence, box, K_crop

    @torch.no_grad()
    def _look(
        self, image: np.ndarray, camera: Camera[np.ndarray], box: SquareBox, flip: bool
    ) -> tuple[Evidence, Tensor]:
        size = self.estimator.config.size
        crop, _ = square_crop(image, box, size)  # (S, S, 3)
        crop_camera = camera.crop(box, size)
        if flip:
            crop, crop_camera = crop[:, ::-1], crop_camera.mirror()
        pixels = torch.from_numpy(np.ascontiguousarray(crop)).to(self.device)
        pixels = pixels.float() / 255 if pixels.dtype == torch.uint8 else pixels
        return self.estimator.evidence(pixels.permute(2, 0, 1)[None]), torch.from_numpy(crop_camera.K)[None]


def expected_error(evidence: Evidence) -> float:
    """How far off the network expects a joint of the first hand to be in 2D: geometric mean, crop units."""
    return float(_there(evidence.sigma_2d)[0].log().mean().exp())


def joints_in_picture(evidence: Evidence, box: SquareBox, flip: bool) -> np.ndarray:
    """2D joints of the first hand of `evidence` in pixels of the picture that `box` was cut from: (21, 2)."""
    joints = _numpy(_there(evidence.joints_2d)[0])  # (21, 2) 0..1 across the crop
    if flip:
        joints = joints * [-1, 1] + [1, 0]
    to_picture = box.crop_to_image(1)  # whose one pixel spans -1/2 to 1/2
    return (joints - 0.5) @ to_picture[:2, :2].T + to_picture[:2, 2]


def box_around_joints(joints: np.ndarray, width: int, height: int) -> SquareBox:
    """The square to look at next, around joints (21, 2) in pixels, in which the hand points up.

    Joints beyond the picture count as on its edge.
    """
    inside = np.clip(joints, 0, [width - 1, height - 1])
    box = box_around_points(inside, CROP_FACTOR, upright_angle(joints))
    return replace(box, side=max(box.side, 2 * MIN_BOX))  # so that `as_box` takes it back


def score(sigma: np.ndarray) -> float:
    """0 to 1 from expected errors (21,) in crop units: 1 for none, 1/2 where they are a twentieth of the crop."""
    return float(1 / (1 + (np.mean(sigma) / 0.05) ** 2))


def _nearly_same(a: SquareBox, b: SquareBox) -> bool:
    shift = max(abs(a.centre_x - b.centre_x), abs(a.centre_y - b.centre_y))
    turn = math.remainder(a.angle - b.angle, math.tau)
    return shift < SAME_BOX * b.side and abs(a.side / b.side - 1) < SAME_BOX and abs(turn) < SAME_ANGLE


def _there(values: Tensor | None) -> Tensor:
    """What the evidence of a `CropEstimator` must hold. Raises ValueError where it does not."""
    if values is None:
        raise ValueError("evidence: a predictor of pictures needs joints_2d with sigma_2d")
    return values


def _numpy(values: Tensor) -> np.ndarray:
    return values.detach().double().cpu().numpy()
