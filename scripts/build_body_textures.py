"""Build the textures of bodies (`src/phalanx/synth/assets/body_skin_*.jpg`, `body_regions.png`) from MakeHuman's community skins.

    python scripts/build_body_textures.py SKINS

`SKINS` is a folder of photographic skins of the whole body (square JPEG or PNG, CC0) in the texture layout of MakeHuman's base mesh.

1. **Pigments.** The logarithm of linear colour, beyond that of the skin's median, is split into melanin, blood and shade
   (`phalanx.synth.paint.pigment`); a picture holds them in red, green and blue, 127 steps for `SPAN`, about 128.
2. **Charts.** What is broader than some 15 cm is all but taken away, so that charts meet without a step. What lies off the charts of
   the open body is as the nearest on them; what is black, because a skin lacks it, is as the median.
3. **Regions.** Where hair and beard grow and where lips are: drawn by hand on the head's chart, as signed distances in texels about 128.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from phalanx.core.errors import InputError
from phalanx.synth.body.model import BodyModel
from phalanx.synth.paint.body_textures import NEAR, SPAN
from phalanx.synth.paint.pigment import separate

ROOT = Path(__file__).parents[1]
SIDE = 640
CHROMA = 1.5  # texels: JPEG keeps colour at half the resolution, and separation would enlarge its noise
BROAD, LESS = 30.0, 0.85  # texels: the deviation of the blur of which so much is taken away
MIDDLE = 0.5166  # v of the face's middle
QUALITY = 84
# Corners (u, |v - MIDDLE|) on the head's chart: u grows from the crown to the chest.
HAIR = ((0.630, 0.0), (0.742, 0.0), (0.742, 0.03), (0.748, 0.068), (0.770, 0.086), (0.806, 0.090), (0.812, 0.107), (0.801, 0.122),
        (0.806, 0.148), (0.838, 0.168), (0.868, 0.182), (0.888, 0.210), (0.893, 0.260), (0.893, 0.345), (0.630, 0.345))  # fmt: skip
BEARD = ((0.880, 0.0), (0.877, 0.024), (0.886, 0.040), (0.882, 0.062), (0.855, 0.088), (0.812, 0.100), (0.812, 0.109),
         (0.868, 0.112), (0.905, 0.098), (0.935, 0.065), (0.952, 0.0))  # fmt: skip


def polygon_distance(corners: tuple[tuple[float, float], ...]) -> np.ndarray:
    """Signed distance `(S, S)` in texels, positive inside, of a polygon on both halves of the head."""
    canvas = np.zeros((4 * SIDE, 4 * SIDE), np.uint8)
    for side in (-1, 1):
        points = [(u * 4 * SIDE, (MIDDLE + side * v) * 4 * SIDE) for u, v in corners]
        cv2.fillPoly(canvas, [np.round(points).astype(np.int32)], 1)
    inside, outside = (cv2.distanceTransform(part, cv2.DIST_L2, 5) for part in (canvas, 1 - canvas))
    return cv2.resize(inside - outside, (SIDE, SIDE), interpolation=cv2.INTER_AREA) / 4


def charts() -> np.ndarray:
    """Which texels `(S, S)` the open body shows."""
    canvas = np.zeros((SIDE, SIDE), np.uint8)
    for face in BodyModel.open_body().uv.numpy():
        cv2.fillConvexPoly(canvas, np.round((face * SIDE - 0.5) * 256).astype(np.int32), 1, shift=8)
    return canvas > 0


def filled(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """`values (S, S, C)` where `known (S, S)`, elsewhere the nearest."""
    _, nearest = cv2.distanceTransformWithLabels(
        (~known).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    place = np.zeros(nearest.max() + 1, int)
    place[nearest[known]] = np.flatnonzero(known.reshape(-1))
    return values.reshape(-1, values.shape[-1])[place[nearest]]


def amounts(photograph: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Melanin, blood and shade `(S, S, 3)` beyond the median of an RGB picture `(S, S, 3)` uint8, and which texels are skin."""
    linear = np.clip(photograph / 255.0, 0.02, 1.0) ** 2.2
    skin = cv2.erode((photograph.max(-1) > 24).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    logs = np.log(linear)
    grey = logs.mean(-1, keepdims=True)
    colour = cv2.GaussianBlur(logs - grey, (0, 0), CHROMA)
    logs = grey + colour - colour.mean(-1, keepdims=True)
    face = logs[int(0.46 * SIDE) : int(0.57 * SIDE), int(0.76 * SIDE) : int(0.92 * SIDE)].reshape(-1, 3)
    return separate(np.exp(logs - np.median(face, 0))), skin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("skins", type=Path)
    parser.add_argument("--out", type=Path, default=ROOT / "src/phalanx/synth/assets")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    total, blood = 0, []
    inside = cv2.erode(charts().astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    for path in sorted(p for p in arguments.skins.iterdir() if p.suffix.lower() in (".jpg", ".png")):
        whole = cv2.imread(str(path))
        if whole is None or whole.shape[0] != whole.shape[1]:
            raise InputError(f"{path}: is no square picture")
        photograph = cv2.resize(whole, (SIDE, SIDE), interpolation=cv2.INTER_AREA)[..., ::-1]
        found, skin = amounts(photograph)
        found[~skin] = 0.0
        blood.append(found[..., 1].copy())
        found = filled(found, inside)
        found -= LESS * cv2.GaussianBlur(found, (0, 0), BROAD)
        stored = np.clip(np.round(found * (127.0 / SPAN)) + 128, 1, 255).astype(np.uint8)
        out = arguments.out / f"body_skin_{path.stem}.jpg"
        settings = [
            cv2.IMWRITE_JPEG_QUALITY,
            QUALITY,
            cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
            cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
        ]
        cv2.imwrite(str(out), stored[..., ::-1], settings)
        total += out.stat().st_size
        print(f"{out.name}: {out.stat().st_size / 1e3:.0f} kB, deviations {found.std((0, 1)).round(3).tolist()}")
    if not blood:
        raise InputError(f"{arguments.skins}: has no pictures")
    regions = np.stack([polygon_distance(HAIR), polygon_distance(BEARD), lips(np.median(blood, 0))], -1)
    stored = np.clip(np.round(regions / NEAR) + 128, 0, 255).astype(np.uint8)
    out = arguments.out / "body_regions.png"
    cv2.imwrite(str(out), stored[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 9])
    print(f"{out.name}: {out.stat().st_size / 1e3:.0f} kB; {(total + out.stat().st_size) / 1e6:.2f} MB together")


def lips(blood: np.ndarray) -> np.ndarray:
    """Signed distance `(S, S)` in texels of the lips, from the amounts of blood `(S, S)` that several photographs share."""
    u, v = np.meshgrid(*2 * [(np.arange(SIDE) + 0.5) / SIDE])
    mouth = ((u - 0.907) / 0.024) ** 2 + ((v - MIDDLE) / 0.034) ** 2 < 1
    level = np.median(blood[((u - 0.907) / 0.05) ** 2 + ((v - MIDDLE) / 0.06) ** 2 < 1])
    both = cv2.GaussianBlur(
        0.5 * (blood + blood[::-1][np.roll(np.arange(SIDE), round(SIDE * (2 * MIDDLE - 1)))]), (0, 0), 1.0
    )
    red = (mouth & (both > level + 0.15)).astype(np.uint8)
    red = cv2.morphologyEx(red, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    inside, outside = (cv2.distanceTransform(part, cv2.DIST_L2, 5) for part in (red, 1 - red))
    return cv2.GaussianBlur(inside - outside, (0, 0), 0.7)


if __name__ == "__main__":
    main()
