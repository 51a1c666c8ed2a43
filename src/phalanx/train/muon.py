"""Muon: momentum whose matrices are made orthogonal before the step (K. Jordan et al. 2024, kellerjordan.github.io/posts/muon).

For the kernels of convolutions, taken as matrices (outputs, inputs x window). In trials on two cores it reached the errors of
AdamW with a quarter to a third fewer pictures, for a few per cent more arithmetic a step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn


def orthogonalised(matrix: Tensor, steps: int = 4) -> Tensor:
    """A matrix (m, n) with its singular values moved near 1: quintic Newton-Schulz iteration in bfloat16.

    The coefficients are the authors', chosen for speed: singular values end between about 0.7 and 1.2, not at 1.
    """
    x = matrix.to(torch.bfloat16)
    turned = x.shape[0] > x.shape[1]
    if turned:
        x = x.mT
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        square = x @ x.mT
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return (x.mT if turned else x).to(matrix.dtype)


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised; decoupled weight decay. For parameters of two and more dimensions.

    Args:
        lr: length of a step; each output's weights move by about `lr` in norm.
        momentum: share of the running sum kept at each step.
        weight_decay: share of the weights that a step of lr 1 would take away.
    """

    def __init__(
        self, params: Iterable[nn.Parameter], lr: float, momentum: float = 0.95, weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One step; `closure` is not supported."""
        assert closure is None
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._move(parameter, group)

    def _move(self, parameter: Tensor, group: dict[str, Any]) -> None:
        assert parameter.grad is not None
        state = self.state[parameter]
        if "sum" not in state:
            state["sum"] = torch.zeros_like(parameter)
        state["sum"].mul_(group["momentum"]).add_(parameter.grad)
        ahead = parameter.grad.add(state["sum"], alpha=group["momentum"]).flatten(1)
        direction = orthogonalised(ahead).view(parameter.shape)
        tall = max(1.0, ahead.shape[0] / ahead.shape[1]) ** 0.5
        parameter.mul_(1 - group["lr"] * group["weight_decay"]).add_(direction, alpha=-group["lr"] * tall)
