"""Which of a million 2D poses is most like another one, in milliseconds.

Chen, "Deep learning in 3D hand pose and mesh estimation", dissertation, University of California, Irvine, 2020, Sec. 2.3.2:

    K(u, v) = <f(g(u)), f(v)> / (|f(g(u))| |f(v)|)        (Eq. 2.4)
    f(u) = [..., u_xi - u_xj, u_yi - u_yj, ...]           (Eq. 2.5)   all pairs of joints, 420 numbers
    g: the affine map that brings u nearest to v

**f costs nothing.** The sum over pairs of (u_i - u_j) (v_i - v_j) is 21 times that of (u_i - mean) (v_i - mean), so f is, up to a factor,
the pose about its mean. The nearest affine image of u is then the projection of v onto the plane that u's two columns span, and

    K(u, v) = |Q_u^T v| / |v|,   Q_u (21, 2) an orthonormal basis of the columns of u about their mean.

**The index** sorts poses by k-means on their projectors Q_u Q_u^T (their first principal components), of which K^2 is linear. A query looks
at those clusters alone whose middles are the likest, and there exactly: `PROBED` of `CLUSTERS`.

What the thesis leaves unsaid, and what was chosen:

- **Mirrored maps**: with a reflection the back of a left hand fits the palm of a right one. A candidate whose best map mirrors does not
  count: its score is 0.
- **Placing**: an affine map shears, and 3D joints cannot be sheared along. It ranks candidates alone; `placement` is a similarity.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from phalanx.core.errors import InputError
from phalanx.core.files import write_whole
from phalanx.core.npz import read_npz

CLUSTERS = 1024
"""Of an index of a million; fewer poses have fewer."""

PROBED = 32
"""Clusters that a query looks at."""

_COMPONENTS = 24  # of projectors, for clustering alone
_SAMPLE = 40_000  # poses that clusters are learnt from
_ROUNDS = 12  # of k-means
_PART = 50_000  # poses at a time
_NARROW = 1e-4  # of the largest extent, below which a pose is a line
_PAIRS = np.triu_indices(21)
_TWICE = np.where(_PAIRS[0] == _PAIRS[1], 1.0, np.sqrt(2.0)).astype(np.float32)


@dataclass(frozen=True)
class Matches:
    """The likest poses, the likest first."""

    numbers: np.ndarray
    """(C,) of the poses that the index was built of."""
    scores: np.ndarray
    """(C,) K of Eq. 2.4; 0 for poses that fit when mirrored alone."""


@dataclass(frozen=True)
class PoseIndex:
    """Poses to search in; made by `build` or `read`."""

    bases: np.ndarray
    """(2 N, 21) float32 rows Q_u^T, those of a cluster together: first all x of it, then all y."""
    numbers: np.ndarray
    """(N,) which pose, by cluster."""
    starts: np.ndarray
    """(M + 1,) where each cluster begins."""
    middles: np.ndarray
    """(M, 231) mean projectors, symmetric matrices as vectors."""

    @classmethod
    def build(cls, poses: np.ndarray, seed: int = 0) -> PoseIndex:
        """An index of poses (N, 21, 2), in any unit.

        Raises:
            InputError: they are not such, or not finite.
        """
        if poses.ndim != 3 or poses.shape[1:] != (21, 2) or len(poses) == 0:
            raise InputError(f"poses: (N, 21, 2) expected, not {poses.shape}")
        if not np.isfinite(poses).all():
            raise InputError(f"poses: number {int(np.argmin(np.isfinite(poses).all(axis=(1, 2))))} is not finite")
        bases = np.concatenate([_bases(poses[first : first + _PART]) for first in range(0, len(poses), _PART)])
        random = np.random.default_rng(seed)
        chosen = np.sort(random.permutation(len(poses))[:_SAMPLE])
        count = max(1, min(CLUSTERS, len(poses) // 100))
        mean, components = _principal(_projectors(bases[chosen]))

        def reduced(part: np.ndarray) -> np.ndarray:
            values: np.ndarray = (_projectors(part) - mean) @ components
            return values

        middles = _k_means(reduced(bases[chosen]), count, random)
        parts = [_nearest(reduced(bases[first : first + _PART]), middles) for first in range(0, len(bases), _PART)]
        labels = np.concatenate(parts)
        order = np.argsort(labels, kind="stable")
        starts = np.searchsorted(labels[order], np.arange(count + 1))
        rows = np.empty((2 * len(poses), 21), np.float32)
        means = np.zeros((count, len(_TWICE)), np.float32)
        for cluster, (first, last) in enumerate(pairwise(starts)):
            if last > first:
                own = bases[order[first:last]]
                rows[2 * first : 2 * last] = np.concatenate((own[..., 0], own[..., 1]))
                means[cluster] = _projectors(own).mean(0)
        return cls(rows, order, starts, means)

    def __len__(self) -> int:
        return len(self.numbers)

    def nearest(self, query: np.ndarray, count: int = 1, probed: int = PROBED) -> Matches:
        """The poses most like `query` (21, 2), in any unit, `count` of them where there are as many.

        Raises:
            InputError: the query is not such a pose, not finite, or a single point.
        """
        if query.shape != (21, 2) or not np.isfinite(query).all():
            raise InputError("query: 21 joints in a picture expected, all of them known")
        v = (query - query.mean(0)).astype(np.float64)
        length = np.linalg.norm(v)
        if length == 0:
            raise InputError("query: its joints lie in one point")
        v = (v / length).astype(np.float32)
        likeness = self.middles @ ((v @ v.T)[_PAIRS] * _TWICE)  # <mean projector, v v^T>: K^2 of a cluster's middle
        clusters = np.argpartition(-likeness, min(probed, len(likeness)) - 1)[:probed]
        found, scores = [], []
        for cluster in clusters:
            first, last = self.starts[cluster], self.starts[cluster + 1]
            own = (self.bases[2 * first : 2 * last] @ v).reshape(2, -1, 2)  # (x or y of u, poses, x or y of v)
            squared = np.square(own).sum(axis=(0, 2))
            proper = own[0, :, 0] * own[1, :, 1] > own[0, :, 1] * own[1, :, 0]  # det g > 0
            found.append(self.numbers[first:last])
            scores.append(np.where(proper, np.sqrt(squared), 0.0))
        numbers, values = np.concatenate(found), np.concatenate(scores)
        count = min(count, len(values))
        best = np.argpartition(-values, count - 1)[:count]
        best = best[np.lexsort((numbers[best], -values[best]))]
        return Matches(numbers[best], values[best])

    def write(self, path: str | Path) -> None:
        """Write the index as NPZ. Raises InputError if the file cannot be written."""
        with write_whole(path) as temporary, temporary.open("wb") as file:
            np.savez(file, bases=self.bases, numbers=self.numbers, starts=self.starts, middles=self.middles)

    @classmethod
    def read(cls, path: str | Path) -> PoseIndex:
        """The index in a file that `write` wrote. Raises InputError if it is missing or damaged."""
        file = read_npz(Path(path), ("bases", "numbers", "starts", "middles"))
        bases, numbers, starts, middles = file.values()
        whole = all(values.ndim == 1 and values.dtype.kind in "iu" for values in (numbers, starts))
        whole = whole and all(values.dtype == np.float32 and np.isfinite(values).all() for values in (bases, middles))
        whole = whole and bases.shape == (2 * len(numbers), 21) and middles.shape == (len(starts) - 1, len(_TWICE))
        whole = whole and starts[0] == 0 and starts[-1] == len(numbers) and bool((starts[:-1] <= starts[1:]).all())
        if not whole or len(numbers) == 0 or not np.array_equal(np.sort(numbers), np.arange(len(numbers))):
            raise InputError(f"{path}: is a damaged index of poses")
        return cls(bases, numbers, starts, middles)


def placement(pose: np.ndarray, onto: np.ndarray) -> np.ndarray:
    """The similarity (2, 3), without reflection, that lays a pose (J, 2) onto another by least squares (Umeyama 1991)."""
    source, target = pose - pose.mean(0), onto - onto.mean(0)
    size = float(np.square(source).sum())
    if size == 0:
        raise ValueError("placement: the joints of the pose lie in one point")
    along = float((source * target).sum()) / size  # scale times the cosine, and the sine, of the turn
    across = float((source[:, 0] * target[:, 1] - source[:, 1] * target[:, 0]).sum()) / size
    turn = np.array([[along, -across], [across, along]])
    return np.hstack((turn, (onto.mean(0) - turn @ pose.mean(0))[:, None]))


def _bases(poses: np.ndarray) -> np.ndarray:
    """Q (N, 21, 2) float32 by Gram and Schmidt, so that det R > 0; of a line the second column is 0, of a point both."""
    centred = (poses - poses.mean(axis=1, keepdims=True)).astype(np.float64)
    x, y = centred[..., 0], centred[..., 1]
    whole = np.sqrt(np.square(centred).sum(axis=(1, 2)))[:, None]
    swapped = np.square(x).sum(1) < 1e-2 * np.square(y).sum(1)  # begin with the longer column: turn by 90 degrees
    first, second = np.where(swapped[:, None], y, x), np.where(swapped[:, None], -x, y)
    q = _unit(first, whole)
    r = _unit(second - q * (q * second).sum(1, keepdims=True), whole)
    return np.stack((q, r), axis=-1).astype(np.float32)


def _unit(columns: np.ndarray, whole: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(columns, axis=1, keepdims=True)
    unit: np.ndarray = np.divide(columns, length, out=np.zeros_like(columns), where=length > _NARROW * whole)
    return unit


def _projectors(bases: np.ndarray) -> np.ndarray:
    """Q Q^T of bases (N, 21, 2), as vectors (N, 231) of the same inner products."""
    full = bases @ bases.transpose(0, 2, 1)
    vectors: np.ndarray = full[:, _PAIRS[0], _PAIRS[1]] * _TWICE
    return vectors


def _principal(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (D,) and principal axes (D, k) of values (N, D)."""
    mean = values.mean(0)
    centred = values - mean
    return mean, np.linalg.eigh(centred.T @ centred)[1][:, -_COMPONENTS:].astype(np.float32)


def _k_means(values: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """Middles (count, k) by Lloyd's rounds from values drawn at random; one that nothing is near to stays where it is."""
    middles = values[random.permutation(len(values))[:count]]
    for _ in range(_ROUNDS):
        labels = _nearest(values, middles)
        held = np.bincount(labels, minlength=count)
        order = np.argsort(labels, kind="stable")
        starts = np.concatenate(([0], np.cumsum(held)[:-1]))
        there = held > 0
        sums = np.add.reduceat(values[order], starts[there], axis=0)
        middles[there] = sums / held[there, None]
    return middles


def _nearest(values: np.ndarray, middles: np.ndarray) -> np.ndarray:
    """Which middle is nearest to each of the values, (N,)."""
    half = np.square(middles).sum(1) / 2
    parts = [
        np.argmin(half - values[first : first + 8192] @ middles.T, axis=1) for first in range(0, len(values), 8192)
    ]
    return np.concatenate(parts)
