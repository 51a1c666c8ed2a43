"""Training `methods.tonality_gan` on photographs of hands without labels, and its baselines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from phalanx.core.errors import InputError
from phalanx.core.files import writable_folder
from phalanx.data.images import image_bytes
from phalanx.data.sample import Sample
from phalanx.methods.compact import CompactEstimator, load_trainable
from phalanx.methods.cycle_gan import REAL, RENDERED
from phalanx.methods.tonality_gan import METHOD, TonalityConfig, TonalityGan, load, save_weights
from phalanx.metrics.two_samples import kernel_distance
from phalanx.nets.readout import soft_argmax
from phalanx.nets.weights import checksum
from phalanx.synth import SynthConfig, stream
from phalanx.train.card import picture_folder
from phalanx.train.feed import MixedFeed, stored_feed
from phalanx.train.loop import train
from phalanx.train.photographs import hand_crops
from phalanx.train.plan import HELD_OUT_SEED, Feed, LoopConfig, Phase, Stage, check_config
from phalanx.train.run import Prepared, Say, say
from phalanx.train.run import run as carry_out
from phalanx.view.samples import sheet, write_sheet

WEIGHTS = f"{METHOD}.safetensors"
"""Name of the weights in a run's folder."""

SHEETS = "blended"
"""Name of the folder, in a run's, with a sheet of each evaluation."""

FEWEST = 32
"""Crops of hands that a training needs."""

SHOWN = 12
"""Pictures on a sheet."""


@dataclass
class TonalityTraining:
    """Training on photographs of hands. Figures are of rendered pictures that the network redraws, and of photographs it has not seen."""

    real: Path | None = None
    """Folder of photographs with hands, without labels (searched recursively)."""
    real_licence: str = ""
    """Their licence, for the card."""
    model: TonalityConfig = field(default_factory=lambda: TonalityConfig(generator=16, discriminator=24))
    """The networks and their losses."""
    loop: LoopConfig = field(
        default_factory=lambda: LoopConfig(minutes=30, warmup=500, average=2_000, evaluate_every=5_000)
    )
    """Budget and schedule."""
    synth: SynthConfig = field(default_factory=lambda: SynthConfig(size=128, tiles=64, skins=8))
    """Rendered pictures for the figures and sheets; none is trained on."""
    batch: int = 8
    """Photographs a step."""
    seed: int = 1
    """Of the order of the photographs, and of the stream of rendered ones."""
    workers: int = 0
    """Processes that render."""
    held_out: int = 96
    """Rendered pictures, and photographs, that a run is evaluated on; of photographs a fifth at most."""
    start_from: Path | None = None
    """Weights to begin with, of the same networks; none: none."""


class Blending(Protocol):
    """What the figures ask of a network that makes compositions look real."""

    def blend(self, images: Tensor, random: torch.Generator | None = None) -> Tensor: ...

    def judged(self, real: Tensor, rendered: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]: ...


@cache
def examiner() -> CompactEstimator:
    """Whose features and joints blended pictures are compared by: the shipped estimator, which no such training changes."""
    return load_trainable().eval().requires_grad_(False)


@torch.no_grad()
def examined(images: Tensor, batch: int = 32) -> tuple[np.ndarray, Tensor]:
    """Features (N, D) and 2D joints (N, 21, 2), in pixels of 128 across the picture, of pictures (N, 3, S, S), by the default estimator."""
    network = examiner()
    size = network.config.size
    features, places = [], []
    for part in images.split(batch):
        seen = part if part.shape[-1] == size else functional.interpolate(part, size=(size, size), mode="bilinear")
        maps, pooled = network.pyramid(
            (seen - 0.45) * 4.0
        )  # as `CompactEstimator.read` looks at pictures, once for both
        features.append(pooled)
        places.append(128 * soft_argmax(network.maps(maps)[:, :21])[0])
    return torch.cat(features).numpy(), torch.cat(places)


def blended(network: Blending, images: Tensor, seed: int = 0, batch: int = 32) -> Tensor:
    """Compositions (N, 3, S, S) as uint8, made to look real, uint8; the same for the same seed, and batch.

    Computed where the network is.
    """
    assert isinstance(network, nn.Module)
    device = next(network.parameters()).device
    random = torch.Generator().manual_seed(seed)
    parts = [network.blend(part.to(device).float() / 255, random) for part in images.split(batch)]
    return torch.cat([(255 * part).round().to(torch.uint8).cpu() for part in parts])


@torch.no_grad()
def figures(network: nn.Module, real: Tensor, rendered: Tensor) -> dict[str, float]:
    """Held-out figures of photographs (N, 3, S, S) and rendered pictures (M, 3, S, S), uint8.

    - `judged_right`: share of patches that the discriminator judges right; near 1 or a half at the end means that a player has given up;
    - `distance`: between features of photographs and of blended pictures (`metrics.two_samples`), in per cent of that of rendered ones, so
      that 100 is no nearer than before;
    - `moved_px`: median shift of the default estimator's joints by blending, in pixels of 128;
    - `varies`: standard deviation of a blended value over pictures, in per cent of that over rendered ones: a collapse brings it down.
    """
    assert isinstance(network, nn.Module)
    network.eval()
    random = torch.Generator().manual_seed(0)
    device = next(network.parameters()).device
    photographs, pictures = (value.float() / 255 for value in (real, rendered))
    drawn = blended(_blending(network), rendered).float() / 255
    true, false = _blending(network).judged(photographs.to(device), pictures.to(device), random)
    (of_real, _), (of_rendered, before), (of_drawn, after) = (examined(v) for v in (photographs, pictures, drawn))
    apart = kernel_distance(of_real, of_rendered)
    return {
        "judged_right": float(((true > 0).float().mean() + (false < 0).float().mean()) / 2),
        "distance": 100 * kernel_distance(of_real, of_drawn) / apart if apart > 0 else float("nan"),
        "moved_px": float((after - before).norm(dim=-1).median()),
        "varies": 100 * float(drawn.std(0).mean() / pictures.std(0).mean()),
    }


def show(network: nn.Module, rendered: Tensor, folder: Path) -> None:
    """A sheet in `folder / SHEETS`, numbered on: rendered pictures, each above what becomes of it."""
    place = writable_folder(folder / SHEETS)
    chosen = rendered[:SHOWN]
    drawn = blended(_blending(network.eval()), chosen)
    tiles = [image_bytes(image.float() / 255) for image in torch.cat((chosen, drawn))]
    write_sheet(place / f"{len(list(place.glob('*.png'))):03d}.png", sheet(tiles, len(chosen)))


def prepare(config: TonalityTraining, folder: Path | None = None, report: Say = say) -> Prepared:
    """A run of `phalanx train tonality_gan`; sheets go into `folder`.

    Raises:
        InputError: settings, photographs or the weights to begin with are at fault.
    """
    size = config.model.size
    if config.real is None:
        raise InputError("real: name a folder of photographs with hands; they need no labels")
    if config.synth.size != size:
        raise InputError(f"synth: needs pictures of {size} pixels, the model's, not {config.synth.size}")
    phases = [Phase(1.0, size, config.batch, 1)]
    check_config(config.loop, phases, config.seed)
    crops = hand_crops(config.real, size, report)
    if len(crops) < FEWEST:
        raise InputError(
            f"{config.real}: holds {len(crops)} hands that can be learnt from, and a training needs {FEWEST}"
        )
    report(f"{len(crops)} hands are cut out of photographs")
    order = np.random.default_rng(config.seed).permutation(len(crops))
    count = min(config.held_out, len(crops) // 5)
    held_out, kept = crops[order[:count]], {"image": crops[np.sort(order[count:])]}

    @cache
    def rendered() -> Tensor:
        return drawn_pictures(config.synth, config.seed + HELD_OUT_SEED, config.held_out, config.workers)

    def evaluate(network: nn.Module, size: int) -> dict[str, float]:
        if folder is not None:
            show(network, rendered(), folder)
        return figures(network, held_out, rendered())

    return Prepared(
        begun(config.model, config.loop.seed, config.start_from),
        [Stage("photographs", config.loop, phases, partial(photograph_feed, kept, config.seed), evaluate)],
        fixed={name: value for name, value in asdict(config).items() if name not in ("loop", "workers")}
        | {"photographs": checksum({"image": crops})},
        data=[picture_folder("photographs of hands", config.real, config.real_licence) | {"hands": len(crops)}],
        start=config.start_from,
        weights=WEIGHTS,
        save=save,
    )


def run(config: TonalityTraining, out: str | Path, resume: bool = False, report: Say = say) -> Path:
    """Train (or go on training) in the folder `out`; returns its weights file, beside which lie a card and sheets.

    Raises:
        InputError: see `prepare` and `train.loop.train`.
    """
    return carry_out(partial(prepare, folder=Path(out), report=report), config, out, resume, report)


def begun(config: TonalityConfig, seed: int, start_from: Path | None = None) -> TonalityGan:
    """The networks that a run begins with. Raises InputError if the weights to begin with are of others."""
    torch.manual_seed(seed)
    model = TonalityGan(config)
    if start_from is not None:
        before = load(start_from, trainable=True)
        for name in ("size", "generator", "discriminator", "halvings"):
            if (has := getattr(before.config, name)) != (wanted := getattr(config, name)):
                raise InputError(f"start_from: {start_from} has networks of {name} {has}, and model.{name} is {wanted}")
        model.start_from(before.state_dict())
    return model


def drawn_pictures(synth: SynthConfig, seed: int, count: int, workers: int) -> Tensor:
    """The first `count` pictures of a stream, (count, 3, S, S) uint8."""
    parts: list[Tensor] = []
    with closing(stream(synth, seed, workers)) as source:
        while sum(len(part) for part in parts) < count:
            image = next(source).image
            assert image is not None
            parts.append((image * 255).round().to(torch.uint8))
    return torch.cat(parts)[:count]


def finish_photographs(kept: dict[str, Tensor], size: int, random: torch.Generator) -> Sample:
    """A batch of pictures (B, 3, S, S) uint8, half of them mirrored; nothing else: their light and noise are what is to be learnt."""
    image = kept["image"].float() / 255
    mirrored = torch.rand(len(image), 1, 1, 1, generator=random) < 0.5
    return Sample(image=torch.where(mirrored, image.flip(-1), image))


def photograph_feed(kept: Mapping[str, Tensor], seed: int) -> Feed:
    """Endless batches of photographs, each time round in another order."""
    return stored_feed(kept, seed, finish_photographs)


def unpaired_feed(real: Mapping[str, Tensor], rendered: Mapping[str, Tensor], batch: int, seed: int) -> Feed:
    """Batches of photographs and as many rendered pictures, for `methods.cycle_gan`."""
    feeds = {REAL: photograph_feed(real, seed), RENDERED: photograph_feed(rendered, seed + 1)}
    return MixedFeed(feeds, dict.fromkeys(feeds, batch))


def train_on_pictures(
    model: nn.Module,
    feed: Callable[[], Feed],
    batch: int,
    size: int,
    loop: LoopConfig,
    out: str | Path,
    about: Mapping[str, object],
    evaluate: Callable[[nn.Module, int], dict[str, float]] = lambda network, size: {},
    report: Say = say,
) -> nn.Module:
    """Train networks, which are changed, on stored pictures in the folder `out`, or go on there; returns the averaged ones.

    Args:
        model: one of those that blend.
        feed: opens the pictures.
        batch: pictures a step, of all kinds.
        size: their side.
        loop: budget and schedule; it counts pictures of all kinds.
        about: what must be the same when the training goes on.
        evaluate: figures for the curve of the averaged networks.
    """
    stage = Stage("pictures", loop, [Phase(1.0, size, batch, 1)], feed, evaluate)
    settings = {"loop": asdict(loop), **about}
    return train(model.train().requires_grad_(True), [stage], out, True, report, about=about, settings=settings)


def save(network: nn.Module, path: Path) -> None:
    """Write the trained networks for `methods.tonality_gan.load`."""
    assert isinstance(network, TonalityGan)
    save_weights(network, path)


def _blending(network: nn.Module) -> Blending:
    """Every network here has `blend` and `judged`."""
    found: Blending = network  # type: ignore[assignment]
    return found
