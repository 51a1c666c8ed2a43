"""Things about hands: they stand on tables, they are where all pictures of a hand say they are, and labels are of the hand alone."""

import numpy as np
import pytest
import torch

from phalanx.core.seeding import generator
from phalanx.synth import chunks
from phalanx.synth.config import SynthConfig
from phalanx.synth.furnish import HIDDEN, furnish, not_hiding, stand_about
from phalanx.synth.nearby import put_nearby
from phalanx.synth.paint.compose import Layer
from phalanx.synth.paint.light import draw_light
from phalanx.synth.paint.place import heights
from phalanx.synth.scene.domains import DOMAINS
from phalanx.synth.shots import draw_shot
from phalanx.synth.things.models import things_bank

SMALL = dict(size=64, tiles=4, skins=2, effects=0.0)


@pytest.fixture(scope="module")
def bank():
    return things_bank(None, "cpu")


def standing_of(config, index, bank, blocked=()):
    shot = draw_shot(config, generator(1, index), None, torch.device("cpu"))
    vertices = shot.surface.vertices
    light = draw_light(generator(2, index), len(vertices))
    nearby = put_nearby(shot, vertices, light, DOMAINS["any"].painters, 1, index)
    return shot, nearby, stand_about(generator(3, index), shot, vertices, bank, nearby, np.array(blocked, int))


def corners(standing, bank, i):
    thing = int(standing.placed.thing[i])
    own = bank.corners[thing, : bank.count[thing]].flatten(0, 1).double()
    return own @ standing.placed.matrix[i].T + standing.placed.shift[i]


def test_things_on_tables_stand_on_them_and_beside_the_hand(bank):
    found = 0
    for index in range(5):
        shot, nearby, standing = standing_of(SynthConfig(chunk=32, **SMALL), index, bank)
        for i in [] if standing is None else standing.up.any(1).nonzero()[:, 0].tolist():
            picture = int(standing.placed.picture[i])
            surface = nearby.surfaces[torch.from_numpy(np.flatnonzero(nearby.rows == picture))]
            above = heights(surface, corners(standing, bank, i)[None])[0]
            assert float(above.min()) == pytest.approx(0.0, abs=0.002)
            middle = corners(standing, bank, i).mean(0)
            assert float((shot.surface.vertices[picture] - middle).norm(dim=-1).min()) > 0.004
            found += 1
    assert found >= 2


def test_things_before_and_behind_hands_are_there(bank):
    shot, _, standing = standing_of(SynthConfig(chunk=32, **SMALL), 5, bank, blocked=range(32))
    free = ~standing.up.any(1)
    before = []
    for i in free.nonzero()[:, 0].tolist():
        depth, hand = corners(standing, bank, i)[:, 2], shot.surface.vertices[int(standing.placed.picture[i]), :, 2]
        assert float(depth.max()) < float(hand.min()) or float(depth.min()) > float(hand.max())
        before.append(float(depth.max()) < float(hand.min()))
    assert 4 <= sum(before) < len(before)
    assert len(standing.replaced) == len(set(standing.replaced)) >= sum(before)


def test_all_cameras_of_a_rig_see_a_thing_at_the_same_place(bank):
    for index in range(6):
        config = SynthConfig(chunk=8, rig="stereo", **SMALL)
        shot, _, standing = standing_of(config, index, bank)
        if standing is not None:
            break
    to_world = torch.linalg.inv(shot.views.world_to_camera.double())[standing.placed.picture]
    world = (to_world[:, :3, :3] @ standing.placed.shift[..., None])[..., 0] + to_world[:, :3, 3]
    for hand in np.unique(shot.views.hand[standing.placed.picture.numpy()]):
        rows = np.flatnonzero(shot.views.hand[standing.placed.picture.numpy()] == hand)
        one, other = world[rows].unflatten(0, (-1, 2)).unbind(1)
        assert torch.allclose(one, other, atol=1e-5)


def test_what_hides_most_of_a_hand_is_left_out_in_all_its_pictures():
    hands = Layer(torch.zeros(3, 3, 8, 8), torch.ones(3, 8, 8), torch.ones(3, 8, 8))
    depth = torch.full((3, 8, 8), 0.5)
    depth[1, : int(8 * HIDDEN)] = 0.0
    about = Layer(torch.ones(3, 3, 8, 8), (depth > 0).float(), depth)
    kept = not_hiding(about, hands, np.array([0, 1, 0]))
    assert kept.coverage.amax((1, 2)).tolist() == [0.0, 1.0, 0.0]
    behind = Layer(about.colour, about.coverage, depth + 1.0)
    assert torch.equal(not_hiding(behind, hands, np.array([0, 1, 0])).coverage, behind.coverage)


def test_labels_are_of_the_hand_alone_and_sensed_depth_is_of_everything(monkeypatch):
    config = SynthConfig(chunk=24, depth_sensor="ideal", **SMALL)
    with_things = chunks.make_chunk(config, 3, 0)
    again = chunks.make_chunk(config, 3, 0)
    assert torch.equal(with_things.image, again.image)
    monkeypatch.setattr(chunks, "furnish", lambda *_: None)
    bare = chunks.make_chunk(config, 3, 0)
    for name in ("joints", "joints_2d", "depth", "mask", "parts", "vertices", "K"):
        assert torch.equal(getattr(with_things, name), getattr(bare, name)), name
    assert not torch.equal(with_things.image, bare.image)
    differs = (with_things.sensed_depth - bare.sensed_depth).abs() > 0.003
    assert 0.01 < differs.float().mean() < 0.7


def test_about_half_of_held_things_are_models():
    config = SynthConfig(chunk=24, scene="holding", **SMALL)
    shot = draw_shot(config, generator(4), None, torch.device("cpu"))
    furnished = furnish(generator(5), None, shot, shot.surface.vertices, None, np.zeros(0, int))
    assert 0.3 < len(furnished.held.hands) / 24 < 0.85
    kinds = furnished.solids(shot.things).kind[:, 0]
    assert set((kinds < 0).nonzero()[:, 0].tolist()) == set(furnished.held.hands.tolist())


def test_a_folder_of_things_is_used(tmp_path):
    import trimesh

    trimesh.creation.box((0.2, 0.2, 0.2)).export(tmp_path / "box.ply")
    bank = things_bank(tmp_path, "cpu")
    assert bank.names[-1] == "box.ply" and len(bank.names) == len(things_bank(None, "cpu").names) + 1
    np.testing.assert_allclose(bank.size[-1], 0.2, atol=1e-5)
