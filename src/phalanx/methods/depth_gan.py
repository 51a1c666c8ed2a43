"""3D hand pose from colour, taught by depth maps that a network draws: no picture needs a depth map of its own (DGGAN).

Chen, "Deep learning in 3D hand pose and mesh estimation", dissertation, University of California, Irvine, 2020, chapter 3 (WACV 2020).

    colour -> encoder-decoder -> drawn depth map         judged against depth maps of other pictures (Eq. 3.2)
       |                              | min-max (Eq. 3.6)
       |                              v
       |                         L1 (Eq. 3.5)
       |                              ^
       |                 depth regularizer: six transposed convolutions
       |                              ^
       +-> pose machine -> heat maps -> mini pose machine, three linear layers -> relative depths
             (Eq. 3.3)                                                              (Eq. 3.4)

Both modules, the one that draws and the one that estimates, are started apart on pictures with their depth maps; then they go on
together down Eq. 3.1, on pictures with 3D labels and depth maps that are not theirs. Inference is the lower row alone.

What the thesis leaves unsaid or misprints, and what was chosen:

- **Eq. 3.1**: in print the one minimum is over both modules, and the task loss holds the drawn map, so **the depth loss reaches the
  generator**: it draws what the regularizer can foresee, and the discriminator keeps it honest. The two modules move in turn here, each
  down those terms of the sum that depend on it, which are the same gradients. The factors are not printed (`DepthGANWeights`).
- **Eq. 3.2**: the generator descends `-log D` in place of `log(1 - D)`, whose gradients vanish once the discriminator is sure. Networks
  are not described: those of Pix2Pix, which Sec. 3.3.3 discusses (`nets.picture_translation`). In the start, "fitting STB" is taken to
  be Pix2Pix's sum of Eq. 3.2 and an L1 distance to the paired map.
- **Eq. 3.3**: H_s stands for prediction and label; labels are H_*. Height and width of their Gaussians are those of `losses.latent_depth`,
  which read back exactly; how coordinates are read is not said: under a softmax (Sun et al. 2018). The sum over pixels is one over
  the cells of maps of S / 4 cells.
- **Eq. 3.4** as printed jumps from 1/8 to 1/2 at an error of 0.5: it becomes the smooth L1 of Cai et al. 2018, Eq. 3.
- **L_2D and L_z**: Sec. 3.4.3 calls L_task their sum and L_z the depth regularization loss; Eq. 3.7, which has all three terms, counts.
- **Relative depth**: to which joint, in which unit? To the wrist (Sec. 3.5.1), over the length of a bone (`data.hand_depth.SCALE_BONE`).
- **The regularizer** gets the 21 relative depths and nothing else: it does not know where joints are in the picture, so it can say how deep
  a map is and hardly where. `regularizer_2d` adds the true 2D joints, as Cai et al. have it; that is not this thesis's.
- **Eq. 3.5** is a mean over pixels here, so that its factor does not depend on the resolution.
- **Eq. 3.6**: minimum and maximum of what? Of the readings on the hand; what is no reading, or not the hand, counts as farthest, 1. Sensors
  have stray readings at edges, which would decide the range alone, so 2 % at either end count as the least and the most (`STRAY`). A drawn
  map has none; its own minimum and maximum count. No range is taken as less than `LEAST_RANGE`.
- **True depth** teaches the regularizer in the start alone: it "would be replaced by DGGAN-generated depth maps once the initialization
  stage ends".
- **What the estimating module gets**: Sec. 3.4.3 once says colour and inferred depth; Fig. 3.4, the equations and inference have colour
  alone, and so has this.
- **Which depth maps**: of other pictures of the same set, with backgrounds taken out the same way, for the judged maps would else differ
  in them alone. With MHP they are of another set.
- **Optimisers** are not printed: the loop's own, but Adam, as Pix2Pix, for the discriminator and, end to end, for the generator.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from phalanx.core.errors import InputError
from phalanx.data.hand_depth import scale_of
from phalanx.data.mixture import Mixture
from phalanx.data.sample import Sample
from phalanx.hand.model import HandModel
from phalanx.losses.depth_maps import LEAST_RANGE, map_error, relative_depths, smooth_l1
from phalanx.losses.latent_depth import heat_map_error
from phalanx.methods.base import Losses, Method, Player
from phalanx.nets.depth_decoder import DROPOUT, DepthDecoder
from phalanx.nets.picture_translation import DepthDiscriminator, DepthGenerator, real_or_drawn, taken_for_real
from phalanx.nets.pose_machine import PoseMachine
from phalanx.nets.readout import soft_argmax
from phalanx.nets.weights import load_network, write_weights

Optimiser = Callable[[tuple[nn.Parameter, ...]], torch.optim.Optimizer]

METHOD = "depth_gan"
"""What its weights files say they are of."""

COLOUR, DEPTH = "colour", "depth"
"""Kinds in a batch, a `Mixture` of two `Sample`s: pictures with joints, in the start with their depth too; and depth of other pictures."""

ROOT = 0
"""The joint that relative depths are 0 at: the wrist."""

STRAY = 0.02
"""Share of a map's readings, at either end, that may be stray."""

ALPHA = 10.0
"""Sharpness of the softmax that coordinates are read under."""


@dataclass
class DepthGANWeights:
    """Factors of Eq. 3.1 and 3.7, and of the start; none is printed. 0 leaves a term out."""

    task: float = 1.0
    """lambda t, Eq. 3.1."""
    adversarial: float = 0.5
    """lambda g, Eq. 3.1."""
    heat_maps: float = 0.1
    """lambda 2D, Eq. 3.7; a sum over cells."""
    depth: float = 1.0
    """lambda z, Eq. 3.7; in lengths of a bone."""
    depth_map: float = 1.0
    """lambda dep, Eq. 3.7; a mean over pixels, in ranges of the map."""
    pairs: float = 50.0
    """L1 of drawn maps to paired ones, in the start alone; a hundred times the adversarial term, as in Pix2Pix."""


@dataclass
class DepthGANConfig:
    """The networks and their losses."""

    size: int = 64
    """Side of pictures and depth maps, pixels: 64, 128, 256, ..."""
    stages: int = 6
    """Of the pose machine."""
    width: int = 32
    """Channels of the pose machine, and of the one that reads depths from heat maps."""
    hidden: int = 256
    """Channels of the two linear layers before the last."""
    generator: int = 16
    """Channels of the generator's first layer."""
    discriminator: int = 16
    """Channels of the discriminator's first layer."""
    regularizer: int = 256
    """Channels of the regularizer's first layer."""
    dropout: float = DROPOUT
    """Share of feature maps that the regularizer drops in training."""
    regularizer_2d: bool = False
    """Whether the regularizer gets the true 2D joints beside the depths (Cai et al. 2018)."""
    rate: float = 2e-4
    """Peak learning rate of the discriminator and, end to end, of the generator."""
    weights: DepthGANWeights = field(default_factory=DepthGANWeights)
    """Factors of the loss terms."""

    def __post_init__(self) -> None:
        if self.size < 64 or self.size & (self.size - 1):
            raise InputError(f"size: must be 64, 128, 256, ... pixels, not {self.size}")


ARCHITECTURE = tuple(item.name for item in fields(DepthGANConfig) if item.name not in ("rate", "weights"))
"""What of `DepthGANConfig` weights are of."""


class DepthRegressor(nn.Module):
    """Heat maps (B, 21, h, h) to relative depths (B, 21): a pose machine of one stage, then three linear layers; h a multiple of 16."""

    def __init__(self, side: int, width: int, hidden: int) -> None:
        super().__init__()
        self.machine = PoseMachine(stages=1, joints=width, width=width, inputs=21)
        cells = (side // self.machine.stride) ** 2
        self.linear = nn.Sequential(
            nn.Linear(width * cells, hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, 21),
        )

    def forward(self, heat: Tensor) -> Tensor:
        (maps,) = self.machine(heat)[1]
        return self.linear(maps.flatten(1))


class PoseModule(nn.Module):
    """The hand pose estimation module (Sec. 3.4.3).

    `module(images (B, 3, S, S) in [0, 1])` gives the heat maps of every stage, each `(B, 21, S / 4, S / 4)`, and relative depths `(B, 21)`.
    """

    def __init__(self, config: DepthGANConfig) -> None:
        super().__init__()
        self.machine = PoseMachine(config.stages, width=config.width)
        self.regressor = DepthRegressor(config.size // 4, config.width, config.hidden)
        self.regularizer = DepthDecoder(
            63 if config.regularizer_2d else 21, config.size, config.regularizer, config.dropout
        )
        self.sees_2d = config.regularizer_2d

    def forward(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        heat = self.machine(images)[1]
        return heat, self.regressor(heat[-1])

    def depth_map(self, depths: Tensor, joints_2d: Tensor) -> Tensor:
        """The map D `(B, S, S)` that relative depths `(B, 21)` foretell; 2D joints `(B, 21, 2)`, 0 to 1, count with `regularizer_2d`."""
        seen = torch.cat((depths, joints_2d.flatten(1)), dim=1) if self.sees_2d else depths
        return self.regularizer(seen)


class DepthGAN(Method):
    """Both modules and the discriminator.

    `network(images (B, 3, S, S))` gives 2D joints `(B, 21, 2)`, 0 to 1 across the picture, and relative depths `(B, 21)`.

    `players` are those of the end-to-end training; `players_apart` those of the start; `players_of_pose` the estimating module alone,
    with paired depth maps or, if `weights.depth_map` is 0, without any.
    """

    def __init__(self, config: DepthGANConfig | None = None) -> None:
        super().__init__()
        self.config = config or DepthGANConfig()
        self.generator = DepthGenerator(self.config.size, self.config.generator)
        self.discriminator = DepthDiscriminator(self.config.discriminator)
        self.pose = PoseModule(self.config)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        heat, depths = self.pose(images)
        return soft_argmax(ALPHA * heat[-1])[0], depths

    @torch.no_grad()
    def draw(self, images: Tensor) -> Tensor:
        """Depth maps `(B, S, S)` from 0, the nearest, to 1 of pictures `(B, 3, S, S)`."""
        return stretched(self.generator(images))

    def players(self) -> tuple[Player, ...]:
        """Eq. 3.1: the discriminator ascends L_GAN; the module that draws and the one that estimates descend what hangs on them."""
        return self._with(self.generator_losses, self.pose_losses, self._adam)

    def players_apart(self) -> tuple[Player, ...]:
        """The start: neither module sees the other; both see the pictures' own depth maps."""
        return self._with(self.paired_generator_losses, self.paired_pose_losses, None)

    def players_of_pose(self) -> tuple[Player, ...]:
        """The estimating module alone, on the pictures' own depth maps."""
        return (Player("pose", tuple(self.pose.parameters()), self.paired_pose_losses),)

    def _with(self, draws: Losses, estimates: Losses, optimiser: Optimiser | None) -> tuple[Player, ...]:
        judge, drawer = tuple(self.discriminator.parameters()), tuple(self.generator.parameters())
        return (
            Player("discriminator", judge, self.discriminator_losses, optimiser=self._adam),
            Player("generator", drawer, draws, optimiser=optimiser),
            Player("pose", tuple(self.pose.parameters()), estimates),
        )

    def _adam(self, parameters: tuple[nn.Parameter, ...]) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters, lr=self.config.rate, betas=(0.5, 0.999))

    def discriminator_losses(self, batch: Mixture) -> dict[str, Tensor]:
        """Minus Eq. 3.2: real maps shall be taken for real, drawn ones not."""
        drawn = self.draw(_colour(batch).image)
        loss = real_or_drawn(self.discriminator(real_maps(batch)), self.discriminator(drawn))  # Eq. 3.2
        return {"judged": self.config.weights.adversarial * loss}

    def generator_losses(self, batch: Mixture) -> dict[str, Tensor]:
        """What of Eq. 3.1 hangs on the drawn maps: Eq. 3.2, and Eq. 3.5 of the task loss."""
        weights, sample = self.config.weights, _colour(batch)
        drawn = stretched(self.generator(sample.image))  # Eq. 3.6
        terms = {"fooled": weights.adversarial * taken_for_real(self.discriminator(drawn))}
        if factor := weights.task * weights.depth_map:
            with torch.no_grad():
                foretold = self.pose.depth_map(self.pose(sample.image)[1], joints_2d_of(sample))
            terms["depth_map"] = factor * _distance(drawn, foretold)
        return terms

    def paired_generator_losses(self, batch: Mixture) -> dict[str, Tensor]:
        """The start of the generator: Eq. 3.2, and the distance to the pictures' own maps."""
        weights, sample = self.config.weights, _colour(batch)
        drawn = stretched(self.generator(sample.image))
        fooled = taken_for_real(self.discriminator(drawn))
        pairs = _distance(drawn, relative_map(sample.depth))
        return {"fooled": weights.adversarial * fooled, "pairs": weights.pairs * pairs}

    def pose_losses(self, batch: Mixture) -> dict[str, Tensor]:
        """Eq. 3.7 with drawn maps, times lambda t."""
        return self.task_losses(_colour(batch), self.draw(_colour(batch).image))

    def paired_pose_losses(self, batch: Mixture) -> dict[str, Tensor]:
        """Eq. 3.7 with the pictures' own maps, which are not looked at if the depth loss has no weight."""
        sample = _colour(batch)
        return self.task_losses(sample, relative_map(sample.depth) if self.config.weights.depth_map else None)

    def task_losses(self, sample: Sample, target: Tensor | None) -> dict[str, Tensor]:
        """The weighted terms of Eq. 3.7; `target` is D* `(B, S, S)`."""
        weights = self.config.weights
        heat, depths = self.pose(sample.image)
        joints_2d = joints_2d_of(sample)
        terms = {
            "heat_maps": weights.heat_maps * heat_map_error(heat, joints_2d),  # Eq. 3.3
            "depth": weights.depth * smooth_l1(depths, depths_of(sample), torch.ones_like(depths)),  # Eq. 3.4
        }
        if weights.depth_map and target is not None:
            terms["depth_map"] = weights.depth_map * _distance(
                self.pose.depth_map(depths, joints_2d), target
            )  # Eq. 3.5
        return {name: weights.task * value for name, value in terms.items()}


def relative_map(depth: Tensor) -> Tensor:
    """D* (B, H, W), Eq. 3.6, of depth maps of hands (B, H, W) in metres, 0 = not the hand, or no reading: such pixels become 1."""
    nearest, span = limits(depth)
    relative = (depth - nearest[:, None, None]) / span[:, None, None]
    return torch.where(depth > 0, relative.clamp(0, 1), 1.0)


def limits(depth: Tensor) -> tuple[Tensor, Tensor]:
    """Where D* of depth maps (B, H, W) in metres is 0, (B,), and how far behind it is 1, (B,), both in metres; without readings 0 and 1."""
    found = depth.flatten(1).sort(dim=1).values  # what is not read first
    count = (found > 0).sum(1)
    behind = found.shape[1] - count
    first, last = (behind + ((count - 1).clamp_min(0) * share).round().long() for share in (STRAY, 1 - STRAY))
    nearest, farthest = (found.gather(1, place.clamp_max(found.shape[1] - 1)[:, None])[:, 0] for place in (first, last))
    return nearest, torch.where(count > 0, (farthest - nearest).clamp_min(LEAST_RANGE), 1.0)


def stretched(maps: Tensor) -> Tensor:
    """D* (B, H, W), Eq. 3.6, of drawn maps (B, H, W) in 0 to 1."""
    nearest, farthest = maps.amin(dim=(1, 2), keepdim=True), maps.amax(dim=(1, 2), keepdim=True)
    return (maps - nearest) / (farthest - nearest).clamp_min(LEAST_RANGE)


def real_maps(batch: Mixture) -> Tensor:
    """What the discriminator takes for real: depth maps of other pictures, or, where there are none, those of the same ones."""
    other = batch.get(DEPTH)
    return relative_map((_colour(batch) if other is None else other).depth)


def joints_2d_of(sample: Sample) -> Tensor:
    """2D joints (B, 21, 2), 0 to 1 across the picture."""
    assert sample.joints_2d is not None and sample.image is not None
    return (sample.joints_2d + 0.5) / sample.image.shape[-1]


def depths_of(sample: Sample) -> Tensor:
    """Z* (B, 21): depths relative to the root, in lengths of a bone (`data.hand_depth.SCALE_BONE`)."""
    assert sample.joints is not None
    return relative_depths(sample.joints[..., 2], ROOT, scale_of(sample.joints))


def save_weights(network: DepthGAN, path: str | Path, hand: HandModel) -> None:
    """Write all networks for `load`. Raises InputError if the file cannot be written."""
    values = {name: getattr(network.config, name) for name in ARCHITECTURE}
    write_weights(path, network.state_dict(), METHOD, values, hand.checksum())


def load(path: str | Path, hand: HandModel | None = None, trainable: bool = False) -> DepthGAN:
    """The networks with the weights of `path`: ready for inference, or as they were, for training on. The package ships none.

    Raises:
        InputError: the file is at fault (`nets.weights.read_weights`), or its weights do not fit the networks it names.
    """
    network = load_network(path, METHOD, (hand or HandModel.open_hand()).checksum(), _build)
    return network if trainable else network.eval().requires_grad_(False)


def _build(values: dict[str, Any]) -> DepthGAN:
    return DepthGAN(DepthGANConfig(**{name: values[name] for name in ARCHITECTURE}))


def _colour(batch: Mixture) -> Any:
    return batch.get(COLOUR)


def _distance(first: Tensor, second: Tensor) -> Tensor:
    """Eq. 3.5 of maps (B, H, W)."""
    return map_error(first, second, torch.ones_like(first[:, 0, 0]))
