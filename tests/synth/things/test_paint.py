"""Things in pictures: where they are, how deep, what hides what, and what colour they have."""

import numpy as np
import pytest
import torch

from phalanx.core.seeding import generator
from phalanx.synth.paint.light import draw_light
from phalanx.synth.things.models import things_bank
from phalanx.synth.things.paint import Placed, draw_tints, paint_things

K = torch.tensor([[300.0, 0, 60], [0, 300, 40], [0, 0, 1]])
HEIGHT, WIDTH = 80, 120
PLAIN = torch.cat([torch.eye(3), torch.zeros(3, 1)], 1)


@pytest.fixture(scope="module")
def bank():
    return things_bank(None, "cpu")


def facing(*places: tuple[int, int, float, float, float]) -> Placed:
    """Things (picture, thing, x, y, z) whose tops face the camera."""
    turn = torch.tensor([[1.0, 0, 0], [0, -1, 0], [0, 0, -1]])
    rows = torch.tensor(places)
    picture, thing = rows[:, 0].long(), rows[:, 1].long()
    return Placed(thing, picture, turn.expand(len(rows), 3, 3), rows[:, 2:].float(), PLAIN.expand(len(rows), 3, 4))


def paint(bank, placed, batch=1):
    light = draw_light(generator(1), batch)
    return paint_things(placed, bank, K.expand(batch, 3, 3), HEIGHT, WIDTH, light, torch.full((batch, 3), 0.3))


def test_a_cube_is_where_it_is_put(bank):
    block = bank.names.index("toy_block")  # 4 cm
    layer = paint(bank, facing((0, block, 0.0, 0.0, 0.44)))
    seen = (layer.coverage[0] == 1.0).nonzero()
    assert seen.amin(0).tolist() == pytest.approx([40 - 15, 60 - 15], abs=1)
    assert seen.amax(0).tolist() == pytest.approx([40 + 15, 60 + 15], abs=1)
    assert float(layer.depth[0, 40, 60]) == pytest.approx(0.40, abs=0.001)
    assert float(layer.coverage.sum()) == pytest.approx(30.0**2, rel=0.03)
    assert not layer.colour[0][:, layer.coverage[0] == 0].any() and not layer.depth[layer.coverage == 0].any()


def test_the_nearer_thing_hides_the_other_whatever_their_order(bank):
    block, book = bank.names.index("toy_block"), bank.names.index("book_blue")
    near, far = (0, block, 0.0, 0.0, 0.44), (0, book, 0.0, 0.0, 0.6)
    one, other = paint(bank, facing(near, far)), paint(bank, facing(far, near))
    assert torch.equal(one.depth, other.depth) and torch.allclose(one.colour, other.colour, atol=1e-6)
    assert float(one.depth[0, 40, 60]) == pytest.approx(0.40, abs=0.001)
    assert float(one.depth[0, 8, 60]) == pytest.approx(0.58, abs=0.005)


def test_things_keep_to_their_pictures_and_may_be_cut_by_the_border(bank):
    block = bank.names.index("toy_block")
    layer = paint(
        bank, facing((1, block, 0.085, 0.0, 0.44), (2, block, 9.0, 0.0, 0.44), (2, block, 0.0, 0.0, -1.0)), batch=3
    )
    assert not layer.coverage[0].any() and not layer.coverage[2].any()
    assert layer.coverage[1, 40, WIDTH - 1] == 1.0 and not layer.coverage[1, :, :60].any()


def test_paint_is_that_of_the_texture_and_the_tint(bank):
    red = bank.names.index("toy_block")
    placed = facing((0, red, 0.0, 0.0, 0.44))
    own = paint(bank, placed).colour[0, :, 28, 48]
    assert own[0] > 2 * own[1] and own[0] > 2 * own[2]
    placed.tint = torch.cat([torch.eye(3)[[1, 2, 0]], torch.zeros(3, 1)], 1)[None]
    turned = paint(bank, placed).colour[0, :, 28, 48]
    assert turned[2] > 2 * turned[0]


def test_tints_leave_half_of_the_things_their_own_colours():
    tints = draw_tints(generator(5), 400)
    kept = np.abs(tints[:, [0, 0, 1, 1, 2, 2], [1, 2, 0, 2, 0, 1]]).max(1) < 1e-9
    assert 0.4 < kept.mean() < 0.6 and np.isfinite(tints).all()
