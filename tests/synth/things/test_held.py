"""Things in hands lie where the solid lay that the grasp was planned for, and hands do not run through them."""

import numpy as np
import pytest
import torch

from phalanx.core.seeding import generator
from phalanx.hand.anatomy import angles_to_rotations
from phalanx.hand.model import HandPose
from phalanx.render.solids import signed_distance
from phalanx.synth.paint.surface import hand
from phalanx.synth.scene.grasp import GRASP_NAMES, draw_grasps
from phalanx.synth.things.held import SUNK, hold_things
from phalanx.synth.things.models import things_bank

KINDS = ("power", "power", "stick", "ball", "pen", "phone", "plate", "power")


@pytest.fixture(scope="module")
def grasped():
    model = hand("cpu")[0]
    kinds = np.array([GRASP_NAMES.index(name) for name in KINDS])
    grasps = draw_grasps(generator(3), model, len(kinds), kinds=kinds)
    pose = HandPose.zero(len(kinds))
    pose.rotations = angles_to_rotations(grasps.angles)
    bank = things_bank(None, "cpu")
    vertices = model(pose).vertices
    return grasps.solids, vertices, bank, hold_things(generator(4), grasps.solids, vertices, bank)


def test_most_hands_get_a_thing(grasped):
    solids, vertices, bank, held = grasped
    assert len(held.hands) >= len(KINDS) // 2
    again = hold_things(generator(4), solids, vertices, bank)
    assert all(
        np.array_equal(getattr(held, name), getattr(again, name))
        for name in ("hands", "thing", "matrix", "shift", "tint")
    )


def test_things_take_the_place_of_the_solids(grasped):
    """The surface of the piece that is held lies within 5 mm of the solid's, and its middle on the solid's middle."""
    solids, _, bank, held = grasped
    for hand_number, thing, matrix, shift in zip(held.hands, held.thing, held.matrix, held.shift, strict=True):
        middle = matrix @ bank.centre[thing, 0] + shift
        np.testing.assert_allclose(middle, solids.centre[hand_number, 0].numpy(), atol=1e-5)
        own = solids[torch.tensor([hand_number])]
        corners = bank.corners[thing, : bank.count[thing]].flatten(0, 1).double().numpy() @ matrix.T + shift
        distance = signed_distance(own, torch.from_numpy(corners).float()[None])[0, 0]
        assert (distance.abs() < 0.005).float().mean() > 0.1, bank.names[thing]


def test_hands_do_not_run_through_what_stands_out_of_the_solids(grasped):
    solids, vertices, bank, held = grasped
    for hand_number, thing, matrix, shift in zip(held.hands, held.thing, held.matrix, held.shift, strict=True):
        deepest = -float(signed_distance(solids[torch.tensor([hand_number])], vertices[[hand_number]]).amin())
        local = (vertices[hand_number].double().numpy() - shift) @ np.linalg.inv(matrix).T
        scale = np.linalg.norm(matrix @ bank.rotation[thing, 0], axis=0)
        for part in range(1, int((bank.kind[thing] >= 0).sum())):
            own = np.abs((local - bank.centre[thing, part]) @ bank.rotation[thing, part])
            depth = ((bank.half[thing, part] - own) * scale).min(1)
            assert depth.max() < max(SUNK, deepest + 0.001) + 1e-6, bank.names[thing]
