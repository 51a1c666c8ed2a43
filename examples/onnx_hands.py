"""From a picture to joints by the ONNX files alone: ONNX Runtime, NumPy, and Pillow to read the picture; no Phalanx.

    phalanx export onnx --out models
    python examples/onnx_hands.py models photo.jpg

`onnx_hands.mjs` does the same, line by line, in a browser. It prints JSON: of each hand side, score, 21 joints in pixels and their depths
behind the middle finger's knuckle, as large as pixels.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

LEAST = 0.5  # score of a hand


def sample(image: np.ndarray, matrix: list[list[float]], width: int, height: int) -> np.ndarray:
    """What `matrix` (2, 3), from the result's pixels to the picture's, shows: (3, height, width), by means of k x k bilinear samples."""
    (a, b, c), (d, e, f) = matrix
    k = max(1, math.ceil(math.hypot(a, d)))
    steps = (np.arange(k) + 0.5) / k - 0.5
    x = (np.arange(width)[:, None] + steps).reshape(-1)[None]
    y = (np.arange(height)[:, None] + steps).reshape(-1)[:, None]
    u = np.clip(a * x + b * y + c, 0, image.shape[1] - 1)
    v = np.clip(d * x + e * y + f, 0, image.shape[0] - 1)
    left, top = np.minimum(u.astype(int), image.shape[1] - 2), np.minimum(v.astype(int), image.shape[0] - 2)
    across, down = (u - left)[..., None], (v - top)[..., None]
    upper = image[top, left] * (1 - across) + image[top, left + 1] * across
    lower = image[top + 1, left] * (1 - across) + image[top + 1, left + 1] * across
    fine = upper * (1 - down) + lower * down
    means = fine.reshape(height, k, width, k, 3).mean((1, 3))
    return (means.transpose(2, 0, 1) / 255).astype(np.float32)


def square_matrix(x: float, y: float, side: float, angle: float, size: int, flip: bool) -> list[list[float]]:
    """From the pixels of a square, mirrored or not, to the picture's."""
    cosine, sine, middle = side / size * math.cos(angle), side / size * math.sin(angle), (size - 1) / 2
    sign = -1 if flip else 1
    return [
        [sign * cosine, -sine, x - (sign * cosine - sine) * middle],
        [sign * sine, cosine, y - (sign * sine + cosine) * middle],
    ]


def peaks(maps: np.ndarray, scale: float, about: dict) -> list[tuple[float, float, tuple[float, float, float, float]]]:
    """Score, log-odds of a right hand, and square (x, y, side, angle) of each hand that the detector's maps show, surest first."""
    slope, offset = about["calibration"]
    padded = np.pad(maps[0], 1, constant_values=-np.inf)
    around = np.max([padded[i : i + maps.shape[1], j : j + maps.shape[2]] for i in range(3) for j in range(3)], axis=0)
    score = 1 / (1 + np.exp(-(slope * maps[0].astype(float) + offset)))
    found = []
    for row, column in zip(*np.nonzero((maps[0] >= around) & (score >= LEAST)), strict=True):
        here = maps[:, row, column].astype(float)
        x = (column + 0.5) * about["stride"] + about["unit"] * here[6]
        y = (row + 0.5) * about["stride"] + about["unit"] * here[7]
        side = about["unit"] * math.exp(min(here[8], math.log(about["largest"])))
        square = (scale * x - 0.5, scale * y - 0.5, scale * side, math.atan2(here[10], here[9]))
        found.append((float(score[row, column]), float(here[1]), square))
    found.sort(key=lambda hand: -hand[0])
    kept: list = []
    for hand in found:  # the surest of those whose middles nearly agree
        if all(math.dist(hand[2][:2], other[2][:2]) > 0.15 * other[2][2] for other in kept):
            kept.append(hand)
    return kept


def around(joints: np.ndarray, factor: float, width: int, height: int) -> tuple[float, float, float, float]:
    """The square around joints (21, 2) in which the hand points up."""
    x, y = joints[[5, 9, 13, 17]].mean(0) - joints[0]
    angle = math.atan2(x, 0.0 - y)
    axes = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    along = np.clip(joints, 0, [width - 1, height - 1]) @ axes.T
    low, high = along.min(0), along.max(0)
    centre = (low + high) / 2 @ axes
    return float(centre[0]), float(centre[1]), factor * float((high - low).max()), angle


def find_hands(folder: Path, image: np.ndarray) -> list[dict]:
    """The hands in a picture (H, W, 3) uint8 RGB."""
    about = json.loads((folder / "models.json").read_text())
    detector, estimator = (
        onnxruntime.InferenceSession(folder / about[name]["file"]) for name in ("detector", "estimator")
    )
    height, width = image.shape[:2]
    pixels, multiple, size = image.astype(np.float64), about["detector"]["multiple"], about["estimator"]["size"]
    scale = max(height, width) / about["detector"]["sides"][0]
    w, h = round(width / scale), round(height / scale)
    look = np.zeros((1, 3, -(-h // multiple) * multiple, -(-w // multiple) * multiple), np.float32)
    look[0, :, :h, :w] = sample(pixels, [[scale, 0, (scale - 1) / 2], [0, scale, (scale - 1) / 2]], w, h)

    def seen(square: tuple[float, float, float, float], left: bool) -> tuple[np.ndarray, np.ndarray, float]:
        """Joints in the picture, depths in pixels, and log-odds of a right hand in the square, mirrored if it is a left one's."""
        matrix = square_matrix(*square, size, left)
        found = estimator.run(None, {"images": sample(pixels, matrix, size, size)[None]})
        outputs = dict(zip(about["estimator"]["outputs"], found, strict=True))
        places = outputs["joints_2d"][0].astype(float) * size - 0.5  # pixels of the square
        joints = np.concatenate((places, np.ones((21, 1))), 1) @ np.array(matrix).T
        return joints, outputs["depth"][0].astype(float) * square[2], float(outputs["right"][0])

    hands = []
    for score, odds, square in peaks(detector.run(None, {"images": look})[0][0], scale, about["detector"]):
        left = odds + seen(square, False)[2] < seen(square, True)[2]
        closer = around(seen(square, left)[0], about["estimator"]["closer"], width, height)
        joints, depth, _ = seen(closer, left)
        hands.append(
            {"side": "left" if left else "right", "score": score, "joints": joints.tolist(), "depth": depth.tolist()}
        )
    return hands


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    picture = ImageOps.exif_transpose(Image.open(sys.argv[2])).convert("RGB")
    print(json.dumps(find_hands(Path(sys.argv[1]), np.asarray(picture))))
