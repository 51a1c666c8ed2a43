"""A training run from settings to weights, the same for every method: processes, folder, settings, loop, weights and their card."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import safetensors.torch
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from phalanx.core.errors import InputError
from phalanx.core.files import read_json, writable_folder, write_json
from phalanx.core.json_values import Json
from phalanx.train.card import Source, begun_from, write_card
from phalanx.train.checkpoint import CHECKPOINT
from phalanx.train.loop import SETTINGS, train
from phalanx.train.plan import Settings, Stage
from phalanx.train.processes import launched

Config = TypeVar("Config", bound=Settings)

START = "begun_from.json"
"""Name of the file, in a run's folder, that says which weights the run began with."""

Say = Callable[[str], object]
say: Say = partial(print, flush=True)


def silent(line: str) -> None:
    """A report that goes nowhere."""


@dataclass(frozen=True)
class Prepared:
    """What a method's file in this room puts together from its settings."""

    model: nn.Module
    stages: Sequence[Stage]
    fixed: Mapping[str, object]
    """What must be the same when the run is resumed, besides the stages' own settings."""
    data: Sequence[Source]
    """What it learns from, for the card."""
    start: Path | None
    """Weights that it begins with."""
    weights: str
    """Name of the file of weights in the run's folder."""
    save: Callable[[nn.Module, Path], None]
    """Writes the trained network into that file."""
    export: Callable[[nn.Module, Path, Mapping[str, Json]], None] | None = None
    """Writes it, with its card, as a model for prediction, into a file beside that of weights that ends in `.onnx`; None: there is none."""


def run(
    prepare: Callable[[Config], Prepared], config: Config, out: str | Path, resume: bool = False, report: Say = say
) -> Path:
    """Train (or go on training) in the folder `out`; returns the file of weights, beside which lie their card and their model.

    Args:
        prepare: a function of a module, of `config`; called in every process.
        config: a dataclass of settings with a `loop` (`LoopConfig`), which says how many processes there are.
        out: the run's folder.
        resume: go on with the run that is there.
        report: is given a line at every evaluation (with several processes: a function of a module).

    Raises:
        InputError: see `train.loop.train`, and what `prepare` raises.
    """
    return launched(_carry_out, config.loop, prepare, config, Path(out), resume, report)


def _carry_out(
    fabric: Fabric, prepare: Callable[[Config], Prepared], config: Config, out: Path, resume: bool, report: Say
) -> Path:
    prepared, settings = prepare(config), asdict(config)
    start = _start_of_run(out, prepared.start) if fabric.global_rank == 0 else None
    average = train(prepared.model, prepared.stages, out, resume, report, None, prepared.fixed, settings, fabric)
    path = out / prepared.weights
    if fabric.global_rank == 0:
        prepared.save(average, path)
        card = path.with_suffix(".json")
        write_card(card, prepared.data, start, read_json(out / SETTINGS))
        if prepared.export is not None:
            prepared.export(average, path.with_suffix(".onnx"), read_json(card))
    return path


def _start_of_run(out: Path, weights: Path | None) -> Mapping[str, Json] | None:
    """What the run in `out` began from: kept there when it begins, because the file may have changed when it is resumed."""
    kept = writable_folder(out) / START
    if not (out / CHECKPOINT).exists():
        write_json(kept, begun_from(weights), indent=1)
    found: Mapping[str, Json] | None = read_json(kept) if kept.exists() else begun_from(weights)
    return found


def starting_weights(path: Path) -> dict[str, Tensor]:
    """The weights in a weights file, or the averaged ones in a checkpoint.

    Raises InputError if it is neither.
    """
    try:
        if path.suffix == ".pt":
            average: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)["average"]
            return average
        return {name: value.float() for name, value in safetensors.torch.load_file(path).items()}
    except Exception as error:  # both readers raise many kinds
        raise InputError(f"{path}: not a readable weights file or checkpoint") from error
