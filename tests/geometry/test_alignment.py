import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.spatial.transform import Rotation

from phalanx.geometry.alignment import (
    equal_norm_scale,
    least_squares_scale,
    rigid_align,
    rigid_alignment,
    similarity_align,
    similarity_alignment,
)


@pytest.fixture
def sets() -> tuple[torch.Tensor, torch.Tensor]:
    """Two unlike batches (4, 21, 3) of points."""
    generator = torch.Generator().manual_seed(0)
    source = torch.randn(4, 21, 3, generator=generator, dtype=torch.float64)
    return source, source * 1.5 + torch.randn(4, 21, 3, generator=generator, dtype=torch.float64)


def test_a_known_motion_is_found():
    generator = torch.Generator().manual_seed(1)
    source = torch.randn(2, 5, 21, 3, generator=generator, dtype=torch.float64)
    rotation = torch.from_numpy(Rotation.random(10, random_state=np.random.RandomState(0)).as_matrix()).reshape(
        2, 5, 3, 3
    )
    translation = torch.randn(2, 5, 3, generator=generator, dtype=torch.float64)
    scale = torch.rand(2, 5, generator=generator, dtype=torch.float64) + 0.5
    target = scale[..., None, None] * source @ rotation.mT + translation[..., None, :]
    for found, expected in zip(similarity_alignment(source, target), (rotation, translation, scale), strict=True):
        torch.testing.assert_close(found, expected)
    torch.testing.assert_close(similarity_align(source, target), target)
    moved = source @ rotation.mT + translation[..., None, :]
    for found, expected in zip(rigid_alignment(source, moved), (rotation, translation), strict=True):
        torch.testing.assert_close(found, expected)
    torch.testing.assert_close(rigid_align(source, moved), moved)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_no_motion_is_better(sets, mirrored, weighted):
    """Against a general optimiser over rotation vector, translation and scale, started from five places."""
    source, target = (array[0] for array in sets)
    if mirrored:  # the best orthogonal matrix is then a reflection, which is not wanted
        target = target * torch.tensor([-1.0, 1, 1], dtype=torch.float64)
    weights = torch.rand(21, generator=torch.Generator().manual_seed(5), dtype=torch.float64) if weighted else None
    weight = np.ones(21) if weights is None else weights.numpy()

    def cost(x, scaled):
        moved = Rotation.from_rotvec(x[:3]).apply(source.numpy()) * (abs(x[6]) if scaled else 1) + x[3:6]
        return (weight[:, None] * (moved - target.numpy()) ** 2).sum()

    starts = [np.array([*2 * axis, 0, 0, 0, 1]) for axis in (*np.eye(3), -np.ones(3), np.zeros(3))]
    for scaled, align in ((False, rigid_align), (True, similarity_align)):
        found = align(source, target, weights)
        error = float((torch.from_numpy(weight)[:, None] * (found - target) ** 2).sum())
        best = min(minimize(cost, start, args=(scaled,)).fun for start in starts)
        assert error == pytest.approx(best, rel=1e-6)
    assert torch.linalg.det(rigid_alignment(source, target, weights)[0]) == pytest.approx(1)


def test_points_of_no_weight_do_not_count(sets):
    source, target = sets
    weights = (torch.arange(21) < 12).double().expand(4, 21)
    spoilt = target.clone()
    spoilt[:, 12:] += 100
    few = similarity_alignment(source[:, :12], target[:, :12])
    for found, expected in zip(similarity_alignment(source, spoilt, weights), few, strict=True):
        torch.testing.assert_close(found, expected)


def test_gradients(sets):
    source, target = (array[:1, :5].clone().requires_grad_() for array in sets)
    assert torch.autograd.gradcheck(similarity_align, (source, target))
    assert torch.autograd.gradcheck(rigid_align, (source, target))
    assert torch.autograd.gradcheck(equal_norm_scale, (source, target))


def test_scales(sets):
    source, target = sets
    scale = equal_norm_scale(source, target)
    torch.testing.assert_close((scale[:, None, None] * source).norm(dim=(-2, -1)), target.norm(dim=(-2, -1)))
    best = least_squares_scale(source, target)
    for factor in (0.99, 1.01):
        worse = ((factor * best[:, None, None] * source - target) ** 2).sum((-2, -1))
        assert (worse > ((best[:, None, None] * source - target) ** 2).sum((-2, -1))).all()
    assert (equal_norm_scale(source, -target) > 0).all() and (least_squares_scale(source, -target) < 0).all()


def test_a_single_point_has_no_size():
    point, target = torch.ones(2, 21, 3), torch.randn(2, 21, 3)
    assert (equal_norm_scale(point * 0, target) == 0).all() and (least_squares_scale(point * 0, target) == 0).all()
    rotation, translation, scale = similarity_alignment(point, target)
    assert (scale == 0).all() and torch.isfinite(rotation).all()
    torch.testing.assert_close(translation, target.mean(1))


def test_wrong_shapes(sets):
    source, target = sets
    with pytest.raises(ValueError, match="point sets"):
        rigid_alignment(source, target[:, :20])
    with pytest.raises(ValueError, match="point sets"):
        similarity_alignment(source[..., :2], target[..., :2])


@pytest.mark.parametrize("weighted", [False, True])
def test_arrays_as_tensors(sets, weighted):
    source, target = sets
    weights = torch.rand(4, 21, generator=torch.Generator().manual_seed(6), dtype=torch.float64) if weighted else None
    more = () if weights is None else (weights,)
    for function in (rigid_align, similarity_align):
        found = function(source.numpy(), target.numpy(), *(weight.numpy() for weight in more))
        np.testing.assert_allclose(found, function(source, target, *more).numpy(), atol=1e-12)
    for function in (equal_norm_scale, least_squares_scale):
        np.testing.assert_allclose(function(source.numpy(), target.numpy()), function(source, target).numpy())
