"""A user's own depth frames, cut out for a network: those of one camera, or of the cameras of a rig, read in one go."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from phalanx.core.checks import as_array
from phalanx.core.errors import InputError
from phalanx.data.cube_views import CubeViews, concatenate_views, cube_views
from phalanx.data.depth_cameras import UnitMissing, check_camera, depth_frames, lacking_units, read_frame
from phalanx.data.folders import RigFolder
from phalanx.data.images import check_local, read_image
from phalanx.data.sample import Sample
from phalanx.geometry.alignment import moved
from phalanx.hand.prediction import Side
from phalanx.methods.sphere_fitting import SphereFittingEstimator
from phalanx.predict.depth import SearchedFrame, mirrored_frames, search_frame
from phalanx.predict.depth_search import FindsHands, Place, fit_to_maps, why_no_hand
from phalanx.predict.depth_votes import VOTERS, KeptFrames, side_of

_CLEAR, _LIKELY = 0.5, 0.25  # how likely a hand, and if there is one its side, must be for its frame to be learnt from
_MOST_ERROR = 0.04  # metres: a network that is not adapted yet may be so far off
_APART = 0.15  # metres between the places where cameras see the middle of one hand
_BATCH = 32  # maps that a network sees at once


@dataclass(frozen=True)
class RecordingFiles:
    """Where depth frames lie, what their values mean, and where in them the hand is."""

    folder: str | os.PathLike[str]
    """Of depth frames, also in folders below; with a `rig.json`, a folder for each camera (`data.folders.RigFolder`)."""
    camera: str
    """As `data.depth_cameras.read_frame` takes it; of a rig, only its unit counts."""
    unit: float | None = None
    """Metres that a value of 1 stands for; none: the named camera's."""
    side: Side | Literal["auto"] = "auto"
    """Which hand all frames show; auto: the one that some of them speak for."""
    box: Sequence[float] | None = None
    """x, y, width, height in pixels that the hand is in, in all frames of one camera; none: it is looked for."""
    mask: str | os.PathLike[str] | None = None
    """A picture that is black where the hand is not, in all frames of one camera."""


@dataclass(frozen=True)
class Recording:
    """Frames of a folder, cut out by cubes; left hands mirrored."""

    views: CubeViews
    guesses: Tensor
    """(F, V, 21, 3) joints as the finder expects them, metres, cube frame."""
    names: list[str]
    """Of the frames that are there."""
    skipped: list[dict[str, str]]
    """`input` and `problem` of those that are not."""
    side: Side
    """Which hand they show."""
    read: list[str]
    """Names of the frames that were looked at, in that order."""
    unread: int
    """Number of those for which there was no time."""
    unsure: int
    """Number of frames that are there although one of their views looks more like the other side."""


@dataclass(frozen=True)
class _Views:
    """What the cameras see of one frame."""

    paths: list[Path]
    frames: list[SearchedFrame]

    @property
    def nbytes(self) -> int:
        return sum(frame.nbytes for frame in self.frames)


def read_recording(
    files: RecordingFiles,
    network: SphereFittingEstimator,
    finder: FindsHands,
    complain: Callable[[str], object] = print,
    progress: Callable[[int, int], None] = lambda done, total: None,
    seconds: float = math.inf,
    only: Collection[str] | None = None,
) -> Recording:
    """The frames in a folder in which a hand of the side is found for sure, as maps on the CPU.

    Args:
        files: where they are and how they are read.
        network: finds spheres in cubes; on any device.
        finder: finds the cubes; on the same device.
        complain: is given a sentence for every frame that is passed over.
        progress: is given how many frames are read, and how many there are.
        seconds: that reading may take; they are read in an order in which the first few are spread over all.
        only: names of the frames that are read; none: all.

    The first of them speak for the side, and are not read or searched again for that.

    Raises:
        InputError: camera, unit, box or mask are at fault, the folder has no frames, or none of them can be used.
    """
    check_local(files.folder)
    folder, deadline = Path(files.folder), time.monotonic() + seconds
    check_camera(files.camera, files.unit)
    mask = None if files.mask is None else np.asarray(read_image(files.mask).any(2))
    if files.box is not None:
        as_array(files.box, (4,), "box")
    rig = _rig(folder, files)
    frames = _frames(folder, rig)
    if only is not None:
        frames = [paths for paths in frames if _name(paths, folder) in only]
    order = _spread_first(len(frames))
    kept = KeptFrames[int, _Views](
        lambda number: _search(frames[number], files, rig, finder, mask, network.radii.device)
    )
    side, voters = (files.side, 0) if files.side != "auto" else _vote(order, kept, deadline)
    parts: dict[int, CubeViews] = {}
    guesses: dict[int, Tensor] = {}
    skipped: list[dict[str, str]] = []
    lacking: list[Path] = []
    unsure, reason = 0, ""

    def pass_over(path: Path, problem: str, aloud: bool = True) -> None:
        skipped.append({"input": str(path), "problem": problem})
        if aloud:
            complain(problem)

    for name, missing in {} if rig is None else rig.lacking.items():
        for frame in missing:
            path = folder / name / frame
            pass_over(path, f"{path}: is missing, so that what other cameras have of it is not used")
    read: list[str] = []
    for number in order:
        if len(read) >= max(1, voters) and time.monotonic() > deadline:
            break
        paths = frames[number]
        try:
            views = kept.take(number)
            places = _clear_places(views, side)
            parts[number] = _cut_out(views, places, side, rig, network)
            guesses[number] = torch.stack([_guess(place) for place in places])
            unsure += any(place.shares[side] < 0.5 * place.hand for place in places)
        except UnitMissing as error:
            lacking.append(paths[0])
            reason = str(error)
            pass_over(paths[0], f"{paths[0]}: {reason}", aloud=False)
        except InputError as error:
            problem = str(error)
            pass_over(paths[0], problem if any(str(path) in problem for path in paths) else f"{paths[0]}: {problem}")
        read.append(_name(paths, folder))
        progress(len(read), len(frames))
    if lacking:
        sentence = f"{lacking_units(lacking)}: {reason}"
        if len(lacking) == len(read):
            raise InputError(sentence)
        complain(sentence)
    if not parts:
        raise InputError(f"{folder}: none of its {len(frames)} frames can be used")
    skipped.sort(key=lambda entry: entry["input"])
    names = [_name(frames[number], folder) for number in sorted(parts)]
    views_of_all = concatenate_views([parts[number] for number in sorted(parts)])
    guessed = torch.stack([guesses[number] for number in sorted(parts)])
    return Recording(views_of_all, guessed, names, skipped, side, read, len(frames) - len(read), unsure)


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
        raise InputError(f"{folder}: holds no depth frames")
    return frames


def _name(paths: list[Path], folder: Path) -> str:
    return str(paths[0].relative_to(folder))


def _spread_first(count: int) -> list[int]:
    """Numbers up to `count` in an order in which the first few are spread over all: steps of the golden ratio."""
    return np.argsort(np.arange(count) * 0.6180339887498949 % 1.0, kind="stable").tolist()


def _vote(order: Sequence[int], kept: KeptFrames[int, _Views], deadline: float) -> tuple[Side, int]:
    """The side that the first frames speak for, and how many were asked: more than one only while there is time."""
    places: list[Place] = []
    asked = 0
    for number in order[:VOTERS]:
        if places and time.monotonic() > deadline:
            break
        views = kept.look(number)
        places += [] if views is None else [frame.candidates.best() for frame in views.frames]
        asked += 1
    return side_of(places), asked


def _search(
    paths: list[Path],
    files: RecordingFiles,
    rig: RigFolder | None,
    finder: FindsHands,
    mask: np.ndarray | None,
    device: torch.device,
) -> _Views:
    """Read one frame in all its views, and look for hands. Raises InputError if one of them is at fault."""
    frames = []
    for number, path in enumerate(paths):
        depth, K = read_frame(path, files.camera, files.unit)
        if rig is not None and depth.shape[::-1] != rig.size:
            sizes = "{}x{}, and not {}x{}".format(*depth.shape[::-1], *rig.size)
            raise InputError(f"{path}: has {sizes} pixels as rig.json says")
        if mask is not None and depth.shape != mask.shape:
            raise InputError(f"{path}: is not the size of the mask")
        K = K if rig is None else rig.K[number]
        frames.append(search_frame(finder, depth, K, files.side, files.box, mask, device))
    return _Views(paths, frames)


def _clear_places(views: _Views, side: Side) -> list[Place]:
    """Where each view shows a hand. Raises InputError if one of them shows none of this side for sure."""
    places = [frame.candidates.best(side) for frame in views.frames]
    for path, place in zip(views.paths, places, strict=True):
        if place.hand < _CLEAR or place.shares[side] < _LIKELY * place.hand:
            raise InputError(f"{path}: is not learnt from, for no {side} hand is seen clearly in it")
    return places


def _guess(place: Place) -> Tensor:
    """The joints (21, 3) of a place from its middle; left hands mirrored."""
    return (place.joints - place.middle) * place.joints.new_tensor([-1.0 if place.side == "left" else 1.0, 1.0, 1.0])


def _cut_out(
    views: _Views, places: list[Place], side: Side, rig: RigFolder | None, network: SphereFittingEstimator
) -> CubeViews:
    """The cubes about these places. Raises InputError if one of them shows no hand, or cameras see it in different places."""
    depth = torch.stack([torch.from_numpy(frame.seen) for frame in views.frames])
    K = torch.stack([torch.from_numpy(frame.K).float() for frame in views.frames])
    middles = torch.stack([place.middle for place in places])
    motions = None if rig is None else torch.from_numpy(rig.world_to_camera).float()
    if side == "left":
        depth, K = mirrored_frames(depth, K)
        mirror = torch.diag(torch.tensor([-1.0, 1.0, 1.0, 1.0]))
        middles = middles @ mirror[:3, :3]
        motions = None if motions is None else mirror @ motions @ mirror  # the mirrored cameras in a mirrored world
    sample = Sample(sensed_depth=depth, K=K, world_to_camera=motions)
    cubes = cube_views(sample, len(places), network.config.size, middles)
    _check_hands(views.paths, network, cubes.maps[0], places)
    if motions is not None:
        _check_meeting(views.paths, motions, middles)
    return cubes


def _check_hands(paths: list[Path], network: SphereFittingEstimator, maps: Tensor, places: list[Place]) -> None:
    """Raise InputError if a view's map `(V, S, S)` of the cube about its place shows no hand."""
    for path, place, surface, error in zip(paths, places, maps, fit_errors(network, maps), strict=True):
        if fault := why_no_hand(place, surface, float(error) / 1000, _MOST_ERROR):
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
