"""What follows from views of hands without a picture."""

import numpy as np
import pytest

from phalanx.predict.posing import score


def test_score_falls_with_uncertainty():
    assert score(np.zeros(21)) == 1
    assert score(np.full(21, 0.05)) == pytest.approx(0.5)
    assert score(np.full(21, 1.0)) < 0.01
