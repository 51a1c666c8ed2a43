import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from phalanx.hand import HandModel
from phalanx.hand.spheres import FINGER_SPHERES, RADII, sphere_centres
from phalanx.losses.sphere_fitting import (
    UNIT,
    bone_lengths,
    collision,
    data_to_model,
    depth_points,
    model_to_data,
    multi_view_consistency,
)
from phalanx.render.spheres import sphere_depth

EXTENT = 0.3
SEEDS = st.integers(0, 10**6)


def random(seed: int, *shape: int, scale: float = 0.05) -> Tensor:
    """Normal float64 numbers, in metres of a hand's size."""
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rotation(seed: int) -> Tensor:
    turn = torch.linalg.qr(random(seed, 3, 3))[0]
    return turn * torch.linalg.det(turn)


@pytest.fixture(scope="module")
def hand() -> tuple[Tensor, Tensor]:
    """Centres (1, 41, 3) of the open hand, palm to the camera and fingers up, and radii (41,)."""
    centres = sphere_centres(HandModel.open_hand().rest_joints[None]) * torch.tensor([1.0, -1.0, -1.0])
    return centres - centres.mean(1, keepdim=True), torch.tensor(RADII)


def test_unit_is_the_centimetre():
    assert UNIT == 0.01
    assert float(model_to_data(torch.full((1, 2, 2), 0.02), torch.zeros(1, 2, 2))) == pytest.approx(2.0)


def test_model_to_data_by_loops():
    rendered, observed, weights = random(0, 2, 3, 3), random(1, 2, 3, 3), random(2, 2, 3, 3).abs()
    plain, weighted = [], []
    for b in range(2):
        errors = [abs(float(rendered[b, i, j] - observed[b, i, j])) * 100 for i in range(3) for j in range(3)]
        share = weights[b].flatten().tolist()
        plain.append(sum(errors) / 9)
        weighted.append(sum(e * w for e, w in zip(errors, share, strict=True)) / sum(share))
    assert float(model_to_data(rendered, observed)) == pytest.approx(sum(plain) / 2)
    assert float(model_to_data(rendered, observed, weights)) == pytest.approx(sum(weighted) / 2)
    weights[1] = 0  # a frame without any pixel counts as 0
    assert float(model_to_data(rendered, observed, weights)) == pytest.approx(weighted[0] / 2)


def nearest_by_loops(points: Tensor, centres: Tensor, radii: Tensor) -> list[list[float]]:
    """Eq. 10-11, in metres."""
    return [
        [min(abs(math.dist(p, c) - r) for c, r in zip(cs, rs, strict=True)) for p in ps]
        for ps, cs, rs in zip(points.tolist(), centres.tolist(), radii.tolist(), strict=True)
    ]


def test_data_to_model_by_loops():
    points, centres, radii = random(0, 2, 7, 3), random(1, 2, 5, 3), random(2, 2, 5).abs()
    weights = torch.tensor([[1.0, 0, 1, 2, 1, 0, 0], [0.0, 0, 0, 1, 1, 1, 1]], dtype=torch.float64)
    distances = 100 * np.array(nearest_by_loops(points, centres, radii))
    assert float(data_to_model(points, centres, radii)) == pytest.approx(distances.mean())
    expected = np.mean([np.average(d, weights=w) for d, w in zip(distances, weights.numpy(), strict=True)])
    assert float(data_to_model(points, centres, radii, weights)) == pytest.approx(expected)
    limited = np.minimum(distances, 1.5).mean()
    assert distances.min() < 1.5 < distances.max()
    assert float(data_to_model(points, centres, radii, limit=0.015)) == pytest.approx(limited)
    shared = nearest_by_loops(points, centres, radii[:1].expand(2, -1))
    assert float(data_to_model(points, centres, radii[0])) == pytest.approx(100 * np.mean(shared))
    assert float(data_to_model(points, centres, radii, torch.zeros_like(weights))) == 0


def test_points_beyond_the_limit_pull_no_longer_and_others_all_alike():
    centres = torch.zeros(1, 1, 3, requires_grad=True)
    points = torch.tensor([[[0.03, 0, 0], [0, 0.05, 0], [0, 0, 0.2], [-0.004, 0, 0]]])
    (pull,) = torch.autograd.grad(4 * UNIT * data_to_model(points, centres, torch.tensor([0.01]), limit=0.1), centres)
    # towards x and y; the last point, within the sphere, draws its near side after it
    torch.testing.assert_close(-pull[0, 0], torch.tensor([1.0 + 1.0, 1.0, 0.0]))


def test_multi_view_consistency_by_loops():
    for views in (2, 3, 4, 5):
        centres = random(views, 2, views, 3, 3)
        total = 0.0
        for b in range(2):
            for n in range(3):
                middle = np.median(centres[b, :, n].numpy(), axis=0)
                total += sum(float(((centres[b, v, n].numpy() - middle) ** 2).sum()) for v in range(views))
        assert float(multi_view_consistency(centres)) == pytest.approx(total * 1e4 / (2 * views * 3))


def test_the_median_is_a_target_and_robust():
    centres = random(0, 1, 5, 2, 3).requires_grad_()
    (gradient,) = torch.autograd.grad(multi_view_consistency(centres), centres)
    offset = centres.detach() - centres.detach().median(1, keepdim=True).values
    torch.testing.assert_close(gradient, 2 * offset / UNIT**2 / 10)
    # one view astray moves no other view's target
    astray = centres.detach().clone()
    astray[:, 2] += 1.0
    middle = astray.median(1).values
    assert (middle - centres.detach()[:, [0, 1, 3, 4]].median(1).values).abs().max() < 0.1
    # of four views, each axis has two on either side: pulls add up to those of the mean of the middle two
    even = torch.tensor([0.0, 1.0, 3.0, 10.0]).reshape(1, 4, 1, 1).expand(1, 4, 1, 3).clone().requires_grad_()
    (gradient,) = torch.autograd.grad(multi_view_consistency(even), even)
    torch.testing.assert_close(gradient[0, :, 0, 0] * UNIT**2 * 4 / 2, torch.tensor([-2.0, -1.0, 1.0, 8.0]))


PAIRS = torch.tensor([[0, 1], [3, 2], [1, 4]])


def test_bone_lengths_by_loops():
    centres = random(0, 3, 5, 3)
    shortest, longest = torch.tensor([0.02, 0.09, 0.03]).double(), torch.tensor([0.05, 0.11, 0.09]).double()
    total, kinds = 0.0, set()
    for c in centres.tolist():
        for (j, k), low, high in zip(PAIRS.tolist(), shortest.tolist(), longest.tolist(), strict=True):
            d = math.dist(c[j], c[k])
            total += max(d - high, 0) ** 2 + max(low - d, 0) ** 2
            kinds.add((d > high) - (d < low))
    assert kinds == {-1, 0, 1}
    assert float(bone_lengths(centres, PAIRS, shortest, longest)) == pytest.approx(total * 1e4 / 3)


def test_collision_by_loops():
    centres, radii = random(0, 3, 5, 3, scale=0.02), 0.01 + random(1, 3, 5, scale=0.005).abs()
    overlaps = [
        max(r[j] + r[k] - math.dist(c[j], c[k]), 0)
        for c, r in zip(centres.tolist(), radii.tolist(), strict=True)
        for j, k in PAIRS.tolist()
    ]
    assert 0 < sum(o > 0 for o in overlaps) < 9
    assert float(collision(centres, radii, PAIRS)) == pytest.approx(sum(overlaps) * 100 / 3)
    shared = collision(centres, radii[0], PAIRS)
    torch.testing.assert_close(shared, collision(centres, radii[:1].expand(3, -1), PAIRS))


def test_collision_is_of_lengths():
    """With the norm squared, as in print, spheres 3 cm apart would still collide: 0.02 - 0.05^2 is positive."""
    pair, radii = torch.tensor([[0, 1]]), torch.tensor([0.01, 0.01])
    for distance, expected in ((0.05, 0.0), (0.015, 0.5)):
        centres = torch.tensor([[[0.0, 0, 0], [distance, 0, 0]]])
        assert float(collision(centres, radii, pair)) == pytest.approx(expected, abs=1e-6)


def test_gradients_are_finite_differences():
    points, centres, radii = random(0, 2, 6, 3), random(1, 2, 5, 3).requires_grad_(), random(2, 5).abs() + 0.01
    radii.requires_grad_()
    weights = random(3, 2, 6).abs()
    low, high = torch.tensor([0.02, 0.09, 0.03]).double(), torch.tensor([0.05, 0.11, 0.04]).double()
    check = torch.autograd.gradcheck
    assert check(lambda c, r: data_to_model(points, c, r, weights, 0.03), (centres, radii))
    assert check(lambda c: bone_lengths(c, PAIRS, low, high), (centres,))
    assert collision(centres, 3 * radii, PAIRS).item() > 0
    assert check(lambda c, r: collision(c, 3 * r, PAIRS), (centres, radii))
    maps = random(4, 2, 3, 3).requires_grad_()
    assert check(lambda d: model_to_data(d, random(5, 2, 3, 3), random(6, 2, 3, 3).abs()), (maps,))


def test_gradients_stay_finite_where_roots_vanish():
    centres = torch.zeros(1, 2, 3, requires_grad=True)
    radii, pair = torch.tensor([0.01, 0.01]), torch.tensor([[0, 1]])
    total = data_to_model(torch.zeros(1, 3, 3), centres, radii) + collision(centres, radii, pair)
    (total + bone_lengths(centres, pair, torch.tensor([0.01]), torch.tensor([0.02]))).backward()
    assert centres.grad is not None and centres.grad.isfinite().all()


@settings(max_examples=20, deadline=None)
@given(SEEDS)
def test_turning_and_shifting_everything_changes_nothing(seed):
    turn, shift = rotation(seed), random(seed, 3)
    points, centres, radii = random(seed + 1, 2, 9, 3), random(seed + 2, 2, 5, 3), random(seed + 3, 5).abs()
    low, high = torch.full((3,), 0.04).double(), torch.full((3,), 0.06).double()

    def terms(move) -> Tensor:
        return torch.stack(
            (
                data_to_model(move(points), move(centres), radii, limit=0.05),
                bone_lengths(move(centres), PAIRS, low, high),
                collision(move(centres), radii, PAIRS),
            )
        )

    torch.testing.assert_close(terms(lambda x: x @ turn.T + shift), terms(lambda x: x))
    views = random(seed, 2, 4, 5, 3)
    value = multi_view_consistency(views)
    torch.testing.assert_close(multi_view_consistency(views[:, [2, 0, 3, 1]] + shift), value)
    torch.testing.assert_close(multi_view_consistency(views[..., [2, 0, 1]]), value)
    assert float(multi_view_consistency(views[:, :1].expand(2, 4, 5, 3))) == 0


@settings(max_examples=10, deadline=None)
@given(SEEDS)
def test_terms_do_not_depend_on_how_many_there_are(seed):
    """Of frames, pixels, points and equally good views."""
    a, b = random(seed, 2, 4, 4), random(seed + 1, 2, 4, 4)
    finer = [x.repeat_interleave(3, 1).repeat_interleave(3, 2).repeat(2, 1, 1) for x in (a, b)]
    torch.testing.assert_close(model_to_data(*finer), model_to_data(a, b))
    points, centres, radii = random(seed, 2, 9, 3), random(seed + 1, 2, 5, 3), random(seed + 2, 5).abs()
    value = data_to_model(points, centres, radii)
    torch.testing.assert_close(data_to_model(points.repeat(3, 2, 1), centres.repeat(3, 1, 1), radii), value)
    views = random(seed, 2, 3, 5, 3)
    torch.testing.assert_close(multi_view_consistency(views.repeat(2, 3, 2, 1)), multi_view_consistency(views))


def test_depth_points_are_the_pixels_of_the_surface(hand):
    centres, radii = hand
    depth = sphere_depth(torch.cat((centres, centres + 0.01)), radii, 48, EXTENT)
    depth[1, 20:] = 0.15  # the second map shows a few pixels only
    pixels = (depth < 0.15).flatten(1).sum(1).tolist()
    assert pixels[1] < 150 < pixels[0]
    points, weights = depth_points(depth, EXTENT, None, 150, torch.Generator().manual_seed(0))
    assert points.shape == (2, 150, 3) and weights.sum(1).tolist() == [150, pixels[1]]
    for b in range(2):
        expected = {
            (i, j): [((j + 0.5) / 48 - 0.5) * EXTENT, ((i + 0.5) / 48 - 0.5) * EXTENT, float(depth[b, i, j])]
            for i, j in (depth[b] < 0.15).nonzero().tolist()
        }
        drawn = points[b, weights[b] == 1]
        cells = ((drawn[:, :2] / EXTENT + 0.5) * 48).floor().long()  # (M, 2) x, y
        found = [(int(i), int(j)) for j, i in cells]
        assert len(set(found)) == len(found)  # no repetition
        torch.testing.assert_close(drawn, torch.tensor([expected[cell] for cell in found]))
    assert (points[1, pixels[1] :] == 0).all()
    # the points lie on the model that was drawn
    assert float(data_to_model(points[:1], centres, radii, weights[:1])) < 1e-4


def test_depth_points_are_drawn_evenly_and_by_the_generator():
    depth = torch.full((1, 6, 6), 0.15, dtype=torch.float64)
    depth[0, 1:5, 1:5] = torch.arange(16, dtype=torch.float64).reshape(4, 4) / 1000
    points, weights = depth_points(depth.expand(3000, 6, 6), EXTENT, 0.1, 4, torch.Generator().manual_seed(0))
    assert (weights == 1).all() and points.dtype == torch.float64
    counts = torch.bincount((points[..., 2] * 1000).round().long().flatten(), minlength=16)
    assert (
        counts.shape == (16,) and (counts - 750).abs().max() < 5 * 24
    )  # each in a quarter of the draws, 24 = sqrt(np(1-p))
    again, _ = depth_points(depth.expand(3000, 6, 6), EXTENT, 0.1, 4, torch.Generator().manual_seed(0))
    other, _ = depth_points(depth.expand(3000, 6, 6), EXTENT, 0.1, 4, torch.Generator().manual_seed(1))
    assert (again == points).all() and not (other == points).all()


def test_depth_points_of_empty_maps():
    depth = torch.full((3, 4, 4), 0.15)
    points, weights = depth_points(depth, EXTENT, None, 5)
    assert (points == 0).all() and (weights == 0).all()
    depth[1, 2, 3], depth[2] = 0.01, math.nan
    points, weights = depth_points(depth, EXTENT, None, 5)
    assert weights.sum(1).tolist() == [0, 1, 0]
    assert points[1, 0].tolist() == pytest.approx([0.375 * EXTENT, 0.125 * EXTENT, 0.01])
    assert float(data_to_model(points, torch.zeros(3, 2, 3), torch.ones(2), weights)) > 0
    assert depth_points(depth[:0], EXTENT, None, 5)[0].shape == (0, 5, 3)


def test_descent_brings_a_hand_back_onto_its_depth_map(hand):
    """From 15 mm away in six directions at once."""
    centres, radii = hand
    size = 64
    observed = sphere_depth(centres, radii, size, EXTENT)
    points, weights = depth_points(observed, EXTENT, None, 256, torch.Generator().manual_seed(0))
    start = torch.cat((torch.eye(3), torch.tensor([[-1.0, 0, 0], [0, -1, 0], [1, -1, 1]]))) + torch.tensor(
        [0.1, 0.2, 0.1]
    )
    shift = (0.015 * start / start.norm(dim=1, keepdim=True)).requires_grad_()
    many = len(start)
    optimiser = torch.optim.Adam([shift], lr=0.002)
    for step in range(50):
        optimiser.param_groups[0]["lr"] = 0.002 * (1 - step / 50)
        moved = centres + shift[:, None]
        rendered = sphere_depth(moved, radii, size, EXTENT)
        loss = model_to_data(rendered, observed.expand(many, -1, -1)) + data_to_model(
            points.expand(many, -1, -1), moved, radii, weights.expand(many, -1)
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert shift.detach().norm(dim=1).max() < 0.003, shift


def test_only_data_to_model_reaches_for_an_unexplained_finger(hand):
    """The model's index finger points away from the camera, hidden by its knuckle; the depth map shows it stretched."""
    centres, radii = hand
    knuckle, *hidden = FINGER_SPHERES[1]
    size = 64
    observed = sphere_depth(centres, radii, size, EXTENT)
    points, weights = depth_points(observed, EXTENT, None, 1000, torch.Generator().manual_seed(0))
    folded = centres.clone()
    along = centres[:, hidden] - centres[:, [knuckle]]
    folded[:, hidden] = centres[:, [knuckle]] + along.norm(dim=2, keepdim=True) * torch.tensor([0.0, 0, 1])
    leaf = folded.clone().requires_grad_()
    rendered = sphere_depth(leaf, radii, size, EXTENT)
    assert (rendered.detach() > observed + 0.05).sum() > 30  # pixels unexplained
    (by_model,) = torch.autograd.grad(model_to_data(rendered, observed), leaf)
    (by_data,) = torch.autograd.grad(data_to_model(points, leaf, radii, weights), leaf)
    assert (by_model[0, hidden] == 0).all()
    upwards = along[0, -1] / along[0, -1].norm()
    # what is nearest to the unexplained surface is drawn to it: the knuckle, more than any other sphere
    pull = -by_data[0] @ upwards  # (41,)
    assert pull.argmax() == knuckle and pull[knuckle] > 1
    assert (by_model[0, knuckle] @ upwards).abs() < 0.1 * pull[knuckle]


def test_a_hidden_finger_comes_out_by_data_to_model_alone():
    """A palm of one sphere, a finger of another: the model hides it behind the palm, and the map shows it beside it."""
    palm, radii, size = torch.tensor([0.0, 0, 0]), torch.tensor([0.03, 0.008]), 64
    seen, hidden = torch.tensor([0.045, 0.0, 0.035]), torch.tensor([0.02, 0.002, 0.035])
    observed = sphere_depth(torch.stack((palm, seen))[None], radii, size, EXTENT)
    points, weights = depth_points(observed, EXTENT, None, 500, torch.Generator().manual_seed(0))

    def descend(share: float) -> Tensor:
        finger = hidden.clone().requires_grad_()
        optimiser = torch.optim.Adam([finger], lr=0.001)
        for _ in range(60):
            centres = torch.stack((palm, finger))[None]
            loss = model_to_data(sphere_depth(centres, radii, size, EXTENT), observed)
            loss = loss + share * data_to_model(points, centres, radii, weights)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        return finger.detach()

    assert (descend(0.0) == hidden).all()
    assert (descend(1.0) - seen).norm() < 0.003
