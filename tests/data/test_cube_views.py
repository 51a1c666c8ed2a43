"""Hands in cubes: views agree with each other and with their labels, from synthesis with several cameras."""

import pytest
import torch

from phalanx.core.errors import InputError
from phalanx.data.cube_views import concatenate_views, cube_views
from phalanx.data.sample import Sample
from phalanx.geometry.cubes import EXTENT
from phalanx.synth import SynthConfig, make_chunk


@pytest.fixture(scope="module")
def sample():
    return make_chunk(SynthConfig(size=96, chunk=6, rig="ring3", tiles=2, skins=1, depth_sensor="ideal"), 3, 0)


def test_views_of_a_hand_lie_on_each_other(sample):
    middles = sample.joints.mean(1)
    views = cube_views(sample, 3, 64, middles)
    assert views.maps.shape == (2, 3, 64, 64) and views.joints.shape == (2, 3, 21, 3)
    first = views.joints @ views.to_first[..., :3, :3].mT + views.to_first[..., None, :3, 3]
    assert torch.allclose(first, first[:, :1].expand_as(first), atol=1e-4)
    # What is read just about a joint is skin: a few mm to 3 cm in front of it, never behind.
    place = ((views.joints[..., :2] / EXTENT + 0.5) * 64).long().clamp(0, 63)
    grid = views.maps.flatten(0, 1)
    seen = grid[torch.arange(6)[:, None], place.flatten(0, 1)[..., 1], place.flatten(0, 1)[..., 0]]
    behind = views.joints.flatten(0, 1)[..., 2] - seen
    on_hand = seen < EXTENT / 2
    assert on_hand.float().mean() > 0.8 and (behind[on_hand] > -0.012).float().mean() > 0.9


def test_single_views_are_frames_of_their_own(sample):
    views = cube_views(sample, 3, 32, sample.joints.mean(1))
    alone = views.single_views()
    assert alone.maps.shape == (6, 1, 32, 32) and torch.equal(alone.maps[4, 0], views.maps[1, 1])
    assert torch.equal(alone.to_first, torch.eye(4).expand(6, 1, 4, 4))
    both = concatenate_views([alone[:2], alone[[5]]])
    assert len(both) == 3 and torch.equal(both.joints[2], alone.joints[5])


def test_the_nearest_thing_is_the_hand_and_its_arm(sample):
    views = cube_views(sample, 1, 32)
    away = (views.joints[:, 0].mean(1)).norm(dim=-1)  # from the cube's middle
    assert away.median() < 0.09 and (away < 0.16).all()
    unlabelled = cube_views(Sample(depth=sample.depth, K=sample.K), 1, 32)
    assert unlabelled.joints is None and concatenate_views([unlabelled[:1], unlabelled[1:2]]).joints is None


def test_what_cannot_be_cut_out_is_said(sample):
    for broken, words in (
        (Sample(K=sample.K), "no depth"),
        (Sample(depth=sample.depth, K=sample.K), "world_to_camera"),
        (Sample(depth=sample.depth[:4], K=sample.K[:4]), "4 pictures are no frames of 3"),
    ):
        with pytest.raises(InputError, match=words):
            cube_views(broken, 3, 32)
    with pytest.raises(InputError, match="no reading"):
        cube_views(Sample(depth=torch.zeros(1, 8, 8), K=torch.eye(3)[None]), 1, 16)
