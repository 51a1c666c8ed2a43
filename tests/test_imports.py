"""Predicting a picture imports what it uses and nothing else: what is slow to import is waited for by everyone."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
UNUSED = (
    "torch", "roma", "sympy", "trimesh", "warp", "matplotlib", "scipy", "jsonargparse", "yaml", "lightning_fabric",
    "rich", "onnx", "networkx", "filelock",
)  # fmt: skip
SCRIPT = f"""
import sys
from phalanx.cli import main
assert main(["predict", sys.argv[1], "--box", "whole", "--out", sys.argv[2], "--quiet"]) == 0
assert "onnxruntime" in sys.modules
print(*sorted(set({UNUSED}) & set(sys.modules)))
"""


def test_predicting_a_picture(tmp_path):
    picture = ROOT / "examples" / "open.jpg"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-c", SCRIPT, str(picture), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "", "")
    assert {path.name for path in tmp_path.iterdir()} >= {"open.json", "open_overlay.png", "open.glb"}
