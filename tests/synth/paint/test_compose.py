"""Layers put together by their depth."""

import torch

from phalanx.synth import SynthConfig, make_chunk
from phalanx.synth.paint.compose import Layer


def layer(colour, coverage, depth) -> Layer:
    return Layer(
        torch.tensor([colour])[:, :, None, None] * coverage,
        torch.full((1, 1, 1), coverage),
        torch.full((1, 1, 1), depth),
    )


RED, BLUE = [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]


def test_the_nearer_covers_the_farther_whatever_the_order():
    near, far = layer(RED, 0.75, 0.5), layer(BLUE, 1.0, 0.8)
    for both in (near.over(far), far.over(near)):
        assert both.colour.flatten().tolist() == [0.75, 0.0, 0.25]
        assert both.coverage.item() == 1 and both.depth.item() == 0.5
    assert near.in_front(far.depth).all() and not far.in_front(near.depth).any()


def test_nothing_covers_nothing():
    nothing, thing = layer(RED, 0.0, 0.0), layer(BLUE, 1.0, 2.0)
    for both in (nothing.over(thing), thing.over(nothing)):
        assert both.colour.flatten().tolist() == BLUE and both.coverage.item() == 1 and both.depth.item() == 2.0
    assert nothing.over(nothing).depth.item() == 0 and not nothing.in_front(thing.depth).any()


def test_things_in_hands_hide_what_is_behind_them():
    """Where the sensor of the whole scene reads nearer than the hand, the picture is not the hand's; the hand's own labels stay."""
    config = SynthConfig(size=64, chunk=12, scene="holding", tiles=4, skins=2, depth_sensor="ideal", camera="ideal")
    sample = make_chunk(config, 2, 0).check()
    hidden = (sample.mask == 1) & (sample.sensed_depth < sample.depth - 1e-4)
    shown = (sample.mask == 1) & (sample.sensed_depth == sample.depth)
    assert (hidden.flatten(1).sum(1) > 10).sum() >= 3 and shown.sum() > 2 * hidden.sum()
    beside = (sample.mask == 0) & (sample.sensed_depth < sample.joints[..., 2].amax(1)[:, None, None])
    assert (beside.flatten(1).sum(1) > 10).sum() >= 5  # things stand out of hands
