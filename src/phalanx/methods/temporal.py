"""3D hand pose and mesh from clips with 2D labels alone: the same, seen forward and backward (TASSN).

Chen, "Deep learning in 3D hand pose and mesh estimation", dissertation, University of California, Irvine, 2020, chapter 4 (WACV 2021).

    frame t, flow from t-1 to t, heat maps of t-1 -> stacked hourglass -> heat maps of t (Eq. 4.1)
                                                          | features
                                                          +-> Chebyshev convolutions, coarse to fine -> mesh -> silhouette (Eq. 4.2)
                                                                                                         |
                                                                     two pooled convolutions, two linear layers -> pose
    frame t, flow from t+1 to t, heat maps of t+1 -> the same network -> mesh and pose of t again; both must agree (Eq. 4.3 to 4.5)

Eq. 4.6 is 0.1 of Eq. 4.2, Eq. 4.1, and 10 of Eq. 4.3 and of Eq. 4.4. Three stages: heat maps; heat maps and mesh, with Eq. 4.1 and 4.2;
all of it, with Eq. 4.6.

**What holds it.** None of these terms sees depth. Eq. 4.3 and 4.4 are least where mesh and pose do not depend on the order of frames: a
constant is perfect, and so is a flat hand. Eq. 4.2 pulls the outline alone, which a flat mesh can meet. Nothing at all tells pose from
mesh: the pose has no term but Eq. 4.3, whose least is anything that is the same both ways. Depth, and what the pose means, come from the
weights that training begins with, and the terms only move these. Begun from nothing, the pose stays at a point
(`tests/methods/test_temporal.py`; the table of `phalanx reproduce tassn` has the row).

What the thesis leaves unsaid or misprints, and what was chosen:

- **Where the mesh network begins**: in print from the weights of Ge et al. 2019, trained with 3D labels, on STB for STB. Here a stage of
  its own behind the first learns mesh and pose from synthetic clips with 3D labels (`SYNTHESIS`). Heat maps of these and of the clips
  without 3D labels (`TARGET`) are learnt in both, so that the hourglass' features serve the mesh network on the latter, too. A step of
  these two goes through clips in one order, drawn at random.
- **Sizes**: 256 pixels and two stacks are printed; layers, widths and the order S are not. The mesh is the open hand's, of 1,769 vertices.
  From features to the coarsest graph: features and heat maps, halved twice, and two linear layers, as in `methods.multi_view`.
- **Flow**: DIS of OpenCV for FlowNet (`data.flow`), computed once, not trained. It is divided by a twentieth of the picture's side.
- **Previous heat maps** come in at the picture's size, without gradients: each frame has labels of its own. The first frame of a clip
  has neither flow nor heat maps before it: both are 0.
- **n**, the frames of a clip, is not printed (`TemporalConfig.window`); nor is which order counts when the trained network is used:
  forward, so that it needs no frame that is still to come.
- **Eq. 4.1**: height and width of the Gaussians are those of `losses.latent_depth`; of both stacks, their mean.
- **Eq. 4.2**: a mean over the picture's pixels, so that its weight does not depend on the size. (In per cent of them, a hundred times as
  much, stage 2 took the mesh of validation clips from 56 to 106 mm within 1,200 clips.) Ours is the exact coverage of
  `render.silhouette` for Kato's renderer. To draw the mesh one must know where it is: the wrist's 2D label, its depth and the length of a
  bone place it; these two are given, in training and test, as 2D fixes no scale.
- **Silhouettes** by GrabCut: print does not say how it is begun. Here from the 2D labels (`train.cutouts`). Forearms leave by the
  picture's edge, sleeves are no hand, and the mesh has a piece of forearm: pixels behind the wrist are not compared (`before_wrist`).
- **Eq. 4.3 and 4.4**: norms are means over joints and vertices, not sums; the unit is the length of a bone (`data.hand_depth.SCALE_BONE`).
  Mesh and pose are relative to the wrist, along the camera's axes.
- **Optimisers**: Adam at 1e-5 and batches of 24 are printed; here it is the loop's own.
- **Beyond print**, all 0 by default: `project` (the pose's 2D joints at the labels), `bones` (its bones as long as an average hand's),
  `prior` (`hand.joint_prior`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from phalanx.core.errors import InputError
from phalanx.data.hand_depth import SCALE_BONE
from phalanx.data.mixture import Mixture
from phalanx.hand.joint_prior import JointPrior
from phalanx.hand.model import HandModel
from phalanx.hand.skeleton import BONES
from phalanx.losses.latent_depth import heat_map_error
from phalanx.losses.temporal import both_ways, known_lengths
from phalanx.methods.base import Method, Player
from phalanx.nets.blocks import Residual
from phalanx.nets.graph import mesh_edges as graph_edges
from phalanx.nets.graph_coarsening import GraphLevel, hierarchy
from phalanx.nets.graph_mesh import MeshDecoder, MeshReader
from phalanx.nets.hourglass import StackedHourglass
from phalanx.nets.readout import peaks
from phalanx.nets.weights import load_network, write_weights
from phalanx.render.silhouette import mesh_edges, soft_silhouette
from phalanx.render.visibility import visibility

METHOD = "temporal"
"""What its weights files say they are of."""

TARGET, SYNTHESIS = "target", "synthesis"
"""Kinds in a batch of the first two, a `Mixture` of two `Clips`: with 2D labels alone, and with 3D labels."""

ROOT = 0
"""The joint that mesh and pose are relative to: the wrist."""

COARSER = 3
"""Coarser graphs below the mesh."""

FLOW_UNIT = 1 / 20
"""Sides of the picture that the hourglass sees as a flow of 1."""


@dataclass
class TemporalWeights:
    """Factors of the loss terms. Those of Eq. 4.6 are printed. 0 leaves a term out."""

    heat_maps: float = 1.0
    """Eq. 4.1, a sum over cells."""
    silhouette: float = 0.1
    """Eq. 4.2, a mean over the picture's pixels."""
    pose_consistency: float = 10.0
    """Eq. 4.3, in lengths of a bone, squared."""
    mesh_consistency: float = 10.0
    """Eq. 4.4, likewise."""
    project: float = 0.0
    """Beyond print: 2D joints of the pose at their labels, in lengths of a bone at the wrist's depth, squared."""
    bones: float = 0.0
    """Beyond print: bones of the pose as long as an average hand's of the same size, in lengths of a bone, squared."""
    prior: float = 0.0
    """Beyond print: how improbable the pose is (`hand.joint_prior`), 1 for what is usual."""
    labels: float = 1.0
    """3D labels of pose and mesh, where there are some (in the start, and in the upper bound), in lengths of a bone, squared."""


@dataclass
class TemporalConfig:
    """The networks and their losses."""

    size: int = 128
    """Side of the pictures, pixels; 256 in print."""
    width: int = 64
    """Channels of the hourglasses."""
    stacks: int = 2
    """Hourglasses one behind the other."""
    halvings: int = 3
    """Of maps within an hourglass; the size is a multiple of `4 * 2**halvings`."""
    latent: int = 256
    """Length of the vector that a mesh is made of."""
    mesh: tuple[int, int, int, int] = (32, 32, 16, 16)
    """Features of a node of the mesh's graphs, the coarsest first."""
    reader: int = 16
    """Features of a node where the pose is read from the mesh."""
    hidden: int = 128
    """Channels between the two linear layers behind them."""
    order: int = 2
    """Of Chebyshev polynomials: how many edges far a convolution sees (S)."""
    window: int = 4
    """Neighbouring frames of a clip that a step sees (n)."""
    weights: TemporalWeights = field(default_factory=TemporalWeights)
    """Factors of the loss terms."""

    def __post_init__(self) -> None:
        self.mesh = tuple(self.mesh)  # type: ignore[assignment]  # out of files come lists
        if self.size < 64 or self.size % (4 * 2**self.halvings) or self.size % 32:
            raise InputError(
                f"size: must be a multiple of 32 and of {4 * 2**self.halvings} pixels, from 64, not {self.size}"
            )
        if self.window < 2:
            raise InputError(f"window: consistency needs 2 neighbouring frames at least, not {self.window}")


ARCHITECTURE = tuple(item.name for item in fields(TemporalConfig) if item.name not in ("window", "weights"))
"""What of `TemporalConfig` weights are of."""


@dataclass
class Clips:
    """B clips of T neighbouring frames of a hand, each (B, T, ...)."""

    images: Tensor
    """(B, T, 3, S, S) in [0, 1]."""
    forward: Tensor
    """(B, T - 1, 2, S, S) pixels, flow from each frame to the next (`data.flow`)."""
    backward: Tensor
    """(B, T - 1, 2, S, S) pixels, from each next frame back."""
    joints_2d: Tensor
    """(B, T, 21, 2) pixels: 2D labels."""
    K: Tensor
    """(B, T, 3, 3)"""
    root_depth: Tensor
    """(B, T) metres, of the wrist before the camera; given."""
    scale: Tensor
    """(B, T) metres, length of `data.hand_depth.SCALE_BONE`; given."""
    silhouettes: Tensor | None = None
    """(B, T, S, S) in [0, 1], where they are needed: the hand; what lies behind the wrist does not matter."""
    pose: Tensor | None = None
    """(B, T, 21, 3) 3D labels, where there are some: relative to the wrist, in lengths of a bone, along the camera's axes."""
    mesh: Tensor | None = None
    """(B, T, N, 3), likewise."""

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: slice) -> Clips:
        return self._each(lambda value: value[rows])

    def to(self, device: torch.device | str) -> Clips:
        """The same on `device`."""
        return self._each(lambda value: value.to(device))

    def roots(self) -> Tensor:
        """(B, T, 3) metres, the wrists by their 2D labels and depths."""
        return placed(self.joints_2d[:, :, ROOT], self.K, self.root_depth)

    def _each(self, change: Callable[[Tensor], Tensor]) -> Clips:
        return replace(self, **{name: change(value) for name, value in vars(self).items() if value is not None})


@dataclass(frozen=True)
class Reading:
    """What the network says of clips, gone through in one order; frames stand in the order of the clip."""

    heat: list[Tensor]
    """(B, T, 21, S / 4, S / 4) of each hourglass."""
    mesh: Tensor
    """(B, T, N, 3) relative to the wrist, in lengths of a bone, along the camera's axes."""
    pose: Tensor
    """(B, T, 21, 3), likewise; the wrist is 0."""


class Temporal(Method):
    """The module of Sec. 4.3.2, run through clips in both orders.

    `network(clips)` gives joints (B, T, 21, 3) in metres, camera frame, in forward order.

    Stages have their players: `players_of_evidence` (stage 1) and `players_of_start`, both of a `Mixture`; `players_of_mesh` (stage 2) and
    `players` (stage 3), of `Clips`; `players_of_labels` learn from 3D labels.
    """

    def __init__(self, config: TemporalConfig | None = None, hand: HandModel | None = None) -> None:
        super().__init__()
        self.config = config = config or TemporalConfig()
        hand = hand or HandModel.open_hand()
        faces = hand.faces.cpu()
        levels = _graphs(tuple(map(tuple, faces.tolist())), len(hand.template))
        width = config.width
        self.vertices = len(hand.template)
        self.evidence = StackedHourglass(3 + 2 + 21, 21, width, config.stacks, config.halvings)
        self.trunk = nn.Sequential(
            Residual(width + 21, width, stride=2),
            Residual(width, 2 * width, stride=2),
            nn.AdaptiveAvgPool2d(4),
            nn.Flatten(),
            nn.Linear(16 * 2 * width, config.latent),
            nn.ReLU(inplace=True),
        )
        self.surface = MeshDecoder(levels, config.latent, config.mesh, config.order)
        self.reader = MeshReader(levels, 3 * 21, config.reader, config.hidden, config.order)
        self.register_buffer("faces", faces.long(), persistent=False)
        self.register_buffer("bones", torch.tensor(BONES), persistent=False)
        self.register_buffer("lengths", mean_lengths(hand), persistent=False)
        self._outline = mesh_edges(faces)
        self._prior: JointPrior | None = None
        self._hand = (hand,)  # in a tuple: no part of the network

    faces: Tensor
    bones: Tensor
    lengths: Tensor

    @torch.no_grad()
    def forward(self, clips: Clips) -> Tensor:
        return in_metres(self.read(clips.images, clips.forward), clips)

    def read(self, images: Tensor, flow: Tensor) -> Reading:
        """Clips (B, T, 3, S, S) gone through in their order, with the flow (B, T - 1, 2, S, S) from each frame to the next."""
        stacks, features = self.see(images, flow)
        mesh = self.surface(self.trunk(features.flatten(0, 1)))  # (B T, N, 3)
        pose = self.reader(mesh).float().view(-1, 21, 3)
        pose = pose - pose[:, ROOT : ROOT + 1]
        frames = images.shape[1]
        return Reading(stacks, mesh.unflatten(0, (-1, frames)), pose.unflatten(0, (-1, frames)))

    def see(self, images: Tensor, flow: Tensor) -> tuple[list[Tensor], Tensor]:
        """Heat maps (B, T, 21, S / 4, S / 4) of each hourglass, and features with the last ones (B, T, width + 21, S / 4, S / 4)."""
        frames, size = images.shape[1], images.shape[-1]
        before = images.new_zeros(len(images), 21, size, size)
        still = torch.zeros_like(images[:, 0, :2])
        heat: list[list[Tensor]] = []
        features: list[Tensor] = []
        for number in range(frames):
            motion = flow[:, number - 1] / (FLOW_UNIT * size) if number else still
            maps, seen = self.evidence.with_features(torch.cat((2 * images[:, number] - 1, motion, before), dim=1))
            before = functional.interpolate(
                maps[-1].detach().float(), size=(size, size), mode="bilinear", align_corners=False
            )
            heat.append(maps)
            features.append(torch.cat((seen, maps[-1].to(seen.dtype)), dim=1))
        return [torch.stack(stack, 1) for stack in zip(*heat, strict=True)], torch.stack(features, 1)

    def read_both(self, clips: Clips) -> tuple[Reading, Reading]:
        """Forward, and in reversed order (the reversed temporal measurement of Sec. 4.3.3); frames of both stand in the clip's order."""
        images = torch.cat((clips.images, clips.images.flip(1)))
        flow = torch.cat((clips.forward, clips.backward.flip(1)))
        both, count = self.read(images, flow), len(clips)
        parts = [
            Reading([maps[rows] for maps in both.heat], both.mesh[rows], both.pose[rows])
            for rows in (slice(None, count), slice(count, None))
        ]
        back = parts[1]
        return parts[0], Reading([maps.flip(1) for maps in back.heat], back.mesh.flip(1), back.pose.flip(1))

    def players_of_evidence(self) -> tuple[Player, ...]:
        """Stage 1: heat maps."""
        return (_player("evidence", self.evidence_losses, self.evidence),)

    def players_of_start(self) -> tuple[Player, ...]:
        """What the thesis takes from another work: mesh and pose, of synthesis."""
        return (_player("start", self.start_losses, self),)

    def players_of_mesh(self) -> tuple[Player, ...]:
        """Stage 2: heat maps and mesh."""
        return (_player("mesh", self.mesh_losses, self.evidence, self.trunk, self.surface),)

    def players(self) -> tuple[Player, ...]:
        """Stage 3, end to end."""
        return (_player("all", self.losses, self),)

    def players_of_labels(self) -> tuple[Player, ...]:
        """The upper bound: 3D labels in place of Eq. 4.2 to 4.5."""
        return (_player("labels", self.label_losses, self),)

    def evidence_losses(self, batch: Mixture) -> dict[str, Tensor]:
        """Eq. 4.1 of all clips, gone through in one order."""
        clips = joined(batch.get(TARGET), batch.get(SYNTHESIS))
        back = bool(torch.rand(()) < 0.5)
        images, flow = (clips.images.flip(1), clips.backward.flip(1)) if back else (clips.images, clips.forward)
        heat = [maps.flip(1) if back else maps for maps in self.see(images, flow)[0]]
        return {"heat_maps": self._heat_maps([Reading(heat, images, images)], clips)}

    def start_losses(self, batch: Mixture) -> dict[str, Tensor]:
        """Eq. 4.1 of all clips, 3D labels of the synthetic ones."""
        target, synthesis = batch.get(TARGET), batch.get(SYNTHESIS)
        clips = synthesis if target is None else joined(target, synthesis)
        readings, first = self._read_one(clips), len(clips) - len(synthesis)
        labelled = [replace(reading, mesh=reading.mesh[first:], pose=reading.pose[first:]) for reading in readings]
        return {"heat_maps": self._heat_maps(readings, clips), **self._labels(labelled, synthesis)}

    def label_losses(self, batch: Clips) -> dict[str, Tensor]:
        """Eq. 4.1 and 3D labels of pose and mesh, of clips that have them."""
        readings = self.read_both(batch)
        return {"heat_maps": self._heat_maps(readings, batch), **self._labels(readings, batch)}

    def mesh_losses(self, batch: Clips) -> dict[str, Tensor]:
        """Eq. 4.1 and 4.2."""
        readings = self.read_both(batch)
        return {"heat_maps": self._heat_maps(readings, batch), "silhouette": self._silhouettes(readings, batch)}

    def losses(self, batch: Clips) -> dict[str, Tensor]:
        """Eq. 4.6, and what is set beyond print."""
        readings = self.read_both(batch)
        forward, backward = readings
        weights = self.config.weights
        terms = {"heat_maps": self._heat_maps(readings, batch)}
        if weights.silhouette:
            terms["silhouette"] = self._silhouettes(readings, batch)
        if weights.pose_consistency:
            terms["pose_consistency"] = weights.pose_consistency * both_ways(forward.pose, backward.pose)  # Eq. 4.3
        if weights.mesh_consistency:
            mesh = both_ways(forward.mesh.float(), backward.mesh.float())  # Eq. 4.4
            terms["mesh_consistency"] = weights.mesh_consistency * mesh
        return terms | self._beyond_print(readings, batch)

    def joint_prior(self) -> JointPrior:
        """The prior of the term `prior`, made when it is first asked for."""
        device = self.faces.device
        if self._prior is None or self._prior.mean.device != device:
            self._prior = JointPrior.of_hand(self._hand[0]).to(device)
        return self._prior

    def masks(self, mesh: Tensor, clips: Clips) -> Tensor:
        """Silhouettes (B, T, S, S) of meshes (B, T, N, 3) where the clips' wrists are."""
        size = clips.images.shape[-1]
        vertices = mesh.float() * clips.scale[..., None, None] + clips.roots()[:, :, None]
        vertices, K = vertices.flatten(0, 1), clips.K.flatten(0, 1)
        if self._outline.ends.device != vertices.device:
            self._outline = mesh_edges(self.faces)
        index = visibility(vertices.detach(), self.faces, K, size, size)
        return soft_silhouette(vertices, self.faces, K, index, self._outline).unflatten(0, (len(clips), -1))

    def _read_one(self, clips: Clips) -> list[Reading]:
        """In one of both orders, drawn at random."""
        if torch.rand(()) < 0.5:
            return [self.read(clips.images, clips.forward)]
        back = self.read(clips.images.flip(1), clips.backward.flip(1))
        return [Reading([maps.flip(1) for maps in back.heat], back.mesh.flip(1), back.pose.flip(1))]

    def _heat_maps(self, readings: Sequence[Reading], clips: Clips) -> Tensor:
        size = clips.images.shape[-1]
        labels = ((clips.joints_2d + 0.5) / size).flatten(0, 1)
        errors = [heat_map_error([maps.flatten(0, 1) for maps in reading.heat], labels) for reading in readings]
        return self.config.weights.heat_maps * torch.stack(errors).mean()  # Eq. 4.1

    def _silhouettes(self, readings: Sequence[Reading], clips: Clips) -> Tensor:
        """Of one order in each step, drawn at random: on average that of both, in half of the time."""
        if clips.silhouettes is None:
            raise InputError("silhouettes: clips without them have no Eq. 4.2; weigh it 0")
        chosen = readings[int(torch.rand(()) < 0.5)]
        compared = before_wrist(clips.joints_2d, clips.images.shape[-1])
        off = (compared * (self.masks(chosen.mesh, clips) - clips.silhouettes)).square()
        return self.config.weights.silhouette * off.mean()  # Eq. 4.2

    def _labels(self, readings: Sequence[Reading], clips: Clips) -> dict[str, Tensor]:
        assert clips.pose is not None and clips.mesh is not None
        pose = torch.stack([both_ways(reading.pose, clips.pose) for reading in readings]).mean()
        mesh = torch.stack([both_ways(reading.mesh.float(), clips.mesh) for reading in readings]).mean()
        return {"pose": self.config.weights.labels * pose, "mesh": self.config.weights.labels * mesh}

    def _beyond_print(self, readings: Sequence[Reading], clips: Clips) -> dict[str, Tensor]:
        weights, terms = self.config.weights, {}
        if not (weights.project or weights.bones or weights.prior):
            return {}
        pose = torch.cat([reading.pose for reading in readings])  # (2 B, T, 21, 3)
        if weights.project:
            errors = [projection_error(reading.pose, clips) for reading in readings]
            terms["project"] = weights.project * torch.stack(errors).mean()
        if weights.bones:
            terms["bones"] = weights.bones * known_lengths(pose, self.bones, self.lengths)
        if weights.prior:
            terms["prior"] = weights.prior * self.joint_prior().cost(pose.flatten(0, 1)).mean()
        return terms


def placed(places: Tensor, K: Tensor, depth: Tensor) -> Tensor:
    """Points (B, T, 3) in metres at pixels (B, T, 2) and depths (B, T)."""
    rays = torch.linalg.solve(K, torch.cat((places, torch.ones_like(places[..., :1])), dim=-1)[..., None])[..., 0]
    return rays * depth[..., None]


def before_wrist(joints_2d: Tensor, size: int) -> Tensor:
    """Pixels (..., S, S) that do not lie behind the wrist, 1, or do, 0, as the line from it to the middle knuckle says; all are 1 where
    the palm is seen from its end, so that the line is short.

    Args:
        joints_2d: (..., 21, 2) pixels.
        size: S.
    """
    wrist, along = joints_2d[..., ROOT, :], joints_2d[..., 9, :] - joints_2d[..., ROOT, :]
    cells = torch.arange(size, device=joints_2d.device, dtype=joints_2d.dtype)
    across = (cells - wrist[..., :1]) * along[..., :1]  # (..., S)
    down = (cells - wrist[..., 1:]) * along[..., 1:]
    extent = (joints_2d.amax(-2) - joints_2d.amin(-2)).amax(-1)
    short = along.norm(dim=-1) < 0.25 * extent
    behind = (down[..., :, None] + across[..., None, :] < 0) & ~short[..., None, None]
    return (~behind).to(joints_2d.dtype)


def projection_error(pose: Tensor, clips: Clips) -> Tensor:
    """Mean squared distance of projected joints (B, T, 21, 3), as `Reading.pose` has them, to the 2D labels: in pixels by the length of
    a bone in pixels at the wrist's depth."""
    joints = pose * clips.scale[..., None, None] + clips.roots()[:, :, None]
    homogeneous = joints @ clips.K.mT
    pixels = homogeneous[..., :2] / homogeneous[..., 2:].clamp_min(1e-3)
    bone = clips.K[..., 0, 0] * clips.scale / clips.root_depth  # (B, T) pixels
    return ((pixels - clips.joints_2d) / bone[..., None, None]).square().sum(-1).mean()


def in_metres(reading: Reading, clips: Clips) -> Tensor:
    """Joints (B, T, 21, 3) before the camera: the pose, at the wrist that the heat maps say and at its given depth."""
    size = clips.images.shape[-1]
    wrist = peaks(reading.heat[-1].float().flatten(0, 1)[:, ROOT : ROOT + 1])[0].view(*clips.root_depth.shape, 2)
    root = placed(wrist * size - 0.5, clips.K, clips.root_depth)
    return reading.pose * clips.scale[..., None, None] + root[:, :, None]


def joined(first: Clips, second: Clips) -> Clips:
    """Clips of two kinds in one batch, with what both have."""
    names = [name for name, value in vars(first).items() if value is not None and getattr(second, name) is not None]
    return Clips(**{name: torch.cat((getattr(first, name), getattr(second, name))) for name in names})


def mean_lengths(hand: HandModel) -> Tensor:
    """Lengths (20,) of the bones of the average hand, `BONES` in order, in lengths of `data.hand_depth.SCALE_BONE`."""
    ends = hand.rest_joints.detach().cpu()[torch.tensor(BONES)]
    lengths = (ends[:, 0] - ends[:, 1]).norm(dim=-1)
    return lengths / lengths[BONES.index(SCALE_BONE)]


def save_weights(network: Temporal, path: str | Path, hand: HandModel) -> None:
    """Write the networks for `load`. Raises InputError if the file cannot be written."""
    values = {name: getattr(network.config, name) for name in ARCHITECTURE}
    write_weights(path, network.state_dict(), METHOD, values, hand.checksum())


def load(path: str | Path, hand: HandModel | None = None, trainable: bool = False) -> Temporal:
    """The networks with the weights of `path`: ready for inference, or as they were, for training on. The package ships none.

    Raises:
        InputError: the file is at fault (`nets.weights.read_weights`), or its weights do not fit the networks it names.
    """
    network = load_network(path, METHOD, (hand or HandModel.open_hand()).checksum(), _build)
    return network if trainable else network.eval().requires_grad_(False)


@lru_cache(maxsize=4)
def _graphs(faces: tuple[tuple[int, ...], ...], vertices: int) -> list[GraphLevel]:
    """The mesh's graph and those coarser than it, found once a process: a network is built whenever weights are read."""
    return hierarchy(vertices, graph_edges(torch.tensor(faces)), COARSER)


def _build(values: dict[str, Any]) -> Temporal:
    return Temporal(TemporalConfig(**{name: values[name] for name in ARCHITECTURE}))


def _player(name: str, losses: Callable[[Any], dict[str, Tensor]], *parts: nn.Module) -> Player:
    return Player(name, tuple(parameter for part in parts for parameter in part.parameters()), losses)
