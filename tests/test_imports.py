"""Predicting a picture imports what it uses and nothing else: what is slow to import is waited for by everyone."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from gesture_keypoints import gesture_joints

from phalanx.core import extras

ROOT = Path(__file__).parents[1]
EXTRAS = sorted({*extras.EXTRAS, "triton", "sympy", "networkx"})
"""What an installation for prediction lacks."""

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


WITHOUT = f"""
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {EXTRAS}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
from phalanx.cli import main
sys.exit(main(sys.argv[1:]))
"""


def without_extras(*arguments):
    """The command, as where `pip install phalanx` alone was done."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", WITHOUT, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)


def test_keypoints_are_fitted_without_extras(tmp_path):
    np.savez(tmp_path / "joints.npz", joints=gesture_joints()[0])
    done = without_extras("fit", tmp_path / "joints.npz", "--out", tmp_path / "out", "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    endings = {path.suffix for path in (tmp_path / "out").iterdir()}
    assert endings >= {".npz", ".csv", ".bvh", ".glb", ".png"}


def test_a_clip_is_tracked_without_extras(tmp_path):
    import cv2

    with_hand = cv2.resize(cv2.imread(str(ROOT / "examples" / "open.jpg")), (256, 256))
    writer = cv2.VideoWriter(str(tmp_path / "clip.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 30, (256, 256))
    for _ in range(8):
        writer.write(with_hand)
    writer.release()
    done = without_extras("predict", tmp_path / "clip.mp4", "--out", tmp_path / "out", "--quiet")
    assert done.returncode == 0, done.stderr
    assert {path.suffix for path in (tmp_path / "out").iterdir()} >= {".mp4", ".json", ".csv", ".glb", ".bvh"}


@pytest.mark.parametrize(
    "arguments",
    [
        ("train", "compact", "--out", "runs"),
        ("synth", "--preview", "sheet.png"),
        ("gestures", "train", "examples", "--out", "gestures.onnx"),
        ("fit", "joints.npz", "--mano", "MANO_RIGHT.pkl"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_what_needs_an_extra_names_it(arguments, tmp_path):
    np.savez(tmp_path / "joints.npz", joints=gesture_joints()[0])
    there = [str(tmp_path / word) if word == "joints.npz" else word for word in arguments]
    done = without_extras(*there, *(("--out", tmp_path / "out") if arguments[0] == "fit" else ()))
    assert done.returncode == 2, done.stderr
    assert done.stderr.strip().count("\n") == 0
    assert "pip install 'phalanx[train]'" in done.stderr
