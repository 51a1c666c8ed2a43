"""Reader of EgoDexter (Mueller et al., Real-time hand tracking under occlusion from an egocentric RGB-D sensor, ICCV 2017).

Layout (inside `EgoDexter/`, or given directly): for the sequences Desk, Fruits, Kitchen, Rotunda `data/<sequence>/annotation.txt`,
`annotation.txt_3D.txt`, `depth/image_00000_depth.png`, `color_on_depth/image_00000_color_on_depth.png`, ... (640x480), numbered from 0;
`color/`, the colour camera's own pictures, is not read. Line i, from 0, belongs to picture i.

- A line: five entries ended by `;`, the tips of thumb, index, middle, ring and little finger: `u, v` in pixels of the depth picture, -1, -1
  where missing; and `x, y, z` in millimetres, OpenCV axes of the depth camera, 0, 0, 0 where missing.
- Depth: 16-bit grey, millimetres, 32001 and 0 where nothing was measured. Colour on depth is the colour picture warped onto it.
- Depth camera: focal length 475.62 both ways, centre (311.125, 245.965).
- **Left** hands, mirrored. 1,485 of the frames have labels, of some tips or all; four people; all to test on.

Sources: MengHao666/Minimal-Hand-pytorch, xinghaochen/awesome-hand-pose-estimation, the authors' demonstration code. Corrected labels of
others (`my_annotation.txt_3D.txt`) are not read.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch

from phalanx.core.errors import InputError
from phalanx.core.files import read_head, reason
from phalanx.data.dataset import Dataset, check_count, check_files
from phalanx.data.images import read_image
from phalanx.data.mirror import mirrored
from phalanx.data.sample import Sample
from phalanx.hand.skeleton import TIPS

SEQUENCES = ("Desk", "Fruits", "Kitchen", "Rotunda")
OFFICIAL = {"labelled frames": 1485}
INVALID = 32001  # millimetres, of a pixel of depth
WIDTH, HEIGHT = 640, 480
FOCAL = 475.62
CENTRE = (311.125, 245.965)


class EgoDexter(Dataset):
    """Hands with at least one tip known in space. `joints_2d` are the labelled pixels, or where only the point in space is labelled its
    projection. `ids` are (number of the sequence, frame, 0).
    """

    name = "EgoDexter"
    splits = ("test",)
    licence = "the authors' page states the terms; cite Mueller et al. 2017"

    def __init__(self, folder: str | Path, split: str = "test", whole: bool = True) -> None:
        super().__init__(folder, split, whole)
        self._data = _root(self.folder) / "data"
        sequences = [s for s in SEQUENCES if whole or (self._data / s / "annotation.txt").is_file()]
        tips, pixels, ids = [np.zeros((0, 5, 3))], [np.zeros((0, 5, 2))], []
        for sequence in sequences:
            place = self._data / sequence
            points, places_2d = (
                _read_lines(place / "annotation.txt_3D.txt", 3),
                _read_lines(place / "annotation.txt", 2),
            )
            if len(points) != len(places_2d):
                raise InputError(
                    f"{place / 'annotation.txt_3D.txt'}: has {len(points)} lines, annotation.txt has {len(places_2d)}"
                )
            found = {f"{kind}/{name}" for kind in ("depth", "color_on_depth") for name in _pictures(place / kind)}
            if whole:
                check_files(place, (name for frame in range(len(points)) for name in _names(frame)), found)
            labelled = np.flatnonzero((points[..., 2] > 0).any(axis=1)).tolist()
            kept = [f for f in labelled if found.issuperset(_names(f))]
            tips.append(points[kept])
            pixels.append(places_2d[kept])
            ids += [(SEQUENCES.index(sequence), frame, 0) for frame in kept]
        if whole:
            check_count(str(self._data), {"labelled frames": len(ids)}, OFFICIAL)
        if not ids:
            raise InputError(f"{self._data}: holds no labelled pictures of the sequences {', '.join(SEQUENCES)}")
        self._tips = np.concatenate(tips)  # (N, 5, 3) millimetres
        self._pixels = np.concatenate(pixels)  # (N, 5, 2)
        self._ids = np.array(ids)  # (N, 3)
        _check_depths(self._data, self._tips[..., 2])

    @classmethod
    def recognises(cls, folder: Path) -> bool:
        return any((_root(folder) / "data" / sequence / "annotation.txt").is_file() for sequence in SEQUENCES)

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, index: int) -> Sample:
        sequence, frame, _ = self._ids[index]
        depth, colour = (self._data / SEQUENCES[sequence] / name for name in _names(frame))
        image = read_image(colour)
        if image.shape != (HEIGHT, WIDTH, 3):
            raise InputError(f"{colour}: {WIDTH}x{HEIGHT} pixels expected, has {image.shape[1]}x{image.shape[0]}")
        K = np.array([[FOCAL, 0, CENTRE[0]], [0, FOCAL, CENTRE[1]], [0, 0, 1]])
        known = self._tips[index][:, 2:] > 0  # (5, 1)
        tips = np.where(known, self._tips[index], 0) / 1000  # metres
        seen = np.where(known, tips, 1) @ K.T  # any point in front of the camera where none is known
        pixels = np.where(
            (self._pixels[index] == -1).all(1, keepdims=True), seen[:, :2] / seen[:, 2:], self._pixels[index]
        )
        valid, joints, joints_2d = torch.zeros(1, 21), torch.zeros(1, 21, 3), torch.zeros(1, 21, 2)
        valid[0, TIPS] = torch.from_numpy(known[:, 0]).float()
        joints[0, TIPS] = torch.from_numpy(tips).float()
        joints_2d[0, TIPS] = torch.from_numpy(np.where(known, pixels, 0)).float()
        sample = Sample(
            image=torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255,
            sensed_depth=torch.from_numpy(_depth(depth))[None],
            joints=joints,
            joints_2d=joints_2d,
            valid=valid,
            K=torch.from_numpy(K).float()[None],
            ids=torch.from_numpy(self._ids[index])[None],
        )
        return mirrored(sample).check()


def _root(folder: Path) -> Path:
    return folder / "EgoDexter" if (folder / "EgoDexter").is_dir() else folder


def _names(frame: int) -> tuple[str, str]:
    """The pictures of depth and of colour on depth."""
    return f"depth/image_{frame:05d}_depth.png", f"color_on_depth/image_{frame:05d}_color_on_depth.png"


def _pictures(folder: Path) -> list[str]:
    try:
        return [name for name in os.listdir(folder) if name.endswith(".png")]
    except OSError as error:
        raise InputError(f"{folder}: cannot be read: {reason(error)}") from error


def _read_lines(path: Path, size: int) -> np.ndarray:
    """The five tips of every line, (N, 5, size)."""
    read_head(path, 1)  # says what is wrong with a file that is not there
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").rstrip().split("\n"), 1):
        entries = [entry.split(",") for entry in line.strip().removesuffix(";").split(";")]
        if len(entries) != 5 or any(len(entry) != size for entry in entries):
            raise InputError(f"{path}: line {number}: five tips of {size} numbers expected, has {line[:60]!r}")
        try:
            row = np.array(entries, dtype=np.float64)
        except ValueError:
            row = np.full((5, size), np.nan)
        if not np.isfinite(row).all():
            raise InputError(f"{path}: line {number}: has values that are not numbers")
        rows.append(row)
    return np.stack(rows)


def _check_depths(path: Path, depths: np.ndarray) -> None:
    """Make sure, by how far hands are from the camera, that lengths are in millimetres."""
    known = depths[depths > 0]
    depth = float(np.median(known)) if known.size else 500.0
    if not 100 <= depth <= 3000:
        unit = "metres" if 0.1 <= depth <= 3 else "another unit"
        raise InputError(f"{path}: tips are {depth:.3g} away, so lengths seem to be in {unit}, not in mm")


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
    return np.where(depth >= INVALID, 0, depth).astype(np.float32) / 1000
