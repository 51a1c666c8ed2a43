"""What keypoints mean is found by fitting."""

import numpy as np
import pytest
import torch

from phalanx.core.errors import InputError
from phalanx.fit.conventions import in_order, read_joints, read_picture
from phalanx.hand.anatomy import angles_to_rotations
from phalanx.hand.model import HandPose
from phalanx.hand.pose_space import gestures
from phalanx.hand.skeleton import ORDERS

N = 10
SEEN = np.ones((N, 21), bool)


@pytest.fixture(scope="module")
def joints(model) -> np.ndarray:
    """(N, 21, 3) right hands with the noise of a good sensor, half a metre before a camera."""
    torch.manual_seed(0)
    pose = HandPose.zero(N)
    pose.rotations = angles_to_rotations(torch.as_tensor(np.radians(gestures()[5 : 5 + N]), dtype=torch.float32))
    pose.shape = torch.randn(1, 10).expand(N, 10)
    pose.translation = torch.tensor([0.1, -0.05, 0.5]).expand(N, 3)
    found = model.joints(pose)
    return (found + 0.002 * torch.randn_like(found)).double().numpy()


@pytest.mark.parametrize(("unit", "factor"), [("metres", 1), ("centimetres", 100), ("millimetres", 1000)])
@pytest.mark.parametrize("size", [0.5, 1.0, 1.5])
def test_units(model, joints, unit, factor, size):
    found = read_joints(model, factor * size * joints, SEEN, side="right", order="phalanx")
    assert found.unit == unit and found.metres * factor == pytest.approx(1)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("frames", [1, N])
def test_the_side_is_the_one_that_fits(model, joints, side, frames):
    given = joints[-frames:] * [-1 if side == "left" else 1, 1, 1]
    found = read_joints(model, given, SEEN[-frames:])
    other = {"left": "right", "right": "left"}[side]
    assert found.side == side and found.sure and found.mirrored is None
    assert found.residuals[side] < 0.004 < found.residuals[other]


@pytest.mark.parametrize("turn", [[1, -1, -1], [-1, -1, 1], [-1, 1, -1]])
def test_turned_axes_are_no_mirror_images(model, joints, turn):
    found = read_joints(model, joints * turn, SEEN, "right")
    assert found.side == "right" and found.mirrored is None


@pytest.mark.parametrize(("flip", "negated"), [([1, -1, 1], "y"), ([1, 1, -1], "z"), ([-1, 1, 1], "y")])
def test_mirrored_axes_are_found_where_the_side_is_given(model, joints, flip, negated):
    found = read_joints(model, joints * flip, SEEN, "right")
    assert (found.side, found.mirrored) == ("right", negated)
    assert found.residuals["right"] < found.residuals["left"]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("side", ["left", "right"])
def test_orders(model, joints, order, side):
    theirs = np.empty_like(joints)
    theirs[:, list(ORDERS[order])] = joints * [-1 if side == "left" else 1, 1, 1]
    if order == "stb":  # the palm's centre in the wrist's place
        theirs[:, 0] = (theirs[:, 0] + theirs[:, 13 - 8]) / 2
    found = read_joints(model, theirs, SEEN)
    assert (found.order, found.side) == (order, side)
    back, seen = in_order(theirs, SEEN, order)
    assert seen.all() == (order != "stb")
    np.testing.assert_array_equal(back[:, 1:], joints[:, 1:] * [-1 if side == "left" else 1, 1, 1])


def test_a_given_order_is_kept(model, joints):
    theirs = np.empty_like(joints)
    theirs[:, list(ORDERS["rhd"])] = joints
    assert read_joints(model, theirs, SEEN, order="rhd").order == "rhd"
    with pytest.raises(InputError, match="no hand's in any joint order that is known"):
        read_joints(model, theirs, SEEN, side="right", order="interhand")


def test_missing_joints_and_outliers_do_not_matter(model, joints):
    given, seen = joints.copy(), SEEN.copy()
    seen[np.random.default_rng(0).random(seen.shape) < 0.2] = False
    given[~seen] = np.nan
    given[3, 8] = 5.0
    found = read_joints(model, given * [-1, 1, 1], seen)
    assert (found.side, found.unit, found.order) == ("left", "metres", "phalanx")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda joints: 20 * joints, "no hand's size in metres, centimetres or millimetres"),
        (lambda joints: 0 * joints, "no hand's size"),
        (lambda joints: np.random.default_rng(0).normal(0, 0.05, joints.shape), "no hand's in any joint order"),
        (lambda joints: joints[:, np.random.default_rng(1).permutation(21)], "no hand's in any joint order"),
    ],
)
def test_what_is_no_hand_is_refused(model, joints, change, says):
    with pytest.raises(InputError, match=f"^joints: .*{says}"):
        read_joints(model, change(joints), SEEN)


def picture(joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return joints[..., :2] / joints[..., 2:], joints[..., 2] / joints[:, :1, 2] - 1


@pytest.mark.parametrize("side", ["left", "right"])
def test_sides_in_pictures_with_depth(model, joints, side):
    places, depth = picture(joints * [-1 if side == "left" else 1, 1, 1])
    found = read_picture(model, places, SEEN, depth, "pixels")
    assert (found.side, found.sure, found.order, found.mirrored) == (side, True, "phalanx", None)


def test_a_mirrored_picture(model, joints):
    places, depth = picture(joints * [-1, 1, 1])
    found = read_picture(model, places, SEEN, depth, "pixels", "right")
    assert (found.side, found.mirrored) == ("right", "x")


@pytest.mark.parametrize("order", ["mano", "interhand"])
def test_orders_in_pictures(model, joints, order):
    theirs = np.empty_like(joints)
    theirs[:, list(ORDERS[order])] = joints
    assert read_picture(model, picture(theirs)[0], SEEN, None, "pixels", "right").order == order
