"""Builds the panoramas of the package from a folder of HDR panoramas.

    python scripts/build_panorama_assets.py FOLDER

FOLDER holds Radiance files (Poly Haven's, CC0: https://polyhaven.com/hdris, at 1k). Each becomes a JPEG of 512 x 256 pixels, and the light
that its full range holds goes to `panoramas.json`. Prints the error of that light: root mean square over directions of planes, relative
to the mean over them.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import numpy as np

from phalanx.synth.paint.panorama import (
    ASSETS,
    WIDTH,
    approximate_irradiance,
    irradiance,
    panorama_files,
    panorama_of,
    read_panorama,
    spread_normals,
    usual_exposure,
)


def main() -> None:
    """Build them all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of Radiance files")
    arguments = parser.parse_args()
    ASSETS.mkdir(exist_ok=True)
    for old in ASSETS.glob("panorama_*.jpg"):
        old.unlink()
    stored, errors, size = {}, [], 0
    for path in panorama_files(arguments.folder):
        picture = read_panorama(path)
        kept, light = panorama_of(picture, WIDTH)
        name = path.stem.removesuffix("_1k")
        options = [cv2.IMWRITE_JPEG_QUALITY, 92, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
        data = cv2.imencode(".jpg", kept[..., ::-1], options)[1].tobytes()
        (ASSETS / f"panorama_{name}.jpg").write_bytes(data)
        size += len(data)
        stored[name] = {field: np.round(value[0], 4).tolist() for field, value in vars(light).items()}
        normals = spread_normals(200)[::2]
        wanted = irradiance(picture * usual_exposure(picture), normals)
        error = np.sqrt(np.mean((approximate_irradiance(light, normals)[0] - wanted) ** 2)) / wanted.mean()
        errors.append(error)
        strength = light.colour[0].mean(1)
        print(f"{name:32s} error {error:5.3f}  lights {strength.round(2)}  size {light.softness[0].round(2)}", end="  ")
        print(f"ambient {light.ambient[0, :, 0].round(2)}", flush=True)
    (ASSETS / "panoramas.json").write_text(json.dumps(stored, indent=None) + "\n", encoding="utf-8")
    print(
        f"{len(stored)} panoramas, {size} bytes; error {np.mean(errors):.3f} in the mean, {np.max(errors):.3f} at most"
    )


if __name__ == "__main__":
    main()
