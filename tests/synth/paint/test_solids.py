"""Paint and light of solids: matt balls by the cosine law, reflections, prints and trims in their places."""

import numpy as np
import pytest
import torch

from phalanx.core.records import join_fields
from phalanx.core.seeding import generator
from phalanx.render.ray_casting import cast
from phalanx.render.solids import BOX, CAPSULE, CUP, CYLINDER, ELLIPSOID, Solids
from phalanx.synth.paint.light import draw_light
from phalanx.synth.paint.solids import SolidLook, draw_looks, shade_solids

SIZE = 24
KINDS = (ELLIPSOID, CAPSULE, CYLINDER, CUP, BOX)
HALF = ((0.04, 0.03, 0.05), (0.02, 0.02, 0.06), (0.03, 0.03, 0.05), (0.035, 0.035, 0.045), (0.03, 0.05, 0.02))


def solid(*kinds: int, centre: tuple[float, float, float] = (0.01, -0.005, 0.4)) -> Solids:
    """Solids of these kinds in one picture, all askew in the same way."""
    turn = torch.linalg.matrix_exp(torch.tensor([[0.0, -0.6, 0.4], [0.6, 0.0, -0.9], [-0.4, 0.9, 0.0]]))
    count = len(kinds)
    half, place = torch.tensor([HALF[kind] for kind in kinds]), torch.tensor(centre)
    return Solids(torch.tensor([kinds]), half[None], turn.repeat(1, count, 1, 1), place.repeat(1, count, 1))


def camera(size: int = SIZE) -> torch.Tensor:
    middle = 0.5 * (size - 1)
    return torch.tensor([[[3.0 * size, 0.0, middle], [0.0, 3.3 * size, middle - 1.0], [0.0, 0.0, 1.0]]])


def plain(solids: Solids, colour: float = 0.5, mirrored: float = 0.0) -> SolidLook:
    shape = tuple(solids.kind.shape)
    paint = np.full((*shape, 4, 3), colour, np.float32)
    paint[..., 3, :] = mirrored
    return SolidLook(
        paint,
        np.zeros((*shape, 2, 4), np.float32),
        np.tile(np.array([9.0, 0.0, 1.0], np.float32), (*shape, 1)),
        np.full(shape, -1.0 if int(solids.kind[0, 0]) == BOX else 2.0, np.float32),
        np.full(shape, 20.0, np.float32),
    )


def one_light(direction: tuple[float, float, float], ambient: float = 0.2):
    light = draw_light(generator(1), 1)
    light.ambient[:] = 0
    light.ambient[:, :, 0] = ambient
    light.direction[:] = np.array(direction, np.float32) / np.linalg.norm(direction)
    light.colour[:] = 0
    light.colour[:, 0] = [1.0, 0.5, 0.25]
    light.bounce[:] = 0
    return light


def test_matt_balls_are_shaded_by_the_cosine() -> None:
    ball = solid(ELLIPSOID)
    found = cast(ball, camera(), SIZE)
    light = one_light((-1.0, 0.3, -0.8))
    colour = shade_solids(found, ball, light, plain(ball), torch.ones(1, 3))
    cosine = torch.einsum("bchw,c->bhw", found.normal, torch.as_tensor(light.direction[0, 0])).clamp_min(0)
    for c, power in enumerate((1.0, 0.5, 0.25)):
        expected = 0.5 * (0.2 + power * cosine) * found.coverage
        assert (colour[:, c] - expected)[:, :].abs().max() < 1e-5
    # Ambient light takes on the surroundings' colour as far as it bounces off them.
    light.bounce[:] = 1.0
    tinted = shade_solids(found, ball, light, plain(ball), torch.tensor([[0.5, 0.25, 0.0]]))
    dark = (found.coverage == 1) & (cosine == 0)
    assert dark.any() and (tinted[:, 0][dark] - 0.5 * 0.2 * 2).abs().max() < 1e-5 and tinted[:, 2][dark].max() < 1e-6


def test_polished_things_mirror_the_light() -> None:
    ball, light = solid(ELLIPSOID, centre=(0.0, 0.0, 0.4)), one_light((0.0, 0.0, -1.0), ambient=0.0)
    ball.half[:] = 0.04
    found = cast(ball, camera(), SIZE)
    gain = shade_solids(found, ball, light, plain(ball, 0.5, 0.3), torch.ones(1, 3)) - shade_solids(
        found, ball, light, plain(ball), torch.ones(1, 3)
    )
    row = gain[0, 0, SIZE // 2]
    assert row.argmax() in (SIZE // 2 - 1, SIZE // 2) and row.max() > 0.15
    assert (gain >= -1e-5).all()


def test_prints_and_trims_are_where_they_belong() -> None:
    tin = solid(CYLINDER, centre=(0.0, 0.0, 0.4))
    tin.rotation[:] = torch.tensor([[1.0, 0, 0], [0, 0, -1.0], [0, 1.0, 0]])  # upright
    look = plain(tin)
    look.paint[0, 0, :3] = np.eye(3)  # ground red, print green, trim blue
    look.print[0, 0] = [-3.0, 0.0, 0.5]
    look.trim[0, 0] = 0.8
    light = one_light((0.0, 0.0, -1.0))
    light.colour[:] = 1.0
    found = cast(tin, camera(), SIZE)
    colour = shade_solids(found, tin, light, look, torch.ones(1, 3))[0]
    column = colour[:, :, SIZE // 2].argmax(0)[found.coverage[0, :, SIZE // 2] == 1].tolist()
    order = [value for i, value in enumerate(column) if i == 0 or column[i - 1] != value]
    assert order == [2, 0, 1, 0, 2]


def test_looks_are_drawn_from_the_generator_for_every_solid() -> None:
    solids = join_fields([solid(kind, BOX) for kind in KINDS])
    one, two, other = (draw_looks(generator(seed), solids) for seed in (3, 3, 4))
    assert all(np.array_equal(getattr(one, name), getattr(two, name)) for name in vars(one))
    assert not np.array_equal(one.paint, other.paint)
    assert one.paint.shape == (5, 2, 4, 3) and one.paint.min() >= 0 and one.paint.max() < 1
    found = cast(solids, camera().expand(5, -1, -1), SIZE)
    colour = shade_solids(found, solids, draw_light(generator(0), 5), one, torch.full((5, 3), 0.3))
    assert torch.isfinite(colour).all() and (colour >= 0).all()
    assert not colour[(found.coverage == 0)[:, None].expand_as(colour)].any()
    assert (colour.amax((1, 2, 3)) > 0.01).all()


def test_nothing_seen_has_no_colour() -> None:
    away = solid(ELLIPSOID, centre=(0.0, 0.0, -0.4))
    colour = shade_solids(cast(away, camera(), SIZE), away, draw_light(generator(0), 1), plain(away), torch.ones(1, 3))
    assert colour.shape == (1, 3, SIZE, SIZE) and not colour.any()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_paints_the_same() -> None:
    solids = join_fields([solid(kind) for kind in KINDS])
    look, light, around = draw_looks(generator(1), solids), draw_light(generator(2), 5), torch.rand(5, 3)
    K = camera(64).expand(5, -1, -1)
    here = shade_solids(cast(solids, K, 64), solids, light, look, around)
    there = solids.to("cuda")
    assert (here - shade_solids(cast(there, K.cuda(), 64), there, light, look, around.cuda()).cpu()).abs().mean() < 1e-3
