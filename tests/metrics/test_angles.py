import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from phalanx.core.errors import InputError
from phalanx.metrics.angles import joint_angle_errors, rotation_angle_errors
from phalanx.metrics.frames import frames_within

seeds = st.integers(0, 2**32 - 1)
quick = settings(max_examples=25, deadline=None)


def rotations(seed: int, count: int = 6) -> np.ndarray:
    return Rotation.random(count, np.random.default_rng(seed)).as_matrix()


@given(seeds)
@quick
def test_rotation_errors_are_scipys_magnitudes(seed):
    first, second = rotations(seed), rotations(seed + 1)
    errors = rotation_angle_errors(first, second)
    np.testing.assert_allclose(
        errors, np.degrees((Rotation.from_matrix(first).inv() * Rotation.from_matrix(second)).magnitude()), atol=1e-9
    )
    np.testing.assert_allclose(rotation_angle_errors(second, first), errors, atol=1e-9)
    turn = rotations(seed + 2, 1)
    np.testing.assert_allclose(rotation_angle_errors(turn @ first, turn @ second), errors, atol=1e-9)
    third = rotations(seed + 3)
    assert (errors <= rotation_angle_errors(first, third) + rotation_angle_errors(third, second) + 1e-9).all()


@pytest.mark.parametrize("degrees", [0, 1e-7, 1e-3, 90, 180 - 1e-7, 180])
def test_small_and_half_turns_are_exact(degrees):
    axis = np.array([1.0, -2.0, 0.5]) / np.linalg.norm([1.0, -2.0, 0.5])
    turned = Rotation.from_rotvec(np.radians(degrees) * axis).as_matrix()
    assert rotation_angle_errors(turned, np.eye(3)) == pytest.approx(degrees, abs=2e-14 * 180)


def test_leading_dimensions_are_kept():
    first, second = rotations(0, 6), rotations(1, 6)
    found = rotation_angle_errors(first.reshape(2, 3, 3, 3), second.reshape(2, 3, 3, 3))
    np.testing.assert_array_equal(found, rotation_angle_errors(first, second).reshape(2, 3))


@given(seeds)
@quick
def test_joint_angles_go_the_shorter_way(seed):
    rng = np.random.default_rng(seed)
    first, second = rng.uniform(-3, 3, (2, 5, 23))
    errors = joint_angle_errors(first, second)
    expected = [
        abs(np.angle(np.exp(1j * (a - b)), deg=True)) for a, b in zip(first.ravel(), second.ravel(), strict=True)
    ]
    np.testing.assert_allclose(errors.ravel(), expected, atol=1e-9)
    np.testing.assert_allclose(joint_angle_errors(first + 2 * np.pi, second), errors, atol=1e-9)
    np.testing.assert_allclose(joint_angle_errors(second, first), errors, atol=1e-9)


def test_joint_angles_that_are_missing_and_the_curve_of_dibra():
    valid = np.array([[True, False], [True, True]])
    errors = joint_angle_errors(np.radians([[10, 20], [30, 40]]), np.radians([[0, 0], [35, 0]]), valid)
    np.testing.assert_allclose(errors, [[10, np.nan], [5, 40]])
    assert frames_within(errors, [9, 10.0001, 41], valid).tolist() == [0, 0.5, 1]


def test_bad_input_is_refused():
    with pytest.raises(InputError, match="predicted: has matrices that are not rotations"):
        rotation_angle_errors(np.diag([1.0, 1.0, -1.0]), np.eye(3))
    with pytest.raises(InputError, match="true: has matrices that are not rotations"):
        rotation_angle_errors(np.eye(3), np.full((3, 3), np.nan))
    with pytest.raises(InputError, match="shape of the true rotations"):
        rotation_angle_errors(rotations(0, 2), rotations(0, 3))
    with pytest.raises(InputError, match=r"rotations \(..., 3, 3\) expected"):
        rotation_angle_errors(np.zeros((2, 4)), np.zeros((2, 4)))
    with pytest.raises(InputError, match="predicted: radians expected, has angles of up to 90; are they degrees"):
        joint_angle_errors([[90.0]], [[1.0]])
    with pytest.raises(InputError, match="shape of the true values"):
        joint_angle_errors([[1.0]], [[1.0, 2.0]])
