import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phalanx.core.errors import InputError
from phalanx.metrics.video import acceleration_errors, accelerations, jitter, lag

seeds = st.integers(0, 2**32 - 1)
quick = settings(max_examples=20, deadline=None)


def paths(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(8, 5, 3)), rng.normal(size=(8, 5, 3))


@given(seeds)
@quick
def test_differences_agree_with_loops(seed):
    predicted, true = paths(seed)
    rate = 25.0
    errors, sizes, jerks = acceleration_errors(predicted, true, rate), accelerations(true, rate), jitter(true, rate)

    def second(x, t, j):
        return (x[t - 1, j] - 2 * x[t, j] + x[t + 1, j]) * rate**2

    for j in range(5):
        for t in range(1, 7):
            assert sizes[t - 1, j] == pytest.approx(np.linalg.norm(second(true, t, j)))
            assert errors[t - 1, j] == pytest.approx(np.linalg.norm(second(predicted, t, j) - second(true, t, j)))
        for t in range(1, 6):
            jerk = (second(true, t + 1, j) - second(true, t, j)) * rate
            assert jerks[t - 1, j] == pytest.approx(np.linalg.norm(jerk))


@pytest.mark.parametrize("rate", [1, 30, 120])
def test_motions_whose_derivatives_are_known(rate):
    time = np.arange(10) / rate
    a, b = np.array([0.1, -0.2, 0.3]), np.array([1.0, 2.0, -2.0])
    path = (0.5 + a * time[:, None] + b / 2 * time[:, None] ** 2)[:, None]  # (10, 1, 3)
    np.testing.assert_allclose(accelerations(path, rate), 3.0, rtol=1e-6)
    np.testing.assert_allclose(jitter(path, rate), 0, atol=1e-13 * rate**3)
    np.testing.assert_allclose(jitter(path + time[:, None, None] ** 3 * [[[0, 0, 1]]], rate), 6.0, rtol=1e-6)


@given(seeds)
@quick
def test_a_steady_drift_costs_nothing(seed):
    predicted, true = paths(seed)
    errors = acceleration_errors(predicted, true, 1)
    drift = np.arange(8)[:, None, None] * [0.1, 0.2, 0.3] + 5
    np.testing.assert_allclose(acceleration_errors(predicted + drift, true, 1), errors, atol=1e-12)
    np.testing.assert_allclose(acceleration_errors(true, predicted, 1), errors, atol=1e-12)
    np.testing.assert_allclose(jitter(predicted + drift, 1), jitter(predicted, 1), atol=1e-12)
    np.testing.assert_allclose(jitter(predicted[::-1], 1)[::-1], jitter(predicted, 1), atol=1e-12)


def test_a_missing_joint_spoils_the_frames_around_it():
    predicted, true = paths(0)
    valid = np.ones((8, 5), dtype=bool)
    valid[3, 2] = False
    predicted[3, 2] = np.nan
    assert np.argwhere(np.isnan(acceleration_errors(predicted, true, 1, valid))).tolist() == [[1, 2], [2, 2], [3, 2]]
    assert np.argwhere(np.isnan(jitter(predicted, 1, valid))).tolist() == [[0, 2], [1, 2], [2, 2], [3, 2]]


def test_bad_input_is_refused():
    predicted, true = paths(0)
    with pytest.raises(InputError, match="at least 3 frames expected, got 2"):
        acceleration_errors(predicted[:2], true[:2], 30)
    with pytest.raises(InputError, match="at least 4 frames"):
        jitter(predicted[:3], 30)
    with pytest.raises(InputError, match="frames_per_second: a positive number"):
        accelerations(predicted, 0)
    with pytest.raises(InputError, match="millimetres"):
        acceleration_errors(predicted * 1000, true, 30)
    predicted[0, 0, 0] = np.inf
    with pytest.raises(InputError, match="not finite"):
        jitter(predicted, 30)


@pytest.mark.parametrize("frames", [-1.5, 0.0, 0.7, 3.0])
def test_lag_is_that_of_a_delayed_recording(frames):
    def path(t):
        return np.stack([np.sin(t / 5), np.cos(t / 8), t / 40], axis=-1)[:, None]  # (N, 1, 3)

    time = np.arange(60.0)
    assert lag(path(time - frames), path(time)) == pytest.approx(frames, abs=0.021)
    with pytest.raises(InputError, match="at least 13 frames"):
        lag(path(time[:12]), path(time[:12]))
