import numpy as np
import pytest

from phalanx.metrics.two_samples import kernel_distance


def test_against_a_literal_double_sum():
    random = np.random.default_rng(0)
    x, y = random.normal(size=(5, 3)), random.normal(size=(4, 3)) + 1

    def k(a, b):
        return (sum(p * q for p, q in zip(a, b, strict=True)) / 3 + 1) ** 3

    own_x = sum(k(x[i], x[j]) for i in range(5) for j in range(5) if i != j) / 20
    own_y = sum(k(y[i], y[j]) for i in range(4) for j in range(4) if i != j) / 12
    across = sum(k(a, b) for a in x for b in y) / 20
    assert kernel_distance(x, y) == pytest.approx(own_x + own_y - 2 * across)


def test_of_one_distribution_it_is_0_in_the_mean():
    random = np.random.default_rng(1)
    found = [kernel_distance(random.normal(size=(20, 8)), random.normal(size=(30, 8))) for _ in range(400)]
    assert abs(np.mean(found)) < 4 * np.std(found) / 20
    assert min(found) < 0 < max(found)


def test_it_grows_with_a_shift():
    random = np.random.default_rng(2)
    x, y = random.normal(size=(50, 8)), random.normal(size=(50, 8))
    found = [kernel_distance(x, y + shift) for shift in (0.0, 0.5, 1.0, 2.0)]
    assert found == sorted(found) and found[3] > 10 * abs(found[0])
    assert kernel_distance(x, y) == pytest.approx(kernel_distance(y, x))
