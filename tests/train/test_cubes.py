import pytest
import torch

from phalanx.geometry.cubes import EXTENT
from phalanx.synth import SynthConfig
from phalanx.train.cubes import draw_views, turned


def test_the_same_stream_gives_the_same_frames(recordings):
    again = draw_views(SynthConfig(size=64, chunk=6, rig="ring3", tiles=2, skins=1, depth_sensor="kinect1"), 5, 4, 64)
    assert torch.equal(again.maps, recordings.maps) and torch.equal(again.joints, recordings.joints)
    assert recordings.maps.shape == (4, 3, 64, 64) and recordings.maps.dtype == torch.float16


def test_turned_maps_and_joints_stay_together():
    size = 64
    point = torch.tensor([0.06, 0.02, 0.01])
    maps = torch.full((4, 1, size, size), EXTENT / 2)
    column, row = ((point[:2] / EXTENT + 0.5) * size).long().tolist()
    maps[:, 0, row - 1 : row + 2, column - 1 : column + 2] = point[2]
    joints = point.expand(4, 1, 21, 3)
    maps, joints = turned(maps, joints, torch.tensor([0.0, 0.5 * torch.pi, 1.0, -2.2]))
    assert torch.allclose(joints[1, 0, 0], torch.tensor([-0.02, 0.06, 0.01]), atol=1e-6)  # clockwise: right goes down
    for picture, truth in zip(maps[:, 0], joints[:, 0, 0], strict=True):
        seen = (picture < EXTENT / 2).nonzero().float().mean(0).flip(0)  # column, row
        assert torch.allclose((seen + 0.5) / size * EXTENT - EXTENT / 2, truth[:2], atol=EXTENT / size)
        assert picture.min() == pytest.approx(0.01)
