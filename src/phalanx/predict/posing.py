"""From what an estimator saw of the hands in a picture to predictions: the hand model fitted to all of them, before one camera."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from phalanx.fit.evidence import Evidence
from phalanx.geometry.camera import Camera, camera_from_field_of_view
from phalanx.geometry.crops import SquareBox
from phalanx.hand.plain import PlainHand
from phalanx.hand.pose import HandPose, concatenate_poses
from phalanx.hand.prediction import HandPrediction, Side
from phalanx.predict.assemble import assemble_hands
from phalanx.predict.inputs import PictureCamera
from phalanx.predict.looks import View, joined
from phalanx.predict.sides import side_of
from phalanx.predict.straight import StraightPicture

if TYPE_CHECKING:
    from phalanx.hand.model import HandModel

Hand: TypeAlias = "HandModel | PlainHand"
"""The hand that is posed, of PyTorch or of NumPy."""

LONGER_LENSES = (45.0, 30.0, 20.0, 10.0)
"""Degrees across the longer side, where the camera that was assumed is too near."""

SHAPE_LENGTHS = (0.14, 0.23)
"""Metres; what the model's shapes reach with ease, other hands are scaled."""

Fit = Callable[[Any, Evidence[np.ndarray], np.ndarray, int, "np.ndarray | None"], HandPose[np.ndarray]]
"""`fit(model, evidence, K (B, 3, 3) of the crops, their size, hand lengths (B,) or None)`, as `fit.joints.fit_evidence`, with arrays."""


@dataclass(frozen=True, eq=False)
class Found:
    """A hand that was found in a picture.

    Attributes:
        view: the surest of it.
        side: as it was asked for.
        length: metres from the wrist to the tip of the stretched middle finger, where known.
        detection: confidence of the detector, where it found the hand.
    """

    view: View
    side: Side | Literal["auto"]
    length: float | None = None
    detection: float | None = None


def pose_hands(
    model: Hand,
    fit: Fit,
    size: int,
    picture: StraightPicture,
    camera: PictureCamera,
    found: Sequence[Found],
    mirrored: bool,
    bare: bool = False,
) -> list[HandPrediction | None]:
    """A prediction for each hand; None where it would reach behind the camera.

    A picture has one camera: of those that may have taken it (`cameras_to_try`) the first before which the most hands fit.

    Args:
        model, fit: the hand, and how it is posed.
        size: of the estimator's crops, pixels.
        picture, camera: without and with its lens.
        found: what was seen in `picture.image`.
        mirrored: the picture is a mirror image.
        bare: predictions without surfaces.
    """
    facts = [_facts(each, picture, mirrored) for each in found]
    flips, lengths = [each.view.look.flip for each in found], [each.length for each in found]
    best: list[HandPrediction | None] = [None] * len(found)
    for tried in cameras_to_try(camera):
        if _count(best) == len(found):
            break
        pose = _fitted(model, fit, size, picture.camera if tried is camera else tried.camera, found)
        others = [{**fact, "camera_source": tried.source} for fact in facts]
        whole = tried.source != "given"
        hands = assemble_hands(model, pose, tried.camera, flips, lengths, others, tried.lens, whole=whole, bare=bare)
        if _count(hands) > _count(best):
            best = hands
    return best


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


def score(sigma: np.ndarray) -> float:
    """0 to 1 from expected errors (21,) in crop units: 1 for none, 1/2 where they are a twentieth of the crop."""
    return float(1 / (1 + (np.mean(sigma) / 0.05) ** 2))


def box_from_edge(box: SquareBox) -> list[float]:
    """A square, seen as upright, as users' boxes are: x, y, width, height in pixels from the picture's edge."""
    return [box.centre_x + 0.5 - box.side / 2, box.centre_y + 0.5 - box.side / 2, box.side, box.side]


def _facts(found: Found, picture: StraightPicture, mirrored: bool) -> dict[str, Any]:
    """What is known of a hand before it is posed: fields of `HandPrediction`."""
    shown = picture.box_in_given(found.view.look.square)
    return {
        "side": side_of(found.view.look.flip, mirrored),
        "score": score(found.view.sigma),
        "box": box_from_edge(shown),
        "uncertainty": found.view.sigma * shown.side,
        "side_source": "guessed" if found.side == "auto" else "given",
        "scale_source": "prior" if found.length is None else "given",
        "mirrored": mirrored,
        "detection": found.detection,
    }


def _fitted(
    model: Hand, fit: Fit, size: int, camera: Camera[np.ndarray], found: Sequence[Found]
) -> HandPose[np.ndarray]:
    """The pose (B, ...) of each hand: one fit for all, or two where the length of some hands is known and that of others is not."""
    order = sorted(range(len(found)), key=lambda row: found[row].length is not None)
    poses = []
    for known in (False, True):
        part = [found[row] for row in order if (found[row].length is not None) == known]
        if part:
            K = np.stack([crop_camera(camera, each.view, size) for each in part]).astype(np.float32)
            lengths = np.clip(np.array([each.length for each in part], np.float32), *SHAPE_LENGTHS) if known else None
            poses.append(fit(model, joined([each.view for each in part]), K, size, lengths))
    return concatenate_poses(poses)[np.argsort(order)]


def crop_camera(camera: Camera[np.ndarray], view: View, size: int) -> np.ndarray:
    """Camera matrix (3, 3) of the crop that was looked at."""
    crop = camera.crop(view.look.square, size)
    K: np.ndarray = (crop.mirror() if view.look.flip else crop).K
    return K


def _count(hands: Sequence[HandPrediction | None]) -> int:
    return sum(hand is not None for hand in hands)
