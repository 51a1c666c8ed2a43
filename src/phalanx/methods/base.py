"""What a method is: the contract between a method, the loop that trains it and the prediction that uses it.

A method is an `nn.Module` in one file of this room. To be trained it names its players; to be used on pictures of one hand it
gives evidence. Nothing else is required: the loop (`train.loop`) owns steps, optimisers, averaging, checkpoints and the curve, and
`predict.assemble` owns the way from evidence to `HandPrediction`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from phalanx.core.errors import InputError
from phalanx.fit.evidence import Evidence

Losses = Callable[[Any], dict[str, Tensor]]
"""Weighted loss terms by name, scalars, of a batch; their sum is descended. A term whose labels the batch lacks is left out."""


@dataclass(frozen=True)
class Player:
    """One mover of a step: parameters and the losses that they descend."""

    name: str
    """Stands before the names of its loss terms in the curve, unless it is the only player."""
    parameters: tuple[nn.Parameter, ...]
    """What it moves; what several players share is moved by each."""
    losses: Losses
    """Computed anew when its turn comes, after the players before it have moved."""
    every: int = 1
    """It moves in every so-many-th step."""
    optimiser: Callable[[tuple[nn.Parameter, ...]], torch.optim.Optimizer] | None = None
    """Makes one of its own, whose learning rates are peaks of the loop's schedule; none: the loop's (Muon and AdamW)."""


class Method(nn.Module):
    """A network, or several, that the loop can train.

    Most methods are one player: they define `losses` and nothing else. An adversarial method defines `players`, one for each side.
    """

    def players(self) -> tuple[Player, ...]:
        """Who moves in a step, in order. By default one player, which moves all trainable parameters down `losses`."""
        return (Player("all", trainable(self.parameters()), self.losses),)

    def losses(self, batch: Any) -> dict[str, Tensor]:
        """See `Losses`. Raises NotImplementedError for a method that names its players itself."""
        raise NotImplementedError(f"{type(self).__name__} has neither losses nor players of its own")

    def start_from(self, state: Mapping[str, Tensor]) -> None:
        """Take over the weights of an equal network, or of a smaller one: parts it lacks stay as they began.

        Widths must be equal. Raises InputError if `state` has weights that this network has no place for.
        """
        own = self.state_dict()
        unfit = [name for name, value in state.items() if name not in own or own[name].shape != value.shape]
        if unfit:
            raise InputError(f"start_from: the network has no place for the weights {', '.join(unfit[:3])}")
        self.load_state_dict(own | dict(state))


class HandEstimator(Method):
    """A method that looks at one hand: `evidence(batch)` is what the fit of the hand model starts from."""

    @abstractmethod
    def evidence(self, batch: Any) -> Evidence:
        """What the network says of each of B inputs, without gradients kept for training; the batch as `predict` cuts it out."""


def trainable(parameters: Iterable[nn.Parameter]) -> tuple[nn.Parameter, ...]:
    """Those parameters that take gradients."""
    return tuple(parameter for parameter in parameters if parameter.requires_grad)
