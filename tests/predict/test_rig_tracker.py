import numpy as np
from true_rig import TrueRig

from phalanx.predict.rig_tracker import RigTracker


def follow(true, frames=20):
    predictor = true.predictor()
    asked = []
    candidates = predictor.candidates
    predictor.candidates = lambda picture: asked.append(true.number(picture.image)) or candidates(picture)
    tracker = RigTracker(predictor)
    return predictor, tracker, [tracker(true.images(frame), frame / 30) for frame in range(frames)], asked


def test_a_hand_is_followed_and_the_detector_is_asked_seldom():
    true = TrueRig(2, "left")
    predictor, tracker, seen, asked = follow(true)
    assert tracker.side == "left" and all(each is not None for frame in seen for each in frame.seen)
    assert sorted({frame for frame, _ in asked}) == [0, 10]
    hands = predictor.fuse([frame.bare() for frame in seen])
    off = [np.linalg.norm(hand.joints - true.joints[frame], axis=1).mean() for frame, hand in enumerate(hands)]
    assert 1e3 * max(off) < 2 and hands[6].time == 0.2


def test_a_view_in_which_the_hand_is_lost_is_looked_at_again_soon():
    true = TrueRig(2, blind={(0, 1), (1, 1), (2, 1)})
    _, _, seen, asked = follow(true, 8)
    assert seen[2].seen[1] is None and seen[4].seen[1] is not None
    assert {frame for frame, view in asked if view == 1} == {0, 3}


def test_of_three_views_one_that_follows_another_hand_is_brought_back():
    true = TrueRig(3, wrong={(frame, 2) for frame in range(3)})
    predictor, _, seen, _ = follow(true, 8)
    hands = predictor.fuse(seen)
    assert (
        hands[0].disagreeing == ["cam2"]
        and hands[1].views[2].state == "no hand"
        and not hands[6].disagreeing
        and hands[6].views[2].state == "used"
    )
