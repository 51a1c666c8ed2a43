"""Solids and the rays that meet them: against triangles of outside meshes, and coverage against many more samples."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh

from phalanx.core.records import join_fields
from phalanx.core.seeding import generator
from phalanx.render.ray_casting import cast
from phalanx.render.solids import BOX, CAPSULE, CUP, CYLINDER, ELLIPSOID, Solids, signed_distance

SIZE = 24
HALF = {
    ELLIPSOID: (0.04, 0.03, 0.05),
    CAPSULE: (0.02, 0.02, 0.06),
    CYLINDER: (0.03, 0.03, 0.05),
    CUP: (0.035, 0.035, 0.045),
    BOX: (0.03, 0.05, 0.02),
}


def rotation(seed: int) -> torch.Tensor:
    q, r = np.linalg.qr(generator(seed).normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return torch.as_tensor(q * np.linalg.det(q), dtype=torch.float32)


def solid(kind: int, seed: int = 0, centre: tuple[float, float, float] = (0.01, -0.005, 0.4)) -> Solids:
    return Solids(
        torch.tensor([[kind]]), torch.tensor([[HALF[kind]]]), rotation(seed)[None, None], torch.tensor([[centre]])
    )


def beside(*solids: Solids) -> Solids:
    """All in one picture."""
    return Solids(
        *(torch.cat([getattr(s, name) for s in solids], 1) for name in ("kind", "half", "rotation", "centre"))
    )


def camera(size: int = SIZE, focal: float = 3.0) -> torch.Tensor:
    middle = 0.5 * (size - 1)
    return torch.tensor([[[focal * size, 0.0, middle], [0.0, 1.1 * focal * size, middle - 1.0], [0.0, 0.0, 1.0]]])


def mesh_of(solids: Solids) -> trimesh.Trimesh:
    kind, (x, y, z) = int(solids.kind[0, 0]), solids.half[0, 0].tolist()
    if kind == ELLIPSOID:
        mesh = trimesh.creation.icosphere(subdivisions=5)
        mesh.apply_scale([x, y, z])
    elif kind == CAPSULE:
        mesh = trimesh.creation.capsule(2 * (z - x), x, count=[64, 64])
        mesh.apply_translation([0, 0, -mesh.bounds.mean(0)[2]])
    elif kind == BOX:
        mesh = trimesh.creation.box([2 * x, 2 * y, 2 * z])
    else:
        mesh = trimesh.creation.cylinder(x, 2 * z, sections=360)
        if kind == CUP:
            mesh.update_faces(mesh.face_normals[:, 2] < 0.5)
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = solids.rotation[0, 0].numpy(), solids.centre[0, 0].numpy()
    mesh.apply_transform(pose)
    return mesh


def met_by_triangles(mesh: trimesh.Trimesh, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Depth (R,), infinite where nothing is met, and normals (R, 3): every ray with every triangle (Möller and Trumbore 1997)."""
    a, b, c = mesh.triangles.transpose(1, 0, 2)
    u, v = b - a, c - a
    q = np.cross(-a, u)
    depth, normal = np.full(len(rays), np.inf), np.zeros((len(rays), 3))
    for i, ray in enumerate(rays):
        p = np.cross(ray, v)
        with np.errstate(divide="ignore", invalid="ignore"):
            inverse = 1.0 / (u * p).sum(1)
            first, second = -(a * p).sum(1) * inverse, (q @ ray) * inverse
            t = np.where((first >= 0) & (second >= 0) & (first + second <= 1), (v * q).sum(1) * inverse, np.inf)
        nearest = int(t.argmin())
        depth[i] = t[nearest]
        facing = mesh.face_normals[nearest]
        normal[i] = facing if facing @ ray < 0 else -facing
    return depth, normal


@pytest.mark.parametrize("kind", [ELLIPSOID, CAPSULE, CYLINDER, CUP, BOX])
@pytest.mark.parametrize("seed", [0, 3])
def test_depth_and_normals_equal_those_of_triangles(kind: int, seed: int) -> None:
    solids, K = solid(kind, seed), camera()
    found = cast(solids, K, SIZE)
    coverage = found.coverage[0].numpy()
    inner, outside = np.argwhere(coverage == 1)[::3], np.argwhere(coverage == 0)[::20]
    rows, columns = np.concatenate([inner, outside]).T
    rays = np.stack([columns, rows, np.ones_like(rows)], -1) @ np.linalg.inv(K[0].double().numpy()).T
    depth, normal = met_by_triangles(mesh_of(solids), rays)
    assert len(inner) > 20 and np.isfinite(depth[: len(inner)]).all()
    # Triangles cut corners where surfaces curve, and more so where they are seen from the side.
    straight = np.isfinite(depth) & (-(normal * rays).sum(-1) / np.linalg.norm(rays, axis=-1) > 0.2)
    assert straight.sum() > 0.8 * len(inner)
    assert np.abs(found.depth[0].numpy()[rows, columns] - depth)[straight].max() < 1e-4
    agreement = (found.normal[0].permute(1, 2, 0).numpy()[rows, columns] * normal).sum(-1)
    assert np.quantile(agreement[straight], 0.05) > 0.99  # edges may fall to either face
    # Nothing where there is nothing.
    assert not np.isfinite(depth[len(inner) :]).any()
    assert (found.depth[0].numpy()[coverage == 0] == 0).all() and (found.index[0].numpy()[coverage == 0] == -1).all()


def test_the_inside_of_a_cup_is_seen_through_its_open_end() -> None:
    turned = torch.diag(torch.tensor([1.0, -1.0, -1.0]))[None, None]  # the open end towards the camera
    full = Solids(torch.tensor([[CYLINDER]]), torch.tensor([[HALF[CUP]]]), turned, torch.tensor([[[0.0, 0.0, 0.4]]]))
    empty = replace(full, kind=torch.tensor([[CUP]]))
    K, middle = camera(), SIZE // 2
    assert cast(full, K, SIZE).depth[0, middle, middle].item() == pytest.approx(0.4 - 0.045, abs=1e-5)
    inside = cast(empty, K, SIZE)
    assert inside.depth[0, middle, middle].item() == pytest.approx(0.4 + 0.045, abs=1e-5)
    assert inside.normal[0, 2, middle, middle].item() == pytest.approx(-1.0, abs=1e-5)


def by_many_samples(solids: Solids, size: int, focal: float = 3.0, samples: int = 8) -> torch.Tensor:
    """Coverage by the centres' rays of a picture of so many times the size."""
    K = camera(size, focal)
    K[:, :2] *= samples
    K[:, :2, 2] += 0.5 * (samples - 1)
    met = cast(solids, K.expand(len(solids.kind), -1, -1), size * samples, samples=1).coverage
    assert set(met.unique().tolist()) == {0.0, 1.0}
    return torch.nn.functional.avg_pool2d(met[:, None], samples)[:, 0]


@pytest.mark.parametrize("kind", [ELLIPSOID, CAPSULE, CYLINDER, CUP, BOX])
def test_coverage_agrees_with_many_samples(kind: int) -> None:
    solids = join_fields([solid(kind, seed) for seed in range(4)])
    K = camera(32).expand(4, -1, -1)
    reference = by_many_samples(solids, 32)
    edge = (reference > 0) & (reference < 1)
    assert edge.sum() > 100
    coverage = cast(solids, K, 32).coverage
    assert set((coverage * 4).unique().tolist()) == {0.0, 1.0, 2.0, 3.0, 4.0}
    error = (coverage - reference).abs()
    assert error[~edge].max() <= 0.25 and error[~edge].mean() < 1e-3
    assert error[edge].max() < 0.5 and error[edge].mean() < 0.1
    assert (coverage - reference)[edge].mean().abs() < 0.02
    assert (cast(solids, K, 32, samples=8).coverage - reference).abs().max() < 0.05


def test_what_is_thinner_than_a_pixel_is_not_lost() -> None:
    card = solid(BOX, 2)
    card.half[:] = torch.tensor([0.05, 0.0006, 0.04])
    card.rotation[:] = torch.linalg.matrix_exp(torch.tensor([[0.0, -0.3, 0.0], [0.3, 0.0, 0.0], [0.0, 0.0, 0.0]]))
    needle = solid(CAPSULE, 1)
    needle.half[:] = torch.tensor([0.0007, 0.0007, 0.06])
    for thin in (card, needle):
        coverage, reference = cast(thin, camera(32), 32).coverage, by_many_samples(thin, 32)
        assert coverage.max() < 1 and coverage.sum() > 2
        assert coverage.sum().item() == pytest.approx(reference.sum().item(), rel=0.15)


def test_solids_at_the_border_and_behind_the_camera() -> None:
    cut = solid(BOX, 0, (0.06, 0.0, 0.4))
    reference = by_many_samples(cut, SIZE)
    assert reference[:, :, -1].max() == 1
    assert (cast(cut, camera(), SIZE).coverage - reference).abs().mean() < 0.01
    for centre in ((0.0, 0.0, -0.4), (0.0, 0.9, 0.4)):
        away = cast(solid(BOX, 0, centre), camera(), SIZE)
        assert not away.coverage.any() and not away.depth.any() and (away.index == -1).all()
        assert not away.normal.any()
    assert torch.isfinite(cast(solid(BOX, 0, (0.0, 0.0, 0.0)), camera(), SIZE).depth).all()


def test_the_nearest_of_several_is_seen() -> None:
    near, far, none = solid(ELLIPSOID, 0, (0.0, 0.0, 0.35)), solid(BOX, 1, (0.0, 0.0, 0.5)), solid(CYLINDER)
    none.kind[:] = -1
    together = cast(beside(none, far, near), camera(), SIZE)
    apart = [cast(each, camera(), SIZE) for each in (far, near)]
    depths = torch.stack([torch.where(one.depth > 0, one.depth, torch.inf) for one in apart])
    expected = torch.where(depths.amin(0) < torch.inf, depths.argmin(0) + 1, -1)
    inner = ((apart[0].coverage % 1 == 0) & (apart[1].coverage % 1 == 0)) & (depths.amin(0) < torch.inf)
    assert torch.equal(together.index.long()[inner], expected[inner])
    assert set(together.index.unique().tolist()) == {-1, 1, 2}
    assert (together.depth - depths.amin(0))[inner].abs().max() == 0
    assert (together.coverage >= torch.maximum(apart[0].coverage, apart[1].coverage)).all()
    nothing = cast(none, camera(), SIZE)
    assert not nothing.coverage.any() and nothing.seen.runs == []


def test_halves_that_touch_cover_as_the_whole() -> None:
    whole = solid(BOX, 4)
    halves = beside(whole, whole)
    halves.half[..., 0] *= 0.5
    halves.centre[0] += torch.tensor([[-0.015], [0.015]]) * whole.rotation[0, 0, :, 0]
    one, two = cast(whole, camera(), SIZE), cast(halves, camera(), SIZE)
    assert (one.coverage - two.coverage).abs().max() <= 0.25
    assert (one.coverage != two.coverage).sum() < 3
    assert {0, 1} <= set(two.index.unique().tolist())


@pytest.mark.parametrize("kind", [ELLIPSOID, CAPSULE, CYLINDER, BOX])
def test_signed_distance_equals_that_from_triangles(kind: int) -> None:
    solids = solid(kind, 1)
    if kind == ELLIPSOID:
        solids.half[:] = 0.03  # exact for balls alone
    mesh = mesh_of(solids)
    points = generator(5).normal(0, 0.04, (40, 3)) + solids.centre[0, 0].numpy()
    expected = []
    for point in points:
        nearest = trimesh.triangles.closest_point(mesh.triangles, np.broadcast_to(point, (len(mesh.triangles), 3)))
        inside = ((point - mesh.triangles[:, 0]) * mesh.face_normals).sum(1).max() < 0  # of all faces: they are convex
        expected.append(np.linalg.norm(nearest - point, axis=1).min() * (-1 if inside else 1))
    expected = np.array(expected)
    assert (expected < 0).sum() > 3
    found = signed_distance(solids, torch.as_tensor(points, dtype=torch.float32)[None])
    assert found.shape == (1, 1, 40)
    assert np.abs(found[0, 0].numpy() - expected).max() < 1e-4


def test_signed_distances_of_many_solids() -> None:
    several = beside(*(solid(kind, kind) for kind in (BOX, CUP, ELLIPSOID)))
    several.kind[0, 1] = -1
    points = torch.rand(2, 7, 3)
    both = signed_distance(join_fields([several, several[:, [2, 1, 0]]]), points)
    assert both.shape == (2, 3, 7) and torch.isinf(both[:, 1]).all()
    assert torch.equal(both[1, 0], signed_distance(solid(ELLIPSOID, ELLIPSOID), points[1:])[0, 0])
    # Near the surface an ellipsoid's distance is good too.
    egg = solid(ELLIPSOID, 3)
    direction = torch.nn.functional.normalize(torch.randn(1, 50, 3), dim=2)
    on = (direction * egg.half) @ egg.rotation[0].mT + egg.centre
    normal = torch.nn.functional.normalize((direction / egg.half) @ egg.rotation[0].mT, dim=2)
    for step in (-0.003, 0.0, 0.003):
        assert (signed_distance(egg, on + step * normal)[0, 0] - step).abs().max() < 3e-4


def test_moved_solids_are_seen_where_the_hand_takes_them() -> None:
    solids = solid(CUP, 2, (0.02, 0.08, 0.05))
    turn, shift = rotation(8), torch.tensor([0.0, 0.0, 0.5])
    moved = solids.moved(turn[None], shift[None])
    points = torch.rand(1, 20, 3) * 0.2
    before = signed_distance(solids, points)
    assert (signed_distance(moved, points @ turn.T + shift) - before).abs().max() < 1e-6


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_sees_the_same() -> None:
    solids = join_fields([solid(kind, kind) for kind in range(5)])
    K = camera(64).expand(5, -1, -1)
    here, there = cast(solids, K, 64), cast(solids.to("cuda"), K.cuda(), 64)
    assert (here.coverage != there.coverage.cpu()).float().mean() < 1e-3
    same = here.coverage == there.coverage.cpu()
    assert (here.depth - there.depth.cpu())[same].abs().max() < 1e-4
