"""The one way from a posed hand to the `HandPrediction` that users get, for pictures and depth frames alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from phalanx.core.errors import InputError
from phalanx.fit.chain import hand_length, numpy_chain_of
from phalanx.geometry.camera import Camera
from phalanx.geometry.distortion import Lens
from phalanx.hand.angles import ANGLE_NAMES, rotations_to_angles
from phalanx.hand.plain import PlainHand, plain_hand
from phalanx.hand.pose import HandPose
from phalanx.hand.prediction import HandPrediction
from phalanx.predict.straight import bent_pixels

if TYPE_CHECKING:
    from torch import Tensor

    from phalanx.hand.model import HandModel

BEHIND = "the hand would reach behind the camera: is the camera matrix right, and the hand not too close for so wide a camera?"

FOREARM = 1
"""The forearm's number among the segments of the hand model (`HandModel.parts`)."""


class BehindCamera(InputError):
    """No hand of a real size, before this camera, looks like the one in the picture."""


def assemble(
    model: HandModel | PlainHand,
    pose: HandPose,
    camera: Camera[np.ndarray],
    flip: bool,
    length: float | None = None,
    spheres: Tensor | None = None,
    lens: Lens | None = None,
    **others: Any,
) -> HandPrediction:
    """The prediction of a posed right hand, in the frame of the picture as it was given.

    Args:
        model: the hand that was posed.
        pose: a batch of one, tensors or arrays, metres, in the frame of the camera; mirrored (x negated) if `flip`.
        camera: of the picture.
        flip: the picture shows a left hand, and was looked at in a mirror.
        length: metres from the wrist to the tip of the stretched middle finger, to which the hand is scaled about the camera.
        spheres: (41, 3) in the pose's frame, where the hand was fitted to them.
        lens: of the camera, if it distorts.
        others: the fields of `HandPrediction` that do not follow from the pose: `side`, `score`, `box`, `uncertainty`, where side,
            camera and scale come from, and so on.

    Raises:
        BehindCamera: the hand would reach behind the camera. The forearm may.
    """
    fields = {**others, "spheres": None if spheres is None else _numpy(spheres) * _mirror(flip)}
    (hand,) = assemble_hands(model, pose, camera, [flip], [length], [fields], lens)
    if hand is None:
        raise BehindCamera(BEHIND)
    return hand


def assemble_hands(
    model: HandModel | PlainHand,
    pose: HandPose,
    camera: Camera[np.ndarray],
    flips: Sequence[bool],
    lengths: Sequence[float | None],
    others: Sequence[Mapping[str, Any]],
    lens: Lens | None = None,
    degrees: np.ndarray | None = None,
    whole: bool = False,
    bare: bool = False,
) -> list[HandPrediction | None]:
    """The predictions of B posed right hands in one picture; None for those that would reach behind the camera.

    Args:
        model: the hand that was posed.
        pose: (B, ...) as `assemble` takes it.
        camera, lens: of the picture.
        flips, lengths, others: of each hand, as `assemble` takes them.
        degrees: (B, 23) the angles of the pose, where they are known.
        whole: the forearm, too, must not reach behind the camera.
        bare: without surfaces.
    """
    model = plain_hand(model)
    pose = pose.map(lambda values: values if isinstance(values, np.ndarray) else values.detach().cpu().numpy())
    surface = model(pose)
    joints, vertices = surface.joints.astype(np.float64), surface.vertices
    rotations, orientation, shape = (
        values.astype(np.float64) for values in (pose.rotations, pose.orientation, pose.shape)
    )
    degrees = np.degrees(rotations_to_angles(rotations)) if degrees is None else degrees
    angles = [dict(zip(ANGLE_NAMES, row, strict=True)) for row in degrees.tolist()]
    own = None
    if any(length is not None for length in lengths):
        own = hand_length(numpy_chain_of(model), pose.shape)[0].tolist()
    skin = slice(None) if whole else model.parts != FOREARM
    nearest = np.minimum(joints[..., 2].min(1), vertices[:, skin, 2].min(1))
    hands: list[HandPrediction | None] = []
    for row, (flip, length) in enumerate(zip(flips, lengths, strict=True)):
        scale = 1.0 if length is None or own is None else length / own[row]
        if not nearest[row] > 0:
            hands.append(None)
            continue
        mirror = scale * _mirror(flip)
        there = joints[row] * mirror
        shown: dict[str, Any] = {}
        if not bare:  # a mirrored surface is inside out
            shown = {"vertices": vertices[row] * mirror, "faces": model.faces[:, ::-1] if flip else model.faces}
        hand = HandPrediction(
            width=camera.width,
            height=camera.height,
            K=camera.K,
            joints_2d=bent_pixels(camera, lens, there),
            joints=there,
            **shown,
            rotations=rotations[row],
            orientation=orientation[row],
            shape=shape[row],
            angles_degrees=angles[row],
            scale=scale,
            distortion_model=None if lens is None else lens.model,
            distortion=None if lens is None else lens.coefficients,
            **others[row],
        )
        hands.append(hand)
    return hands


def _mirror(flip: bool) -> np.ndarray:
    return np.array([-1.0 if flip else 1.0, 1.0, 1.0])


def _numpy(values: Tensor) -> np.ndarray:
    return values.detach().double().cpu().numpy()
