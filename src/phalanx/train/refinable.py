"""Training `methods.refinable`: first on labelled synthesis, then on pairs of colour and depth without labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field
from functools import cache, partial
from pathlib import Path

import torch
from torch import Tensor, nn

from phalanx.core.errors import InputError
from phalanx.data.sample import Sample
from phalanx.geometry.cubes import depth_to_points
from phalanx.geometry.turns import ray_to_rotmat
from phalanx.hand.anatomy import rotations_to_angles
from phalanx.hand.model import HandModel
from phalanx.hand.skeleton import TIPS
from phalanx.methods.base import Player
from phalanx.methods.refinable import (
    METHOD,
    PALM,
    HandCrops,
    HandSegmenter,
    MaskedPictures,
    RefinableConfig,
    RefinableNet,
    cut,
    in_bones,
    load,
    mask_boxes,
    mask_of,
    normalised,
    palm_angles,
    palm_rotation,
    save_weights,
)
from phalanx.nets.weights import checksum
from phalanx.synth import SynthConfig, stream
from phalanx.train.augment import augment
from phalanx.train.card import synthesis
from phalanx.train.feed import BufferFeed, MixedFeed, stored_feed
from phalanx.train.loop import train
from phalanx.train.paired import check_pairs, joined
from phalanx.train.plan import HELD_OUT_SEED, Feed, LoopConfig, Phase, Stage, check_config
from phalanx.train.run import Prepared, Say, say
from phalanx.train.run import run as carry_out

WEIGHTS = f"{METHOD}.safetensors"
"""Name of the weights in a run's folder."""

STRAY = 0.13
"""Metres from the median of a hand's readings beyond which they are the background's."""

LABELS, PAIRS = ("angles",), ("points",)
"""What is learnt from: angles of labelled pictures; depth of pairs."""


@dataclass
class RefinableTraining:
    """Training on labelled synthesis of one domain, then refinement on unlabelled pairs of another."""

    model: RefinableConfig = field(default_factory=lambda: RefinableConfig(size=112))
    """The network, its cloud and the losses."""
    loop: LoopConfig = field(default_factory=lambda: LoopConfig(minutes=30))
    """Budget, schedule, optimiser of the training on labels."""
    refine: LoopConfig = field(
        default_factory=lambda: LoopConfig(minutes=10, learning_rate=5e-4, kernel_rate=4e-3, average=4_000)
    )
    """Of the refinement."""
    synth: SynthConfig = field(
        default_factory=lambda: SynthConfig(size=112, domain="studio", depth_sensor="domain", tiles=64, skins=8)
    )
    """Labelled pictures."""
    pairs: SynthConfig = field(
        default_factory=lambda: SynthConfig(size=112, domain="field", depth_sensor="domain", tiles=64, skins=8)
    )
    """Pairs without labels."""
    learn_cloud: bool = True
    """Whether the refinement learns the cloud, too."""
    batch: int = 32
    """Pictures a step."""
    reuse: int = 4
    """Times each generated picture is trained on."""
    seed: int = 1
    """Of the streams of pictures."""
    workers: int = 2
    """Processes that generate."""
    buffer: int = 4_000
    """Pictures generated at a time."""
    held_out: int = 256
    """Pictures that a run is evaluated on."""
    start_from: Path | None = None
    """Weights to begin with, of the same network; none: none."""


def keep_crops(size: int, points: int, sample: Sample) -> dict[str, Tensor]:
    """What is kept of a sample with depth: its crop of `size` pixels as bytes, angles, joints, readings, and the hand's shape.

    All in the crop's view (`methods.refinable`). `points` readings of each hand are kept, evenly over its pixels.
    """
    image, parts, joints = _there(sample.image), _there(sample.parts), _there(sample.joints)
    K, orientation, rotations = _there(sample.K), _there(sample.orientation), _there(sample.rotations)
    depth = _there(sample.depth if sample.sensed_depth is None else sample.sensed_depth)
    masks = mask_of(parts)
    boxes = mask_boxes(masks)
    crops = cut(normalised(image, masks), boxes, size)
    rays = torch.linalg.solve(K, torch.cat((boxes[:, :2], torch.ones_like(boxes[:, :1])), dim=1))
    view = ray_to_rotmat(rays).mT  # (B, 3, 3) camera -> view
    angles = torch.cat((palm_angles(view @ orientation), rotations_to_angles(rotations)[:, PALM:]), dim=1)
    turned = joints @ view.mT
    zoom = (size / boxes[:, 2])[:, None, None]
    tips = (_there(sample.joints_2d)[:, list(TIPS)] - boxes[:, None, :2]) * zoom
    read = depth_to_points(torch.where(masks, depth, 0.0), K).flatten(1, 2) @ view.mT
    return {
        "image": (255 * crops).round().to(torch.uint8),
        "angles": angles,
        "joints": turned - turned[:, :1],
        "tips": tips,
        "points": _some(read, points).half(),
        "shape": _there(sample.shape),
    }


def _there(value: Tensor | None) -> Tensor:
    assert value is not None
    return value


def _some(read: Tensor, count: int) -> Tensor:
    """Of readings (B, P, 3), 0 = none, `count` of each hand, about their mean; NaN where there are fewer."""
    chosen = read.new_full((len(read), count, 3), torch.nan)
    for row, points in zip(chosen, read, strict=True):
        points = points[points[:, 2] > 0]
        points = points[(points[:, 2] - points[:, 2].median()).abs() < STRAY] if len(points) else points
        if len(points):
            few = min(count, len(points))
            points = points[(torch.arange(few) * (len(points) / few)).long()]
            row[:few] = points - points.mean(0)
    return chosen


def crops_of(kept: Mapping[str, Tensor], fields: tuple[str, ...] = ("angles", "joints", "points")) -> HandCrops:
    """Kept crops as a batch that shows these `fields`, as they are."""
    values = {name: kept[name].float() for name in fields}
    if "joints" in values:
        values["joints"] = in_bones(values["joints"])
    return HandCrops(kept["image"].float() / 255, **values)


def finish(
    fields: tuple[str, ...], turn: float, kept: Mapping[str, Tensor], size: int, random: torch.Generator
) -> HandCrops:
    """A batch of kept crops that shows `fields`, each turned in its plane by up to `turn` degrees to either side, at their own size."""
    crops = crops_of(kept, fields)
    count, size = len(crops), crops.image.shape[-1]
    turns = torch.deg2rad(turn * (2 * torch.rand(count, generator=random) - 1))
    box = crops.image.new_tensor([0.5 * (size - 1), 0.5 * (size - 1), size]).expand(count, 3)
    image = cut(crops.image, box, size, turns) * (1 + 0.1 * torch.randn(count, 1, 1, 1, generator=random))
    noise = 0.02 * torch.randn(image.shape, generator=random) * (image > 0)
    crops.image = (image + noise).clamp(0, 1).contiguous(memory_format=torch.channels_last)
    if crops.angles is not None:
        crops.angles = torch.cat((crops.angles[:, :1] + turns[:, None], crops.angles[:, 1:]), dim=1)
    cosine, sine, zero, one = turns.cos(), turns.sin(), torch.zeros(count), torch.ones(count)
    about = torch.stack((cosine, -sine, zero, sine, cosine, zero, zero, zero, one), dim=1).unflatten(1, (3, 3))
    crops.joints = None if crops.joints is None else crops.joints @ about.mT
    crops.points = None if crops.points is None else crops.points @ about.mT
    return crops


def crops_feed(kept: Mapping[str, Tensor], seed: int, fields: tuple[str, ...]) -> BufferFeed[HandCrops]:
    """Endless batches of stored crops that show `fields`, turned at random."""
    return stored_feed(kept, seed, partial(finish, fields, TURN))


TURN = 45.0
"""Degrees by which crops are turned in training, at most: as the paper varies each of the palm's angles."""


@torch.no_grad()
def found_by(network: RefinableNet, images: Tensor, batch: int = 64) -> tuple[Tensor, Tensor]:
    """Angles (N, 23) and joints (N, 21, 3), from the wrist in lengths of a bone, of crops; the joint-regressing twin has no angles: NaN."""
    device = next(network.parameters()).device
    angles, joints = [], []
    for part in images.split(batch):
        found = network(part.to(device))
        joints.append(network.joints_of(found).to(images.device))
        known = network.config.target == "angles"
        angles.append((network.angles_of(found) if known else found.new_full((len(part), 23), torch.nan)).to(images))
    return torch.cat(angles), torch.cat(joints)


@torch.no_grad()
def depth_errors(network: RefinableNet, angles: Tensor, points: Tensor, batch: int = 64) -> Tensor:
    """Mean squared differences (N,) of the two synthesised images: of the network's cloud under angles (N, 23), of readings (N, M, 3)."""
    parts = []
    for posed, read in zip(angles.split(batch), points.split(batch), strict=True):
        made = network.map_of(network.posed_cloud(posed.to(network.rest)))
        parts.append((made - network.map_of(read.to(network.rest))).square().mean((1, 2)).to(angles))
    return torch.cat(parts)


def palm_errors(angles: Tensor, true: Tensor) -> Tensor:
    """Degrees (N,) between the palms of angles (N, 23)."""
    between = palm_rotation(angles[:, :PALM]).mT @ palm_rotation(true[:, :PALM])
    cosine = 0.5 * (between.diagonal(dim1=1, dim2=2).sum(1) - 1)
    return torch.rad2deg(torch.acos(cosine.clamp(-1, 1)))


def figures(network: nn.Module, kept: Mapping[str, Tensor]) -> dict[str, float]:
    """Held-out errors: of joints in mm (from the wrist, scale given), of the palm and of fingers in degrees, of synthesised depth."""
    model, crops = _trained(network), crops_of(kept)
    angles, joints = found_by(model, crops.image)
    scale = (kept["joints"] / in_bones(kept["joints"])).nanmean((1, 2))[:, None, None]
    off = 1000 * ((joints - _there(crops.joints)) * scale).norm(dim=-1).mean()
    if model.config.target == "joints":
        return {"joints_mm": float(off)}
    true = _there(crops.angles)
    return {
        "joints_mm": float(off),
        "palm_deg": float(palm_errors(angles, true).mean()),
        "fingers_deg": float(torch.rad2deg((angles - true)[:, PALM:].abs()).mean()),
        "depth_mse": float(depth_errors(model, angles, _there(crops.points)).mean()),
    }


def drawn_crops(synth: SynthConfig, seed: int, count: int, workers: int, size: int, points: int) -> dict[str, Tensor]:
    """At least `count` crops of a stream, kept."""
    parts: list[dict[str, Tensor]] = []
    with closing(stream(synth, seed, workers)) as source:
        while sum(len(part["image"]) for part in parts) < count:
            parts.append(keep_crops(size, points, next(source)))
    return joined(parts)


def prepare(config: RefinableTraining) -> Prepared:
    """A run of `phalanx train refinable`. Raises InputError if settings or the weights to begin with are at fault."""
    size, points = config.model.size, config.model.points
    for name, synth in (("synth", config.synth), ("pairs", config.pairs)):
        check_pairs(name, synth, synth.size)
    phase = crops_phase(size, config.batch, config.reuse)
    for loop in (config.loop, config.refine):
        check_config(loop, [phase], config.seed)

    def feed(synth: SynthConfig, fields: tuple[str, ...]) -> BufferFeed[HandCrops]:
        def open_stream(first: int) -> Iterator[Sample]:
            return stream(synth, config.seed, config.workers, first)

        chunks = max(1, config.buffer // synth.pictures)
        return BufferFeed(
            open_stream, chunks, config.seed, partial(keep_crops, size, points), partial(finish, fields, TURN)
        )

    @cache
    def held_out(domain: str) -> dict[str, Tensor]:
        synth = config.synth if domain == "synth" else config.pairs
        return drawn_crops(synth, config.seed + HELD_OUT_SEED, config.held_out, config.workers, size, points)

    target = ("joints",) if config.model.target == "joints" else LABELS
    stages = [
        Stage(
            "labels",
            config.loop,
            [phase],
            partial(feed, config.synth, target),
            lambda network, size: figures(network, held_out("synth")),
            partial(players_of_crops, False),
        )
    ]
    data = [synthesis(config.synth, " and ".join(target))]
    if config.model.target == "angles":
        stages.append(
            Stage(
                "pairs",
                config.refine,
                [phase],
                partial(feed, config.pairs, PAIRS),
                lambda network, size: figures(network, held_out("pairs")),
                partial(players_of_crops, config.learn_cloud),
            )
        )
        data.append(synthesis(config.pairs, "depth"))
    return Prepared(
        begun(config.model, config.loop.seed, config.start_from),
        stages,
        fixed={name: value for name, value in asdict(config).items() if name not in ("loop", "refine", "workers")},
        data=data,
        start=config.start_from,
        weights=WEIGHTS,
        save=save,
    )


def run(config: RefinableTraining, out: str | Path, resume: bool = False, report: Say = say) -> Path:
    """Train (or go on training) in the folder `out`; returns its weights file, beside which lies a card.

    Raises:
        InputError: see `prepare` and `train.loop.train`.
    """
    return carry_out(prepare, config, out, resume, report)


def train_on_crops(
    model: RefinableNet,
    kept: Mapping[str, Tensor],
    fields: tuple[str, ...],
    loop: LoopConfig,
    batch: int,
    out: str | Path,
    learn_cloud: bool = False,
    beside: Mapping[str, Tensor] | None = None,
    evaluate: Callable[[nn.Module, int], dict[str, float]] = lambda network, size: {},
    resume: bool = False,
    report: Say = say,
) -> RefinableNet:
    """Train a network, which is changed, on stored crops in the folder `out`; returns the averaged one.

    Args:
        model: what is trained.
        kept: crops, as `keep_crops` keeps them.
        fields: what of them is shown: `LABELS`, `PAIRS`, or joints.
        loop: budget, schedule, optimiser.
        batch: crops a step.
        learn_cloud: whether the cloud moves, too.
        beside: labelled crops, of which each step sees as many more, with their angles; they count in the budget. None: none.
        evaluate: figures for the curve of the averaged network.
    """
    kinds = 1 if beside is None else 2
    stage = Stage(
        "crops",
        loop,
        [crops_phase(model.config.size, kinds * batch, 1)],
        partial(_feed_of, kept, fields, beside, batch, loop.seed),
        evaluate,
        partial(players_of_crops, learn_cloud),
    )
    about = {
        "model": asdict(model.config),
        "batch": batch,
        "crops": checksum({name: kept[name] for name in ("image", *fields)}),
        "fields": list(fields),
        "learn_cloud": learn_cloud,
        "beside": None if beside is None else checksum({name: beside[name] for name in ("image", *LABELS)}),
        "start": checksum({name: value.cpu() for name, value in model.state_dict().items()}),
    }
    settings = {"loop": asdict(loop), **about}
    return _trained(train(model, [stage], out, resume, report, about=about, settings=settings))


def _feed_of(
    kept: Mapping[str, Tensor], fields: tuple[str, ...], beside: Mapping[str, Tensor] | None, batch: int, seed: int
) -> Feed:
    crops = crops_feed(kept, seed, fields)
    if beside is None:
        return crops
    return MixedFeed({"crops": crops, "beside": crops_feed(beside, seed, LABELS)}, {"crops": batch, "beside": batch})


def crops_phase(size: int, batch: int, reuse: int) -> Phase:
    """The only phase of a stage. Crops stay as they were kept; phases know multiples of 32 alone, so this names the next one."""
    return Phase(1.0, 32 * -(-size // 32), batch, reuse)


def players_of_crops(learn_cloud: bool, network: nn.Module) -> tuple[Player, ...]:
    """The network moves, and the cloud if it is to be learnt."""
    model = _trained(network)
    model.network.requires_grad_(True)
    model.learn_cloud(learn_cloud)
    return model.players()


def masked_pictures(
    photometric: bool, kept: Mapping[str, Tensor], size: int, random: torch.Generator
) -> MaskedPictures:
    """A batch of pictures and masks kept as bytes, with photometric augmentation if asked for, half of them mirrored."""
    image, mask = kept["image"].float() / 255, kept["mask"].float() / 255
    if photometric:
        image = augment(image, random)
        mirrored = torch.rand(len(image), generator=random) < 0.5
        image = torch.where(mirrored[:, None, None, None], image.flip(3), image)
        mask = torch.where(mirrored[:, None, None], mask.flip(2), mask)
    return MaskedPictures(image.contiguous(memory_format=torch.channels_last), mask)


def train_segmenter(
    model: HandSegmenter,
    kept: Mapping[str, Tensor],
    loop: LoopConfig,
    batch: int,
    out: str | Path,
    resume: bool = False,
    report: Say = say,
) -> HandSegmenter:
    """Train both stages of a segmenter, which is changed, on stored pictures with masks in the folder `out`; returns the averaged one."""
    feed = partial(stored_feed, kept, loop.seed, partial(masked_pictures, True))
    stage = Stage("masks", loop, [crops_phase(model.config.size, batch, 1)], feed, lambda network, size: {})
    about = {"model": asdict(model.config), "batch": batch, "pictures": checksum(dict(kept))}
    found = train(model, [stage], out, resume, report, about=about, settings={"loop": asdict(loop), **about})
    assert isinstance(found, HandSegmenter)
    return found


def begun(config: RefinableConfig, seed: int, start_from: Path | None = None) -> RefinableNet:
    """The network that a run begins with. Raises InputError if the weights to begin with are of another."""
    torch.manual_seed(seed)
    if start_from is None:
        return RefinableNet(config)
    model = load(start_from, trainable=True)
    if (model.config.size, model.config.width, model.config.target) != (config.size, config.width, config.target):
        raise InputError(
            f"{start_from}: has size {model.config.size}, width {model.config.width}, target {model.config.target}"
        )
    model.config = config
    return model


def save(network: nn.Module, path: Path) -> None:
    """Write the trained network for `methods.refinable.load`."""
    save_weights(_trained(network), path, HandModel.open_hand())


def _trained(network: nn.Module) -> RefinableNet:
    assert isinstance(network, RefinableNet)
    return network
