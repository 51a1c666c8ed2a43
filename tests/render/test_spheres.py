import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from phalanx.render.spheres import RIM, sphere_depth, sphere_depth_broadcast, sphere_index

BOTH = pytest.mark.parametrize("draw", [sphere_depth, sphere_depth_broadcast])
EXTENT = 0.3


def spheres(seed: int, batch: int = 2, count: int = 6, spread: float = 0.1) -> tuple[Tensor, Tensor]:
    """Centres (B, N, 3) and radii (B, N) of overlapping spheres, float64, some of them reaching out of the cube."""
    generator = torch.Generator().manual_seed(seed)
    centres = spread * torch.randn(batch, count, 3, generator=generator, dtype=torch.float64)
    return centres, 0.005 + 0.04 * torch.rand(batch, count, generator=generator, dtype=torch.float64)


def by_loops(centres: Tensor, radii: Tensor, size: int, extent: float, far: float) -> tuple[Tensor, Tensor]:
    """Eq. 6-8 pixel by pixel and sphere by sphere: depth, and the number of the sphere that is seen."""
    depth, index = torch.full((len(centres), size, size), far).double(), torch.full((len(centres), size, size), -1)
    for b in range(len(centres)):
        for i in range(size):
            for j in range(size):
                u, v = ((j + 0.5) / size - 0.5) * extent, ((i + 0.5) / size - 0.5) * extent
                for n, ((x, y, z), r) in enumerate(zip(centres[b].tolist(), radii[b].tolist(), strict=True)):
                    squared = (x - u) ** 2 + (y - v) ** 2
                    if squared <= r**2 and z - math.sqrt(r**2 - squared) < depth[b, i, j]:
                        depth[b, i, j], index[b, i, j] = z - math.sqrt(r**2 - squared), n
    return depth, index


@pytest.mark.parametrize("far", [0.15, 0.02])
def test_both_versions_are_the_equations(far):
    centres, radii = spheres(0)
    depth, index = by_loops(centres, radii, 17, EXTENT, far)
    assert 30 < (index >= 0).sum() < 300 and len(index.unique()) > 4
    torch.testing.assert_close(sphere_depth(centres, radii, 17, EXTENT, far), depth)
    torch.testing.assert_close(sphere_depth_broadcast(centres, radii, 17, EXTENT, far), depth)
    assert (sphere_index(centres, radii, 17, EXTENT, far) == index).all()


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10**6),
    st.integers(1, 40),
    st.integers(1, 3),
    st.integers(1, 9),
    st.sampled_from([0.01, 0.1, 0.3, 5.0]),
    st.booleans(),
)
def test_values_and_gradients_of_both_versions_agree(seed, size, batch, count, extent, shared):
    """From spheres far greater than the picture to spheres between its lines."""
    centres, radii = spheres(seed, batch, count)
    radii = radii[0] if shared else radii
    pull = torch.randn(batch, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    found = []
    for draw in (sphere_depth, sphere_depth_broadcast):
        leaves = centres.clone().requires_grad_(), radii.clone().requires_grad_()
        depth = draw(*leaves, size, extent)
        found.append((depth.detach(), *torch.autograd.grad(depth, leaves, pull)))
    torch.testing.assert_close(*found, atol=1e-9, rtol=1e-9)


def test_hands_in_float32_agree_to_the_bit():
    centres, radii = (array.float() for array in spheres(3, 3, 41, 0.04))
    fast = sphere_depth(centres, radii, 64, EXTENT)
    assert fast.dtype == torch.float32 and (fast == sphere_depth_broadcast(centres, radii, 64, EXTENT)).all()
    assert sphere_depth(centres.half(), radii, 8, EXTENT).dtype == torch.float32


@BOTH
def test_gradients_are_finite_differences(draw):
    """Where the winner is clear and the surface is not at its rim."""
    centres, radii = spheres(4, 1, 4, 0.05)
    size = 24
    line = ((torch.arange(size).double() + 0.5) / size - 0.5) * EXTENT
    x, y, z = centres[0, :, None, None].unbind(-1)
    share = (1 - ((line - x).square() + (line[:, None] - y).square()) / radii[0, :, None, None].square()).sqrt()
    surface = torch.where(share.isnan(), 1.0, z - share * radii[0, :, None, None])  # (N, S, S)
    nearest, second = surface.sort(0).values[:2]
    off_rim = share.gather(0, surface.argmin(0, keepdim=True))[0] > 1.2 * RIM
    no_rim_near = ((share.nan_to_num() == 0) | (share > 0.1)).all(0)
    clear = (second - nearest > 1e-3) & off_rim & no_rim_near & (nearest < 0.14)
    assert clear.sum() > 15 and len(surface.argmin(0)[clear].unique()) == 4
    leaves = centres.requires_grad_(), radii.requires_grad_()
    assert torch.autograd.gradcheck(lambda c, r: draw(c, r, size, EXTENT)[0][clear], leaves)


@BOTH
def test_derivatives_at_the_rim_are_bounded(draw):
    radius, size = 0.05, 32
    leaves = torch.tensor([[[0.001, -0.002, 0.01]]]).double().requires_grad_(), torch.tensor([radius]).double()
    by_centre, by_radius = torch.autograd.functional.jacobian(lambda c, r: draw(c, r, size, 0.12), leaves)
    by_centre, by_radius = by_centre.reshape(size, size, 3), by_radius.reshape(size, size)
    height = 0.01 - draw(*leaves, size, 0.12, far=0.01)[0].detach()
    seen = height > 0
    assert 0.9 / RIM < by_radius.abs().max() <= 1 / RIM and by_centre.abs().max() <= 1 / RIM
    inner = height > RIM * radius
    assert 0.01 < 1 - float(inner.sum() / seen.sum()) < 0.08  # 4 % of the disc, by few pixels
    torch.testing.assert_close(by_radius[inner], -radius / height[inner])
    torch.testing.assert_close(by_centre[..., 2], seen.double())
    assert (by_radius[~seen] == 0).all()
    # what the bound takes from the sum of derivatives by the radius, which is -2 over the unit disc without it
    total = float(by_radius.sum()) * (0.12 / size) ** 2 / (math.pi * radius**2)
    assert -1.9 < total < -1.7


def test_one_sphere():
    depth = sphere_depth(torch.tensor([[[0.0, 0.0, 0.02]]]), torch.tensor([0.05]), 101, 0.2)[0]
    assert float(depth[50, 50]) == pytest.approx(-0.03)
    assert float(depth[0, 0]) == pytest.approx(0.1)
    covered = float((depth < 0.1).sum()) * (0.2 / 101) ** 2
    assert covered == pytest.approx(math.pi * 0.05**2, rel=0.01)
    side = sphere_depth(torch.tensor([[[0.04, 0.0, 0.02]]]), torch.tensor([0.01]), 100, 0.2)[0]
    row, column = (side < 0.1).nonzero().double().mean(0).tolist()
    assert (row, column) == pytest.approx((49.5, 69.5))  # x is to the right


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.integers(-3, 3), st.integers(-3, 3), st.floats(-0.02, 0.02))
def test_invariances(seed, right, down, away):
    centres, radii = spheres(seed, 1, 5, 0.02)
    size, far = 24, 1.0
    depth = sphere_depth(centres, radii, size, EXTENT, far)
    step = EXTENT / size
    moved = sphere_depth(centres + torch.tensor([right * step, down * step, away]), radii, size, EXTENT, far + away)
    inner = slice(3, -3)
    torch.testing.assert_close(moved.roll((-down, -right), (1, 2))[:, inner, inner], depth[:, inner, inner] + away)
    mirrored = sphere_depth(centres * torch.tensor([-1, 1, 1]), radii, size, EXTENT, far)
    torch.testing.assert_close(mirrored, depth.flip(2))
    torch.testing.assert_close(sphere_depth(centres.flip(1), radii.flip(1), size, EXTENT, far), depth)
    torch.testing.assert_close(sphere_depth(2 * centres, 2 * radii, size, 2 * EXTENT, 2 * far), 2 * depth)


def test_what_is_hidden_has_no_gradient_and_equals_go_to_the_first():
    centres = torch.tensor([[[0.0, 0, 0.05], [0, 0, 0], [0, 0, 0], [0.1, 0, 0.2]]], requires_grad=True)
    radii = torch.tensor([0.01, 0.03, 0.03, 0.03])
    assert sphere_index(centres, radii, 32, EXTENT).unique().tolist() == [-1, 1]
    sphere_depth(centres, radii, 32, EXTENT).sum().backward()
    assert centres.grad is not None
    assert centres.grad[0, :, 2].gt(0).tolist() == [False, True, False, False]


def test_spheres_that_are_no_spheres_are_left_out():
    good, radius = torch.tensor([0.0, 0.01, 0.0]), 0.02
    for axis in range(3):
        for wrong in (math.nan, math.inf, -math.inf):
            bad = torch.zeros(3)
            bad[axis] = wrong
            centres = torch.stack((bad, good))[None].requires_grad_()
            alone = sphere_depth(good[None, None], torch.tensor([radius]), 16, EXTENT)
            for draw in (sphere_depth, sphere_depth_broadcast):
                assert (draw(centres, torch.tensor([radius, radius]), 16, EXTENT) == alone).all()
            sphere_depth(centres, torch.tensor([radius, radius]), 16, EXTENT).sum().backward()
            assert centres.grad is not None and centres.grad.isfinite().all()
    for wrong in (math.nan, math.inf, 0.0, -0.05):
        for draw in (sphere_depth, sphere_depth_broadcast):
            assert (draw(torch.zeros(1, 1, 3), torch.tensor([wrong]), 17, EXTENT) == EXTENT / 2).all()


@BOTH
def test_nothing_in_the_picture(draw):
    centres = torch.full((2, 3, 3), 0.5, requires_grad=True)
    depth = draw(centres, torch.full((3,), 0.01), 8, EXTENT, far=0.7)
    assert (depth == 0.7).all()
    depth.sum().backward()
    assert (centres.grad == 0).all()


@BOTH
def test_other_shapes_are_refused(draw):
    for centres, radii in ((torch.zeros(4, 3), torch.ones(4)), (torch.zeros(1, 4, 3), torch.ones(3))):
        with pytest.raises(ValueError, match=r"centres must be \(B, N, 3\), radii \(N,\) or \(B, N\)"):
            draw(centres, radii, 8, EXTENT)
