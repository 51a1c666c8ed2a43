"""Readers of plain folders, without labels: pictures, videos, pairs of colour and depth, and rigs of cameras.

`PictureFolder`: any pictures in the folder and below. `VideoFolder`: videos directly in the folder, or one video file.

`DepthFolder`, one colour and one depth picture a frame, of one name but for the suffix and of one size (depth is registered to colour):

    color/<frame>.jpg (or .png, ...; the folder may also be called colour or rgb)
    depth/<frame>.png                      16 bits, 0 = no reading
    intrinsics.json                        {"K": 3x3 or [fx, fy, cx, cy], "depth_unit": metres that a depth of 1 stands for}

or `intrinsics.txt`: three lines of three numbers or one of four, and a line `depth_unit 0.001`; `#` begins a comment.

`RigFolder`, synchronous pictures of calibrated cameras, a frame having one name in all folders:

    <camera>/<frame>.jpg (or .png, ...)
    rig.json     {"width": ..., "height": ..., "cameras": [{"K": ..., "world_to_camera": 4x4, in metres, "name": ...}, ...]}

which is the file that describes a rig to the synthesis; what else it holds is passed over. `name` is the camera's folder; where none has
one, folders are taken in order of their names, in which numbers count by value.

None of these has a division or official counts: the only split is `all`. `whole` demands that no frame lacks a picture; without it, frames
that do are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from phalanx.core.checks import as_array, as_intrinsics, check_rig, is_rigid
from phalanx.core.errors import InputError
from phalanx.core.files import list_folder, read_json
from phalanx.data.dataset import Dataset, check_files
from phalanx.data.depth_cameras import INTRINSICS, read_intrinsics
from phalanx.data.images import (
    PICTURE_SUFFIXES,
    find_inputs,
    image_batch,
    is_video,
    read_depth,
    read_image,
    read_image_of_size,
)
from phalanx.data.labels import as_batch
from phalanx.data.sample import Sample
from phalanx.data.video import frames_per_second, read_frames

COLOUR_FOLDERS = ("color", "colour", "rgb")
_RIG = "rig.json"


class PictureFolder(Dataset):
    """Pictures in a folder and below, sorted by path. `paths`: their files. `ids`: number of the folder, of the picture, 0."""

    name = "pictures"
    splits = ("all",)
    licence = "the user's own"

    def __init__(self, folder: str | Path, split: str = "all", whole: bool = True) -> None:
        super().__init__(folder, split, whole)
        self.paths = sorted(_pictures_below(self.folder))
        if not self.paths:
            raise InputError(f"{self.folder}: holds no pictures")
        numbers = {parent: number for number, parent in enumerate(sorted({path.parent for path in self.paths}))}
        self._folders = [numbers[path.parent] for path in self.paths]

    @classmethod
    def recognises(cls, folder: Path) -> bool:
        return next(_pictures_below(Path(folder)), None) is not None

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Sample:
        image = read_image(self.paths[index])
        return Sample(
            image=image_batch(image), ids=torch.tensor([[self._folders[index], index % len(self), 0]])
        ).check()


class VideoFolder(Dataset):
    """Frames of all videos, one video after the other. `paths`: their files. `ids`: number of the video, frame, 0.

    Opening decodes all videos once, since what files say of their length is not to be trusted. Reading frames in order is quick;
    going back starts the video anew.
    """

    name = "videos"
    splits = ("all",)
    licence = "the user's own"

    def __init__(self, folder: str | Path, split: str = "all", whole: bool = True) -> None:
        super().__init__(folder, split, whole)
        self.paths = [path for path in find_inputs([self.folder]) if is_video(path)]
        if not self.paths:
            raise InputError(f"{self.folder}: holds no videos")
        self._rates = [frames_per_second(path) for path in self.paths]
        self._ends = np.cumsum([sum(1 for _ in read_frames(path)) for path in self.paths])
        self._reading: tuple[int, int, Iterator[np.ndarray]] | None = None  # video, its next frame, what yields it

    @classmethod
    def recognises(cls, folder: Path) -> bool:
        folder = Path(folder)
        return any(is_video(path) for path in (folder.iterdir() if folder.is_dir() else [folder]))

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, index: int) -> Sample:
        index = range(len(self))[index]
        video = int(np.searchsorted(self._ends, index, side="right"))
        frame = index - int(self._ends[video - 1] if video else 0)
        if self._reading is None or self._reading[0] != video or self._reading[1] > frame:
            self._reading = video, 0, read_frames(self.paths[video])
        _, position, frames = self._reading
        self._reading = None  # what yields frames is of no more use if it fails
        image = next(islice(frames, frame - position, None), None)
        if image is None:
            raise InputError(f"{self.paths[video]}: has changed since it was opened; frame {frame} is missing")
        self._reading = video, frame + 1, frames
        return Sample(
            image=image_batch(image),
            time=torch.tensor([frame / self._rates[video]]),
            ids=torch.tensor([[video, frame, 0]]),
        ).check()

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_reading": None}  # an open video does not go to another process


class DepthFolder(Dataset):
    """Pairs of colour and depth, sorted by name: `image`, `sensed_depth` and `K`. `ids`: 0, number of the frame, 0."""

    name = "colour and depth"
    splits = ("all",)
    licence = "the user's own"

    def __init__(self, folder: str | Path, split: str = "all", whole: bool = True) -> None:
        super().__init__(folder, split, whole)
        pictures = _pictures_in(_colour_folder(self.folder))
        colour = {path.stem: path for path in pictures}
        if twice := [path for path in pictures if colour[path.stem] != path]:
            raise InputError(f"{twice[0]}: {colour[twice[0].stem].name} is of the same frame")
        depth = {path.stem: path for path in _pictures_in(self.folder / "depth") if path.suffix.lower() == ".png"}
        if whole:
            check_files(
                self.folder / "depth", (f"{stem}.png" for stem in colour), (path.name for path in depth.values())
            )
        self._frames = [(colour[stem], depth[stem]) for stem in sorted(colour.keys() & depth.keys(), key=natural_key)]
        if not self._frames:
            raise InputError(f"{self.folder}: no colour picture has a depth picture of its name")
        found = read_intrinsics(self.folder)
        if found is None:
            raise InputError(f"{self.folder}: has neither {INTRINSICS[0]} nor {INTRINSICS[1]}")
        self._source, self._K, self._unit = found

    @classmethod
    def recognises(cls, folder: Path) -> bool:
        folder = Path(folder)
        colour = any((folder / name).is_dir() for name in COLOUR_FOLDERS)
        return colour and (folder / "depth").is_dir() and any((folder / name).is_file() for name in INTRINSICS)

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> Sample:
        colour, path = self._frames[index]
        image, depth = read_image(colour), read_depth(path, self._unit)
        if image.shape[:2] != depth.shape:
            height, width = image.shape[:2]
            raise InputError(
                f"{path}: is not the size of its colour picture, {width}x{height}; depth must be registered to it"
            )
        if (depth > 0).any() and not 0.01 < (metres := float(np.median(depth[depth > 0]))) < 100:
            raise InputError(f"{path}: is {metres:.3g} m away by the depth_unit of {self._source}: is that in metres?")
        return Sample(
            image=image_batch(image),
            sensed_depth=as_batch(depth),
            K=as_batch(self._K),
            ids=torch.tensor([[0, index % len(self), 0]]),
        ).check()


class RigFolder(Dataset):
    """Pictures of a rig, frame by frame, the cameras of a frame in the order of `cameras`. `ids`: 0, frame, camera.

    Attributes:
        cameras: names of V cameras, which are those of their folders.
        frames: names of the pictures that all cameras have.
        lacking: by camera, those that it lacks and others have.
        K, world_to_camera: (V, 3, 3) and (V, 4, 4), metres.
        size: width and height of all pictures.
    """

    name = "rig"
    splits = ("all",)
    licence = "the user's own"

    def __init__(self, folder: str | Path, split: str = "all", whole: bool = True) -> None:
        super().__init__(folder, split, whole)
        path = self.folder / _RIG
        data = read_json(path)
        try:
            self.size = check_rig(data, optional=("spot", "reach", "turn"))
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
        entries = data["cameras"]
        self.K = np.array([as_intrinsics(e["K"], f"{path}: camera {i}: K") for i, e in enumerate(entries)])
        self.world_to_camera = np.array([_motion(e, f"{path}: camera {i}") for i, e in enumerate(entries)])
        names = [str(entry["name"]) for entry in entries if "name" in entry]
        inside = sorted((entry.name for entry in self.folder.iterdir() if entry.is_dir()), key=natural_key)
        self.cameras: list[str] = names or [name for name in inside if not name.startswith(".")]
        if not entries or len(self.cameras) != len(entries) or len(set(self.cameras)) != len(entries):
            raise InputError(
                f"{path}: has {len(entries)} cameras, but there are {len(self.cameras)} folders or names of them"
            )
        found = [{picture.name for picture in _pictures_in(self.folder / name)} for name in self.cameras]
        every = set[str]().union(*found)
        if whole:
            for name, pictures in zip(self.cameras, found, strict=True):
                check_files(self.folder / name, every, pictures)
        self.frames = sorted(found[0].intersection(*found), key=natural_key)
        self.lacking = {
            name: sorted(every - pictures, key=natural_key) for name, pictures in zip(self.cameras, found, strict=True)
        }
        if not self.frames:
            raise InputError(f"{self.folder}: no frame has pictures of all cameras")

    @classmethod
    def recognises(cls, folder: Path) -> bool:
        return (Path(folder) / _RIG).is_file()

    def __len__(self) -> int:
        return len(self.frames) * len(self.cameras)

    def __getitem__(self, index: int) -> Sample:
        frame, camera = divmod(range(len(self))[index], len(self.cameras))
        path = self.folder / self.cameras[camera] / self.frames[frame]
        return Sample(
            image=image_batch(read_image_of_size(path, *self.size)),
            K=as_batch(self.K[camera]),
            world_to_camera=as_batch(self.world_to_camera[camera]),
            ids=torch.tensor([[0, frame, camera]]),
        ).check()


def natural_key(name: str) -> list[str | int]:
    """Key that sorts numbers within names by value; text and numbers alternate, so that keys can be compared."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"([0-9]+)", name)]


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".") and path.is_file()


def _pictures_below(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if _is_picture(path))


def _pictures_in(folder: Path) -> list[Path]:
    return [folder / name for name in sorted(list_folder(folder)) if _is_picture(folder / name)]


def _colour_folder(folder: Path) -> Path:
    there = [folder / name for name in COLOUR_FOLDERS if (folder / name).is_dir()]
    if len(there) != 1:
        raise InputError(
            f"{folder}: must have one folder of colour pictures ({', '.join(COLOUR_FOLDERS)}), has {len(there)}"
        )
    return there[0]


def _motion(entry: Mapping[str, object], name: str) -> np.ndarray:
    matrix = as_array(entry["world_to_camera"], (4, 4), f"{name}: world_to_camera")
    if not is_rigid(matrix):
        raise InputError(f"{name}: world_to_camera is no rigid motion")
    return matrix
