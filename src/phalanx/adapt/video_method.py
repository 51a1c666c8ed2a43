"""The default estimator on stretches of clips: what it says of neighbouring frames must go together.

Chen, "Deep learning in 3D hand pose and mesh estimation", dissertation, 2020, chapter 4 (TASSN): pose and mesh of a frame are estimated
coming from the frames before and coming from those after, and both must say the same (Eq. 4.3 to 4.5); the rest are 2D keypoints. The
default estimator looks at single frames, so "coming from" is ours:

- *carried by flow*: 2D joints of a frame, moved as optical flow moves the pictures, must lie where the estimator sees them in the next
  frame, and likewise backward;
- *both ways*: joints in 3D, and the mesh, of two frames carried on evenly to the next must agree with those of the two frames beyond
  carried back; even acceleration is no difference;
- *own*: a frame's own joints and mesh must agree with what the two frames on either side say together (a cubic through their times);
- *lengths*: bones keep their lengths, and the mesh its shape, in all frames of a track that are in a step;
- *mesh and pose*: the mesh's joints are where the pose's are (the thesis makes the pose from the mesh).

Joints in 3D are relative to the palm, along the camera's axes, as large as the hand model's likeliest hand: a picture tells no size, and
each frame's distance would be another guess. A constant or a flat hand is consistent, too. What holds on to the pictures are the 2D
keypoints and the synthesis in every step, with all its labels. The silhouette term is left out: the network keeps its own mask.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from phalanx.adapt.video_clips import ClipHands
from phalanx.adapt.weak_crops import TILE, nominal_crop, random_crop
from phalanx.adapt.weak_pictures import as_pixels
from phalanx.core.seeding import generator
from phalanx.data.mixture import Mixture
from phalanx.data.sample import Sample
from phalanx.fit.crop import upright_crop
from phalanx.fit.evidence import Evidence
from phalanx.geometry.crops import square_crop
from phalanx.geometry.turns import ray_to_rotmat
from phalanx.hand.model import HandModel
from phalanx.hand.pose import HandPose
from phalanx.hand.skeleton import BONES, FOREARM, PALM
from phalanx.losses.averages import weighted_mean
from phalanx.losses.temporal import both_ways, constant_lengths
from phalanx.methods.base import Method
from phalanx.methods.compact import CompactEstimator, centre_ray
from phalanx.train.augment import augment

FRAMES = 6
"""Neighbouring frames of a stretch: two are carried on, two back, and meet at those between."""

_EVERY = 12  # one vertex in so many is compared
_SOFT = (
    0.3  # decimetres between points from which on they pull less: one of the two is another hand, or its mirror image
)
_SOFT_2D = 0.05  # the same of 2D joints, sides of a tile
_UNEVEN = 0.01  # sides of a tile by which labels leave the cubic of their neighbours, from which on motion says less


@dataclass
class VideoWeights:
    """Factors of the terms; distances in 3D are squared decimetres, those in the picture shares of a tile."""

    carried: float = 4.0
    """Of 2D joints carried by flow."""
    pose: float = 2.0
    """Of joints, both ways and own."""
    mesh: float = 2.0
    """Of the mesh, both ways and own."""
    lengths: float = 20.0
    """Of bones that change their lengths."""
    shape: float = 0.02
    """Of the shape that changes, standard deviations."""
    mesh_pose: float = 0.0
    """Of the mesh's joints at the pose's; 0: nothing measured yet speaks for it (docs/video_adaptation.md)."""


@dataclass(frozen=True, eq=False)
class ClipBatch:
    """G stretches of T neighbouring frames, two stretches of a track one after the other.

    Attributes:
        images: (G, T, 3, S, S) in [0, 1].
        joints: (G, T, 21, 2) crop units, NaN where there is no label.
        to_picture: (G, T, 3, 3) from crop units to pixels of the picture.
        K: (G, T, 3, 3) cameras of the crops, which are turned.
        onward, back: (G, T, 21, 2) pixels, as `ClipHands` has them; NaN where not known.
        side: (G, T) pixels of the tile.
        times: (G, T) seconds, in the usual time between frames.
        own: (G,) 1 where labels are the estimator's own.
    """

    images: Tensor
    joints: Tensor
    to_picture: Tensor
    K: Tensor
    onward: Tensor
    back: Tensor
    side: Tensor
    times: Tensor
    own: Tensor

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: slice) -> ClipBatch:
        return ClipBatch(**{each.name: getattr(self, each.name)[rows] for each in fields(self)})

    def to(self, device: torch.device) -> ClipBatch:
        return ClipBatch(**{each.name: getattr(self, each.name).to(device) for each in fields(self)})


class Lift:
    """From evidence to joints and mesh along the axes of the picture's camera, relative to the palm, decimetres of the likeliest hand.

    Args:
        hand: the model.
        device: where.
    """

    def __init__(self, hand: HandModel, device: torch.device) -> None:
        self.hand = hand.to(device)
        kept = (hand.parts != FOREARM).nonzero()[:, 0]
        self.vertices = kept[::_EVERY]
        self.bones = torch.tensor(BONES, device=device)
        self.palm = list(PALM)
        self.total = 10 * float(_total(hand.rest_joints[None], self.bones))

    def pose(self, found: Evidence[Tensor], K: Tensor, size: int) -> Tensor:
        """Joints (B, 21, 3) of what was measured in crops with cameras K (B, 3, 3), `size` pixels wide."""
        assert found.joints_2d is not None and found.depth is not None
        crop = upright_crop(K, size)
        flat = crop.plane(found.joints_2d.float())
        away = 1 + found.depth.float() / crop.focal.mean(-1)
        points = torch.cat([flat, torch.ones_like(flat[..., :1])], dim=-1) * away[..., None]
        return self.sized(points @ crop.turn)

    def mesh(self, found: Evidence[Tensor], K: Tensor, size: int) -> tuple[Tensor, Tensor]:
        """Vertices (B, V, 3), some of them, and joints (B, 21, 3) of the posed model."""
        assert found.rotations is not None and found.orientation is not None and found.shape is not None
        crop = upright_crop(K, size)
        turn = (
            crop.turn.mT
            @ ray_to_rotmat((crop.turn @ centre_ray(K, size)[..., None])[..., 0])
            @ found.orientation.float()
        )
        shape = found.shape.float()
        surface = self.hand(HandPose(found.rotations.float(), shape, turn, shape.new_zeros(len(shape), 3)))
        both = torch.cat([surface.joints, surface.vertices[:, self.vertices]], dim=1)
        both = self.sized(both)
        return both[:, 21:], both[:, :21]

    def sized(self, points: Tensor) -> Tensor:
        """Points whose first 21 are joints, relative to the palm and with bones as long together as the likeliest hand's."""
        joints = points[:, :21]
        factor = self.total / _total(joints, self.bones).clamp_min(1e-6)
        return (points - joints[:, self.palm].mean(1, keepdim=True)) * factor[:, None, None]


def _total(joints: Tensor, bones: Tensor) -> Tensor:
    """(B,) lengths of all bones together."""
    return (joints[:, bones[:, 0]] - joints[:, bones[:, 1]]).norm(dim=-1).sum(1)


class VideoMethod(Method):
    """The estimator that is adapted.

    Args:
        estimator: the network.
        weights: of the terms.
        hand: the model (default: the open hand).
    """

    def __init__(
        self, estimator: CompactEstimator, weights: VideoWeights | None = None, hand: HandModel | None = None
    ) -> None:
        super().__init__()
        self.estimator = estimator
        self.weights = weights or VideoWeights()
        self._hand = [hand or HandModel.open_hand()]  # in a list: it is no part of what moves

    def losses(self, batch: Mixture) -> dict[str, Tensor]:
        """Of a step of kinds `clips` (`ClipBatch`) and `synthetic` (`Sample`), which go through the network together."""
        clips, synthetic = batch.get("clips"), batch.get("synthetic")
        own = clips.images.flatten(0, 1)
        reading = self.estimator.read(own if synthetic is None else torch.cat([own, synthetic.image]))
        mine = reading[: len(own)]
        labels = Sample(image=own, joints_2d=as_pixels(clips.joints.flatten(0, 1), own.shape[-1]))
        terms = {f"label_{name}": value for name, value in self.estimator.losses_of(mine, labels).items()}
        if bool(clips.own.any()):  # at its own joints the network would find itself without error
            del terms["label_uncertainty"]
        if synthetic is not None:
            terms |= self.estimator.losses_of(reading[len(own) :], synthetic)
        with torch.autocast(own.device.type, enabled=False):
            terms |= self.consistency(mine.evidence, clips)
        return terms

    def consistency(self, found: Evidence[Tensor], clips: ClipBatch) -> dict[str, Tensor]:
        """The terms of neighbouring frames."""
        groups, count, size = *clips.images.shape[:2], clips.images.shape[-1]
        lift, K, weights = Lift(self._hand[0], clips.images.device), clips.K.flatten(0, 1), self.weights
        terms: dict[str, Tensor] = {}
        assert found.joints_2d is not None and found.shape is not None
        if weights.carried > 0:
            places = found.joints_2d.float().unflatten(0, (groups, count))
            terms["carried"] = weights.carried * carried_error(places, clips)
        pose = lift.pose(found, K, size).unflatten(0, (groups, count))
        even = evenness(clips)
        if weights.pose > 0:
            agreed = agreement(pose, clips.times, even)
            terms |= {f"pose_{name}": weights.pose * value for name, value in agreed.items()}
        vertices, joints = (part.unflatten(0, (groups, count)) for part in lift.mesh(found, K, size))
        if weights.mesh > 0:
            agreed = agreement(vertices, clips.times, even)
            terms |= {f"mesh_{name}": weights.mesh * value for name, value in agreed.items()}
        whole = _tracks(pose)
        terms["lengths"] = weights.lengths * constant_lengths(whole, lift.bones)
        shape = _tracks(found.shape.float().unflatten(0, (groups, count)))
        terms["shape"] = weights.shape * (shape - shape.mean(1, keepdim=True)).square().mean()
        terms["mesh_pose"] = weights.mesh_pose * both_ways(joints, pose.detach(), _trust(joints - pose))
        return terms


def _tracks(values: Tensor) -> Tensor:
    """Values (G, T, ...) as (G / 2, 2 T, ...), the two stretches of a track together."""
    return values if len(values) % 2 else values.reshape(len(values) // 2, 2 * values.shape[1], *values.shape[2:])


def _trust(difference: Tensor, soft: float = _SOFT) -> Tensor:
    """(B, T) weights of frames by the mean distance of their points (B, T, N, D): 1 where small, falling beyond `soft`."""
    apart = difference.detach().norm(dim=-1).mean(-1)
    return 1 / (1 + (apart / soft).square())


def agreement(points: Tensor, times: Tensor, even: Tensor | None = None) -> dict[str, Tensor]:
    """Mean squares by which points (G, T, N, 3) of stretches disagree, `ways` and `own`, over the frames with two on either side.

    `even` (G, T - 4) weighs these frames; None: all alike.
    """
    forward, backward, between, own = meeting(points, times)
    weight = torch.ones_like(own[..., 0, 0]) if even is None else even
    ways, mine = weight * _trust(forward - backward), weight * _trust(own - between)
    # Means over all frames, not over the weights: frames that say little must not count for more because all do.
    return {
        "ways": both_ways(forward, backward, ways) * ways.mean(),
        "own": both_ways(own, between, mine) * mine.mean(),
    }


def evenness(clips: ClipBatch) -> Tensor:
    """(G, T - 4) 1 where the labels of a frame lie where those of the two frames on either side lead, falling where they do not.

    Between frames that are far apart in time hands do not move evenly. 2D labels show it, so no smoother motion is asked for in 3D.
    """
    matrix, offset = clips.to_picture[..., :2, :2], clips.to_picture[..., None, :2, 2]
    pixels = torch.nan_to_num(clips.joints) @ matrix.mT + offset
    known = clips.joints.isfinite().all(-1)  # (G, T, 21)
    at = clips.joints.shape[1] - 4
    whole = torch.stack([known[:, k : k + at] for k in range(5)]).all(0)
    _, _, between, own = meeting(pixels, clips.times)
    away = (own - between) * whole[..., None]
    count = whole.sum(-1, keepdim=True).clamp_min(1)
    away = (away - away.sum(2, keepdim=True) / count[..., None]) * whole[
        ..., None
    ]  # how the whole hand moves is no pose
    apart = away.norm(dim=-1).sum(-1) / count[..., 0] / clips.side[:, 2:-2]
    return torch.where(whole.any(-1), 1 / (1 + (apart / _UNEVEN).square()), torch.zeros_like(apart))


def meeting(points: Tensor, times: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What neighbours say of the frames with two on either side, each (G, T - 4, N, D): carried on evenly from the two before and from
    the two after, by the cubic through all four, and the frames' own points; times (G, T) in any unit, rising."""
    count = points.shape[1]
    at = [slice(k, count - 4 + k) for k in range(5)]
    a, b, own, c, d = (points[:, each] for each in at)
    ta, tb, t, tc, td = (times[:, each, None, None] for each in at)
    forward = b + (b - a) * (t - tb) / (tb - ta)
    backward = c + (c - d) * (t - tc) / (tc - td)
    known, moments = (a, b, c, d), (ta, tb, tc, td)
    between = torch.zeros_like(own)
    for k, value in enumerate(known):
        share = torch.ones_like(t)
        for other in range(4):
            if other != k:
                share = share * (t - moments[other]) / (moments[k] - moments[other])
        between = between + share * value
    return forward, backward, between, own


def carried_error(places: Tensor, clips: ClipBatch) -> Tensor:
    """Mean distance, shares of a tile, of joints (G, T, 21, 2) in crop units from where flow carries their neighbours, both ways."""
    matrix, offset = clips.to_picture[..., :2, :2], clips.to_picture[..., None, :2, 2]
    pixels = places @ matrix.mT + offset
    errors, weights = [], []
    for source, target, moved in (
        (pixels[:, :-1], pixels[:, 1:], clips.onward[:, :-1]),
        (pixels[:, 1:], pixels[:, :-1], clips.back[:, 1:]),
    ):
        known = moved.isfinite().all(-1)
        difference = (source + torch.nan_to_num(moved) - target) / clips.side[:, :-1, None, None]
        apart = difference.square().sum(-1).add(1e-8).sqrt()
        errors.append(apart)
        weights.append(known / (1 + (apart.detach() / _SOFT_2D).square()))
    return weighted_mean(torch.stack(errors), torch.stack(weights))


class ClipFeed:
    """Batches of stretches of clips, drawn at random, two of a track; every frame another crop of its tile, with photometric augmentation.

    Args:
        hands: the user's.
        seed: of the draws.
        tick: called with every batch.
    """

    def __init__(self, hands: ClipHands, seed: int, tick: Callable[[], object]) -> None:
        self._hands, self._seed, self._tick, self._step = hands, seed, tick, 0
        runs = hands.runs(FRAMES)
        self._runs: dict[int, list[list[int]]] = {}
        for run in runs:
            self._runs.setdefault(int(hands.tracks[run[0]]), []).append(run)
        self._tracks = sorted(self._runs)
        sizes = np.array([len(self._runs[track]) for track in self._tracks], dtype=float)
        self._odds = sizes / sizes.sum()

    def next(self, batch: int, size: int, reuse: int) -> ClipBatch:
        """The next `batch` stretches."""
        random = generator(self._seed, self._step)
        self._step += 1
        chosen: list[list[int]] = []
        while len(chosen) < batch:
            runs = self._runs[self._tracks[int(random.choice(len(self._tracks), p=self._odds))]]
            chosen += [runs[int(row)] for row in random.integers(0, len(runs), 2)]
        made = clip_batch(self._hands, chosen[:batch], size, random)
        noise = torch.Generator().manual_seed(int(random.integers(2**62)))
        images = augment(made.images.flatten(0, 1), noise).unflatten(0, made.images.shape[:2])
        self._tick()
        return ClipBatch(**{each.name: getattr(made, each.name) for each in fields(made)} | {"images": images})

    def state(self) -> dict[str, int]:
        return {"step": self._step}

    def restore(self, state: dict[str, int]) -> None:
        self._step = state["step"]

    def close(self) -> None:
        """Nothing to close: all hands are in memory."""


def clip_batch(
    hands: ClipHands, runs: list[list[int]], size: int, random: np.random.Generator | None = None
) -> ClipBatch:
    """Stretches (rows of `hands`) in crops of `size` pixels: drawn with `random`, or, without, as prediction looks at them."""
    images, joints, maps, cameras = [], [], [], []
    from_unit = np.array([[size, 0, -0.5], [0, size, -0.5], [0, 0, 1.0]])  # crop units to pixels of the crop
    to_tile_unit = np.array(
        [[1 / TILE, 0, 0.5 / TILE], [0, 1 / TILE, 0.5 / TILE], [0, 0, 1.0]]
    )  # pixels of the tile to tile units
    rows = [row for run in runs for row in run]
    for row in rows:
        box = nominal_crop()[0] if random is None else random_crop(random)[0]
        images.append(square_crop(hands.tiles[row], box, size)[0])
        to_tile = to_tile_unit @ box.crop_to_image(size)  # from pixels of the crop
        to_picture = hands.to_picture[row] @ to_tile
        back = np.linalg.inv(to_tile @ from_unit)
        joints.append(hands.joints[row] @ back[:2, :2].T + back[:2, 2])
        maps.append(to_picture @ from_unit)
        cameras.append(np.linalg.inv(to_picture) @ hands.K[row])
    shape = (len(runs), len(runs[0]))
    times = hands.times[rows].reshape(shape)
    usual = 1.0 if shape[1] == 1 else np.median(np.diff(times, axis=1), axis=1, keepdims=True)

    def stacked(values: object) -> Tensor:
        return torch.from_numpy(np.asarray(values)).float().unflatten(0, shape)

    pictures = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
    return ClipBatch(
        pictures.unflatten(0, shape),
        stacked(joints),
        stacked(maps),
        stacked(cameras),
        stacked(hands.onward[rows]),
        stacked(hands.back[rows]),
        stacked(hands.side[rows]),
        torch.from_numpy((times - times[:, :1]) / usual).float(),
        torch.from_numpy(hands.own[[run[0] for run in runs]].astype(np.float32)),
    )
