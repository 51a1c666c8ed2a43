"""Finding what lies in a folder of weakly labelled pictures: pictures, the hands that label files name in them, and depth of the same name.

FOLDER/a.jpg, FOLDER/more/b.png      pictures, in the folder and below
FOLDER/labels.json, FOLDER/cvat.xml  2D joints (`data.joint_labels`), in the folder itself or in its folder annotations/
FOLDER/depth/a.png, ...              depth registered to the picture of the same name, of the same size (`data.depth_images`)
FOLDER/intrinsics.json               camera and unit of depth (`data.folders`), where they are not given otherwise
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from phalanx.core.errors import InputError
from phalanx.data.depth_cameras import INTRINSICS
from phalanx.data.depth_images import DEPTH_SUFFIXES
from phalanx.data.folders import COLOUR_FOLDERS
from phalanx.data.images import OVERLAY, PICTURE_SUFFIXES
from phalanx.data.joint_labels import LABEL_SUFFIXES, LabelledHand, file_names, read_joint_labels
from phalanx.hand.prediction import Side

_NOT_UPLOADED = re.compile(r"[^-\w.]")  # what Label Studio leaves out of the names of uploaded files
_SAME, _ENOUGH = 1.0, 3  # pixels, from which on joints are of different hands, and joints that must be alike to say so
_DEPTH = "depth"  # name of the folders of depth
_PLAIN = frozenset({*COLOUR_FOLDERS, "images", "image", "pictures", _DEPTH})  # folders that do not tell frames apart

Key = tuple[str, ...]
"""What a picture and its depth have in common."""


@dataclass(frozen=True)
class WeakFiles:
    """Where pictures and labels lie, and what they mean."""

    folder: str | os.PathLike[str]
    """Of pictures, labels and depth, as the head of the file says."""
    labels: Sequence[str | os.PathLike[str]] = ()
    """Label files; none: those in the folder."""
    order: str | None = None
    """The joint order of labels, as `data.joint_labels.read_joint_labels` takes it."""
    camera: str | None = None
    """Of the pictures and the depth registered to them, as `data.depth_cameras.read_frame` takes it; none: `intrinsics.json`."""
    unit: float | None = None
    """Metres that a depth of 1 stands for; none: the camera's, or that of `intrinsics.json`, or 1 of floating-point numbers."""
    side: Side | Literal["auto"] = "auto"
    """Of hands whose label does not say it; auto: the one as which the estimator sees the labelled joints better."""
    hand_length: float | None = None
    """Metres from the wrist to the tip of the stretched middle finger; none: the likeliest of the hand model."""


@dataclass
class Tally:
    """What is passed over and why."""

    complain: Callable[[str], object]
    counts: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    skipped: list[dict[str, str]] = field(default_factory=list)

    def skip(self, input: object, problem: str, aloud: bool = True) -> None:
        self.skipped.append({"input": str(input), "problem": problem})
        if aloud:
            self.complain(problem)


def pictures_in(folder: Path) -> list[Path]:
    found = (path for path in folder.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file())
    return sorted(
        path
        for path in found
        if not path.name.startswith(".") and not path.stem.endswith(OVERLAY) and not _in_depth(path.relative_to(folder))
    )


def _in_depth(path: Path) -> bool:
    return _DEPTH in (part.lower() for part in path.parts[:-1])


def key_of(path: Path) -> Key:
    """What a picture and its depth have in common: their folders, but for those of a kind, and their name without suffix."""
    return (*(part for part in path.parts[:-1] if part.lower() not in _PLAIN), path.stem)


def depth_files(folder: Path) -> dict[Key, Path]:
    found = (path for path in sorted(folder.rglob("*")) if path.suffix.lower() in DEPTH_SUFFIXES)
    inside = (path for path in found if _in_depth(path.relative_to(folder)) and not path.name.startswith("."))
    return {key_of(path.relative_to(folder)): path for path in inside}


def unlabelled_with_depth(
    pictures: Sequence[Path],
    labelled: Mapping[Path, object],
    depths: Mapping[Key, Path],
    folder: Path,
) -> int:
    return sum(path not in labelled and key_of(path.relative_to(folder)) in depths for path in pictures)


def labelled_hands(
    files: WeakFiles, folder: Path, pictures: Sequence[Path], tally: Tally
) -> dict[Path, list[LabelledHand]]:
    """Labelled hands by picture. Raises InputError if there are no label files."""
    paths = [Path(path) for path in files.labels] or _label_files(folder)
    if not paths:
        raise InputError(
            f"{folder}: has no label files; 2D joints are COCO or Label Studio JSON, or CVAT XML, in the folder or given as --labels"
        )
    by_name = _by_name(pictures)
    labelled: dict[Path, list[LabelledHand]] = {}
    for path in paths:
        try:
            labels = read_joint_labels(path, files.order)
        except InputError as error:
            tally.skip(path, str(error))
            continue
        if not labels.hands and not labels.faults:
            tally.skip(path, f"{path}: holds no labelled hands")
        for fault in labels.faults:
            tally.skip(path, fault)
        missing: list[LabelledHand] = []
        repeated: list[tuple[LabelledHand, LabelledHand]] = []
        for hand in labels.hands:
            found = _find(hand.picture, by_name, folder)
            if found is None:
                missing.append(hand)
            elif twin := _twin(hand, labelled.setdefault(found, [])):
                repeated.append((hand, twin))
            else:
                labelled[found].append(hand)
        for number, hand in enumerate(missing):
            others = f" (nor are those of {len(missing) - 1} more labels)" if len(missing) > 1 else ""
            problem = f"{hand.where}: its picture {hand.picture} is not in {folder}"
            tally.skip(path, problem + others, aloud=number == 0)
        for number, (hand, twin) in enumerate(repeated):
            others = f" (so do {len(repeated) - 1} more)" if len(repeated) > 1 else ""
            tally.skip(path, f"{hand.where}: labels the hand of {twin.where} again{others}", aloud=number == 0)
    return labelled


def _twin(hand: LabelledHand, others: Sequence[LabelledHand]) -> LabelledHand | None:
    """The one of these whose joints lie where those of the hand do: the same hand, labelled twice or exported twice."""
    for other in others:
        apart = np.linalg.norm(hand.points - other.points, axis=-1)
        if np.isfinite(apart).sum() >= _ENOUGH and np.nanmax(apart) < _SAME:
            return other
    return None


def _label_files(folder: Path) -> list[Path]:
    inside = [folder, folder / "annotations"]
    found = [path for place in inside if place.is_dir() for path in sorted(place.iterdir())]
    return [
        path for path in found if path.suffix.lower() in LABEL_SUFFIXES and path.name not in (*INTRINSICS, "rig.json")
    ]


def _by_name(pictures: Iterable[Path]) -> dict[str, list[Path]]:
    """Pictures by their names, and by those under which tools have them where no picture is called so.

    CVAT leaves out the suffix of videos' frames; Label Studio writes underscores for blanks in names of uploaded files, and no brackets.
    """
    own: dict[str, list[Path]] = {}
    theirs: dict[str, list[Path]] = {}
    for path in pictures:
        own.setdefault(path.name, []).append(path)
        for name in {path.stem, _NOT_UPLOADED.sub("", path.name.strip().replace(" ", "_"))}:
            theirs.setdefault(name, []).append(path)
    return theirs | own


def _find(picture: str, by_name: Mapping[str, Sequence[Path]], folder: Path) -> Path | None:
    """The picture that a label file means; None if it is not there, or if there are several and none lies as stated."""
    for name in file_names(picture):
        found = by_name.get(name.rpartition("/")[2], [])
        exact = [path for path in found if path.relative_to(folder).as_posix() == name]
        likely = exact or [path for path in found if path.as_posix().endswith(f"/{name}")] or list(found)
        if len(likely) == 1:
            return likely[0]
    return None
