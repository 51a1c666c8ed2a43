"""Names of joints as tools write them, and orders that show in the lengths of bones."""

import numpy as np
import pytest

from phalanx.core.errors import InputError
from phalanx.data.joint_names import joint_of, likeliest_order, numbered_places, reordered, side_in
from phalanx.hand.skeleton import JOINT_NAMES, ORDERS
from phalanx.synth import SynthConfig, make_chunk

MEDIAPIPE = ["WRIST", "THUMB_CMC", "THUMB_MCP", "THUMB_IP", "THUMB_TIP"] + [
    f"{finger}_{joint}"
    for finger in ("INDEX_FINGER", "MIDDLE_FINGER", "RING_FINGER", "PINKY")
    for joint in ("MCP", "PIP", "DIP", "TIP")
]
MMPOSE = ["wrist"] + [
    f"{finger}{number}"
    for finger in ("thumb", "forefinger", "middle_finger", "ring_finger", "pinky_finger")
    for number in range(1, 5)
]


@pytest.mark.parametrize("names", [JOINT_NAMES, MEDIAPIPE, MMPOSE])
def test_names_of_tools_are_known(names):
    assert [joint_of(name) for name in names] == [(joint, None) for joint in range(21)]


def test_names_may_state_the_side():
    assert joint_of("Left index-tip") == (8, "left") and joint_of("r_wrist") == (0, "right")
    assert joint_of("palm center") == (-1, None)
    assert side_in("Right hand") == "right" and side_in("hands, left and right") is None and side_in(3) is None


@pytest.mark.parametrize("name", ["nose", "thumb_pip", "thumb5", "index", "", "wrist tip"])
def test_other_names_are_no_joints(name):
    with pytest.raises(InputError, match=r"is no joint's name, such as wrist"):
        joint_of(name)


def test_numbers_count_from_0_or_1():
    assert numbered_places(["3", "0", "20"]) == [3, 0, 20] and numbered_places(["1", "21"]) == [0, 20]
    assert numbered_places(["0", "21"]) is None and numbered_places(["1", "tip"]) is None


@pytest.fixture(scope="module")
def hands():
    return make_chunk(SynthConfig(size=64, tiles=4, skins=2, dense=False), 3, 0).joints_2d.numpy()  # (32, 21, 2)


@pytest.mark.parametrize("order", list(ORDERS))
def test_another_order_is_found_by_its_bones(hands, order):
    theirs = hands[:, np.argsort(ORDERS[order])]
    assert np.array_equal(reordered(theirs, order)[:, 1:], hands[:, 1:].astype(np.float64))
    assert likeliest_order(theirs, order) == likeliest_order(theirs, "phalanx") == order
    assert likeliest_order(theirs, "phalanx", 1e-3) == "phalanx"  # who says so is believed up to a point


def test_few_hands_are_not_taken_for_others(hands):
    assert all(likeliest_order(hands[row : row + 1]) == "phalanx" for row in range(len(hands)))
    unknown = hands.astype(float)
    unknown[:, :4] = np.nan
    assert likeliest_order(unknown[:, ::-1]) == "phalanx"  # not a whole one among them


def test_photos_are_in_our_order(real):
    from phalanx.data.public.photos3d import read_photos3d

    joints = read_photos3d(real("photos_3d")).joints_2d
    assert all(likeliest_order(part[:, np.argsort(ORDERS["mano"])]) == "mano" for part in joints.reshape(10, 20, 21, 2))
    assert all(likeliest_order(part, "phalanx") == "phalanx" for part in joints.reshape(10, 20, 21, 2))
