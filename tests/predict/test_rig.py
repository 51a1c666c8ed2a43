import json

import numpy as np
import pytest
from true_rig import TrueRig

from phalanx.core.errors import InputError
from phalanx.hand.plain import PlainHand
from phalanx.hand.pose import HandPose
from phalanx.hand.skeleton import BONES


def off(hand, true, frame):
    """Millimetres, mean over the joints."""
    return 1e3 * float(np.linalg.norm(hand.joints - true.joints[frame], axis=1).mean())


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("count", [2, 4])
def test_one_hand_in_the_rigs_world(side, count):
    true = TrueRig(count, side)
    hand = true.predictor()(true.images(3))
    assert hand.side == side and hand.scale_source == "rig" and off(hand, true, 3) < 2
    assert [view.state for view in hand.views] == ["used"] * count
    for number, view in enumerate(hand.views):
        assert view.error < 1 and view.name == f"cam{number}"
        np.testing.assert_allclose(true.camera(number).to_camera(hand.joints), view.hand.joints, atol=1e-5)
        np.testing.assert_allclose(true.camera(number).project(hand.joints), view.hand.joints_2d, atol=0.05)
        np.testing.assert_allclose(view.joints_2d, true.seen(3, number), atol=0.01)
    mirror = [-1.0 if side == "left" else 1.0, 1, 1]
    pose = HandPose(hand.rotations[None], hand.shape[None], hand.orientation[None], hand.joints[:1] * mirror)
    np.testing.assert_allclose(PlainHand.open_hand()(pose).vertices[0] * mirror, hand.vertices, atol=1e-5)


def test_what_is_written_of_it_is_json():
    true = TrueRig(2)
    text = json.dumps(true.predictor()(true.images(0)).to_json(), allow_nan=False)
    data = json.loads(text)
    assert data["schema"] == "phalanx.rig_hand/1" and np.array(data["joints"]).shape == (21, 3)
    assert {"camera", "state", "joints_2d", "seen_2d", "uncertainty_px", "reprojection_error_px"} == set(
        data["views"][0]
    )


def test_a_view_without_the_hand_or_a_picture_is_named_and_the_others_count():
    true = TrueRig(4, blind={(2, 1)})
    images = true.images(2)
    images[3] = None
    predictor = true.predictor()
    predictor._look_where_others_see_it = lambda *arguments: None
    hand = predictor(images)
    assert [view.state for view in hand.views] == ["used", "no hand", "used", "no picture"]
    assert off(hand, true, 2) < 2 and hand.views[1].hand is not None and hand.views[3].hand is None


def test_where_two_views_see_the_hand_a_third_looks_again():
    true = TrueRig(3, blind={(2, 1)})
    assert [view.state for view in true.predictor()(true.images(2)).views] == ["used"] * 3


def test_a_view_that_disagrees_is_named_and_left_out():
    true = TrueRig(3, wrong={(4, 2)})
    hand = true.predictor()(true.images(4))
    assert hand.disagreeing == ["cam2"] and off(hand, true, 4) < 2
    assert hand.views[2].error > 30


def test_a_view_that_is_unsure_counts_little_and_says_so():
    true = TrueRig(3, hidden={(4, 0)})
    clear, blurred = (rig.predictor()(rig.images(4)) for rig in (TrueRig(3), true))
    assert [view.state for view in blurred.views] == ["unsure", "used", "used"]
    assert blurred.uncertainty.mean() > clear.uncertainty.mean()


def test_one_view_alone_gives_a_hand_of_likely_size():
    true = TrueRig(2, blind={(5, 0)})
    hand = true.predictor()(true.images(5))
    assert [view.state for view in hand.views] == ["no hand", "used"]
    assert hand.scale_source == "prior" and hand.uncertainty.mean() > 0.008
    assert hand.views[1].error < 2
    assert true.predictor(hand_length=0.19)(true.images(5)).scale_source == "given"


def test_two_views_that_disagree_leave_the_surer_one():
    true = TrueRig(2, wrong={(5, 1)})
    hand = true.predictor()(true.images(5))
    assert hand.scale_source == "prior" and sorted(view.state for view in hand.views) == ["disagrees", "used"]


def test_no_hand_is_an_answer():
    true = TrueRig(2, blind={(1, 0), (1, 1)})
    predictor = true.predictor()
    assert predictor(true.images(1)) is None
    assert predictor.fuse([predictor.look(true.images(frame)) for frame in (0, 1)])[1] is None


def test_a_side_that_is_given_is_believed_and_otherwise_all_views_say_it():
    true = TrueRig(2, "left")
    assert true.predictor(side="left")(true.images(0)).side_source == "given"
    assert true.predictor()(true.images(0)).side_source == "guessed"


def test_a_rig_without_a_unit_gets_it_from_the_hands():
    true = TrueRig(3, unit=40.0, metric=False)
    predictor = true.predictor()
    frames = [predictor.look(true.images(frame)) for frame in range(0, 20, 4)]
    hands = predictor.fuse(frames)
    assert 0.88 < 40 * predictor.factor < 1.12  # this hand has not quite the likeliest size
    assert all(hand.scale_source == "prior" for hand in hands)
    other = true.predictor(hand_length=0.21)
    other.fuse(frames)
    assert other.factor > 1.05 * predictor.factor


def test_one_shape_for_a_recording_keeps_bones_as_long():
    true = TrueRig(2, noise=1.0)
    predictor = true.predictor()
    frames = [predictor.look(true.images(frame)).bare() for frame in range(10)]
    a, b = np.array(BONES).T
    spreads = []
    for one_shape in (False, True):
        joints = np.stack([hand.joints for hand in predictor.fuse(frames, one_shape)])
        bones = np.linalg.norm(joints[:, a] - joints[:, b], axis=-1)
        spreads.append((bones.std(0) / bones.mean(0)).mean())
    assert spreads[1] < 0.003 < spreads[0]


def test_bad_input():
    true = TrueRig(2)
    predictor = true.predictor()
    with pytest.raises(InputError, match="has 2 cameras, not 1"):
        predictor([true.image(0, 0)])
    predictor(true.images(0))
    with pytest.raises(InputError, match="camera cam0: a picture of 640x480 pixels comes after ones of 320x240"):
        predictor([np.zeros((480, 640, 3), np.uint8), true.image(0, 1)])
