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
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from phalanx.core.devices import as_device
from phalanx.core.isolated import isolated
from phalanx.core.precision import Precision
from phalanx.data.camera_files import as_calibration
from phalanx.fit.evidence import Evidence
from phalanx.fit.joints import fit_evidence
from phalanx.geometry.camera import Camera, camera_from_field_of_view
from phalanx.geometry.crops import SquareBox, box_around_picture, box_around_points, square_crop, upright_angle
from phalanx.hand.model import HandModel, HandPose
from phalanx.hand.prediction import SIDES, HandPrediction, Side
from phalanx.methods.compact import load
from phalanx.predict.assemble import BehindCamera, assemble
from phalanx.predict.inputs import (
    MIN_BOX,
    PictureCamera,
    as_box,
    as_photo,
    camera_in_file,
    check_options,
    picture_camera,
)
from phalanx.predict.straight import straighten

CROP_FACTOR = 1.3  # side of the closer crop over the extent of the joints
CLOSER_PASSES = 1  # crops after the first
SAME_BOX = 0.15  # a closer crop that moves and grows by less than this share of its side,
SAME_ANGLE = 0.2  # and turns by less than this, in radians, is not worth another look
UNSURE = 0.042  # expected error of a joint in crops (geometric mean) from which it is worth looking again,
TURNS = (math.pi / 2, -math.pi / 2)  # from first crops turned by these, in radians
LONGER_LENSES = (
    45.0,
    30.0,
    20.0,
    10.0,
)  # degrees across the longer side, where the camera that was assumed is too near
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

    There is no detector yet: one hand a picture is assumed, filling at least a third of it or of the given box. Threads may share a
    predictor; it can be copied, sent to other processes, and used in forked ones, where PyTorch then computes with one thread.

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
            image: (H, W, 3) RGB, (H, W) or (H, W, 1) grey, or (H, W, 4) RGBA, laid over white; uint8, uint16 or float in [0, 1]. Or
                the path of a picture.
            box: (x, y, width, height) in pixels of where the hand is, the whole picture being (0, 0, W, H). None looks
                at the whole picture first.
            K: camera of the whole picture: (3, 3), (3, 4), nine numbers, (fx, fy, cx, cy), or a camera's file, with its lens
                (`data.camera_files`). None takes the focal length in the picture's file, and where there is none assumes 60 degrees
                across the longer side.
            side: which of the person's hands it is; "auto" looks for either and keeps the one that the network is surer of.
            mirrored: the picture is a mirror image, as front cameras often show: a left hand in it looks like a right
                one. Results hold for the picture as given (`HandPrediction.mirrored`).
            hand_length: metres from the wrist to the tip of the stretched middle finger, where known. It settles the
                metric size, for which the model's likeliest is taken otherwise.

        Returns:
            The hands found; today one, or none where no hand before the camera looks like what is in the picture: it would reach
            behind it. Where the camera was assumed, a longer lens is tried before that (`cameras_to_try`).

        Raises:
            InputError: one of the arguments is at fault.
        """
        K = None if K is None else as_calibration(K)
        check_options(box, K, side, hand_length)
        pixels, focal = as_photo(image)
        height, width = pixels.shape[:2]
        square = None if box is None else as_box(box, width, height)
        camera = picture_camera(camera_in_file(focal, width, height) if K is None else K, width, height)
        picture = straighten(pixels, camera)
        first = box_around_picture(*picture.image.shape[1::-1]) if square is None else picture.box(square)
        found, flip, (evidence, seen) = self._surest(picture.image, first, side, mirrored)
        sigma = _numpy(_there(evidence.sigma_2d)[0])  # (21,) crop units
        shown = picture.box_in_given(seen)
        facts: dict[str, Any] = {
            "side": found,
            "score": score(sigma),
            "box": box_from_edge(shown),
            "uncertainty": sigma * shown.side,
            "side_source": "guessed" if side == "auto" else "given",
            "scale_source": "prior" if hand_length is None else "given",
            "mirrored": mirrored,
        }
        length = None if hand_length is None else min(max(hand_length, SHAPE_LENGTHS[0]), SHAPE_LENGTHS[1])
        for tried in cameras_to_try(camera):
            straight = picture.camera if tried is camera else tried.camera
            pose = self.fit(self.model, evidence, *self._crop_camera(straight, seen, flip), length)
            try:
                hand = assemble(
                    self.model,
                    pose,
                    tried.camera,
                    flip,
                    hand_length,
                    lens=tried.lens,
                    camera_source=tried.source,
                    **facts,
                )
            except BehindCamera:
                continue
            if tried.source == "given" or _is_whole(hand):
                return [hand]
        return []

    def _surest(
        self, image: np.ndarray, box: SquareBox, side: Side | Literal["auto"], mirrored: bool
    ) -> tuple[Side, bool, tuple[Evidence, SquareBox]]:
        """The side (given, or that of the surer evidence), whether it needs flipping, and what `_look_closer` found."""
        candidates: tuple[Side, ...] = SIDES if side == "auto" else (side,)
        flips = {candidate: (candidate == "left") != mirrored for candidate in candidates}
        views = [(each, self._look_closer(image, box, flip)) for each, flip in flips.items()]
        if min(expected_error(evidence) for _, (evidence, _) in views) > UNSURE:
            for turn in TURNS:
                start = replace(box, angle=box.angle + turn)
                views += [(each, self._look_closer(image, start, flip)) for each, flip in flips.items()]
        found, view = min(views, key=lambda each: expected_error(each[1][0]))
        return found, flips[found], view

    def _look_closer(self, image: np.ndarray, box: SquareBox, flip: bool) -> tuple[Evidence, SquareBox]:
        """Evidence of the last crop, and its box."""
        evidence = self._look(image, box, flip)
        for _ in range(CLOSER_PASSES):
            closer = box_around_joints(joints_in_picture(evidence, box, flip), image.shape[1], image.shape[0])
            if _nearly_same(box, closer):
                break
            box = closer
            evidence = self._look(image, box, flip)
        return evidence, box

    def _crop_camera(self, camera: Camera[np.ndarray], box: SquareBox, flip: bool) -> tuple[Tensor, int]:
        """Camera matrix (1, 3, 3) and size of a crop."""
        size = self.estimator.config.size
        crop = camera.crop(box, size)
        return torch.from_numpy((crop.mirror() if flip else crop).K)[None].to(self.device, torch.float32), size

    @torch.no_grad()
    def _look(self, image: np.ndarray, box: SquareBox, flip: bool) -> Evidence:
        crop, _ = square_crop(image, box, self.estimator.config.size)  # (S, S, 3)
        crop = crop[:, ::-1] if flip else crop
        pixels = torch.from_numpy(np.ascontiguousarray(crop)).to(self.device)
        pixels = pixels.float() / 255 if pixels.dtype == torch.uint8 else pixels
        return self.estimator.evidence(pixels.permute(2, 0, 1)[None])


def cameras_to_try(found: PictureCamera) -> Iterator[PictureCamera]:
    """The camera of a picture; and, unless it was given, ones with longer lenses, for hands that would reach behind it.

    Pictures are often cut out of larger ones, so that the lens was longer than it seems; seldom was it shorter.
    """
    yield found
    if found.source != "given":
        width, height = found.camera.width, found.camera.height
        for degrees in LONGER_LENSES:
            longer = camera_from_field_of_view(width, height, degrees)
            if longer.K[0, 0] > found.camera.K[0, 0]:
                yield PictureCamera(Camera(longer.K.astype(np.float64), width, height), source="assumed")


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


def box_from_edge(box: SquareBox) -> list[float]:
    """A square, seen as upright, as users' boxes are: x, y, width, height in pixels from the picture's edge."""
    return [box.centre_x + 0.5 - box.side / 2, box.centre_y + 0.5 - box.side / 2, box.side, box.side]


def score(sigma: np.ndarray) -> float:
    """0 to 1 from expected errors (21,) in crop units: 1 for none, 1/2 where they are a twentieth of the crop."""
    return float(1 / (1 + (np.mean(sigma) / 0.05) ** 2))


def _is_whole(hand: HandPrediction) -> bool:
    """Whether the forearm lies before the camera, too."""
    return hand.vertices is None or bool(hand.vertices[:, 2].min() > 0)


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
