"""Accuracy of classifiers of poses, by k-fold cross-validation.

A classifier is any function `classify(train_features, train_labels, test_features) -> labels`, of arrays (M, F), (M,)
and (T, F), that returns (T,). Dibra et al., CVPRW 2018, sections 5.3 and 5.4, so measure what gestures their angles tell
(Senz3D, RWTH; 10 folds; their own classifier has one hidden layer). How they cut the folds is not said.

    folds = stratified_folds(labels, 10, seed=0)
    accuracy(cross_validated(features, labels, folds, nearest_neighbour), labels)
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from phalanx.core.checks import as_array
from phalanx.core.errors import InputError
from phalanx.core.seeding import generator

Classifier = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def stratified_folds(labels: ArrayLike, folds: int, seed: int) -> np.ndarray:
    """A fold number (0 to `folds` - 1) for every sample, at random, every class spread evenly: `(N,) -> (N,)`.

    Kohavi, "A Study of Cross-Validation and Bootstrap for Accuracy Estimation and Model Selection", IJCAI 1995. Fold
    sizes, and each class's share of them, differ by at most one sample.
    """
    names = _labels(labels, "labels")
    _check_folds(folds, len(names))
    order = generator(seed, 0).permutation(len(names))
    order = order[np.argsort(names[order], kind="stable")]  # classes one after another, each shuffled
    numbers = np.empty(len(names), dtype=np.int64)
    numbers[order] = np.arange(len(names)) % folds  # dealt out like cards, on from class to class
    return numbers


def grouped_folds(groups: ArrayLike, folds: int, seed: int) -> np.ndarray:
    """Fold numbers such that all samples of a group (a person, a recording) share a fold: `(N,) -> (N,)`.

    Groups are dealt out at random. With as many folds as groups, each is left out once.
    """
    names, group_of = np.unique(_labels(groups, "groups"), return_inverse=True)
    _check_folds(folds, len(names))
    return (generator(seed, 1).permutation(len(names)) % folds)[group_of.ravel()]


def cross_validated(features: ArrayLike, labels: ArrayLike, fold_of: ArrayLike, classify: Classifier) -> np.ndarray:
    """Labels that were predicted for each sample by a classifier trained on all other folds: `(N, F), (N,), (N,) -> (N,)`."""
    values, names = as_array(features, (None, None), "features"), _labels(labels, "labels")
    numbers = _labels(fold_of, "fold_of")
    if not len(values) == len(names) == len(numbers):
        raise InputError(f"features: {len(values)} samples, but {len(names)} labels and {len(numbers)} fold numbers")
    folds = np.unique(numbers)
    if len(folds) < 2:
        raise InputError("fold_of: at least two folds expected")
    predicted = np.empty_like(names)
    for fold in folds:
        test = numbers == fold
        found = np.asarray(classify(values[~test], names[~test], values[test]))
        if found.shape != (test.sum(),):
            raise InputError(f"classify: one label a sample expected, {test.sum()}, got shape {found.shape}")
        predicted[test] = found
    return predicted


def accuracy(predicted: ArrayLike, true: ArrayLike) -> float:
    """Share of labels that are right: `(N,) x 2`."""
    first, second = _label_pair(predicted, true)
    return float((first == second).mean())


def confusion(predicted: ArrayLike, true: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """How often each true class (row) was called what (column): `(N,) x 2 -> (C, C)`; and the classes, sorted `(C,)`."""
    first, second = _label_pair(predicted, true)
    classes, index = np.unique(np.concatenate((first, second)), return_inverse=True)
    columns, rows = index.ravel()[: len(first)], index.ravel()[len(first) :]
    counts = np.bincount(rows * len(classes) + columns, minlength=len(classes) ** 2)
    return counts.reshape(len(classes), len(classes)), classes


def nearest_neighbour(train: np.ndarray, labels: np.ndarray, test: np.ndarray) -> np.ndarray:
    """The label of the nearest training sample (Euclidean; the first of equals): `(M, F), (M,), (T, F) -> (T,)`."""
    found = [np.argmin(np.square(train - sample).sum(1)) for sample in test]
    return labels[np.array(found, dtype=np.int64)]


def nearest_mean(train: np.ndarray, labels: np.ndarray, test: np.ndarray) -> np.ndarray:
    """The class whose mean training sample is nearest (Euclidean): `(M, F), (M,), (T, F) -> (T,)`."""
    classes = np.unique(labels)
    means = np.stack([train[labels == name].mean(0) for name in classes])
    return classes[np.square(test[:, None] - means).sum(-1).argmin(1)]


def _labels(values: ArrayLike, name: str) -> np.ndarray:
    array = np.asarray(values)
    if array.ndim != 1 or len(array) == 0 or array.dtype.kind not in "biuSU":
        raise InputError(f"{name}: a list of whole numbers or names expected, at least one")
    return array


def _label_pair(predicted: ArrayLike, true: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    first, second = _labels(predicted, "predicted"), _labels(true, "true")
    if first.shape != second.shape:
        raise InputError(f"predicted: {len(first)} labels, but the truth has {len(second)}")
    if (first.dtype.kind in "SU") != (second.dtype.kind in "SU"):
        raise InputError("predicted: names against numbers")
    return first, second


def _check_folds(folds: int, count: int) -> None:
    if not 2 <= folds <= count:
        raise InputError(f"folds: 2 to {count} expected, got {folds}")
