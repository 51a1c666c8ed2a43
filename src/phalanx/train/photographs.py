"""Hands cut out of a user's photographs, as trainings on pictures without labels take them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from phalanx.core.errors import InputError
from phalanx.core.files import files_below
from phalanx.data.images import PICTURE_SUFFIXES, read_photo
from phalanx.geometry.crops import SquareBox, box_around_points, square_crop
from phalanx.predict.looks import CROP_FACTOR
from phalanx.predict.predictor import Predictor

LEAST = 0.5
"""Of the crop's side that a hand's square must have in the photograph: smaller ones would be blurs."""

_GREY = 4
"""Steps of 256 that the channels of a grey picture differ by at most, but for a few pixels."""


def hand_crops(folder: Path, size: int, say: Callable[[str], object], predictor: Predictor | None = None) -> Tensor:
    """All hands in the photographs of a folder, and of folders in it: (N, 3, size, size) uint8 RGB, in the order of the files' names.

    Squares are upright, as wide as those that the default estimator looks at; left hands are mirrored. A photograph that cannot be used is
    left out, and `say` is given a line that says why.

    Raises:
        InputError: there is no such folder, or no photograph with a hand in it.
    """
    predictor = predictor or Predictor()
    paths = files_below(folder, PICTURE_SUFFIXES, "photographs", "pictures")
    crops: list[np.ndarray] = []
    for path in paths:
        try:
            crops += _of_photograph(path, size, predictor)
        except InputError as error:
            say(f"left out: {error}")
    if not crops:
        raise InputError(f"{folder}: in none of its {len(paths)} pictures is a hand that can be learnt from")
    return torch.from_numpy(np.stack(crops))


def _of_photograph(path: Path, size: int, predictor: Predictor) -> list[np.ndarray]:
    image = read_photo(path)[0]
    spread = image.max(axis=-1).astype(np.int16) - image.min(axis=-1)
    if np.percentile(spread, 99) <= _GREY:
        raise InputError(f"{path}: is grey; colours are to be learnt")
    hands = predictor(image)
    if not hands:
        raise InputError(f"{path}: no hand is seen in it")
    height, width = image.shape[:2]
    crops, widest = [], 0.0
    for hand in hands:
        inside = np.clip(hand.joints_2d, 0, [width - 1, height - 1])
        square = box_around_points(inside, CROP_FACTOR)
        side = min(square.side, 1.0 * max(height, width))
        widest = max(widest, side)
        if side < LEAST * size:
            continue
        crop = square_crop(image, SquareBox(square.centre_x, square.centre_y, side), size)[0]
        crops.append((crop if hand.side == "right" else crop[:, ::-1]).transpose(2, 0, 1))
    if not crops:
        raise InputError(f"{path}: its hand is {widest:.0f} pixels wide, and crops of {size} need {LEAST * size:.0f}")
    return crops
