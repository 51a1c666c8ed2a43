"""`phalanx gestures` and `--gestures`: from pictures in folders to names in lines and files."""

import json
import shutil

import cv2
import numpy as np
import pytest

from phalanx.cli import main
from phalanx.geometry.crops import SquareBox
from phalanx.nets.gestures import GestureConfig
from phalanx.predict.detection import Detection


@pytest.fixture(autouse=True)
def claims(monkeypatch):
    """One hand all over the picture."""
    made = [Detection((10.0, 10.0, 100.0, 100.0), 0.9, 0.9, SquareBox(79.5, 59.5, 130.0))]
    monkeypatch.setattr("phalanx.predict.predictor.Predictor.load_detector", lambda predictor: "a stand-in")
    monkeypatch.setattr("phalanx.predict.predictor.find_hands", lambda detector, image, most, least: made[:most])
    monkeypatch.setattr("phalanx.predict.predictor.is_hand", lambda joints, score, square: True)
    return made


@pytest.fixture
def signs(photo, tmp_path, monkeypatch):
    """Pictures of two gestures, which learn quickly."""
    monkeypatch.setattr("phalanx.train.gestures.GestureConfig", lambda: GestureConfig(hidden=16, steps=20))
    image = cv2.imread(str(photo))
    for name, part in (("left", np.fliplr(image)), ("right", image)):
        for i in range(3):
            path = tmp_path / "signs" / name / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), np.roll(part, 3 * i, axis=1))
    return tmp_path / "signs"


def train(run, weights, *arguments):
    return run("train", *arguments, "--weights", weights, verb="gestures")


def test_from_folders_to_a_name(run, weights, signs, photo, tmp_path):
    model, report = tmp_path / "signs.onnx", tmp_path / "report.json"
    code, out, err = train(run, weights, signs, "--out", model, "--json", report, "--seed", "3")
    assert (code, err) == (0, []) and out[-1] == f"-> {model}"
    data = json.loads(report.read_text())
    assert data["schema"] == "phalanx.gestures/1" and data["hands"] == 6 and data["seed"] == 3
    code, out, err = run(photo, "--gestures", model)
    assert (code, err) == (0, []) and ", gesture " in out[0]
    hand = json.loads((tmp_path / "out" / "photo.json").read_text())["hands"][0]
    assert hand["gesture"] in ("left", "right", "none") and 0 <= hand["gesture_probability"] <= 1


def test_pictures_that_cannot_be_read_do_not_stop_it(run, weights, signs, tmp_path):
    (signs / "left" / "broken.png").write_bytes(b"no picture")
    code, out, err = train(run, weights, signs, "--out", tmp_path / "signs", "--quiet")
    assert (code, out, len(err)) == (2, [], 1) and err[0].startswith(f"phalanx: {signs / 'left' / 'broken.png'}: ")
    assert (tmp_path / "signs.onnx").is_file()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["missing"], "there is no such folder"),
        (["one"], "has pictures of one gesture only, left"),
        (["empty"], "has no subfolders"),
        (["signs", "--box", "1,2"], "box"),
        (["signs", "--seed=-1"], "seed: must be a whole number from 0 on"),
        (["signs", "--persons", "who.csv"], "who.csv: "),
    ],
)
def test_bad_input_is_one_sentence(run, weights, signs, tmp_path, monkeypatch, arguments, says):
    shutil.copytree(signs / "left", tmp_path / "one" / "left")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    code, out, err = train(run, weights, *arguments, "--out", "m.onnx")
    assert (code, out, len(err)) == (2, [], 1) and says in err[0]
    assert not (tmp_path / "m.onnx").exists()


def test_models_of_another_kind_and_depth_frames(run, photo, tmp_path):
    from phalanx.predict.runtime import shipped_model

    code, out, err = run(photo, "--gestures", shipped_model("compact"))
    assert (code, out, len(err)) == (2, [], 1) and "weights of compact, not of gestures" in err[0]
    code, out, err = run(photo, "--depth", "--camera", "sr305", "--gestures", "signs.onnx")
    assert (code, len(err)) == (2, 1) and "--gestures: is for pictures and videos" in err[0]


def test_help_teaches(capsys):
    with pytest.raises(SystemExit):
        main(["gestures", "train", "--help"])
    page = capsys.readouterr().out
    for words in ("FOLDER/fist/a.jpg", "--palm", "phalanx predict photo.jpg --gestures signs.onnx", "none"):
        assert words in page
