"""Errors of angles, in degrees: between rotations, and of joint angles."""

import numpy as np
from numpy.typing import ArrayLike

from phalanx.core.errors import InputError
from phalanx.metrics.checks import Valid, as_floats, checked_pair


def rotation_angle_errors(predicted: ArrayLike, true: ArrayLike) -> np.ndarray:
    """Angle of the rotation between two rotations: `(..., 3, 3) x 2 -> (...)`, degrees in [0, 180].

    The geodesic distance on SO(3) (Huynh, "Metrics for 3D Rotations", JMIV 2009, function Phi_6), by atan2 and so as
    exact near 0 and 180 as elsewhere; the arc cosine of the trace is not. Raises InputError unless all are rotations.
    """
    first, second = _rotations(predicted, "predicted"), _rotations(true, "true")
    if first.shape != second.shape:
        raise InputError(f"predicted: must have the shape of the true rotations, {second.shape}, has {first.shape}")
    between = np.swapaxes(first, -1, -2) @ second
    axis = between[..., [2, 0, 1], [1, 2, 0]] - between[..., [1, 2, 0], [2, 0, 1]]  # 2 sin(angle) times the axis
    cosine = np.trace(between, axis1=-2, axis2=-1) - 1  # 2 cos(angle)
    return np.degrees(np.arctan2(np.linalg.norm(axis, axis=-1), cosine))


def joint_angle_errors(predicted: ArrayLike, true: ArrayLike, valid: Valid = None) -> np.ndarray:
    """Absolute difference of joint angles given in radians: `(N, A) x 2 -> (N, A)`, degrees in [0, 180].

    The shorter way round the circle counts. With `metrics.frames.frames_within` these are the ROC curves of angles of
    Dibra et al., CVPRW 2018, Figure 7 (left); their squares' mean is the "Joint Angle MSE" of its Table 4. NaN where not
    `valid`. Raises InputError for other shapes, and for angles beyond 4 pi, which must be degrees.
    """
    first, second, mask = checked_pair(predicted, true, valid, (None, None))
    for values, name in ((first, "predicted"), (second, "true")):
        if np.abs(values).max(initial=0) > 4 * np.pi:
            raise InputError(
                f"{name}: radians expected, has angles of up to {np.abs(values).max():.4g}; are they degrees?"
            )
    errors = np.degrees(np.abs((first - second + np.pi) % (2 * np.pi) - np.pi))
    return errors if mask is None else np.where(mask, errors, np.nan)


def _rotations(values: ArrayLike, name: str) -> np.ndarray:
    matrices = as_floats(values, name)
    if matrices.shape[-2:] != (3, 3):
        raise InputError(f"{name}: rotations (..., 3, 3) expected, has shape {matrices.shape}")
    gram = np.swapaxes(matrices, -1, -2) @ matrices
    if not (np.abs(gram - np.eye(3)) < 1e-3).all() or not (np.linalg.det(matrices) > 0).all():  # NaN fails too
        raise InputError(f"{name}: has matrices that are not rotations")
    return matrices
