import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays

from phalanx.core.errors import InputError
from phalanx.metrics.masks import f1, iou, mask_counts, pixel_accuracy, precision, recall

masks = arrays(bool, (3, 4, 5))
quick = settings(max_examples=50, deadline=None)


@given(masks, masks)
@quick
def test_scores_agree_with_sets_of_pixels(predicted, true):
    counts = mask_counts(predicted, true)
    for n in range(3):
        found, wanted = set(np.flatnonzero(predicted[n])), set(np.flatnonzero(true[n]))
        both, either = len(found & wanted), len(found | wanted)
        assert counts[n].tolist() == [both, len(found - wanted), len(wanted - found), 20 - either]
        assert iou(counts[n]) == (both / either if either else 1)
        assert precision(counts[n]) == (both / len(found) if found else 1)
        assert recall(counts[n]) == (both / len(wanted) if wanted else 1)
        assert f1(counts[n]) == pytest.approx(2 * both / (len(found) + len(wanted)) if either else 1)
        assert pixel_accuracy(counts[n]) == (predicted[n] == true[n]).mean()


@given(masks, masks)
@quick
def test_scores_are_related_as_they_must_be(predicted, true):
    counts, swapped = mask_counts(predicted, true), mask_counts(true, predicted)
    for symmetric in (iou, f1, pixel_accuracy):
        np.testing.assert_array_equal(symmetric(counts), symmetric(swapped))
    np.testing.assert_array_equal(precision(counts), recall(swapped))
    np.testing.assert_allclose(f1(counts), 2 * iou(counts) / (1 + iou(counts)))
    np.testing.assert_array_equal(pixel_accuracy(mask_counts(~predicted, ~true)), pixel_accuracy(counts))
    assert (iou(mask_counts(true, true)) == 1).all()


@pytest.mark.parametrize(
    ("p", "r", "i", "f"), [(82.82, 75.31, 65.13, 78.88), (36.52, 92.06, 35.40, 52.29), (71.65, 66.55, 52.68, 69.00)]
)
def test_the_table_of_baek_is_of_all_pixels_together(p, r, i, f):
    """Table 2 of Baek et al., CVPR 2019: IoU and F1 of counts with the printed precision and recall are those printed."""
    right = 1e6
    counts = [right, right * (100 / p - 1), right * (100 / r - 1), 0]
    assert precision(counts) * 100 == pytest.approx(p) and recall(counts) * 100 == pytest.approx(r)
    assert iou(counts) * 100 == pytest.approx(i, abs=0.011) and f1(counts) * 100 == pytest.approx(f, abs=0.011)


def test_soft_masks_are_cut_at_the_threshold():
    assert mask_counts([[[0.5, 0.6]]], [[[1, 1]]]).tolist() == [[1, 0, 1, 0]]
    assert mask_counts([[[0.5, 0.6]]], [[[1, 1]]], threshold=0.4).tolist() == [[2, 0, 0, 0]]


def test_bad_masks_are_refused():
    with pytest.raises(InputError, match="from 0 to 1 expected, has 0 to 255"):
        mask_counts([[[0, 255]]], [[[0, 1]]])
    with pytest.raises(InputError, match="true: must have shape"):
        mask_counts([[[0, 1]]], [[0, 1]])
    with pytest.raises(InputError, match="shape of the true masks"):
        mask_counts([[[0, 1]]], [[[0, 1, 1]]])
    with pytest.raises(InputError, match="not finite"):
        mask_counts([[[0, np.nan]]], [[[0, 1]]])
    with pytest.raises(InputError, match="four numbers"):
        iou([1, 2, 3])
