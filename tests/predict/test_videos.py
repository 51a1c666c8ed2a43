"""Which hand a video shows, and one camera throughout."""

from types import SimpleNamespace

import numpy as np
import pytest

from phalanx.hand.model import HandModel
from phalanx.hand.recording import posed_surfaces
from phalanx.predict.videos import FRAMES_FOR_SIDE, LONGEST_STRIDE, recording_of, side_of_video, with_same_camera


def watch(*shown):
    """The side of a video whose frames show (side, score) each, and the numbers of the frames that were looked at."""
    looked = []

    def predict(image):
        looked.append(int(image))
        side, score = shown[int(image)]
        return [SimpleNamespace(side=side, score=score)] if side else []

    return side_of_video(predict, iter(np.arange(len(shown)))), looked


def test_the_first_frames_decide_where_they_show_a_hand():
    side, looked = watch(*[("right", 0.9)] * 5, *[("left", 0.9)] * 4, *[("left", 0.9)] * 50)
    assert side == "right" and looked == list(range(FRAMES_FOR_SIDE))


def test_frames_without_a_hand_have_no_say():
    side, looked = watch(*[("left", 0.3)] * 9, *[("right", 0.9)] * 4)
    assert side == "right" and looked[-1] == 12
    assert watch(*[(None, 0)] * 9, ("right", 0.8))[0] == "right"


def test_votes_weigh_as_much_as_they_are_sure():
    assert watch(*[("left", 0.55)] * 3, *[("right", 0.95)] * 2)[0] == "right"


def test_a_long_beginning_without_a_hand_is_passed_quickly_and_a_short_hand_found():
    empty, hand = [("left", 0.2)] * 1500, [("right", 0.9)] * 2 * LONGEST_STRIDE
    side, looked = watch(*empty, *hand, *empty)
    assert side == "right"
    assert len([number for number in looked if number < 1500]) < 200
    inside = [number for number in looked if 1500 <= number < 1500 + len(hand)]
    assert len(inside) == FRAMES_FOR_SIDE and np.diff(inside[1:]).max() == 1  # frame by frame once it is there


def test_where_no_frame_shows_a_hand_all_have_a_say():
    assert watch(("left", 0.1), ("right", 0.3), ("left", 0.15))[0] == "right"
    assert watch((None, 0))[0] in ("left", "right")


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_recording_is_the_real_hands(oracle, side, mirrored):
    truth = oracle.truth(flip=(side == "left") != mirrored)
    (hand,) = oracle.predictor(truth)(
        oracle.picture(), box="whole", K=truth.K, side=side, mirrored=mirrored, hand_length=0.3
    )
    recording = recording_of([(3, 0.5, hand), (5, 0.75, hand)])
    assert recording.side == side and recording.frames.tolist() == [3, 5] and recording.times.tolist() == [0.5, 0.75]
    real = hand.vertices * ([-1, 1, 1] if mirrored else [1, 1, 1]) / hand.scale
    np.testing.assert_allclose(posed_surfaces(recording, HandModel.open_hand(), [1])[0], real, atol=1e-5)
    np.testing.assert_allclose(recording.angles_degrees[0], list(hand.angles_degrees.values()), atol=0.01)


@pytest.mark.parametrize(
    ("source", "score", "kept"), [("assumed", 0.8, True), ("assumed", 0.3, False), ("given", 0.8, False)]
)
def test_a_camera_that_was_assumed_stays(source, score, kept):
    K = np.diag([300.0, 300, 1])
    hand = SimpleNamespace(camera_source=source, score=score, K=K, width=320, height=240)
    options = with_same_camera({"K": None, "side": "left"}, [hand])
    assert options["side"] == "left"
    if kept:
        assert options["K"].K is K and options["K"].source == "assumed" and options["K"].size == (320, 240)
    else:
        assert options["K"] is None
