"""Reader of MHP, the Large-scale Multiview 3D Hand Pose Dataset (Gomez-Donoso et al., 2017, arXiv 1707.03742), version 2.

    annotated_frames/data_1 ... data_21/{0_webcam_1.jpg ... 0_webcam_4.jpg, 0_joints.txt}    640x480 pixels, numbers not padded
    calibrations/data_1/webcam_1/{rvec.pkl,tvec.pkl}

Right hands seen by four webcams at once: 21 sequences, about 80,000 pictures. A joints file (some copies keep them in
`annotations/data_1/`) has lines NAME x y z in millimetres in the frame of a Leap Motion, and is read by names: F4 is the index, F3 the
middle, F2 the ring and F1 the little finger, KNU1_B its MCP (the thumb's CMC), KNU1_A, KNU2_A and KNU3_A what follows to the tip.
`rvec` and `tvec` take that frame to the camera's (OpenCV axes). All webcams have the same intrinsics and distortion.

The distortion is taken out of the pictures, so that `Sample.K` is their camera; joints that the authors project with distortion
lie up to a few pixels elsewhere in the files' own pictures. The authors tell no number of frames: a split is whole if its sequences are
there and every frame has its four pictures and its joints. They give no split either: `test` is data_1, data_10 and data_20, as in
Idein/chainer-hand-pose, `train` the others. (A public parser calls the labels of the fourth camera unreliable.)

There is no wrist, and no formula for one is in use with this set. Zimmermann and Brox take the middle of wrist and middle MCP for the
palm; the wrist is made as that asks for, 2 PALM_POSITION - middle MCP, so that (wrist + middle MCP) / 2 gives the palm back.

Sources: the authors' scripts as the repository Idein/chainer-hand-pose and other public readers repeat them.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path

import numpy as np
import torch

from phalanx.core.checks import as_array, as_intrinsics
from phalanx.core.errors import InputError
from phalanx.core.files import numbered_lines
from phalanx.core.pickles import read_pickle
from phalanx.data.dataset import Dataset, check_files
from phalanx.data.images import image_batch, read_image_of_size
from phalanx.data.labels import as_batch, check_unit, project
from phalanx.data.sample import Sample
from phalanx.geometry.rotations import rotvec_to_rotmat

NAMES = (
    *(
        f"{finger}_{joint}"
        for finger in ("F4", "F3", "F1", "F2", "TH")
        for joint in ("KNU1_A", "KNU1_B", "KNU2_A", "KNU3_A")
    ),
    "PALM_POSITION",
)
"""The names in a joints file, in its order; a direction, PALM_NORMAL, follows."""

ORDER = (20, 17, 16, 18, 19, 1, 0, 2, 3, 5, 4, 6, 7, 13, 12, 14, 15, 9, 8, 10, 11)
"""For each of our joints its number among `NAMES`, where 20 is the palm."""

OFFICIAL: dict[str, tuple[int, ...]] = {  # sequences of each split
    "all": tuple(range(1, 22)),
    "train": tuple(number for number in range(1, 22) if number not in (1, 10, 20)),
    "test": (1, 10, 20),
}

WIDTH, HEIGHT = 640, 480
INTRINSICS = (614.878, 615.479, 313.219, 231.288)  # fx, fy, cx, cy
DISTORTION = (0.092701, -0.175877, -0.0035687, -0.00302299, 0.0)  # k1, k2, p1, p2, k3

_FRAME_FILE = re.compile(r"(\d+)_(?:webcam_([1-4])\.jpg|joints\.txt)")


class MHP(Dataset):
    """Right hands, picture by picture. `ids` are (sequence from 1, frame, webcam from 0); `world_to_camera` leads from the Leap's frame."""

    name = "MHP"
    splits = ("all", "train", "test")
    licence = "none is stated in the sources; ask the authors"
    marks = ("calibrations/data_*/webcam_*/rvec.pkl", "annotated_frames/data_[0-9]*")

    def __init__(self, folder: str | Path, split: str, whole: bool = True) -> None:
        super().__init__(folder, split, whole)
        self.joint_files: dict[tuple[int, int], Path] = {}  # by sequence and frame
        self.motions: dict[tuple[int, int], np.ndarray] = {}  # by sequence and webcam: (4, 4), metres
        self.items: list[tuple[int, int, int]] = []  # sequence, frame, webcam from 0
        for sequence in OFFICIAL[split]:
            frames = self._find(sequence)
            if not frames:
                if whole:
                    raise InputError(
                        f"{self.folder / 'annotated_frames' / f'data_{sequence}'}: is missing or has no frames"
                    )
                continue
            self.items += [(sequence, frame, camera) for frame in sorted(frames) for camera in sorted(frames[frame])]
            for camera in range(4):
                path = self.folder / "calibrations" / f"data_{sequence}" / f"webcam_{camera + 1}"
                self.motions[sequence, camera] = _read_motion(path)
        if not self.items:
            raise InputError(
                f"{self.folder / 'annotated_frames'}: has no frames of the split {split} with <frame>_joints.txt"
            )

    def _find(self, sequence: int) -> dict[int, set[int]]:
        """The webcams (from 0) whose pictures are there, by frames that have joints."""
        folder = self.folder / "annotated_frames" / f"data_{sequence}"
        pictures: dict[int, set[int]] = {}
        joints: dict[int, Path] = {}
        strange: set[str] = set()
        for place in (folder, self.folder / "annotations" / f"data_{sequence}"):
            for file in place.iterdir() if place.is_dir() else ():
                match = _FRAME_FILE.fullmatch(file.name)
                if match and match[2]:
                    pictures.setdefault(int(match[1]), set()).add(int(match[2]) - 1)
                elif match:
                    joints[int(match[1])] = file
                elif file.suffix == ".jpg":
                    strange.add(file.name)
        if self.whole:
            several = {frame for frame, cameras in pictures.items() if len(cameras) > 1}
            there = {f"{frame}_webcam_{camera + 1}.jpg" for frame in pictures for camera in pictures[frame]} | strange
            expected = [f"{n}_webcam_{camera}.jpg" for n in several | joints.keys() for camera in range(1, 5)]
            expected += [f"{n}_joints.txt" for n in several | joints.keys()]
            check_files(folder, expected, there | {f"{n}_joints.txt" for n in joints})
        frames = pictures.keys() & joints.keys()
        self.joint_files |= {(sequence, frame): joints[frame] for frame in frames}
        return {frame: pictures[frame] for frame in frames}

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Sample:
        import cv2

        sequence, frame, camera = self.items[index]
        path = self.folder / "annotated_frames" / f"data_{sequence}" / f"{frame}_webcam_{camera + 1}.jpg"
        image = cv2.remap(read_image_of_size(path, WIDTH, HEIGHT), *_straightening(), cv2.INTER_LINEAR)
        labels, motion = self.joint_files[sequence, frame], self.motions[sequence, camera]
        joints = read_joints(labels) @ motion[:3, :3].T + motion[:3, 3]  # (21, 3)
        if (joints[:, 2] <= 0).any():
            raise InputError(f"{labels}: has a joint behind webcam {camera + 1}")
        K = as_intrinsics(INTRINSICS)
        return Sample(
            image=image_batch(image),
            joints=as_batch(joints),
            joints_2d=as_batch(project(joints, K)),
            K=as_batch(K),
            world_to_camera=as_batch(motion),
            ids=torch.tensor([[sequence, frame, camera]]),
        ).check()


def read_joints(path: Path) -> np.ndarray:
    """Joints (21, 3) of a joints file in metres, in the Leap's frame and our order, with a wrist.

    Raises InputError naming the file, its line where there is one, and the fault.
    """
    points: dict[str, np.ndarray] = {}
    for number, line in numbered_lines(path):
        name, *values = line.split()
        try:
            points[name] = as_array(values, (3,), f"{path}: line {number}")
        except InputError as error:
            raise InputError(f"{path}: line {number}: a name and three finite numbers expected") from error
    if missing := [name for name in NAMES if name not in points]:
        raise InputError(f"{path}: has no line {missing[0]} ({len(missing)} of {len(NAMES)} joints are missing)")
    joints = np.stack([points[NAMES[number]] for number in ORDER])
    joints[0] = 2 * joints[0] - joints[9]
    check_unit(joints[None], "millimetres", path)
    return joints / 1000


def _read_motion(folder: Path) -> np.ndarray:
    """The motion (4, 4) from the Leap's frame to a webcam's, in metres."""
    vectors = []
    for path in (folder / "rvec.pkl", folder / "tvec.pkl"):
        value = read_pickle(path)  # (3, 1), as OpenCV gives it
        vectors.append(as_array(value.ravel() if isinstance(value, np.ndarray) else value, (3,), str(path)))
    if not 10 <= (distance := float(np.linalg.norm(vectors[1]))) <= 10_000:
        unit = "metres" if 0.01 <= distance < 10 else "another unit"
        raise InputError(f"{folder / 'tvec.pkl'}: is {distance:.3g} long, which seems to be in {unit}, not in mm")
    motion = np.eye(4)
    motion[:3, :3] = rotvec_to_rotmat(torch.from_numpy(vectors[0])).numpy()
    motion[:3, 3] = vectors[1] / 1000
    return motion


@functools.cache
def _straightening() -> tuple[np.ndarray, np.ndarray]:
    """Where each pixel of a picture without distortion lies in the webcams' picture, as OpenCV wants it."""
    import cv2

    K = as_intrinsics(INTRINSICS)
    return cv2.initUndistortRectifyMap(K, np.array(DISTORTION), None, K, (WIDTH, HEIGHT), cv2.CV_16SC2)
