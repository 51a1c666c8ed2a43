"""From maps to hands: places, sides, none twice, whatever the picture's shape."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phalanx.methods import detector
from phalanx.predict import detection
from phalanx.predict.detection import STRIDE, UNIT, find_hands, looks, overlap


class Painted:
    """A stand-in for the network: it finds hands at given boxes, in pixels of the picture, of right hands where `right`."""

    def __init__(self, width, height, hands, calibration=(1.0, 0.0)):
        self.width, self.height, self.hands = width, height, hands
        self.config = SimpleNamespace(calibration=calibration)
        self.sizes = []

    def maps(self, images):
        rows, columns = (side // STRIDE for side in images.shape[2:])
        self.sizes.append(images.shape[2:])
        filled = np.nonzero(images[0].sum(0) > 0)
        scale = (max(filled[0].max(), filled[1].max()) + 1) / max(self.width, self.height)
        maps = np.full((1, 15, rows, columns), -9.0, np.float32)
        for (x, y, width, height), logit, right in self.hands:
            x, y, width, height = (scale * value for value in (x, y, width, height))
            column, row = (int(value / STRIDE) for value in (x + width / 2, y + height / 2))
            cx, cy = (column + 0.5) * STRIDE, (row + 0.5) * STRIDE
            edges = np.array([cx - x, cy - y, x + width - cx, y + height - cy])
            maps[0, :, row, column] = [
                logit,
                4.0 if right else -4.0,
                *np.log(edges / UNIT),
                (x + width / 2 - cx) / UNIT,
                (y + height / 2 - cy) / UNIT,
                math.log(1.4 * max(width, height) / UNIT),
                math.cos(0.5),
                math.sin(0.5),
                0.0,
                0.0,
                -2.0,
                0.0,
            ]
        return maps


def picture(width, height):
    return np.full((height, width, 3), 200, np.uint8)


def test_the_constants_are_the_networks():
    assert (detection.STRIDE, detection.UNIT) == (detector.STRIDE, detector.UNIT)
    assert math.exp(detection.LARGEST) == pytest.approx(detector.LARGEST)


@pytest.mark.parametrize(("width", "height"), [(640, 480), (200, 300), (1280, 720), (90, 70)])
def test_hands_lie_where_the_picture_has_them(width, height):
    box = (0.3 * width, 0.25 * height, 0.35 * width, 0.4 * height)
    painted = Painted(width, height, [(box, 2.0, True)])
    (hand,) = find_hands(painted, picture(width, height))
    assert np.allclose(hand.box, box, atol=0.03 * max(width, height) / 10)
    assert hand.score == pytest.approx(1 / (1 + math.exp(-2.0))) and hand.right > 0.9
    assert hand.square.centre_x == pytest.approx(box[0] + box[2] / 2 - 0.5, abs=0.01 * width)
    assert hand.square.side == pytest.approx(1.4 * max(box[2:]), rel=0.01) and hand.square.angle == pytest.approx(0.5)
    assert hand.palm == pytest.approx((0, 0, -1))
    assert all(side % 32 == 0 for size in painted.sizes for side in size)
    assert len(painted.sizes) == (2 if max(width, height) >= 512 else 1)  # 300 pixels are not worth another look


def test_confidence_is_calibrated_and_faint_claims_are_left_out():
    hands = [((10, 10, 60, 60), 1.0, True), ((120, 120, 60, 60), -1.0, False)]
    plain = find_hands(Painted(256, 256, hands), picture(256, 256), min_score=0.1)
    assert [hand.score for hand in plain] == pytest.approx([0.7311, 0.2689], abs=1e-3)
    bent = find_hands(Painted(256, 256, hands, (0.5, 1.0)), picture(256, 256), min_score=0.1)
    assert [hand.score for hand in bent] == pytest.approx([0.8176, 0.6225], abs=1e-3)
    assert len(find_hands(Painted(256, 256, hands), picture(256, 256))) == 1


def test_none_is_found_twice_but_hands_that_hold_each_other_are_two():
    clasped = [((100, 100, 60, 60), 3.0, True), ((128, 112, 60, 60), 2.0, False)]
    found = find_hands(Painted(256, 256, clasped), picture(256, 256))
    assert [hand.right > 0.5 for hand in found] == [True, False]
    same = [((100, 100, 60, 60), 3.0, True), ((108, 100, 60, 60), 2.0, True)]
    assert len(find_hands(Painted(256, 256, same), picture(256, 256))) == 1


def test_what_lies_in_a_hand_of_the_same_side_is_that_hand():
    inside = [((100, 100, 80, 80), 3.0, True), ((104, 140, 36, 36), 2.0, True), ((150, 110, 30, 30), 1.0, False)]
    found = find_hands(Painted(256, 256, inside), picture(256, 256))
    assert [hand.right > 0.5 for hand in found] == [True, False]  # a left hand before it stays


def test_surest_come_first_and_no_more_than_asked_for():
    hands = [((x, y, 30, 30), 0.5 + 0.01 * x + 0.001 * y, True) for x in (10, 60, 110) for y in (10, 60, 110)]
    found = find_hands(Painted(256, 256, hands), picture(256, 256), max_hands=5)
    scores = [hand.score for hand in found]
    assert len(found) == 5 and scores == sorted(scores, reverse=True)


def test_boxes_end_at_the_pictures_edge():
    painted = Painted(256, 192, [((-30, 20, 80, 90), 2.0, True)])
    (hand,) = find_hands(painted, picture(256, 192))
    assert hand.box[0] == 0 and hand.box[0] + hand.box[2] == pytest.approx(50, abs=1)


@settings(deadline=None, max_examples=25)  # the first call of OpenCV takes its time
@given(st.integers(1, 700), st.integers(1, 700))
def test_looks_have_sides_that_the_network_takes(width, height):
    shown = list(looks(np.zeros((height, width, 3), np.float32)))
    assert 1 <= len(shown) <= 2
    for look, scale in shown:
        assert look.dtype == np.float32 and look.shape[:2] == (1, 3)
        assert all(side % 32 == 0 for side in look.shape[2:])
        assert max(look.shape[2:]) <= 512 and max(width, height) / scale <= max(look.shape[2:]) + 0.5


boxes = st.tuples(st.floats(0, 100), st.floats(0, 100), st.floats(0.5, 50), st.floats(0.5, 50))


@given(boxes, boxes)
def test_overlap_is_a_symmetric_share(a, b):
    assert 0 <= overlap(a, b) <= 1 + 1e-9 and overlap(a, b) == pytest.approx(overlap(b, a))
    assert overlap(a, a) == pytest.approx(1)
