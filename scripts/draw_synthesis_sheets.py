"""Draw the pictures of docs/synthesis.md: every scene, rig, domain and sensor.

python scripts/draw_synthesis_sheets.py

With `--beside FOLDER OUT` it draws only one sheet, for eyes: 48 hands, and beside them 48 of the photographs of hands in a folder.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

from phalanx.core.errors import InputError
from phalanx.synth import SynthConfig
from phalanx.synth.chunks import make_chunk
from phalanx.synth.config import SCENES
from phalanx.synth.preview import draw_sheet
from phalanx.synth.scene.rigs import PRESETS
from phalanx.synth.sense.sensors import COLOUR_CAMERAS, DEPTH_SENSORS

FOLDER = Path(__file__).parent.parent / "docs" / "images"
COLUMNS = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--beside", nargs=2, type=Path, metavar=("FOLDER", "OUT"))
    beside = parser.parse_args().beside
    if beside:
        cv2.imwrite(str(beside[1]), beside_photographs(beside[0])[..., ::-1])
        return
    FOLDER.mkdir(exist_ok=True)
    for scene in SCENES:
        save(f"scene_{scene}", [draw_sheet(SynthConfig(size=80, scene=scene, frames=COLUMNS), 1, 2, COLUMNS)])
    save("rigs", [draw_sheet(SynthConfig(size=80, rig=rig), 1, 1, COLUMNS) for rig in PRESETS])
    for domain in ("studio", "field"):
        save(
            f"domain_{domain}", [draw_sheet(SynthConfig(size=80, domain=domain, depth_sensor="domain"), 1, 1, COLUMNS)]
        )
    save("colour_cameras", [draw_sheet(SynthConfig(size=80, camera=c.name), 1, 1, COLUMNS) for c in COLOUR_CAMERAS])
    sheets = [draw_sheet(SynthConfig(size=80, depth_sensor=s.name), 1, 1, COLUMNS) for s in DEPTH_SENSORS]
    save("depth_sensors", [sheet[len(sheet) // 2 :] for sheet in sheets])


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


def save(name: str, rows: list[np.ndarray]) -> None:
    """Write rows of pictures below one another."""
    width = max(row.shape[1] for row in rows)
    sheet = np.vstack([np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)), constant_values=255) for row in rows])
    path = FOLDER / f"synthesis_{name}.jpg"
    cv2.imwrite(str(path), sheet[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 82])
    print(f"{path.name}: {path.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
