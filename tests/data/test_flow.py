"""Flow of pictures that are moved by known amounts, what it does not trust, and where it sees cuts."""

import numpy as np
import pytest

from phalanx.core.errors import InputError
from phalanx.data.flow import carried, cuts, flow_between, flow_both_ways, lost_share, trusted, warped


def texture(size=80, seed=0):
    import cv2

    noise = np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2.5).astype(float)
    return np.clip(127 + 6 * (smooth - smooth.mean()), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def moved():
    """A picture, and the same moved by 2 pixels to the right and 1 down."""
    whole = texture()
    return whole[8:72, 8:72].copy(), whole[7:71, 6:70].copy()


def test_flow_is_the_motion(moved):
    forward, backward = flow_both_ways(moved)
    inner = np.s_[0, 8:-8, 8:-8]
    assert np.abs(forward[inner] - (2, 1)).mean() < 0.15
    assert np.abs(backward[inner] + (2, 1)).mean() < 0.15
    assert np.allclose(forward[0], flow_between(*moved))
    assert np.abs(carried(np.array([[30.5, 20.0]]), forward[0]) - (32.5, 21)).max() < 0.3


def test_warping_lays_the_second_on_the_first(moved):
    first, second = moved
    laid = warped(second, flow_between(first, second)).astype(float)
    off = np.abs(laid - first)[8:-8, 8:-8].mean()
    assert off < 0.25 * np.abs(second.astype(float) - first)[8:-8, 8:-8].mean()
    exact = warped(second, np.broadcast_to(np.float32([2, 1]), (64, 64, 2)))
    assert (exact[:-1, :-2] == first[:-1, :-2]).all()


def test_flow_that_does_not_lead_back_is_not_trusted(moved):
    forward, backward = (flow[0] for flow in flow_both_ways(moved))
    assert trusted(forward, backward)[8:-8, 8:-8].mean() > 0.95
    wrong = backward.copy()
    wrong[:, 32:] += 3
    found = trusted(forward, wrong)
    assert found[8:-8, 8:28].mean() > 0.95 and found[8:-8, 36:-8].mean() < 0.05


def test_cuts_are_where_another_clip_begins(moved):
    first, second = moved
    other = texture(seed=2)[:64, :64]
    assert cuts([first, second, other, other, second]) == [2, 4]
    assert cuts([first, second]) == []
    flows = [flow[0] for flow in flow_both_ways([first, other])]
    assert lost_share(first, other, *flows) > 0.5
    plain = np.full_like(first, 90)  # flow finds nothing to doubt between plain pictures: they look different
    assert cuts([plain, plain, plain + 60]) == [2]


def test_bad_frames_are_named(moved):
    first, second = moved
    with pytest.raises(InputError, match="two frames at least, got 1"):
        flow_both_ways([first])
    with pytest.raises(InputError, match=r"second: a picture of \(64, 64\)"):
        flow_between(first, second[:32])
    with pytest.raises(InputError, match="uint8"):
        flow_between(first / 255, second / 255)
    with pytest.raises(InputError, match="12 pixels or more"):
        flow_between(first[:8, :8], second[:8, :8])
