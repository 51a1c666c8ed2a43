"""How nearly the programs of docs/onnx.md agree: `examples/onnx_hands.py`, `onnx_hands.mjs` in headless Chromium, and `phalanx.Predictor`.

    python benchmarks/onnx_examples.py [--node-modules DIR] [--precision float32]

DIR has onnxruntime-web and playwright-core of npm; without it, the browser is left out. Differences of joints are in pixels of the
pictures; those from Phalanx are a hand's median distance of joints, also in 128ths of the square that the estimator saw last.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from phalanx.predict.model_export import export_models
from phalanx.predict.predictor import Predictor

ROOT = Path(__file__).parents[1]
PICTURES = [ROOT / "examples" / f"{name}.jpg" for name in ("people", "open", "pinch")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--node-modules", metavar="DIR", type=Path)
    parser.add_argument("--precision", choices=("float16", "float32"), help="default: as it ships, int8")
    arguments = parser.parse_args()
    spec = importlib.util.spec_from_file_location("onnx_hands", ROOT / "examples" / "onnx_hands.py")
    assert spec is not None and spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    predictor = Predictor()
    with tempfile.TemporaryDirectory() as folder:
        export_models(folder, precision=arguments.precision or "as it is")
        pictures = [np.asarray(Image.open(path).convert("RGB")) for path in PICTURES]
        found = [example.find_hands(Path(folder), picture) for picture in pictures]
        closer = json.loads((Path(folder) / "models.json").read_text())["estimator"]["closer"]
        for path, picture, hands in zip(PICTURES, pictures, found, strict=True):
            predictions = predictor(path)
            for hand in hands:
                joints = np.array(hand["joints"])
                off = min(float(np.median(np.linalg.norm(p.joints_2d - joints, axis=1))) for p in predictions)
                height, width = picture.shape[:2]
                side = example.around(joints, closer, width, height)[2]
                print(f"{path.name} {hand['side']}: {off:.2f} px, {128 * off / side:.1f} of 128 from Phalanx")
        if arguments.node_modules:
            compare(found, browser(arguments.node_modules, Path(folder)))


def browser(modules: Path, folder: Path) -> list[list[dict[str, Any]]]:
    """What the browser finds in each picture."""
    script, example = ROOT / "tests" / "helpers" / "onnx_browser.mjs", ROOT / "examples" / "onnx_hands.mjs"
    command = ["node", *map(str, (script, modules, folder, example, *PICTURES))]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def compare(python: list[list[dict[str, Any]]], javascript: list[list[dict[str, Any]]]) -> None:
    """Prints how far the two programs are apart."""
    pairs = [
        pair for a, b in zip(python, javascript, strict=True) for pair in zip(a, b, strict=True)
    ]  # both sort by score
    assert all(a["side"] == b["side"] for a, b in pairs)
    off = {name: np.abs([np.subtract(a[name], b[name]) for a, b in pairs]) for name in ("joints", "depth", "score")}
    print(
        f"browser, {len(pairs)} hands: joints median {np.median(off['joints']):.6f} px, largest {off['joints'].max():.5f} px"
    )
    print(f"depths largest {off['depth'].max():.5f} px, scores largest {off['score'].max():.1e}")


if __name__ == "__main__":
    main()
