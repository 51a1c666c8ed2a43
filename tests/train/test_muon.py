import torch
from torch import nn

from phalanx.train.muon import Muon, orthogonalised


def test_orthogonalised_keeps_directions_and_levels_lengths():
    torch.manual_seed(0)
    for rows, columns in ((6, 20), (20, 6)):
        matrix = torch.randn(rows, columns) @ torch.diag(torch.linspace(0.3, 3, columns))
        result = orthogonalised(matrix, steps=6)
        values = torch.linalg.svdvals(result)
        assert 0.6 < float(values.min()) and float(values.max()) < 1.3
        u, _, vh = torch.linalg.svd(matrix, full_matrices=False)
        exact = u @ vh
        assert float((result * exact).sum() / (result.norm() * exact.norm())) > 0.97


def test_finds_a_linear_map():
    torch.manual_seed(0)
    wanted = torch.randn(8, 12)
    layer = nn.Linear(12, 8, bias=False)
    descent = Muon(layer.parameters(), lr=0.1)
    x = torch.randn(64, 12)
    first = last = 0.0
    for step in range(150):
        for group in descent.param_groups:
            group["lr"] = 0.1 * (1 - step / 150)
        loss = (layer(x) - x @ wanted.T).square().mean()
        descent.zero_grad()
        loss.backward()
        descent.step()
        first, last = (float(loss.detach()) if step == 0 else first), float(loss.detach())
    assert last < 0.01 * first


def test_weight_decay_alone_shrinks():
    layer = nn.Conv2d(3, 4, 3, bias=False)
    before = layer.weight.detach().clone()
    layer.weight.grad = torch.zeros_like(layer.weight)
    Muon(layer.parameters(), lr=0.5, weight_decay=0.1).step()
    torch.testing.assert_close(layer.weight.detach(), 0.95 * before)
