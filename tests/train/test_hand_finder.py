"""Cubes for the finder of hands: labels agree with what is in them, and a run learns and leaves weights with a card."""

import json
from dataclasses import replace

import pytest
import torch

from phalanx.methods.hand_finder import LEFT, NOTHING, RIGHT, UNCLEAR, HandFinderConfig, load
from phalanx.synth import SynthConfig, make_chunk
from phalanx.train.hand_finder import CUBES, HandFinderTraining, cut, finish, hand_middles, labels, run
from phalanx.train.plan import LoopConfig

SYNTH = SynthConfig(size=128, chunk=4, tiles=1, skins=1, depth_sensor="kinect1", effects=0.0)


@pytest.fixture(scope="module")
def arms():
    return make_chunk(replace(SYNTH, scene="arms"), 3, 0)


def test_the_other_hand_is_the_mirror_images_own(arms):
    middles, seen = hand_middles(arms)
    mirror = torch.tensor([-1.0, 1.0, 1.0])
    assert torch.equal(middles[0, 1], middles[1, 0] * mirror) and torch.equal(middles[1, 1], middles[0, 0] * mirror)
    assert torch.equal(seen[0], seen[1].flip(0))
    alone, visible = hand_middles(make_chunk(SYNTH, 3, 0))
    assert torch.isinf(alone[:, 1]).all() and not visible[:, 1].any() and visible[:, 0].any()


def test_labels_say_what_is_near():
    hands = torch.tensor([[0.0, 0.0, 0.5], [0.4, 0.0, 0.5]])
    places = torch.tensor([[0.05, 0.0, 0.5], [0.4, 0.1, 0.5], [0.2, 0.0, 0.5], [0.0, 0.15, 0.5]])
    kind, offset = labels(places, hands, torch.tensor([True, True]))
    assert kind.tolist() == [RIGHT, LEFT, NOTHING, UNCLEAR]
    assert torch.allclose(offset[:2], torch.tensor([[-0.05, 0.0, 0.0], [0.0, -0.1, 0.0]]))
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
    assert torch.equal(made.offset[flipped, 0], -first["offset"][flipped, 0])


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
    card = json.loads(path.with_suffix(".json").read_text())
    assert [source["scene"] for source in card["data"]] == ["arms", "people"]
    assert {"right_percent", "side_percent", "middle_mm"} <= set(card["curve"])
