"""Reader of the NYU hand pose set (Tompson et al., Real-time continuous pose recovery of human hands, ToG 2014).

Layout: `train/` and `test/` (inside `dataset/`, or given directly), each with `joint_data.mat` and for three views k = 1, 2, 3 the
pictures `depth_k_0000001.png`, `rgb_k_0000001.png` (and `synthdepth_k_...`, which is not read), numbered from 1, all of 640x480 pixels.

- Depth in millimetres is 256 green + blue, red is 0; the test set's first picture holds 2001 wherever nothing nearer was measured,
  which is read as no reading. Colour lies on depth: in that picture depth edges and colour edges coincide, and nearly all black pixels
  lie where depth is 2001.
- `joint_xyz` (3 views, N, 36, 3) double, millimetres, x right, **y up**, z forward: a left-handed frame, so that negating y alone gives
  ours. Pixels follow from the authors' camera (their script `convert_xyz_to_uvd.m`), the same for all views.
- 36 points: little 0-5, ring 6-11, middle 12-17, index 18-23, thumb 24-29, each from the tip down (KNU3_A, KNU3_B, KNU2_A, KNU2_B,
  KNU1_A, KNU1_B); then PALM_1 to PALM_6, 30-35: 30 and 31 the two sides of the wrist, 32 the middle of the palm, 35 the wrist, which
  is ours. Fingers are taken as Idein/chainer-hand-pose takes them: tip KNU3_A, DIP KNU3_B, PIP KNU2_B, MCP KNU1_A.
- The pictures show right hands, by the chirality of labels. (Writing on the shirt in the test's first picture reads mirrored.)
- 72,757 frames to train and 8,252 to test, in each view. The test's first 2,440 frames show one person, the others a second one.

Published errors are of view 1 and 14 of the 36 points (`JOINTS_14`, `NYU.joints_14`), in the order of DeepPrior++
(moberweger/deep-prior-pp) and of xinghaochen/awesome-hand-pose-estimation. Further source: mks0601/V2V-PoseNet_RELEASE.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import torch

from phalanx.core.errors import InputError
from phalanx.core.files import list_folder
from phalanx.data.dataset import Dataset, check_count, check_files, inner_folder
from phalanx.data.images import image_batch, read_image_of_size, read_packed_depth
from phalanx.data.labels import as_batch, check_distance, check_unit, project, read_mat
from phalanx.data.sample import Sample

ORDER = (35, 28, 27, 25, 24, 22, 21, 19, 18, 16, 15, 13, 12, 10, 9, 7, 6, 4, 3, 1, 0)
"""For each of our 21 joints its number among the set's 36."""

JOINTS_14 = (0, 3, 6, 9, 12, 15, 18, 21, 24, 25, 27, 30, 31, 32)
"""The points that publications evaluate, by number among the 36: little to index finger two each, thumb three, wrist sides, palm."""

OFFICIAL = {"train": 72_757, "test": 8_252}  # frames in each of the three views
SECOND_PERSON = 2440  # frames of the test set's first person
VIEWS = 3
WIDTH, HEIGHT = 640, 480
FOCAL = (588.036865, 587.075073)
CENTRE = (320.0, 240.0)


class NYU(Dataset):
    """Hands of all three views, view 1 first: `dataset[0:8252]` of the whole test split is what publications evaluate.

    `image` (where the colour picture is there) and `sensed_depth` show all before the sensor. `ids` are (person, number in the
    file's name, view 1 to 3); the person is 0 but in the test set's second part.
    """

    name = "NYU hand pose"
    splits = ("train", "test")
    licence = "the authors' page states the terms; cite Tompson et al. 2014"
    marks = tuple(
        f"{above}{split}/{name}"
        for above in ("", "dataset/")
        for split in ("train", "test")
        for name in ("joint_data.mat", "depth_[123]_" + "[0-9]" * 7 + ".png")
    )
    files = (
        *("joint_data.mat", "nyu_*_label.txt*"),  # the second in the community's form, `phalanx.data.joint_lines`
        *(f"{kind}_[123]_{'[0-9]' * 7}.png" for kind in ("depth", "rgb", "synthdepth")),
    )

    def __init__(self, folder: str | Path, split: str, whole: bool = True) -> None:
        super().__init__(folder, split, whole)
        self._root = inner_folder(self.folder, "dataset") / split
        labels = self._root / "joint_data.mat"
        points = _points(labels)  # (3, N, 36, 3) millimetres
        check_unit(points[:, :, ORDER], "millimetres", labels)
        check_distance(points[..., 2], labels)
        self._points = points * np.array([0.001, -0.001, 0.001], dtype=np.float32)
        count = points.shape[1]
        pictures = {name for name in list_folder(self._root) if re.fullmatch(r"(depth|rgb)_\d_\d+\.png", name)}
        expected = [(view, number) for view in range(1, VIEWS + 1) for number in range(1, count + 1)]
        if whole:
            check_count(str(labels), {"frames": count}, {"frames": OFFICIAL[split]})
            kinds = ("depth", "rgb")
            check_files(self._root, (f"{kind}_{_name(*frame)}" for kind in kinds for frame in expected), pictures)
        self._frames = [frame for frame in expected if f"depth_{_name(*frame)}" in pictures]
        self._colour = {name for name in pictures if name.startswith("rgb")}

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> Sample:
        view, number = self._frames[index]
        joints = torch.from_numpy(self._points[view - 1, number - 1, ORDER, :])  # (21, 3)
        K = torch.tensor([[FOCAL[0], 0, CENTRE[0]], [0, FOCAL[1], CENTRE[1]], [0, 0, 1]])
        person = int(self.split == "test" and number > SECOND_PERSON)
        sample = Sample(
            sensed_depth=as_batch(read_packed_depth(self._root / f"depth_{_name(view, number)}")),
            joints=joints[None],
            joints_2d=project(joints, K)[None],
            K=K[None],
            ids=torch.tensor([[person, number, view]]),
        )
        if (colour := f"rgb_{_name(view, number)}") in self._colour:
            sample.image = image_batch(read_image_of_size(self._root / colour, WIDTH, HEIGHT))
        return sample.check()

    def joints_14(self, index: int) -> torch.Tensor:
        """The 14 points of hand `index` that publications evaluate, `JOINTS_14`: (14, 3) metres, OpenCV axes."""
        view, number = self._frames[index]
        return torch.from_numpy(self._points[view - 1, number - 1, JOINTS_14, :])


def _name(view: int, number: int) -> str:
    return f"{view}_{number:07d}.png"


def _points(path: Path) -> np.ndarray:
    """`joint_xyz` of a label file as float32 (3, N, 36, 3), millimetres."""
    points = read_mat(path, ["joint_xyz"])["joint_xyz"]
    if points.ndim != 4 or points.shape[0] != VIEWS or points.shape[2:] != (36, 3):
        raise InputError(f"{path}: joint_xyz must have shape (3, any, 36, 3), has {points.shape}")
    points = points.astype(np.float32)
    if not np.isfinite(points).all():
        view, frame = np.argwhere(~np.isfinite(points))[0, :2]
        raise InputError(f"{path}: joint_xyz of view {view + 1}, frame {frame + 1}, has values that are not finite")
    return points
