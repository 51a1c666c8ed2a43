"""The default estimator and the depth regularizer that judges it, with the batches that they learn from.

Cai, Ge, Cai and Yuan, "Weakly-supervised 3D hand pose estimation from monocular RGB images", ECCV 2018, on the network that users run; what
is ours in it stands at the head of `adapt.weak`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from phalanx.adapt.weak_pictures import DEPTH_TILE, TILE, TILE_FACTOR, WeakHands, as_pixels, root_depths
from phalanx.core.seeding import generator
from phalanx.data.hand_depth import readings_of_hands, scale_of
from phalanx.data.mixture import Mixture
from phalanx.data.sample import Sample
from phalanx.fit.evidence import DEPTH_ROOT
from phalanx.geometry.crops import SquareBox, square_crop
from phalanx.losses import depth_maps, regression
from phalanx.methods.base import Method, Player, trainable
from phalanx.methods.compact import CompactEstimator
from phalanx.nets.depth_decoder import DepthDecoder
from phalanx.predict.looks import CROP_FACTOR
from phalanx.train.augment import augment

MAP = 64
"""Pixels of a side of the depth maps that are compared."""

_INPUTS = 3 * 21  # of the decoder: places and depths of joints
_CROPS = (1.1, 1.6)  # side of a crop over the extent of the joints
_SHIFT = 0.04  # standard deviation of crops' places, shares of their side
_TURN = math.radians(12)  # and of their angle
_ANY_TURN = 0.15  # share of the crops that are turned anyhow, as first looks are
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
class WeakBatch:
    """B of the user's hands: crops with joints, those not labelled far outside, and `depth` with NaN where nothing is labelled."""

    sample: Sample
    depth: DepthHands

    def __len__(self) -> int:
        return len(self.sample)

    def __getitem__(self, rows: slice) -> WeakBatch:
        return WeakBatch(self.sample[rows], self.depth[rows])

    def to(self, device: torch.device) -> WeakBatch:
        return WeakBatch(self.sample.to(device), self.depth.to(device))


class WeakMethod(Method):
    """The default estimator beside the depth regularizer that judges it. Each is the only player of its stage."""

    def __init__(self, estimator: CompactEstimator, depth_weight: float) -> None:
        super().__init__()
        self.estimator, self.depth_weight = estimator, depth_weight
        self.decoder = DepthDecoder(_INPUTS, MAP)

    def losses(self, batch: Mixture) -> dict[str, Tensor]:
        """Of a step of kinds `weak` (`WeakBatch`) and `synthetic` (`Sample`), which go through the network together."""
        weak, synthetic = batch.get("weak"), batch.get("synthetic")
        assert weak.sample.image is not None
        images = [weak.sample.image] if synthetic is None else [weak.sample.image, synthetic.image]
        reading = self.estimator.read(torch.cat(images))
        own = reading[: len(weak)]
        terms = {f"weak_{name}": value for name, value in self.estimator.losses_of(own, weak.sample).items()}
        if synthetic is not None:
            terms |= self.estimator.losses_of(reading[len(weak) :], synthetic)
        found, labels = own.evidence, weak.depth
        assert found.joints_2d is not None and found.depth is not None
        with torch.autocast(weak.sample.image.device.type, enabled=False):
            known = labels.depths.isfinite().float()
            difference = (found.depth - torch.nan_to_num(labels.depths))[..., None]
            weight = self.estimator.config.weights.depth
            terms["weak_depth"] = weight * regression.l1(difference, torch.zeros_like(difference), known)
            if self.depth_weight > 0:
                places = torch.where(labels.joints.isfinite(), labels.joints, found.joints_2d.detach())
                self.decoder.eval().requires_grad_(False)
                terms["depth_map"] = self.depth_weight * self.map_error(
                    replace(labels, joints=places, depths=found.depth)
                )
        return terms

    def map_error(self, hands: DepthHands) -> Tensor:
        """Mean difference of the maps that the decoder makes of joints and those measured (Eq. 6); 0 where no root's depth is known."""
        farthest, extent = depth_maps.depth_limits(hands.map)
        depths = depth_maps.normalised_joints(hands.depths, hands.root_depth, hands.width, farthest, extent)
        made = self.decoder(torch.cat([(hands.joints - 0.5).flatten(1), depths], dim=1))
        known = (hands.root_depth > 0).float()
        return depth_maps.map_error(made, depth_maps.normalised_map(hands.map, farthest, extent), known)

    def regularizer(self) -> tuple[Player, ...]:
        """The decoder, in its own stage."""
        parameters = tuple(self.decoder.parameters())
        return (
            Player("regularizer", parameters, self._regularizer_losses, optimiser=partial(torch.optim.Adam, lr=1e-3)),
        )

    def adaptation(self) -> tuple[Player, ...]:
        """The estimator, in its own stage."""
        return (Player("adaptation", trainable(self.estimator.parameters()), self.losses),)

    def _regularizer_losses(self, batch: DepthHands) -> dict[str, Tensor]:
        self.decoder.train().requires_grad_(True)
        with torch.autocast(batch.map.device.type, enabled=False):
            return {"map": self.map_error(batch)}


class WeakFeed:
    """Batches of the user's hands, drawn at random; every time another crop of a tile, with photometric augmentation.

    Args:
        hands: the user's.
        seed: of the draws.
        tick: called with every batch.
    """

    def __init__(self, hands: WeakHands, seed: int, tick: Callable[[], object]) -> None:
        self._hands, self._seed, self._tick, self._step = hands, seed, tick, 0

    def next(self, batch: int, size: int, reuse: int) -> WeakBatch:
        """The next `batch` hands."""
        random = generator(self._seed, self._step)
        self._step += 1
        rows = (
            random.permutation(len(self._hands))
            if batch <= len(self._hands)
            else random.integers(0, len(self._hands), batch)
        )
        made = weak_batch(self._hands[rows[:batch].tolist()], size, random)
        assert made.sample.image is not None
        noise = torch.Generator().manual_seed(int(random.integers(2**62)))
        made.sample.image = augment(made.sample.image, noise).contiguous(memory_format=torch.channels_last)
        self._tick()
        return made

    def state(self) -> dict[str, int]:
        return {"step": self._step}

    def restore(self, state: dict[str, int]) -> None:
        self._step = state["step"]

    def close(self) -> None:
        """Nothing to close: all hands are in memory."""


def weak_batch(hands: WeakHands, size: int, random: np.random.Generator | None = None) -> WeakBatch:
    """Crops of hands at `size` pixels: drawn with `random`, or, without, as prediction looks at them."""
    images, joints, depths, maps, widths = [], [], [], [], []
    for row in range(len(hands)):
        box, share = _crop(random)
        to_tile = box.crop_to_image(1)[:2]  # of a picture of one pixel, in pixels of the tile
        back = np.linalg.inv(to_tile[:, :2])
        images.append(square_crop(hands.tiles[row], box, size)[0])
        joints.append(((hands.joints[row] * TILE - 0.5) - to_tile[:, 2]) @ back.T + 0.5)
        depths.append(hands.relative[row] / share)
        shrink = DEPTH_TILE / TILE
        small = SquareBox(
            (box.centre_x + 0.5) * shrink - 0.5, (box.centre_y + 0.5) * shrink - 0.5, box.side * shrink, box.angle
        )
        affine = small.crop_to_image(MAP)[:2]
        flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
        maps.append(cv2.warpAffine(hands.depth[row], affine, (MAP, MAP), flags=flags))
        widths.append(hands.width[row] * share)
    places = torch.from_numpy(np.stack(joints)).float()
    image = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
    depth = DepthHands(
        places,
        torch.from_numpy(np.stack(depths)).float(),
        torch.from_numpy(np.stack(maps)).float(),
        torch.from_numpy(hands.root_depth).float(),
        torch.tensor(widths).float(),
    )
    return WeakBatch(Sample(image=image, joints_2d=as_pixels(places, size)), depth)


def _crop(random: np.random.Generator | None) -> tuple[SquareBox, float]:
    """A crop of a tile, in the tile's pixels, and its side over the tile's."""
    middle = (TILE - 1) / 2
    if random is None:
        share = CROP_FACTOR / TILE_FACTOR
        return SquareBox(middle, middle, share * TILE), share
    share = float(random.uniform(*_CROPS)) / TILE_FACTOR
    shift = random.normal(0, _SHIFT * share * TILE, 2)
    turn = random.uniform(-math.pi, math.pi) if random.random() < _ANY_TURN else random.normal(0, _TURN)
    return SquareBox(middle + float(shift[0]), middle + float(shift[1]), share * TILE, float(turn)), share


def keep_depth(sample: Sample) -> dict[str, Tensor]:
    """What the depth regularizer learns from a synthetic sample with a depth sensor, one row a picture, as `DepthHands` has it."""
    depth, pixels, joints, K = sample.sensed_depth, sample.joints_2d, sample.joints, sample.K
    assert depth is not None and pixels is not None and joints is not None and K is not None
    size = depth.shape[-1]
    shrunk = functional.interpolate(depth[:, None], size=(MAP, MAP), mode="nearest-exact")[:, 0]
    scale = MAP / size
    small = torch.tensor([[scale, 0, (scale - 1) / 2], [0, scale, (scale - 1) / 2], [0, 0, 1]]) @ K
    places = (pixels + 0.5) / size
    on_map = places * MAP - 0.5
    root = root_depths(shrunk, on_map)
    focal = (small[:, 0, 0] + small[:, 1, 1]) / 2
    width = root * MAP / focal
    behind = joints[..., 2] - joints[:, DEPTH_ROOT, None, 2]
    alone = readings_of_hands(shrunk, on_map, root, scale_of(joints), small)
    known = (root > 0) & (alone > 0).flatten(1).any(1)
    true_width = joints[:, DEPTH_ROOT, 2] * MAP / focal
    kept = {
        "joints": places,
        "depths": behind / true_width[:, None],
        "map": alone,
        "root_depth": torch.where(known, root, 0.0),
        "width": torch.where(known, width, 0.0),
    }
    return {name: value.half() if name == "map" else value for name, value in kept.items()}


def finish_depth(
    tick: Callable[[], object], kept: Mapping[str, Tensor], size: int, random: torch.Generator
) -> DepthHands:
    tick()
    return DepthHands(*(kept[name].float() for name in _DEPTH_FIELDS))
