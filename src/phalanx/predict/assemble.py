"""The one way from a posed hand to the `HandPrediction` that users get, for pictures and depth frames alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from phalanx.core.errors import InputError
from phalanx.fit.chain import chain_of, hand_length
from phalanx.geometry.camera import Camera
from phalanx.geometry.distortion import Lens
from phalanx.hand.anatomy import AnatomicalPose
from phalanx.hand.model import HandModel, HandPose
from phalanx.hand.prediction import HandPrediction
from phalanx.predict.straight import bent_pixels

BEHIND = "the hand would reach behind the camera: is the camera matrix right, and the hand not too close for so wide a camera?"

FOREARM = 1
"""The forearm's number among the segments of the hand model (`HandModel.parts`)."""


class BehindCamera(InputError):
    """No hand of a real size, before this camera, looks like the one in the picture."""


def assemble(
    model: HandModel,
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
        pose: a batch of one, metres, in the frame of the camera; mirrored (x negated) if `flip`.
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
    with torch.inference_mode():  # quicker than no_grad where operations are small
        surface = model(pose)
        angles = AnatomicalPose.from_rotations(pose.rotations.double()).degrees()[0]
        scale = 1.0 if length is None else length / float(hand_length(chain_of(model), pose.shape)[0][0])
    mirror = np.array([-1.0 if flip else 1.0, 1.0, 1.0])
    joints = _numpy(surface.joints[0]) * (scale * mirror)  # (21, 3)
    vertices = _numpy(surface.vertices[0]) * (scale * mirror)
    hand = vertices[model.parts.cpu().numpy() != FOREARM]
    if min(joints[:, 2].min(), hand[:, 2].min()) <= 0:
        raise BehindCamera(BEHIND)
    faces = model.faces.cpu().numpy()
    return HandPrediction(
        width=camera.width,
        height=camera.height,
        K=camera.K,
        joints_2d=bent_pixels(camera, lens, joints),
        joints=joints,
        vertices=vertices,
        faces=faces[:, ::-1] if flip else faces,  # a mirrored surface is inside out
        rotations=_numpy(pose.rotations[0]),
        orientation=_numpy(pose.orientation[0]),
        shape=_numpy(pose.shape[0]),
        angles_degrees=angles,
        scale=scale,
        spheres=None if spheres is None else _numpy(spheres) * mirror,
        distortion_model=None if lens is None else lens.model,
        distortion=None if lens is None else lens.coefficients,
        **others,
    )


def _numpy(values: Tensor) -> np.ndarray:
    return values.detach().double().cpu().numpy()
