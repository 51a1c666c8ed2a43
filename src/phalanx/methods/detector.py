"""Where the hands in a picture are: a small network over the whole frame that marks the middle of every hand.

A hand is a point, as in CenterNet (Zhou et al. 2019): a map of a quarter of the picture's side has a peak at the middle of what is seen of
each hand, and at that peak the network says how far the edges of its box are, whether it is a right hand, which square the
estimator should look at (all joints in it, the hand pointing up), and where the palm faces. Nothing is matched to anchors, and two
hands that hold each other are two peaks. The trunk is the pyramid of the default estimator, thinner; it takes pictures of any size in
multiples of 32, so that a large picture is looked at twice, small and large, by the same network.

What is not of that paper: the box is drawn by its overlap (GIoU, Rezatofighi et al. 2019) in all cells near the middle instead of by its
size in one; hands too small or too hidden to be asked for neither reward nor cost; the side and the turn are read from the
cell, too; confidences are calibrated after training by a line in log-odds (Platt 1999), which the weights file keeps.

All positions are in pixels from the picture's edge, so that the middle of the first pixel is (0.5, 0.5).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from phalanx.core.records import map_fields
from phalanx.hand.model import HandModel
from phalanx.losses.averages import weighted_mean
from phalanx.methods.base import Method
from phalanx.nets.blocks import ConvUnit, fold_batch_norm, folded_copy
from phalanx.nets.detector_maps import CHANNELS, LARGEST, METHOD, STRIDE, UNIT
from phalanx.nets.export import Stored, export_onnx
from phalanx.nets.pyramid import Pyramid
from phalanx.nets.weights import load_network, shipped_weights, write_weights


@dataclass
class LossWeights:
    """Factors of the loss terms."""

    middle: float = 1.0
    """Penalty-reduced focal loss of the middles (CenterNet, Eq. 1)."""
    side: float = 0.5
    """Cross-entropy of right and left."""
    box: float = 1.0
    """1 - GIoU."""
    square: float = 1.0
    """L1 of middle and log side, in sides of the square."""
    turn: float = 0.5
    """L1 of the angle's cosine and sine."""
    palm: float = 0.3
    """L1 of the palm's direction."""
    mask: float = 0.5
    """Cross-entropy of the mask."""


@dataclass
class DetectorConfig:
    """The network's size, the weights of its losses, and what its confidences mean."""

    widths: tuple[int, ...] = (32, 64, 96, 128)
    """Channels at strides 4, 8, 16, 32."""
    depths: tuple[int, ...] = (0, 1, 2, 2)
    """Residual blocks there."""
    top_down: tuple[int, ...] = (64, 48, 32)
    """Channels of the way back at strides 16, 8, 4."""
    weights: LossWeights = field(default_factory=LossWeights)
    """Of the loss terms."""
    calibration: tuple[float, float] = (1.0, 0.0)
    """Slope and offset from the network's log-odds of a middle to those of a hand."""


@dataclass
class Scenes:
    """B pictures with up to N hands each; positions in pixels from the edge."""

    image: Tensor  # (B, 3, S, S) RGB in [0, 1]
    present: Tensor  # (B, N) bool: to be found
    unclear: Tensor  # (B, N) bool: neither to be found nor wrong
    right: Tensor  # (B, N) float, 1 for right hands
    boxes: Tensor  # (B, N, 4) left, top, right, lower edge of what is seen; of unclear ones, too
    squares: Tensor  # (B, N, 3) middle and side
    turns: Tensor  # (B, N, 2) cosine and sine of the squares' angle
    palms: Tensor  # (B, N, 3) unit vectors
    mask: Tensor  # (B, S/4, S/4) share of hands in each cell, -1: unknown

    def __len__(self) -> int:
        return len(self.image)

    def __getitem__(self, rows: slice) -> Scenes:
        return map_fields(self, lambda value: value[rows])

    def to(self, device: torch.device | str) -> Scenes:
        """The same on `device`."""
        return map_fields(self, lambda value: value.to(device))


class Detector(Method):
    """`detector(images (B, 3, H, W))`, H and W multiples of 32, gives maps `(B, 15, H/4, W/4)` as `CHANNELS` has them."""

    def __init__(self, config: DetectorConfig | None = None) -> None:
        super().__init__()
        self.config = config or DetectorConfig()
        width = self.config.top_down[-1]
        self.pyramid = Pyramid(self.config.widths, self.config.depths, self.config.top_down)
        self.head = nn.Sequential(ConvUnit(width, 2 * width), nn.Conv2d(2 * width, sum(CHANNELS.values()), 1))
        last = self.head[1]
        assert isinstance(last, nn.Conv2d) and last.bias is not None
        nn.init.normal_(last.weight, std=0.01)
        nn.init.zeros_(last.bias)
        with torch.no_grad():
            last.bias[0] = -math.log(199)  # middles are rare
            last.bias[-1] = -math.log(19)  # and so are cells of hands

    def forward(self, images: Tensor) -> Tensor:
        features, _ = self.pyramid(2 * images - 1)
        maps: Tensor = self.head(features)
        return maps

    @torch.no_grad()
    def maps(self, images: np.ndarray) -> np.ndarray:
        """The maps (B, 15, H/4, W/4) of pictures (B, 3, H, W), float32 RGB in [0, 1], as arrays."""
        place = next(self.parameters()).device
        found: np.ndarray = self(torch.from_numpy(images).to(place)).float().cpu().numpy()
        return found

    def losses(self, batch: Scenes) -> dict[str, Tensor]:
        """See `LossWeights`."""
        maps = self(batch.image)
        with torch.autocast(maps.device.type, enabled=False):
            said = split(maps.float())
            height, width = maps.shape[-2:]
            heat = middles(batch.boxes, height, width)  # (B, N, h, w)
            terms = {"middle": _focal(said["middle"][:, 0], heat, batch.present, batch.unclear)}
            near, owner = (heat * batch.present[..., None, None]).max(1)  # (B, h, w)
            row = torch.arange(len(maps), device=maps.device)[:, None, None]
            weight = near * (near > _NEAR)
            share = torch.zeros(batch.present.shape, device=maps.device)  # each hand counts alike, however large
            share = share.scatter_add(1, owner.flatten(1), weight.flatten(1)).gather(1, owner.flatten(1)).view_as(near)
            weight = weight / share.clamp_min(1e-3)
            right, box, square, turn, palm = (
                value[row, owner] for value in (batch.right, batch.boxes, batch.squares, batch.turns, batch.palms)
            )
            surprise = functional.binary_cross_entropy_with_logits(said["side"][:, 0], right, reduction="none")
            terms["side"] = weighted_mean(surprise, weight)
            terms["box"] = weighted_mean(1 - _giou(boxes_of(said["box"]), box), weight)
            found = squares_of(said["square"])
            off = (found[..., :2] - square[..., :2]).abs().sum(-1) / square[..., 2].clamp_min(1)
            grown = (found[..., 2].clamp_min(1e-3) / square[..., 2].clamp_min(1)).log().abs()
            terms["square"] = weighted_mean(off + grown, weight)
            terms["turn"] = weighted_mean((said["turn"].movedim(1, -1) - turn).abs().sum(-1), weight)
            terms["palm"] = weighted_mean((said["palm"].movedim(1, -1) - palm).abs().sum(-1), weight)
            known = batch.mask.clamp_min(0)
            hidden = functional.binary_cross_entropy_with_logits(said["mask"][:, 0], known, reduction="none")
            terms["mask"] = weighted_mean(hidden, (batch.mask >= 0).float())
        factors = asdict(self.config.weights)
        return {name: factors[name] * value for name, value in terms.items()}


_NEAR = 0.5  # of a middle's bell, above which a cell answers for its hand
_ROUND = 0.14  # standard deviation of the bell in sides of the box
_FINEST = 0.8  # least standard deviation, cells
_SHADOW = 0.1  # of an unclear hand's bell, above which a cell is not asked


def split(maps: Tensor) -> dict[str, Tensor]:
    """Maps (B, 15, h, w) by name."""
    return dict(zip(CHANNELS, maps.split(list(CHANNELS.values()), 1), strict=True))


def cells(height: int, width: int, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
    """Middles of cells, x (1, w) and y (h, 1), in pixels from the edge."""
    x = (torch.arange(width, device=device) + 0.5) * STRIDE
    y = (torch.arange(height, device=device) + 0.5) * STRIDE
    return x[None], y[:, None]


def middles(boxes: Tensor, height: int, width: int) -> Tensor:
    """Bells (B, N, h, w) about the middles of boxes (B, N, 4), 1 in the cell of the middle."""
    x, y = cells(height, width, boxes.device)
    size = (boxes[..., 2:] - boxes[..., :2]).clamp_min(1e-3)
    middle = 0.5 * (boxes[..., :2] + boxes[..., 2:])
    middle = (middle / STRIDE).floor().mul(STRIDE).add(0.5 * STRIDE)  # so that one cell has 1
    sigma = (_ROUND * size).clamp_min(_FINEST * STRIDE)[..., None, None]
    off_x = (x - middle[..., 0, None, None]) / sigma[..., 0, :, :]
    off_y = (y - middle[..., 1, None, None]) / sigma[..., 1, :, :]
    return torch.exp(-0.5 * (off_x**2 + off_y**2))


def boxes_of(maps: Tensor) -> Tensor:
    """Boxes (B, h, w, 4), edges in pixels, of maps (B, 4, h, w)."""
    x, y = cells(maps.shape[-2], maps.shape[-1], maps.device)
    left, top, right, lower = _lengths(maps).unbind(1)
    return torch.stack([x - left, y - top, x + right, y + lower], -1)


def squares_of(maps: Tensor) -> Tensor:
    """Squares (B, h, w, 3), middle and side in pixels, of maps (B, 3, h, w)."""
    x, y = cells(maps.shape[-2], maps.shape[-1], maps.device)
    side = _lengths(maps[:, 2])
    return torch.stack([x + UNIT * maps[:, 0], y + UNIT * maps[:, 1], side], -1)


def _lengths(maps: Tensor) -> Tensor:
    """Pixels from their logarithms."""
    return UNIT * maps.clamp(max=math.log(LARGEST)).exp()


def _focal(logit: Tensor, heat: Tensor, present: Tensor, unclear: Tensor) -> Tensor:
    """CenterNet Eq. 1, alpha 2, beta 4, a hand: logits (B, h, w), bells (B, N, h, w)."""
    there = (heat * present[..., None, None]).amax(1)
    asked = (heat * unclear[..., None, None]).amax(1) < _SHADOW
    middle = there > 0.999
    asked = (asked | middle).float()
    p = torch.sigmoid(logit).clamp(1e-4, 1 - 1e-4)
    missed = -((1 - p) ** 2) * p.log() * middle
    false = -(p**2) * (1 - p).log() * (1 - there) ** 4 * ~middle
    count = middle.sum().clamp_min(1)
    return ((missed + false) * asked).sum() / count


def _giou(a: Tensor, b: Tensor) -> Tensor:
    """Generalised overlap of boxes (..., 4): intersection over union, less the share of their hull that neither fills."""
    low, high = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    both = (high - low).clamp_min(0).prod(-1)
    area = sum((box[..., 2:] - box[..., :2]).clamp_min(0).prod(-1) for box in (a, b)) - both
    hull = (torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])).prod(-1)
    return both / area.clamp_min(1e-3) - (hull - area) / hull.clamp_min(1e-3)


def save_weights(network: Detector, path: str | Path, hand: HandModel) -> None:
    """Write the network for `load`. Raises InputError if the file cannot be written."""
    write_weights(path, network.state_dict(), METHOD, asdict(network.config), hand.checksum())


def load(path: str | Path | None = None, hand: HandModel | None = None) -> Detector:
    """The network with the weights of `path` (default: those in the package), ready for inference.

    Raises:
        InputError: the file is at fault (`nets.weights.read_weights`), or its weights do not fit the network it names.
    """
    meaning = (hand or HandModel.open_hand()).checksum()
    network = load_network(path or shipped_weights(METHOD), METHOD, meaning, lambda values: Detector(config_of(values)))
    network.eval().requires_grad_(False)
    fold_batch_norm(network)
    return network


def export(
    network: Detector,
    path: str | Path,
    hand: HandModel,
    stored: Stored = "float16",
    pictures: Tensor | None = None,
    card: Mapping[str, Any] | None = None,
) -> None:
    """Write the network as one ONNX file for prediction (`predict.runtime.load_detector`); it takes pictures of any size.

    Args:
        network: as it was trained, which it stays: not one that `load` made ready.
        path: of the file.
        hand: the model that it was trained for.
        stored: how the file keeps the weights, `nets.export.Stored`.
        pictures: (N, 3, H, W) in [0, 1] of the kind to expect; int8 needs some.
        card: what it was trained on.

    Raises:
        InputError: the file cannot be written, or there is no such way to keep weights.
    """
    plain = folded_copy(network)
    example = torch.zeros(1, 3, 64, 96, dtype=torch.float32)
    config, varying = asdict(plain.config), {0: "batch", 2: "height", 3: "width"}
    export_onnx(plain, path, example, ["maps"], METHOD, config, hand.checksum(), card, stored, pictures, EXACT, varying)


EXACT = ("pyramid.stem.1.0.weight", "head.1.weight")
"""Convolutions that stay in float32 where the others are in int8: the first, which sees pixels, and the last."""


def config_of(values: Mapping[str, Any]) -> DetectorConfig:
    """The configuration in a file."""
    known: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    return DetectorConfig(**known | {"weights": LossWeights(**values["weights"])})
