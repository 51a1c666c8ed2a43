"""Cubes for the finder of hands: labels agree with what is in them, and a run learns and leaves weights with a card."""

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from phalanx.core.errors import InputError
from phalanx.methods.hand_finder import LEFT, NOTHING, RIGHT, UNCLEAR, HandFinderConfig, load
from phalanx.synth import SynthConfig, make_chunk
from phalanx.train import hand_finder
from phalanx.train.hand_finder import (
    CUBES,
    HandFinderTraining,
    both_hands,
    cut,
    finish,
    labels,
    prepare,
    run,
)
from phalanx.train.plan import LoopConfig
from phalanx.train.run import starting_weights

SYNTH = SynthConfig(size=128, chunk=4, tiles=1, skins=1, depth_sensor="kinect1", effects=0.0, colour=False)


@pytest.fixture(scope="module")
def arms():
    return make_chunk(replace(SYNTH, scene="arms"), 3, 0)


def test_the_other_hand_is_the_mirror_images_own(arms):
    joints, seen = both_hands(arms)
    mirror = torch.tensor([-1.0, 1.0, 1.0])
    assert torch.equal(joints[0, 1], joints[1, 0] * mirror) and torch.equal(joints[1, 1], joints[0, 0] * mirror)
    assert torch.equal(seen[0], seen[1].flip(0))
    alone, visible = both_hands(make_chunk(SYNTH, 3, 0))
    assert torch.isinf(alone[:, 1]).all() and not visible[:, 1].any() and visible[:, 0].any()


def test_labels_say_what_is_near():
    hands = torch.tensor([[0.0, 0.0, 0.5], [0.4, 0.0, 0.5]])[:, None].repeat(1, 21, 1)
    hands[:, 0, 1] += 0.021
    hands[:, 1, 1] -= 0.021
    places = torch.tensor([[0.05, 0.0, 0.5], [0.4, 0.1, 0.5], [0.2, 0.0, 0.5], [0.0, 0.15, 0.5]])
    kind, joints = labels(places, hands, torch.tensor([True, True]))
    assert kind.tolist() == [RIGHT, LEFT, NOTHING, UNCLEAR]
    assert torch.allclose(joints[:2], hands - places[:2, None]) and not joints[2:].any()
    hidden, _ = labels(places, hands, torch.tensor([True, False]))
    assert hidden.tolist() == [RIGHT, UNCLEAR, NOTHING, UNCLEAR]


def test_cubes_are_the_same_for_the_same_sample_and_mirror_with_their_labels(arms):
    first, second = cut(arms, 32), cut(arms, 32)
    assert all(torch.equal(first[name], second[name]) for name in first) and len(first["kind"]) == 4 * CUBES
    made = finish(first, 32, torch.Generator().manual_seed(1))
    flipped = torch.tensor([not torch.equal(a, b.float()) for a, b in zip(made.maps, first["maps"], strict=True)])
    assert flipped.any() and not flipped.all()
    hands = first["kind"] > NOTHING
    changed = made.kind != first["kind"]
    assert (changed == (flipped & hands)).all()
    assert torch.equal(made.joints[flipped, :, 0], -first["joints"][flipped, :, 0])


def test_frames_that_show_two_hands_have_cubes_about_both(arms):
    kinds = cut(arms, 32)["kind"].view(2, 2 * CUBES)
    _, seen = both_hands(arms)
    for row, shown in zip(kinds, seen[::2], strict=True):
        assert [bool((row[:10] == side).any()) for side in (RIGHT, LEFT)] == shown.tolist()


def test_hands_of_a_wrong_size_are_none(arms, monkeypatch):
    monkeypatch.setattr(hand_finder, "_WRONG", 1.0)
    assert (cut(arms, 32)["kind"] == NOTHING).all()
    monkeypatch.setattr(hand_finder, "_WRONG", 0.0)
    assert (cut(arms, 32)["kind"] > NOTHING).any()


@pytest.mark.parametrize("side", [RIGHT, LEFT])
def test_hard_cubes_show_what_a_network_does_not_see(arms, monkeypatch, side):
    monkeypatch.setattr(hand_finder, "_WRONG", 0.0)
    says = torch.eye(3)[side] * 20

    def finder(maps):
        return says.expand(len(maps), 3), torch.zeros(len(maps), 21, 3)

    easy, hard = (Counter(cut(arms, 32, finder, share)["kind"].tolist()) for share in (0.0, 0.5))
    assert easy.total() == hard.total() == 4 * CUBES
    assert hard[NOTHING] > easy[NOTHING] and hard[side] < easy[side]


def test_hard_cubes_need_a_network():
    with pytest.raises(InputError, match="hard"):
        prepare(HandFinderTraining(hard=0.5))


@pytest.mark.parametrize("seed", range(20))
def test_wrong_sizes_are_far_from_right_ones(seed):
    factor = hand_finder.wrong_size(np.random.default_rng(seed))
    assert 2.5 <= max(factor, 1 / factor) <= 8.0


def test_a_run_leaves_weights_and_a_card(tmp_path):
    config = HandFinderTraining(
        model=HandFinderConfig(size=32, width=8),
        loop=LoopConfig(samples=64, evaluate_every=32, warmup=8, precision="float32", kernel_precision="float32"),
        synth=SYNTH,
        scenes={"arms": 4, "people": 4},
        workers=0,
        buffer=8,
        held_out=4,
    )
    path = run(config, tmp_path, report=lambda line: None)
    assert load(path).config == config.model
    on = replace(config, start_from=path, hard=0.5, scenes={"arms": 8}, loop=replace(config.loop, samples=16))
    assert load(run(on, tmp_path / "on", report=lambda line: None)).config == config.model
    again = prepare(on).model.state_dict()
    assert all(torch.equal(value, again[name].float()) for name, value in starting_weights(path).items())
    card = json.loads(path.with_suffix(".json").read_text())
    assert [source["scene"] for source in card["data"]] == ["arms", "people"]
    assert {"right_percent", "side_percent", "middle_mm"} <= set(card["curve"])
