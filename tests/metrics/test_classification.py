import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phalanx.core.errors import InputError
from phalanx.metrics.classification import (
    accuracy,
    confusion,
    cross_validated,
    grouped_folds,
    nearest_mean,
    nearest_neighbour,
    stratified_folds,
)

seeds = st.integers(0, 2**31)
quick = settings(max_examples=25, deadline=None)


def gestures(seed: int, count: int = 60, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, count)
    return rng.normal(size=(count, 5)) + labels[:, None], labels


@given(seeds, st.integers(2, 10))
@quick
def test_folds_are_even_over_all_and_over_each_class(seed, folds):
    _, labels = gestures(seed % 1000)
    numbers = stratified_folds(labels, folds, seed)
    assert set(numbers) <= set(range(folds))
    for chosen in (labels >= 0, *(labels == k for k in range(4))):
        sizes = np.bincount(numbers[chosen], minlength=folds)
        assert sizes.max() - sizes.min() <= 1
    np.testing.assert_array_equal(numbers, stratified_folds(labels, folds, seed))
    np.testing.assert_array_equal(numbers, stratified_folds(np.array(list("abcd"))[labels], folds, seed))


def test_another_seed_gives_other_folds():
    _, labels = gestures(0)
    assert (stratified_folds(labels, 10, 0) != stratified_folds(labels, 10, 1)).any()


@given(seeds)
@quick
def test_groups_stay_together(seed):
    people = np.random.default_rng(seed).choice(list("uvwxyz"), 40)
    numbers = grouped_folds(people, min(3, len(set(people))), seed)
    assert all(len(set(numbers[people == person])) == 1 for person in set(people))
    every = grouped_folds(people, len(set(people)), seed)
    assert len(set(every)) == len(set(people))


@given(seeds)
@quick
def test_neighbours_and_means_agree_with_loops(seed):
    features, labels = gestures(seed % 1000)
    train, test, names = features[:50], features[50:], labels[:50]
    for sample, near, mean in zip(
        test, nearest_neighbour(train, names, test), nearest_mean(train, names, test), strict=True
    ):
        assert near == names[min(range(50), key=lambda k: ((train[k] - sample) ** 2).sum())]
        centres = {name: train[names == name].mean(0) for name in set(names)}
        assert mean == min(sorted(centres), key=lambda name: ((centres[name] - sample) ** 2).sum())


def test_no_sample_is_classified_by_what_saw_it():
    features, labels = gestures(1)
    numbers = stratified_folds(labels, 5, 0)
    seen = []

    def classify(train, names, test):
        seen.append((train, test))
        assert not (train[:, None] == test[None]).all(-1).any()
        return np.full(len(test), len(seen))

    predicted = cross_validated(features, labels, numbers, classify)
    assert len(seen) == 5 and sum(len(test) for _, test in seen) == 60
    np.testing.assert_array_equal(predicted, numbers + 1)


def test_what_can_be_learnt_is_and_what_cannot_is_not():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(10), 30)
    numbers = stratified_folds(labels, 10, 0)
    for classify in (nearest_neighbour, nearest_mean):
        apart = np.eye(10)[labels] + 0.05 * rng.normal(size=(300, 10))
        assert accuracy(cross_validated(apart, labels, numbers, classify), labels) == 1
        assert accuracy(cross_validated(rng.normal(size=(300, 10)), labels, numbers, classify), labels) < 0.25
    names = np.array(["fist", "flat"])[labels % 2]
    assert accuracy(cross_validated(np.eye(10)[labels], names, numbers, nearest_mean), names) > 0.9


@given(seeds)
@quick
def test_confusion_counts_all_and_its_diagonal_is_the_accuracy(seed):
    rng = np.random.default_rng(seed)
    predicted, true = rng.choice(list("abc"), (2, 25))
    counts, classes = confusion(predicted, true)
    assert counts.sum() == 25 and np.trace(counts) / 25 == accuracy(predicted, true)
    for i, row in enumerate(classes):
        for j, column in enumerate(classes):
            assert counts[i, j] == sum(t == row and p == column for p, t in zip(predicted, true, strict=True))


def test_bad_input_is_refused():
    features, labels = gestures(0)
    with pytest.raises(InputError, match="folds: 2 to 60 expected, got 61"):
        stratified_folds(labels, 61, 0)
    with pytest.raises(InputError, match="folds: 2 to 3 expected, got 4"):
        grouped_folds(["a", "b", "c", "a"], 4, 0)
    with pytest.raises(InputError, match="features: 60 samples, but 59 labels"):
        cross_validated(features, labels[1:], np.zeros(60, dtype=int), nearest_mean)
    with pytest.raises(InputError, match="at least two folds"):
        cross_validated(features, labels, np.zeros(60, dtype=int), nearest_mean)
    with pytest.raises(InputError, match="classify: one label a sample"):
        cross_validated(features, labels, np.arange(60) % 2, lambda *_: np.zeros(3))
    with pytest.raises(InputError, match="labels: a list of whole numbers or names"):
        stratified_folds([0.5, 1.0], 2, 0)
    with pytest.raises(InputError, match="predicted: 2 labels, but the truth has 1"):
        accuracy([1, 2], [1])
    with pytest.raises(InputError, match="names against numbers"):
        accuracy(["a"], [1])
    features[3, 2] = np.nan
    with pytest.raises(InputError, match="features: has values that are not finite"):
        cross_validated(features, labels, np.arange(60) % 2, nearest_mean)
