import pytest
import torch
from torch.autograd import gradcheck

from phalanx.losses.depth_maps import (
    LEAST_RANGE,
    absolute_depths,
    depth_limits,
    map_error,
    normalised_joints,
    normalised_map,
    relative_depths,
    smooth_l1,
)


def some_maps(seed=0):
    """Two maps of metres with background, and a third without readings."""
    random = torch.Generator().manual_seed(seed)
    depth = 0.4 + 0.2 * torch.rand(3, 5, 6, generator=random, dtype=torch.float64)
    depth[torch.rand(3, 5, 6, generator=random) < 0.4] = 0
    depth[2] = 0
    return depth


def test_depths_go_there_and_back():
    depths = torch.rand(4, 21, dtype=torch.float64) + 0.3
    scale = torch.rand(4, dtype=torch.float64) + 0.05
    relative = relative_depths(depths, 9, scale)
    assert not relative[:, 9].any()
    torch.testing.assert_close(relative[1, 3], (depths[1, 3] - depths[1, 9]) / scale[1])
    torch.testing.assert_close(absolute_depths(relative, depths[:, 9], scale), depths)
    torch.testing.assert_close(relative_depths(2 * depths, 9, 2 * scale), relative)


def test_smooth_l1_is_equation_3_on_pictures_with_labels():
    predicted = torch.linspace(-3, 3, 42, dtype=torch.float64).view(2, 21)
    total, count = 0.0, 0
    for j in range(21):
        x = float(predicted[0, j]) - 0.5
        total += 0.5 * x * x if abs(x) < 1 else abs(x) - 0.5
        count += 1
    weights = torch.tensor([[1.0], [0.0]], dtype=torch.float64).expand(2, 21)  # the second has no labels: Eq. 2
    found = smooth_l1(predicted, torch.full_like(predicted, 0.5), weights)
    assert float(found) == pytest.approx(total / count)
    assert float(smooth_l1(predicted, predicted + 9, 0 * weights)) == 0


def test_maps_and_joints_are_normalised_alike():
    depth = some_maps()
    farthest, depth_range = depth_limits(depth)
    normalised = normalised_map(depth, farthest, depth_range)
    for b in range(3):
        readings = [float(value) for value in depth[b].flatten() if value > 0]
        most = max(readings, default=0.0)
        least = min(readings, default=0.0)
        assert float(farthest[b]) == most
        assert float(depth_range[b]) == pytest.approx(max(most - least, LEAST_RANGE))
        for row in range(5):
            for column in range(6):
                d = float(depth[b, row, column])
                want = (most - d) / max(most - least, LEAST_RANGE) if d > 0 else 0.0  # Eq. 4 of a pixel
                assert float(normalised[b, row, column]) == pytest.approx(want)
    assert float(normalised[0].max()) == pytest.approx(1) and not normalised[2].any()
    scale, root_depth = torch.tensor([0.04, 0.05]).double(), torch.tensor([0.5, 0.45]).double()
    joints = depth[:2].flatten(1)[:, :7].clamp_min(0.4)
    relative = (joints - root_depth[:, None]) / scale[:, None]
    found = normalised_joints(relative, root_depth, scale, farthest[:2], depth_range[:2])
    torch.testing.assert_close(found, normalised_map(joints[:, None], farthest[:2], depth_range[:2])[:, 0])


def test_one_reading_is_not_blown_up():
    depth = torch.zeros(1, 4, 4)
    depth[0, 1, 1], depth[0, 1, 2] = 0.500, 0.501
    assert float(normalised_map(depth, *depth_limits(depth)).max()) == pytest.approx(0.001 / LEAST_RANGE, rel=1e-3)


def test_map_error_is_the_mean_over_pixels_of_maps_with_weight():
    generated, target = torch.rand(2, 3, 4, 5, dtype=torch.float64)
    found = map_error(generated, target, torch.tensor([1.0, 0.0, 3.0]).double())
    each = [(generated[b] - target[b]).abs().sum() / 20 for b in range(3)]
    torch.testing.assert_close(found, (each[0] + 3 * each[2]) / 4)
    assert float(map_error(target, target, torch.ones(3).double())) == 0


def test_gradients():
    relative = torch.linspace(-2, 2, 10, dtype=torch.float64).view(2, 5).requires_grad_()
    others = [torch.tensor(values).double() for values in ([0.5, 0.6], [0.04, 0.05], [0.7, 0.8], [0.2, 0.1])]
    weights = torch.tensor([[1.0], [0.5]]).double().expand(2, 5)
    assert gradcheck(lambda x: normalised_joints(x, *others), [relative])
    assert gradcheck(lambda x: smooth_l1(x, 0.3 * torch.ones_like(x), weights), [relative])
    assert gradcheck(lambda x: map_error(x[:, None], torch.ones(2, 1, 5).double(), weights[:, 0]), [relative])
