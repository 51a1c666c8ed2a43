"""The classifier of gestures: what it learns, what it calls none, and how it is calibrated."""

import numpy as np
import pytest
import torch

from phalanx.nets.gestures import (
    PRECISION,
    TAKEN_FOR_NONE,
    Calibration,
    GestureConfig,
    calibrated,
    calibration_of,
    learn,
    logits_of,
    mixed_hands,
)

PARTS = [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]


def bent(*fingers: int) -> np.ndarray:
    """(10,) angles of a hand: 60 for fingers that are bent (1), 0 for the others."""
    return 60.0 * np.repeat(fingers, 2)


CENTRES = np.stack([bent(0, 0, 0, 0, 0), bent(1, 1, 1, 1, 1), bent(0, 1, 0, 1, 1)])
QUICK = GestureConfig(hidden=64, steps=200)


@pytest.fixture(scope="module")
def hands():
    """Three gestures of five fingers with two angles each: 20 hands a gesture."""
    labels = np.arange(60) % 3
    return CENTRES[labels] + np.random.default_rng(0).normal(size=(60, 10)) * 8, labels


@pytest.fixture(scope="module")
def net(hands):
    return learn(*hands, 3, PARTS, seed=1, config=QUICK)


def test_it_is_the_papers_network(hands):
    first, relu, dropout, last = learn(*hands, 3, PARTS, config=GestureConfig(steps=1)).layers
    assert (first.out_features, last.in_features, last.out_features) == (500, 500, 4)
    assert isinstance(relu, torch.nn.ReLU) and dropout.p == 0.5


def test_gestures_are_recognised_and_hands_between_them_are_none(net):
    between = np.stack([bent(1, 0, 0, 1, 1), bent(0, 1, 0, 0, 0), bent(0, 0, 0, 1, 1)])
    found = Calibration(1.0, 0.0, 0.5).names(logits_of(net, np.concatenate((CENTRES, between))))
    assert found.tolist() == [0, 1, 2, 3, 3, 3]


def test_without_mixed_hands_nothing_is_none(hands, net):
    between = np.stack([bent(1, 0, 0, 1, 1), bent(0, 1, 0, 0, 0)])
    without = learn(*hands, 3, PARTS, config=GestureConfig(hidden=64, steps=200, mixed=0))
    assert (logits_of(without, between).argmax(1) < 3).all() and (logits_of(net, between).argmax(1) == 3).all()


def test_the_same_seed_gives_the_same_numbers_and_random_numbers_outside_are_left_alone(hands, net):
    torch.manual_seed(5)
    before, threads = torch.rand(3), torch.get_num_threads()
    torch.manual_seed(5)
    again = learn(*hands, 3, PARTS, seed=1, config=QUICK)
    assert torch.equal(torch.rand(3), before) and torch.get_num_threads() == threads
    assert all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), again.state_dict().values(), strict=True))
    other = learn(*hands, 3, PARTS, seed=2, config=QUICK)
    assert not torch.equal(net.layers[0].weight, other.layers[0].weight)


def test_mixed_hands_are_made_of_whole_parts():
    rows = torch.arange(5.0)[:, None].expand(5, 10).contiguous()
    mixed = mixed_hands(rows, PARTS, 50)
    assert mixed.shape == (50, 10)
    assert all(torch.equal(mixed[:, a], mixed[:, b]) for a, b in PARTS)
    assert (mixed[:, 0] != mixed[:, 2]).any() and set(mixed.unique().tolist()) <= set(range(5))


def test_held_out_hands_are_not_learnt(hands):
    features, labels = hands
    folds = np.where(labels == 2, 0, 1 + np.arange(60) % 2)  # all of the third gesture in one fold
    _, logits = calibrated(features, labels, 3, PARTS, folds, config=QUICK)
    likeliest = logits[:, :3].argmax(1)
    assert (likeliest[labels != 2] == labels[labels != 2]).all() and (likeliest[labels == 2] != 2).all()


def logits_with(right: np.ndarray, none: np.ndarray) -> np.ndarray:
    """Of hands that show gesture 0 of two."""
    return np.stack([right, np.zeros_like(right), none], 1).astype(np.float32)


def test_temperature_undoes_what_is_too_sure_or_too_unsure():
    generator = np.random.default_rng(0)
    odds = generator.normal(size=4000) * 2
    labels = (generator.random(4000) > 1 / (1 + np.exp(-odds))).astype(int)
    for factor in (0.7, 3.0):
        logits = logits_with(odds * factor, np.full(4000, -50.0))
        assert calibration_of(logits, labels).temperature == pytest.approx(factor, rel=0.1)


def test_few_hands_are_called_none_for_being_unlike_all():
    none = np.linspace(-10, 20, 1000)
    logits = logits_with(np.full(1000, 5.0), none)
    found = calibration_of(logits, np.zeros(1000, int))
    assert found.offset < 0
    assert (found.names(logits) == 2).mean() == pytest.approx(TAKEN_FOR_NONE, abs=0.02)
    assert (
        calibration_of(logits_with(np.full(50, 5.0), np.full(50, -9.0)), np.zeros(50, int)).offset == 0
    )  # never raised


def test_threshold_is_the_lowest_at_which_names_are_right():
    odds = np.concatenate((np.full(980, 6.0), np.full(20, 0.4), np.full(60, 0.4)))
    labels = np.r_[np.zeros(1000, int), np.ones(60, int)]
    found = calibration_of(logits_with(odds, np.full(1060, -50.0)), labels)
    named = found.names(logits_with(odds, np.full(1060, -50.0)))
    assert 0.5 < found.threshold < PRECISION
    assert (named[:980] == 0).all() and (named[980:] == 2).all()
    hopeless = calibration_of(logits_with(np.zeros(100), np.full(100, -50.0)), np.arange(100) % 2)
    assert hopeless.threshold == PRECISION


def test_hands_that_show_none_are_not_asked_for_temperature_and_offset():
    logits = logits_with(np.full(40, 5.0), np.full(40, -9.0))
    labels = np.r_[np.zeros(20, int), np.full(20, 2)]
    assert calibration_of(logits, labels).offset == 0
    assert calibration_of(logits, labels).threshold == PRECISION  # half of them would get a wrong name


def test_the_exported_probabilities_are_the_calibrated_ones(net, hands):
    calibration = Calibration(1.7, -0.8, 0.6)
    net.calibrate(calibration)
    with torch.no_grad():
        (found,) = net(torch.from_numpy(hands[0]).float())
    np.testing.assert_allclose(found.numpy(), calibration.probabilities(logits_of(net, hands[0])), atol=1e-6)
