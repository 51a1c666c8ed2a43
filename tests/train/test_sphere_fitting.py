"""Training by fitting in miniature: it learns, goes on exactly after a stop, and never looks at labels of recordings."""

import json

import pytest
import torch

from phalanx.cli import main
from phalanx.core.seeding import generator
from phalanx.data.cube_views import CubeViews
from phalanx.hand.sphere_priors import sample_joints
from phalanx.hand.spheres import sphere_centres
from phalanx.methods.sphere_fitting import SphereFittingConfig, load
from phalanx.synth import SynthConfig
from phalanx.train.cubes import draw_views
from phalanx.train.plan import LoopConfig
from phalanx.train.recordings import MixtureConfig
from phalanx.train.sphere_fitting import (
    WEIGHTS,
    SphereFittingTraining,
    joint_errors,
    train_on_recordings,
    train_on_synthesis,
    train_prior,
)

SYNTH = SynthConfig(size=64, chunk=8, tiles=2, skins=1, depth_sensor="ideal", dense=True)


def config(samples: int, **loop) -> SphereFittingTraining:
    settings = LoopConfig(samples=samples, evaluate_every=64, warmup=16, average=64, precision="float32", **loop)
    model = SphereFittingConfig(size=64, width=16, points=64)
    return SphereFittingTraining(model, settings, SYNTH, batch=8, workers=0, buffer=32, prior_steps=20)


def test_a_run_learns_and_leaves_its_figures(tmp_path):
    held_out = draw_views(SYNTH, 77, 16, 64)
    model = train_on_synthesis(config(192), tmp_path / "run", lambda: {"synthetic": held_out})
    rows = (tmp_path / "run" / "curve.csv").read_text().splitlines()
    assert rows[0].endswith("synthetic_mm") and len(rows) == 4
    errors = [float(row.rsplit(",", 1)[1]) for row in rows[1:]]
    assert errors == sorted(errors, reverse=True) and errors[-1] < errors[0] - 1
    assert float(joint_errors(model, held_out).mean()) == pytest.approx(errors[-1], rel=1e-3)


def test_the_command_leaves_weights_and_a_card_and_goes_on_from_weights(tmp_path, capsys):
    settings = tmp_path / "tiny.yaml"
    settings.write_text(
        "model: {size: 64, width: 16, points: 64}\nloop: {samples: 32, evaluate_every: 16, warmup: 8, precision: float32}\n"
        "synth: {size: 64, chunk: 8, tiles: 2, skins: 1, depth_sensor: kinect1}\n"
        "batch: 8\nworkers: 0\nbuffer: 16\nprior_steps: 5\nheld_out: 8\n"
    )
    arguments = ["train", "sphere_fitting", "--config", str(settings), "--out"]
    assert main([*arguments, str(tmp_path / "a")]) == 0
    weights = tmp_path / "a" / "sphere_fitting.safetensors"
    assert f"weights -> {weights}" in capsys.readouterr().out
    card = json.loads(weights.with_suffix(".json").read_text())
    assert card["curve"]["seen"] == 32 and card["curve"]["held_out_mm"] > 0 and card["config"]["batch"] == 8
    assert main([*arguments, str(tmp_path / "b"), "--start_from", str(weights), "--loop.learning_rate", "1e-9"]) == 0
    first, second = (load(tmp_path / name / WEIGHTS, trainable=True).state_dict() for name in "ab")
    kept = [name for name in first if name.endswith("weight") and first[name].ndim == 2]
    assert kept and all(torch.allclose(first[name], second[name], atol=1e-3) for name in kept)
    assert main([*arguments, str(tmp_path / "c"), "--start_from", str(settings)]) == 2
    assert "not a readable weights file" in capsys.readouterr().err
    assert main([*arguments, str(tmp_path / "d"), "--start_from", str(weights), "--model.width", "24"]) == 2
    assert "has a width of 16" in capsys.readouterr().err


def test_fitting_goes_on_exactly_and_does_not_look_at_labels(tmp_path, recordings):
    begun = train_on_synthesis(config(32), tmp_path / "start", dict)
    state = {name: value.clone() for name, value in begun.state_dict().items()}
    blind = CubeViews(recordings.maps, recordings.to_first, recordings.middles)
    loop = LoopConfig(samples=80, evaluate_every=1000, warmup=8, precision="float32", average=40, learning_rate=1e-3)
    settings = MixtureConfig(loop, frames=2, labelled=2)
    parts = [recordings, recordings.single_views()]
    synthetic = config(32)

    def run(folder, sources):
        begun.load_state_dict(state)
        return train_on_recordings(begun, sources, synthetic, settings, tmp_path / folder).state_dict()

    first = run("a", parts)
    assert any(not torch.equal(first[name], state[name]) for name in state if "hourglass" in name)
    assert all(torch.equal(first[name], state[name]) for name in state if name.startswith("prior."))
    second = run("b", [blind, blind.single_views()])
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_prior_prefers_hands():
    prior = train_prior(0, 150)
    points = sphere_centres(sample_joints(generator(9), 64))
    noise = torch.zeros(1, 64, prior.latent)
    bound = prior.elbo(points, noise)
    wrong = prior.elbo(points + 0.015 * torch.randn(points.shape, generator=torch.Generator().manual_seed(0)), noise)
    assert (bound > wrong).all() and not prior.training
