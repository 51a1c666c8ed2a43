"""Joints and depth of hands cut out alike, a user's or synthetic ones: what a depth regularizer of `phalanx adapt weak` is held against."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from phalanx.adapt.weak_crops import MAP
from phalanx.adapt.weak_pictures import root_depths
from phalanx.data.hand_depth import readings_of_hands, scale_of
from phalanx.data.sample import Sample
from phalanx.fit.evidence import DEPTH_ROOT

_DEPTH_FIELDS = ("joints", "depths", "map", "root_depth", "width")


@dataclass(frozen=True, eq=False)
class DepthHands:
    """What the depth regularizer learns from: joints and depth of B hands.

    Attributes:
        joints: (B, 21, 2) crop units.
        depths: (B, 21) crop units, relative to the root.
        map: (B, MAP, MAP) metres, of the hand alone.
        root_depth: (B,) metres, of the surface at the root; 0: not known.
        width: (B,) metres that the crop spans there; 0: not known.
    """

    joints: Tensor
    depths: Tensor
    map: Tensor
    root_depth: Tensor
    width: Tensor

    def __len__(self) -> int:
        return len(self.joints)

    def __getitem__(self, rows: slice | Tensor) -> DepthHands:
        return DepthHands(*(getattr(self, name)[rows] for name in _DEPTH_FIELDS))

    def to(self, device: torch.device) -> DepthHands:
        return DepthHands(*(getattr(self, name).to(device) for name in _DEPTH_FIELDS))


@dataclass(frozen=True, eq=False)
class PairedHands:
    """B synthetic hands in colour and depth.

    Attributes:
        images: (B, 3, MAP, MAP) in 0 to 1.
        hands: joints and depth of the same crops.
    """

    images: Tensor
    hands: DepthHands

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: slice | Tensor) -> PairedHands:
        return PairedHands(self.images[rows], self.hands[rows])

    def to(self, device: torch.device) -> PairedHands:
        return PairedHands(self.images.to(device), self.hands.to(device))


def shrunk(images: Tensor) -> Tensor:
    """Pictures (B, 3, S, S) at (B, 3, MAP, MAP)."""
    return functional.interpolate(images, size=(MAP, MAP), mode="area")


def keep_depth(sample: Sample) -> dict[str, Tensor]:
    """What is kept of a synthetic sample with a depth sensor, one row a picture: the fields of `DepthHands`, and `image`."""
    image, depth, pixels, joints, K = sample.image, sample.sensed_depth, sample.joints_2d, sample.joints, sample.K
    assert image is not None and depth is not None and pixels is not None and joints is not None and K is not None
    size = depth.shape[-1]
    small_depth = functional.interpolate(depth[:, None], size=(MAP, MAP), mode="nearest-exact")[:, 0]
    scale = MAP / size
    small = torch.tensor([[scale, 0, (scale - 1) / 2], [0, scale, (scale - 1) / 2], [0, 0, 1]]) @ K
    places = (pixels + 0.5) / size
    on_map = places * MAP - 0.5
    root = root_depths(small_depth, on_map)
    focal = (small[:, 0, 0] + small[:, 1, 1]) / 2
    width = root * MAP / focal
    behind = joints[..., 2] - joints[:, DEPTH_ROOT, None, 2]
    alone = readings_of_hands(small_depth, on_map, root, scale_of(joints), small)
    known = (root > 0) & (alone > 0).flatten(1).any(1)
    true_width = joints[:, DEPTH_ROOT, 2] * MAP / focal
    kept = {
        "image": (shrunk(image) * 255).round().to(torch.uint8),
        "joints": places,
        "depths": behind / true_width[:, None],
        "map": alone,
        "root_depth": torch.where(known, root, 0.0),
        "width": torch.where(known, width, 0.0),
    }
    return {name: value.half() if name == "map" else value for name, value in kept.items()}


def finish_depth(
    tick: Callable[[], object], kept: Mapping[str, Tensor], size: int, random: torch.Generator
) -> PairedHands:
    """A batch of what `keep_depth` kept."""
    tick()
    return PairedHands(kept["image"].float() / 255, DepthHands(*(kept[name].float() for name in _DEPTH_FIELDS)))
