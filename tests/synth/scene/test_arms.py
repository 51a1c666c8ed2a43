import numpy as np
import pytest

from phalanx.core.seeding import generator
from phalanx.synth.scene.arms import frame, reach, swing, unit

SHOULDER, LENGTHS = np.array([-0.18, 0.05, 0.0]), np.array([0.28, 0.25])


@pytest.fixture(scope="module")
def arms():
    draw = generator(3)
    count = 200
    wrist = SHOULDER + draw.normal(0, 0.25, (count, 3)) + [0.0, 0.0, -0.3]
    palm = frame(draw.normal(size=(count, 3)), draw.normal(size=(count, 3)))
    found = reach(
        np.tile(SHOULDER, (count, 1)),
        np.tile(LENGTHS, (count, 1)),
        wrist,
        palm,
        np.tile(np.eye(3), (count, 1, 1)),
        np.zeros(count),
    )
    return wrist, palm, found


def test_bones_keep_their_lengths(arms):
    _, _, found = arms
    np.testing.assert_allclose(np.linalg.norm(found.elbow - SHOULDER, axis=1), LENGTHS[0], atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(found.wrist - found.elbow, axis=1), LENGTHS[1], atol=1e-9)


def test_hands_are_where_they_are_to_be_or_as_near_as_arms_reach(arms):
    wanted, _, found = arms
    far = np.linalg.norm(wanted - SHOULDER, axis=1)
    within = (far < 0.98 * LENGTHS.sum()) & (far > 0.31 * LENGTHS.sum())
    assert within.sum() > 50
    np.testing.assert_allclose(found.wrist[within], wanted[within], atol=1e-9)
    np.testing.assert_allclose(unit(found.wrist - SHOULDER), unit(wanted - SHOULDER), atol=1e-9)


def test_frames_are_rotations_and_forearms_lead_to_the_wrist(arms):
    _, _, found = arms
    for frames in (found.upper, found.forearm, found.palm):
        np.testing.assert_allclose(
            frames @ frames.transpose(0, 2, 1), np.tile(np.eye(3), (len(frames), 1, 1)), atol=1e-9
        )
        assert (np.linalg.det(frames) > 0).all()
    np.testing.assert_allclose(found.forearm[..., 1], unit(found.wrist - found.elbow), atol=1e-9)


def test_wrists_bend_no_further_than_they_can(arms):
    _, palm, found = arms
    along = np.einsum("nij,ni->nj", found.palm, found.forearm[..., 1])
    assert np.abs(np.rad2deg(np.arctan2(along[:, 2], along[:, 1]))).max() < 75
    assert np.abs(np.rad2deg(np.arcsin(along[:, 0]))).max() < 36
    easy = np.linalg.norm(found.palm - palm, axis=(1, 2)) < 1e-6
    assert 0.2 < easy.mean() < 1.0  # of palms turned anyhow


def test_swing_turns_y_the_shortest_way():
    to = unit(generator(1).normal(size=(50, 3)))
    to = to[to[:, 1] > -0.98]
    turn = swing(to)
    np.testing.assert_allclose(turn[:, :, 1], to, atol=1e-9)
    np.testing.assert_allclose((np.trace(turn, axis1=1, axis2=2) - 1) / 2, to[:, 1], atol=1e-9)
