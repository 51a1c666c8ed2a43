"""Surroundings for depth sensors: planes behind and below hands."""

import numpy as np
import pytest
import torch

from phalanx.core.seeding import generator
from phalanx.synth import SynthConfig, make_chunk
from phalanx.synth.paint.ground import GroundDraw, draw_ground, scene_depth, spots

K = torch.tensor([[[40.0, 0, 15.5], [0, 40.0, 15.5], [0, 0, 1]]])


def plain(**changes) -> GroundDraw:
    values = {
        "behind": np.array([0.5]),
        "wall": np.zeros((1, 2)),
        "below": np.array([np.inf]),
        "table": np.zeros((1, 2)),
        "albedo": np.array([[0.3, 0.7]]),
    }
    return GroundDraw(**(values | changes))


def seen(draw: GroundDraw):
    empty = torch.zeros(1, 32, 32)
    return scene_depth(empty, empty, torch.tensor([[0.5, 0.0, 0.5]]), K, torch.tensor([0.5]), draw)


def test_a_wall_stands_behind_the_hand():
    depth, light = seen(plain())
    assert torch.allclose(depth, torch.tensor(1.0)) and torch.allclose(light, torch.tensor(0.3))


def test_sloped_walls_and_leaning_tables_are_planes():
    """Points of a plane (p - a) . n = 0, by hand: the wall z = 1 + 0.2 x - 0.1 y, the table y = 0.1 + 0.05 x - 0.3 (z - 0.5)."""
    depth, light = seen(plain(wall=np.array([[0.2, -0.1]]), below=np.array([0.1]), table=np.array([[0.05, -0.3]])))
    row, column = np.mgrid[:32, :32]
    x, y = (column - 15.5) / 40 * depth[0].numpy(), (row - 15.5) / 40 * depth[0].numpy()
    z = depth[0].numpy()
    on_table = light[0].numpy() > 0.5
    assert 0.1 < on_table.mean() < 0.9
    assert np.abs(z - (1 + 0.2 * x - 0.1 * y))[~on_table].max() < 1e-5
    assert np.abs(y - (0.1 + 0.05 * x - 0.3 * (z - 0.5)))[on_table].max() < 1e-5


def test_grounds_leave_no_gap_and_lie_behind():
    draw = draw_ground(generator(3), 200)
    spot = torch.tensor([0.6, 0.0, 0.6]).expand(200, 3)
    empty = torch.zeros(200, 32, 32)
    depth, light = scene_depth(empty, empty, spot, K.expand(200, 3, 3), torch.full((200,), 0.5), draw)
    assert depth.min() > 0 and depth.max() <= 5 and torch.isfinite(depth).all()
    assert light.min() > 0 and light.max() < 1
    assert draw[np.array([3, 3])].behind.tolist() == [draw.behind[3]] * 2


@pytest.mark.parametrize("sensor", ["kinect1", "azure"])
def test_sensed_depth_reads_most_of_the_hand(sensor):
    config = SynthConfig(size=48, chunk=12, tiles=4, skins=2, depth_sensor=sensor)
    sample = make_chunk(config, 5, 0).check()
    inner = sample.mask == 1
    read = (sample.sensed_depth > 0) & inner
    assert read.sum() > 0.6 * inner.sum()
    error = (sample.sensed_depth - sample.depth)[read].abs()
    assert 1e-4 < error.median() < 0.01
    assert (sample.sensed_depth[sample.mask == 0] > 0).float().mean() > 0.5


def test_grounds_stay_while_hands_move():
    points = torch.tensor(
        [[[0.0, 0.1, 1.0], [0, 0.2, 2.0]], [[0, 0.4, 1.0], [0, 0.0, 1.5]], [[0, -0.3, 0.7], [0, -0.5, 0.9]]]
    )
    spot = spots(points, torch.tensor([0, 0, 1]))
    assert torch.allclose(spot, torch.tensor([[2.0, 0.4, 1.375], [2.0, 0.4, 1.375], [0.9, -0.3, 0.8]]))
