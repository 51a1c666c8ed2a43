"""Pictures in other sizes are those of PyTorch."""

import pytest
import torch
import torch.nn.functional as F

from phalanx.geometry.resampling import means_of_squares, resized

PICTURES = torch.rand(2, 3, 30, 40, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(60, 80), (48, 64), (31, 97), (12, 15)])
def test_pictures_are_resized_as_pytorch_does(mode, size):
    theirs = F.interpolate(PICTURES, size=size, mode=mode, align_corners=False)
    torch.testing.assert_close(resized(PICTURES, *size, mode), theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("side", [2, 5])
def test_squares_have_the_means_of_pytorch(side):
    torch.testing.assert_close(means_of_squares(PICTURES, side), F.avg_pool2d(PICTURES, side), rtol=0, atol=1e-6)


def test_parts_of_pictures_are_resized_too():
    part = PICTURES[:, 1:, 4:20, 8:24]
    theirs = F.interpolate(part, size=(32, 32), mode="bilinear", align_corners=False)
    torch.testing.assert_close(resized(part, 32, 32), theirs, rtol=0, atol=1e-6)
    torch.testing.assert_close(means_of_squares(part, 2), F.avg_pool2d(part, 2), rtol=0, atol=1e-6)
