"""The alignments of `metrics.joints` beyond those of test_joints.py, `valid`, and what is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import orthogonal_procrustes
from scipy.spatial.transform import Rotation

from phalanx.core.errors import InputError
from phalanx.metrics import joints as metrics
from phalanx.metrics.joints import (
    bone_scaled,
    centroid_scaled,
    end_point_errors,
    orthogonal_aligned,
    procrustes_aligned,
    procrustes_errors,
    rigid_aligned,
    root_aligned,
    root_scaled,
    root_scaled_errors,
    scaled_orthographic,
    squared_pixel_errors,
    z_errors,
)

seeds = st.integers(0, 2**32 - 1)
quick = settings(max_examples=20, deadline=None)


def hands(seed: int, count: int = 4, joints: int = 21) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    true = rng.normal(size=(count, joints, 3)) * 0.05 + [0.0, 0.1, 0.5]
    return true + rng.normal(size=true.shape) * 0.02, true


def some(seed: int, shape: tuple[int, int], least: int = 4) -> np.ndarray:
    """Random valid joints, the first ones always."""
    mask = np.random.default_rng(seed).random(shape) < 0.6
    mask[:, :least] = True
    return mask


def moved(seed: int, points: np.ndarray, scaled: bool) -> np.ndarray:
    rng = np.random.default_rng(seed)
    turn = Rotation.random(len(points), rng).as_matrix()
    scale = rng.uniform(0.3, 3, (len(points), 1, 1)) if scaled else 1.0
    return scale * points @ turn + rng.normal(size=(len(points), 1, 3))


def test_z_errors_and_squared_pixels_by_hand():
    predicted, true = np.array([[[9.0, 9, 1], [1, 2, 5]]]), np.array([[[0.0, 0, 3], [0, 0, 4.5]]])
    assert z_errors(predicted, true).tolist() == [[2.0, 0.5]]
    assert squared_pixel_errors([[[0, 0], [3, 4]]], [[[1, 1], [0, 0]]]).tolist() == [[2.0, 25.0]]
    errors = squared_pixel_errors([[[0, 0], [np.nan, 4]]], [[[1, 1], [0, 0]]], [[True, False]])
    assert errors[0, 0] == 2 and np.isnan(errors[0, 1])


@given(seeds)
@quick
def test_the_parts_of_a_distance_are_within_it(seed):
    predicted, true = hands(seed)
    assert (z_errors(predicted, true) <= end_point_errors(predicted, true) + 1e-12).all()
    pixels, labels = predicted[..., :2] * 1e3, true[..., :2] * 1e3
    np.testing.assert_allclose(np.sqrt(squared_pixel_errors(pixels, labels)), end_point_errors(pixels, labels))


@given(seeds, st.integers(0, 20))
@quick
def test_root_alignment_ignores_place_alone(seed, root):
    predicted, true = hands(seed)
    aligned = root_aligned(predicted, true, root)
    np.testing.assert_array_almost_equal(aligned[:, root], true[:, root], 12)
    np.testing.assert_allclose(root_aligned(predicted + [1, 2, 3], true, root), aligned, atol=1e-12)
    np.testing.assert_allclose(np.diff(aligned, axis=1), np.diff(predicted, axis=1), atol=1e-12)


@given(seeds)
@quick
def test_bone_scaled_has_the_true_bone_and_ignores_place_and_size(seed):
    predicted, true = hands(seed)
    aligned = bone_scaled(predicted, true, (9, 10), root=9)
    np.testing.assert_allclose(
        np.linalg.norm(aligned[:, 10] - aligned[:, 9], axis=-1), np.linalg.norm(true[:, 10] - true[:, 9], axis=-1)
    )
    np.testing.assert_allclose(aligned[:, 9], true[:, 9])
    np.testing.assert_allclose(bone_scaled(3 * predicted - 1, true, (9, 10), root=9), aligned, atol=1e-12)
    np.testing.assert_allclose(bone_scaled(true * 0.5, true, (0, 9)), true, atol=1e-12)


def test_a_bone_without_length_makes_a_point():
    predicted, true = hands(0)
    predicted[:, 6] = predicted[:, 5]
    np.testing.assert_allclose(bone_scaled(predicted, true, (5, 6)), np.broadcast_to(true[:, :1], true.shape))


@given(seeds)
@quick
def test_centroid_scaling_ignores_place_and_size_and_agrees_with_a_loop(seed):
    predicted, true = hands(seed, joints=5)
    mask = some(seed, (4, 5), least=2)
    aligned = centroid_scaled(predicted, true, mask)
    np.testing.assert_allclose(centroid_scaled(predicted * 2 + 1, true, mask)[mask], aligned[mask], atol=1e-12)
    assert np.isnan(aligned[~mask]).all()
    for p, t, m, a in zip(predicted, true, mask, aligned, strict=True):
        ratio = np.mean([np.linalg.norm(x - t[m].mean(0)) for x in t[m]]) / np.mean(
            [np.linalg.norm(x - p[m].mean(0)) for x in p[m]]
        )
        np.testing.assert_allclose(a[m], ratio * (p[m] - p[m].mean(0)) + t[m].mean(0))


@given(seeds)
@quick
def test_rigid_alignment_undoes_motion_but_not_size(seed):
    predicted, true = hands(seed)
    np.testing.assert_allclose(rigid_aligned(moved(seed, true, False), true), true, atol=1e-12)
    aligned = rigid_aligned(predicted, true)
    np.testing.assert_allclose(
        np.linalg.norm(aligned[:, 1:] - aligned[:, :1], axis=-1),
        np.linalg.norm(predicted[:, 1:] - predicted[:, :1], axis=-1),
    )
    for p, t, a in zip(predicted, true, aligned, strict=True):
        turn, _ = Rotation.align_vectors(t - t.mean(0), p - p.mean(0))  # SciPy's own solution
        np.testing.assert_allclose(a, turn.apply(p - p.mean(0)) + t.mean(0), atol=1e-9)
    squares = [((x - true) ** 2).sum((1, 2)) for x in (procrustes_aligned(predicted, true), aligned)]
    assert (squares[0] <= squares[1] + 1e-12).all()  # a scale more can only help


@given(seeds)
@quick
def test_orthogonal_alignment_is_scipys_and_mirrors(seed):
    predicted, true = hands(seed)
    np.testing.assert_allclose(orthogonal_aligned(true * [-1, 1, 1], true), true, atol=1e-12)
    np.testing.assert_allclose(orthogonal_aligned(predicted, true), procrustes_aligned(predicted, true), atol=1e-9)
    for p, t, aligned in zip(
        predicted * [-1, 1, 1], true, orthogonal_aligned(predicted * [-1, 1, 1], true), strict=True
    ):
        centred, target = p - p.mean(0), t - t.mean(0)
        matrix, singular = orthogonal_procrustes(centred, target)
        np.testing.assert_allclose(aligned, singular / (centred**2).sum() * centred @ matrix + t.mean(0), atol=1e-9)


@pytest.mark.parametrize("align", [procrustes_aligned, rigid_aligned, orthogonal_aligned, centroid_scaled])
def test_a_prediction_in_one_point_goes_to_the_middle_of_the_truth(align):
    _, true = hands(0, 50)
    point = np.broadcast_to(np.random.default_rng(0).normal(size=(50, 1, 3)), true.shape)
    np.testing.assert_allclose(align(point, true), np.broadcast_to(true.mean(1, keepdims=True), true.shape), atol=1e-12)


def test_many_frames_are_aligned_as_few():
    predicted, true = hands(1, metrics.BLOCK + 300)
    rows = [0, metrics.BLOCK - 1, metrics.BLOCK, metrics.BLOCK + 299]
    for align in (procrustes_aligned, rigid_aligned):
        np.testing.assert_allclose(align(predicted, true)[rows], align(predicted[rows], true[rows]), atol=1e-9)


@given(seeds)
@quick
def test_what_is_not_valid_takes_no_part(seed):
    """Each frame scored alone, without the joints that do not count, gives the same errors."""
    predicted, true = hands(seed)
    mask = some(seed, (4, 21))
    spoilt = np.where(mask[..., None], predicted, np.nan)
    unlabelled = np.where(mask[..., None], true, np.inf)
    for errors in (end_point_errors, root_scaled_errors, procrustes_errors, z_errors):
        found = errors(spoilt, unlabelled, valid=mask)
        assert np.isnan(found[~mask]).all()
        for p, t, m, f in zip(predicted, true, mask, found, strict=True):
            np.testing.assert_allclose(f[m], errors(p[None, m], t[None, m])[0], atol=1e-9)
    for p, t, m, f in zip(predicted, true, mask, rigid_aligned(spoilt, unlabelled, mask), strict=True):
        np.testing.assert_allclose(f[m], rigid_aligned(p[None, m], t[None, m])[0], atol=1e-9)
    np.testing.assert_allclose(
        root_aligned(spoilt, unlabelled, 1, mask)[mask], root_aligned(predicted, true, 1)[mask], atol=1e-12
    )
    np.testing.assert_allclose(
        bone_scaled(spoilt, unlabelled, (0, 1), valid=mask)[mask],
        bone_scaled(predicted, true, (0, 1))[mask],
        atol=1e-12,
    )


@given(seeds)
@quick
def test_scaled_orthographic_is_the_least_squares_solution(seed):
    points, _ = hands(seed, joints=5)
    pixels = np.random.default_rng(seed).uniform(0, 225, (4, 5, 2))
    mask = some(seed, (4, 5), least=2)
    for p, u, m, f in zip(points, pixels, mask, scaled_orthographic(points, pixels, mask), strict=True):
        rows = [[p[j, c], c == 0, c == 1] for j in np.flatnonzero(m) for c in (0, 1)]
        s, x, y = np.linalg.lstsq(np.array(rows, dtype=float), u[m].ravel(), rcond=None)[0]
        np.testing.assert_allclose(f[m], s * p[m, :2] + [x, y], atol=1e-6)
    exact = points[..., :2] * 1234 + [100, 50]
    np.testing.assert_allclose(scaled_orthographic(points, exact), exact)


ALIGN = [root_scaled, procrustes_aligned, rigid_aligned, orthogonal_aligned, centroid_scaled, root_aligned]


@pytest.mark.parametrize("function", [*ALIGN, end_point_errors, z_errors])
def test_swapped_units_are_noticed(function):
    predicted, true = hands(2)
    with pytest.raises(InputError, match="metres and the other in millimetres"):
        function(predicted, true * 1000)
    with pytest.raises(InputError, match="predicted: is 1... times as large"):
        function(predicted * 1000, true)
    function(predicted * 100, true)  # centimetres, or the unit of a network without a scale


def test_collapsed_hands_are_told_from_swapped_units():
    predicted, true = hands(2)
    with pytest.raises(
        InputError, match=r"in millimetres \(or the predicted joints of a frame lie nearly in one point"
    ):
        end_point_errors(predicted / 1000, true)
    with pytest.raises(InputError, match=r"in millimetres \(or the true joints of a frame lie nearly in one point"):
        end_point_errors(predicted, true / 1000)


SIZED = [root_scaled, root_scaled_errors, procrustes_aligned, procrustes_errors, orthogonal_aligned, centroid_scaled]


@pytest.mark.parametrize("function", SIZED)
@pytest.mark.parametrize("point", [[0, 0, 0], [0.1, 0.2, 0.5]])
def test_true_hands_without_size_are_refused(function, point):
    """A prediction that is given their size would be a point too, and have no error."""
    predicted, true = hands(4)
    true[2] = np.float32(point)
    with pytest.raises(InputError, match="true: the joints of frame 2 .* all lie in one point"):
        function(predicted, true)
    assert end_point_errors(predicted, true)[2].min() > 0  # an error that is one may be counted
    if function is not orthogonal_aligned:
        true[2, :3] += 0.05  # of these all but one do not count
        mask = np.ones((4, 21), dtype=bool)
        mask[2, 1:3] = False
        true[2, 0] = true[2, 5]
        with pytest.raises(InputError, match="true: the joints of frame 2 .* all lie in one point"):
            function(predicted, true, valid=mask)
        mask[2, 1] = True
        assert np.isfinite(function(predicted, true, valid=mask)[2, 3:]).all()


def test_true_bones_without_length_are_refused():
    predicted, true = hands(4)
    true[3, 10] = true[3, 9]
    with pytest.raises(InputError, match=r"true: the bone \(9, 10\) of frame 3 .* has no length"):
        bone_scaled(predicted, true, (9, 10))
    assert np.isfinite(bone_scaled(predicted, true, (10, 11))).all()


def test_swapped_units_are_noticed_among_joints_that_count():
    predicted, true = hands(3)
    mask = np.zeros((4, 21), dtype=bool)
    mask[:2, :4] = True
    wrong = np.where(mask[..., None], predicted * 1000, predicted)
    with pytest.raises(InputError, match="millimetres"):
        end_point_errors(wrong, true, mask)
    end_point_errors(wrong, true, ~mask)


@pytest.mark.parametrize("function", [*ALIGN, z_errors])
def test_bad_arrays_are_refused(function):
    predicted, true = hands(1)
    with pytest.raises(InputError, match=r"predicted: must have the shape of the true values, \(4, 21, 3\)"):
        function(predicted[:, :20], true)
    with pytest.raises(InputError, match="predicted: must have the shape"):
        function(predicted[:3], true)
    broken = predicted.copy()
    broken[1, 3, 0] = np.nan
    with pytest.raises(InputError, match="predicted: has values that are not finite"):
        function(broken, true)
    with pytest.raises(InputError, match="true: has values that are not finite"):
        function(true, broken)


@pytest.mark.parametrize("values", [[[[1.0, 2.0]], [[1.0]]], "joints", [[["a", "b", "c"]]], None])
def test_what_is_no_array_is_refused(values):
    _, true = hands(1)
    for valid in (None, np.ones((4, 21), dtype=bool)):
        with pytest.raises(InputError, match="predicted: "):
            end_point_errors(values, true, valid)
    with pytest.raises(InputError, match="valid: must have shape"):
        end_point_errors(true, true, [[True], [True, False]])


def test_bad_masks_are_refused():
    predicted, true = hands(1)
    mask = np.ones((4, 21), dtype=bool)
    with pytest.raises(InputError, match=r"valid: must have shape \(4, 21\), has \(4, 20\)"):
        end_point_errors(predicted, true, mask[:, 1:])
    with pytest.raises(InputError, match="valid: only true and false"):
        end_point_errors(predicted, true, mask * 2)
    mask[2, 2:] = False
    with pytest.raises(InputError, match="frame 2 has 2 valid joints, alignment needs at least 3"):
        procrustes_aligned(predicted, true, mask)
    mask[2] = ~mask[2]
    with pytest.raises(InputError, match="joint 0, by which hands are aligned, is not valid in frame 2"):
        root_scaled(predicted, true, mask)
    with pytest.raises(InputError, match="not valid in frame 2"):
        root_aligned(predicted, true, valid=mask)
    with pytest.raises(InputError, match="bone: joint 21 is not one of the 21 joints"):
        bone_scaled(predicted, true, (0, 21))
    with pytest.raises(InputError, match="root: joint -1 is not"):
        root_aligned(predicted, true, -1)
    with pytest.raises(InputError, match="points: must have shape"):
        scaled_orthographic(predicted[..., :2], predicted[..., :2])
