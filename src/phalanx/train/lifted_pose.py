"""Training `methods.lifted_pose` on stored pictures with 3D labels, of one set or of two in equal shares."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn

from phalanx.core.errors import InputError
from phalanx.data.hand_depth import scale_of
from phalanx.data.sample import Sample, concatenate
from phalanx.methods.lifted_pose import LiftedPose, LiftedPoseConfig
from phalanx.nets.weights import checksum
from phalanx.train.feed import JoinedFeed, MixedFeed, stored_feed, unpack
from phalanx.train.loop import train
from phalanx.train.plan import Feed, LoopConfig, Phase, Stage
from phalanx.train.run import Say, say

Kept = Mapping[str, Tensor]
"""`image` (N, 3, S, S) uint8, `joints` (N, 21, 3) in metres, `joints_2d` (N, 21, 2) in pixels."""

Evaluate = Callable[[nn.Module, int], dict[str, float]]


def finish(kept: dict[str, Tensor], size: int, random: torch.Generator) -> Sample:
    """A batch of what was kept, without augmentation: what pictures look like is what tables of this compare."""
    sample = unpack(kept)
    assert sample.image is not None
    sample.image = sample.image.contiguous(memory_format=torch.channels_last)
    return sample


def feed_of(sets: Mapping[str, Kept], batch: int, seed: int) -> Feed:
    """Steps of `batch` pictures, as many of each set."""
    feeds: dict[str, Feed] = {name: stored_feed(kept, seed + n, finish) for n, (name, kept) in enumerate(sets.items())}
    return JoinedFeed(MixedFeed(feeds, dict.fromkeys(feeds, batch // len(feeds))), concatenate)


@torch.no_grad()
def estimated(network: nn.Module, images: Tensor, batch: int = 64) -> tuple[Tensor, Tensor]:
    """2D joints (N, 21, 2), 0 to 1 across the picture, and joints from the wrist (N, 21, 3), of pictures (N, 3, S, S) in [0, 1]."""
    device = next(network.parameters()).device
    parts = [network(part.to(device)) for part in images.split(batch)]
    places, relative = (torch.cat(values).cpu() for values in zip(*parts, strict=True))
    return places, relative


def joint_errors(network: nn.Module, sample: Sample) -> tuple[Tensor, Tensor]:
    """Errors (N, 21) in 3D, mm, of joints from the wrist with the true scale, and in 2D, sides of the picture."""
    assert sample.image is not None and sample.joints is not None and sample.joints_2d is not None
    places, relative = estimated(network, sample.image)
    true = sample.joints - sample.joints[:, :1]
    off = relative * scale_of(sample.joints)[:, None, None] - true
    true_places = (sample.joints_2d + 0.5) / sample.image.shape[-1]
    return 1000 * off.norm(dim=-1), (places - true_places).norm(dim=-1)


def figures(network: nn.Module, sample: Sample) -> dict[str, float]:
    """Held-out errors."""
    in_3d, in_2d = joint_errors(network, sample)
    return {"joints_mm": float(in_3d.mean()), "joints_percent": float(100 * in_2d.mean())}


def train_on_pictures(
    model: LiftedPose,
    sets: Mapping[str, Kept],
    loop: LoopConfig,
    batch: int,
    out: str | Path,
    evaluate: Evaluate = lambda network, size: {},
    report: Say = say,
) -> LiftedPose:
    """Train on stored pictures in the folder `out`, or go on there; returns the averaged network.

    Args:
        model: what is trained; it is changed.
        sets: pictures by name.
        loop: budget, schedule, optimiser; it counts pictures of all sets.
        batch: pictures a step, as many of each set.
        evaluate: figures for the curve of the averaged network.

    Raises:
        InputError: the batch cannot be shared, or see `train.loop.train`.
    """
    if not sets or batch % len(sets):
        raise InputError(f"train: {len(sets)} sets of pictures cannot share a batch of {batch}")
    stage = Stage(
        "pictures", loop, [Phase(1.0, model.config.size, batch, 1)], lambda: feed_of(sets, batch, loop.seed), evaluate
    )
    about = {
        "model": asdict(model.config),
        "batch": batch,
        "pictures": {name: checksum(dict(kept)) for name, kept in sets.items()},
    }
    settings = {"loop": asdict(loop), **about}
    found = train(model.train().requires_grad_(True), [stage], out, True, report, about=about, settings=settings)
    assert isinstance(found, LiftedPose)
    return found


def begun(config: LiftedPoseConfig, seed: int) -> LiftedPose:
    """The networks that a training begins with."""
    torch.manual_seed(seed)
    return LiftedPose(config)
