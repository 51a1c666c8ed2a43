"""Draw the pictures of docs/synthesis.md: every scene, rig, domain and sensor, and whole frames.

    python scripts/draw_synthesis_sheets.py
    python scripts/draw_synthesis_sheets.py scene_people frames

The second command draws two of them anew.

With `--beside FOLDER OUT` it draws only one sheet, for eyes: 48 hands, and beside them 48 of the photographs of hands in a folder.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from phalanx.core.errors import InputError
from phalanx.synth import SynthConfig
from phalanx.synth.chunks import make_chunk
from phalanx.synth.config import SCENES
from phalanx.synth.frames import FramesConfig
from phalanx.synth.preview import draw_frames_sheet, draw_sheet
from phalanx.synth.scene.rigs import PRESETS
from phalanx.synth.sense.sensors import COLOUR_CAMERAS, DEPTH_SENSORS

FOLDER = Path(__file__).parent.parent / "docs" / "images"
COLUMNS = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sheets", nargs="*", metavar="SHEET", help=f"which to draw: {', '.join(SHEETS)} (default: all)")
    parser.add_argument("--beside", nargs=2, type=Path, metavar=("FOLDER", "OUT"))
    arguments = parser.parse_args()
    if arguments.beside:
        folder, out = arguments.beside
        cv2.imwrite(str(out), beside_photographs(folder)[..., ::-1])
        return
    for name in arguments.sheets:
        if name not in SHEETS:
            parser.error(f"{name} is none of {', '.join(SHEETS)}")
    FOLDER.mkdir(exist_ok=True)
    for name in arguments.sheets or SHEETS:
        save(name, SHEETS[name]())


def rows(count: int = 1, **choices: str | int) -> np.ndarray:
    """`count` rows of small pictures."""
    return draw_sheet(SynthConfig(**{"size": 80, **choices}), 1, count, COLUMNS)


def depth_rows() -> list[np.ndarray]:
    """What each depth sensor reads, without the colour above it."""
    sheets = [rows(depth_sensor=sensor.name) for sensor in DEPTH_SENSORS]
    return [sheet[len(sheet) // 2 :] for sheet in sheets]


SHEETS: dict[str, Callable[[], list[np.ndarray]]] = {
    **{f"scene_{scene}": lambda scene=scene: [rows(2, scene=scene, frames=COLUMNS)] for scene in SCENES},
    "frames": lambda: [draw_frames_sheet(FramesConfig(), 1, 24, 6, width=224)],
    "rigs": lambda: [rows(rig=rig) for rig in PRESETS],
    **{f"domain_{name}": lambda name=name: [rows(domain=name, depth_sensor="domain")] for name in ("studio", "field")},
    "colour_cameras": lambda: [rows(camera=camera.name) for camera in COLOUR_CAMERAS],
    "depth_sensors": depth_rows,
}
"""The sheets by name: their parts, from top to bottom."""


def beside_photographs(folder: Path, size: int = 112, count: int = 48, seed: int = 5) -> np.ndarray:
    """`count` hands of the engine, and on their right as many of the folder's photographs, all of `size` pixels: an RGB picture."""
    made = make_chunk(SynthConfig(size=size, chunk=count), seed, 0).image
    hands = [(255 * picture.clamp(0, 1)).byte().permute(1, 2, 0).numpy() for picture in made]
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    if len(paths) < count:
        raise InputError(f"{folder}: has {len(paths)} photographs, and {count} are needed")
    photographs = []
    for place in np.random.default_rng(seed).choice(len(paths), count, replace=False):
        photograph = cv2.imread(str(paths[place]))
        if photograph is None:
            raise InputError(f"{paths[place]}: is no picture")
        side = min(photograph.shape[:2])
        top, left = ((length - side) // 2 for length in photograph.shape[:2])
        square = photograph[top : top + side, left : left + side, ::-1]
        photographs.append(cv2.resize(square, (size, size), interpolation=cv2.INTER_AREA))
    halves = [np.vstack([np.hstack(half[i : i + 6]) for i in range(0, count, 6)]) for half in (hands, photographs)]
    return np.hstack([halves[0], np.full((len(halves[0]), 8, 3), 255, np.uint8), halves[1]])


def save(name: str, parts: list[np.ndarray]) -> None:
    """Write parts of a sheet below one another."""
    width = max(row.shape[1] for row in parts)
    sheet = np.vstack([np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)), constant_values=255) for row in parts])
    path = FOLDER / f"synthesis_{name}.jpg"
    cv2.imwrite(str(path), sheet[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 82])
    print(f"{path.name}: {path.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
