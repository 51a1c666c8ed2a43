"""Crops of a user's hands, as the default estimator looks at them: pictures' and depth maps' by the same box."""

from __future__ import annotations

import math

import cv2
import numpy as np

from phalanx.geometry.crops import SquareBox
from phalanx.predict.looks import CROP_FACTOR

TILE = 224
"""Pixels of a tile's side."""

TILE_FACTOR = 2.0
"""Side of a tile over the extent of the joints, so that crops of it may be larger, moved and turned."""

DEPTH_TILE = 96
"""Pixels of a tile's depth map."""

MAP = 64
"""Pixels of a side of the depth maps that are compared."""

_CROPS = (1.1, 1.6)  # side of a crop over the extent of the joints
_SHIFT = 0.04  # standard deviation of crops' places, shares of their side
_TURN = math.radians(12)  # and of their angle
_ANY_TURN = 0.15  # share of the crops that are turned anyhow, as first looks are


def nominal_crop() -> tuple[SquareBox, float]:
    """A tile's crop as prediction looks at last, in the tile's pixels, and its side over the tile's."""
    middle, share = (TILE - 1) / 2, CROP_FACTOR / TILE_FACTOR
    return SquareBox(middle, middle, share * TILE), share


def random_crop(random: np.random.Generator) -> tuple[SquareBox, float]:
    """A crop drawn for training, as `nominal_crop` gives it."""
    middle = (TILE - 1) / 2
    share = float(random.uniform(*_CROPS)) / TILE_FACTOR
    shift = random.normal(0, _SHIFT * share * TILE, 2)
    turn = random.uniform(-math.pi, math.pi) if random.random() < _ANY_TURN else random.normal(0, _TURN)
    return SquareBox(middle + float(shift[0]), middle + float(shift[1]), share * TILE, float(turn)), share


def depth_crop(depth: np.ndarray, box: SquareBox) -> np.ndarray:
    """(MAP, MAP) metres of a tile's depth map (DEPTH_TILE, DEPTH_TILE); `box` in pixels of the tile. Readings are never mixed."""
    shrink = DEPTH_TILE / TILE
    x, y = ((centre + 0.5) * shrink - 0.5 for centre in (box.centre_x, box.centre_y))
    return nearest_crop(depth, SquareBox(x, y, box.side * shrink, box.angle), MAP)


def nearest_crop(depth: np.ndarray, box: SquareBox, size: int) -> np.ndarray:
    """(size, size) of a depth map under a box in its pixels, each of the nearest reading."""
    return cv2.warpAffine(
        depth, box.crop_to_image(size)[:2], (size, size), flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    )
