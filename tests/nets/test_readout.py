import torch

from phalanx.nets.readout import read_under, soft_argmax


def test_soft_argmax_is_the_mean_cell_centre():
    torch.manual_seed(0)
    logits = torch.randn(2, 3, 4, 6, dtype=torch.float64)
    points, probabilities = soft_argmax(logits)
    for b in range(2):
        for j in range(3):
            weights = logits[b, j].exp() / logits[b, j].exp().sum()
            x = sum(float(weights[r, c]) * (c + 0.5) / 6 for r in range(4) for c in range(6))
            y = sum(float(weights[r, c]) * (r + 0.5) / 4 for r in range(4) for c in range(6))
            torch.testing.assert_close(points[b, j], torch.tensor([x, y], dtype=torch.float64))
    torch.testing.assert_close(probabilities.sum(dim=(2, 3)), torch.ones(2, 3, dtype=torch.float64))


def test_a_peak_is_read_at_its_cell():
    logits = torch.zeros(1, 1, 8, 8)
    logits[0, 0, 2, 5] = 50.0
    points, probabilities = soft_argmax(logits)
    torch.testing.assert_close(points[0, 0], torch.tensor([5.5 / 8, 2.5 / 8]))
    maps = torch.arange(64.0).view(1, 1, 8, 8)
    torch.testing.assert_close(read_under(probabilities, maps)[0, 0], torch.tensor(21.0))


def test_gradients():
    logits = torch.randn(1, 2, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: soft_argmax(x)[0], logits)
