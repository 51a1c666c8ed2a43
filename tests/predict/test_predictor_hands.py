"""Several hands in one picture: detected by a stand-in, seen by an oracle, each found once and where it is."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from phalanx.core.errors import InputError
from phalanx.data.camera_files import Calibration
from phalanx.fit.joints import fit_evidence
from phalanx.geometry.camera import Camera
from phalanx.geometry.crops import SquareBox
from phalanx.geometry.distortion import Lens
from phalanx.predict.looks import box_around_joints
from phalanx.predict.merge import belief
from phalanx.predict.predictor import Predictor

RIGHT, LEFT = (
    (0.15, 0.05, 0.6),
    (0.15, 0.1, 0.7),
)  # metres; the left one before the mirrored camera, so that it is on the left


@pytest.fixture
def pair(oracle):
    """A right and a left hand."""
    truths = oracle.truth(at=RIGHT, roll=0.5), oracle.truth(flip=True, at=LEFT)
    return truths


def same_hand(hand, truth):
    np.testing.assert_allclose(hand.joints, truth.joints, atol=3e-4)
    np.testing.assert_allclose(hand.joints_2d, truth.joints_2d, atol=0.2)


def test_all_hands_in_one_look(oracle, pair, claims):
    """Each detection's square is looked at once, all of them in one call, and the surer hand comes first."""
    predictor = oracle.predictor(*pair)
    claims += [oracle.claim(pair[0], 0.95), oracle.claim(pair[1], 0.7)]
    right, left = predictor(oracle.picture(), K=pair[0].K)
    assert (right.side, left.side) == ("right", "left")
    assert right.side_source == "guessed"
    assert right.detection == pytest.approx(belief(0.95, right.score))
    assert left.detection == pytest.approx(belief(0.7, left.score))
    same_hand(right, pair[0])
    same_hand(left, pair[1])
    assert predictor.estimator.network.calls == [2]
    predictor.fit = fit_evidence
    for hand, truth in zip(predictor(oracle.picture(), K=pair[0].K, hand_length=0.2), pair, strict=True):
        np.testing.assert_allclose(hand.joints_2d, truth.joints_2d, atol=0.5)
        assert np.linalg.norm(np.diff(hand.joints[[0, 9, 10, 11, 12]], axis=0), axis=1).sum() == pytest.approx(0.2)


def test_where_the_side_is_unsure_both_are_looked_at_in_the_same_call(oracle, pair, claims):
    predictor = oracle.predictor(*pair)
    claims += [oracle.claim(pair[0], right=0.4), oracle.claim(pair[1], right=0.6)]
    right, left = predictor(oracle.picture(), K=pair[0].K)
    assert (right.side, left.side) == ("right", "left") and predictor.estimator.network.calls[0] == 4
    same_hand(right, pair[0])
    same_hand(left, pair[1])


def test_a_mirror_image_swaps_the_sides(oracle, pair, claims):
    claims += [oracle.claim(pair[0]), oracle.claim(pair[1], right=0.5)]
    shows_right, shows_left = oracle.predictor(*pair)(oracle.picture(), K=pair[0].K, mirrored=True)
    assert (shows_right.side, shows_left.side) == ("left", "right") and shows_right.mirrored
    same_hand(shows_right, pair[0])
    same_hand(shows_left, pair[1])


@pytest.mark.parametrize("mirrored", [False, True])
def test_of_a_given_side_hands_of_the_other_are_left_out(oracle, pair, claims, mirrored):
    claims += [oracle.claim(truth) for truth in pair]
    (hand,) = oracle.predictor(*pair)(oracle.picture(), K=pair[0].K, side="left", mirrored=mirrored)
    assert (hand.side, hand.side_source) == ("left", "given")
    same_hand(hand, pair[0] if mirrored else pair[1])


def test_a_given_side_is_believed_where_the_detector_sees_no_such_hand(oracle, claims):
    truth = oracle.truth()
    claims.append(oracle.claim(truth, right=0.05))
    (hand,) = oracle.predictor(truth)(oracle.picture(), K=truth.K, side="right")
    assert hand.side == "right"
    same_hand(hand, truth)


def test_a_square_beside_the_hand_is_looked_at_again(oracle, pair, claims):
    predictor = oracle.predictor(*pair)
    off = oracle.claim(pair[0]).square
    claims += [oracle.claim(pair[0], centre_x=off.centre_x + 20, angle=0.0), oracle.claim(pair[1])]
    right, left = predictor(oracle.picture(), K=pair[0].K)
    assert predictor.estimator.network.calls == [2, 1]
    same_hand(right, pair[0])
    same_hand(left, pair[1])


def test_turned_looks_only_where_it_is_unsure(oracle, claims):
    truth = oracle.truth()
    predictor = oracle.predictor(truth, misread=1)
    claims.append(oracle.claim(truth))
    (hand,) = predictor(oracle.picture(), K=truth.K)
    same_hand(hand, truth)
    assert predictor.estimator.network.calls[0] == 1 and sum(predictor.estimator.network.calls) > 1
    predictor.estimator.network.calls.clear()
    predictor(oracle.picture(), K=truth.K)
    assert predictor.estimator.network.calls == [1]


def test_no_hand_is_an_answer(oracle, claims):
    predictor = oracle.predictor(oracle.truth())
    assert predictor(oracle.picture()) == predictor.detect(oracle.picture()) == []
    assert predictor.estimator.network.calls == [] and predictor.follow(oracle.picture(), [], []) == []


def test_no_hand_twice(oracle, pair, claims):
    """Whatever leads to the same hand; the surest detection of it stays."""
    size = oracle.claim(pair[0]).square.side
    near = oracle.claim(pair[0], 0.8, side=0.7 * size)
    claims += [oracle.claim(pair[1], 0.9), near, oracle.claim(pair[0], 0.85)]
    hands = oracle.predictor(*pair)(oracle.picture(), K=pair[0].K)
    assert [hand.side for hand in hands] == ["left", "right"]
    assert [hand.detection for hand in hands] == pytest.approx(
        [belief(0.9, hands[0].score), belief(0.85, hands[1].score)]
    )


@pytest.mark.parametrize("roll", [0.0, math.pi])
def test_hands_that_hold_each_other_stay_two(oracle, claims, roll):
    """Two hands in one place: of different sides, or pointing different ways, as when people shake hands."""
    one = oracle.truth(at=(0.0, 0.09, 0.5))
    # The hand's middle stays where it is when it is turned about the wrist.
    middle = one.joints.mean(0)
    other = oracle.truth(flip=roll == 0, at=(0.0, 0.09, 0.52), roll=roll)
    shift = middle - other.joints.mean(0)
    other = oracle.truth(
        flip=roll == 0, at=tuple(np.array((0.0, 0.09, 0.52)) + shift * [-1 if roll == 0 else 1, 1, 0]), roll=roll
    )

    class Both(type(oracle.estimator(one))):
        """Sees the hand whose way the crop points."""

        def _read(self, images):
            found = len(self.seen) % 2
            self.truths = (one, other)[found : found + 1]
            return super()._read(images)

    claims += [oracle.claim(one), oracle.claim(other)]
    hands = Predictor(Both(one), fit=oracle.fit, detector="none")(oracle.picture(), K=one.K)
    assert [hand.side for hand in hands] == ["right", "left" if roll == 0 else "right"]
    same_hand(hands[0], one)
    same_hand(hands[1], other)


def test_claims_that_are_no_hands_are_dropped(oracle, pair, claims):
    """Where the estimator finds the hand elsewhere, or knows nothing."""
    predictor = oracle.predictor(pair[0])
    away = oracle.claim(pair[0])
    elsewhere = replace(away, square=replace(away.square, centre_x=30.0, centre_y=200.0, side=50.0))
    wrong_side = oracle.claim(pair[0], right=0.0)  # the oracle's expected error is then hopeless
    outside = replace(away, square=replace(away.square, centre_x=-300.0))
    claims += [elsewhere, wrong_side, outside]
    assert predictor(oracle.picture(), K=pair[0].K) == []
    claims.append(oracle.claim(pair[0], 0.6))
    (hand,) = predictor(oracle.picture(), K=pair[0].K)
    assert hand.detection == pytest.approx(belief(0.6, hand.score))


def test_max_hands_and_min_score_reach_the_detector(oracle, pair, claims):
    claims += [oracle.claim(pair[0], 0.95), oracle.claim(pair[1], 0.3)]
    predictor = oracle.predictor(*pair)
    assert len(predictor(oracle.picture())) == 2  # of the second the estimator is sure
    assert len(predictor(oracle.picture(), min_score=0.995)) == 1
    assert len(predictor(oracle.picture(), max_hands=1)) == 1
    assert predictor.detect(oracle.picture(), min_score=0.2) == claims
    assert predictor.detect(oracle.picture(), max_hands=1, min_score=0.2) == claims[:1]


def test_one_camera_for_all_hands(oracle, pair, claims):
    """Where it was assumed, the widest before which all fit; and where some never fit, before which the most do."""
    claims += [oracle.claim(truth) for truth in pair]
    predictor = oracle.predictor(*pair)
    fit, calls, never = predictor.fit, [], False

    def near(model, evidence, K, size, lengths):
        calls.append(len(K))
        pose = fit(model, evidence, K, size, lengths)
        if len(calls) < 3 or never:
            pose.translation[1] = torch.tensor([0.0, 0.0, -0.5])
        return pose

    predictor.fit = near
    hands = predictor(oracle.picture())
    assert calls == [2, 2, 2] and len(hands) == 2
    for hand in hands:
        assert hand.K[0, 0] == pytest.approx(160 / np.tan(np.radians(15)))  # 60, 45, 30 degrees across
    never = True
    (hand,) = predictor(oracle.picture())
    assert hand.K[0, 0] == pytest.approx(160 / np.tan(np.radians(30)))


def bent_picture(oracle, camera, lens):
    """The oracle's picture as a lens shows it."""
    x, y = np.meshgrid(np.arange(oracle.width), np.arange(oracle.height))
    rays = camera.rays(np.stack((x, y), -1).reshape(-1, 2).astype(float))
    rays[:, :2] = lens.undistort(rays[:, :2])
    image = np.full((oracle.height, oracle.width, 3), 0.5, np.float32)
    extent = np.array([oracle.width, oracle.height]) - 1
    image[..., :2] = (0.1 + 0.8 * camera.project(rays) / extent).reshape(oracle.height, oracle.width, 2)
    return image.clip(0, 1)


def test_the_detector_sees_the_picture_without_its_lens_and_followed_squares_come_from_the_given_one(
    oracle, monkeypatch
):
    lens = Lens("radial-tangential", (-0.12, 0.03, 0.002, -0.001))
    truths = oracle.truth(at=(0.09, 0.08, 0.4), roll=0.4), oracle.truth(flip=True, at=(0.08, 0.06, 0.5))
    camera = Camera(truths[0].K, oracle.width, oracle.height)
    image, given = bent_picture(oracle, camera, lens), Calibration(truths[0].K, (oracle.width, oracle.height), lens)

    def find_hands(detector, straight, max_hands, min_score):
        shift = (straight[0, 0, :2] - 0.1) / 0.8 * [oracle.width - 1, oracle.height - 1]  # where its corner is
        found = [oracle.claim(truth) for truth in truths]
        squares = [
            replace(one.square, centre_x=one.square.centre_x - shift[0], centre_y=one.square.centre_y - shift[1])
            for one in found
        ]
        return [replace(one, square=square) for one, square in zip(found, squares, strict=True)]

    monkeypatch.setattr("phalanx.predict.predictor.find_hands", find_hands)
    predictor = oracle.predictor(*truths)
    hands = predictor(image, K=given)
    squares = [box_around_joints(hand.joints_2d, oracle.width, oracle.height) for hand in hands]
    followed = predictor.follow(image, squares, [hand.side for hand in hands], K=given)
    for found in (hands, followed):
        for hand, truth in zip(found, truths, strict=True):
            np.testing.assert_allclose(hand.joints, truth.joints, atol=1.5e-3)
            np.testing.assert_array_equal(hand.distortion, lens.coefficients)
    outside = SquareBox(-500.0, 50.0, 40.0, 0.3)
    assert predictor.follow(image, [outside], ["left"], K=given) == [None]


def test_following(oracle, pair):
    """One look at each square in one call, and no other; what cannot be is None in its place."""
    predictor = oracle.predictor(*pair)
    squares = [box_around_joints(truth.joints_2d, oracle.width, oracle.height) for truth in pair]
    squares.insert(1, SquareBox(-300.0, 50.0, 40.0))
    right, outside, left = predictor.follow(
        oracle.picture(), squares, ["right", "auto", "auto"], K=pair[0].K, hand_lengths=[None, None, 0.2]
    )
    assert outside is None and predictor.estimator.network.calls == [3]
    same_hand(right, pair[0])
    assert (right.side_source, left.side_source, left.side) == ("given", "guessed", "left")
    assert (right.scale_source, left.scale_source, right.detection) == ("prior", "given", None)
    assert np.linalg.norm(np.diff(left.joints[[0, 9, 10, 11, 12]], axis=0), axis=1).sum() == pytest.approx(0.2)
    np.testing.assert_allclose(left.joints_2d, pair[1].joints_2d, atol=0.2)
    fit = predictor.fit
    predictor.fit = lambda *args: replace(fit(*args), translation=torch.tensor([[0.0, 0.0, -0.5]]))
    assert predictor.follow(oracle.picture(), squares[:1], ["right"], K=pair[0].K) == [None]


@pytest.mark.parametrize(
    ("squares", "sides", "lengths", "says"),
    [
        ([SquareBox(50, 50, 20)], [], None, "squares, sides, hand_lengths: must be as many, not 1, 0 and 1"),
        ([SquareBox(50, 50, 20)], ["both"], None, "side: must be 'left', 'right' or 'auto', not 'both'"),
        ([(1, 2, 3, 4)], ["left"], None, "squares: must be SquareBox, not tuple"),
        ([SquareBox(50, 50, 20)], ["left"], [3.0], "hand_length: must lie between 0.05 and 0.35 metres, got 3"),
    ],
)
def test_bad_squares_are_one_sentence(oracle, squares, sides, lengths, says):
    with pytest.raises(InputError, match=says):
        oracle.predictor(oracle.truth()).follow(oracle.picture(), squares, sides, hand_lengths=lengths)
