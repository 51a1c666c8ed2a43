"""Arms that reach where a hand is to be: two bones, the elbow's swivel chosen so that wrist and forearm stay within what people can do.

All arms are right ones, in their persons' frames (the person looks along -z, y is down, +x is their left); left arms are solved as the
right ones of a mirror image. N arms at once; NumPy, metres.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from phalanx.core.records import map_fields

_SWIVELS = 24  # elbows tried for each arm
_FARTHEST, _NEAREST = 0.985, 0.30  # share of the arm's length that wrists are from shoulders
_FLEXION = np.deg2rad(62.0)  # bend of the wrist that costs nothing much
_DEVIATION = np.deg2rad(28.0)
_PRONATION = np.deg2rad(80.0)
_OUTWARDS = np.array([-0.45, 0.9, 0.25])  # where elbows like to be: out, down and back


@dataclass
class Arms:
    """N right arms.

    Attributes:
        elbow, wrist: (N, 3).
        upper: (N, 3, 3) columns along the upper arm, the elbow's axis, and their cross product.
        forearm: (N, 3, 3) from the forearm's frame (x radial, y to the wrist, z palmar, as the hand's) to the person's.
        palm: (N, 3, 3) from the hand's frame to the person's.
        strain: (N,) how far beyond what is easy the arm is; above 1 it is hardly possible.
    """

    elbow: np.ndarray
    wrist: np.ndarray
    upper: np.ndarray
    forearm: np.ndarray
    palm: np.ndarray
    strain: np.ndarray

    def __getitem__(self, index: np.ndarray) -> Arms:
        return map_fields(self, lambda value: value[index])


def unit(vectors: np.ndarray) -> np.ndarray:
    """`vectors (..., 3)` divided by their lengths."""
    return vectors / np.maximum(np.sqrt((vectors * vectors).sum(-1, keepdims=True)), 1e-9)


def cross(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """`np.cross` of vectors `(..., 3)`, in a third of its time."""
    (a, b, c), (d, e, f) = (np.moveaxis(vectors, -1, 0) for vectors in (one, two))
    return np.stack([b * f - c * e, c * d - a * f, a * e - b * d], -1)


def frame(fingers: np.ndarray, palmar: np.ndarray) -> np.ndarray:
    """Right hands' frames `(..., 3, 3)` (columns x radial, y distal, z palmar) whose fingers point along `fingers (..., 3)` and whose palms
    face `palmar (..., 3)` as far as that allows."""
    y = unit(fingers)
    z = unit(palmar - (palmar * y).sum(-1, keepdims=True) * y)
    return np.stack([cross(y, z), y, z], -1)


def swing(to: np.ndarray) -> np.ndarray:
    """The smallest rotations `(..., 3, 3)` that turn y into the unit vectors `to (..., 3)`."""
    y = np.maximum(to[..., 1], -0.99)
    across = to[..., [0, 2]]
    across = across * (np.sqrt(1.0 - y * y) / np.maximum(np.linalg.norm(across, axis=-1), 1e-9))[..., None]
    x, z = across[..., 0], across[..., 1]
    k = 1.0 / (1.0 + y)
    rows = [1 - k * x * x, x, -k * x * z, -x, y, -z, -k * x * z, z, 1 - k * z * z]
    return np.stack(rows, -1).reshape(*to.shape[:-1], 3, 3)


def reach(
    shoulder: np.ndarray, lengths: np.ndarray, wrist: np.ndarray, palm: np.ndarray, down: np.ndarray, loose: np.ndarray
) -> Arms:
    """Arms from `shoulder (N, 3)` with hands at `wrist (N, 3)`, turned as `palm (N, 3, 3)`.

    What is out of reach is reached for; the palm gives way where the wrist would have to bend too far.

    Args:
        lengths: (N, 2) of upper arm and forearm.
        down: (N, 3, 3) from the chest's frame: what down, out and back mean for elbows.
        loose: (N,) noise of the elbows' height.
    """
    way = wrist - shoulder
    far = np.linalg.norm(way, axis=1)
    whole = lengths.sum(1)
    distance = np.clip(far, _NEAREST * whole, _FARTHEST * whole)
    way = way / np.maximum(far, 1e-6)[:, None]
    wrist = shoulder + way * distance[:, None]
    along = (lengths[:, 0] ** 2 - lengths[:, 1] ** 2 + distance**2) / (2 * distance)
    radius = np.sqrt(np.maximum(lengths[:, 0] ** 2 - along**2, 1e-8))
    first = unit(cross(way, np.where(np.abs(way[:, :1]) < 0.9, [1.0, 0.0, 0.0], [0.0, 1.0, 0.0])))
    second = cross(way, first)
    angle = np.linspace(0, 2 * np.pi, _SWIVELS, endpoint=False)
    aside = first[:, None] * np.cos(angle)[:, None] + second[:, None] * np.sin(angle)[:, None]  # (N, K, 3)
    elbow = (shoulder + along[:, None] * way)[:, None] + radius[:, None, None] * aside
    upper, lower = unit(elbow - shoulder[:, None]), unit(wrist[:, None] - elbow)
    hinge = unit(cross(upper, lower))
    local = np.einsum("nij,nki->nkj", palm, lower)  # the forearm's direction in the hand's frame
    bent = np.arctan2(local[..., 2], local[..., 1])
    aslant = np.arcsin(local[..., 0].clip(-1, 1))
    forearm = palm[:, None] @ swing(local)
    palmar = forearm[..., 2]
    turned = np.arctan2((palmar * cross(lower, hinge)).sum(-1), -(palmar * hinge).sum(-1))
    own = np.einsum("nij,nki->nkj", down, elbow - shoulder[:, None])  # in the chest's frame
    wanted = (own * _OUTWARDS).sum(-1) / lengths[:, :1]
    inside = np.maximum(own[..., 0] - 0.06, 0.0) * (own[..., 2] > -0.16)  # the chest is there
    wrist_cost = (
        np.maximum(np.abs(bent) / _FLEXION - 0.6, 0) ** 2 + np.maximum(np.abs(aslant) / _DEVIATION - 0.5, 0) ** 2
    )
    turn_cost = np.maximum(np.abs(turned) / _PRONATION - 0.7, 0) ** 2 * 2.0
    cost = (
        wrist_cost
        + turn_cost
        + 25.0 * inside
        + 3.0 * np.maximum(own[..., 2] - 0.12, 0.0)
        - (0.35 + loose[:, None]) * wanted
    )
    best = cost.argmin(1)
    rows = np.arange(len(best))
    strain = np.maximum.reduce([np.abs(bent) / 1.31, np.abs(aslant) / 0.66, np.abs(turned) / 1.75])[rows, best]
    upper, hinge, lower = upper[rows, best], hinge[rows, best], lower[rows, best]
    palm = _within_reach(palm, lower, local[rows, best], bent[rows, best], aslant[rows, best])
    forearm = palm @ swing(np.einsum("nij,ni->nj", palm, lower))
    return Arms(elbow[rows, best], wrist, np.stack([upper, hinge, cross(upper, hinge)], -1), forearm, palm, strain)


def _within_reach(
    palm: np.ndarray, lower: np.ndarray, local: np.ndarray, bent: np.ndarray, aslant: np.ndarray
) -> np.ndarray:
    """Hands turned back where wrists would bend by more than they can."""
    limit_bent, limit_aslant = bent.clip(-1.2, 1.2), aslant.clip(-0.62, 0.52)
    kept = np.stack(
        [
            np.sin(limit_aslant),
            np.cos(limit_aslant) * np.cos(limit_bent),
            np.cos(limit_aslant) * np.sin(limit_bent),
        ],
        -1,
    )
    return palm @ swing(local) @ swing(kept).transpose(0, 2, 1)
