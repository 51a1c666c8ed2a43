"""Draw the pictures of docs/synthesis.md: every scene, rig, domain and sensor.

python scripts/draw_synthesis_sheets.py
"""

from pathlib import Path

import cv2
import numpy as np

from phalanx.synth import SynthConfig
from phalanx.synth.config import SCENES
from phalanx.synth.preview import draw_sheet
from phalanx.synth.scene.rigs import PRESETS
from phalanx.synth.sense.sensors import COLOUR_CAMERAS, DEPTH_SENSORS

FOLDER = Path(__file__).parent.parent / "docs" / "images"
COLUMNS = 8


def main() -> None:
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


def save(name: str, rows: list[np.ndarray]) -> None:
    """Write rows of pictures below one another."""
    width = max(row.shape[1] for row in rows)
    sheet = np.vstack([np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)), constant_values=255) for row in rows])
    path = FOLDER / f"synthesis_{name}.jpg"
    cv2.imwrite(str(path), sheet[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 82])
    print(f"{path.name}: {path.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
