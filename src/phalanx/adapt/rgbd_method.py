"""The default estimator and a learnt surface, held against depth: the terms of Dibra et al. without their SynthNet.

Dibra et al., "Monocular RGB Hand Pose Inference from Unsupervised Refinable Nets", CVPR Workshops 2018: a cloud of points on the hand is
skinned by what the network says of the pose (Eq. 1), drawn as splats (Eq. 2-4), and its depth map compared with that of the measured
points (Eq. 5). The cloud is learnt, too.

Ours: the network is that which users run (`methods.compact`), whose orientation is taken as it is, because depth alone turns palms
(docs/refinable.md); the cloud is of the predicted shape and as long as the user's hand was measured; and joints in the picture that the
estimator was sure of before must stay.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from phalanx.adapt.rgbd_pairs import RgbdHands
from phalanx.adapt.weak_crops import MAP, TILE, depth_crop, nominal_crop, random_crop
from phalanx.adapt.weak_pictures import as_pixels
from phalanx.core.seeding import generator
from phalanx.data.mixture import Mixture
from phalanx.data.sample import Sample
from phalanx.fit.chain import chain_of, hand_length, rotations_to_hinges
from phalanx.fit.evidence import Evidence
from phalanx.geometry.crops import square_crop
from phalanx.hand.model import HandModel
from phalanx.hand.pose import HandPose
from phalanx.methods.base import Method
from phalanx.methods.compact import CompactEstimator
from phalanx.methods.refinable import FOREARM, in_cube, neighbours, surface_cloud, surface_points
from phalanx.render.splats import splat_depth
from phalanx.train.augment import augment

POINTS = 600
"""Readings of a hand that are drawn, and points of the cloud: splats overlap where they are about as dense."""

CUBE, RADIUS, SMOOTHING = 0.25, 0.05, 0.01
"""Side of the unit cube in metres, r of Eq. 4 in such sides, and metres over which offsets are smoothed: as `RefinableConfig` has them."""


@dataclass(frozen=True, eq=False)
class RgbdBatch:
    """B crops: the picture with the joints that must stay (others far outside), and `points` (B, P, 3) read on the hand, metres, in the
    view of a camera turned to the crop's middle; NaN where there are fewer."""

    sample: Sample
    points: Tensor

    def __len__(self) -> int:
        return len(self.sample)

    def __getitem__(self, rows: slice) -> RgbdBatch:
        return RgbdBatch(self.sample[rows], self.points[rows])

    def to(self, device: torch.device) -> RgbdBatch:
        return RgbdBatch(self.sample.to(device), self.points.to(device))


class RgbdMethod(Method):
    """The estimator and the cloud, which depth and synthesis move.

    `offsets` (N, 3) of the cloud are in decimetres, so that at the rates of weights it moves slowly.

    Args:
        estimator: the one that is adapted.
        hand_length: of the user's hand, metres from the wrist to the tip of the stretched middle finger.
        depth_weight: factor of Eq. 5, a mean over pixels.
        limits_weight: factor of squared excess over the limits of the fingers' angles, radians.
        own_weight: factor of the losses on joints in the picture that must stay.
        hand: the model (default: the open hand).
    """

    rest: Tensor
    basis: Tensor
    skin: Tensor
    near: Tensor

    def __init__(
        self,
        estimator: CompactEstimator,
        hand_length: float,
        depth_weight: float = 5.0,
        limits_weight: float = 0.1,
        own_weight: float = 1.0,
        hand: HandModel | None = None,
    ) -> None:
        super().__init__()
        self.estimator, self.hand_length = estimator, hand_length
        self.depth_weight, self.limits_weight, self.own_weight = depth_weight, limits_weight, own_weight
        self.hand = hand or HandModel.open_hand()
        rest, skin = surface_cloud(self.hand, POINTS)
        corners, shares = surface_points(self.hand, POINTS)
        basis = torch.einsum("nk,nkis->nis", shares, self.hand.shape_basis[corners])
        self.offsets = nn.Parameter(torch.zeros_like(rest))
        for name, value in (
            ("rest", rest),
            ("basis", basis),
            ("skin", skin),
            ("near", neighbours(rest, skin, SMOOTHING)),
        ):
            self.register_buffer(name, value, persistent=False)

    def losses(self, batch: Mixture) -> dict[str, Tensor]:
        """Of a step of kinds `rgbd` (`RgbdBatch`) and `synthetic` (`Sample`), which go through the network together."""
        pairs, synthetic = batch.get("rgbd"), batch.get("synthetic")
        images = [pairs.sample.image] if synthetic is None else [pairs.sample.image, synthetic.image]
        reading = self.estimator.read(torch.cat(images))
        own = reading[: len(pairs)]
        terms: dict[str, Tensor] = {}
        if synthetic is not None:
            terms |= self.estimator.losses_of(reading[len(pairs) :], synthetic)
        if self.own_weight > 0:
            kept = self.estimator.losses_of(own, pairs.sample)
            terms |= {f"own_{name}": self.own_weight * value for name, value in kept.items()}
        with torch.autocast(pairs.points.device.type, enabled=False):
            made, true = self.maps(own.evidence, pairs.points)
            terms["depth_map"] = self.depth_weight * (made - true).abs().mean()  # Eq. 5
            assert own.evidence.rotations is not None
            terms["limits"] = self.limits_weight * self._beyond_limits(own.evidence.rotations[:, 1:].float())
        return terms

    def _beyond_limits(self, fingers: Tensor) -> Tensor:
        """Mean square by which the angles of local rotations (B, 15, 3, 3) exceed their limits, radians."""
        chain = chain_of(self.hand)
        angles = rotations_to_hinges(chain, fingers)
        low, high = chain.limits.unbind(-1)
        return ((low - angles).clamp_min(0) + (angles - high).clamp_min(0)).square().mean()

    def maps(self, found: Evidence[Tensor], points: Tensor) -> tuple[Tensor, Tensor]:
        """Splatted depth (B, MAP, MAP) of the posed cloud and of readings (B, P, 3), each by itself in the unit cube."""
        made, true = (in_cube(cloud, CUBE, MAP, RADIUS) for cloud in (self.posed(found), points))
        return splat_depth(made, MAP, RADIUS), splat_depth(true, MAP, RADIUS)

    def cloud(self, shape: Tensor) -> Tensor:
        """The cloud (B, N, 3) of shapes (B, 10) as it is learnt, hand frame, metres of the model."""
        grown = torch.einsum("nis,bs->bni", self.basis, shape)
        return self.rest + grown + 0.1 * (self.near @ self.offsets)

    def posed(self, found: Evidence[Tensor]) -> Tensor:
        """Eq. 1: the cloud (B, N, 3) in the view of the crop, the wrist at 0, as long as the user's hand.

        Gradients reach fingers, shape and cloud, not the palm's orientation.
        """
        assert found.rotations is not None and found.orientation is not None and found.shape is not None
        shape = found.shape.float()
        pose = HandPose(
            found.rotations.float(), shape, found.orientation.detach().float(), shape.new_zeros(len(shape), 3)
        )
        blended = torch.einsum("ns,bsij->bnij", self.skin, self.hand.transforms(pose))
        posed = (blended[..., :3] @ self.cloud(shape)[..., None])[..., 0] + blended[..., 3]
        length, _ = hand_length(chain_of(self.hand), shape)
        return posed * (self.hand_length / length)[:, None, None]

    @torch.no_grad()
    def surface(self, shape: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """The learnt surface at rest, of a shape (10,): vertices (V, 3) metres, as long as the user's hand, and faces without forearm.

        Each vertex goes with the cloud's points near it on its segments.
        """
        hand, shape = self.hand, shape[None].to(self.rest)
        skin = hand.skin_weights.clone()
        skin[:, 0] += skin[:, FOREARM]
        skin[:, FOREARM] = 0
        weights = torch.exp(-torch.cdist(hand.template, self.rest).square() / (2 * SMOOTHING**2)) * (skin @ self.skin.T)
        moved = weights @ (0.1 * (self.near @ self.offsets)) / weights.sum(1, keepdim=True).clamp_min(1e-6)
        length, _ = hand_length(chain_of(hand), shape)
        vertices = (hand.template + torch.einsum("vis,s->vi", hand.shape_basis, shape[0]) + moved) * (
            self.hand_length / length
        )
        faces = hand.faces[(hand.parts[hand.faces] != FOREARM).all(1)]
        used, renumbered = faces.unique(return_inverse=True)
        return vertices[used].cpu().numpy(), renumbered.cpu().numpy()


class RgbdFeed:
    """Batches of the user's hands, drawn at random; every time another crop of a tile, with photometric augmentation.

    Args:
        hands: the user's.
        seed: of the draws.
        tick: called with every batch.
    """

    def __init__(self, hands: RgbdHands, seed: int, tick: Callable[[], object]) -> None:
        self._hands, self._seed, self._tick, self._step = hands, seed, tick, 0

    def next(self, batch: int, size: int, reuse: int) -> RgbdBatch:
        """The next `batch` hands."""
        random = generator(self._seed, self._step)
        self._step += 1
        rows = random.permutation(max(batch, len(self._hands)))[:batch] % len(self._hands)
        made = rgbd_batch(self._hands[rows.tolist()], size, random)
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


def rgbd_batch(hands: RgbdHands, size: int, random: np.random.Generator | None = None) -> RgbdBatch:
    """Crops of hands at `size` pixels: drawn with `random`, or, without, as prediction looks at them."""
    images, joints, points = [], [], []
    chosen = np.random.default_rng(0) if random is None else random
    for row in range(len(hands)):
        box, share = nominal_crop() if random is None else random_crop(random)
        to_tile = box.crop_to_image(1)[:2]  # of a picture of one pixel, in pixels of the tile
        back = np.linalg.inv(to_tile[:, :2])
        images.append(square_crop(hands.tiles[row], box, size)[0])
        joints.append(((hands.joints[row] * TILE - 0.5) - to_tile[:, 2]) @ back.T + 0.5)
        points.append(readings(depth_crop(hands.depth[row], box), hands.spread[row] * share, chosen))
    places = torch.from_numpy(np.stack(joints)).float()
    image = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
    return RgbdBatch(Sample(image=image, joints_2d=as_pixels(places, size)), torch.from_numpy(np.stack(points)))


def readings(depth: np.ndarray, spread: float, random: np.random.Generator) -> np.ndarray:
    """(POINTS, 3) float32 points of a square map of depth in metres, 0 = none; NaN where there are fewer.

    Args:
        depth: (S, S), seen along its middle.
        spread: metres across the map per metre of distance.
        random: chooses among more.
    """
    rows, columns = (depth > 0).nonzero()
    if len(rows) > POINTS:
        kept = random.permutation(len(rows))[:POINTS]
        rows, columns = rows[kept], columns[kept]
    z = depth[rows, columns].astype(np.float64)
    across, down = ((places + 0.5) / depth.shape[0] - 0.5 for places in (columns, rows))
    found = np.full((POINTS, 3), np.nan, dtype=np.float32)
    found[: len(z)] = np.stack([across * spread * z, down * spread * z, z], axis=1)
    return found
