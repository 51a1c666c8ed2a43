"""Persons in full frames: arms that end in hands, mirror images that agree, boxes and masks that fit."""

import numpy as np
import pytest
import torch

from phalanx.core.seeding import generator
from phalanx.render.solids import signed_distance
from phalanx.synth import SynthConfig, make_chunk
from phalanx.synth.paint import surface as surfaces
from phalanx.synth.paint.dress import draw_dress, dress
from phalanx.synth.scene.people import (
    LOWER_ARM,
    PAINTS,
    UPPER_ARM,
    draw_arms,
    draw_people,
    hand_boxes,
    mirrored_boxes,
    to_elbow,
)

FLIP = torch.tensor([-1.0, 1.0, 1.0])


OWN_ARM, OTHER_ARM, OWN_ELBOW, OTHER_ELBOW = -4, -3, -2, -1  # solids of a body


@pytest.fixture(scope="module")
def people(model):
    return model, draw_people(generator(3), model, 40, 128)


@pytest.fixture(scope="module")
def arms(model):
    return model, draw_arms(generator(3), model, 40, 128)


def pixels_of(points, views):
    seen = points @ views.K.mT
    return seen[..., :2] / seen[..., 2:]


@pytest.mark.parametrize("scene", ["people", "arms"])
def test_arms_lead_from_shoulder_to_wrist(scene, request):
    _, views = request.getfixturevalue(scene)
    assert PAINTS[OWN_ARM] == "arm" and PAINTS[OWN_ELBOW] == "forearm"
    elbow = views.body.centre[:, OWN_ELBOW]
    upper = views.body.half[:, OWN_ARM, 2] - views.body.half[:, OWN_ARM, 0]
    scale = 2 * upper / UPPER_ARM
    assert 0.84 < scale.min() and scale.max() < 1.16
    away = views.pose.translation - elbow
    assert torch.allclose(away.norm(dim=1), LOWER_ARM * scale, atol=2e-3)
    forearm = (views.pose.orientation @ views.pose.rotations[:, 0])[:, :, 1]
    assert ((forearm * away).sum(1) / away.norm(dim=1) > 0.999).all()


def test_every_second_picture_is_the_mirror_image_of_the_person(people):
    _, views = people
    right, left = views.body[::2], views.body[1::2]
    trunk = [i for i, paint in enumerate(PAINTS) if paint not in ("arm", "forearm", "trousers")]
    assert torch.allclose(right.centre[:, trunk], left.centre[:, trunk] * FLIP, atol=1e-5)
    for paint in ("arm", "forearm"):
        first, second = (i for i, name in enumerate(PAINTS) if name == paint)
        assert torch.allclose(right.centre[:, first], left.centre[:, second] * FLIP, atol=1e-5)
        assert torch.allclose(right.centre[:, second], left.centre[:, first] * FLIP, atol=1e-5)
    assert torch.equal(views.pose.shape[::2], views.pose.shape[1::2]) and torch.equal(views.K[::2], views.K[1::2])
    assert (torch.linalg.det(views.pose.orientation) > 0.99).all()


def test_a_hand_is_in_the_frame_and_none_in_the_body(people):
    model, views = people
    joints = model.joints(views.pose)
    pixels = pixels_of(joints, views)
    inside = ((pixels > 0) & (pixels < 127)).all(-1).all(-1).view(-1, 2)
    assert inside.any(1).all() and 0.3 < inside.float().mean() < 0.95
    extent = (pixels.amax(1) - pixels.amin(1)).amax(1)[inside.view(-1)] / 128
    assert extent.median() < 0.35  # hands are small in full frames
    head = views.body.centre[:, 0]
    assert (joints - head[:, None]).norm(dim=-1).min() > 0.07


def test_arms_come_from_beyond_the_frame(arms):
    _, views = arms
    body = views.body
    assert body.kind.shape == (80, 4)
    # The far end of the upper arm: the capsule's end that is not the elbow.
    axis = body.rotation[:, OWN_ARM, :, 2] * (body.half[:, OWN_ARM, 2] - body.half[:, OWN_ARM, 0])[:, None]
    ends = torch.stack([body.centre[:, OWN_ARM] + axis, body.centre[:, OWN_ARM] - axis], 1)
    away = (ends - body.centre[:, OWN_ELBOW, None]).norm(dim=-1)
    shoulder = ends[torch.arange(80), away.argmax(1)]
    pixel = pixels_of(shoulder[:, None], views)[:, 0]
    radius = body.half[:, OWN_ARM, 0] * views.K[:, 0, 0] / shoulder[:, 2]
    beyond = ((pixel < -0.5 - radius[:, None]) | (pixel > 127.5 + radius[:, None])).any(1)
    assert (beyond | (shoulder[:, 2] < 0)).all()
    # The right arm of the one picture is the left of the other.
    assert torch.allclose(body.centre[::2, OWN_ARM], body.centre[1::2, OTHER_ARM] * FLIP, atol=1e-5)
    assert torch.allclose(body.centre[::2, OTHER_ELBOW], body.centre[1::2, OWN_ELBOW] * FLIP, atol=1e-5)


def test_arms_are_seen_from_before_and_from_the_head(arms):
    _, views = arms
    elbow = views.body.centre[:, OWN_ELBOW]
    towards = views.pose.translation[:, 2] - elbow[:, 2]  # the wrist nearer than the elbow, or farther
    assert 0.2 < (towards < 0).float().mean() < 0.8


@pytest.mark.parametrize("scene", ["people", "arms"])
def test_hands_keep_clear_of_each_other_and_of_the_other_arm(scene, request):
    model, views = request.getfixturevalue(scene)
    joints = model.joints(views.pose)
    assert torch.cdist(joints[::2], joints[1::2] * FLIP).min() > 0.014
    other = views.body[:, [views.body.kind.shape[1] + OTHER_ARM]]
    assert signed_distance(other, joints)[..., 1:].min() > 0.014
    inside = pixels_of(joints, views)
    assert ((inside > 0) & (inside < 127)).all(-1).all(-1).view(-1, 2).any(1).all()
    assert joints[..., 2].min() > 0.24


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
    # Both show the same world, and so does depth.
    assert (first.image - second.image.flip(-1)).abs().mean() < 0.02
    assert (first.sensed_depth - second.sensed_depth.flip(-1)).abs().median() < 1e-3
    # What hides a hand is not the hand: masks lie within what was rendered.
    assert (sample.hand_masks[:, 0] <= sample.mask + 1e-6).all()
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
def test_forearms_end_in_their_elbows(scene, request):
    model, views = request.getfixturevalue(scene)
    _, topology = surfaces.hand("cpu")
    surface = model(views.pose)
    stretch = to_elbow(surface, topology, views.body)
    assert 0.5 < stretch.min() and stretch.max() < 3.5
    draw = draw_dress(generator(0), len(views.K))
    vertices, _, _ = dress(surface, topology, topology.rest_normals, draw, stretch)
    end = topology.rest[:, 1] < topology.rest[:, 1].min() + 0.015
    away = (vertices[:, end].mean(1) - views.body.centre[:, OWN_ELBOW]).norm(dim=1)
    assert away.max() < 0.025 and away.mean() < 0.012  # within the elbow's ball


@pytest.mark.parametrize("scene", ["people", "arms"])
def test_hands_are_where_a_depth_sensor_reads(scene):
    sample = make_chunk(SynthConfig(size=64, chunk=6, scene=scene, tiles=2, skins=1, depth_sensor="azure"), 1, 0)
    assert sample.joints[..., 2].min() > 0.5
