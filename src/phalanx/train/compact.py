"""Training the default estimator on the project's own synthesis, and freezing the result for the package."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn

from phalanx.core.errors import InputError
from phalanx.core.files import writable_folder, write_whole
from phalanx.data.sample import Sample, concatenate
from phalanx.geometry.rotations import rotmat_angle
from phalanx.hand.model import HandModel
from phalanx.methods.compact import METHOD, CompactConfig, CompactEstimator, save_weights, targets
from phalanx.synth import SynthConfig, stream
from phalanx.train.card import write_card
from phalanx.train.feed import BufferFeed, finish_pictures, pack, resize
from phalanx.train.loop import CHECKPOINT, HELD_OUT_SEED, LoopConfig, Phase, check_config, train


def default_phases() -> list[Phase]:
    """Small pictures first: they teach most for their price; the last 45 % of the time is at full size."""
    return [Phase(0.25, 64, 96, 3), Phase(0.55, 96, 96, 3), Phase(1.0, 128, 64, 2)]


@dataclass
class TrainConfig:
    """A training run of the default estimator."""

    model: CompactConfig = field(default_factory=CompactConfig)
    """The network and its losses."""
    loop: LoopConfig = field(default_factory=LoopConfig)
    """Budget, schedule, optimiser."""
    synth: SynthConfig = field(default_factory=SynthConfig)
    """The pictures."""
    phases: list[Phase] = field(default_factory=default_phases)
    """Picture sizes over the run."""
    seed: int = 1
    """Of the stream of pictures."""
    workers: int = 2
    """Processes that generate."""
    buffer: int = 12_000
    """Pictures generated at a time."""
    held_out: int = 512
    """Pictures of another stream to evaluate on."""
    start_from: Path | None = None
    """Weights (or the checkpoint) of a smaller or equal network to begin with."""


def run(config: TrainConfig, out: str | Path, resume: bool = False) -> Path:
    """Train (or go on training) in the folder `out` and export its weights; returns the weights file.

    Raises:
        InputError: see `train.loop.train`.
    """
    if config.workers < 1 or config.buffer < config.synth.chunk:
        raise InputError("train: needs at least one worker, and a buffer of at least one chunk")
    check_config(config.loop, config.phases, config.seed)  # before the minutes that pictures take
    torch.manual_seed(config.loop.seed)
    model = CompactEstimator(config.model)
    if config.start_from is not None:
        model.start_from(_weights(config.start_from))
    settings = asdict(config)
    folder = writable_folder(out)
    if not (folder / CHECKPOINT).exists():  # else the run that is there keeps its own
        with write_whole(folder / "config.json") as temporary:
            temporary.write_text(json.dumps(settings, indent=1, default=str) + "\n")
    chunks = max(1, config.buffer // config.synth.chunk)
    pictures = held_out(config)

    def open_stream(start: int) -> Iterator[Sample]:
        return stream(config.synth, config.seed, config.workers, start)

    feed = BufferFeed(open_stream, chunks, config.seed, pack, finish_pictures)
    try:
        average = train(
            model,
            feed,
            lambda network, size: figures(network, resize(pictures, size), config.loop),
            config.phases,
            config.loop,
            out,
            resume=resume,
            report=lambda line: print(line, flush=True),
            about={name: settings[name] for name in ("model", "synth", "seed", "buffer")},
        )
    finally:
        feed.close()
    assert isinstance(average, CompactEstimator)
    return export(average, config, out)


def _weights(path: Path) -> dict[str, Tensor]:
    """The weights in a weights file, or the averaged ones in a checkpoint.

    Raises InputError if it is neither.
    """
    try:
        if path.suffix == ".pt":
            return torch.load(path, map_location="cpu", weights_only=True)["average"]
        return {name: value.float() for name, value in safetensors.torch.load_file(path).items()}
    except Exception as error:  # both readers raise many kinds
        raise InputError(f"{path}: not a readable weights file or checkpoint") from error


def held_out(config: TrainConfig) -> Sample:
    """The pictures that a run is evaluated on: of its synthesis, but of another stream."""
    count = max(1, config.held_out // config.synth.chunk)
    with closing(stream(config.synth, config.seed + HELD_OUT_SEED, config.workers, 0)) as source:
        return concatenate([_without_surface(next(source)) for _ in range(count)])


def _without_surface(sample: Sample) -> Sample:
    sample.vertices = sample.depth = sample.sensed_depth = sample.parts = sample.ids = None
    return sample


@torch.no_grad()
def figures(network: nn.Module, sample: Sample, config: LoopConfig) -> dict[str, float]:
    """Held-out errors: 2D and depth in 256ths of the crop, angle of the orientation and joint rotations in degrees."""
    sums: dict[str, float] = {}
    total = 0
    for start in range(0, len(sample), 64):
        part = sample[start : start + 64].to(config.device)
        assert part.image is not None
        images = part.image.contiguous(memory_format=torch.channels_last)
        with torch.autocast(config.device.split(":")[0], torch.bfloat16, enabled=config.bf16):
            got = network(images)
        want = targets(part)
        assert want.joints_2d is not None and want.inside is not None and want.depth is not None
        inside = want.inside / want.inside.sum(1, keepdim=True).clamp_min(1)
        values = {
            "2d_px_of_256": 256 * ((got.joints_2d - want.joints_2d).norm(dim=-1) * inside).sum(1),
            "depth_px_of_256": 256 * ((got.depth - want.depth).abs() * inside).sum(1),
        }
        if want.orientation is not None:
            values["orientation_deg"] = rotmat_angle(got.orientation, want.orientation).rad2deg()
        if want.rotations is not None:
            values["rotations_deg"] = rotmat_angle(got.rotations[:, 1:], want.rotations[:, 1:]).rad2deg().mean(1)
        for name, value in values.items():
            sums[name] = sums.get(name, 0.0) + float(value.sum())
        total += len(part)
    return {name: value / total for name, value in sums.items()}


def export(network: CompactEstimator, config: TrainConfig, out: str | Path) -> Path:
    """Write `compact.safetensors` (float16) and its card `compact.json` into the folder `out`; returns the former.

    The card says what the weights were trained on and how to train them again.
    """
    folder = Path(out)
    weights = folder / f"{METHOD}.safetensors"
    save_weights(network, weights, HandModel.open_hand())
    write_card(weights.with_suffix(".json"), asdict(config))
    return weights
