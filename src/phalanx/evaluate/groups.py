"""Which side of the hand a photo shows and how many fingers are curled, from the true joints.

Both are our own definitions, so they are kept apart from the scores; `docs/evaluation.md` repeats the thresholds.
"""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from phalanx.core.checks import as_array

VIEWS = ("palm", "side", "back")
FACING_DEGREES = 60.0  # palm (back) view: the palm's (back's) normal within this angle of the direction to the camera
FINGER_CURL_DEGREES = 90.0  # curled finger: bends at MCP, PIP and DIP together above this
THUMB_CURL_DEGREES = 60.0  # curled thumb: bends at MCP and IP together above this


def palm_facing(joints: ArrayLike, side: Literal["left", "right"]) -> np.ndarray:
    """Cosine between the palm's outward normal and the direction from palm to camera: `(N, 21, 3) -> (N,)`.

    1: the palm faces the camera, 0: seen edge on, -1: the back faces it. The normal is the cross product of the vectors
    from the wrist to index and little MCP, turned so that it leaves the palm; joints in the camera frame.
    """
    points = as_array(joints, (None, 21, 3), "joints")
    normal = np.cross(points[:, 5] - points[:, 0], points[:, 17] - points[:, 0])  # (N, 3), out of a right hand's palm
    if side == "left":
        normal = -normal
    to_camera = -points[:, [0, 5, 9, 13, 17]].mean(axis=1)  # (N, 3)
    length = np.linalg.norm(normal, axis=-1) * np.linalg.norm(to_camera, axis=-1)
    return (normal * to_camera).sum(axis=-1) / np.where(length > 0, length, 1.0)


def views(joints: ArrayLike, side: Literal["left", "right"]) -> np.ndarray:
    """ "palm", "side" or "back" for each hand: `(N, 21, 3)` in the camera frame `-> (N,)` of str."""
    facing = palm_facing(joints, side)
    limit = np.cos(np.radians(FACING_DEGREES))
    return np.where(facing > limit, "palm", np.where(facing < -limit, "back", "side"))


def bends(joints: ArrayLike) -> np.ndarray:
    """Degrees by which each finger's bones turn at its first three joints, 0 = straight: `(N, 21, 3) -> (N, 5, 3)`.

    The bone before a finger's first joint comes from the wrist. Sideways turns count as well: they are small.
    """
    points = as_array(joints, (None, 21, 3), "joints")
    fingers = points[:, 1:].reshape(-1, 5, 4, 3)
    wrist = np.broadcast_to(points[:, None, :1], fingers[:, :, :1].shape)
    bones = np.diff(np.concatenate([wrist, fingers], axis=2), axis=2)  # (N, 5, 4, 3)
    before, after = bones[:, :, :-1], bones[:, :, 1:]
    # atan2 of cross and dot is exact for straight fingers, where arccos loses half of the digits
    cross = np.linalg.norm(np.cross(before, after), axis=-1)
    return np.degrees(np.arctan2(cross, (before * after).sum(axis=-1)))


def curled_fingers(joints: ArrayLike) -> np.ndarray:
    """How many of the five fingers are curled: `(N, 21, 3) -> (N,)` of int, 0 to 5."""
    angles = bends(joints)
    thumb = angles[:, 0, 1:].sum(axis=-1) > THUMB_CURL_DEGREES  # (N,); its turn at the CMC does not count
    others = angles[:, 1:].sum(axis=-1) > FINGER_CURL_DEGREES  # (N, 4)
    return thumb.astype(int) + others.sum(axis=-1)
