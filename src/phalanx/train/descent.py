"""One step of training: players take turns, each moves its parameters down its losses; and the average of the weights."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.precision import MixedPrecision
from lightning_fabric.plugins.precision import Precision as SinglePrecision
from torch import Tensor, nn

from phalanx.core.precision import Precision, faster_precision
from phalanx.core.processes import alone
from phalanx.methods.base import Player
from phalanx.train.muon import Muon, faster_iteration
from phalanx.train.plan import Batch, LoopConfig

_MEASURED = 8
"""Pictures that precisions are timed on."""


@dataclass
class Turn:
    """A player and what moves it."""

    player: Player
    optimisers: list[torch.optim.Optimizer]

    def due(self, step: int) -> bool:
        """Whether it moves in step number `step`."""
        return step % self.player.every == 0

    def set_rate(self, share: float) -> None:
        """Set the learning rates to this share of their peaks."""
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = share * group["peak"]

    def named(self, values: dict[str, float], alone: bool) -> dict[str, float]:
        """Loss terms under their names in the curve."""
        return values if alone else {f"{self.player.name}_{name}": value for name, value in values.items()}


def turns(players: Sequence[Player], config: LoopConfig) -> list[Turn]:
    """Players with their optimisers; every group keeps its peak learning rate as `peak`."""
    made = []
    for player in players:
        own = player.optimiser
        optimisers = optimisers_of(player.parameters, config) if own is None else [own(player.parameters)]
        for optimiser in optimisers:
            for group in optimiser.param_groups:
                group["peak"] = group["lr"]
        made.append(Turn(player, optimisers))
    return made


def kernels_of(parameters: Sequence[nn.Parameter]) -> list[nn.Parameter]:
    """The kernels of convolutions wider than 1x1, which Muon moves."""
    return [p for p in parameters if p.ndim == 4 and p.shape[2:].numel() > 1]


def optimisers_of(parameters: Sequence[nn.Parameter], config: LoopConfig) -> list[torch.optim.Optimizer]:
    """AdamW and, for the kernels of convolutions wider than 1x1, Muon; no weight decay on vectors.

    `config.kernel_precision` must be decided (`decided`).
    """
    kernels = kernels_of(parameters) if config.kernel_rate > 0 else []
    chosen = {id(p) for p in kernels}
    rest = [p for p in parameters if id(p) not in chosen]
    groups = [
        {"params": [p for p in rest if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in rest if p.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    made: list[torch.optim.Optimizer] = []
    if groups:
        made.append(torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.98), fused=True))
    if kernels:
        dtype = getattr(torch, config.kernel_precision)
        made.append(Muon(kernels, lr=config.kernel_rate, weight_decay=config.weight_decay, dtype=dtype))
    return made


def take_turn(turn: Turn, model: nn.Module, batch: Batch, config: LoopConfig, fabric: Fabric) -> dict[str, float]:
    """Move one player down the sum of its losses; a step whose gradient is not finite is left out. Returns the terms' values.

    Several processes average their gradients first, so that all make the same step.
    """
    model.zero_grad(set_to_none=True)  # what other players' losses left, too
    with autocast(config.precision, fabric.device):
        terms = turn.player.losses(batch)
    torch.stack(list(terms.values())).sum().backward()
    _share_gradients(turn.player.parameters, fabric)
    norm = nn.utils.clip_grad_norm_(turn.player.parameters, config.clip)
    if bool(torch.isfinite(norm)):
        for optimiser in turn.optimisers:
            optimiser.step()
    model.zero_grad(set_to_none=True)
    values = torch.stack([value.detach().float() for value in terms.values()])
    if fabric.world_size > 1:
        values = _mean(values, fabric)
    return dict(zip(terms, values.tolist(), strict=True))


def _share_gradients(parameters: Sequence[nn.Parameter], fabric: Fabric) -> None:
    """The mean of the processes' gradients, in place; in one piece, because small messages cost most."""
    if fabric.world_size == 1:
        return
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    mean = _mean(torch.cat([gradient.flatten() for gradient in gradients]), fabric)
    parts = mean.split([gradient.numel() for gradient in gradients])
    for parameter, part in zip(parameters, parts, strict=True):
        parameter.grad = part.view_as(parameter)


def _mean(values: Tensor, fabric: Fabric) -> Tensor:
    mean = fabric.all_reduce(values, reduce_op="mean")
    assert isinstance(mean, Tensor)
    return mean


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[None]:
    """The context in which losses are computed; `precision` decided."""
    if precision == "bfloat16":
        return MixedPrecision("bf16-mixed", device=device.type).forward_context()
    return SinglePrecision().forward_context()


@torch.no_grad()
def average_into(average: nn.Module, model: nn.Module, decay: float) -> None:
    """Move `average` towards `model` by 1 - decay: parameters and floating-point buffers; other buffers are copied."""
    for kept, new in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
        if kept.is_floating_point():
            kept.lerp_(new, 1.0 - decay)
        else:
            kept.copy_(new)


def decided(
    config: LoopConfig,
    model: nn.Module,
    players: Callable[[nn.Module], tuple[Player, ...]],
    batch: Batch,
    fabric: Fabric,
) -> LoopConfig:
    """`config` with both precisions decided: what is `auto` becomes the faster one on this machine.

    Measured on a copy of the model and a few pictures of the first batch, with its own random numbers, so that the run is the same as if
    the settings had said so. The first process decides for all; alone, for how often it measures hangs on its clock.
    """
    precision, kernel_precision = config.precision, config.kernel_precision
    if fabric.global_rank == 0:
        with alone():
            precision, kernel_precision = _measured(config, model, players, batch, fabric)
    if fabric.world_size > 1:
        precision, kernel_precision = fabric.broadcast((precision, kernel_precision))
    return replace(config, precision=precision, kernel_precision=kernel_precision)


def _measured(
    config: LoopConfig,
    model: nn.Module,
    players: Callable[[nn.Module], tuple[Player, ...]],
    batch: Batch,
    fabric: Fabric,
) -> tuple[Precision, Precision]:
    precision, kernel_precision = config.precision, config.kernel_precision
    if precision == "auto":
        twin, few = copy.deepcopy(model), batch[:_MEASURED].to(fabric.device)

        def losses_in(dtype: torch.dtype) -> Callable[[], None]:
            return partial(_all_losses, twin, players(twin), few, _name(dtype), fabric.device)

        with torch.random.fork_rng(devices=[fabric.device] if fabric.device.type == "cuda" else []):
            precision = _name(faster_precision(losses_in))
    if kernel_precision == "auto":
        kernels = kernels_of([p for player in players(model) for p in player.parameters])
        kernel_precision = _name(faster_iteration(kernels)) if config.kernel_rate > 0 and kernels else "float32"
    return precision, kernel_precision


def _all_losses(
    model: nn.Module, players: Sequence[Player], batch: Batch, precision: Precision, device: torch.device
) -> None:
    """What every player computes in a step, without moving anything."""
    for player in players:
        model.zero_grad(set_to_none=True)
        with autocast(precision, device):
            terms = player.losses(batch)
        torch.stack(list(terms.values())).sum().backward()
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _name(dtype: torch.dtype) -> Precision:
    return "bfloat16" if dtype == torch.bfloat16 else "float32"
