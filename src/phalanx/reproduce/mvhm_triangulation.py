"""What a user would try without MVHM: the default estimator looks at each view, and one hand is fitted to what all views say."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from torch import Tensor

from phalanx.data.images import image_bytes
from phalanx.fit.views import ViewEvidence, fit_views, triangulate
from phalanx.geometry.camera import Camera
from phalanx.geometry.crops import box_around_picture
from phalanx.geometry.placed import PlacedCamera
from phalanx.predict.looks import Look, View, joined, surest_views
from phalanx.predict.predictor import Predictor
from phalanx.synth.scene.rigs import Rig


def fitted_joints(frames: Mapping[str, Tensor], rig: Rig) -> np.ndarray:
    """Joints (N, 21, 3), metres in the world, of frames (`train.multi_view.framed`) by the cameras of `rig`.

    Nothing is given but pictures, cameras, and that right hands fill them: neither depth nor size.
    """
    predictor = Predictor()
    count, cameras, _, side, _ = frames["image"].shape
    K = frames["K"].double().numpy()  # (N, V, 3, 3) of the crops
    size = predictor.estimator.config.size
    whole = Look(0, box_around_picture(side, side), False)
    points, weights = np.zeros((count, cameras, 21, 2)), np.zeros((count, cameras, 21))
    evidence = []
    for view in range(cameras):
        seen: list[View] = []
        for frame in range(count):
            picture = image_bytes(frames["image"][frame, view].float() / 255)
            (found,) = surest_views(predictor.see(picture), [whole], side, side)
            seen.append(found)
            to_rig = rig.K[view] @ np.linalg.inv(K[frame, view])  # pixels of the crop to those of the camera
            points[frame, view] = found.joints @ to_rig[:2, :2].T + to_rig[:2, 2]
            weights[frame, view] = (found.sigma * found.look.square.side * to_rig[0, 0]) ** -2.0
        crops = [Camera(K[frame, view], side, side).crop(each.look.square, size).K for frame, each in enumerate(seen)]
        everything = np.ones((count, 21), bool)
        evidence.append(ViewEvidence(joined(seen), np.stack(crops), size, rig.world_to_camera[view], everything))
    placed = [
        PlacedCamera(Camera(rig.K[view], rig.width, rig.height), rig.world_to_camera[view]) for view in range(cameras)
    ]
    found_joints = triangulate(points, weights, placed)
    counted = [
        ViewEvidence(each.evidence, each.K, size, each.world_to_camera, found_joints.agrees[:, view])
        for view, each in enumerate(evidence)
    ]
    unseen = ~np.any(found_joints.agrees, axis=(1, 2))  # no two views agree: all count
    for each in counted:
        each.seen[unseen] = True
    return fit_views(predictor.hand, counted, found_joints.joints).joints
