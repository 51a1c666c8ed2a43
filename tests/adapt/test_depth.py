"""Fitting to one's own recordings, in miniature: frames of one camera and of a rig, left hands, frames that are no good."""

import contextlib
import json

import cv2
import numpy as np
import pytest
import torch

from phalanx.adapt.depth import fit_errors, read_recording
from phalanx.cli import main
from phalanx.core.errors import InputError
from phalanx.hand.model import HandModel
from phalanx.hand.prediction import HandPrediction
from phalanx.methods.sphere_fitting import SphereFittingConfig, SphereFittingEstimator, load, save_weights
from phalanx.synth import SynthConfig, make_chunk

UNIT = 0.001


@pytest.fixture(autouse=True)
def lenient(monkeypatch):
    """Untrained networks fit no hand."""
    monkeypatch.setattr("phalanx.adapt.depth._MOST_ERROR", 1.0)
    monkeypatch.setattr("phalanx.predict.depth.MOST_ERROR", 1.0)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "start.safetensors"
    torch.manual_seed(0)
    save_weights(SphereFittingEstimator(SphereFittingConfig(size=64, width=16, points=64)), path, HandModel.open_hand())
    return path


@pytest.fixture(scope="module")
def sample():
    return make_chunk(SynthConfig(size=96, chunk=6, rig="ring3", tiles=2, skins=1), 4, 0)


def camera(K):
    return f"{K[0, 0]},{K[1, 1]},{K[0, 2]},{K[1, 2]}"


def write(path, depth):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.round(np.asarray(depth) / UNIT).astype(np.uint16))


@pytest.fixture
def rig(tmp_path, sample):
    """Three cameras in the layout of `data.folders.RigFolder`, two frames; the third camera misses one."""
    folder = tmp_path / "rig"
    for index, (hand, _, view) in enumerate(sample.ids.tolist()):
        write(folder / f"c{view}" / f"{hand}.png", sample.depth[index])
    (folder / "c2" / "1.png").unlink()
    cameras = [
        {"name": f"c{v}", "K": sample.K[v].tolist(), "world_to_camera": sample.world_to_camera[v].tolist()}
        for v in range(3)
    ]
    (folder / "rig.json").write_text(json.dumps({"width": 96, "height": 96, "cameras": cameras}))
    return folder


def test_frames_of_a_camera_are_cut_out_and_bad_ones_named(tmp_path, weights, sample):
    folder = tmp_path / "frames"
    write(folder / "a.png", sample.depth[0])
    write(folder / "b.png", np.zeros((96, 96)))
    speck = np.zeros((96, 96))
    speck[50, 50] = 0.5
    write(folder / "c.png", speck)
    (folder / "d.png").write_bytes(b"no picture")
    said = []
    network = load(weights, trainable=True).eval()
    recording = read_recording(folder, camera(sample.K[0]), network, UNIT, complain=said.append)
    assert recording.names == ["a.png"] and recording.views.maps.shape == (1, 1, 64, 64)
    assert recording.views.joints is None
    problems = [entry["problem"] for entry in recording.skipped]
    assert problems == said and len(problems) == 3
    assert "is empty" in problems[0] and "no hand is seen" in problems[1] and "d.png" in problems[2]
    assert (recording.views.maps < 0.15).float().mean() > 0.03
    with pytest.raises(InputError, match="none of its 1 frames"):
        (folder / "a.png").unlink(), (folder / "b.png").unlink(), (folder / "d.png").unlink()
        read_recording(folder, camera(sample.K[0]), network, UNIT, complain=said.append)
    with pytest.raises(InputError, match="no such folder"):
        read_recording(folder / "none", "azure", network)


def test_left_hands_are_mirrored(tmp_path, weights, sample):
    network = load(weights, trainable=True).eval()
    write(tmp_path / "right" / "a.png", sample.depth[0])
    write(tmp_path / "left" / "a.png", sample.depth[0].flip(-1))
    K = sample.K[0].clone()
    right = read_recording(tmp_path / "right", camera(K), network, UNIT)
    K[0, 2] = 95 - K[0, 2]
    left = read_recording(tmp_path / "left", camera(K), network, UNIT, "left")
    assert torch.allclose(left.views.middles, right.views.middles, atol=2e-4)
    assert (left.views.maps - right.views.maps).abs().mean() < 2e-3


def test_views_of_a_rig_go_together(rig, weights, sample):
    said = []
    network = load(weights, trainable=True).eval()
    recording = read_recording(rig, "500,500,1,1", network, UNIT, complain=said.append)
    assert recording.views.maps.shape == (1, 3, 64, 64) and recording.names == ["c0/0.png"]
    (problem,) = said
    assert "c2/1.png: is missing, so that what other cameras have of it is not used" in problem
    assert recording.skipped == [{"input": str(rig / "c2" / "1.png"), "problem": problem}]
    # The same joint, seen from each camera, is one point.
    joint = (sample.joints[:3] - recording.views.middles[0, :, None])[:, 9]
    first = torch.einsum("vij,vj->vi", recording.views.to_first[0, :, :3, :3], joint)
    first = first + recording.views.to_first[0, :, :3, 3]
    assert torch.allclose(first, first[:1].expand(3, 3), atol=1e-4)


def test_faults_of_a_rigs_frames_are_said_and_the_others_used(rig, weights, sample):
    network = load(weights, trainable=True).eval()
    write(rig / "c2" / "1.png", sample.depth[5][:48])

    def problems():
        said = []
        with contextlib.suppress(InputError):
            read_recording(rig, "azure", network, UNIT, complain=said.append)
        return said

    assert ["c2/1.png: has 96x48, and not 96x96 pixels as rig.json says" in problem for problem in problems()] == [True]
    about = json.loads((rig / "rig.json").read_text())
    about["cameras"][1]["world_to_camera"][0][3] += 300.0  # as if in millimetres
    (rig / "rig.json").write_text(json.dumps(about))
    assert ["c1/0.png: the hand is 299.9" in problem for problem in problems()] == [True, False]
    with pytest.raises(InputError, match="box and mask are of one camera's frames"):
        read_recording(rig, "azure", network, UNIT, box=(0, 0, 9, 9))


def test_box_and_mask_say_where_the_hand_is(tmp_path, weights, sample):
    network = load(weights, trainable=True).eval()
    both = sample.depth[0].clone()
    both[:, :20] = 0.2  # something nearer
    write(tmp_path / "frames" / "a.png", both)
    mask = np.full((96, 96), 255, np.uint8)
    mask[:, :20] = 0
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    K = camera(sample.K[0])
    boxed = read_recording(tmp_path / "frames", K, network, UNIT, box=(20, 0, 76, 96))
    masked = read_recording(tmp_path / "frames", K, network, UNIT, mask=tmp_path / "mask.png")
    assert torch.equal(boxed.views.maps, masked.views.maps)
    cv2.imwrite(str(tmp_path / "mask.png"), mask[:50])
    with pytest.raises(InputError, match="none of its 1 frames"):
        read_recording(tmp_path / "frames", K, network, UNIT, mask=tmp_path / "mask.png", complain=lambda said: None)
    with pytest.raises(InputError, match="box: must have shape"):
        read_recording(tmp_path / "frames", K, network, UNIT, box=(0, 0, 20))
    with pytest.raises(InputError, match="neither one of kinect1"):
        read_recording(tmp_path / "frames", "sr3O5", network)


def test_the_command_leaves_weights_pictures_and_figures(rig, tmp_path, weights, sample, capsys):
    write(rig / "c2" / "1.png", sample.depth[5])
    out = tmp_path / "out"
    arguments = ["--camera", "500,500,1,1", "--unit", str(UNIT), "--weights", str(weights), "--workers", "0"]
    assert main(["adapt", "depth", "--data", str(rig), *arguments, "--out", str(out), "--minutes", "0.02"]) == 0
    figures = json.loads((out / "adapted.json").read_text())
    assert figures["frames"] == 2 and figures["views"] == 3 and figures["skipped"] == []
    assert figures["fit_error_before_mm"] > 0 and figures["fit_error_after_mm"] > 0
    assert cv2.imread(str(out / "adapted.png")).shape == (3 * 128, 6 * 128, 3)
    assert load(out / "sphere_fitting.safetensors").config.width == 16
    frame = rig / "c0" / "0.png"
    options = ["--depth", "--camera", camera(sample.K[0]), "--unit", str(UNIT), "--side", "right"]
    done = main(
        [
            "predict",
            str(frame),
            *options,
            "--weights",
            str(out / "sphere_fitting.safetensors"),
            "--out",
            str(tmp_path / "p"),
        ]
    )
    assert done == 0
    (hand,) = json.loads((tmp_path / "p" / "0.json").read_text())["hands"]
    assert HandPrediction.from_json(hand).to_json() == hand
    assert len(hand["spheres"]) == 41 and hand["scale_source"] == "depth" and hand["fit_error_mm"] >= 0
    assert (tmp_path / "p" / "0.glb").exists() and (tmp_path / "p" / "0_overlay.png").exists()
    capsys.readouterr()
    assert main(["predict", str(frame), "--depth", "--weights", str(weights), "--out", str(tmp_path / "q")]) == 2
    assert "which --camera" in capsys.readouterr().err


def test_fit_errors_are_of_what_both_show():
    class Still(torch.nn.Module):
        def forward(self, maps):
            centres = torch.zeros(len(maps), 41, 3)
            centres[:, 1:, 0] = 0.14  # all but one out of the way
            centres[:, 1:, 2] = -0.2
            return centres

    flat = torch.full((2, 64, 64), 0.15)
    flat[0, 31:33, 31:33] = 0.0
    errors = fit_errors(Still(), flat)
    assert 15 < errors[0] < 20 and errors[1] == 0  # the first sphere's radius is 17.9 mm
