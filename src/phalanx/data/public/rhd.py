"""Reader of RHD, the Rendered Handpose Dataset (Zimmermann and Brox, ICCV 2017), as `RHD_v1-1.zip` unpacks.

    RHD_published_v2/{training,evaluation}/{color,depth,mask}/00000.png    320x320 pixels
    RHD_published_v2/{training,evaluation}/anno_{training,evaluation}.pickle

41,258 pictures for training and 2,728 for evaluation, numbered from 0. The pickle maps a picture's number to `xyz` (42, 3),
metres in the camera's frame with OpenCV axes; `uv_vis` (42, 3), pixels and 1 where a joint is seen; and `K` (3, 3), which differs
between pictures. Joints 0-20 are the left hand's, 21-41 the right one's; in a hand the wrist comes first and then each finger from
tip to base, thumb first. A mask has classes: 0 background, 1 person, 2-17 left hand, 18-33 right hand; in a hand each finger's
three parts from tip to palm, thumb first, then the palm. Depth is split over two channels: (256 red + green) / 65535 of 5 metres.

One hand a picture, as Zimmermann and Brox evaluate: the one with more pixels in the mask, in a tie the right one. `mask`, `parts` and
`depth` are this hand's, `sensed_depth` is the depth of all that is there. Their palm point is halfway between joints 0 and 9.

Sources: the repositories lmb-freiburg/hand3d (layout, annotation, classes, which hand) and MengHao666/Minimal-Hand-pytorch (depth).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from phalanx.core.checks import as_intrinsics
from phalanx.core.errors import InputError
from phalanx.core.pickles import read_pickle
from phalanx.data.dataset import Dataset, check_count, check_files
from phalanx.data.images import image_batch, read_image_of_size
from phalanx.data.labels import as_batch, check_unit, stacked
from phalanx.data.mirror import mirrored
from phalanx.data.sample import Sample
from phalanx.hand.skeleton import ORDERS

ORDER = ORDERS["rhd"]
"""For each of our joints its number among the 21 of a hand."""

OFFICIAL = {"training": 41258, "evaluation": 2728}  # pictures

SIZE = 320  # pixels, both sides
FAR_OFF = 8  # pixels between labels in pixels and in space that must be wrong; they agree to a fraction of one

_KINDS = ("color", "depth", "mask")
# `Sample.parts` of a hand's 16 classes: fingers from the last segment to the first, then the palm.
_PARTS = np.array([3 * finger + part for finger in range(5) for part in (5, 4, 3)] + [1], np.uint8)


class RHD(Dataset):
    """The hands that RHD's pictures show most of. `ids` are (0, picture, 1 for a left and 0 for a right hand)."""

    name = "RHD"
    splits = ("training", "evaluation")
    licence = "research only, no commercial use"
    files = ("anno_training.pickle", "anno_evaluation.pickle")

    def __init__(self, folder: str | Path, split: str, whole: bool = True) -> None:
        super().__init__(folder, split, whole)
        root = self.folder / split
        path = root / f"anno_{split}.pickle"
        there = {f"{kind}/{file.name}" for kind in _KINDS for file in (root / kind).glob("*.png")}
        if whole:
            expected = (f"{kind}/{number:05d}.png" for kind in _KINDS for number in range(OFFICIAL[split]))
            check_files(root, expected, there)
        labels = read_pickle(path)
        if not isinstance(labels, dict) or not all(isinstance(number, int) for number in labels):
            raise InputError(f"{path}: is not a dictionary from numbers of pictures to labels")
        if whole:
            check_count(str(path), {"labelled pictures": len(labels)}, {"labelled pictures": OFFICIAL[split]})
        self.numbers = sorted(number for number in labels if whole or f"color/{number:05d}.png" in there)
        if not self.numbers:
            raise InputError(f"{path}: labels none of the pictures in {root / 'color'}")
        chosen = {number: labels.get(number) for number in self.numbers}
        self.xyz = _stack(chosen, "xyz", (42, 3), path)  # (N, 42, 3)
        self.uv_vis = _stack(chosen, "uv_vis", (42, 3), path)  # (N, 42, 3)
        self.K = _stack(chosen, "K", (3, 3), path)  # (N, 3, 3)
        check_unit(self.xyz[:, :21][:, ORDER], "metres", path)
        self._check_pixels(path)

    @classmethod
    def recognises(cls, folder: Path) -> bool:
        roots = [folder / split for split in cls.splits]
        return any((root / f"anno_{root.name}.pickle").is_file() for root in roots) or any(
            all((root / kind).is_dir() for kind in _KINDS) for root in roots
        )

    def _check_pixels(self, path: Path) -> None:
        """Make sure that joints that are seen lie before the camera, and on the whole where the camera puts them."""
        cameras = (self.K[:, [0, 1], [0, 1]] > 0).all(1) & (self.K[:, 2] == [0, 0, 1]).all(1)  # (N,)
        seen = self.uv_vis[..., 2] == 1  # (N, 42)
        before = ((self.xyz[..., 2] > 0) | ~seen).all(1)
        for good, fault in (
            (cameras, "K: is no camera's matrix"),
            (before, "xyz: has a joint behind the camera that is seen"),
        ):
            if not good.all():
                raise InputError(f"{path}: picture {self.numbers[int(np.argmin(good))]}: {fault}")
        if seen.any():
            projected = np.einsum("nij,nkj->nki", self.K, self.xyz)[seen]  # (S, 3)
            off = np.linalg.norm(projected[:, :2] / projected[:, 2:] - self.uv_vis[seen][:, :2], axis=-1)
            if (typical := float(np.median(off))) > FAR_OFF:
                raise InputError(
                    f"{path}: uv_vis is {typical:.3g} px from where K puts xyz, median of the joints seen; are u and v swapped?"
                )

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> Sample:
        number = self.numbers[index]
        image, depth, mask = (
            read_image_of_size(self._path(kind, number), SIZE, SIZE) for kind in _KINDS
        )  # (320, 320, 3) uint8 each
        classes = mask[..., 0].astype(np.int64) - 2  # 0-15 left, 16-31 right
        if classes.max() > 31:
            raise InputError(f"{self._path('mask', number)}: has classes beyond 33")
        hands = classes // 16  # 0 left, 1 right, -1 neither
        left = int((hands == 0).sum()) > int((hands == 1).sum())
        mine = hands == (0 if left else 1)  # (320, 320)
        metres = (256.0 * depth[..., 0] + depth[..., 1]) * (5.0 / 65535)
        joints = slice(0, 21) if left else slice(21, 42)
        if (self.xyz[index, joints] == self.xyz[index, joints][0]).all():
            raise InputError(f"{self.folder}: xyz of picture {number}: has all joints of the hand shown in one point")
        seen = self.uv_vis[index, joints][ORDER, :]  # (21, 3)
        sample = Sample(
            image=image_batch(image),
            depth=as_batch(np.where(mine, metres, 0)),
            sensed_depth=as_batch(metres),
            mask=as_batch(mine),
            parts=torch.from_numpy(np.where(mine, _PARTS[classes % 16], 0).astype(np.uint8))[None],
            joints=as_batch(self.xyz[index, joints][ORDER, :]),
            joints_2d=as_batch(seen[:, :2]),
            visible=as_batch(seen[:, 2] == 1),
            K=as_batch(as_intrinsics(self.K[index], f"{self.folder}: K of picture {number}")),
            ids=torch.tensor([[0, number, int(left)]]),
            left=torch.tensor([False]),
        )
        return (mirrored(sample) if left else sample).check()

    def _path(self, kind: str, number: int) -> Path:
        return self.folder / self.split / kind / f"{number:05d}.png"


def _stack(labels: Mapping[int, object], key: str, shape: tuple[int, int], path: Path) -> np.ndarray:
    """One entry of all labels as (N, *shape) finite numbers."""
    entries = {n: label.get(key) if isinstance(label, Mapping) else None for n, label in labels.items()}
    if lacking := [n for n, entry in entries.items() if entry is None]:
        raise InputError(f"{path}: picture {lacking[0]}: {key} is missing")
    return stacked(list(entries.values()), shape, (f"{path}: picture {n}: {key}" for n in labels))
