"""Adapting the default estimator to a folder of pictures, in miniature: what is written serves, and a killed run goes on exactly."""

import json
from dataclasses import replace
from functools import partial

import cv2
import pytest
import torch
from frames import UNIT, camera_text, write_depth
from small_estimator import SMALL
from weak_folder import change_labels, hands, write_folder

from phalanx.adapt import colour_model, rehearsal
from phalanx.adapt import weak as module
from phalanx.adapt.weak import WeakAdaptation, adapt_weak
from phalanx.adapt.weak_drawn import UnpairedFiles
from phalanx.adapt.weak_files import WeakFiles
from phalanx.adapt.weak_pictures import errors_2d, read_weak_pictures
from phalanx.cli import main
from phalanx.core.errors import InputError
from phalanx.core.files import read_json
from phalanx.methods.compact import load_trainable
from phalanx.predict.runtime import load_estimator
from phalanx.train.plan import LoopConfig

LOOP = LoopConfig(
    samples=96, warmup=16, average=50, evaluate_every=10**6, precision="float32", kernel_precision="float32"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("weak") / "pictures"
    write_folder(path, hands(16))
    (path / "depth" / "3.png").unlink()
    change_labels(path, lambda data: data["annotations"].pop(5))
    return path


@pytest.fixture(autouse=True)
def cheap(monkeypatch):
    """Synthesis with little in memory."""
    monkeypatch.setattr(rehearsal, "TILES", 2)
    monkeypatch.setattr(rehearsal, "SKINS", 1)


def config(**changes):
    small = WeakAdaptation(
        LOOP, hands=8, synthetic=8, buffer=32, regularizer_samples=64, regularizer_batch=16, held_out=32
    )
    return replace(small, **changes)


def silent(*_):
    pass


@pytest.fixture
def no_model(monkeypatch):
    """Models are not made, which takes seconds: only their names are."""
    monkeypatch.setattr(colour_model, "export", lambda network, path, *_: path.touch())


def test_the_command_leaves_a_model_that_predicts(folder, start, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(module, "WeakAdaptation", lambda workers: config(workers=workers))
    out = tmp_path / "mine"
    words = ["adapt", "weak", "--data", str(folder), "--out", str(out), "--weights", str(start), "--side", "right"]
    assert main(words) == 0
    figures = json.loads((out / "adapted.json").read_text())
    assert (figures["pictures"], figures["pictures with nothing"], figures["pictures with depth and no joints"]) == (
        16,
        0,
        1,
    )
    assert figures["hands"] == 15 and figures["held_back"] == 0 and figures["skipped"] == []
    assert figures["hands with depth"] == 14 - sum(figures["depth_left_out"].values()) > 8
    assert figures["terms"]["depth regularizer"].endswith("hands") and figures["terms"]["3D joints"].startswith(
        "left out"
    )
    assert set(figures["before"]) == set(figures["after"]) and figures["verdict"]
    assert cv2.imread(str(out / "adapted.png")).shape == (3 * 128, 6 * 128, 3)
    card = read_json(tmp_path / "mine.json")
    assert [source["kind"] for source in card["data"]] == ["a user's pictures", "own synthesis"]
    assert (
        card["data"][0]["labels"].startswith("2D joints of 15 hands, depth of") and card["start"]["file"] == start.name
    )
    assert load_estimator(tmp_path / "mine.onnx").session.about["card"] == card
    assert load_trainable(tmp_path / "mine.safetensors").config == SMALL
    photo = str(folder / "images" / "0.png")
    options = ["--box", "whole", "--side", "right", "--out", str(tmp_path / "p")]
    assert main(["predict", photo, "--weights", str(tmp_path / "mine.onnx"), *options]) == 0
    assert json.loads((tmp_path / "p" / "0.json").read_text())["hands"]
    assert "depth is compared of" in capsys.readouterr().out


def test_labelled_joints_come_nearer(folder, start, tmp_path, no_model):
    loop = replace(LOOP, samples=1_000, learning_rate=5e-3, kernel_rate=5e-2, average=100)
    figures = adapt_weak(
        WeakFiles(folder, side="right"),
        tmp_path / "mine",
        start,
        config(loop=loop, hands=20, synthetic=0, depth_weight=0.0),
        say=silent,
    )
    assert figures["after"]["judged_2d_px_of_256"] < 0.9 * figures["before"]["judged_2d_px_of_256"]
    assert figures["lowered"] and figures["terms"]["depth regularizer"] == "left out: its weight is 0"


def test_a_killed_run_goes_on_exactly(folder, start, tmp_path, no_model):
    loop = replace(LOOP, samples=160, checkpoint_minutes=0.0)
    fit = partial(adapt_weak, WeakFiles(folder, side="right"), weights=start, config=config(loop=loop), complain=silent)
    figures = fit(tmp_path / "whole", say=silent)

    class Killed(Exception):
        pass

    said = []

    def die(line):
        said.append(line)
        if line.startswith("stage 2"):
            raise Killed

    early = replace(loop, evaluate_every=64)
    torch.manual_seed(99)  # whatever was drawn before
    with pytest.raises(Killed):
        fit(tmp_path / "killed", say=die, config=config(loop=early))
    assert not (tmp_path / "killed.onnx").exists()
    with pytest.raises(InputError, match=r"a run is already here; resume it"):
        fit(tmp_path / "killed", say=silent)
    again = fit(tmp_path / "killed", say=said.append, resume=True)
    assert any(line.startswith("resumed at ") for line in said)
    assert again["after"] == figures["after"]
    same, other = (load_trainable(tmp_path / f"{name}.safetensors").state_dict() for name in ("whole", "killed"))
    assert all(torch.equal(value, other[name]) for name, value in same.items())
    with pytest.raises(InputError, match=r"belongs to a run with another configuration \(hands, "):
        fit(tmp_path / "killed", say=silent, resume=True, config=config(loop=loop, hands=6))


def test_depth_of_other_hands_is_drawn_for_pictures_without(folder, start, tmp_path, no_model):
    frames = tmp_path / "frames"
    sample = hands()
    for row in range(4):
        write_depth(frames / f"{row}.png", sample.depth[row])
    unpaired = UnpairedFiles(frames, camera_text(sample.K[0]), UNIT)
    loop = replace(LOOP, checkpoint_minutes=0.0)
    fit = partial(
        adapt_weak,
        WeakFiles(folder, side="right"),
        weights=start,
        config=config(loop=loop),
        complain=silent,
        unpaired=unpaired,
    )
    figures = fit(tmp_path / "whole", say=silent)
    assert (
        figures["terms"]["drawn depth"]
        .split(" hands without depth, judged against ")[1]
        .endswith("frames of other hands")
    )
    curve = (tmp_path / "whole" / "run" / "curve.csv").read_text()
    assert "drawn_map" in curve and "generator_fooled" in curve and "generator_near" in curve

    def die(line):
        if line.startswith("stage 2"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "killed", say=die)
    (frames / "1.png").unlink()  # as if there had been less time for reading: it goes on with what was read
    assert fit(tmp_path / "killed", say=silent, resume=True)["after"] == figures["after"]


def test_depth_is_drawn_in_the_precision_that_is_faster(folder, start, tmp_path, no_model):
    """As the command does it: nobody says which."""
    write_depth(tmp_path / "frames" / "0.png", hands().depth[0])
    unpaired = UnpairedFiles(tmp_path / "frames", camera_text(hands().K[0]), UNIT)
    loop = replace(LOOP, samples=24, precision="auto", kernel_precision="auto")
    figures = adapt_weak(
        WeakFiles(folder, side="right"),
        tmp_path / "mine",
        start,
        config(loop=loop, regularizer_samples=16),
        say=silent,
        complain=silent,
        unpaired=unpaired,
    )
    assert figures["terms"]["drawn depth"].endswith("judged against 1 depth frames of other hands")


def test_no_picture_is_learnt_from_and_held_back():
    names = [str(number // 3) for number in range(24)]  # three hands a picture
    assert module._held_back(names) == (list(range(21)), [21, 22, 23])
    assert module._held_back(sorted(["a"] * 21 + ["b"] * 2)) == (list(range(21)), [21, 22])
    assert module._held_back(["a"] * 20) == (list(range(20)), [])


def test_a_camera_of_no_frames_is_refused(folder, tmp_path, capsys):
    words = ["adapt", "weak", "--data", str(folder), "--out", str(tmp_path / "m"), "--unpaired-camera", "sr305"]
    assert main(words) == 2
    assert "--unpaired-depth, which is not given" in capsys.readouterr().err


def test_joints_alone_and_3d_joints(tmp_path, start, no_model):
    sample = hands(16)
    write_folder(tmp_path / "pictures", sample, with_3d=True)
    for path in (tmp_path / "pictures" / "depth").iterdir():
        path.unlink()
    said = []
    figures = adapt_weak(
        WeakFiles(tmp_path / "pictures"), tmp_path / "m.onnx", start, config(synthetic=0), say=said.append
    )
    assert figures["terms"]["depth regularizer"] == "left out: no hand has depth that can be compared"
    assert figures["terms"]["3D joints"] == "16 hands" and figures["terms"]["synthesis"].startswith("left out")
    assert figures["held_back"] == 2 and "judged_depth_px_of_256" in figures["after"] and figures["sources"] == {}
    assert not any("stage" in line for line in said)  # one stage only
    assert (tmp_path / "m.onnx").exists() and (tmp_path / "m" / "adapted.json").exists()
    network = load_trainable(tmp_path / "m.safetensors")
    assert errors_2d(read_weak_pictures(WeakFiles(tmp_path / "pictures"), network.eval()).hands, network).shape == (16,)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"hands": 1}, r"needs at least two hands a step"),
        ({"loop": replace(LOOP, samples=None, minutes=0.0)}, r"give a positive number of samples or minutes"),
        (
            {"loop": replace(LOOP, samples=None, minutes=1e-4)},
            r"minutes: 0\.0001 are too few, for loading and reading took",
        ),
        ({"loop": replace(LOOP, device="abacus")}, r"abacus"),
    ],
)
def test_settings_at_fault(folder, start, tmp_path, changes, says):
    with pytest.raises(InputError, match=says):
        adapt_weak(WeakFiles(folder), tmp_path / "mine", start, config(**changes), say=silent, complain=silent)
    assert not (tmp_path / "mine.onnx").exists()


def test_seconds_of_the_budget_are_told(folder, start, tmp_path):
    told = []
    loop = replace(LOOP, samples=None, minutes=1.0)

    def stop(line):
        if "waiting" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        adapt_weak(
            WeakFiles(folder),
            tmp_path / "mine",
            start,
            config(loop=loop),
            say=stop,
            progress=lambda *seconds: told.append(seconds),
        )
    assert told and all(0 <= done <= total == 60 for done, total in told)
