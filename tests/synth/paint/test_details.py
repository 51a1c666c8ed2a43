"""What hands wear: how often, from a generator of its own, and where it covers them."""

import numpy as np
import pytest
import torch

from phalanx.core.seeding import generator
from phalanx.synth.paint.coats import heights
from phalanx.synth.paint.details import draw_details, gloved_in_pairs
from phalanx.synth.paint.dress import draw_dress
from phalanx.synth.paint.gloves import _DESIGNS, KINDS, Glove
from phalanx.synth.paint.jewellery import Bandage, Ring, Wristband
from phalanx.synth.paint.surface import hand
from phalanx.synth.paint.tattoos import Tattoo
from phalanx.synth.paint.worn import places_of_vertices

RED = np.log(np.array([0.5, 0.02, 0.02]))


def _vertices():
    return places_of_vertices(torch.device("cpu"))


def test_most_hands_are_bare():
    batch = 6000
    draw = draw_details(generator(0, 8), draw_dress(generator(0), batch))

    def share(kind):
        return len({owner for owner, item in draw.items if isinstance(item, kind)}) / batch

    assert 0.045 < share(Glove) < 0.08
    assert 0.09 < share(Ring) < 0.14
    assert 0.07 < share(Wristband) < 0.12
    assert 0.02 < share(Bandage) < 0.04
    assert 0.03 < share(Tattoo) < 0.07
    assert (draw.edge < 1.0).all()  # gloves are no sleeves that never end
    gloved = {owner for owner, item in draw.items if isinstance(item, Glove)}
    assert not gloved & {owner for owner, item in draw.items if isinstance(item, (Ring, Bandage))}


def test_people_wear_gloves_on_both_hands():
    drawn = draw_details(generator(0, 8), draw_dress(generator(0), 2000))
    draw = gloved_in_pairs(generator(1), drawn, 0.1)
    gloves = {owner: item for owner, item in draw.items if isinstance(item, Glove)}
    assert 140 < len(gloves) < 260
    assert all(gloves[owner ^ 1] is glove for owner, glove in gloves.items())
    assert not set(gloves) & {owner for owner, item in draw.items if isinstance(item, (Ring, Bandage))}
    assert len([item for _, item in draw.items if isinstance(item, Ring)]) > 150


def test_details_leave_what_is_drawn_after_clothes_as_it_is():
    random = generator(3)
    plain = draw_dress(random, 40)
    after = random.random()
    again = generator(3)
    draw_details(generator(3, 8), draw_dress(again, 40))
    assert again.random() == after
    one, two = (draw_details(generator(3, 8), plain) for _ in range(2))
    assert [owner for owner, _ in one.items] == [owner for owner, _ in two.items]
    assert np.array_equal(one.weave, two.weave)


@pytest.mark.parametrize("kind", KINDS)
def test_gloves_cover_hands_but_for_what_they_leave_bare(kind):
    assert set(_DESIGNS) == set(KINDS)
    at = _vertices()
    whole = Glove(kind, -0.04, 9.0, 0.002, RED, RED - 1.0, 1.0, False)
    coat = whole.coat(at)
    assert (coat.cover[at.y > 0.01] == 1).all() and (coat.cover[at.y < -0.05] == 0).all()
    assert torch.isfinite(coat.colour).all() and torch.isfinite(coat.height).all() and (coat.gloss > 0).all()
    assert coat.height[at.y > 0.02].min() > 0 and coat.height.max() < 0.012
    open_ended = Glove(kind, -0.04, 1.2, 0.002, RED, RED - 1.0, 1.0, False)
    cover = open_ended.coat(at).cover
    assert (cover[at.along > 1.3] == 0).all() and (cover[(at.finger > 0) & (at.along < 1.1) & (at.y > 0.0)] == 1).all()


def test_rings_watches_and_plasters_go_round_what_they_are_on():
    at = _vertices()
    watch = Wristband(-0.03, 0.009, 0.002, RED, 0.4, 0, 0.018, False, RED, RED, True, 0.0)
    which = watch.where(at)
    assert which.any() and (at.finger[which] == -1).all()
    coat = watch.coat(at.chosen(which.nonzero()[:, 0]))
    angle = at.angle[which]
    assert coat.height[angle.abs() < 0.3].max() > 0.005 > 0.003 > coat.height[angle.abs() > 2.0].max()
    plaster = Bandage(2, 1.0, 1.6, 0.001, RED, np.zeros(3), 0.0, 0.0)
    which = plaster.where(at)
    assert (at.finger[which] == 2).all() and at.angle[which].max() > 2.5 > -2.5 > at.angle[which].min()
    ring = Ring(3, 0.6, 0.003, 0.0015, RED, 0.0, RED + 1.0, 0.004)
    along = torch.full((200,), 0.6)
    around = torch.linspace(-3.1, 3.1, 200)
    circle = type(at)(along * 0, along * 0, along * 0, along * 0 + 3, along, around, 0.0005)
    coat = ring.coat(circle)
    assert (coat.cover == 1).all() and coat.height.argmax() in range(95, 105)  # the stone is on the back


def test_sleeves_hide_what_is_under_them():
    bandage = Bandage(-1, -0.1, 0.0, 0.002, RED, np.zeros(3), 60.0, 0.0)
    vertices = len(_vertices().x)
    (_, bare), (_, under) = (next(iter(heights([bandage], torch.full((vertices,), worn)))) for worn in (0.0, 1.0))
    assert bare.max() > 0.001 and under.abs().max() == 0


def test_tattoos_are_ink_where_they_are_stamped():
    stamp = np.zeros((128, 128), np.float32)
    stamp[40:88, 40:88] = 0.8
    tattoo = Tattoo(-1, (0.0, 0.05), (0.02, 0.02), 0.3, stamp, False, RED)
    at = _vertices()
    which = tattoo.where(at).nonzero()[:, 0]
    coat = tattoo.coat(at.chosen(which))
    rest = hand("cpu")[1].rest[which]
    inked = coat.cover > 0.4
    assert coat.film and inked.any() and (rest[inked, 2] < 0.01).all()
    assert ((rest[inked, :2] - torch.tensor([0.0, 0.05])).norm(dim=1) < 0.02).all()
