"""TAGAN's training in miniature: it leaves sheets and figures, a killed run goes on exactly, and bad input is one sentence."""

import csv
import inspect
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import phalanx.train.run
from phalanx.cli import main
from phalanx.core.errors import InputError
from phalanx.methods.cycle_gan import REAL, RENDERED
from phalanx.methods.tonality_gan import TonalityConfig, TonalityGan, load, save_weights
from phalanx.metrics.two_samples import kernel_distance
from phalanx.synth import SynthConfig
from phalanx.train import tonality_gan
from phalanx.train.plan import LoopConfig
from phalanx.train.tonality_gan import (
    SHEETS,
    WEIGHTS,
    TonalityTraining,
    begun,
    blended,
    examined,
    figures,
    photograph_feed,
    run,
    unpaired_feed,
)

TINY = TonalityConfig(size=32, generator=4, discriminator=4)
SYNTH = SynthConfig(size=32, chunk=8, tiles=2, skins=1)


def silent(line):
    pass


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of photographs, whose hands are cut out by nobody."""

    def crops(place, size, report):
        return torch.randint(256, (40, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))

    monkeypatch.setattr(tonality_gan, "hand_crops", crops)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"")
    return tmp_path / "photos"


def config(folder, samples=32, **changes):
    loop = LoopConfig(minutes=None, samples=samples, warmup=8, average=16, evaluate_every=16, precision="float32")
    settings = {"real": folder, "real_licence": "CC0-1.0", "model": TINY, "loop": loop, "synth": SYNTH}
    return TonalityTraining(**(settings | {"batch": 8, "held_out": 4} | changes))


def test_a_run_leaves_weights_card_sheets_and_figures(folder, tmp_path):
    weights = run(config(folder), tmp_path / "run", report=silent)
    assert weights.name == WEIGHTS and load(weights).config.size == 32
    card = json.loads(weights.with_suffix(".json").read_text())
    (data,) = card["data"]
    assert data["hands"] == 40 and data["licence"] == "CC0-1.0" and "labels" in data
    rows = list(csv.DictReader((tmp_path / "run" / "curve.csv").read_text().splitlines()))
    assert len(rows) == 2
    for name in ("judged_right", "distance", "moved_px", "varies"):
        assert np.isfinite(float(rows[-1][name])), name
    assert len(list((tmp_path / "run" / SHEETS).glob("*.png"))) == 2


def test_a_killed_run_goes_on_with_both_players_exactly(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(tonality_gan, "figures", lambda *given: {"moved_px": 0.0})
    whole = load(run(config(folder), tmp_path / "whole", report=silent))
    train = phalanx.train.run.train

    def killed(*arguments, **options):
        call = inspect.signature(train).bind(*arguments, **options)
        call.arguments["stop_after"] = 2
        train(*call.args, **call.kwargs)
        raise KeyboardInterrupt

    monkeypatch.setattr(phalanx.train.run, "train", killed)
    with pytest.raises(KeyboardInterrupt):
        run(config(folder), tmp_path / "run", report=silent)
    monkeypatch.setattr(phalanx.train.run, "train", train)
    again = load(run(config(folder), tmp_path / "run", resume=True, report=silent))
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_figures_of_a_network_that_changes_nothing(monkeypatch):
    torch.manual_seed(0)
    network = TonalityGan(TINY)
    monkeypatch.setattr(network, "blend", lambda images, random=None: images)
    rendered = torch.randint(256, (6, 3, 32, 32), dtype=torch.uint8)
    real = torch.randint(100, (6, 3, 32, 32), dtype=torch.uint8)
    found = figures(network, real, rendered)
    assert found["moved_px"] == 0 and found["distance"] == pytest.approx(100) and found["varies"] == pytest.approx(100)
    assert 0 <= found["judged_right"] <= 1
    monkeypatch.setattr(network, "blend", lambda images, random=None: images.mean(0, keepdim=True).expand_as(images))
    assert figures(network, real, rendered)["varies"] < 1  # a collapse is seen


def test_figures_are_what_they_say(monkeypatch):
    network = TonalityGan(TINY)
    random = torch.Generator().manual_seed(0)
    real, rendered, drawn = (torch.rand(5, 3, 32, 32, generator=random) for _ in range(3))
    real, rendered, drawn = ((255 * images).to(torch.uint8) for images in (real, rendered, drawn))
    logits = torch.tensor([[1.0, 2.0, 3.0, -1.0]]), torch.tensor([[-1.0, 2.0, 3.0, 4.0]])  # 3 of 4 and 1 of 4 right
    monkeypatch.setattr(network, "blend", lambda images, random=None: drawn / 255)
    monkeypatch.setattr(network, "judged", lambda *given: logits)
    features = torch.randn(3, 5, 8, generator=random) + torch.tensor([0.0, 2.0, 1.0])[:, None, None]
    shifts = torch.tensor([0.0, 1.0, 7.0])  # of 21 joints each a third

    def seen(images):
        number = [bool(torch.equal((255 * images).round(), known.float())) for known in (real, rendered, drawn)].index(
            True
        )
        places = torch.zeros(5, 21, 2)
        places[..., 0] = (number == 2) * shifts.repeat(7)
        return features[number].numpy(), places

    monkeypatch.setattr(tonality_gan, "examined", seen)
    found = figures(network, real, rendered)
    of_real, of_rendered, of_drawn = features.numpy()
    share = kernel_distance(of_real, of_drawn) / kernel_distance(of_real, of_rendered)
    assert found["judged_right"] == 0.5 and found["moved_px"] == 1
    assert found["distance"] == pytest.approx(100 * share) and 0 < share < 1
    assert found["varies"] == pytest.approx(100 * float(drawn.float().std(0).mean() / rendered.float().std(0).mean()))


def test_joints_are_those_of_the_default_estimator():
    network = tonality_gan.examiner()
    images = torch.rand(3, 3, 128, 128)
    features, places = examined(images, batch=2)
    torch.testing.assert_close(places, 128 * network.evidence(images).joints_2d, atol=1e-3, rtol=0)
    assert features.shape[0] == 3 and len(features[0]) > 32


def test_a_seed_is_a_set_of_pictures():
    torch.manual_seed(0)
    network = TonalityGan(TINY).eval()
    images = torch.randint(256, (5, 3, 32, 32), dtype=torch.uint8)
    first, again, other = (blended(network, images, seed, batch=2) for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other) and first.dtype == torch.uint8


def test_feeds_show_photographs_and_their_mirror_images_alone():
    kept = {"image": torch.randint(256, (6, 3, 32, 32), dtype=torch.uint8)}
    feed = photograph_feed(kept, 0)
    both = torch.cat((kept["image"], kept["image"].flip(-1)))
    mirrored = 0
    for _ in range(4):
        for image in (255 * feed.next(6, 32, 1).image).round().to(torch.uint8):
            match = (both == image).flatten(1).all(1).nonzero()[:, 0].tolist()
            assert match
            mirrored += match[0] >= 6
    feed.close()
    assert 2 < mirrored < 22
    pair = unpaired_feed(kept, {"image": 0 * kept["image"]}, 3, 0)
    batch = pair.next(6, 32, 1)
    pair.close()
    assert len(batch.get(REAL)) == len(batch.get(RENDERED)) == 3 and not batch.get(RENDERED).image.any()


def test_bad_input_is_one_sentence(folder, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="real: name a folder of photographs"):
        run(config(None), tmp_path / "a", report=silent)
    with pytest.raises(InputError, match="synth: needs pictures of 32 pixels, the model's, not 64"):
        run(config(folder, synth=SynthConfig(size=64)), tmp_path / "b", report=silent)
    monkeypatch.setattr(tonality_gan, "hand_crops", lambda *given: torch.zeros(5, 3, 32, 32, dtype=torch.uint8))
    with pytest.raises(InputError, match="holds 5 hands that can be learnt from, and a training needs 32"):
        run(config(folder), tmp_path / "c", report=silent)


def test_weights_of_other_networks_are_no_start(folder, tmp_path):
    path = tmp_path / "other.safetensors"
    for name, value, has in (("size", 64, 32), ("generator", 8, 4), ("discriminator", 8, 4), ("halvings", 3, 2)):
        save_weights(TonalityGan(replace(TINY, **{name: value})), path)
        with pytest.raises(InputError, match=rf"other\.safetensors has networks of {name} {value}, and .* is {has}"):
            run(config(folder, start_from=path), tmp_path / "d", report=silent)
    path.write_bytes(b"no")
    with pytest.raises(InputError, match=r"other\.safetensors"):
        run(config(folder, start_from=path), tmp_path / "d", report=silent)


def test_a_run_begins_with_the_weights_it_is_given(tmp_path):
    torch.manual_seed(5)
    network = TonalityGan(TINY)
    save_weights(network, tmp_path / "first.safetensors")
    found = begun(TINY, 1, tmp_path / "first.safetensors")
    for name, value in network.state_dict().items():
        torch.testing.assert_close(found.state_dict()[name], value, atol=1e-3, rtol=1e-2)
    assert not all(torch.equal(*pair) for pair in zip(begun(TINY, 1).parameters(), found.parameters(), strict=True))


@pytest.mark.parametrize("name", ["smoke", "cpu", "paper"])
def test_the_command_takes_the_recipes(folder, tmp_path, capsys, name):
    recipe = str(Path(__file__).parents[2] / "recipes" / f"tonality_gan_{name}.yaml")
    command = ["train", "tonality_gan", "--config", recipe, "--real", str(folder), "--out", str(tmp_path / name)]
    assert main([*command, "--model.size", "32"]) == 2  # the recipe is read, and its pictures are larger
    assert "synth: needs pictures of 32 pixels, the model's" in capsys.readouterr().err


def test_the_command_runs_the_smallest_recipe(folder, tmp_path, capsys):
    recipe = str(Path(__file__).parents[2] / "recipes" / "tonality_gan_smoke.yaml")
    command = ["train", "tonality_gan", "--config", recipe, "--real", str(folder), "--out", str(tmp_path / "run")]
    assert main([*command, "--loop.samples", "16"]) == 0
    assert f"weights -> {tmp_path / 'run' / WEIGHTS}" in capsys.readouterr().out
    assert load(tmp_path / "run" / WEIGHTS).config.size == 64
