"""Errors of predicted joints, in the unit of the joints given.

All functions take two arrays of the same shape, prediction first, and return one error per joint, so that callers can
average over joints, photos or groups of photos as they like. Missed hands are for the caller to leave out: values that
are not finite are refused.
"""

import numpy as np
import torch
from numpy.typing import ArrayLike

from phalanx.core.checks import as_array
from phalanx.core.errors import InputError
from phalanx.geometry.alignment import equal_norm_scale, similarity_align


def end_point_errors(predicted: ArrayLike, true: ArrayLike) -> np.ndarray:
    """Euclidean distance of every joint to its true place: `(N, J, D) x 2 -> (N, J)`.

    Its mean is the end-point error (EPE) of Zimmermann and Brox, ICCV 2017. Raises InputError as all functions here:
    for other shapes and for values that are not finite.
    """
    first, second = _pair(predicted, true)
    return np.linalg.norm(first - second, axis=-1)


def root_scaled(predicted: ArrayLike, true: ArrayLike) -> np.ndarray:
    """Root-relative prediction, one scale per frame: `(N, J, 3) x 2 -> (N, J, 3)`, joint 0 at the origin.

    The scale makes the norm of all root-relative joints together, `sqrt(sum_j |p_j - p_0|^2)`, equal to the true one:
    the size of the hand, which one picture cannot tell, is taken out; rotation is not. A prediction with all joints in
    one point has no scale: it stays a point and pays for all of the hand.
    """
    first, second = _pair(predicted, true)
    relative = first - first[:, :1]  # (N, J, 3)
    scale = equal_norm_scale(torch.from_numpy(relative), torch.from_numpy(second - second[:, :1])).numpy()  # (N,)
    return relative * scale[:, None, None]


def root_scaled_errors(predicted: ArrayLike, true: ArrayLike) -> np.ndarray:
    """Root-relative error after one scale per frame (see `root_scaled`): `(N, J, 3) x 2 -> (N, J)`.

    The root's own error is 0 and stays in: the mean over all J joints is the usual figure.
    """
    first, second = _pair(predicted, true)
    return end_point_errors(root_scaled(first, second), second - second[:, :1])


def procrustes_aligned(predicted: ArrayLike, true: ArrayLike) -> np.ndarray:
    """The prediction moved onto the truth by the best similarity transform: `(N, J, 3) x 2 -> (N, J, 3)`.

    Rotation (without reflection: a mirrored hand is another hand), translation and scale minimise the sum of squared
    distances: Umeyama, "Least-squares estimation of transformation parameters between two point patterns", PAMI 1991.
    """
    first, second = _pair(predicted, true)
    return similarity_align(torch.from_numpy(first), torch.from_numpy(second)).numpy()


def procrustes_errors(predicted: ArrayLike, true: ArrayLike) -> np.ndarray:
    """Error after the best similarity transform (see `procrustes_aligned`): `(N, J, 3) x 2 -> (N, J)`."""
    return end_point_errors(procrustes_aligned(predicted, true), true)


def _pair(predicted: ArrayLike, true: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    first, second = as_array(predicted, (None, None, None), "predicted"), as_array(true, (None, None, None), "true")
    if first.shape != second.shape:
        raise InputError(f"predicted: must have the shape of the true joints, {second.shape}, has {first.shape}")
    return first, second
