"""`phalanx predict`: lines, files, complaints."""

import io
import json
import os
import zlib

import numpy as np
import pytest
from command_line import one_sentence, python
from PIL import Image

from phalanx.cli import main
from phalanx.geometry.crops import SquareBox
from phalanx.predict.detection import Detection
from phalanx.predict.inputs import MAX_HANDS, MIN_SCORE
from phalanx.predict.merge import FAINT
from phalanx.predict.predictor import MAX_CLAIMS


@pytest.fixture(autouse=True)
def claims(monkeypatch):
    """What the stand-in for a detector claims: by default one hand of unknown side all over the picture."""
    made = [Detection((10.0, 10.0, 100.0, 100.0), 0.9, 0.5, SquareBox(79.5, 59.5, 130.0))]
    monkeypatch.setattr("phalanx.predict.predictor.Predictor.load_detector", lambda predictor: "a stand-in")
    monkeypatch.setattr("phalanx.predict.predictor.find_hands", lambda detector, image, most, least: made[:most])
    monkeypatch.setattr(
        "phalanx.predict.predictor.is_hand", lambda joints, score, square: True
    )  # it has learnt nothing
    return made


def test_predict_prints_a_line_and_leaves_three_files(run, photo, tmp_path):
    code, out, err = run(photo, "--side", "right")
    assert (code, err) == (0, []) and len(out) == 1 and "right hand" in out[0]
    assert sorted(os.listdir(tmp_path / "out")) == ["photo.glb", "photo.json", "photo_overlay.png"]


def test_no_hand_is_no_error(run, photo, tmp_path, claims):
    claims.clear()
    code, out, err = run(photo, "--json", tmp_path / "all.json")
    assert (code, out, err) == (0, [f"{photo}: no hand -> {tmp_path / 'out' / 'photo_overlay.png'}"], [])
    data = json.loads((tmp_path / "all.json").read_text())
    assert data["done"][0]["hands"] == [] and data["skipped"] == []


def test_how_many_hands_and_how_sure(run, photo, monkeypatch):
    asked = []
    monkeypatch.setattr("phalanx.predict.predictor.find_hands", lambda *given: asked.append(given[2:]) or [])
    assert run(photo)[0] == run(photo, "--max-hands", "20", "--min-score", "0.25")[0] == 0
    assert asked == [(8 + MAX_CLAIMS, FAINT), (20 + MAX_CLAIMS, FAINT)]


def test_box_may_be_the_whole_picture(run, photo, tmp_path, claims):
    claims.clear()
    code, out, err = run(photo, "--box", "whole", "--side", "right")
    assert (code, err, len(out)) == (0, [], 1) and "right hand" in out[0]
    hand = json.loads((tmp_path / "out" / "photo.json").read_text())["hands"][0]
    assert "detection" not in hand


def test_quiet_and_json(run, photo, tmp_path):
    missing = tmp_path / "missing.png"
    code, out, err = run(photo, missing, "--quiet", "--json", tmp_path / "all.json")
    assert (code, out) == (2, [])
    assert err == [
        f"phalanx: {missing}: cannot be read: no such file or directory",
        "phalanx: 1 of 2 inputs were skipped",
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


def test_a_camera_out_of_a_file(run, photo, tmp_path):
    lens = {"model": "inverse_brown_conrady", "coeffs": [0.1, 0, 0, 0, 0]}
    camera = {"width": 320, "height": 240, "fx": 400, "fy": 402, "ppx": 160.5, "ppy": 120.5, **lens}
    (tmp_path / "camera.json").write_text(json.dumps(camera))
    code, out, err = run(photo, "--K", tmp_path / "camera.json")
    assert (code, err) == (0, []) and "camera scaled from 320x240 to 160x120" in out[0]
    hand = json.loads((tmp_path / "out" / "photo.json").read_text())["hands"][0]
    assert hand["K"] == [[200, 0, 80], [0, 201, 60], [0, 0, 1]] and hand["camera_source"] == "given"
    assert hand["distortion_model"] == "inverse radial-tangential" and hand["distortion"] == [0.1, 0, 0, 0, 0]


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
    assert len(err) == len(bad_names) + 1 and err[-1] == "phalanx: 6 of 11 inputs were skipped"
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
        (["--K", "500;500;80;60"], "argument --K: '500;500;80;60' is neither numbers with commas between nor a file"),
        (["--K", "none.yaml"], "none.yaml: cannot be read: no such file"),
        (["--side", "both"], "argument --side: invalid choice: 'both'"),
        (["--hand-length", "190"], "hand_length: must lie between"),
        (["--device", "toaster"], "'toaster' is not a device"),
        (["--weights", tmp_path / "none.safetensors"], "none.safetensors"),
        (["--colour", "red"], "--colour: there is no such option"),
        (["--box", "all"], "argument --box: 'all' is not a list of numbers with commas between"),
        (["--max-hands", "0"], "max_hands: must be a whole number of at least 1, not 0"),
        (["--max-hands", "many"], "argument --max-hands: invalid int value: 'many'"),
        (["--min-score", "7"], "min_score: must lie between 0 and 1, got 7"),
        (
            ["--box", "whole", "--max-hands", "2"],
            "--max-hands, --min-score: are for finding hands; with --box there is one",
        ),
        (
            ["--depth", "--camera", "sr305", "--max-hands", "2"],
            "--max-hands, --min-score, --box whole: are for pictures",
        ),
        (["--depth", "--camera", "sr305", "--box", "whole"], "--max-hands, --min-score, --box whole: are for pictures"),
        (["--depth-frames", tmp_path / "none"], "none: is no folder of depth frames"),
        (["--depth-frames", tmp_path, "--hand-length", "0.19"], "--hand-length: does not go with --depth-frames"),
        (["--depth", "--depth-frames", tmp_path, "--camera", "sr305"], "--depth-frames: go with pictures in colour"),
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


def test_as_a_process(photo, weights, tmp_path, monkeypatch):
    """With a name that the terminal's encoding lacks."""
    monkeypatch.setenv("PYTHONIOENCODING", "ascii:strict")
    photo = photo.rename(tmp_path / "phot\N{LATIN SMALL LETTER E WITH ACUTE}.jpg")
    options = ["--weights", str(weights), "--out", str(tmp_path / "out"), "--box", "whole"]
    result = python("-m", "phalanx", "predict", str(photo), str(tmp_path / "none.png"), *options)
    assert result.returncode == 2, result.stderr
    assert len(result.stdout.splitlines()) == 1 and "phot\\xe9.jpg" in result.stdout
    assert (
        result.stderr.splitlines()[0] == f"phalanx: {tmp_path / 'none.png'}: cannot be read: no such file or directory"
    )
    assert (tmp_path / "out" / "phot\N{LATIN SMALL LETTER E WITH ACUTE}.json").exists()


@pytest.mark.parametrize("verb", ["predict", "live"])
def test_help_names_the_limits_that_are_taken(capsys, verb):
    with pytest.raises(SystemExit):
        main([verb, "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert f"(default: {MAX_HANDS})" in shown and f"0 to 1 (default: {MIN_SCORE:g})" in shown
