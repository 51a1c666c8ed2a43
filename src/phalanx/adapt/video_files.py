"""Finding what lies in a folder of clips: videos, folders of frames, and the 2D keypoints that go with them.

FOLDER/a.mp4                      a video; any number of them, in the folder and below
FOLDER/b/0001.png, ...            a folder of frames, in the order of their names; FOLDER itself may be one
FOLDER/b/times.txt                seconds, a line a frame (optional; without, gaps in the frames' numbers count, and --rate)
FOLDER/a.json, a_keypoints.json   keypoints of the clip of that name: COCO, MediaPipe's landmarks in the picture, NPZ, NPY and CSV
                                  (`data.keypoints`), CVAT (XML); for b beside it, or FOLDER/b/keypoints.json, FOLDER/b/labels.json
FOLDER/a/, a_json/, a_keypoints/  OpenPose's files, NAME_keypoints.json, one a frame; those of a folder of frames may lie in it
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from phalanx.core.errors import InputError
from phalanx.core.files import numbered_lines, read_json
from phalanx.data.folders import natural_key
from phalanx.data.images import OVERLAY, PICTURE_SUFFIXES, VIDEO_SUFFIXES, read_image
from phalanx.data.joint_labels import LabelledHand, read_joint_labels
from phalanx.data.joint_names import reordered
from phalanx.data.keypoints import read_keypoints
from phalanx.data.openpose import frame_number, openpose_files, read_openpose
from phalanx.data.video import timed_frames
from phalanx.hand.prediction import Side
from phalanx.predict.keypoint_input import picture_points, seen_joints

TIMES = "times.txt"
"""In a folder of frames: the second of each."""

_SUFFIXES = (".json", ".npz", ".npy", ".csv", ".xml")
_INSIDE = ("keypoints", "labels", "annotations")  # names, without suffix, of files in a folder of frames
_LEAST = 0.2  # confidence of a joint that counts
_FAR = 100  # frames between two numbers from which on they are no numbers of frames


@dataclass(frozen=True)
class VideoFiles:
    """Where clips and keypoints lie, and what they mean."""

    folder: str | os.PathLike[str]
    """Of the clips, as the head of the file says."""
    keypoints: Sequence[str | os.PathLike[str]] = ()
    """Files of keypoints, or folders of such: by the names of clips, or of any name where there is one clip. None: those beside clips."""
    own: bool = False
    """Leave keypoints in files alone: only what the estimator sees itself counts."""
    order: str | None = None
    """The joint order of keypoints; none: by names, else ours, which is that of MediaPipe and OpenPose."""
    camera: Any = None
    """Of all clips, as `predict.inputs.picture_camera` takes it; none: an assumed one."""
    side: Side | Literal["auto"] = "auto"
    """Of hands whose side nothing says; auto: as which the estimator sees them better."""
    rate: float = 30.0
    """Frames a second in folders of frames without times."""


@dataclass(frozen=True)
class Clip:
    """A video, or a folder of frames with their seconds."""

    name: str
    path: Path
    pictures: tuple[Path, ...] = ()
    times: tuple[float, ...] = ()

    def frames(self, notice: Callable[[str], object]) -> Iterator[tuple[float, np.ndarray]]:
        """Second and picture (H, W, 3) uint8 RGB of each frame. Raises InputError for what cannot be read."""
        if not self.pictures:
            yield from timed_frames(self.path, notice)
            return
        size: tuple[int, ...] | None = None
        for time, path in zip(self.times, self.pictures, strict=True):
            picture = read_image(path)
            if size not in (None, picture.shape):
                assert size is not None
                sizes = f"{picture.shape[1]}x{picture.shape[0]} pixels, those before it {size[1]}x{size[0]}"
                raise InputError(f"{path}: has {sizes}; the frames of a clip have one size")
            size = picture.shape
            yield time, picture


@dataclass(frozen=True, eq=False)
class HandTrack:
    """One hand's keypoints in the frames of a clip.

    Attributes:
        where: the file, and which hand of it.
        points: (21, 2) by the number of the frame; pixels, or 0 to 1 across the picture where `fractions`; NaN where not known.
        count: frames that the file is for, where it has one row for each.
        size: of the pictures, where the file says so.
    """

    where: str
    points: Mapping[int, np.ndarray]
    count: int | None = None
    side: Side | None = None
    size: tuple[int, int] | None = None
    fractions: bool = False

    def check(self, clip: Clip, frames: int, width: int, height: int) -> None:
        """Raise InputError if these are not keypoints of a clip of so many frames of a size."""
        if self.count is not None and self.count != frames:
            raise InputError(f"{self.where}: has keypoints of {self.count} frames, and {clip.name} has {frames}")
        if self.points and max(self.points) >= frames:
            raise InputError(f"{self.where}: has keypoints of frame {max(self.points)}, and {clip.name} has {frames}")
        if self.size not in (None, (width, height)):
            assert self.size is not None
            theirs = f"{self.size[0]}x{self.size[1]}"
            raise InputError(f"{self.where}: is for pictures of {theirs} pixels, and {clip.name} has {width}x{height}")


def find_clips(files: VideoFiles, complain: Callable[[object, str], object]) -> list[Clip]:
    """The clips of a folder; `complain` is given a file and a sentence where one cannot be taken.

    Raises InputError if there is no folder or no clip.
    """
    folder = Path(files.folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    if not 0 < files.rate < 1000:
        raise InputError(f"rate: frames a second must lie in 0 to 1000, not {files.rate:g}")
    clips: list[Clip] = []
    for path in sorted([folder, *folder.rglob("*")], key=lambda each: natural_key(each.as_posix())):
        if path.name.startswith(".") and path != folder:
            continue
        name = path.relative_to(folder).as_posix() if path != folder else folder.resolve().name
        if path.is_dir():
            entries = [each for each in path.iterdir() if each.suffix.lower() in PICTURE_SUFFIXES and each.is_file()]
            pictures = [each for each in entries if not each.name.startswith(".") and not each.stem.endswith(OVERLAY)]
            pictures.sort(key=lambda each: natural_key(each.name))
            if len(pictures) == 1:
                complain(path, f"{path}: holds one picture, and a clip has three frames or more")
            elif pictures:
                try:
                    clips.append(Clip(name, path, tuple(pictures), _times(path, pictures, files.rate)))
                except InputError as error:
                    complain(path, str(error))
        elif path.suffix.lower() in VIDEO_SUFFIXES and not path.stem.endswith(OVERLAY):
            clips.append(Clip(name, path))
    if not clips:
        raise InputError(f"{folder}: holds no clips: no videos, and no folders of frames")
    return clips


def _times(folder: Path, pictures: Sequence[Path], rate: float) -> tuple[float, ...]:
    """Seconds of the frames in a folder. Raises InputError where it states others than it has."""
    stated = folder / TIMES
    if stated.is_file():
        try:
            seconds = [float(line.replace(",", " ").split()[-1]) for _, line in numbered_lines(stated)]
        except ValueError as error:
            raise InputError(f"{stated}: must hold a number of seconds a line") from error
        if len(seconds) != len(pictures):
            raise InputError(f"{stated}: has {len(seconds)} times, and {folder} has {len(pictures)} frames")
        if not np.isfinite(seconds).all() or (np.diff(seconds) <= 0).any():
            raise InputError(f"{stated}: the times do not increase from frame to frame")
        return tuple(seconds)
    numbers = [frame_number(path.stem) for path in pictures]
    known = [number for number in numbers if number is not None]
    steps = np.diff(known)
    if len(known) == len(pictures) and steps.min() > 0 and steps.max() <= _FAR * steps.min():
        return tuple(float(number - known[0]) / float(steps.min()) / rate for number in known)
    return tuple(number / rate for number in range(len(pictures)))


def keypoints_of(clip: Clip, clips: Sequence[Clip], files: VideoFiles) -> list[HandTrack]:
    """The hands whose keypoints lie beside a clip, or where `files` says; none: the estimator has to look itself.

    Raises InputError if they cannot be read or are not of the picture.
    """
    if files.own:
        return []
    for source in _sources(clip, clips, files):
        tracks = _read(source, clip, files.order)
        if tracks:
            return tracks
    if files.keypoints and len(clips) == 1:
        raise InputError(f"{files.keypoints[0]}: has no keypoints of {clip.name}")
    return []


def _sources(clip: Clip, clips: Sequence[Clip], files: VideoFiles) -> Iterator[Path]:
    """Files and folders of OpenPose's that may hold keypoints of a clip, likeliest first."""
    stem = clip.path.stem if not clip.pictures else clip.path.name
    given = [Path(path) for path in files.keypoints]
    for path in given:
        if not path.exists():
            raise InputError(f"{path}: no such file")
    places = [path for path in given if path.is_dir()] if given else [clip.path.parent]
    for place in places:
        for name in (stem, f"{stem}_keypoints", f"{stem}_json"):
            if openpose_files(place / name):
                yield place / name
            yield from (path for suffix in _SUFFIXES if (path := place / f"{name}{suffix}").is_file())
    named = [path for path in given if path.is_file()]
    yield from named if len(clips) == 1 else [path for path in named if path.stem.startswith(stem)]
    yield from [path for path in given if path.is_dir() and len(clips) == 1 and openpose_files(path)]
    shared = [path for path in named if path.suffix.lower() in (".json", ".xml")]
    if not given:
        if clip.pictures:
            if openpose_files(clip.path):
                yield clip.path
            inside = (clip.path / f"{name}{suffix}" for name in _INSIDE for suffix in _SUFFIXES)
            yield from (path for path in inside if path.is_file())
        root = Path(files.folder)
        shared = [
            path for name in _INSIDE for suffix in (".json", ".xml") if (path := root / f"{name}{suffix}").is_file()
        ]
    yield from shared


def _read(path: Path, clip: Clip, order: str | None) -> list[HandTrack]:
    if path.is_dir():
        return _of_openpose(path, clip, order)
    data = read_json(path) if path.suffix.lower() == ".json" else None
    labels = isinstance(data, Mapping) and "annotations" in data
    labels = labels or (
        isinstance(data, list) and any(isinstance(each, Mapping) and "annotations" in each for each in data)
    )
    if path.suffix.lower() == ".xml" or labels:
        return _of_labels(path, clip, order)
    tracks = []
    for track in read_keypoints(path):
        where = f"{path}: {track.name}" if track.name else str(path)
        seen = seen_joints(track.points, track.confidence) & (track.confidence >= _LEAST)
        if not seen.any():
            continue
        placed = picture_points(track.points, seen, track.in_picture, expected=True)
        if placed is None:
            raise InputError(f"{where}: its joints lie in space, and 2D keypoints are those of the picture")
        points = np.where(seen[..., None], placed.pixels, np.nan)
        points = points if order is None else reordered(points, order)
        rows = {number: row for number, row in enumerate(points) if np.isfinite(row).any()}
        tracks.append(HandTrack(where, rows, len(points), fractions=placed.unit == "fractions"))
    return tracks


def _of_openpose(folder: Path, clip: Clip, order: str | None) -> list[HandTrack]:
    names = {path.stem: number for number, path in enumerate(clip.pictures)}
    paths = openpose_files(folder)
    tracks = []
    for side, hands in read_openpose(paths).items():
        points: dict[int, np.ndarray] = {}
        for name, hand in hands.items():
            number = names.get(name) if clip.pictures else frame_number(name)
            if number is None:
                raise InputError(f"{folder / name}_keypoints.json: is for no frame of {clip.name}")
            kept = np.where(hand[:, 2:] >= _LEAST, hand[:, :2], np.nan)
            points[number] = kept if order is None else reordered(kept, order)
        if points:
            tracks.append(HandTrack(f"{folder}: {side} hand", points, side=side))
    return tracks


def _of_labels(path: Path, clip: Clip, order: str | None) -> list[HandTrack]:
    """Labelled hands of a file that belong to a clip, told apart by side and by place."""
    labels = read_joint_labels(path, order)
    names = {each.name: number for number, each in enumerate(clip.pictures)}
    stems = {each.stem: number for number, each in enumerate(clip.pictures)}
    by_frame: dict[int, list[LabelledHand]] = {}
    for hand in labels.hands:
        picture = Path(hand.picture.replace("\\", "/"))
        if clip.pictures:
            number = names.get(picture.name, stems.get(picture.stem))
            if number is not None and len(picture.parts) > 1 and not _same_folder(picture, clip.path):
                number = None
        else:
            own = path.stem in (clip.path.stem, f"{clip.path.stem}_keypoints") or clip.path.stem in picture.as_posix()
            number = frame_number(picture.stem) if own else None
        if number is not None:
            by_frame.setdefault(number, []).append(hand)
    return _linked(path, by_frame)


def _same_folder(picture: Path, folder: Path) -> bool:
    return picture.parts[-2] in (folder.name, "images", ".") or picture.is_absolute()


def _linked(path: Path, by_frame: Mapping[int, Sequence[LabelledHand]]) -> list[HandTrack]:
    """Hands of single frames, joined to one track for each hand: by side, and without, by the nearest in the frame before."""
    tracks: list[tuple[Side | None, dict[int, np.ndarray], tuple[int, int] | None]] = []
    for number in sorted(by_frame):
        for hand in by_frame[number]:
            middle = np.nanmean(hand.points, axis=0)
            extent = max(float(np.nanmax(np.nanmax(hand.points, axis=0) - np.nanmin(hand.points, axis=0))), 1.0)
            near = []
            for side, points, _ in tracks:
                if number in points or side != hand.side:
                    continue
                away = float(np.linalg.norm(np.nanmean(points[max(points)], axis=0) - middle)) / extent
                if hand.side is not None or away < 1:
                    near.append((away, points))
            if near:
                min(near, key=lambda pair: pair[0])[1][number] = hand.points
            else:
                tracks.append((hand.side, {number: hand.points}, hand.size))
    return [
        HandTrack(f"{path}: {side or 'hand'}" if len(tracks) > 1 else str(path), points, side=side, size=size)
        for side, points, size in tracks
    ]
