"""The default estimator: one square crop of a right hand in, evidence for the model fit out.

A residual pyramid (`nets.pyramid`) gives, for each joint, a heat map read by soft-argmax (Sun et al. 2018), a map of
root-relative depths and maps of log-uncertainties, all read under the heat map (2.5D as in Iqbal et al. 2018), and from the
pooled trunk the hand-model parameters. Everything is measured in *crop units*: 0..1 across the crop, and depth as
`(z_j - z_root) * f / (z_root * S)`, what the same length would measure beside the root joint in the picture.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from phalanx.core.errors import InputError
from phalanx.core.precision import Precision
from phalanx.data.sample import Sample
from phalanx.fit.evidence import DEPTH_ROOT, Evidence
from phalanx.geometry.rotations import sixd_to_rotmat
from phalanx.geometry.turns import ray_to_rotmat
from phalanx.hand.model import HandModel
from phalanx.hand.skeleton import PARENTS
from phalanx.losses import heatmaps, regression
from phalanx.methods.base import HandEstimator
from phalanx.nets.blocks import folded_copy, inference_precision, make_ready
from phalanx.nets.export import Stored, export_onnx
from phalanx.nets.pyramid import Pyramid
from phalanx.nets.readout import read_under, soft_argmax
from phalanx.nets.weights import load_network, shipped_weights, write_weights

METHOD = "compact"
"""What its weights files say they are of."""


_MIRRORED = 4  # one in so many crops is shown as its mirror image, too, to learn handedness


@dataclass
class LossWeights:
    """Factors of the loss terms; each term is about 1 for an untrained network."""

    coordinates: float = 20.0
    """L1 of the 2D joints, in crop units."""
    maps: float = 0.5
    """Divergence of the heat maps from Gaussians."""
    depth: float = 10.0
    """L1 of the root-relative depths, in crop units."""
    uncertainty: float = 0.05
    """Likelihood of the (detached) errors, 2D and depth."""
    directions: float = 0.5
    """Directions of the bones in crop units, 3D."""
    rotations: float = 0.3
    """Local joint rotations of the parameter head."""
    orientation: float = 0.3
    """Orientation relative to the viewing ray."""
    shape: float = 0.02
    """Shape, standard deviations."""
    mask: float = 0.3
    """Binary cross-entropy of the hand's mask (a dense help; its map is not part of the evidence)."""
    handedness: float = 0.3
    """Cross-entropy of telling a picture from its mirror image, where the network has a head for that."""


@dataclass
class CompactConfig:
    """The network's size, and the weights of its losses."""

    size: int = 128
    """Side of the crop the network is meant for; it takes any multiple of 32."""
    widths: tuple[int, ...] = (48, 96, 192, 320)
    """Channels at strides 4, 8, 16, 32."""
    depths: tuple[int, ...] = (0, 2, 2, 1)
    """Residual blocks at strides 4, 8, 16, 32."""
    top_down: tuple[int, ...] = (96, 64, 48)
    """Channels of the way back at strides 16, 8, 4."""
    detail: int = 0
    """Channels of the second way in at stride 2; 0 for none."""
    hidden: int = 256
    """Width of the parameter head."""
    handedness: int = 0
    """Width of the head that says how much a crop looks like one of a right hand; 0 for none."""
    sigma: float = 0.035
    """Standard deviation of the Gaussians that heat maps are drawn to, crop units."""
    weights: LossWeights = field(default_factory=LossWeights)
    """Factors of the loss terms."""

    def __post_init__(self) -> None:
        if self.size < 32 or self.size % 32:
            raise InputError(f"size: must be a multiple of 32 pixels, not {self.size}")


@dataclass
class Targets:
    """The labels of a Sample in the network's terms; None where the sample has no such label."""

    joints_2d: Tensor | None = None  # (B, 21, 2) crop units
    inside: Tensor | None = None  # (B, 21) 1 where the joint lies in the crop
    depth: Tensor | None = None  # (B, 21) crop units
    rotations: Tensor | None = None  # (B, 16, 3, 3)
    orientation: Tensor | None = None  # (B, 3, 3) relative to the ray
    shape: Tensor | None = None  # (B, 10)
    mask: Tensor | None = None  # (B, H, W)


@dataclass(frozen=True)
class Reading:
    """What the network says of pictures, and the maps that losses are on."""

    evidence: Evidence
    logits: Tensor  # (B, 21, h, w) of the heat maps
    mask: Tensor  # (B, h, w) logits

    def __getitem__(self, rows: slice) -> Reading:
        return Reading(self.evidence.map(lambda values: values[rows]), self.logits[rows], self.mask[rows])


def centre_ray(K: Tensor, size: int) -> Tensor:
    """Unit viewing ray (B, 3) through the centre of a size x size crop with camera K (B, 3, 3)."""
    middle = K.new_tensor([(size - 1) / 2, (size - 1) / 2, 1.0])
    return functional.normalize(torch.linalg.solve(K, middle.expand(len(K), 3)), dim=-1)


def targets(sample: Sample) -> Targets:
    """What the network should say of `sample` (square pictures; K is the crop's camera)."""
    if sample.image is None or sample.image.shape[-1] != sample.image.shape[-2]:
        raise InputError("targets: the sample needs square pictures")
    size = sample.image.shape[-1]
    result = Targets(rotations=sample.rotations, shape=sample.shape, mask=sample.mask)
    if sample.joints_2d is not None:
        result.joints_2d = (sample.joints_2d + 0.5) / size
        result.inside = ((result.joints_2d > 0) & (result.joints_2d < 1)).all(dim=-1).float()
    if sample.K is not None and sample.joints is not None:
        focal = (sample.K[:, 0, 0] + sample.K[:, 1, 1]) / 2
        root = sample.joints[:, DEPTH_ROOT, 2]
        result.depth = (sample.joints[..., 2] - root[:, None]) * (focal / (root * size))[:, None]
    if sample.K is not None and sample.orientation is not None:
        result.orientation = ray_to_rotmat(centre_ray(sample.K, size)).mT @ sample.orientation
    return result


class CompactEstimator(HandEstimator):
    """The network. `estimator(images (B, 3, S, S) in [0, 1])` gives `Evidence`; `losses(sample)` trains it."""

    def __init__(self, config: CompactConfig | None = None) -> None:
        super().__init__()
        self.config = config or CompactConfig()
        self.pyramid = Pyramid(self.config.widths, self.config.depths, self.config.top_down, self.config.detail)
        # per joint: heat map, depth, log-uncertainty in 2D and of depth; then one map for the mask
        self.maps = nn.Conv2d(self.config.top_down[-1], 4 * 21 + 1, 1)
        self.parameters_head = nn.Sequential(
            nn.Linear(self.config.widths[-1] + 3 * 21, self.config.hidden),
            nn.ReLU(inplace=True),
            nn.Linear(self.config.hidden, self.config.hidden),
            nn.ReLU(inplace=True),
            nn.Linear(self.config.hidden, 17 * 6 + 10),
        )
        nn.init.normal_(self.maps.weight, std=0.01)
        nn.init.zeros_(self.maps.bias)  # type: ignore[arg-type]
        with torch.no_grad():
            self.maps.bias[42:84] = math.log(0.05)  # type: ignore[index]

        self.handedness_head: nn.Module | None = None
        if self.config.handedness:
            self.handedness_head = nn.Sequential(
                nn.Linear(self.config.widths[-1], self.config.handedness),
                nn.ReLU(inplace=True),
                nn.Linear(self.config.handedness, 1),
            )
        self.precision = torch.float32  # of the pyramid on the CPU; `load` may lower it

    def forward(self, images: Tensor) -> Evidence:
        return self.read(images).evidence

    @torch.no_grad()
    def evidence(self, batch: Tensor) -> Evidence:
        """What it says of square crops `(B, 3, S, S)` in [0, 1], S a multiple of 32, in crop units; without gradients."""
        evidence: Evidence = self(batch)
        return evidence

    def read(self, images: Tensor) -> Reading:
        """What it says of square crops `(B, 3, S, S)` in [0, 1], with gradients."""
        images = (images - 0.45) * 4.0
        features, pooled = self.pyramid(images.to(self.precision) if images.device.type == "cpu" else images)
        maps = self.maps(features.to(images.dtype)).float()  # (B, 85, S/4, S/4)
        logits, depths, spread_2d, spread_depth = maps[:, :84].split(21, dim=1)
        joints_2d, probabilities = soft_argmax(logits)
        depth = read_under(probabilities, depths)
        depth = depth - depth[:, DEPTH_ROOT : DEPTH_ROOT + 1]
        fixed = probabilities.detach()  # uncertainty must not move the maps
        sigma_2d = torch.exp(read_under(fixed, spread_2d).clamp(-7.0, 0.0))
        sigma_depth = torch.exp(read_under(fixed, spread_depth).clamp(-7.0, 0.0))
        seen = torch.cat((joints_2d - joints_2d[:, DEPTH_ROOT : DEPTH_ROOT + 1], depth[..., None]), dim=-1).detach()
        head = self.parameters_head(torch.cat((pooled, 4.0 * seen.flatten(1)), dim=-1)).float()  # (B, 112)
        identity = head.new_tensor([1.0, 0.0, 0.0, 0.0, 1.0, 0.0])
        rotations = sixd_to_rotmat(head[:, : 17 * 6].reshape(-1, 17, 6) + identity)
        evidence = Evidence(
            joints_2d=joints_2d,
            sigma_2d=sigma_2d,
            depth=depth,
            sigma_depth=sigma_depth,
            rotations=rotations[:, :16],
            orientation=rotations[:, 16],
            shape=head[:, 17 * 6 :],
            right=None if self.handedness_head is None else self.handedness_head(pooled).float()[:, 0],
        )
        return Reading(evidence, logits, maps[:, 84])

    def losses(self, batch: Sample) -> dict[str, Tensor]:
        """Weighted loss terms by name, scalars, of a batch of labelled crops; terms whose labels are absent are left out.

        The loss to descend is their sum.
        """
        assert batch.image is not None
        if self.handedness_head is None:
            return self.losses_of(self.read(batch.image), batch)
        count = -(-len(batch) // _MIRRORED)
        reading = self.read(torch.cat([batch.image, batch.image[:count].flip(-1)]))
        right = reading.evidence.right
        assert right is not None
        surprise = functional.softplus(right[len(batch) :] - right[:count]).mean()
        terms = self.losses_of(reading[: len(batch)], batch)
        return terms | {"handedness": self.config.weights.handedness * surprise}

    def losses_of(self, reading: Reading, batch: Sample) -> dict[str, Tensor]:
        """`losses` of what the network said of the batch's pictures; among them there may have been others."""
        want, got, mask = targets(batch), reading.evidence, reading.mask
        assert batch.image is not None
        weights = self.config.weights
        terms: dict[str, Tensor] = {}
        with torch.autocast(batch.image.device.type, enabled=False):
            if want.joints_2d is not None:
                terms |= self._joint_losses(got, reading.logits, want)
            everywhere = torch.ones(len(batch), device=batch.image.device)
            assert got.rotations is not None and got.orientation is not None and got.shape is not None
            if want.rotations is not None:
                joints = everywhere[:, None].expand(-1, 16)
                terms["rotations"] = weights.rotations * regression.chordal(got.rotations, want.rotations, joints)
            if want.orientation is not None:
                terms["orientation"] = weights.orientation * regression.chordal(
                    got.orientation, want.orientation, everywhere
                )
            if want.shape is not None:
                terms["shape"] = weights.shape * (got.shape - want.shape).square().mean()
            if want.mask is not None:
                coarse = functional.interpolate(want.mask[:, None], size=mask.shape[-2:], mode="area")[:, 0]
                terms["mask"] = weights.mask * functional.binary_cross_entropy_with_logits(mask, coarse)
        return terms

    def _joint_losses(self, got: Evidence, logits: Tensor, want: Targets) -> dict[str, Tensor]:
        assert want.joints_2d is not None and want.inside is not None
        assert got.joints_2d is not None and got.sigma_2d is not None
        assert got.depth is not None and got.sigma_depth is not None
        weights = self.config.weights
        terms = {
            "coordinates": weights.coordinates * regression.l1(got.joints_2d, want.joints_2d, want.inside),
            "maps": weights.maps
            * heatmaps.gaussian_cross_entropy(logits, want.joints_2d, self.config.sigma, want.inside),
        }
        error = (got.joints_2d - want.joints_2d).detach().abs().mean(-1)
        likelihood = regression.laplace_nll(error, torch.log(got.sigma_2d), want.inside)
        if want.depth is not None:
            terms["depth"] = weights.depth * regression.l1(got.depth[..., None], want.depth[..., None], want.inside)
            error = (got.depth - want.depth).detach()
            likelihood = likelihood + regression.laplace_nll(error, torch.log(got.sigma_depth), want.inside)
            predicted = torch.cat((got.joints_2d, got.depth[..., None]), dim=-1)
            true = torch.cat((want.joints_2d, want.depth[..., None]), dim=-1)
            parents = torch.as_tensor(PARENTS[1:], device=true.device)
            terms["directions"] = weights.directions * regression.directions(predicted, true, parents, want.inside)
        terms["uncertainty"] = weights.uncertainty * likelihood
        return terms


def save_weights(network: CompactEstimator, path: str | Path, hand: HandModel) -> None:
    """Write the network's weights for `load`. Raises InputError if the file cannot be written."""
    write_weights(path, network.state_dict(), METHOD, asdict(network.config), hand.checksum())


def load(
    path: str | Path | None = None, hand: HandModel | None = None, precision: Precision = "auto"
) -> CompactEstimator:
    """The network with the weights of `path` (default: those in the package), in evaluation mode, ready for inference.

    Batch normalisation is folded into the convolutions, and their weights are laid out for the CPU, so what comes out is not for
    further training.

    Args:
        path: of the weights.
        hand: the model that they must have been trained for (default: the open hand).
        precision: of convolutions on the CPU; auto is the faster one on this CPU. Elsewhere they compute in float32.

    Raises:
        InputError: the file is missing, truncated, not a weights file of this version, damaged (its checksum differs) or
            was trained for another hand model; or this CPU cannot compute in that precision.
    """
    dtype = inference_precision(precision)
    network = load_trainable(path, hand)
    size = network.config.size
    make_ready(network, torch.zeros(1, 3, size, size, dtype=torch.float32), dtype)
    network.precision = dtype
    return network


def load_trainable(path: str | Path | None = None, hand: HandModel | None = None) -> CompactEstimator:
    """The network with the weights of `path`, as it was trained; arguments and errors as for `load`."""
    meaning = (hand or HandModel.open_hand()).checksum()
    return load_network(
        path or shipped_weights(METHOD), METHOD, meaning, lambda values: CompactEstimator(config_of(values))
    )


def export(
    network: CompactEstimator,
    path: str | Path,
    hand: HandModel,
    stored: Stored = "float16",
    pictures: Tensor | None = None,
    card: Mapping[str, Any] | None = None,
) -> None:
    """Write the network as one ONNX file for prediction (`predict.runtime.load_estimator`).

    Args:
        network: as it was trained, which it stays: not one that `load` made ready.
        path: of the file.
        hand: the model that it was trained for.
        stored: how the file keeps the weights, `nets.export.Stored`.
        pictures: crops (N, 3, S, S) in [0, 1] of the kind to expect, S as in the configuration; int8 needs some.
        card: what it was trained on.

    Raises:
        InputError: the file cannot be written, or there is no such way to keep weights.
    """
    plain = folded_copy(network)
    plain.precision = torch.float32
    example = torch.zeros(2, 3, plain.config.size, plain.config.size, dtype=torch.float32)
    names, config = known(plain.evidence(example)), asdict(plain.config)
    export_onnx(
        _InOrder(plain).eval(), path, example, names, METHOD, config, hand.checksum(), card, stored, pictures, EXACT
    )


_EXACT = ("stem.1.0", "detail.1.0", "detail.2.0", "lateral.2.0", "reduce.2.0", "merge.2.0") + tuple(
    f"stages.3.{name}.0" for name in ("0.first", "0.second", "0.shortcut.1", "1.first", "1.second")
)
EXACT = ("estimator.maps.weight", *(f"estimator.pyramid.{name}.weight" for name in _EXACT))
"""Convolutions that stay in float32 where the others are in int8: the first, which see pixels, the last, which maps
are read from, and the coarsest, which the orientation is read from."""


class _InOrder(nn.Module):
    """An estimator whose evidence is a tuple of what it knows, in the order of the fields of `Evidence`."""

    def __init__(self, estimator: nn.Module) -> None:
        super().__init__()
        self.estimator = estimator

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        evidence = self.estimator(images)
        return tuple(getattr(evidence, name) for name in known(evidence))


def known(evidence: Evidence) -> list[str]:
    """The names of what is there in `evidence`."""
    return [field.name for field in fields(evidence) if getattr(evidence, field.name) is not None]


def config_of(values: dict[str, Any]) -> CompactConfig:
    """The configuration in a weights file."""
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    return CompactConfig(**(values | {"weights": LossWeights(**values["weights"])}))
