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

from pathlib import Path

import numpy as np
import torch

from phalanx.core.errors import InputError
from phalanx.core.files import list_folder
from phalanx.data.dataset import Dataset, check_count, check_files, inner_folder
from phalanx.data.images import image_batch, read_depth, read_image_of_size
from phalanx.data.labels import as_batch, check_distance, only_tips, project, read_tip_lines
from phalanx.data.mirror import mirrored
from phalanx.data.sample import Sample

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
    marks = tuple(
        f"{above}data/{sequence}/{name}"
        for above in ("", "EgoDexter/")
        for sequence in SEQUENCES
        for name in ("annotation.txt", "color_on_depth")
    )
    files = ("annotation.txt_3D.txt", "image_[0-9]*_color_on_depth.png")

    def __init__(self, folder: str | Path, split: str = "test", whole: bool = True) -> None:
        super().__init__(folder, split, whole)
        self._data = inner_folder(self.folder, "EgoDexter") / "data"
        sequences = [s for s in SEQUENCES if whole or (self._data / s / "annotation.txt").is_file()]
        tips, pixels, ids = [np.zeros((0, 5, 3))], [np.zeros((0, 5, 2))], []
        for sequence in sequences:
            place = self._data / sequence
            points, places_2d = (
                read_tip_lines(place / "annotation.txt_3D.txt", 3),
                read_tip_lines(place / "annotation.txt", 2),
            )
            if len(points) != len(places_2d):
                raise InputError(
                    f"{place / 'annotation.txt_3D.txt'}: has {len(points)} lines, annotation.txt has {len(places_2d)}"
                )
            found = {
                f"{kind}/{name}"
                for kind in ("depth", "color_on_depth")
                for name in list_folder(place / kind)
                if name.endswith(".png")
            }
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
            raise InputError(f"{self._data}: holds no pictures and <sequence>/annotation.txt of {', '.join(SEQUENCES)}")
        self._tips = np.concatenate(tips)  # (N, 5, 3) millimetres
        self._pixels = np.concatenate(pixels)  # (N, 5, 2)
        self._ids = np.array(ids)  # (N, 3)
        check_distance(self._tips[..., 2][self._tips[..., 2] > 0], self._data)

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, index: int) -> Sample:
        sequence, frame, _ = self._ids[index]
        depth, colour = (self._data / SEQUENCES[sequence] / name for name in _names(frame))
        K = np.array([[FOCAL, 0, CENTRE[0]], [0, FOCAL, CENTRE[1]], [0, 0, 1]])
        known = self._tips[index][:, 2] > 0  # (5,)
        tips = np.where(known[:, None], self._tips[index], 0) / 1000  # metres
        seen = project(np.where(known[:, None], tips, 1), K)  # of any point before the camera where none is known
        pixels = np.where((self._pixels[index] == -1).all(1, keepdims=True), seen, self._pixels[index])
        sample = Sample(
            image=image_batch(read_image_of_size(colour, WIDTH, HEIGHT)),
            sensed_depth=as_batch(read_depth(depth, 0.001, (WIDTH, HEIGHT), INVALID)),
            **only_tips(known, tips, pixels),
            K=as_batch(K),
            ids=torch.from_numpy(self._ids[index])[None],
        )
        return mirrored(sample).check()


def _names(frame: int) -> tuple[str, str]:
    """The pictures of depth and of colour on depth."""
    return f"depth/image_{frame:05d}_depth.png", f"color_on_depth/image_{frame:05d}_color_on_depth.png"
