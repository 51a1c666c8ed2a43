"""A network for one's own depth camera: `phalanx adapt depth` fits the sphere network to recordings without labels."""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from phalanx.core.errors import InputError
from phalanx.core.files import list_folder, writable_folder, write_json
from phalanx.data.cube_views import CubeViews, concatenate_views, cube_views
from phalanx.data.depth_cameras import DEPTH_CAMERAS, read_frame
from phalanx.data.folders import RigFolder
from phalanx.data.sample import Sample
from phalanx.geometry.cubes import EXTENT
from phalanx.hand.model import HandModel
from phalanx.hand.prediction import Side
from phalanx.hand.skeleton import JOINT_NAMES
from phalanx.hand.sphere_priors import joints_of_spheres
from phalanx.methods.sphere_fitting import SphereEstimator, load, save_weights
from phalanx.predict.depth import mirrored_frames
from phalanx.predict.depth_search import find_hands, fit_to_maps
from phalanx.synth import SynthConfig
from phalanx.train.loop import LoopConfig
from phalanx.train.sphere_fitting import WEIGHTS, FitConfig, StartConfig, fit
from phalanx.view.samples import depth_picture, draw_joints, sheet, write_sheet

_LEAST = 150  # cells of a map that a hand covers at the least
_SHOWN = 6  # frames in the picture


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
    network: SphereEstimator,
    unit: float | None = None,
    side: Side = "right",
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
        complain: is given a sentence for every frame that is passed over.
        progress: is given how many frames are read, and how many there are.

    Raises:
        InputError: the folder has no frames, or none of them can be used.
    """
    folder = Path(folder)
    rig = RigFolder(folder, whole=False) if RigFolder.recognises(folder) else None
    if rig is None:
        frames = [[path] for path in sorted(_frames_below(folder))]
    else:
        frames = [[folder / name / frame for name in rig.cameras] for frame in rig.frames]
        dropped = {name: len(list_folder(folder / name)) - len(rig.frames) for name in rig.cameras}
        for name, count in dropped.items():
            if count:
                complain(f"{folder / name}: {count} frames are not used, for other cameras lack them")
    if not frames:
        raise InputError(f"{folder}: holds no 16-bit PNG frames")
    parts, names, skipped = [], [], []
    for number, paths in enumerate(frames):
        try:
            parts.append(_read(paths, camera, unit, side, rig, network))
            names.append(str(paths[0].relative_to(folder)))
        except InputError as error:
            skipped.append({"input": str(paths[0]), "problem": str(error)})
            complain(str(error))
        progress(number + 1, len(frames))
    if not parts:
        raise InputError(f"{folder}: none of its {len(frames)} frames can be used")
    return Recording(concatenate_views(parts), names, skipped)


def _frames_below(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    return [path for path in folder.rglob("*") if path.suffix.lower() == ".png" and path.is_file()]


def _read(
    paths: list[Path], camera: str, unit: float | None, side: Side, rig: RigFolder | None, network: SphereEstimator
) -> CubeViews:
    frames = [read_frame(path, camera, unit) for path in paths]
    depth = torch.from_numpy(np.stack([frame for frame, _ in frames]))
    intrinsics = np.stack([K for _, K in frames]) if rig is None else rig.K
    K = torch.from_numpy(intrinsics).float()
    motions = None if rig is None else torch.from_numpy(rig.world_to_camera).float()
    if side == "left":
        depth, K = mirrored_frames(depth, K)
        if motions is not None:  # the mirrored cameras in a mirrored world
            mirror = torch.diag(torch.tensor([-1.0, 1.0, 1.0, 1.0]))
            motions = mirror @ motions @ mirror
    sample = Sample(sensed_depth=depth, K=K, world_to_camera=motions)
    views = cube_views(sample, len(paths), network.config.size, find_hands(network, depth, K))
    covered = (views.maps[0] < EXTENT / 2).flatten(1).sum(1)
    if int(covered.min()) < _LEAST:
        raise InputError(f"{paths[int(covered.argmin())]}: no hand is seen near the camera")
    return views


@torch.no_grad()
def fit_errors(network: SphereEstimator, maps: Tensor) -> Tensor:
    """Mean absolute difference `(N,)` in mm of drawn and measured depth where both have surface, of maps `(N, S, S)`."""
    return torch.cat([1000 * fit_to_maps(network(part), part)[0] for part in maps.float().split(32)])


def adapt_depth(
    folder: str | os.PathLike[str],
    camera: str,
    out: str | os.PathLike[str],
    weights: str | os.PathLike[str] | None = None,
    unit: float | None = None,
    side: Side = "right",
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
        folder, camera, unit, side: as `read_recording` takes them.
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
    recording = read_recording(folder, camera, network, unit, side, complain, progress)
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
    rate = LoopConfig(minutes=minutes, learning_rate=3e-4, kernel_rate=4e-3, average=4_000, evaluate_every=4_000)
    started = time.monotonic()
    mixture = FitConfig(rate, frames=max(2, 24 // views.maps.shape[1]))
    adapted = fit(network, [views], synthetic, mixture, target / "run", {}, resume)
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


def _picture(maps: Tensor, before: SphereEstimator, after: SphereEstimator) -> np.ndarray:
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
