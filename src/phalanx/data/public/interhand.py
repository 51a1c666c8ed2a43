"""Reader of InterHand2.6M: one or two hands seen by many calibrated colour cameras (Moon et al., ECCV 2020).

    images/<split>/Capture<C>/<sequence>/cam<ID>/image<FRAME>.jpg          512x334 or 334x512 pixels
    annotations/<split>/InterHand2.6M_<split>_data.json                    which picture shows what; `file_name` below images/<split>
    annotations/<split>/InterHand2.6M_<split>_camera.json                  [capture]["campos", "camrot", "focal", "princpt"][camera]
    annotations/<split>/InterHand2.6M_<split>_joint_3d.json                [capture][frame]: 42 joints of the world, in millimetres

A point X of the world lies at `camrot (X - campos)` in a camera's frame, whose axes are OpenCV's; there is no distortion. Joints 0
to 20 are the right hand's and 21 to 41 the left's, each finger from tip to base, the wrist last (`ORDER`). World coordinates of
joints that are not valid are filled with 1. A joint counts as valid if both files say so, and none does where the
wrist is not, as in the authors' own loader. A picture with both hands gives two samples, the right hand's first.

`ids`: number of the sequence among the split's (sorted by capture and name), frame, and twice the camera's number, plus 1 for
left hands. The parameters of MANO that come with the set are not read.

A text file beside the set, `aid_human_annot_<split>.txt`, lists the annotations that people made (part H of the paper; part M is the
machine's), an id a line; `by_people` looks for it in the set's folder, in `annotations` and in `annotations/<split>`.

Version 0.0 had folders `all`, `human_annot` and `machine_annot` in the place of splits below `annotations`, and at first bare lists of
joints in `joint_3d`. It is recognised, and refused by name.

Official counts of pictures are of version 1.0 with both kinds of annotation, human and machine. Layout, counts and camera formula:
github.com/facebookresearch/InterHand2.6M, README and `data/InterHand2.6M/dataset.py`.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import torch

from phalanx.core.checks import as_array, as_intrinsics, is_rotation
from phalanx.core.errors import InputError
from phalanx.core.files import numbered_lines, read_json
from phalanx.data.dataset import Dataset, check_count, check_files
from phalanx.data.images import image_batch, read_image_of_size
from phalanx.data.labels import as_batch, check_unit, project, stacked
from phalanx.data.mirror import mirrored
from phalanx.data.sample import Sample
from phalanx.geometry.camera import check_camera_matrix
from phalanx.hand.skeleton import ORDERS

OFFICIAL = {"train": 1_361_062, "val": 380_125, "test": 849_160}
"""Pictures of each split."""

ORDER = ORDERS["interhand"]
"""For each of our joints its number in the set, right hand; of a left hand 21 more."""

NEAREST = 20
"""Millimetres that the cameras of a capture, which stand around a room, lie more than apart, were there only two of them."""

OLDER = ("all", "human_annot", "machine_annot")
"""Folders below `annotations` in version 0.0."""

_WRIST, _KNUCKLE = ORDER[0], ORDER[9]  # the middle finger's
_SIDES = {"right": (True, False), "left": (False, True), "interacting": (True, True)}


class InterHand(Dataset):
    """Hands of one split, in the order of the annotation file. `interacting[i]`: whether hand i's picture is of two hands."""

    name = "InterHand2.6M"
    splits = ("train", "val", "test")
    licence = "CC BY-NC 4.0"
    marks = ("annotations/*/InterHand2.6M_*.json", "images/*/Capture[0-9]*")
    files = ("InterHand2.6M_*.json",)

    def __init__(self, folder: str | Path, split: str, whole: bool = True) -> None:
        super().__init__(folder, split, whole)
        files = {
            kind: self.folder / "annotations" / split / f"InterHand2.6M_{split}_{kind}.json"
            for kind in ("data", "camera", "joint_3d")
        }
        self._images = self.folder / "images" / split
        _refuse_older(files["data"].parent)
        path = files["data"]
        try:
            data = read_json(path)
            pictures, annotations = data["images"], data["annotations"]
            place = {picture["id"]: number for number, picture in enumerate(pictures)}
            picture_of = np.array([place[entry["image_id"]] for entry in annotations], dtype=np.int64)  # (N,)
            shown = np.array([_SIDES[entry["hand_type"]] for entry in annotations], dtype=bool).reshape(-1, 2)  # (N, 2)
            marks = [entry["joint_valid"] for entry in annotations]
            names = np.array([int(entry["id"]) for entry in annotations], dtype=np.int64)  # (N,)
            self._paths = [str(picture["file_name"]) for picture in pictures]
            self._sizes = [(int(picture["width"]), int(picture["height"])) for picture in pictures]
            frames = [(str(picture["capture"]), str(picture["frame_idx"])) for picture in pictures]
            self._views = [(str(picture["capture"]), str(picture["camera"])) for picture in pictures]
            self._numbers = [(int(picture["frame_idx"]), int(picture["camera"])) for picture in pictures]
            sequences = [(int(picture["capture"]), str(picture["seq_name"])) for picture in pictures]
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{path}: is not an InterHand2.6M annotation file ({error!r})") from error
        number_of = {sequence: number for number, sequence in enumerate(sorted(set(sequences)))}
        self._sequences = [number_of[sequence] for sequence in sequences]

        there = set(_files_in(self._images))
        if whole:
            check_count(str(path), {"pictures": len(pictures)}, {"pictures": OFFICIAL[split]})
            check_files(self._images, self._paths, there)
        present = np.array([name in there for name in self._paths], dtype=bool)

        self._cameras = _cameras(files["camera"])
        row_of, self._world, world_valid = _world(files["joint_3d"])
        for table, wanted, kind in ((self._cameras, self._views, "camera"), (row_of, frames, "joint_3d")):
            if missing := set(wanted) - table.keys():
                capture, other = min(missing)
                raise InputError(f"{files[kind]}: has no entry {other} of capture {capture}")
        rows = np.array([row_of[frames[number]] for number in picture_of], dtype=np.int64)  # (N,)

        labels = (f"{path}: joint_valid of annotation {number}" for number in range(len(marks)))
        valid = (stacked(marks, (42, 1), labels, np.float32)[..., 0] > 0) & world_valid[rows]  # (N, 42)
        halves = valid.reshape(-1, 2, 21)  # (N, 2, 21)
        halves = halves & halves[..., _WRIST, None] & shown[..., None]
        kept, left = np.nonzero(halves.any(-1) & present[picture_of, None])
        self._picture, self._row, self._left, self._valid = picture_of[kept], rows[kept], left, halves[kept, left]
        self.interacting = np.asarray(shown[kept].all(-1))  # (hands,)
        self._annotations = names[kept]  # (hands,)
        hands, known = self._world.reshape(-1, 21, 3), world_valid.reshape(-1, 21)
        # The median of them, since single hands of automatic annotations may be wrong.
        check_unit(1000 * hands[known[:, _WRIST] & known[:, _KNUCKLE]][:, ORDER], "millimetres", files["joint_3d"])

    def __len__(self) -> int:
        return len(self._picture)

    def keep(self, which: np.ndarray) -> None:
        """Leave out all hands but those of `which` (hands,) bool."""
        self._picture, self._row, self._left = self._picture[which], self._row[which], self._left[which]
        self._valid, self._annotations = self._valid[which], self._annotations[which]
        self.interacting = self.interacting[which]

    def by_people(self) -> np.ndarray:
        """(hands,) bool: whose annotations people made. Raises InputError if the list of these is missing or at fault."""
        name = f"aid_human_annot_{self.split}.txt"
        annotations = self.folder / "annotations"
        places = [place / name for place in (self.folder, annotations, annotations / self.split)]
        path = next((place for place in places if place.is_file()), None)
        if path is None:
            raise InputError(f"{places[-1]}: is missing, the list of annotations that people made")
        lines = numbered_lines(path)
        if wrong := [line for line, text in lines if not re.fullmatch(r"[0-9]{1,18}", text)]:
            raise InputError(f"{path}: line {wrong[0]}: the id of an annotation expected")
        return np.isin(self._annotations, np.array([int(text) for _, text in lines]))

    def __getitem__(self, index: int) -> Sample:
        picture, left = int(self._picture[index]), int(self._left[index])
        path = self._images / self._paths[picture]
        image = read_image_of_size(path, *self._sizes[picture])

        world_to_camera, K = self._cameras[self._views[picture]]
        valid = self._valid[index][list(ORDER)]  # (21,)
        world = self._world[self._row[index]].reshape(2, 21, 3)[left][list(ORDER)].astype(np.float64)  # metres
        joints = world @ world_to_camera[:3, :3].T + world_to_camera[:3, 3]
        joints[~valid] = 0, 0, 1
        if (joints[:, 2] <= 0).any():
            raise InputError(f"{path}: the annotations put a joint of its hand behind the camera")
        frame, camera = self._numbers[picture]
        sample = Sample(
            image=image_batch(image),
            joints=as_batch(joints * valid[:, None]),
            joints_2d=as_batch(project(joints, K) * valid[:, None]),
            valid=as_batch(valid),
            K=as_batch(K),
            world_to_camera=as_batch(world_to_camera),
            ids=torch.tensor([[self._sequences[picture], frame, 2 * camera + left]]),
            left=torch.tensor([False]),
        )
        return (mirrored(sample) if left else sample).check()


def _refuse_older(annotations: Path) -> None:
    """Raise InputError if a split's folder of annotations is not there, and beside it are those of version 0.0."""
    older = [name for name in OLDER if (annotations.parent / name).is_dir()]
    if older and not annotations.is_dir():
        raise InputError(
            f"{annotations.parent}: has the layout of version 0.0 ({', '.join(older)}), which is not read; "
            "version 1.0 has a folder for each split"
        )


def _files_in(folder: Path) -> list[str]:
    """Relative paths of the files in `folder` and below."""
    found = []
    for parent, _, names in os.walk(folder):
        above = os.path.relpath(parent, folder).replace(os.sep, "/")
        found += [name if above == "." else f"{above}/{name}" for name in names]
    return found


def _world(path: Path) -> tuple[dict[tuple[str, str], int], np.ndarray, np.ndarray]:
    """Rows by (capture, frame), joints of the world (M, 42, 3) in metres, and which of them are valid (M, 42)."""
    data = read_json(path)
    try:
        keys = [(capture, frame) for capture, frames in data.items() for frame in frames]
        if bare := next((key for key in keys if isinstance(data[key[0]][key[1]], list)), None):
            raise InputError(
                f"{path}: capture {bare[0]}, frame {bare[1]}: is a bare list of joints, as in version 0.0, which is not read; "
                "version 1.0 has world_coord and joint_valid"
            )
        points = [data[capture][frame]["world_coord"] for capture, frame in keys]
        marks = [data[capture][frame]["joint_valid"] for capture, frame in keys]
    except (AttributeError, KeyError, TypeError) as error:
        raise InputError(f"{path}: is not a file of joints by capture and frame ({error!r})") from error
    labels = [f"{path}: capture {capture}, frame {frame}" for capture, frame in keys]
    world = stacked(points, (42, 3), labels, np.float32) / np.float32(1000)
    return {key: row for row, key in enumerate(keys)}, world, stacked(marks, (42, 1), labels, np.float32)[..., 0] > 0


def _cameras(path: Path) -> dict[tuple[str, str], tuple[np.ndarray, np.ndarray]]:
    """`world_to_camera` (4, 4) in metres and K (3, 3) by (capture, camera)."""
    data, cameras = read_json(path), {}
    try:
        for capture, entry in data.items():
            for camera in entry["campos"]:
                label = f"{path}: capture {capture}, camera {camera}"
                rotation = as_array(entry["camrot"][camera], (3, 3), f"{label}: camrot")
                if not is_rotation(rotation, 1e-2):
                    raise InputError(f"{label}: camrot is no rotation")
                world_to_camera = np.eye(4)
                world_to_camera[:3, :3] = rotation
                world_to_camera[:3, 3] = -rotation @ as_array(entry["campos"][camera], (3,), f"{label}: campos") / 1000
                focal = as_array(entry["focal"][camera], (2,), f"{label}: focal")
                centre = as_array(entry["princpt"][camera], (2,), f"{label}: princpt")
                K = check_camera_matrix(as_intrinsics([*focal, *centre], label), label)
                cameras[capture, camera] = world_to_camera, K
            centres = np.array(list(entry["campos"].values()), dtype=np.float64).reshape(-1, 3)
            if len(centres) > 1 and (apart := float(np.ptp(centres, axis=0).max())) < NEAREST:
                raise InputError(
                    f"{path}: capture {capture}: campos: all cameras lie within {apart:.3g} mm; is it in another unit?"
                )
    except (AttributeError, KeyError, TypeError) as error:
        raise InputError(f"{path}: is not a file of cameras by capture ({error!r})") from error
    return cameras
