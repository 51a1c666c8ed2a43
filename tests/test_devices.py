"""What runs on a GPU, tried on a device that is not there: nothing is mixed up, and it gives what the CPU gives."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from frames import UNIT, camera_text, write_depth
from lightning_fabric import Fabric
from pretend_device import PLACE, PretendTensor
from torch import nn

from phalanx.adapt.depth import Adaptation, adapt_depth
from phalanx.adapt.recordings import RecordingFiles, fit_errors
from phalanx.hand.model import HandModel
from phalanx.methods import compact, hand_finder, sphere_fitting
from phalanx.predict.depth import DepthPredictor
from phalanx.predict.depth_search import find_hand
from phalanx.predict.predictor import Predictor
from phalanx.synth import SynthConfig, make_chunk, stream
from phalanx.train import compact as compact_training
from phalanx.train import sphere_fitting as sphere_training
from phalanx.train.compact import CompactTraining
from phalanx.train.cubes import draw_views
from phalanx.train.hand_finder import figures as finder_figures
from phalanx.train.plan import LoopConfig, Phase
from phalanx.train.sphere_fitting import SphereFittingTraining

DEPTH = SynthConfig(size=64, chunk=8, tiles=2, skins=1, depth_sensor="ideal")
COLOUR = SynthConfig(size=64, chunk=4, tiles=2, skins=1)
LOOP = LoopConfig(samples=32, evaluate_every=16, warmup=8, precision="float32", kernel_precision="float32")
SMALL = compact.CompactConfig(size=64, widths=(8, 8, 8, 8), depths=(0, 1, 1, 1), top_down=(8, 8, 8), hidden=8)


class PretendFabric(Fabric):
    """This process alone, on the device."""

    device = property(lambda self: torch.device(PLACE))


@pytest.fixture
def places(pretend, monkeypatch):
    """Both devices, the CPU first; runs know them."""

    def fabric(accelerator, devices):
        kind = PretendFabric if accelerator == PLACE else Fabric
        return kind(accelerator="cpu", devices=1)

    monkeypatch.setattr("phalanx.train.processes.Fabric", fabric)
    return "cpu", pretend


@pytest.fixture(scope="module")
def frames():
    return make_chunk(replace(DEPTH, chunk=2), 4, 0)


def same_rows(folders):
    """Curves agree, but for the clock."""
    first, second = (
        [line.split(",") for line in (folder / "curve.csv").read_text().splitlines()] for folder in folders
    )
    assert first[0] == second[0] and len(first) == len(second) > 2
    for here, there in zip(first[1:], second[1:], strict=True):
        for name, a, b in zip(first[0], here, there, strict=True):
            if name != "minutes":
                assert float(a) == pytest.approx(float(b), rel=0.02), name


def test_the_device_keeps_apart_what_cuda_keeps_apart(pretend):
    there, here = torch.arange(3.0, device=pretend), torch.arange(3.0)
    assert isinstance(there, PretendTensor) and there.device.type == pretend
    for mixed in (
        lambda: there + here,
        lambda: torch.cat([there, here]),
        lambda: nn.functional.linear(there, torch.eye(3)),
        lambda: here[there.long()],
        lambda: there.index_copy(0, torch.tensor([0]), here[:1]),
    ):
        with pytest.raises(RuntimeError, match="same device"):
            mixed()
    with pytest.raises(TypeError, match="numpy"):
        there.numpy()
    with pytest.raises(TypeError, match="numpy"):
        np.asarray(there)
    with pytest.raises(RuntimeError, match="generator"):
        torch.rand(3, device=pretend, generator=torch.Generator())
    assert torch.equal(there.cpu(), here) and torch.equal(here.to(pretend).cpu(), here)
    assert (there + torch.tensor(1.0))[torch.tensor([0, 2])].tolist() == [1.0, 3.0]
    assert there[[2, 1]].tolist() == [2.0, 1.0] and there.new_tensor([4]).tolist() == [4.0]


def test_a_module_there_does_not_take_what_is_here(pretend):
    torch.manual_seed(0)
    here = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 2))
    there = copy.deepcopy(here).to(pretend)
    pictures = torch.rand(5, 1, 4, 4)
    with pytest.raises(RuntimeError, match="same device"):
        there(pictures)
    for network, values in ((here, pictures), (there, pictures.to(pretend))):
        network(values).square().sum().backward()
        torch.optim.AdamW(network.parameters(), lr=0.1, fused=True).step()
    for a, b in zip(here.state_dict().values(), there.state_dict().values(), strict=True):
        assert isinstance(b, PretendTensor)
        torch.testing.assert_close(a, b.cpu())


def test_colour_training(places, tmp_path, monkeypatch):
    monkeypatch.setattr(compact_training, "stream", lambda config, seed, workers, start: stream(config, seed, 0, start))
    for place in places:
        loop = replace(LOOP, device=place)
        phases = [Phase(0.5, 32, 8, 1), Phase(1.0, 64, 8, 1)]
        config = CompactTraining(SMALL, loop, COLOUR, phases, workers=1, buffer=16, held_out=4)
        compact_training.run(config, tmp_path / place)
        longer = replace(config, loop=replace(loop, samples=40))
        weights = compact_training.run(longer, tmp_path / place, resume=True)
        assert compact.load(weights).config == SMALL
    same_rows([tmp_path / place for place in places])


def test_depth_training(places, tmp_path):
    for place in places:
        loop = replace(LOOP, device=place)
        model = sphere_fitting.SphereFittingConfig(size=64, width=8, points=64)
        config = SphereFittingTraining(
            model, loop, DEPTH, batch=8, workers=0, buffer=16, prior_steps=2, held_out=8, turn=90
        )
        sphere_training.run(config, tmp_path / place)
        longer = replace(config, loop=replace(loop, samples=40))
        weights = sphere_training.run(longer, tmp_path / place, resume=True)
        assert sphere_fitting.load(weights).config.width == 8
    same_rows([tmp_path / place for place in places])


@pytest.fixture
def begun(tmp_path):
    """Weights of a network on depth that has learnt nothing."""
    torch.manual_seed(0)
    network = sphere_fitting.SphereFittingEstimator(sphere_fitting.SphereFittingConfig(size=64, width=8, points=64))
    sphere_fitting.save_weights(network, tmp_path / "begun.safetensors", HandModel.open_hand())
    return tmp_path / "begun.safetensors"


def test_adapting(places, tmp_path, begun, frames, monkeypatch):
    monkeypatch.setattr("phalanx.adapt.recordings._MOST_ERROR", 1.0)
    for number, frame in enumerate(frames.depth):
        write_depth(tmp_path / "frames" / f"{number}.png", frame)
    files = RecordingFiles(tmp_path / "frames", camera_text(frames.K[0]), UNIT)
    results = []
    for place in places:
        config = Adaptation(replace(LOOP, device=place), maps=4, labelled=4, workers=0, buffer=16)
        results.append(adapt_depth(files, tmp_path / place, begun, config, say=lambda line: None))
    for name in ("fit_error_before_mm", "fit_error_after_mm"):
        assert results[0][name] == pytest.approx(results[1][name], rel=0.02)
    same_rows([tmp_path / place / "run" for place in places])


def test_finding_hands_and_fit_errors(places, begun, frames):
    networks = [sphere_fitting.load(begun, trainable=True).eval().to(place) for place in places]
    finders = [hand_finder.load().to(place) for place in places]
    for frame, K in zip(frames.sensed_depth, frames.K, strict=True):
        found = [find_hand(finder, frame, K, device=place) for finder, place in zip(finders, places, strict=True)]
        torch.testing.assert_close(found[0].middle, found[1].middle, atol=1e-4, rtol=0)
        assert found[0].shares == pytest.approx(found[1].shares, abs=1e-4)
    maps = draw_views(DEPTH, 7, 2, 64).maps[:, 0].float()
    torch.testing.assert_close(*(fit_errors(network, maps) for network in networks), rtol=1e-3, atol=1e-3)


def test_predicting_from_depth(places, begun, frames, monkeypatch):
    monkeypatch.setattr("phalanx.predict.depth.MOST_ERROR", 1.0)
    here, there = (
        DepthPredictor(begun, place, precision="float32")(frames.depth[0].numpy(), frames.K[0].numpy(), "right")
        for place in places
    )
    np.testing.assert_allclose(here.spheres, there.spheres, atol=1e-4)
    np.testing.assert_allclose(here.joints, there.joints, atol=0.01)


def test_predicting_from_colour(places, tmp_path):
    torch.manual_seed(0)
    network = compact.CompactEstimator(SMALL).eval()
    compact.save_weights(network, tmp_path / "w.safetensors", HandModel.open_hand())
    picture = (make_chunk(COLOUR, 3, 0).image[0].permute(1, 2, 0) * 255).byte().numpy()
    (here,), (there,) = (
        Predictor(tmp_path / "w.safetensors", place, precision="float32")(picture, box="whole", side="right")
        for place in places
    )
    for name in (
        "joints_2d",
        "joints",
        "vertices",
    ):  # a network that has learnt nothing leaves the fit little to hold on to
        np.testing.assert_allclose(getattr(here, name), getattr(there, name), rtol=0.01, atol=1e-3)


def test_finder_of_hands(places):
    torch.manual_seed(0)
    network, random = hand_finder.HandFinder(), torch.Generator().manual_seed(0)
    cubes = hand_finder.Cubes(
        torch.rand(8, len(hand_finder.EXTENTS), network.config.size, network.config.size, generator=random),
        torch.tensor([hand_finder.NOTHING, hand_finder.RIGHT, hand_finder.LEFT, hand_finder.UNCLEAR] * 2),
        0.01 * torch.randn(8, hand_finder.JOINTS, 3, generator=random),
    )
    values = []
    for place in places:
        there = copy.deepcopy(network).to(place)
        terms = there.losses(cubes.to(torch.device(place)))
        sum(terms.values()).backward()
        values.append(
            {name: float(value.detach()) for name, value in terms.items()} | finder_figures(there.eval(), cubes)
        )
    assert values[0] == pytest.approx(values[1], rel=0.01)
