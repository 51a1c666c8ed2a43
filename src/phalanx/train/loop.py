"""The training loop. It knows no method: in each step the players that a model names move in turn down their losses.

A run is a folder: `checkpoint.pt` (all that is needed to go on exactly), `config.json` (its settings), `curve.csv` and `curve.png`
(losses and held-out figures). Kill it at any moment; started again with `resume=True` it continues from the last checkpoint, and with a
budget in samples it ends with the very weights of an uninterrupted run. With a budget in minutes only the schedule differs,
because clocks do. Stages follow one another in the same folder; several processes share every batch (`train.processes`).
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import nn

from phalanx.core.errors import InputError
from phalanx.core.files import writable_folder, write_json
from phalanx.core.json_values import Json
from phalanx.data.mixture import Batch
from phalanx.nets.synchronised import synchronise_batch_norm
from phalanx.train import checkpoint
from phalanx.train.checkpoint import CHECKPOINT, Books, State
from phalanx.train.curve import write_curve
from phalanx.train.descent import Turn, average_into, decided, take_turn, turns
from phalanx.train.plan import Feed, LoopConfig, Stage, check_config, schedule
from phalanx.train.processes import single

SETTINGS = "config.json"
"""Name of the settings in a run's folder."""


def train(
    model: nn.Module,
    stages: Sequence[Stage],
    out: str | Path,
    resume: bool = False,
    report: Callable[[str], object] = print,
    stop_after: int | None = None,
    about: Mapping[str, object] | None = None,
    settings: Mapping[str, object] | None = None,
    fabric: Fabric | None = None,
) -> nn.Module:
    """Train `model` and return the moving average of its weights, in evaluation mode.

    Args:
        model: an nn.Module with `players()` (`methods.base.Method`).
        stages: one after the other; most runs have one.
        out: the run's folder.
        resume: continue from its checkpoint, if there is one.
        report: is given a line of text at every evaluation.
        stop_after: write a checkpoint and return after that many steps in this call (as if killed there).
        about: what else must be the same when the run is continued (numbers, texts, lists, and mappings of them), such as
            the data's settings.
        settings: what `config.json` holds; precisions in its `loop` are filled in once they are decided.
        fabric: device and processes; none: this process on the first stage's device.

    Raises:
        InputError: the settings make no sense, there is no such device, the folder cannot be written or holds a run
            and `resume` is not asked for, or the checkpoint cannot be read or belongs to another run.
    """
    for stage in stages:
        check_config(stage.config, stage.phases)
    folder = writable_folder(out)
    saved = folder / CHECKPOINT
    checkpoint.check_no_run(folder, resume)
    fabric = single(stages[0].config.device) if fabric is None else fabric
    fixed = checkpoint.describe(stages, about or {})
    state = checkpoint.read(saved, fixed, fabric) if saved.exists() else None
    books = Books() if state is None else checkpoint.books_of(state)
    model.to(device=fabric.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if fabric.world_size > 1:
        synchronise_batch_norm(model)
    report = report if fabric.global_rank == 0 else (lambda line: None)
    written = json.loads(json.dumps(settings or {}, default=str))  # paths as texts
    if state is None and written and fabric.global_rank == 0:
        write_json(folder / SETTINGS, written, indent=1)
    run = _Run(model, stages, folder, fixed, books, written, report, fabric)
    average = model
    for number in range(books.position.stage, len(stages)):
        if number > books.position.stage:
            books.next_stage()
            model.load_state_dict(average.state_dict())
            state = None
        average, stopped = run.carry_out(stages[number], state, stop_after)
        if stopped:
            break
    return average


class _Run:
    """A run under way: what stays the same from stage to stage."""

    def __init__(
        self,
        model: nn.Module,
        stages: Sequence[Stage],
        folder: Path,
        fixed: Mapping[str, object],
        books: Books,
        settings: Mapping[str, Json],
        report: Callable[[str], object],
        fabric: Fabric,
    ) -> None:
        self._model, self._several, self._folder, self._fixed = model, len(stages) > 1, folder, fixed
        self._books, self._settings, self._report, self._fabric = books, settings, report, fabric
        self._steps = 0  # in this call

    def carry_out(self, stage: Stage, state: State | None, stop_after: int | None) -> tuple[nn.Module, bool]:
        """Train to the end of the stage's budget, from `state` if there is one; the averaged model, and whether it stopped early."""
        feed = stage.feed()
        try:
            return self._descend(stage, feed, state, stop_after)
        finally:
            feed.close()

    def _descend(self, stage: Stage, feed: Feed, state: State | None, stop_after: int | None) -> tuple[nn.Module, bool]:
        model, fabric, books, position = self._model.train(), self._fabric, self._books, self._books.position
        average = copy.deepcopy(model).eval().requires_grad_(False)
        torch.manual_seed(stage.config.seed + fabric.global_rank)
        config, movers = self._as_decided(stage), []
        if state is None:
            position.next_evaluation = config.evaluate_every
            self._report("waiting for the first batch")  # pictures that have to be made take minutes
        else:
            movers = turns(stage.players(model), config)
            checkpoint.restore(self._folder / CHECKPOINT, state, model, average, movers, feed, fabric)
            self._report(f"resumed at {books.seen} pictures, {books.seconds / 60:.1f} minutes")
        started, last_save, stopped = time.monotonic() - position.seconds, time.monotonic(), False
        while position.progress(config) < 1.0 and not stopped:
            phase = next(p for p in stage.phases if position.progress(config) < p.until)
            whole = feed.next(phase.batch, phase.size, phase.reuse)
            if not movers:
                config = self._decide(config, stage, whole)
                movers = turns(stage.players(model), config)
                last_save -= 60 * config.checkpoint_minutes  # after this step: what was decided is kept
            share = schedule(config, position)
            self._step(movers, whole[fabric.global_rank :: fabric.world_size].to(fabric.device), share, config)
            decay = min(0.5 ** (len(whole) / config.average), (1 + position.step) / (10 + position.step))
            average_into(average, model, decay)
            self._steps += 1
            position.step += 1
            position.seen += len(whole)
            position.seconds = self._agreed(time.monotonic() - started)
            stopped = stop_after is not None and self._steps >= stop_after
            if position.seen >= position.next_evaluation or position.progress(config) >= 1.0:
                position.next_evaluation += config.evaluate_every
                self._evaluate(stage, average, phase.size, share)
            if self._agreed(time.monotonic() - last_save) > 60 * config.checkpoint_minutes:
                self._save(average, movers, feed)
                last_save = time.monotonic()
        self._save(average, movers, feed)
        return average, stopped

    def _step(self, movers: Sequence[Turn], batch: Batch, share: float, config: LoopConfig) -> None:
        sums, counts = self._books.sums, self._books.counts
        for turn in movers:
            if turn.due(self._books.position.step):
                turn.set_rate(share)
                values = take_turn(turn, self._model, batch, config, self._fabric)
                for name, value in turn.named(values, alone=len(movers) == 1).items():
                    sums[name] = sums.get(name, 0.0) + value
                    counts[name] = counts.get(name, 0) + 1

    def _evaluate(self, stage: Stage, average: nn.Module, size: int, share: float) -> None:
        """One row of the curve. The first process evaluates; the others wait at their next exchange."""
        books, position = self._books, self._books.position
        figures = stage.evaluate(average, size) if self._fabric.global_rank == 0 else {}
        row: dict[str, float] = {"stage": position.stage + 1} if self._several else {}
        row |= {"seen": books.seen, "minutes": books.seconds / 60, "size": size, "rate": share}
        row |= {f"loss_{name}": total / books.counts[name] for name, total in books.sums.items()} | figures
        books.rows.append(row)
        books.sums.clear()
        books.counts.clear()
        if self._fabric.global_rank == 0:
            write_curve(self._folder, books.rows)
        self._report(" ".join(f"{name} {value:.4g}" for name, value in row.items()))

    def _as_decided(self, stage: Stage) -> LoopConfig:
        """The stage's settings, with what is `auto` there as it was decided earlier in the run, if it was."""
        config, (precision, kernel_precision) = stage.config, self._books.precision
        for asked, decided_before in ((config.precision, precision), (config.kernel_precision, kernel_precision)):
            if "auto" not in (asked, decided_before) and asked != decided_before:
                raise InputError(f"train: the run computes in {decided_before}; it cannot be resumed in {asked}")
        return replace(
            config,
            precision=precision if config.precision == "auto" else config.precision,
            kernel_precision=kernel_precision if config.kernel_precision == "auto" else config.kernel_precision,
        )

    def _decide(self, config: LoopConfig, stage: Stage, batch: Batch) -> LoopConfig:
        config = decided(config, self._model, stage.players, batch, self._fabric)
        self._books.precision = config.precision, config.kernel_precision
        loop = self._settings.get("loop")
        if self._fabric.global_rank == 0 and isinstance(loop, dict):
            made = {"precision": config.precision, "kernel_precision": config.kernel_precision}
            write_json(self._folder / SETTINGS, {**self._settings, "loop": {**loop, **made}}, indent=1)
        return config

    def _save(self, average: nn.Module, movers: Sequence[Turn], feed: Feed) -> None:
        checkpoint.save(
            self._folder / CHECKPOINT, self._model, average, movers, feed, self._books, self._fixed, self._fabric
        )

    def _agreed(self, seconds: float) -> float:
        """The first process's clock: all must turn at the same step."""
        return seconds if self._fabric.world_size == 1 else float(self._fabric.broadcast(seconds))
