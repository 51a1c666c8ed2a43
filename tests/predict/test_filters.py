"""Filters of hands in motion: what stands still stays, what trembles does so less, and nothing trails by a frame."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from phalanx.geometry.rotations import rotmat_angle, rotvec_to_rotmat
from phalanx.hand.anatomy import LIMITS, angles_to_rotations
from phalanx.hand.model import HandModel, HandPose
from phalanx.hand.motion import hand_motion
from phalanx.metrics.video import accelerations, lag
from phalanx.predict.filters import (
    Cutoff,
    HandFilter,
    HandState,
    OneEuro,
    rotation_difference,
    rotation_sum,
    smooth_states,
    smoothed,
    state_of,
    with_states,
)

RATE, FRAMES = 30.0, 90
TIMES = np.arange(FRAMES) / RATE
MODEL = HandModel.open_hand()
FACING = torch.tensor([[1.0, 0, 0], [0, -1, 0], [0, 0, -1]])
quick = settings(max_examples=25, deadline=None)
seeds = st.integers(0, 2**32 - 1)
vectors = st.lists(st.floats(-3.0, 3.0), min_size=3, max_size=3).map(np.array)


def turned(vector: np.ndarray) -> np.ndarray:
    return rotvec_to_rotmat(torch.tensor(vector, dtype=torch.float64)[None])[0].numpy()


def angle(first: np.ndarray, second: np.ndarray) -> float:
    return float(rotmat_angle(torch.tensor(first), torch.tensor(second)))


def joints_of(states: list[HandState]) -> np.ndarray:
    """(T, 21, 3) metres, of the mean hand; the wrist where it would be seen if it were the hand's middle."""
    columns = (
        angles_to_rotations(torch.tensor(np.stack([state.angles for state in states]))),
        torch.zeros(len(states), 10),
        torch.tensor(np.stack([state.orientation for state in states])),
        torch.tensor(np.stack([np.append(state.bearing, 1) * state.depth for state in states])),
    )
    return MODEL.joints(HandPose(*(column.float() for column in columns))).double().numpy()


def moving(seed: int) -> list[HandState]:
    """A hand in motion, as people move."""
    motion = hand_motion(np.random.default_rng(seed), torch.tensor(TIMES), FACING, torch.tensor([0.02, 0.05, 0.5]))
    where = motion.translation.double().numpy()
    return [
        HandState(where[k, :2] / where[k, 2], where[k, 2], motion.orientation[k].double().numpy(), a)
        for k, a in enumerate(motion.angles.double().numpy())
    ]


def trembling(states: list[HandState], seed: int) -> list[HandState]:
    """As an estimator sees it, each frame by itself: errors of 6 degrees in angles and turn, 2 % in distance."""
    noise = np.random.default_rng(seed).normal(size=(len(states), 29))
    return [
        HandState(
            state.bearing + 0.002 * row[:2],
            state.depth * float(np.exp(0.02 * row[2])),
            rotation_sum(state.orientation, 0.1 * row[3:6]),
            state.angles + 0.1 * row[6:],
        )
        for state, row in zip(states, noise, strict=True)
    ]


def live(states: list[HandState], times: np.ndarray = TIMES) -> list[HandState]:
    one_euro = HandFilter()
    return [one_euro(state, time) for state, time in zip(states, times.tolist(), strict=True)]


def whole(states: list[HandState], times: np.ndarray = TIMES) -> list[HandState]:
    return smooth_states(states, times)


def assert_same(a: HandState, b: HandState) -> None:
    for name in ("bearing", "depth", "orientation", "angles"):
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=0, atol=1e-9)


@pytest.mark.parametrize("smooth", [live, whole])
@given(seed=seeds, turn=vectors)
@quick
def test_what_stands_still_stays(smooth, seed, turn):
    rng = np.random.default_rng(seed)
    angles = rng.uniform(*LIMITS.numpy().T)
    still = HandState(rng.normal(size=2) * 0.3, rng.uniform(0.2, 2.0), turned(turn), angles)
    times = np.cumsum(rng.uniform(0.005, 0.2, 12))
    for state in smooth([still] * 12, times):
        assert_same(state, still)


@pytest.mark.parametrize("smooth", [live, whole])
def test_error_and_trembling_are_less_and_nothing_trails_by_a_frame(smooth):
    """Lag as `metrics.video.lag` measures it, over all clips: the shift of the truth that aligns best."""
    clips = []
    for seed in range(4):
        true = moving(seed)
        found = trembling(true, seed)
        clips.append([joints_of(states) for states in (true, found, smooth(found))])
    true, found, filtered = (np.concatenate(each, axis=1) for each in zip(*clips, strict=True))  # (T, 4 * 21, 3)
    wrists = np.repeat(np.arange(4) * 21, 21)
    for relative in (False, True):
        a, b, c = (each - each[:, wrists] if relative else each for each in (true, found, filtered))
        errors = [np.linalg.norm(each - a, axis=-1).mean() for each in (b, c)]
        assert errors[1] < 0.85 * errors[0]
        assert abs(lag(c, a)) < (1.0 if smooth is live else 0.2)
    assert accelerations(c, 1).mean() < 0.3 * accelerations(b, 1).mean()


def test_frames_need_not_come_evenly():
    """Half of the frames left out at random: still better than unfiltered, and no step is taken for a jump."""
    true = moving(9)
    found = trembling(true, 9)
    kept = np.sort(np.random.default_rng(0).permutation(FRAMES)[: FRAMES // 2])
    for smooth in (live, whole):
        states = smooth([found[k] for k in kept], TIMES[kept])
        before, after = (
            np.linalg.norm(joints_of(each) - joints_of([true[k] for k in kept]), axis=-1).mean()
            for each in ([found[k] for k in kept], states)
        )
        assert after < before


def test_a_pause_between_frames_lets_the_new_value_in():
    one_euro = OneEuro(Cutoff(1.0, 1.0))
    one_euro(np.zeros(1), 0.0)
    assert one_euro(np.ones(1), 60.0) == pytest.approx(1.0, abs=0.01)
    with pytest.raises(ValueError, match="does not come after"):
        one_euro(np.ones(1), 60.0)


@given(first=vectors, second=vectors, change=vectors)
@quick
def test_rotations_stay_rotations_and_do_not_depend_on_the_frame(first, second, change):
    """The same turns seen from a camera that is itself turned are filtered alike."""
    frame = turned(change)
    filters = [OneEuro(Cutoff(1.0, 0.5), minus=rotation_difference, plus=rotation_sum) for _ in range(2)]
    start, end = turned(first), turned(second)
    for number in range(6):
        target = start if number < 2 else end
        here, there = (each(view @ target, number / 30) for each, view in zip(filters, (np.eye(3), frame), strict=True))
        np.testing.assert_allclose(here @ here.T, np.eye(3), atol=1e-6)
        assert np.linalg.det(here) > 0
        if angle(start, end) < 3.0:  # half a turn can be gone either way
            np.testing.assert_allclose(there, frame @ here, atol=1e-5)


@given(start=vectors, turn=vectors)
@quick
def test_differences_of_rotations_lead_there(start, turn):
    first, second = turned(start), turned(turn)
    np.testing.assert_allclose(rotation_sum(first, rotation_difference(second, first)), second, atol=1e-6)
    assert np.linalg.norm(rotation_difference(second, first)) == pytest.approx(angle(first, second), abs=1e-5)


@given(seed=seeds)
@quick
def test_smoothed_angles_keep_their_limits(seed):
    rng = np.random.default_rng(seed)
    low, high = LIMITS.numpy().T
    start = HandState(np.zeros(2), 0.5, np.eye(3), np.zeros(23))
    states = [replace(start, angles=rng.uniform(low - 0.2, high + 0.2)) for _ in range(8)]
    angles = np.stack([state.angles for state in smooth_states(states, np.sort(rng.random(8)))])
    assert (angles >= low).all() and (angles <= high).all()


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("length", [None, 0.21])
def test_a_hand_and_its_state(oracle, flip, length):
    """A state leads back to its hand; another shape keeps the picture, and a size that was given."""
    truth = oracle.truth(flip=flip)
    (hand,) = oracle.predictor(truth)(oracle.picture(), box="whole", K=truth.K, hand_length=length)
    hand = replace(hand, id=3, time=0.5)
    (same,) = with_states(MODEL, [hand], [state_of(MODEL, hand, hand.shape)], [hand.shape])
    np.testing.assert_allclose(same.vertices, hand.vertices, atol=1e-6)
    assert (same.id, same.time, same.side, same.scale) == (3, 0.5, hand.side, pytest.approx(hand.scale))
    larger = hand.shape - 1.2 * np.eye(10)[0]
    (other,) = with_states(MODEL, [hand], [state_of(MODEL, hand, larger)], [larger])
    assert other.joints_2d.mean(0) == pytest.approx(hand.joints_2d.mean(0), abs=0.5)
    extent = [np.ptp(each.joints_2d, axis=0).max() for each in (other, hand)]
    assert extent[0] == pytest.approx(extent[1], rel=0.1)
    bones = [np.linalg.norm(np.diff(each.joints[[0, 9, 10, 11, 12]], axis=0), axis=1).sum() for each in (other, hand)]
    if length is None:
        assert bones[0] > 1.05 * bones[1] and other.joints[0, 2] > 1.05 * hand.joints[0, 2]
    else:
        assert bones == [pytest.approx(length, abs=1e-4)] * 2
        assert other.joints[0, 2] == pytest.approx(hand.joints[0, 2])
    assert with_states(MODEL, [], [], []) == []


def test_a_recording_gets_one_shape(oracle):
    truth = oracle.truth()
    (hand,) = oracle.predictor(truth)(oracle.picture(), box="whole", K=truth.K)
    shaking = np.random.default_rng(0).normal(size=(7, 10)) * 0.2
    shaking -= shaking.mean(0)
    taken = [replace(hand, shape=hand.shape + row, time=k / 30, id=1) for k, row in enumerate(shaking)]
    found = smoothed(MODEL, taken)
    for one in found:
        np.testing.assert_allclose(one.shape, hand.shape, atol=1e-6)
        np.testing.assert_allclose(one.joints_2d, hand.joints_2d, atol=2.0)
    assert [one.time for one in found] == [one.time for one in taken] and smoothed(MODEL, []) == []
