"""3D hand pose from calibrated views: heat maps, a mesh and depths in each, joined by a graph U-Net (MVHM).

Chen, "Deep learning in 3D hand pose and mesh estimation", dissertation, University of California, Irvine, 2020, chapter 5 (WACV 2021).

    view 1: colour -> stacked hourglass -> heat maps (Eq. 5.1) -> 2D joints ---------------+
                          | features                                                       v
                          +-> Chebyshev convolutions, coarse to fine -> mesh (Eq. 5.5) -> depths (Eq. 5.6) -> 3D joints, in the world
    view 2: the same network                                                                                     |
    ...                                                                                                          v
                                                         coordinates of all views, one behind the other -> graph U-Net -> joints (Eq. 5.7)

A single view is trained in four stages: heat maps; the mesh, with the hourglass as it is; depths, with both as they are; all of it. Several
views in two: the U-Net on what the network of one view says, then both.

What the thesis leaves unsaid or misprints, and what was chosen:

- **Sizes**: 256 pixels are printed; layers, widths and the order S of the convolutions are not. The mesh here is the open hand's, of 1,769
  vertices in place of 2,561, over three coarser graphs of 937, 502 and 265 nodes (`nets.graph_coarsening`).
- **From features to the coarsest graph**: features and heat maps of the last hourglass, halved twice, and two linear layers.
- **Eq. 5.1** is a sum over cells of maps of S / 4 cells. Height and width of the Gaussians are those of `losses.latent_depth`.
- **Eq. 5.4** leaves F out, and has factors alpha_i that theta_i contain (`nets.graph.ChebyshevConvolution`).
- **Eq. 5.5 and 5.6**: in which unit, relative to what? Mesh and depths are relative to the wrist, as labels are moved there (Sec. 5.4.1),
  in lengths of a bone (`data.hand_depth.SCALE_BONE`), along the camera's axes. Eq. 5.7 is in the same unit.
- **No mesh labels**: MHP and STB have none, and the rows "w/o MVHM" have nothing for stage 2. There the mesh is what the loss of depths
  makes of it: the budgets of stages 2 and 3 go to both networks at once, down Eq. 5.6. With MVHM, pictures without meshes have Eq. 5.1 and
  5.6, those of the set Eq. 5.5, too.
- **The last stage** sums Eq. 5.1, 5.5 and 5.6; the factors are not printed (`MultiViewWeights`).
- **Non-maximum suppression** gives cells of four pixels: the peak's place within the cell is read from its neighbours
  (`nets.readout.peaks`), which also lets Eq. 5.7 reach the heat maps in the last stage of several views.
- **Absolute depth**: the wrist's depth in each camera and that bone's length are given, in training and test, as in Cai et al. 2018, whose
  preparation of labels is followed (Sec. 5.4.1).
- **Joining**: 3D joints of each view are turned into the world first; what the U-Net takes is relative to the wrist, and what it gives is
  added to the mean of all views. Its graph is the hand's skeleton. Each camera has its own three channels: a trained network belongs to the
  rig's cameras in their order, and to how they stand to each other and to the world.
- **Absent views**, such as of a camera that drops frames, are not in the thesis. A view that is absent says what the mean of the others
  says, and a fourth channel of each camera says that it is absent. In training views are dropped at random (`MultiViewConfig.drop`). Any
  number of views but none will do; without any, joints are NaN.
- **Optimisers**: Adam at 0.01 and batches of 8 are printed; here it is the loop's own, in larger batches.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from phalanx.core.errors import InputError
from phalanx.data.hand_depth import scale_of
from phalanx.data.mixture import Mixture
from phalanx.data.sample import Sample
from phalanx.geometry.camera import Camera
from phalanx.hand.model import HandModel
from phalanx.hand.skeleton import BONES
from phalanx.losses import latent_depth
from phalanx.losses.depth_maps import absolute_depths, relative_depths
from phalanx.methods.base import Method, Player
from phalanx.nets.blocks import Residual
from phalanx.nets.graph import adjacency, mesh_edges
from phalanx.nets.graph_coarsening import GraphLevel, hierarchy
from phalanx.nets.graph_mesh import MeshDecoder, MeshReader
from phalanx.nets.graph_unet import GraphUNet
from phalanx.nets.hourglass import StackedHourglass
from phalanx.nets.readout import peaks
from phalanx.nets.weights import load_network, write_weights

METHOD = "multi_view"
"""What its weights files say they are of."""

JOINTS, MESHES = "joints", "meshes"
"""Kinds in a batch of single views, a `Mixture` of two `Sample`s: pictures labelled with joints, and with joints and vertices."""

ROOT = 0
"""The joint that mesh and depths are relative to: the wrist."""

COARSER = 3
"""Coarser graphs below the mesh."""


@dataclass
class MultiViewWeights:
    """Factors of the loss terms; none is printed. 0 leaves a term out."""

    heat_maps: float = 0.1
    """Eq. 5.1; a sum over cells."""
    mesh: float = 1.0
    """Eq. 5.5; in lengths of a bone, squared."""
    depth: float = 1.0
    """Eq. 5.6; in lengths of a bone, squared."""
    pose: float = 1.0
    """Eq. 5.7; in lengths of a bone, squared."""


@dataclass
class MultiViewConfig:
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
    """Features of a node where depths are read from the mesh."""
    hidden: int = 128
    """Channels between the two linear layers behind them."""
    order: int = 2
    """Of Chebyshev polynomials: how many edges far a convolution sees (S)."""
    views: int = 4
    """Cameras of the rig."""
    fusion: int = 64
    """Features of a joint in the graph U-Net."""
    keep: tuple[int, ...] = (12, 6)
    """Joints that its levels keep of 21."""
    drop: float = 0.15
    """Chance of each view to be absent in training."""
    weights: MultiViewWeights = field(default_factory=MultiViewWeights)
    """Factors of the loss terms."""

    def __post_init__(self) -> None:
        self.mesh, self.keep = tuple(self.mesh), tuple(self.keep)  # type: ignore[assignment]  # out of files come lists
        if self.size < 64 or self.size % (4 * 2**self.halvings) or self.size % 32:
            raise InputError(
                f"size: must be a multiple of 32 and of {4 * 2**self.halvings} pixels, from 64, not {self.size}"
            )
        if self.views < 1 or not 0 <= self.drop < 1:
            raise InputError(f"views: at least 1, and drop in [0, 1) expected, not {self.views} and {self.drop}")


ARCHITECTURE = tuple(item.name for item in fields(MultiViewConfig) if item.name not in ("drop", "weights"))
"""What of `MultiViewConfig` weights are of."""


@dataclass
class Views:
    """B frames of a hand, each seen by V calibrated cameras at once."""

    joints: Tensor
    """(B, 21, 3) metres, in the world."""
    world_to_camera: Tensor
    """(B, V, 4, 4)"""
    K: Tensor
    """(B, V, 3, 3) of the pictures."""
    images: Tensor | None = None
    """(B, V, 3, S, S) in [0, 1]."""
    predicted: Tensor | None = None
    """(B, V, 21, 3) metres, in the world: what the network of one view says of each; None: it is asked."""
    present: Tensor | None = None
    """(B, V) bool, which views there are; None: all. What else stands at the others does not matter."""

    def __len__(self) -> int:
        return len(self.joints)

    def __getitem__(self, rows: slice) -> Views:
        return self._each(lambda value: value[rows])

    def to(self, device: torch.device | str) -> Views:
        """The same on `device`."""
        return self._each(lambda value: value.to(device))

    def root_depth(self) -> Tensor:
        """(B, V) metres, of the wrist before each camera; it is given."""
        return to_cameras(self.joints[:, ROOT : ROOT + 1], self.world_to_camera)[..., 0, 2]

    def _each(self, change: Callable[[Tensor], Tensor]) -> Views:
        return replace(self, **{name: change(value) for name, value in vars(self).items() if value is not None})


@dataclass(frozen=True)
class Reading:
    """What the network of one view says of pictures."""

    heat: list[Tensor]
    """(B, 21, S / 4, S / 4) of each hourglass."""
    mesh: Tensor
    """(B, N, 3) relative to the wrist, in lengths of a bone, along the camera's axes."""
    depths: Tensor
    """(B, 21) relative to the wrist, in lengths of a bone."""


class SingleView(nn.Module):
    """The network of one view (Sec. 5.3.2 and 5.3.3): `network(images (B, 3, S, S) in [0, 1]) -> Reading`."""

    def __init__(self, config: MultiViewConfig, faces: Tensor, vertices: int) -> None:
        super().__init__()
        levels = _graphs(tuple(map(tuple, faces.tolist())), vertices)
        width = config.width
        self.vertices = vertices
        self.evidence = StackedHourglass(3, 21, width, config.stacks, config.halvings)
        self.trunk = nn.Sequential(
            Residual(width + 21, width, stride=2),
            Residual(width, 2 * width, stride=2),
            nn.AdaptiveAvgPool2d(4),
            nn.Flatten(),
            nn.Linear(16 * 2 * width, config.latent),
            nn.ReLU(inplace=True),
        )
        self.surface = MeshDecoder(levels, config.latent, config.mesh, config.order)
        self.reader = MeshReader(levels, 21, config.reader, config.hidden, config.order)

    def forward(self, images: Tensor) -> Reading:
        heat, features = self.see(images)
        mesh = self.shape(heat, features)
        return Reading(heat, mesh, self.reader(mesh))

    def see(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        """The 2D evidence: heat maps of each hourglass, and the last one's features."""
        return self.evidence.with_features(2 * images - 1)

    def shape(self, heat: list[Tensor], features: Tensor) -> Tensor:
        """The mesh evidence (B, N, 3) of what is seen."""
        return self.surface(self.trunk(torch.cat((features, heat[-1].to(features.dtype)), dim=1)))


class MultiView(Method):
    """The network of one view and the U-Net that joins several.

    `network(views: Views)` gives joints (B, 21, 3) in metres in the world; `network.of_each(views)` those of each view.

    Stages have their players: `players_of_evidence`, `players_of_mesh`, `players_of_depth` and `players_of_single` learn from a `Mixture`
    of single views, `players_of_fusion` and at last `players`, all there is, from `Views`.
    """

    def __init__(self, config: MultiViewConfig | None = None, hand: HandModel | None = None) -> None:
        super().__init__()
        self.config = config = config or MultiViewConfig()
        hand = hand or HandModel.open_hand()
        self.single = SingleView(config, hand.faces.cpu(), len(hand.template))
        skeleton = adjacency(21, torch.tensor(BONES)).to_dense()
        self.fusion = GraphUNet(skeleton, 4 * config.views, 3, config.fusion, config.keep)
        nn.init.normal_(self.fusion.last.weight, std=0.01)

    def forward(self, views: Views) -> Tensor:
        predicted = self.of_each(views) if views.predicted is None else views.predicted
        return self.fuse(predicted, scale_of(views.joints), views.present)

    def of_each(self, views: Views) -> Tensor:
        """Joints (B, V, 21, 3) in metres in the world, as the network of one view finds them in each."""
        assert views.images is not None
        frames, cameras = views.images.shape[:2]
        reading = self.single(views.images.flatten(0, 1))
        scale = scale_of(views.joints).repeat_interleave(cameras)
        joints = in_metres(reading, views.K.flatten(0, 1), views.root_depth().flatten(), scale, views.images.shape[-1])
        return to_world(joints.view(frames, cameras, 21, 3), views.world_to_camera)

    def fuse(self, predicted: Tensor, scale: Tensor, present: Tensor | None = None) -> Tensor:
        """One hand (B, 21, 3) of what V views say of it (B, V, 21, 3), metres in the world; NaN where no view is present.

        Args:
            predicted: by camera, in the rig's order.
            scale: (B,) metres, length of `data.hand_depth.SCALE_BONE`.
            present: (B, V) bool; None: all.

        Raises:
            InputError: there are more or fewer views than the network has cameras.
        """
        frames, cameras = predicted.shape[:2]
        if cameras != self.config.views:
            raise InputError(
                f"views: the network has {self.config.views} cameras and was given {cameras}; mark absent views with `present`"
            )
        if present is None:
            present = torch.ones(frames, cameras, dtype=torch.bool, device=predicted.device)
        there = present[..., None, None]
        mean = torch.where(there, predicted, 0.0).sum(1) / there.sum(1)  # (B, 21, 3)
        said = torch.where(there, predicted, mean[:, None])  # what is absent says what the others say
        relative = (said - mean[:, None, ROOT : ROOT + 1]) / scale[:, None, None, None]
        channels = relative.permute(0, 2, 1, 3).flatten(2)  # (B, 21, 3 V)
        flags = present[:, None].expand(-1, 21, -1).to(channels.dtype)
        offset = self.fusion(torch.cat((channels, flags), dim=-1))
        return mean + scale[:, None, None] * offset.float()

    def players_of_evidence(self) -> tuple[Player, ...]:
        """Stage 1 of a single view."""
        return (_player("evidence", self.evidence_losses, self.single.evidence),)

    def players_of_mesh(self) -> tuple[Player, ...]:
        """Stage 2, where there are meshes."""
        return (_player("mesh", self.mesh_losses, self.single.trunk, self.single.surface),)

    def players_of_depth(self) -> tuple[Player, ...]:
        """Stage 3, where there are meshes."""
        return (_player("depth", self.depth_losses, self.single.reader),)

    def players_without_meshes(self) -> tuple[Player, ...]:
        """Stages 2 and 3 where there are none."""
        parts = (self.single.trunk, self.single.surface, self.single.reader)
        return (_player("depth", self.depth_losses_without_meshes, *parts),)

    def players_of_single(self) -> tuple[Player, ...]:
        """Stage 4: a single view, whole."""
        return (_player("single", self.single_losses, self.single),)

    def players_of_fusion(self) -> tuple[Player, ...]:
        """Stage 1 of several views: the U-Net alone."""
        return (_player("fusion", self.fusion_losses, self.fusion),)

    def evidence_losses(self, batch: Mixture) -> dict[str, Tensor]:
        """Eq. 5.1 of all pictures."""
        sample = joined(batch)
        assert sample.image is not None
        return {"heat_maps": self._heat_maps(self.single.see(sample.image)[0], sample)}

    def mesh_losses(self, batch: Mixture) -> dict[str, Tensor]:
        """Eq. 5.5 of the pictures with meshes; the hourglass stays as it is."""
        sample = batch.get(MESHES)
        return {"mesh": self._mesh(self.single.shape(*self._seen(sample.image)), sample)}

    def depth_losses(self, batch: Mixture) -> dict[str, Tensor]:
        """Eq. 5.6 of all pictures; hourglass and mesh stay as they are."""
        sample = joined(batch)
        seen = self._seen(sample.image)
        self.single.trunk.eval()
        with torch.no_grad():
            mesh = self.single.shape(*seen)
        return {"depth": self._depth(self.single.reader(mesh), sample)}

    def depth_losses_without_meshes(self, batch: Mixture) -> dict[str, Tensor]:
        """Eq. 5.6 of all pictures, for the mesh, too; the hourglass stays as it is."""
        sample = joined(batch)
        return {"depth": self._depth(self.single.reader(self.single.shape(*self._seen(sample.image))), sample)}

    def single_losses(self, batch: Mixture) -> dict[str, Tensor]:
        """Eq. 5.1 and 5.6 of all pictures, Eq. 5.5 of those with meshes."""
        sample, meshes = joined(batch), batch.get(MESHES)
        assert sample.image is not None
        reading = self.single(sample.image)
        terms = {
            "heat_maps": self._heat_maps(reading.heat, sample),
            "depth": self._depth(reading.depths, sample),
        }
        if meshes is not None:
            terms["mesh"] = self._mesh(reading.mesh[-len(meshes) :], meshes)
        return terms

    def fusion_losses(self, batch: Views) -> dict[str, Tensor]:
        """Eq. 5.7 with views dropped at random; the network of one view stays as it is."""
        if batch.predicted is None:
            self.single.eval()
            with torch.no_grad():
                batch = replace(batch, predicted=self.of_each(batch))
        return self.losses(batch)

    def losses(self, batch: Views) -> dict[str, Tensor]:
        """Eq. 5.7 with views dropped at random."""
        present = self._dropped(batch)
        found = self(replace(batch, present=present))
        off = (found - batch.joints) / scale_of(batch.joints)[:, None, None]
        return {"pose": self.config.weights.pose * off.square().sum(-1).mean()}  # Eq. 5.7

    def _dropped(self, batch: Views) -> Tensor:
        """(B, V) bool: views that there are and that are not dropped; one of each frame, at least."""
        shape = batch.world_to_camera.shape[:2]
        chance = torch.rand(shape, device=batch.joints.device)
        if batch.present is not None:
            chance = torch.where(batch.present, chance, -1.0)
        most = chance == chance.amax(1, keepdim=True)
        return (chance >= self.config.drop) | most

    def _seen(self, images: Tensor | None) -> tuple[list[Tensor], Tensor]:
        assert images is not None
        self.single.evidence.eval()
        with torch.no_grad():
            return self.single.see(images)

    def _heat_maps(self, heat: list[Tensor], sample: Sample) -> Tensor:
        labels = latent_depth.label_maps(joints_2d_of(sample), *heat[0].shape[-2:])
        error = torch.stack(
            [(maps.float() - labels).square().sum(dim=(2, 3)).mean() for maps in heat]
        ).mean()  # Eq. 5.1
        return self.config.weights.heat_maps * error

    def _mesh(self, mesh: Tensor, sample: Sample) -> Tensor:
        return self.config.weights.mesh * (mesh.float() - mesh_of(sample)).square().sum(-1).mean()  # Eq. 5.5

    def _depth(self, depths: Tensor, sample: Sample) -> Tensor:
        return self.config.weights.depth * (depths.float() - depths_of(sample)).square().mean()  # Eq. 5.6


def joined(batch: Mixture) -> Sample:
    """The pictures of both kinds with what both are labelled with, those with meshes last."""
    parts = [part for part in (batch.get(JOINTS), batch.get(MESHES)) if part is not None]
    names = ("image", "joints", "joints_2d")
    return Sample(**{name: torch.cat([getattr(part, name) for part in parts]) for name in names})


def joints_2d_of(sample: Sample) -> Tensor:
    """2D joints (B, 21, 2), 0 to 1 across the picture."""
    assert sample.joints_2d is not None and sample.image is not None
    return (sample.joints_2d + 0.5) / sample.image.shape[-1]


def depths_of(sample: Sample) -> Tensor:
    """Depths (B, 21) relative to the wrist, in lengths of a bone."""
    assert sample.joints is not None
    return relative_depths(sample.joints[..., 2], ROOT, scale_of(sample.joints))


def mesh_of(sample: Sample) -> Tensor:
    """Vertices (B, N, 3) relative to the wrist, in lengths of a bone."""
    assert sample.joints is not None and sample.vertices is not None
    return (sample.vertices - sample.joints[:, ROOT, None]) / scale_of(sample.joints)[:, None, None]


def in_metres(reading: Reading, K: Tensor, root_depth: Tensor, scale: Tensor, size: int) -> Tensor:
    """Joints (B, 21, 3) before the camera, of 2D joints by non-maximum suppression and of depths (Sec. 5.3.3).

    Args:
        reading: of pictures of `size` pixels.
        K: (B, 3, 3) of the pictures.
        root_depth: (B,) metres, the wrist's.
        scale: (B,) metres, length of `data.hand_depth.SCALE_BONE`.
    """
    places = peaks(reading.heat[-1].float())[0]
    return Camera(K, size, size).unproject(
        places * size - 0.5, absolute_depths(reading.depths.float(), root_depth, scale)
    )


def to_world(joints: Tensor, world_to_camera: Tensor) -> Tensor:
    """Points (..., N, 3) before cameras (..., 4, 4) into the world."""
    return (joints - world_to_camera[..., None, :3, 3]) @ world_to_camera[..., :3, :3]


def to_cameras(joints: Tensor, world_to_camera: Tensor) -> Tensor:
    """Points (B, N, 3) of the world before each of V cameras (B, V, 4, 4): (B, V, N, 3)."""
    return joints[:, None] @ world_to_camera[..., :3, :3].swapaxes(-1, -2) + world_to_camera[..., None, :3, 3]


def save_weights(network: MultiView, path: str | Path, hand: HandModel) -> None:
    """Write all networks for `load`. Raises InputError if the file cannot be written."""
    values = {name: getattr(network.config, name) for name in ARCHITECTURE}
    write_weights(path, network.state_dict(), METHOD, values, hand.checksum())


def load(path: str | Path, hand: HandModel | None = None, trainable: bool = False) -> MultiView:
    """The networks with the weights of `path`: ready for inference, or as they were, for training on. The package ships none.

    Raises:
        InputError: the file is at fault (`nets.weights.read_weights`), or its weights do not fit the networks it names.
    """
    network = load_network(path, METHOD, (hand or HandModel.open_hand()).checksum(), _build)
    return network if trainable else network.eval().requires_grad_(False)


@lru_cache(maxsize=4)
def _graphs(faces: tuple[tuple[int, ...], ...], vertices: int) -> list[GraphLevel]:
    """The mesh's graph and those coarser than it, found once a process: a network is built whenever weights are read."""
    return hierarchy(vertices, mesh_edges(torch.tensor(faces)), COARSER)


def _build(values: dict[str, Any]) -> MultiView:
    return MultiView(MultiViewConfig(**{name: values[name] for name in ARCHITECTURE}))


def _player(name: str, losses: Callable[[Any], dict[str, Tensor]], *parts: nn.Module) -> Player:
    return Player(name, tuple(parameter for part in parts for parameter in part.parameters()), losses)
