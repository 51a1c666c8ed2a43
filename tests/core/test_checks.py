import numpy as np
import pytest

from phalanx.core.checks import as_array, as_intrinsics, is_rigid, is_rotation
from phalanx.core.errors import InputError


def test_array_passes_and_is_float64():
    array = as_array([[1, 2], [3, 4]], (None, 2), "points")
    assert array.dtype == np.float64 and array.tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ([1.0, 2.0], r"points: must have shape \(any, 2\), has \(2,\)"),
        ([[1.0, 2.0, 3.0]], "must have shape"),
        ([[1.0, float("nan")]], "not finite"),
        ([[1.0, float("inf")]], "not finite"),
        ([["a", "b"]], "not an array of numbers"),
        ([[1.0], [1.0, 2.0]], "not an array of numbers"),
        (None, "points"),
    ],
)
def test_bad_arrays_are_named(values, says):
    with pytest.raises(InputError, match=says):
        as_array(values, (None, 2), "points")


def test_single_numbers():
    assert as_array(3, (), "size") == 3.0
    with pytest.raises(InputError, match="^size: not a number$"):
        as_array("large", (), "size")


def test_intrinsics_from_matrix_and_from_four_numbers():
    matrix = np.array([[500.0, 0.0, 320.0], [0.0, 510.0, 240.0], [0.0, 0.0, 1.0]])
    np.testing.assert_array_equal(as_intrinsics(matrix), matrix)
    np.testing.assert_array_equal(as_intrinsics((500, 510, 320, 240)), matrix)


def test_intrinsics_from_nine_numbers_and_from_projections():
    matrix = np.array([[500.0, 2.0, 320.0], [0.0, 510.0, 240.0], [0.0, 0.0, 1.0]])
    for given in (matrix.ravel(), matrix.T.ravel().tolist(), np.c_[matrix, [-60.0, 0, 0]]):
        np.testing.assert_array_equal(as_intrinsics(given), matrix)
    with pytest.raises(InputError, match="must have the form"):
        as_intrinsics(matrix.T)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (np.zeros((3, 3)), "singular"),
        ([[500, 0, 320], [0, 0, 240], [0, 0, 1]], "singular"),
        ([[500, 0, 320], [0, 500, 240], [0, 0, 0]], "singular"),
        ((0, 500, 1, 1), "singular"),
        ((-500, 500, 1, 1), "positive"),
        ([[500, 0, 320], [0, 500, 240], [0, 1, 1]], "form"),
        (np.eye(4), "shape"),
        ((500, 500, 1), "shape"),
        ((500, 500, 1, float("nan")), "finite"),
        ([[500, 0, 320], [0, 500]], "not an array of numbers"),
        ("500,500,320,240", "not an array of numbers"),
    ],
)
def test_bad_intrinsics_are_named(values, says):
    with pytest.raises(InputError, match=f"^--K: .*{says}"):
        as_intrinsics(values, "--K")


def test_rotations_and_motions_are_told_from_others():
    angle = 0.3
    rotation = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    motion = np.eye(4)
    motion[:3, :3], motion[:3, 3] = rotation, [1, 2, 3]
    assert is_rotation(rotation) and is_rigid(motion)
    for other in (1.001 * rotation, rotation * [-1, 1, 1], np.zeros((3, 3)), np.ones((3, 3))):
        assert not is_rotation(other)
        assert not is_rigid(np.block([[other, motion[:3, 3:]], [motion[3:]]]))
    assert is_rotation(1.001 * rotation, 1e-2)
    motion[3] = 0, 0, 0, 2
    assert not is_rigid(motion)
