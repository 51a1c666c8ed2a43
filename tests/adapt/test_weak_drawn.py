"""Depth that is drawn for pictures without: who learns what, and which frames it is judged against."""

import copy

import numpy as np
import pytest
import torch
from frames import UNIT, camera_text, write_depth
from weak_folder import hands

from phalanx.adapt.weak_crops import DEPTH_TILE, MAP
from phalanx.adapt.weak_depth import finish_depth, keep_depth
from phalanx.adapt.weak_drawn import (
    DrawnDepth,
    UnpairedDepth,
    UnpairedFeed,
    UnpairedFiles,
    _hand_tiles,
    kept_unpaired,
    read_unpaired,
)
from phalanx.core.errors import InputError
from phalanx.data.cube_views import cube_views
from phalanx.data.sample import Sample
from phalanx.methods.depth_gan import relative_map


@pytest.fixture(scope="module")
def sample():
    return hands()


@pytest.fixture(scope="module")
def batch(sample):
    return finish_depth(lambda: None, keep_depth(sample), 96, torch.Generator())


@pytest.fixture
def drawn():
    torch.manual_seed(0)
    return DrawnDepth()


def descend(player, batch):
    """One step; returns the terms before it."""
    optimiser = player.optimiser(player.parameters)
    terms = player.losses(batch)
    optimiser.zero_grad()
    sum(terms.values()).backward()
    optimiser.step()
    return {name: float(value.detach()) for name, value in terms.items()}


def test_the_start_learns_to_draw_and_to_foretell(drawn, batch):
    players = {player.name: player for player in drawn.start()}
    assert list(players) == ["discriminator", "generator", "foretold"]
    made = {name: player.optimiser(player.parameters) for name, player in players.items()}
    seen = {name: [] for name in players}
    for _ in range(20):
        for name, player in players.items():
            terms = player.losses(batch)
            made[name].zero_grad()
            sum(terms.values()).backward()
            made[name].step()
            seen[name].append({term: float(value.detach()) for term, value in terms.items()})
    assert seen["generator"][-1]["near"] < 0.8 * seen["generator"][0]["near"]
    assert seen["foretold"][-1]["map"] < 0.85 * seen["foretold"][0]["map"]


def test_each_player_moves_its_own_alone(drawn, batch):
    kept = copy.deepcopy(drawn)

    def moved():
        parts = ("generator", "discriminator", "regularizer")
        pairs = {
            part: zip(getattr(drawn, part).parameters(), getattr(kept, part).parameters(), strict=True)
            for part in parts
        }
        return {part for part, both in pairs.items() if any(not torch.equal(one, other) for one, other in both)}

    discriminator, generator, foretold = drawn.start()
    descend(discriminator, batch)
    assert moved() == {"discriminator"}
    descend(generator, batch)
    assert moved() == {"discriminator", "generator"}
    descend(foretold, batch)
    assert moved() == {"discriminator", "generator", "regularizer"}


def test_the_term_moves_depths_alone_and_counts_whom_it_shall(drawn, batch):
    depths = batch.hands.depths.clone().requires_grad_(True)
    counted = torch.zeros(len(batch))
    counted[2] = 1
    drawn.error(batch.images, batch.hands.joints, depths, counted).backward()
    rows = depths.grad.abs().sum(1)
    assert rows[2] > 0 and float(rows.sum() - rows[2]) == 0
    assert all(parameter.grad is None for parameter in drawn.parameters())
    none = drawn.error(batch.images, batch.hands.joints, depths, torch.zeros(len(batch)))
    assert float(none.detach()) == 0


def test_the_depth_loss_reaches_the_generator(drawn, batch):
    real = relative_map(batch.hands.map)
    counted = torch.ones(len(batch))
    players = drawn.adversaries(lambda _: (batch.images, real), lambda _: (torch.zeros_like(real), counted))
    terms = players[1].losses(batch)
    assert set(terms) == {"fooled", "near"}
    gradient = torch.autograd.grad(terms["near"], drawn.generator.last.bias, retain_graph=True, allow_unused=True)[0]
    weight = torch.autograd.grad(terms["near"], drawn.generator.last.weight)[0]
    assert gradient is not None and float(weight.abs().max()) > 0


def test_drawn_and_foretold_maps_know_no_scale(drawn, batch):
    """Depths count min-max normalised (Eq. 3.6)."""
    one = drawn.eval().foretell(batch.hands.joints, batch.hands.depths)
    torch.testing.assert_close(
        one, drawn.foretell(batch.hands.joints, 3 * batch.hands.depths + 0.2), atol=1e-4, rtol=1e-4
    )
    maps = drawn.draw(batch.images)
    assert maps.shape == (len(batch), MAP, MAP)
    torch.testing.assert_close(maps.amin((1, 2)), torch.zeros(len(batch)))


def test_tiles_are_upright_and_hold_the_hand_alone(sample):
    joints = sample.joints
    middles = joints.mean(1)
    cubes = cube_views(Sample(sensed_depth=sample.sensed_depth, K=sample.K), 1, 96, middles)
    tiles = _hand_tiles(cubes.maps[:, 0].float(), joints - middles[:, None])
    assert tiles.shape == (len(joints), DEPTH_TILE, DEPTH_TILE)
    read = (tiles > 0).sum((1, 2))
    everything = (cubes.maps[:, 0] < 0.15).flatten(1).sum(1).numpy()
    assert (read > 200).all() and read.sum() < 1.5 * everything.sum()
    turn = torch.tensor([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    turned = _hand_tiles(torch.rot90(cubes.maps[:, 0].float(), -1, (1, 2)), (joints - middles[:, None]) @ turn.T)
    same = ((tiles > 0) == (turned > 0)).mean((1, 2))
    assert (same > 0.97).all()  # a hand lies in its tile the same way, however it was held


def test_frames_are_read_and_bad_ones_named(tmp_path, sample):
    folder = tmp_path / "frames"
    for row in range(3):
        write_depth(folder / f"{row}.png", sample.depth[row])
    write_depth(folder / "empty.png", np.zeros((96, 96)))
    said = []
    files = UnpairedFiles(folder, camera_text(sample.K[0]), UNIT)
    found = read_unpaired(files, np.inf, said.append, lambda: None)
    assert 1 <= len(found) <= 3 and found.tiles.shape[1:] == (DEPTH_TILE, DEPTH_TILE)
    assert len(said) == len(found.skipped) >= 1 and any("empty.png" in line for line in said)
    with pytest.raises(InputError, match=r"has no intrinsics\.json with the camera of its depth frames"):
        read_unpaired(UnpairedFiles(folder), np.inf, said.append, lambda: None)
    (tmp_path / "nothing").mkdir()
    with pytest.raises(InputError, match="nothing: holds no depth frames"):
        read_unpaired(UnpairedFiles(tmp_path / "nothing"), np.inf, said.append, lambda: None)
    with pytest.raises(InputError, match="no such folder"):
        read_unpaired(UnpairedFiles(tmp_path / "none"), np.inf, said.append, lambda: None)


def test_what_was_read_is_kept(tmp_path):
    tiles = np.random.default_rng(0).random((3, DEPTH_TILE, DEPTH_TILE)).astype(np.float32)
    depth, path, files = (
        UnpairedDepth(tiles, [{"input": "a", "problem": "b"}]),
        tmp_path / "u.npz",
        UnpairedFiles("f", "sr305"),
    )
    depth.keep(path, files)
    kept = kept_unpaired(path, files)
    assert kept.checksum() == depth.checksum() and kept.skipped == depth.skipped
    assert kept_unpaired(path, UnpairedFiles("f", "sr305", 0.001)) is None
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InputError, match=r"u\.npz: is damaged"):
        kept_unpaired(path, files)


def test_a_feed_goes_on_where_it_was():
    random = np.random.default_rng(0)
    depth = UnpairedDepth((0.5 + 0.1 * random.random((4, DEPTH_TILE, DEPTH_TILE))).astype(np.float32), [])
    one, other = UnpairedFeed(depth, 3), UnpairedFeed(depth, 3)
    first, second = one.next(5, 64, 1), one.next(5, 64, 1)
    other.restore({"step": 1})
    assert torch.equal(other.next(5, 64, 1), second) and not torch.equal(first, second)
    assert first.shape == (5, MAP, MAP) and float(first.min()) >= 0 and float(first.max()) <= 1
    assert other.state() == one.state() and depth.checksum() == UnpairedDepth(depth.tiles.copy(), []).checksum()
