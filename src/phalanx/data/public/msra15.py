"""Reader of the MSRA15 hand gesture set (Sun et al., Cascaded hand pose regression, CVPR 2015).

Layout: `P0` to `P8`, one folder a person (inside `cvpr15_MSRAHandGestureDB/`, or given directly), each with 17 gestures `1` to `9`, `I`,
`IP`, `L`, `MP`, `RP`, `T`, `TIP`, `Y`, each with `joint.txt` and `000000_depth.bin`, ... numbered without gaps (previews beside them are
not read).

- A `.bin` file, little-endian: six 32-bit integers width, height, left, top, right, bottom (320, 240, and the half-open box of the hand),
  then the box's depth row by row in float32 millimetres; 0 is what is not hand, as is all outside the box.
- `joint.txt`: the number of frames, then a line a frame with 21 times x y z in millimetres, **y up and z negative**: ours are (x, -y, -z).
  Focal length 241.42 both ways, centre (160, 120).
- Joints: wrist, then index, middle, ring, little finger and thumb, each from its base to the tip. Right hands.
- 76,375 frames, about 500 a gesture (`OFFICIAL`, counted in the public list of frames). Known for bad labels (moberweger/deep-prior-pp):
  P2/TIP 172-174; P2/MP 173-175, 345-354, 356, 359, 360; P3/T 120, 489; P8/4 168.

Published errors leave one person out at a time, over P0 to P8 in turn: a split is one person, and `all` is everyone in the order of
publications. Sources: the authors' readme, moberweger/deep-prior-pp, guohengkai/region-ensemble-network.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from phalanx.core.errors import InputError
from phalanx.core.files import list_folder, read_head
from phalanx.data.dataset import Dataset, check_count, check_files, inner_folder
from phalanx.data.labels import as_batch, check_distance, check_unit, number_rows, project
from phalanx.data.sample import Sample
from phalanx.hand.skeleton import ORDERS

ORDER = ORDERS["msra15"]
"""For each of our 21 joints its number in `joint.txt`."""

PEOPLE = ("P0", "P1", "P2", "P3", "P4", "P5", "P6", "P7", "P8")
GESTURES = ("1", "2", "3", "4", "5", "6", "7", "8", "9", "I", "IP", "L", "MP", "RP", "T", "TIP", "Y")

FEWER = {
    **dict.fromkeys("P0/T P1/4 P1/9 P3/5 P3/7 P3/I P3/Y P5/1 P5/3 P5/T P6/2 P6/4 P6/Y P8/4 P8/5 P8/Y".split(), 499),
    **dict.fromkeys("P1/6 P1/L P1/Y P2/RP P3/9 P7/1 P8/3".split(), 498),
    **dict.fromkeys("P2/T P3/6 P3/8 P8/2".split(), 497),
    "P2/MP": 417,
}
OFFICIAL = {f"{person}/{gesture}": 500 for person in PEOPLE for gesture in GESTURES} | FEWER  # frames

WIDTH, HEIGHT = 320, 240
FOCAL = 241.42
CENTRE = (160.0, 120.0)


class MSRA15(Dataset):
    """Hands by person, gesture and frame. `depth` is the hand's, cut out by the authors, and `sensed_depth` the same, as there is no
    other; `gesture` counts `GESTURES` from 0; `ids` are (person, frame, 0).
    """

    name = "MSRA15"
    splits = ("all", *PEOPLE)
    licence = "the authors' readme states the terms; cite Sun et al. 2015"
    marks = tuple(
        f"{above}P[0-8]/*/{name}"
        for above in ("", "cvpr15_MSRAHandGestureDB/")
        for name in ("joint.txt", "[0-9]" * 6 + "_depth.bin")
    )
    files = ("[0-9]" * 6 + "_depth.bin",)

    def __init__(self, folder: str | Path, split: str, whole: bool = True) -> None:
        super().__init__(folder, split, whole)
        self._root = inner_folder(self.folder, "cvpr15_MSRAHandGestureDB")
        people = PEOPLE if split == "all" else (split,)
        wanted = [(person, gesture) for person in people for gesture in GESTURES]
        if not whole:
            wanted = [(p, g) for p, g in wanted if (self._root / p / g / "joint.txt").is_file()]
            if not wanted:
                raise InputError(f"{self._root}: has no {people[0]}/{GESTURES[0]}/joint.txt or other labels of {split}")
        joints, self._frames = [], []  # of all hands; (person, gesture, frame)
        for person, gesture in wanted:
            place = self._root / person / gesture
            labels = _read_joints(place / "joint.txt")  # (n, 21, 3) metres
            pictures = {name for name in list_folder(place) if name.endswith("_depth.bin")}
            expected = [f"{frame:06d}_depth.bin" for frame in range(len(labels))]
            if whole:
                official = OFFICIAL[f"{person}/{gesture}"]
                check_count(str(place / "joint.txt"), {"frames": len(labels)}, {"frames": official})
                check_files(place, expected, pictures)
            there = [frame for frame, name in enumerate(expected) if name in pictures]
            joints.append(labels[there])
            self._frames += [(person, gesture, frame) for frame in there]
        self._joints = np.concatenate(joints)  # (N, 21, 3) metres

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> Sample:
        person, gesture, frame = self._frames[index]
        joints = torch.from_numpy(self._joints[index])  # (21, 3)
        K = torch.tensor([[FOCAL, 0, CENTRE[0]], [0, FOCAL, CENTRE[1]], [0, 0, 1]])
        depth = as_batch(_depth(self._root / person / gesture / f"{frame:06d}_depth.bin"))
        return Sample(
            depth=depth,
            sensed_depth=depth,
            joints=joints[None],
            joints_2d=project(joints, K)[None],
            K=K[None],
            ids=torch.tensor([[PEOPLE.index(person), frame, 0]]),
            gesture=torch.tensor([GESTURES.index(gesture)]),
        ).check()


def _read_joints(path: Path) -> np.ndarray:
    """Joints of a gesture as float32 (n, 21, 3): metres, OpenCV axes, our order."""
    read_head(path, 1)  # says what is wrong with a file that is not there
    lines = path.read_text(encoding="ascii", errors="replace").split("\n")
    try:
        count = int(lines[0])
    except ValueError:
        raise InputError(f"{path}: line 1: a number of frames expected, has {lines[0][:40]!r}") from None
    rows = [line for line in lines[1:] if line.strip()]
    if len(rows) != count:
        raise InputError(f"{path}: has {len(rows)} lines of joints, but its first line says {count}")
    values = number_rows(rows, range(2, 2 + count), 63, "63 numbers (21 joints)", path)
    joints = values.reshape(count, 21, 3)[:, ORDER]
    check_unit(joints, "millimetres", path)
    check_distance(-joints[..., 2], path)
    return (joints * [0.001, -0.001, -0.001]).astype(np.float32)


def _depth(path: Path) -> np.ndarray:
    """A depth file as the whole picture, (240, 320) float32 metres, 0 = no hand."""
    read_head(path, 1)
    data = path.read_bytes()
    if len(data) < 24:
        raise InputError(f"{path}: is cut short")
    width, height, left, top, right, bottom = np.frombuffer(data, dtype="<i4", count=6).tolist()
    if (width, height) != (WIDTH, HEIGHT) or not (0 <= left < right <= WIDTH and 0 <= top < bottom <= HEIGHT):
        raise InputError(f"{path}: its head has no box in a picture of {WIDTH}x{HEIGHT} pixels")
    rows, columns = bottom - top, right - left
    if len(data) != 24 + 4 * rows * columns:
        raise InputError(f"{path}: {24 + 4 * rows * columns} bytes expected, has {len(data)}")
    values = np.frombuffer(data, dtype="<f4", offset=24)
    if not (np.isfinite(values) & (values >= 0)).all():
        raise InputError(f"{path}: has depths that are not finite or negative")
    depth = np.zeros((HEIGHT, WIDTH), dtype=np.float32)
    depth[top:bottom, left:right] = values.reshape(rows, columns) / 1000
    return depth
