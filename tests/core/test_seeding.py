import numpy as np
import pytest

from phalanx.core.seeding import generator


def test_same_keys_same_numbers_and_known_forever():
    assert generator(7, 3, 1).random() == generator(7, 3, 1).random()
    # The first draws of one stream, written down: labelled data of a seed must never change silently.
    np.testing.assert_array_equal(generator(7, 3, 1).integers(0, 1000, 6), KNOWN)


def test_streams_differ_by_seed_key_and_depth():
    draws = [generator(*keys).integers(0, 2**63) for keys in [(0,), (1,), (0, 0), (0, 1), (1, 0), (0, 0, 0), (0, 0, 1)]]
    assert len(set(draws)) == len(draws)


def test_neighbouring_streams_do_not_correlate():
    draws = np.stack([generator(0, key).standard_normal(2000) for key in range(8)])
    correlation = np.corrcoef(draws) - np.eye(8)
    assert np.abs(correlation).max() < 0.1  # 4.5 standard deviations


def test_negative_keys_are_refused():
    with pytest.raises(ValueError, match="negative"):
        generator(-1)
    with pytest.raises(ValueError, match="negative"):
        generator(1, 2, -3)


KNOWN = [333, 333, 609, 893, 849, 8]
