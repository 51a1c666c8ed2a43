"""Reader of Dexter+Object (Sridhar et al., Real-time joint tracking of a hand manipulating an object from RGB-D input, ECCV 2016).

Layout (inside `dexter+object/`, or given directly): `data/<sequence>/color/*.png` (640x480), `depth/*.png` (320x240) and
`annotations/<sequence>2D.txt`, `<sequence>3D.txt` for the sequences Grasp1, Grasp2, Occlusion, Rigid, Pinch, Rotate. How pictures are
called is not known: a line belongs to the picture of its number in the order of names.

- A line: entries ended by `;`, each `u, v` (pixels of the depth picture) or `x, y, z` (millimetres); the first five are the tips of thumb,
  index, middle, ring and little finger, then come three corners of the object. A missing tip has z = 32001.
- Axes: the depth camera's, **x and y negated**.
- Depth camera: focal lengths 224.502, 230.494, centre (160, 120); colour camera: 587.45209, 600.67456, centre (325, 249), and from the one
  to the other `DEPTH_TO_COLOUR`. All of it is what the reader of MengHao666/Minimal-Hand-pytorch uses.
- Pictures of depth are taken to hold millimetres in 16 bits, 32001 and 0 where nothing was measured; that is how the group's later sets do,
  and is not stated for this one.
- **Left** hands, mirrored. 3,014 frames of two people, all to test on; only tips are labelled.

Colour and depth are pictures of two cameras and sizes, so that there is a split for either, with the same hands.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import torch

from phalanx.core.errors import InputError
from phalanx.core.files import list_folder
from phalanx.data.dataset import Dataset, check_count, inner_folder
from phalanx.data.images import image_batch, read_depth, read_image_of_size
from phalanx.data.labels import as_batch, check_distance, only_tips, project, read_tip_lines
from phalanx.data.mirror import mirrored
from phalanx.data.sample import Sample

SEQUENCES = ("Grasp1", "Grasp2", "Occlusion", "Rigid", "Pinch", "Rotate")
OFFICIAL = {"frames": 3014}
MISSING = 32001  # millimetres, of a tip or a pixel of depth

K_DEPTH = ((224.502, 0.0, 160.0), (0.0, 230.494, 120.0), (0.0, 0.0, 1.0))
K_COLOUR = ((587.45209, 0.0, 325.0), (0.0, 600.67456, 249.0), (0.0, 0.0, 1.0))
DEPTH_TO_COLOUR = (
    (0.9999, 0.0034, 0.0161, 0.0190473),
    (-0.0033, 1.0, -0.0079, -0.0018514),
    (-0.0162, 0.0079, 0.9998, -0.0047501),
)
"""Rotation and translation, in metres, from the frame of the depth camera to that of the colour camera."""


class DexterObject(Dataset):
    """Hands by sequence and frame, as one of the cameras sees them. `colour`: `image`; `joints_2d` are the labels seen by the colour
    camera. `depth`: `sensed_depth`; `joints_2d` are the labelled pixels. `ids` are (number of the sequence, frame, 0 colour or 1 depth).
    """

    name = "Dexter+Object"
    splits = ("colour", "depth")
    licence = "the authors' page states the terms; cite Sridhar et al. 2016"
    marks = tuple(
        f"{above}data/{sequence}/{name}"
        for above in ("", "dexter+object/")
        for sequence in SEQUENCES
        for name in (f"annotations/{sequence}[23]D.txt", "color")
    )
    files = tuple(f"{sequence}[23]D.txt" for sequence in SEQUENCES)

    def __init__(self, folder: str | Path, split: str, whole: bool = True) -> None:
        super().__init__(folder, split, whole)
        data = inner_folder(self.folder, "dexter+object") / "data"
        sequences = [s for s in SEQUENCES if whole or (data / s / "annotations" / f"{s}3D.txt").is_file()]
        self._pictures: list[Path] = []
        tips, pixels, ids = [np.zeros((0, 5, 3))], [np.zeros((0, 5, 2))], []
        for sequence in sequences:
            place = data / sequence
            tips.append(read_tip_lines(place / "annotations" / f"{sequence}3D.txt", 3, followed=True))
            pixels.append(read_tip_lines(place / "annotations" / f"{sequence}2D.txt", 2, followed=True))
            colour, depth = (
                sorted(name for name in list_folder(place / kind) if name.lower().endswith(".png"))
                for kind in ("color", "depth")
            )
            _check_pairs(place, colour, depth, len(tips[-1]), len(pixels[-1]))
            self._pictures += (
                [place / "color" / n for n in colour] if split == "colour" else [place / "depth" / n for n in depth]
            )
            ids += [(SEQUENCES.index(sequence), frame, self.splits.index(split)) for frame in range(len(tips[-1]))]
        if whole:
            check_count(str(data), {"frames": len(ids)}, OFFICIAL)
        if not ids:
            raise InputError(f"{data}: holds no <sequence>/annotations/<sequence>3D.txt of {', '.join(SEQUENCES)}")
        self._tips = np.concatenate(tips)  # (N, 5, 3) as in the files
        self._pixels = np.concatenate(pixels)  # (N, 5, 2)
        self._ids = np.array(ids)  # (N, 3)
        check_distance(self._tips[..., 2][self._tips[..., 2] != MISSING], data)

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, index: int) -> Sample:
        path = self._pictures[index]
        known = (self._tips[index, :, 2] > 0) & (self._tips[index, :, 2] < MISSING)  # (5,)
        tips = self._tips[index] * [-0.001, -0.001, 0.001]  # metres, OpenCV axes of the depth camera
        if self.split == "depth":
            pixels, K = self._pixels[index], np.array(K_DEPTH)
            picture = {"sensed_depth": as_batch(read_depth(path, 0.001, (320, 240), MISSING))}
        else:
            K, motion = np.array(K_COLOUR), np.array(DEPTH_TO_COLOUR)
            tips = tips @ motion[:, :3].T + motion[:, 3]
            pixels = project(tips, K)
            picture = {"image": image_batch(read_image_of_size(path, 640, 480))}
        ids = torch.from_numpy(self._ids[index])[None]
        return mirrored(Sample(**picture, **only_tips(known, tips, pixels), K=as_batch(K), ids=ids)).check()


def _check_pairs(place: Path, colour: list[str], depth: list[str], lines_3d: int, lines_2d: int) -> None:
    """Make sure that every line has its pictures: else labels would slip to other pictures."""
    if len({len(colour), len(depth), lines_3d, lines_2d}) == 1:
        return
    if len(colour) != len(depth):
        by_number = {
            kind: {tuple(re.findall(r"\d+", n)): n for n in names}
            for kind, names in (("color", colour), ("depth", depth))
        }
        for kind, other in (("color", "depth"), ("depth", "color")):
            if alone := by_number[kind].keys() - by_number[other].keys():
                name = min(by_number[kind][number] for number in alone)
                raise InputError(f"{place / kind / name}: has no partner in the folder {other}")
    raise InputError(
        f"{place}: has {len(colour)} pictures of colour, {len(depth)} of depth, "
        f"{lines_3d} lines of 3D and {lines_2d} of 2D labels, where as many of each are expected"
    )
