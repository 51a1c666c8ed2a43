"""Training `methods.hand_finder` on synthetic depth frames of arms, people, held things and hands alone.

Cubes are kept about a frame's hands (where they are seen), moved a little or by up to 12 cm, as the second and the first look of a search
have it, and about places where a hand would be looked for (`geometry.cubes.places_on`). What is in a cube is turned at random, and mirrored
half of the time, which makes left hands of right ones.
Some frames are made several times too near or too far, as readings in another unit are: what they show is no hand.

One place in fifty that is wrongly taken for a hand spoils a search, and most places are easy. So a stage that begins from weights may take
some of its cubes where those weights err: their network looks at every place of a frame as a search does, and places are drawn the more
often, the less it sees there what is there (`hard`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from functools import cache, partial
from itertools import accumulate
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from phalanx.core.errors import InputError
from phalanx.core.parallel import ordered
from phalanx.core.seeding import generator
from phalanx.data.sample import Sample
from phalanx.geometry.cubes import places_on, surface_points
from phalanx.geometry.rotations import rotvec_to_rotmat
from phalanx.hand.model import HandModel
from phalanx.methods.hand_finder import (
    EXTENTS,
    LEFT,
    METHOD,
    NOTHING,
    RIGHT,
    UNCLEAR,
    Cubes,
    HandFinder,
    HandFinderConfig,
    load,
    maps_about,
    save_weights,
    surfaces,
    turned_maps_about,
)
from phalanx.synth import SynthConfig, make_chunk, stream
from phalanx.train.card import synthesis
from phalanx.train.feed import BufferFeed, JoinedFeed, MixedFeed, as_tensors
from phalanx.train.plan import APART_SEEDS, HELD_OUT_SEED, LoopConfig, Phase, Stage, check_config
from phalanx.train.run import Prepared, Say, say, starting_weights
from phalanx.train.run import run as carry_out

CUBES = 8
"""Kept of each frame; of a frame and its mirror image twice as many, all of the first."""
_ABOUT = (3, 5)  # of them about each hand that is seen, in frames that show one and in those that show two
COARSE = 2.0  # times farther apart than at the end lie the points that a search looks at first
SPREADS = (0.015, 0.06)  # metres by which cubes about hands are moved, standard deviation of each coordinate
TURNS = (0.12, 0.12, 0.3)  # radians, standard deviations of turns about the camera's axes
_CLOSE, _APART = 0.12, 0.18  # metres: so near to a hand's middle a cube shows it, so far from all hands it shows none
_SEEN = 0.5  # share of the joints within the frame from which a hand is seen
_LEAST = 60  # readings on a hand
WRONG_SIZES = (2.5, 8.0)
"""So many times too large or too small hands are none."""
_WRONG = 0.2  # share of the frames of a wrong size
_MOVED = 0.02  # metres by which cubes elsewhere are moved, standard deviation of each coordinate
_MOST_HARD = 0.5  # share of the cubes: of the others some are about each hand
_EASY = 0.02  # weight of a place at which the network surely sees what is there; where it surely does not, 1 more


@dataclass
class HandFinderTraining:
    """A training run of the finder of hands in depth frames."""

    model: HandFinderConfig = field(default_factory=HandFinderConfig)
    """The network and its losses."""
    loop: LoopConfig = field(
        default_factory=lambda: LoopConfig(minutes=30, learning_rate=1.5e-3, kernel_rate=0.02, average=30_000)
    )
    """Budget, schedule, optimiser; pictures are cubes here."""
    synth: SynthConfig = field(
        default_factory=lambda: SynthConfig(
            size=256, chunk=16, tiles=1, skins=1, depth_sensor="domain", effects=0.0, colour=False
        )
    )
    """The frames; the scene is each of `scenes`."""
    scenes: dict[str, int] = field(
        default_factory=lambda: {"arms": 96, "people": 96, "egocentric": 24, "holding": 16, "hands": 24}
    )
    """Cubes of each scene in a step."""
    reuse: int = 6
    """Times each cube is trained on."""
    seed: int = 1
    """Of the streams of frames."""
    workers: int = 1
    """Processes that generate, for each scene."""
    buffer: int = 4096
    """Frames generated at a time, of each scene as large a share as of the cubes."""
    start_from: Path | None = None
    """Weights (or the checkpoint) of a network of the same size, or a narrower one, to begin with; none: none."""
    held_out: int = 96
    """Frames of arms and of people to evaluate on."""
    hard: float = 0.0
    """Share of the cubes, up to a half, that are taken where the network of `start_from`, which must be weights then, errs."""


def both_hands(sample: Sample) -> tuple[Tensor, Tensor]:
    """Joints `(B, 2, 21, 3)` of the right and the other hand in the pictures of a sample, and whether each is seen `(B, 2)`.

    The other hand is the one of a picture's mirror image; scenes without such show one hand (the other's joints are infinite).
    """
    assert sample.joints is not None and sample.joints_2d is not None and sample.depth is not None
    size = sample.depth.shape[-1]
    inside = ((sample.joints_2d > 0) & (sample.joints_2d < size - 1)).all(-1).float().mean(1) > _SEEN
    if sample.hand_masks is None:
        nowhere = torch.full_like(sample.joints, float("inf"))
        return torch.stack([sample.joints, nowhere], 1), torch.stack([inside, torch.zeros_like(inside)], 1)
    twin = sample.joints.unflatten(0, (-1, 2)).flip(1).flatten(0, 1) * sample.joints.new_tensor([-1.0, 1.0, 1.0])
    there = inside.unflatten(0, (-1, 2)).flip(1).flatten(0, 1)
    read = sample.depth > 0 if sample.sensed_depth is None else sample.sensed_depth > 0
    seen = ((sample.hand_masks > 0.5) & read[:, None]).flatten(2).sum(-1) > _LEAST
    return torch.stack([sample.joints, twin], 1), torch.stack([inside, there], 1) & seen


@dataclass
class _Frame:
    """A depth frame to cut cubes out of."""

    depth: Tensor  # (H, W)
    K: Tensor  # (3, 3)
    hands: Tensor  # (2, 21, 3) joints
    visible: Tensor  # (2,) whether each is seen
    sized: bool  # whether its hands have the size of hands

    def labels(self, places: Tensor) -> tuple[Tensor, Tensor]:
        """As `labels`; of a wrong size, nothing is a hand."""
        kinds, joints = labels(places, self.hands, self.visible)
        return (kinds if self.sized else torch.full_like(kinds, NOTHING)), joints


def cut(sample: Sample, size: int, finder: HandFinder | None = None, hard: float = 0.0) -> dict[str, Tensor]:
    """What training keeps of a sample: `CUBES` cubes for each frame, the same for the same sample.

    Of a `finder` the share `hard` of them is where it errs, of whichever frames.
    """
    assert sample.sensed_depth is not None and sample.K is not None and sample.ids is not None
    both, seen = both_hands(sample)
    random = generator(*sample.ids[0].tolist(), 11)
    step = 1 if sample.hand_masks is None else 2  # every second frame is the mirror image of the one before
    frames, places = [], []
    few = step * CUBES if finder is None else round((1 - hard) * step * CUBES)
    for depth, K, hands, visible in zip(
        *(of[::step] for of in (sample.sensed_depth, sample.K, both, seen)), strict=True
    ):
        scale = wrong_size(random) if random.random() < _WRONG else 1.0
        frame = _Frame(scale * depth, K, scale * hands, visible, scale == 1)
        points = surface_points(frame.depth, K, COARSE * EXTENTS[0] / size)
        frames.append(frame)
        places.append(_places(points, frame.hands.mean(1), visible, few, random))
    if finder is not None:
        more = _hard_places(finder, frames, size, len(frames) * (step * CUBES - few), random)
        places = [torch.cat(both) for both in zip(places, more, strict=True)]
    parts: dict[str, list[Tensor]] = {"maps": [], "kind": [], "joints": []}
    for frame, some in zip(frames, places, strict=True):
        kinds, joints = frame.labels(some)
        turns = rotvec_to_rotmat(torch.from_numpy(random.normal(0, TURNS, (len(some), 3))).to(some))
        coarseness = random.choice((1.0, COARSE))
        parts["maps"].append(turned_maps_about(frame.depth, frame.K, some, turns, size, coarseness).half())
        parts["kind"].append(kinds)
        parts["joints"].append(joints @ turns.mT)
    return {name: torch.cat(values) for name, values in parts.items()}


@torch.no_grad()
def _hard_places(
    finder: HandFinder, frames: Sequence[_Frame], size: int, count: int, random: np.random.Generator
) -> list[Tensor]:
    """Of each frame so many of `count` places in all as the finder's errors call for: as they are, or where it expects a hand's middle."""
    found, weights = [], []
    for frame in frames:
        points = surfaces(frame.depth, frame.K, size, COARSE)
        places = places_on(points[0])
        if not len(places):
            places = points[0].new_tensor([[0.0, 0.0, 0.6]])
        logits, joints = finder(maps_about(points, places, size))
        kinds, _ = frame.labels(places)
        there = logits.softmax(1).gather(1, kinds.clamp_min(NOTHING)[:, None])[:, 0]
        weights.append(torch.where(kinds == UNCLEAR, 1e-6, 1.0 - there + _EASY))
        found.append(torch.stack([places, places + joints.mean(1)], 1))
    chance = torch.cat(weights).double().numpy()
    chosen = random.choice(len(chance), count, replace=len(chance) < count, p=chance / chance.sum())
    taken = [np.sort(chosen[(chosen >= end - len(of)) & (chosen < end)]) - end + len(of) for of, end in _ends(weights)]
    return [
        _moved(places[torch.from_numpy(rows), torch.from_numpy(random.integers(0, 2, len(rows)))], random)
        for places, rows in zip(found, taken, strict=True)
    ]


def _ends(parts: Sequence[Tensor]) -> Iterator[tuple[Tensor, int]]:
    """Each part, and where it ends among all."""
    return zip(parts, accumulate(len(part) for part in parts), strict=True)


def _moved(places: Tensor, random: np.random.Generator) -> Tensor:
    return places + torch.from_numpy(random.normal(0, _MOVED, places.shape)).to(places)


def wrong_size(random: np.random.Generator) -> float:
    """A factor by which a hand is so large or so small that it is none: one of `WRONG_SIZES` or between, or its inverse."""
    factor = float(np.exp(random.uniform(*np.log(WRONG_SIZES))))
    return factor if random.random() < 0.5 else 1 / factor


def _places(points: Tensor, middles: Tensor, visible: Tensor, count: int, random: np.random.Generator) -> Tensor:
    """Middles `(count, 3)` of the cubes of a frame; `middles` (2, 3) are its hands'."""
    about = [
        middle + torch.from_numpy(random.normal(0, random.choice(SPREADS), 3)).to(middle)
        for middle, shown in zip(middles, visible, strict=True)
        for _ in range(_ABOUT[count > CUBES] * int(shown))
    ]
    others = places_on(points)
    if not len(others):
        others = points.new_tensor([[0.0, 0.0, 0.6]])
    picked = others[torch.from_numpy(random.integers(0, len(others), count - len(about)))]
    return torch.cat([*(place[None] for place in about), _moved(picked, random)])


def labels(places: Tensor, hands: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
    """What cubes about `places` (N, 3) show, (N,), and the joints (N, 21, 3) from there of the nearest of `hands` (2, 21, 3)."""
    apart = (places[:, None] - hands.mean(1)).norm(dim=-1)  # (N, 2)
    distance, which = apart.min(1)
    kind = torch.full((len(places),), UNCLEAR)
    kind[distance > _APART] = NOTHING
    hit = (distance < _CLOSE) & visible[which]
    kind[hit] = torch.where(which[hit] == 0, RIGHT, LEFT)
    joints = (hands[which] - places[:, None]).nan_to_num(0.0, 0.0, 0.0)
    return kind, torch.where(hit[:, None, None], joints, 0.0)


def finish(kept: dict[str, Tensor], size: int, random: torch.Generator) -> Cubes:
    """A batch of cubes so kept; half of them mirrored."""
    maps, kind, joints = kept["maps"].float(), kept["kind"].clone(), kept["joints"].clone()
    flip = torch.rand(len(maps), generator=random) < 0.5
    maps[flip] = maps[flip].flip(-1)
    joints[flip, :, 0] = -joints[flip, :, 0]
    hand = flip & (kind > NOTHING)
    kind[hand] = RIGHT + LEFT - kind[hand]
    return Cubes(maps, kind, joints)


def _joined(parts: list[Cubes]) -> Cubes:
    return Cubes(*(torch.cat([getattr(part, name) for part in parts]) for name in ("maps", "kind", "joints")))


def synthetic_feed(config: HandFinderTraining) -> JoinedFeed[Cubes]:
    """Endless cubes as `config` has them."""

    def of_scene(number: int, scene: str) -> BufferFeed[Cubes]:
        synth = replace(config.synth, scene=scene)
        seed = config.seed + APART_SEEDS * number

        def open_stream(start: int) -> Iterator[dict[str, np.ndarray]]:
            errs_of = config.start_from if config.hard else None
            chunk = partial(_cut_chunk, synth, seed, config.model.size, errs_of, config.hard)
            return ordered(chunk, config.workers, start)

        share = config.scenes[scene] / sum(config.scenes.values())
        return BufferFeed(
            open_stream, max(1, round(share * config.buffer / synth.pictures)), config.seed, as_tensors, finish
        )

    return JoinedFeed(
        MixedFeed({scene: of_scene(number, scene) for number, scene in enumerate(config.scenes)}, config.scenes),
        _joined,
    )


def _cut_chunk(
    synth: SynthConfig, seed: int, size: int, errs_of: Path | None, hard: float, number: int
) -> dict[str, np.ndarray]:
    """A chunk's cubes; they are cut where the chunk is made, for that takes as long."""
    finder = None if errs_of is None else _loaded(errs_of)
    return {name: value.numpy() for name, value in cut(make_chunk(synth, seed, number), size, finder, hard).items()}


_loaded = cache(load)  # once in each process


def held_out(config: HandFinderTraining) -> Cubes:
    """Cubes of frames of arms and people of another stream."""
    parts = []
    for scene in ("arms", "people"):
        synth = replace(config.synth, scene=scene)
        with closing(stream(synth, config.seed + HELD_OUT_SEED, config.workers)) as source:
            parts += [cut(next(source), config.model.size) for _ in range(max(1, config.held_out // synth.pictures))]
    return Cubes(*(torch.cat([part[name] for part in parts]) for name in ("maps", "kind", "joints")))


@torch.no_grad()
def figures(network: nn.Module, cubes: Cubes) -> dict[str, float]:
    """Share of cubes told rightly, of hands whose side is right, and the middles' median error in mm."""
    device = next(network.parameters()).device
    logits, joints = (
        torch.cat(both).cpu()
        for both in zip(*(network(m.float().to(device)) for m in cubes.maps.split(128)), strict=True)
    )
    clear, hand = cubes.kind != UNCLEAR, cubes.kind > NOTHING
    found = logits.argmax(1)
    sides = logits[hand][:, RIGHT:].argmax(1) + RIGHT
    return {
        "right_percent": 100 * float((found == cubes.kind)[clear].float().mean()),
        "side_percent": 100 * float((sides == cubes.kind[hand]).float().mean()),
        "middle_mm": 1000 * float((joints - cubes.joints)[hand].mean(1).norm(dim=1).median()),
    }


def prepare(config: HandFinderTraining) -> Prepared:
    """A run of `phalanx train hand_finder`."""
    phase = Phase(1.0, config.model.size, sum(config.scenes.values()), config.reuse)
    check_config(config.loop, [phase], config.seed)
    if not 0 <= config.hard <= _MOST_HARD or (config.hard and config.start_from is None):
        raise InputError(f"hard: must be 0 to {_MOST_HARD}, and 0 without start_from, not {config.hard}")
    torch.manual_seed(config.loop.seed)
    network = HandFinder(config.model)
    if config.start_from is not None:
        network.start_from(starting_weights(config.start_from))
    cubes = cache(partial(held_out, config))
    settings = asdict(config)
    return Prepared(
        network,
        [
            Stage(
                "synthesis", config.loop, [phase], partial(synthetic_feed, config), lambda n, size: figures(n, cubes())
            )
        ],
        fixed={name: settings[name] for name in ("model", "synth", "scenes", "seed", "buffer", "hard")},
        data=[synthesis(replace(config.synth, scene=scene), "joints, hand masks") for scene in config.scenes],
        start=config.start_from,
        weights=f"{METHOD}.safetensors",
        save=_save,
    )


def run(config: HandFinderTraining, out: str | Path, resume: bool = False, report: Say = say) -> Path:
    """Train (or go on training) in the folder `out`; returns the weights file.

    Raises:
        InputError: see `train.loop.train`.
    """
    return carry_out(prepare, config, out, resume, report)


def _save(network: nn.Module, path: Path) -> None:
    assert isinstance(network, HandFinder)
    save_weights(network, path, HandModel.open_hand())
