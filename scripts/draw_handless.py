"""Cut pictures without hands, for the detector to learn what is none, out of panoramas and photographs without people.

    python scripts/draw_handless.py OUT [--panoramas FOLDER] [--photographs FOLDER ...] [--things FOLDER ...] [--times 12] [--seed 1]

Panoramas (Radiance, `phalanx.synth` reads them) are looked at in random directions with the exposure of what is seen; of photographs random
parts are cut. Things are pictures cut out already (PNG with transparency): animals, tools, signs, prints; every second picture shows some.
Things whose path names a person or a part of one are left out. The pictures are 320 x 240, JPEG.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from phalanx.core.errors import InputError
from phalanx.data.images import PICTURE_SUFFIXES, read_photo
from phalanx.geometry.crops import SquareBox, square_crop
from phalanx.synth.paint.panorama import panorama_files, read_panorama

WIDTH, HEIGHT = 320, 240
FIELDS = (50.0, 90.0)  # degrees across
MEAN = 0.18  # linear, of what is seen
MOST_THINGS = 4
THING_SHARES = (0.04, 0.6)  # of the picture's width
PRINTS = 0.25  # share of things that are shown in one colour
PEOPLE = (
    "people",
    "person",
    "hand",
    "finger",
    "fist",
    "thumb",
    "palm",
    "glove",
    "body",
    "asl",
    "man_",
    "woman",
    "boy",
    "girl",
    "cursor",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--panoramas", type=Path)
    parser.add_argument("--photographs", type=Path, nargs="+", default=[])
    parser.add_argument("--things", type=Path, nargs="+", default=[])
    parser.add_argument(
        "--times", type=int, default=12, help="pictures of each panorama, and of each photograph a third of them"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the views, parts and places (default: 1)")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(arguments.seed)
    number = 0
    things = thing_files(arguments.things)
    for picture in pictures(arguments.panoramas, arguments.photographs, arguments.times, draw):
        if things and number % 2:
            furnish(picture, things, draw)
        cv2.imwrite(str(arguments.out / f"{number:05d}.jpg"), picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])
        number += 1
    print(f"{number} pictures in {arguments.out}")


def pictures(
    panoramas: Path | None, photographs: list[Path], times: int, draw: np.random.Generator
) -> Iterator[np.ndarray]:
    """All of them, (HEIGHT, WIDTH, 3) uint8 RGB."""
    for path in panorama_files(panoramas) if panoramas else []:
        whole = read_panorama(path)
        for _ in range(times):
            yield view(whole, draw)
    for folder in photographs:
        for path in sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES):
            try:
                photo = read_photo(path)[0]
            except InputError as error:
                print(error)
                continue
            if min(photo.shape[:2]) >= HEIGHT:
                for _ in range(max(times // 3, 1)):
                    yield part(photo if photo.dtype == np.uint8 else (photo * 255).astype(np.uint8), draw)


def thing_files(folders: list[Path]) -> list[Path]:
    """Pictures of things, without those that may show hands."""
    found = [path for folder in folders for path in sorted(folder.rglob("*.png"))]
    return [path for path in found if not any(word in str(path).lower() for word in PEOPLE)]


def furnish(picture: np.ndarray, things: list[Path], draw: np.random.Generator) -> None:
    """Put one to `MOST_THINGS` things into a picture, in place."""
    for _ in range(int(draw.integers(1, MOST_THINGS + 1))):
        thing = cv2.imread(str(things[int(draw.integers(len(things)))]), cv2.IMREAD_UNCHANGED)
        if thing is None or thing.ndim != 3 or thing.shape[2] != 4 or thing.dtype != np.uint8:
            continue
        scale = WIDTH * float(np.exp(draw.uniform(*np.log(THING_SHARES)))) / max(thing.shape[:2])
        angle, middle = draw.normal(0, 15), (thing.shape[1] / 2, thing.shape[0] / 2)
        shrink = max(int(1 / scale), 1)
        small = cv2.resize(thing, None, fx=1 / shrink, fy=1 / shrink, interpolation=cv2.INTER_AREA)
        place = cv2.getRotationMatrix2D((middle[0] / shrink, middle[1] / shrink), angle, scale * shrink)
        place[:, 2] += draw.uniform(0, 1, 2) * (WIDTH, HEIGHT) - np.divide(middle, shrink)
        shown = cv2.warpAffine(small, place, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR)
        share = shown[..., 3:] / np.float32(255) * np.float32(draw.uniform(0.6, 1))
        colour = shown[..., 2::-1].astype(np.float32)
        if draw.random() < PRINTS:  # one colour, as on a shirt
            colour = np.broadcast_to(draw.uniform(0, 255, 3).astype(np.float32), colour.shape)
        level = picture.mean() / 128
        gain = level**0.5 * np.exp(draw.normal(0, 0.2)) * np.exp(draw.normal(0, 0.05, 3))
        lit = np.clip(colour * gain.astype(np.float32), 0, 255)
        blurred = cv2.GaussianBlur(np.concatenate([lit * share, share], -1), (0, 0), draw.uniform(0.3, 1.2))
        picture[:] = (blurred[..., :3] + (1 - blurred[..., 3:]) * picture).round().clip(0, 255).astype(np.uint8)


def view(panorama: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """What a camera sees of a panorama, exposed for it."""
    yaw, pitch = draw.uniform(0, 2 * np.pi), np.deg2rad(np.clip(draw.normal(5, 18), -50, 50))
    focal = 0.5 * WIDTH / np.tan(0.5 * np.deg2rad(draw.uniform(*FIELDS)))
    x, y = np.meshgrid(np.arange(WIDTH) - (WIDTH - 1) / 2, np.arange(HEIGHT) - (HEIGHT - 1) / 2)
    rays = np.stack([x, y, np.full_like(x, focal)], -1)
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    down = rays[..., 1] * np.cos(pitch) + rays[..., 2] * np.sin(pitch)
    ahead = rays[..., 2] * np.cos(pitch) - rays[..., 1] * np.sin(pitch)
    rows, columns = panorama.shape[:2]
    longitude = np.arctan2(rays[..., 0], ahead) + yaw
    u = (longitude / (2 * np.pi) % 1) * columns - 0.5
    v = (0.5 + np.arcsin(np.clip(down, -1, 1)) / np.pi) * rows - 0.5
    seen = cv2.remap(panorama, u.astype(np.float32), v.astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    exposure = MEAN * np.exp(draw.normal(0, 0.35)) / max(float(np.exp(np.log(seen.mean(-1) + 1e-4).mean())), 1e-6)
    shown = np.clip(seen * exposure, 0, None)
    shown = shown / (1 + 0.25 * shown)  # a soft shoulder
    return (255 * np.clip(shown, 0, 1) ** (1 / 2.2)).round().astype(np.uint8)


def part(photo: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """A random part of a photograph."""
    height, width = photo.shape[:2]
    side = float(np.exp(draw.uniform(np.log(max(0.3 * height, WIDTH)), np.log(max(height, WIDTH)))))
    middle = [
        draw.uniform(min(side, extent) / 2, max(extent - side / 2, min(side, extent) / 2 + 1))
        for extent in (width, height)
    ]
    square = square_crop(photo, SquareBox(middle[0], middle[1], side), WIDTH)[0]
    top = (WIDTH - HEIGHT) // 2
    return square[top : top + HEIGHT]


if __name__ == "__main__":
    main()
