"""Hands that are followed: numbers, sides and shapes stay, through occlusion too, and no two tracks sit on one hand."""

import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from scripted_hands import ScriptedHand, ScriptedPredictor, frame

import phalanx
from phalanx.core.errors import InputError
from phalanx.predict.merge import belief
from phalanx.predict.tracker import EVERY, Tracker


def run(tracker, count, rate=30.0, start=0):
    """The hands of each frame by their ids."""
    return [{hand.id: hand for hand in tracker(frame(number), number / rate)} for number in range(start, start + count)]


def right(seen=lambda number: True, speed=0.002):
    return ScriptedHand("right", lambda number: (-0.12 + speed * number, 0.08, 0.5), seen)


def left(seen=lambda number: True):
    return ScriptedHand("left", lambda number: (0.14, 0.08 - 0.001 * number, 0.55), seen)


def between(first, last):
    return lambda number: first <= number < last


def test_two_hands_keep_their_numbers_and_the_detector_rests():
    predictor = ScriptedPredictor(right(), left())
    frames = run(Tracker(predictor), 50)
    assert phalanx.Tracker is Tracker
    assert [sorted(hands) for hands in frames] == [[0, 1]] * 50
    assert {hands[0].side for hands in frames} == {"right"} and {hands[1].side for hands in frames} == {"left"}
    assert predictor.detected == list(range(0, 50, EVERY))
    last = frames[-1][0]
    assert (
        last.time == pytest.approx(49 / 30)
        and last.detection == pytest.approx(belief(0.9, last.score))
        and last.side_source == "guessed"
    )
    np.testing.assert_allclose(last.joints, predictor.truth(predictor.hands[0], 49).joints, atol=0.01)


@pytest.mark.parametrize(("hidden", "same"), [(20, True), (35, False)])
def test_a_number_outlasts_a_second_of_occlusion(hidden, same):
    def seen(number):
        return not 10 <= number < 10 + hidden

    frames = run(Tracker(ScriptedPredictor(left(), right(seen))), 58)
    numbers = [next((n for n, hand in hands.items() if hand.side == "right"), None) for hands in frames]
    assert all(number is None for number in numbers[10 : 10 + hidden])
    assert set(numbers[:10]) == {1} and set(numbers[10 + hidden + EVERY :]) == {1 if same else 2}
    assert all(0 in hands for hands in frames)


def test_a_new_hand_is_found_soon():
    frames = run(Tracker(ScriptedPredictor(left(), right(between(15, 60)))), 30)
    assert 1 not in frames[14] and all(1 in hands for hands in frames[15 + EVERY :])


def test_the_side_is_decided_once_and_by_all_the_evidence():
    """The estimator errs in the first frames; the detector does not."""
    predictor = ScriptedPredictor(right(), misjudged=(0, 1, 10, 20, 30))
    frames = run(Tracker(predictor), 40)
    sides = [hands[0].side for hands in frames]
    assert set(sides[5:]) == {"right"} and all(len(hands) == 1 for hands in frames)
    assert sum(a != b for a, b in pairwise(sides)) <= 1
    late = run(
        Tracker(ScriptedPredictor(right(), misjudged=(3,))), 8
    )  # alone with it, among frames in which the side is open
    assert [hands[0].side for hands in late] == ["right"] * 8
    given = run(Tracker(ScriptedPredictor(right(), left()), side="left"), 12)
    assert [[hand.side for hand in hands.values()] for hands in given] == [["left"]] * 12
    assert given[0][0].side_source == "given"


def test_no_two_tracks_on_one_hand():
    """One hand passes behind another of its kind, and comes out again: it is lost meanwhile, and keeps its number."""
    standing = ScriptedHand("right", lambda number: (0.0, 0.08, 0.5))
    passing = ScriptedHand("right", lambda number: (-0.2 + 0.008 * number, 0.08, 0.5), lambda n: not 15 <= n < 33)
    frames = run(Tracker(ScriptedPredictor(standing, passing)), 50)
    for hands in frames:
        places = np.array([hand.joints_2d.mean(0) for hand in hands.values()])
        assert len(places) == 1 or np.linalg.norm(places[0] - places[1]) > 20
    assert all(len(hands) == 1 for hands in frames[16:32])
    assert sorted(frames[0]) == sorted(frames[-1]) == [0, 1]
    assert frames[-1][1].joints_2d.mean() > frames[0][1].joints_2d.mean()
    assert all(abs(hands[0].joints_2d.mean() - frames[0][0].joints_2d.mean()) < 5 for hands in frames)


def test_what_the_detector_never_confirms_is_let_go():
    predictor = ScriptedPredictor(right())
    tracker = Tracker(predictor)
    assert run(tracker, 5)[-1]
    predictor.blind = True
    frames = run(tracker, 45, start=5)
    assert frames[0] and not frames[-1]


def test_one_shape_that_settles_and_less_trembling():
    predictor = ScriptedPredictor(right(speed=0.0), shake=0.004)
    tracker = Tracker(predictor)
    shapes, raw, found, joints = [], [], [], []
    for number in range(55):
        (hand,) = tracker(frame(number), number / 30)
        (before,) = tracker.unfiltered
        assert (before.id, before.time) == (hand.id, hand.time)
        shapes.append(hand.shape)
        raw.append(before.joints - before.joints[0])
        found.append(hand.joints - hand.joints[0])
        joints.append(hand.joints)
    assert np.abs(np.diff(shapes[30:], axis=0)).max() < 0.03 and np.abs(shapes[-1]).max() < 0.1
    still = predictor.truth(predictor.hands[0], 0)
    assert np.linalg.norm(np.mean(joints[10:], axis=0) - still.joints, axis=1).max() < 0.02
    shake = [np.linalg.norm(np.diff(each, 2, axis=0), axis=-1).mean() for each in (raw, found)]
    assert shake[1] < 0.3 * shake[0]
    assert Tracker(predictor, filtered=False)(frame(0))[0].vertices is not None


def test_one_hand_in_a_box_needs_no_detector():
    predictor = ScriptedPredictor(right(lambda number: number != 7))
    frames = run(Tracker(predictor, box="whole"), 20)
    assert predictor.detected == [] and [len(hands) for hands in frames] == [1] * 7 + [0] + [1] * 12
    assert {number for hands in frames for number in hands} == {0}


def test_a_mirror_image(oracle, claims):
    truth = oracle.truth(flip=True)
    claims.append(oracle.claim(truth))
    tracker = Tracker(oracle.predictor(truth), K=truth.K, mirrored=True)
    for _ in range(3):
        (hand,) = tracker(oracle.picture())
        assert hand.side == "right" and hand.mirrored
        np.testing.assert_allclose(hand.joints, truth.joints, atol=1e-3)


def test_an_assumed_camera_stays(oracle, claims):
    truth = oracle.truth()
    claims.append(oracle.claim(truth))
    tracker = Tracker(oracle.predictor(truth))
    first, second = (tracker(oracle.picture())[0] for _ in range(2))
    assert first.camera_source == second.camera_source == "assumed" and (first.K == second.K).all()
    assert tracker.K is not None and tracker.K.size == (oracle.width, oracle.height)


def test_frames_that_do_not_belong_together():
    tracker = Tracker(ScriptedPredictor(right()))
    tracker(frame(0), 1.0)
    with pytest.raises(InputError, match="image: has 160x120 pixels, the frames before it 320x240"):
        tracker(frame(1, 160, 120), 2.0)
    with pytest.raises(InputError, match="time: 1 s does not come after"):
        tracker(frame(1), 1.0)
    with pytest.raises(InputError, match="time: "):
        tracker(frame(1), float("nan"))
    with pytest.raises(InputError, match="max_hands"):
        Tracker(ScriptedPredictor(right()), max_hands=0)


def test_memory_stays_flat():
    """Two hands, of which one comes and goes, so that tracks are made and forgotten."""
    tracker = Tracker(ScriptedPredictor(left(), right(lambda number: number % 20 < 2)))
    run(tracker, 60)
    tracemalloc.start()
    try:
        run(tracker, 20, start=60)
        before = tracemalloc.get_traced_memory()[0]
        run(tracker, 60, start=80)
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 60 * 500  # bytes a frame: a hand with its surface takes 100 times as much
    assert len(tracker._tracks) <= 3
