import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from phalanx.core.errors import InputError
from phalanx.metrics.joints import procrustes_aligned
from phalanx.metrics.surfaces import aligned_by_joints, f_scores, nearest_distances, vertex_errors

seeds = st.integers(0, 2**32 - 1)
quick = settings(max_examples=20, deadline=None)


def surfaces(seed: int, first: int = 40, second: int = 30) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(2, first, 3)) * 0.02, rng.normal(size=(2, second, 3)) * 0.02


@given(seeds)
@quick
def test_f_scores_agree_with_all_pairs(seed):
    predicted, true = surfaces(seed)
    there, back = nearest_distances(predicted, true)
    for n, scores in enumerate(f_scores(predicted, true)):
        pairs = np.linalg.norm(predicted[n][:, None] - true[n][None], axis=-1)  # (V, W)
        np.testing.assert_allclose(there[n], pairs.min(1), atol=1e-12)
        np.testing.assert_allclose(back[n], pairs.min(0), atol=1e-12)
        for threshold, score in zip((0.005, 0.015), scores, strict=True):
            precision, recall = (pairs.min(1) < threshold).mean(), (pairs.min(0) < threshold).mean()
            assert score == pytest.approx(2 * precision * recall / (precision + recall) if precision + recall else 0)


@given(seeds)
@quick
def test_f_scores_are_symmetric_rise_with_the_threshold_and_need_no_order(seed):
    predicted, true = surfaces(seed)
    limits = np.linspace(0, 0.1, 12)
    scores = f_scores(predicted, true, limits)
    np.testing.assert_allclose(f_scores(true, predicted, limits), scores)
    np.testing.assert_allclose(f_scores(predicted[:, ::-1], true, limits), scores)
    turn = Rotation.random(1, np.random.default_rng(seed)).as_matrix()[0]
    np.testing.assert_allclose(f_scores(predicted @ turn + 1, true @ turn + 1, limits[1:]), scores[:, 1:], atol=1e-12)
    assert (np.diff(scores, axis=1) >= 0).all() and ((scores >= 0) & (scores <= 1)).all()
    assert (f_scores(true, true, [1e-9]) == 1).all()


def test_the_threshold_itself_is_too_far():
    assert f_scores([[[0.5, 0, 0], [0, 0, 0]]], [[[0, 0, 0], [1.0, 0, 0]]], [0.5, 0.6]).tolist() == [[0.5, 1.0]]
    assert f_scores([[[3.0, 0, 0]]], [[[0, 0, 0]]], [1.0]).tolist() == [[0.0]]


def test_vertex_errors_by_hand():
    assert vertex_errors([[[0, 0, 0], [1, 2, 2]]], [[[3, 4, 0], [1, 2, 2]]]).tolist() == [[5.0, 0.0]]


@given(seeds)
@quick
def test_vertices_follow_their_joints(seed):
    joints, _ = surfaces(seed, 21)
    true = joints + np.random.default_rng(seed).normal(size=joints.shape) * 0.003
    np.testing.assert_allclose(aligned_by_joints(joints, joints, true), procrustes_aligned(joints, true), atol=1e-12)
    vertices = (joints[:, :10] + joints[:, 10:20]) / 2  # affine combinations go where their joints go
    moved = procrustes_aligned(joints, true)
    np.testing.assert_allclose(aligned_by_joints(vertices, joints, true), (moved[:, :10] + moved[:, 10:20]) / 2)


def test_bad_input_is_refused():
    predicted, true = surfaces(0)
    with pytest.raises(InputError, match="shape of the true values"):
        vertex_errors(predicted, true)
    with pytest.raises(InputError, match="millimetres"):
        f_scores(predicted * 1000, true)
    with pytest.raises(InputError, match="millimetres"):
        vertex_errors(true * 1000, true)
    with pytest.raises(InputError, match="predicted: has 1 frames, the truth has 2"):
        f_scores(predicted[:1], true)
    with pytest.raises(InputError, match="at least one frame"):
        f_scores(predicted[:, :0], true)
    with pytest.raises(InputError, match="vertices: has 1 frames"):
        aligned_by_joints(predicted[:1], true, true)
    true[0, 0, 0] = np.nan
    with pytest.raises(InputError, match="true: has values that are not finite"):
        f_scores(predicted, true)
