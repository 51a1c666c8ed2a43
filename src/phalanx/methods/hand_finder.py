"""Where in a depth frame a hand is, and which hand it is: a small network that looks into cubes of space.

A hand of spheres fits an elbow or a knee about as well as a fist, so how well spheres fit does not tell where the hand is. This network is
asked instead: of a cube of 40 cm about a place on something's surface it says whether a right hand, a left hand or none is there, and where
its middle is. A forearm that comes in from one side and ends is what tells a fist; hence the cube is wider than that of the fit.

It is of no paper. It is trained on synthetic depth alone (`train.hand_finder`); the cube frame is that of `geometry.cubes`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from phalanx.core.errors import InputError
from phalanx.core.records import map_fields
from phalanx.hand.model import HandModel
from phalanx.losses.averages import weighted_mean
from phalanx.methods.base import Method
from phalanx.nets.blocks import ConvUnit, Residual, fold_batch_norm
from phalanx.nets.weights import load_network, shipped_weights, write_weights

METHOD = "hand_finder"
"""What its weights files say they are of."""

FINDER_EXTENT = 0.4
"""Side of the cubes looked into, metres."""

NOTHING, RIGHT, LEFT, UNCLEAR = 0, 1, 2, -100
"""What may be in a cube; unclear ones teach nothing about it."""


@dataclass
class HandFinderConfig:
    """The network's size and the weights of its losses."""

    size: int = 64
    """Side of the maps, cells."""
    width: int = 24
    """Channels at a quarter of that."""
    offset: float = 8.0
    """Weight of the offset's error, in sides of the cube, beside the classification."""

    def __post_init__(self) -> None:
        if self.size < 32 or self.size % 16:
            raise InputError(f"size: must be a multiple of 16 cells and at least 32, not {self.size}")


@dataclass
class Cubes:
    """A batch: B maps with what is in them."""

    maps: Tensor  # (B, S, S) metres, cube frame; FINDER_EXTENT / 2 = no surface
    kind: Tensor  # (B,) NOTHING, RIGHT, LEFT or UNCLEAR
    offset: Tensor  # (B, 3) of the hand's middle from the cube's, metres; of cubes without a hand anything

    def __len__(self) -> int:
        return len(self.maps)

    def __getitem__(self, rows: slice) -> Cubes:
        return map_fields(self, lambda value: value[rows])

    def to(self, device: torch.device | str) -> Cubes:
        """The same on `device`."""
        return map_fields(self, lambda value: value.to(device))


class HandFinder(Method):
    """`finder(maps (B, S, S))` gives logits `(B, 3)` of NOTHING, RIGHT and LEFT, and offsets `(B, 3)` of the hand's middle in metres."""

    def __init__(self, config: HandFinderConfig | None = None) -> None:
        super().__init__()
        self.config = config or HandFinderConfig()
        width = self.config.width
        self.trunk = nn.Sequential(
            ConvUnit(1, width, kernel=5, stride=2),
            Residual(width, width, stride=2),
            Residual(width, 2 * width, stride=2),
            Residual(2 * width, 4 * width, stride=2),
            Residual(4 * width, 4 * width),
        )
        self.head = nn.Sequential(
            nn.Linear(4 * width * (self.config.size // 16) ** 2, 64), nn.ReLU(inplace=True), nn.Linear(64, 6)
        )

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        features = self.trunk(maps[:, None] / (0.5 * FINDER_EXTENT))  # (B, 4 width, S/16, S/16)
        said = self.head(features.flatten(1)).float()
        return said[:, :3], said[:, 3:] * FINDER_EXTENT

    def losses(self, batch: Cubes) -> dict[str, Tensor]:
        """Cross-entropy of what is in the cubes, and the error of the middles of hands, in sides of the cube."""
        logits, offsets = self(batch.maps)
        with torch.autocast(logits.device.type, enabled=False):
            clear, hand = (batch.kind != UNCLEAR).float(), (batch.kind > NOTHING).float()
            surprise = functional.cross_entropy(logits, batch.kind, reduction="none", ignore_index=UNCLEAR)
            apart = (offsets - batch.offset) / FINDER_EXTENT
            off = functional.smooth_l1_loss(apart, torch.zeros_like(apart), reduction="none", beta=0.05).sum(1)
        return {"kind": weighted_mean(surprise, clear), "offset": self.config.offset * weighted_mean(off, hand)}


def save_weights(network: HandFinder, path: str | Path, hand: HandModel) -> None:
    """Write the network for `load`. Raises InputError if the file cannot be written."""
    write_weights(path, network.state_dict(), METHOD, asdict(network.config), hand.checksum())


def load(path: str | Path | None = None, hand: HandModel | None = None) -> HandFinder:
    """The network with the weights of `path` (default: those in the package), ready for inference.

    Raises:
        InputError: the file is at fault (`nets.weights.read_weights`), or its weights do not fit the network it names.
    """
    meaning = (hand or HandModel.open_hand()).checksum()
    network = load_network(
        path or shipped_weights(METHOD), METHOD, meaning, lambda values: HandFinder(HandFinderConfig(**values))
    )
    network.eval().requires_grad_(False)
    fold_batch_norm(network)
    return network
