import numpy as np
import pytest
import torch
import trimesh

from phalanx.hand import HandModel, HandPose, HandSurface
from phalanx.hand.anatomy import ANGLE_NAMES, angles_to_rotations
from phalanx.hand.collision import (
    FLESH_TOLERANCE,
    Capsules,
    FingerSurfaces,
    _distance_to_triangles,
    _segment_distance,
    _winding_number,
    capsule_overlaps,
    finger_surfaces,
    hand_capsules,
    penetration,
    self_collision,
    sphere_proxies,
    vertex_penetration,
)
from phalanx.hand.pose_space import gestures, propose_angles


@pytest.fixture(scope="module")
def capsules(model: HandModel) -> Capsules:
    return hand_capsules(model)


@pytest.fixture(scope="module")
def surfaces(model: HandModel) -> FingerSurfaces:
    return finger_surfaces(model)


def posed(angles: torch.Tensor) -> HandPose:
    pose = HandPose.zero(len(angles), dtype=angles.dtype)
    pose.rotations = angles_to_rotations(angles)
    return pose


def proposals(count: int, seed: int = 0) -> torch.Tensor:
    return propose_angles(np.random.default_rng(seed), count)


def crossing(**degrees: float) -> torch.Tensor:
    angles = torch.zeros(1, 23)
    for name, value in degrees.items():
        angles[0, ANGLE_NAMES.index(name)] = np.deg2rad(value)
    return angles


CROSSED = crossing(index_mcp_abduction=-18.0, middle_pip_flexion=5.0)
THUMB_IN_FINGER = crossing(
    thumb_cmc_flexion=28.0,
    thumb_cmc_abduction=4.0,
    thumb_mcp_flexion=27.0,
    thumb_ip_flexion=36.0,
    index_mcp_flexion=59.0,
    index_pip_flexion=75.0,
    index_dip_flexion=30.0,
)

# What the vertex test is made of


def random_triangles(count: int) -> torch.Tensor:
    return torch.randn(count, 3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_distance_to_triangles_equals_trimesh() -> None:
    triangles = random_triangles(40)
    points = torch.randn(30, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    distance = _distance_to_triangles(points, triangles.expand(30, -1, -1, -1))
    for point, value in zip(points, distance.tolist(), strict=True):
        nearest = trimesh.triangles.closest_point(triangles.numpy(), point.expand(40, 3).numpy())
        assert value == pytest.approx(np.linalg.norm(nearest - point.numpy(), axis=1).min(), abs=1e-12)


def test_winding_number_of_a_closed_surface() -> None:
    torus = trimesh.creation.torus(1.0, 0.4, major_sections=24, minor_sections=12)
    points = torch.tensor([[1.0, 0, 0], [0, 0.8, 0.1], [0, 0, 0], [1.5, 0, 0], [0.3, 0, 0.2]], dtype=torch.float64)
    triangles = torch.from_numpy(np.array(torus.triangles)).expand(5, -1, -1, -1)
    expected = torch.tensor([1.0, 1, 0, 0, 0], dtype=torch.float64)
    torch.testing.assert_close(_winding_number(points, triangles), expected, atol=1e-9, rtol=0)


def test_segment_distance_equals_a_search() -> None:
    generator = torch.Generator().manual_seed(0)
    one, two = torch.randn(2, 200, 2, 3, generator=generator, dtype=torch.float64)
    two[:20] = one[:20] + torch.tensor([0.3, -0.2, 0.5])  # parallel
    two[20:30] = one[20:30].flip(1) * 1.7
    share = torch.linspace(0, 1, 101, dtype=torch.float64)[:, None]
    points, others = (torch.lerp(s[:, None, 0], s[:, None, 1], share) for s in (one, two))  # (N, 101, 3)
    searched = torch.cdist(points, others).flatten(1).amin(1)
    found = _segment_distance(one, two)
    assert (found <= searched + 1e-6).all()
    assert (found >= searched - 0.05).all()  # the grid is that coarse at most


# Vertices inside foreign fingers


def test_fingers_are_closed_surfaces(model: HandModel, surfaces: FingerSurfaces) -> None:
    for finger in range(5):
        faces = torch.cat([surfaces.skin[finger], surfaces.caps[finger]])
        edges = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
        edges = edges[edges[:, 0] != edges[:, 1]]  # the fan's first and last triangle are edges
        there, back = ({tuple(e) for e in direction.tolist()} for direction in (edges, edges.flip(1)))
        assert there == back
        corners = model.template[faces]
        volume = (corners[:, 0] * torch.linalg.cross(corners[:, 1], corners[:, 2])).sum() / 6
        assert 4e-6 < volume < 5e-5  # 4 to 50 ml, skin outside


def test_spheres_as_fingers() -> None:
    """Five balls, each a 'finger': the depth of a ball's vertices in another ball is known."""
    ball = trimesh.creation.icosphere(subdivisions=2, radius=1.0)
    shape, faces = torch.from_numpy(np.array(ball.vertices)), torch.from_numpy(np.array(ball.faces))
    count = len(shape)
    each = tuple(torch.arange(count) + count * finger for finger in range(5))
    axes = torch.tensor([[-0.01, 0, 0], [0.01, 0, 0]], dtype=torch.float64).expand(5, 3, 2, 3).clone()
    # Apart; the first two 0.5 into each other; the last inside the fourth.
    centers = torch.tensor([[10.0, 0, 0], [20, 0, 0], [30, 0, 0], [40, 0, 0], [50, 0, 0]], dtype=torch.float64).repeat(
        3, 1, 1
    )
    centers[1, 1, 0] = 11.5
    centers[2, 4, 0] = 40.2
    transforms = torch.eye(4, dtype=torch.float64).expand(3, 17, 4, 4).clone()
    transforms[:, 2:, :3, 3] = centers.repeat_interleave(3, 1)
    vertices = (centers[:, :, None] + shape).flatten(1, 2)
    surface = HandSurface(vertices, torch.zeros(3, 21, 3), transforms)
    caps = tuple(torch.zeros(0, 3, dtype=torch.long) for _ in range(5))
    found = vertex_penetration(FingerSurfaces(each, tuple(faces + count * f for f in range(5)), caps, axes), surface)
    inner = (1 - (centers[1, 1] + shape - centers[1, 0]).norm(dim=1)).max().item()
    swallowed = (1 - (centers[2, 4] + shape - centers[2, 3]).norm(dim=1)).max().item()
    assert found.tolist() == pytest.approx([0.0, inner, swallowed], abs=0.03)  # facets lie that far inside the ball


def slow_depth(surfaces: FingerSurfaces, vertices: np.ndarray) -> float:
    """Deepest vertex in a foreign finger: signed crossings of a ray tell inside (Möller and Trumbore 1997), trimesh the distance."""
    ray = np.array([0.31, -0.52, 0.79])
    deepest = 0.0
    for finger in range(5):
        skin = vertices[surfaces.skin[finger].numpy()]
        closed = np.concatenate([skin, vertices[surfaces.caps[finger].numpy()]])
        a, u, v = closed[:, 0], closed[:, 1] - closed[:, 0], closed[:, 2] - closed[:, 0]
        h = np.cross(ray, v)
        determinant = (u * h).sum(1)  # below zero where the ray leaves
        real = np.abs(determinant) > 1e-15  # the fan's first and last triangle are edges
        a, u, v, h, determinant = a[real], u[real], v[real], h[real], determinant[real]
        low, high = skin.min((0, 1)), skin.max((0, 1))
        for other in range(5):
            for point in vertices[surfaces.vertices[other].numpy()]:
                if other == finger or (point < low).any() or (point > high).any():
                    continue
                q = np.cross(point - a, u)
                s, t = ((point - a) * h).sum(1) / determinant, (q @ ray) / determinant
                hit = (s >= 0) & (t >= 0) & (s + t <= 1) & ((v * q).sum(1) / determinant > 0)
                if -np.sign(determinant[hit]).sum() > 0.5:
                    nearest = trimesh.triangles.closest_point(skin, np.broadcast_to(point, (len(skin), 3)))
                    deepest = max(deepest, float(np.linalg.norm(nearest - point, axis=1).min()))
    return deepest


def test_vertex_depth_equals_slow_twin(model: HandModel, surfaces: FingerSurfaces) -> None:
    surface = model(posed(torch.cat([CROSSED, THUMB_IN_FINGER])))
    found = vertex_penetration(surfaces, surface)
    expected = [slow_depth(surfaces, vertices) for vertices in surface.vertices.double().numpy()]
    assert min(expected) > 0.001
    np.testing.assert_allclose(found.numpy(), expected, atol=2e-6)


def test_shallow_depths_may_be_left_out_but_no_others(model: HandModel, surfaces: FingerSurfaces) -> None:
    surface = model(posed(proposals(24)))
    every, deep = vertex_penetration(surfaces, surface), vertex_penetration(surfaces, surface, above=0.001)
    assert ((every > 0) & (every < 0.001)).any() and (every > 0.001).any()
    assert torch.equal(every[every > 0.001], deep[every > 0.001])
    assert (deep <= every).all()


def test_depth_does_not_depend_on_the_view(model: HandModel, surfaces: FingerSurfaces, capsules: Capsules) -> None:
    pose = posed(proposals(16))
    turned = posed(proposals(16))
    turned.orientation = torch.linalg.qr(torch.randn(16, 3, 3, generator=torch.Generator().manual_seed(0)))[0]
    turned.orientation *= torch.linalg.det(turned.orientation)[:, None, None]
    turned.translation = torch.tensor([0.1, -0.2, 0.5]).expand(16, 3)
    depths = vertex_penetration(surfaces, model(pose))
    assert (depths > 0).any()
    torch.testing.assert_close(vertex_penetration(surfaces, model(turned)), depths, atol=2e-5, rtol=0)
    overlaps = capsule_overlaps(model, capsules, pose)
    torch.testing.assert_close(capsule_overlaps(model, capsules, turned), overlaps, atol=2e-6, rtol=0)


def test_proxies_agree_with_vertices(model: HandModel, surfaces: FingerSurfaces, capsules: Capsules) -> None:
    """Spheres and capsules are the more careful ones: they know the palm, and thick fingers press before their vertices meet."""
    pose = posed(proposals(160, seed=1))
    deep = vertex_penetration(surfaces, model(pose), above=FLESH_TOLERANCE) > FLESH_TOLERANCE
    spheres = penetration(model, sphere_proxies(model), pose) > FLESH_TOLERANCE
    tubes = (capsule_overlaps(model, capsules, pose) > FLESH_TOLERANCE).any(1)
    assert 0.02 < deep.float().mean() < 0.2
    for proxies in (spheres, tubes):
        assert (proxies == deep).float().mean() > 0.82
        assert (deep & ~proxies).float().mean() < 0.02


# The loss


def test_open_hand_costs_nothing(model: HandModel, capsules: Capsules) -> None:
    angles = torch.stack([torch.zeros(23), torch.deg2rad(torch.from_numpy(gestures()[0])).float()]).requires_grad_()
    loss = self_collision(model, capsules, posed(angles))
    loss.sum().backward()
    assert loss.tolist() == [0, 0]
    assert angles.grad is not None and not angles.grad.any()


def test_loss_is_what_it_says(model: HandModel, capsules: Capsules) -> None:
    pose = posed(proposals(32))
    pose.shape = torch.randn(32, 10, generator=torch.Generator().manual_seed(0))
    overlaps = capsule_overlaps(model, capsules, pose)
    loss = self_collision(model, capsules, pose, tolerance=0.001)
    for item in range(32):
        deep = [float(overlap) - 0.001 for overlap in overlaps[item] if overlap > 0.001]
        assert loss[item].item() == pytest.approx(sum(d * d for d in deep), rel=1e-4, abs=1e-12)
        alone = self_collision(model, capsules, pose[item : item + 1], tolerance=0.001)
        assert loss[item].item() == pytest.approx(alone.item(), rel=1e-3, abs=1e-9)
    assert (loss > 0).any()


def test_gradient() -> None:
    model = HandModel.open_hand().double()
    capsules = hand_capsules(model)
    angles = torch.cat([CROSSED, THUMB_IN_FINGER]).double()
    shape = 0.3 * torch.randn(2, 10, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def square_millimetres(angles: torch.Tensor, shape: torch.Tensor) -> torch.Tensor:
        pose = posed(angles)
        pose.shape = shape
        return 1e6 * self_collision(model, capsules, pose)

    assert (square_millimetres(angles, shape) > 1).all()
    assert torch.autograd.gradcheck(square_millimetres, (angles.requires_grad_(), shape.requires_grad_()))


def test_descent_parts_fingers(model: HandModel, capsules: Capsules, surfaces: FingerSurfaces) -> None:
    start = torch.cat([CROSSED, THUMB_IN_FINGER, proposals(64)])
    start = start[(capsule_overlaps(model, capsules, posed(start)) > FLESH_TOLERANCE).any(1)][:8]
    assert (vertex_penetration(surfaces, model(posed(start))) > FLESH_TOLERANCE).any()
    angles = start.clone().requires_grad_()
    optimizer = torch.optim.Adam([angles], lr=0.01)
    for _ in range(80):
        optimizer.zero_grad()
        (1e6 * self_collision(model, capsules, posed(angles))).sum().backward()
        optimizer.step()
    with torch.no_grad():
        assert (capsule_overlaps(model, capsules, posed(angles)) < FLESH_TOLERANCE + 2e-4).all()
        assert (vertex_penetration(surfaces, model(posed(angles))) < FLESH_TOLERANCE + 5e-4).all()
        assert (angles - start).abs().max() < np.deg2rad(45)
    # The wrist has no part in it.
    assert torch.equal(angles[:, :3], start[:, :3])
