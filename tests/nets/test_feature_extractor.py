import pytest
import torch

from phalanx.nets.feature_extractor import FeatureExtractor


def test_a_picture_becomes_one_vector_of_its_trunk():
    torch.manual_seed(0)
    network = FeatureExtractor([8, 16, 24], [1, 1, 2], 40).eval().requires_grad_(False)
    images = torch.rand(2, 3, 32, 64)
    found = network(images)
    assert found.shape == (2, 40) and float(found.min()) >= 0
    x = network.stem(images)
    for stage in network.stages:
        x = stage(x)
    assert x.shape == (2, 24, 2, 4)
    torch.testing.assert_close(found, network.widen(x).flatten(2).mean(2))


def test_what_does_not_fit_is_said():
    with pytest.raises(ValueError, match="no multiples of 16"):
        FeatureExtractor([8, 8, 8], [1, 1, 1], 8)(torch.rand(1, 3, 40, 40))
    with pytest.raises(ValueError, match="as many widths as depths"):
        FeatureExtractor([8, 8], [1], 8)
