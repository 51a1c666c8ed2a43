"""Depth for pictures that have none: drawn by a network, and judged against depth frames of other hands, by any sensor (DGGAN).

Chen, "Deep learning in 3D hand pose and mesh estimation", dissertation, University of California, Irvine, 2020, chapter 3, beside the
default estimator: `methods.depth_gan` has the method itself and says what the thesis leaves open. The generator, and a regularizer that
foretells relative maps from joints, are started on synthesis; then a discriminator compares what the generator draws of the user's pictures
with the user's depth frames, and the estimator's depths are held against what is drawn (Eq. 3.5).

Ours: the regularizer gets 2D joints too, which these pictures have (labelled ones, elsewhere the estimator's); depths go into it min-max
normalised, and those of the surface are the readings on the hand (`data.hand_depth`), in frames about the joints that the finder expects.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from phalanx.adapt.recordings import RecordingFiles, read_recording
from phalanx.adapt.weak_crops import DEPTH_TILE, MAP, TILE_FACTOR, depth_crop, nearest_crop, random_crop
from phalanx.adapt.weak_depth import PairedHands, shrunk
from phalanx.adapt.weak_pictures import FEWEST_OF_A_HAND
from phalanx.core.errors import InputError
from phalanx.core.files import read_head, write_whole
from phalanx.core.seeding import generator
from phalanx.data.depth_cameras import depth_frames, read_intrinsics
from phalanx.data.hand_depth import readings_of_hands, scale_of
from phalanx.geometry.crops import box_around_points, upright_angle
from phalanx.geometry.cubes import EXTENT
from phalanx.hand.prediction import Side
from phalanx.losses.depth_maps import map_error
from phalanx.methods.base import Player
from phalanx.methods.depth_gan import DepthGANConfig, DepthGANWeights, relative_map, stretched
from phalanx.methods.hand_finder import load as load_finder
from phalanx.methods.sphere_fitting import load as load_spheres
from phalanx.nets.depth_decoder import DepthDecoder
from phalanx.nets.picture_translation import DepthDiscriminator, DepthGenerator, real_or_drawn, taken_for_real

_FAR = 100.0  # metres: from there a camera sees a cube as without perspective
_LEAST_DEPTHS = 1e-3  # the least range of joints' depths, crop units

Maps = Callable[[Any], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class UnpairedFiles:
    """Where depth frames lie that belong to none of the pictures."""

    folder: str | os.PathLike[str]
    """Of depth frames, also in folders below."""
    camera: str | None = None
    """As `data.depth_cameras.read_frame` takes it; none: `intrinsics.json` in the folder."""
    unit: float | None = None
    """Metres that a value of 1 stands for; none: the camera's, or that of `intrinsics.json`."""
    side: Side | None = None
    """Which hand they show; none: the one that some of them speak for."""


class DrawnDepth(nn.Module):
    """The generator, the discriminator, and the regularizer that foretells maps from joints."""

    def __init__(self) -> None:
        super().__init__()
        config = DepthGANConfig(size=MAP)
        self.weights, self.rate = DepthGANWeights(), config.rate
        self.generator = DepthGenerator(MAP, config.generator)
        self.discriminator = DepthDiscriminator(config.discriminator)
        self.regularizer = DepthDecoder(3 * 21, MAP, config.regularizer, dropout=0.0)

    def draw(self, images: Tensor) -> Tensor:
        """Relative maps D* (B, MAP, MAP), 0 the nearest, of pictures (B, 3, S, S) in 0 to 1."""
        return stretched(self.generator(shrunk(images)))

    def foretell(self, joints: Tensor, depths: Tensor) -> Tensor:
        """Relative maps (B, MAP, MAP) of joints (B, 21, 2) and depths (B, 21) in crop units."""
        nearest, farthest = depths.amin(1, keepdim=True), depths.amax(1, keepdim=True)
        relative = (depths - nearest) / (farthest - nearest).clamp_min(_LEAST_DEPTHS)
        return self.regularizer(torch.cat(((joints - 0.5).flatten(1), relative), dim=1))

    def error(self, images: Tensor, joints: Tensor, depths: Tensor, counted: Tensor) -> Tensor:
        """Eq. 3.5, a mean over those of B hands that are `counted` (B,): what the estimator descends, the regularizer being as it is."""
        with torch.no_grad():
            drawn = self.draw(images)
        self.regularizer.eval().requires_grad_(False)
        return map_error(self.foretell(joints, depths), drawn, counted)

    def start(self) -> tuple[Player, ...]:
        """Who moves at first, on `PairedHands`."""

        def pairs(batch: PairedHands) -> tuple[Tensor, Tensor]:
            return relative_map(batch.hands.map), _read(batch)

        return (
            *self._adversaries(lambda batch: (batch.images, relative_map(batch.hands.map)), pairs, self.weights.pairs),
            Player("foretold", tuple(self.regularizer.parameters()), self._foretold_losses, optimiser=self._adam),
        )

    def adversaries(self, judged: Maps, foretold: Maps) -> tuple[Player, ...]:
        """Discriminator and generator beside the estimator.

        Args:
            judged: of a batch its pictures, and relative maps of other hands.
            foretold: of a batch the maps that its joints foretell, and the hands `(B,)` that they count for: the depth loss reaches
                the generator (Eq. 3.1).
        """
        return self._adversaries(judged, foretold, self.weights.depth_map)

    def _adversaries(self, judged: Maps, near: Maps, weight: float) -> tuple[Player, ...]:
        def judges(batch: Any) -> dict[str, Tensor]:
            images, real = judged(batch)
            with torch.no_grad():
                drawn = self.draw(images)
            loss = real_or_drawn(self.discriminator(real), self.discriminator(drawn))  # Eq. 3.2
            return {"judged": self.weights.adversarial * loss}

        def draws(batch: Any) -> dict[str, Tensor]:
            drawn = self.draw(judged(batch)[0])
            fooled = taken_for_real(self.discriminator(drawn))
            return {"fooled": self.weights.adversarial * fooled, "near": weight * map_error(drawn, *near(batch))}

        return (
            Player("discriminator", tuple(self.discriminator.parameters()), judges, optimiser=self._adam),
            Player("generator", tuple(self.generator.parameters()), draws, optimiser=self._adam),
        )

    def _foretold_losses(self, batch: PairedHands) -> dict[str, Tensor]:
        self.regularizer.train().requires_grad_(True)
        foretold = self.foretell(batch.hands.joints, batch.hands.depths)
        return {"map": map_error(foretold, relative_map(batch.hands.map), _read(batch))}

    def _adam(self, parameters: tuple[nn.Parameter, ...]) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters, lr=self.rate, betas=(0.5, 0.999))


def _read(batch: PairedHands) -> Tensor:
    """(B,) 1 for hands of which anything was read."""
    return (batch.hands.map > 0).flatten(1).any(1).float()


@dataclass(frozen=True, eq=False)
class UnpairedDepth:
    """Depth maps that drawn ones are judged against.

    Attributes:
        tiles: (N, DEPTH_TILE, DEPTH_TILE) metres from far away, of right hands alone, upright; 0 = not the hand, or no reading.
        skipped: `input` and `problem` of frames that are not there.
    """

    tiles: np.ndarray
    skipped: list[dict[str, str]]

    def __len__(self) -> int:
        return len(self.tiles)

    def checksum(self) -> str:
        """Of the maps, so that a run goes on with the same."""
        return hashlib.sha256(np.ascontiguousarray(self.tiles).tobytes()).hexdigest()

    def keep(self, path: Path, files: UnpairedFiles) -> None:
        """Write it for `kept_unpaired`: how many frames there is time for is another number every time."""
        with write_whole(path) as part, part.open("wb") as file:
            about = json.dumps([_named(files), self.skipped])
            np.savez_compressed(file, tiles=self.tiles, about=np.array(about))


def kept_unpaired(path: Path, files: UnpairedFiles) -> UnpairedDepth | None:
    """What `UnpairedDepth.keep` wrote; None if it is of other frames. Raises InputError if there is none, or it is damaged."""
    read_head(path, 1)
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as held:
            named, skipped = json.loads(str(held["about"]))
            return UnpairedDepth(held["tiles"], skipped) if named == _named(files) else None
    except Exception as error:  # damaged archives raise anything
        raise InputError(f"{path}: is damaged, so that its run cannot go on; begin in another folder") from error


def _named(files: UnpairedFiles) -> list[Any]:
    return [str(Path(files.folder).resolve()), files.camera, files.unit, files.side]


def read_unpaired(
    files: UnpairedFiles, seconds: float, complain: Callable[[str], object], progress: Callable[[], None]
) -> UnpairedDepth:
    """The hands of a folder of depth frames in which one is found for sure.

    Args:
        files: where they are and how they are read.
        seconds: that reading may take; the first frames read are spread over all.
        complain: is given a sentence for every frame that is passed over.
        progress: is called after every frame.

    Raises:
        InputError: there is no camera, or see `adapt.recordings.read_recording`.
    """
    folder, camera, unit = Path(files.folder), files.camera, files.unit
    if camera is None:
        found = read_intrinsics(folder) if folder.is_dir() else None
        if folder.is_dir() and not depth_frames(folder):
            raise InputError(f"{folder}: holds no depth frames")
        if folder.is_dir() and found is None:
            raise InputError(
                f"{folder}: has no intrinsics.json with the camera of its depth frames; give --unpaired-camera"
            )
        if found is not None:
            camera, unit = (
                ",".join(f"{found[1][place]:.9g}" for place in ((0, 0), (1, 1), (0, 2), (1, 2))),
                unit or found[2],
            )
    recording = read_recording(
        RecordingFiles(folder, camera or "1,1,0,0", unit, files.side or "auto"),
        load_spheres(),
        load_finder(),
        complain,
        lambda done, total: progress(),
        seconds,
    )
    tiles = _hand_tiles(recording.views.maps.flatten(0, 1).float(), recording.guesses.flatten(0, 1))
    clear = (tiles > 0).sum(axis=(1, 2)) >= FEWEST_OF_A_HAND
    if not clear.any():
        raise InputError(f"{folder}: no frame has a hand of {FEWEST_OF_A_HAND} readings or more")
    return UnpairedDepth(tiles[clear], recording.skipped)


class UnpairedFeed:
    """Relative maps of other hands, drawn at random; every time another crop of a tile."""

    def __init__(self, depth: UnpairedDepth, seed: int) -> None:
        self._tiles, self._seed, self._step = depth.tiles, seed, 0

    def next(self, batch: int, size: int, reuse: int) -> Tensor:
        """D* (batch, MAP, MAP)."""
        random = generator(self._seed, self._step, 1)
        self._step += 1
        maps = [
            depth_crop(self._tiles[row], random_crop(random)[0]) for row in random.integers(0, len(self._tiles), batch)
        ]
        return relative_map(torch.from_numpy(np.stack(maps)).float())

    def state(self) -> dict[str, int]:
        return {"step": self._step}

    def restore(self, state: dict[str, int]) -> None:
        self._step = state["step"]

    def close(self) -> None:
        """Nothing to close: all maps are in memory."""


def _hand_tiles(maps: Tensor, joints: Tensor) -> np.ndarray:
    """Cubes' maps (N, S, S) in metres about the middle, with joints (N, 21, 3) there, as tiles of the hand alone."""
    size = maps.shape[-1]
    focal = _FAR * size / EXTENT
    K = torch.tensor([[focal, 0.0, (size - 1) / 2], [0.0, focal, (size - 1) / 2], [0.0, 0.0, 1.0]]).expand(
        len(maps), 3, 3
    )
    places = (joints[..., :2] / EXTENT + 0.5) * size - 0.5
    depth = torch.where(maps < EXTENT / 2, maps + _FAR, 0.0)
    alone = readings_of_hands(depth, places, joints[:, 0, 2] + _FAR, scale_of(joints), K)
    boxes = [box_around_points(points, TILE_FACTOR, upright_angle(points)) for points in places.numpy()]
    return np.stack([nearest_crop(map_, box, DEPTH_TILE) for map_, box in zip(alone.numpy(), boxes, strict=True)])
