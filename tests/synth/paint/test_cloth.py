"""Cloth of sleeves: what is under them gets its folds and threads, and nothing else changes."""

import torch

from phalanx.synth.paint.cloth import FABRICS, cloth_bank, paint_cloth


def test_bank_holds_every_fabric():
    bank = cloth_bank(64, "cpu").view(torch.uint8).view(len(FABRICS), -1, 4).float()
    assert (bank[..., 0].std(1) > 2).all()
    assert (bank[..., 2].std(1) > 2).all()
    assert not torch.equal(bank[0], bank[1])


def test_only_points_under_cloth_are_painted():
    points, side = 500, 64
    cover = torch.linspace(-20.0, 20.0, points)
    albedo, slope = torch.zeros(3, points), torch.zeros(points)
    weave = torch.tensor([[2.0, 1.0, 0.01, 1.0, 0.0], [2.0, 0.0, 0.0, 2.0, 0.0]])
    texel = torch.arange(points) * 7
    paint_cloth(albedo, slope, torch.ones(2, points), cover, texel, weave, torch.zeros(points).long(), side)
    assert albedo[:, cover <= 0].abs().max() == 0 and slope[cover <= 0].abs().max() == 0
    assert albedo[:, cover > 0].std() > 0.02 and slope[cover > 1].std() > 0.01
    plain, flat = torch.zeros(3, points), torch.zeros(points)
    paint_cloth(plain, flat, torch.ones(2, points), cover, texel, weave, torch.ones(points).long(), side)
    assert flat.abs().max() == 0 and plain[:, cover > 2].abs().max() == 0  # without strength
