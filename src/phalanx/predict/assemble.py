"""The one way from a posed hand to the `HandPrediction` that users get, for pictures and depth frames alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from phalanx.core.errors import InputError
from phalanx.fit.chain import chain_of, hand_length
from phalanx.geometry.camera import Camera
from phalanx.hand.anatomy import AnatomicalPose
from phalanx.hand.model import HandModel, HandPose
from phalanx.hand.prediction import HandPrediction


def assemble(
    model: HandModel,
    pose: HandPose,
    camera: Camera[np.ndarray],
    flip: bool,
    length: float | None = None,
    spheres: Tensor | None = None,
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
        others: the fields of `HandPrediction` that do not follow from the pose: `side`, `score`, `box`, `uncertainty`, where side,
            camera and scale come from, and so on.

    Raises:
        InputError: the hand would reach behind the camera.
    """
    with torch.inference_mode():  # quicker than no_grad where operations are small
        surface = model(pose)
        angles = AnatomicalPose.from_rotations(pose.rotations.double()).degrees()[0]
        scale = 1.0 if length is None else length / float(hand_length(chain_of(model), pose.shape)[0][0])
    mirror = np.array([-1.0 if flip else 1.0, 1.0, 1.0])
    joints = _numpy(surface.joints[0]) * (scale * mirror)  # (21, 3)
    vertices = _numpy(surface.vertices[0]) * (scale * mirror)
    if min(joints[:, 2].min(), vertices[:, 2].min()) <= 0:
        raise InputError(
            "the hand would reach behind the camera: is the camera matrix right, and the hand not too close for so wide a camera?"
        )
    faces = model.faces.cpu().numpy()
    return HandPrediction(
        width=camera.width,
        height=camera.height,
        K=camera.K,
        joints_2d=camera.project(joints),
        joints=joints,
        vertices=vertices,
        faces=faces[:, ::-1] if flip else faces,  # a mirrored surface is inside out
        rotations=_numpy(pose.rotations[0]),
        orientation=_numpy(pose.orientation[0]),
        shape=_numpy(pose.shape[0]),
        angles_degrees=angles,
        scale=scale,
        spheres=None if spheres is None else _numpy(spheres) * mirror,
        **others,
    )


def _numpy(values: Tensor) -> np.ndarray:
    return values.detach().double().cpu().numpy()
