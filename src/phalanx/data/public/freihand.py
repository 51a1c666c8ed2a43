"""Reader of FreiHAND, version 2 (Zimmermann et al., ICCV 2019), as `FreiHAND_pub_v2.zip` unpacks.

    training/rgb/00000000.jpg    224x224 pixels        training/mask/00000000.jpg
    evaluation/rgb/00000000.jpg
    {training,evaluation}_{K,scale,xyz,verts,mano}.json    lists with one entry a hand

32,560 hands for training, each in four versions: picture = hand + 32,560 k, where k is 0 for the green screen, 1 homogenised, 2 and 3
with other backgrounds. Masks exist once a hand and hold for all four. 3,960 hands for evaluation, whose `xyz`, `verts` and `mano` came
in a later release: without them samples have no joints. All are right hands. `K` is 3x3; `xyz` (21, 3) and `verts` (778, 3, MANO's
surface) are metres in the camera's frame with OpenCV axes, joints in our order; `scale` is the length from middle MCP to PIP in metres.

`mano` is not read here. The labels of version 1 (before October 2019) were partly wrong and cannot be told from these by their form.

Sources: the repository lmb-freiburg/freihand (layout, numbers, versions, terms).
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import torch

from phalanx.core.errors import InputError
from phalanx.data.dataset import Dataset, check_count, check_files
from phalanx.data.images import image_batch, read_image_of_size
from phalanx.data.json_lists import entry_ends, read_entries, read_surface
from phalanx.data.labels import as_batch, check_hands, check_rows, check_unit, project
from phalanx.data.sample import Sample

OFFICIAL = {
    "training": {"pictures": 130240, "hands": 32560, "masks": 32560},
    "evaluation": {"pictures": 3960, "hands": 3960, "masks": 0},
}

SIZE = 224  # pixels, both sides
VERTICES = 778
LENGTHS = (0.005, 0.1)
"""Metres that a bone of a finger, which `scale` is, cannot fall short of or exceed."""


class FreiHAND(Dataset):
    """Pictures of right hands. `ids` are (version k, hand, 0).

    Attributes:
        scale: (hands,) length from middle MCP to PIP in metres, known for evaluation too.
    """

    name = "FreiHAND"
    splits = ("training", "evaluation")
    licence = "research only, no commercial use; cite the paper"
    marks = tuple(
        name.format(split)
        for split in splits
        for name in ("{}_xyz.json", "{}_scale.json", "{}/rgb/" + "[0-9]" * 8 + ".jpg")
    )
    files = tuple(
        f"{split}_{key}.json" for split in ("training", "evaluation") for key in ("K", "xyz", "verts", "mano")
    )

    def __init__(self, folder: str | Path, split: str, whole: bool = True) -> None:
        super().__init__(folder, split, whole)
        root, official = self.folder / split, OFFICIAL[split]
        there = [f"{kind}/{file.name}" for kind in ("rgb", "mask") for file in (root / kind).glob("*.jpg")]
        if whole:
            expected = [f"rgb/{number:08d}.jpg" for number in range(official["pictures"])]
            check_files(root, expected + [f"mask/{number:08d}.jpg" for number in range(official["masks"])], there)
        self.has_masks = any(name.startswith("mask/") for name in there)
        names = sorted(name.removeprefix("rgb/") for name in there if name.startswith("rgb/"))
        if strange := [name for name in names if not re.fullmatch(r"\d{8}\.jpg", name)]:
            raise InputError(f"{root / 'rgb' / strange[0]}: is not a picture's number of eight digits")
        self.pictures = np.array([int(name[:8]) for name in names], dtype=np.int64)  # (N,)
        if not len(self.pictures):
            raise InputError(f"{root / 'rgb'}: has no pictures")

        self.K = self._labels("K", (3, 3))
        cameras = (self.K[:, [0, 1], [0, 1]] > 0).all(1) & (self.K[:, 2] == [0, 0, 1]).all(1)
        check_rows(cameras, f"{self._path('K')}: entry", "is no camera's matrix")
        self.scale = self._labels("scale", ())
        lengths = (self.scale > LENGTHS[0]) & (self.scale < LENGTHS[1])
        check_rows(lengths, f"{self._path('scale')}: entry", "is not the length of a finger's bone in metres")
        later = ("xyz", "verts")  # absent from the first release of the evaluation split
        have = {key for key in later if self._path(key).exists() or (whole and split == "training")}
        self.xyz = self._labels("xyz", (21, 3)) if "xyz" in have else None
        self.vertex_ends = entry_ends(self._path("verts")) if "verts" in have else None
        counts = {"K": len(self.K), "scale": len(self.scale)}
        counts |= {} if self.xyz is None else {"xyz": len(self.xyz)}
        counts |= {} if self.vertex_ends is None else {"verts": len(self.vertex_ends)}
        for key, count in counts.items():
            if whole:
                check_count(str(self._path(key)), {"hands": count}, {"hands": official["hands"]})
            if count <= (last := int((self.pictures % official["hands"]).max())):
                raise InputError(f"{self._path(key)}: has {count} entries, but there is a picture of hand {last}")
        if self.xyz is not None:
            check_hands(self.xyz, f"{self._path('xyz')}: entry")
            check_unit(self.xyz, "metres", self._path("xyz"))

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> Sample:
        picture = int(self.pictures[index])
        version, hand = divmod(picture, OFFICIAL[self.split]["hands"])
        image = read_image_of_size(self.folder / self.split / "rgb" / f"{picture:08d}.jpg", SIZE, SIZE)
        sample = Sample(
            image=image_batch(image),
            K=as_batch(self.K[hand]),
            ids=torch.tensor([[version, hand, 0]]),
        )
        if self.has_masks:
            mask = read_image_of_size(self.folder / self.split / "mask" / f"{hand:08d}.jpg", SIZE, SIZE)
            sample.mask = as_batch(mask[..., 0] > 127)
        if self.xyz is not None:
            sample.joints, sample.joints_2d = as_batch(self.xyz[hand]), as_batch(project(self.xyz[hand], self.K[hand]))
        if self.vertex_ends is not None:
            sample.vertices = as_batch(read_surface(self._path("verts"), self.vertex_ends, hand, VERTICES))
        return sample.check()

    def _path(self, key: str) -> Path:
        return self.folder / f"{self.split}_{key}.json"

    def _labels(self, key: str, shape: tuple[int, ...]) -> np.ndarray:
        """The entries of a file as `(hands, *shape)`."""
        return read_entries(self._path(key), shape)
