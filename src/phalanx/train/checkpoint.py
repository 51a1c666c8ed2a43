"""The one file of a run's folder that it goes on from: everything that the next step depends on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypedDict

import torch
from lightning_fabric import Fabric
from torch import nn

from phalanx.core.errors import InputError
from phalanx.core.files import write_whole
from phalanx.core.precision import Precision
from phalanx.train.descent import Turn
from phalanx.train.plan import Feed, Position, Stage

CHECKPOINT = "checkpoint.pt"
"""Name of the file, in a run's folder."""

PROLONGED = ("minutes", "samples", "device", "checkpoint_minutes", "evaluate_every", "precision", "kernel_precision")
"""Settings that a resumed run may change (budget, device), and those that `loop` compares with what was decided (precisions)."""


@dataclass
class Books:
    """What a run has come to, besides weights."""

    position: Position = field(default_factory=Position)
    rows: list[dict[str, float]] = field(default_factory=list)
    """Of the curve."""
    sums: dict[str, float] = field(default_factory=dict)
    """Of the losses' terms since the last row."""
    counts: dict[str, int] = field(default_factory=dict)
    """How often each term was computed since then: not every player moves in every step."""
    precision: tuple[Precision, Precision] = ("auto", "auto")
    """`precision` and `kernel_precision` as they were decided."""
    seen_before: int = 0
    """Pictures of the stages that are over."""
    seconds_before: float = 0.0

    @property
    def seen(self) -> int:
        """Pictures of all stages."""
        return self.seen_before + self.position.seen

    @property
    def seconds(self) -> float:
        """Of all stages."""
        return self.seconds_before + self.position.seconds

    def next_stage(self) -> None:
        """Close the books of a stage and open those of the next."""
        self.seen_before, self.seconds_before = self.seen, self.seconds
        self.position = Position(stage=self.position.stage + 1)


class State(TypedDict):
    """What a checkpoint holds."""

    model: dict[str, torch.Tensor]
    average: dict[str, torch.Tensor]
    optimisers: list[list[dict[str, object]]]
    """Of each turn."""
    feed: dict[str, int]
    books: dict[str, Any]
    """`Books`, as a dictionary."""
    random: list[dict[str, torch.Tensor]]
    """States of each process."""
    run: dict[str, object]
    """What must be the same when the run is continued."""


def check_no_run(folder: Path, resume: bool) -> None:
    """Raise InputError if the folder holds a run that is not to be resumed."""
    saved = folder / CHECKPOINT
    if saved.exists() and not resume:
        raise InputError(f"{saved}: a run is already here; resume it or choose another folder")


def describe(stages: Sequence[Stage], about: Mapping[str, object]) -> dict[str, object]:
    """What must be the same when a run is continued, as JSON holds it; `loop` and `phases` of a single stage by these names."""
    parts: dict[str, object] = {}
    for stage in stages:
        suffix = "" if len(stages) == 1 else f" of stage {stage.name}"
        settings = {name: value for name, value in asdict(stage.config).items() if name not in PROLONGED}
        parts |= {f"loop{suffix}": settings, f"phases{suffix}": [asdict(phase) for phase in stage.phases]}
    return {name: json.loads(json.dumps(part, default=str)) for name, part in {**about, **parts}.items()}


def save(
    path: Path,
    model: nn.Module,
    average: nn.Module,
    turns: Sequence[Turn],
    feed: Feed,
    books: Books,
    run: Mapping[str, object],
    fabric: Fabric,
) -> None:
    """Write everything; the file appears whole. All processes call it, the first one writes."""
    random = _random_states(fabric)
    if fabric.global_rank:
        return
    state: State = {
        "model": model.state_dict(),
        "average": average.state_dict(),
        "optimisers": [[optimiser.state_dict() for optimiser in turn.optimisers] for turn in turns],
        "feed": feed.state(),
        "books": asdict(books),
        "random": random,
        "run": dict(run),
    }
    with write_whole(path) as temporary:
        torch.save(state, temporary)


def read(path: Path, run: Mapping[str, object], fabric: Fabric) -> State:
    """The state in a checkpoint. Raises InputError if it cannot be read or belongs to a run with other settings."""
    try:
        state: State = torch.load(path, map_location="cpu", weights_only=True)
        then = dict(state["run"])
    except Exception as error:  # torch.load raises many kinds
        raise InputError(f"{path}: not a readable checkpoint") from error
    if then != run:
        changed = [name for name in {**run, **then} if run.get(name) != then.get(name)]
        raise InputError(f"{path}: the checkpoint belongs to a run with another configuration ({', '.join(changed)})")
    if len(state["random"]) != fabric.world_size:
        raise InputError(f"{path}: the checkpoint is of {len(state['random'])} processes, not of {fabric.world_size}")
    return state


def books_of(state: State) -> Books:
    """The books in a checkpoint."""
    values = dict(state["books"])
    return Books(**(values | {"position": Position(**values["position"]), "precision": tuple(values["precision"])}))


def restore(
    path: Path,
    state: State,
    model: nn.Module,
    average: nn.Module,
    turns: Sequence[Turn],
    feed: Feed,
    fabric: Fabric,
) -> None:
    """Put weights, optimisers, data and random numbers where they were. Raises InputError if they are of another network."""
    try:
        model.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        for turn, optimisers in zip(turns, state["optimisers"], strict=True):
            for optimiser, saved in zip(turn.optimisers, optimisers, strict=True):
                optimiser.load_state_dict(saved)
    except (RuntimeError, ValueError) as error:
        raise InputError(f"{path}: the checkpoint belongs to another network") from error
    feed.restore(state["feed"])
    random = state["random"][fabric.global_rank]
    torch.set_rng_state(random["cpu"])
    if fabric.device.type == "cuda" and "cuda" in random:
        torch.cuda.set_rng_state(random["cuda"], fabric.device)


def _random_states(fabric: Fabric) -> list[dict[str, torch.Tensor]]:
    """Of every process: its states on the host and, if it computes there, on its GPU."""
    own = {"cpu": torch.get_rng_state()}
    if fabric.device.type == "cuda":
        own["cuda"] = torch.cuda.get_rng_state(fabric.device)
    if fabric.world_size == 1:
        return [own]
    gathered: list[dict[str, torch.Tensor]] = [{}] * fabric.world_size
    torch.distributed.all_gather_object(gathered, own)
    return gathered
