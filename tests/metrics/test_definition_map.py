import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from phalanx.core.errors import InputError
from phalanx.hand.skeleton import FINGERS
from phalanx.metrics.definition_map import (
    alternating_halves,
    apply_definition_map,
    cross_mapped,
    fit_definition_map,
)
from phalanx.metrics.joints import end_point_errors, procrustes_errors, root_scaled_errors

seeds = st.integers(0, 2**32 - 1)
quick = settings(max_examples=20, deadline=None)


def hands(seed: int, count: int = 40) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 21, 3)) * 0.05


def other_definition(joints: np.ndarray) -> np.ndarray:
    """Knuckles a tenth of the way towards the wrist, the wrist a tenth towards the middle knuckle."""
    moved = joints.copy()
    moved[:, [5, 9, 13, 17]] += 0.1 * (joints[:, :1] - joints[:, [5, 9, 13, 17]])
    moved[:, 0] += 0.1 * (joints[:, 9] - joints[:, 0])
    return moved


def test_map_has_rows_that_sum_to_one_and_uses_only_the_wrist_and_the_own_finger():
    mapping = fit_definition_map(hands(0), hands(1))
    np.testing.assert_allclose(mapping.sum(1), 1)
    assert set(np.flatnonzero(mapping[0])) == {0, 1, 5, 9, 13, 17}
    for finger in FINGERS:
        for joint in finger:
            assert set(np.flatnonzero(mapping[joint])) == {0, *finger}


def test_map_agrees_with_a_ridge_solved_as_augmented_least_squares():
    predicted, true = hands(2), hands(3)
    mapping = fit_definition_map(predicted, true)
    for joint, others in ((0, [1, 5, 9, 13, 17]), (6, [0, 5, 7, 8]), (20, [0, 17, 18, 19])):
        rows = [[predicted[n, k, c] - predicted[n, joint, c] for k in others] for n in range(40) for c in range(3)]
        targets = [true[n, joint, c] - predicted[n, joint, c] for n in range(40) for c in range(3)]
        damping = 0.01 * np.mean([sum(row[k] ** 2 for row in rows) for k in range(len(others))])
        rows += (np.sqrt(damping) * np.eye(len(others))).tolist()
        expected = np.linalg.lstsq(np.array(rows), np.array(targets + [0.0] * len(others)), rcond=None)[0]
        np.testing.assert_allclose(mapping[joint, others], expected, atol=1e-10)


def test_the_same_definition_gives_the_identity():
    np.testing.assert_allclose(fit_definition_map(hands(4), hands(4)), np.eye(21), atol=1e-12)


def test_without_ridge_another_definition_is_found_exactly():
    joints = hands(5)
    mapping = fit_definition_map(joints, other_definition(joints), ridge=1e-12)
    np.testing.assert_allclose(apply_definition_map(mapping, joints), other_definition(joints), atol=1e-9)


@given(seeds)
@quick
def test_map_commutes_with_similarities(seed):
    rng = np.random.default_rng(seed)
    mapping = fit_definition_map(hands(seed), hands(seed + 1))
    turn, shift = rng.uniform(0.5, 2) * Rotation.random(1, rng).as_matrix()[0], rng.normal(size=3)
    joints = hands(seed + 2, 2)
    np.testing.assert_allclose(
        apply_definition_map(mapping, joints @ turn + shift),
        apply_definition_map(mapping, joints) @ turn + shift,
        atol=1e-12,
    )


@given(seeds)
@quick
def test_fit_lowers_the_squared_error_on_its_own_frames(seed):
    predicted, true = hands(seed), hands(seed) + 0.3 * hands(seed + 1)
    mapped = apply_definition_map(fit_definition_map(predicted, true), predicted)
    assert ((mapped - true) ** 2).sum() <= ((predicted - true) ** 2).sum() + 1e-12


def test_halves_alternate_in_runs():
    assert alternating_halves(7, run=2).tolist() == [False, False, True, True, False, False, True]
    assert alternating_halves(200).sum() == 100
    assert not alternating_halves(20).any()


def test_cross_mapping_takes_out_a_definition_but_not_a_pose():
    true = hands(6, 60)
    rng = np.random.default_rng(6)
    turns = Rotation.random(60, rng).as_matrix()
    predicted = 2.0 * other_definition(true) @ turns + 1.0  # right but for definition, rotation, place and size
    mapped = cross_mapped(predicted, true, alternating_halves(60), align=True)
    assert procrustes_errors(mapped, true).mean() < 0.2 * procrustes_errors(predicted, true).mean()
    assert root_scaled_errors(mapped, true).mean() > 0.05  # the rotation is still wrong


def test_no_frame_is_mapped_with_weights_that_saw_it():
    predicted, true = hands(7, 40)[..., :2], hands(8, 40)[..., :2]
    halves = alternating_halves(40)
    before = cross_mapped(predicted, true, halves, align=False)
    changed = true.copy()
    changed[~halves] += hands(9, 20)[..., :2]
    after = cross_mapped(predicted, changed, halves, align=False)
    np.testing.assert_array_equal(after[~halves], before[~halves])
    assert end_point_errors(after[halves], before[halves]).max() > 1e-6


def test_joints_in_one_point_stay_there():
    np.testing.assert_allclose(fit_definition_map(np.zeros((2, 21, 3)), hands(1, 2)), np.eye(21))


def test_bad_input_is_refused():
    joints = hands(0, 4)
    with pytest.raises(InputError, match="in each half"):
        cross_mapped(joints, joints, [True] * 4, align=False)
    with pytest.raises(InputError, match="in each half"):
        cross_mapped(joints, joints, [True, False], align=False)
    with pytest.raises(InputError, match="shape of the true joints"):
        fit_definition_map(joints, joints[:3])
    with pytest.raises(InputError, match="at least one frame"):
        fit_definition_map(joints[:0], joints[:0])
    with pytest.raises(InputError, match=r"must have shape \(any, 21, any\)"):
        fit_definition_map(joints[:, :20], joints[:, :20])
