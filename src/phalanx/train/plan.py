"""What a run is going to do: budget, picture sizes, schedule, and the stages that follow one another in its folder."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import Field, dataclass
from typing import Any, ClassVar, Protocol

from torch import nn

from phalanx.core.errors import InputError
from phalanx.core.precision import Precision, check_precision
from phalanx.data.mixture import Batch
from phalanx.methods.base import Player

HELD_OUT_SEED = 1_000_003
"""Added to the training stream's seed for the held-out one."""

APART_SEEDS = 1_000
"""Between the seeds of the streams of one run, or two scenes would show the same hands."""


@dataclass
class Phase:
    """A stretch of a stage at one picture size."""

    until: float
    """Progress (0..1) at which the phase ends; the last must be 1."""
    size: int
    """Side of the pictures, pixels."""
    batch: int = 64
    """Pictures a step."""
    reuse: int = 2
    """Times each generated picture is trained on."""


@dataclass
class LoopConfig:
    """Budget, schedule and optimiser of a stage."""

    minutes: float | None = 60.0
    """Time budget (over all restarts); ignored if `samples` is given."""
    samples: int | None = None
    """Budget in pictures trained on."""
    learning_rate: float = 1e-3
    """Peak learning rate of AdamW (vectors, linear layers, 1x1 convolutions)."""
    kernel_rate: float = 2e-2
    """Peak learning rate of Muon (the kernels of larger convolutions); 0 gives them to AdamW too."""
    weight_decay: float = 0.02
    """Decoupled weight decay of matrices and kernels; vectors have none."""
    warmup: int = 5_000
    """Pictures over which the learning rate rises; it then falls as a cosine to 1 % over the budget."""
    clip: float = 5.0
    """Largest norm of a player's gradient."""
    average: int = 20_000
    """Half-life of the exponential moving average of the weights, in pictures."""
    evaluate_every: int = 25_000
    """Pictures between evaluations on held-out ones (one row of the curve each)."""
    checkpoint_minutes: float = 3.0
    """Time between checkpoints."""
    seed: int = 0
    """Of weights, order and augmentation."""
    device: str = "cpu"
    """Where the model trains."""
    processes: int = 1
    """Processes (on a GPU machine: GPUs) that share every batch."""
    precision: Precision = "auto"
    """Of convolutions and products; auto: the faster one, measured on the first batch."""
    kernel_precision: Precision = "auto"
    """Of Muon's iteration; auto: the faster one, measured before the first step."""


class Settings(Protocol):
    """What a run asks of a method's settings: a dataclass with a `loop`."""

    __dataclass_fields__: ClassVar[dict[str, Field[object]]]

    @property
    def loop(self) -> LoopConfig: ...


class Feed(Protocol):
    """What the loop asks of the data: batches in an order that only the constructor's arguments and the state decide."""

    def next(self, batch: int, size: int, reuse: int) -> Batch: ...

    def state(self) -> dict[str, Any]: ...

    def restore(self, state: dict[str, Any]) -> None: ...

    def close(self) -> None: ...


def players_of(model: Any) -> tuple[Player, ...]:
    """Those that the model names."""
    players: tuple[Player, ...] = model.players()
    return players


@dataclass(frozen=True)
class Stage:
    """A part of a run with a budget of its own. It begins from the averaged weights of the one before, with new optimisers."""

    name: str
    """Stands in the curve where a run has several stages."""
    config: LoopConfig
    phases: Sequence[Phase]
    feed: Callable[[], Feed]
    """Opens the data when the stage begins; the loop closes it."""
    evaluate: Callable[[nn.Module, int], dict[str, float]]
    """`(averaged model, picture size) -> figures by name` on held-out data."""
    players: Callable[[nn.Module], tuple[Player, ...]] = players_of
    """Who moves in this stage, of the whole model."""


@dataclass
class Position:
    """How far a stage is."""

    step: int = 0
    seen: int = 0
    seconds: float = 0.0
    next_evaluation: int = 0
    stage: int = 0
    """Number of the stage in its run."""

    def progress(self, config: LoopConfig) -> float:
        """0 at the start, 1 at the end of the budget."""
        if config.samples is not None:
            return min(1.0, self.seen / config.samples)
        assert config.minutes is not None
        return min(1.0, self.seconds / (60.0 * config.minutes))


def check_config(config: LoopConfig, phases: Sequence[Phase], stream_seed: int = 0) -> None:
    """Raise InputError if budget, phases or seeds (the loop's and that of the stream of pictures) make no sense."""
    budget = config.samples if config.samples is not None else config.minutes
    if budget is None or not budget > 0:
        raise InputError("train: give a positive number of samples or minutes")
    for seed in (config.seed, stream_seed):
        if not 0 <= seed < 2**62:
            raise InputError(f"train: seeds must lie in [0, 2^62), got {seed}")
    check_precision(config.precision)
    check_precision(config.kernel_precision)
    ends = [phase.until for phase in phases]
    if not ends or ends != sorted(ends) or ends[-1] != 1.0:
        raise InputError(f"train: phases must end at rising progress, the last at 1, got {ends}")
    for phase in phases:
        if phase.size < 32 or phase.size % 32 or phase.batch < 2 or phase.reuse < 1:
            raise InputError(f"train: a phase needs a size in multiples of 32, batch >= 2, reuse >= 1, got {phase}")
        if config.processes < 1 or phase.batch % config.processes:
            raise InputError(f"train: {config.processes} processes cannot share batches of {phase.batch}")


def schedule(config: LoopConfig, position: Position) -> float:
    """Share of the peak learning rates at `position`: linear warm-up, then a cosine to 1 %."""
    cosine = 0.5 * (1.0 + math.cos(math.pi * position.progress(config)))
    return min(1.0, (position.seen + 1) / max(1, config.warmup)) * (0.01 + 0.99 * cosine)
