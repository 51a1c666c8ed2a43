"""The job behind `phalanx fit`: a file of keypoints in; NPZ, table of angles, BVH, animated GLB and a picture out."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from phalanx.core.errors import InputError
from phalanx.core.files import writable_folder
from phalanx.core.json_values import Json
from phalanx.data.images import real_path
from phalanx.data.keypoints import read_keypoints
from phalanx.fit.conventions import SideChoice
from phalanx.fit.missing import LEAST
from phalanx.hand.formats.animation import save_animation
from phalanx.hand.formats.bvh import save_bvh
from phalanx.hand.plain import PlainHand
from phalanx.hand.prediction import SIDES
from phalanx.hand.recording import HandRecording, own_faces, posed_surfaces, save_angles, save_recording
from phalanx.hand.skeleton import JOINT_NAMES
from phalanx.predict.keypoint_input import seen_joints
from phalanx.predict.keypoints import DOUBTFUL, KeypointFit, fit_keypoints
from phalanx.predict.outputs import beside, write_png
from phalanx.view.overlay import draw_turned

if TYPE_CHECKING:
    from phalanx.predict.keypoint_mano import ManoFit

SHOWN = 8
"""Hands in the picture."""
NAMED = 3
"""Joints and frames of each kind that the line for people names."""
ENDINGS = (".npz", ".csv", ".bvh", ".glb", ".png")


def fit_file(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    side: SideChoice = "auto",
    one_hand: bool = False,
    order: str = "auto",
    image_size: Sequence[float] | None = None,
    K: Any = None,
    hand_length: float | None = None,
    mano: str | os.PathLike[str] | None = None,
    say: Callable[[str], None] = print,
) -> dict[str, Json]:
    """Fit the keypoints of a file (`read_keypoints`) and write into the folder `out`, for NAME:

    - `NAME_fit.npz`: all of the recording (`save_recording`), `joint_error` (T, 21) and `outliers` (T, 21), and MANO's parameters;
    - `NAME_fit.csv`: a row a frame, with its time and the 23 angles in degrees;
    - `NAME_fit.glb` and `NAME_fit.bvh`: the hand in motion;
    - `NAME_fit.png`: some of the hands, turned.

    A file of two hands gives `NAME_hand_1_fit.npz` and so on. Frames that hold no hand are passed over; `frames` in the NPZ file says
    which ones are in it.

    Args:
        side, one_hand, order, image_size, K, hand_length: as `fit_keypoints` takes them.
        mano: a file of MANO, whose pose and shape are then in the NPZ file.
        say: called with one line for each hand.

    Returns:
        the figures that `phalanx fit --json` writes (docs/keypoints.md); of two hands a list of them, as `hands`.

    Raises:
        InputError: the file cannot be read or holds no hand (see `read_keypoints`, `fit_keypoints`), or the folder cannot be written.
    """
    path, folder = Path(path), writable_folder(out)
    tracks = read_keypoints(path)
    there = [track for track in tracks if seen_joints(track.points, track.confidence).sum(1).max() >= LEAST]
    if len(there) > 1 and side != "auto":
        raise InputError(f"{path}: holds two hands, which have each their side; leave it out")
    figures = []
    for track in there or tracks[:1]:
        name = f"{path}: {track.name}" if track.name else str(path)
        started = time.perf_counter()
        try:
            found = fit_keypoints(
                track.points,
                side,
                one_hand,
                order,
                track.confidence,
                track.times,
                image_size,
                K,
                hand_length,
                track.in_picture,
            )
        except InputError as error:
            raise InputError(f"{name}: {error}") from error
        seconds = time.perf_counter() - started
        fitted = None if mano is None else _fit_mano(found, mano, one_hand)
        outputs = _write(_target(folder, path, track.name), path, found, fitted)
        figures.append(_figures(found, fitted, name, seconds, outputs))
        say(_line(found, name, outputs[0]))
    return figures[0] if len(figures) == 1 else {"input": str(path), "hands": figures}


def _target(folder: Path, path: Path, name: str) -> Path:
    """What the names of results begin with: with _2, _3, ... where the results of another file are."""
    number = 1
    while True:
        parts = (path.stem, str(number) if number > 1 else "", name, "fit")
        target = folder / "_".join(part for part in parts if part)
        there = [beside(target, ending).exists() for ending in ENDINGS]
        if not any(there) or _file_of(beside(target, ".npz")) == real_path(path):
            return target
        number += 1


def _file_of(results: Path) -> str | None:
    """The file that results are of; None if they are no results."""
    try:
        with np.load(results) as found:
            return str(found["input_file"])
    except Exception:  # damaged files raise anything
        return None


def _fit_mano(found: KeypointFit, mano: str | os.PathLike[str], one_hand: bool) -> ManoFit:
    from phalanx.predict.keypoint_mano import fit_mano  # which needs PyTorch

    return fit_mano(found, mano, one_hand)


def _write(target: Path, path: Path, found: KeypointFit, mano: ManoFit | None) -> list[str]:
    files = [beside(target, ending) for ending in ENDINGS]
    more = {"joint_error": found.joint_error, "outliers": found.outliers} | ({} if mano is None else mano.arrays())
    save_recording(files[0], found.recording, input_file=real_path(path), **more)
    save_angles(files[1], found.recording)
    save_bvh(files[2], found.recording)
    save_animation(files[3], found.recording)
    write_png(files[4], draw_hands(found.recording))
    return [str(file) for file in files]


def _figures(
    found: KeypointFit, mano: ManoFit | None, name: str, seconds: float, outputs: list[str]
) -> dict[str, Json]:
    recording, reading, millimetres = found.recording, found.reading, 1e3 * found.joint_error
    good = millimetres[~found.outliers & np.isfinite(millimetres)]
    frames = recording.frames.tolist()
    figures: dict[str, Json] = {
        "input": name,
        "side": recording.side,
        "side_sure": reading.sure,
        "side_residuals_mm": {side: round(1e3 * reading.residuals[side], 3) for side in SIDES},
        "order": reading.order,
        "unit": reading.unit,
        "axes": "as given" if reading.mirrored is None else f"{reading.mirrored} negated",
        "in_picture": found.camera is not None,
        **{f"{what}_source": source for what, source in recording.sources.items()},
        "frames": len(recording),
        "skipped_frames": list(found.skipped),
        "skipped": [{"frame": frame, "reason": reason} for frame, reason in found.skipped.items()],
        "joint_error_mean_mm": float(good.mean()),
        "joint_error_median_mm": float(np.median(good)),
        "joint_error_max_mm": float(good.max()),
        "missing_joints": [
            {"frame": frame, "joints": [JOINT_NAMES[joint] for joint in np.flatnonzero(row)]}
            for frame, row in zip(frames, recording.filled & ~found.outliers, strict=True)
            if row.any()
        ],
        "outliers": [
            {"frame": frames[t], "joint": JOINT_NAMES[joint], "distance_mm": round(float(millimetres[t, joint]), 1)}
            for t, joint in np.argwhere(found.outliers)
        ],
        "jumps": [
            {
                "frame": frames[jump.frame],
                "angle": jump.angle,
                "degrees": round(float(np.degrees(jump.change)), 1),
                "movement_mm": round(1e3 * jump.movement, 1),
            }
            for jump in found.jumps
        ],
        "poses_per_second": len(recording) / seconds,
        "outputs": outputs,
    }
    if found.camera is not None:
        figures |= {"K": found.camera.K.tolist(), "image_size": [found.camera.width, found.camera.height]}
    if mano is not None:
        figures["mano_error_mean_mm"] = float(1e3 * mano.joint_error.mean())
    return figures


def _line(found: KeypointFit, name: str, output: str) -> str:
    """What was found, for people: whose hands, how well they fit, and what was made of the keypoints."""
    recording, reading = found.recording, found.reading
    other = SIDES[1 - SIDES.index(recording.side)]
    good = found.joint_error[~found.outliers]
    mean = 1e3 * float(np.nanmean(good))
    words = [f"{len(recording)} {recording.side} {'hand' if len(recording) == 1 else 'hands'}"]
    if recording.sources["side"] == "guessed":
        residuals = " and ".join(
            f"{1e3 * reading.residuals[side]:.1f} mm as {side}" for side in (recording.side, other)
        )
        words.append(f"side {'found' if reading.sure else 'unsure: give it as --side'} ({residuals})")
    if reading.mirrored is not None:
        words.append(
            f"axes are mirror images for a {recording.side} hand, so {reading.mirrored} is negated (is it a {other} hand? "
            f"then give --side {other})"
        )
    if reading.order != "phalanx":
        words.append(f"joints in the order of {reading.order}")
    if found.camera is not None:
        source = ", a camera of 60 degrees assumed" if recording.sources["camera"] == "assumed" else ""
        size = "given" if recording.sources["scale"] == "given" else "the likeliest"
        words.append(f"joints in a picture ({reading.unit}){source}, size of the hand {size}")
    elif reading.unit != "metres":
        words.append(f"{reading.unit} turned to metres")
    words.append(f"mean joint distance {mean:.1f} mm")
    if mean > 1e3 * DOUBTFUL:
        words[-1] += " (large: is it another joint order?)"
    if filled := int((recording.filled & ~found.outliers).sum()):
        words.append(f"{filled} missing {'joint' if filled == 1 else 'joints'} filled in")
    if found.outliers.any():
        places = [f"{JOINT_NAMES[j]} in frame {recording.frames[t]}" for t, j in np.argwhere(found.outliers)]
        words.append(f"{len(places)} misplaced ({_first(places)})")
    if found.skipped:
        reasons = [f"{frame}: {reason}" for frame, reason in found.skipped.items()]
        words.append(f"{len(reasons)} frames without a hand's joints passed over ({_first(reasons)})")
    if found.jumps:
        places = [f"{jump.angle} in frame {recording.frames[jump.frame]}" for jump in found.jumps]
        words.append(f"{len(places)} jumps of angles ({_first(places)})")
    return f"{name}: {', '.join(words)} -> {output}"


def _first(things: list[str]) -> str:
    return ", ".join(things[:NAMED]) + (", ..." if len(things) > NAMED else "")


@dataclass
class _Drawn:
    """One of the hands, as it is drawn."""

    joints: np.ndarray
    vertices: np.ndarray | None
    faces: np.ndarray | None


def draw_hands(recording: HandRecording, side: int = 320) -> np.ndarray:
    """Up to eight of the hands, evenly chosen, as seen from their right: (H, W, 3) uint8 RGB."""
    chosen = np.unique(np.linspace(0, len(recording) - 1, SHOWN).round().astype(int))
    model = PlainHand.open_hand()
    surfaces, faces = posed_surfaces(recording, model, chosen), own_faces(model, recording.side)
    tiles = [
        draw_turned(_Drawn(recording.joints[frame], vertices, faces), side, side)
        for frame, vertices in zip(chosen, surfaces, strict=True)
    ]
    return np.concatenate(tiles, axis=1)
