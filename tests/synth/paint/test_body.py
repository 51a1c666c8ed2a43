from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial import ConvexHull

from phalanx.core.records import index_fields
from phalanx.render.mesh import barycentrics, depth, vertex_normals
from phalanx.render.visibility import visibility
from phalanx.synth.body.model import BodyPose, BodySurface
from phalanx.synth.paint.body import paint_bodies
from phalanx.synth.paint.body_dress import covers, dress_bodies
from phalanx.synth.paint.body_look import CAP, JACKET, SHOES, TOP, BodyLook, draw_body_looks, femininity, match_sleeves
from phalanx.synth.paint.body_surface import HEAD, REACH, body
from phalanx.synth.paint.compose import Layer
from phalanx.synth.paint.dress import draw_dress
from phalanx.synth.paint.light import draw_light
from phalanx.synth.paint.skin import skin_matrices

HEIGHT, WIDTH = 72, 48


def standing(places: list[tuple[float, float, float]]) -> BodySurface:
    model = body("cpu")[0]
    pose = model.rest_pose(len(places))
    return model(BodyPose(**{**vars(pose), "translation": torch.tensor(places)}))


def camera(people: int, focal: float = 80.0) -> torch.Tensor:
    return torch.tensor([[focal, 0, (WIDTH - 1) / 2], [0, focal, (HEIGHT - 1) / 2], [0, 0, 1]]).expand(people, 3, 3)


def looks(people: int, seed: int = 0) -> BodyLook:
    return draw_body_looks(np.random.default_rng(seed), people)


def naked(look: BodyLook) -> BodyLook:
    return replace(
        look,
        worn=np.zeros_like(look.worn),
        hair_lift=0 * look.hair_lift,
        beard=0 * look.beard,
        long=0 * look.long,
        skirt=0 * look.skirt,
        glasses=0 * look.glasses,
    )


def paint(
    surface: BodySurface, look: BodyLook, skin: np.ndarray | None = None, focal: float = 80.0, **more: object
) -> Layer:
    people, generator = len(look), np.random.default_rng(1)
    light = draw_light(generator, 1)[np.zeros(people, int)]
    skin = skin_matrices(generator, people) if skin is None else skin
    around = torch.full((people, 3), 0.3)
    return paint_bodies(surface, look, skin, light, camera(people, focal), HEIGHT, WIDTH, around, **more)


def test_coverage_and_depth_are_those_of_the_mesh():
    surface, model = standing([(0.1, -0.55, 2.2)]), body("cpu")[0]
    layer = paint(surface, naked(looks(1)))
    fine = camera(1).clone()
    fine[:, :2] *= 2
    fine[:, :2, 2] += 0.5
    hit = visibility(surface.vertices, model.faces, fine, 2 * HEIGHT, 2 * WIDTH, back_faces=False) >= 0
    expected = hit.float().view(HEIGHT, 2, WIDTH, 2).mean((1, 3))
    assert expected.mean() > 0.05
    torch.testing.assert_close(layer.coverage[0], expected)
    seen = visibility(surface.vertices, model.faces, camera(1), HEIGHT, WIDTH, back_faces=False)
    exact = depth(surface.vertices, model.faces, seen, barycentrics(surface.vertices, model.faces, camera(1), seen))[0]
    inner = (expected == 1) & (seen[0] >= 0)
    assert (layer.depth[0] - exact)[inner].abs().median() < 0.002
    assert ((layer.depth[0] - exact)[inner].abs() < 0.05).float().mean() > 0.97
    assert (layer.depth[0][expected == 0] == 0).all()
    assert (layer.colour[0][:, expected == 0] == 0).all()


def test_the_same_draw_gives_the_same_picture():
    surface = standing([(0.0, -0.55, 2.0), (0.2, -0.5, 2.4)])
    first, second = (paint(surface, looks(2, seed=3)) for _ in range(2))
    for name in ("colour", "coverage", "depth"):
        assert torch.equal(getattr(first, name), getattr(second, name))
    assert not torch.equal(first.colour, paint(surface, looks(2, seed=4)).colour)


def test_a_lighter_skin_is_lighter():
    surface = standing([(0.0, -0.55, 2.0)])
    shown = []
    for tone in (0.0, 0.5, 1.0):
        skin = skin_matrices(np.random.default_rng(0), 1, (tone, tone))
        shown.append(float(paint(surface, naked(looks(1)), skin).colour.sum()))
    assert shown[0] > 1.5 * shown[1] > 2.0 * shown[2]


def test_shoes_show_no_toes():
    """The fronts of feet in shoes are convex: most of a bare foot's lie up to a centimetre inside their hull."""
    topology = body("cpu")[1]
    for toes, caps in zip(topology.toes, topology.toe_caps, strict=True):
        bare, shod = topology.rest[toes].numpy(), (topology.rest[toes] + caps).numpy()
        hull = ConvexHull(bare)
        tips = bare[:, 2] < bare[:, 2].min() + 0.05
        inside = [-(points[tips] @ hull.equations[:, :3].T + hull.equations[:, 3]).max(1) for points in (bare, shod)]
        assert inside[0].max() > 0.004 and (np.abs(inside[1]) < 1e-4).mean() > 0.9
    surface = standing([(0.0, -0.5, 2.0)])
    look = naked(looks(1))
    worn = look.worn.copy()
    worn[:, SHOES] = True
    shod = dress_bodies(surface, *_dressed(surface, replace(look, worn=worn)), replace(look, worn=worn))
    plain = dress_bodies(surface, *_dressed(surface, look), look)
    moved = (shod - plain)[0].norm(dim=1)
    assert moved[topology.toes].max() > 0.004 and moved[: len(topology.rest)][topology.place[4] > 0.3].max() < 1e-6


def _dressed(surface: BodySurface, look: BodyLook) -> tuple:
    topology = body("cpu")[1]
    normals = vertex_normals(surface.vertices, topology.faces[: topology.body])
    return normals, covers(topology.place, look), topology


def test_eyes_are_painted_where_eyes_are():
    surface = standing([(0.0, 0.18, 0.45)])
    look = naked(looks(1))
    look = replace(
        look, iris=np.full((1, 3), 0.02, np.float32), phase=np.full_like(look.phase, 0.5), brow=0 * look.brow
    )
    skin = skin_matrices(np.random.default_rng(0), 1, (0.0, 0.0))
    layer = paint(surface, look, skin, focal=110.0)
    grey = layer.colour[0].mean(0)
    shown = (body("cpu")[1].eyes + torch.tensor([0.0, 0.18, 0.45])) @ camera(1, 110.0)[0].T
    forehead = shown.mean(0) / shown.mean(0)[2] - torch.tensor([0.0, 9.0, 0.0])
    bright = grey[int(forehead[1]), int(forehead[0])]
    for x, y, z in shown.tolist():
        column, row = round(x / z), round(y / z)
        assert grey[row - 1 : row + 2, column - 1 : column + 2].min() < 0.45 * bright
    flat = torch.where(layer.coverage[0] == 1, grey, torch.inf)
    flat[int(shown[0, 1] / shown[0, 2]) + 6 :] = torch.inf  # the face above the nose's tip
    darkest = divmod(int(flat.argmin()), WIDTH)
    assert min(abs(darkest[0] - y / z) + abs(darkest[1] - x / z) for x, y, z in shown.tolist()) < 4


@pytest.mark.parametrize("place", [(5.0, 0.0, 2.0), (0.0, 0.0, -2.0), (0.0, 9.0, 2.0)])
def test_a_person_outside_the_frame_leaves_it_empty(place):
    layer = paint(standing([place]), looks(1))
    assert not layer.coverage.any() and not layer.depth.any() and not layer.colour.any()


def test_no_people_make_an_empty_picture():
    surface = standing([(0.0, 0.0, 2.0)])
    none = index_fields(surface, slice(0))
    layer = paint(none, looks(0), pictures=1)
    assert layer.colour.shape == (1, 3, HEIGHT, WIDTH) and not layer.coverage.any()


def test_people_in_one_picture_hide_each_other_by_depth():
    surface, look = standing([(0.0, -0.5, 2.0), (0.05, -0.5, 3.0)]), looks(2)
    both = paint(surface, look, picture=np.zeros(2, int), pictures=1)
    apart = paint(surface, look)
    far = apart.depth[1] > 0
    near = apart.depth[0] > 0
    assert (near & far).any() and (far & ~near).any()
    torch.testing.assert_close(both.depth[0][near], apart.depth[0][near])
    torch.testing.assert_close(both.depth[0][far & ~near], apart.depth[1][far & ~near])


def test_sleeves_of_hands_match_the_clothes():
    generator = np.random.default_rng(0)
    look = looks(6)
    look.worn[:] = True
    look.worn[:3, JACKET] = False
    look.sleeve[:, 0], look.sleeve[:, 1] = 0.03, 0.01
    person = np.array([0, 0, 5, 5])
    dress = draw_dress(generator, 4)
    dress.edge[3] = 9.0  # a glove
    matched = match_sleeves(dress, look, person)
    np.testing.assert_allclose(matched.edge, [-0.03, -0.03, -0.01, 9.0], atol=1e-6)
    np.testing.assert_allclose(matched.colour[:3, :, 0], look.cloth[[0, 0, 5], [TOP, TOP, JACKET]])
    np.testing.assert_array_equal(matched.colour[3], dress.colour[3])


def test_garments_cover_what_they_should():
    topology, look = body("cpu")[1], looks(2)
    look.worn[:] = [True, True, False, True, False]
    look.sleeve[:, 0] = [0.02, 0.535]
    cover = covers(topology.place, look)
    assert cover[JACKET] is None and cover[CAP] is None
    top = cover[TOP]
    forearm = topology.place[3] > REACH - 0.1
    assert forearm.any() and (top[0, forearm] > 0).all() and (top[1, forearm] < 0).all()
    head = topology.faces[: topology.body][topology.section[1 : 1 + topology.body] == HEAD].unique()
    above = head[topology.rest[head, 1] < -0.02]
    assert (top[:, above] < 0).all()
    chest = (topology.rest - topology.rest.new_tensor([0.08, 0.25, -0.1])).norm(dim=1).argmin()
    assert (top[:, chest] > 0).all()


def test_dark_skins_rarely_have_light_hair():
    skins = [skin_matrices(np.random.default_rng(0), 300, (tone, tone)) for tone in (0.0, 1.0)]
    blond = [(draw_body_looks(np.random.default_rng(1), 300, skin).hair[:, 1] > -2.5).mean() for skin in skins]
    assert blond[0] > 0.17 and blond[1] < 0.15


def test_femininity_follows_the_chest():
    model = body("cpu")[0]
    shape = torch.randn((200, model.shape_basis.shape[2]), generator=torch.Generator().manual_seed(0))
    found = femininity(model, shape)
    assert ((found > 0) & (found < 1)).all() and found.std() > 0.2
    shaped = model.shaped(shape, torch.zeros(200, model.expression_basis.shape[2]))
    bust = torch.cdist(torch.tensor([[0.085, 0.21, -0.13]]), model.template).argmin()
    middle = torch.cdist(torch.tensor([[0.0, 0.19, -0.1]]), model.template).argmin()
    out = (shaped[:, middle, 2] - shaped[:, bust, 2]).numpy()
    assert out[found > 0.7].mean() > out[found < 0.3].mean() + 0.005
