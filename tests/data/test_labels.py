import numpy as np
import pytest
import torch
from scipy.io import savemat

from phalanx.core.errors import InputError
from phalanx.data import labels
from phalanx.data.labels import (
    as_batch,
    as_rows,
    check_distance,
    check_hands,
    check_rows,
    check_unit,
    number_rows,
    only_tips,
    project,
    read_mat,
    read_named_rows,
    stacked,
)
from phalanx.geometry.camera import Camera


def hands(length: float) -> np.ndarray:
    """(3, 21, 3): wrist to middle knuckle is `length`, but for one hand that is wrong."""
    joints = np.zeros((3, 21, 3))
    joints[:2, 9, 1] = length
    return joints


def test_the_first_row_at_fault_is_named():
    check_rows([True, True], "f: frame", "is wrong")
    with pytest.raises(InputError, match="^f: frame 1: is wrong$"):
        check_rows(np.array([True, False, False]), "f: frame", "is wrong")
    values = np.arange(12.0).reshape(3, 2, 2)
    assert as_rows(values, (3, 2, 2), "f", "frame").tolist() == values.tolist()
    values[2, 0, 1] = np.inf
    with pytest.raises(InputError, match="^f: frame 2: has values that are not finite numbers$"):
        as_rows(values, (None, 2, 2), "f", "frame")
    with pytest.raises(InputError, match=r"^f: must have shape \(any, 2\), has \(3, 2, 2\)"):
        as_rows(values, (None, 2), "f", "frame")
    with pytest.raises(InputError, match="^f: not an array of numbers"):
        as_rows(np.array([["a"]]), (None, 1), "f", "frame")


def test_what_is_no_hand_is_named():
    joints = np.random.default_rng(0).random((4, 21, 3)) + [0, 0, 1]
    check_hands(joints, "f: hand")
    for spoil, fault in (
        (lambda hand: hand * [1, 1, -1], "a joint behind the camera"),
        (lambda hand: hand * 0, "in one point"),
    ):
        spoilt = joints.copy()
        spoilt[2] = spoil(spoilt[2])
        with pytest.raises(InputError, match=f"^f: hand 2: has .*{fault}"):
            check_hands(spoilt, "f: hand")


def test_a_batch_of_one_is_contiguous_float32():
    values = np.arange(6.0).reshape(2, 3).T  # not contiguous
    batch = as_batch(values)
    assert batch.dtype == torch.float32 and batch.is_contiguous()
    assert batch.tolist() == [values.tolist()]
    assert as_batch(np.array([True, False])).tolist() == [[1, 0]]


@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor])
def test_pixels_are_those_of_the_camera(kind):
    points, K = np.random.default_rng(0).random((7, 3)) + [0, 0, 1], np.array([[50.0, 1, 20], [0, 60, 10], [0, 0, 1]])
    expected = Camera(torch.as_tensor(K)[None], 64, 48).project(torch.as_tensor(points)[None])[0]
    np.testing.assert_allclose(np.asarray(project(kind(points), kind(K))), expected, rtol=1e-12)


def test_tips_that_are_not_known_are_zero():
    known = np.array([True, True, False, True, True])
    fields = only_tips(known, np.full((5, 3), 0.5), np.full((5, 2), 7.0))
    assert fields["valid"][0].nonzero().flatten().tolist() == [4, 8, 16, 20]
    assert torch.equal(fields["joints"][0], 0.5 * fields["valid"][0][:, None].expand(21, 3))
    assert torch.equal(fields["joints_2d"][0], 7 * fields["valid"][0][:, None].expand(21, 2))


@pytest.mark.parametrize(("unit", "length"), [("metres", 0.09), ("centimetres", 9), ("millimetres", 90)])
def test_units_are_told_apart(tmp_path, unit, length):
    check_unit(hands(length), unit, tmp_path)
    check_unit(hands(length)[:0], unit, tmp_path)
    for other in {"metres", "centimetres", "millimetres"} - {unit}:
        with pytest.raises(
            InputError, match=f"^{tmp_path}: joints should be in {other}, but seem to be in {unit}: .* {length:g}"
        ):
            check_unit(hands(length), other, tmp_path)
    with pytest.raises(InputError, match="in no known unit: .* 5e\\+05$"):
        check_unit(hands(5e5), unit, tmp_path)


def test_distances_in_another_unit_are_noticed(tmp_path):
    check_distance(np.array([400.0, 1, 500]), tmp_path)
    check_distance(np.zeros(0), tmp_path)
    with pytest.raises(InputError, match=r"hands are 0.4 away, so lengths seem to be in metres, not in mm"):
        check_distance(np.array([0.4]), tmp_path)
    with pytest.raises(InputError, match="in another unit"):
        check_distance(np.array([40.0]), tmp_path)


@pytest.mark.parametrize("fault", [[[1, 2], [3, None]], [[1, 2], [3, "x"]], [[1, 2], [3, np.inf]], [[1, 2]], None, 5])
def test_the_first_entry_at_fault_is_named(fault):
    good = [[1, 2], [3, 4]]
    assert stacked([good, good], (2, 2), ("a", "b"), np.float32).dtype == np.float32
    assert stacked([], (2, 2), ()).shape == (0, 2, 2)
    with pytest.raises(InputError, match="^b: "):
        stacked([good, fault, fault], (2, 2), ("a", "b", "c"))


def test_variables_of_matlab_files(tmp_path):
    savemat(tmp_path / "a.mat", {"x": np.eye(2), "y": 3})
    np.testing.assert_array_equal(read_mat(tmp_path / "a.mat", ["x"])["x"], np.eye(2))
    with pytest.raises(InputError, match=r"a\.mat: has no variable z"):
        read_mat(tmp_path / "a.mat", ["x", "z"])
    (tmp_path / "a.mat").write_bytes((tmp_path / "a.mat").read_bytes()[:150])
    with pytest.raises(InputError, match=r"a\.mat: is damaged or not a MATLAB file"):
        read_mat(tmp_path / "a.mat", ["x"])
    with pytest.raises(InputError, match=r"b\.mat: cannot be read: no such file"):
        read_mat(tmp_path / "b.mat", ["x"])


@pytest.mark.parametrize("block", [1, 2, 100])
def test_named_rows_in_blocks(tmp_path, monkeypatch, block):
    monkeypatch.setattr(labels, "BLOCK", block)
    path = tmp_path / "a.txt"
    path.write_bytes(b"x/1.png\t1 2.5\r\n\r\n 2.png -3 4e1 \n\n3.png 5 6")
    names, values = read_named_rows(path, 2)
    assert names == ["x/1.png", "2.png", "3.png"]
    assert values.dtype == np.float32 and values.tolist() == [[1, 2.5], [-3, 40], [5, 6]]
    path.write_bytes(b"a 1 2\n\nb 1 2\nc 1\n")
    with pytest.raises(InputError, match=r"a\.txt: line 4: a name and 2 numbers expected, has 1 numbers"):
        read_named_rows(path, 2)
    path.write_bytes(b"a 1 2\n\nb 1 2\nc 1 2x\n")
    with pytest.raises(InputError, match=r"a\.txt: line 4: has values that are not numbers"):
        read_named_rows(path, 2)


def test_rows_of_numbers(tmp_path):
    assert number_rows(["1 2", "3\t4"], [7, 9], 2, "two", tmp_path).tolist() == [[1, 2], [3, 4]]
    assert number_rows([], [], 2, "two", tmp_path).shape == (0, 2)
    with pytest.raises(InputError, match="line 9: two expected, has 3 numbers"):
        number_rows(["1 2", "3 4 5"], [7, 9], 2, "two", tmp_path)
    for word in ("nan", "x", "4,5", "inf"):
        with pytest.raises(InputError, match="line 9: has values that are not numbers"):
            number_rows(["1 2", f"3 {word}"], [7, 9], 2, "two", tmp_path)
