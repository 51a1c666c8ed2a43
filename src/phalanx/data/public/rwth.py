"""Reader of the RWTH German fingerspelling database: videos of 35 gestures by 20 people (Dreuw et al. 2006).

    <signer>_<gesture>_<recording>_cam1.mpg      webcam, 320x240: the hand alone
    <signer>_<gesture>_<recording>_cam2.mpg      camcorder, 352x288: arm and face too
    gesture_ids.txt                              lines `N = NAME`, where there is one

in any folders below the set's; 25 frames a second. Gestures count from 1: the letters, SCH, Ä, Ö, Ü and the numbers 1 to 5; J, Z, Ä, Ö and
Ü are moved. Each of 20 people shows each gesture twice: 1,400 sequences. Each camera is a split here; the authors divide the set no
further. There are no joints or masks, and which hand is seen is not told.

A sample is the middle frame of a sequence; `frames` gives all of them. `gesture` is the set's number; `ids`: 10,000 signer + 100 gesture
+ recording, frame, camera.

Layout: https://www-i6.informatik.rwth-aachen.de/aslr/fingerspelling.php and public readers of the set.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import torch

from phalanx.core.errors import InputError
from phalanx.core.files import numbered_lines
from phalanx.data.dataset import Dataset, check_count, check_files
from phalanx.data.images import image_batch
from phalanx.data.sample import Sample
from phalanx.data.video import frames_per_second, read_frames

OFFICIAL = {"sequences": 1400, "gestures": 35}
"""Sequences of each camera, and gestures."""

SIZES = {"cam1": (320, 240), "cam2": (352, 288)}
_NAME = re.compile(r"(\d+)_(\d+)_(\d+)_(cam\d)\.mpg")


class RWTH(Dataset):
    """Sequences of one camera, by signer, gesture and recording. `gestures`: names by number, empty without `gesture_ids.txt`."""

    name = "RWTH fingerspelling"
    splits = tuple(SIZES)
    licence = "freely available; cite Dreuw et al. 2006"
    files = ("[0-9]*_[0-9]*_[0-9]*_cam[12].mpg",)

    def __init__(self, folder: str | Path, split: str, whole: bool = True) -> None:
        super().__init__(folder, split, whole)
        paths = {path.name: path for path in sorted(self.folder.rglob(f"*_{split}.mpg"))}
        keys = {name: tuple(map(int, match.groups()[:3])) for name in paths if (match := _NAME.fullmatch(name))}
        self._items = sorted((key, paths[name]) for name, key in keys.items())
        if not self._items:
            raise InputError(f"{self.folder}: holds no videos <signer>_<gesture>_<recording>_{split}.mpg")
        if whole:
            signers, recordings = {key[0] for key in keys.values()}, {key[2] for key in keys.values()}
            expected = product(signers, range(1, OFFICIAL["gestures"] + 1), recordings)
            check_files(self.folder, (f"{s}_{g}_{r}_{split}.mpg" for s, g, r in expected), paths)
            check_count(str(self.folder), {"sequences": len(self._items)}, {"sequences": OFFICIAL["sequences"]})
        names = next(self.folder.rglob("gesture_ids.txt"), None)
        self.gestures = {} if names is None else _read_names(names)

    @classmethod
    def recognises(cls, folder: Path) -> bool:
        places = ("", "*/", "*/*/")  # no deeper: looking through all of another set would take long
        files = (path for place in places for path in Path(folder).glob(f"{place}*_cam[12].mpg"))
        return any(_NAME.fullmatch(path.name) for path in files)

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> Sample:
        path = self._items[index][1]
        frames = list(read_frames(path))
        return self._sample(index, len(frames) // 2, frames[len(frames) // 2], frames_per_second(path))

    def frames(self, index: int) -> Iterator[Sample]:
        """All frames of sequence `index`, in order. Raises as indexing does."""
        path = self._items[index][1]
        rate = frames_per_second(path)
        for number, frame in enumerate(read_frames(path)):
            yield self._sample(index, number, frame, rate)

    def _sample(self, index: int, number: int, frame: np.ndarray, rate: float) -> Sample:
        (signer, gesture, recording), path = self._items[index]
        width, height = SIZES[self.split]
        if frame.shape[:2] != (height, width):
            raise InputError(f"{path}: {width}x{height} pixels expected, has {frame.shape[1]}x{frame.shape[0]}")
        return Sample(
            image=image_batch(frame),
            time=torch.tensor([number / rate]),
            ids=torch.tensor([[10_000 * signer + 100 * gesture + recording, number, int(self.split[-1])]]),
            gesture=torch.tensor([gesture]),
        ).check()


def _read_names(path: Path) -> dict[int, str]:
    names = {}
    for number, line in numbered_lines(path):
        key, equals, name = (part.strip() for part in line.partition("="))
        if not (key.isdecimal() and equals and name):
            raise InputError(f"{path}: line {number}: not of the form N = NAME")
        names[int(key)] = name
    return names
