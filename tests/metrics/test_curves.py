import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.integrate import trapezoid

from phalanx.core.errors import InputError
from phalanx.metrics.curves import (
    auc,
    auc_mean_of_steps,
    auc_trapezoid,
    curve_area_trapezoid,
    fifteen_20_50,
    freihand_0_50,
    pck_curve,
    pck_curve_of_joints,
    zimmermann_0_30,
    zimmermann_0_50,
    zimmermann_20_50,
)

errors_in_mm = arrays(np.float64, st.integers(1, 30), elements=st.floats(0, 120))
quick = settings(max_examples=50, deadline=None)


def test_pck_counts_errors_up_to_and_with_the_threshold():
    assert pck_curve([[1.0, 2.0], [2.0, np.inf]], [0.0, 1.0, 1.9, 2.0, 1e9]).tolist() == [0, 0.25, 0.25, 0.75, 0.75]


@given(errors_in_mm)
@quick
def test_pck_agrees_with_counting_and_never_falls(errors):
    thresholds = np.linspace(0, 100, 41)
    curve = pck_curve(errors, thresholds)
    assert curve.tolist() == [np.mean([e <= t for e in errors]) for t in thresholds]
    assert (np.diff(curve) >= 0).all()


@given(errors_in_mm, st.sampled_from([(0.0, 50.0), (20.0, 50.0)]))
@quick
def test_auc_is_the_limit_of_the_trapezoid_sum(errors, bounds):
    thresholds = np.linspace(*bounds, 20001)
    curve = pck_curve(errors, thresholds)
    trapezoid = (curve[1:] + curve[:-1]).sum() / 2 / 20000
    assert auc(errors, *bounds) == pytest.approx(trapezoid, abs=1e-4)


@given(errors_in_mm, st.floats(0, 30))
@quick
def test_larger_errors_never_raise_the_auc(errors, more):
    assert 0 <= auc(errors + more, 0, 50) <= auc(errors, 0, 50) <= 1


def test_auc_of_known_errors():
    assert auc([0.0, 20.0, 35.0, 50.0, np.inf], 20, 50) == pytest.approx((1 + 1 + 0.5 + 0 + 0) / 5)
    assert auc([0.0, 25.0], 0, 50) == pytest.approx(0.75)


@pytest.mark.parametrize("errors", [[], [np.nan, 1.0]])
def test_no_errors_or_nan_are_refused(errors):
    with pytest.raises(InputError, match="at least one expected, and no NaN"):
        auc(errors, 0, 50)
    with pytest.raises(InputError, match="at least one expected, and no NaN"):
        pck_curve(errors, [1.0])
    for low, high in ((50, 50), (0, np.inf), (-np.inf, 50), (0, np.nan)):
        with pytest.raises(InputError, match="finite bounds with low < high"):
            auc([1.0], low, high)
    for area in (lambda e: auc(e, 0, 50), lambda e: pck_curve(e, [1.0]), lambda e: auc_trapezoid(e, [0.0, 1.0])):
        with pytest.raises(InputError, match="errors: must be at least 0, has -2"):
            area([1.0, -2.0])
    for threshold in (np.nan, np.inf):  # a missed hand would be within infinity
        with pytest.raises(InputError, match="thresholds: finite numbers expected"):
            pck_curve([1.0, np.inf], [1.0, threshold])


def test_grids_are_those_of_the_public_code():
    assert zimmermann_0_50()[[0, 1, -1]].tolist() == pytest.approx([0, 50 / 19, 50]) and len(zimmermann_0_50()) == 20
    assert len(zimmermann_20_50()) == 12 and zimmermann_20_50()[0] == pytest.approx(21.0526316)
    assert len(zimmermann_0_30()) == 20 and zimmermann_0_30()[-1] == 30
    assert len(freihand_0_50()) == 100 and freihand_0_50()[1] == pytest.approx(50 / 99)
    assert fifteen_20_50()[[0, -1]].tolist() == [20, 50] and len(fifteen_20_50()) == 15


@given(errors_in_mm, st.sampled_from([zimmermann_0_50, zimmermann_20_50, freihand_0_50, fifteen_20_50]))
@quick
def test_areas_over_a_grid_agree_with_scipys_trapezoid_and_with_counting(errors, grid):
    thresholds = grid()
    curve = np.array([np.mean([e <= t for e in errors]) for t in thresholds])
    expected = trapezoid(curve, thresholds) / trapezoid(np.ones_like(thresholds), thresholds)
    assert auc_trapezoid(errors, thresholds) == pytest.approx(expected)
    assert auc_mean_of_steps(errors, thresholds) == pytest.approx(curve.mean())
    assert curve_area_trapezoid(curve, thresholds) == pytest.approx(expected)
    step = thresholds[1] - thresholds[0]
    assert abs(auc_trapezoid(errors, thresholds) - auc(errors, thresholds[0], thresholds[-1])) <= step / (
        thresholds[-1] - thresholds[0]
    )


def test_the_sums_differ_by_the_weight_of_both_ends():
    errors, thresholds = [0.0, 60.0], [0.0, 10.0, 50.0]
    assert auc_mean_of_steps(errors, thresholds) == 0.5 == auc_trapezoid(errors, thresholds)
    errors = [5.0]
    assert auc_mean_of_steps(errors, thresholds) == pytest.approx(2 / 3)
    assert auc_trapezoid(errors, thresholds) == pytest.approx((0.5 * 10 + 40) / 50)
    assert auc(errors, 0, 50) == pytest.approx(0.9)


def test_reference_curves_of_stb_have_their_printed_areas():
    """The three baselines that the code of Zimmermann and Brox draws beside its own on STB, from Zhang et al. 2016."""
    thresholds = [20, 25, 30, 35, 40, 45, 50]
    curves = {
        0.709: [0.32236842, 0.53947368, 0.67434211, 0.75657895, 0.80921053, 0.86513158, 0.89473684],
        0.748: [0.51973684, 0.64473684, 0.71710526, 0.77302632, 0.80921053, 0.84868421, 0.86842105],
        0.839: [0.56578947, 0.71710526, 0.82236842, 0.88157895, 0.91447368, 0.9375, 0.96052632],
    }
    for area, curve in curves.items():
        assert curve_area_trapezoid(curve, thresholds) == pytest.approx(area, abs=6e-4)


@given(st.integers(0, 2**32 - 1))
@quick
def test_curves_of_joints_are_a_mean_over_joints(seed):
    rng = np.random.default_rng(seed)
    errors, valid = rng.exponential(20, (9, 5)), rng.random((9, 5)) < 0.6
    valid[:, 2], valid[0, 0] = False, True
    thresholds = zimmermann_0_50()
    columns = [errors[valid[:, j], j] for j in range(5) if valid[:, j].any()]
    expected = [np.mean([(column <= t).mean() for column in columns]) for t in thresholds]
    np.testing.assert_allclose(pck_curve_of_joints(np.where(valid, errors, np.nan), thresholds, valid), expected)
    np.testing.assert_allclose(pck_curve_of_joints(errors, thresholds), pck_curve(errors, thresholds))
    areas = [auc_trapezoid(column, thresholds) for column in columns]
    assert curve_area_trapezoid(expected, thresholds) == pytest.approx(np.mean(areas))


@pytest.mark.parametrize("thresholds", [[5.0], [5.0, 5.0], [5.0, 1.0], [0.0, np.nan], 50.0])
def test_bad_grids_are_refused(thresholds):
    for area in (auc_trapezoid, auc_mean_of_steps):
        with pytest.raises(InputError, match="thresholds: at least two rising"):
            area([1.0, 2.0], thresholds)


def test_bad_curves_are_refused():
    with pytest.raises(InputError, match="curve: one number a threshold"):
        curve_area_trapezoid([0.1, 0.2, 0.3], [0.0, 50.0])
