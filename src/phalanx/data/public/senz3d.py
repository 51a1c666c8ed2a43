"""Reader of the Senz3D gestures: colour and depth pictures of 11 gestures by 4 people (Memo and Zanuttigh 2015).

    data/S<person>/G<gesture>/<repetition>-color.png     640x480
    data/S<person>/G<gesture>/<repetition>-depth.bin     320x240 signed 16-bit numbers, little endian, by rows, no header
    data/S<person>/G<gesture>/<repetition>-conf.bin      the same, the sensor's confidence: low where depth is not to be trusted

with 4 people, 11 gestures and 30 repetitions. The two cameras are calibrated apart and their pictures are not registered to each
other, so each camera is a split: `colour` gives `image`, `depth` gives `sensed_depth`. Depth is taken as millimetres, which the authors
do not state; readings that are not positive are none. There are no joints, no official division, and no word on which hand is seen.

`gesture` is 1 to 11. `ids`: person, repetition, gesture.

Layout as in the readme of github.com/adjkamel/depth_hand; paper: Memo, Minto and Zanuttigh, "Exploiting silhouette descriptors and
synthetic data for hand gesture recognition", STAG 2015.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import torch

from phalanx.core.errors import InputError
from phalanx.core.files import reason
from phalanx.data.dataset import Dataset, check_files
from phalanx.data.images import image_batch, read_image_of_size
from phalanx.data.sample import Sample

OFFICIAL = {"people": 4, "gestures": 11, "repetitions": 30}
"""How many of each; 1,320 pictures in all."""

SIZES = {"colour": (640, 480), "depth": (320, 240)}
KINDS = ("color.png", "depth.bin", "conf.bin")
_NAME = re.compile(r"S(\d+)/G(\d+)/(\d+)-(color\.png|depth\.bin|conf\.bin)")


class Senz3D(Dataset):
    """Pictures of one camera, by person, gesture and repetition."""

    name = "Senz3D"
    splits = tuple(SIZES)
    licence = "not stated; cite Memo et al. 2015"
    marks = tuple(f"data/S[0-9]*/G[0-9]*/*-{kind}" for kind in KINDS)
    files = ("[0-9]*-conf.bin",)

    def __init__(self, folder: str | Path, split: str, whole: bool = True) -> None:
        super().__init__(folder, split, whole)
        self._data = self.folder / "data"
        if not self._data.is_dir():
            raise InputError(f"{self._data}: no such folder")
        found = {path.relative_to(self._data).as_posix() for path in self._data.glob("S*/G*/*") if path.is_file()}
        if whole:
            people, gestures, repetitions = (range(1, OFFICIAL[what] + 1) for what in OFFICIAL)
            expected = (
                f"S{s}/G{g}/{r}-{kind}" for s in people for g in gestures for r in repetitions for kind in KINDS
            )
            check_files(self._data, expected, found)
        kind = KINDS[self.splits.index(split)]
        matches = [match for name in found if (match := _NAME.fullmatch(name)) and match[4] == kind]
        self._items = sorted((int(match[1]), int(match[2]), int(match[3])) for match in matches)
        if not self._items:
            raise InputError(f"{self._data}: holds no files S<n>/G<n>/<n>-{kind}")

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> Sample:
        person, gesture, repetition = self._items[index]
        labels = {"ids": torch.tensor([[person, repetition, gesture]]), "gesture": torch.tensor([gesture])}
        if self.split == "depth":
            readings = self._raw(index, "depth.bin").astype(np.float32)  # (240, 320) millimetres
            return Sample(sensed_depth=torch.from_numpy(readings.clip(min=0) / 1000)[None], **labels).check()
        path = self._path(index, "color.png")
        return Sample(image=image_batch(read_image_of_size(path, *SIZES["colour"])), **labels).check()

    def confidence(self, index: int) -> np.ndarray:
        """The sensor's confidence in its readings `index`: (240, 320) int16, low where they are not to be trusted."""
        return self._raw(index, "conf.bin")

    def _path(self, index: int, kind: str) -> Path:
        person, gesture, repetition = self._items[index]
        return self._data / f"S{person}" / f"G{gesture}" / f"{repetition}-{kind}"

    def _raw(self, index: int, kind: str) -> np.ndarray:
        path, (width, height) = self._path(index, kind), SIZES["depth"]
        try:
            content = path.read_bytes()
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {reason(error)}") from error
        if len(content) != 2 * width * height:
            raise InputError(f"{path}: {2 * width * height} bytes expected ({width}x{height}), has {len(content)}")
        return np.frombuffer(content, dtype="<i2").reshape(height, width)
