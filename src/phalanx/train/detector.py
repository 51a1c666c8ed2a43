"""Training `methods.detector` on whole synthetic frames, on crops of synthetic hands, and on photographs that it labels itself.

What a step shows of them is in `detector_windows`, and what a detector's claims are held against in `detector_claims`.

Photographs (`photographs`: a folder of pictures of one hand each, before plain backgrounds) have no labels: the default estimator gives
box, side and joints, and only those are kept of which it is sure. Where there are pictures without hands, too (`handless`), most hands
of photographs are cut out and put before them, at any size and turn; these pictures alone say what is no hand. After training, the
confidences are calibrated on frames of another stream.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from phalanx.core.json_values import Json
from phalanx.core.parallel import ordered
from phalanx.data.frames import Frames, concatenate
from phalanx.hand.model import HandModel
from phalanx.methods.detector import METHOD, Detector, DetectorConfig, Scenes, export, save_weights
from phalanx.synth import SynthConfig, make_chunk
from phalanx.synth.frames import FramesConfig, make_frames
from phalanx.train.card import Source, picture_folder, synthesis
from phalanx.train.detector_claims import calibration_of, figures
from phalanx.train.detector_windows import (
    finish_crops,
    finish_frames,
    finish_photographs,
    handless_pictures,
    kept_of_crops,
    kept_of_frames,
    labelled_photographs,
)
from phalanx.train.feed import BufferFeed, JoinedFeed, MixedFeed, as_tensors
from phalanx.train.plan import APART_SEEDS, HELD_OUT_SEED, LoopConfig, Phase, Stage, check_config
from phalanx.train.run import Prepared, Say, say, starting_weights
from phalanx.train.run import run as carry_out


@dataclass
class DetectorTraining:
    """A training run of the detector of hands."""

    model: DetectorConfig = field(default_factory=DetectorConfig)
    """The network and its losses."""
    loop: LoopConfig = field(
        default_factory=lambda: LoopConfig(minutes=60, learning_rate=1.5e-3, kernel_rate=0.02, average=20_000)
    )
    """Budget, schedule, optimiser."""
    frames: FramesConfig = field(
        default_factory=lambda: FramesConfig(width=384, height=288, chunk=8, people=(1, 6), tiles=96, skins=12)
    )
    """Whole frames."""
    crops: SynthConfig = field(default_factory=lambda: SynthConfig(size=160, chunk=16, tiles=64, skins=12))
    """Pictures of one hand; the scene is each of `crop_scenes`."""
    crop_scenes: dict[str, int] = field(default_factory=lambda: {"hands": 5, "holding": 4})
    """Pictures of each scene in a step."""
    frames_in_step: int = 20
    """Windows of frames in a step."""
    photographs_in_step: int = 3
    """Pictures of photographs in a step, where there are any."""
    photographs: Path | None = None
    """Folder of photographs of one hand each, searched recursively; none: none."""
    photographs_licence: str = ""
    """Their licence, for the card."""
    handless: Path | None = None
    """Folder of pictures without hands; none: none."""
    handless_licence: str = ""
    """Their licence, for the card."""
    handless_in_step: int = 2
    """Pictures without hands in a step, where there are any."""
    phases: list[Phase] = field(
        default_factory=lambda: [Phase(0.45, 128, 32, 6), Phase(0.8, 160, 32, 5), Phase(1.0, 224, 32, 4)]
    )
    """Sizes of the pictures over the run; batches are those of the steps above."""
    seed: int = 1
    """Of the streams."""
    workers: int = 1
    """Processes that generate frames; crops have one for each scene."""
    buffer: int = 3_000
    """Frames generated at a time; crops of each scene as many as go with them."""
    start_from: Path | None = None
    """Weights (or the checkpoint) of an equal network to begin with; none: none."""
    held_out: int = 160
    """Frames of another stream to evaluate on, and to calibrate by."""


def batches(config: DetectorTraining) -> dict[str, int]:
    """Pictures of each kind in a step."""
    counts = {"frames": config.frames_in_step, **config.crop_scenes}
    if config.photographs:
        counts["photographs"] = config.photographs_in_step
    if config.handless:
        counts["handless"] = config.handless_in_step
    return counts


def _joined(parts: list[Scenes]) -> Scenes:
    """Pictures of several kinds as one batch, filled up to the most hands of a kind."""
    most = max(part.present.shape[1] for part in parts)
    names = Scenes.__dataclass_fields__
    return Scenes(**{name: torch.cat([_filled(getattr(part, name), most, name) for part in parts]) for name in names})


def _filled(values: Tensor, most: int, name: str) -> Tensor:
    if name in ("image", "mask") or values.shape[1] == most:
        return values
    return torch.cat([values, values.new_zeros(len(values), most - values.shape[1], *values.shape[2:])], 1)


def feed(config: DetectorTraining) -> JoinedFeed[Scenes]:
    """Endless pictures as `config` has them."""
    counts = batches(config)
    share = {kind: count / config.frames_in_step for kind, count in counts.items()}

    def of_frames(start: int) -> Iterator[dict[str, np.ndarray]]:
        return ordered(partial(_frames, config.frames, config.seed), config.workers, start)

    feeds = {
        "frames": BufferFeed(
            of_frames, max(1, config.buffer // config.frames.chunk), config.seed, as_tensors, finish_frames
        )
    }
    for number, scene in enumerate(config.crop_scenes, 1):
        synth = replace(config.crops, scene=scene)
        seed = config.seed + APART_SEEDS * number
        chunks = max(1, math.ceil(config.buffer * share[scene] / synth.pictures))
        make = partial(_crops, synth, seed)
        feeds[scene] = BufferFeed(
            partial(ordered, make, min(config.workers, 1)), chunks, config.seed, as_tensors, finish_crops
        )
    pictures = cache(partial(handless_pictures, config.handless)) if config.handless else None
    if config.photographs:
        photographs = cache(partial(labelled_photographs, config.photographs))
        finish = partial(finish_photographs, pictures) if pictures else finish_crops
        feeds["photographs"] = BufferFeed(partial(_again, photographs), 1, config.seed, as_tensors, finish)
    if pictures:
        feeds["handless"] = BufferFeed(partial(_again, pictures), 1, config.seed, as_tensors, finish_frames)
    return JoinedFeed(MixedFeed(feeds, counts), _joined)


def _again(photographs: Callable[[], dict[str, np.ndarray]], start: int) -> Iterator[dict[str, np.ndarray]]:
    while True:
        yield photographs()


def _frames(config: FramesConfig, seed: int, number: int) -> dict[str, np.ndarray]:
    return kept_of_frames(make_frames(config, seed, number))


def _crops(config: SynthConfig, seed: int, number: int) -> dict[str, np.ndarray]:
    return kept_of_crops(make_chunk(config, seed, number))


def held_out(config: DetectorTraining) -> Frames:
    """Frames of another stream."""
    chunks = max(1, config.held_out // config.frames.chunk)
    make = partial(make_frames, config.frames, config.seed + HELD_OUT_SEED)
    with closing(ordered(make, 0)) as source:
        return concatenate([next(source) for _ in range(chunks)])


def prepare(config: DetectorTraining) -> Prepared:
    """A run of `phalanx train detector`."""
    counts = batches(config)
    phases = [replace(phase, batch=sum(counts.values())) for phase in config.phases]
    check_config(config.loop, phases, config.seed)
    torch.manual_seed(config.loop.seed)
    network = Detector(config.model)
    if config.start_from is not None:
        network.start_from(starting_weights(config.start_from))
    frames = cache(partial(held_out, config))
    settings = asdict(config)
    data = [frames_source(config.frames)]
    data += [synthesis(replace(config.crops, scene=scene), "masks, joints") for scene in config.crop_scenes]
    if config.photographs:
        data.append(picture_folder("photographs of hands", config.photographs, config.photographs_licence))
    if config.handless:
        data.append(picture_folder("pictures without hands", config.handless, config.handless_licence))
    return Prepared(
        network,
        [Stage("synthesis", config.loop, phases, partial(feed, config), lambda n, size: figures(n, frames()))],
        fixed={name: settings[name] for name in ("model", "frames", "crops", "crop_scenes", "seed", "buffer")},
        data=data,
        start=config.start_from,
        weights=f"{METHOD}.safetensors",
        save=lambda network, path: _save(network, path, frames()),
        export=_export,
    )


def run(config: DetectorTraining, out: str | Path, resume: bool = False, report: Say = say) -> Path:
    """Train (or go on training) in the folder `out`; returns the weights file.

    Raises:
        InputError: see `train.loop.train`; the photographs are at fault.
    """
    return carry_out(prepare, config, out, resume, report)


def _save(network: nn.Module, path: Path, frames: Frames) -> None:
    assert isinstance(network, Detector)
    network.eval()
    network.config.calibration = calibration_of(network, frames)
    save_weights(network, path, HandModel.open_hand())


def _export(network: nn.Module, path: Path, card: Mapping[str, Json]) -> None:
    assert isinstance(network, Detector)
    export(network, path, HandModel.open_hand(), card=card)


def frames_source(config: FramesConfig) -> Source:
    """Whole frames, for the card."""
    source = synthesis(SynthConfig(domain=config.domain), "boxes, sides, masks, joints")
    return source | {"scene": f"frames of {config.people[0]} to {config.people[1]} people"}
