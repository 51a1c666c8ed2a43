"""Reader of the ICVL hand posture set (Tang et al., Latent regression forest, CVPR 2014).

Layout: `Training/labels.txt` and `Training/Depth/<folder>/<file>.png`; `Testing/test_seq_1.txt`, `Testing/test_seq_2.txt` and
`Testing/Depth/test_seq_1/image_0000.png`, ...; pictures are 320x240, 16-bit grey, millimetres, 0 or very large (here: beyond 10 m)
where nothing was measured.

- A line: the picture's path below `Depth`, then 16 times u v d, two pixels (v down) and millimetres, blank-separated. The distributed test
  files have odd line ends and empty lines.
- 16 points: the palm, then root, middle and tip of thumb, index, middle, ring and little finger. What root and middle are exactly is not
  stated: only the tips are joints of ours (`valid`), there is no wrist; `ICVL.joints_16` gives all that publications evaluate.
- Focal lengths 240.99 and 240.96, centre (160, 120), as xinghaochen/awesome-hand-pose-estimation, guohengkai/region-ensemble-network and
  zhangboshen/A2J turn pixels into millimetres (moberweger/deep-prior-pp has 241.42).
- Most labels of the test are those of left hands by their chirality (66 % and 85 % of the two sequences' frames; readers
  disagree): all are taken as left ones, and mirrored.
- 331,006 lines to train on, of which 330,933 have their picture (zhangboshen/A2J); most are turned copies, the originals lie in folders
  with long names of digits. 702 and 894 frames to test on.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from phalanx.core.errors import InputError
from phalanx.core.files import list_folder
from phalanx.data.dataset import Dataset, check_count, check_files
from phalanx.data.images import read_depth
from phalanx.data.labels import as_batch, check_distance, only_tips, read_named_rows
from phalanx.data.mirror import mirrored
from phalanx.data.sample import Sample

TIPS_16 = (3, 6, 9, 12, 15)
"""The five tips, thumb to little finger, among the set's 16 points."""

OFFICIAL = {"Training/labels.txt": 331_006, "Testing/test_seq_1.txt": 702, "Testing/test_seq_2.txt": 894}  # lines
OFFICIAL_PICTURES = 330_933  # to train on: fewer than lines

LABELS = {"train": ("Training/labels.txt",), "test": ("Testing/test_seq_1.txt", "Testing/test_seq_2.txt")}
WIDTH, HEIGHT = 320, 240
FOCAL = (240.99, 240.96)
CENTRE = (160.0, 120.0)
FAR = 10_000  # millimetres, beyond which numbers are no distances


class ICVL(Dataset):
    """Hands in the order of the label files, `test` being both test sequences. `ids` are (number of the label file among the split's,
    number of its labelled frame from 0, 0).
    """

    name = "ICVL hand posture"
    splits = ("train", "test")
    licence = "the authors' page states the terms; cite Tang et al. 2014"
    files = ("test_seq_1.txt", "test_seq_2.txt")

    def __init__(self, folder: str | Path, split: str, whole: bool = True) -> None:
        super().__init__(folder, split, whole)
        self._pictures: list[Path] = []
        points, ids = [], []
        for number, file in enumerate(LABELS[split]):
            path = self.folder / file
            if not whole and not path.is_file() and len(LABELS[split]) > 1:
                continue
            names, values = read_named_rows(path, 48)
            if whole:
                check_count(str(path), {"frames": len(names)}, {"frames": OFFICIAL[file]})
            depth = path.parent / "Depth"
            found = _pictures_below(
                depth, [path.stem] if split == "test" else sorted({n.rpartition("/")[0] for n in names})
            )
            there = [index for index, name in enumerate(names) if name in found]
            if whole and (split == "test" or len(there) < OFFICIAL_PICTURES):
                check_files(depth, names, found)
            points.append(values.reshape(-1, 16, 3)[there])
            self._pictures += [depth / names[index] for index in there]
            ids += [(number, index, 0) for index in there]
        if not ids:
            raise InputError(
                f"{self.folder}: holds none of the pictures of {' and '.join(LABELS[split])}, or not these files"
            )
        self._points = np.concatenate(points)  # (N, 16, 3) pixels and millimetres
        self._ids = np.array(ids)  # (N, 3)
        check_distance(self._points[..., 2], self.folder / LABELS[split][0])

    @classmethod
    def recognises(cls, folder: Path) -> bool:
        if any((folder / "Testing" / "Depth" / sequence).is_dir() for sequence in ("test_seq_1", "test_seq_2")):
            return True  # with labels or without
        return any((folder / file).is_file() for files in LABELS.values() for file in files) and any(
            (folder / part / "Depth").is_dir() for part in ("Training", "Testing")
        )

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, index: int) -> Sample:
        index = range(len(self))[index]
        tips = self.joints_16(index)[list(TIPS_16)].numpy()  # (5, 3)
        sample = Sample(
            sensed_depth=as_batch(read_depth(self._pictures[index], 0.001, (WIDTH, HEIGHT), FAR + 1)),
            **only_tips(np.ones(5, bool), tips, self._points[index, list(TIPS_16), :2]),
            K=torch.tensor([[[FOCAL[0], 0, CENTRE[0]], [0, FOCAL[1], CENTRE[1]], [0, 0, 1]]]),
            ids=torch.from_numpy(self._ids[index])[None],
        )
        return mirrored(sample).check()

    def joints_16(self, index: int) -> torch.Tensor:
        """The 16 points of hand `index` that publications evaluate: (16, 3) metres, OpenCV axes, not mirrored."""
        u, v, d = torch.from_numpy(self._points[index]).unbind(-1)
        return torch.stack([(u - CENTRE[0]) * d / FOCAL[0], (v - CENTRE[1]) * d / FOCAL[1], d], dim=-1) / 1000


def _pictures_below(depth: Path, folders: list[str]) -> set[str]:
    """Relative paths of the PNG files in some folders below `depth`."""
    found = set()
    for folder in folders:
        if (depth / folder).is_dir():
            names = list_folder(depth / folder)
            found |= {f"{folder}/{name}" if folder else name for name in names if name.endswith(".png")}
    return found
