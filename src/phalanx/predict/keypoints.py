"""Keypoints in, posed hands out: `fit_keypoints` and its file job behind `phalanx fit`."""

import os
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from phalanx.core.errors import InputError
from phalanx.core.files import reason, writable_folder, write_whole
from phalanx.fit.joints import BATCH
from phalanx.fit.sequences import fit_recording
from phalanx.hand.anatomy import ANGLE_NAMES, rotations_to_angles
from phalanx.hand.export import save_mesh
from phalanx.hand.model import HandModel
from phalanx.hand.prediction import SIDES, Side
from phalanx.hand.skeleton import MIDDLE_CHAIN, ORDERS
from phalanx.view.overlay import draw_turned

HAND_LENGTHS = (0.08, 0.35)  # metres from wrist to middle finger tip along the bones that can be a hand's
DOUBTFUL = 0.010  # metres of mean error above which side or joint order are probably wrong
SHOWN = 8  # hands in the picture


@dataclass
class FittedHands:
    """N posed hands; NumPy, metres, in the frame of the keypoints. For a left hand `rotations`, `orientation` and `shape`
    pose the mirrored right hand, as `HandPrediction` says; the rest is the left hand's own."""

    side: Side
    joints: np.ndarray  # (N, 21, 3) of the model
    vertices: np.ndarray  # (N, V, 3)
    faces: np.ndarray  # (F, 3) counter-clockwise seen from outside
    rotations: np.ndarray  # (N, 16, 3, 3)
    orientation: np.ndarray  # (N, 3, 3)
    shape: np.ndarray  # (N, 10)
    angles_degrees: np.ndarray  # (N, 23), in the order of `ANGLE_NAMES`
    joint_error: np.ndarray  # (N, 21) distance to the keypoints


@dataclass
class _Drawn:
    """One of the hands, as it is drawn."""

    joints: np.ndarray
    vertices: np.ndarray | None
    faces: np.ndarray | None


def fit_keypoints(joints: np.ndarray, side: Side = "right", one_hand: bool = False) -> FittedHands:
    """The hand model in the pose of given joints.

    Args:
        joints: (N, 21, 3) metres, in the order of `phalanx.hand.skeleton.JOINT_NAMES`, in the axes of a camera or any others
            that are not mirror images of the world.
        side: which hand it is.
        one_hand: all N are the same person's hand and share their shape.

    Raises:
        InputError: another shape, values that are not finite, or sizes that no hand has.
    """
    if side not in SIDES:
        raise InputError(f"side: must be 'left' or 'right', not {side!r}")
    joints = np.asarray(joints)
    if joints.ndim != 3 or joints.shape[1:] != (21, 3) or len(joints) == 0:
        raise InputError(f"joints: must have shape (frames, 21, 3), has {joints.shape}")
    if not np.issubdtype(joints.dtype, np.number) or np.iscomplexobj(joints) or not np.isfinite(joints).all():
        raise InputError("joints: has values that are not finite numbers")
    _check_size(joints)
    mirror = np.array([-1.0 if side == "left" else 1.0, 1, 1])
    centre = joints[:, :1].astype(np.float64)  # float32 loses millimetres far from the origin
    local = torch.from_numpy(((joints - centre) * mirror).astype(np.float32))
    model = HandModel.open_hand()
    pose = fit_recording(model, local, one_hand=one_hand).pose
    with torch.inference_mode():
        surfaces = [model(pose[i : i + BATCH]) for i in range(0, len(local), BATCH)]
        angles = torch.rad2deg(rotations_to_angles(pose.rotations.double()))
    found = np.concatenate([s.joints.numpy() for s in surfaces]) * mirror + centre
    faces = model.faces.numpy()
    return FittedHands(
        side=side,
        joints=found,
        vertices=np.concatenate([s.vertices.numpy() for s in surfaces]) * np.float32(mirror) + np.float32(centre),
        faces=np.ascontiguousarray(faces[:, ::-1]) if side == "left" else faces,
        rotations=pose.rotations.numpy(),
        orientation=pose.orientation.numpy(),
        shape=pose.shape.numpy(),
        angles_degrees=angles.numpy(),
        joint_error=np.linalg.norm(found - joints, axis=-1),
    )


def fit_file(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    side: Side = "right",
    one_hand: bool = False,
    order: str = "phalanx",
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Fit the keypoints of a file and write `NAME_fit.npz` (all of `FittedHands`), `NAME_fit.png` (some hands, turned) and
    `NAME_fit.glb` (the first hand) into the folder `out`.

    `order` is the joint order of the file (`phalanx.hand.skeleton.ORDERS`).

    Frames whose joints are not all finite, or whose hand is less than half or more than twice as long as in most frames, are passed
    over; `frames` in the NPZ file says which ones are in it.

    Returns the figures that `phalanx fit --json` writes.

    Raises:
        InputError: the file cannot be read or holds no such joints (see `read_keypoints`, `fit_keypoints`), or the folder
            cannot be written.
    """
    path, folder = Path(path), writable_folder(out)
    joints = read_keypoints(path)[:, ORDERS[order]]
    whole = np.isfinite(joints).all((1, 2))
    if not whole.any():
        raise InputError(f"{path}: no frame has 21 finite joints")
    length = _lengths(np.where(whole[:, None, None], joints, 0))
    usual = np.median(length[whole])
    whole &= (length >= usual / 2) & (length <= 2 * usual)
    frames = np.flatnonzero(whole)
    started = time.perf_counter()
    try:
        hands = fit_keypoints(joints[frames], side, one_hand)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    seconds = time.perf_counter() - started
    target = folder / f"{path.stem}_fit"
    with write_whole(target.with_suffix(".npz")) as part, part.open("wb") as file:
        values = {
            name: value.astype(np.float32) for name, value in vars(hands).items() if name not in ("side", "faces")
        }
        np.savez(file, **values, faces=hands.faces, side=side, angle_names=ANGLE_NAMES, frames=frames)
    save_mesh(target.with_suffix(".glb"), [(hands.vertices[0], hands.faces)])
    with write_whole(target.with_suffix(".png")) as part:
        part.write_bytes(cv2.imencode(".png", draw_hands(hands)[..., ::-1])[1].tobytes())
    millimetres = hands.joint_error * 1e3
    figures = {
        "input": str(path),
        "side": side,
        "frames": len(frames),
        "skipped_frames": np.flatnonzero(~whole).tolist(),
        "joint_error_mean_mm": float(millimetres.mean()),
        "joint_error_median_mm": float(np.median(millimetres)),
        "joint_error_max_mm": float(millimetres.max()),
        "poses_per_second": len(frames) / seconds,
        "outputs": [str(target.with_suffix(ending)) for ending in (".npz", ".png", ".glb")],
    }
    skipped = f", {(~whole).sum()} frames without a hand's joints passed over" if not whole.all() else ""
    doubt = "" if millimetres.mean() < DOUBTFUL * 1e3 else " (large: is it the other hand, or another joint order?)"
    noun = "hand" if len(frames) == 1 else "hands"
    say(
        f"{path}: {len(frames)} {side} {noun}, mean joint distance {millimetres.mean():.1f} mm{doubt}{skipped} -> "
        f"{target.with_suffix('.npz')}"
    )
    return figures


def read_keypoints(path: Path) -> np.ndarray:
    """The array `joints` of an NPZ file, or the array of an NPY file, (N, 21, 3); one hand (21, 3) becomes N = 1.

    Raises InputError, naming the file, if it is missing, damaged, pickled, or has no such array.
    """
    joints = None
    try:
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            names = [] if isinstance(loaded, np.ndarray) else loaded.files
            if isinstance(loaded, np.ndarray):
                joints = loaded
            elif "joints" in names:
                joints = loaded["joints"]
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {reason(error)}") from error
    except (ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: is not a whole NPZ or NPY file of numbers") from error
    if joints is None:
        raise InputError(f"{path}: has no array 'joints' (it has {', '.join(names[:5]) or 'nothing'})")
    joints = joints[None] if joints.shape == (21, 3) else joints
    if joints.ndim != 3 or joints.shape[1:] != (21, 3) or not np.issubdtype(joints.dtype, np.floating):
        raise InputError(
            f"{path}: joints must be (frames, 21, 3) floating-point numbers, not {joints.shape} {joints.dtype}"
        )
    return joints


def draw_hands(hands: FittedHands, side: int = 320) -> np.ndarray:
    """Up to eight of the hands, evenly chosen, as seen from their right: (H, W, 3) uint8 RGB."""
    chosen = np.unique(np.linspace(0, len(hands.joints) - 1, SHOWN).round().astype(int))
    tiles = [draw_turned(_Drawn(hands.joints[i], hands.vertices[i], hands.faces), side, side) for i in chosen]
    return np.concatenate(tiles, axis=1)


def _lengths(joints: np.ndarray) -> np.ndarray:
    """(T,) from wrist to the tip of the middle finger, along the bones."""
    return np.linalg.norm(np.diff(joints[:, MIDDLE_CHAIN], axis=1), axis=-1).sum(1)


def _check_size(joints: np.ndarray) -> None:
    length = float(np.median(_lengths(joints)))
    low, high = HAND_LENGTHS
    if low <= length <= high:
        return
    unit = next(
        (name for name, metres in (("millimetres", 1e-3), ("centimetres", 1e-2)) if low <= length * metres <= high), ""
    )
    raise InputError(
        f"joints: the hand is {length:.3g} m long from wrist to middle finger tip"
        + (f"; these are {unit}, and metres are wanted" if unit else f", not between {low} and {high}")
    )
