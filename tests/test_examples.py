"""The programs in `examples/` run and do what they say."""

import csv
import importlib.util
import json
import shutil
import sys
import types
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from posed_prediction import posed_prediction

from phalanx.core.errors import InputError
from phalanx.hand.anatomy import ANGLE_NAMES
from phalanx.hand.model import HandModel

EXAMPLES = Path(__file__).parents[1] / "examples"


def example(name, monkeypatch):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)  # dataclasses look their module up there
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def pictures(tmp_path):
    """An open hand, a pointing one, and a file that is no picture."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("open.jpg", "point.jpg"):
        shutil.copy(EXAMPLES / name, folder)
    (folder / "broken.jpg").write_bytes(b"no picture")
    return folder


def test_angles_to_csv_writes_a_row_a_picture_and_names_what_it_skips(pictures, tmp_path, monkeypatch, capsys):
    table = tmp_path / "angles.csv"
    assert example("angles_to_csv", monkeypatch).angles_to_csv(pictures, table) == 1
    assert "broken.jpg" in capsys.readouterr().err
    rows = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))
    assert list(rows[0]) == ["picture", "side", "score", *ANGLE_NAMES]
    assert [row["picture"] for row in rows] == ["open.jpg", "point.jpg"]
    spread, pointing = (float(row["middle_pip_flexion"]) for row in rows)
    assert spread < 25 and pointing > 50  # degrees: the middle finger is stretched in one and curled in the other


def test_pose_gan_learns(tmp_path, monkeypatch):
    from phalanx.train.loop import train

    pose_gan = example("pose_gan", monkeypatch)
    torch.manual_seed(0)
    untrained = pose_gan.figures(pose_gan.PoseGAN(), 32)
    trained = pose_gan.figures(
        train(pose_gan.PoseGAN(), [pose_gan.stage(20_000)], tmp_path / "run", report=lambda line: None), 32
    )
    assert trained["mean_off_deg"] < 0.3 * untrained["mean_off_deg"]
    curve = (tmp_path / "run" / "curve.csv").read_text().splitlines()
    assert {"loss_critic_real", "loss_generator_fooled"} <= set(curve[0].split(",")) and len(curve) > 4


@pytest.fixture
def results(tmp_path):
    """A folder of results: a video in which a right hand is seen in two of three frames, a picture, and a recording."""
    from phalanx.core.files import write_json
    from phalanx.hand.model import HandModel, HandPose
    from phalanx.hand.recording import HandRecording, save_recording
    from phalanx.predict.outputs import PICTURE_SCHEMA, VIDEO_SCHEMA, heading

    folder = tmp_path / "results"
    folder.mkdir()
    rest = HandModel.open_hand().rest_joints.double().numpy() + [0.1, 0.0, 0.5]
    hands = [posed_prediction(rest, "right"), posed_prediction(rest, "right", mirrored=True, score=0.8)]
    frames = [
        {"frame": n, "time": n / 10, "hands": [h.to_json() for h in found]}
        for n, found in enumerate((hands, [], hands))
    ]
    write_json(folder / "clip.json", {**heading(VIDEO_SCHEMA, folder / "clip.mp4"), "frames": frames})
    left = posed_prediction(rest * [-1, 1, 1], "left").to_json()
    write_json(folder / "job.json", {"schema": "phalanx.summary/1", "done": [], "skipped": []})
    write_json(folder / "photo.json", {**heading(PICTURE_SCHEMA, folder / "photo.jpg"), "hands": [left]})
    pose = HandPose.zero(4)
    values = (pose.rotations.numpy(), pose.orientation.numpy(), pose.shape.numpy(), np.zeros((4, 21), bool))
    recording = HandRecording("right", np.arange(4), np.arange(4) / 30, np.tile(rest, (4, 1, 1)), *values)
    save_recording(folder / "take_fit.npz", recording)
    return folder


def test_retarget_clip_writes_what_robots_need(results, tmp_path, monkeypatch, capsys):
    program = example("retarget_clip", monkeypatch)
    assert program.retarget(results / "clip.json", tmp_path / "robot") == [tmp_path / "robot" / "clip_right.npz"]
    said = capsys.readouterr().out
    assert (
        "clip.json: right hand in 2 of 3 frames, first at 0.100, 0.000, 0.500 m" in said
        and "retarget(joints[t, task]" in said
    )
    with np.load(tmp_path / "robot" / "clip_right.npz") as file:
        found = {name: file[name] for name in file.files}
    assert found["frames"].tolist() == [0, 2] and found["times"].tolist() == [0, 0.2]
    assert found["wrist_poses"].shape == (2, 4, 4) and found["openxr_radii"].shape == (2, 26)
    np.testing.assert_allclose(found["joints"][:, 9, :2], 0, atol=1e-6)  # the middle MCP lies on the wrist's z axis
    np.testing.assert_allclose(found["openxr_positions"][0, 1], [0.1, 0, -0.5], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(found["openxr_orientations"], axis=2), 1, atol=1e-9)


def test_retarget_clip_joins_a_folder_and_names_what_it_cannot_read(results, tmp_path, monkeypatch):
    program = example("retarget_clip", monkeypatch)
    left, right = program.retarget(results, tmp_path / "robot")
    with np.load(left) as file:
        assert file["frames"].tolist() == [3] and np.isnan(file["times"]).all()
    with np.load(right) as file:
        assert file["frames"].tolist() == [0, 2, 4, 5, 6, 7] and str(file["side"]) == "right"
    (results / "empty").mkdir()
    (results / "list.json").write_text("[1]")
    (results / "cut.json").write_text('{"schema": "phalanx.video/1", "frames": [{"time": 0}]}')
    np.savez(results / "other.npz", a=1)
    for name, says in (
        ("empty", "holds no JSON"),
        ("list.json", "no result of phalanx"),
        ("other.npz", "no recording"),
        ("lost.json", "no such file"),
        ("cut.json", "damaged .KeyError.'hands'"),
    ):
        with pytest.raises(InputError, match=f"{name}: .*{says}"):
            program.retarget(results / name, tmp_path / "robot")


def test_python_of_the_page_for_robots(monkeypatch):
    import phalanx
    from phalanx.hand.model import HandModel

    joints = HandModel.open_hand().rest_joints.double().numpy() + [0.0, 0.0, 0.5]
    hand = posed_prediction(joints * [-1, 1, 1], "right", mirrored=True)
    monkeypatch.setattr(phalanx, "Predictor", lambda: lambda picture: [hand], raising=False)
    page = (EXAMPLES.parent / "docs" / "robots.md").read_text(encoding="utf-8")
    names: dict = {}
    exec(page.partition("```python\n")[2].partition("```")[0], names)
    assert names["poses"].shape == (1, 26, 4, 4) and names["local"].shape == (1, 21, 3)
    np.testing.assert_allclose(names["again"], joints[None], atol=1e-9)


def test_webcam_to_wrist_prints_a_line_a_hand(monkeypatch, capsys):
    program = example("webcam_to_wrist", monkeypatch)
    assert program.follow(str(EXAMPLES / "clip.mp4"), most=3) == 3
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(lines) >= 3 and {"left", "right"} >= {line["side"] for line in lines}
    assert all(len(line["joint_state"]["position"]) == 23 for line in lines)
    assert all(line["pose"]["pose"]["position"]["z"] > 0 for line in lines)


def test_two_webcams_print_one_hand(tmp_path, monkeypatch, capsys):
    """Both cameras show the same clip from one place on: what is far away agrees."""
    program = example("two_webcams", monkeypatch)

    class TwoEyes:
        def __init__(self, rig):
            assert rig == "rig.json"

        def __call__(self, images, time):
            assert len(images) == 2 and images[0].shape == images[1].shape
            view = types.SimpleNamespace(name="left", state="used")
            return types.SimpleNamespace(joints=np.full((21, 3), 0.5), side="right", time=time, views=[view])

    monkeypatch.setattr(program.phalanx, "RigPredictor", TwoEyes, raising=False)
    clip = str(EXAMPLES / "clip.mp4")
    assert program.watch("rig.json", [clip, clip], most=2) == 2
    assert capsys.readouterr().out.count("right wrist at 0.500, 0.500, 0.500 m (left used)") == 2


def test_depth_camera_writes_a_row_a_frame(tmp_path, monkeypatch, capsys):
    program = example("depth_camera", monkeypatch)
    folder = tmp_path / "frames"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(folder / name), np.full((48, 64), 500, np.uint16))
    (folder / "c.png").write_bytes(b"no picture")
    rest = HandModel.open_hand().rest_joints.double().numpy() + [0.0, 0.0, 0.5]
    monkeypatch.setattr(program, "DepthPredictor", lambda: lambda depth, K: posed_prediction(rest, "left"))
    assert program.joints_to_csv(folder, "kinect1", tmp_path / "joints.csv") == 2
    assert "c.png" in capsys.readouterr().err
    rows = list(csv.DictReader((tmp_path / "joints.csv").read_text().splitlines()))
    assert [row["frame"] for row in rows] == ["a.png", "b.png"] and float(rows[0]["wrist_z"]) == pytest.approx(0.5)


def test_the_notebook_runs(tmp_path, monkeypatch):
    notebook = json.loads((EXAMPLES / "first_steps.ipynb").read_text(encoding="utf-8"))
    (tmp_path / "examples").symlink_to(EXAMPLES)
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for cell in notebook["cells"]:
        assert not cell.get("outputs")
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
    assert len(names["hands"]) >= 4 and len(names["angles"]) >= 20
    assert {"overlay.png", "landmarks.json", "hand.glb"} <= {path.name for path in tmp_path.iterdir()}


def test_adapting_without_labels(tmp_path, monkeypatch, capsys):
    from rgbd_folder import see_truly, write_pairs
    from weak_folder import hands

    from phalanx.adapt import rehearsal, rgbd
    from phalanx.train.plan import LoopConfig

    monkeypatch.setattr(rehearsal, "TILES", 2)
    monkeypatch.setattr(rehearsal, "SKINS", 1)
    sample = hands(12)
    monkeypatch.setattr(rgbd, "Predictor", lambda weights: see_truly(sample))
    write_pairs(tmp_path / "recording", sample)
    loop = LoopConfig(
        samples=16, warmup=8, average=8, evaluate_every=10**6, precision="float32", kernel_precision="float32"
    )
    config = rgbd.RgbdAdaptation(loop, hands=4, synthetic=4, buffer=16, held_out=16)
    length = example("adapt_without_labels", monkeypatch).adapt(tmp_path / "recording", tmp_path / "mine", config)
    assert 0.1 < length < 0.3 and (tmp_path / "mine.onnx").exists()
    assert f"--hand-length {length:.3f}" in capsys.readouterr().out
