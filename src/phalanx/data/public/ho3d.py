"""Reader of HO-3D, versions 2 and 3 (Hampali et al., "HOnnotate", CVPR 2020), as its archives unpack.

    train.txt  evaluation.txt    lines SEQUENCE/0000
    {train,evaluation}/SEQUENCE/{rgb,depth,meta}/0000.{png or jpg,png,pkl}    640x480 pixels
    evaluation_{xyz,verts}.json  lists with one entry a line of evaluation.txt, since 2025

A right hand holds an object. Colour is PNG in version 2 and JPEG in version 3, and that tells them apart. Frames: 66,034 and 83,325 for
training, 11,524 and 20,137 for evaluation; version 3 has 55 and 13 sequences. Only frames in the lists have labels: the folders hold
more. Depth is that of all that is there, split over two channels: red + 256 green, of 0.125 mm.

`meta` is a pickle of Python 2: `handJoints3D` (21, 3) metres with OpenGL axes (y up, z backwards), MANO's 16 joints and then the tips,
thumb first; `camMat` (3, 3); MANO's `handPose`, `handTrans` and `handBeta` from the flat hand; and the object. In evaluation `meta` has
the wrist alone in `handJoints3D`, and `handBoundingBox` (left, top, right, bottom) in pixels.

The ground truth of evaluation was released later: `evaluation_xyz.json` (21, 3) and `evaluation_verts.json` (778, 3, MANO's surface), in
metres with OpenGL axes. Without the former the other joints are not valid. Its joints have MANO's order, as an author says (HOnnotate,
issue 4); some write that they have ours, so the order is inferred from bone lengths (`in_our_order`).

Sources: the repository shreyashampali/ho3d (layout, axes, order, depth, `eval.py`) and the authors' readme (numbers, fields).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from phalanx.core.checks import as_array, as_intrinsics
from phalanx.core.errors import InputError
from phalanx.core.files import numbered_lines
from phalanx.core.pickles import read_pickle
from phalanx.data.dataset import Dataset, check_count, check_files
from phalanx.data.images import image_batch, read_image_of_size
from phalanx.data.json_lists import entry_ends, read_entries, read_surface
from phalanx.data.labels import as_batch, check_hands, check_unit, project
from phalanx.data.sample import Sample
from phalanx.hand.skeleton import BONES, ORDERS

ORDER = ORDERS["mano"]
"""For each of our joints its number here."""

OFFICIAL: dict[str, dict[str, dict[str, int]]] = {  # by the suffix of colour pictures
    ".png": {"train": {"frames": 66034}, "evaluation": {"frames": 11524}},
    ".jpg": {"train": {"frames": 83325, "sequences": 55}, "evaluation": {"frames": 20137, "sequences": 13}},
}

WIDTH, HEIGHT = 640, 480
VERTICES = 778
DEPTH_UNIT = 0.00012498664727900177  # metres
OPENCV_FROM_OPENGL = np.array([1.0, -1.0, -1.0])


class HO3D(Dataset):
    """Right hands with objects, in the order of the lists, which is that of the authors' evaluation.

    `ids` are (sequence among `sequences`, frame, 0); in evaluation `boxes` has the hand's box and an empty one.

    Attributes:
        version: 2 or 3.
        sequences: names, sorted.
        xyz: joints of all listed frames of evaluation (frames, 21, 3), metres, OpenCV axes; None without `evaluation_xyz.json`.
    """

    name = "HO-3D"
    splits = ("train", "evaluation")
    licence = "academic research only, no commercial use, no redistribution"
    marks = tuple(
        f"{split}/{name}"
        for split in ("train", "evaluation")
        for name in ("*/meta", "[A-Z]*/rgb/[0-9][0-9][0-9][0-9].jpg", "[A-Z]*/rgb/[0-9][0-9][0-9][0-9].png")
    )

    def __init__(self, folder: str | Path, split: str, whole: bool = True) -> None:
        super().__init__(folder, split, whole)
        listed = self._read_list()
        self.sequences = tuple(sorted({sequence for sequence, _ in listed}))
        there: dict[str, set[str]] = {}
        for sequence in self.sequences:
            files = [
                file for kind in ("rgb", "depth", "meta") for file in (self.folder / split / sequence / kind).glob("*")
            ]
            there[sequence] = {f"{file.parent.name}/{file.name}" for file in files}
        jpg, png = (any(f"rgb/{frame}{s}" in there[sequence] for sequence, frame in listed) for s in (".jpg", ".png"))
        if not (jpg or png):
            raise InputError(f"{self.folder / split}: has none of the pictures that {split}.txt lists")
        self.version, self._suffix = (3, ".jpg") if jpg else (2, ".png")
        if whole:
            counts = {"frames": len(listed), "sequences": len(self.sequences)}
            check_count(str(self.folder / f"{split}.txt"), counts, OFFICIAL[self._suffix][split])
            wanted = {f"{sequence}/{name}" for sequence, frame in listed for name in self._names(frame)}
            found = {f"{sequence}/{name}" for sequence in there for name in there[sequence]}
            check_files(self.folder / split, wanted, found & wanted)  # more frames than listed are no fault
        number = {sequence: k for k, sequence in enumerate(self.sequences)}
        self.frames = [  # line of the list from 0, sequence's number, its name, frame
            (line, number[sequence], sequence, frame)
            for line, (sequence, frame) in enumerate(listed)
            if whole or there[sequence].issuperset(self._names(frame))
        ]
        if not self.frames:
            sequence, frame = listed[0]
            lacking = next(name for name in self._names(frame) if name not in there[sequence])
            raise InputError(f"{self.folder / split / sequence / lacking}: is missing, and so from every listed frame")
        self._surfaces = self.folder / f"{split}_verts.json"
        self.xyz, self._ends = self._read_truth(len(listed)) if split == "evaluation" else (None, None)

    def _read_truth(self, frames: int) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Joints of all listed frames, and where their surfaces end in `evaluation_verts.json`; None for files that are not there."""
        path = self.folder / "evaluation_xyz.json"
        xyz, ends = None, None
        if path.exists():
            xyz = in_our_order(read_entries(path, (21, 3)) * OPENCV_FROM_OPENGL)
            check_count(str(path), {"frames": len(xyz)}, {"frames": frames})
            check_hands(xyz, f"{path}: entry")
            check_unit(xyz, "metres", path)
        if self._surfaces.exists():
            ends = entry_ends(self._surfaces)
            check_count(str(self._surfaces), {"frames": len(ends)}, {"frames": frames})
        return xyz, ends

    def _names(self, frame: str) -> tuple[str, str, str]:
        return f"rgb/{frame}{self._suffix}", f"depth/{frame}.png", f"meta/{frame}.pkl"

    def _read_list(self) -> list[tuple[str, str]]:
        path = self.folder / f"{self.split}.txt"
        listed: dict[tuple[str, str], int] = {}  # sequence and frame, by which line
        for line, text in numbered_lines(path):
            match = re.fullmatch(r"([\w-]+)/(\d+)", text)
            if not match:
                raise InputError(f"{path}: line {line}: SEQUENCE/FRAME expected")
            if (first := listed.setdefault((match[1], match[2]), line)) != line:
                raise InputError(f"{path}: line {line}: lists the frame of line {first} again")
        if not listed:
            raise InputError(f"{path}: lists no frames")
        return list(listed)

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> Sample:
        line, number, sequence, frame = self.frames[index]
        rgb, depth, meta = (self.folder / self.split / sequence / name for name in self._names(frame))
        image, packed = (read_image_of_size(path, WIDTH, HEIGHT) for path in (rgb, depth))
        labels = _read_labels(meta)
        joints, valid = _joints(labels, meta) if self.xyz is None else (self.xyz[line], np.ones(21))
        K = as_intrinsics(labels.get("camMat"), f"{meta}: camMat")
        known = valid[:, None] > 0
        sample = Sample(
            image=image_batch(image),
            sensed_depth=as_batch((packed[..., 0] + 256.0 * packed[..., 1]) * DEPTH_UNIT),
            joints=as_batch(joints),
            joints_2d=as_batch(project(np.where(known, joints, 1), K) * known),
            K=as_batch(K),
            ids=torch.tensor([[number, int(frame), 0]]),
        )
        if not valid.all():
            sample.valid = as_batch(valid)
        if self.split == "evaluation":
            left, top, right, bottom = as_array(labels.get("handBoundingBox"), (4,), f"{meta}: handBoundingBox")
            if right <= left or bottom <= top:
                raise InputError(f"{meta}: handBoundingBox has no width or no height")
            sample.boxes = as_batch(np.array([[left, top, right - left, bottom - top], [0, 0, 0, 0]]))
        if self._ends is not None:
            surface = read_surface(self._surfaces, self._ends, line, VERTICES)
            sample.vertices = as_batch(surface * OPENCV_FROM_OPENGL)
        return sample.check()


def in_our_order(joints: np.ndarray) -> np.ndarray:
    """Hands (N, 21, 3) in MANO's order or in ours, in ours: told by the lengths of bones, which are the shortest in the right one."""
    ways = [joints[:, ORDER], joints]
    lengths = [np.linalg.norm(np.diff(way[:, BONES], axis=2), axis=-1).sum() for way in ways]
    return ways[int(np.argmin(lengths))]


def _read_labels(path: Path) -> Mapping[str, Any]:
    labels = read_pickle(path)
    if not isinstance(labels, dict) or "handJoints3D" not in labels:
        raise InputError(f"{path}: is no dictionary with handJoints3D")
    if labels["handJoints3D"] is None:
        raise InputError(f"{path}: has no labels (handJoints3D is None), though its frame is listed")
    return labels


def _joints(labels: Mapping[str, Any], path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Joints (21, 3) in metres with OpenCV axes, and which are known (21,)."""
    joints, valid = np.zeros((21, 3)), np.ones(21)
    name = f"{path}: handJoints3D"
    if np.size(labels["handJoints3D"]) == 3:  # evaluation
        joints[0] = as_array(np.ravel(labels["handJoints3D"]), (3,), name) * OPENCV_FROM_OPENGL
        valid[1:] = 0
    else:
        joints = as_array(labels["handJoints3D"], (21, 3), name)[ORDER, :] * OPENCV_FROM_OPENGL
        check_unit(joints[None], "metres", path)
    if (joints[valid > 0, 2] <= 0).any():
        raise InputError(f"{name}: has a joint behind the camera")
    return joints, valid
