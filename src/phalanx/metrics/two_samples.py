"""How far apart two samples of features are."""

from __future__ import annotations

import numpy as np


def kernel_distance(first: np.ndarray, second: np.ndarray) -> float:
    """The squared maximum mean discrepancy of features (N, D) and (M, D), unbiased: 0 in the mean where both are of one distribution.

    With the cubic kernel (x.y / D + 1)^3, as in the kernel inception distance (Binkowski et al. 2018, "Demystifying MMD GANs", Sec. 3); of
    few pictures it is as true as of many, where a Frechet distance is not. N and M are 2 at least.
    """
    assert first.ndim == second.ndim == 2 and first.shape[1] == second.shape[1] and min(len(first), len(second)) > 1
    x, y = first.astype(np.float64), second.astype(np.float64)

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        grown: np.ndarray = (a @ b.T / a.shape[1] + 1) ** 3
        return grown

    def within(a: np.ndarray) -> float:
        values = kernel(a, a)
        return float((values.sum() - np.trace(values)) / (len(a) * (len(a) - 1)))

    return within(x) + within(y) - 2 * float(kernel(x, y).mean())
