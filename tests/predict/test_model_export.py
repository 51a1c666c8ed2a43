"""The networks for other runtimes: files that they run, and the two examples that use them."""

import importlib.util
import json
import os
import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest

import phalanx
from phalanx.cli import main
from phalanx.core.errors import InputError
from phalanx.predict.model_export import export_models
from phalanx.predict.runtime import load_estimator, shipped_model

ROOT = Path(__file__).parents[2]
PICTURES = [ROOT / "examples" / name for name in ("people.jpg", "open.jpg")]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return export_models(tmp_path_factory.mktemp("models") / "made")[0].parent


@pytest.fixture(scope="module")
def find_hands():
    spec = importlib.util.spec_from_file_location("onnx_hands", ROOT / "examples" / "onnx_hands.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.find_hands


def read(path):
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)


def test_what_is_written(models):
    assert {path.name for path in models.iterdir()} == {"detector.onnx", "estimator.onnx", "models.json", "README.md"}
    about = json.loads((models / "models.json").read_text())
    page = (models / "README.md").read_text()
    session = onnxruntime.InferenceSession(models / "estimator.onnx")
    assert [output.name for output in session.get_outputs()] == about["estimator"]["outputs"]
    assert all(f"`{name}`" in page for name in about["estimator"]["outputs"])
    assert all(f"| {name} |" in page for name in about["detector"]["channels"])
    assert sorted(number for each in about["detector"]["channels"].values() for number in each) == list(range(15))
    assert (models / "estimator.onnx").read_bytes() == shipped_model("compact").read_bytes()


def test_another_precision(tmp_path):
    export_models(tmp_path, precision="float32")
    crops = np.random.default_rng(0).random((2, 3, 128, 128), dtype=np.float32)
    exact, shipped = load_estimator(tmp_path / "estimator.onnx"), load_estimator()
    assert exact.session.about["precision"] == "float32"
    np.testing.assert_allclose(exact.evidence(crops).joints_2d, shipped.evidence(crops).joints_2d, atol=0.2)


def test_files_that_are_no_estimator(tmp_path, capsys):
    with pytest.raises(InputError, match="detector.onnx: "):
        export_models(tmp_path / "a", shipped_model("detector"))
    assert main(["export", "onnx", "--out", str(tmp_path / "b"), "--weights", str(tmp_path / "none.onnx")]) == 2
    assert "none.onnx" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_example_finds_what_phalanx_finds(models, find_hands):
    predict = phalanx.Predictor()
    for path in PICTURES:
        hands, found = predict(path), find_hands(models, read(path))
        assert len(found) == len(hands)
        for each in found:
            joints = np.array(each["joints"])
            size = np.ptp(joints, axis=0).max()
            off = [np.median(np.linalg.norm(hand.joints_2d - joints, axis=1)) for hand in hands]
            nearest = hands[int(np.argmin(off))]
            assert min(off) < 0.15 * size and nearest.side == each["side"]
            assert each["depth"][9] == 0 and np.isfinite(each["depth"]).all()


def test_it_finds_none_where_there_are_none(models, find_hands):
    assert find_hands(models, np.full((120, 200, 3), 130, np.uint8)) == []


@pytest.mark.skipif(
    not os.environ.get("PHALANX_NODE_MODULES"), reason="PHALANX_NODE_MODULES names no folder of node modules"
)
@pytest.mark.skipif(
    not shutil.which("node") or not shutil.which("chromium"), reason="node or chromium is not installed"
)
def test_a_browser_finds_the_same(tmp_path, find_hands):
    """In headless Chromium; the folder has onnxruntime-web and playwright-core. Decoders of JPEG may differ, of PNG may not."""
    export_models(tmp_path, precision="float32")
    pictures = [tmp_path / f"{path.stem}.png" for path in PICTURES]
    for path, copy in zip(PICTURES, pictures, strict=True):
        cv2.imwrite(str(copy), cv2.imread(str(path)))
    script, example = ROOT / "tests" / "helpers" / "onnx_browser.mjs", ROOT / "examples" / "onnx_hands.mjs"
    command = ["node", script, os.environ["PHALANX_NODE_MODULES"], tmp_path, example, *pictures]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    for path, found in zip(pictures, json.loads(done.stdout), strict=True):
        wanted = find_hands(tmp_path, read(path))
        assert found and [hand["side"] for hand in found] == [hand["side"] for hand in wanted]
        for hand, other in zip(found, wanted, strict=True):
            np.testing.assert_allclose(hand["joints"], other["joints"], atol=1e-3)
            np.testing.assert_allclose(hand["depth"], other["depth"], atol=1e-3)
            np.testing.assert_allclose(hand["score"], other["score"], atol=1e-5)
