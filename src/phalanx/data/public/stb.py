"""Reader of STB, the Stereo Tracking Benchmark (Zhang et al., "A hand pose tracking benchmark from stereo matching", ICIP 2017).

    images/B1Counting/{BB_left,BB_right,SK_color,SK_depth}_0.png    640x480 pixels, numbers not padded
    labels/{B1Counting_BB,B1Counting_SK}.mat                        `handPara` (3, 21, 1500) in millimetres

Twelve sequences (B1 to B6, Counting and Random) of 1,500 frames, of one left hand, seen by a stereo pair of cameras (BB, Point Grey
Bumblebee2) and by a depth camera (SK, Intel RealSense F200). Test: the two of B1, train: the other ten; so 3,000 and 15,000 frames,
and twice as many pictures of the stereo pair. OpenCV axes. BB's labels are in the left camera's frame, SK's in the depth camera's,
from which colour is a rotation and a translation away. Order: palm centre, then MCP, PIP, DIP and tip of little, ring, middle and
index finger and thumb. SK's depth is in millimetres, red + 256 green.

There is no wrist. It is made as Zimmermann and Brox, Spurr et al. and Ge et al. make it: twice as far from the ring finger's MCP as the
palm centre; so (wrist + ring MCP) / 2 gives the palm centre back. (Others measure differently, or at 20 joints.)

Sources: the repositories zhjwustc/icip17_stereo_hand_pose_dataset (layout, order, cameras), lmb-freiburg/hand3d (splits, left hand) and
3d-hand-shape/hand-graph-cnn (wrist).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from phalanx.core.checks import as_intrinsics
from phalanx.core.errors import InputError
from phalanx.data.dataset import Dataset, check_files
from phalanx.data.images import image_batch, read_image_of_size
from phalanx.data.labels import as_batch, as_rows, check_hands, check_unit, project, read_mat
from phalanx.data.mirror import mirrored
from phalanx.data.sample import Sample
from phalanx.geometry.rotations import rotvec_to_rotmat
from phalanx.hand.skeleton import ORDERS

ORDER = ORDERS["stb"]
"""For each of our joints its number here, where 0 is the palm centre."""

SEQUENCES = tuple(f"B{number}{kind}" for number in range(1, 7) for kind in ("Counting", "Random"))

OFFICIAL = {"frames": 1500}  # of each sequence

WIDTH, HEIGHT = 640, 480

CAMERAS = {  # fx, fy, cx, cy
    "BB_left": (822.79041, 822.79041, 318.47345, 250.31296),
    "BB_right": (822.79041, 822.79041, 318.47345, 250.31296),
    "SK_color": (607.92271, 607.88192, 314.78337, 236.42484),
    "SK_depth": (475.62768, 474.77709, 336.41179, 238.77962),
}

BASELINE = 0.120054  # metres: x in the right camera of the pair is x in the left one less this

COLOUR_TO_DEPTH = ((0.00531, -0.01196, 0.00301), (-0.0240381, -0.0004563, -0.0012326))
"""The rotation's axis times angle and the translation in metres that take points of SK's colour camera to its depth camera."""

_VIEWS = {"bb": ("BB_left", "BB_right"), "sk": ("SK_color",), "sk_depth": ("SK_depth",)}


class STB(Dataset):
    """Left hands, mirrored. `ids` are (sequence among `SEQUENCES`, frame, 0; 1 for the right picture of the stereo pair).

    A split names frames and cameras: `test_bb` both pictures of the stereo pair, `test_sk` the colour pictures of the depth camera,
    `test_sk_depth` its depth pictures, in a frame and with a camera of their own. `world_to_camera` leads from the labels' frame.
    """

    name = "STB"
    splits = ("train_bb", "test_bb", "train_sk", "test_sk", "train_sk_depth", "test_sk_depth")
    licence = "MIT"
    marks = (
        *("labels/B[1-6]Counting_??.mat", "labels/B[1-6]Random_??.mat"),
        *("images/B[1-6]Counting", "images/B[1-6]Random"),
    )
    files = (
        *("B[1-6]Counting_??.mat", "B[1-6]Random_??.mat"),
        *(f"{camera}_[0-9]*.png" for camera in CAMERAS),
    )

    def __init__(self, folder: str | Path, split: str, whole: bool = True) -> None:
        super().__init__(folder, split, whole)
        part, _, cameras = split.partition("_")
        self.views = _VIEWS[cameras]
        numbers = range(2) if part == "test" else range(2, len(SEQUENCES))
        self.joints: dict[int, np.ndarray] = {}  # by sequence: (frames, 21, 3) metres in the labels' frame
        self.items: list[tuple[int, int, int]] = []  # sequence, frame, view
        for number in numbers:
            sequence = SEQUENCES[number]
            images = self.folder / "images" / sequence
            there = {file.name for view in self.views for file in images.glob(f"{view}_*.png")}
            # A supplement by others lays its masks beside the depth pictures.
            there = {name for name in there if not name.startswith("SK_depth_seg")}
            if whole:
                check_files(
                    images, (f"{view}_{n}.png" for n in range(OFFICIAL["frames"]) for view in self.views), there
                )
            elif not there:
                continue
            path = self.folder / "labels" / f"{sequence}_{self.views[0][:2]}.mat"
            self.joints[number] = _read_labels(path, OFFICIAL["frames"] if whole else None)
            frames = range(len(self.joints[number]))
            found = [(n, v) for n in frames for v, view in enumerate(self.views) if f"{view}_{n}.png" in there]
            self.items += [(number, frame, view) for frame, view in found]
        if not self.items:
            raise InputError(f"{self.folder / 'images'}: has no pictures of the split {split}")

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Sample:
        sequence, frame, view = self.items[index]
        name = self.views[view]
        path = self.folder / "images" / SEQUENCES[sequence] / f"{name}_{frame}.png"
        picture = read_image_of_size(path, WIDTH, HEIGHT)
        K, motion = as_intrinsics(CAMERAS[name]), label_to_camera(name)
        joints = self.joints[sequence][frame] @ motion[:3, :3].T + motion[:3, 3]  # (21, 3)
        sample = Sample(
            joints=as_batch(joints),
            joints_2d=as_batch(project(joints, K)),
            K=as_batch(K),
            world_to_camera=as_batch(motion),
            ids=torch.tensor([[sequence, frame, view]]),
        )
        if name == "SK_depth":
            sample.sensed_depth = as_batch((picture[..., 0] + 256.0 * picture[..., 1]) / 1000)
        else:
            sample.image = image_batch(picture)
        return mirrored(sample).check()


def label_to_camera(name: str) -> np.ndarray:
    """The motion (4, 4), in metres, from the frame that the labels of a picture's kind are in to the camera that took it."""
    motion = np.eye(4)
    if name == "BB_right":
        motion[0, 3] = -BASELINE
    if name == "SK_color":
        axis, translation = COLOUR_TO_DEPTH
        inverse = rotvec_to_rotmat(torch.tensor(axis, dtype=torch.float64)).numpy().T
        motion[:3, :3], motion[:3, 3] = inverse, -inverse @ translation
    return motion


def _read_labels(path: Path, frames: int | None) -> np.ndarray:
    """Joints (frames, 21, 3) of a sequence in metres, in our order, with a wrist."""
    contents = read_mat(path, ["handPara"])
    values, name = contents["handPara"], f"{path}: handPara"
    if values.ndim != 3 or values.shape[:2] != (3, 21) or values.shape[2] != (frames or values.shape[2]):
        raise InputError(f"{name}: must have shape (3, 21, {frames or 'any'}), has {values.shape}")
    joints = as_rows(values.transpose(2, 1, 0), (None, 21, 3), name, "frame")[:, ORDER]  # (frames, 21, 3)
    if not len(joints):
        raise InputError(f"{name}: has no frames")
    check_hands(joints, f"{name}: frame")
    joints[:, 0] = joints[:, 13] + 2 * (joints[:, 0] - joints[:, 13])
    check_unit(joints, "millimetres", path)
    return joints / 1000
