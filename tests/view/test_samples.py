import numpy as np
import pytest
import torch

from phalanx.data.sample import Sample
from phalanx.view.samples import depth_picture, draw_boxes, draw_joints, draw_sample, sheet


def test_joints_are_drawn_where_they_are():
    tile = np.zeros((32, 32, 3), np.uint8)
    joints = np.full((21, 2), 5.0)
    joints[8] = [20.0, 25.0]  # the index finger's tip
    drawn = draw_joints(tile, joints, scale=2)
    assert drawn.shape == (64, 64, 3)
    # Pixel (20, 25) becomes the square of pixels 40..41, 50..51.
    assert drawn[50, 40].max() > 200 and drawn[40, 50].max() == 0


def test_depth_is_red_where_near_blue_where_far_black_where_unread():
    depth = np.linspace(0.5, 1.0, 64).reshape(8, 8)
    depth[3, 3] = 0
    drawn = depth_picture(depth).astype(int)
    assert drawn[3, 3].tolist() == [0, 0, 0]
    assert drawn[0, 0, 0] > drawn[0, 0, 2] + 50 and drawn[7, 6, 2] > drawn[7, 6, 0]
    assert not depth_picture(np.zeros((4, 4))).any()
    wall = np.where(np.arange(8)[:, None] < 4, depth, 5.0)  # colours go to what is behind, unless told what is shown
    plain, relief = depth_picture(wall)[:3].astype(int), depth_picture(wall, wall < 2)[:3].astype(int)
    assert np.ptp(relief[:, :, 1]) > 3 * np.ptp(plain[:2, :, 1]) and relief[0, 0].argmax() == 0


def test_boxes_are_drawn_round_hands_that_are_seen():
    tile = np.zeros((32, 32, 3), np.uint8)
    drawn = draw_boxes(tile, np.array([[4.0, 6.0, 10.0, 8.0], [0.0, 0.0, 0.0, 0.0]]))
    assert drawn[13, 20, 1] > 150 and drawn[20, 9, 1] > 150 and drawn[20, 20].max() == 0
    assert not draw_boxes(tile, np.zeros((2, 4))).any()


def test_unknown_joints_are_left_out():
    joints = np.full((21, 2), 5.0)
    joints[8] = [20.0, 25.0]
    drawn = draw_joints(np.zeros((32, 32, 3), np.uint8), joints, 2, valid=np.arange(21) != 8)
    assert drawn[:, 24:].max() == 0 and drawn[50, 40].max() == 0


@pytest.mark.parametrize("kind", ["image", "depth", "sensed_depth", "mask"])
def test_a_sample_is_cut_out_round_its_joints(kind):
    joints = torch.full((1, 21, 2), 70.0)
    joints[0, 8] = torch.tensor([110.0, 90.0])
    pictures = {
        "image": torch.zeros(1, 3, 100, 150),
        "depth": torch.zeros(1, 100, 150),
        "sensed_depth": torch.zeros(1, 100, 150),
        "mask": torch.zeros(1, 100, 150),
    }
    tile = draw_sample(Sample(joints_2d=joints, **{kind: pictures[kind]}), 128)
    assert tile.shape == (128, 128, 3)
    # The square round (70..110, 70..90) is 40 wide, the tile 64: joint 8 stands 20 right of its middle and 10 below.
    assert tile[64 + 20, 64 + 40].max() > 200
    assert not tile[:20].any()


def test_samples_without_joints_or_with_joints_far_off_show_the_whole_picture():
    image = torch.zeros(1, 3, 64, 64)
    image[:, 0, :32] = 1
    for joints in (None, torch.full((1, 21, 2), -500.0)):
        tile = draw_sample(Sample(image=image, joints_2d=joints), 64)
        assert tile[10, 32, 0] > 250 and tile[55, 32, 0] < 5


def test_a_sheet_is_filled_with_white():
    tiles = [np.full((4, 4, 3), value, np.uint8) for value in (10, 20, 30)]
    made = sheet(tiles, 2)
    assert made.shape == (8, 8, 3)
    assert made[0, 0, 0] == 10 and made[0, 5, 0] == 20 and made[5, 0, 0] == 30 and made[5, 5, 0] == 255
