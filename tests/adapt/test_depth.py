"""Fitting to one's own recordings, in miniature: joints come nearer, and the command leaves all that it says."""

import json
import math
from dataclasses import replace
from functools import partial

import cv2
import pytest
import torch
from frames import UNIT, camera_text, write_depth

from phalanx.adapt import depth as module
from phalanx.adapt.depth import Adaptation, adapt_depth
from phalanx.adapt.recordings import RecordingFiles, read_recording
from phalanx.cli import main
from phalanx.core.errors import InputError
from phalanx.core.seeding import generator
from phalanx.data.cube_views import CubeViews
from phalanx.geometry.cubes import EXTENT
from phalanx.geometry.rotations import rotvec_to_rotmat
from phalanx.hand.anatomy import angles_to_rotations
from phalanx.hand.model import HandModel, HandPose
from phalanx.hand.pose_space import sample_angles
from phalanx.hand.prediction import HandPrediction
from phalanx.hand.spheres import RADII, sphere_centres
from phalanx.methods.hand_finder import load as load_finder
from phalanx.methods.sphere_fitting import SphereFittingConfig, SphereFittingEstimator, load, save_weights
from phalanx.render import mesh
from phalanx.render.spheres import sphere_depth
from phalanx.render.visibility import visibility
from phalanx.synth.sense.depth_noise import draw_depth_noise
from phalanx.synth.sense.depth_sensor import sense_depth
from phalanx.synth.sense.sensors import DEPTH_SENSORS
from phalanx.train.plan import LoopConfig
from phalanx.train.sphere_fitting import WEIGHTS, joint_errors, train_on_labels, train_prior

K = torch.tensor([[330.0, 0, 63.5], [0, 330.0, 63.5], [0, 0, 1]])
LOOP = LoopConfig(evaluate_every=10**6, precision="float32", kernel_precision="float32")


def hands(seed, count):
    """Right hands 65 cm before the camera, half stretched, palms towards it, turned by up to 20 degrees."""
    random = torch.Generator().manual_seed(seed)
    pose = HandPose.zero(count)
    pose.rotations = angles_to_rotations(0.3 * torch.as_tensor(sample_angles(generator(seed), count)).float())
    pose.shape = 0.5 * torch.randn(count, 10, generator=random)
    axis = torch.nn.functional.normalize(torch.randn(count, 3, generator=random))
    turn = rotvec_to_rotmat(axis * 0.35 * torch.rand(count, 1, generator=random))
    pose.orientation = turn @ torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    pose.translation = torch.tensor([0.0, 0.08, 0.65]).repeat(count, 1)
    return pose


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """Weights of a small network that has seen drawn spheres alone."""
    joints = HandModel.open_hand().joints(hands(5, 600))
    random = torch.Generator().manual_seed(0)
    joints = joints - joints.mean(1, keepdim=True) + 0.012 * torch.randn(len(joints), 1, 3, generator=random)
    maps = sphere_depth(sphere_centres(joints), torch.tensor(RADII), 64, EXTENT)
    still = torch.eye(4).repeat(len(maps), 1, 1, 1)
    views = CubeViews(maps[:, None], still, torch.zeros(len(maps), 1, 3), joints[:, None])
    torch.manual_seed(0)
    network = SphereFittingEstimator(SphereFittingConfig(size=64, width=8, points=128), train_prior(0, 300, 64))
    loop = replace(LOOP, samples=3200, learning_rate=2e-3, kernel_rate=0.04, warmup=320, average=600)
    folder = tmp_path_factory.mktemp("begun")
    network = train_on_labels(network, views, loop, 16, folder / "run", report=lambda line: None)
    save_weights(network, folder / "begun.safetensors", HandModel.open_hand())
    return folder / "begun.safetensors"


def record(folder, seed):
    """Eight frames of a sensor that this network has not seen; the hands' joints (8, 21, 3) in metres."""
    model = HandModel.open_hand()
    sensor = next(sensor for sensor in DEPTH_SENSORS if sensor.name == "kinect1")
    cameras = K.expand(8, 3, 3)
    with torch.no_grad():
        surface = model(hands(1000 + seed, 8))
        faces = visibility(surface.vertices, model.faces, cameras, 128, 128, "torch")
        weights = mesh.barycentrics(surface.vertices, model.faces, cameras, faces)
        depth = mesh.depth(surface.vertices, model.faces, faces, weights)
        sensed = sense_depth(depth, cameras, sensor, draw_depth_noise(generator(seed), 8, 128, sensor))
    for number, frame in enumerate(sensed):
        write_depth(folder / f"{number}.png", frame)
    return surface.joints


def test_fitting_brings_joints_nearer(tmp_path, begun):
    joints = record(tmp_path / "frames", 1)
    files = RecordingFiles(tmp_path / "frames", camera_text(K), UNIT)
    first = load(begun, trainable=True).eval()
    views = read_recording(files, first, load_finder()).views
    views.joints = (joints - views.middles)[:, None]  # nobody looks at them before the end
    loop = replace(Adaptation().loop, samples=960, warmup=100, average=200, precision="float32")
    figures = adapt_depth(files, tmp_path / "out", begun, Adaptation(loop, 8, labelled=0), say=lambda line: None)
    adapted = load(tmp_path / "out" / WEIGHTS, trainable=True)
    before, after = (float(joint_errors(network, views).mean()) for network in (first, adapted))
    assert after < 0.8 * before
    assert figures["fit_error_after_mm"] < 0.7 * figures["fit_error_before_mm"]
    card = json.loads((tmp_path / "out" / "sphere_fitting.json").read_text())
    assert [source["kind"] for source in card["data"]] == ["recordings"] and card["data"][0]["frames"] == 8


@pytest.mark.usefixtures("lenient")
def test_the_command_leaves_weights_pictures_and_figures(rig, tmp_path, weights, sample, monkeypatch):
    monkeypatch.setattr(module, "Adaptation", partial(Adaptation, replace(LOOP, samples=48), buffer=64))
    write_depth(rig / "c2" / "1.png", sample.depth[5])
    out = tmp_path / "out"
    arguments = ["--camera", "500,500,1,1", "--unit", str(UNIT), "--weights", str(weights), "--workers", "0"]
    assert main(["adapt", "depth", "--data", str(rig), *arguments, "--out", str(out), "--minutes", "0.02"]) == 0
    figures = json.loads((out / "adapted.json").read_text())
    assert figures["frames"] == 2 and figures["views"] == 3 and figures["skipped"] == []
    assert figures["fit_error_before_mm"] > 0 and figures["fit_error_after_mm"] > 0
    assert figures["held_back"]["frames"] == figures["unsure_of_side"] == 0 and figures["maps_trained_on"] == 48
    assert figures["held_back"]["before"]["apart_mm"] > 0 and len(figures["synthetic_joints_mm"]) == 2
    assert figures["verdict"][0].startswith("lowered" if figures["lowered"] else "not lowered")
    assert cv2.imread(str(out / "adapted.png")).shape == (3 * 128, 6 * 128, 3)
    assert load(out / WEIGHTS).config.width == 16
    card = json.loads((out / "sphere_fitting.json").read_text())
    assert [source["kind"] for source in card["data"]] == ["recordings", "own synthesis"]
    assert (card["data"][0]["folder"], card["data"][0]["views"], card["start"]["file"]) == ("rig", 3, weights.name)
    assert card["config"]["scores"] == figures and "fit_error_mm" in card["curve"]
    frame = rig / "c0" / "0.png"
    options = ["--depth", "--camera", camera_text(sample.K[0]), "--unit", str(UNIT), "--side", "right"]
    options += ["--weights", str(out / WEIGHTS), "--out", str(tmp_path / "p")]
    assert main(["predict", str(frame), *options]) == 0
    (hand,) = json.loads((tmp_path / "p" / "0.json").read_text())["hands"]
    assert HandPrediction.from_json(hand).to_json() == hand
    assert len(hand["spheres"]) == 41 and hand["scale_source"] == "depth"
    assert (tmp_path / "p" / "0.glb").exists() and (tmp_path / "p" / "0_overlay.png").exists()


@pytest.mark.usefixtures("lenient")
def test_minutes_that_are_too_few_are_refused_before_training(rig, tmp_path, weights):
    files = RecordingFiles(rig, "500,500,1,1", UNIT)
    with pytest.raises(
        InputError,
        match=r"minutes: 0\.001 are too few to train a step: loading and reading took .* give [0-9.]+ or more",
    ):
        adapt_depth(files, tmp_path / "out", weights, Adaptation(replace(LOOP, minutes=0.001)), say=lambda line: None)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["adapted.png"]


def test_short_budgets_begin_with_few_synthetic_frames_and_no_process():
    network, config = SphereFittingConfig(size=64), Adaptation(workers=3, buffer=2_000)
    short, measured, seconds = module._synthetic(network, "sr305", config, 1e-3)
    assert (short.workers, short.buffer) == (0, 32) and seconds > 0
    assert len(measured) == 64 and measured.joints is not None
    whole, _, _ = module._synthetic(network, "sr305", config, math.inf)
    assert (whole.workers, whole.buffer) == (3, 2_016)


@pytest.mark.usefixtures("lenient")
def test_a_run_that_was_killed_goes_on_with_its_frames_and_side(tmp_path, weights, sample):
    for number in range(3):
        write_depth(tmp_path / "in" / f"{number}.png", sample.depth[0])
    files = RecordingFiles(tmp_path / "in", camera_text(sample.K[0]), UNIT)
    config = Adaptation(replace(LOOP, samples=24), labelled=0)
    adapt_depth(files, tmp_path / "out", weights, config, say=lambda line: None)
    assert json.loads((tmp_path / "out" / "frames.json").read_text()) == {
        "side": "right",
        "frames": ["0.png", "2.png", "1.png"],
    }
    write_depth(tmp_path / "in" / "3.png", sample.depth[0])
    figures = adapt_depth(files, tmp_path / "out", weights, config, resume=True, say=lambda line: None)
    assert (figures["frames"], figures["side"], figures["maps_trained_on"]) == (3, "right", 24)
    (tmp_path / "out" / "frames.json").write_text('["0.png"]')
    with pytest.raises(InputError, match="frames.json: is damaged or of an earlier version"):
        adapt_depth(files, tmp_path / "out", weights, config, resume=True, say=lambda line: None)


def test_what_makes_no_sense_is_refused_before_frames_are_read(tmp_path, weights):
    files = RecordingFiles(tmp_path / "none", "azure")
    for loop, says in (
        (LoopConfig(minutes=0), "positive number of samples or minutes"),
        (LoopConfig(device="nowhere"), "device: 'nowhere'"),
        (LoopConfig(precision="float8"), "precision"),
    ):
        with pytest.raises(InputError, match=says):
            adapt_depth(files, tmp_path / "out", weights, Adaptation(loop))
    with pytest.raises(InputError, match="no such folder"):
        adapt_depth(files, tmp_path / "out", weights)
    with pytest.raises(InputError, match="workers: must not be negative"):
        adapt_depth(files, tmp_path / "out", weights, Adaptation(workers=-1))
    (tmp_path / "out" / "run").mkdir()
    (tmp_path / "out" / "run" / "checkpoint.pt").write_bytes(b"a run")
    (tmp_path / "out" / "frames.json").write_text("[]")
    with pytest.raises(InputError, match="a run is already here"):
        adapt_depth(files, tmp_path / "out", weights)
    assert (tmp_path / "out" / "frames.json").read_text() == "[]"
