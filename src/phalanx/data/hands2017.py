"""Reader of the HANDS 2017 challenge (Yuan et al., The 2017 Hands in the Million Challenge on 3D hand pose estimation), from BigHand2.2M.

Layout: `training/Training_Annotation.txt` and `training/images/image_D00000001.png`, ...; `frame/BoundingBox.txt` and
`frame/images/image_D00000001.png`, ..., the frame-based test. Pictures are 640x480, 16-bit grey, millimetres, 0 = no reading.

- A line of the annotation: the picture's name, then 63 numbers, tab-separated: x y z of 21 joints in millimetres, OpenCV axes.
- Joints: wrist; MCP of thumb, index, middle, ring, little finger; then of each finger in the same order PIP, DIP, tip. The thumb's four are
  taken as CMC, MCP, IP, tip. Right hands, by the chirality of samples.
- A line of the test's boxes: the picture's name, then x, y of the corner, width, height in pixels. Its joints are not public.
- One depth camera (Intel SR300): focal lengths 475.065948, 475.065857, centre (315.944855, 245.287079).
- 957,032 pictures to train on, 295,510 to test on.

Sources: mks0601/V2V-PoseNet_RELEASE, zhangboshen/A2J, xkunwu/depth-hand.
"""

from __future__ import annotations

import os
import re
import warnings
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from phalanx.core.errors import InputError
from phalanx.core.files import read_head, reason
from phalanx.data.dataset import Dataset, check_count, check_files
from phalanx.data.sample import Sample

ORDER = (0, 1, 6, 7, 8, 2, 9, 10, 11, 3, 12, 13, 14, 4, 15, 16, 17, 5, 18, 19, 20)
"""For each of our 21 joints its number in the annotation."""

OFFICIAL = {"training": 957_032, "frame": 295_510}  # pictures
FILES = {"training": "Training_Annotation.txt", "frame": "BoundingBox.txt"}
WIDTH, HEIGHT = 640, 480
FOCAL = (475.065948, 475.065857)
CENTRE = (315.944855, 245.287079)
BLOCK = 20_000  # lines read at once: the training file has 600 MB


class HANDS2017(Dataset):
    """Hands in the order of the text file. Those to train on (`training`) have joints, those to test on (`frame`) have `boxes`, of which
    the second is none. `ids` are (0, number in the picture's name, 0).
    """

    name = "HANDS 2017"
    splits = ("training", "frame")
    licence = "the challenge's page states the terms; cite Yuan et al. 2017"

    def __init__(self, folder: str | Path, split: str, whole: bool = True) -> None:
        super().__init__(folder, split, whole)
        labels = self.folder / split / FILES[split]
        self._images = self.folder / split / "images"
        names, values = _read_lines(labels, 63 if split == "training" else 4)
        try:
            found = {entry for entry in os.listdir(self._images) if entry.endswith(".png")}
        except OSError as error:
            raise InputError(f"{self._images}: cannot be read: {reason(error)}") from error
        if whole:
            check_count(str(labels), {"pictures": len(names)}, {"pictures": OFFICIAL[split]})
            check_files(self._images, names, found)
        there = np.fromiter((name in found for name in names), dtype=bool, count=len(names))
        self._names = [name for name in names if name in found]
        self._values = values[there]
        if split == "training":
            self._values = values[there].reshape(-1, 21, 3)[:, ORDER] / 1000  # (N, 21, 3) metres
            _check_hand(labels, self._values)

    @classmethod
    def recognises(cls, folder: Path) -> bool:
        return any((folder / split / name).is_file() for split, name in FILES.items())

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int) -> Sample:
        name, values = self._names[index], torch.from_numpy(self._values[index])
        number = re.search(r"(\d+)\.png$", name)
        K = torch.tensor([[FOCAL[0], 0, CENTRE[0]], [0, FOCAL[1], CENTRE[1]], [0, 0, 1]])
        sample = Sample(
            sensed_depth=torch.from_numpy(_depth(self._images / name))[None],
            K=K[None],
            ids=torch.tensor([[0, int(number[1]) if number else 0, 0]]),
        )
        if self.split == "frame":
            sample.boxes = torch.stack([values, torch.zeros(4)])[None]
        else:
            pixels = values @ K.T
            sample.joints = values[None]
            sample.joints_2d = (pixels[:, :2] / pixels[:, 2:])[None]
        return sample.check()


def _read_lines(path: Path, columns: int) -> tuple[list[str], np.ndarray]:
    """File names at the lines' heads (folders before them left out), and the numbers after them as float32 (N, columns)."""
    read_head(path, 1)  # says what is wrong with a file that is not there
    names: list[str] = []
    blocks = [np.zeros((0, columns), dtype=np.float32)]
    with open(path, encoding="utf-8", errors="replace") as file:
        numbered = ((number, line) for number, line in enumerate(file, 1) if line.strip())
        while block := list(islice(numbered, BLOCK)):
            parts = [line.split(None, 1) for _, line in block]
            names += [part[0].replace("\\", "/").rpartition("/")[2] for part in parts]
            rows = [part[-1] for part in parts]
            for (number, _), row in zip(block, rows, strict=True):
                if (found := len(row.split())) != columns:
                    raise InputError(
                        f"{path}: line {number}: a name and {columns} numbers expected, has {found} numbers"
                    )
            values = _numbers(rows)
            if not np.isfinite(values).all():
                number = block[int(np.argmin(np.isfinite(values))) // columns][0]
                raise InputError(f"{path}: line {number}: has values that are not numbers")
            blocks.append(values.astype(np.float32).reshape(-1, columns))
    return names, np.concatenate(blocks)


def _numbers(rows: list[str]) -> np.ndarray:
    """All numbers of some lines in turn; NaN for what is none."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # NumPy warns where text ends that can be read
        try:
            return np.fromstring(" ".join(rows), sep=" ")
        except (ValueError, DeprecationWarning):
            return np.array([_number(word) for row in rows for word in row.split()])


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return np.nan


def _check_hand(path: Path, joints: np.ndarray) -> None:
    """Make sure that joints (N, 21, 3), in metres if the file is in millimetres, are those of hands."""
    palm = float(np.median(np.linalg.norm(joints[:, 9] - joints[:, 0], axis=-1))) if len(joints) else 0.1
    if not 0.03 <= palm <= 0.2:
        unit = "metres" if 0.03 <= palm * 1000 <= 0.2 else "another unit"
        raise InputError(
            f"{path}: from wrist to middle knuckle are {palm * 1000:.3g}, so lengths seem to be in {unit}, not in mm"
        )


def _depth(path: Path) -> np.ndarray:
    """A depth picture as (480, 640) float32 metres, 0 = no reading."""
    from PIL import Image

    read_head(path, 1)
    try:
        with Image.open(path) as picture:
            depth = np.array(picture)
    except Exception as error:  # damaged files make decoders raise anything
        raise InputError(f"{path}: is truncated, damaged or no picture ({error})") from error
    if depth.shape != (HEIGHT, WIDTH) or depth.dtype == np.uint8:
        raise InputError(f"{path}: {WIDTH}x{HEIGHT} pixels of 16 bits expected, has {depth.shape} of {depth.dtype}")
    return depth.astype(np.float32) / 1000
