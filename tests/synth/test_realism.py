"""Redrawn pictures: the same bytes however they are made, other pictures and the same labels, and clear refusals."""

from dataclasses import replace

import pytest
import torch

from phalanx.core.errors import InputError
from phalanx.methods.tonality_gan import TonalityConfig, TonalityGan, save_weights
from phalanx.synth import SynthConfig, make_chunk, stream
from phalanx.synth.realism import redrawn
from phalanx.synth.sets.sets import Plan, make_set, read_manifest, verify_set
from phalanx.train.card import synthesis

CONFIG = SynthConfig(size=32, chunk=4, tiles=2, skins=1)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """An untrained network of 32 pixels."""
    return written(tmp_path_factory.mktemp("model") / "net.safetensors", 1)


def written(path, seed):
    torch.manual_seed(seed)
    save_weights(TonalityGan(TonalityConfig(size=32, generator=4, discriminator=4)), path)
    return path


def test_pictures_change_and_labels_stay(model):
    plain, drawn = make_chunk(CONFIG, 3, 1), make_chunk(replace(CONFIG, realism=model), 3, 1)
    for name, value in plain.present().items():
        assert torch.equal(getattr(drawn, name), value) == (name != "image"), name
    assert (drawn.image - plain.image).abs().mean() > 0.02
    assert torch.equal((255 * drawn.image).round() / 255, drawn.image) and drawn.image.min() >= 0


def test_the_same_bytes_for_any_number_of_workers_and_threads(model):
    config = replace(CONFIG, realism=model)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        expected = [make_chunk(config, 5, index).image for index in range(3)]
    finally:
        torch.set_num_threads(threads)
    for workers in (0, 1, 2):
        chunks = stream(config, 5, workers)
        for index in range(3):
            assert torch.equal(next(chunks).image, expected[index]), (workers, index)
        chunks.close()


def test_a_share_of_the_hands_is_redrawn(model):
    images = torch.rand(400, 3, 32, 32).mul(255).round() / 255
    out = redrawn(images, model, 0.25, 1, 0, 0)
    changed = (out != images).flatten(1).any(1)
    assert 0.15 < changed.float().mean() < 0.35
    assert torch.equal(redrawn(images, model, 0.0, 1, 0, 0), images)


def test_all_pictures_of_a_hand_have_one_z(model):
    image = torch.rand(1, 3, 32, 32).expand(8, -1, -1, -1)
    hands = redrawn(image, model, 1.0, 4, 0, 0).unflatten(0, (2, 4))
    assert all(torch.equal(hands[:, 0], hands[:, n]) for n in range(4))
    assert not torch.equal(hands[0, 0], hands[1, 0])  # two hands have two
    assert not torch.equal(redrawn(image, model, 1.0, 4, 0, 1), hands.flatten(0, 1))  # nor two chunks one


def test_sets_name_the_network_and_go_on_with_it_alone(model, tmp_path):
    plan = Plan(replace(CONFIG, realism=model), 3, 6)
    make_set(plan, tmp_path / "set", say=lambda line: None)
    manifest = read_manifest(tmp_path / "set")
    assert manifest["synth"]["realism"] == "net.safetensors" and verify_set(tmp_path / "set") == 6
    assert any(name == "the network net.safetensors" for name in manifest["surroundings"])
    (other := tmp_path / "other").mkdir()
    changed = Plan(replace(CONFIG, realism=written(other / "net.safetensors", 2)), 3, 6)
    with pytest.raises(InputError, match=r"the network net\.safetensors"):
        make_set(changed, tmp_path / "set", say=lambda line: None)
    without = Plan(CONFIG, 3, 6).settings()["synth"]
    assert "realism" not in without and "realism_share" not in without  # sets from before go on


def test_cards_say_so(model):
    redrawing = synthesis(replace(CONFIG, realism=model, realism_share=0.5), "joints")["redrawn"]
    assert redrawing["by"] == "net.safetensors" and redrawing["share"] == 0.5 and len(redrawing["sha256"]) == 64
    assert "redrawn" not in synthesis(CONFIG, "joints")


def test_bad_input_is_one_sentence(model, tmp_path):
    with pytest.raises(InputError, match=r"net\.safetensors: redraws pictures of 32 pixels, not of 64"):
        make_chunk(SynthConfig(size=64, chunk=1, tiles=2, skins=1, realism=model), 0, 0)
    with pytest.raises(InputError, match="shows whole frames"):
        SynthConfig(scene="people", realism=model)
    with pytest.raises(InputError, match="realism_share"):
        SynthConfig(realism=model, realism_share=2.0)
    (tmp_path / "no.safetensors").write_bytes(b"no")
    for name in ("no.safetensors", "missing.safetensors"):
        with pytest.raises(InputError, match=name):
            make_chunk(replace(CONFIG, realism=tmp_path / name), 0, 0)
