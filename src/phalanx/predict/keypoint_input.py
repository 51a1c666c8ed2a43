"""What keypoints hold before anything is fitted: which joints are missing, and whether they are places in a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from phalanx.core.checks import as_array
from phalanx.core.errors import InputError
from phalanx.data.camera_files import as_calibration
from phalanx.predict.inputs import PictureCamera, picture_camera

ROOTS = (0, 9, 20)
"""Joints that recordings are made relative to, likeliest first: wrist or middle MCP, in the usual orders."""

FAR = 4.0
"""Sides of a picture; joints farther outside lie in another one."""

UNITS = {"fractions": "0 to 1 across it", "pixels": "pixels"}


@dataclass(frozen=True)
class PicturePoints:
    """Keypoints that are places in a picture."""

    pixels: np.ndarray
    """(N, 21, 2), or 0 to 1 across the picture."""
    depth: np.ndarray | None
    """(N, 21) relative to the wrist's, as large as in the picture, in the unit of x; or None."""
    unit: str
    """One of `UNITS`."""


def seen_joints(points: np.ndarray, confidence: np.ndarray | None = None) -> np.ndarray:
    """Which joints (N, 21) of `points` (N, 21, D) were measured.

    Not those that are NaN, whose confidence is 0, or that are exactly 0 beside others that are not. One joint that is exactly 0
    throughout is what the others are relative to.
    """
    there = np.isfinite(points).all(-1)
    seen = there if confidence is None else there & (confidence > 0)
    zero = (points == 0).all(-1)
    lost = (zero | ~there).all(1)
    always = (zero | ~there)[~lost].all(0) & zero[~lost].any(0)
    if always.any():
        root = next((joint for joint in ROOTS if always[joint]), int(np.flatnonzero(always)[0]))
        zero[~lost, root] = False
    return seen & ~zero


def picture_points(
    points: np.ndarray, seen: np.ndarray, in_picture: bool = False, expected: bool = False
) -> PicturePoints | None:
    """Keypoints (N, 21, 2 or 3) as places in a picture, or None where they are in space.

    They are places in a picture if the file says so, if they have two coordinates or the third is always the same, if the third is a
    confidence (0 to 1 beside pixels), or if the wrist's is 0 and its others are not, as MediaPipe has it; and where a picture is
    `expected`, if they are positive and either below 1 or as large as pixels.
    """
    flat = np.where(seen[..., None], points, np.nan)
    if not seen.any():
        return None
    places = points[..., :2]
    extent = float(np.nanmedian(np.linalg.norm(flat[..., :2] - _middle(flat[..., :2]), axis=-1)))
    inside = np.nanmin(flat[..., :2]) > -0.5 and np.nanmax(flat[..., :2]) < 1.5
    unit = "fractions" if inside else "pixels"
    if points.shape[2] == 2:
        return PicturePoints(places, None, unit)
    z = flat[..., 2]
    low, high = float(np.nanmin(z)), float(np.nanmax(z))
    if low == high or (unit == "pixels" and low >= 0 and high <= 1 and extent > 10):
        return PicturePoints(places, None, unit)
    positive = expected and np.nanmin(flat[..., :2]) >= 0 and (unit == "fractions" or extent > 10)
    wrist = flat[:, 0]
    rooted = np.nanmax(np.abs(wrist[:, 2]), initial=0) < 1e-4 * extent and not np.isnan(wrist[:, 2]).all()
    if in_picture or positive or (rooted and np.nanmin(np.abs(wrist[:, :2]).max(1)) > 1e-2 * extent):
        return PicturePoints(places, points[..., 2], unit)
    return None


def _middle(values: np.ndarray) -> np.ndarray:
    """(N, 1, D) median of the joints of each frame; NaN where there are none."""
    result = np.full((len(values), 1, values.shape[2]), np.nan)
    there = np.isfinite(values).all(-1).any(1)
    result[there, 0] = np.nanmedian(values[there], axis=1)
    return result


def camera_of_keypoints(unit: str, size: Sequence[float] | None, K: Any) -> PictureCamera:
    """The camera of the picture that keypoints lie in: K, or one of a usual field of view where only the picture's `size` is known.

    Raises:
        InputError: neither is known, or they cannot be.
    """
    calibration = None if K is None else as_calibration(K)
    if size is None:
        if calibration is None or (calibration.size is None and unit == "fractions"):
            known = "" if unit == "fractions" else " or its camera (--K)"
            raise InputError(
                f"joints: are places in a picture ({UNITS[unit]}), not in space; give the picture's size (--image-size W,H){known}"
            )
        middle = calibration.K[:2, 2]
        size = calibration.size or (2 * middle + 1).round().clip(1).tolist()
    width, height = as_array(size, (2,), "image size").tolist()
    if not (width >= 1 and height >= 1 and width.is_integer() and height.is_integer()):
        raise InputError(f"image size: must be two whole numbers of pixels, not {width:g}, {height:g}")
    return picture_camera(calibration, int(width), int(height))


def on_plane(found: PicturePoints, picture: PictureCamera) -> tuple[np.ndarray, np.ndarray | None]:
    """Places x / z and y / z (N, 21, 2) before the camera, NaN where its lens shows nothing, and depths (N, 21) relative to the hand's,
    (z - z_hand) / z_hand."""
    camera, pixels, depth = picture.camera, found.pixels, found.depth
    if found.unit == "fractions":  # of the picture, edge to edge; pixel centres are integers
        pixels = pixels * [camera.width, camera.height] - 0.5
        depth = None if depth is None else depth * camera.width
    if np.nanmax(np.abs(pixels), initial=0) > FAR * max(camera.width, camera.height):
        raise InputError(f"joints: lie far outside the picture of {camera.width}x{camera.height} pixels")
    K = camera.K
    y = (pixels[..., 1] - K[1, 2]) / K[1, 1]
    x = (pixels[..., 0] - K[0, 2] - K[0, 1] * y) / K[0, 0]
    places = np.stack((x, y), axis=-1)
    if picture.lens is not None:
        places = picture.lens.undistort(places)
    return places, None if depth is None else (depth - _middle(depth[..., None])[..., 0]) / K[0, 0]
