from inspect import signature

import numpy as np
import pytest
from scipy.stats import bootstrap

from phalanx.core.errors import InputError
from phalanx.metrics.bootstrap import bootstrap_frames, bootstrap_sequences
from phalanx.metrics.curves import auc
from phalanx.metrics.joints import end_point_errors, procrustes_errors


def errors(count: int = 200) -> np.ndarray:
    return np.random.default_rng(0).exponential(10, (count, 3))


def test_the_interval_of_a_mean_is_scipys():
    values = errors()[:, 0]
    found = bootstrap_frames(lambda frames: values[frames].mean(), 200, seed=1, resamples=4000)
    seeding = "rng" if "rng" in signature(bootstrap).parameters else "random_state"  # renamed in SciPy 1.15
    expected = bootstrap(
        (values,), np.mean, n_resamples=4000, method="percentile", **{seeding: np.random.default_rng(2)}
    )
    low, high = expected.confidence_interval
    assert found.value == values.mean()
    assert found.low == pytest.approx(low, abs=0.1 * (high - low))
    assert found.high == pytest.approx(high, abs=0.1 * (high - low))
    spread = values.std() / np.sqrt(200)
    assert found.high - found.low == pytest.approx(2 * 1.96 * spread, rel=0.1)  # nearly normal


def test_intervals_depend_on_the_seed_alone_and_grow_with_the_level():
    values = errors()

    def metric(frames):
        return auc(values[frames], 0, 50)

    first = bootstrap_frames(metric, 200, seed=3, resamples=200)
    assert first == bootstrap_frames(metric, 200, seed=3, resamples=200)
    assert first != bootstrap_frames(metric, 200, seed=4, resamples=200)
    wide, narrow = (bootstrap_frames(metric, 200, seed=3, resamples=200, level=level) for level in (0.99, 0.5))
    assert wide.low < first.low < narrow.low <= narrow.high < first.high < wide.high
    few = bootstrap_frames(lambda frames: metric(frames), 20, seed=3, resamples=200)
    assert few.high - few.low > 1.5 * (first.high - first.low)


def test_any_metric_of_predictions_and_truths_will_do():
    rng = np.random.default_rng(0)
    true = rng.normal(size=(30, 21, 3))
    predicted = true + 0.1 * rng.normal(size=true.shape)
    valid = rng.random((30, 21)) < 0.9
    interval = bootstrap_frames(
        lambda f: end_point_errors(predicted[f], true[f], valid[f])[valid[f]].mean(), 30, seed=0, resamples=50
    )
    assert interval.low < interval.value < interval.high
    gain = bootstrap_frames(
        lambda f: (end_point_errors(predicted[f], true[f]) - procrustes_errors(predicted[f], true[f])).mean(),
        30,
        seed=0,
        resamples=50,
    )
    assert gain.low > 0  # the same frames on both sides: the difference is sure


def test_missed_hands_make_bounds_infinite_and_not_nan():
    values = np.array([1.0, 1.0, 1.0, 1.0, np.inf])
    mean = bootstrap_frames(lambda frames: float(values[frames].mean()), 5, seed=0, resamples=200)
    assert mean == (np.inf, 1.0, np.inf)  # about a third of the resamples leave the missed hand out
    median = bootstrap_frames(lambda frames: float(np.median(values[frames])), 5, seed=0, resamples=200, level=0.5)
    assert median == (1.0, 1.0, 1.0)
    assert bootstrap_frames(lambda frames: np.inf, 5, seed=0, resamples=3) == (np.inf, np.inf, np.inf)


def test_sequences_are_drawn_whole_and_in_order():
    sequences = np.array(["b", "a", "b", "c", "a", "b"])
    drawn: list[list[int]] = []

    def metric(frames):
        drawn.append(frames.tolist())
        return float(len(frames))

    interval = bootstrap_sequences(metric, sequences, seed=0, resamples=40)
    assert interval.value == 6 and sorted(drawn[-1]) == list(range(6))
    parts = {"a": [1, 4], "b": [0, 2, 5], "c": [3]}
    for frames in drawn:
        rest = list(frames)
        for _ in range(3):
            part = parts[sequences[rest[0]]]
            assert rest[: len(part)] == part
            rest = rest[len(part) :]
        assert rest == []
    assert 3 <= interval.low < interval.high <= 9


def test_frames_of_one_sequence_are_not_independent():
    sequences = np.repeat(np.arange(20), 50)
    values = np.random.default_rng(0).normal(size=20)[sequences] + 0.01 * errors(1000)[:, 0]
    one_by_one = bootstrap_frames(lambda f: values[f].mean(), 1000, seed=0, resamples=300)
    whole = bootstrap_sequences(lambda f: values[f].mean(), sequences, seed=0, resamples=300)
    assert whole.value == pytest.approx(one_by_one.value)
    assert whole.high - whole.low > 4 * (one_by_one.high - one_by_one.low)


def test_bad_input_is_refused():
    def metric(frames):
        return float(len(frames))

    with pytest.raises(InputError, match="no frames"):
        bootstrap_frames(metric, 0, seed=0)
    with pytest.raises(InputError, match="resamples: at least 1"):
        bootstrap_frames(metric, 5, seed=0, resamples=0)
    with pytest.raises(InputError, match="level: between 0 and 1 expected, got 95"):
        bootstrap_frames(metric, 5, seed=0, level=95)
    with pytest.raises(InputError, match="metric: is not a number"):
        bootstrap_frames(lambda frames: float("nan"), 5, seed=0)
    with pytest.raises(InputError, match="at least two"):
        bootstrap_sequences(metric, ["a", "a"], seed=0)
    with pytest.raises(InputError, match="sequences: a list"):
        bootstrap_sequences(metric, [0.5, 1.5], seed=0)
