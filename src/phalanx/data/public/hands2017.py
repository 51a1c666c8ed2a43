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

import re
from pathlib import Path

import torch

from phalanx.core.files import list_folder
from phalanx.data.dataset import Dataset, check_count, check_files
from phalanx.data.images import read_depth
from phalanx.data.labels import as_batch, check_distance, check_unit, project, read_named_rows
from phalanx.data.sample import Sample
from phalanx.hand.skeleton import ORDERS

ORDER = ORDERS["hands2017"]
"""For each of our 21 joints its number in the annotation."""

OFFICIAL = {"training": 957_032, "frame": 295_510}  # pictures
FILES = {"training": "Training_Annotation.txt", "frame": "BoundingBox.txt"}
WIDTH, HEIGHT = 640, 480
FOCAL = (475.065948, 475.065857)
CENTRE = (315.944855, 245.287079)


class HANDS2017(Dataset):
    """Hands in the order of the text file. Those to train on (`training`) have joints, those to test on (`frame`) have `boxes`, of which
    the second is none. `ids` are (0, number in the picture's name, 0).
    """

    name = "HANDS 2017"
    splits = ("training", "frame")
    licence = "the challenge's page states the terms; cite Yuan et al. 2017"
    marks = (
        *(f"{split}/{name}" for split, name in FILES.items()),
        *(f"{split}/images/image_D{'[0-9]' * 8}.png" for split in FILES),
    )
    files = ("Training_Annotation.txt", "image_D" + "[0-9]" * 8 + ".png")

    def __init__(self, folder: str | Path, split: str, whole: bool = True) -> None:
        super().__init__(folder, split, whole)
        labels = self.folder / split / FILES[split]
        self._images = self.folder / split / "images"
        names, values = read_named_rows(labels, 63 if split == "training" else 4)
        names = [name.replace("\\", "/").rpartition("/")[2] for name in names]  # without folders
        found = {entry for entry in list_folder(self._images) if entry.endswith(".png")}
        if whole:
            check_count(str(labels), {"pictures": len(names)}, {"pictures": OFFICIAL[split]})
            check_files(self._images, names, found)
        self._names = [name for name in names if name in found]
        self._values = values[[name in found for name in names]]
        if split == "training":
            self._values = self._values.reshape(-1, 21, 3)[:, ORDER]
            check_unit(self._values, "millimetres", labels)
            check_distance(self._values[..., 2], labels)
            self._values /= 1000  # (N, 21, 3) metres

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int) -> Sample:
        name, values = self._names[index], torch.from_numpy(self._values[index])
        number = re.search(r"(\d+)\.png$", name)
        K = torch.tensor([[FOCAL[0], 0, CENTRE[0]], [0, FOCAL[1], CENTRE[1]], [0, 0, 1]])
        sample = Sample(
            sensed_depth=as_batch(read_depth(self._images / name, 0.001, (WIDTH, HEIGHT))),
            K=K[None],
            ids=torch.tensor([[0, int(number[1]) if number else 0, 0]]),
        )
        if self.split == "frame":
            sample.boxes = torch.stack([values, torch.zeros(4)])[None]
        else:
            sample.joints, sample.joints_2d = values[None], project(values, K)[None]
        return sample.check()
