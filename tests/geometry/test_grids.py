import torch

from phalanx.core.seeding import generator
from phalanx.geometry.grids import sampling_grid


def test_the_sampling_grid_is_that_of_torch():
    theta = torch.from_numpy(generator(3).normal(size=(5, 2, 3))).float()
    wanted = torch.nn.functional.affine_grid(theta, [5, 1, 24, 24], align_corners=False)
    assert torch.allclose(sampling_grid(theta, 24), wanted, atol=1e-5)
