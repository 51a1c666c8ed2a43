"""Labels of HGR as its protocol uses them: which points are tips, of which finger, and the square that counts.

The head of `evaluate/hgr.py` gives the choices and the reasons.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from phalanx.core.errors import InputError
from phalanx.data.public.hgr import HGR
from phalanx.data.sample import Sample
from phalanx.geometry.crops import SquareBox, box_around_edges, square_crop
from phalanx.hand.skeleton import TIPS

SIZE = 225
"""Side of the square in which everything is measured, in pixels."""

ROOM = 1.1
"""Side of that square over the larger side of the skin."""

BEYOND = 2
"""In true masks: beyond the picture's edge. 1 is skin, 0 is not."""

FINGER_WORDS = (("thumb",), ("index", "fore"), ("middle",), ("ring",), ("little", "pinky", "pinkie", "small"))


@dataclass(frozen=True)
class HGRTruth:
    """Labels of N pictures.

    Attributes:
        keys: N texts that tell the pictures apart, made of `Sample.ids`.
        squares: N squares that count.
        tips: (N, 5, 2) labelled tips in pixels of the square, in the order of the file.
        fingers: (N, 5) the finger of each, 0 the thumb, -1 if the label does not name it.
        labelled: (N, 5) bool.
        masks: (N, SIZE, SIZE) uint8: 1 skin, 0 none, `BEYOND` the picture's edge.
        ambiguous: pictures whose labels cannot be one hand's tips.
        categories: how often each category of points occurs.
    """

    keys: tuple[str, ...]
    squares: tuple[SquareBox, ...]
    tips: np.ndarray
    fingers: np.ndarray
    labelled: np.ndarray
    masks: np.ndarray
    ambiguous: int
    categories: dict[str, int]


def read_hgr(
    sets: Sequence[HGR],
    tip_categories: Sequence[str] | None,
    visit: Callable[[Sample, SquareBox], None],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> HGRTruth:
    """Labels of every picture; each sample and its square are passed to `visit` on the way.

    Raises InputError for a mask without skin, points that are not finite, or if no category is a tip's.
    """
    keys, squares, masks = [], [], []
    rows: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    categories: Counter[str] = Counter()
    ambiguous, total = 0, sum(map(len, sets))
    for dataset in sets:
        for index in range(len(dataset)):
            sample = dataset[index]
            assert sample.mask is not None and sample.ids is not None
            key = "_".join(str(number) for number in sample.ids[0].tolist())
            skin = sample.mask[0].numpy() > 0.5  # (H, W)
            square = square_around_skin(skin, f"{dataset.folder}: {key} (person, repetition, gesture)")
            visit(sample, square)
            keys.append(key)
            squares.append(square)
            masks.append(mask_in_square(skin, square))
            hands = _points(dataset, index)
            categories.update(category for hand in hands for category, _, _ in hand)
            found = [(tip_finger(category, tip_categories), (x, y)) for hand in hands for category, x, y in hand]
            marked = [(finger, place) for finger, place in found if finger is not None]
            if not np.isfinite([place for _, place in marked]).all():
                raise InputError(
                    f"{dataset.folder}: {key} (person, repetition, gesture): has a point that is not finite"
                )
            if len(marked) > len(TIPS) or len(hands) > 1:
                ambiguous += 1
                marked = []
            rows.append(_as_rows(marked, square))
            progress(len(keys), total)
    tips, fingers, labelled = (np.array(part) for part in zip(*rows, strict=True))
    if not labelled.any():
        raise InputError(
            f"{sets[0].folder}: no picture has a point of one hand that is a tip by its category; there are "
            f"{', '.join(sorted(categories)) or 'none'}"
        )
    return HGRTruth(
        tuple(keys),
        tuple(squares),
        tips,
        fingers,
        labelled,
        np.array(masks),
        ambiguous,
        dict(sorted(categories.items())),
    )


def tip_finger(category: str, tip_categories: Sequence[str] | None = None) -> int | None:
    """Finger of a category of points, 0 the thumb; -1 for a tip of a finger that it does not name; None if it is not a tip's."""
    name = category.casefold()
    if tip_categories is None:
        is_tip = "tip" in name
    else:
        is_tip = name in {chosen.casefold() for chosen in tip_categories}
    if not is_tip:
        return None
    name = name.replace("finger", "")
    named = [finger for finger, words in enumerate(FINGER_WORDS) if any(word in name for word in words)]
    return named[0] if len(named) == 1 else -1


def square_around_skin(skin: np.ndarray, name: str) -> SquareBox:
    """The square around the largest connected part of a mask (H, W), with room. Raises InputError if it is empty."""
    count, _, statistics, _ = cv2.connectedComponentsWithStats(skin.astype(np.uint8), connectivity=8)
    if count < 2:
        raise InputError(f"{name}: its mask shows no skin")
    left, top, width, height, _ = statistics[1 + int(statistics[1:, cv2.CC_STAT_AREA].argmax())].tolist()
    return box_around_edges(left, top, left + width, top + height).scaled(ROOM)


def mask_in_square(skin: np.ndarray, square: SquareBox) -> np.ndarray:
    """A mask (H, W) as `HGRTruth.masks` has it: (SIZE, SIZE) uint8."""
    shown, _ = square_crop(skin.astype(np.uint8) * 255, square, SIZE, border="constant")
    inside, _ = square_crop(np.full(skin.shape, 255, np.uint8), square, SIZE, border="constant")
    return np.where(inside > 127, shown > 127, BEYOND).astype(np.uint8)


def _points(dataset: HGR, index: int) -> list[list[tuple[str, float, float]]]:
    """Points of each labelled hand; none if their file is missing and the set need not be whole."""
    try:
        hands = dataset.feature_points(index)
    except InputError as error:
        if dataset.whole or not isinstance(error.__cause__, FileNotFoundError):
            raise
        return []
    return [hand for hand in hands if hand]


def _as_rows(
    marked: list[tuple[int, tuple[float, float]]], square: SquareBox
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tips of one picture as rows of `HGRTruth`: places (5, 2), fingers (5,), labelled (5,)."""
    places, fingers = np.zeros((len(TIPS), 2)), np.full(len(TIPS), -1)
    count = len(marked)
    if count:
        places[:count] = to_square(np.array([place for _, place in marked], float), square)
        named = Counter(finger for finger, _ in marked)
        fingers[:count] = [finger if named[finger] == 1 else -1 for finger, _ in marked]
    return places, fingers, np.arange(len(TIPS)) < count


def to_square(pixels: np.ndarray, square: SquareBox) -> np.ndarray:
    """Pixels of the picture (P, 2) in those of the square."""
    affine = square.image_to_crop(SIZE)
    return pixels @ affine[:2, :2].T + affine[:2, 2]
