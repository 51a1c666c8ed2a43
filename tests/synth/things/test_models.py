"""The things of the package: of real sizes, small, and like the solids that hands take them by."""

import numpy as np
import pytest
import torch

from phalanx.render.solids import Solids, signed_distance
from phalanx.synth.things.bake import LARGEST, outside, pack
from phalanx.synth.things.models import ASSETS, ROLES, things_bank


@pytest.fixture(scope="module")
def bank():
    return things_bank(None, "cpu")


def test_the_package_has_things_for_all_uses(bank):
    assert 60 <= len(bank.names) <= 200 and len(set(bank.names)) == len(bank.names)
    assert set(bank.role) == set(range(len(ROLES)))
    assert (bank.count >= 12).all() and (bank.count <= LARGEST).all()
    assert (ASSETS / "things.npz").stat().st_size < 3_000_000


def test_things_have_the_sizes_of_things(bank):
    longest = bank.size.max(1)
    assert (longest > 0.015).all() and (longest < 2.7).all()
    held = bank.role == ROLES.index("held")
    assert (longest[held] < 0.75).all()
    assert (bank.size[bank.names.index("mug_white")] < 0.13).all()
    assert bank.size[bank.names.index("hammer"), 2] == pytest.approx(0.28, abs=0.03)


def test_normals_are_unit_and_point_away_from_the_middle_of_a_ball(bank):
    ball = bank.names.index("ball_tennis")
    rows = slice(0, int(bank.count[ball]))
    corners, normals = bank.corners[ball, rows], bank.normals[ball, rows]
    out = corners - torch.tensor([0.0, 0.0, 0.033])
    assert torch.allclose(normals.norm(dim=-1), torch.ones(()), atol=1e-4)
    assert ((normals * out).sum(-1) / out.norm(dim=-1)).median() > 0.95


def test_meshes_agree_with_the_solids_that_hands_take_them_by(bank):
    """No corner stands 9 mm out of all solids, and along the first the surface is mostly within 4 mm of it."""
    for thing in np.flatnonzero(bank.role == ROLES.index("held")):
        name, number = bank.names[thing], int((bank.kind[thing] >= 0).sum())
        assert number >= 1, name
        corners = bank.corners[thing, : bank.count[thing]].flatten(0, 1).double()
        solids = Solids(
            *(
                torch.from_numpy(getattr(bank, field)[thing, :number].copy())[None]
                for field in ("kind", "half", "rotation", "centre")
            )
        )
        single = Solids(solids.kind, solids.half.float(), solids.rotation.float(), solids.centre.float())
        away = signed_distance(single, corners[None].float())[0].amin(0)
        assert float(away.max()) < 0.009, (name, float(away.max()))
        weights = torch.tensor([[i, j, 12 - i - j] for i in range(13) for j in range(13 - i)]).double() / 12
        points = (weights @ bank.corners[thing, : bank.count[thing]].double()).flatten(0, 1)
        own = (points.numpy() - bank.centre[thing, 0]) @ bank.rotation[thing, 0]
        within = np.abs(own[:, 2]) <= bank.half[thing, 0, 2] + 0.001
        near = np.abs(outside(int(bank.kind[thing, 0]), bank.half[thing, 0], own)) < 0.004
        assert near.sum() > 0.2 * within.sum() > 0, (name, near.sum() / within.sum())


def test_equal_patches_share_a_place_and_others_keep_their_texels():
    generator = np.random.default_rng(0)
    drawn = [generator.integers(0, 255, (n, n, 3)).astype(np.uint8) for n in (1, 8, 8, 2, 32, 1)]
    drawn.append(drawn[1].copy())
    atlas, places = pack(drawn)
    assert (places[6] == places[1]).all()
    for patch, (column, row, side) in zip(drawn, places, strict=True):
        assert (atlas[row : row + side, column : column + side] == patch).all()
