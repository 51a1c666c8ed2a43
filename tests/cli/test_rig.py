"""`phalanx rig` and `phalanx predict --rig`: arguments, sentences and exit codes."""

import json

import cv2
import numpy as np
import pytest
from command_line import one_sentence
from true_rig import TrueRig

from phalanx.data.rig_files import read_rig


@pytest.fixture
def rig(tmp_path):
    path = tmp_path / "rig.json"
    TrueRig(2).rig.save(path)
    return path


@pytest.fixture
def seeing(monkeypatch):
    """Stands hands that are known before the cameras of a check and a calibration."""
    true = TrueRig(2, noise=0.5)
    monkeypatch.setattr("phalanx.predict.predictor.Predictor", lambda weights=None, device="cpu": None)
    monkeypatch.setattr(
        "phalanx.predict.rig_calibrate.UnplacedPredictor",
        lambda rig, predictor, side, hand_length: true.unplaced(rig, side=side, hand_length=hand_length),
    )

    def look(predictor, paths, notice, progress=None):
        return [predictor.look(true.images(frame)).bare() for frame in range(0, 48, 2)]

    monkeypatch.setattr("phalanx.predict.rig_calibrate.look_at_all", look)
    return true


def test_convert(run, rig, tmp_path):
    made = tmp_path / "made.json"
    code, out, err = run("convert", rig, "--out", made, verb="rig")
    assert (code, err) == (0, []) and "2 cameras (cam0, cam1), lengths in metres" in out[0]
    assert len(read_rig(made)) == 2
    data = json.loads(rig.read_text())
    del data["unit"]
    rig.write_text(json.dumps(data))
    code, out, err = run("convert", rig, "--out", made, verb="rig")
    assert (code, out) == (2, [])
    one_sentence(err, "rig.json: does not say which unit its lengths are in", "--unit")
    code, out, err = run("convert", rig, "--unit", "hand", "--out", made, verb="rig")
    assert code == 0 and "a unit to be found from the hands" in out[0]


def test_check_and_calibrate(run, rig, seeing, tmp_path):
    figures, made = tmp_path / "figures.json", tmp_path / "made.json"
    code, out, err = run("check", rig, "a.mp4", "b.mp4", "--json", figures, verb="rig")
    assert (code, err) == (0, []) and "epipolar error" in out[0] and "of their likeliest size" in out[1]
    assert json.loads(figures.read_text())["holds"] and out[-1].endswith("the calibration holds")
    data = json.loads(rig.read_text())
    data["cameras"][1]["world_to_camera"][1][3] += 0.15
    rig.write_text(json.dumps(data))
    code, out, err = run("check", rig, "a.mp4", "b.mp4", verb="rig")
    assert code == 2
    one_sentence(err, "the calibration does not hold between cam0 and cam1")
    camera = ",".join(str(value) for value in (330, 330, 160, 120))
    other = ",".join(str(value) for value in (330, 330, 168, 120))
    code, out, err = run("calibrate", "a.mp4", "b.mp4", "--K", camera, "--K", other, "--out", made, verb="rig")
    assert (code, err) == (0, []) and "the world is a" in out[-1]
    found = read_rig(made)
    np.testing.assert_allclose(found.cameras[0].world_to_camera, np.eye(4), atol=1e-9)


def test_what_is_missing_is_named(run, rig, tmp_path):
    code, _, err = run("calibrate", "a.mp4", "--K", "1,1,1,1", verb="rig")
    assert code == 2
    one_sentence(err, "a.mp4: is one view, and cameras are placed by two or more")
    code, _, err = run("calibrate", "a", "b", "c", "--K", "1,1,1,1", "--K", "1,1,1,1", verb="rig")
    one_sentence(err, "--K: is given 2 times for 3 views")
    code, _, err = run("check", tmp_path / "none.json", "a", "b", verb="rig")
    one_sentence(err, "none.json: cannot be read")
    code, _, err = run("a.mp4", "--rig", rig)
    assert code == 2
    one_sentence(err, "has 2 cameras, and 1 views are given")
    code, _, err = run("a.mp4", "b.mp4", "--rig", rig)
    one_sentence(err, "a.mp4: cannot be read: no such file or directory")
    code, _, err = run("a.mp4", "b.mp4", "--rig", rig, "--K", "1,1,1,1")
    one_sentence(err, "--K: does not go with --rig")
    code, _, err = run("a.mp4", "--rig-unit", "mm")
    one_sentence(err, "--rig-unit: is the unit of a rig's file")
    code, _, err = run("a.png", "--rig", rig, "--depth", "--camera", "sr305")
    one_sentence(err, "--rig: is for colour cameras")


def test_pictures_of_nothing_are_no_fault(run, rig, tmp_path, monkeypatch):
    monkeypatch.setattr("phalanx.predict.predictor.Predictor.load_detector", lambda predictor: None)
    monkeypatch.setattr("phalanx.predict.rig.find_hands", lambda *arguments: [])
    true = TrueRig(2)
    paths = []
    for view in (0, 1):
        paths.append(tmp_path / f"view{view}.png")
        cv2.imwrite(str(paths[-1]), true.image(4, view))
    code, out, err = run(*paths, "--rig", rig)
    assert (code, err) == (0, []) and "no hand -> " in out[0]
    assert json.loads((tmp_path / "out" / "view0_rig.json").read_text())["frames"][0]["hand"] is None
