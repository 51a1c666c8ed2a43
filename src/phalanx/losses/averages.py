"""The one weighted mean of all losses."""

from __future__ import annotations

from torch import Tensor

from phalanx.core.processes import mean_over_processes


def weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Mean of `values` weighted by `weights` (same shape); 0 where all weights are 0.

    Of several processes (`core.processes`) each divides by the mean of their sums of weights: the mean of what they get, and
    of their gradients, is then that of one process with the whole batch, wherever the weights lie.
    """
    return (values * weights).sum() / mean_over_processes(weights.sum()).clamp_min(1e-6)
