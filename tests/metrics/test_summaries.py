import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phalanx.core.errors import InputError
from phalanx.hand.skeleton import FINGERS, TIPS
from phalanx.metrics.frames import frames_with_mean_within, frames_within, mean_per_frame, worst_per_frame
from phalanx.metrics.summaries import (
    mean_error,
    mean_of_joint_means,
    mean_of_joint_medians,
    mean_per_finger,
    mean_per_joint,
    median_error,
    median_per_finger,
    median_per_joint,
)

seeds = st.integers(0, 2**32 - 1)
quick = settings(max_examples=25, deadline=None)


def masked(seed: int, count: int = 7) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    errors, valid = rng.exponential(10, (count, 21)), rng.random((count, 21)) < 0.5
    valid[:, 7] = False  # a joint that the set has not
    valid[3] = False  # a frame without labels
    valid[0, 0] = True
    return np.where(valid, errors, np.nan), valid


@given(seeds)
@quick
def test_all_figures_agree_with_loops(seed):
    errors, valid = masked(seed)
    columns = [[e for e, v in zip(errors[:, j], valid[:, j], strict=True) if v] for j in range(21)]
    flat = [e for column in columns for e in column]
    assert mean_error(errors, valid) == pytest.approx(sum(flat) / len(flat))
    assert median_error(errors, valid) == pytest.approx(np.median(flat))
    means = [np.mean(column) if column else np.nan for column in columns]
    medians = [np.median(column) if column else np.nan for column in columns]
    np.testing.assert_allclose(mean_per_joint(errors, valid), means)
    np.testing.assert_allclose(median_per_joint(errors, valid), medians)
    assert mean_of_joint_means(errors, valid) == pytest.approx(np.nanmean(means))
    assert mean_of_joint_medians(errors, valid) == pytest.approx(np.nanmean(medians))
    for finger, median in zip(FINGERS, median_per_finger(errors, FINGERS, valid), strict=True):
        pooled = sorted(errors[n, j] for n in range(len(errors)) for j in finger if valid[n, j])
        middle = pooled[(len(pooled) - 1) // 2 : len(pooled) // 2 + 1]
        assert median == pytest.approx(sum(middle) / len(middle)) if pooled else np.isnan(median)
    for finger, mean in zip(FINGERS, mean_per_finger(errors, FINGERS, valid), strict=True):
        own = [e for j in finger for e in columns[j]]
        assert mean == pytest.approx(np.mean(own), nan_ok=True) if own else np.isnan(mean)
    rows = [errors[n][valid[n]] for n in range(7)]
    np.testing.assert_allclose(worst_per_frame(errors, valid), [r.max() if r.size else np.nan for r in rows])
    np.testing.assert_allclose(mean_per_frame(errors, valid), [r.mean() if r.size else np.nan for r in rows])
    limits, kept = [0, 5, 20, 1e9], [r for r in rows if r.size]
    expected = [
        [np.mean([(r <= t).all() for r in kept]) for t in limits],
        [np.mean([r.mean() <= t for r in kept]) for t in limits],
    ]
    np.testing.assert_allclose(frames_within(errors, limits, valid), expected[0])
    np.testing.assert_allclose(frames_with_mean_within(errors, limits, valid), expected[1])


@given(seeds)
@quick
def test_without_a_mask_all_count_and_order_does_not_matter(seed):
    errors = np.random.default_rng(seed).exponential(10, (6, 21))
    shuffled = np.random.default_rng(seed).permutation(errors)
    whole = np.ones((6, 21), dtype=bool)
    for figure in (mean_error, median_error, mean_of_joint_means, mean_of_joint_medians):
        assert figure(errors) == pytest.approx(figure(errors, whole)) == pytest.approx(figure(shuffled))
        assert figure(2 * errors) == pytest.approx(2 * figure(errors))
    assert mean_of_joint_means(errors) == pytest.approx(mean_error(errors))
    groups = [[0], *FINGERS]
    weights = [len(group) / 21 for group in groups]
    assert mean_per_finger(errors, groups) @ weights == pytest.approx(mean_error(errors))
    np.testing.assert_allclose(mean_per_finger(errors, [TIPS]), errors[:, list(TIPS)].mean())


@given(seeds, st.floats(0, 5))
@quick
def test_curves_of_frames_rise_and_fall_with_errors(seed, more):
    errors, valid = masked(seed)
    limits = np.linspace(0, 80, 30)
    for curve in (frames_within, frames_with_mean_within):
        values = curve(errors, limits, valid)
        assert (np.diff(values) >= 0).all() and ((values >= 0) & (values <= 1)).all()
        assert (curve(errors + more, limits, valid) <= values).all()
    assert (frames_within(errors, limits, valid) <= frames_with_mean_within(errors, limits, valid)).all()


def test_one_bad_joint_spoils_a_frame_and_the_threshold_itself_is_within():
    errors = np.array([[1.0, 2.0], [1.0, 30.0], [20.0, 0.0], [np.inf, np.inf]])
    assert frames_within(errors, [2, 19.9, 20, 30, 1e6]).tolist() == [0.25, 0.25, 0.5, 0.75, 0.75]
    assert mean_error(errors) == np.inf and median_error(errors) == 11.0


@pytest.mark.parametrize("figure", [mean_error, median_per_joint, worst_per_frame, mean_of_joint_medians])
def test_bad_errors_are_refused(figure):
    with pytest.raises(InputError, match="at least one of each"):
        figure(np.zeros((0, 21)))
    with pytest.raises(InputError, match="at least one of each"):
        figure([1.0, 2.0])
    with pytest.raises(InputError, match="not NaN"):
        figure([[1.0, np.nan]])
    with pytest.raises(InputError, match="at least 0"):
        figure([[1.0, -2.0]])
    with pytest.raises(InputError, match="no joint of any frame counts"):
        figure([[1.0, 2.0]], [[False, False]])
    with pytest.raises(InputError, match="not an array of numbers"):
        figure([["a", "b"]])


def test_bad_fingers_and_thresholds_are_refused():
    with pytest.raises(InputError, match="joints 0 to 13"):
        mean_per_finger(np.ones((2, 14)), FINGERS)
    with pytest.raises(InputError, match="fingers"):
        mean_per_finger(np.ones((2, 14)), [[]])
    with pytest.raises(InputError, match="thresholds"):
        frames_within(np.ones((2, 14)), 5.0)
