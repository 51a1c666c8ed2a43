"""Errors of predicted joints, in the unit of the joints given, and the alignments that come before them.

All functions take two arrays of the same shape, prediction first, and return one error per joint, so that callers can
average over joints, photos or groups of photos as they like (`metrics.summaries`, `metrics.curves`, `metrics.frames`).
Missed hands are for the caller to leave out: values that are not finite are refused.

`valid` (N, J) says which joints count, where a set has no labels for all of them. Joints that do not count may hold
anything; they take no part in an alignment, and come out of it as NaN, as do their errors: a mean that forgets `valid`
is noticed.

All functions raise InputError: for arrays of different shapes, for values that are not finite, and where one array
seems to be in metres and the other in millimetres. Those that give the prediction the size of the truth refuse a true
hand without one, all of whose joints lie in one point.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import ArrayLike

from phalanx.core.errors import InputError
from phalanx.geometry.alignment import equal_norm_scale, rigid_align, similarity_align
from phalanx.metrics.checks import Valid, as_floats, check_extent, checked_pair, checked_points

BLOCK = 4096
"""Frames that are aligned at once: their arrays stay in the processor's cache."""


def end_point_errors(predicted: ArrayLike, true: ArrayLike, valid: Valid = None) -> np.ndarray:
    """Euclidean distance of every joint to its true place: `(N, J, D) x 2 -> (N, J)`.

    Its mean is the end-point error (EPE) of Zimmermann and Brox, "Learning to Estimate 3D Hand Pose from Single RGB
    Images", ICCV 2017, section 6 (and the MPJPE of others), in pixels or millimetres.
    """
    first, second, mask = checked_points(predicted, true, valid)
    return _distances(first, second, mask)


def z_errors(predicted: ArrayLike, true: ArrayLike, valid: Valid = None) -> np.ndarray:
    """Absolute difference in z, the depth: `(N, J, 3) x 2 -> (N, J)`.

    Cai et al., "Weakly-supervised 3D Hand Pose Estimation from Monocular RGB Images", ECCV 2018, section 4.2 ("mean
    error distance in z-dimension"); there the root's depth is known, so `root_aligned` joints go in.
    """
    first, second, mask = checked_points(predicted, true, valid, 3)
    errors = np.abs(first[..., 2] - second[..., 2])
    return _counted(errors, mask)


def squared_pixel_errors(predicted: ArrayLike, true: ArrayLike, valid: Valid = None) -> np.ndarray:
    """Squared distances in the picture: `(N, J, 2) x 2 -> (N, J)`, in square pixels.

    Over the visible fingertips (J = 5, `valid` = visible), their mean is the error of Dibra et al., "Monocular RGB Hand
    Pose Inference from Unsupervised Refinable Nets", CVPRW 2018, Table 3 ("MSE over pixel errors, with image size
    225x225 pixels": give both in pixels of that size). The paper does not say whether the mean runs over points or over
    coordinates; here, as the unit px^2 of a point's error suggests, dx^2 + dy^2 is one error. The other reading is half
    of it.
    """
    first, second, mask = checked_points(predicted, true, valid, 2)
    errors = np.square(first - second).sum(-1)
    return _counted(errors, mask)


def scaled_orthographic(points: ArrayLike, pixels: ArrayLike, valid: Valid = None) -> np.ndarray:
    """3D points in the picture, by the best scale and shift a frame: `(N, J, 3), (N, J, 2) -> (N, J, 2)`.

    Minimises `sum_j |s (x_j, y_j) + t - u_j|^2`, linear in (s, t), over the valid points: how Dibra et al. 2018, section
    5.4, put 3D fingertips into pictures of unknown cameras ("by solving a least-squares system to best fit to the
    groundtruth labels"; the system is not printed, this is the smallest linear one). With one valid point the scale is
    0. All frames need a valid point.
    """
    flat = as_floats(points, "points")
    if flat.ndim != 3 or flat.shape[-1] != 3:
        raise InputError(f"points: must have shape (any, any, 3), has {flat.shape}")
    first, second, mask = checked_pair(flat[..., :2], pixels, valid)
    weight = _weights(first, mask, least=1)
    total = weight.sum(1)[:, None]  # (N, 1)
    first_mean = np.einsum("nj,njd->nd", weight, first) / total
    second_mean = np.einsum("nj,njd->nd", weight, second) / total
    arms = (first - first_mean[:, None]) * weight[..., None]
    overlap = (arms * (second - second_mean[:, None])).sum((1, 2))
    spread = (arms * (first - first_mean[:, None])).sum((1, 2))
    scale = np.divide(overlap, spread, out=np.zeros_like(overlap), where=spread > 0)  # (N,)
    return _counted(scale[:, None, None] * (first - first_mean[:, None]) + second_mean[:, None], mask)


def root_aligned(predicted: ArrayLike, true: ArrayLike, root: int = 0, valid: Valid = None) -> np.ndarray:
    """The prediction moved so that its root lies on the true one: `(N, J, D) x 2 -> (N, J, D)`.

    Neither turned nor scaled: the protocol of "known root" (Zimmermann and Brox 2017; FreiHAND's and DexYCB's
    "root-relative"). `root` is the number of the joint, 0 being the wrist; it must be valid in all frames.
    """
    first, second, mask = checked_points(predicted, true, valid)
    _check_joint(root, first, mask, "root")
    return _counted(first + (second[:, [root]] - first[:, [root]]), mask)


def root_scaled(predicted: ArrayLike, true: ArrayLike, valid: Valid = None) -> np.ndarray:
    """Root-relative prediction, one scale per frame: `(N, J, 3) x 2 -> (N, J, 3)`, joint 0 at the origin.

    The scale makes the norm of all root-relative joints together, `sqrt(sum_j |p_j - p_0|^2)`, equal to the true one:
    the size of the hand, which one picture cannot tell, is taken out; rotation is not. A prediction with all joints in
    one point has no scale: it stays a point and pays for all of the hand.
    """
    first, second, mask = checked_points(predicted, true, valid, 3)
    check_extent(second, mask)
    _check_joint(0, first, mask, "root")
    relative, target = first - first[:, :1], second - second[:, :1]  # (N, J, 3)
    if mask is not None:
        relative, target = relative * mask[..., None], target * mask[..., None]
    scale = equal_norm_scale(torch.from_numpy(relative), torch.from_numpy(target)).numpy()  # (N,)
    return _counted(relative * scale[:, None, None], mask)


def root_scaled_errors(predicted: ArrayLike, true: ArrayLike, valid: Valid = None) -> np.ndarray:
    """Root-relative error after one scale per frame (see `root_scaled`): `(N, J, 3) x 2 -> (N, J)`.

    The root's own error is 0 and stays in: the mean over all J joints is the usual figure.
    """
    first, second, mask = checked_points(predicted, true, valid, 3)
    return _distances(root_scaled(first, second, mask), second - second[:, :1], mask)


def bone_scaled(
    predicted: ArrayLike, true: ArrayLike, bone: tuple[int, int], root: int = 0, valid: Valid = None
) -> np.ndarray:
    """The prediction scaled to the true length of one bone, its root on the true one: `(N, J, 3) x 2 -> (N, J, 3)`.

    `bone` names the two joints, here in docs/conventions.md's order. The known scale of Zimmermann and Brox 2017 is the
    first bone of the index finger in the paper, (5, 6), and of the middle finger in the code (`BinaryDbReader.py`,
    joints 11 and 12 of RHD), (9, 10). HO-3D's "scale-translation aligned" score (evaluation code of Hampali et al.,
    CVPR 2020) takes joints 0 and 4 of its files, with which `bone=(0, 4)` goes in their order. A predicted bone without
    length has no scale: that hand becomes a point at the root. Bone and root must be valid in all frames.
    """
    first, second, mask = checked_points(predicted, true, valid, 3)
    for joint, name in ((bone[0], "bone"), (bone[1], "bone"), (root, "root")):
        _check_joint(joint, first, mask, name)
    length = np.linalg.norm(first[:, bone[1]] - first[:, bone[0]], axis=-1)  # (N,)
    wanted = np.linalg.norm(second[:, bone[1]] - second[:, bone[0]], axis=-1)
    if (wanted == 0).any():
        raise InputError(
            f"true: the bone {tuple(bone)} of frame {int(np.argmin(wanted))} (of those given, from 0) has no length, "
            "so it gives no scale"
        )
    scale = np.divide(wanted, length, out=np.zeros_like(length), where=length > 0)
    return _counted(scale[:, None, None] * (first - first[:, [root]]) + second[:, [root]], mask)


def centroid_scaled(predicted: ArrayLike, true: ArrayLike, valid: Valid = None) -> np.ndarray:
    """The prediction with the true mean and mean distance from it, of the valid joints: `(N, J, D) x 2 -> (N, J, D)`.

    For sets that label no root, as the fingertips of Dexter+Object; the alignment of the public evaluation of
    minimal-hand-pytorch (`utils/align.py`, which drops frames with fewer than two valid tips; here they are refused).
    A prediction with all joints in one point stays one.
    """
    first, second, mask = checked_points(predicted, true, valid)
    check_extent(second, mask)
    weight = _weights(first, mask, least=2)
    weight = weight / weight.sum(1, keepdims=True)  # (N, J)
    first_mean, second_mean = (np.einsum("nj,njd->nd", weight, points)[:, None] for points in (first, second))
    size, wanted = (
        (weight * np.linalg.norm(points - mean, axis=-1)).sum(1)
        for points, mean in ((first, first_mean), (second, second_mean))
    )
    one_point = size <= 1e-12 * np.abs(first).max((1, 2))  # but for rounding
    scale = np.divide(wanted, size, out=np.zeros_like(size), where=~one_point)  # (N,)
    return _counted(scale[:, None, None] * (first - first_mean) + second_mean, mask)


def procrustes_aligned(predicted: ArrayLike, true: ArrayLike, valid: Valid = None) -> np.ndarray:
    """The prediction moved onto the truth by the best similarity transform: `(N, J, 3) x 2 -> (N, J, 3)`.

    Rotation (without reflection: a mirrored hand is another hand), translation and scale minimise the sum of squared
    distances over the valid joints, at least three a frame: Umeyama, "Least-squares estimation of transformation
    parameters between two point patterns", PAMI 1991. ("PA-MPJPE" is the mean error afterwards.)
    """
    first, second, mask = checked_points(predicted, true, valid, 3)
    check_extent(second, mask)
    return _in_blocks(similarity_align, first, second, mask)


def procrustes_errors(predicted: ArrayLike, true: ArrayLike, valid: Valid = None) -> np.ndarray:
    """Error after the best similarity transform (see `procrustes_aligned`): `(N, J, 3) x 2 -> (N, J)`."""
    first, second, mask = checked_points(predicted, true, valid, 3)
    check_extent(second, mask)
    return _distances(_in_blocks(similarity_align, first, second, mask), second, mask)


def rigid_aligned(predicted: ArrayLike, true: ArrayLike, valid: Valid = None) -> np.ndarray:
    """The prediction moved onto the truth by the best rotation and translation: `(N, J, 3) x 2 -> (N, J, 3)`.

    Procrustes alignment without scale; Umeyama 1991 with c = 1 (Kabsch, Acta Cryst. A 1976).
    """
    first, second, mask = checked_points(predicted, true, valid, 3)
    return _in_blocks(rigid_align, first, second, mask)


def orthogonal_aligned(predicted: ArrayLike, true: ArrayLike) -> np.ndarray:
    """The best similarity transform that may also mirror: `(N, J, 3) x 2 -> (N, J, 3)`.

    What FreiHAND's evaluation code does (`align_w_scale`, by scipy.linalg.orthogonal_procrustes; used by HO-3D's and
    DexYCB's too): the orthogonal matrix has no sign constraint, so a mirrored hand scores 0. On all other hands it is
    `procrustes_aligned`. For comparison with their tables.
    """
    first, second, _ = checked_points(predicted, true, None, 3)
    check_extent(second)
    centred, target = first - first.mean(1, keepdims=True), second - second.mean(1, keepdims=True)
    u, singular, vt = np.linalg.svd(target.transpose(0, 2, 1) @ centred)  # target = R source: R = U V^T
    spread = np.square(centred).sum((1, 2))
    scale = np.divide(singular.sum(1), spread, out=np.zeros_like(spread), where=spread > 0)
    return scale[:, None, None] * (centred @ (u @ vt).transpose(0, 2, 1)) + second.mean(1, keepdims=True)


def _in_blocks(
    align: Callable[[torch.Tensor, torch.Tensor, torch.Tensor | None], torch.Tensor],
    predicted: np.ndarray,
    true: np.ndarray,
    mask: np.ndarray | None,
) -> np.ndarray:
    weight = None if mask is None else torch.from_numpy(_weights(predicted, mask, least=3))
    aligned = np.empty_like(predicted)
    for start in range(0, len(predicted), BLOCK):
        block = slice(start, start + BLOCK)
        source, target = (torch.from_numpy(points[block].copy()) for points in (predicted, true))  # may be read-only
        aligned[block] = align(source, target, None if weight is None else weight[block]).numpy()
    return _counted(aligned, mask)


def _weights(points: np.ndarray, mask: np.ndarray | None, least: int) -> np.ndarray:
    if mask is None:
        return np.ones(points.shape[:2])
    count = mask.sum(1)
    if (count < least).any():
        frame = int(np.flatnonzero(count < least)[0])
        raise InputError(f"valid: frame {frame} has {count[frame]} valid joints, alignment needs at least {least}")
    return mask.astype(np.float64)


def _check_joint(joint: int, points: np.ndarray, mask: np.ndarray | None, name: str) -> None:
    if not 0 <= joint < points.shape[1]:
        raise InputError(f"{name}: joint {joint} is not one of the {points.shape[1]} joints")
    if mask is not None and not mask[:, joint].all():
        frame = int(np.flatnonzero(~mask[:, joint])[0])
        raise InputError(f"valid: joint {joint}, by which hands are aligned, is not valid in frame {frame}")


def _distances(first: np.ndarray, second: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    difference = first - second
    errors = np.sqrt(np.einsum("njd,njd->nj", difference, difference))
    return _counted(errors, mask)


def _counted(values: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """Values (N, J) or (N, J, D), NaN where the joint does not count."""
    return values if mask is None else np.where(mask.reshape(mask.shape + (1,) * (values.ndim - 2)), values, np.nan)
