"""3D hand pose from colour in two steps, 2D joints and then the third dimension: the estimator that TAGAN's pictures are judged by.

Chen, "Deep learning in 3D hand pose and mesh estimation", dissertation, University of California, Irvine, 2020, Sec. 2.4, takes two
networks of others for this: the convolutional pose machine for 2D (Wei et al. 2016) and Hand3D for 3D (Zimmermann and Brox 2017). Here the
lifting half of Hand3D stands on the pose machine, so that one training gives both figures:

    colour -> pose machine -> heat maps of every stage               against 2D labels
                                 | last, no gradient back
                                 v
                pose prior: 21 joints in a frame of the hand's own    against the true ones   (Zimmermann and Brox, Eq. 4)
                viewpoint: how that frame is turned                   against the true turn   (Eq. 5)
                                 |
                                 v
                         joints from the wrist, in lengths of the middle finger's first bone

What they leave unsaid, and what was chosen:

- **Trained together**: Hand3D's halves are trained one after the other. Here no gradient goes from the lifting to the pose machine, which
  is the same, but for heat maps that get better meanwhile. True heat maps are never lifted, so that it learns of those that it will see.
- **Heat maps** are probabilities, whose cross entropy with a Gaussian about the joint is descended (`losses.heatmaps`), of every stage. The
  squares of print learn so slowly from nothing that tables would compare networks that have hardly begun.
- **Unit and root**: theirs are the index finger's first bone and the palm; here the middle finger's and the wrist, as everywhere here.
- **Losses** are means over coordinates and elements, so that factors do not depend on their number; theirs are sums.
- **Segmentation** of the hand, Hand3D's first network, is not needed: pictures are crops.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from phalanx.core.errors import InputError
from phalanx.data.hand_depth import scale_of
from phalanx.data.sample import Sample
from phalanx.losses.heatmaps import PEAK, SIGMA, gaussian_cross_entropy, within_picture
from phalanx.methods.base import Method
from phalanx.nets.pose_lifting import PoseLifting, canonical_joints
from phalanx.nets.pose_machine import JOINTS, PoseMachine
from phalanx.nets.readout import soft_argmax
from phalanx.nets.weights import NO_HAND, load_network, write_weights

METHOD = "lifted_pose"
"""What its weights files say they are of."""


@dataclass
class LiftedPoseWeights:
    """Factors of the loss terms. 0 leaves a term out."""

    heat_maps: float = 1.0
    """Of the pose machine."""
    canonical: float = 10.0
    """Of canonical joints."""
    viewpoint: float = 3.0
    """Of the turn."""


@dataclass
class LiftedPoseConfig:
    """The networks and their losses."""

    size: int = 64
    """Side of the pictures, pixels, a multiple of 32."""
    stages: int = 2
    """Of the pose machine; six in print."""
    width: int = 40
    """Channels of the pose machine."""
    lifting: int = 32
    """Channels of the first convolutions of the lifting; 32 and 64 in print."""
    hidden: int = 256
    """Of its linear layers; 512 in print."""
    weights: LiftedPoseWeights = field(default_factory=LiftedPoseWeights)
    """Factors of the loss terms."""

    def __post_init__(self) -> None:
        if self.size < 32 or self.size % 32:
            raise InputError(f"size: must be a multiple of 32 pixels, not {self.size}")


ARCHITECTURE = tuple(item.name for item in fields(LiftedPoseConfig) if item.name != "weights")
"""What of `LiftedPoseConfig` weights are of."""


class LiftedPose(Method):
    """`network(images (B, 3, S, S) in [0, 1])` gives 2D joints (B, 21, 2), 0 to 1 across the picture, and joints (B, 21, 3) from the wrist,
    before the camera, in lengths of the middle finger's first bone. A batch is a `Sample` with `joints` and `joints_2d`."""

    def __init__(self, config: LiftedPoseConfig | None = None) -> None:
        super().__init__()
        self.config = c = config or LiftedPoseConfig()
        self.machine = PoseMachine(c.stages, width=c.width)
        self.lifting = PoseLifting(JOINTS, c.size // self.machine.stride, c.lifting, c.hidden)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.machine(images)[1]
        canonical, turn = self.lift(logits)
        return soft_argmax(logits[-1].float())[0], canonical @ turn.mT

    def lift(self, logits: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Canonical joints (B, 21, 3) and their turn (B, 3, 3), of logits (B, 21, h, h) of every stage."""
        heat = torch.softmax(logits[-1].detach().float().flatten(2), dim=-1).view_as(logits[-1])
        canonical, turn = self.lifting(PEAK * heat)
        return canonical - canonical[:, :1], turn

    def losses(self, batch: Sample) -> dict[str, Tensor]:
        """The weighted terms."""
        assert batch.image is not None and batch.joints is not None and batch.joints_2d is not None
        weights, logits = self.config.weights, self.machine(batch.image)[1]
        canonical, turn = self.lift(logits)
        true, true_turn = canonical_joints(relative_joints(batch.joints))
        places = (batch.joints_2d + 0.5) / batch.image.shape[-1]
        inside = within_picture(places)
        sigma = SIGMA / logits[-1].shape[-1]
        apart = [gaussian_cross_entropy(stage.float(), places, sigma, inside) for stage in logits]
        return {
            "heat_maps": weights.heat_maps * torch.stack(apart).mean(),
            "canonical": weights.canonical * (canonical - true).square().mean(),  # Zimmermann and Brox, Eq. 4
            "viewpoint": weights.viewpoint * (turn - true_turn).square().mean(),  # Eq. 5
        }


def relative_joints(joints: Tensor) -> Tensor:
    """Joints (B, 21, 3) in metres to those from the wrist, in lengths of the middle finger's first bone."""
    return (joints - joints[:, :1]) / scale_of(joints)[:, None, None]


def save_weights(network: LiftedPose, path: str | Path) -> None:
    """Write the networks for `load`. Raises InputError if the file cannot be written."""
    values = {name: getattr(network.config, name) for name in ARCHITECTURE}
    write_weights(path, network.state_dict(), METHOD, values, NO_HAND)


def load(path: str | Path, trainable: bool = False) -> LiftedPose:
    """The networks with the weights of `path`: ready for inference, or as they were, for training on. The package ships none.

    Raises:
        InputError: the file is at fault (`nets.weights.read_weights`), or its weights do not fit the networks it names.
    """

    def build(values: dict[str, Any]) -> LiftedPose:
        return LiftedPose(LiftedPoseConfig(**{name: values[name] for name in ARCHITECTURE}))

    network = load_network(path, METHOD, NO_HAND, build)
    return network if trainable else network.eval().requires_grad_(False)
