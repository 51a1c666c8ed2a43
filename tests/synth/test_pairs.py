"""Persons in full frames: mirror images that agree, boxes and masks that fit."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from phalanx.hand.model import HandPose
from phalanx.synth import SynthConfig, make_chunk
from phalanx.synth.paint import surface as surfaces
from phalanx.synth.pairs import hand_boxes, mirrored_boxes


@pytest.mark.parametrize("scene", ["people", "arms"])
def test_boxes_hold_masks_and_mirror_images_agree(scene):
    config = SynthConfig(size=96, chunk=12, scene=scene, tiles=6, skins=2, camera="ideal", depth_sensor="ideal")
    sample = make_chunk(config, 4, 0).check()
    assert sample.ids.tolist() == [[i // 2, 0, i % 2] for i in range(12)]
    first, second = sample[torch.arange(0, 12, 2)], sample[torch.arange(1, 12, 2)]
    assert torch.equal(first.hand_masks, second.hand_masks.flip(1).flip(-1))
    seen = (first.hand_masks > 0.5).flatten(2).any(2)
    assert seen.any(1).all() and torch.equal(first.boxes[..., 2] > 0, first.hand_masks.flatten(2).sum(2) >= 1)
    for person, hand in seen.nonzero().tolist():
        row, column = np.nonzero(first.hand_masks[person, hand].numpy() > 0.5)
        x, y, width, height = first.boxes[person, hand].tolist()
        assert x - 1 <= column.min() and column.max() <= x + width + 1
        assert y - 1 <= row.min() and row.max() <= y + height + 1
    back = mirrored_boxes(second.boxes.flatten(0, 1), 96).view(-1, 2, 4).flip(1)
    assert torch.allclose(first.boxes, back, atol=1e-3)
    assert torch.equal(first.shape, second.shape) and torch.equal(first.K, second.K)
    assert (torch.linalg.det(sample.orientation) > 0.99).all()
    # Both show the same world, and so does depth.
    assert (first.image - second.image.flip(-1)).abs().mean() < 0.02
    assert (first.sensed_depth - second.sensed_depth.flip(-1)).abs().median() < 1e-3
    # What hides a hand is not the hand: masks lie within what was rendered.
    assert (sample.hand_masks[:, 0] <= sample.mask + 1e-6).all()
    posed = surfaces.hand("cpu")[0](HandPose(sample.rotations, sample.shape, sample.orientation, sample.translation))
    assert torch.allclose(posed.joints, sample.joints, atol=1e-5)
    assert torch.allclose(posed.vertices, sample.vertices, atol=1e-5)
    again = make_chunk(config, 4, 0)
    for name, value in sample.present().items():
        assert torch.equal(value, again.present()[name]), name


def test_boxes_end_at_the_frame_and_vanish_with_the_hand():
    pixels = torch.tensor([[[-20.0, 5.0], [9.0, 12.0]], [[3.0, 4.0], [8.0, 40.0]], [[3.0, 4.0], [8.0, 9.0]]])
    masks = torch.ones(3, 16, 16)
    masks[2] = 0
    boxes = hand_boxes(pixels, masks * 0.0 + torch.nn.functional.pad(masks[:, 7:9, 5:6], (5, 10, 7, 7)))
    assert boxes.tolist() == [[0.0, 5.5, 9.5, 7.0], [3.5, 4.5, 5.0, 11.5], [0.0, 0.0, 0.0, 0.0]]
    assert torch.equal(mirrored_boxes(mirrored_boxes(boxes, 16), 16), boxes)


def test_boxes_hold_gloves_too():
    pixels = torch.tensor([[[5.0, 5.0], [9.0, 9.0]]])
    masks = torch.zeros(1, 16, 16)
    masks[0, 4:11, 6:12] = 0.5
    assert hand_boxes(pixels, masks).tolist() == [[5.5, 4.0, 6.5, 7.0]]


@pytest.mark.parametrize("scene", ["people", "arms"])
def test_hands_are_where_a_depth_sensor_reads(scene):
    sample = make_chunk(SynthConfig(size=64, chunk=6, scene=scene, tiles=2, skins=1, depth_sensor="azure"), 1, 0)
    seen = sample.hand_masks[:, 0].flatten(1).sum(1) > 0
    assert seen.any() and sample.joints[seen][..., 2].min() > 0.5


@pytest.mark.parametrize("scene", ["people", "arms"])
def test_without_pictures_labels_and_depth_are_the_same(scene):
    config = SynthConfig(size=64, chunk=4, scene=scene, tiles=2, skins=1, depth_sensor="kinect1")
    painted, bare = make_chunk(config, 4, 1).present(), make_chunk(replace(config, colour=False), 4, 1).present()
    assert set(painted) - set(bare) == {"image"}
    assert all(torch.equal(value, painted[name]) for name, value in bare.items())
