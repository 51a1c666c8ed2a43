"""`Predictor`: one picture in, the hands in it out.

    picture -> square crop -> network -> 2D joints -> closer crop, turned until the hand points up -> network
        -> fit of the hand model -> HandPrediction

Where the network stays unsure, it looks again from a first crop turned to the left and one to the right, and the surest is kept:
a hand that lies on its side is at times misread at first. About one picture in twenty pays for this.

The network and the hand model know right hands only. If the picture shows a left hand, each crop is flipped left to
right and its camera with it; what comes out lives in the mirrored camera frame and goes back by negating x.
"""

import math
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from phalanx.core.checks import as_array, as_intrinsics
from phalanx.core.devices import as_device
from phalanx.core.errors import InputError
from phalanx.data.images import check_size, read_image
from phalanx.fit.evidence import Evidence
from phalanx.geometry.camera import Camera, camera_from_field_of_view
from phalanx.geometry.crops import (
    SquareBox,
    box_around_edges,
    box_around_picture,
    box_around_points,
    square_crop,
    upright_angle,
)
from phalanx.hand.anatomy import AnatomicalPose
from phalanx.hand.model import HandModel, HandPose
from phalanx.hand.prediction import SIDES, HandPrediction, Side
from phalanx.hand.skeleton import MIDDLE_CHAIN
from phalanx.methods.compact import load

FIELD_OF_VIEW = 60.0  # degrees across the longer side, where no camera is given; phones have 55 to 75
CROP_FACTOR = 1.3  # side of the closer crop over the extent of the joints
CLOSER_PASSES = 1  # crops after the first
SAME_BOX = 0.15  # a closer crop that moves and grows by less than this share of its side,
SAME_ANGLE = 0.2  # and turns by less than this, in radians, is not worth another look
UNSURE = 0.042  # expected error of a joint in crops (geometric mean) from which it is worth looking again,
TURNS = (math.pi / 2, -math.pi / 2)  # from first crops turned by these, in radians
HAND_LENGTHS = (0.05, 0.35)  # metres; a newborn's is 0.06, the longest ever measured 0.32
SHAPE_LENGTHS = (0.14, 0.23)  # metres; what the model's shapes reach with ease, other hands are scaled
MIN_BOX = 8.0  # pixels; side of the smallest part of a picture worth looking at
MOST_BOX = 10.0  # sides of the picture; nothing can be seen in a larger box
WIDEST = 2.5  # tangent of 68 degrees: farther from the axis lenses are no pinholes any more
LONGEST = 1000.0  # focal length in sides of the picture: hands would be kilometres away

Fit = Callable[[HandModel, Evidence, Tensor, int, float | None], HandPose]


class Predictor:
    """Finds the hand in a picture: `Predictor()(image)` gives a list of `HandPrediction`.

    There is no detector yet: one hand a picture is assumed, filling at least a third of it or of the given box.

    Args:
        weights: a weights file of the default estimator; None takes the one inside the package.
        device: where the network and the fit run, as PyTorch names it.

    Raises:
        InputError: the weights are missing or damaged, or there is no such device.
    """

    def __init__(self, weights: str | os.PathLike[str] | None = None, device: str = "cpu") -> None:
        from phalanx.fit.joints import fit_evidence

        self.device = as_device(device)
        self.fit: Fit = fit_evidence
        self.estimator = load(None if weights is None else Path(weights)).to(self.device)
        self.model = HandModel.open_hand().to(self.device)

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
        hand = assemble(self.model, pose, evidence, camera, seen, flip, hand_length)
        if min(hand["joints"][:, 2].min(), hand["vertices"][:, 2].min()) <= 0:
            raise InputError(
                "the hand would reach behind the camera: is the camera matrix right, and the hand not too close for so wide a camera?"
            )
        return [
            HandPrediction(
                **hand,
                side=found,
                side_source="guessed" if side == "auto" else "given",
                camera_source="assumed" if K is None else "given",
                mirrored=mirrored,
            )
        ]

    def _surest(
        self, image: np.ndarray, camera: Camera, box: SquareBox, side: Side | Literal["auto"], mirrored: bool
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
        self, image: np.ndarray, camera: Camera, box: SquareBox, flip: bool
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
    def _look(self, image: np.ndarray, camera: Camera, box: SquareBox, flip: bool) -> tuple[Evidence, Tensor]:
        size = self.estimator.config.size
        crop, _ = square_crop(image, box, size)  # (S, S, 3)
        crop_camera = camera.crop(box, size)
        if flip:
            crop, crop_camera = crop[:, ::-1], crop_camera.mirror()
        pixels = torch.from_numpy(np.ascontiguousarray(crop)).to(self.device)
        pixels = pixels.float() / 255 if pixels.dtype == torch.uint8 else pixels
        return self.estimator(pixels.permute(2, 0, 1)[None]), crop_camera.K[None]


def expected_error(evidence: Evidence) -> float:
    """How far off the network expects a joint of the first hand to be in 2D: geometric mean, crop units."""
    return float(evidence.sigma_2d[0].log().mean().exp())


def joints_in_picture(evidence: Evidence, box: SquareBox, flip: bool) -> np.ndarray:
    """2D joints of the first hand of `evidence` in pixels of the picture that `box` was cut from: (21, 2)."""
    joints = evidence.joints_2d[0].double().cpu().numpy()  # (21, 2) 0..1 across the crop
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


def assemble(
    model: HandModel,
    pose: HandPose,
    evidence: Evidence,
    camera: Camera,
    box: SquareBox,
    flip: bool,
    hand_length: float | None,
) -> dict[str, Any]:
    """Fields of `HandPrediction` from a fitted pose (batch of one) in the camera frame, which is mirrored if `flip`."""
    with torch.inference_mode():  # quicker than no_grad where operations are small
        surface = model(pose)
        scale = 1.0 if hand_length is None else hand_length / float(model_hand_length(model, pose.shape)[0])
        angles = AnatomicalPose.from_rotations(pose.rotations.double()).degrees()[0]
    frame = np.array([-scale if flip else scale, scale, scale])
    joints = _numpy(surface.joints[0]) * frame  # (21, 3)
    faces = model.faces.cpu().numpy()
    sigma = _numpy(evidence.sigma_2d[0])  # (21,) crop units
    return {
        "score": score(sigma),
        "box": [box.centre_x + 0.5 - box.side / 2, box.centre_y + 0.5 - box.side / 2, box.side, box.side],
        "width": camera.width,
        "height": camera.height,
        "joints_2d": camera.project(torch.from_numpy(joints)).numpy(),
        "joints": joints,
        "uncertainty": sigma * box.side,
        "rotations": _numpy(pose.rotations[0]),
        "orientation": _numpy(pose.orientation[0]),
        "angles_degrees": angles,
        "shape": _numpy(pose.shape[0]),
        "K": camera.K.numpy(),
        "scale": scale,
        "scale_source": "prior" if hand_length is None else "given",
        "vertices": _numpy(surface.vertices[0]) * frame,
        "faces": faces[:, ::-1] if flip else faces,  # a mirrored surface is inside out
    }


def score(sigma: np.ndarray) -> float:
    """0 to 1 from expected errors (21,) in crop units: 1 for none, 1/2 where they are a twentieth of the crop."""
    return float(1 / (1 + (np.mean(sigma) / 0.05) ** 2))


def model_hand_length(model: HandModel, shape: Tensor) -> Tensor:
    """Wrist to tip of the stretched middle finger (B,) in metres, for shapes (B, 10)."""
    rest = model.joint_positions(shape)[:, MIDDLE_CHAIN]  # (B, 5, 3)
    return (rest[:, 1:] - rest[:, :-1]).norm(dim=-1).sum(dim=-1)


def as_rgb(image: Any) -> np.ndarray:
    """A picture in memory as (H, W, 3), uint8 or float32 in [0, 1]; grey is repeated.

    Raises:
        InputError: another shape or type, too small, values that are not finite or not in [0, 1].
    """
    image = np.asarray(image)
    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=-1)
    if image.ndim != 3 or image.shape[2] != 3:
        raise InputError(f"image: must be (H, W, 3) RGB or (H, W) grey, not {image.shape}")
    check_size(image.shape[1], image.shape[0], "image")
    if image.dtype == np.uint8:
        return image
    if not np.issubdtype(image.dtype, np.floating):
        raise InputError(f"image: must be uint8, or float in [0, 1], not {image.dtype}")
    if not (image.min() >= 0 and image.max() <= 1):  # NaN fails both
        raise InputError("image: floating-point values must lie in [0, 1]")
    return image.astype(np.float32)


def as_box(box: Any, width: int, height: int) -> SquareBox:
    """The square around a user's box (x, y, width, height) in a picture of that size.

    Raises:
        InputError: not four finite numbers, or less than 8 pixels of it lie in the picture, or it is far larger than that.
    """
    x, y, w, h = as_array(box, (4,), "box").tolist()
    if max(w, h) > MOST_BOX * max(width, height):
        raise InputError(f"box: {w:g}x{h:g} is more than {MOST_BOX:g} times the picture of {width}x{height} pixels")
    inside = min(x + w, width) - max(x, 0), min(y + h, height) - max(y, 0)
    if min(inside) <= 0:
        raise InputError(f"box: {x:g},{y:g},{w:g},{h:g} lies outside the picture of {width}x{height} pixels")
    if min(inside) < MIN_BOX:
        raise InputError(f"box: less than {MIN_BOX:g} pixels of {x:g},{y:g},{w:g},{h:g} lie in the picture")
    return box_around_edges(x, y, x + w, y + h)


def picture_camera(K: Any, width: int, height: int) -> Camera:
    """The camera of a picture: as given, or one that looks through its middle with a usual field of view.

    Raises InputError if it is that of no lens, as when it does not count in pixels.
    """
    if K is None:
        assumed = camera_from_field_of_view(width, height, FIELD_OF_VIEW)
        return Camera(torch.from_numpy(assumed.K).double(), width, height)
    matrix = as_intrinsics(K)
    (fx, _, cx), (_, fy, cy) = matrix[:2].tolist()
    if max(abs(cx) / fx, abs(width - cx) / fx, abs(cy) / fy, abs(height - cy) / fy) > WIDEST:
        raise InputError(
            f"K: focal lengths of {fx:g} and {fy:g} with the principal point at {cx:g},{cy:g} make a picture of "
            f"{width}x{height} pixels too wide for a lens; all count in pixels"
        )
    if max(fx, fy) > LONGEST * max(width, height):
        raise InputError(f"K: focal lengths of {fx:g} and {fy:g} are too long for {width}x{height} pixels")
    return Camera(torch.from_numpy(matrix), width, height)


def check_options(box: Any, K: Any, side: Any, hand_length: Any) -> None:
    """Check what can be said of the options without the picture. Raises InputError naming the one at fault."""
    if box is not None:
        w, h = as_array(box, (4,), "box").tolist()[2:]
        if w <= 0 or h <= 0:
            raise InputError(f"box: width and height must be positive, got {w:g} and {h:g}")
    if K is not None:
        as_intrinsics(K)
    if side not in (*SIDES, "auto"):
        raise InputError(f"side: must be 'left', 'right' or 'auto', not {side!r}")
    if hand_length is not None:
        low, high = HAND_LENGTHS
        if not low <= as_array(hand_length, (), "hand_length") <= high:
            raise InputError(f"hand_length: must lie between {low} and {high} metres, got {float(hand_length):g}")


def _nearly_same(a: SquareBox, b: SquareBox) -> bool:
    shift = max(abs(a.centre_x - b.centre_x), abs(a.centre_y - b.centre_y))
    turn = math.remainder(a.angle - b.angle, math.tau)
    return shift < SAME_BOX * b.side and abs(a.side / b.side - 1) < SAME_BOX and abs(turn) < SAME_ANGLE


def _numpy(values: Tensor) -> np.ndarray:
    return values.detach().double().cpu().numpy()
