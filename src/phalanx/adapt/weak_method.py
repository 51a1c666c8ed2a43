"""The default estimator and the depth regularizer that judges it, with the batches that they learn from.

Cai, Ge, Cai and Yuan, "Weakly-supervised 3D hand pose estimation from monocular RGB images", ECCV 2018, on the network that users run; what
is ours in it stands at the head of `adapt.weak`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from phalanx.adapt.weak_crops import MAP, TILE, depth_crop, nominal_crop, random_crop
from phalanx.adapt.weak_depth import DepthHands, PairedHands
from phalanx.adapt.weak_drawn import DrawnDepth
from phalanx.adapt.weak_pictures import WeakHands, as_pixels
from phalanx.core.seeding import generator
from phalanx.data.mixture import Mixture
from phalanx.data.sample import Sample
from phalanx.geometry.crops import square_crop
from phalanx.losses import depth_maps, regression
from phalanx.methods.base import Method, Player, trainable
from phalanx.methods.compact import CompactEstimator
from phalanx.nets.depth_decoder import DepthDecoder
from phalanx.train.augment import augment

_INPUTS = 3 * 21  # of the decoder: places and depths of joints


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
    """The default estimator, and what judges its depths: the depth regularizer, drawn depth, or both.

    Args:
        estimator: the one that is adapted.
        depth_weight: factor of the depth regularizer's term; 0 leaves it out.
        drawn: draws depth for pictures without; none: they have no term.
        drawn_weight: factor of that term.
    """

    def __init__(
        self,
        estimator: CompactEstimator,
        depth_weight: float,
        drawn: DrawnDepth | None = None,
        drawn_weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.estimator, self.depth_weight = estimator, depth_weight
        self.drawn, self.drawn_weight = drawn, drawn_weight
        self.decoder = DepthDecoder(_INPUTS, MAP, dropout=0.0)  # with some it leaves blurs (docs/depth_supervision.md)

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
            places = _places(labels, found.joints_2d)
            if self.depth_weight > 0:
                self.decoder.eval().requires_grad_(False)
                terms["depth_map"] = self.depth_weight * self.map_error(
                    replace(labels, joints=places, depths=found.depth)
                )
            if self.drawn is not None:
                lacking = _without_depth(labels)
                drawn = self.drawn.error(weak.sample.image, places, found.depth, lacking)
                terms["drawn_map"] = self.drawn_weight * drawn
        return terms

    def map_error(self, hands: DepthHands) -> Tensor:
        """Mean difference of the maps that the decoder makes of joints and those measured (Eq. 6); 0 where no root's depth is known."""
        farthest, extent = depth_maps.depth_limits(hands.map)
        depths = depth_maps.normalised_joints(hands.depths, hands.root_depth, hands.width, farthest, extent)
        made = self.decoder(torch.cat([(hands.joints - 0.5).flatten(1), depths], dim=1))
        known = (hands.root_depth > 0).float()
        return depth_maps.map_error(made, depth_maps.normalised_map(hands.map, farthest, extent), known)

    def start(self) -> tuple[Player, ...]:
        """What moves before the estimator does, on `PairedHands`: all that judges it."""
        players: tuple[Player, ...] = () if self.drawn is None else self.drawn.start()
        if self.depth_weight > 0:
            parameters = tuple(self.decoder.parameters())
            adam = partial(torch.optim.Adam, lr=1e-3)
            players += (Player("regularizer", parameters, self._regularizer_losses, optimiser=adam),)
        return players

    def adaptation(self) -> tuple[Player, ...]:
        """What moves then: the estimator and, where depth is drawn, those who draw and judge it."""
        estimator = Player("adaptation", trainable(self.estimator.parameters()), self.losses)
        return (
            (estimator,) if self.drawn is None else (*self.drawn.adversaries(self._judged, self._foretold), estimator)
        )

    def _regularizer_losses(self, batch: PairedHands) -> dict[str, Tensor]:
        self.decoder.train().requires_grad_(True)
        with torch.autocast(batch.images.device.type, enabled=False):
            return {"map": self.map_error(batch.hands)}

    def _judged(self, batch: Mixture) -> tuple[Tensor, Tensor]:
        return batch.get("weak").sample.image, batch.get("unpaired")

    @torch.no_grad()
    def _foretold(self, batch: Mixture) -> tuple[Tensor, Tensor]:
        """The maps that the estimator's joints foretell, and which hands they count for."""
        assert self.drawn is not None
        weak, training = batch.get("weak"), self.estimator.training
        self.estimator.eval()  # these hands alone would move the statistics of normalisation, which are those of all in a step
        found = self.estimator.read(weak.sample.image).evidence
        self.estimator.train(training)
        assert found.joints_2d is not None and found.depth is not None
        places = _places(weak.depth, found.joints_2d)
        return self.drawn.foretell(places.float(), found.depth.float()), _without_depth(weak.depth)


def _places(labels: DepthHands, found: Tensor) -> Tensor:
    """Joints (B, 21, 2) as labelled, elsewhere as found."""
    return torch.where(labels.joints.isfinite(), labels.joints, found.detach())


def _without_depth(labels: DepthHands) -> Tensor:
    """(B,) 1 for hands that have no depth of their own."""
    return (labels.root_depth == 0).float()


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
        box, share = nominal_crop() if random is None else random_crop(random)
        to_tile = box.crop_to_image(1)[:2]  # of a picture of one pixel, in pixels of the tile
        back = np.linalg.inv(to_tile[:, :2])
        images.append(square_crop(hands.tiles[row], box, size)[0])
        joints.append(((hands.joints[row] * TILE - 0.5) - to_tile[:, 2]) @ back.T + 0.5)
        depths.append(hands.relative[row] / share)
        maps.append(depth_crop(hands.depth[row], box))
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
