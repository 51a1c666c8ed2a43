"""Reader of DexYCB (Chao et al., DexYCB: a benchmark for capturing hand grasping of objects, CVPR 2021).

Layout: one folder a person, `<date>-subject-01` to `-10`; in it 100 sequences `<date>_<time>` with `meta.yml` and a folder for each of
eight cameras, named by its serial number: `color_000000.jpg`, `aligned_depth_to_color_000000.png`, `labels_000000.npz`, ... Beside the
people `calibration/intrinsics/<serial>_640x480.yml` and `calibration/extrinsics_<id>/extrinsics.yml`, whose id `meta.yml` names.

- Pictures are 640x480; depth is registered to colour, 16 bits, millimetres, 0 = no reading.
- Labels: `joint_3d` (1, 21, 3) metres in the colour camera's frame, OpenCV axes, our joint order, all -1 where no hand is seen; `joint_2d`
  (1, 21, 2) pixels; `seg` (480, 640), 255 the hand. (Parameters of a hand model, which is not ours, are not read.)
- Hands are left or right by `mano_sides` of `meta.yml`; left ones are mirrored.
- `extrinsics.yml`: for each camera 12 numbers, the rows of [R | t] from the camera's frame to that of the master camera, our world.
- Splits (sequences counted from 0 in the order of names, people and cameras too): s0 trains on all but every fifth sequence, of which those
  of people 0 and 1 validate, the others test; s1 keeps person 6 to validate and 7, 8 to test; s2 camera 6 and camera 7; s3 the objects
  grasped in sequences 15-19, 95-99 and in 35-39, 55-59, 75-79. 465,504 pictures in s0's training part.

Pictures are enumerated by sequence, camera, frame, as results for the authors' evaluation number them; those without a hand count there
and are left out of its scores: their joints are not `valid`. Source: NVlabs/dex-ycb-toolkit.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from phalanx.core.checks import as_array, as_intrinsics
from phalanx.core.errors import InputError
from phalanx.core.files import list_folder, read_head
from phalanx.core.npz import read_npz
from phalanx.data.dataset import Dataset, check_count, check_files
from phalanx.data.images import image_batch, read_depth, read_image_of_size
from phalanx.data.labels import as_batch, check_unit
from phalanx.data.mirror import mirrored
from phalanx.data.sample import Sample
from phalanx.geometry.camera import check_camera_matrix

SERIALS = (
    "836212060125", "839512060362", "840412060917", "841412060263",
    "932122060857", "932122060861", "932122061900", "932122062010",
)  # fmt: skip
"""The cameras, in the order in which pictures are enumerated."""

OFFICIAL = {"s0_train": 465_504}  # pictures of a split; of the others the number is not published
OFFICIAL_PERSON = {"sequences": 100}
WIDTH, HEIGHT = 640, 480
HAND = 255  # in `seg`
MOST_FRAMES = 10_000  # of a sequence; the longest has some hundred


def members(split: str) -> tuple[list[int], list[int], list[int]]:
    """Numbers of the people, of each one's sequences and of the cameras that belong to a split such as `s0_train`."""
    setup, _, part = split.partition("_")
    people, sequences, cameras = list(range(10)), list(range(100)), list(range(8))
    if setup == "s0":
        sequences = [i for i in sequences if (i % 5 == 4) == (part != "train")]
        people = {"train": people, "val": people[:2], "test": people[2:]}[part]
    elif setup == "s1":
        people = {"train": [0, 1, 2, 3, 4, 5, 9], "val": [6], "test": [7, 8]}[part]
    elif setup == "s2":
        cameras = {"train": cameras[:6], "val": [6], "test": [7]}[part]
    else:
        kept = {"val": (3, 19), "test": (7, 11, 15)}
        held = kept.get(part, kept["val"] + kept["test"])
        sequences = [i for i in sequences if (i // 5 in held) == (part != "train")]
    return people, sequences, cameras


class DexYCB(Dataset):
    """Hands and their surroundings in the order of the authors' enumeration. `depth` is the hand's, `sensed_depth` all that is seen.
    `ids` are (100 times the person + sequence, frame, camera), all from 0.

    Of a partial copy (`whole=False`) sequences are counted among those that are there, so that its splits are not the official ones.
    """

    name = "DexYCB"
    splits = tuple(f"{setup}_{part}" for setup in ("s0", "s1", "s2", "s3") for part in ("train", "val", "test"))
    licence = "CC BY-NC 4.0"
    marks = ("[0-9]*-subject-[0-9][0-9]",)

    def __init__(self, folder: str | Path, split: str, whole: bool = True) -> None:
        super().__init__(folder, split, whole)
        people, numbers, cameras = members(split)
        self._sequences = [
            _sequence(place, 100 * person + number)
            for person, places in _people(self.folder, people, whole).items()
            for number, place in enumerate(places)
            if number in numbers
        ]
        pictures = [np.zeros((0, 3), dtype=np.int64)]  # (n, 3) number in the list above, camera, frame
        for position, sequence in enumerate(self._sequences):
            for camera in cameras:
                frames = _frames(sequence.place / SERIALS[camera], sequence.frames, whole)
                pictures.append(
                    np.stack([np.full_like(frames, position), np.full_like(frames, camera), frames], axis=-1)
                )
        self._pictures = np.concatenate(pictures)
        if not len(self._pictures):
            raise InputError(f"{self.folder}: holds no pictures with depth and labels of the split {split}")
        if whole and split in OFFICIAL:
            check_count(f"{self.folder} ({split})", {"pictures": len(self)}, {"pictures": OFFICIAL[split]})
        calibration = self.folder / "calibration"
        self._K = {c: _intrinsics(calibration / "intrinsics" / f"{SERIALS[c]}_640x480.yml") for c in cameras}
        worlds = sorted({sequence.world for sequence in self._sequences})
        self._motions = {w: _extrinsics(calibration / f"extrinsics_{w}" / "extrinsics.yml", cameras) for w in worlds}

    def __len__(self) -> int:
        return len(self._pictures)

    def with_hand(self) -> np.ndarray:
        """(N,) bool: pictures in which a hand is labelled. Reads the labels of all; raises InputError for a file at fault."""
        labels = (self._place(index) / f"labels_{self._pictures[index, 2]:06d}.npz" for index in range(len(self)))
        return np.array([not _is_empty(read_npz(path, ("joint_3d",))["joint_3d"]) for path in labels], dtype=bool)

    def keep(self, which: np.ndarray) -> None:
        """Leave out all pictures but those of `which` (N,) bool."""
        self._pictures = self._pictures[which]

    def _place(self, index: int) -> Path:
        position, camera, _ = self._pictures[index].tolist()
        return self._sequences[position].place / SERIALS[camera]

    def __getitem__(self, index: int) -> Sample:
        position, camera, frame = self._pictures[index].tolist()
        sequence, place = self._sequences[position], self._place(index)
        image = read_image_of_size(place / f"color_{frame:06d}.jpg", WIDTH, HEIGHT)
        joints, joints_2d, mask = _labels(place / f"labels_{frame:06d}.npz")
        depth = read_depth(place / f"aligned_depth_to_color_{frame:06d}.png", 0.001, (WIDTH, HEIGHT))
        sample = Sample(
            image=image_batch(image),
            depth=as_batch(np.where(mask, depth, 0)),
            sensed_depth=as_batch(depth),
            mask=as_batch(mask),
            joints=as_batch(joints),
            joints_2d=as_batch(joints_2d),
            valid=torch.full((1, 21), float(joints.any())),
            K=as_batch(self._K[camera]),
            world_to_camera=as_batch(self._motions[sequence.world][camera]),
            ids=torch.tensor([[sequence.number, frame, camera]]),
        )
        return (mirrored(sample) if sequence.left else sample).check()


@dataclass(frozen=True)
class _Sequence:
    place: Path
    number: int
    frames: int
    left: bool
    world: str  # which calibration of the rig


def _people(folder: Path, people: list[int], whole: bool) -> dict[int, list[Path]]:
    """Sequences of some people, by number of the person."""
    names = list_folder(folder)
    found = {int(name[-2:]) - 1: folder / name for name in names if re.fullmatch(r"\d{8}-subject-\d\d", name)}
    places = {}
    for person in people:
        if person in found:
            places[person] = sorted(path for path in found[person].iterdir() if path.is_dir())
            if whole:
                check_count(str(found[person]), {"sequences": len(places[person])}, OFFICIAL_PERSON)
        elif whole:
            raise InputError(f"{folder}: has no folder <date>-subject-{person + 1:02d}")
    return places


def _sequence(place: Path, number: int) -> _Sequence:
    meta = _yaml(place / "meta.yml")
    try:
        frames, side, world = int(meta["num_frames"]), meta["mano_sides"][0], str(meta["extrinsics"])
    except (KeyError, ValueError, IndexError, TypeError) as error:
        raise InputError(f"{place / 'meta.yml'}: lacks num_frames, mano_sides or extrinsics") from error
    if not 0 <= frames <= MOST_FRAMES:
        raise InputError(f"{place / 'meta.yml'}: num_frames is {frames}; at most {MOST_FRAMES} expected")
    if side not in ("left", "right"):
        raise InputError(f"{place / 'meta.yml'}: mano_sides must be left or right, not {side}")
    return _Sequence(place, number, frames, side == "left", world)


def _frames(camera: Path, count: int, whole: bool) -> np.ndarray:
    """Numbers of the frames of which pictures and labels are there."""
    names = set(os.listdir(camera)) if camera.is_dir() else set()
    formats = ("color_{:06d}.jpg", "aligned_depth_to_color_{:06d}.png", "labels_{:06d}.npz")
    if whole:
        check_files(camera, (name.format(frame) for name in formats for frame in range(count)), names)
    return np.array([f for f in range(count) if all(name.format(f) in names for name in formats)], dtype=np.int64)


def _yaml(path: Path) -> dict[str, Any]:
    """A YAML file whose top is a mapping; what stands in it as text, so that identifiers of digits stay as they are."""
    import yaml  # type: ignore[import-untyped]

    read_head(path, 1)  # says what is wrong with a file that is not there
    try:
        contents = yaml.load(path.read_bytes(), Loader=getattr(yaml, "CBaseLoader", yaml.BaseLoader))
    except yaml.YAMLError as error:
        raise InputError(f"{path}: is damaged or not YAML") from error
    if not isinstance(contents, dict):
        raise InputError(f"{path}: is damaged: named values expected")
    return contents


def _intrinsics(path: Path) -> np.ndarray:
    """K (3, 3) of the colour camera."""
    colour = _yaml(path).get("color")
    if not isinstance(colour, dict) or not {"fx", "fy", "ppx", "ppy"} <= colour.keys():
        raise InputError(f"{path}: lacks fx, fy, ppx or ppy of color")
    name = f"{path}: color"
    K: np.ndarray = check_camera_matrix(as_intrinsics([colour[key] for key in ("fx", "fy", "ppx", "ppy")], name), name)
    return K


def _extrinsics(path: Path, cameras: list[int]) -> dict[int, np.ndarray]:
    """Motions from the world, the master camera's frame, to some cameras: (4, 4)."""
    rows = _yaml(path).get("extrinsics")
    motions = {}
    for camera in cameras:
        if not isinstance(rows, dict) or SERIALS[camera] not in rows:
            raise InputError(f"{path}: lacks the camera {SERIALS[camera]}")
        to_world = np.eye(4)
        name = f"{path}: camera {SERIALS[camera]}"
        numbers = rows[SERIALS[camera]]
        nested = isinstance(numbers, list) and all(isinstance(row, list) for row in numbers)
        flat = [number for row in numbers for number in row] if nested else numbers
        to_world[:3] = as_array(flat, (12,), name).reshape(3, 4)
        if not np.allclose(to_world[:3, :3] @ to_world[:3, :3].T, np.eye(3), atol=1e-3):
            raise InputError(f"{name}: its first three columns are no rotation")
        motions[camera] = np.linalg.inv(to_world)
    return motions


def _is_empty(joints: np.ndarray) -> bool:
    """Whether `joint_3d` says that no hand is seen."""
    return bool((joints == -1).all())


def _labels(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Joints (21, 3) in metres and (21, 2) in pixels, all 0 where there is no hand, and its mask (480, 640)."""
    contents = read_npz(path, ("joint_3d", "joint_2d", "seg"))
    joints = as_array(contents["joint_3d"], (1, 21, 3), f"{path}: joint_3d")[0]
    joints_2d = as_array(contents["joint_2d"], (1, 21, 2), f"{path}: joint_2d")[0]
    mask = as_array(contents["seg"], (HEIGHT, WIDTH), f"{path}: seg") == HAND
    if _is_empty(joints):
        return np.zeros((21, 3)), np.zeros((21, 2)), mask
    check_unit(joints, "metres", path)
    return joints, joints_2d, mask
