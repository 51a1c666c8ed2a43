"""Where in a depth frame a hand is, and which hand it is: a small network that looks into cubes of space.

A hand of spheres fits an elbow or a knee about as well as a fist, so how well spheres fit does not tell where the hand is. This network is
asked instead: of a place on something's surface it says whether a right hand, a left hand or none is there, and where its joints are.
It sees two cubes about the place: one of 30 cm, the hand, and one of 1.2 m, the arm and the body that it belongs to: an arm that
ends tells a fist from an elbow, and the body tells right from left where the hand's own surface is too coarse for it.
The joints are not needed for the search, which takes their mean, but they teach what a hand is: without them the side was not learnt.

It is of no paper. It is trained on synthetic depth alone (`train.hand_finder`); the cube frame is that of `geometry.cubes`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from phalanx.core.errors import InputError
from phalanx.core.records import map_fields
from phalanx.geometry.cubes import maps_of_points, surface_points, turned_maps
from phalanx.hand.model import HandModel
from phalanx.hand.skeleton import JOINT_NAMES
from phalanx.losses.averages import weighted_mean
from phalanx.methods.base import Method
from phalanx.nets.blocks import ConvUnit, Residual, fold_batch_norm
from phalanx.nets.weights import load_network, shipped_weights, write_weights

METHOD = "hand_finder"
"""What its weights files say they are of."""

EXTENTS = (0.3, 1.2)
"""Sides of the two cubes about a place, metres."""

JOINTS = len(JOINT_NAMES)

NOTHING, RIGHT, LEFT, UNCLEAR = 0, 1, 2, -100
"""What may be in a cube; unclear ones teach nothing about it."""


@dataclass
class HandFinderConfig:
    """The network's size and the weights of its losses."""

    size: int = 64
    """Side of the maps, cells."""
    width: int = 32
    """Channels at a quarter of that, of what sees the smaller cube."""
    context: int = 16
    """The same of what sees the larger one."""
    hidden: int = 128
    """Width of the layer that joins the two."""
    joints: float = 8.0
    """Weight of the joints' error, in sides of the smaller cube, beside the classification."""

    def __post_init__(self) -> None:
        if self.size < 32 or self.size % 16:
            raise InputError(f"size: must be a multiple of 16 cells and at least 32, not {self.size}")


@dataclass
class Cubes:
    """A batch: B maps with what is in them."""

    maps: Tensor  # (B, 2, S, S) metres, frames of the smaller and the larger cube; half the side = no surface
    kind: Tensor  # (B,) NOTHING, RIGHT, LEFT or UNCLEAR
    joints: Tensor  # (B, 21, 3) of the hand from the cube's middle, metres; of cubes without a hand anything

    def __len__(self) -> int:
        return len(self.maps)

    def __getitem__(self, rows: slice) -> Cubes:
        return map_fields(self, lambda value: value[rows])

    def to(self, device: torch.device | str) -> Cubes:
        """The same on `device`."""
        return map_fields(self, lambda value: value.to(device))


class HandFinder(Method):
    """`finder(maps (B, 2, S, S))` gives logits `(B, 3)` of NOTHING, RIGHT and LEFT, and joints `(B, 21, 3)` from the place, metres."""

    def __init__(self, config: HandFinderConfig | None = None) -> None:
        super().__init__()
        self.config = config or HandFinderConfig()
        widths = (self.config.width, self.config.context)
        self.towers = nn.ModuleList(_tower(width) for width in widths)
        self.head = nn.Sequential(
            nn.Linear(4 * sum(widths) * (self.config.size // 16) ** 2, self.config.hidden),
            nn.ReLU(inplace=True),
            nn.Linear(self.config.hidden, 3 + 3 * JOINTS),
        )

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        seen = [
            tower(part / (0.5 * extent)).flatten(1)
            for tower, part, extent in zip(self.towers, maps.split(1, 1), EXTENTS, strict=True)
        ]
        answer = self.head(torch.cat(seen, 1)).float()
        return answer[:, :3], EXTENTS[0] * answer[:, 3:].unflatten(1, (JOINTS, 3))

    def start_from(self, state: Mapping[str, Tensor]) -> None:
        """Take over the weights of an equal network, or of one that is narrower where it sees the larger cube or joins the two.

        What is added begins as it would in a fresh network, and what was there does not heed it, so that the answers stay the same.
        Raises InputError if `state` has weights that this network has no place for.
        """
        super().start_from({name: _widened(value, self.state_dict().get(name)) for name, value in state.items()})

    def losses(self, batch: Cubes) -> dict[str, Tensor]:
        """Cross-entropy of what is in the cubes, and the error of the joints of hands, in sides of the smaller cube."""
        logits, joints = self(batch.maps)
        with torch.autocast(logits.device.type, enabled=False):
            clear, hand = (batch.kind != UNCLEAR).float(), (batch.kind > NOTHING).float()
            surprise = functional.cross_entropy(logits, batch.kind, reduction="none", ignore_index=UNCLEAR)
            apart = (joints - batch.joints) / EXTENTS[0]
            off = functional.smooth_l1_loss(apart, torch.zeros_like(apart), reduction="none", beta=0.05)
        return {
            "kind": weighted_mean(surprise, clear),
            "joints": self.config.joints * weighted_mean(off.sum(2).mean(1), hand),
        }


def _widened(value: Tensor, fresh: Tensor | None) -> Tensor:
    """Weights in the first rows and columns of larger ones, whose other columns do not reach those rows; as they are if they do not fit."""
    if fresh is None or fresh.ndim != value.ndim or any(a < b for a, b in zip(fresh.shape, value.shape, strict=True)):
        return value
    if fresh.shape == value.shape:
        return value
    wide = fresh.clone()
    wide[: len(value)] = 0.0
    wide[tuple(slice(side) for side in value.shape)] = value.to(wide.dtype)
    return wide


def _tower(width: int) -> nn.Sequential:
    """Maps (B, 1, S, S) to features (B, 4 width, S/16, S/16)."""
    return nn.Sequential(
        ConvUnit(1, width, kernel=5, stride=2),
        Residual(width, width, stride=2),
        Residual(width, 2 * width, stride=2),
        Residual(2 * width, 4 * width, stride=2),
        Residual(4 * width, 4 * width),
    )


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
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def surfaces(depth: Tensor, K: Tensor, size: int, coarseness: float = 1.0) -> tuple[Tensor, ...]:
    """For each of `EXTENTS` points (P, 3) on what a depth frame (H, W), 0 = no reading, shows; K (3, 3).

    They lie as close as the cells of its maps, or `coarseness` times as close.
    """
    return tuple(surface_points(depth, K, coarseness * extent / size) for extent in EXTENTS)


def maps_about(points: Sequence[Tensor], places: Tensor, size: int) -> Tensor:
    """What the network sees of `surfaces` about each of `places` (C, 3): maps (C, 2, size, size)."""
    return torch.stack(
        [maps_of_points(of, places, size, extent) for of, extent in zip(points, EXTENTS, strict=True)], 1
    )


def turned_maps_about(
    depth: Tensor, K: Tensor, places: Tensor, turns: Tensor, size: int, coarseness: float = 1.0
) -> Tensor:
    """What the network sees of a depth frame (H, W) about `places` (C, 3), what is there turned by `turns` (C, 3, 3).

    Maps (C, 2, size, size), with `coarseness` as `surfaces` has it.
    """
    return torch.stack(
        [turned_maps(depth, K, places, turns, size, extent, coarseness * extent / size) for extent in EXTENTS], 1
    )
