"""The training loop. It knows no method: it descends the sum of `model.losses(batch)` over batches it is handed.

A run is a folder: `checkpoint.pt` (all that is needed to go on exactly), `curve.csv` and `curve.png` (losses and held-out
figures). Kill it at any moment; started again with `resume=True` it continues from the last checkpoint, and with a budget in
samples it ends with the very weights of an uninterrupted run. With a budget in minutes only the schedule differs, because
clocks do.
"""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from phalanx.core.devices import as_device
from phalanx.core.errors import InputError
from phalanx.core.files import writable_folder, write_whole
from phalanx.train.curve import write_curve
from phalanx.train.muon import Muon

CHECKPOINT = "checkpoint.pt"
"""Name of the file, in a run's folder, that the run goes on from."""

HELD_OUT_SEED = 1_000_003
"""Added to the training stream's seed for the held-out one."""


@dataclass
class Phase:
    """A stretch of the run at one picture size."""

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
    """Budget, schedule and optimiser of a run."""

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
    """Largest norm of the gradient."""
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
    bf16: bool = True
    """Convolutions and products in bfloat16 (autocast)."""


class Batch(Protocol):
    """What the loop asks of a batch."""

    def to(self, device: torch.device) -> Batch: ...


class Trainable(Protocol):
    """What the loop asks of a model, which is an nn.Module too."""

    def losses(self, batch: Any) -> dict[str, Tensor]: ...


class Feed(Protocol):
    """What the loop asks of the data: batches in an order that only the constructor's arguments and the state decide."""

    def next(self, batch: int, size: int, reuse: int) -> Any: ...  # a `Batch`, `to` its own kind

    def state(self) -> dict[str, int]: ...

    def restore(self, state: dict[str, int]) -> None: ...


@dataclass
class Position:
    """How far a run is."""

    step: int = 0
    seen: int = 0
    seconds: float = 0.0
    next_evaluation: int = 0
    steps_in_row: int = 0
    """Steps since the last row of the curve."""

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
    ends = [phase.until for phase in phases]
    if not ends or ends != sorted(ends) or ends[-1] != 1.0:
        raise InputError(f"train: phases must end at rising progress, the last at 1, got {ends}")
    for phase in phases:
        if phase.size < 32 or phase.size % 32 or phase.batch < 2 or phase.reuse < 1:
            raise InputError(f"train: a phase needs a size in multiples of 32, batch >= 2, reuse >= 1, got {phase}")


def schedule(config: LoopConfig, position: Position) -> float:
    """Share of the peak learning rates at `position`: linear warm-up, then a cosine to 1 %."""
    cosine = 0.5 * (1.0 + math.cos(math.pi * position.progress(config)))
    return min(1.0, (position.seen + 1) / max(1, config.warmup)) * (0.01 + 0.99 * cosine)


def optimizers(model: nn.Module, config: LoopConfig) -> list[torch.optim.Optimizer]:
    """AdamW and, for the kernels of convolutions wider than 1x1, Muon; no weight decay on vectors.

    Every group keeps its peak learning rate as `peak`.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    kernels = [p for p in parameters if config.kernel_rate > 0 and p.ndim == 4 and p.shape[2:].numel() > 1]
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
        made.append(Muon(kernels, lr=config.kernel_rate, weight_decay=config.weight_decay))
    for descent in made:
        for group in descent.param_groups:
            group["peak"] = group["lr"]
    return made


@torch.no_grad()
def average_into(average: nn.Module, model: nn.Module, decay: float) -> None:
    """Move `average` towards `model` by 1 - decay: parameters and floating-point buffers; other buffers are copied."""
    for kept, new in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
        if kept.is_floating_point():
            kept.lerp_(new, 1.0 - decay)
        else:
            kept.copy_(new)


def train(
    model: nn.Module,
    feed: Feed,
    evaluate: Callable[[nn.Module, int], dict[str, float]],
    phases: Sequence[Phase],
    config: LoopConfig,
    out: str | Path,
    resume: bool = False,
    report: Callable[[str], None] = print,
    stop_after: int | None = None,
    about: Mapping[str, object] | None = None,
) -> nn.Module:
    """Train `model` on `feed` and return the moving average of its weights, in evaluation mode.

    Args:
        model: an nn.Module with `losses(batch) -> dict of scalars` (`Trainable`).
        feed: where batches come from.
        evaluate: `(averaged model, picture size) -> figures by name` on held-out data.
        phases: picture sizes over the run.
        config: budget and schedule.
        out: the run's folder.
        resume: continue from its checkpoint, if there is one.
        report: is given a line of text at every evaluation.
        stop_after: write a checkpoint and return after that many steps in this call (as if killed there).
        about: what else must be the same when the run is continued (numbers, texts, lists, and mappings of them), such as
            the data's settings.

    Raises:
        InputError: the configuration makes no sense, there is no such device, the folder cannot be written or holds a run
            and `resume` is not asked for, or the checkpoint cannot be read or belongs to another configuration.
    """
    check_config(config, phases)
    folder = writable_folder(out)
    saved = folder / CHECKPOINT
    if saved.exists() and not resume:
        raise InputError(f"{saved}: a run is already here; resume it or choose another folder")
    device = as_device(config.device)
    model.to(device=device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    average = copy.deepcopy(model).eval().requires_grad_(False)
    descents = optimizers(model, config)
    position = Position(next_evaluation=config.evaluate_every)
    rows: list[dict[str, float]] = []
    sums: dict[str, float] = {}  # of the losses' terms since the last row
    torch.manual_seed(config.seed)
    run = _describe(config, phases, about or {})
    if saved.exists():
        position, rows, sums = _restore(saved, model, average, descents, feed, config.device, run)
        report(f"resumed at {position.seen} pictures, {position.seconds / 60:.1f} minutes")
    started, last_save, steps = time.monotonic() - position.seconds, time.monotonic(), 0

    def checkpoint() -> None:
        _save(saved, model, average, descents, feed, position, rows, sums, run)

    while position.progress(config) < 1.0:
        phase = next(p for p in phases if position.progress(config) < p.until)
        batch = feed.next(phase.batch, phase.size, phase.reuse).to(device)
        share = schedule(config, position)
        for descent in descents:
            for group in descent.param_groups:
                group["lr"] = share * group["peak"]
        values = _step(model, batch, descents, config)
        decay = min(0.5 ** (phase.batch / config.average), (1 + position.step) / (10 + position.step))
        average_into(average, model, decay)
        for name, value in values.items():
            sums[name] = sums.get(name, 0.0) + value
        steps += 1
        position.step += 1
        position.steps_in_row += 1
        position.seen += phase.batch
        position.seconds = time.monotonic() - started
        if position.seen >= position.next_evaluation or position.progress(config) >= 1.0:
            position.next_evaluation += config.evaluate_every
            figures = evaluate(average, phase.size)
            row = {"seen": position.seen, "minutes": position.seconds / 60, "size": phase.size, "rate": share}
            row |= {f"loss_{name}": total / position.steps_in_row for name, total in sums.items()} | figures
            rows.append(row)
            sums, position.steps_in_row = {}, 0
            write_curve(folder, rows)
            report(" ".join(f"{name} {value:.4g}" for name, value in row.items()))
        if time.monotonic() - last_save > 60 * config.checkpoint_minutes:
            checkpoint()
            last_save = time.monotonic()
        if stop_after is not None and steps >= stop_after:
            break
    checkpoint()
    return average


def _step(
    model: nn.Module, batch: Batch, descents: Sequence[torch.optim.Optimizer], config: LoopConfig
) -> dict[str, float]:
    """One step down the sum of the losses; a step whose gradient is not finite is left out. Returns the terms' values."""
    with torch.autocast(config.device.split(":")[0], torch.bfloat16, enabled=config.bf16):
        terms: dict[str, Tensor] = model.losses(batch)  # type: ignore[operator]
    torch.stack(list(terms.values())).sum().backward()
    norm = nn.utils.clip_grad_norm_(model.parameters(), config.clip)
    for descent in descents:
        if bool(torch.isfinite(norm)):
            descent.step()
        descent.zero_grad(set_to_none=True)
    return {name: float(value.detach()) for name, value in terms.items()}


def _describe(config: LoopConfig, phases: Sequence[Phase], about: Mapping[str, object]) -> dict[str, object]:
    """What must be the same when a run is continued (the budget may be prolonged, the device changed)."""
    fixed = asdict(config)
    for name in ("minutes", "samples", "device", "checkpoint_minutes", "evaluate_every"):
        del fixed[name]
    parts = {"loop": fixed, "phases": [asdict(phase) for phase in phases], **about}
    return {name: json.loads(json.dumps(part, default=str)) for name, part in parts.items()}


def _save(
    path: Path,
    model: nn.Module,
    average: nn.Module,
    descents: Sequence[torch.optim.Optimizer],
    feed: Feed,
    position: Position,
    rows: list[dict[str, float]],
    sums: dict[str, float],
    run: dict[str, object],
) -> None:
    state = {
        "model": model.state_dict(),
        "average": average.state_dict(),
        "optimizers": [descent.state_dict() for descent in descents],
        "feed": feed.state(),
        "position": asdict(position),
        "rows": rows,
        "sums": sums,
        "random": torch.get_rng_state(),
        "run": run,
    }
    with write_whole(path) as temporary:
        torch.save(state, temporary)


def _restore(
    path: Path,
    model: nn.Module,
    average: nn.Module,
    descents: Sequence[torch.optim.Optimizer],
    feed: Feed,
    device: str,
    run: dict[str, object],
) -> tuple[Position, list[dict[str, float]], dict[str, float]]:
    try:
        state = torch.load(path, map_location=device, weights_only=True)
        then, sums = dict(state["run"]), dict(state["sums"])
    except Exception as error:  # torch.load raises many kinds
        raise InputError(f"{path}: not a readable checkpoint") from error
    if then != run:
        changed = [name for name in run | then if run.get(name) != then.get(name)]
        raise InputError(f"{path}: the checkpoint belongs to a run with another configuration ({', '.join(changed)})")
    try:
        model.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        for descent, saved in zip(descents, state["optimizers"], strict=True):
            descent.load_state_dict(saved)
    except (RuntimeError, ValueError) as error:
        raise InputError(f"{path}: the checkpoint belongs to another network") from error
    feed.restore(state["feed"])
    torch.set_rng_state(state["random"].cpu())
    return Position(**state["position"]), state["rows"], sums
