"""Splats are Eq. 2-4: by loops, by finite differences, and the same from both backends."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from phalanx.render.splats import splat_depth, splat_index

BACKENDS = pytest.mark.parametrize("backend", ["warp", "torch"])


def cloud(seed: int, batch: int = 2, count: int = 9) -> Tensor:
    """Points (B, N, 3) in the unit cube and a little beyond it, float64."""
    return 1.2 * torch.rand(batch, count, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) - 0.1


def by_loops(points: Tensor, size: int, radius: float) -> tuple[Tensor, Tensor]:
    """Eq. 2-4 pixel by pixel and point by point: map, and the number of the point that is seen."""
    depth, index = torch.zeros(len(points), size, size).double(), torch.full((len(points), size, size), -1)
    for b in range(len(points)):
        for i in range(size):
            for j in range(size):
                for n, (x, y, z) in enumerate(points[b].tolist()):
                    squared = ((j + 0.5) / size - x) ** 2 + ((i + 0.5) / size - y) ** 2
                    if squared < radius**2:
                        height = (1 - z) * (1 - (math.sqrt(squared) / radius) ** 2) ** 2
                        if height > depth[b, i, j]:
                            depth[b, i, j], index[b, i, j] = height, n
    return depth, index


@BACKENDS
@pytest.mark.parametrize("radius", [0.08, 0.2, 2.0])
def test_maps_are_the_equations(backend, radius):
    points = cloud(0, count=30)
    depth, index = by_loops(points, 17, radius)
    assert (splat_index(points, 17, radius, backend) == index).all() and len(index.unique()) > 2
    torch.testing.assert_close(splat_depth(points, 17, radius, backend), depth)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 40), st.integers(1, 60), st.sampled_from([0.004, 0.05, 0.3]))
def test_backends_agree_to_the_bit(seed, size, count, radius):
    points = cloud(seed, 2, count).float()
    points[0, 0] = points[0, -1]  # equals: the first is seen
    pull = torch.randn(2, size, size, generator=torch.Generator().manual_seed(seed))
    found = []
    for backend in ("warp", "torch"):
        leaf = points.clone().requires_grad_()
        depth = splat_depth(leaf, size, radius, backend)
        found.append((depth.detach(), torch.autograd.grad(depth, leaf, pull)[0]))
    torch.testing.assert_close(*found, atol=0, rtol=0)


@BACKENDS
def test_gradients_are_finite_differences(backend):
    """Everywhere, rims of splats too: maps are continuously differentiable but where two points are equal."""
    points, size, radius = cloud(4, 1, 5), 24, 0.15
    pull = torch.randn(1, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    leaf = points.clone().requires_grad_()
    (slope,) = torch.autograd.grad(splat_depth(leaf, size, radius, backend), leaf, pull)
    step = 1e-5
    for number in range(5):
        for axis in range(3):
            moved = points.clone()
            ends = []
            for sign in (1, -1):
                moved[0, number, axis] = points[0, number, axis] + sign * step
                ends.append(float((splat_depth(moved, size, radius, backend) * pull).sum()))
            assert float(slope[0, number, axis]) == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-3, abs=2e-3)


@BACKENDS
def test_what_is_not_in_the_cube_is_not_seen(backend):
    behind, lost, beside = [0.5, 0.5, 1.0], [0.5, torch.nan, 0.5], [1.4, 0.5, 0.5]
    for away in ([torch.inf, 0.5, 0.5], [0.5, 0.5, -torch.inf]):
        points = torch.tensor([[behind, lost, beside, away]])
        assert (splat_index(points, 9, 0.2, backend) == -1).all() and (splat_depth(points, 9, 0.2, backend) == 0).all()
    reaching = torch.tensor([[[1.1, 0.5, 0.5]]])  # its middle lies outside, its splat does not
    assert (splat_depth(reaching, 9, 0.2, backend)[0, 4] > 0).tolist() == [False] * 8 + [True]
    assert splat_depth(torch.zeros(0, 4, 3), 9, 0.2, backend).shape == (0, 9, 9)


def test_types_and_faults():
    assert splat_depth(cloud(0).half(), 8, 0.2).dtype == torch.float32
    for points, size, radius, backend in (
        (torch.zeros(4, 3), 8, 0.1, None),
        (torch.zeros(1, 4, 3), 0, 0.1, None),
        (torch.zeros(1, 4, 3), 8, 0.0, None),
        (torch.zeros(1, 4, 3), 8, 0.1, "neither"),
    ):
        with pytest.raises(ValueError, match="must be"):
            splat_depth(points, size, radius, backend)
