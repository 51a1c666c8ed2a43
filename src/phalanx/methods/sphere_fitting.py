"""Learning hands from unlabelled depth by fitting spheres.

Wan, Probst, Van Gool and Yao, "Self-supervised 3D hand pose estimation through training by fitting", CVPR 2019.

    depth map -> hourglass -> heat maps and latent depth of 41 spheres -> centres (Eq. 1, 2)
        synthetic maps:  against their labels (Eq. 3)
        real maps:       against themselves: spheres drawn (Eq. 5-8), points to spheres (Eq. 9-11), views to each other (Eq. 12),
                         and priors on pose, bone lengths and collisions (Eq. 13-16); their sum is Eq. 4

The network is started on synthetic maps with noise, then trained on the sum of both kinds. Inference is one forward pass.

What the paper leaves unsaid, and what was chosen:

- **Weights** lambda of Eq. 4 (`FittingWeights`): none are given. Terms are in cm (`losses.sphere_fitting`); the weights were chosen on
  frames that no score is computed on.
- **Beside the hand** the drawn map is held against what is behind it, or, where nothing is read, against the cube's back, as Eq. 6
  has it. In print spheres that stand out beside the hand are so pushed away from the camera, although what was seen beside the
  hand says nothing about their depth; here such pixels, more than `behind` farther than is drawn, move spheres sideways alone.
- **The forearm and things behind** are in the maps and not in the spheres. Neither points beyond the estimated wrist nor those
  farther than `reach` from all spheres pull (Eq. 9).
- **The drawn map** is orthographic (Eq. 7); so are the maps that come in (`geometry.cubes`), which makes it exact.
- **Radii** are those of the open hand's mean shape, for everybody, as in print.
- **Supervision** is on maps (Eq. 3) and on coordinates: the paper found both alike, and Eq. 1-2 carry the gradients of fitting.
  So short a reach leaves fingers that are farther off to the other terms; a longer one pulled more spheres astray than it brought home.
- **Eq. 13** is a bound to be raised and stands in print among terms to be lowered: here it is negated, and divided by the number of
  coordinates; one draw of the latent code, a VAE trained on a fixed pool of sampled hands. **Eq. 9** takes some hundred points of a map.
- **Kinds of frames**: of frames with several views and of single ones in the same step, each kind's terms are means over it, and added.
  Several stacks: their terms are averaged. Statistics of normalisation are those of synthetic and real maps together.
- **Views** of a frame: centres go from every view into every other, its own included, and are drawn there (Fig. 3).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from phalanx.core.precision import Precision
from phalanx.data.cube_views import CubeViews
from phalanx.fit.evidence import Evidence
from phalanx.geometry.alignment import moved
from phalanx.geometry.cubes import EXTENT
from phalanx.hand.model import HandModel, HandPose
from phalanx.hand.skeleton import MIDDLE_CHAIN
from phalanx.hand.sphere_priors import joints_of_spheres, sphere_priors
from phalanx.hand.spheres import PALM, RADII, sphere_centres
from phalanx.losses import latent_depth, sphere_fitting
from phalanx.methods.base import HandEstimator
from phalanx.nets.blocks import inference_precision
from phalanx.nets.hourglass import StackedHourglass, prepare
from phalanx.nets.pose_vae import PoseVAE
from phalanx.nets.readout import integral_with_depth
from phalanx.nets.weights import load_network, shipped_weights, write_weights
from phalanx.render.spheres import depth_of_winners, sphere_index

METHOD = "sphere_fitting"
"""What its weights files say they are of."""

ARCHITECTURE = ("size", "width", "stacks")
"""What of `SphereFittingConfig` weights are of; the rest is how they are trained, which their files do not say."""

SPHERES = len(RADII)
JOINT_SIGMA = 0.01
"""How far joints out of spheres may be off, metres; were they trusted more, hands would take impossible shapes."""

ALPHA = 10.0
"""Sharpness of the softmax of heat maps, Eq. 1."""


@dataclass
class FittingWeights:
    """Factors of the terms: of Eq. 4, and of the synthetic maps mixed in. 0 leaves a term out."""

    maps: float = 10.0
    """Heat maps and latent depth of synthetic frames, Eq. 3."""
    coordinates: float = 400.0
    """Coordinates of synthetic frames, in sides of the cube, squared."""
    model_to_data: float = 1.0
    """Eq. 5; its own weight is 1 in print."""
    data_to_model: float = 0.5
    """lambda 1, Eq. 9."""
    multi_view: float = 0.1
    """lambda 2, Eq. 12."""
    vae: float = 0.15
    """lambda 3, Eq. 13."""
    bone_length: float = 0.01
    """lambda 4, Eq. 14."""
    collision: float = 0.01
    """lambda 5, Eq. 16."""


@dataclass
class SphereFittingConfig:
    """The network and its losses."""

    size: int = 128
    """Side of the depth maps, cells."""
    width: int = 64
    """Channels of the hourglass."""
    stacks: int = 1
    """Hourglasses one behind the other; 1 or 2 in the paper."""
    points: int = 512
    """Points drawn from a map for Eq. 9."""
    reach: float = 0.015
    """Points farther than this from all spheres do not pull, metres."""
    behind: float = 0.03
    """What is seen farther than this behind a drawn sphere is not it, metres."""
    weights: FittingWeights = field(default_factory=FittingWeights)
    """Factors of the loss terms."""


@dataclass
class FittingBatch:
    """What a step learns from; what is None is not there."""

    labelled: CubeViews | None = None
    """Synthetic maps with joints; each view counts as a frame."""
    unlabelled: tuple[CubeViews, ...] = ()
    """Real maps: frames of several views and of one, each kind by itself."""

    def __len__(self) -> int:
        """Maps that the network sees of it: every view of every frame, of all kinds."""
        return sum(part.maps.shape[:2].numel() for part in self.parts())

    def __getitem__(self, rows: slice) -> FittingBatch:
        """These frames of every kind, so that a share of the batch has its share of each."""
        return self._each(lambda views: views[rows])

    def to(self, device: torch.device | str) -> FittingBatch:
        """The same on `device`."""
        return self._each(lambda views: views.to(device))

    def parts(self) -> tuple[CubeViews, ...]:
        """All that is there, labelled frames first."""
        return (*(() if self.labelled is None else (self.labelled,)), *self.unlabelled)

    def _each(self, change: Callable[[CubeViews], CubeViews]) -> FittingBatch:
        labelled = None if self.labelled is None else change(self.labelled)
        return FittingBatch(labelled, tuple(change(views) for views in self.unlabelled))


class SphereFittingEstimator(HandEstimator):
    """`estimator(maps (B, S, S))`, depth in the cube frame in metres, gives the centres `(B, 41, 3)` of the hand's spheres there.

    `losses(batch)` trains it.

    Args:
        config: of network and losses.
        prior: of poses; trained, it stays as it is. None: an untrained one, whose term must be left out (`weights.vae` 0).
    """

    def __init__(self, config: SphereFittingConfig | None = None, prior: PoseVAE | None = None) -> None:
        super().__init__()
        self.config = config or SphereFittingConfig()
        self.hourglass = StackedHourglass(1, 2 * SPHERES, self.config.width, self.config.stacks)
        self.prior = untrained_prior() if prior is None else prior
        self.prior.requires_grad_(False)
        self.register_buffer("radii", torch.tensor(RADII, dtype=torch.float32), persistent=False)

    radii: Tensor

    def forward(self, maps: Tensor) -> Tensor:
        return self.read(self.hourglass(maps[:, None] / (0.5 * EXTENT))[-1])

    @torch.no_grad()
    def evidence(self, batch: Tensor) -> Evidence:
        """Joints, metres in the cube frame, of depth maps `(B, S, S)`; without gradients."""
        return evidence_of(self(batch))

    def read(self, maps: Tensor) -> Tensor:
        """Centres `(B, 41, 3)` in metres out of a stack's maps `(B, 82, h, w)`: heat maps, then latent depth in sides of the cube."""
        heat, depth = maps.split(SPHERES, dim=1)
        places = integral_with_depth(heat, depth, ALPHA)  # Eq. 1, 2
        return (places - places.new_tensor([0.5, 0.5, 0.0])) * EXTENT

    def losses(self, batch: FittingBatch) -> dict[str, Tensor]:
        """Weighted terms by name, scalars; Eq. 4, and the supervision of synthetic maps. The loss to descend is their sum."""
        parts = batch.parts()
        maps = torch.cat([part.maps.flatten(0, 1) for part in parts])  # (N, S, S), all that is to be seen
        stacks = self.hourglass(maps[:, None] / (0.5 * EXTENT))
        counts = [part.maps.shape[:2].numel() for part in parts]
        terms: dict[str, Tensor] = {}
        with torch.autocast(maps.device.type, enabled=False):
            for stack in stacks:
                shares = list(stack.float().split(counts))
                if batch.labelled is not None:
                    _add(terms, self._supervised(shares.pop(0), batch.labelled), len(stacks))
                for share, views in zip(shares, batch.unlabelled, strict=True):
                    centres = self.read(share).unflatten(0, views.maps.shape[:2])
                    _add(terms, self.fitting_terms(centres, views), len(stacks))
        return terms

    def _supervised(self, stack: Tensor, views: CubeViews) -> dict[str, Tensor]:
        assert views.joints is not None
        weights = self.config.weights
        target = sphere_centres(views.joints.flatten(0, 1)) / EXTENT  # (N, 41, 3)
        target[..., :2] += 0.5
        inside = ((target[..., :2] > 0) & (target[..., :2] < 1)).all(-1).float()
        heat, depth = stack.split(SPHERES, dim=1)
        heat_error, depth_error = latent_depth.map_error(heat, depth, target, inside)  # Eq. 3
        error = latent_depth.coordinate_error(integral_with_depth(heat, depth, ALPHA), target, inside)
        return {"maps": weights.maps * (heat_error + depth_error), "coordinates": weights.coordinates * error}

    def fitting_terms(self, centres: Tensor, views: CubeViews) -> dict[str, Tensor]:
        """The weighted terms of Eq. 4 for centres `(F, V, 41, 3)` estimated from `views`, each in its own cube frame."""
        weights, count = self.config.weights, views.maps.shape[1]
        first = moved(views.to_first, centres)  # (F, V, 41, 3) in the first view's frame, T_v(c)
        back = torch.linalg.inv(views.to_first)[:, None]  # (F, 1, V, 4, 4)
        seen = moved(back.expand(-1, count, -1, -1, -1), first[:, :, None]).flatten(0, 2)  # (F V V, 41, 3)
        observed = views.maps[:, None].expand(-1, count, -1, -1, -1).flatten(0, 2)  # (F V V, S, S)
        points, drawn = sphere_fitting.depth_points(views.maps.flatten(0, 1), EXTENT, None, self.config.points)
        # Every view's points for the estimates of all views: (F V, ...) -> (F V V, ...)
        points, drawn = (
            value.unflatten(0, (-1, count)).repeat_interleave(count, 0).flatten(0, 1) for value in (points, drawn)
        )
        drawn = drawn * before_wrist(points, seen)
        terms = {
            "model_to_data": weights.model_to_data
            * sphere_fitting.model_to_data(self._drawn(seen, observed), observed),
            "data_to_model": weights.data_to_model
            * sphere_fitting.data_to_model(points, seen, self.radii, drawn, self.config.reach),
        }
        if count > 2:  # the median of two is their mean, which outliers spoil
            terms["multi_view"] = weights.multi_view * sphere_fitting.multi_view_consistency(first)
        return terms | self._priors(centres.flatten(0, 1))

    def _drawn(self, centres: Tensor, observed: Tensor) -> Tensor:
        """Spheres drawn as Eq. 6-8 have it; where what was observed lies behind them, without a gradient in their depth."""
        winner = sphere_index(centres, self.radii, observed.shape[-1], EXTENT)
        rendered = depth_of_winners(centres, self.radii, winner, EXTENT)
        stray = ((observed >= 0.5 * EXTENT) | (observed - rendered > self.config.behind)) & (winner >= 0)
        depth = centres[..., 2].gather(1, winner.clamp_min(0).flatten(1)).view_as(observed)
        return rendered - torch.where(stray, depth - depth.detach(), 0.0)

    def _priors(self, centres: Tensor) -> dict[str, Tensor]:
        """Of hands `(N, 41, 3)` in any frame: Eq. 13-16."""
        weights, priors = self.config.weights, sphere_priors()
        bones, apart = priors.bones.to(centres.device), priors.apart.to(centres.device)
        shortest, longest = priors.shortest.to(centres), priors.longest.to(centres)
        terms = {}
        if weights.vae:
            noise = torch.randn(1, len(centres), self.prior.latent, device=centres.device)
            bound = self.prior.elbo(centres, noise)  # Eq. 13
            terms["vae"] = -weights.vae * bound.mean() / (3 * SPHERES)
        if weights.bone_length:
            terms["bone_length"] = weights.bone_length * sphere_fitting.bone_lengths(centres, bones, shortest, longest)
        if weights.collision:
            terms["collision"] = weights.collision * sphere_fitting.collision(centres, self.radii, apart)
        return terms


def evidence_of(centres: Tensor) -> Evidence:
    """The joints of spheres `(B, 41, 3)` in metres, any frame; every one is trusted alike (`JOINT_SIGMA`)."""
    joints = joints_of_spheres(centres)
    return Evidence(joints=joints, sigma_joints=torch.full_like(joints[..., 0], JOINT_SIGMA))


@torch.no_grad()
def before_wrist(points: Tensor, centres: Tensor) -> Tensor:
    """1 for those of the points `(B, P, 3)` on the hand's side of the wrist that spheres `(B, 41, 3)` have, else 0: `(B, P)`."""
    wrist, knuckle = joints_of_spheres(centres)[:, MIDDLE_CHAIN[:2]].unbind(1)  # (B, 3)
    past = (points - wrist[:, None]) @ (wrist - knuckle)[..., None]  # (B, P, 1)
    return past[..., 0].le(0).to(points)


def untrained_prior() -> PoseVAE:
    """A prior over the 41 spheres; its anchors are those of the palm."""
    template = sphere_centres(HandModel.open_hand().joints(HandPose.zero(1)))[0]
    return PoseVAE(template, PALM)


def add_noise(maps: Tensor, generator: torch.Generator) -> Tensor:
    """Depth maps `(B, S, S)` in the cube frame with random noise: what the network is started on (Sec. 4.1).

    The paper shows such maps (Fig. 4 b) and names no distribution. Here, strength drawn for each map: Gaussian noise of up to 4 mm,
    cells that take a neighbour's depth (ragged edges), and up to a tenth of the cells lost.
    """
    count, size = len(maps), maps.shape[-1]

    def uniform(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator)

    strength = uniform(count, 1, 1)
    step = (2 * uniform(2, count, size, size) - 1) * 1.5 * strength  # cells
    line = torch.arange(size)
    row = (line[:, None] + step[0].round().long()).clamp(0, size - 1)
    column = (line + step[1].round().long()).clamp(0, size - 1)
    noisy = maps.flatten(1).gather(1, (row * size + column).flatten(1)).view_as(maps)
    noise = 0.004 * uniform(count, 1, 1) * torch.randn(maps.shape, generator=generator)
    lost = uniform(*maps.shape) < 0.1 * uniform(count, 1, 1).square()
    surface = noisy < 0.5 * EXTENT
    noisy = torch.where(surface, (noisy + noise).clamp(-0.5 * EXTENT, 0.499 * EXTENT), noisy)
    return torch.where(lost, 0.5 * EXTENT, noisy)


def save_weights(network: SphereFittingEstimator, path: str | Path, hand: HandModel) -> None:
    """Write network and prior for `load`. Raises InputError if the file cannot be written."""
    values = {name: getattr(network.config, name) for name in ARCHITECTURE}
    write_weights(path, network.state_dict(), METHOD, values, hand.checksum())


def load(
    path: str | Path | None = None,
    hand: HandModel | None = None,
    trainable: bool = False,
    precision: Precision = "auto",
) -> SphereFittingEstimator:
    """The network with the weights of `path` (default: those in the package): ready for inference, or as it was, for training on.

    Args:
        path: of the weights.
        hand: the model that they must have been trained for (default: the open hand).
        trainable: leave the network as it was.
        precision: of convolutions on the CPU in inference; auto is the faster one on this CPU. Elsewhere they compute in float32.

    Raises:
        InputError: the file is at fault (`nets.weights.read_weights`), its weights do not fit the network it names, or this CPU
            cannot compute in that precision.
    """
    meaning = (hand or HandModel.open_hand()).checksum()
    network = load_network(path or shipped_weights(METHOD), METHOD, meaning, _build)
    if not trainable:
        network.eval().requires_grad_(False)
        prepare(network.hourglass, network.config.size, inference_precision(precision))
    return network


def _build(values: dict[str, Any]) -> SphereFittingEstimator:
    return SphereFittingEstimator(SphereFittingConfig(**{name: values[name] for name in ARCHITECTURE}))


def _add(terms: dict[str, Tensor], more: dict[str, Tensor], parts: int) -> None:
    """Add the mean over `parts` to terms of the same names."""
    for name, value in more.items():
        terms[name] = terms.get(name, 0.0) + value / parts
