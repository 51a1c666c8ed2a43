from dataclasses import replace

import pytest
import torch

from phalanx.core.errors import InputError
from phalanx.hand.model import HandModel
from phalanx.methods.hand_finder import (
    EXTENTS,
    JOINTS,
    LEFT,
    NOTHING,
    RIGHT,
    UNCLEAR,
    Cubes,
    HandFinder,
    HandFinderConfig,
    load,
    maps_about,
    save_weights,
    surfaces,
)

TINY = HandFinderConfig(size=32, width=8)


def cubes(kinds: list[int]) -> Cubes:
    """Blobs whose place tells the kind: right ones lie right, left ones left, and nothing is a plain wall."""
    maps = torch.empty(len(kinds), 2, 32, 32)
    for extent, plane in zip(EXTENTS, maps.unbind(1), strict=True):
        plane.fill_(0.5 * extent)
    joints = torch.zeros(len(kinds), JOINTS, 3)
    for number, kind in enumerate(kinds):
        if kind == NOTHING:
            maps[number] = 0.02
        else:
            column = 20 if kind == RIGHT else 4
            maps[number, 0, 12:20, column : column + 8] = -0.01
            joints[number, :, 0] = ((column + 4) / 32 - 0.5) * EXTENTS[0]
    return Cubes(maps, torch.tensor(kinds), joints)


def test_unclear_cubes_and_joints_of_nothing_teach_nothing():
    torch.manual_seed(0)
    network = HandFinder(TINY).eval()
    batch = cubes([NOTHING, RIGHT, LEFT, UNCLEAR])
    first = network.losses(batch)
    batch.maps[3] = 0.03  # what the unclear cube shows does not count
    batch.joints[0] = 7.0  # nor where nothing would be
    batch.joints[3] = 7.0
    second = network.losses(batch)
    assert all(torch.allclose(first[name], second[name]) for name in first) and set(first) == {"kind", "joints"}
    batch.joints[1] += 0.1
    assert network.losses(batch)["joints"] > second["joints"]


def test_blobs_are_learnt():
    torch.manual_seed(0)
    network, batch = HandFinder(TINY), cubes([NOTHING, RIGHT, LEFT] * 4)
    descent = torch.optim.Adam(network.parameters(), 3e-3)
    for _ in range(60):
        descent.zero_grad()
        sum(network.losses(batch).values()).backward()
        descent.step()
    network.eval()
    with torch.no_grad():
        logits, joints = network(batch.maps)
    assert (logits.argmax(1) == batch.kind).all()
    hands = batch.kind > NOTHING
    assert float((joints - batch.joints)[hands].mean(1).norm(dim=-1).max()) < 0.02


def test_weights_go_out_and_come_back(tmp_path):
    torch.manual_seed(0)
    network, batch = HandFinder(TINY).eval(), cubes([NOTHING, RIGHT, LEFT])
    path = tmp_path / "finder.safetensors"
    save_weights(network, path, HandModel.open_hand())
    again = load(path)
    assert again.config == TINY and not again.training
    for first, second in zip(network(batch.maps), again(batch.maps), strict=True):
        assert torch.allclose(first, second, atol=0.02)  # stored in half precision
    with pytest.raises(InputError, match="size: must be a multiple of 16"):
        HandFinderConfig(size=40)


def test_wider_networks_begin_with_the_answers_of_narrower_ones():
    torch.manual_seed(0)
    narrow, wide = HandFinder(replace(TINY, context=4, hidden=16)), HandFinder(replace(TINY, context=8, hidden=24))
    for value in narrow.state_dict().values():
        if value.is_floating_point():
            value.add_(0.1 * torch.rand_like(value))
    wide.start_from(narrow.state_dict())
    maps = cubes([NOTHING, RIGHT, LEFT]).maps
    for first, second in zip(narrow.eval()(maps), wide.eval()(maps), strict=True):
        assert torch.allclose(first, second, atol=1e-5)
    with pytest.raises(InputError, match="no place for the weights"):
        narrow.start_from(wide.state_dict())


def test_both_cubes_lie_about_the_place():
    points = torch.tensor([[0.1, 0.001, 1.0], [0.505, 0.001, 1.0]])
    near, far = maps_about((points, points), torch.tensor([[0.0, 0.0, 1.0]]), 60)[0]
    assert (near < 0.15).nonzero().tolist() == [[30, 50]]  # the other point is outside of the smaller cube
    assert (far < 0.6).nonzero().tolist() == [[30, 35], [30, 55]]


def test_surfaces_are_as_close_as_cells_of_their_maps():
    depth, K = torch.full((256, 256), 1.0), torch.tensor([[250.0, 0, 127.5], [0, 250.0, 127.5], [0, 0, 1]])
    near, far = surfaces(depth, K, 64)
    maps = maps_about((near, far), torch.tensor([[0.0, 0.0, 1.0]]), 64)
    assert (maps[0] == 0.0).sum((1, 2)).tolist() == [64 * 64, 55 * 55]  # the wall is 1.02 m wide, without a hole
    assert len(far) < len(near)
    coarse = surfaces(depth, K, 64, 2.0)
    assert len(coarse[0]) < len(near) and len(coarse[1]) < len(far)
