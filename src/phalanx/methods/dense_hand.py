"""One colour picture to the whole surface of a hand, learnt from joints and masks, and fitted to the picture again at test time.

Baek, Kim and Kim, "Pushing the envelope for RGB-based dense 3D hand pose estimation via neural rendering", CVPR 2019.

    colour -> f^J2D: pose machine -> heat maps (Eq. 3) -> their peaks j'_2D(0) --+
       |                                                                        |
       +--> F: features of the foreground (Eq. 2) ----------+-------------------+
                                                            v                   |
                  h(0) -> f^J3D: one linear layer -> h(t + 1) = h(t) + dh (Eq. 4, 5) ------> hand model -> surface, joints (Eq. 8)
                             ^                              |                              | renderer
                             |  three times                 v                              v
                             +-- j'_2D(t + 1) <- f^Ref: one linear layer (Eq. 6)          mask (Eq. 9)

At test time h moves on, down what the picture itself says (Eq. 13): j'_2D, and that the picture and what the mask leaves of it have the
same features. Once warm, training makes pictures of its own: of hands that it found, with their colours, in other shapes and views (Sec.
3.5).

What the paper leaves unsaid or misprints, and what was chosen:

- **Factors** (`DenseHandWeights`): Eq. 7 prints none but lambda, with squared norms: over 224 x 224 pixels Eq. 9 would be all there is.
  Here all norms are means (over coordinates, pixels, features), but Eq. 3, a sum over cells as in the other methods.
- **Normalised skeletons** (Eq. 8) are centred at the root, so nothing would teach c_t until the mask does, for which Eq. 12 asks that c_t
  is right. Here z is measured from the root, and x and y from the picture's middle. g, 1.5 times the hand's box, is the side of the crop:
  it is known at test time. The supplement, with the way back, is not at hand: the root's true depth is given
  (`mesh_parameters.at_depth`).
- **The camera** c: how a scale and a translation make a picture is not said. Here they put the hand before the crop's own pinhole camera
  (`hand.mesh_parameters`), so that near fingers are large in mask and skeleton; scale and distance have logarithms.
- **h(0)** is zeros in print but for the pose: a quaternion of zeros is no turn. It is one that shows the palm, upright.
- **z** has 2,048 and 42 numbers, though "21 x 3" stands beside: 2,153 x 63 weights are those, and 63. There is no prior on p and s but
  L_Lap.
- **Eq. 6**: 2,216 = 42 + 2,048 + 63 + 63. Both linear layers begin as nothing: f^J3D at h(0), f^Ref as the identity. L_Ref is a mean over
  the three iterations; its gradients reach F and f^J3D, as Eq. 7 has it. Eq. 8 and 9 are on the last h.
- **Eq. 2** alone is least where F says nothing. F begins from ImageNet's weights there; here from our own start, in which one more linear
  layer reads the 2D joints out of it (`start_losses`). Both pictures are of one batch, so that normalisation sees both.
- **L_Lap** has no equation. Smoothness as such makes hands small and fingers thin; here it is how much more or less than at rest the
  surface is curved (`losses.surfaces.bent_surface`), before scale and place.
- **Eq. 12** compares a squared norm of all joints with 15 px. Here it is the mean distance of the 21 joints, in pixels of a picture of
  224.
- **The mask** is the hand's to the wrist: MANO ends there; of the open hand and of the pictures the forearm is left out. It is rendered
  by `render.silhouette`, in place of Kato et al.'s.
- **Eq. 13**: lambda needs true joints (Eq. 12), which are absent: j'_2D stands for them, and it is decided once, from what was regressed.
  j'_2D is the refiner's last one and stays: the text has it both refined "recursively" (which Eq. 5 does) and given. So hands are held to
  one cost, and never come back with a greater one. Factors are those of training. Steps are Adam's, for angles and metres differ; gamma
  is not said apart from the learning rate.
- **Sec. 3.5**: no light is taken off the colours that a picture gives; what it does not show takes the colour of what is next to it
  (`render.vertex_colours`). Seeds are those hands of the batch that fit best; colours come from within the true mask. New hands are
  brought to the place and extent of the seed: turned about the root they would leave the picture. Each step makes its own, and none are
  kept. The heat maps learn from them, too.
- **Optimisers** are the loop's; recipes at `paper` scale use Adam's kind alone (`kernel_rate: 0`). Batches are not printed.
- **Networks**: F is `nets.feature_extractor`, for ResNet-50; f^J2D `nets.pose_machine`, whose maps have a quarter of the picture's side,
  not 32 cells of 224 pixels; both from nothing, on our own synthesis. Peaks of maps are read to a part of a cell.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from phalanx.core.errors import InputError
from phalanx.data.mixture import Mixture
from phalanx.data.sample import Sample, concatenate
from phalanx.fit.refinement import Refined, refine
from phalanx.geometry.camera import Camera
from phalanx.hand.mesh_parameters import (
    PARAMETERS,
    PLACE,
    ROOT,
    SHAPE,
    TURN,
    ParametricHand,
    focal_length,
    uniform_turns,
)
from phalanx.hand.model import HandModel
from phalanx.losses.latent_depth import heat_map_error
from phalanx.losses.surfaces import bent_surface
from phalanx.methods.base import Method, Player
from phalanx.nets.feature_extractor import FeatureExtractor
from phalanx.nets.pose_machine import JOINTS, PoseMachine
from phalanx.nets.readout import peaks
from phalanx.nets.weights import load_network, write_weights
from phalanx.render.silhouette import mesh_edges, soft_silhouette
from phalanx.render.vertex_colours import coloured_pictures, sampled_colours, spread_colours
from phalanx.render.visibility import visibility

METHOD = "dense_hand"
"""What its weights files say they are of."""

LABELLED, BACKGROUNDS = "labelled", "backgrounds"
"""Kinds in a batch, a `Mixture` of two `Sample`s: pictures with mask, joints and camera; and pictures to put behind new hands. Without the
latter none are made."""

PIXELS = 224
"""Side of the picture whose pixels Eq. 12 counts in."""

STANDARD_DEVIATIONS = 3.0
"""How far from the mean the shapes of new hands are drawn."""

COORDINATES = 2 * JOINTS


@dataclass
class DenseHandWeights:
    """Factors of Eq. 7 and 3, and of the start; none is printed. 0 leaves a term out."""

    heat_maps: float = 0.1
    """Eq. 3, a sum over cells."""
    features: float = 0.1
    """Eq. 2, a mean over features."""
    articulation: float = 100.0
    """Eq. 8, a mean over coordinates, in squared sides of the picture."""
    shape: float = 1.0
    """Eq. 9, a mean over pixels; times lambda."""
    laplacian: float = 0.1
    """L_Lap, in squared lengths of an edge."""
    refiner: float = 100.0
    """Eq. 6, as Eq. 8."""
    readout: float = 100.0
    """2D joints read out of the features, in the start alone; as Eq. 8."""


@dataclass
class DenseHandConfig:
    """The networks and their losses."""

    size: int = 64
    """Side of pictures, pixels, a multiple of 32."""
    stages: int = 3
    """Of the pose machine."""
    width: int = 32
    """Channels of the pose machine."""
    widths: list[int] = field(default_factory=lambda: [32, 64, 96, 128])
    """Channels of the trunk of F at S/4, S/8, ..."""
    depths: list[int] = field(default_factory=lambda: [1, 2, 2, 2])
    """Its residual blocks at each."""
    features: int = 256
    """Numbers in F(x); 2,048 in print."""
    iterations: int = 3
    """Of Eq. 5."""
    skeleton: bool = True
    """Whether f^J3D gets 2D joints beside the features; else it is Kanazawa et al. 2018's."""
    refiner: bool = True
    """Whether 2D joints are refined from iteration to iteration (Eq. 6)."""
    threshold: float = 15.0
    """tau of Eq. 12, pixels of a picture of 224."""
    constant: float | None = None
    """lambda of Eq. 7 if it shall be the same for all pictures; none: Eq. 12."""
    seeds: int = 8
    """Hands of a batch that new ones are made of."""
    generated: int = 3
    """New hands of each."""
    refinement: int = 50
    """Iterations of Eq. 13."""
    rate: float = 0.01
    """Their length."""
    weights: DenseHandWeights = field(default_factory=DenseHandWeights)
    """Factors of the loss terms."""

    def __post_init__(self) -> None:
        if self.size < 32 or self.size % 32:
            raise InputError(f"size: must be a multiple of 32 pixels, not {self.size}")
        if self.refiner and not self.skeleton:
            raise InputError("refiner: refines the 2D joints that skeleton gives; switch both off, or both on")


_TRAINING = ("threshold", "constant", "seeds", "generated", "refinement", "rate", "weights")
ARCHITECTURE = tuple(item.name for item in fields(DenseHandConfig) if item.name not in _TRAINING)
"""What of `DenseHandConfig` weights are of."""


@dataclass
class Estimate:
    """What the network says of B pictures."""

    parameters: Tensor
    """(B, 63) h, see `hand.mesh_parameters`."""
    joints_2d: Tensor
    """(B, 21, 2) j'_2D after the last iteration, sides of the picture from its middle; without `skeleton` those of h itself."""
    features: Tensor
    """(B, features) F(x)."""
    refined: list[Tensor]
    """(B, 21, 2) j'_2D after each iteration; none without `refiner`."""


class DenseHand(Method):
    """Both networks, both linear layers, and the hand that they pose.

    `network(images (B, 3, S, S), K (B, 3, 3))` gives h (B, 63). A batch with backgrounds is learnt from with new hands, one without is
    not. `players_of_evidence` are those of the start.

    Args:
        config: networks and losses.
        hand: None: the open hand.
        mean_pose: (45,) see `ParametricHand`.
    """

    edges: Tensor

    def __init__(
        self, config: DenseHandConfig | None = None, hand: HandModel | None = None, mean_pose: Tensor | None = None
    ) -> None:
        super().__init__()
        self.config = config = config or DenseHandConfig()
        self.hand = ParametricHand(hand or HandModel.open_hand(), mean_pose)
        self.outline = mesh_edges(self.hand.faces)
        self.register_buffer("edges", mesh_edges(self.hand.hand.faces).ends, persistent=False)
        self.joints = PoseMachine(config.stages, width=config.width)
        self.features = FeatureExtractor(config.widths, config.depths, config.features)
        self.readout = nn.Linear(config.features, COORDINATES)
        self.regressor = nn.Linear(config.features + COORDINATES * config.skeleton + PARAMETERS, PARAMETERS)
        nn.init.normal_(self.regressor.weight, std=1e-3)
        nn.init.zeros_(self.regressor.bias)
        if config.refiner:
            self.refiner = nn.Linear(COORDINATES + config.features + PARAMETERS + 3 * JOINTS, COORDINATES)
            nn.init.normal_(self.refiner.weight, std=1e-3)
            nn.init.zeros_(self.refiner.bias)
            with torch.no_grad():
                self.refiner.weight[:, :COORDINATES] += torch.eye(COORDINATES)

    def forward(self, images: Tensor, K: Tensor) -> Tensor:
        return self.estimate(images, K).parameters

    def estimate(self, images: Tensor, K: Tensor) -> Estimate:
        """Everything that the network says of pictures (B, 3, S, S) with cameras K (B, 3, 3)."""
        return self.regress(self.features(images), self.found_joints(images) if self.config.skeleton else None, K)

    @torch.no_grad()
    def found_joints(self, images: Tensor) -> Tensor:
        """j'_2D(0) (B, 21, 2): peaks of the heat maps, through which no gradients go (Sec. 3.3)."""
        return highest(self.joints(images)[1])

    def regress(self, features: Tensor, joints_2d: Tensor | None, K: Tensor) -> Estimate:
        """h out of 2D evidence: features (B, F) and joints (B, 21, 2), which may be None without `skeleton` and `refiner`."""
        count, size = len(features), self.config.size
        parameters = self.hand.start.expand(count, -1)  # h(0)
        places, refined = features.new_zeros(count, COORDINATES) if joints_2d is None else joints_2d.flatten(1), []
        for _ in range(self.config.iterations):
            evidence = [features, places] if self.config.skeleton else [features]
            parameters = parameters + self.regressor(torch.cat([*evidence, parameters], 1))  # Eq. 5
            if self.config.refiner:
                skeleton = normalised_skeleton(self.hand.joints(parameters, K, size), K, size)
                places = self.refiner(torch.cat([places, features, parameters, skeleton.flatten(1)], 1))  # Eq. 6
                refined.append(places.view(count, JOINTS, 2))
        if not self.config.skeleton:
            places = normalised_skeleton(self.hand.joints(parameters, K, size), K, size)[..., :2].flatten(1)
        return Estimate(parameters, places.view(count, JOINTS, 2), features, refined)

    def masks(self, vertices: Tensor, K: Tensor) -> Tensor:
        """f^Ren: what hands with these vertices (B, V, 3) cover of each pixel (B, S, S), to the wrist."""
        size, faces = self.config.size, self.hand.faces
        if self.outline.ends.device != faces.device:
            self.outline = mesh_edges(faces)
        return soft_silhouette(vertices, faces, K, visibility(vertices, faces, K, size, size), self.outline)

    # ------------------------------------------------------------------------------------------------------ training

    def players_of_evidence(self) -> tuple[Player, ...]:
        """The start: 2D evidence alone."""
        parts = (self.joints, self.features, self.readout)
        return (Player("evidence", tuple(p for part in parts for p in part.parameters()), self.start_losses),)

    def start_losses(self, batch: Mixture) -> dict[str, Tensor]:
        """Eq. 3, Eq. 2, and 2D joints read out of the features by a linear layer."""
        sample, weights = batch.get(LABELLED), self.config.weights
        whole, masked = self._both_features(sample)
        read = self.readout(whole).view(-1, JOINTS, 2)
        return {
            "heat_maps": weights.heat_maps * heat_map_loss(self.joints(sample.image)[1], sample),  # Eq. 3
            "features": weights.features * (whole - masked).square().mean(),  # Eq. 2
            "readout": weights.readout * (read - true_skeleton(sample)[..., :2]).square().mean(),
        }

    def losses(self, batch: Mixture) -> dict[str, Tensor]:
        """The weighted terms of Eq. 7, and of Eq. 3; of what is labelled and, with backgrounds, of new hands."""
        sample, behind = batch.get(LABELLED), batch.get(BACKGROUNDS)
        if behind is not None:
            kept = Sample(**{name: getattr(sample, name) for name in ("image", "mask", "joints", "joints_2d", "K")})
            sample = concatenate([kept, self.generate(kept, behind.image)])
        config, terms, joints_2d = self.config, {}, None
        if config.skeleton or config.weights.heat_maps:
            maps = self.joints(sample.image)[1]
            joints_2d = highest(maps)
            if config.weights.heat_maps:
                terms["heat_maps"] = config.weights.heat_maps * heat_map_loss(maps, sample)  # Eq. 3
        return terms | self.mesh_losses(sample, joints_2d)

    def mesh_losses(self, sample: Sample, joints_2d: Tensor | None) -> dict[str, Tensor]:
        """The weighted terms of Eq. 7; `joints_2d` (B, 21, 2) is j'_2D(0)."""
        config, weights = self.config, self.config.weights
        assert sample.image is not None and sample.mask is not None and sample.K is not None
        terms = {}
        if weights.features:
            features, masked = self._both_features(sample)
            terms["features"] = weights.features * (features - masked).square().mean()  # Eq. 2
        else:
            features = self.features(sample.image)
        found = self.regress(features, joints_2d, sample.K)
        truth = true_skeleton(sample)
        vertices, joints, unplaced = self.hand(found.parameters, sample.K, config.size)
        skeleton = normalised_skeleton(joints, sample.K, config.size)
        terms["articulation"] = weights.articulation * (skeleton - truth).square().mean()  # Eq. 8
        terms["laplacian"] = weights.laplacian * bent_surface(unplaced, self.edges, self.hand.hand.template).mean()
        if weights.shape:
            share = self.shape_weights(skeleton, truth[..., :2])
            terms["shape"] = weights.shape * self.shape_loss(vertices, sample.K, sample.mask, share)  # Eq. 9, 12
        if found.refined:
            off = torch.stack([(places - truth[..., :2]).square().mean() for places in found.refined])
            terms["refiner"] = weights.refiner * off.mean()  # Eq. 6
        return terms

    def shape_weights(self, skeleton: Tensor, places: Tensor) -> Tensor:
        """lambda (B,), Eq. 12: 1 where normalised skeletons (B, 21, 3) lie near the places (B, 21, 2) in the picture, else 0."""
        if self.config.constant is not None:
            return torch.full_like(skeleton[:, 0, 0], self.config.constant)
        return (pixels_off(skeleton, places) < self.config.threshold).to(skeleton)

    def shape_loss(self, vertices: Tensor, K: Tensor, true: Tensor, share: Tensor) -> Tensor:
        """Eq. 9, a mean over pixels, times lambda (B,); masks of no weight are not rendered."""
        rows = share.nonzero()[:, 0]
        off = (self.masks(vertices[rows], K[rows]) - true[rows]).square().mean((1, 2))
        return (share[rows] * off).sum() / len(share)

    def _both_features(self, sample: Sample) -> tuple[Tensor, Tensor]:
        """F(x) and F(x . m) (B, F)."""
        assert sample.image is not None and sample.mask is not None
        first, second = self.features(torch.cat((sample.image, sample.image * sample.mask[:, None]))).chunk(2)
        return first, second

    # ------------------------------------------------------------------------------- new hands of hands that were found

    @torch.no_grad()
    def generate(self, sample: Sample, behind: Tensor) -> Sample:
        """New pictures with their labels (Sec. 3.5): `generated` of each of the `seeds` hands of a sample that are found best.

        Args:
            sample: pictures with mask, joints_2d and K.
            behind: (N, 3, S, S) pictures to put behind, of which any number serves.
        """
        assert sample.image is not None and sample.mask is not None and sample.K is not None
        size = self.config.size
        with _at_rest(self):
            found = self.estimate(sample.image, sample.K).parameters
        skeleton = normalised_skeleton(self.hand.joints(found, sample.K, size), sample.K, size)
        off = pixels_off(skeleton, true_skeleton(sample)[..., :2])
        rows = off.argsort()[: self.config.seeds]
        seeds, K = found[rows], sample.K[rows]
        vertices, _, _ = self.hand(seeds, K, size)
        colours, seen = sampled_colours(sample.image[rows], sample.mask[rows], vertices, self.hand.faces, K)
        colours = spread_colours(colours, seen, self.edges)

        def repeated(values: Tensor) -> Tensor:
            return values.repeat_interleave(self.config.generated, 0)

        K = repeated(K)
        new = self.varied(repeated(seeds), K)
        vertices, joints, _ = self.hand(new, K, size)
        background = behind[torch.arange(len(new), device=behind.device) % len(behind)]
        image, mask = coloured_pictures(vertices, self.hand.faces, K, repeated(colours), background)
        places = Camera(K, size, size).project(joints)
        return Sample(image=image, mask=mask, joints=joints, joints_2d=places, K=K)

    def varied(self, parameters: Tensor, K: Tensor) -> Tensor:
        """h (B, 63) of the same poses with any shape, seen from anywhere, as large and in the same place of the picture."""
        size, new = self.config.size, parameters.clone()
        shape = STANDARD_DEVIATIONS * (2 * torch.rand(new[:, SHAPE].shape) - 1)
        new[:, SHAPE] = shape.to(new)
        new[:, TURN] = uniform_turns(len(new)).to(new)

        def box(values: Tensor) -> tuple[Tensor, Tensor]:
            places = normalised_skeleton(self.hand.joints(values, K, size), K, size)[..., :2]
            low, high = places.amin(1), places.amax(1)  # (B, 2)
            return 0.5 * (low + high), (high - low).amax(1)

        middle, extent = box(parameters)
        for _ in range(2):  # distance changes more than size, but little
            _, now = box(new)
            new[:, PLACE.start + 2] += (now / extent).log()
            there, _ = box(new)
            new[:, PLACE.start : PLACE.start + 2] += middle - there
        return new

    # ---------------------------------------------------------------------------------------------- refinement at test

    @torch.no_grad()
    def refine(self, images: Tensor, K: Tensor, found: Estimate, iterations: int | None = None) -> Refined:
        """h (B, 63) moved down Eq. 13, by iterations as many as given (None: the settings'); of a network ready for inference.

        No hand's cost rises: the best of each hand's path is returned, the path beside.

        Args:
            images: (B, 3, S, S).
            K: (B, 3, 3).
            found: what the network says of them.
        """
        config, weights = self.config, self.config.weights
        skeleton = normalised_skeleton(self.hand.joints(found.parameters, K, config.size), K, config.size)
        share = self.shape_weights(skeleton, found.joints_2d)  # Eq. 12, with j'_2D for the truth
        rows = share.nonzero()[:, 0]

        def cost(parameters: Tensor) -> Tensor:
            vertices, joints, unplaced = self.hand(parameters, K, config.size)
            places = normalised_skeleton(joints, K, config.size)[..., :2]
            total = weights.articulation * (places - found.joints_2d).square().mean((1, 2))
            total = total + weights.laplacian * bent_surface(unplaced, self.edges, self.hand.hand.template)
            if len(rows) and weights.features:
                masked = self.features(images[rows] * self.masks(vertices[rows], K[rows])[:, None])
                off = (found.features[rows] - masked).square().mean(1)
                total = total.index_add(0, rows, weights.features * share[rows] * off)
            return total  # Eq. 13

        return refine(found.parameters, cost, config.refinement if iterations is None else iterations, config.rate)


def normalised_skeleton(joints: Tensor, K: Tensor, size: int) -> Tensor:
    """Joints as Eq. 8 compares them, (B, 21, 3): x and y in sides of the picture from its middle, z from the root's, as long as they.

    Args:
        joints: (B, 21, 3) camera frame, in any unit.
        K: (B, 3, 3) cameras of pictures of `size` pixels.
    """
    places = (Camera(K, size, size).project(joints) + 0.5) / size - 0.5
    root = joints[:, ROOT, None, 2]  # (B, 1)
    depth = (joints[..., 2] - root) / root * (focal_length(K) / size)[:, None]
    return torch.cat((places, depth[..., None]), -1)


def heat_map_loss(maps: Sequence[Tensor], sample: Sample) -> Tensor:
    """Eq. 3 of the heat maps of all stages, each (B, 21, h, w)."""
    return heat_map_error(maps, true_skeleton(sample)[..., :2] + 0.5)


@torch.no_grad()
def highest(maps: Sequence[Tensor]) -> Tensor:
    """Where the heat maps of the last stage are highest (B, 21, 2), sides of the picture from its middle."""
    return peaks(maps[-1].float())[0] - 0.5


def true_skeleton(sample: Sample) -> Tensor:
    """What Eq. 8 compares with (B, 21, 3)."""
    assert sample.joints is not None and sample.K is not None and sample.image is not None
    return normalised_skeleton(sample.joints, sample.K, sample.image.shape[-1])


def pixels_off(skeleton: Tensor, places: Tensor) -> Tensor:
    """(B,) how far normalised skeletons (B, 21, 3) lie beside places (B, 21, 2), the mean of the joints, in pixels of a picture of 224."""
    return PIXELS * (skeleton[..., :2] - places).norm(dim=-1).mean(1)


@contextmanager
def _at_rest(network: nn.Module) -> Iterator[None]:
    """Statistics of normalisation stand still within."""
    training = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(training)


def save_weights(network: DenseHand, path: str | Path) -> None:
    """Write all networks for `load`. Raises InputError if the file cannot be written."""
    values = {name: getattr(network.config, name) for name in ARCHITECTURE}
    write_weights(path, network.state_dict(), METHOD, values, network.hand.hand.checksum())


def load(
    path: str | Path, hand: HandModel | None = None, trainable: bool = False, mean_pose: Tensor | None = None
) -> DenseHand:
    """The networks with the weights of `path`: ready for inference, or as they were, for training on. The package ships none.

    Args:
        path: of the weights.
        hand: that they were trained on; None: the open hand.
        trainable: whether to train on.
        mean_pose: (45,) that they were trained with, see `ParametricHand`.

    Raises:
        InputError: the file is at fault (`nets.weights.read_weights`), or its weights do not fit the networks it names.
    """
    hand = hand or HandModel.open_hand()

    def build(values: dict[str, Any]) -> DenseHand:
        return DenseHand(DenseHandConfig(**{name: values[name] for name in ARCHITECTURE}), hand, mean_pose)

    network = load_network(path, METHOD, hand.checksum(), build)
    return network if trainable else network.eval().requires_grad_(False)
