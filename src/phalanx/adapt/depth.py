"""A network for one's own depth camera: `phalanx adapt depth` fits the sphere network to recordings without labels."""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from phalanx.core.checks import as_array
from phalanx.core.errors import InputError
from phalanx.core.files import writable_folder, write_json
from phalanx.data.cube_views import CubeViews, concatenate_views, cube_views
from phalanx.data.depth_cameras import DEPTH_CAMERAS, depth_frames, read_frame, unit_of
from phalanx.data.folders import RigFolder
from phalanx.data.images import read_image
from phalanx.data.sample import Sample
from phalanx.geometry.alignment import moved
from phalanx.geometry.cubes import EXTENT
from phalanx.hand.model import HandModel
from phalanx.hand.prediction import Side
from phalanx.hand.skeleton import JOINT_NAMES
from phalanx.hand.sphere_priors import joints_of_spheres
from phalanx.methods.sphere_fitting import SphereFittingEstimator, load, save_weights
from phalanx.predict.depth import mirrored_frames
from phalanx.predict.depth_search import find_hands, fit_to_maps, why_no_hand, within
from phalanx.synth import SynthConfig
from phalanx.train.loop import LoopConfig
from phalanx.train.sphere_fitting import WEIGHTS, FitConfig, StartConfig, fit
from phalanx.view.samples import depth_picture, draw_joints, sheet, write_sheet

_LEAST = 150  # cells of a map that a hand covers at the least
_SHOWN = 6  # frames in the picture
_WATCHED = 64  # maps that errors are told of while it trains
_MOST_ERROR = 0.04  # metres: a network that is not adapted yet may be so far off
_APART = 0.15  # metres between the places where cameras see the middle of one hand


@dataclass
class Recording:
    """Frames of a folder, cut out by cubes; left hands mirrored."""

    views: CubeViews
    names: list[str]
    """Of the frames that are there."""
    skipped: list[dict[str, str]]
    """`input` and `problem` of those that are not."""


def read_recording(
    folder: str | os.PathLike[str],
    camera: str,
    network: SphereFittingEstimator,
    unit: float | None = None,
    side: Side = "right",
    box: Sequence[float] | None = None,
    mask: str | os.PathLike[str] | None = None,
    complain: Callable[[str], object] = print,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Recording:
    """The 16-bit depth frames in a folder and below, or, where it has a `rig.json`, those of calibrated cameras.

    Args:
        folder: of frames (PNG); with a rig, a folder for each camera (`data.folders.RigFolder`).
        camera: as `data.depth_cameras.read_frame` takes it; of a rig, only its unit counts.
        network: that says where in the nearest thing the hand is.
        unit: metres that a value of 1 stands for; none: the named camera's.
        side: which hand all frames show.
        box, mask: where the hand is in all frames of one camera, as `predict.depth_search.within` has it; the mask as a picture,
            black where the hand is not.
        complain: is given a sentence for every frame that is passed over.
        progress: is given how many frames are read, and how many there are.

    Raises:
        InputError: camera, unit, box or mask are at fault, the folder has no frames, or none of them can be used.
    """
    folder = Path(folder)
    unit_of(camera, unit)
    where = None if mask is None else np.asarray(read_image(mask).any(2))
    if box is not None:
        as_array(box, (4,), "box")
    rig = RigFolder(folder, whole=False) if RigFolder.recognises(folder) else None
    if rig is None:
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder")
        frames = [[path] for path in depth_frames(folder)]
    else:
        if box is not None or mask is not None:
            raise InputError("box and mask are of one camera's frames, and this folder has those of a rig")
        frames = [[folder / name / frame for name in rig.cameras] for frame in rig.frames]
    if not frames:
        raise InputError(f"{folder}: holds no 16-bit PNG frames")
    parts, names, skipped = [], [], []
    for name, missing in {} if rig is None else rig.lacking.items():
        for frame in missing:
            problem = f"{folder / name / frame}: is missing, so that what other cameras have of it is not used"
            skipped.append({"input": str(folder / name / frame), "problem": problem})
            complain(problem)
    for number, paths in enumerate(frames):
        try:
            parts.append(_read(paths, camera, unit, side, rig, network, box, where))
            names.append(str(paths[0].relative_to(folder)))
        except InputError as error:
            skipped.append({"input": str(paths[0]), "problem": str(error)})
            complain(str(error))
        progress(number + 1, len(frames))
    if not parts:
        raise InputError(f"{folder}: none of its {len(frames)} frames can be used")
    return Recording(concatenate_views(parts), names, skipped)


def _read(
    paths: list[Path],
    camera: str,
    unit: float | None,
    side: Side,
    rig: RigFolder | None,
    network: SphereFittingEstimator,
    box: Sequence[float] | None,
    mask: np.ndarray | None,
) -> CubeViews:
    frames = [read_frame(path, camera, unit) for path in paths]
    for path, (frame, _) in zip(paths, frames, strict=True):
        if rig is not None and frame.shape[::-1] != rig.size:
            sizes = "{}x{}, and not {}x{}".format(*frame.shape[::-1], *rig.size)
            raise InputError(f"{path}: has {sizes} pixels as rig.json says")
        if mask is not None and frame.shape != mask.shape:
            raise InputError(f"{path}: has not the size of the mask")
    depth = torch.from_numpy(np.stack([within(frame, box, mask) for frame, _ in frames]))
    intrinsics = np.stack([K for _, K in frames]) if rig is None else rig.K
    K = torch.from_numpy(intrinsics).float()
    motions = None if rig is None else torch.from_numpy(rig.world_to_camera).float()
    if side == "left":
        depth, K = mirrored_frames(depth, K)
        if motions is not None:  # the mirrored cameras in a mirrored world
            mirror = torch.diag(torch.tensor([-1.0, 1.0, 1.0, 1.0]))
            motions = mirror @ motions @ mirror
    sample = Sample(sensed_depth=depth, K=K, world_to_camera=motions)
    middles = find_hands(network, depth, K)
    views = cube_views(sample, len(paths), network.config.size, middles)
    covered = (views.maps[0] < EXTENT / 2).flatten(1).sum(1)
    if int(covered.min()) < _LEAST:
        raise InputError(f"{paths[int(covered.argmin())]}: no hand is seen near the camera")
    for path, middle, surface, error in zip(
        paths, middles, views.maps[0], fit_errors(network, views.maps[0]), strict=True
    ):
        if fault := why_no_hand(middle, surface, float(error) / 1000, _MOST_ERROR):
            raise InputError(f"{path}: {fault}")
    if motions is not None:
        world = moved(torch.linalg.inv(motions), middles[:, None])[:, 0]
        apart = (world - world.median(0).values).norm(dim=1)
        if float(apart.max()) > _APART:
            raise InputError(
                f"{paths[int(apart.argmax())]}: the hand is {float(apart.max()):.2f} m from where the other cameras see it; "
                "are rig.json's motions from the world into the camera, in metres?"
            )
    return views


@torch.no_grad()
def fit_errors(network: SphereFittingEstimator, maps: Tensor) -> Tensor:
    """Mean absolute difference `(N,)` in mm of drawn and measured depth where both have surface, of maps `(N, S, S)`."""
    return torch.cat([1000 * fit_to_maps(network(part), part)[0] for part in maps.float().split(32)])


def adapt_depth(
    folder: str | os.PathLike[str],
    camera: str,
    out: str | os.PathLike[str],
    weights: str | os.PathLike[str] | None = None,
    unit: float | None = None,
    side: Side = "right",
    box: Sequence[float] | None = None,
    mask: str | os.PathLike[str] | None = None,
    minutes: float = 10.0,
    workers: int = 1,
    resume: bool = False,
    say: Callable[[str], None] = print,
    complain: Callable[[str], object] = print,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Fit a network to the recordings in `folder` and write it, pictures and figures into the folder `out`.

    `sphere_fitting.safetensors` are the weights for `DepthPredictor`, `adapted.json` says what was done (fit errors before and after in mm,
    frames, what was passed over), `adapted.png` shows frames with the joints before and after.

    Args:
        folder, camera, unit, side, box, mask: as `read_recording` takes them.
        weights: to begin with (default: those in the package).
        minutes: of training.
        workers: processes that make the synthetic frames that are mixed in.
        resume: go on with a run that was killed.

    Raises:
        InputError: see `read_recording` and `train.loop.train`.
    """
    target = writable_folder(out)
    if not minutes > 0:
        raise InputError(f"minutes: must be positive, not {minutes}")
    network = load(None if weights is None else Path(weights), trainable=True).eval()
    recording = read_recording(folder, camera, network, unit, side, box, mask, complain, progress)
    views = recording.views
    maps = views.maps.flatten(0, 1)
    say(f"{len(views)} frames of {views.maps.shape[1]} views, {len(recording.skipped)} passed over")
    first = copy.deepcopy(network)
    before = fit_errors(first, maps)
    say(f"spheres and depth differ by {float(before.mean()):.1f} mm before")
    known = DEPTH_CAMERAS.get(camera)
    sensor = "domain" if known is None else known.like or known.name
    size = network.config.size
    synthetic = StartConfig(
        network.config,
        synth=SynthConfig(size=size, depth_sensor=sensor, tiles=4, skins=2),
        turn=180.0,
        workers=workers,
        buffer=2_000,
    )
    rate = LoopConfig(minutes=minutes, learning_rate=3e-4, kernel_rate=4e-3, average=4_000, evaluate_every=1_000)
    started = time.monotonic()
    mixture = FitConfig(rate, frames=max(2, 24 // views.maps.shape[1]))
    watched = maps[torch.linspace(0, len(maps) - 1, min(_WATCHED, len(maps))).round().long()]

    def watch(present: SphereFittingEstimator) -> dict[str, float]:
        write_sheet(target / "adapted.png", _picture(maps, first, present))
        return {"fit_error_mm": float(fit_errors(present, watched).mean())}

    adapted = fit(network, [views], synthetic, mixture, target / "run", {}, resume, watch, say)
    after = fit_errors(adapted.eval(), maps)
    say(f"spheres and depth differ by {float(after.mean()):.1f} mm after")
    save_weights(adapted, target / WEIGHTS, HandModel.open_hand())
    write_sheet(target / "adapted.png", _picture(maps, first, adapted))
    figures = {
        "frames": len(views),
        "views": views.maps.shape[1],
        "skipped": recording.skipped,
        "fit_error_before_mm": float(before.mean()),
        "fit_error_after_mm": float(after.mean()),
        "minutes": (time.monotonic() - started) / 60,
        "camera": camera,
        "side": side,
    }
    write_json(target / "adapted.json", figures, indent=1)
    say(f"-> {target / WEIGHTS}, adapted.png, adapted.json")
    return figures


def _picture(maps: Tensor, before: SphereFittingEstimator, after: SphereFittingEstimator) -> np.ndarray:
    """Frames, and below each its joints before and after."""
    chosen = maps[torch.linspace(0, len(maps) - 1, min(_SHOWN, len(maps))).round().long()].float()
    rows = []
    for network in (None, before, after):
        with torch.no_grad():
            joints = (
                torch.zeros(len(chosen), len(JOINT_NAMES), 3) if network is None else joints_of_spheres(network(chosen))
            )
        for depth, pose in zip(chosen, joints, strict=True):
            shown = depth_picture(torch.where(depth < EXTENT / 2, depth + 1.0, 0.0).numpy())
            pixels = ((pose[:, :2] / EXTENT + 0.5) * len(depth) - 0.5).numpy()
            valid = None if network is not None else np.zeros(21, dtype=bool)
            rows.append(draw_joints(shown, pixels, 2, valid))
    return sheet(rows, len(chosen))
