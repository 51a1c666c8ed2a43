"""The command as a user meets it: exit codes, sentences, files. The network is a tiny untrained one."""

import io
import json
import os
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from phalanx.cli import main

SOURCE = Path(__file__).parents[1] / "src"


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A weights file of a network that has learnt nothing."""
    import torch

    from phalanx.hand.model import HandModel
    from phalanx.methods.compact import CompactConfig, CompactEstimator, save_weights

    torch.manual_seed(0)
    config = CompactConfig(size=64, widths=(8, 8, 8, 8), depths=(0, 1, 1, 1), top_down=(8, 8, 8), hidden=8)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_weights(CompactEstimator(config), path, HandModel.open_hand())
    return path


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.jpg"
    noise = np.random.default_rng(0).integers(0, 255, (12, 16, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((160, 120), Image.Resampling.BICUBIC).save(path)
    return path


@pytest.fixture
def run(tmp_path, capsys, weights):
    """Runs the command in this process, with results in tmp_path/out: exit code, lines on stdout, lines on stderr."""

    def call(*arguments, verb="predict"):
        options = ["--weights", str(weights), "--out", str(tmp_path / "out")] if verb == "predict" else []
        code = main([verb, *options, *map(str, arguments)])
        captured = capsys.readouterr()
        return code, captured.out.splitlines(), captured.err.splitlines()

    return call


def one_sentence(lines, *says):
    assert len(lines) == 1, lines
    assert lines[0].startswith("phalanx: ")
    for text in says:
        assert str(text) in lines[0], lines[0]


def python(*arguments, **options):
    env = {**os.environ, "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=env, **options)


def test_predict_prints_a_line_and_leaves_three_files(run, photo, tmp_path):
    code, out, err = run(photo)
    assert (code, err) == (0, []) and len(out) == 1 and "right hand" in out[0]
    assert sorted(os.listdir(tmp_path / "out")) == ["photo.glb", "photo.json", "photo_overlay.png"]


def test_quiet_and_json(run, photo, tmp_path):
    missing = tmp_path / "missing.png"
    code, out, err = run(photo, missing, "--quiet", "--json", tmp_path / "all.json")
    assert (code, out) == (2, [])
    assert err == [
        f"phalanx: {missing}: cannot be read: no such file or directory",
        "phalanx: 1 of 2 inputs were passed over",
    ]
    data = json.loads((tmp_path / "all.json").read_text())
    assert list(data) == ["schema", "done", "skipped"] and data["schema"] == "phalanx.summary/1"
    assert [d["input"] for d in data["done"]] == [str(photo)]
    assert data["done"][0]["hands"][0]["schema"] == "phalanx.hand/2"
    assert data["skipped"] == [
        {"input": str(missing), "problem": f"{missing}: cannot be read: no such file or directory"}
    ]


def test_options_reach_the_prediction(run, photo, tmp_path):
    options = ["--side", "left", "--mirrored", "--box=-10,0,120,110", "--K", "200,201,80,60", "--hand-length", "0.2"]
    code, _, err = run(photo, *options)
    assert (code, err) == (0, [])
    hand = json.loads((tmp_path / "out" / "photo.json").read_text())["hands"][0]
    assert (hand["side"], hand["mirrored"], hand["camera_source"], hand["scale_source"]) == (
        "left",
        True,
        "given",
        "given",
    )
    assert hand["K"] == [[200, 0, 80], [0, 201, 60], [0, 0, 1]]
    chain = np.array(hand["joints"])[[0, 9, 10, 11, 12]]
    assert np.linalg.norm(np.diff(chain, axis=0), axis=1).sum() == pytest.approx(0.2, abs=1e-4)


def png_of_black(path, width, height):
    """A valid picture of that size, packed in little memory."""

    def chunk(kind, content):
        return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")

    packer = zlib.compressobj(1)
    packed = b"".join(packer.compress(bytes(1 + width)) for _ in range(height)) + packer.flush()
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 0, 0, 0, 0])
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + parts)


def test_a_folder_of_every_bad_picture_and_some_odd_but_good_ones(run, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 255, (120, 160, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG")
    bad = {
        "bad_truncated.jpg": buffer.getvalue()[: len(buffer.getvalue()) // 2],
        "bad_zero.png": b"",
        "bad_text.jpg": b"I am a text file.\n" * 50,
        "bad_video.mp4": b"I am no video.\n" * 50,
    }
    for name, content in bad.items():
        (folder / name).write_bytes(content)
    Image.new("RGB", (1, 1)).save(folder / "bad_dot.png")
    png_of_black(folder / "bad_huge.png", 20_000, 20_000)
    bad_names = sorted([*bad, "bad_dot.png", "bad_huge.png"])

    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(rgb[..., 0]).save(folder / "good_grey.png")
    Image.fromarray(np.dstack([rgb, rgb[..., :1]])).save(folder / "good_rgba.png")
    Image.fromarray(rgb[..., 0].astype(np.uint16) * 257).save(folder / "good_16bit.png")
    Image.fromarray(rgb).convert("CMYK").save(folder / "good_cmyk.jpg")
    Image.fromarray(rgb).save(folder / "good_exif.jpg", exif=exif)
    good_names = sorted(p.stem for p in folder.glob("good_*"))

    code, out, err = run(folder)
    assert code == 2
    assert len(out) == len(good_names) == 5
    assert len(err) == len(bad_names) + 1 and err[-1] == "phalanx: 6 of 11 inputs were passed over"
    for name, line in zip(bad_names, err, strict=False):
        one_sentence([line], f"phalanx: {folder / name}: ")
    expected = [f"{s}{end}" for s in good_names for end in (".glb", ".json", "_overlay.png")]
    assert sorted(os.listdir(tmp_path / "out")) == sorted(expected)
    turned = json.loads((tmp_path / "out" / "good_exif.json").read_text())
    assert (turned["width"], turned["height"]) == (120, 160)


def test_folder_without_pictures(run, photo, tmp_path):
    (tmp_path / "empty").mkdir()
    code, out, err = run(tmp_path / "empty", photo)
    assert code == 2 and len(out) == 1
    one_sentence(err[:1], tmp_path / "empty", "the folder has no pictures")


def test_bad_options(run, photo, tmp_path):
    for options, says in [
        (["--K", "0,500,80,60"], "K: the camera matrix is singular"),
        (["--K", "500,80,60"], "K: must have shape"),
        (["--K", "500;500;80;60"], "argument --K: '500;500;80;60' is not a list of numbers"),
        (["--side", "both"], "argument --side: invalid choice: 'both'"),
        (["--hand-length", "190"], "hand_length: must lie between"),
        (["--device", "toaster"], "'toaster' is not a device"),
        (["--weights", tmp_path / "none.safetensors"], "none.safetensors"),
        (["--colour", "red"], "--colour: there is no such option"),
        (["--json", tmp_path / "photo.jpg" / "a.json"], "cannot be written"),
        (["--json", tmp_path], "cannot be written: it is a folder"),
        (["--box", "1,2,3"], "box: must have shape (4,), has (3,)"),
        (["--box", "1,2,3,-4"], "box: width and height must be positive"),
    ]:
        code, out, err = run(photo, *options)
        assert (code, out) == (2, []), options
        one_sentence(err, says)
    code, out, err = run(photo, "--box", "500,500,80,60")
    assert (code, out) == (2, [])
    one_sentence(err[:1], photo, "box: 500,500,80,60 lies outside the picture of 160x120 pixels")
    assert os.listdir(tmp_path / "out") == []


def test_damaged_weights(run, photo, weights, tmp_path):
    content = weights.read_bytes()
    flipped = bytearray(content)
    flipped[-50] ^= 1
    for name, damaged in [
        ("text", b"these are no weights" * 20),
        ("empty", b""),
        ("half", content[: len(content) // 2]),
        ("flipped", bytes(flipped)),
    ]:
        path = tmp_path / f"{name}.safetensors"
        path.write_bytes(damaged)
        code, out, err = run(photo, "--weights", path)
        assert (code, out) == (2, []), name
        one_sentence(err, path)
    assert os.listdir(tmp_path / "out") == []


def test_output_folder_that_cannot_be_written(run, photo, tmp_path):
    (tmp_path / "file").write_text("")
    for out_folder in (tmp_path / "file", tmp_path / "file" / "below"):
        code, out, err = run(photo, "--out", out_folder)
        assert (code, out) == (2, [])
        one_sentence(err, out_folder, "the output folder cannot be written")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_output_folder_without_permission(run, photo, tmp_path):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    code, _, err = run(photo, "--out", locked)
    assert code == 2
    one_sentence(err, locked, "permission denied")


def test_interruption_is_130_and_leaves_nothing_half_written(run, photo, tmp_path, monkeypatch):
    import phalanx.view.overlay

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(phalanx.view.overlay, "draw_overlay", interrupted)
    code, out, err = run(photo)
    assert (code, out, err) == (130, [], ["phalanx: interrupted"])
    assert os.listdir(tmp_path / "out") == []


def test_a_fault_of_the_program_is_not_dressed_up(run, photo, monkeypatch):
    import phalanx.view.overlay

    def broken(*_):
        raise IndexError("a bug")

    monkeypatch.setattr(phalanx.view.overlay, "draw_overlay", broken)
    with pytest.raises(IndexError):
        run(photo)


def test_help_is_quick_and_teaches():
    code = "import sys; from phalanx.cli import main\ntry: main(['--help'])\nfinally: print('torch' in sys.modules)"
    result = python("-W", "error", "-c", code)
    assert result.stdout.splitlines()[-1] == "False" and "examples:" in result.stdout
    for verb in ("predict", "synth", "evaluate"):
        result = python("-W", "error", "-m", "phalanx", verb, "--help")
        assert result.returncode == 0 and f"phalanx {verb}" in result.stdout and "example" in result.stdout


def test_use_without_a_verb_or_with_a_wrong_one(capsys):
    for arguments in ([], ["predikt"], ["predict"], ["synth"], ["evaluate", "photos3d"]):
        assert main(arguments) == 2
        captured = capsys.readouterr()
        one_sentence(captured.err.splitlines())
        assert captured.out == ""


def test_version(capsys):
    from phalanx import __version__

    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0 and capsys.readouterr().out == f"phalanx {__version__}\n"


def test_as_a_process(photo, weights, tmp_path, monkeypatch):
    """With a name that the terminal's encoding lacks."""
    monkeypatch.setenv("PYTHONIOENCODING", "ascii:strict")
    photo = photo.rename(tmp_path / "phot\N{LATIN SMALL LETTER E WITH ACUTE}.jpg")
    options = ["--weights", str(weights), "--out", str(tmp_path / "out")]
    result = python("-W", "error", "-m", "phalanx", "predict", str(photo), str(tmp_path / "none.png"), *options)
    assert result.returncode == 2, result.stderr
    assert len(result.stdout.splitlines()) == 1 and "phot\\xe9.jpg" in result.stdout
    assert (
        result.stderr.splitlines()[0] == f"phalanx: {tmp_path / 'none.png'}: cannot be read: no such file or directory"
    )
    assert (tmp_path / "out" / "phot\N{LATIN SMALL LETTER E WITH ACUTE}.json").exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ([], "say what to make"),
        (["--preview", "a.png", "--seed", "-1"], "--seed: must be 0 or more"),
        (["--out", "a", "--count", "0"], "--count: must be 1 or more"),
        (["--out", "a", "--workers", "0"], "--workers: must be 1 or more"),
        (["--out", "a", "--seed", "x"], "argument --seed: invalid int value: 'x'"),
        (["--preview", "a.png", "--ray", "local"], "--ray: is for sets"),
        (["--out", "a", "--scene", "hand"], "scene: hand is none of hands"),
        (["--out", "a", "--domain", "real"], "domain: real is none of any, studio, field"),
        (["--out", "a", "--depth-sensor", "sonar"], "depth_sensor: sonar is none of domain, ideal"),
        (["--out", "a", "--camera", "sonar"], "camera: sonar is none of ideal"),
    ],
)
def test_bad_options_of_synth(run, options, says):
    code, out, err = run(*options, verb="synth")
    assert (code, out) == (2, [])
    one_sentence(err, says)


def test_the_help_of_synth_names_all_there_is():
    from phalanx.synth.config import SCENES
    from phalanx.synth.scene.domains import DOMAINS
    from phalanx.synth.sense.sensors import COLOUR_CAMERAS, DEPTH_SENSORS

    text = python("-W", "error", "-m", "phalanx", "synth", "--help").stdout
    for name in (*SCENES, *DOMAINS, *(sensor.name for sensor in (*COLOUR_CAMERAS, *DEPTH_SENSORS))):
        assert name in text, name


def test_evaluate_refuses_options_that_saved_predictions_leave_no_room_for(run, tmp_path):
    for options in (["--weights", "a.safetensors"], ["--focal", "given"]):
        code, out, err = run("photos3d", tmp_path, "--predictions", "p.npz", *options, verb="evaluate")
        assert (code, out) == (2, [])
        one_sentence(err, "--predictions: ")


def test_evaluate_hgr_prints_the_published_figures_beside(run, tmp_path):
    for kind in ("images/original_images", "skin/skin_masks", "feature_pts/feature_points"):
        (tmp_path / f"hgr1_{kind}").mkdir(parents=True)
    name = "5_P_hgr1_id01_1"
    Image.new("RGB", (60, 80), "tan").save(tmp_path / f"hgr1_images/original_images/{name}.jpg")
    skin = np.zeros((80, 60), bool)
    skin[10:, 20:50] = True
    Image.fromarray(~skin).save(tmp_path / f"hgr1_skin/skin_masks/{name}.bmp")
    points = "".join(f'<FeaturePoint category="End" x="{x}" y="12"/>' for x in (20, 30, 45))
    xml = tmp_path / f"hgr1_feature_pts/feature_points/{name}.xml"
    xml.write_text(f"<image><hand>{points}</hand></image>")
    options = ["--split", "hgr1", "--part"]
    code, out, err = run("hgr", tmp_path, *options, "--quiet", verb="evaluate")
    assert (code, out) == (2, [])
    one_sentence(err, "is a tip by its category; there are End")
    code, out, err = run("hgr", tmp_path, *options, "--tips", "End,Top", "--save", tmp_path / "p.npz", verb="evaluate")
    assert (code, err) == (0, []) and any("361.47" in line for line in out)
    options = ["--split", "hgr1", "--part", "--tips", "end", "--predictions", tmp_path / "p.npz"]
    code, again, err = run("hgr", tmp_path, *options, verb="evaluate")
    assert (code, again, err) == (0, out, [])
    code, out, err = run("hgr", tmp_path, *options, "--save", tmp_path / "q.npz", verb="evaluate")
    one_sentence(err, "--predictions: ")
    code, out, err = run("hgr", tmp_path, "--predictions", "p.npz", verb="evaluate")
    assert code == 2
    one_sentence(err, "899 pictures expected, 1 found")


def test_evaluate_nyu_says_what_is_a_part_of_the_set(run, tmp_path):
    (tmp_path / "true.txt").write_text((" ".join(["100 200 700"] * 14) + "\n") * 3)
    options = ["--predictions", tmp_path / "true.txt", "--ground-truth", tmp_path / "true.txt"]
    code, out, err = run("nyu", *options, verb="evaluate")
    assert (code, err) == (0, []) and "0.00 mm (median 0.00) over 3 frames, a part of the 8,252" in out[0]


def test_evaluate_gestures_and_synth_in_two_steps(run, weights, tmp_path):
    for gesture in ("fist", "open"):
        (tmp_path / "signs" / gesture).mkdir(parents=True)
        for i in range(5):
            noise = np.random.default_rng(i).integers(0, 255, (60, 60, 3), dtype=np.uint8)
            Image.fromarray(noise).save(tmp_path / "signs" / gesture / f"{i}.png")
    for options in (["gestures", "folders", tmp_path / "signs"], ["synth", "--count", 2]):
        saved, scores = tmp_path / f"{options[0]}.npz", tmp_path / f"{options[0]}.json"
        code, out, err = run(*options, "--weights", weights, "--save", saved, verb="evaluate")
        assert (code, err) == (0, [])
        code, again, err = run(*options, "--predictions", saved, "--json", scores, verb="evaluate")
        assert (code, again, err) == (0, out, []) and scores.exists()
        code, out, err = run(*options, "--predictions", saved, "--save", saved, verb="evaluate")
        assert (code, out) == (2, [])
        one_sentence(err, "--predictions: ")
    code, out, err = run(tmp_path / "gestures.json", "--out", tmp_path / "pages", verb="report")
    assert (code, err) == (0, []) and (tmp_path / "pages/gestures_folders.md").exists()


def test_evaluate_without_data(run, tmp_path):
    code, out, err = run("photos3d", tmp_path / "none", "--predictions", "none.npz", verb="evaluate")
    assert (code, out) == (2, [])
    one_sentence(err, tmp_path / "none")


def test_synth_makes_the_set_that_is_asked_for(run, tmp_path, monkeypatch):
    import phalanx.synth.sets.sets

    asked = []
    monkeypatch.setattr(
        phalanx.synth.sets.sets,
        "make_set",
        lambda plan, out, workers, say, progress, ray: (
            asked.append((plan, out, workers, ray)) or f"{out}/manifest.json"
        ),
    )
    options = [
        "--seed",
        "5",
        "--count",
        "33",
        "--size",
        "32",
        "--workers",
        "2",
        "--backgrounds",
        tmp_path,
        "--views",
        "4",
        "--ray",
        "head:6379",
    ]
    code, out, err = run("--out", tmp_path / "samples", *options, verb="synth")
    assert (code, err, len(out)) == (0, [], 2)
    assert out[0] == "36 pictures instead of 33, so that every hand has all of its 4"
    ((plan, folder, workers, ray),) = asked
    assert (plan.seed, plan.count, workers, folder, ray) == (5, 36, 2, str(tmp_path / "samples"), "head:6379")
    assert (plan.config.size, plan.config.rig, plan.config.backgrounds) == (32, "ring4", tmp_path)
    for options, says in [
        (["--backgrounds", tmp_path / "none"], tmp_path / "none"),
        (["--rig", tmp_path / "none.json"], tmp_path / "none.json"),
        (["--rig", "stereo", "--views", "2"], "--rig and --views say the same"),
        (["--views", "0"], "--views: must be 1 or more, got 0"),
        (["--views", "65"], "views: must lie between 1 and 64, not 65"),
        (["--count", "0"], "--count: must be 1 or more, got 0"),
    ]:
        code, _, err = run("--out", tmp_path / "samples", *options, verb="synth")
        assert code == 2
        one_sentence(err, says)
    assert len(asked) == 1


def test_synth_preview_has_the_asked_pictures(run, tmp_path, monkeypatch):
    import phalanx.synth.preview

    asked = []
    monkeypatch.setattr(
        phalanx.synth.preview, "save_sheet", lambda path, seed, **options: asked.append((path, seed, options))
    )
    code, out, err = run("--preview", "sheet.png", "--seed", "3", "--count", "24", "--size", "64", verb="synth")
    assert (code, err, len(out)) == (0, [], 1)
    ((path, seed, options),) = asked
    assert (path, seed, options["rows"], options["columns"], options["size"]) == ("sheet.png", 3, 3, 10, 64)


@pytest.fixture
def trained(monkeypatch):
    """Calls of the training run, which is not run."""
    import phalanx.train.compact

    calls = []
    monkeypatch.setattr(
        phalanx.train.compact, "run", lambda config, out, resume: calls.append((config, out, resume)) or "weights.file"
    )
    return calls


def test_train_takes_every_setting_from_line_and_file(run, tmp_path, trained):
    (tmp_path / "a.yaml").write_text("seed: 4\nloop:\n  minutes: 7\n  warmup: 9\nphases:\n- {until: 1.0, size: 64}\n")
    options = ["--config", tmp_path / "a.yaml", "--resume", "--loop.minutes", "2.5", "--model.widths", "[8,8,8,8]"]
    code, out, err = run("--out", tmp_path / "run", *options, verb="train")
    assert (code, err, out) == (0, [], ["weights -> weights.file"])
    ((config, folder, resume),) = trained
    assert (folder, resume) == (str(tmp_path / "run"), True)
    assert (config.seed, config.loop.minutes, config.loop.warmup, config.model.widths) == (4, 2.5, 9, (8, 8, 8, 8))
    assert [(phase.until, phase.size) for phase in config.phases] == [(1.0, 64)]
    assert type(config.synth).__name__ == "SynthConfig"


def test_help_of_train_says_what_every_setting_means(capsys):
    from dataclasses import fields

    from phalanx.core.settings import field_descriptions, nested_settings
    from phalanx.train.compact import TrainConfig

    with pytest.raises(SystemExit) as stop:
        main(["train", "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert stop.value.code == 0 and "<class" not in shown and "%%" not in shown
    parts = nested_settings(TrainConfig)
    assert {"", "loop", "model", "model.weights", "synth"} <= parts.keys()
    for part in parts.values():
        described = field_descriptions(part)
        assert described.keys() == {field.name for field in fields(part)}
        for text in described.values():
            assert text.replace("%", "per cent") in shown


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ([], "required"),
        (["--out", "a", "--loop.minutes", "soon"], "loop.minutes"),
        (["--out", "a", "--loop.colour", "red"], "recognized arguments: --loop.colour"),
        (["--out", "a", "--config", "none.yaml"], "none.yaml"),
        (["--out", "a", "--synth.size", "3"], "size: must be a multiple of 16"),
    ],
)
def test_bad_options_of_train(run, trained, options, says):
    code, out, err = run(*options, verb="train")
    assert (code, out, trained) == (2, [], [])
    one_sentence(err, says)
