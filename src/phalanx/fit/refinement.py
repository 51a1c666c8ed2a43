"""Down a cost by its gradients, many hands at once, each by itself: what is found is never worse than what was given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Refined:
    """What `refine` found of B hands."""

    parameters: Tensor
    """(B, N), of the least cost."""
    cost: Tensor
    """(B,) theirs."""
    path: Tensor
    """(iterations + 1, B, N): the best so far after each iteration, what was given first."""


def refine(start: Tensor, cost: Callable[[Tensor], Tensor], iterations: int, rate: float) -> Refined:
    """Parameters (B, N) moved down their costs.

    Each number has its own step, by Adam (Kingma and Ba 2015), whose size does not hang on the unit of the cost. Hands do not see each
    other.

    Args:
        start: (B, N).
        cost: `cost(parameters)` gives (B,); each hand's hangs on its own row alone. What is no number counts as infinitely bad.
        iterations: steps; with 0 the start comes back.
        rate: length of the steps.
    """
    moving = start.detach().clone()
    mean, square = torch.zeros_like(moving), torch.zeros_like(moving)
    best, least = moving.clone(), moving.new_full((len(moving),), torch.inf)
    path = []
    for number in range(iterations + 1):
        with torch.enable_grad():
            moving.requires_grad_(True)
            costs = cost(moving)
            (slope,) = torch.autograd.grad(costs.sum(), moving)
        moving, costs = moving.detach(), costs.detach().nan_to_num(torch.inf)
        better = costs < least  # the start, too, unless its cost is no number
        best, least = torch.where(better[:, None], moving, best), torch.where(better, costs, least)
        path.append(best)
        slope = slope.nan_to_num(0.0, 0.0, 0.0)
        mean, square = 0.9 * mean + 0.1 * slope, 0.999 * square + 0.001 * slope.square()
        down = mean / (1 - 0.9 ** (number + 1))
        scale = (square / (1 - 0.999 ** (number + 1))).sqrt()
        moving = moving - rate * down / (scale + 1e-8)
    return Refined(best, least, torch.stack(path))
