"""Reader of the CMU hand keypoint sets: colour pictures with 21 points in pixels (Simon et al., CVPR 2017).

Three archives, unpacked side by side; a split is a folder of one:

    hand_labels/manual_train, manual_test/<name>_l.json or _r.json, .jpg    marked by hand, on photos of MPII and of sign language
    hand_labels_synth/synth1 ... synth4/<n>.json, .jpg                      rendered
    hand143_panopticdb/imgs/%08d.jpg, hands_v143_14817.json                 from the multi-view studio

A JSON file beside a picture holds `hand_pts` (21 rows of x, y and 1 where the point is known) and `is_left` (0 or 1); two of them may
show one photo, its left and its right hand. The studio's file holds a list `root` of entries with `joint_self` (rows of x, y and 1
where the point is seen), `img_paths`, `img_width` and `img_height`; its hands are right hands. The order is ours. A point whose mark is
not 1 is not `valid` here. Many files of synth1 lack points; some readers therefore leave it out. Only the split of `manual` is official.

Samples are whole pictures, without camera or joints in space. `ids`: 0, number of the hand in its split, 0.

Layout: github.com/Idein/chainer-hand-pose, `docs/dataset_preparation.md` and `handdb_dataset.py`;
github.com/MengHao666/Minimal-Hand-pytorch, `datasets/hand_labels.py` and `hand143_panopticdb.py`.
"""

from __future__ import annotations

from pathlib import Path

import torch

from phalanx.core.errors import InputError
from phalanx.core.files import read_json
from phalanx.data.dataset import Dataset, check_count, check_files
from phalanx.data.images import image_batch, read_image, read_image_of_size
from phalanx.data.labels import stacked
from phalanx.data.mirror import mirrored
from phalanx.data.sample import Sample

OFFICIAL = {
    "manual_train": 1912,
    "manual_test": 846,
    "synth1": 6546,
    "synth2": 3243,
    "synth3": 2348,
    "synth4": 2124,
    "panopticdb": 14817,
}
"""Hands of each split."""

_STUDIO = Path("hand143_panopticdb")
_STUDIO_LIST = "hands_v143_14817.json"


class PanopticHands(Dataset):
    """Hands of one split, sorted by file name (the studio's in listed order)."""

    name = "CMU Panoptic hands"
    splits = tuple(OFFICIAL)
    licence = "pictures under the terms of the sets that they come from; cite Simon et al. 2017"
    marks = (
        f"{_STUDIO}/{_STUDIO_LIST}",
        f"{_STUDIO}/imgs",
        "hand_labels/manual_train",
        "hand_labels/manual_test",
        "hand_labels_synth/synth[1-4]",
    )
    files = (_STUDIO_LIST,)

    def __init__(self, folder: str | Path, split: str, whole: bool = True) -> None:
        super().__init__(folder, split, whole)
        studio = split == "panopticdb"
        place = (_STUDIO,) if studio else ("hand_labels_synth" if split.startswith("synth") else "hand_labels", split)
        self._pictures = self.folder.joinpath(*place)
        if not self._pictures.is_dir():
            raise InputError(f"{self._pictures}: no such folder")
        paths, sources, points, left, self._sizes = (_studio_labels if studio else _labels)(self._pictures, whole)
        if whole:
            check_count(str(self._pictures), {"hands": len(paths)}, {"hands": OFFICIAL[split]})
        if not paths:
            raise InputError(f"{self._pictures}: holds no picture with a JSON file of its name")
        self._paths, self._left = paths, left
        self._points = stacked(points, (21, 3), sources)  # (N, 21, 3) x, y, 1 where known

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> Sample:
        index = range(len(self))[index]
        path = self._pictures / self._paths[index]
        image = read_image_of_size(path, *self._sizes[index]) if self._sizes else read_image(path)
        valid = torch.from_numpy(self._points[index, :, 2] == 1).float()  # (21,)
        sample = Sample(
            image=image_batch(image),
            joints_2d=torch.from_numpy(self._points[index, :, :2]).float()[None] * valid[:, None],
            valid=valid[None],
            ids=torch.tensor([[0, index, 0]]),
            left=torch.tensor([False]),
        )
        return (mirrored(sample) if self._left[index] else sample).check()


_Labels = tuple[list[str], list[str], list[object], list[bool], list[tuple[int, int]]]
"""Pictures' paths, where each label stands, points as they are, left or not, and widths and heights where they are given."""


def _labels(folder: Path, whole: bool) -> _Labels:
    """Of a folder with a JSON file beside each picture."""
    there = {path.name for path in folder.iterdir() if path.suffix in (".json", ".jpg")}
    pairs = {f"{Path(name).stem}{suffix}" for name in there for suffix in (".json", ".jpg")}
    if whole:
        check_files(folder, pairs, there)
    names = sorted(name.removesuffix(".json") for name in there if name.endswith(".json"))
    names = [name for name in names if f"{name}.jpg" in there]
    points, left = [], []
    for name in names:
        path = folder / f"{name}.json"
        entry = read_json(path)
        if not isinstance(entry, dict) or "hand_pts" not in entry or entry.get("is_left") not in (0, 1):
            raise InputError(f"{path}: must hold hand_pts and is_left, 0 or 1")
        points.append(entry["hand_pts"])
        left.append(bool(entry["is_left"]))
    return [f"{name}.jpg" for name in names], [f"{folder / name}.json" for name in names], points, left, []


def _studio_labels(folder: Path, whole: bool) -> _Labels:
    """Of the studio's list. A picture's name is its number, or what the list says."""
    path = folder / _STUDIO_LIST
    data = read_json(path)
    try:
        entries = data["root"]
        points = [entry["joint_self"] for entry in entries]
        sizes = [(int(entry["img_width"]), int(entry["img_height"])) for entry in entries]
        names = [str(entry["img_paths"]) for entry in entries]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: is not the list of hands ({error!r})") from error
    there = {file.relative_to(folder).as_posix() for file in (folder / "imgs").glob("*") if file.is_file()}
    if whole:
        check_files(folder, names, there)
    kept = [number for number, name in enumerate(names) if name in there]
    return (
        [names[number] for number in kept],
        [f"{path}: hand {number}" for number in kept],
        [points[number] for number in kept],
        [False] * len(kept),
        [sizes[number] for number in kept],
    )
