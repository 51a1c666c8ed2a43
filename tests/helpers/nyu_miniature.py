"""The NYU set in miniature: two frames of three views, in the files of the real one."""

from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat
from true_hands import bent_hand

from phalanx.data.public.nyu import ORDER


def points(views: int = 3, frames: int = 2) -> np.ndarray:
    """(views, frames, 36, 3) in the set's axes and millimetres; points that are none of our joints lie beside the wrist."""
    xyz = np.zeros((views, frames, 36, 3))
    for view in range(views):
        for frame in range(frames):
            joints = bent_hand(0.6 + 0.1 * view + 0.01 * frame)
            xyz[view, frame] = joints[0] + 0.001 * np.arange(36)[:, None]
            xyz[view, frame, list(ORDER)] = joints
    return xyz * [1000, -1000, 1000]


def write(folder: Path, xyz: np.ndarray, split: str = "test") -> Path:
    """A split; every depth picture is a ramp with a far corner."""
    (folder / split).mkdir(parents=True)
    savemat(folder / split / "joint_data.mat", {"joint_xyz": xyz, "joint_names": np.array(["x"], dtype=object)})
    depth = np.full((480, 640), 700)
    depth[:2, :2] = [[2001, 513], [255, 256]]
    channels = np.stack([0 * depth, depth // 256, depth % 256], axis=-1).astype(np.uint8)
    colour = np.zeros((480, 640, 3), dtype=np.uint8)
    colour[5, 7] = [255, 51, 0]
    for view in (1, 2, 3):
        for frame in range(1, xyz.shape[1] + 1):
            for kind, pixels in (("depth", channels), ("synthdepth", channels), ("rgb", colour)):
                Image.fromarray(pixels).save(folder / split / f"{kind}_{view}_{frame:07d}.png", compress_level=1)
    return folder
