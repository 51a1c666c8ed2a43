import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.spatial import procrustes
from scipy.spatial.transform import Rotation

from phalanx.core.errors import InputError
from phalanx.metrics.joints import (
    end_point_errors,
    procrustes_aligned,
    procrustes_errors,
    root_scaled,
    root_scaled_errors,
)

seeds = st.integers(0, 2**32 - 1)
quick = settings(max_examples=25, deadline=None)


def hands(seed: int, count: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    true = rng.normal(size=(count, 21, 3)) * 0.05 + [0.0, 0.1, 0.5]
    return true + rng.normal(size=true.shape) * 0.02, true


def similarity(seed: int, points: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rotations = Rotation.random(len(points), rng).as_matrix()
    scales = rng.uniform(0.2, 5.0, size=(len(points), 1, 1))
    return scales * points @ rotations + rng.normal(size=(len(points), 1, 3))


def test_end_point_errors_are_plain_distances():
    predicted, true = np.zeros((1, 2, 2)), np.array([[[3.0, 4.0], [0.0, 0.0]]])
    assert end_point_errors(predicted, true).tolist() == [[5.0, 0.0]]


def test_root_scaled_agrees_with_a_loop():
    predicted, true = hands(0)
    for p, t, error in zip(predicted, true, root_scaled_errors(predicted, true), strict=True):
        p, t = p - p[0], t - t[0]
        scale = np.sqrt((t**2).sum() / (p**2).sum())
        np.testing.assert_allclose(error, [np.sqrt(((scale * a - b) ** 2).sum()) for a, b in zip(p, t, strict=True)])


@given(seeds)
@quick
def test_root_scaled_errors_ignore_place_and_size_of_the_prediction(seed):
    predicted, true = hands(seed)
    rng = np.random.default_rng(seed)
    moved = rng.uniform(0.1, 9.0, (3, 1, 1)) * predicted + rng.normal(size=(3, 1, 3))
    np.testing.assert_allclose(root_scaled_errors(moved, true), root_scaled_errors(predicted, true), atol=1e-12)


@given(seeds)
@quick
def test_root_scaled_norm_is_the_true_norm_and_the_mean_error_is_symmetric_up_to_scale(seed):
    predicted, true = hands(seed)
    scaled, relative = root_scaled(predicted, true), true - true[:, :1]
    np.testing.assert_allclose(np.linalg.norm(scaled, axis=(1, 2)), np.linalg.norm(relative, axis=(1, 2)))
    ratio = np.linalg.norm(predicted - predicted[:, :1], axis=(1, 2)) / np.linalg.norm(relative, axis=(1, 2))
    np.testing.assert_allclose(
        root_scaled_errors(true, predicted), root_scaled_errors(predicted, true) * ratio[:, None], atol=1e-12
    )


@given(seeds)
@quick
def test_procrustes_undoes_any_similarity(seed):
    predicted, true = hands(seed)
    np.testing.assert_allclose(procrustes_errors(similarity(seed, true), true), 0, atol=1e-12)
    np.testing.assert_allclose(
        procrustes_errors(similarity(seed, predicted), true), procrustes_errors(predicted, true), atol=1e-12
    )


@given(seeds)
@quick
def test_procrustes_disparity_is_scipys(seed):
    predicted, true = hands(seed)
    for p, t, aligned in zip(predicted, true, procrustes_aligned(predicted, true), strict=True):
        expected = procrustes(t, p)[2]  # sum of squares, the truth brought to unit norm
        assert ((aligned - t) ** 2).sum() / ((t - t.mean(0)) ** 2).sum() == pytest.approx(expected)


def test_procrustes_does_not_mirror_where_scipys_does():
    _, true = hands(4)
    mirrored = true * [-1, 1, 1]
    assert procrustes(true[0], mirrored[0])[2] == pytest.approx(0, abs=1e-12)
    aligned = procrustes_aligned(mirrored, true)
    assert np.linalg.norm(aligned - true, axis=-1).mean() > 0.01
    for p, t, ours in zip(mirrored, true, aligned, strict=True):
        centred, target = p - p.mean(0), t - t.mean(0)

        def cost(x, centred=centred, target=target):
            return ((np.exp(x[3]) * centred @ Rotation.from_rotvec(x[:3]).as_matrix().T - target) ** 2).sum()

        best = min(minimize(cost, [*v, 0.0]).fun for v in np.eye(3) * 2.5)
        assert ((ours - t) ** 2).sum() <= best + 1e-9


@given(seeds, st.floats(0.0, 0.1))
@quick
def test_no_other_similarity_is_better_than_procrustes(seed, amount):
    predicted, true = hands(seed)
    aligned = procrustes_aligned(predicted, true)
    rng = np.random.default_rng(seed)
    turn = Rotation.from_rotvec(rng.normal(size=3) * amount).as_matrix()
    other = aligned @ turn * (1 + amount * rng.normal()) + amount * rng.normal(size=3)
    assert (((other - true) ** 2).sum((1, 2)) >= ((aligned - true) ** 2).sum((1, 2)) - 1e-12).all()


def test_a_prediction_in_one_point_pays_for_all_of_the_hand():
    _, true = hands(2)
    collapsed = np.ones_like(true)
    np.testing.assert_allclose(root_scaled_errors(collapsed, true), np.linalg.norm(true - true[:, :1], axis=-1))
    np.testing.assert_allclose(
        procrustes_errors(collapsed, true), np.linalg.norm(true - true.mean(1, keepdims=True), axis=-1)
    )


@pytest.mark.parametrize("function", [end_point_errors, root_scaled_errors, procrustes_errors])
def test_bad_arrays_are_refused(function):
    predicted, true = hands(1)
    with pytest.raises(InputError, match=r"shape"):
        function(predicted[:2], true)
    with pytest.raises(InputError, match="shape"):
        function(predicted[0], true[0])
    predicted[1, 3, 0] = np.nan
    with pytest.raises(InputError, match="not finite"):
        function(predicted, true)
