"""What robots need of the hands that Phalanx found: the wrist's pose and 21 joints in its frame, and OpenXR's 26 joint poses.

    phalanx predict clip.mp4 --out results
    python examples/retarget_clip.py results/clip.json robot

It reads JSON of `phalanx predict`, NPZ of `phalanx fit`, or a folder of these, which becomes one sequence in the order of names. It
writes one NPZ file for each side into the second folder; docs/robots.md says what is in it. No robot, headset or other package is needed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import phalanx
from phalanx.core.files import read_json, writable_folder, write_whole
from phalanx.geometry.turns import rotmat_to_quat
from phalanx.hand.formats.openxr import openxr_poses, openxr_radii
from phalanx.hand.prediction import SIDES
from phalanx.hand.retargeting import joints_in_wrist, wrist_poses

PASS_ON = """To dex-retargeting: origin, task = retargeting.optimizer.target_link_human_indices; \
retargeting.retarget(joints[t, task] - joints[t, origin])"""

Seen = tuple[str, float, np.ndarray]
"""A hand in a frame: its side, the time in seconds (NaN where the file has none), and its joints (21, 3) in the camera's frame."""


def frames_of(path: Path) -> Iterator[list[Seen]]:
    """Of each frame of a file, or of all files of a folder, the hands in it, the surest first."""
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix in (".json", ".npz"))
        if not files:
            raise phalanx.InputError(f"{path}: holds no JSON or NPZ file")
        for file in files:
            yield from frames_of(file)
    elif path.suffix == ".npz":
        yield from _of_recording(path)
    else:
        yield from _of_prediction(path)


def _of_prediction(path: Path) -> list[list[Seen]]:
    data = read_json(path)
    kind = str(data.get("schema")).partition("/")[0] if isinstance(data, dict) else ""
    try:
        if kind == "phalanx.video":
            return [_of_hands(frame["hands"], frame["time"]) for frame in data["frames"]]
        if kind == "phalanx.picture":
            return [_of_hands(data["hands"])]
    except (KeyError, TypeError, ValueError) as error:
        raise phalanx.InputError(f"{path}: is damaged ({error!r})") from error
    if kind == "phalanx.summary":  # of the whole job; it may lie beside its results
        return []
    raise phalanx.InputError(f"{path}: is no result of phalanx predict for a picture or a video")


def _of_hands(hands: list[dict[str, Any]], time: float = np.nan) -> list[Seen]:
    surest = sorted(hands, key=lambda hand: -hand["score"])
    # A mirrored picture shows the real hand's mirror image.
    return [(hand["side"], time, np.array(hand["joints"]) * [-1 if hand["mirrored"] else 1, 1, 1]) for hand in surest]


def _of_recording(path: Path) -> Iterator[list[Seen]]:
    try:
        with np.load(path) as file:
            side, times, joints = str(file["side"]), file["times"], file["joints"]
    except (OSError, ValueError, KeyError) as error:
        raise phalanx.InputError(f"{path}: is no recording that phalanx fit wrote") from error
    yield from ([(side, time, hand)] for time, hand in zip(times.tolist(), joints, strict=True))


def retarget(path: Path, folder: Path) -> list[Path]:
    """Write what robots need of each side's hand, the surest in each frame; returns the files."""
    frames = list(frames_of(path))
    folder, written = writable_folder(folder), []
    for side in SIDES:
        found = [
            (n, *next(hand for hand in hands if hand[0] == side)[1:])
            for n, hands in enumerate(frames)
            if _has(hands, side)
        ]
        if not found:
            continue
        numbers, times, joints = (np.array(values) for values in zip(*found, strict=True))
        wrists, poses = wrist_poses(joints, side), openxr_poses(joints, side)
        target = folder / f"{path.stem}_{side}.npz"
        with write_whole(target) as part, part.open("wb") as file:
            np.savez(
                file,
                side=side,
                frames=numbers,
                times=times,
                wrist_poses=wrists,
                joints=joints_in_wrist(joints, side),
                openxr_positions=poses[..., :3, 3],
                openxr_orientations=rotmat_to_quat(poses[..., :3, :3]),
                openxr_radii=openxr_radii(joints),
            )
        x, y, z = wrists[0, :3, 3]
        print(
            f"{path}: {side} hand in {len(joints)} of {len(frames)} frames, first at {x:.3f}, {y:.3f}, {z:.3f} m -> {target}"
        )
        written.append(target)
    if not written:
        raise phalanx.InputError(f"{path}: shows no hand in any of its {len(frames)} frames")
    print(PASS_ON)
    return written


def _has(hands: list[Seen], side: str) -> bool:
    return any(hand[0] == side for hand in hands)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    try:
        retarget(Path(sys.argv[1]), Path(sys.argv[2]))
    except phalanx.InputError as problem:
        sys.exit(str(problem))
