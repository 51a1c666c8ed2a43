"""Reader of HGR1 and HGR2: colour pictures of gestures with masks of the skin (Kawulok, Nalepa, Grzejszczak).

    hgr1_images/original_images/<id>.jpg (or .JPG)
    hgr1_skin/skin_masks/<id>.bmp                     1 bit: skin 0, all else 1
    hgr1_feature_pts/feature_points/<id>.xml          elements `hand` of elements `FeaturePoint` with category, x and y, in pixels

and so for HGR2, whose parts are `hgr2a` and `hgr2b`. An id is `<gesture>_P_hgr1_id<person>_<repetition>`; gestures are digits 1 to 5
and letters. There is no official split into training and test. Which hand is seen is not told, so nothing is mirrored. The
categories of points are not listed anywhere but for `Wrist`, which comes twice a hand, so `feature_points` gives them as they are.

`gesture` is the id's first part read to the base of 36: 1 to 5, A = 10, ..., Z = 35. `ids`: person (plus 100 in HGR2A, 200 in HGR2B),
repetition, gesture.

Official counts: 899 pictures in HGR1 and 1,558 in all. Layout as in public readers of the set; paper: Kawulok et al., "Self-adaptive
algorithm for segmenting skin regions", EURASIP Journal on Advances in Signal Processing 2014.
"""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import torch

from phalanx.core.errors import InputError
from phalanx.core.files import reason
from phalanx.data.dataset import Dataset, check_count, check_files
from phalanx.data.images import image_batch, read_image
from phalanx.data.sample import Sample

OFFICIAL = {"hgr1": 899, "hgr2": 1558 - 899}
"""Pictures of each split."""

PARTS = {"hgr1": ("hgr1",), "hgr2": ("hgr2a", "hgr2b")}
_ID = re.compile(r"([A-Za-z0-9]+)_[A-Za-z]+_(hgr1|hgr2a|hgr2b)_id(\d+)_(\d+)", re.IGNORECASE)


class HGR(Dataset):
    """Pictures of one set, sorted by part and id."""

    name = "HGR"
    splits = tuple(OFFICIAL)
    licence = "not stated with the layout; cite Kawulok et al. 2014"
    marks = tuple(
        f"{part}_{name}"
        for part in ("hgr1", "hgr2a", "hgr2b")
        for name in ("images/original_images", "skin/skin_masks", "feature_pts/feature_points")
    )
    files = ("*_hgr1_id[0-9]*_[0-9]*.*", "*_hgr2[ab]_id[0-9]*_[0-9]*.*")

    def __init__(self, folder: str | Path, split: str, whole: bool = True) -> None:
        super().__init__(folder, split, whole)
        self._items: list[tuple[Path, Path, Path]] = []  # picture, mask, points
        for part in PARTS[split]:
            places = [
                (self.folder / f"{part}_images" / "original_images", ".jpg"),
                (self.folder / f"{part}_skin" / "skin_masks", ".bmp"),
                (self.folder / f"{part}_feature_pts" / "feature_points", ".xml"),
            ]
            pictures, masks, points = found = [_files(*place, whole) for place in places]
            names = set(pictures).union(masks, points)
            if whole:
                for (place, suffix), files in zip(places, found, strict=True):
                    check_files(place, (name + suffix for name in names), (name + suffix for name in files))
            self._items += [
                (pictures[name], masks[name], points.get(name, places[2][0] / f"{name}.xml"))
                for name in sorted(names & pictures.keys() & masks.keys())
            ]
        if whole:
            check_count(str(self.folder), {"pictures": len(self._items)}, {"pictures": OFFICIAL[split]})
        if not self._items:
            raise InputError(
                f"{self.folder}: holds no pictures of {split} with masks ({PARTS[split][0]}_skin/skin_masks/<id>.bmp)"
            )
        self._ids = [_numbers(picture) for picture, _, _ in self._items]

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> Sample:
        picture, mask, _ = self._items[index]
        image, skin = read_image(picture), read_image(mask)
        if image.shape != skin.shape:
            raise InputError(f"{mask}: is not the size of its picture, {image.shape[1]}x{image.shape[0]}")
        return Sample(
            image=image_batch(image),
            mask=torch.from_numpy(skin[None, ..., 0] < 128).float(),  # (1, H, W); skin is black
            ids=torch.tensor([self._ids[index]]),
            gesture=torch.tensor([self._ids[index][2]]),
        ).check()

    def feature_points(self, index: int) -> list[list[tuple[str, float, float]]]:
        """Of each hand marked in picture `index`, its points as (category, x, y), in pixels.

        Raises InputError for a file that is missing, damaged, or has a point without category or numbers.
        """
        path = self._items[index][2]
        try:
            root = ElementTree.fromstring(path.read_bytes())
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {reason(error)}") from error
        except ElementTree.ParseError as error:
            raise InputError(f"{path}: is cut short or not XML ({error})") from error
        hands = []
        for hand in root.iter("hand"):
            points = []
            for point in hand.iter("FeaturePoint"):
                try:
                    points.append((point.attrib["category"], float(point.attrib["x"]), float(point.attrib["y"])))
                except (KeyError, ValueError) as error:
                    raise InputError(f"{path}: has a FeaturePoint without category or numbers x and y") from error
            hands.append(points)
        return hands


def _files(folder: Path, suffix: str, whole: bool) -> dict[str, Path]:
    """Files of a folder with that suffix, in small letters or capitals, by stem; none of a missing folder unless `whole`."""
    if not folder.is_dir():
        if whole:
            raise InputError(f"{folder}: no such folder")
        return {}
    return {path.stem: path for path in folder.iterdir() if path.suffix.lower() == suffix and path.is_file()}


def _numbers(path: Path) -> tuple[int, int, int]:
    match = _ID.fullmatch(path.stem)
    if match is None:
        raise InputError(f"{path}: its name is not <gesture>_P_<set>_id<person>_<repetition>")
    gesture, part, person, repetition = match.groups()
    return {"hgr1": 0, "hgr2a": 100, "hgr2b": 200}[part.lower()] + int(person), int(repetition), int(gesture, 36)
