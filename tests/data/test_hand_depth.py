import pytest
import torch

from phalanx.core.errors import InputError
from phalanx.data.hand_depth import LINES, REACH, WIDTH, hand_depth, readings_of_hands, scale_of
from phalanx.data.sample import Sample
from phalanx.hand.skeleton import FOREARM
from phalanx.synth import SynthConfig
from phalanx.synth.chunks import make_chunk


def slowly(depth, joints_2d, root_depth, scale, K):
    """One map, pixel by pixel and line by line."""
    kept = torch.zeros_like(depth)
    for row in range(depth.shape[0]):
        for column in range(depth.shape[1]):
            d = depth[row, column]
            if d <= 0 or abs(d - root_depth) >= REACH * scale:
                continue
            pixel, nearest = torch.tensor([column, row]).to(joints_2d), torch.inf
            for begin, end in LINES:
                a, b = joints_2d[begin], joints_2d[end]
                along = ((pixel - a) @ (b - a) / ((b - a) @ (b - a)).clamp_min(1e-6)).clamp(0, 1)
                nearest = min(nearest, float((pixel - a - along * (b - a)).norm()))
            if nearest * d / (0.5 * (K[0, 0] + K[1, 1])) < WIDTH * scale:
                kept[row, column] = d
    return kept


def test_rule_is_that_of_its_slow_twin():
    random = torch.Generator().manual_seed(0)
    depth = 0.3 + 0.5 * torch.rand(2, 7, 9, generator=random, dtype=torch.float64)
    depth[torch.rand(2, 7, 9, generator=random) < 0.2] = 0
    joints = torch.tensor([9.0, 7.0]).double() * torch.rand(2, 21, 2, generator=random, dtype=torch.float64) ** 3
    joints[0, 8] = joints[0, 7]  # a bone without length
    root_depth, scale = torch.tensor([0.5, 0.6]).double(), torch.tensor([0.045, 0.04]).double()
    K = torch.tensor([[18.0, 0, 4], [0, 20, 3], [0, 0, 1]]).double().expand(2, 3, 3)
    found = readings_of_hands(depth, joints, root_depth, scale, K)
    for b in range(2):
        torch.testing.assert_close(found[b], slowly(depth[b], joints[b], root_depth[b], scale[b], K[b]))
    assert 5 < int((found > 0).sum()) < int((depth > 0).sum()) - 5


@pytest.fixture(scope="module")
def sample():
    return make_chunk(SynthConfig(size=64, domain="field", depth_sensor="domain", tiles=2, skins=1), 3, 0)


def test_hands_are_kept_and_what_is_around_them_goes(sample):
    kept = hand_depth(sample) > 0
    read = sample.sensed_depth > 0
    on_hand = (sample.parts > 0) & (sample.parts != 1 + FOREARM) & ((sample.sensed_depth - sample.depth).abs() < 0.03)
    assert float((kept & on_hand).sum() / on_hand.sum()) > 0.85
    assert float((kept & on_hand).sum() / kept.sum()) > 0.75
    assert float((kept & ~on_hand).sum() / (read & ~on_hand).sum()) < 0.2


def test_scale_is_a_bone_of_the_middle_finger(sample):
    assert 0.03 < float(scale_of(sample.joints).min()) < float(scale_of(sample.joints).max()) < 0.06


def test_what_is_missing_is_named(sample):
    with pytest.raises(InputError, match="depth, joints, joints_2d and K expected"):
        hand_depth(Sample(joints=sample.joints, joints_2d=sample.joints_2d, K=sample.K))
