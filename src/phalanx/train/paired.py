"""Colour with the depth that a sensor read of the same hand, as methods train on it: kept small, fed in any order, compared in metres."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing

import torch
from torch import Tensor, nn

from phalanx.core.errors import InputError
from phalanx.data.hand_depth import hand_depth, scale_of
from phalanx.data.sample import Sample
from phalanx.geometry.camera import Camera
from phalanx.losses.depth_maps import absolute_depths
from phalanx.synth import SynthConfig, stream
from phalanx.train import feed
from phalanx.train.feed import BufferFeed, finish_pictures

Keep = Callable[[Sample], dict[str, Tensor]]


def check_pairs(name: str, synth: SynthConfig, size: int) -> None:
    """Raise InputError unless the setting `name` makes pictures of `size` pixels with sensed depth."""
    if synth.size != size or synth.depth_sensor is None:
        raise InputError(
            f"{name}: needs pictures of {size} pixels, the model's size, and a depth sensor, not {synth.size} and {synth.depth_sensor}"
        )


def keep_pictures(sample: Sample) -> dict[str, Tensor]:
    """What is kept of a sample with sensed depth: the picture as bytes, the hand's depth in half precision, joints and camera."""
    assert sample.image is not None and sample.joints is not None and sample.joints_2d is not None
    assert sample.K is not None
    image = (sample.image * 255).round().to(torch.uint8)
    depth = hand_depth(sample).half()
    return {"image": image, "depth": depth, "joints": sample.joints, "joints_2d": sample.joints_2d, "K": sample.K}


def restored(kept: Mapping[str, Tensor]) -> Sample:
    """What was kept as a sample, without augmentation."""
    return Sample(**{n: v.float() / 255 if n == "image" else v.float() for n, v in kept.items()})


def finish(kept: dict[str, Tensor], size: int, random: torch.Generator) -> Sample:
    """A batch of what was kept: pictures, if there are some, with photometric augmentation; depth in metres."""
    if "image" not in kept:
        return Sample(depth=kept["depth"].float())
    sample = finish_pictures({name: value for name, value in kept.items() if name != "depth"}, size, random)
    sample.depth = kept["depth"].float()
    return sample


def stored_feed(kept: Mapping[str, Tensor], seed: int) -> BufferFeed[Sample]:
    """Endless batches of stored pictures, each time round in another order."""
    return feed.stored_feed(kept, seed, finish)


def synthetic_feed(
    synth: SynthConfig, seed: int, workers: int, buffer: int, keep: Keep = keep_pictures
) -> BufferFeed[Sample]:
    """Endless batches of pictures as they are made, `buffer` at a time."""

    def open_stream(first: int) -> Iterator[Sample]:
        return stream(synth, seed, workers, first)

    return BufferFeed(open_stream, max(1, buffer // synth.pictures), seed, keep, finish)


def drawn_pictures(
    synth: SynthConfig, seed: int, count: int, workers: int, keep: Keep = keep_pictures
) -> dict[str, Tensor]:
    """At least `count` pictures of a stream, kept."""
    parts: list[dict[str, Tensor]] = []
    with closing(stream(synth, seed, workers)) as source:
        while sum(len(part["image"]) for part in parts) < count:
            parts.append(keep(next(source)))
    return joined(parts)


def joined(parts: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Kept pictures, one after the other."""
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


@torch.no_grad()
def camera_joints(network: nn.Module, sample: Sample, root: int = 0, batch: int = 64) -> Tensor:
    """Joints (N, 21, 3) in metres, camera frame, as a network estimates them; the root's true depth and the true scale are given.

    Computed where the network is, and back where the sample is.

    Args:
        network: `network(images (B, 3, S, S))` gives 2D joints (B, 21, 2), 0 to 1 across the picture, and relative depths (B, 21).
        sample: pictures with joints and cameras.
        root: the joint whose depth is given.
    """
    assert sample.image is not None and sample.joints is not None and sample.K is not None
    device, size = next(network.parameters()).device, sample.image.shape[-1]
    parts = [network(images.to(device)) for images in sample.image.split(batch)]
    places, relative = (torch.cat(values).to(sample.image.device) for values in zip(*parts, strict=True))
    depths = absolute_depths(relative, sample.joints[:, root, 2], scale_of(sample.joints))
    return Camera(sample.K, size, size).unproject(places * size - 0.5, depths)
