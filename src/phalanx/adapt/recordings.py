"""A user's own depth frames, cut out for a network: those of one camera, or of the cameras of a rig, read in one go."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from phalanx.core.checks import as_array
from phalanx.core.errors import InputError
from phalanx.data.cube_views import CubeViews, concatenate_views, cube_views
from phalanx.data.depth_cameras import depth_frames, read_frame, unit_of
from phalanx.data.folders import RigFolder
from phalanx.data.images import read_image
from phalanx.data.sample import Sample
from phalanx.geometry.alignment import moved
from phalanx.geometry.cubes import EXTENT
from phalanx.hand.prediction import Side
from phalanx.methods.sphere_fitting import SphereFittingEstimator
from phalanx.predict.depth import mirrored_frames
from phalanx.predict.depth_search import find_hands, fit_to_maps, why_no_hand, within

_LEAST = 150  # cells of a map that a hand covers at the least
_MOST_ERROR = 0.04  # metres: a network that is not adapted yet may be so far off
_APART = 0.15  # metres between the places where cameras see the middle of one hand
_BATCH = 32  # maps that a network sees at once


@dataclass(frozen=True)
class RecordingFiles:
    """Where depth frames lie, what their values mean, and where in them the hand is."""

    folder: str | os.PathLike[str]
    """Of 16-bit frames (PNG), also in folders below; with a `rig.json`, a folder for each camera (`data.folders.RigFolder`)."""
    camera: str
    """As `data.depth_cameras.read_frame` takes it; of a rig, only its unit counts."""
    unit: float | None = None
    """Metres that a value of 1 stands for; none: the named camera's."""
    side: Side = "right"
    """Which hand all frames show."""
    box: Sequence[float] | None = None
    """x, y, width, height in pixels that the hand is in, in all frames of one camera; none: it is looked for."""
    mask: str | os.PathLike[str] | None = None
    """A picture that is black where the hand is not, in all frames of one camera."""


@dataclass(frozen=True)
class Recording:
    """Frames of a folder, cut out by cubes; left hands mirrored."""

    views: CubeViews
    names: list[str]
    """Of the frames that are there."""
    skipped: list[dict[str, str]]
    """`input` and `problem` of those that are not."""


def read_recording(
    files: RecordingFiles,
    network: SphereFittingEstimator,
    complain: Callable[[str], object] = print,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Recording:
    """The frames in a folder, as maps on the CPU.

    Args:
        files: where they are and how they are read.
        network: finds the hand in what is nearest; on any device.
        complain: is given a sentence for every frame that is passed over.
        progress: is given how many frames are read, and how many there are.

    Raises:
        InputError: camera, unit, box or mask are at fault, the folder has no frames, or none of them can be used.
    """
    folder = Path(files.folder)
    unit_of(files.camera, files.unit)
    mask = None if files.mask is None else np.asarray(read_image(files.mask).any(2))
    if files.box is not None:
        as_array(files.box, (4,), "box")
    rig = _rig(folder, files)
    frames = _frames(folder, rig)
    parts, names, skipped = [], [], []

    def pass_over(path: Path, problem: str) -> None:
        skipped.append({"input": str(path), "problem": problem})
        complain(problem)

    for name, missing in {} if rig is None else rig.lacking.items():
        for frame in missing:
            path = folder / name / frame
            pass_over(path, f"{path}: is missing, so that what other cameras have of it is not used")
    for number, paths in enumerate(frames):
        try:
            parts.append(_read(paths, files, rig, network, mask))
            names.append(str(paths[0].relative_to(folder)))
        except InputError as error:
            pass_over(paths[0], str(error))
        progress(number + 1, len(frames))
    if not parts:
        raise InputError(f"{folder}: none of its {len(frames)} frames can be used")
    return Recording(concatenate_views(parts), names, skipped)


@torch.no_grad()
def fit_errors(network: SphereFittingEstimator, maps: Tensor) -> Tensor:
    """Mean absolute difference `(N,)` in mm of drawn and measured depth where both have surface, of maps `(N, S, S)` on the CPU."""
    device = network.radii.device
    return torch.cat(
        [1000 * fit_to_maps(network(part.to(device)).cpu(), part)[0] for part in maps.float().split(_BATCH)]
    )


def _rig(folder: Path, files: RecordingFiles) -> RigFolder | None:
    if not RigFolder.recognises(folder):
        return None
    if files.box is not None or files.mask is not None:
        raise InputError("box and mask are of one camera's frames, and this folder has those of a rig")
    return RigFolder(folder, whole=False)


def _frames(folder: Path, rig: RigFolder | None) -> list[list[Path]]:
    """Paths of every frame, one a camera."""
    if rig is not None:
        frames = [[folder / name / frame for name in rig.cameras] for frame in rig.frames]
    elif folder.is_dir():
        frames = [[path] for path in depth_frames(folder)]
    else:
        raise InputError(f"{folder}: no such folder")
    if not frames:
        raise InputError(f"{folder}: holds no 16-bit PNG frames")
    return frames


def _read(
    paths: list[Path],
    files: RecordingFiles,
    rig: RigFolder | None,
    network: SphereFittingEstimator,
    mask: np.ndarray | None,
) -> CubeViews:
    """One frame in all its views. Raises InputError if one of them is at fault or shows no hand."""
    depth, K, motions = _depth(paths, files, rig, mask)
    middles = find_hands(network, depth, K, network.radii.device)
    sample = Sample(sensed_depth=depth, K=K, world_to_camera=motions)
    views = cube_views(sample, len(paths), network.config.size, middles)
    _check_hands(paths, network, views.maps[0], middles)
    if motions is not None:
        _check_meeting(paths, motions, middles)
    return views


def _depth(
    paths: list[Path], files: RecordingFiles, rig: RigFolder | None, mask: np.ndarray | None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Depth `(V, H, W)` in metres, cameras `(V, 3, 3)` and, of a rig, motions from the world `(V, 4, 4)`; of a right hand."""
    frames = [read_frame(path, files.camera, files.unit) for path in paths]
    for path, (frame, _) in zip(paths, frames, strict=True):
        if rig is not None and frame.shape[::-1] != rig.size:
            sizes = "{}x{}, and not {}x{}".format(*frame.shape[::-1], *rig.size)
            raise InputError(f"{path}: has {sizes} pixels as rig.json says")
        if mask is not None and frame.shape != mask.shape:
            raise InputError(f"{path}: is not the size of the mask")
    depth = torch.from_numpy(np.stack([within(frame, files.box, mask) for frame, _ in frames]))
    K = torch.from_numpy(np.stack([K for _, K in frames]) if rig is None else rig.K).float()
    motions = None if rig is None else torch.from_numpy(rig.world_to_camera).float()
    if files.side == "left":
        depth, K = mirrored_frames(depth, K)
        if motions is not None:  # the mirrored cameras in a mirrored world
            mirror = torch.diag(torch.tensor([-1.0, 1.0, 1.0, 1.0]))
            motions = mirror @ motions @ mirror
    return depth, K, motions


def _check_hands(paths: list[Path], network: SphereFittingEstimator, maps: Tensor, middles: Tensor) -> None:
    """Raise InputError if a view's map `(V, S, S)` shows no hand; cubes about `middles (V, 3)`."""
    covered = (maps < EXTENT / 2).flatten(1).sum(1)
    if int(covered.min()) < _LEAST:
        raise InputError(f"{paths[int(covered.argmin())]}: no hand is seen near the camera")
    for path, middle, surface, error in zip(paths, middles, maps, fit_errors(network, maps), strict=True):
        if fault := why_no_hand(middle, surface, float(error) / 1000, _MOST_ERROR):
            raise InputError(f"{path}: {fault}")


def _check_meeting(paths: list[Path], motions: Tensor, middles: Tensor) -> None:
    """Raise InputError if the cameras (world -> camera `(V, 4, 4)`) see the hand in different places."""
    world = moved(torch.linalg.inv(motions), middles[:, None])[:, 0]
    apart = (world - world.median(0).values).norm(dim=1)
    if float(apart.max()) > _APART:
        raise InputError(
            f"{paths[int(apart.argmax())]}: the hand is {float(apart.max()):.2f} m from where the other cameras see it; "
            "are rig.json's motions from the world into the camera, in metres?"
        )
