"""Keypoints in, posed hands out."""

import numpy as np
import pytest
import torch
import trimesh
from gesture_keypoints import gesture_joints as make_joints
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from phalanx.core.errors import InputError
from phalanx.hand.anatomy import ANGLE_NAMES
from phalanx.hand.plain import PlainHand
from phalanx.hand.skeleton import ORDERS
from phalanx.predict import keypoints as module
from phalanx.predict.keypoints import fit_keypoints

MIRROR = np.array([-1, 1, 1])


@pytest.fixture(scope="module")
def gesture_joints() -> tuple[np.ndarray, np.ndarray]:
    return make_joints()


def test_hands_lie_on_their_keypoints(gesture_joints):
    joints, want = gesture_joints
    hands = fit_keypoints(joints)
    recording = hands.recording
    assert recording.side == "right" and hands.reading.sure and recording.sources["scale"] == "measured"
    np.testing.assert_allclose(hands.joint_error, np.linalg.norm(recording.joints - joints, axis=-1), atol=1e-6)
    assert hands.joint_error.mean() < 1e-3
    assert recording.vertices.shape == (12, 1769, 3) and recording.angles_degrees.shape == (12, len(ANGLE_NAMES))
    assert np.median(np.abs(recording.angles_degrees - want)) < 1
    # the surface is about the joints: each fingertip's vertex is near
    tips = recording.joints[:, None, [4, 8, 12, 16, 20]]
    assert np.linalg.norm(recording.vertices[:, :, None] - tips, axis=-1).min(1).max() < 0.012
    assert not recording.filled.any() and not hands.outliers.any() and hands.skipped == {}


def test_a_left_hand_is_the_right_one_mirrored(gesture_joints):
    joints, _ = gesture_joints
    right, left = fit_keypoints(joints).recording, fit_keypoints(joints * MIRROR).recording
    assert (right.side, left.side) == ("right", "left")
    np.testing.assert_allclose(left.joints, right.joints * MIRROR, atol=1e-5)
    np.testing.assert_allclose(left.vertices, right.vertices * MIRROR, atol=1e-5)
    np.testing.assert_allclose(left.angles_degrees, right.angles_degrees, atol=0.05)
    for hands in (right, left):  # neither is inside out
        assert trimesh.Trimesh(hands.vertices[0], hands.faces, process=False).volume > 1e-4


@pytest.mark.parametrize(("unit", "factor"), [("millimetres", 1000), ("centimetres", 100)])
def test_units_are_turned_to_metres(gesture_joints, unit, factor):
    joints, _ = gesture_joints
    hands = fit_keypoints(np.round(joints * factor).astype(int) if factor == 1000 else joints * factor)
    assert hands.reading.unit == unit
    assert np.linalg.norm(hands.recording.joints - joints, axis=-1).mean() < 2e-3


@pytest.mark.parametrize(("flip", "negated"), [([1, -1, 1], "y"), ([1, 1, -1], "z")])
def test_mirrored_axes_are_turned_round_where_the_side_is_known(gesture_joints, flip, negated):
    joints, want = gesture_joints
    hands = fit_keypoints(joints * flip, "right")
    assert (hands.reading.mirrored, hands.recording.side) == (negated, "right")
    np.testing.assert_allclose(hands.keypoints, joints, atol=1e-9)
    assert np.median(np.abs(hands.recording.angles_degrees - want)) < 1
    turned = fit_keypoints(joints * [1, -1, -1], "right")  # y up and z towards the viewer: no mirror image
    assert turned.reading.mirrored is None and turned.joint_error.mean() < 1e-3


def test_orders_of_other_sets(gesture_joints):
    joints, _ = gesture_joints
    for order in ("mano", "interhand"):
        theirs = np.empty_like(joints)
        theirs[:, list(ORDERS[order])] = joints
        for asked in ("auto", order):
            hands = fit_keypoints(theirs, order=asked)
            assert hands.reading.order == order
            np.testing.assert_allclose(hands.keypoints, joints)


def test_one_hand_has_one_shape(gesture_joints):
    hands = fit_keypoints(gesture_joints[0], one_hand=True)
    assert (hands.recording.shape == hands.recording.shape[:1]).all()
    assert hands.joint_error.mean() < 1e-3


def test_missing_joints_are_filled_and_marked(gesture_joints):
    joints, _ = gesture_joints
    given = joints.copy()
    given[:, 4] = np.nan
    given[3, 8] = 0
    confidence = np.ones((12, 21))
    confidence[5, [10, 11]] = 0
    given[5, [10, 11]] = 7.0
    hands = fit_keypoints(given, confidence=confidence)
    expected = np.zeros((12, 21), bool)
    expected[:, 4] = expected[3, 8] = expected[5, [10, 11]] = True
    np.testing.assert_array_equal(hands.recording.filled, expected)
    np.testing.assert_array_equal(np.isnan(hands.joint_error), expected)
    assert not hands.outliers.any() and len(hands.recording) == 12
    off = np.linalg.norm(hands.recording.joints - joints, axis=-1)
    assert off[~expected].mean() < 5e-4 and off[expected].mean() < 0.02


def test_outliers_do_not_pull(gesture_joints):
    joints, _ = gesture_joints
    given = joints.copy()
    given[7, 12] += 0.3
    hands = fit_keypoints(given)
    assert np.argwhere(hands.outliers).tolist() == [[7, 12]] and hands.recording.filled[7, 12]
    assert hands.joint_error[7, 12] > 0.3
    assert np.delete(np.linalg.norm(hands.recording.joints - joints, axis=-1)[7], 12).max() < 3e-3


def test_frames_that_are_no_hand_are_passed_over(gesture_joints):
    joints = gesture_joints[0].copy()
    joints[1] = 0  # lost: all joints in one point
    joints[2] = joints[2, :1]
    joints[4] = joints[4, :1] + 50 * (joints[4] - joints[4, :1])
    joints[7] = np.nan
    joints[8, [0, 1, 5, 9, 13, 17]] = np.nan
    joints[9] = np.random.default_rng(0).normal(0, 0.06, (21, 3))
    hands = fit_keypoints(joints, times=np.arange(12) / 10)
    reasons = {
        1: "0 joints",
        2: "no hand's size",
        4: "no hand's size",
        7: "0 joints",
        8: "no palm",
        9: "joints of no hand",
    }
    assert hands.skipped == reasons
    np.testing.assert_array_equal(hands.recording.frames, [0, 3, 5, 6, 10, 11])
    np.testing.assert_allclose(hands.recording.times, [0, 0.3, 0.5, 0.6, 1.0, 1.1])
    assert hands.recording.sources["times"] == "given" and hands.joint_error.mean() < 1e-3


def test_far_from_the_origin_nothing_is_lost(gesture_joints):
    joints, _ = gesture_joints
    away = np.array([1000.0, -2000.0, 500.0])
    hands = fit_keypoints(joints + away)
    assert np.linalg.norm(hands.recording.joints - away - joints, axis=-1).max() < 3e-3


K = np.array([[900.0, 0, 640], [0, 900, 360], [0, 0, 1]])


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("form", ["mediapipe", "pixels"])
def test_joints_in_a_picture(gesture_joints, side, form):
    joints, want = gesture_joints
    joints = joints * (MIRROR if side == "left" else 1)
    pixels = joints @ K.T
    pixels = pixels[..., :2] / pixels[..., 2:]
    depth = (joints[..., 2] / joints[:, :1, 2] - 1) * 900
    if form == "mediapipe":
        given = np.concatenate((pixels + 0.5, depth[..., None]), axis=2) / [1280, 720, 1280]
        with pytest.raises(InputError, match=r"places in a picture \(0 to 1 across it\).*--image-size W,H"):
            fit_keypoints(given)
        hands = fit_keypoints(given, image_size=(1280, 720), K=K, hand_length=0.19)
    else:
        hands = fit_keypoints(pixels, side, K=K)
    recording = hands.recording
    assert recording.side == side and hands.reading.mirrored is None
    assert recording.sources["scale"] == ("given" if form == "mediapipe" else "prior")
    np.testing.assert_allclose(hands.keypoints, pixels, atol=1e-6)
    again = recording.joints @ K.T
    assert np.linalg.norm(again[..., :2] / again[..., 2:] - pixels, axis=-1).mean() < 4
    assert hands.joint_error.mean() < 2e-3
    assert np.median(np.abs(recording.angles_degrees - want)) < 8
    mirror = np.array([-1.0 if side == "left" else 1.0, 1, 1])
    posed = PlainHand.open_hand().joints(recording.pose()) * mirror
    np.testing.assert_allclose(posed, recording.joints, atol=1e-5)


def test_a_mirrored_picture_is_turned_round(gesture_joints):
    joints = gesture_joints[0]
    pixels = joints @ K.T
    pixels = pixels[..., :2] / pixels[..., 2:]
    depth = (joints[..., 2] / joints[:, :1, 2] - 1) * 900
    flipped = np.stack((1280 - pixels[..., 0], pixels[..., 1], depth), axis=-1)
    hands = fit_keypoints(flipped, "right", image_size=(1281, 721), K=K)
    assert hands.reading.mirrored == "x"
    np.testing.assert_allclose(hands.keypoints, pixels, atol=1e-6)
    assert hands.joint_error.mean() < 2e-3


def test_long_recordings_keep_no_surfaces(gesture_joints, monkeypatch):
    monkeypatch.setattr(module, "MOST_SURFACES", 11)
    recording = fit_keypoints(gesture_joints[0]).recording
    assert recording.vertices is None and recording.faces is None


@pytest.mark.parametrize(
    ("joints", "options", "says"),
    [
        (np.zeros((3, 20, 3)), {}, r"joints: must have shape \(frames, 21, 3\), has \(3, 20, 3\)"),
        (np.zeros((0, 21, 3)), {}, "joints: must have shape"),
        (np.full((2, 21, 3), np.nan), {}, "joints: no frame has 6 joints or more"),
        (np.full((2, 21, 3), np.inf), {}, "joints: no frame has 6 joints or more"),
        (np.full((2, 21, 3), "a"), {}, "joints: must be numbers"),
        (np.zeros((2, 21, 3)), {}, "joints: no frame has 6 joints or more"),
        (np.ones((2, 21, 3)), {}, "joints: are places in a picture"),
        (np.random.default_rng(0).normal(0, 0.05, (2, 21, 3)), {}, "joints: are no hand's"),
        (np.zeros((2, 21, 3)), {"side": "both"}, "side: must be 'left', 'right' or 'auto', not 'both'"),
        (np.zeros((2, 21, 3)), {"order": "mine"}, "order: must be auto or one of phalanx, mano"),
        (np.zeros((2, 21, 3)), {"hand_length": 3.0}, "hand_length: must lie between"),
        (np.zeros((2, 21, 2)), {"K": [1, 2]}, "K: "),
    ],
)
def test_bad_keypoints(joints, options, says):
    with pytest.raises(InputError, match=says):
        fit_keypoints(joints, **options)


def test_hands_of_no_size_are_refused(gesture_joints):
    with pytest.raises(InputError, match="from wrist to middle finger tip, not between"):
        fit_keypoints(0.35 * gesture_joints[0])


def test_hands_in_a_picture_come_near_and_go_away(gesture_joints):
    joints = gesture_joints[0][:6] - [0.2, 0, 0] + np.linspace(-0.75, 3, 6)[:, None, None] * [0, 0, 1]
    pixels = joints @ K.T
    hands = fit_keypoints(pixels[..., :2] / pixels[..., 2:], "right", K=K)
    assert hands.skipped == {}
    assert np.corrcoef(hands.recording.joints[:, 0, 2], joints[:, 0, 2])[0, 1] > 0.99


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"times": np.zeros(3)}, r"times: must have shape \(12,\)"),
        ({"times": np.zeros(12)}, "times: must be there and increase"),
        ({"confidence": np.ones((12, 20))}, r"confidence: must have shape \(12, 21\)"),
    ],
)
def test_bad_times_and_confidences(gesture_joints, options, says):
    with pytest.raises(InputError, match=says):
        fit_keypoints(gesture_joints[0], **options)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_spoilt_keypoints_never_surprise(gesture_joints, data):
    """Whatever is wrong with them: a hand in finite numbers or one sentence, and no other exception."""
    seed = data.draw(st.integers(0, 2**32 - 1))
    rng, frames = np.random.default_rng(seed), data.draw(st.integers(1, 4))
    joints = gesture_joints[0][rng.integers(0, 12, frames)].copy()
    spoil = {
        "missing": lambda x: np.where(rng.random((*x.shape[:2], 1)) < rng.random(), np.nan, x),
        "zero": lambda x: np.where(rng.random((*x.shape[:2], 1)) < 0.3, 0, x),
        "scaled": lambda x: x * 10.0 ** rng.integers(-6, 9),
        "relative": lambda x: x - x[:, [rng.integers(21)]],
        "flat": lambda x: x[..., :2],
        "noise": lambda x: x + rng.normal(size=x.shape) * 10.0 ** rng.integers(-4, 1),
        "one point": lambda x: np.broadcast_to(x[:, :1], x.shape),
        "infinite": lambda x: np.where(rng.random(x.shape) < 0.05, np.inf, x),
        "shuffled": lambda x: x[:, rng.permutation(21)],
    }
    with np.errstate(invalid="ignore"):
        for name in data.draw(st.lists(st.sampled_from(sorted(spoil)), max_size=3)):
            joints = spoil[name](joints)
    size = data.draw(st.sampled_from([None, (640, 480)]))
    try:
        hands = fit_keypoints(joints, data.draw(st.sampled_from(["auto", "left"])), image_size=size)
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert np.isfinite(hands.recording.joints).all() and len(hands.recording) + len(hands.skipped) == frames


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_precision_of_the_code_around_does_not_matter(gesture_joints, dtype):
    joints = gesture_joints[0][:3].copy()
    joints[1, 4] = np.nan
    pixels = joints[..., :2] / joints[..., 2:] * 900 + [640, 360]
    expected = fit_keypoints(joints), fit_keypoints(pixels, "right", K=K)
    torch.set_default_dtype(dtype)
    try:
        with torch.autocast("cpu", torch.bfloat16):
            found = fit_keypoints(joints), fit_keypoints(pixels, "right", K=K)
    finally:
        torch.set_default_dtype(torch.float32)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours.recording.joints, theirs.recording.joints, atol=1e-5)
