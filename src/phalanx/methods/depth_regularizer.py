"""3D hand pose from colour, with depth maps in place of 3D labels: the depth regularizer.

Cai, Ge, Cai and Yuan, "Weakly-supervised 3D hand pose estimation from monocular RGB images", ECCV 2018.

    colour -> pose machine -> heat maps -> 2D joints                 against 2D labels (Eq. 1)
                  | features   |
                  +-----+------+
                        v
              depth regression: two convolutions, three linear layers
                        |
                        v
                 relative depths of joints                           against 3D labels, where there are some (Eq. 2, 3)
                        |  with the true 2D joints (Eq. 5)
                        v
              depth regularizer: six transposed convolutions
                        |
                        v
                 depth map of the hand                               against the map that a sensor read (Eq. 4, 6)

Eq. 7 is their sum. Pictures of one world have all labels; those of another have, in **weak supervision**, 2D joints, a depth map, the
root's depth and the hand's scale, which Eq. 5 needs, and no 3D joints: there the depth map alone teaches the depth of joints. In **full
supervision** all pictures have all labels. Three stages: the upper two networks, the regularizer, all (`train.depth_regularizer`).
Inference is the upper two networks alone.

What the paper leaves unsaid or misprints, and what was chosen:

- **Eq. 4** has a sum over pixels, which would leave one number of a map: a misprint. It holds for each pixel (`losses.depth_maps`).
- **d_max and d_range** are those of the picture's own map, of readings on the hand, in Eq. 4 and in Eq. 5. **Background** becomes 0;
  how it is found is not said: here by the weak labels themselves (`data.hand_depth`).
- **Heat maps** are probabilities, of which the 2D joint is the mean (its MMSE estimator): a softmax over cells, as in Sun et al. 2018,
  whom the paper cites. For Eq. 1 they are scaled so that a Gaussian of sigma = 1 cell has a peak of 1. It is a sum over cells, as
  printed, and a mean over joints, pictures and stages of the pose machine. Joints outside the picture do not count.
- **"A certain pair of keypoints"** is the middle finger's first bone (`data.hand_depth.SCALE_BONE`), as in the code of Zimmermann and
  Brox, whom it follows.
- **Eq. 3** is a mean over joints, **Eq. 6** over pixels, so that factors do not depend on their number; lambda = 1, 0.1, 1 as printed.
  They are printed "during the fine-tuning process of the whole network"; in stage 1 the factor of Eq. 2 is `depths_apart`.
- **The regression network**: kernels and channels are not printed. Each convolution halves the side, with batch normalisation.
- **What depth teaches**: "no back-propagation from the depth regularizer is fed back into the 2D pose estimation network" is said of the 2D
  joints that go in, which are labels. Through features and heat maps the gradients of depth do reach it: stage 3 is "end-to-end".
- **Stage 2** shows the regularizer true depths of joints, as Fig. 8 does; stage 3 those that are estimated, in all pictures (Eq. 5).
- **The last layer** of the regularizer ends in a ReLU, as printed, whose bias begins above 0.
- **Weights to begin with**: theirs are of Zimmermann and Brox's network; ours are trained on our own synthesis, and with the loop's
  optimisers (recipes at `paper` scale use Adam's kind alone, `kernel_rate: 0`).
- **The pose machine** and its size: `nets.pose_machine`. Statistics of normalisation are those of both worlds together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from phalanx.core.records import join_fields, map_fields
from phalanx.hand.model import HandModel
from phalanx.losses.depth_maps import depth_limits, map_error, normalised_joints, normalised_map, smooth_l1
from phalanx.losses.heatmaps import PEAK, probability_map_error
from phalanx.methods.base import Method, Player
from phalanx.nets.blocks import ConvUnit
from phalanx.nets.depth_decoder import DROPOUT, DepthDecoder
from phalanx.nets.pose_machine import JOINTS, PoseMachine
from phalanx.nets.readout import soft_argmax
from phalanx.nets.weights import load_network, write_weights

METHOD = "depth_regularizer"
"""What its weights files say they are of."""


@dataclass
class RegularizerWeights:
    """Factors of Eq. 7. 0 leaves a term out."""

    heat_maps: float = 1.0
    """lambda 2D, Eq. 1."""
    depths: float = 0.1
    """lambda z, Eq. 2."""
    depths_apart: float = 1.0
    """Of Eq. 2 in stage 1."""
    depth_map: float = 1.0
    """lambda dep, Eq. 6; 0 trains without the regularizer."""


@dataclass
class DepthRegularizerConfig:
    """The networks and their losses."""

    size: int = 64
    """Side of pictures and depth maps, pixels, a multiple of 32."""
    stages: int = 3
    """Of the pose machine."""
    width: int = 48
    """Channels of the pose machine."""
    hidden: int = 128
    """Channels of the depth regression."""
    regularizer: int = 256
    """Channels of the regularizer's first layer."""
    dropout: float = DROPOUT
    """Of the regularizer."""
    weights: RegularizerWeights = field(default_factory=RegularizerWeights)
    """Factors of the loss terms."""


ARCHITECTURE = tuple(item.name for item in fields(DepthRegularizerConfig) if item.name != "weights")
"""What of `DepthRegularizerConfig` weights are of; the rest is how they are trained, which their files do not say."""


@dataclass
class DepthBatch:
    """B pictures of right hands with what is known of them."""

    images: Tensor  # (B, 3, S, S) in [0, 1]
    joints_2d: Tensor  # (B, 21, 2) 0 to 1 across the picture
    depth: Tensor  # (B, S, S) metres, the hand's readings, 0 elsewhere; a map of 0 alone is none and teaches nothing
    root_depth: Tensor  # (B,) metres
    scale: Tensor  # (B,) metres
    depths: Tensor  # (B, 21) relative depths of joints; 0 where there are no 3D labels
    labelled: Tensor  # (B,) 1 = 3D labels, 0 = none: weak supervision

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: slice) -> DepthBatch:
        return map_fields(self, lambda value: value[rows])

    def to(self, device: torch.device | str) -> DepthBatch:
        """The same on `device`."""
        return map_fields(self, lambda value: value.to(device))


def concatenate(parts: Sequence[DepthBatch]) -> DepthBatch:
    """Pictures of several batches in one."""
    return join_fields(parts, torch.cat)


class DepthRegression(nn.Module):
    """Features and heat maps (B, inputs, h, h) to relative depths (B, 21): two convolutions, three linear layers (Sec. 3.3)."""

    def __init__(self, inputs: int, side: int, hidden: int) -> None:
        super().__init__()
        half = hidden // 2
        self.convolutions = nn.Sequential(ConvUnit(inputs, half, stride=2), ConvUnit(half, half, stride=2))
        cells = (math.ceil(side / 4)) ** 2
        self.linear = nn.Sequential(
            nn.Linear(half * cells, hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, JOINTS),
        )

    def forward(self, evidence: Tensor) -> Tensor:
        return self.linear(self.convolutions(evidence).flatten(1))


class DepthRegularizer(Method):
    """All three networks.

    `network(images (B, 3, S, S))` gives 2D joints `(B, 21, 2)`, 0 to 1 across the picture, and relative depths `(B, 21)`. `players` descend
    Eq. 7 as a whole (stage 3); `estimator_players` without the regularizer (stage 1); `regularizer_players` train it alone, on true depths
    of joints (stage 2).
    """

    def __init__(self, config: DepthRegularizerConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or DepthRegularizerConfig()
        self.machine = PoseMachine(config.stages, width=config.width)
        side = config.size // self.machine.stride
        self.regression = DepthRegression(config.width + JOINTS, side, config.hidden)
        self.regularizer = DepthDecoder(3 * JOINTS, config.size, config.regularizer, config.dropout)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        logits, depths = self.estimate(images)
        return soft_argmax(logits[-1].float())[0], depths.float()

    def estimate(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        """Logits of the heat maps (B, 21, h, h) of every stage, and relative depths (B, 21)."""
        features, logits = self.machine(images)
        heat = torch.softmax(logits[-1].flatten(2).float(), dim=-1).view_as(logits[-1])  # (B, 21, h, h)
        evidence = torch.cat([features, heat.to(features.dtype) * PEAK], dim=1)
        return logits, self.regression(evidence)

    def depth_map(self, joints_2d: Tensor, near: Tensor) -> Tensor:
        """The map `D_n` (B, S, S) of joints at `joints_2d` (B, 21, 2), 0 to 1 across the picture, and at `X_z` (B, 21) of Eq. 5."""
        return self.regularizer(torch.cat([2 * joints_2d.flatten(1) - 1, near], dim=1))

    def losses(self, batch: DepthBatch) -> dict[str, Tensor]:
        """The weighted terms of Eq. 7."""
        terms, depths = self._estimator_terms(batch, self.config.weights.depths)
        if self.config.weights.depth_map:
            terms["depth_map"] = self._map_term(batch, depths)
        return terms

    def estimator_losses(self, batch: DepthBatch) -> dict[str, Tensor]:
        """Those that the regularizer has no part in, as stage 1 weighs them."""
        return self._estimator_terms(batch, self.config.weights.depths_apart)[0]

    def regularizer_losses(self, batch: DepthBatch) -> dict[str, Tensor]:
        """Eq. 6 with true depths of joints."""
        return {"depth_map": self._map_term(batch, batch.depths, batch.labelled)}

    def players(self) -> tuple[Player, ...]:
        """Stage 3: all networks down Eq. 7, or, without the regularizer, the estimator alone."""
        if self.config.weights.depth_map:
            return super().players()
        return (Player("estimator", self._estimator(), self.losses),)

    def estimator_players(self) -> tuple[Player, ...]:
        """Stage 1."""
        return (Player("estimator", self._estimator(), self.estimator_losses),)

    def regularizer_players(self) -> tuple[Player, ...]:
        """Stage 2."""
        return (Player("regularizer", tuple(self.regularizer.parameters()), self.regularizer_losses),)

    def _estimator(self) -> tuple[nn.Parameter, ...]:
        return (*self.machine.parameters(), *self.regression.parameters())

    def _estimator_terms(self, batch: DepthBatch, factor: float) -> tuple[dict[str, Tensor], Tensor]:
        """Eq. 1, and Eq. 2 times `factor`; and the estimated relative depths (B, 21)."""
        logits, depths = self.estimate(batch.images)
        depths = depths.float()
        known = batch.labelled[:, None].expand_as(depths)
        terms = {
            "heat_maps": self.config.weights.heat_maps * probability_map_error(logits, batch.joints_2d),  # Eq. 1
            "depths": factor * smooth_l1(depths, batch.depths, known),  # Eq. 2
        }
        return terms, depths

    def maps_of(self, batch: DepthBatch, depths: Tensor) -> tuple[Tensor, Tensor]:
        """Generated and true `D_n` (B, S, S) of joints at relative depths (B, 21); a true one is 0 everywhere where there is no depth."""
        farthest, depth_range = depth_limits(batch.depth)
        target = normalised_map(batch.depth, farthest, depth_range)  # Eq. 4
        near = normalised_joints(depths, batch.root_depth, batch.scale, farthest, depth_range)  # Eq. 5
        return self.depth_map(batch.joints_2d, near).float(), target

    def _map_term(self, batch: DepthBatch, depths: Tensor, weights: Tensor | None = None) -> Tensor:
        """Eq. 6, weighted, of joints at these relative depths (B, 21); pictures without depth do not count."""
        seen = (batch.depth > 0).flatten(1).any(1).to(depths)
        error = map_error(*self.maps_of(batch, depths), seen if weights is None else seen * weights)  # Eq. 6
        return self.config.weights.depth_map * error


def save_weights(network: DepthRegularizer, path: str | Path, hand: HandModel) -> None:
    """Write all networks for `load`. Raises InputError if the file cannot be written."""
    values = {name: getattr(network.config, name) for name in ARCHITECTURE}
    write_weights(path, network.state_dict(), METHOD, values, hand.checksum())


def load(path: str | Path, hand: HandModel | None = None, trainable: bool = False) -> DepthRegularizer:
    """The networks with the weights of `path`: ready for inference, or as they were, for training on. The package ships none.

    Raises:
        InputError: the file is at fault (`nets.weights.read_weights`), or its weights do not fit the networks it names.
    """
    network = load_network(path, METHOD, (hand or HandModel.open_hand()).checksum(), _build)
    return network if trainable else network.eval().requires_grad_(False)


def _build(values: dict[str, Any]) -> DepthRegularizer:
    return DepthRegularizer(DepthRegularizerConfig(**{name: values[name] for name in ARCHITECTURE}))
