import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from phalanx.core.errors import InputError
from phalanx.metrics.curves import auc, pck_curve

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
    with pytest.raises(InputError, match="low < high"):
        auc([1.0], 50, 50)
